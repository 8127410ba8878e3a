//! Which nodes are connected, and the one rule about it: a node is in one place at a time.
//!
//! A newer connection takes over from an older one that is dead. When the older one still answers and belongs to
//! another start of the program, two machines hold one certificate: the newer connection is refused and people are
//! told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tancho_domain::ids::NodeId;
use tancho_wire::CloseCode;
use tancho_wire::limits::{OVERLAP_PROBE_MS_MAX, OVERLAP_PROBE_MS_MIN, OVERLAP_PROBE_ROUND_TRIPS};
use tokio::sync::Notify;

use super::carrier::Carrier;

/// Connections of all nodes together.
pub const CONNECTIONS_MAX: usize = 4096;
/// Connections of one node: the one in use and one that is taking over.
pub const CONNECTIONS_PER_NODE_MAX: usize = 2;

/// A connected node.
#[derive(Debug)]
pub struct Member {
    carrier: Carrier,
    boot_id: [u8; 16],
    /// Asks the session to send a Ping now.
    pub probe: Notify,
    /// Rung by the session at each Pong.
    pub answered: Notify,
}

/// Connected nodes.
#[derive(Debug, Default)]
pub struct Registry {
    members: Mutex<HashMap<NodeId, Vec<Arc<Member>>>>,
}

impl Registry {
    /// Joins with a new connection, after the older ones of the node are settled.
    pub async fn join(
        &self,
        node_id: &NodeId,
        boot_id: [u8; 16],
        carrier: &Carrier,
    ) -> Result<Arc<Member>, CloseCode> {
        let older = self.of(node_id);
        if older.len() >= CONNECTIONS_PER_NODE_MAX {
            return Err(CloseCode::OVERLOADED);
        }
        for member in older {
            if member.boot_id != boot_id && is_alive(&member).await {
                return Err(CloseCode::IDENTITY_IN_USE);
            }
            member.carrier.close(CloseCode::REPLACED);
        }
        let member = Arc::new(Member {
            carrier: carrier.clone(),
            boot_id,
            probe: Notify::new(),
            answered: Notify::new(),
        });
        let mut members = self.lock();
        if members.len() >= CONNECTIONS_MAX {
            return Err(CloseCode::OVERLOADED);
        }
        members
            .entry(node_id.clone())
            .or_default()
            .push(Arc::clone(&member));
        Ok(member)
    }

    /// Leaves when the connection has ended.
    pub fn leave(&self, node_id: &NodeId, member: &Arc<Member>) {
        let mut members = self.lock();
        if let Some(of_node) = members.get_mut(node_id) {
            of_node.retain(|other| !Arc::ptr_eq(other, member));
            if of_node.is_empty() {
                members.remove(node_id);
            }
        }
    }

    /// Whether a node is connected.
    #[must_use]
    pub fn is_connected(&self, node_id: &NodeId) -> bool {
        self.lock().contains_key(node_id)
    }

    /// The connected nodes.
    #[must_use]
    pub fn connected(&self) -> Vec<NodeId> {
        self.lock().keys().cloned().collect()
    }

    /// Cuts the connections of a node on the deny-list.
    pub fn cut_denied(&self, node_id: &NodeId) {
        for member in self.of(node_id) {
            tracing::warn!(node.id = %node_id, "live connection of a denied node cut");
            member.carrier.close(CloseCode::DENIED);
        }
    }

    fn of(&self, node_id: &NodeId) -> Vec<Arc<Member>> {
        self.lock().get(node_id).cloned().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<NodeId, Vec<Arc<Member>>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn is_alive(member: &Member) -> bool {
    let answered = member.answered.notified();
    member.probe.notify_one();
    tokio::select! {
        () = answered => true,
        () = member.carrier.closed() => false,
        () = tokio::time::sleep(patience(member.carrier.round_trip())) => false,
    }
}

/// How long a connection with this round trip may take to answer.
fn patience(round_trip: Option<Duration>) -> Duration {
    let most = Duration::from_millis(OVERLAP_PROBE_MS_MAX);
    round_trip.map_or(most, |round_trip| {
        (round_trip * OVERLAP_PROBE_ROUND_TRIPS).clamp(Duration::from_millis(OVERLAP_PROBE_MS_MIN), most)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_connection_has_time_to_answer_by_its_round_trip() {
        let of = |ms| patience(Some(Duration::from_millis(ms))).as_millis();
        assert_eq!([20, 125, 250, 600].map(of), [1_000, 1_000, 2_000, 3_000]);
        assert_eq!(patience(None).as_millis(), 3_000);
    }
}
