//! The commands, beside a running relay and without one.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
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
async fn what_was_made_is_listed_beside_a_running_relay_and_without_one() {
    let relay = TestRelay::start().await;
    json_of(relay.data_dir(), &ADD_SITE, "").await;
    json_of(relay.data_dir(), &ADD_USER, "correct horse").await;
    for ttl in ["1h", "2h"] {
        json_of(
            relay.data_dir(),
            &["token", "create", "--login", "hanako", "--ttl", ttl],
            "",
        )
        .await;
    }
    let lists = async |data_dir: &Path| {
        let sites = json_of(data_dir, &["site", "list"], "").await;
        let users = json_of(data_dir, &["user", "list"], "").await;
        let nodes = json_of(data_dir, &["node", "list"], "").await;
        assert_eq!(
            (&sites["items"][0]["code"], &sites["items"][0]["kind"]),
            (&json!("CENTRE"), &json!("both"))
        );
        let user = &users["items"][0];
        assert_eq!(
            (&user["login"], &user["site_code"]),
            (&json!("hanako"), &json!("CENTRE"))
        );
        assert!(user.get("password_hash").is_none() && user["disabled_at_ms"].is_null());
        assert_eq!(nodes["items"], json!([]));
        json_of(data_dir, &["token", "list", "--all"], "").await["items"].clone()
    };
    let tokens = lists(relay.data_dir()).await;
    let id = tokens[0]["id"].as_str().unwrap();
    assert_eq!(
        (tokens.as_array().unwrap().len(), &tokens[0]["login"]),
        (2, &json!("hanako"))
    );
    json_of(relay.data_dir(), &["token", "revoke", "--id", id], "").await;
    let good = json_of(relay.data_dir(), &["token", "list"], "").await;
    assert_eq!(
        (good["items"].as_array().unwrap().len(), &good["items"][0]["id"]),
        (1, &tokens[1]["id"])
    );
    let (good, printed) = tancho_relay(relay.data_dir(), &["site", "list"], "").await;
    assert!(
        good && printed.starts_with("CODE    KIND  PHONE") && printed.contains("脳センター"),
        "{printed}"
    );
    let data_dir = relay.data_dir().to_owned();
    let _folder = relay.stop_keeping_data().await;
    let all = lists(&data_dir).await;
    assert_eq!(
        (all.as_array().unwrap().len(), all[0]["revoked_at_ms"].is_i64()),
        (2, true)
    );
}

#[tokio::test]
async fn a_refused_command_says_why_and_fails() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    json_of(&data_dir, &ADD_SITE, "").await;
    let cases: [(&[&str], &str, &str); 8] = [
        (
            &["site", "list", "--network", "defualt"],
            "",
            "no network is called defualt; there are: default",
        ),
        (&["token", "revoke", "--id", "x"], "", "token_not_found"),
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
async fn a_command_in_a_folder_that_is_not_there_makes_none() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("misnamed");
    let commands: [&[&str]; 4] = [
        &["site", "list"],
        &["migrate"],
        &["blobs", "verify"],
        &["audit", "verify"],
    ];
    for arguments in commands {
        let (good, printed) = tancho_relay(&data_dir, arguments, "").await;
        assert!(
            !good && printed.contains("there is no data folder"),
            "{arguments:?}: {printed}"
        );
        assert!(!data_dir.exists(), "{arguments:?}");
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
