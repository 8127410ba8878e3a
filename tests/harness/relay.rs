//! The relay as a process: set up through its command line, started, killed, started again on the same ports.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::people::Person;
use crate::phantom::hex;
use crate::ports::free_address;
use crate::program::{Program, built_program, run_command};

/// Where a relay listens and keeps its data.
#[derive(Clone, Debug)]
pub struct RelayPlan {
    /// Everything it stores.
    pub data_dir: PathBuf,
    /// HTTP.
    pub http: SocketAddr,
    /// QUIC.
    pub quic: SocketAddr,
    /// The SMTP server for its mail.
    pub smtp: Option<SocketAddr>,
    /// Folder of the OHIF viewer.
    pub ohif: Option<PathBuf>,
    /// Address of a database other than the SQLite file in the data folder.
    pub database: Option<String>,
    /// Own process group, so that Ctrl-C reaches the caller alone.
    pub apart: bool,
}

impl RelayPlan {
    /// Free ports and a folder below `folder`.
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            data_dir: folder.join("relay"),
            http: free_address(),
            quic: free_address(),
            smtp: None,
            ohif: None,
            database: None,
            apart: false,
        }
    }

    /// Where its configuration is written.
    pub fn config_file(&self) -> PathBuf {
        self.data_dir.with_extension("toml")
    }

    /// Listens on the planned ports, mails through the planned server, and opens a request for every CT.
    fn config(&self) -> String {
        let smtp = self.smtp.map_or(String::new(), |smtp| {
            let (host, port) = (smtp.ip(), smtp.port());
            let from = "Tancho <tancho@relay.example>";
            format!("\n[smtp]\nhost = \"{host}\"\nport = {port}\ntls = \"none\"\nfrom = \"{from}\"\n")
        });
        let ohif = self
            .ohif
            .as_ref()
            .map_or(String::new(), |dir| format!("\n[ohif]\ndir = {dir:?}\n"));
        let database = self
            .database
            .as_ref()
            .map_or(String::new(), |url| format!("\n[database]\nurl = {url:?}\n"));
        let Self {
            data_dir, http, quic, ..
        } = self;
        format!(
            r#"data_dir = {data_dir:?}

[http]
listen = "{http}"

[quic]
listen = "{quic}"
{smtp}{ohif}{database}
# What comes to TANCHO_STAT opens as critical by itself; every other CT opens as routine.
[[requests.open_rules]]
modality = "CT"
urgency = "routine"
"#
        )
    }
}

/// A relay that may be running.
#[derive(Debug)]
pub struct Relay {
    /// Ports and folder.
    pub plan: RelayPlan,
    program: Option<Program>,
}

impl Relay {
    /// A relay that is not started yet; its command line works already.
    pub fn prepared(plan: RelayPlan) -> anyhow::Result<Self> {
        fs::create_dir_all(&plan.data_dir)?;
        fs::write(plan.config_file(), plan.config())?;
        Ok(Self { plan, program: None })
    }

    /// Starts it, or starts it again, and waits until it is ready.
    pub fn start(&mut self) -> anyhow::Result<()> {
        let mut command = self.command(&["serve"]);
        let log = self.log();
        let mut program = if self.plan.apart {
            Program::start_apart("tancho-relay", &mut command, &log)?
        } else {
            Program::start("tancho-relay", &mut command, &log)?
        };
        let ready = format!("{}/readyz", self.url());
        program
            .wait_ready(|| reqwest::blocking::get(&ready).is_ok_and(|answer| answer.status().is_success()))?;
        self.program = Some(program);
        Ok(())
    }

    /// Ends it without warning.
    pub fn kill(&mut self) {
        if let Some(mut program) = self.program.take() {
            program.kill();
        }
    }

    /// Asks it to stop.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.program
            .take()
            .map_or(Ok(()), |mut program| program.stop().map(drop))
    }

    /// The running process.
    pub fn program(&mut self) -> Option<&mut Program> {
        self.program.as_mut()
    }

    /// Where its page is.
    pub fn url(&self) -> String {
        format!("http://{}", self.plan.http)
    }

    /// What it printed.
    pub fn log(&self) -> PathBuf {
        self.plan.data_dir.with_extension("log")
    }

    /// Runs a command of `tancho-relay` that prints JSON.
    pub fn command_json(&self, arguments: &[&str], input: Option<&str>) -> anyhow::Result<Value> {
        let mut command = self.command(arguments);
        command.arg("--json");
        let printed = run_command(&mut command, input)?;
        serde_json::from_str(&printed).with_context(|| format!("{arguments:?} printed no JSON: {printed}"))
    }

    /// Makes a site; `phone` is the number that automatic requests call back.
    pub fn add_site(&self, code: &str, name: &str, kind: &str, phone: Option<&str>) -> anyhow::Result<()> {
        let mut arguments = vec!["site", "add", "--code", code, "--name", name, "--kind", kind];
        if let Some(phone) = phone {
            arguments.extend(["--phone", phone]);
        }
        self.command_json(&arguments, None).map(drop)
    }

    /// Makes a login.
    pub fn add_user(&self, person: &Person) -> anyhow::Result<()> {
        let arguments = [
            "user",
            "add",
            "--login",
            person.login,
            "--name",
            person.name,
            "--role",
            person.role,
            "--site",
            person.site,
            "--password-stdin",
        ];
        let mut arguments = arguments.to_vec();
        if let Some(mail) = person.email {
            arguments.extend(["--email", mail]);
        }
        self.command_json(&arguments, Some(person.password)).map(drop)
    }

    /// A one-time enrolment code for a node of a site.
    pub fn invite_node(&self, site: &str) -> anyhow::Result<String> {
        let answer = self.command_json(&["node", "invite", "--site", site], None)?;
        Ok(answer["code"]
            .as_str()
            .context("the invitation has a code")?
            .to_owned())
    }

    /// A bearer token for a login.
    pub fn token(&self, login: &str) -> anyhow::Result<String> {
        let answer = self.command_json(&["token", "create", "--login", login], None)?;
        Ok(answer["token"]
            .as_str()
            .context("the answer has a token")?
            .to_owned())
    }

    /// SHA-256 of the original data set that the relay gives back for an instance.
    pub fn exported_sha256(&self, sop_instance_uid: &str) -> anyhow::Result<String> {
        let bytes = self.export(sop_instance_uid, "original")?;
        Ok(hex(&Sha256::digest(&bytes)))
    }

    /// Exports one instance, as its original data set (`original`) or as a Part 10 file (`dicom`).
    pub fn export(&self, sop_instance_uid: &str, form: &str) -> anyhow::Result<Vec<u8>> {
        let folder = tempfile::tempdir()?;
        let out = folder.path().join("exported");
        let out_text = out.to_str().context("a UTF-8 path")?;
        let arguments = [
            "export",
            "--sop-instance-uid",
            sop_instance_uid,
            "--out",
            out_text,
            "--form",
            form,
        ];
        run_command(&mut self.command(&arguments), None)?;
        Ok(fs::read(&out)?)
    }

    /// `tancho-relay` with these arguments and this relay's configuration.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(built_program("tancho-relay"));
        command
            .args(arguments)
            .arg("--config")
            .arg(self.plan.config_file());
        command
    }
}
