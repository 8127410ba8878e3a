//! Orthanc, a DICOM server that is not ours, as Debian ships it: as a sender in tests, as the peer in measurements.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use reqwest::blocking::Client;
use serde_json::{Value, json};

use crate::ports::free_address;
use crate::program::Program;

/// Where Debian puts the plugin.
const DICOMWEB_PLUGIN: &str = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so";

/// A running Orthanc with its default SQLite store in a folder of ours.
#[derive(Debug)]
pub struct Orthanc {
    /// Its C-STORE port.
    pub dimse: SocketAddr,
    /// Its REST port.
    pub rest: SocketAddr,
    program: Program,
    client: Client,
}

impl Orthanc {
    /// Starts it with `agent` known as the modality `tancho`; variables of `environment` are set for it.
    pub fn start(folder: &Path, agent: SocketAddr, environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        let about = json!({
            "DicomModalities": { "tancho": ["TANCHO", agent.ip().to_string(), agent.port()] },
        });
        Self::start_with(folder, about, environment)
    }

    /// Starts it with its DICOMweb plugin, and the relay known to it as the server `tancho`.
    pub fn start_on_the_web(folder: &Path, relay: &str, token: &str) -> anyhow::Result<Self> {
        let server = json!({
            "Url": format!("{relay}/dicom-web/"),
            "HttpHeaders": { "Authorization": format!("Bearer {token}") },
        });
        let about = json!({
            "Plugins": [DICOMWEB_PLUGIN],
            "DicomWeb": {
                "Enable": true, "Root": "/dicom-web/", "StudiesMetadata": "Full", "SeriesMetadata": "Full",
                "Servers": { "tancho": server },
            },
        });
        Self::start_with(folder, about, &[])
    }

    fn start_with(folder: &Path, about: Value, environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let (dimse, rest) = (free_address(), free_address());
        let mut configuration = json!({
            "Name": "tancho-tests",
            "StorageDirectory": folder.join("storage"),
            "IndexDirectory": folder.join("index"),
            "Plugins": [],
            "HttpPort": rest.port(),
            "RemoteAccessAllowed": false,
            "AuthenticationEnabled": false,
            "DicomAet": "ORTHANC",
            "DicomPort": dimse.port(),
            "DicomAlwaysAllowStore": true,
        });
        let about = about.as_object().cloned().unwrap_or_default();
        configuration
            .as_object_mut()
            .context("a configuration")?
            .extend(about);
        let file = folder.join("orthanc.json");
        fs::write(&file, serde_json::to_vec_pretty(&configuration)?)?;
        let mut command = Command::new("Orthanc");
        command.arg(&file).envs(environment.iter().copied());
        let mut program = Program::start("Orthanc", &mut command, &folder.join("orthanc.log"))?;
        let client = Client::builder().timeout(Duration::from_secs(120)).build()?;
        let system = format!("http://{rest}/system");
        program.wait_ready(|| {
            client
                .get(&system)
                .send()
                .is_ok_and(|answer| answer.status().is_success())
        })?;
        Ok(Self {
            dimse,
            rest,
            program,
            client,
        })
    }

    /// Loads Part 10 files through the REST interface.
    pub fn import<'a>(&self, files: impl IntoIterator<Item = &'a Path>) -> anyhow::Result<()> {
        for file in files {
            let body = fs::read(file)?;
            self.client
                .post(self.url("/instances"))
                .body(body)
                .send()?
                .error_for_status()?;
        }
        Ok(())
    }

    /// Its ids of all studies.
    pub fn studies(&self) -> anyhow::Result<Vec<String>> {
        let list: Vec<String> = self
            .client
            .get(self.url("/studies"))
            .send()?
            .error_for_status()?
            .json()?;
        Ok(list)
    }

    /// Sends a study to the modality `tancho` by C-STORE and gives Orthanc's account of it.
    pub fn send_study(&self, study: &str) -> anyhow::Result<Value> {
        let url = self.url("/modalities/tancho/store");
        let answer = self
            .client
            .post(url)
            .json(&json!({ "Resources": [study], "Synchronous": true }))
            .send()?;
        answer.error_for_status()?.json().context("Orthanc's answer")
    }

    /// Has its DICOMweb client do something with the relay, and waits until it is done.
    pub fn ask_the_relay(&self, act: &str, body: &Value) -> anyhow::Result<Value> {
        let url = self.url(&format!("/dicom-web/servers/tancho/{act}"));
        let answer = self.client.post(url).json(body).send()?;
        answer.error_for_status()?.json().context("Orthanc's answer")
    }

    /// Every instance that it holds, as a Part 10 file.
    pub fn files(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        let get = |path: &str| self.client.get(self.url(path)).send()?.error_for_status();
        let ids: Vec<String> = get("/instances")?.json()?;
        ids.iter()
            .map(|id| Ok(get(&format!("/instances/{id}/file"))?.bytes()?.to_vec()))
            .collect()
    }

    /// How many instances it holds.
    pub fn instance_count(&self) -> anyhow::Result<u64> {
        let statistics: Value = self
            .client
            .get(self.url("/statistics"))
            .send()?
            .error_for_status()?
            .json()?;
        statistics["CountInstances"]
            .as_u64()
            .context("a count of instances")
    }

    /// Peak resident memory in KiB.
    pub fn peak_memory_kib(&self) -> Option<u64> {
        self.program.peak_memory_kib()
    }

    /// Stops it.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.program.stop().map(drop)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.rest)
    }
}
