//! Loads and listens on a line for the figures of the congestion controller: `tancho-line-probe`.
//!
//! `far` receives QUIC and TCP at one end, `send` and `send-tcp` fill the line from the other. `talk` is a telephone
//! call or a slow ping beside them, answered by `echo`. Everything is printed as JSON; both ends share one clock.

mod bulk;
mod call;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Parser, Subcommand, ValueEnum};

/// Load a line and measure it, one JSON object a line.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Receive whatever is sent by QUIC and TCP, and print how much came, many times a second.
    Far {
        /// Address for both.
        #[arg(long)]
        listen: SocketAddr,
        /// Where to write the certificate that `send` trusts.
        #[arg(long)]
        certificate: PathBuf,
    },
    /// Send by QUIC as fast as the controller lets.
    Send {
        /// Address of `far`.
        #[arg(long)]
        to: SocketAddr,
        /// What `far` wrote.
        #[arg(long)]
        certificate: PathBuf,
        /// Who decides how much is in flight.
        #[arg(long, value_enum)]
        controller: ControllerName,
        /// For how long.
        #[arg(long)]
        seconds: f64,
        /// Start on a remembered path: its bytes a second, and its round trip in microseconds.
        #[arg(long, num_args = 2)]
        remembered: Option<Vec<u64>>,
    },
    /// Send by TCP, with the congestion control that the kernel is set to.
    SendTcp {
        /// Address of `far`.
        #[arg(long)]
        to: SocketAddr,
        /// For how long.
        #[arg(long)]
        seconds: f64,
    },
    /// Send each packet of `talk` back.
    Echo {
        /// Address.
        #[arg(long)]
        listen: SocketAddr,
    },
    /// Send small packets at a steady pace, and print what became of them.
    Talk {
        /// Address of `echo`.
        #[arg(long)]
        to: SocketAddr,
        /// From one packet to the next.
        #[arg(long)]
        interval_ms: u64,
        /// Of each packet, with its IP and UDP headers.
        #[arg(long)]
        bytes: usize,
        /// For how long.
        #[arg(long)]
        seconds: f64,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum ControllerName {
    /// The product's own.
    Tancho,
    /// quinn's.
    Cubic,
    /// quinn's, version 1 of BBR.
    Bbr,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Far { listen, certificate } => bulk::receive(listen, &certificate),
        Command::Send {
            to,
            certificate,
            controller,
            seconds,
            remembered,
        } => {
            let certificate = std::fs::read(certificate)?;
            bulk::send(to, certificate, bulk::factory(controller, remembered), seconds)
        }
        Command::SendTcp { to, seconds } => bulk::send_tcp(to, seconds),
        Command::Echo { listen } => call::echo(listen),
        Command::Talk {
            to,
            interval_ms,
            bytes,
            seconds,
        } => call::talk(to, interval_ms, bytes, seconds),
    }
}

fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
