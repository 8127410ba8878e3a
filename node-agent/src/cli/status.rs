//! `tancho-agent status`

use anyhow::Context;
use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
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
    for one in status["deliveries"].as_array().into_iter().flatten() {
        println!("deliver   {}", delivery(one));
    }
    if let Some(n_open) = status["promises"]["n_open"].as_u64().filter(|n| *n > 0) {
        let why = status["promises"]["code"].as_str();
        let why = why.map_or_else(
            || "the PACS has not committed everything yet".to_owned(),
            delivery_cause,
        );
        println!("note      {n_open} requests for storage commitment wait for an answer: {why}");
    }
    for trouble in status["troubles"].as_array().into_iter().flatten() {
        if let Some(said) = words(trouble) {
            println!("{:<9} {said}", text(trouble, "level"));
        }
    }
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
    for card in status["conformance"].as_array().into_iter().flatten() {
        for fault in card["faults"].as_array().into_iter().flatten() {
            println!("modality  {}", modality(card, fault));
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

/// What a modality gets wrong, and what to ask of its vendor.
fn modality(card: &Value, fault: &Value) -> String {
    let kind = if fault["is_of_series"] == true {
        "series"
    } else {
        "images"
    };
    format!(
        "{}: {} ({} of {} {kind}, last {}). {}",
        text(card, "calling_ae"),
        text(&fault["what"], "en"),
        fault["n"],
        fault["of"],
        time(fault, "last_at_ms"),
        text(&fault["fix"], "en"),
    )
}

fn delivery(one: &Value) -> String {
    let number = |key: &str| one[key].as_u64().unwrap_or(0);
    let mut said = format!(
        "{} ({}, {}): {} waiting, {} delivered",
        text(one, "name"),
        text(one, "ae_title"),
        text(one, "address"),
        number("n_waiting"),
        number("n_delivered"),
    );
    if one["storage_commitment"] == true {
        said += &format!(", of these {} committed", number("n_committed"));
    }
    for (key, what) in [
        ("n_not_committed", "not committed"),
        ("n_failed", "given up"),
        ("n_gone", "deleted before they could be delivered"),
        (
            "n_withheld",
            "not delivered, because the same UID was with other bytes",
        ),
    ] {
        if number(key) > 0 {
            said += &format!(", {} {what}", number(key));
        }
    }
    if let Some(code) = one["last_error"]["code"].as_str() {
        let at = time(&one["last_error"], "at_ms");
        said += &format!("; last failure {at}: {}", delivery_cause(code));
    }
    if !one["next_try_at_ms"].is_null() {
        said += &format!("; next try {}", time(one, "next_try_at_ms"));
    }
    said
}

/// What a delivery's code means to the person at this computer.
fn delivery_cause(code: &str) -> String {
    let known = match code {
        "peer_name_unknown" => "the destination's name is not found, check DNS and `deliver.address`",
        "peer_unreachable" => "nobody answers at the destination, check that it runs and its address",
        "peer_timeout" => "the destination does not answer in time",
        "peer_rejects_called_ae" => "the destination does not know its title, check `deliver.ae_title`",
        "peer_rejects_calling_ae" => "the destination does not know us, have our title added there",
        "peer_busy" => "the destination has no room for another connection",
        "peer_rejects" => "the destination rejects the connection",
        "peer_aborts" | "peer_closes" => "the destination ended the connection, look at its log",
        "peer_violates_protocol" => "the destination answers in a way the standard does not know",
        "peer_out_of_resources" => "the destination is full or too busy to store",
        "peer_refuses_sop_class" => "the destination does not take this kind of object",
        "peer_refuses_transfer_syntax" => {
            "the destination does not take the compression of the object, and it is not decoded here"
        }
        "peer_refuses_us" => "the destination does not let us store",
        "peer_data_set_mismatch" | "peer_cannot_understand" => "the destination cannot use the object",
        "not_convertible" => "the object cannot be written in the encoding the destination takes",
        "held_for_patient" => "another patient under the same study: look at the technologist's page",
        "deleted_before_delivery" => "it was deleted here before the destination took it: send it again",
        "damaged_in_spool" | "unreadable_in_spool" => "the disk here failed: send it again from the modality",
        "same_uid_other_bytes" => {
            "the same UID is at the destination or on its way with other bytes: see which one is right"
        }
        "commitment_refused" | "commitment_failed" => {
            "the destination does not commit to storage, look at its log"
        }
        "commitment_unsupported" => {
            "the destination has no storage commitment, see `deliver.storage_commitment`"
        }
        "commitment_late" => {
            "no storage commitment came, check that the destination can connect to this node"
        }
        "commitment_incomplete" => "the storage commitment does not name the object",
        "commitment_no_such_instance" => "the destination says it does not have the object",
        "queue_unreadable" => "the delivery queue on this disk cannot be read",
        "queue_unwritable" => {
            "the delivery queue on this disk cannot be written, so nothing more is delivered"
        }
        _ => return code.to_owned(),
    };
    format!("{known} ({code})")
}

fn line(link: &Value) -> String {
    let rate = link["bytes_per_second"].as_u64().unwrap_or(0) as f64 / 1e6;
    match link["state"].as_str().unwrap_or_default() {
        "connected" => {
            let mut said = format!(
                "connected by {} since {}, {rate:.2} MB/s",
                text(link, "transport"),
                time(link, "since_ms")
            );
            if let Some(rtt_ms) = link["rtt_ms"].as_f64() {
                said += &format!(", round trip {rtt_ms:.0} ms");
            }
            if let Some(loss) = link["loss"].as_f64() {
                said += &format!(", {:.1} % lost", loss * 100.0);
            }
            said
        }
        "offline" => format!(
            "offline since {} ({})",
            time(link, "since_ms"),
            text(link, "code")
        ),
        "not_enrolled" => "not enrolled: run `tancho-agent enroll`".to_owned(),
        other => other.to_owned(),
    }
}

fn text<'a>(of: &'a Value, key: &str) -> &'a str {
    of[key].as_str().unwrap_or("unknown")
}

