//! The program: arguments, logging, then the library.

use std::process::ExitCode;

use clap::Parser;
use tancho_relay::cli::{self, Cli};
use tancho_relay::logging;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::start(cli.log_format);
    match cli::run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tancho-relay: {error:#}");
            ExitCode::FAILURE
        }
    }
}
