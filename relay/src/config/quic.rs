//! `[quic]`: where node agents connect.

use std::net::SocketAddr;

use super::source::Section;

/// The listeners for node agents.
#[derive(Debug, Clone)]
pub struct QuicConfig {
    /// UDP address and port.
    pub listen: SocketAddr,
    /// TCP address and port for lines that block UDP; by default the same as `listen`.
    pub tcp_listen: SocketAddr,
}

impl QuicConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let listen = section
            .parsed("listen", "address:port")
            .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 4433)));
        Self {
            listen,
            tcp_listen: section.parsed("tcp_listen", "address:port").unwrap_or(listen),
        }
    }
}
