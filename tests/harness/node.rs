//! A node agent as a process: enrolled with a one-time code, started, killed, started again on the same ports.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use serde_json::Value;

use crate::modality::Modality;
use crate::ports::free_address;
use crate::program::{Program, built_program, run_command};
use crate::relay::Relay;

/// Where an agent listens and keeps its spool.
#[derive(Clone, Debug)]
pub struct NodePlan {
    /// Key, spool and index.
    pub data_dir: PathBuf,
    /// C-STORE and C-ECHO.
    pub dimse: SocketAddr,
    /// The technologist's page.
    pub page: SocketAddr,
    /// Where it dials; `None` for the relay it was enrolled at.
    pub relay_address: Option<String>,
    /// Configuration file, when it has one.
    pub config: Option<PathBuf>,
    /// Own process group, so that Ctrl-C reaches the caller alone.
    pub apart: bool,
}

impl NodePlan {
    /// Free ports and a folder below `folder`.
    pub fn in_folder(folder: &Path, name: &str) -> Self {
        Self {
            data_dir: folder.join(name),
            dimse: free_address(),
            page: free_address(),
            relay_address: None,
            config: None,
            apart: false,
        }
    }
}

/// An enrolled agent that may be running.
#[derive(Debug)]
pub struct Node {
    /// Ports and folder.
    pub plan: NodePlan,
    program: Option<Program>,
}

impl Node {
    /// Enrols a new agent at the running relay for a site.
    pub fn enrol(plan: NodePlan, relay: &Relay, site: &str) -> anyhow::Result<Self> {
        Self::enrol_at(plan, relay, site, &relay.plan.quic.to_string())
    }

    /// As [`Self::enrol`], with the relay behind another address.
    pub fn enrol_at(plan: NodePlan, relay: &Relay, site: &str, address: &str) -> anyhow::Result<Self> {
        fs::create_dir_all(&plan.data_dir)?;
        let node = Self { plan, program: None };
        let code = relay.invite_node(site)?;
        run_command(
            &mut node.command(&["enroll", "--relay", address, "--code", &code]),
            None,
        )?;
        Ok(node)
    }

    /// An agent whose data folder holds an enrolment already.
    pub fn enrolled(plan: NodePlan) -> Self {
        Self { plan, program: None }
    }

    /// Starts it, or starts it again, and waits until it is ready.
    pub fn start(&mut self) -> anyhow::Result<()> {
        let mut command = self.command(&["serve"]);
        let log = self.log();
        let mut program = if self.plan.apart {
            Program::start_apart("tancho-agent", &mut command, &log)?
        } else {
            Program::start("tancho-agent", &mut command, &log)?
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

    /// Where the technologist's page is.
    pub fn url(&self) -> String {
        format!("http://{}", self.plan.page)
    }

    /// What it printed.
    pub fn log(&self) -> PathBuf {
        self.plan.data_dir.with_extension("log")
    }

    /// A modality that sends to it.
    pub fn modality(&self) -> Modality {
        Modality::new(self.plan.dimse)
    }

    /// `tancho-agent status --json`.
    pub fn status(&self) -> anyhow::Result<Value> {
        let printed = run_command(&mut self.command(&["status", "--json"]), None)?;
        serde_json::from_str(&printed).with_context(|| format!("status printed no JSON: {printed}"))
    }

    /// `tancho-agent` with these arguments and this agent's configuration.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(built_program("tancho-agent"));
        command.args(arguments).arg("--data-dir").arg(&self.plan.data_dir);
        if let Some(config) = &self.plan.config {
            command.arg("--config").arg(config);
        }
        command.env("TANCHO_DIMSE__LISTEN", self.plan.dimse.to_string());
        command.env("TANCHO_PAGE__LISTEN", self.plan.page.to_string());
        if let Some(address) = &self.plan.relay_address {
            command.env("TANCHO_RELAY__ADDRESS", address);
        }
        command
    }
}
