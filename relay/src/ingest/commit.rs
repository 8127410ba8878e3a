//! Group commit: instances that are verified and durable as blobs get their rows, many in one transaction.
//!
//! Receipts wait for it, so a busy relay pays for one synchronous commit instead of hundreds. One task does it for
//! all connections.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tancho_domain::ids::{InstanceId, NetworkId, StudyId};
use tancho_store::audit::{self, Actor, Entry};
use tancho_store::studies::{self, Origin, Relation, VerifiedInstance};
use tancho_store::{StoreError, Tx};
use tokio::sync::{mpsc, oneshot};

use super::status;
use crate::durable::{self, crash_point};
use crate::state::AppState;

/// Instances in one transaction.
const BATCH_INSTANCES_MAX: usize = 256;
/// Verified instances waiting for their transaction; more make their verifications wait.
const WAITING_MAX: usize = 256;

/// A verified instance whose container is durable.
#[derive(Debug)]
pub struct Verified {
    /// Where it comes from.
    pub origin: Origin,
    /// Its study.
    pub study_id: StudyId,
    /// Which one.
    pub instance_id: InstanceId,
    /// What it is to the first revision.
    pub relation: Relation,
}

type Waiting = (Verified, oneshot::Sender<Result<i64, StoreError>>);

/// Where sessions hand over what they verified.
#[derive(Debug)]
pub struct CommitQueue {
    sender: mpsc::Sender<Waiting>,
    receiver: Mutex<Option<mpsc::Receiver<Waiting>>>,
}

impl Default for CommitQueue {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        Self {
            sender,
            receiver: Mutex::new(Some(receiver)),
        }
    }
}

impl CommitQueue {
    /// Commits an instance and gives the instant it became durable. `Stale` when it was committed before.
    pub async fn commit(&self, verified: Verified) -> Result<i64, StoreError> {
        let stopped = || StoreError::Unavailable("the relay is stopping".to_owned());
        let (answer, answered) = oneshot::channel();
        self.sender
            .send((verified, answer))
            .await
            .map_err(|_| stopped())?;
        if durable::ANSWERS_EARLY {
            return Ok(0);
        }
        answered.await.map_err(|_| stopped())?
    }
}

/// Commits until the relay stops.
pub async fn run(app: AppState) {
    let receiver = app
        .commits
        .receiver
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let Some(mut receiver) = receiver else { return };
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            n_taken = receiver.recv_many(&mut batch, BATCH_INSTANCES_MAX) => if n_taken == 0 { return },
        }
        commit_batch(&app, std::mem::take(&mut batch)).await;
    }
}

async fn commit_batch(app: &AppState, batch: Vec<Waiting>) {
    let now_ms = app.now_ms();
    match write_batch(app, &batch, now_ms).await {
        Ok(results) => {
            crash_point("instance.committed");
            let studies: BTreeMap<&StudyId, &NetworkId> = batch
                .iter()
                .map(|(verified, _)| (&verified.study_id, &verified.origin.network_id))
                .collect();
            for (study_id, network_id) in studies {
                status::publish_study(app, network_id, study_id).await;
            }
            app.jobs_waiting.notify_one();
            for ((_, answer), result) in batch.into_iter().zip(results) {
                // A session that has ended needs no answer; the node offers again and gets its receipt then.
                let _ = answer.send(result.map(|()| now_ms));
            }
        }
        Err(error) => {
            tracing::error!(%error, n_instances = batch.len(), "verified instances could not be recorded");
            for (_, answer) in batch {
                let _ = answer.send(Err(StoreError::Unavailable(
                    "the batch was not committed".to_owned(),
                )));
            }
        }
    }
}

async fn write_batch(
    app: &AppState,
    batch: &[Waiting],
    now_ms: i64,
) -> Result<Vec<Result<(), StoreError>>, StoreError> {
    let mut tx = app.db.write().await?;
    let mut results = Vec::with_capacity(batch.len());
    let mut done: BTreeMap<(&NetworkId, &StudyId), Vec<&Verified>> = BTreeMap::new();
    for (verified, _) in batch {
        let row = VerifiedInstance {
            instance_id: &verified.instance_id,
            relation: verified.relation,
        };
        match studies::verify_instance(&mut tx, &verified.origin, &row, now_ms).await {
            Ok(()) => {
                done.entry((&verified.origin.network_id, &verified.study_id))
                    .or_default()
                    .push(verified);
                results.push(Ok(()));
            }
            Err(StoreError::Stale) => results.push(Err(StoreError::Stale)),
            Err(other) => return Err(other),
        }
    }
    for ((network_id, study_id), instances) in done {
        write_audit(&mut tx, network_id, study_id, &instances, now_ms).await?;
    }
    tx.commit().await?;
    Ok(results)
}

async fn write_audit(
    tx: &mut Tx,
    network_id: &NetworkId,
    study_id: &StudyId,
    instances: &[&Verified],
    now_ms: i64,
) -> Result<(), StoreError> {
    let Some(first) = instances.first() else {
        return Ok(());
    };
    let ids: Vec<&str> = instances
        .iter()
        .map(|verified| verified.instance_id.as_str())
        .collect();
    let conflicts = instances
        .iter()
        .filter(|verified| verified.relation == Relation::Conflict)
        .count();
    let detail = serde_json::json!({ "instance_ids": ids, "n_conflicts": conflicts });
    let actor = Actor::Node(first.origin.node_id.to_string());
    let entry = Entry::by(actor, "store_instances", "study", study_id.as_str()).with_detail(detail);
    audit::append(tx, network_id, entry, now_ms).await?;
    Ok(())
}
