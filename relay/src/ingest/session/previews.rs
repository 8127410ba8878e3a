//! What a reader needs first: low-resolution parts are looked through when they have come, and the node is told where
//! readers look.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tancho_wire::transfer::OfferedInstance;
use tancho_wire::{CloseCode, Digest};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::{End, Session, lock};
use crate::ingest::focus::Look;
use crate::ingest::incoming::part_key;
use crate::ingest::{readable, status};

/// Where a reader looks is told this often at most; only the last place of a study counts.
const FOCUS_EVERY: Duration = Duration::from_millis(100);

impl Session {
    /// Counts the instances whose low-resolution parts have come, and says so.
    pub(super) async fn begin_previews(&self, digests: &[Digest]) {
        let offered: Vec<OfferedInstance> = {
            let receiver = self.receiver();
            digests
                .iter()
                .filter_map(|digest| receiver.offered(digest).cloned())
                .collect()
        };
        if offered.is_empty() {
            return;
        }
        let paths: Vec<PathBuf> = offered
            .iter()
            .map(|offered| self.part_path(&offered.item.container_sha256))
            .collect();
        let looked_at = tokio::task::spawn_blocking(move || -> Vec<OfferedInstance> {
            let parts = offered.into_iter().zip(paths);
            parts
                .filter(|(offered, path)| {
                    readable::can_be_looked_at(path, &offered.item).unwrap_or_else(|error| {
                        tracing::warn!(%error, "the low-resolution parts of a container could not be read");
                        false
                    })
                })
                .map(|(offered, _)| offered)
                .collect()
        });
        let Ok(looked_at) = looked_at.await else { return };
        let mut studies = BTreeSet::new();
        for offered in looked_at {
            let digest = offered.item.container_sha256;
            let heads = lock(&self.heads);
            let Some(arrived) = heads.get(&digest) else {
                continue;
            };
            // One that is not displayed is not among those that are announced either.
            if !arrived.held && arrived.revision == 1 {
                let key = part_key(&self.origin.site_id, digest);
                self.app
                    .readable
                    .add(&self.origin.site_id, &offered.study_instance_uid, key);
                studies.insert(arrived.study_id.clone());
            }
        }
        for study_id in studies {
            status::publish_study(&self.app, &self.origin.network_id, &study_id).await;
        }
    }

    /// Tells the node where readers of its site's studies look.
    pub(super) async fn follow_readers(self: Arc<Self>, mut looks: Receiver<Arc<Look>>) -> End {
        loop {
            let look = match looks.recv().await {
                Ok(look) => look,
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return End::Close(CloseCode::SHUTDOWN),
            };
            // The newest look at each study, so that a reader who scrolls fast is not followed slice by slice.
            let mut newest: Vec<Arc<Look>> = Vec::new();
            let mut next = Some(look);
            while let Some(look) = next {
                if look.site_id == self.origin.site_id {
                    newest.retain(|older| older.focus.study_instance_uid != look.focus.study_instance_uid);
                    newest.push(look);
                }
                next = loop {
                    match looks.try_recv() {
                        Ok(look) => break Some(look),
                        Err(TryRecvError::Lagged(_)) => {}
                        Err(TryRecvError::Empty | TryRecvError::Closed) => break None,
                    }
                };
            }
            if !newest.is_empty() {
                self.with_receiver(|receiver| {
                    for look in newest {
                        receiver.focus(look.focus.clone());
                    }
                });
            }
            tokio::time::sleep(FOCUS_EVERY).await;
        }
    }
}
