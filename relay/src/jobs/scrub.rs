//! The scrub: every container the store counts on is read again and again, at a set rate, and compared with its digest.
//!
//! What rotted is set aside, so that the next offer of it is received again; what is missing is reported. Where a pass
//! stands is kept in the data folder, so that a restart goes on from there. Only one relay uses a data folder.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use serde::{Deserialize, Serialize};
use tancho_domain::ids::InstanceId;
use tancho_imaging::container;
use tancho_store::instances;

use crate::blobs::check::BlobName;
use crate::blobs::{BlobError, hex, parse_hex};
use crate::state::AppState;

/// File in the data folder that says where a pass stands.
const PLACE_FILE: &str = "scrub.json";
/// How often the place is written, in containers.
const PLACE_EVERY: u64 = 64;
/// Longest sleep: after it the configuration's interval is looked at again.
const PAUSE_MAX: Duration = Duration::from_secs(3_600);
/// Wait after the store or the disk failed.
const PAUSE_AFTER_FAULT: Duration = Duration::from_secs(60);

/// Where a pass stands.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    /// When the pass began; none before the first.
    started_at_ms: Option<i64>,
    /// The instance looked at last; none when the pass has ended.
    after: Option<String>,
}

/// What one look at a container came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It is what was stored; its length in bytes.
    Intact(u64),
    /// It is not there.
    Missing,
    /// It rotted and was set aside.
    Damaged,
}

/// Counters of the scrub.
#[derive(Debug, Default)]
struct Counters {
    containers: Counter,
    bytes: Counter,
    missing: Counter,
    pass_ended: Gauge<i64, AtomicI64>,
}

impl Counters {
    fn register(&self, app: &AppState) {
        app.metrics.register(|registry| {
            registry.register(
                "scrub_containers",
                "Containers compared with their digest",
                self.containers.clone(),
            );
            registry.register(
                "scrub_bytes",
                "Bytes compared with their digest",
                self.bytes.clone(),
            );
            registry.register(
                "scrub_missing",
                "Containers that should be there and are not",
                self.missing.clone(),
            );
            registry.register(
                "scrub_pass_ended_at_seconds",
                "End of the last whole pass, in seconds UTC since 1970; 0 before",
                self.pass_ended.clone(),
            );
        });
    }
}

/// Runs until the relay stops.
pub async fn run(app: AppState) {
    let counters = Counters::default();
    counters.register(&app);
    let path = app.config.data_dir.join(PLACE_FILE);
    let mut place = read_place(&path);
    loop {
        let pause = match turn(&app, &counters, &mut place, &path).await {
            Ok(pause) => pause.min(PAUSE_MAX),
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "the scrub cannot go on now");
                PAUSE_AFTER_FAULT
            }
        };
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = app.blobs.suspected() => {}
            () = app.clock.sleep(pause) => {}
        }
    }
}

/// Checks the containers that could not be read, then the next one of the pass. Gives the time to wait.
async fn turn(
    app: &AppState,
    counters: &Counters,
    place: &mut Place,
    path: &Path,
) -> anyhow::Result<Duration> {
    for suspect in app.blobs.take_suspects() {
        note(counters, &suspect, check(app, &suspect).await?);
    }
    let rate = app.config.blobs.scrub_bytes_per_second;
    if rate == 0 {
        return Ok(PAUSE_MAX);
    }
    let now_ms = app.now_ms();
    let next = match &place.after {
        Some(after) => Some(InstanceId::parse(after)?),
        None => {
            let every_ms = app.config.blobs.scrub_every_ms;
            let wait_ms = place
                .started_at_ms
                .map_or(0, |started| (started + every_ms - now_ms).min(every_ms));
            if wait_ms > 0 {
                return Ok(Duration::from_millis(wait_ms.unsigned_abs()));
            }
            *place = Place {
                started_at_ms: Some(now_ms),
                after: None,
            };
            None
        }
    };
    let page = instances::list_expected_blobs(&mut app.db.read().await?, next.as_ref(), 1).await?;
    let Some(expected) = page.into_iter().next() else {
        place.after = None;
        write_place(path, place)?;
        counters.pass_ended.set(now_ms / 1_000);
        tracing::info!(
            n_containers = counters.containers.get(),
            "every stored container was compared with its digest"
        );
        return Ok(Duration::from_millis(
            app.config.blobs.scrub_every_ms.unsigned_abs(),
        ));
    };
    place.after = Some(expected.instance_id.as_str().to_owned());
    let Some(container_sha256) = parse_hex(&expected.container_sha256) else {
        anyhow::bail!(
            "the store names no container for instance {}",
            expected.instance_id
        );
    };
    let name = BlobName {
        network_id: expected.network_id,
        container_sha256,
    };
    let found = check(app, &name).await?;
    note(counters, &name, found);
    if counters.containers.get().is_multiple_of(PLACE_EVERY) {
        write_place(path, place)?;
    }
    match found {
        Found::Intact(bytes) => Ok(Duration::from_secs_f64(bytes as f64 / rate as f64)),
        Found::Missing | Found::Damaged => Ok(Duration::ZERO),
    }
}

/// Compares one container with its digest and sets it aside when it rotted.
///
/// # Errors
/// When the disk fails.
pub async fn check(app: &AppState, name: &BlobName) -> Result<Found, BlobError> {
    let (blobs, name) = (app.blobs.clone(), name.clone());
    let check = move || {
        let (network_id, digest) = (&name.network_id, &name.container_sha256);
        let mut file = match blobs.file(network_id, digest) {
            Err(BlobError::Missing) => return Ok(Found::Missing),
            other => other?,
        };
        if container::digest(&mut file)? == *digest {
            return Ok(Found::Intact(file.metadata()?.len()));
        }
        // Compared once more under the lock: a good copy may have replaced it.
        Ok(match blobs.set_aside_damaged(network_id, digest)? {
            true => Found::Damaged,
            false => Found::Intact(file.metadata()?.len()),
        })
    };
    tokio::task::spawn_blocking(check)
        .await
        .map_err(|error| BlobError::Io(io::Error::other(error)))?
}

fn note(counters: &Counters, name: &BlobName, found: Found) {
    counters.containers.inc();
    match found {
        Found::Intact(bytes) => {
            counters.bytes.inc_by(bytes);
        }
        // Logged and counted where it was set aside.
        Found::Damaged => {}
        Found::Missing => {
            counters.missing.inc();
            tracing::error!(alarm = "blob_missing", network.id = %name.network_id,
                container = %hex(&name.container_sha256), "a stored container is not there");
        }
    }
}

fn read_place(path: &Path) -> Place {
    fs::read(path)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}

fn write_place(path: &Path, place: &Place) -> io::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, serde_json::to_vec(place).map_err(io::Error::other)?)?;
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_goes_on_after_a_restart_and_a_damaged_note_of_it_starts_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(PLACE_FILE);
        assert_eq!(read_place(&path), Place::default());
        let place = Place {
            started_at_ms: Some(7),
            after: Some("0198a0de-0000-7000-8000-000000000001".to_owned()),
        };
        write_place(&path, &place).unwrap();
        assert_eq!(read_place(&path), place);
        fs::write(&path, b"{").unwrap();
        assert_eq!(read_place(&path), Place::default());
    }
}
