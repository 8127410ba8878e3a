//! The program: arguments, logging, then the library.

use std::process::ExitCode;

use clap::Parser;
use tancho_relay::cli::{self, Cli, Command};
use tancho_relay::logging;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match cli.command {
        // Before there is a second thread: a worker gives up its rights for the whole process.
        Command::Worker(args) => cli::worker::run(&args),
        _ => run(cli),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tancho-relay: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(cli: Cli) -> anyhow::Result<()> {
    logging::start(cli.log_format);
    cli::run(cli).await
}
