//! The command line, one file per command. `--json` prints JSON on stdout; everything else goes to stderr.

mod config;
mod enroll;
mod import;
mod send;
mod serve;
mod status;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::Config;
use crate::logging::{self, LogFormat};

/// The node agent of Tancho: takes studies from modalities by DICOM C-STORE, keeps them durably on this machine,
/// and brings them to the relay as fast as the line allows.
#[derive(Debug, Parser)]
#[command(name = "tancho-agent", version)]
pub struct Cli {
    /// How log lines look; they go to stderr.
    #[arg(long, value_enum, global = true, default_value = "text")]
    log_format: LogFormat,
    /// What to do.
    #[command(subcommand)]
    command: Command,
}

/// Exit code after SIGINT or SIGTERM, as shells give it for SIGINT.
pub const INTERRUPTED_EXIT_CODE: i32 = 130;

/// A command was interrupted by SIGINT or SIGTERM; the text says what was done by then.
#[derive(Debug, thiserror::Error)]
#[error("interrupted: {0}")]
pub struct Interrupted(String);

/// What to do.
#[derive(Debug, Subcommand)]
enum Command {
    /// Make this agent a node of a site, with the one-time code its relay printed.
    Enroll(enroll::EnrollArgs),
    /// Run the agent: the DICOM port, the line to the relay, the technologist's page.
    Serve(Common),
    /// Send files or folders of DICOM to the relay, through the running agent or without one.
    Send(send::SendArgs),
    /// Show what the running agent holds, sends and waits for.
    Status(status::StatusArgs),
    /// Print the DICOM conformance statement.
    Conformance,
    /// The configuration.
    #[command(subcommand)]
    Config(config::ConfigCommand),
}

/// Where configuration and data are.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// Configuration file; environment variables TANCHO_SECTION__KEY win over it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of key, spool and index; wins over file and environment.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Common {
    /// Reads file and environment; every problem at once.
    fn load(&self) -> anyhow::Result<Config> {
        Ok(crate::config::load(
            self.config.as_deref(),
            std::env::vars(),
            self.data_dir.as_deref(),
        )?)
    }
}

impl Cli {
    /// Sets up logging: quiet for commands that draw on the terminal.
    pub fn start_logging(&self) {
        logging::start(self.log_format, !matches!(self.command, Command::Serve(_)));
    }
}

/// Runs one command to its end.
pub async fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Enroll(args) => enroll::run(args).await,
        Command::Serve(common) => serve::run(&common).await,
        Command::Send(args) => send::run(args).await,
        Command::Status(args) => status::run(&args),
        Command::Conformance => {
            let defaults = crate::config::load(None, [], None)?;
            print!("{}", crate::statement::statement(&defaults));
            Ok(())
        }
        Command::Config(command) => config::run(&command),
    }
}
