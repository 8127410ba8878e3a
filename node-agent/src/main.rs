//! The program: arguments, logging, then the library.

use std::process::ExitCode;

use clap::Parser;
use tancho_agent::cli::{self, Cli, Interrupted};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.start_logging();
    match cli::run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tancho-agent: {error:#}");
            if error.is::<Interrupted>() {
                // At once: a thread may still wait for the other end.
                std::process::exit(cli::INTERRUPTED_EXIT_CODE);
            }
            ExitCode::FAILURE
        }
    }
}
