//! Logs: structured, to stderr. A panic is logged by its place, not by its text, which may carry anything.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Filter when `RUST_LOG` is not set. The PDU library logs what peers sent, so it is kept to errors.
const FILTER_DEFAULT: &str = "info,dicom_ul=error";

/// Sets up logging for the whole process; `quiet` keeps a command that draws on the terminal readable.
pub fn start(format: LogFormat, quiet: bool) {
    let default = if quiet {
        "warn,dicom_ul=error"
    } else {
        FILTER_DEFAULT
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second start in one process (tests) changes nothing.
    let _ = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic");
    }));
}
