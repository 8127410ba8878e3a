//! A whole small network: the relay, two requesting sites with an agent each, a reading centre, and its people.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::mail::MailSink;
use crate::modality::Answer;
use crate::node::{Node, NodePlan};
use crate::people::{Person, Session};
use crate::phantom::PhantomStudy;
use crate::ports::free_address;
use crate::relay::{Relay, RelayPlan};
use crate::wait::until;

/// The password of everybody in the tests and the demo; long enough for any rule, and never used elsewhere.
pub const PASSWORD: &str = "tancho-on-thin-ice-2026";

/// A site.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// Short code.
    pub code: &'static str,
    /// As shown.
    pub name: &'static str,
    /// `requesting`, `reading` or `both`.
    pub kind: &'static str,
    /// Call-back number.
    pub phone: Option<&'static str>,
}

/// The sites: two that scan and one that reads. The names are invented.
pub const SITES: [Site; 3] = [
    Site {
        code: "DOTO",
        name: "道東診療所",
        kind: "requesting",
        phone: Some("0153-00-1111"),
    },
    Site {
        code: "KITAHAMA",
        name: "北浜クリニック",
        kind: "requesting",
        phone: Some("0152-00-2222"),
    },
    Site {
        code: "CENTER",
        name: "読影センター",
        kind: "reading",
        phone: Some("0154-00-3333"),
    },
];

/// Everybody: each role at least once, and two readers because they may claim at the same moment.
pub const PEOPLE: [Person; 8] = [
    person("technologist", "放射 技子", "technologist", "DOTO", None),
    person(
        "referrer",
        "北 健二",
        "referrer",
        "DOTO",
        Some("referrer@doto.example"),
    ),
    person(
        "referrer2",
        "浜 三郎",
        "referrer",
        "KITAHAMA",
        Some("referrer@kitahama.example"),
    ),
    person(
        "reader",
        "読影 一",
        "reader",
        "CENTER",
        Some("reader@center.example"),
    ),
    person(
        "reader2",
        "読影 二",
        "reader",
        "CENTER",
        Some("reader2@center.example"),
    ),
    person(
        "liaison",
        "連携 京子",
        "liaison",
        "CENTER",
        Some("liaison@center.example"),
    ),
    person("admin", "管理 太郎", "admin", "CENTER", None),
    person("auditor", "監査 次郎", "auditor", "CENTER", None),
];

const fn person(
    login: &'static str,
    name: &'static str,
    role: &'static str,
    site: &'static str,
    email: Option<&'static str>,
) -> Person {
    Person {
        login,
        name,
        role,
        site,
        email,
        password: PASSWORD,
    }
}

/// What is wanted of a [`Network`].
#[derive(Clone, Debug)]
pub struct NetworkPlan {
    /// Everything goes below it.
    pub folder: PathBuf,
    /// Relay ports.
    pub relay: RelayPlan,
    /// Agent of each requesting site, in the order of [`SITES`].
    pub nodes: Vec<NodePlan>,
    /// Where the mail server listens; none starts none.
    pub mail: Option<SocketAddr>,
}

impl NetworkPlan {
    /// Free ports, everything in `folder`, with `n_nodes` agents.
    pub fn in_folder(folder: &Path, n_nodes: usize) -> Self {
        let nodes = SITES.iter().take(n_nodes);
        let nodes = nodes
            .map(|site| NodePlan::in_folder(folder, &site.code.to_lowercase()))
            .collect();
        Self {
            folder: folder.to_owned(),
            relay: RelayPlan::in_folder(folder),
            nodes,
            mail: None,
        }
    }
}

/// The running network; everything stops when it is dropped.
#[derive(Debug)]
pub struct Network {
    /// The relay.
    pub relay: Relay,
    /// Agents, in the order of [`SITES`].
    pub nodes: Vec<Node>,
    /// Takes the relay's mail.
    pub mail: Option<MailSink>,
    _folder: Option<TempDir>,
}

impl Network {
    /// A new network in a temporary folder, with one agent and no mail server.
    ///
    /// # Panics
    /// When a program does not start; its log is in the message.
    pub fn small() -> Self {
        Self::temporary(1, false)
    }

