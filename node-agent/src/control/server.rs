//! The agent's side of the control socket.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tancho_domain::dicom::{AeTitle, Priority};
use tancho_domain::ids::ObjectId;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::message::{ObjectAnswer, ObjectLine, Progress, Request, Status};
use super::{FRAME_BYTES_MAX, LINE_BYTES_MAX, socket_path};
use crate::clock::Clock;
use crate::deliver::Deliveries;
use crate::link::{LinkBoard, LinkState};
use crate::spool::{Activity, Arrival, IntakeError, ObjectState, Spool, SpoolError, Stored};
use crate::troubles::{Facts, troubles};

/// Connections served at the same time.
const CONNECTIONS_MAX: usize = 32;
/// Frames of an object that wait for the disk.
const FRAMES_WAITING_MAX: usize = 4;
/// Shortest time between two progress lines, and how many times as long as a look at the objects it is at least: the
/// last of them must not be told late, and many of them must not keep the index busy.
const PROGRESS_INTERVAL_MIN: Duration = Duration::from_millis(10);
const PROGRESS_INTERVAL_LOOKS: u32 = 20;
/// Longest time between two progress lines, when nothing seems to change.
const PROGRESS_INTERVAL_MAX: Duration = Duration::from_secs(2);

/// The listening socket.
pub struct ControlPort(UnixListener);

impl ControlPort {
    /// Opens it. A socket left behind by a killed agent is replaced: the data folder's lock says that none runs.
    pub fn bind(data_dir: &Path) -> io::Result<Self> {
        let path = socket_path(data_dir);
        match std::fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(Self(UnixListener::bind(path)?))
    }
}

/// What a connection works with.
#[derive(Clone)]
pub struct Desk {
    /// The spool.
    pub spool: Spool,
    /// The state of the line.
    pub board: LinkBoard,
    /// What is delivered onward.
    pub deliveries: Deliveries,
    /// The clock.
    pub clock: Clock,
    /// Set when the agent stops.
    pub stopping: CancellationToken,
}

/// Serves until the agent stops.
pub async fn serve(port: ControlPort, desk: Desk) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let stream = tokio::select! {
            () = desk.stopping.cancelled() => break,
            accepted = port.0.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "the control socket failed");
                    break;
                }
            },
        };
        while connections.try_join_next().is_some() {}
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            continue;
        };
        let desk = desk.clone();
        connections.spawn(async move {
            if let Err(error) = converse(stream, desk).await {
                tracing::debug!(%error, "a control connection ended");
            }
            drop(slot);
        });
    }
    while connections.join_next().await.is_some() {}
}

async fn converse(stream: UnixStream, desk: Desk) -> io::Result<()> {
    let (from, mut to) = stream.into_split();
    let mut from = BufReader::new(from);
    let Some(request) = read_line(&mut from).await? else {
        return Ok(());
    };
    match serde_json::from_slice(&request)? {
        Request::Status => write_line(&mut to, &status(&desk)).await,
        Request::Send { priority } => tokio::select! {
            done = take_objects(&mut from, &mut to, &desk, priority) => done,
            () = desk.stopping.cancelled() => Ok(()),
        },
        Request::Watch { objects } => tokio::select! {
            done = watch(&mut to, &desk, objects) => done,
            () = desk.stopping.cancelled() => Ok(()),
        },
        Request::Close { studies } => {
            for study in studies {
                desk.spool.close_study(&study).await.map_err(io::Error::other)?;
            }
            write_line(&mut to, &serde_json::json!({ "outcome": "closed" })).await
        }
    }
}

/// One JSON line; `None` at the end of the stream.
async fn read_line(from: &mut BufReader<OwnedReadHalf>) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let n = (&mut *from)
        .take(LINE_BYTES_MAX as u64)
        .read_until(b'\n', &mut line)
        .await?;
    if n == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(Some(line))
}

async fn write_line(to: &mut OwnedWriteHalf, value: &impl serde::Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    to.write_all(&line).await
}

