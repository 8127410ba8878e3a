//! Objects onward from the agent: into PACS that are not ours, with storage commitment, and to old workstations.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tancho_e2e::hospital::assert_all_stored;
use tancho_e2e::modality::storescu;
use tancho_e2e::node::{Node, NodePlan};
use tancho_e2e::orthanc::Orthanc;
use tancho_e2e::phantom::{Phantom, PhantomStudy};
use tancho_e2e::ports::free_address;
use tancho_e2e::program::{Program, peer_script, peers_python, run, run_command};
use tancho_e2e::wait::until;

/// An agent alone: no relay is needed to deliver on site.
fn agent(folder: &Path, dimse: SocketAddr, config: &str) -> Node {
    let mut plan = NodePlan::in_folder(folder, "agent");
    plan.dimse = dimse;
    let file = folder.join("agent.toml");
    fs::write(&file, config).unwrap();
    plan.config = Some(file);
    fs::create_dir_all(&plan.data_dir).unwrap();
    let mut node = Node::enrolled(plan);
    node.start().unwrap();
    node
}

fn destination(ae_title: &str, address: SocketAddr, more: &str) -> String {
    format!(
        "[[deliver]]\nname = \"pacs\"\nae_title = \"{ae_title}\"\naddress = \"{address}\"\nretry_min_ms = 50\n\
         retry_max_ms = 500\n{more}\n"
    )
}

fn study(folder: &Path, seed: &str, n_slices: usize) -> PhantomStudy {
    let phantom = Phantom::stroke(seed).with_slices(n_slices);
    phantom.write(&folder.join("study")).unwrap()
}

fn send(node: &Node, study: &PhantomStudy) {
    let answers = node.modality().send(&[&study.folder]).unwrap();
    assert_all_stored(&answers, study.files.len());
}

/// Waits until `status --json` shows this number of the first destination.
fn until_count(node: &Node, key: &str, n: usize) -> Value {
    until(format!("{key} is {n}"), || {
        let one = node.status().ok()?["deliveries"][0].clone();
        (one[key] == n).then_some(one)
    })
}

/// `storescp` with an empty folder of its own.
fn storescp(folder: &Path, ae_title: &str, options: &[&str]) -> (Program, SocketAddr, PathBuf) {
    let taken = folder.join(ae_title);
    fs::create_dir_all(&taken).unwrap();
    let address = free_address();
    let mut command = Command::new("storescp");
    command
        .args(options)
        .args(["--aetitle", ae_title, "--output-directory"])
        .arg(&taken)
        .arg(address.port().to_string());
    let log = folder.join(format!("{ae_title}.log"));
    let mut program = Program::start("storescp", &mut command, &log).unwrap();
    program.wait_ready(|| is_there(address, ae_title)).unwrap();
    (program, address, taken)
}

fn is_there(address: SocketAddr, ae_title: &str) -> bool {
    let mut echo = Command::new("echoscu");
    echo.args([
        "--call",
        ae_title,
        &address.ip().to_string(),
        &address.port().to_string(),
    ]);
    echo.output().is_ok_and(|answer| answer.status.success())
}

/// Compares the files below a folder with those that were sent, read by pydicom.
fn assert_taken(taken: &Path, study: &PhantomStudy) {
    let mut files = Vec::new();
    find_files(taken, &mut files);
    assert_eq!(files.len(), study.files.len());
    let mut arguments = vec![peer_script("same_elements.py").into_os_string()];
    for file in &study.files {
        let uid = &file.sop_instance_uid;
        let found = files
            .iter()
            .find(|path| path.to_string_lossy().contains(uid.as_str()));
        let found = found.unwrap_or_else(|| panic!("{uid} in {files:?}"));
        arguments.extend([file.path.as_os_str().to_owned(), found.as_os_str().to_owned()]);
    }
    run(Path::new(&peers_python()), &arguments, None).unwrap_or_else(|error| panic!("{error:#}"));
}

