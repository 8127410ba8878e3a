//! `tancho-agent status`

use anyhow::Context;
use clap::Args;
use serde_json::Value;

use super::Common;
use crate::control::Client;

/// Options of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    common: Common,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Asks the running agent.
pub fn run(args: &StatusArgs) -> anyhow::Result<()> {
    let config = args.common.load()?;
    let client = Client::connect(&config.data_dir).with_context(|| {
        format!(
            "no agent runs on data folder {}; start it with `tancho-agent serve`",
            config.data_dir.display()
        )
    })?;
    let status = client.status().context("the agent did not answer")?;
    if args.json {
        println!("{status}");
        return Ok(());
    }
    let number = |key: &str| status[key].as_u64().unwrap_or(0);
    let link = &status["link"];
    println!("line      {}", line(link));
    println!(
        "studies   {} ({} still open)",
        number("n_studies"),
        number("n_studies_open")
    );
    println!(
        "waiting   {} to be prepared, {} for the line ({:.1} MB)",
        number("n_waiting_coder"),
        number("n_waiting_line"),
        number("bytes_waiting_line") as f64 / 1e6,
    );
    println!(
        "at relay  {} instances, kept here until their retention ends",
        number("n_durable")
    );
    for (key, what) in [
        ("n_refused", "refused by the relay"),
        (
            "n_held",
            "held back: another patient under the same Study Instance UID",
        ),
        ("n_damaged", "damaged on this disk: send again from the modality"),
        ("n_quarantined", "in quarantine"),
        ("n_requests_pending", "reading requests waiting for the relay"),
    ] {
        if number(key) > 0 {
            println!("note      {} {what}", number(key));
        }
    }
    let reserve = number("disk_reserve_bytes") as f64 / 1e9;
    let alarm = if status["disk_full"] == true {
        format!(", FULL: nothing is taken from modalities while {reserve:.1} GB or less are free")
    } else if status["disk_low"] == true {
        format!(", getting low: at {reserve:.1} GB nothing more is taken from modalities")
    } else {
        String::new()
    };
    println!(
        "disk      {:.1} GB free{alarm}",
        number("disk_free_bytes") as f64 / 1e9
    );
    Ok(())
}

fn line(link: &Value) -> String {
    let rate = link["bytes_per_second"].as_u64().unwrap_or(0) as f64 / 1e6;
    match link["state"].as_str().unwrap_or_default() {
        "connected" => format!(
            "connected by {}, {rate:.2} MB/s",
            link["transport"].as_str().unwrap_or_default()
        ),
        "offline" => format!("offline ({})", link["code"].as_str().unwrap_or_default()),
        "not_enrolled" => "not enrolled: run `tancho-agent enroll`".to_owned(),
        other => other.to_owned(),
    }
}
