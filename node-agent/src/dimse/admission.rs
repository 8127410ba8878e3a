//! How many associations there may be, in all and from one address: known modalities stay served while someone
//! floods the port.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts of open associations.
#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_peer: HashMap<IpAddr, usize>,
}

/// Hands out slots.
#[derive(Debug, Clone)]
pub struct Admission {
    counts: Arc<Mutex<Counts>>,
    total_max: usize,
    per_peer_max: usize,
}

/// The right to one association; given back when dropped.
#[derive(Debug)]
pub struct Slot {
    admission: Admission,
    peer: IpAddr,
}

impl Admission {
    /// Limits in all and per address.
    #[must_use]
    pub fn new(total_max: usize, per_peer_max: usize) -> Self {
        Self {
            counts: Arc::default(),
            total_max,
            per_peer_max,
        }
    }

    /// A slot for a connection from `peer`, unless a limit is reached.
    #[must_use]
    pub fn admit(&self, peer: IpAddr) -> Option<Slot> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let of_peer = counts.by_peer.get(&peer).copied().unwrap_or(0);
        if counts.total >= self.total_max || of_peer >= self.per_peer_max {
            return None;
        }
        counts.total += 1;
        counts.by_peer.insert(peer, of_peer + 1);
        Some(Slot {
            admission: self.clone(),
            peer,
        })
    }

    /// Open associations.
    #[must_use]
    pub fn n_open(&self) -> usize {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).total
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self
            .admission
            .counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        counts.total -= 1;
        if let Some(of_peer) = counts.by_peer.get_mut(&self.peer) {
            *of_peer -= 1;
            if *of_peer == 0 {
                counts.by_peer.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flt_017_the_limits_hold_at_the_number_and_not_one_beyond() {
        let admission = Admission::new(3, 2);
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let first = admission.admit(a).unwrap();
        let _second = admission.admit(a).unwrap();
        assert!(admission.admit(a).is_none());
        let _third = admission.admit(b).unwrap();
        assert!(admission.admit(b).is_none());
        drop(first);
        assert!(admission.admit(b).is_some());
        assert_eq!(admission.n_open(), 2);
    }
}
