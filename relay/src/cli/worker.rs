//! `tancho-relay worker`: started by `serve`, never by a person.

use clap::Args;

use crate::decoding::worker;

/// Options of `worker`.
#[derive(Debug, Args)]
pub struct WorkerArgs {
    /// Address space, in bytes.
    #[arg(long)]
    memory_bytes_max: u64,
    /// Processor time of one frame, in seconds.
    #[arg(long)]
    cpu_seconds_max: u64,
}

/// Decodes frames from standard input to standard output until the input ends. Not for a thread of a runtime: what it
/// gives up is given up for the whole process.
pub fn run(args: &WorkerArgs) -> anyhow::Result<()> {
    Ok(worker::run(args.memory_bytes_max, args.cpu_seconds_max)?)
}
