//! `[http]`: where the pages and the API are served.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::source::{Section, check_not_exposed};

/// Connections that may be open at once by default.
const CONNECTIONS_MAX_DEFAULT: i64 = 1024;

/// The pages and the API.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Address and port; anything but loopback needs TLS here or a proxy in front.
    pub listen: SocketAddr,
    /// A proxy on the way speaks TLS to browsers and sets `X-Forwarded-For`.
    pub behind_proxy: bool,
    /// Certificate chain and key, PEM.
    pub tls: Option<TlsFiles>,
    /// What people type: `https://tancho.example.jp`. Used in mails; `None` means the address listened on.
    pub public_url: Option<String>,
    /// Connections open at once; more wait.
    pub connections_max: usize,
}

/// Certificate chain and key, PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The chain, own certificate first.
    pub cert_file: PathBuf,
    /// The key.
    pub key_file: PathBuf,
}

impl HttpConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let listen = section
            .parsed("listen", "address:port")
            .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080)));
        let behind_proxy = section.flag("behind_proxy").unwrap_or(false);
        let tls = read_tls(section);
        if !listen.ip().is_loopback() && tls.is_none() && !behind_proxy {
            section.problem(
                "listen",
                format!(
                    "{listen} is reachable from outside: set http.tls_cert_file and http.tls_key_file, or \
                     http.behind_proxy = true when a proxy in front speaks TLS"
                ),
            );
        }
        let connections_max = section
            .integer("connections_max", 1..=65_536)
            .unwrap_or(CONNECTIONS_MAX_DEFAULT);
        Self {
            listen,
            behind_proxy,
            tls,
            public_url: read_public_url(section),
            connections_max: usize::try_from(connections_max).unwrap_or(1),
        }
    }

    /// Whether browsers reach us over TLS, so that cookies must be `Secure`.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.tls.is_some() || self.behind_proxy
    }
}

fn read_tls(section: &mut Section<'_>) -> Option<TlsFiles> {
    match (section.path("tls_cert_file"), section.path("tls_key_file")) {
        (Some(cert_file), Some(key_file)) => {
            if !cert_file.is_file() {
                section.problem(
                    "tls_cert_file",
                    format!("{}: a file expected", cert_file.display()),
                );
            }
            if let Err(reason) = check_not_exposed(&key_file) {
                section.problem("tls_key_file", reason);
            }
            Some(TlsFiles { cert_file, key_file })
        }
        (None, None) => None,
        (Some(_), None) => {
            section.problem("tls_key_file", "missing beside http.tls_cert_file");
            None
        }
        (None, Some(_)) => {
            section.problem("tls_cert_file", "missing beside http.tls_key_file");
            None
        }
    }
}

fn read_public_url(section: &mut Section<'_>) -> Option<String> {
    let url = section.text("public_url")?;
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    match rest {
        Some(host) if !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']) => Some(url),
        _ => {
            section.problem(
                "public_url",
                format!("https://host[:port] without a path expected, found {url:?}"),
            );
            None
        }
    }
}
