//! `tancho-agent send`: files and folders to the relay, through the running agent or, when none runs, by itself.
//!
//! Exit code 0 only when every object is where it was asked to be: durable in the spool, with `--wait` durable at
//! the relay. A disc is read by its DICOMDIR, too: what it names and is not there is a failure. While the line is down `--wait` goes on waiting and says so on stderr. Interrupted by SIGINT or SIGTERM it
//! says how far it came and exits with 130; what is in the spool by then stays there and is sent by the agent.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use tancho_domain::dicom::Priority;
use tancho_domain::ids::ObjectId;

use super::import::{self, Candidate, Found, Opened};
use super::serve::wait_for_signal;
use super::{Common, Interrupted};
use crate::agent::Agent;
use crate::clock::Clock;
use crate::config::ConfigError;
use crate::control::Client;
use crate::control::message::{ObjectAnswer, Progress};

/// Connections that hand over objects at the same time, so that they share commits.
const HANDOVERS: usize = 4;

/// Options of `send`.
#[derive(Debug, Args)]
pub struct SendArgs {
    /// DICOM files, or folders that hold some.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
    /// How soon the objects must be at the relay.
    #[arg(long, value_enum, default_value = "routine")]
    priority: PriorityArg,
    /// Wait until everything is durable at the relay.
    #[arg(long)]
    wait: bool,
    /// Print JSON lines {event, elapsed_ms} instead of a progress bar; the last after a failure is
    /// {event: "failed", code, text}.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PriorityArg {
    /// Overtakes everything else.
    Stat,
    /// Before routine work.
    Urgent,
    /// In its turn.
    Routine,
}

impl From<PriorityArg> for Priority {
    fn from(priority: PriorityArg) -> Self {
        match priority {
            PriorityArg::Stat => Self::Stat,
            PriorityArg::Urgent => Self::Urgent,
            PriorityArg::Routine => Self::Routine,
        }
    }
}

/// Why not everything is where it was asked to be, with a stable code for programs.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Failed {
    code: String,
    text: String,
}

/// Sends, and starts an agent of its own for as long as it takes when none runs.
pub async fn run(args: SendArgs) -> anyhow::Result<()> {
    let (started, is_json) = (Instant::now(), args.json);
    let done = send_all(args, started).await;
    if let Err(error) = &done
        && is_json
    {
        let line = serde_json::json!({
            "event": "failed",
            "elapsed_ms": elapsed_ms(started),
            "code": code_of(error),
            "text": format!("{error:#}"),
        });
        println!("{line}");
    }
    done
}

fn code_of(error: &anyhow::Error) -> &str {
    if let Some(failed) = error.downcast_ref::<Failed>() {
        &failed.code
    } else if error.is::<Interrupted>() {
        "interrupted"
    } else if error.is::<ConfigError>() {
        "config_invalid"
    } else {
        "failed"
    }
}

async fn send_all(args: SendArgs, started: Instant) -> anyhow::Result<()> {
    let mut config = args.common.load()?;
    let Found { files, refused, .. } = import::collect(&args.paths)?;
    let data_dir = config.data_dir.clone();
    let own_agent = match Client::connect(&data_dir) {
        Ok(_) => None,
        Err(_) => {
            check_data_dir(&data_dir)?;
            // No ports: this agent is for this command alone.
            config.dimse = None;
            config.page = None;
            let agent = Agent::start(config, Clock::system())
                .await
                .context("no agent runs and none can be started")?;
            Some(agent)
        }
    };
    let report = Arc::new(Report::new(started, args.json, files.len() as u64));
    let working = {
        let report = Arc::clone(&report);
        tokio::task::spawn_blocking(move || send(&data_dir, (files, refused), &args, &report))
    };
    let is_own = own_agent.is_some();
    let done = tokio::select! {
        done = working => done?,
        () = wait_for_signal() => Err(report.interrupted(is_own).into()),
    };
    if let Some(agent) = own_agent {
        agent.stop().await;
    }
    done
}

/// An agent of one command makes no data folder: what it stored in a new one nobody would ever send on.
fn check_data_dir(data_dir: &Path) -> Result<(), Failed> {
    if data_dir.is_dir() {
        return Ok(());
    }
    Err(Failed {
        code: "no_data_folder".to_owned(),
        text: format!(
            "there is no data folder {}: name the agent's with --data-dir or --config, or make one with \
             `tancho-agent enroll`",
            data_dir.display()
        ),
    })
}