    /// A new network in a temporary folder.
    ///
    /// # Panics
    /// When a program does not start; its log is in the message.
    pub fn temporary(n_nodes: usize, with_mail: bool) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("tancho-")
            .tempdir()
            .expect("a temporary folder");
        let mut plan = NetworkPlan::in_folder(folder.path(), n_nodes);
        if with_mail {
            plan.mail = Some(free_address());
        }
        let mut network = Self::start(plan).unwrap_or_else(|error| panic!("{error:#}"));
        network._folder = Some(folder);
        network
    }

    /// Makes sites and people, starts the programs and enrols the agents. What is in the folder already is used.
    pub fn start(mut plan: NetworkPlan) -> anyhow::Result<Self> {
        let is_new = !plan.relay.data_dir.exists();
        let apart = plan.relay.apart;
        let mail = match plan.mail {
            Some(address) => Some(MailSink::start(address, &plan.folder.join("mail"), apart)?),
            None => None,
        };
        plan.relay.smtp = plan.mail;
        let mut relay = Relay::prepared(plan.relay)?;
        if is_new {
            for site in SITES {
                relay.add_site(site.code, site.name, site.kind, site.phone)?;
            }
        }
        relay.start()?;
        if is_new {
            for person in &PEOPLE {
                relay.add_user(person)?;
            }
        }
        let mut nodes = Vec::new();
        for (node, site) in plan.nodes.into_iter().zip(SITES) {
            let mut node = if is_new {
                Node::enrol(node, &relay, site.code)?
            } else {
                Node::enrolled(node)
            };
            node.start()?;
            nodes.push(node);
        }
        Ok(Self {
            relay,
            nodes,
            mail,
            _folder: None,
        })
    }

    /// The first agent.
    pub fn node(&mut self) -> &mut Node {
        &mut self.nodes[0]
    }

    /// Somebody of [`PEOPLE`], logged in.
    ///
    /// # Panics
    /// When there is no such person or the login fails.
    pub fn session(&self, login: &str) -> Session {
        let person = PEOPLE
            .iter()
            .find(|person| person.login == login)
            .expect("somebody of PEOPLE");
        Session::log_in(&self.relay.url(), person).unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Waits until the relay has every instance of a study durable and verified, and gives what it says of it.
    ///
    /// # Panics
    /// When that does not happen in time.
    pub fn wait_for_study(&self, study_instance_uid: &str, n_instances: usize) -> Value {
        let reader = self.session("reader");
        until(
            format!("{n_instances} verified instances of the study at the relay"),
            || {
                let found = reader.items("/api/v1/reading-requests?state=all").ok()?;
                found.into_iter().find(|request| {
                    request["study"]["study_instance_uid"] == study_instance_uid
                        && request["arrival"]["verified"].as_u64() >= Some(n_instances as u64)
                })
            },
        )
    }

    /// Checks that the relay gives back every file of a study byte for byte.
    ///
    /// # Panics
    /// At the first that differs.
    pub fn assert_byte_exact(&self, study: &PhantomStudy) {
        for file in &study.files {
            let exported = self.relay.exported_sha256(&file.sop_instance_uid);
            let exported = exported.unwrap_or_else(|error| panic!("{error:#}"));
            assert_eq!(
                exported, file.data_set_sha256,
                "{} came back changed",
                file.sop_instance_uid
            );
        }
    }

    /// Stops everything in order; the agents first, so that none reports a lost relay.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        for node in &mut self.nodes {
            node.stop()?;
        }
        self.relay.stop()?;
        self.mail.as_mut().map_or(Ok(()), MailSink::stop)
    }
}

/// Checks that every file was answered with success.
///
/// # Panics
/// At the first that was not.
pub fn assert_all_stored(answers: &[Answer], expected: usize) {
    let refused: Vec<&Answer> = answers.iter().filter(|answer| !answer.is_success()).collect();
    assert!(refused.is_empty(), "not stored: {refused:?}");
    assert_eq!(answers.len(), expected, "every file was answered");
}
