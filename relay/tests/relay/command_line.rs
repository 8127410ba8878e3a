//! The commands, beside a running relay and without one.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::harness::TestRelay;

/// Runs the program; gives whether it succeeded and everything it printed.
pub async fn tancho_relay(data_dir: &Path, arguments: &[&str], input: &str) -> (bool, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tancho-relay"))
        .args(arguments)
        .arg("--data-dir")
        .arg(data_dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command that reads nothing may have closed its end already.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    let printed = [output.stdout, output.stderr]
        .map(|bytes| String::from_utf8(bytes).unwrap())
        .concat();
    (output.status.success(), printed)
}

async fn json_of(data_dir: &Path, arguments: &[&str], input: &str) -> Value {
    let arguments = [arguments, &["--json"]].concat();
    let (good, printed) = tancho_relay(data_dir, &arguments, input).await;
    assert!(good, "{arguments:?}: {printed}");
    serde_json::from_str(&printed).unwrap()
}

const ADD_SITE: [&str; 8] = [
    "site",
    "add",
    "--code",
    "CENTRE",
    "--name",
    "脳センター",
    "--kind",
    "both",
];
const ADD_USER: [&str; 11] = [
    "user",
    "add",
    "--login",
    "hanako",
    "--name",
    "花子",
    "--role",
    "reader",
    "--site",
    "CENTRE",
    "--password-stdin",
];

#[tokio::test]
async fn sites_people_and_tokens_are_made_without_a_running_relay() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let site = json_of(&data_dir, &ADD_SITE, "").await;
    assert!(site["site_id"].is_string());
    let user = json_of(&data_dir, &ADD_USER, "correct horse\n").await;
    assert!(user["user_id"].is_string());
    let token = json_of(
        &data_dir,
        &["token", "create", "--login", "hanako", "--ttl", "1h"],
        "",
    )
    .await;
    assert!(token["token"].as_str().unwrap().len() >= 40 && token["expires_at_ms"].is_i64());
    let verified = json_of(&data_dir, &["audit", "verify"], "").await;
    assert_eq!(verified["networks"][0]["n_rows"], 3);
    for network in ["default", "second"] {
        let (good, printed) =
            tancho_relay(&data_dir, &[&ADD_SITE[..], &["--network", network]].concat(), "").await;
        assert_eq!(good, network == "second", "{printed}");
    }
}

#[tokio::test]
async fn commands_speak_to_a_running_relay_over_its_socket() {
    let relay = TestRelay::start().await;
    json_of(
        relay.data_dir(),
        &[&ADD_SITE[..], &["--phone", "03-1234-5678"]].concat(),
        "",
    )
    .await;
    json_of(relay.data_dir(), &ADD_USER, "correct horse").await;
    assert_eq!(
        relay.log_in("hanako", "correct horse").await.status().as_u16(),
        200
    );
    let made = json_of(relay.data_dir(), &["token", "create", "--login", "hanako"], "").await;
    let token = made["token"].as_str().unwrap();
    let answer = relay
        .request(reqwest::Method::GET, "/api/v1/sites")
        .bearer_auth(token)
        .send()
        .await
        .unwrap();
    let sites: Value = answer.json().await.unwrap();
    assert_eq!(sites["items"][0]["phone"], "03-1234-5678");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let about = std::fs::metadata(relay.data_dir().join("control.sock")).unwrap();
        assert_eq!(about.permissions().mode() & 0o777, 0o600);
    }
    relay.stop().await;
}

#[tokio::test]
async fn a_refused_command_says_why_and_fails() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    json_of(&data_dir, &ADD_SITE, "").await;
    let cases: [(&[&str], &str, &str); 6] = [
        (
            &["node", "invite", "--site", "NOPE"],
            "",
            "no site has the code NOPE; the sites of network default are: CENTRE; make one with `tancho-relay site add",
        ),
        (&ADD_SITE, "", "site_code_taken"),
        (&ADD_USER, "short", "password_unfit"),
        (&ADD_USER, "", "a password on standard input expected"),
        (&["token", "create", "--login", "nobody"], "", "login_unknown"),
        (
            &["token", "create", "--login", "nobody", "--ttl", "1 hour"],
            "",
            "a duration such as",
        ),
    ];
    for (arguments, input, expected) in cases {
        let (good, printed) = tancho_relay(&data_dir, arguments, input).await;
        assert!(!good && printed.contains(expected), "{arguments:?}: {printed}");
    }
}

#[tokio::test]
async fn flt_030_a_second_relay_on_the_same_data_refuses_to_start() {
    let relay = TestRelay::start().await;
    let (good, printed) = tancho_relay(relay.data_dir(), &["migrate"], "").await;
    assert!(
        !good && printed.contains("another tancho-relay uses the data folder"),
        "{printed}"
    );
    relay.stop().await;
}

#[tokio::test]
async fn the_configuration_is_checked_without_starting() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("relay.toml");
    let data_dir = folder.path().join("data");
    let check = ["config", "check", "--config", file.to_str().unwrap()];
    let (good, printed) = tancho_relay(&data_dir, &check, "").await;
    assert!(!good && printed.contains("relay.toml"), "{printed}");
    assert!(
        printed.contains("cannot be read: there is no such file"),
        "{printed}"
    );
    std::fs::write(&file, "[http]\nlisten = \"127.0.0.1:9000\"\n").unwrap();
    let (good, printed) = tancho_relay(&data_dir, &check, "").await;
    assert!(good, "{printed}");
    std::fs::write(&file, "[http]\nlisten = \"somewhere\"\nlissten = 1\n").unwrap();
    let (good, printed) = tancho_relay(&data_dir, &check, "").await;
    assert!(
        !good && printed.contains("http.listen") && printed.contains("http.lissten: unknown key"),
        "{printed}"
    );
    assert!(!data_dir.exists());
}
