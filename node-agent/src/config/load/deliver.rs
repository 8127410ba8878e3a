//! `[[deliver]]`: destinations of received objects, from what was typed to what it means.

use std::time::Duration;

use serde::Deserialize;
use tancho_domain::dicom::AeTitle;

use super::{TypedDimse, is_host_and_port, take_section};
use crate::config::{AllowedCaller, DimseConfig};
use crate::deliver::{Destination, PromiseRule, Retry, Rule};
use crate::dimse::requestor::Callee;

/// Most destinations; each has a worker of its own.
const DESTINATIONS_MAX: usize = 16;
/// Longest name.
const NAME_CHARS_MAX: usize = 32;

/// How long a peer may take to connect, and for each answer.
const CALL_PATIENCE: Duration = Duration::from_secs(60);
/// How long the site's PACS may take to commit before a modality that asked gets a failure.
const PROMISE_PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// What was typed for one destination.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TypedDestination {
    name: Option<String>,
    ae_title: Option<String>,
    address: Option<String>,
    calling_ae_title: Option<String>,
    from: Option<Vec<String>>,
    to: Option<Vec<String>>,
    modalities: Option<Vec<String>>,
    storage_commitment: Option<bool>,
    commitment_timeout_ms: Option<u64>,
    timeout_ms: Option<u64>,
    retry_min_ms: Option<u64>,
    retry_max_ms: Option<u64>,
    tries_max: Option<u32>,
}

/// The tables under `deliver`; every unknown key and wrong type is named.
pub(super) fn take(value: toml::Value, problems: &mut Vec<String>) -> Vec<TypedDestination> {
    let toml::Value::Array(tables) = value else {
        problems.push("deliver: tables expected, each begun with [[deliver]]".to_owned());
        return Vec::new();
    };
    let tables = tables.into_iter();
    tables
        .map(|table| take_section("deliver", table, problems))
        .collect()
}

/// Checks all destinations.
pub(super) fn resolve(
    typed: &[TypedDestination],
    dimse: Option<&DimseConfig>,
    problems: &mut Vec<String>,
) -> Vec<Destination> {
    if typed.len() > DESTINATIONS_MAX {
        problems.push(format!(
            "deliver: at most {DESTINATIONS_MAX} destinations expected"
        ));
    }
    let mut destinations: Vec<Destination> = Vec::new();
    for one in typed {
        let Some(destination) = resolve_one(one, dimse, problems) else {
            continue;
        };
        if destinations.iter().any(|other| other.name == destination.name) {
            problems.push(format!("deliver.name: \"{}\" is there twice", destination.name));
        }
        destinations.push(destination);
    }
    destinations
}

fn resolve_one(
    typed: &TypedDestination,
    dimse: Option<&DimseConfig>,
    problems: &mut Vec<String>,
) -> Option<Destination> {
    let name = typed.name.clone().unwrap_or_default();
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.chars().all(is_name) {
        problems.push(format!(
            "deliver.name: 1 to {NAME_CHARS_MAX} letters, digits, - or _ expected, found \"{name}\""
        ));
    }
    let address = typed.address.clone().unwrap_or_default();
    if !is_host_and_port(&address) {
        problems.push(format!(
            "deliver.address: host:port expected, found \"{address}\""
        ));
    }
    let mut title = |key: &str, text: &str| {
        let parsed = AeTitle::parse(text);
        parsed
            .map_err(|error| problems.push(format!("deliver.{key}: {error}, found \"{text}\"")))
            .ok()
    };
    let ae_title = title("ae_title", typed.ae_title.as_deref().unwrap_or_default());
    let calling_ae = match &typed.calling_ae_title {
        Some(text) => title("calling_ae_title", text),
        None => dimse.map(|dimse| dimse.ae_title.clone()),
    };
    let mut titles = |key: &str, list: &Option<Vec<String>>| -> Option<Vec<AeTitle>> {
        let list = list.as_ref()?;
        Some(list.iter().filter_map(|text| title(key, text)).collect())
    };
    let rule = Rule {
        calling_ae: titles("from", &typed.from),
        called_ae: titles("to", &typed.to),
        modalities: typed.modalities.clone(),
    };
    let defaults = Retry::default();
    let ms = |value: Option<u64>, default: Duration| value.map_or(default, Duration::from_millis);
    let retry = Retry {
        min: ms(typed.retry_min_ms, defaults.min),
        max: ms(typed.retry_max_ms, defaults.max),
        tries_max: typed.tries_max.unwrap_or(defaults.tries_max),
    };
    let patience = ms(typed.timeout_ms, CALL_PATIENCE);
    if retry.min.is_zero() || retry.min > retry.max {
        problems.push("deliver.retry_min_ms: more than 0 and no more than retry_max_ms expected".to_owned());
    }
    for (key, zero) in [
        ("tries_max", retry.tries_max == 0),
        ("timeout_ms", patience.is_zero()),
    ] {
        if zero {
            problems.push(format!("deliver.{key}: more than 0 expected"));
        }
    }
    let (ae_title, calling_ae) = (ae_title?, calling_ae?);
    if typed.storage_commitment == Some(true)
        && let Some(dimse) = dimse
    {
        check_reports(dimse, &ae_title, &calling_ae, problems);
    }
    Some(Destination {
        name,
        callee: Callee {
            address,
            ae_title,
            calling_ae,
            patience,
        },
        rule,
        storage_commitment: typed.storage_commitment.unwrap_or(false),
        commitment_timeout: ms(typed.commitment_timeout_ms, Duration::from_secs(3600)),
        retry,
    })
}

