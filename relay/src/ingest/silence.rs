//! Nodes that should be connected and are not: the other half of the heartbeat.
//!
//! A site whose line or agent is dead cannot say so itself. The alarm is one `error` line when a node falls silent and
//! one `info` line when it is back; the list of nodes shows the same to administrators.

use std::collections::BTreeSet;

use tancho_domain::ids::NodeId;
use tancho_store::{StoreError, nodes};

use crate::state::AppState;

/// A node that was not heard for this long is silent, in milliseconds.
pub const SILENT_AFTER_MS: i64 = 150_000;

/// Remembers which nodes have been reported.
#[derive(Debug, Default)]
pub struct SilenceWatch {
    silent: BTreeSet<NodeId>,
}

impl SilenceWatch {
    /// Looks once; gives the nodes that have fallen silent since the last look.
    pub async fn look(&mut self, app: &AppState) -> Result<Vec<NodeId>, StoreError> {
        let before_ms = app.now_ms() - SILENT_AFTER_MS;
        let not_heard = nodes::list_silent_nodes(&mut app.db.read().await?, before_ms).await?;
        let silent: BTreeSet<NodeId> = not_heard
            .into_iter()
            .filter(|node_id| !app.nodes_connected.is_connected(node_id))
            .collect();
        for node_id in self.silent.difference(&silent) {
            tracing::info!(node.id = %node_id, "the node is back");
        }
        let fallen: Vec<NodeId> = silent.difference(&self.silent).cloned().collect();
        for node_id in &fallen {
            tracing::error!(node.id = %node_id, "the node is silent: its site cannot send");
        }
        self.silent = silent;
        Ok(fallen)
    }
}
