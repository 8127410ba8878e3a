//! The program as an operator types it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use serde_json::Value;
use tancho_domain::dicom::{SopClassUid, SopInstanceUid, TransferSyntaxUid};
use tancho_imaging::synthetic::part10_file;

use crate::support::{CT, EXPLICIT_LE, TestAgent, slice};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tancho-agent"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TANCHO_")) {
        command.env_remove(name);
    }
    command.env("TANCHO_SPOOL__RESERVE_BYTES", "0");
    command
}

fn run(arguments: &[&str], data_dir: &Path) -> Output {
    program()
        .args(arguments)
        .arg("--data-dir")
        .arg(data_dir)
        .output()
        .unwrap()
}

/// `tancho-agent serve` on free ports.
fn serving(data_dir: &Path, environment: &[(&str, &str)]) -> Command {
    let mut command = program();
    command
        .args(["serve", "--log-format", "json", "--data-dir"])
        .arg(data_dir)
        .env("TANCHO_DIMSE__LISTEN", "127.0.0.1:0")
        .env("TANCHO_PAGE__LISTEN", "127.0.0.1:0")
        .envs(environment.iter().copied());
    command
}

/// `tancho-agent serve` as a child process; killed when dropped.
pub struct Served {
    child: Child,
    pub dimse: SocketAddr,
}

impl Served {
    /// Starts it on free ports and waits until it says that it is ready.
    pub fn start(data_dir: &Path, environment: &[(&str, &str)]) -> Self {
        let mut child = serving(data_dir, environment)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let dimse = loop {
            let line: Value =
                serde_json::from_str(&lines.next().expect("the agent is ready").unwrap()).unwrap();
            if let Some(address) = line["fields"]["dimse.address"].as_str() {
                break address.parse().unwrap();
            }
        };
        // The rest of the log must be read, or the pipe fills up.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, dimse }
    }

    /// Starts it and waits until it has ended, which may be before it is ready.
    pub fn until_it_ends(data_dir: &Path, environment: &[(&str, &str)]) -> ExitStatus {
        serving(data_dir, environment).output().unwrap().status
    }

