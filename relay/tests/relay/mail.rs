//! A real SMTP server (aiosmtpd) in a process of its own, and mails through it, with and without TLS.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tancho_domain::access::Role;
use tancho_relay::config::{MailTls, SmtpConfig};
use tancho_relay::jobs;
use tancho_relay::jobs::email::{self, Email};
use tancho_store::outbox::{self, JobState};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::harness::TestRelay;

/// Longest wait for a mail that must come.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

/// Prints its port, then one JSON line for every message.
const SERVER: &str = r#"
import asyncio, email, email.policy, json, ssl, sys
from aiosmtpd.smtp import SMTP

class Sink:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("refused"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"
    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        print(json.dumps({"to": envelope.rcpt_tos, "from": envelope.mail_from, "tls": session.ssl is not None,
            "subject": message["subject"], "message_id": message["message-id"], "text": message.get_content(),
            "raw": envelope.content.decode("ascii")}), flush=True)
        return "250 taken"

async def main():
    tls = None
    if len(sys.argv) > 1:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(sys.argv[1], sys.argv[2])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(Sink(), tls_context=tls, require_starttls=tls is not None), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"#;

/// A Python with aiosmtpd: `TANCHO_PYTHON`, or the environment that `make setup` prepares. None skips, loudly.
pub fn python_with_aiosmtpd() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from);
    let prepared = target.join("test-tools/venv/bin/python");
    let named = std::env::var_os("TANCHO_PYTHON").map(PathBuf::from);
    let found = [named, Some(prepared), Some("python3".into())]
        .into_iter()
        .flatten()
        .find(|python| {
            let mut asking = std::process::Command::new(python);
            let asked = asking
                .args(["-c", "import aiosmtpd"])
                .stderr(Stdio::null())
                .status();
            asked.is_ok_and(|status| status.success())
        });
    if found.is_none() {
        eprintln!("SKIPPED: no Python with aiosmtpd; run `make setup` or set TANCHO_PYTHON");
    }
    found
}

/// The running server; it ends with this value.
pub struct MailServer {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub port: u16,
}

impl MailServer {
    /// With certificate and key it insists on STARTTLS.
    pub async fn start(python: &Path, tls: Option<(&Path, &Path)>) -> Self {
        let mut command = Command::new(python);
        command
            .args(["-c", SERVER])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        if let Some((certificate, key)) = tls {
            command.arg(certificate).arg(key);
        }
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next_line().await.unwrap().unwrap();
        Self {
            _child: child,
            lines,
            port: port.parse().unwrap(),
        }
    }

    /// Waits for the next message.
    pub async fn next_message(&mut self) -> Value {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line())
            .await
            .expect("a mail in time");
        serde_json::from_str(&line.unwrap().unwrap()).unwrap()
    }

    /// Whether every message was taken by [`MailServer::next_message`].
    pub fn has_no_more(&mut self) -> bool {
        self.lines.get_ref().buffer().is_empty()
    }
}

/// The relay's configuration for this server.
pub fn smtp_config(server: &MailServer, ca_file: Option<PathBuf>) -> SmtpConfig {
    SmtpConfig {
        host: "localhost".to_owned(),
        port: server.port,
        tls: if ca_file.is_some() {
            MailTls::StartTls
        } else {
            MailTls::None
        },
        credentials: None,
        from: "丹頂 <tancho@relay.example.jp>".to_owned(),
        ca_file,
    }
}

#[tokio::test]
async fn a_mail_is_sent_over_starttls_with_an_id_of_its_own() {
    let Some(python) = python_with_aiosmtpd() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let mut server = MailServer::start(&python, Some((&certificate, &key))).await;
    let smtp = smtp_config(&server, Some(certificate));
    let relay = TestRelay::start_with(|config| {
        config.jobs.workers = 0;
        config.smtp = Some(smtp);
    })
    .await;
    let person = relay.someone(Role::Referrer).await;
    let mail = Email {
        to: "hanako@example.jp".to_owned(),
        subject: "所見確定 4711\r\nBcc: everyone@example.jp".to_owned(),
        text: "症例 4711 の所見が確定しました。\n".to_owned(),
    };
    let mut tx = relay.app().db.write().await.unwrap();
    let id = email::enqueue(&mut tx, &person.scope.network_id, &mail, relay.app().now_ms())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert!(jobs::run_due_job(relay.app()).await.unwrap());
    let message = server.next_message().await;
    assert_eq!(message["tls"], true);
    assert_eq!(message["message_id"], format!("<{id}@relay.example.jp>"));
    assert_eq!(message["to"], json!(["hanako@example.jp"]));
    assert!(message["text"].as_str().unwrap().contains("症例 4711"));
    // FLT-109: a line break in a subject adds no header.
    let raw = message["raw"].as_str().unwrap();
    assert!(
        !raw.lines().any(|line| line.to_lowercase().starts_with("bcc:")),
        "{raw}"
    );
    relay.stop().await;
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_not_sent_to() {
    let Some(python) = python_with_aiosmtpd() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let mut server = MailServer::start(&python, Some((&certificate, &key))).await;
    let mut smtp = smtp_config(&server, Some(certificate));
    smtp.ca_file = None;
    let relay = TestRelay::start_with(|config| {
        config.jobs.workers = 0;
        config.smtp = Some(smtp);
    })
    .await;
    let outcome = one_attempt(&relay, "hanako@example.jp").await;
    assert_eq!((outcome.state, outcome.attempts), (JobState::Queued, 1));
    assert!(server.has_no_more());
    give_up(&relay, &outcome).await;
    relay.stop().await;
}

#[tokio::test]
async fn an_address_that_is_refused_for_good_is_not_tried_again() {
    let Some(python) = python_with_aiosmtpd() else {
        return;
    };
    let server = MailServer::start(&python, None).await;
    let relay = TestRelay::start_with(|config| {
        config.jobs.workers = 0;
        config.smtp = Some(smtp_config(&server, None));
    })
    .await;
    for address in ["refused@example.jp", "not an address"] {
        let outcome = one_attempt(&relay, address).await;
        assert_eq!(
            (outcome.state, outcome.attempts),
            (JobState::Failed, 1),
            "{address}"
        );
        assert!(!outcome.last_error.unwrap().contains("example.jp"));
    }
    relay.stop().await;
}

async fn one_attempt(relay: &TestRelay, to: &str) -> outbox::Job {
    let (scope, _) = relay
        .site(
            "default",
            &format!("S{}", to.len()),
            tancho_store::sites::SiteKind::Both,
        )
        .await;
    let mail = Email {
        to: to.to_owned(),
        subject: "s".to_owned(),
        text: "t".to_owned(),
    };
    let mut tx = relay.app().db.write().await.unwrap();
    let id = email::enqueue(&mut tx, &scope.network_id, &mail, relay.app().now_ms())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert!(jobs::run_due_job(relay.app()).await.unwrap());
    let mut tx = relay.app().db.read().await.unwrap();
    outbox::get_job(&mut tx, &scope, &id).await.unwrap()
}

/// Reports the job as failed, so that none is left behind.
async fn give_up(relay: &TestRelay, job: &outbox::Job) {
    let mut tx = relay.app().db.write().await.unwrap();
    let taken = outbox::claim_due_job(&mut tx, job.run_at_ms, job.run_at_ms + 1)
        .await
        .unwrap()
        .unwrap();
    outbox::report_attempt(
        &mut tx,
        &taken,
        &outbox::Outcome::Failed("test".to_owned()),
        job.run_at_ms,
    )
    .await
    .unwrap();
    tx.commit().await.unwrap();
}