fn find_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find_files(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn storescp_gets_what_the_modality_sent() {
    for options in [&["--accept-all"][..], &["--prefer-uncompr"], &["--implicit"]] {
        let folder = tempfile::tempdir().unwrap();
        let (_storescp, address, taken) = storescp(folder.path(), "PACS", options);
        let node = agent(folder.path(), free_address(), &destination("PACS", address, ""));
        let study = study(folder.path(), &format!("storescp {options:?}"), 4);
        send(&node, &study);
        until_count(&node, "n_delivered", 4);
        assert_taken(&taken, &study);
    }
}

#[test]
fn storescp_that_aborts_in_the_middle_gets_nothing_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let (mut storescp_, address, _) = storescp(folder.path(), "PACS", &["--abort-during"]);
    let node = agent(folder.path(), free_address(), &destination("PACS", address, ""));
    let study = study(folder.path(), "abort", 2);
    send(&node, &study);
    let one = until("a failed delivery", || {
        let one = node.status().ok()?["deliveries"][0].clone();
        one["last_error"].is_object().then_some(one)
    });
    assert_eq!(one["n_delivered"], 0, "{one}");
    assert_eq!(one["n_waiting"], 2, "{one}");
    storescp_.stop().ok();
}

#[test]
fn dcmqrscp_gets_what_the_modality_sent() {
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("taken");
    fs::create_dir_all(&taken).unwrap();
    let address = free_address();
    let config = format!(
        "NetworkTCPPort = {}\nMaxPDUSize = 16384\nMaxAssociations = 16\nHostTable BEGIN\nHostTable END\n\
         VendorTable BEGIN\nVendorTable END\nAETable BEGIN\nPACS {} RW (200, 1024mb) ANY\nAETable END\n",
        address.port(),
        taken.display()
    );
    let file = folder.path().join("dcmqrscp.cfg");
    fs::write(&file, config).unwrap();
    let mut command = Command::new("dcmqrscp");
    command.arg("--config").arg(&file);
    let mut server = Program::start("dcmqrscp", &mut command, &folder.path().join("dcmqrscp.log")).unwrap();
    server.wait_ready(|| is_there(address, "PACS")).unwrap();
    let node = agent(folder.path(), free_address(), &destination("PACS", address, ""));
    let study = study(folder.path(), "dcmqrscp", 3);
    send(&node, &study);
    until_count(&node, "n_delivered", 3);
    let mut files = Vec::new();
    find_files(&taken, &mut files);
    let images = files.iter().filter(|path| !path.ends_with("index.dat"));
    assert_eq!(images.count(), 3);
}

#[test]
fn orthanc_commits_what_it_took() {
    let folder = tempfile::tempdir().unwrap();
    let dimse = free_address();
    let mut orthanc = Orthanc::start(&folder.path().join("orthanc"), dimse, &[]).unwrap();
    let config = destination("ORTHANC", orthanc.dimse, "storage_commitment = true");
    let node = agent(folder.path(), dimse, &config);
    let study = study(folder.path(), "commitment", 5);
    send(&node, &study);
    let one = until_count(&node, "n_committed", 5);
    assert_eq!(
        (&one["n_delivered"], &one["n_waiting"]),
        (&5.into(), &0.into()),
        "{one}"
    );
    assert_eq!(orthanc.instance_count().unwrap(), 5);
    orthanc.stop().unwrap();
}

