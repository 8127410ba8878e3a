//! One attempt to reach the relay, and what is said about it in a word when it fails.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use quinn::{ClientConfig, Connection, ConnectionError, Endpoint};
use tancho_wire::CloseCode;
use tancho_wire::limits::RELAY_NAME;

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

/// Connects to `address` (`host:port`). Every attempt has its own socket, so that a dead path is not used again.
pub(super) async fn dial(address: &str, config: ClientConfig) -> Result<Connection, LinkFault> {
    let attempt = async {
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
