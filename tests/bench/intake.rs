//! C-STORE over loopback into the agent and into Orthanc: the same storescu, the same files, one association and
//! eight, with stock sockets and with `TCP_NODELAY=1` at both ends.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Instant;

use anyhow::ensure;
use tancho_e2e::hospital::{Network, NetworkPlan};
use tancho_e2e::modality::storescu_files;
use tancho_e2e::orthanc::Orthanc;

use crate::table::{Table, median};
use crate::{RUNS, copy};

/// What is sent.
pub struct Series {
    /// Holds nothing else.
    pub folder: PathBuf,
    /// In the order they are sent.
    pub files: Vec<PathBuf>,
    /// All of them.
    pub bytes: u64,
}

type Environment = &'static [(&'static str, &'static str)];

/// Rates of both receivers in each setting, and of the plain copy.
pub fn measure(series: &Series, folder: &Path) -> anyhow::Result<Table> {
    let mut table = Table::new(
        "C-STORE over loopback, everything durable before the answer",
        &[
            "associations",
            "sockets",
            "agent images/s",
            "MB/s",
            "Orthanc images/s",
            "MB/s",
            "ratio",
        ],
    );
    let images = series.files.len() as f64;
    let megabytes = series.bytes as f64 / 1e6;
    let settings: [(&str, Environment); 2] = [("stock", &[]), ("TCP_NODELAY=1", &[("TCP_NODELAY", "1")])];
    for associations in [1, 8] {
        for (name, environment) in settings {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for run in 0..RUNS {
                let place = folder.join(format!("intake-{associations}-{name}-{run}"));
                ours.push(into_agent(
                    series,
                    &place.join("agent"),
                    associations,
                    environment,
                )?);
                theirs.push(into_orthanc(
                    series,
                    &place.join("orthanc"),
                    associations,
                    environment,
                )?);
                empty(&place)?;
            }
            let (ours, theirs) = (median(ours), median(theirs));
            table.row(vec![
                associations.to_string(),
                name.to_owned(),
                format!("{:.0}", images / ours),
                format!("{:.0}", megabytes / ours),
                format!("{:.0}", images / theirs),
                format!("{:.0}", megabytes / theirs),
                format!("{:.1}", theirs / ours),
            ]);
        }
    }
    let copies: anyhow::Result<Vec<f64>> = (0..RUNS)
        .map(|run| copy::seconds(series, &folder.join(format!("copy-{run}"))))
        .collect();
    let copied = median(copies?);
    table.note(&format!(
        "A plain copy of the same files with an fsync of each file and its folder: {:.0} images/s, {:.0} MB/s. \
         Orthanc runs with its default SQLite store, which does not fsync image files. The agent's relay is away \
         meanwhile, so nothing is sent on; it scans and codes each image as ever.",
        images / copied,
        megabytes / copied
    ));
    Ok(table)
}

/// Frees the room that files take. They are not deleted before the end: ext4 passes over each inode that was freed in the
/// last minutes, which would be measured along with the next run.
fn empty(folder: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()? {
            kind if kind.is_dir() => empty(&entry.path())?,
            kind if kind.is_file() => std::fs::File::create(entry.path()).map(drop)?,
            _ => {}
        }
    }
    Ok(())
}

fn into_agent(
    series: &Series,
    folder: &Path,
    associations: usize,
    environment: Environment,
) -> anyhow::Result<f64> {
    std::fs::create_dir_all(folder)?;
    let mut network = Network::start(NetworkPlan::in_folder(folder, 1))?;
    network.relay.stop()?;
    let port = network.nodes[0].plan.dimse;
    let took = send(series, associations, environment, |files| {
        storescu_files(port, "TANCHO", files)
    })?;
    network.stop()?;
    Ok(took)
}

fn into_orthanc(
    series: &Series,
    folder: &Path,
    associations: usize,
    environment: Environment,
) -> anyhow::Result<f64> {
    let nobody = tancho_e2e::ports::free_address();
    let mut orthanc = Orthanc::start(folder, nobody, environment)?;
    let port = orthanc.dimse;
    let took = send(series, associations, environment, |files| {
        storescu_files(port, "ORTHANC", files)
    })?;
    ensure!(
        orthanc.instance_count()? == series.files.len() as u64,
        "Orthanc holds what was sent"
    );
    orthanc.stop()?;
    Ok(took)
}

/// Seconds from the start of the senders to the last answer.
fn send(
    series: &Series,
    associations: usize,
    environment: Environment,
    command: impl Fn(&[PathBuf]) -> std::process::Command,
) -> anyhow::Result<f64> {
    let shares: Vec<Vec<PathBuf>> = (0..associations)
        .map(|n| {
            series
                .files
                .iter()
                .skip(n)
                .step_by(associations)
                .cloned()
                .collect()
        })
        .collect();
    let start = Instant::now();
    let senders: std::io::Result<Vec<Child>> = shares
        .iter()
        .map(|share| {
            command(share)
                .envs(environment.iter().copied())
                .stdout(Stdio::null())
                .spawn()
        })
        .collect();
    for mut sender in senders? {
        ensure!(sender.wait()?.success(), "storescu sent everything");
    }
    Ok(start.elapsed().as_secs_f64())
}