fn send(
    data_dir: &Path,
    (files, refused): (Vec<Candidate>, Vec<(PathBuf, String)>),
    args: &SendArgs,
    report: &Report,
) -> anyhow::Result<()> {
    let mut spooled = hand_over(data_dir, files, args.priority.into(), report)?;
    spooled.failures.splice(0..0, refused);
    if spooled.n_programs > 0 {
        report.programs(spooled.n_programs);
    }
    if spooled.objects.is_empty() {
        bail!(spooled.failed(format!("nothing was sent: {}", spooled.describe_failures())));
    }
    report.event(
        "spooled",
        &serde_json::json!({ "instances": spooled.objects.len(), "bytes_original": spooled.bytes }),
    );
    if args.wait {
        wait(data_dir, &spooled, report)?;
    }
    if !spooled.failures.is_empty() {
        bail!(spooled.failed(format!(
            "{} file(s) were not sent: {}",
            spooled.failures.len(),
            spooled.describe_failures()
        )));
    }
    Ok(())
}

fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// What reached the spool.
#[derive(Default)]
struct Spooled {
    objects: Vec<ObjectId>,
    bytes: u64,
    failures: Vec<(PathBuf, String)>,
    n_skipped: u64,
    /// Files whose preamble began like a program.
    n_programs: u64,
}

impl Spooled {
    /// With the code of the first file that was not taken.
    fn failed(&self, text: String) -> Failed {
        let first = self.failures.first().map(|(_, code)| code.as_str());
        // `unreadable: REASON` begins with its code.
        let code = first.map_or("not_dicom", |code| code.split(':').next().unwrap_or(code));
        Failed {
            code: code.to_owned(),
            text,
        }
    }

    fn describe_failures(&self) -> String {
        let shown = self
            .failures
            .iter()
            .take(5)
            .map(|(path, code)| format!("{} ({code})", path.display()));
        let mut text = shown.collect::<Vec<_>>().join(", ");
        if self.failures.len() > 5 {
            text.push_str(", ...");
        }
        if text.is_empty() {
            format!("{} file(s) are not DICOM", self.n_skipped)
        } else {
            text
        }
    }
}

fn hand_over(
    data_dir: &Path,
    files: Vec<Candidate>,
    priority: Priority,
    report: &Report,
) -> anyhow::Result<Spooled> {
    let queue = Mutex::new(VecDeque::from(files));
    let spooled = Mutex::new(Spooled::default());
    let work = || -> anyhow::Result<()> {
        let mut client = Client::connect(data_dir).context("the agent is gone")?;
        client.begin_send(priority)?;
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(file) = next else { return Ok(()) };
            let (answer, has_program) = match import::open(&file.path) {
                Ok(Opened {
                    line,
                    mut data,
                    has_program,
                }) => {
                    let answer = client.send_object(&line, &mut data);
                    (answer.context("the agent ended the connection")?, has_program)
                }
                Err(code) => (ObjectAnswer::Failed { code }, false),
            };
            let mut spooled = spooled.lock().unwrap_or_else(PoisonError::into_inner);
            spooled.n_programs += u64::from(has_program);
            match answer {
                ObjectAnswer::Stored { object_id, bytes, .. } => {
                    spooled.objects.push(object_id);
                    spooled.bytes += bytes;
                    report.n_spooled.fetch_add(1, Ordering::Relaxed);
                }
                ObjectAnswer::Failed { code } if code == "not_dicom" && !file.named => spooled.n_skipped += 1,
                ObjectAnswer::Failed { code } => spooled.failures.push((file.path, code)),
            }
            report.spooled_one();
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..HANDOVERS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(done) => done,
            Err(_) => bail!("handing over failed"),
        })
    })?;
    let mut spooled = spooled.into_inner().unwrap_or_else(PoisonError::into_inner);
    // The same bytes twice in one command are one object.
    spooled.objects.sort();
    spooled.objects.dedup();
    Ok(spooled)
}

fn wait(data_dir: &Path, spooled: &Spooled, report: &Report) -> anyhow::Result<()> {
    let mut client = Client::connect(data_dir).context("the agent is gone")?;
    client.begin_watch(spooled.objects.clone())?;
    let mut last: Option<Progress> = None;
    let mut told = Told::default();
    while let Some(progress) = client.next_progress()? {
        let offline_before = last.as_ref().and_then(|last| last.offline.as_ref());
        if let Some(code) = &progress.offline
            && offline_before != Some(code)
        {
            report.offline(code);
        }
        told.tell(&progress, report);
        report.progress(&progress);
        last = Some(progress);
    }
    let last = last.context("the agent ended before everything was at the relay")?;
    if last.n_failed > 0 {
        let code = last.failure.unwrap_or_default();
        let text = format!(
            "{} of {} instances were not taken ({code})",
            last.n_failed, last.n_objects
        );
        bail!(Failed { code, text });
    }
    ensure!(
        last.n_durable == last.n_objects,
        "the agent stopped before everything was at the relay"
    );
    report.event(
        "study_durable",
        &serde_json::json!({
            "instances": last.n_durable,
            "bytes_original": last.bytes_original,
            "bytes_sent": last.bytes_sent,
        }),
    );
    Ok(())
}

/// What was said about how far the studies are.
#[derive(Default)]
struct Told {
    n_preview: u64,
    n_durable: u64,
    is_whole_stack: bool,
}

