//! `[smtp]`: the mail server for notices. Mails carry no patient data.

use super::source::Section;

/// How the line to the mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailTls {
    /// Plain first, then STARTTLS or nothing is sent (port 587).
    StartTls,
    /// TLS from the first byte (port 465).
    Implicit,
    /// None: for a mail server on the same machine only.
    None,
}

/// Sender when the mail server is on this machine and nothing else is set.
const FROM_ON_THIS_MACHINE: &str = "Tancho <tancho@localhost>";

/// The mail server.
#[derive(Clone)]
pub struct SmtpConfig {
    /// Host name; the certificate must be for it.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How the line is protected; `none` by default for a server on this machine, else STARTTLS.
    pub tls: MailTls,
    /// Login name, with a password from a file.
    pub credentials: Option<(String, String)>,
    /// Sender address.
    pub from: String,
    /// Further certificate authority for the server, PEM.
    pub ca_file: Option<std::path::PathBuf>,
}

impl std::fmt::Debug for SmtpConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SmtpConfig")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

impl SmtpConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        if !section.is_set() {
            return None;
        }
        let host = section.text("host");
        let on_this_machine = host.as_deref().is_some_and(is_this_machine);
        let tls_default = if on_this_machine {
            MailTls::None
        } else {
            MailTls::StartTls
        };
        let tls = section
            .word(
                "tls",
                &[
                    ("starttls", MailTls::StartTls),
                    ("implicit", MailTls::Implicit),
                    ("none", MailTls::None),
                ],
            )
            .unwrap_or(tls_default);
        let port_default = match tls {
            MailTls::Implicit => 465,
            MailTls::StartTls => 587,
            MailTls::None => 25,
        };
        let port = section
            .integer("port", 1..=65_535)
            .and_then(|port| u16::try_from(port).ok());
        let username = section.text("username");
        let has_password = section.has("password_file");
        let password = section.secret_file("password_file");
        if username.is_some() != has_password {
            section.problem(
                "username",
                "smtp.username and smtp.password_file are set together or not at all",
            );
        }
        let from = section
            .text("from")
            .or_else(|| on_this_machine.then(|| FROM_ON_THIS_MACHINE.to_owned()));
        let is_address = |from: &String| from.parse::<lettre::message::Mailbox>().is_ok();
        if !from.as_ref().is_some_and(is_address) {
            section.problem("from", "a sender address expected: Tancho <tancho@example.jp>");
        }
        let ca_file = section.path("ca_file");
        let Some(host) = host else {
            section.problem("host", "a host name expected");
            return None;
        };
        if tls == MailTls::None && !on_this_machine {
            section.problem("tls", "\"none\" is for a mail server on this machine only");
        }
        Some(Self {
            host,
            port: port.unwrap_or(port_default),
            tls,
            credentials: username.zip(password),
            from: from.unwrap_or_default(),
            ca_file,
        })
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