/// An instant in this computer's time zone.
fn time(of: &Value, key: &str) -> String {
    let at = of[key].as_i64().map(Timestamp::from_millisecond);
    let Some(Ok(at)) = at else {
        return "unknown".to_owned();
    };
    at.to_zoned(TimeZone::system()).strftime("%F %T").to_string()
}

fn megabytes(of: &Value, key: &str) -> f64 {
    of[key].as_u64().unwrap_or(0) as f64 / 1e6
}

/// What is wrong and what to do about it; `None` for what the other lines say already.
fn words(trouble: &Value) -> Option<String> {
    let said = match trouble["code"].as_str()? {
        "relay_unreachable" => format!(
            "no connection to the relay since {}: {}; images are kept here, next attempt {}",
            time(trouble, "since_ms"),
            cause(text(trouble, "reason")),
            time(trouble, "next_attempt_at_ms"),
        ),
        "certificate_ends" => format!(
            "the node's certificate ends {} and was not renewed: it is renewed over the line by itself, so look why the line is down or the relay refuses",
            time(trouble, "ends_at_ms")
        ),
        "certificate_ended" => format!(
            "the node's certificate ended {}: enrol this node again with a new code",
            time(trouble, "ended_at_ms")
        ),
        "disk_unknown" => "the disk does not say how full it is: look at it now".to_owned(),
        "udp_blocked" => format!(
            "UDP does not get through since {}, so the line runs over TCP and is slower: let UDP out to {} in the firewall",
            time(trouble, "since_ms"),
            text(trouble, "relay_address"),
        ),
        "clock_off" => format!(
            "this computer's clock is {} s {} the relay's: set the time",
            trouble["offset_ms"].as_i64().unwrap_or(0).unsigned_abs() / 1_000,
            if trouble["offset_ms"].as_i64() > Some(0) {
                "behind"
            } else {
                "ahead of"
            },
        ),
        "heavy_loss" => format!(
            "the line loses {:.0} % of its packets: check cables, Wi-Fi and router, then ask the line's provider",
            trouble["loss"].as_f64().unwrap_or(0.0) * 100.0
        ),
        "relay_defers" => format!(
            "the relay takes nothing for now ({}): tell its administrator; images are kept here and sent later",
            text(trouble, "reason")
        ),
        "delivery_failing" => format!(
            "{} takes nothing since {}: {}; {} objects wait for it",
            text(trouble, "destination"),
            time(trouble, "since_ms"),
            delivery_cause(text(trouble, "reason")),
            trouble["n_objects"],
        ),
        "delivery_lost" => format!(
            "{} objects are not at {}: {}; put it right, then have them tried again on the technologist's page",
            trouble["n_objects"],
            text(trouble, "destination"),
            delivery_cause(text(trouble, "reason")),
        ),
        "waiting" => format!(
            "{} images ({:.1} MB) wait to be sent, the oldest since {}: {}",
            trouble["n_objects"],
            megabytes(trouble, "bytes"),
            time(trouble, "oldest_at_ms"),
            match text(trouble, "reason") {
                "offline" => "they wait for the line".to_owned(),
                "hours" => format!("routine work may go from {}", time(trouble, "until_ms")),
                "relay" => "the relay takes nothing for now".to_owned(),
                "cap" => format!(
                    "the site allows {:.2} MB/s",
                    megabytes(trouble, "cap_bytes_per_s")
                ),
                _ => "they are sent in turn, the urgent first".to_owned(),
            }
        ),
        _ => return None,
    };
    Some(said)
}

/// What a code of the line's state means to the person at this computer.
fn cause(code: &str) -> String {
    let known = match code {
        "unreachable" | "timeout" | "line_failed" | "closed" => "it does not answer, check line and router",
        "name_unknown" => "its name is not found, check DNS and `relay.address`",
        "no_network" => "this computer has no network",
        "clock_wrong" => "this computer's clock is wrong, set the time",
        "certificate_expired" => "the node's certificate has ended, enrol again",
        "relay_not_trusted" => "the other end is not our relay, nothing was sent",
        _ => return code.to_owned(),
    };
    format!("{known} ({code})")
}