impl Told {
    fn tell(&mut self, progress: &Progress, report: &Report) {
        let (n_durable, bytes_sent) = (progress.n_durable, progress.bytes_sent);
        // What is durable can be looked at, also before the relay says so.
        let n_preview = progress.n_preview.max(n_durable).max(self.n_preview);
        let of = |instances: u64| serde_json::json!({ "instances": instances, "bytes_sent": bytes_sent });
        if self.n_preview == 0 && n_preview > 0 {
            report.event("first_preview", &of(n_preview));
        }
        if self.n_durable == 0 && n_durable > 0 {
            report.event("first_instance_durable", &of(n_durable));
        }
        let all_shown = progress.n_instances > 0 && n_preview >= progress.n_instances;
        let is_whole_stack = all_shown || n_durable == progress.n_objects;
        if is_whole_stack && !self.is_whole_stack {
            report.event("stack_preview", &of(n_preview));
        }
        if n_preview > self.n_preview || n_durable > self.n_durable {
            let counts = serde_json::json!({
                "n_preview": n_preview, "n_durable": n_durable, "bytes_sent": bytes_sent,
            });
            report.event("progress", &counts);
        }
        self.n_preview = n_preview;
        self.n_durable = n_durable;
        self.is_whole_stack |= is_whole_stack;
    }
}

/// Tells the caller: JSON lines for programs, a bar for people.
struct Report {
    started: Instant,
    json: bool,
    bar: ProgressBar,
    /// Instances durable on this machine.
    n_spooled: AtomicU64,
    /// Instances durable at the relay.
    n_durable: AtomicU64,
}

impl Report {
    fn new(started: Instant, json: bool, n_files: u64) -> Self {
        let bar = if json {
            ProgressBar::hidden()
        } else {
            ProgressBar::new(n_files)
        };
        if let Ok(style) = ProgressStyle::with_template("{msg:24} {wide_bar} {pos}/{len}") {
            bar.set_style(style);
        }
        bar.set_message("into the spool");
        Self {
            started,
            json,
            bar,
            n_spooled: AtomicU64::new(0),
            n_durable: AtomicU64::new(0),
        }
    }

    /// Says on stderr why the waiting goes on, whatever stdout is for.
    fn offline(&self, code: &str) {
        let text = match code {
            "not_enrolled" => "this node is not enrolled: run `tancho-agent enroll`".to_owned(),
            _ => format!("no connection to the relay ({code})"),
        };
        self.say(&format!(
            "{text}; everything is safe on this machine and goes when the line is there; waiting"
        ));
    }

    /// Warns of files that are programs as well: on a disc from outside that is no accident.
    fn programs(&self, n_files: u64) {
        if self.json {
            self.event("programs_found", &serde_json::json!({ "n_files": n_files }));
            return;
        }
        self.say(&format!(
            "warning: {n_files} file(s) begin like a program; only their DICOM data was taken. Do not start anything \
             from this disc, and have it looked at for malware"
        ));
    }

    fn say(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }

    /// How far it came when it was interrupted.
    fn interrupted(&self, is_own_agent: bool) -> Interrupted {
        self.bar.abandon();
        let n_spooled = self.n_spooled.load(Ordering::Relaxed);
        let n_durable = self.n_durable.load(Ordering::Relaxed);
        let rest = if is_own_agent {
            "the rest is sent as soon as an agent runs: `tancho-agent serve`"
        } else {
            "the running agent goes on sending the rest"
        };
        Interrupted(format!(
            "{n_spooled} instances are durable on this machine, {n_durable} of them at the relay; {rest}"
        ))
    }

    fn spooled_one(&self) {
        self.bar.inc(1);
    }

    fn progress(&self, progress: &Progress) {
        self.n_durable.store(progress.n_durable, Ordering::Relaxed);
        if self.bar.message() != "to the relay" {
            self.bar.set_message("to the relay");
            if let Ok(style) = ProgressStyle::with_template(
                "{msg:24} {wide_bar} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta}",
            ) {
                self.bar.set_style(style);
            }
            self.bar.reset();
        }
        self.bar.set_length(progress.bytes_container.max(1));
        self.bar.set_position(progress.bytes_sent);
    }

    fn event(&self, event: &str, fields: &serde_json::Value) {
        let elapsed_ms = elapsed_ms(self.started);
        if self.json {
            let mut line = serde_json::json!({ "event": event, "elapsed_ms": elapsed_ms });
            if let (Some(line), Some(fields)) = (line.as_object_mut(), fields.as_object()) {
                line.extend(fields.clone());
            }
            println!("{line}");
        } else {
            let text = match event {
                "spooled" => format!("{} instances are durable on this machine", fields["instances"]),
                "study_durable" => format!("{} instances are durable at the relay", fields["instances"]),
                _ => return,
            };
            self.say(&format!("{:>7.1} s  {text}", elapsed_ms as f64 / 1e3));
            if !self.bar.is_hidden() && event == "study_durable" {
                self.bar.finish_and_clear();
            }
        }
    }
}
