//! Mails: a notice that something is there, never what it says. No patient data, by construction of the callers.
//!
//! The Message-ID is made from the job's id, so that a mail sent twice is the same mail to the recipient's system.

use std::time::Duration;

use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use serde::{Deserialize, Serialize};
use tancho_domain::ids::{JobId, NetworkId};
use tancho_store::outbox::{Job, Outcome};
use tancho_store::{StoreError, Tx};

use super::retry;
use crate::config::{MailTls, SmtpConfig};
use crate::state::AppState;

/// Kind of these jobs in the outbox.
pub const KIND: &str = "email";
/// Attempts before a mail is given up: about two hours.
pub const ATTEMPTS_MAX: i64 = 16;
/// Longest time for one step of the conversation with the mail server.
const STEP_TIME_MAX: Duration = Duration::from_secs(20);
/// Longest time for all of it; well below the lease.
const SEND_TIME_MAX: Duration = Duration::from_secs(60);

/// A mail to be sent. Subject and text carry case code, urgency and a link, nothing about a patient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Email {
    /// Address of one person.
    pub to: String,
    /// Subject.
    pub subject: String,
    /// Plain text.
    pub text: String,
}

/// Enqueues a mail in the transaction of the change that causes it; ring `app.jobs_waiting` after the commit.
pub async fn enqueue(
    tx: &mut Tx,
    network_id: &NetworkId,
    mail: &Email,
    now_ms: i64,
) -> Result<JobId, StoreError> {
    let payload = serde_json::to_value(mail)?;
    super::enqueue(tx, network_id, KIND, &payload, ATTEMPTS_MAX, now_ms).await
}

/// Sends one mail.
pub async fn send(app: &AppState, job: &Job) -> Outcome {
    let Ok(mail) = serde_json::from_str::<Email>(&job.payload) else {
        return Outcome::Failed("the stored mail cannot be read".to_owned());
    };
    let Some(config) = &app.config.smtp else {
        return retry(app, job, "no mail server is configured");
    };
    let message = match compose(config, job, &mail) {
        Ok(message) => message,
        Err(reason) => return Outcome::Failed(reason),
    };
    let transport = match transport(config) {
        Ok(transport) => transport,
        Err(reason) => return retry(app, job, reason),
    };
    match tokio::time::timeout(SEND_TIME_MAX, transport.send(message)).await {
        Ok(Ok(answer)) => Outcome::Done(format!("accepted with {}", answer.code())),
        // A permanent refusal (5xx) of this address will not become an acceptance by itself.
        Ok(Err(error)) if error.is_permanent() => Outcome::Failed(refusal(&error)),
        Ok(Err(error)) => retry(app, job, refusal(&error)),
        Err(_) => retry(app, job, "the mail server took too long"),
    }
}

/// The server's own text may repeat the address; its code says enough.
fn refusal(error: &lettre::transport::smtp::Error) -> String {
    match error.status() {
        Some(code) => format!("the mail server answered {code}"),
        None if error.is_timeout() => "the mail server took too long".to_owned(),
        None if error.is_tls() => "TLS to the mail server failed".to_owned(),
        None => "the mail server cannot be reached".to_owned(),
    }
}

fn compose(config: &SmtpConfig, job: &Job, mail: &Email) -> Result<Message, String> {
    let from: Mailbox = config
        .from
        .parse()
        .map_err(|_| "smtp.from is not an address".to_owned())?;
    let to: Mailbox = mail
        .to
        .parse()
        .map_err(|_| "the recipient's address is malformed".to_owned())?;
    let id = format!("<{}@{}>", job.id, from.email.domain());
    Message::builder()
        .from(from)
        .to(to)
        .message_id(Some(id))
        .subject(mail.subject.as_str())
        .header(ContentType::TEXT_PLAIN)
        .body(mail.text.clone())
        .map_err(|_| "the mail cannot be composed".to_owned())
}

fn transport(config: &SmtpConfig) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    let tls = match config.tls {
        MailTls::None => Tls::None,
        MailTls::StartTls => Tls::Required(tls_parameters(config)?),
        MailTls::Implicit => Tls::Wrapper(tls_parameters(config)?),
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
        .port(config.port)
        .timeout(Some(STEP_TIME_MAX))
        .tls(tls);
    if let Some((username, password)) = &config.credentials {
        builder = builder.credentials(Credentials::new(username.clone(), password.clone()));
    }
    Ok(builder.build())
}

fn tls_parameters(config: &SmtpConfig) -> Result<TlsParameters, String> {
    let mut builder = TlsParameters::builder(config.host.clone());
    if let Some(file) = &config.ca_file {
        let pem = std::fs::read(file).map_err(|_| "smtp.ca_file cannot be read".to_owned())?;
        let certificate = Certificate::from_pem(&pem).map_err(|_| "smtp.ca_file is not PEM".to_owned())?;
        builder = builder.add_root_certificate(certificate);
    }
    builder
        .build()
        .map_err(|_| "TLS for the mail server cannot be set up".to_owned())
}
