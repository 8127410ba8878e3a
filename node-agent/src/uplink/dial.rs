//! One attempt to reach the relay, and what is said about it in a word when it fails.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use quinn::{Connection, ConnectionError, Endpoint};
use rustls::AlertDescription;
use rustls_pki_types::ServerName;
use tancho_wire::CloseCode;
use tancho_wire::congestion::PathMemory;
use tancho_wire::limits::RELAY_NAME;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::tls::TlsConfig;

/// An attempt that has not succeeded by then is given up; newer ones run beside it.
const ATTEMPT_TIME: Duration = Duration::from_secs(6);

/// Why there is no connection: a stable code for the page, and a text for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text} ({code})")]
pub struct LinkFault {
    /// Stable code, such as `unreachable` or `certificate_refused`.
    pub code: &'static str,
    /// For the log.
    pub text: String,
}

impl LinkFault {
    pub(super) fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }

    /// Whether only a person can end it, so that dialling every second is of no use.
    pub(super) fn needs_a_person(&self) -> bool {
        matches!(
            self.code,
            "version_unsupported"
                | "feature_unsupported"
                | "identity_required"
                | "node_denied"
                | "node_not_approved"
                | "node_identity_in_use"
                | "certificate_refused"
                | "certificate_expired"
                | "relay_not_trusted"
        )
    }
}

/// Connects to `address` (`host:port`), at the speed that `memory` allows. Every attempt has its own socket, so that a dead path is not used again.
pub(super) async fn dial(
    address: &str,
    tls: &TlsConfig,
    memory: Option<PathMemory>,
) -> Result<Connection, LinkFault> {
    let attempt = async {
        let config = tls
            .quic(memory)
            .map_err(|error| LinkFault::new("tls_failed", error.to_string()))?;
        let remote = resolve(address).await?;
        let local: IpAddr = if remote.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        let endpoint = Endpoint::client(SocketAddr::new(local, 0))
            .map_err(|error| LinkFault::new("no_network", format!("opening a socket: {error}")))?;
        let connecting = endpoint
            .connect_with(config, remote, RELAY_NAME)
            .map_err(|error| LinkFault::new("no_network", error.to_string()))?;
        connecting.await.map_err(|error| fault_of(&error))
    };
    match tokio::time::timeout(ATTEMPT_TIME, attempt).await {
        Ok(result) => result,
        Err(_) => Err(LinkFault::new("unreachable", "the relay does not answer")),
    }
}

/// Connects to `address` (`host:port`) by TLS over TCP.
pub(super) async fn dial_tcp(address: &str, tls: &TlsConfig) -> Result<TlsStream<TcpStream>, LinkFault> {
    let attempt = async {
        let remote = resolve(address).await?;
        let stream = TcpStream::connect(remote)
            .await
            .map_err(|error| LinkFault::new("unreachable", error.to_string()))?;
        stream
            .set_nodelay(true)
            .map_err(|error| LinkFault::new("line_failed", error.to_string()))?;
        let name = ServerName::try_from(RELAY_NAME)
            .map_err(|error| LinkFault::new("relay_not_trusted", error.to_string()))?;
        tls.tcp()
            .connect(name, stream)
            .await
            .map_err(|error| tls_fault(&error))
    };
    match tokio::time::timeout(ATTEMPT_TIME, attempt).await {
        Ok(result) => result,
        Err(_) => Err(LinkFault::new("unreachable", "the relay does not answer")),
    }
}

/// What a failed TLS handshake over TCP means.
fn tls_fault(error: &io::Error) -> LinkFault {
    let code = match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::AlertReceived(AlertDescription::CertificateExpired)) => "certificate_expired",
        Some(rustls::Error::AlertReceived(_)) => "certificate_refused",
        Some(rustls::Error::InvalidCertificate(_)) => "relay_not_trusted",
        _ => "line_failed",
    };
    LinkFault::new(code, error.to_string())
}

async fn resolve(address: &str) -> Result<SocketAddr, LinkFault> {
    let unknown = |text: String| LinkFault::new("name_unknown", text);
    let mut found = tokio::net::lookup_host(address)
        .await
        .map_err(|error| unknown(error.to_string()))?;
    found
        .next()
        .ok_or_else(|| unknown("the relay's name has no address".to_owned()))
}

/// What a connection's end means.
pub(super) fn fault_of(error: &ConnectionError) -> LinkFault {
    let text = error.to_string();
    let code = match error {
        ConnectionError::ApplicationClosed(close) => {
            u32::try_from(close.error_code.into_inner()).map_or("closed", |code| CloseCode(code).name())
        }
        ConnectionError::TimedOut => "unreachable",
        // The relay's TLS refused us: QUIC error 0x100 plus the alert's number (RFC 9001 section 4.8).
        ConnectionError::ConnectionClosed(close) => match u64::from(close.error_code) {
            0x12d => "certificate_expired",
            0x12a..=0x130 | 0x174 => "certificate_refused",
            _ => "closed",
        },
        // Our TLS refused the relay.
        ConnectionError::TransportError(error) if (0x100..0x200).contains(&u64::from(error.code)) => {
            "relay_not_trusted"
        }
        ConnectionError::LocallyClosed => "closed",
        _ => "line_failed",
    };
    LinkFault { code, text }
}
