//! The command line, one file per noun. `--json` prints one JSON value on stdout; everything else goes to stderr.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};

use crate::config::Config;
use crate::control::{self, ListRequest, Request};
use crate::logging::LogFormat;

mod table;
pub mod serve;
pub mod site;
pub mod user;
pub mod node;
pub mod token;
pub mod config;
pub mod audit;
pub mod export;
pub mod blobs;
pub mod migrate;
pub mod worker;

/// The relay of Tancho: takes studies from node agents, serves readers and referring physicians.
#[derive(Debug, Parser)]
#[command(name = "tancho-relay", version)]
pub struct Cli {
    /// How log lines look.
    #[arg(long, value_enum, global = true, default_value = "text")]
    pub log_format: LogFormat,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the relay.
    Serve(serve::ServeArgs),
    /// Hospitals and reading centres.
    #[command(subcommand)]
    Site(site::SiteCommand),
    /// Agents at the sites.
    #[command(subcommand)]
    Node(node::NodeCommand),
    /// People with a login.
    #[command(subcommand)]
    User(user::UserCommand),
    /// Bearer tokens for the HTTP API.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// The configuration.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// The audit trail.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Write an instance back into a file, proved against its digest.
    ///
    /// DICOM programs open the form `dicom`. The form `original` is the bare data set, byte for byte as it was sent,
    /// for comparing digests: without preamble and file meta information most programs show it empty or refuse it.
    Export(export::ExportArgs),
    /// Instance containers at rest.
    #[command(subcommand)]
    Blobs(blobs::BlobsCommand),
    /// Bring the store up to this version while no relay runs.
    Migrate(Common),
    /// Print the OpenAPI document of the HTTP API.
    Openapi,
    /// Decode frames for a relay that runs; started by `serve`.
    #[command(hide = true)]
    Worker(worker::WorkerArgs),
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Configuration file.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Data folder; wins over the file.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Print one JSON value.
    #[arg(long)]
    pub json: bool,
    /// Network; made on first use.
    #[arg(long, default_value = crate::NETWORK_DEFAULT)]
    pub network: String,
}

impl Common {
    /// Reads file and environment; every problem at once.
    pub fn load_config(&self) -> anyhow::Result<Config> {
        Config::load(self.config.as_deref(), std::env::vars(), self.data_dir.as_deref()).map_err(Into::into)
    }

    /// Prints a reply: the whole JSON, or one field of it after a label.
    pub fn print(&self, value: &serde_json::Value, sentence: &str) -> anyhow::Result<()> {
        if self.json {
            println!("{}", serde_json::to_string(value).context("printing the reply")?);
        } else {
            println!("{sentence}");
        }
        Ok(())
    }

    /// Asks for a list of this network and prints it.
    async fn print_list(
        &self,
        request: impl FnOnce(ListRequest) -> Request,
        columns: &[table::Column],
    ) -> anyhow::Result<()> {
        let network = self.network.clone();
        let reply = control::ask(self, request(ListRequest { network })).await?;
        self.print(&reply.value, &table::table(&reply.value, columns))
    }
}

/// Runs one command to its end.
pub async fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Serve(args) => serve::run(&args).await,
        Command::Site(command) => site::run(command).await,
        Command::Node(command) => node::run(command).await,
        Command::User(command) => user::run(command).await,
        Command::Token(command) => token::run(command).await,
        Command::Config(command) => config::run(&command),
        Command::Audit(command) => audit::run(command).await,
        Command::Export(args) => export::run(args).await,
        Command::Blobs(command) => blobs::run(command).await,
        Command::Migrate(common) => migrate::run(&common).await,
        Command::Worker(args) => worker::run(&args),
        Command::Openapi => {
            println!(
                "{}",
                serde_json::to_string_pretty(&crate::http::openapi::document())?
            );
            Ok(())
        }
    }
}