#[test]
fn a_modality_gets_storage_commitment_only_after_the_sites_pacs() {
    let folder = tempfile::tempdir().unwrap();
    let (dimse, report) = (free_address(), free_address());
    let mut orthanc = Orthanc::start(&folder.path().join("orthanc"), dimse, &[]).unwrap();
    let config = format!(
        "[dimse]\nstorage_commitment = \"after_site_pacs\"\ncommitment_callers = [\"CT01@{report}\"]\n{}",
        destination("ORTHANC", orthanc.dimse, "storage_commitment = true")
    );
    let node = agent(folder.path(), dimse, &config);
    let study = study(folder.path(), "promise", 3);
    send(&node, &study);
    let mut instances: Vec<String> = study
        .files
        .iter()
        .map(|file| file.sop_instance_uid.clone())
        .collect();
    let ask = |instances: &[String]| -> Value {
        let mut arguments: Vec<String> = vec![
            peer_script("commitment.py").to_string_lossy().into_owned(),
            dimse.ip().to_string(),
            dimse.port().to_string(),
            "TANCHO".to_owned(),
            report.port().to_string(),
        ];
        arguments.extend_from_slice(instances);
        let printed = run(Path::new(&peers_python()), &arguments, None).unwrap();
        serde_json::from_str(&printed).unwrap()
    };
    let answer = ask(&instances);
    instances.sort();
    assert_eq!(
        (&answer["status"], &answer["event_type"]),
        (&0.into(), &1.into()),
        "{answer}"
    );
    assert_eq!(answer["committed"], serde_json::json!(instances));
    assert_eq!(until_count(&node, "n_committed", 3)["n_not_committed"], 0);
    // What was never here is not promised.
    let answer = ask(&["2.25.99".to_owned()]);
    assert_eq!(answer["event_type"], 2, "{answer}");
    assert_eq!(answer["failed"], serde_json::json!({ "2.25.99": 0x0112 }));
    orthanc.stop().unwrap();
}

#[test]
fn storage_commitment_is_off_by_default() {
    let folder = tempfile::tempdir().unwrap();
    let dimse = free_address();
    let _node = agent(folder.path(), dimse, "");
    let arguments = [
        peer_script("commitment.py").to_string_lossy().into_owned(),
        dimse.ip().to_string(),
        dimse.port().to_string(),
        "TANCHO".to_owned(),
        free_address().port().to_string(),
        "2.25.1".to_owned(),
    ];
    let printed = run(Path::new(&peers_python()), &arguments, None).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&printed).unwrap()["status"],
        Value::Null
    );
}

/// An agent that a workstation may query, with a study in it.
struct Queried {
    folder: tempfile::TempDir,
    node: Node,
    study: PhantomStudy,
    destination: SocketAddr,
}

impl Queried {
    fn start(seed: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let destination = free_address();
        let config = format!(
            "[dimse]\nquery_callers = [\"WS1\", \"FINDSCU\", \"MOVESCU\", \"GETSCU\"]\n\
             move_destinations = [\"WS2@{destination}\"]\n"
        );
        let node = agent(folder.path(), free_address(), &config);
        let study = study(folder.path(), seed, 4);
        send(&node, &study);
        Self {
            folder,
            node,
            study,
            destination,
        }
    }

