//! A program of ours or of a peer as a child process: started, asked to stop, killed, and never left behind.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use std::{env, io, thread};

use anyhow::{Context, bail};

use crate::wait;

/// How long a program may take to finish after it was asked to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(20);
/// How much of a log a failing test shows.
const SHOWN_LOG_LINES: usize = 60;

/// The folder of the built programs, found from where this one runs.
///
/// # Panics
/// When this program was started from outside a cargo target folder.
pub fn built_programs() -> PathBuf {
    let own = env::current_exe().expect("the running program has a path");
    let folder = own.parent().expect("the running program is in a folder");
    let folder = if folder.ends_with("deps") {
        folder.parent().unwrap_or(folder)
    } else {
        folder
    };
    folder.to_owned()
}

/// A program of this workspace.
///
/// # Panics
/// When it is not built: run `cargo build --workspace --bins`.
pub fn built_program(name: &str) -> PathBuf {
    let path = built_programs().join(name);
    assert!(
        path.is_file(),
        "{} is not built: run `cargo build --workspace --bins`",
        path.display()
    );
    path
}

/// The Python of the foreign peers, which `tests/setup` makes.
///
/// # Panics
/// When it was not made.
pub fn peers_python() -> PathBuf {
    test_tool("venv/bin/python")
}

/// The folder of the OHIF viewer, which `tests/setup` gets.
///
/// # Panics
/// When it is not there.
pub fn ohif_dir() -> PathBuf {
    test_tool("ohif/dist")
}

fn test_tool(name: &str) -> PathBuf {
    let target = built_programs();
    let target = target
        .parent()
        .expect("profile folders are inside the target folder");
    let tool = target.join("test-tools").join(name);
    assert!(tool.exists(), "{} is missing: run `make setup`", tool.display());
    tool
}

/// A script beside this file's folder `peers`.
pub fn peer_script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("harness/peers")
        .join(name)
}

/// A running child whose output goes to a file.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts `command` with its output appended to `log`.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let output = File::options().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        })
    }

    /// Like [`Self::start`], in a process group of its own, so that Ctrl-C reaches the caller alone.
    pub fn start_apart(name: &str, command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        Self::start(name, command.process_group(0), log)
    }

    /// As given when it was started.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Waits until `ready` says so.
    ///
    /// # Errors
    /// When the program ends before that, or [`wait::PATIENCE`] is over; the end of its log is in the message.
    pub fn wait_ready(&mut self, mut ready: impl FnMut() -> bool) -> anyhow::Result<()> {
        let mut ended = None;
        wait::within(wait::PATIENCE, "ready", || {
            ended = self.child.try_wait().ok().flatten();
            (ended.is_some() || ready()).then_some(())
        })
        .with_context(|| format!("{} did not become ready:\n{}", self.name, self.log_end()))?;
        match ended {
            Some(status) => bail!("{} ended with {status}:\n{}", self.name, self.log_end()),
            None => Ok(()),
        }
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills it as a power cut would: no handler runs.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop and waits; kills it when it does not.
    ///
    /// # Errors
    /// When it had to be killed.
    pub fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()?;
        let ended = wait::within(STOP_PATIENCE, "the end", || self.child.try_wait().ok().flatten());
        match ended {
            Some(status) => Ok(status),
            None => {
                self.kill();
                bail!(
                    "{} did not stop within {} s and was killed",
                    self.name,
                    STOP_PATIENCE.as_secs()
                )
            }
        }
    }

    /// Peak resident memory so far in KiB, from the kernel's count (`VmHWM`); none after its end.
    pub fn peak_memory_kib(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().trim_end_matches(" kB").trim().parse().ok()
    }

    /// The last lines it printed.
    pub fn log_end(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(SHOWN_LOG_LINES)..].join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!(
                "--- the end of what {} printed ---\n{}\n---",
                self.name,
                self.log_end()
            );
        }
        self.kill();
    }
}

/// Runs a command to its end and gives its standard output.
///
/// # Errors
/// When it fails; the message carries what it printed.
pub fn run<S: AsRef<OsStr>>(program: &Path, arguments: &[S], input: Option<&str>) -> anyhow::Result<String> {
    let mut command = Command::new(program);
    command.args(arguments);
    run_command(&mut command, input)
}

/// Runs a prepared command to its end and gives its standard output.
///
/// # Errors
/// When it fails; the message carries what it printed.
pub fn run_command(command: &mut Command, input: Option<&str>) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(if input.is_some() {
        Stdio::piped()
    } else {
        Stdio::null()
    });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("starting {name}"))?;
    if let (Some(text), Some(mut pipe)) = (input, child.stdin.take()) {
        io::Write::write_all(&mut pipe, text.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!(
            "{name} ended with {}{}:\n{}{}",
            output.status,
            output
                .status
                .signal()
                .map(|n| format!(" (signal {n})"))
                .unwrap_or_default(),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