    /// Waits until it has ended.
    pub fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn write_study(folder: &Path, study: &str, n: u32) {
    for i in 0..n {
        let (uid, data) = slice(study, i);
        let file = part10_file(
            &TransferSyntaxUid::parse(EXPLICIT_LE).unwrap(),
            &SopClassUid::parse(CT).unwrap(),
            &SopInstanceUid::parse(&uid).unwrap(),
            &data,
        );
        std::fs::write(folder.join(format!("{i}.dcm")), file).unwrap();
    }
}

#[test]
fn send_works_with_and_without_a_running_agent() {
    let (data_dir, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_study(files.path(), "2.25.60", 6);
    std::fs::write(files.path().join("README.txt"), "not DICOM").unwrap();
    let folder = files.path().to_str().unwrap();
    for round in 0..2 {
        // Without an agent the first time, through a running one the second.
        let agent = (round == 1).then(|| TestAgent::start_in(data_dir.path(), |_| {}).unwrap());
        let sent = run(&["send", folder, "--json", "--priority", "stat"], data_dir.path());
        assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
        let event: Value = serde_json::from_slice(&sent.stdout).unwrap();
        assert_eq!(
            (&event["event"], &event["instances"]),
            (&"spooled".into(), &6.into())
        );
        if let Some(agent) = &agent {
            assert_eq!(agent.outbound(6).len(), 6);
            assert_eq!(agent.spool().counters().n_duplicates, 6);
            let status = run(&["status", "--json"], data_dir.path());
            let status: Value = serde_json::from_slice(&status.stdout).unwrap();
            assert_eq!(
                (&status["n_studies"], &status["n_waiting_line"]),
                (&1.into(), &6.into())
            );
        }
    }
}

#[test]
fn send_fails_when_a_named_file_is_not_dicom_but_sends_the_rest() {
    let (data_dir, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_study(files.path(), "2.25.61", 2);
    let stray = files.path().join("stray");
    std::fs::write(&stray, "not DICOM").unwrap();
    let arguments = [
        "send",
        files.path().to_str().unwrap(),
        stray.to_str().unwrap(),
        "--json",
    ];
    let sent = run(&arguments, data_dir.path());
    assert!(!sent.status.success());
    assert!(String::from_utf8_lossy(&sent.stdout).contains("\"instances\":2"));
    assert!(!run(&["send", "nowhere"], data_dir.path()).status.success());
}

#[test]
fn send_without_a_data_folder_makes_none_and_says_so_to_programs_too() {
    let folder = tempfile::tempdir().unwrap();
    write_study(folder.path(), "2.25.62", 1);
    let data_dir = folder.path().join("tancho-agent-data");
    let file = folder.path().join("0.dcm");
    let sent = run(&["send", file.to_str().unwrap(), "--json"], &data_dir);
    assert!(!sent.status.success());
    let failed: Value = serde_json::from_slice(&sent.stdout).unwrap();
    assert_eq!(
        (&failed["event"], &failed["code"]),
        (&"failed".into(), &"no_data_folder".into())
    );
    assert!(
        failed["text"].as_str().unwrap().contains("--data-dir"),
        "{failed}"
    );
    assert!(!data_dir.exists());
}

#[test]
fn send_ends_its_json_with_the_code_of_what_was_not_taken() {
    let (data_dir, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let stray = files.path().join("stray");
    std::fs::write(&stray, "not DICOM").unwrap();
    let sent = run(&["send", stray.to_str().unwrap(), "--json"], data_dir.path());
    assert_eq!(sent.status.code(), Some(1));
    let printed = String::from_utf8(sent.stdout).unwrap();
    let failed: Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&failed["event"], &failed["code"]),
        (&"failed".into(), &"not_dicom".into())
    );
}

#[test]
fn config_check_says_which_file_is_missing_and_warns_of_a_relative_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let check = |text: Option<&str>| {
        if let Some(text) = text {
            std::fs::write(folder.path().join("agent.toml"), text).unwrap();
        }
        let checked = program()
            .args(["config", "check", "--config", "agent.toml"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8(checked.stderr).unwrap();
        (checked.status.success(), said)
    };
    let (good, said) = check(None);
    assert!(
        !good && said.contains("agent.toml: there is no such file"),
        "{said}"
    );
    let (good, said) = check(Some("data_dir = \"data\"\n"));
    assert!(good && said.contains("data_dir is relative"), "{said}");
    let (good, said) = check(Some("data_dir = \"/var/lib/tancho-agent\"\n"));
    assert!(good && said.is_empty(), "{said}");
}

#[test]
fn status_warns_below_twice_the_reserve_of_the_disk() {
    let data_dir = tempfile::tempdir().unwrap();
    let status = || {
        let status = run(&["status", "--json"], data_dir.path());
        let said = String::from_utf8(run(&["status"], data_dir.path()).stdout).unwrap();
        (serde_json::from_slice::<Value>(&status.stdout).unwrap(), said)
    };
    let agent = TestAgent::start_in(data_dir.path(), |_| {}).unwrap();
    let (roomy, said) = status();
    assert!(
        roomy["disk_low"] == false && !said.contains("getting low"),
        "{said}"
    );
    drop(agent);
    let reserve_bytes = roomy["disk_free_bytes"].as_u64().unwrap() / 3 * 2;
    let agent = TestAgent::start_in(data_dir.path(), |config| {
        config.spool.reserve_bytes = Some(reserve_bytes);
    });
    let _agent = agent.unwrap();
    let (low, said) = status();
    assert_eq!(low["disk_reserve_bytes"], reserve_bytes);
    assert!(low["disk_low"] == true && low["disk_full"] == false, "{low}");
    assert!(said.contains("getting low"), "{said}");
}

#[test]
fn status_without_an_agent_says_what_to_do() {
    let data_dir = tempfile::tempdir().unwrap();
    let status = run(&["status"], data_dir.path());
    assert!(!status.status.success());
    assert!(String::from_utf8_lossy(&status.stderr).contains("tancho-agent serve"));
}

#[test]
fn flt_129_config_check_names_every_problem_and_serve_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("agent.toml");
    std::fs::write(
        &file,
        "[dimse]\nlisten = \"0.0.0.0:104\"\nae_titel = \"X\"\n[spool]\nquiet_ms = \"soon\"\n",
    )
    .unwrap();
    for command in [&["config", "check"][..], &["serve"]] {
        let checked = program()
            .args(command)
            .arg("--config")
            .arg(&file)
            .output()
            .unwrap();
        assert!(!checked.status.success());
        let text = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(
            text.contains("dimse.ae_titel") && text.contains("spool.quiet_ms"),
            "{text}"
        );
    }
    std::fs::write(&file, "[dimse]\nae_title = \"CT_GATE\"\n").unwrap();
    assert!(
        program()
            .args(["config", "check", "--config"])
            .arg(&file)
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn flt_021_a_program_in_the_preamble_is_told_and_never_written_out() {
    let folder = tempfile::tempdir().unwrap();
    let (disc, data_dir) = (folder.path().join("disc"), folder.path().join("data"));
    std::fs::create_dir_all(&disc).unwrap();
    std::fs::create_dir_all(&data_dir).unwrap();
    write_study(&disc, "2.25.790", 2);
    let mut paths: Vec<_> = std::fs::read_dir(&disc)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let mut bytes = std::fs::read(&paths[0]).unwrap();
    bytes[..8].copy_from_slice(b"MZ\x90evil!");
    std::fs::write(&paths[0], bytes).unwrap();
    let agent = Served::start(&data_dir, &[]);
    let sent = run(&["send", "--json", disc.to_str().unwrap()], &data_dir);
    assert!(sent.status.success(), "{sent:?}");
    let events: Vec<Value> = String::from_utf8(sent.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let told = events
        .iter()
        .find(|event| event["event"] == "programs_found")
        .unwrap();
    assert_eq!(told["n_files"], 1);
    let spooled = events.iter().find(|event| event["event"] == "spooled").unwrap();
    assert_eq!(spooled["instances"], 2);
    drop(agent);
    let objects = data_dir.join("spool/objects/000001");
    for file in std::fs::read_dir(objects).unwrap() {
        let file = file.unwrap();
        let bytes = std::fs::read(file.path()).unwrap();
        assert!(!bytes.windows(5).any(|window| window == b"evil!"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o111, 0);
        }
    }
}
