//! A real SMTP server, not ours, that keeps every message in a file.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::program::{Program, peer_script, peers_python};

/// The running mail server.
#[derive(Debug)]
pub struct MailSink {
    /// Where it takes mail.
    pub address: SocketAddr,
    /// One JSON object a line.
    pub file: PathBuf,
    program: Program,
}

impl MailSink {
    /// Starts it on `address`, keeping mail and log in `folder`.
    pub fn start(address: SocketAddr, folder: &Path, apart: bool) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let file = folder.join("mail.jsonl");
        fs::write(&file, "")?;
        let mut command = Command::new(peers_python());
        command
            .arg(peer_script("mail_sink.py"))
            .arg(address.port().to_string())
            .arg(&file);
        let log = folder.join("mail.log");
        let mut program = if apart {
            Program::start_apart("the mail server", &mut command, &log)?
        } else {
            Program::start("the mail server", &mut command, &log)?
        };
        program.wait_ready(|| TcpStream::connect(address).is_ok())?;
        Ok(Self {
            address,
            file,
            program,
        })
    }

    /// Every message so far: `from`, `to`, `subject`, `text`, `raw`.
    pub fn messages(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Stops it.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.program.stop().map(drop)
    }
}
