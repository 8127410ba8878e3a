//! Configuration: every problem at once, overrides, and what is refused.

use std::path::Path;

use tancho_relay::config::{Config, MailTls};

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("relay.toml");
    std::fs::write(&file, text).unwrap();
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(Some(&file), environment, None).map_err(|errors| {
        errors
            .0
            .iter()
            .map(|problem| format!("{}: {}", problem.key, problem.message))
            .collect()
    })
}

#[test]
fn without_a_file_everything_has_its_documented_default() {
    let config = Config::load(None, [], None).unwrap();
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.quic.listen.to_string(), "127.0.0.1:4433");
    assert_eq!(config.quic.tcp_listen, config.quic.listen);
    assert!(!config.http.behind_proxy && config.smtp.is_none() && !config.nodes.require_approval);
    assert_eq!(config.database.url, "sqlite:tancho-data/tancho.sqlite");
    assert_eq!(config.turnaround.stroke_code.verbal_ms, Some(15 * 60_000));
    assert_eq!(config.turnaround.routine.written_ms, None);
    let decoding = config.decoding;
    assert_eq!((decoding.workers, decoding.memory_bytes_max), (2, 2 << 30));
    assert_eq!((decoding.cpu_seconds_max, decoding.wall_seconds_max), (20, 60));
}

#[test]
fn decoding_workers_have_limits_that_can_hold() {
    let least =
        "[decoding]\nworkers = 1\nmemory_bytes_max = 268435456\ncpu_seconds_max = 1\nwall_seconds_max = 1\n";
    let decoding = load(least, &[]).unwrap().decoding;
    assert_eq!((decoding.workers, decoding.memory_bytes_max), (1, 256 << 20));
    let below = "[decoding]\nworkers = 0\nmemory_bytes_max = 268435455\ncpu_seconds_max = 0\nwall_seconds_max = 3601\n";
    let problems = load(below, &[]).unwrap_err();
    assert_eq!(problems.len(), 4, "{problems:?}");
}

#[test]
fn flt_129_every_problem_is_reported_at_once_with_its_key() {
    let problems = load(
        "data_dirr = 'x'\n[http]\nlisten = '0.0.0.0:8080'\ntls_cert_file = 'none.pem'\npublic_url = 'tancho'\n\
         connections_max = 0\n[quic]\nlisten = 4433\n[smtp]\nhost = 'mail.example.jp'\ntls = 'maybe'\n\
         [turnaround.urgent]\nopen_minutes = 'soon'\n[[requests.open_rules]]\ncalled_ae = 'X'\nurgencyy = 'urgent'\n\
         [nodes]\nrequire_approval = 'yes'\n[ohif]\ndir = '/nowhere'\n[nonsense]\na = 1\n",
        &[("TANCHO_DATABASE__URL", "mysql://x")],
    )
    .unwrap_err();
    let expected = [
        "http.tls_key_file: missing beside",
        "http.listen: 0.0.0.0:8080 is reachable from outside",
        "http.connections_max: a whole number from 1 to 65536 expected, found 0",
        "http.public_url: https://host[:port]",
        "quic.listen: a text expected, found integer",
        "database.url: sqlite:PATH or postgres://... expected",
        "smtp.tls: one of starttls, implicit, none expected, found \"maybe\"",
        "smtp.from: a sender address expected",
        "requests.open_rules[0].urgency: missing",
        "turnaround.urgent.open_minutes: a whole number from 1 to 43200 expected, found \"soon\"",
        "nodes.require_approval: true or false expected, found \"yes\"",
        "ohif.dir: /nowhere: a folder with OHIF's index.html expected",
        "data_dirr: unknown key",
        "requests.open_rules[0].urgencyy: unknown key",
        "nonsense.a: unknown key",
    ];
    for start in expected {
        assert!(
            problems.iter().any(|problem| problem.starts_with(start)),
            "{start} in {problems:#?}"
        );
    }
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
}

#[test]
fn a_problem_names_the_file_or_the_variable_it_came_from() {
    let environment = [("TANCHO_HTTP__LISTEN".to_owned(), "here".to_owned())];
    let errors = Config::load(None, environment, None).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "1 problem(s) in the configuration\n  \
         TANCHO_HTTP__LISTEN: http.listen: address:port expected, found \"here\""
    );
    let errors = Config::load(Some(Path::new("no-such.toml")), [], None).unwrap_err();
    assert!(
        errors
            .to_string()
            .contains("no-such.toml: (file): cannot be read"),
        "{errors}"
    );
}

#[test]
fn the_environment_wins_over_the_file_and_the_command_line_over_both() {
    let config = load(
        "data_dir = 'a'\n[http]\nlisten = '127.0.0.1:1'\n[nodes]\nrequire_approval = false\n",
        &[
            ("TANCHO_HTTP__LISTEN", "127.0.0.1:9000"),
            ("TANCHO_NODES__REQUIRE_APPROVAL", "true"),
            ("TANCHO_DATA_DIR", "b"),
            ("TANCHO_TURNAROUND__CRITICAL__OPEN_MINUTES", "7"),
            ("TANCHO_TEST_DATA", "not ours"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:9000");
    assert!(config.nodes.require_approval);
    assert_eq!(config.data_dir, Path::new("b"));
    assert_eq!(config.turnaround.critical.open_ms, Some(7 * 60_000));
    let environment = [("TANCHO_DATA_DIR".to_owned(), "b".to_owned())];
    let config = Config::load(None, environment, Some(Path::new("c"))).unwrap();
    assert_eq!(config.data_dir, Path::new("c"));
    assert_eq!(config.database.url, "sqlite:c/tancho.sqlite");
}

#[test]
fn an_address_reachable_from_outside_needs_tls_or_a_proxy() {
    for (text, good) in [
        ("[http]\nlisten = '[::1]:80'", true),
        ("[http]\nlisten = '192.0.2.1:80'", false),
        ("[http]\nlisten = '0.0.0.0:80'\nbehind_proxy = true", true),
    ] {
        assert_eq!(load(text, &[]).is_ok(), good, "{text}");
    }
}

#[cfg(unix)]
#[test]
fn flt_129_a_secret_that_everyone_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("password");
    std::fs::write(&secret, "hunter2\n").unwrap();
    let text = format!(
        "[smtp]\nhost = 'mail.example.jp'\nfrom = 'a@example.jp'\nusername = 'u'\npassword_file = '{}'\n",
        secret.display()
    );
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).unwrap();
    let problems = load(&text, &[]).unwrap_err();
    assert!(
        problems[0].contains("smtp.password_file") && !problems.concat().contains("hunter2"),
        "{problems:?}"
    );
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let smtp = load(&text, &[]).unwrap().smtp.unwrap();
    assert_eq!(smtp.credentials, Some(("u".to_owned(), "hunter2".to_owned())));
    assert_eq!((smtp.tls, smtp.port), (MailTls::StartTls, 587));
    assert!(!format!("{smtp:?}").contains("hunter2"));
}

#[test]
fn a_mail_server_on_this_machine_needs_no_tls_and_no_sender() {
    let config = load("[smtp]\nhost = '127.0.0.1'\nport = 2525\n", &[]).unwrap();
    let smtp = config.smtp.unwrap();
    assert_eq!(
        (smtp.tls, smtp.port, smtp.from.as_str()),
        (MailTls::None, 2525, "Tancho <tancho@localhost>")
    );
    assert!(
        load(
            "[smtp]\nhost = 'mail.example.jp'\nfrom = 'a@b.jp'\ntls = 'none'\n",
            &[]
        )
        .is_err()
    );
}
