//! From text to a checked configuration: what was typed first, then what it means.

mod deliver;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tancho_domain::dicom::AeTitle;
use tancho_wire::limits::RATE_CAP_BYTES_PER_S_MIN;
use tancho_wire::transfer::SenderConfig;

use super::{
    AllowedCaller, AutomaticRequests, Config, DimseConfig, LineConfig, PageConfig, RelayConfig, RequestRule,
    SpoolConfig,
};
use crate::dimse::DimseLimits;
use crate::dimse::negotiation::stat_title;
use crate::spool::SpoolOptions;
use crate::uplink::RoutineHours;
use deliver::TypedDestination;

/// Environment variables that begin so and hold two underscores in the middle override the file.
const ENVIRONMENT_PREFIX: &str = "TANCHO_";
/// Sections another program on the same machine reads from the same environment.
const RELAY_SECTIONS: [&str; 5] = ["http", "quic", "nodes", "smtp", "notifications"];

/// Everything that is wrong with a configuration.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// One sentence per problem.
    pub problems: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "configuration has {} problem(s):", self.problems.len())?;
        self.problems
            .iter()
            .try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for ConfigError {}

/// What was typed. Every key is optional; `deploy/agent.toml` shows them all.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Typed {
    data_dir: Option<PathBuf>,
    dimse: TypedDimse,
    page: TypedPage,
    relay: TypedRelay,
    line: TypedLine,
    spool: TypedSpool,
    requests: TypedRequests,
    deliver: Vec<TypedDestination>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TypedDimse {
    listen: Option<String>,
    ae_title: Option<String>,
    allow: Option<Vec<String>>,
    associations_max: Option<usize>,
    associations_per_peer_max: Option<usize>,
    association_request_timeout_ms: Option<u64>,
    idle_timeout_ms: Option<u64>,
    rate_window_ms: Option<u64>,
    bytes_per_second_min: Option<u64>,
    storage_commitment: Option<String>,
    commitment_callers: Option<Vec<String>>,
    commitment_patience_ms: Option<u64>,
    query_callers: Option<Vec<String>>,
    move_destinations: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TypedPage {
    listen: Option<String>,
    password_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TypedRelay {
    address: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TypedLine {
    bytes_per_second_max: Option<u64>,
    urgent_share_per_mille: Option<u16>,
    routine_share_per_mille: Option<u16>,
    routine_hours: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TypedSpool {
    retention_ms: Option<u64>,
    undelivered_retention_ms: Option<u64>,
    delivered_memory_ms: Option<u64>,
    quota_bytes: Option<u64>,
    reserve_bytes: Option<u64>,
    quarantine_bytes_max: Option<u64>,
    quiet_ms: Option<u64>,
    quiet_stat_ms: Option<u64>,
    coder_threads: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TypedRequests {
    automatic: Option<String>,
    urgency: Option<String>,
    callback_number: Option<String>,
}

/// Reads the file (when there is one), applies the environment, and checks everything.
///
/// `data_dir` from the command line wins over both.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    data_dir: Option<&Path>,
) -> Result<Config, ConfigError> {
    let mut problems = Vec::new();
    let mut table = match file {
        Some(path) => read_table(path).unwrap_or_else(|problem| {
            problems.push(problem);
            toml::Table::new()
        }),
        None => toml::Table::new(),
    };
    for (name, value) in environment {
        apply_variable(&mut table, &name, &value);
    }
    let typed = match parse(table) {
        Ok(typed) => typed,
        Err(mut unknown) => {
            problems.append(&mut unknown);
            return Err(ConfigError { problems });
        }
    };
    let config = resolve(typed, data_dir, &mut problems);
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(ConfigError { problems }),
    }
}

fn read_table(path: &Path) -> Result<toml::Table, String> {
    let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!(
            "{}: there is no such file; name yours with --config, or begin with the example deploy/agent.toml",
            path.display()
        ),
        _ => format!("{}: cannot be read: {error}", path.display()),
    })?;
    text.parse::<toml::Table>()
        .map_err(|error| format!("{}: {}", path.display(), error.message()))
}

/// `TANCHO_DIMSE__AE_TITLE=X` sets `ae_title` of `[dimse]`; `TANCHO_DATA_DIR` sets the top-level key.
fn apply_variable(table: &mut toml::Table, name: &str, value: &str) {
    let Some(rest) = name.strip_prefix(ENVIRONMENT_PREFIX) else {
        return;
    };
    let value = typed_value(value);
    if rest == "DATA_DIR" {
        table.insert("data_dir".to_owned(), value);
    } else if let Some((section, key)) = rest.to_lowercase().split_once("__") {
        if RELAY_SECTIONS.contains(&section) {
            return;
        }
        let entry = table.entry(section).or_insert_with(|| toml::Table::new().into());
        if let Some(section) = entry.as_table_mut() {
            section.insert(key.to_owned(), value);
        }
    }
}

/// A number or list where the text is one in TOML, else the text itself.
fn typed_value(text: &str) -> toml::Value {
    if let Ok(number) = text.parse::<i64>() {
        return number.into();
    }
    if text.starts_with('[')
        && let Ok(mut table) = format!("value = {text}").parse::<toml::Table>()
        && let Some(list) = table.remove("value")
    {
        return list;
    }
    text.into()
}

/// Parses section by section, so that every unknown key and wrong type is named at once.
fn parse(table: toml::Table) -> Result<Typed, Vec<String>> {
    let mut problems = Vec::new();
    let mut typed = Typed::default();
    let mut parts: BTreeMap<String, toml::Value> = table.into_iter().collect();
    typed.data_dir = parts
        .remove("data_dir")
        .and_then(|value| take("data_dir", value, &mut problems));
    for (name, value) in parts {
        match name.as_str() {
            "dimse" => typed.dimse = take_section(&name, value, &mut problems),
            "page" => typed.page = take_section(&name, value, &mut problems),
            "relay" => typed.relay = take_section(&name, value, &mut problems),
            "line" => typed.line = take_section(&name, value, &mut problems),
            "spool" => typed.spool = take_section(&name, value, &mut problems),
            "requests" => typed.requests = take_section(&name, value, &mut problems),
            "deliver" => typed.deliver = deliver::take(value, &mut problems),
            _ => problems.push(format!(
                "{name}: unknown; expected data_dir, [dimse], [page], [relay], [line], [spool], [requests] or \
                 [[deliver]]"
            )),
        }
    }
    if problems.is_empty() {
        Ok(typed)
    } else {
        Err(problems)
    }
}

fn take<T: serde::de::DeserializeOwned>(
    key: &str,
    value: toml::Value,
    problems: &mut Vec<String>,
) -> Option<T> {
    value
        .try_into()
        .map_err(|error: toml::de::Error| problems.push(format!("{key}: {}", error.message())))
        .ok()
}

/// Each key on its own: one wrong key does not hide the next.
fn take_section<T: serde::de::DeserializeOwned + Default>(
    name: &str,
    value: toml::Value,
    problems: &mut Vec<String>,
) -> T {
    let toml::Value::Table(section) = value else {
        problems.push(format!("{name}: section expected"));
        return T::default();
    };
    for (key, value) in &section {
        let alone = toml::Table::from_iter([(key.clone(), value.clone())]);
        if let Err(error) = alone.try_into::<T>() {
            problems.push(format!("{name}.{key}: {}", error.message()));
        }
    }
    section.try_into().unwrap_or_default()
}

fn resolve(typed: Typed, data_dir: Option<&Path>, problems: &mut Vec<String>) -> Option<Config> {
    let data_dir = data_dir
        .map(Path::to_owned)
        .or(typed.data_dir)
        .unwrap_or_else(|| PathBuf::from("tancho-agent-data"));
    let dimse = resolve_dimse(&typed.dimse, problems);
    let page = resolve_page(&typed.page, problems);
    if let Some(address) = &typed.relay.address
        && !is_host_and_port(address)
    {
        problems.push(format!("relay.address: host:port expected, found \"{address}\""));
    }
    let line = resolve_line(&typed.line, problems);
    let spool = resolve_spool(&typed.spool, &data_dir, problems);
    let requests = resolve_requests(typed.requests, problems);
    let deliver = deliver::resolve(&typed.deliver, dimse.as_ref(), problems);
    let promises = dimse
        .as_ref()
        .and_then(|dimse| deliver::resolve_promises(&typed.dimse, dimse, &deliver, problems));
    Some(Config {
        data_dir,
        dimse: Some(dimse?),
        page: Some(page?),
        relay: RelayConfig {
            address: typed.relay.address,
        },
        line: line?,
        spool,
        requests: requests?,
        deliver,
        promises: promises?,
    })
}

fn resolve_dimse(typed: &TypedDimse, problems: &mut Vec<String>) -> Option<DimseConfig> {
    let listen = address(
        "dimse.listen",
        typed.listen.as_deref().unwrap_or("127.0.0.1:11112"),
        problems,
    );
    let title = typed.ae_title.as_deref().unwrap_or("TANCHO");
    let ae_title = AeTitle::parse(title)
        .map_err(|error| problems.push(format!("dimse.ae_title: {error}, found \"{title}\"")))
        .ok();
    if ae_title.as_ref().is_some_and(|title| stat_title(title).is_none()) {
        problems.push(
            "dimse.ae_title: at most 11 characters expected, so that it with _STAT is a title".to_owned(),
        );
    }
    let allow = typed.allow.as_ref().map(|list| {
        list.iter()
            .filter_map(|entry| allowed_caller("dimse.allow", entry, problems))
            .collect::<Vec<AllowedCaller>>()
    });
    let query_callers = typed.query_callers.iter().flatten();
    let query_callers = query_callers
        .filter_map(|entry| allowed_caller("dimse.query_callers", entry, problems))
        .collect();
    let move_destinations = match &ae_title {
        Some(ae_title) => deliver::callees(
            "dimse.move_destinations",
            typed.move_destinations.as_deref().unwrap_or_default(),
            ae_title,
            problems,
        ),
        None => Vec::new(),
    };
    if listen.is_some_and(|listen| !listen.ip().is_loopback()) && allow.is_none() {
        problems.push(
            "dimse.allow: list of calling titles expected, such as [\"CT1@192.0.2.7\"], because dimse.listen is \
             not a loopback address"
                .to_owned(),
        );
    }
    let defaults = DimseLimits::default();
    let ms = |value: Option<u64>, default: Duration| value.map_or(default, Duration::from_millis);
    let limits = DimseLimits {
        associations_max: typed.associations_max.unwrap_or(defaults.associations_max),
        associations_per_peer_max: typed
            .associations_per_peer_max
            .unwrap_or(defaults.associations_per_peer_max),
        artim: ms(typed.association_request_timeout_ms, defaults.artim),
        idle: ms(typed.idle_timeout_ms, defaults.idle),
        rate_window: ms(typed.rate_window_ms, defaults.rate_window),
        bytes_per_second_min: typed
            .bytes_per_second_min
            .unwrap_or(defaults.bytes_per_second_min),
    };
    for (key, zero) in [
        ("associations_max", limits.associations_max == 0),
        ("associations_per_peer_max", limits.associations_per_peer_max == 0),
        ("association_request_timeout_ms", limits.artim.is_zero()),
        ("idle_timeout_ms", limits.idle.is_zero()),
    ] {
        if zero {
            problems.push(format!("dimse.{key}: more than 0 expected"));
        }
    }
    Some(DimseConfig {
        listen: listen?,
        ae_title: ae_title?,
        allow,
        limits,
        query_callers,
        move_destinations,
    })
}

/// `TITLE` or `TITLE@ADDRESS`.
fn allowed_caller(key: &str, entry: &str, problems: &mut Vec<String>) -> Option<AllowedCaller> {
    let (title, ip) = match entry.split_once('@') {
        Some((title, ip)) => (title, Some(ip)),
        None => (entry, None),
    };
    let ae_title =
        AeTitle::parse(title).map_err(|error| problems.push(format!("{key}: {error}, found \"{entry}\"")));
    let ip = match ip {
        Some(ip) => match ip.parse::<IpAddr>() {
            Ok(ip) => Some(ip),
            Err(_) => {
                problems.push(format!("{key}: IP address expected after @, found \"{entry}\""));
                return None;
            }
        },
        None => None,
    };
    Some(AllowedCaller {
        ae_title: ae_title.ok()?,
        ip,
    })
}

fn resolve_page(typed: &TypedPage, problems: &mut Vec<String>) -> Option<PageConfig> {
    let listen = address(
        "page.listen",
        typed.listen.as_deref().unwrap_or("127.0.0.1:8081"),
        problems,
    )?;
    let password = match &typed.password_file {
        None => None,
        Some(path) => match std::fs::read_to_string(path) {
            Ok(text) if text.trim().chars().count() >= 8 => Some(text.trim().to_owned()),
            Ok(_) => {
                problems.push("page.password_file: at least 8 characters expected in the file".to_owned());
                return None;
            }
            Err(error) => {
                problems.push(format!("page.password_file: {}: {error}", path.display()));
                return None;
            }
        },
    };
    if !listen.ip().is_loopback() && password.is_none() {
        problems
            .push("page.password_file: expected, because page.listen is not a loopback address".to_owned());
        return None;
    }
    Some(PageConfig { listen, password })
}

fn resolve_line(typed: &TypedLine, problems: &mut Vec<String>) -> Option<LineConfig> {
    if typed
        .bytes_per_second_max
        .is_some_and(|bytes| bytes < RATE_CAP_BYTES_PER_S_MIN)
    {
        problems.push(format!(
            "line.bytes_per_second_max: at least {RATE_CAP_BYTES_PER_S_MIN} expected"
        ));
    }
    let defaults = SenderConfig::default();
    let mut share = |key: &str, typed: Option<u16>, default: u16| {
        let share = typed.unwrap_or(default);
        if !(1..=1000).contains(&share) {
            problems.push(format!("line.{key}: 1 to 1000 expected"));
        }
        share
    };
    let sender = SenderConfig {
        urgent_share_per_mille: share(
            "urgent_share_per_mille",
            typed.urgent_share_per_mille,
            defaults.urgent_share_per_mille,
        ),
        routine_share_per_mille: share(
            "routine_share_per_mille",
            typed.routine_share_per_mille,
            defaults.routine_share_per_mille,
        ),
        rate_cap_bytes_per_s: typed.bytes_per_second_max,
        ..defaults
    };
    if typed.routine_hours.as_ref().is_some_and(Vec::is_empty) {
        problems.push("line.routine_hours: at least one span expected, or the key left out".to_owned());
    }
    let spans = typed.routine_hours.iter().flatten().map(String::as_str);
    let routine_hours = RoutineHours::parse(spans).map_err(|wrong| {
        problems.push(format!(
            "line.routine_hours: HH:MM-HH:MM expected, found \"{wrong}\""
        ));
    });
    Some(LineConfig {
        sender,
        routine_hours: routine_hours.ok()?,
    })
}

fn resolve_spool(typed: &TypedSpool, data_dir: &Path, problems: &mut Vec<String>) -> SpoolConfig {
    let defaults = SpoolOptions::new(data_dir);
    let ms =
        |value: Option<u64>, default: i64| Duration::from_millis(value.unwrap_or(default.unsigned_abs()));
    if typed.coder_threads == Some(0) {
        problems.push("spool.coder_threads: more than 0 expected".to_owned());
    }
    SpoolConfig {
        retention: ms(typed.retention_ms, defaults.retention_ms),
        undelivered_retention: ms(typed.undelivered_retention_ms, defaults.undelivered_retention_ms),
        delivered_memory: ms(typed.delivered_memory_ms, defaults.delivered_memory_ms),
        quota_bytes: typed.quota_bytes,
        reserve_bytes: typed.reserve_bytes,
        quarantine_bytes_max: typed
            .quarantine_bytes_max
            .unwrap_or(defaults.quarantine_bytes_max),
        quiet: ms(typed.quiet_ms, defaults.quiet_ms),
        quiet_stat: ms(typed.quiet_stat_ms, defaults.quiet_stat_ms),
        coder_threads: typed.coder_threads.unwrap_or(defaults.coder_threads),
    }
}

fn resolve_requests(typed: TypedRequests, problems: &mut Vec<String>) -> Option<RequestRule> {
    let automatic = match typed.automatic.as_deref().unwrap_or("off") {
        "off" => AutomaticRequests::Off,
        "stat" => AutomaticRequests::Stat,
        "all" => AutomaticRequests::All,
        other => {
            problems.push(format!(
                "requests.automatic: off, stat or all expected, found \"{other}\""
            ));
            return None;
        }
    };
    let urgency = typed.urgency.unwrap_or_else(|| "urgent".to_owned());
    if !crate::requests::URGENCIES.contains(&urgency.as_str()) {
        problems.push(format!(
            "requests.urgency: one of {:?} expected, found \"{urgency}\"",
            crate::requests::URGENCIES
        ));
    }
    if automatic != AutomaticRequests::Off && typed.callback_number.is_none() {
        problems.push("requests.callback_number: expected, because requests.automatic is on".to_owned());
    }
    Some(RequestRule {
        automatic,
        urgency,
        callback_number: typed.callback_number,
    })
}

fn address(key: &str, text: &str, problems: &mut Vec<String>) -> Option<SocketAddr> {
    let found = text
        .to_socket_addrs()
        .ok()
        .and_then(|mut addresses| addresses.next());
    if found.is_none() {
        problems.push(format!("{key}: address:port expected, found \"{text}\""));
    }
    found
}

fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("agent.toml");
        std::fs::write(&file, text).unwrap();
        let environment = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        load(Some(&file), environment, None).map_or_else(|error| error.problems, |_| Vec::new())
    }

    #[test]
    fn nothing_typed_listens_on_loopback() {
        let config = load(None, [], None).unwrap();
        let dimse = config.dimse.unwrap();
        assert_eq!(dimse.listen.to_string(), "127.0.0.1:11112");
        assert_eq!(dimse.ae_title.as_str(), "TANCHO");
        assert_eq!(config.page.unwrap().listen.to_string(), "127.0.0.1:8081");
        assert_eq!(config.spool.quiet, Duration::from_secs(20));
        assert_eq!(config.spool.quiet_stat, Duration::from_secs(3));
    }

    #[test]
    fn flt_129_all_problems_are_reported_at_once() {
        let found = problems(
            "[dimse]\nlisten = \"nowhere\"\nae_title = \"A\\\\B\"\nlissten = 1\n[page]\nlisten = 5\n[pgae]\n",
            &[],
        );
        assert_eq!(found.len(), 3, "{found:?}");
        let found = problems(
            "[dimse]\nlisten = \"nowhere\"\nae_title = \"A\\\\B\"\n[relay]\naddress = \"x\"\n",
            &[],
        );
        assert_eq!(found.len(), 3, "{found:?}");
    }

    #[test]
    fn an_open_port_needs_an_allow_list_and_an_open_page_a_password() {
        let found = problems(
            "[dimse]\nlisten = \"0.0.0.0:104\"\n[page]\nlisten = \"0.0.0.0:80\"\n",
            &[],
        );
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            problems(
                "[dimse]\nlisten = \"0.0.0.0:104\"\nallow = [\"CT1@192.0.2.7\", \"MR1\"]\n",
                &[]
            )
            .is_empty()
        );
        assert_eq!(problems("[dimse]\nallow = [\"CT1@nowhere\"]\n", &[]).len(), 1);
    }

    #[test]
    fn the_use_of_the_line_is_checked() {
        let found = problems(
            "[line]\nbytes_per_second_max = 1000\nurgent_share_per_mille = 0\nroutine_hours = [\"19-7\"]\n",
            &[],
        );
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(problems("[line]\nroutine_hours = []\n", &[]).len(), 1);
        let environment = [
            ("TANCHO_LINE__BYTES_PER_SECOND_MAX", "250000"),
            ("TANCHO_LINE__ROUTINE_HOURS", "[\"19:00-07:00\"]"),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let line = load(None, environment, None).unwrap().line;
        assert_eq!(line.sender.rate_cap_bytes_per_s, Some(250_000));
        assert_eq!(line.sender.routine_share_per_mille, 50);
        assert_eq!(line.routine_hours, RoutineHours::parse(["19:00-07:00"]).unwrap());
    }

    #[test]
    fn the_environment_wins_over_the_file_and_leaves_others_alone() {
        let environment = [
            ("TANCHO_DIMSE__LISTEN", "127.0.0.1:4242"),
            ("TANCHO_DIMSE__ALLOW", "[\"CT1\"]"),
            ("TANCHO_SPOOL__QUIET_MS", "50"),
            ("TANCHO_HTTP__LISTEN", "127.0.0.1:1"),
            ("TANCHO_TEST_DATA", "/x"),
            ("PATH", "/bin"),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = load(None, environment, Some(Path::new("/d"))).unwrap();
        let dimse = config.dimse.unwrap();
        assert_eq!(dimse.listen.port(), 4242);
        assert_eq!(dimse.allow.unwrap().len(), 1);
        assert_eq!(config.spool.quiet, Duration::from_millis(50));
        assert_eq!(config.data_dir, Path::new("/d"));
        assert_eq!(problems("", &[("TANCHO_DIMSE__LISSTEN", "x")]).len(), 1);
    }

    #[test]
    fn the_example_file_is_valid_and_names_every_key() {
        let example = include_str!("../../../deploy/agent.toml");
        assert_eq!(problems(example, &[]), Vec::<String>::new());
        let unit = include_str!("../../../deploy/tancho-agent.service");
        let folder = unit.lines().find_map(|line| line.strip_prefix("StateDirectory="));
        let expected = format!("data_dir = \"/var/lib/{}\"", folder.unwrap_or_default());
        assert!(example.lines().any(|line| line == expected), "{expected}");
        // With every key that is commented out because its default is "unset", all keys are there.
        let whole: String = example
            .lines()
            .map(|line| {
                line.strip_prefix("# ")
                    .filter(|rest| rest.contains(" = ") || rest.starts_with("[["))
                    .unwrap_or(line)
            })
            .fold(String::new(), |text, line| text + line + "\n");
        let table: toml::Table = whole.parse().unwrap();
        for (section, sample) in [
            ("dimse", format!("{:?}", TypedDimse::default())),
            ("page", format!("{:?}", TypedPage::default())),
            ("relay", format!("{:?}", TypedRelay::default())),
            ("line", format!("{:?}", TypedLine::default())),
            ("spool", format!("{:?}", TypedSpool::default())),
            ("requests", format!("{:?}", TypedRequests::default())),
        ] {
            let keys = sample
                .split([' ', '{', ','])
                .filter_map(|word| word.strip_suffix(':'));
            for key in keys {
                assert!(
                    table[section].get(key).is_some(),
                    "deploy/agent.toml lacks {section}.{key}"
                );
            }
        }
        let sample = format!("{:?}", TypedDestination::default());
        for key in sample
            .split([' ', '{', ','])
            .filter_map(|word| word.strip_suffix(':'))
        {
            assert!(
                table["deliver"][0].get(key).is_some(),
                "deploy/agent.toml lacks deliver.{key}"
            );
        }
    }
}