async fn take_objects(
    from: &mut BufReader<OwnedReadHalf>,
    to: &mut OwnedWriteHalf,
    desk: &Desk,
    priority: Priority,
) -> io::Result<()> {
    // One activity for the whole run: its studies stay open until the last object is here.
    let activity = Arc::new(desk.spool.activity());
    let called_ae = AeTitle::parse(if priority == Priority::Stat {
        "IMPORT_STAT"
    } else {
        "IMPORT"
    });
    let (Ok(calling_ae), Ok(called_ae)) = (AeTitle::parse("IMPORT"), called_ae) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    while let Some(line) = read_line(from).await? {
        let object: ObjectLine = serde_json::from_slice(&line)?;
        let arrival = Arrival {
            calling_ae: calling_ae.clone(),
            called_ae: called_ae.clone(),
            peer: "local".to_owned(),
            priority,
            transfer_syntax: object.transfer_syntax,
            announced: object.announced,
        };
        let (frames, waiting) = mpsc::channel(FRAMES_WAITING_MAX);
        let (spool, kept) = (desk.spool.clone(), Arc::clone(&activity));
        let storing = tokio::task::spawn_blocking(move || store(&spool, &kept, arrival, waiting));
        read_frames(from, &frames).await?;
        frames.send(Frame::End).await.ok();
        let (bytes, outcome) = storing.await.map_err(io::Error::other)?;
        let answer = match outcome {
            Ok(stored) => ObjectAnswer::Stored {
                object_id: stored.object_id().clone(),
                duplicate: matches!(stored, Stored::Duplicate { .. }),
                bytes,
            },
            Err(error) => ObjectAnswer::Failed {
                code: code(&error).to_owned(),
            },
        };
        write_line(to, &answer).await?;
    }
    Ok(())
}

enum Frame {
    Bytes(Vec<u8>),
    End,
}

async fn read_frames(from: &mut BufReader<OwnedReadHalf>, frames: &mpsc::Sender<Frame>) -> io::Result<()> {
    loop {
        let len = from.read_u32().await? as usize;
        if len == 0 {
            return Ok(());
        }
        if len > FRAME_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut bytes = vec![0; len];
        from.read_exact(&mut bytes).await?;
        // After a failed write the rest is still read, so that the next object can follow.
        frames.send(Frame::Bytes(bytes)).await.ok();
    }
}

/// Stores one object; a stream that ends without its end mark leaves nothing.
fn store(
    spool: &Spool,
    activity: &Activity,
    arrival: Arrival,
    mut frames: mpsc::Receiver<Frame>,
) -> (u64, Result<Stored, IntakeError>) {
    let mut incoming = match spool.receive(arrival) {
        Ok(incoming) => incoming,
        Err(error) => return (0, Err(error)),
    };
    loop {
        match frames.blocking_recv() {
            Some(Frame::Bytes(bytes)) => {
                if let Err(error) = incoming.write(&bytes) {
                    return (incoming.len(), Err(error));
                }
            }
            Some(Frame::End) => return (incoming.len(), incoming.finish(activity)),
            None => return (incoming.len(), Err(SpoolError::Stopped.into())),
        }
    }
}

fn code(error: &IntakeError) -> &'static str {
    match error {
        IntakeError::NoSpace => "no_space",
        IntakeError::TooLarge => "object_too_large",
        IntakeError::UidMismatch => "uid_mismatch",
        IntakeError::Unusable(code) => code,
        IntakeError::Storage(_) => "storage_failed",
    }
}

/// Progress lines until nothing is left to wait for.
async fn watch(to: &mut OwnedWriteHalf, desk: &Desk, objects: Vec<ObjectId>) -> io::Result<()> {
    let mut spool = desk.spool.subscribe();
    let mut board = desk.board.subscribe();
    let mut settled = Settled::default();
    let mut pending = objects;
    let n_objects = pending.len() as u64;
    let mut last: Option<Progress> = None;
    loop {
        spool.mark_unchanged();
        board.mark_unchanged();
        let begun = Instant::now();
        pending = settled
            .take(&desk.spool, pending)
            .await
            .map_err(io::Error::other)?;
        let mut progress = settled.progress.clone();
        progress.n_objects = n_objects;
        progress.offline = match desk.board.status().link {
            LinkState::Offline { code, .. } => Some(code),
            LinkState::NotEnrolled => Some("not_enrolled".to_owned()),
            LinkState::Connecting | LinkState::Connected { .. } => None,
        };
        progress.n_instances = desk.spool.count_instances(&settled.studies);
        progress.n_preview = settled.studies.iter().map(|uid| desk.board.shown(uid)).sum();
        for (object_id, original, container) in &settled.open {
            progress.bytes_original += original;
            progress.bytes_container += container;
            progress.bytes_sent += desk.board.sent(object_id).min(*container);
        }
        if last.as_ref() != Some(&progress) {
            write_line(to, &progress).await?;
        }
        if progress.n_durable + progress.n_failed == n_objects {
            return Ok(());
        }
        last = Some(progress);
        let rest = begun.elapsed() * PROGRESS_INTERVAL_LOOKS;
        tokio::time::sleep(rest.clamp(PROGRESS_INTERVAL_MIN, PROGRESS_INTERVAL_MAX)).await;
        tokio::select! {
            _ = spool.changed() => {}
            _ = board.changed() => {}
            () = tokio::time::sleep(PROGRESS_INTERVAL_MAX) => {}
        }
    }
}

