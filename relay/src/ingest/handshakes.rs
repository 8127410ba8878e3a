//! Handshakes under way, by where they come from: one source cannot take the turns of all others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Handshakes of one source under way at once.
pub const PER_SOURCE_MAX: usize = 8;

/// An IPv4 address, or the /64 of an IPv6 address: what one customer has. Sources that have proved their address are
/// counted apart, so that forged packets do not keep their real owner out.
type Source = (u64, bool);

/// Counts them.
#[derive(Debug, Default)]
pub struct Handshakes {
    under_way: Mutex<HashMap<Source, usize>>,
}

/// One handshake, until it is dropped.
#[derive(Debug)]
pub struct Handshake {
    all: Arc<Handshakes>,
    source: Source,
}

impl Handshakes {
    /// Begins one; `None` when its source has too many.
    #[must_use]
    pub fn begin(self: &Arc<Self>, address: IpAddr, is_validated: bool) -> Option<Handshake> {
        let source = (network_of(address), is_validated);
        let mut under_way = self.lock();
        let n_under_way = under_way.entry(source).or_default();
        if *n_under_way >= PER_SOURCE_MAX {
            return None;
        }
        *n_under_way += 1;
        Some(Handshake {
            all: Arc::clone(self),
            source,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Source, usize>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        let mut under_way = self.all.lock();
        if let Some(n_under_way) = under_way.get_mut(&self.source) {
            *n_under_way -= 1;
            if *n_under_way == 0 {
                under_way.remove(&self.source);
            }
        }
    }
}

fn network_of(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(u32::from(address)),
        IpAddr::V6(address) => (u128::from(address) >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_cannot_take_the_turns_of_others() {
        let handshakes = Arc::new(Handshakes::default());
        let begin = |address: &str, is_validated| handshakes.begin(address.parse().unwrap(), is_validated);
        let mut held: Vec<Handshake> = (0..PER_SOURCE_MAX)
            .map(|n| begin(&format!("2001:db8::{n:x}"), false).unwrap())
            .collect();
        assert!(begin("2001:db8::ffff", false).is_none(), "the same /64");
        let proved = begin("2001:db8::1", true).unwrap();
        let other = begin("2001:db8:0:1::1", false).unwrap();
        held.pop();
        held.push(begin("2001:db8::ffff", false).unwrap());
        held.extend((0..PER_SOURCE_MAX).map(|_| begin("192.0.2.1", false).unwrap()));
        assert!(
            begin("::ffff:192.0.2.1", false).is_none(),
            "the same IPv4 address"
        );
        held.extend(begin("192.0.2.2", false));
        drop((held, proved, other));
        assert!(handshakes.lock().is_empty());
    }
}