/// A report of storage commitment comes to our port, to the title that asked, so both must be open for it.
fn check_reports(dimse: &DimseConfig, ae_title: &AeTitle, calling_ae: &AeTitle, problems: &mut Vec<String>) {
    if *calling_ae != dimse.ae_title {
        problems.push(
            "deliver.calling_ae_title: dimse.ae_title expected, because storage_commitment is reported to it"
                .to_owned(),
        );
    }
    let is_allowed = |list: &Vec<AllowedCaller>| list.iter().any(|caller| caller.ae_title == *ae_title);
    if !dimse.allow.as_ref().is_none_or(is_allowed) {
        problems.push(format!(
            "dimse.allow: \"{ae_title}\" expected in the list, because storage_commitment is reported by it"
        ));
    }
}

/// `dimse.storage_commitment` with what it needs.
pub(super) fn resolve_promises(
    typed: &TypedDimse,
    dimse: &DimseConfig,
    destinations: &[Destination],
    problems: &mut Vec<String>,
) -> Option<PromiseRule> {
    let patience = typed
        .commitment_patience_ms
        .map_or(PROMISE_PATIENCE, Duration::from_millis);
    let listed = typed.commitment_callers.as_deref().unwrap_or_default();
    match typed.storage_commitment.as_deref().unwrap_or("off") {
        "off" => {
            return Some(PromiseRule {
                callers: Vec::new(),
                patience,
            });
        }
        "after_site_pacs" => {}
        other => {
            problems.push(format!(
                "dimse.storage_commitment: off or after_site_pacs expected, found \"{other}\""
            ));
            return None;
        }
    }
    if !destinations.iter().any(|one| one.storage_commitment) {
        problems.push(
            "dimse.storage_commitment: a [[deliver]] with storage_commitment = true expected, because only what it \
             commits is answered"
                .to_owned(),
        );
    }
    if listed.is_empty() {
        problems.push(
            "dimse.commitment_callers: list such as [\"CT1@192.0.2.7:104\"] expected, because \
             dimse.storage_commitment is on"
                .to_owned(),
        );
    }
    Some(PromiseRule {
        callers: callees("dimse.commitment_callers", listed, &dimse.ae_title, problems),
        patience,
    })
}

/// A list of `TITLE@HOST:PORT`, called with our title.
pub(super) fn callees(
    key: &str,
    entries: &[String],
    calling_ae: &AeTitle,
    problems: &mut Vec<String>,
) -> Vec<Callee> {
    let found = entries
        .iter()
        .filter_map(|entry| callee(key, entry, calling_ae, problems));
    found.collect()
}

fn callee(key: &str, entry: &str, calling_ae: &AeTitle, problems: &mut Vec<String>) -> Option<Callee> {
    let parsed = entry
        .split_once('@')
        .filter(|(_, address)| is_host_and_port(address))
        .and_then(|(title, address)| Some((AeTitle::parse(title).ok()?, address)));
    let Some((ae_title, address)) = parsed else {
        problems.push(format!("{key}: TITLE@HOST:PORT expected, found \"{entry}\""));
        return None;
    };
    Some(Callee {
        address: address.to_owned(),
        ae_title,
        calling_ae: calling_ae.clone(),
        patience: CALL_PATIENCE,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> (Vec<Destination>, Vec<String>) {
        let table: toml::Table = text.parse().unwrap();
        let mut problems = Vec::new();
        let typed = take(table["deliver"].clone(), &mut problems);
        if !problems.is_empty() {
            // As the whole file: what it means is looked at when it is well written.
            return (Vec::new(), problems);
        }
        let found = resolve(&typed, None, &mut problems);
        (found, problems)
    }

    #[test]
    fn a_destination_needs_a_name_a_title_and_an_address() {
        let (_, found) = problems("[[deliver]]\n");
        assert_eq!(found.len(), 3, "{found:?}");
        let whole = "[[deliver]]\nname = \"pacs\"\nae_title = \"PACS\"\naddress = \"192.0.2.9:104\"\n\
                     calling_ae_title = \"TANCHO\"\nfrom = [\"CT1\"]\nmodalities = [\"CT\"]\n";
        let (destinations, found) = problems(whole);
        assert_eq!(found, Vec::<String>::new());
        assert_eq!(destinations[0].callee.ae_title.as_str(), "PACS");
        assert_eq!(destinations[0].rule.calling_ae.as_ref().unwrap().len(), 1);
        let (_, found) = problems(&whole.repeat(2));
        assert_eq!(found.len(), 1, "{found:?}");
        for wrong in [
            "timeout_ms = 0",
            "retry_min_ms = 0",
            "tries_max = 0",
            "from = [\"A\\\\B\"]",
            "xyz = 1",
        ] {
            let text = whole.replace("from = [\"CT1\"]\n", "") + wrong;
            assert_eq!(problems(&text).1.len(), 1, "{wrong}");
        }
    }
}