    /// What the workstation printed, line by line.
    fn workstation(&self, act: &[&str], rest: &[&str]) -> Vec<Value> {
        let dimse = self.node.plan.dimse;
        let (host, port) = (dimse.ip().to_string(), dimse.port().to_string());
        let script = peer_script("workstation.py").to_string_lossy().into_owned();
        let mut arguments = vec![script.as_str()];
        arguments.extend(act);
        arguments.extend([host.as_str(), port.as_str()]);
        arguments.extend(rest);
        let printed = run(Path::new(&peers_python()), &arguments, None).unwrap();
        printed
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn dcmtk(&self, program: &str) -> Command {
        let dimse = self.node.plan.dimse;
        let mut command = Command::new(program);
        command.args([
            "--study",
            "--call",
            "TANCHO",
            &dimse.ip().to_string(),
            &dimse.port().to_string(),
        ]);
        command
    }

    fn study_key(&self) -> String {
        format!("StudyInstanceUID={}", self.study.study_instance_uid)
    }
}

#[test]
fn a_workstation_finds_studies_by_japanese_names_and_gets_their_levels() {
    let queried = Queried::start("find");
    let keys = [
        "PatientName=道東*",
        "PatientID=",
        "StudyInstanceUID=",
        "StudyDate=",
        "AccessionNumber=",
        "ModalitiesInStudy=",
        "NumberOfStudyRelatedInstances=",
    ];
    let mut rest = vec!["STUDY"];
    rest.extend(keys);
    let found = queried.workstation(&["find"], &rest);
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(found[1]["status"], 0);
    let one = &found[0];
    assert!(
        one["PatientName"].as_str().unwrap().contains("道東^花子"),
        "{one}"
    );
    assert_eq!(
        one["SpecificCharacterSet"],
        serde_json::json!(["", "ISO 2022 IR 87"])
    );
    assert_eq!(one["StudyInstanceUID"], queried.study.study_instance_uid.as_str());
    assert_eq!(
        (&one["ModalitiesInStudy"], &one["NumberOfStudyRelatedInstances"]),
        (&"CT".into(), &"4".into())
    );
    assert_eq!(
        (&one["QueryRetrieveLevel"], &one["RetrieveAETitle"]),
        (&"STUDY".into(), &"TANCHO".into())
    );
    let none = queried.workstation(&["find"], &["STUDY", "PatientName=札幌*"]);
    assert_eq!(none.len(), 1, "{none:?}");
    let study_key = queried.study_key();
    let series = queried.workstation(
        &["find"],
        &[
            "SERIES",
            &study_key,
            "SeriesInstanceUID=",
            "Modality=CT",
            "NumberOfSeriesRelatedInstances=",
        ],
    );
    assert_eq!(
        (series.len(), &series[0]["NumberOfSeriesRelatedInstances"]),
        (2, &"4".into()),
        "{series:?}"
    );
    let series_key = format!(
        "SeriesInstanceUID={}",
        series[0]["SeriesInstanceUID"].as_str().unwrap()
    );
    let images = queried.workstation(
        &["find"],
        &[
            "IMAGE",
            &study_key,
            &series_key,
            "SOPInstanceUID=",
            "InstanceNumber=",
            "Rows=",
        ],
    );
    assert_eq!(images.len(), 5, "{images:?}");
    assert!(images[0]["Rows"].as_str().unwrap().parse::<u16>().unwrap() > 0);
    // The level above has to be named.
    let refused = queried.workstation(&["find"], &["SERIES", "StudyInstanceUID="]);
    assert_eq!(refused[0]["status"], 0xA900, "{refused:?}");
}

#[test]
fn findscu_movescu_and_getscu_are_served() {
    let queried = Queried::start("dcmtk");
    let study_key = queried.study_key();
    let found = queried.folder.path().join("found");
    fs::create_dir_all(&found).unwrap();
    let mut findscu = queried.dcmtk("findscu");
    findscu.args([
        "-k",
        "QueryRetrieveLevel=STUDY",
        "-k",
        "PatientName",
        "-k",
        "StudyInstanceUID",
    ]);
    run_command(
        findscu.arg("--extract").arg("--output-directory").arg(&found),
        None,
    )
    .unwrap();
    assert_eq!(fs::read_dir(&found).unwrap().count(), 1);

    let got = queried.folder.path().join("got");
    fs::create_dir_all(&got).unwrap();
    let mut getscu = queried.dcmtk("getscu");
    getscu.args(["-k", "QueryRetrieveLevel=STUDY", "-k", &study_key]);
    run_command(getscu.arg("--output-directory").arg(&got), None).unwrap();
    assert_taken(&got, &queried.study);

    let taken = queried.folder.path().join("WS2");
    fs::create_dir_all(&taken).unwrap();
    let mut command = Command::new("storescp");
    command
        .args(["--aetitle", "WS2", "--output-directory"])
        .arg(&taken);
    command.arg(queried.destination.port().to_string());
    let log = queried.folder.path().join("WS2.log");
    let mut storescp = Program::start("storescp", &mut command, &log).unwrap();
    storescp
        .wait_ready(|| is_there(queried.destination, "WS2"))
        .unwrap();
    let mut movescu = queried.dcmtk("movescu");
    movescu.args([
        "--move",
        "WS2",
        "-k",
        "QueryRetrieveLevel=STUDY",
        "-k",
        &study_key,
    ]);
    run_command(&mut movescu, None).unwrap();
    assert_taken(&taken, &queried.study);
}

#[test]
fn retrievals_are_counted_cancelled_and_refused_as_the_standard_says() {
    let queried = Queried::start("retrieve");
    let study_key = queried.study_key();
    let folder = queried.folder.path().join("got");
    fs::create_dir_all(&folder).unwrap();
    let target = folder.to_string_lossy().into_owned();
    let done = queried.workstation(&["get"], &[&target, "STUDY", &study_key]);
    assert_eq!(
        (&done[0]["status"], &done[0]["completed"]),
        (&0.into(), &4.into()),
        "{done:?}"
    );
    assert_taken(&folder, &queried.study);
    // Nobody may be sent to who is not listed, and one who does not answer fails every instance.
    let unknown = queried.workstation(&["move"], &["SOMEBODY", "STUDY", &study_key]);
    assert_eq!(unknown[0]["status"], 0xA801, "{unknown:?}");
    let away = queried.workstation(&["move"], &["WS2", "STUDY", &study_key]);
    assert_eq!(
        (&away[0]["status"], &away[0]["failed"]),
        (&0xA702.into(), &4.into()),
        "{away:?}"
    );
    assert!(
        away[0]["failed_instances"]
            .as_str()
            .unwrap()
            .contains(&queried.study.files[0].sop_instance_uid)
    );
    let cancelled = queried.workstation(&["--cancel", "get"], &[&target, "STUDY", &study_key]);
    let status = cancelled[0]["status"].as_u64().unwrap();
    // All may have been sent before the cancel came.
    assert!([0xFE00, 0].contains(&status), "{cancelled:?}");
}

#[test]
fn nobody_queries_who_is_not_listed() {
    let folder = tempfile::tempdir().unwrap();
    let node = agent(folder.path(), free_address(), "");
    let study = study(folder.path(), "unlisted", 1);
    run_command(&mut storescu(node.plan.dimse, "TANCHO", &study.folder), None).unwrap();
    let (host, port) = (
        node.plan.dimse.ip().to_string(),
        node.plan.dimse.port().to_string(),
    );
    let script = peer_script("workstation.py").to_string_lossy().into_owned();
    let arguments = [script.as_str(), "find", &host, &port, "STUDY", "PatientName="];
    let printed = run(Path::new(&peers_python()), &arguments, None).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&printed).unwrap()["status"],
        Value::Null
    );
}

