//! From the agent to the relay over loopback QUIC: rate, bytes on the line, and the memory of both programs, for one
//! head scan and for several, since memory must not grow with what is sent.

use std::path::Path;

use anyhow::Context;
use serde_json::Value;
use tancho_e2e::hospital::{Network, NetworkPlan};
use tancho_e2e::program::run_command;

use crate::RUNS;
use crate::intake::Series;
use crate::table::{Table, median};

/// Memory that the programs promise to stay under, in MiB.
const AGENT_MIB_MAX: f64 = 96.0;
const RELAY_MIB_MAX: f64 = 256.0;

struct Transfer {
    seconds: f64,
    original: f64,
    sent: f64,
    agent_mib: f64,
    relay_mib: f64,
}

/// `tancho-agent send --wait`, from the file to durable at the relay.
pub fn measure(series: &Series, folder: &Path) -> anyhow::Result<Table> {
    let mut table = Table::new(
        "Agent to relay over loopback, from the file to durable at the relay",
        &[
            "input",
            "original MB",
            "sent MB",
            "seconds",
            "MB/s of original",
            "agent peak MiB",
            "relay peak MiB",
        ],
    );
    let one = series.folder.join("study-0");
    for (name, input) in [
        ("one of the head scans", one.as_path()),
        ("all of them", series.folder.as_path()),
    ] {
        let runs: anyhow::Result<Vec<Transfer>> = (0..RUNS)
            .map(|run| transfer(input, &folder.join(format!("line-{name}-{run}"))))
            .collect();
        let runs = runs?;
        let of = |value: fn(&Transfer) -> f64| median(runs.iter().map(value).collect());
        table.row(vec![
            name.to_owned(),
            format!("{:.1}", of(|run| run.original) / 1e6),
            format!("{:.1}", of(|run| run.sent) / 1e6),
            format!("{:.2}", of(|run| run.seconds)),
            format!("{:.0}", of(|run| run.original / run.seconds / 1e6)),
            format!("{:.0}", of(|run| run.agent_mib)),
            format!("{:.0}", of(|run| run.relay_mib)),
        ]);
    }
    table.note(&format!(
        "Peak memory is the kernel's VmHWM at the end of the run; the promise is under {AGENT_MIB_MAX:.0} MiB for the \
         agent and {RELAY_MIB_MAX:.0} MiB for the relay, whatever is sent."
    ));
    Ok(table)
}

fn transfer(input: &Path, folder: &Path) -> anyhow::Result<Transfer> {
    std::fs::create_dir_all(folder)?;
    let mut network = Network::start(NetworkPlan::in_folder(folder, 1))?;
    let mut command = network.nodes[0].command(&["send", "--wait", "--json"]);
    let printed = run_command(command.arg(input), None)?;
    let events = printed
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let durable = events
        .filter(|event| event["event"] == "study_durable")
        .collect::<Vec<_>>();
    let last = durable.last().context("send says when the study is durable")?;
    let total = |field: &str| {
        durable
            .iter()
            .filter_map(|event| event[field].as_f64())
            .sum::<f64>()
    };
    let memory = |program: Option<&mut tancho_e2e::program::Program>| {
        program
            .and_then(|program| program.peak_memory_kib())
            .map_or(f64::NAN, |kib| kib as f64 / 1024.0)
    };
    let measured = Transfer {
        seconds: last["elapsed_ms"].as_f64().context("elapsed_ms")? / 1e3,
        original: total("bytes_original"),
        sent: total("bytes_sent"),
        agent_mib: memory(network.nodes[0].program()),
        relay_mib: memory(network.relay.program()),
    };
    network.stop()?;
    std::fs::remove_dir_all(folder)?;
    Ok(measured)
}
