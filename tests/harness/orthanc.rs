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
        fs::create_dir_all(folder)?;
        let (dimse, rest) = (free_address(), free_address());
        let configuration = json!({
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
            "DicomModalities": { "tancho": ["TANCHO", agent.ip().to_string(), agent.port()] },
        });
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
