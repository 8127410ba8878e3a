//! Free ports below the range that the system hands out for outgoing connections.
//!
//! A restarted program must come back on its old port, so port 0 does not do. Candidates start at a place that
//! differs from process to process, and each is tried for TCP and UDP.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 12_000;
const COUNT: u16 = 18_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// An address on this machine that nobody listens on.
///
/// # Panics
/// When no port in the range is free.
pub fn free_address() -> SocketAddr {
    let start = (std::process::id().wrapping_mul(2_654_435_761) >> 8) % u32::from(COUNT);
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + ((start + u32::from(step)) % u32::from(COUNT)) as u16;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if is_free(address) {
            return address;
        }
    }
    panic!("no free port from {FIRST} on");
}

/// Whether both TCP and UDP can be bound there.
pub fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
}
