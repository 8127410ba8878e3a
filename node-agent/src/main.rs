//! The program: arguments, logging, then the library.

use std::process::ExitCode;

use clap::Parser;
use tancho_agent::cli::{self, Cli};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.start_logging();
    match cli::run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tancho-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}
