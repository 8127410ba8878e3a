//! The whole product on one machine for somebody who wants to see it: `make demo`.
//!
//! Starts a relay, two sites with an agent each, a reading centre and a mail server, sends a head CT the way a
//! scanner does, prints where to look, and stops everything on Ctrl-C. What it stores stays in the folder
//! `demo-data`, so that a second start goes on where the first ended.

mod screen;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use tancho_e2e::hospital::{Network, NetworkPlan};
use tancho_e2e::modality::Answer;
use tancho_e2e::node::NodePlan;
use tancho_e2e::phantom::Phantom;
use tancho_e2e::ports::is_free;
use tancho_e2e::relay::RelayPlan;

/// Written when a first start has made everything; without it the folder is made anew.
const COMPLETE: &str = "complete";
/// How often the programs are looked after.
const ROUND: Duration = Duration::from_millis(500);

/// A relay, two sites and a reading centre on this machine.
#[derive(Parser)]
#[command(name = "make demo", version)]
struct Arguments {
    /// Send this file or folder of DICOM instead of the generated head CT.
    #[arg(long)]
    study: Option<PathBuf>,
    /// Where everything is stored.
    #[arg(long, default_value = "demo-data")]
    folder: PathBuf,
    /// Throw away what an earlier demo stored.
    #[arg(long)]
    fresh: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(study) = &arguments.study
        && !study.exists()
    {
        bail!("{} does not exist", study.display());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let stop = runtime.block_on(async { StopSignal::new() })?;

    let plan = plan(&arguments.folder)?;
    let reused = prepare_folder(&arguments.folder, arguments.fresh)?;
    screen::starting(&arguments.folder, reused);
    let mut network = Network::start(plan)?;
    fs::write(arguments.folder.join(COMPLETE), "")?;

    screen::places(&network);
    let sent = send(&arguments, &network)?;
    screen::sent(&sent);
    screen::things_to_try(&network, &sent);

    let ended = runtime.block_on(watch(&mut network, stop));
    screen::stopping();
    network.stop()?;
    screen::stopped(&arguments.folder);
    ended
}

/// The well-known ports, each named when it is taken.
fn plan(folder: &Path) -> anyhow::Result<NetworkPlan> {
    let local = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let wanted = [
        (8080, "the page for readers and referrers"),
        (4433, "the line from the agents, QUIC"),
        (8081, "the technologist's page of the first site"),
        (11112, "DICOM of the first site"),
        (8082, "the technologist's page of the second site"),
        (11113, "DICOM of the second site"),
        (2525, "the demo's mail server"),
    ];
    let taken: Vec<String> = wanted
        .iter()
        .filter(|(port, _)| !is_free(local(*port)))
        .map(|(port, purpose)| format!("  {port:<6} {purpose}"))
        .collect();
    if !taken.is_empty() {
        bail!(
            "these ports are in use by another program (another demo?); stop it and start again:\n{}",
            taken.join("\n")
        );
    }
    let folder = std::path::absolute(folder)?;
    let node = |name: &str, page: u16, dimse: u16| NodePlan {
        data_dir: folder.join(name),
        dimse: local(dimse),
        page: local(page),
        relay_address: None,
        config: None,
        apart: true,
    };
    Ok(NetworkPlan {
        relay: RelayPlan {
            data_dir: folder.join("relay"),
            http: local(8080),
            quic: local(4433),
            smtp: None,
            ohif: None,
            database: None,
            apart: true,
        },
        nodes: vec![node("doto", 8081, 11112), node("kitahama", 8082, 11113)],
        mail: Some(local(2525)),
        folder,
    })
}

/// Whether an earlier demo is continued.
fn prepare_folder(folder: &Path, fresh: bool) -> anyhow::Result<bool> {
    let reused = !fresh && folder.join(COMPLETE).exists();
    if !reused && folder.exists() {
        let ours = folder.join("relay").exists() || fs::read_dir(folder)?.next().is_none();
        if !ours {
            bail!(
                "{} exists and is not from a demo; name another with --folder",
                folder.display()
            );
        }
        fs::remove_dir_all(folder).with_context(|| format!("clearing {}", folder.display()))?;
    }
    fs::create_dir_all(folder)?;
    Ok(reused)
}

/// What was sent, for the screen.
struct Sent {
    what: String,
    answers: Vec<Answer>,
    took: Duration,
}

/// Pushes the study into the first agent like a scanner's console, to the AE title for stat.
fn send(arguments: &Arguments, network: &Network) -> anyhow::Result<Vec<Sent>> {
    let [doto, kitahama] = network.nodes.as_slice() else {
        bail!("two agents are running")
    };
    let mut stat = doto.modality();
    stat.called_ae_title = "TANCHO_STAT".to_owned();
    let timed = |what: &str, send: &dyn Fn() -> anyhow::Result<Vec<Answer>>| -> anyhow::Result<Sent> {
        let start = Instant::now();
        let answers = send()?;
        Ok(Sent {
            what: what.to_owned(),
            answers,
            took: start.elapsed(),
        })
    };
    if let Some(study) = &arguments.study {
        let what = study.display().to_string();
        return Ok(vec![timed(&what, &|| stat.send(&[study]))?]);
    }
    // Kept from the first start on: the same study again, byte for byte, changes nothing.
    let folder = arguments.folder.join("phantom");
    if !folder.exists() {
        let today = jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::get("Asia/Tokyo")?);
        let dated = |phantom: Phantom| Phantom {
            study_date: today.strftime("%Y%m%d").to_string(),
            study_time: today.strftime("%H%M%S").to_string(),
            ..phantom
        };
        let seed = today.strftime("demo %Y-%m-%d %H:%M:%S").to_string();
        dated(Phantom::stroke(&seed)).write(&folder.join("stroke"))?;
        dated(Phantom::normal(&format!("{seed} second")))
            .with_slices(20)
            .write(&folder.join("routine"))?;
    }
    let routine = kitahama.modality();
    Ok(vec![
        timed(
            "a head CT with a haemorrhage, 道東^花子, to TANCHO_STAT of DOTO",
            &|| stat.send(&[&folder.join("stroke")]),
        )?,
        timed("a routine head CT, 知床^一郎, to TANCHO of KITAHAMA", &|| {
            routine.send(&[&folder.join("routine")])
        })?,
    ])
}

/// Ctrl-C or a request to end.
struct StopSignal {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl StopSignal {
    fn new() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Until somebody stops the demo, or one of its programs ends by itself.
async fn watch(network: &mut Network, mut stop: StopSignal) -> anyhow::Result<()> {
    let mut round = tokio::time::interval(ROUND);
    loop {
        tokio::select! {
            () = stop.wait() => return Ok(()),
            _ = round.tick() => {
                let agents = network.nodes.iter_mut().filter_map(|node| node.program());
                for program in agents.chain(network.relay.program()) {
                    if !program.is_running() {
                        bail!("{} ended by itself; the end of {}:\n{}", program.name(), program.log().display(), program.log_end());
                    }
                }
            }
        }
    }
}