/// Sums of objects that will not change any more, and the others as last seen.
#[derive(Default)]
struct Settled {
    progress: Progress,
    open: Vec<(ObjectId, u64, u64)>,
    /// Studies of the objects.
    studies: BTreeSet<String>,
}

impl Settled {
    /// Looks at the objects again; gives those still open.
    async fn take(&mut self, spool: &Spool, pending: Vec<ObjectId>) -> Result<Vec<ObjectId>, SpoolError> {
        self.open.clear();
        let states = spool.object_states(&pending).await?;
        for (object_id, found) in pending.into_iter().zip(states) {
            let Some(standing) = found else {
                // It was deleted after its receipt.
                self.progress.n_durable += 1;
                continue;
            };
            let (original, container) = (standing.original_len, standing.container_len);
            self.studies.insert(standing.study_instance_uid);
            match standing.state {
                ObjectState::Stored | ObjectState::Coded => self.open.push((object_id, original, container)),
                ObjectState::Receipted => {
                    self.progress.n_durable += 1;
                    self.progress.bytes_original += original;
                    self.progress.bytes_container += container;
                    self.progress.bytes_sent += container;
                }
                state @ (ObjectState::Refused | ObjectState::Held | ObjectState::Damaged) => {
                    self.progress.n_failed += 1;
                    self.progress.bytes_original += original;
                    let reason = standing.reason.unwrap_or_else(|| state.as_str().to_owned());
                    self.progress.failure.get_or_insert(reason);
                }
            }
        }
        Ok(self
            .open
            .iter()
            .map(|(object_id, _, _)| object_id.clone())
            .collect())
    }
}

fn status(desk: &Desk) -> Status {
    let studies = desk.spool.studies();
    let sum = |state| {
        studies
            .iter()
            .map(|study| study.tally(state).n_objects)
            .sum::<u64>()
    };
    let facts = Facts::gather(&desk.spool, &desk.board, &desk.deliveries, desk.clock.now_ms());
    let room = facts.room;
    Status {
        troubles: troubles(&facts),
        n_studies: studies.len() as u64,
        n_studies_open: studies
            .iter()
            .filter(|study| study.closed_at_ms.is_none())
            .count() as u64,
        n_waiting_coder: sum(ObjectState::Stored),
        n_waiting_line: sum(ObjectState::Coded),
        bytes_waiting_line: studies
            .iter()
            .map(|study| study.tally(ObjectState::Coded).container_bytes)
            .sum(),
        oldest_waiting_at_ms: facts.waiting.oldest_at_ms,
        n_durable: sum(ObjectState::Receipted),
        n_refused: sum(ObjectState::Refused),
        n_held: sum(ObjectState::Held),
        n_damaged: sum(ObjectState::Damaged),
        n_quarantined: desk.spool.quarantine().len() as u64,
        n_requests_pending: desk.spool.pending_requests().len() as u64,
        conformance: desk.spool.conformance(),
        disk_free_bytes: room.map_or(0, |room| room.free_bytes),
        disk_reserve_bytes: room.map_or(0, |room| room.reserve_bytes),
        disk_low: room.is_none_or(|room| room.is_short()),
        disk_full: room.is_none_or(|room| !room.allows_intake()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        link: facts.link,
        deliveries: facts.deliveries,
        promises: desk.deliveries.promises(),
    }
}