#[test]
fn a_disc_made_by_dcmmkdir_is_read_and_what_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let disc = folder.path().join("disc");
    let images = disc.join("IMAGES");
    fs::create_dir_all(&images).unwrap();
    let study = study(folder.path(), "disc", 4);
    for (n, file) in study.files.iter().enumerate() {
        fs::copy(&file.path, images.join(format!("IM{n}"))).unwrap();
    }
    let mut dcmmkdir = Command::new("dcmmkdir");
    dcmmkdir.args(["--recurse", "--no-consistency-check", "--invent"]);
    dcmmkdir.arg("--input-directory").arg(&disc);
    dcmmkdir.arg("--output-file").arg(disc.join("DICOMDIR"));
    run_command(&mut dcmmkdir, None).unwrap();
    fs::remove_file(images.join("IM2")).unwrap();
    let node = agent(folder.path(), free_address(), "");
    let directory = disc.join("DICOMDIR");
    let sent = node
        .command(&["send", "--json", &directory.to_string_lossy()])
        .output()
        .unwrap();
    let printed = String::from_utf8(sent.stdout).unwrap();
    let events: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let spooled = events.iter().find(|event| event["event"] == "spooled");
    assert_eq!(spooled.expect(&printed)["instances"], 3);
    let failed = events.last().unwrap();
    assert_eq!(
        (&failed["event"], &failed["code"]),
        (&"failed".into(), &"dicomdir_file_missing".into())
    );
    assert!(
        failed["text"].as_str().unwrap().contains("IMAGES/IM2"),
        "{failed}"
    );
    assert!(!sent.status.success());
}
