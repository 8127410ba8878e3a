//! Foreign DICOM senders: pynetdicom for exact bytes and chosen faults, DCMTK for what hospitals have.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::Context;
use serde_json::Value;

use crate::program::{peer_script, peers_python};

/// What the sender was told about one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The file.
    pub path: PathBuf,
    /// SOP Instance UID of the request, if the file named one.
    pub sop_instance_uid: Option<String>,
    /// C-STORE status; none when no answer came.
    pub status: Option<u16>,
}

impl Answer {
    /// Whether the sender may forget the file.
    pub fn is_success(&self) -> bool {
        self.status == Some(0)
    }
}

/// A sender built on pynetdicom, which sends the data set exactly as it is in the file.
#[derive(Clone, Debug)]
pub struct Modality {
    /// The agent's DICOM port.
    pub agent: SocketAddr,
    /// Own AE title.
    pub calling_ae_title: String,
    /// AE title asked for.
    pub called_ae_title: String,
    /// Associations at once; the files are dealt out among them.
    pub associations: usize,
    /// Send the bytes after group 0002 without looking at them, whatever they are.
    pub raw: bool,
}

impl Modality {
    /// A CT that sends over one association.
    pub fn new(agent: SocketAddr) -> Self {
        Self {
            agent,
            calling_ae_title: "CT01".to_owned(),
            called_ae_title: "TANCHO".to_owned(),
            associations: 1,
            raw: false,
        }
    }

    /// Sends files and folders and waits for all answers.
    pub fn send(&self, paths: &[&Path]) -> anyhow::Result<Vec<Answer>> {
        Ok(self.start_sending(paths)?.collect())
    }

    /// Starts to send; the answers come from the iterator as they are given.
    pub fn start_sending(&self, paths: &[&Path]) -> anyhow::Result<Sending> {
        let mut command = self.command();
        if self.raw {
            command.arg("--raw");
        }
        let mut child = command
            .args(paths)
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the sender")?;
        let output = child.stdout.take().context("the sender has an output")?;
        Ok(Sending {
            child,
            lines: BufReader::new(output),
        })
    }

    /// C-ECHO; gives the status, or none when the association was rejected or aborted.
    pub fn echo(&self) -> anyhow::Result<Option<u16>> {
        let output = self.command().arg("--echo").output()?;
        let answer: Value = serde_json::from_slice(&output.stdout)?;
        Ok(answer["status"].as_u64().map(|status| status as u16))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(peers_python());
        command
            .arg(peer_script("send.py"))
            .args([
                "--host",
                &self.agent.ip().to_string(),
                "--port",
                &self.agent.port().to_string(),
            ])
            .args([
                "--calling",
                &self.calling_ae_title,
                "--called",
                &self.called_ae_title,
            ])
            .args(["--associations", &self.associations.to_string()])
            .stdin(Stdio::null());
        command
    }
}

/// A transfer under way: an iterator over the answers.
#[derive(Debug)]
pub struct Sending {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Iterator for Sending {
    type Item = Answer;

    fn next(&mut self) -> Option<Answer> {
        let mut line = String::new();
        if self.lines.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let answer: Value = serde_json::from_str(&line).ok()?;
        Some(Answer {
            path: PathBuf::from(answer["path"].as_str()?),
            sop_instance_uid: answer["sop_instance_uid"].as_str().map(str::to_owned),
            status: answer["status"].as_u64().map(|status| status as u16),
        })
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// DCMTK's storescu as Debian ships it, sending a folder.
pub fn storescu(receiver: SocketAddr, called_ae_title: &str, folder: &Path) -> Command {
    let mut command = storescu_files(receiver, called_ae_title, &[]);
    command.args(["--scan-directories", "--recurse"]).arg(folder);
    command
}

/// DCMTK's storescu as Debian ships it, sending files.
pub fn storescu_files(receiver: SocketAddr, called_ae_title: &str, files: &[PathBuf]) -> Command {
    let mut command = Command::new("storescu");
    command
        .args(["--aetitle", "CT01", "--call", called_ae_title])
        .args([&receiver.ip().to_string(), &receiver.port().to_string()])
        .args(files);
    command
}
