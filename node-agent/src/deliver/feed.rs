//! Who wants which object: looks at everything in the spool once, in the order it came, and again from the beginning
//! at each start.

use std::io::ErrorKind;
use std::sync::PoisonError;

use tancho_domain::dicom::TransferSyntaxUid;
use tancho_domain::ids::ObjectId;
use tancho_imaging::limits::ScanLimits;
use tancho_imaging::scan::{ScanError, scan};
use tokio_util::sync::CancellationToken;

use super::{Deliveries, Destination};
use crate::spool::Spool;
use crate::spool::object_file::DataSet;
use crate::spool::onward::OnwardObject;

/// Objects looked at in one transaction.
const PAGE: usize = 500;
/// How often deliveries of objects that left the spool are looked for.
const FORGET_CHECK: std::time::Duration = std::time::Duration::from_secs(600);

/// How long answered transactions of storage commitment are remembered: a report that comes again is known by then.
const ANSWERED_MEMORY_MS: i64 = 30 * 24 * 3_600_000;

/// How often objects are read for their modality before those that cannot be read count as wanted.
const READS_MAX: u32 = 3;
/// Pause after objects could not be put into the queue.
const TRY_AGAIN: std::time::Duration = std::time::Duration::from_secs(5);

/// How far the spool was looked through.
#[derive(Debug, Default)]
pub(super) struct Feed {
    seq: i64,
    /// How often in a row the next page has failed because an object could not be read.
    n_unread: u32,
}

/// Runs until the agent stops.
pub(super) async fn run(deliveries: Deliveries, spool: Spool, stopping: CancellationToken) {
    let mut changes = spool.subscribe();
    let mut forgetting = tokio::time::interval(FORGET_CHECK);
    forgetting.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut held = Vec::new();
    loop {
        changes.mark_unchanged();
        // A person decided about some: those wait no longer.
        let held_now: Vec<String> = spool.held().into_iter().map(|one| one.held_id).collect();
        if held_now != held {
            held = held_now;
            let of = deliveries.clone();
            let woken = tokio::task::spawn_blocking(move || of.0.queue.wake("held_for_patient")).await;
            if let Ok(Err(error)) = woken {
                tracing::warn!(%error, "the delivery queue cannot be written");
            }
        }
        let (of, from) = (deliveries.clone(), spool.clone());
        let taken = tokio::task::spawn_blocking(move || take(&of, &from)).await;
        let has_failed = matches!(taken, Ok(Err(_)));
        if let Ok(Err(error)) = taken {
            tracing::error!(%error, "new objects could not be put into the delivery queue; tried again");
        }
        tokio::select! {
            () = stopping.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(TRY_AGAIN), if has_failed => {}
            _ = forgetting.tick() => {
                let (of, from) = (deliveries.clone(), spool.clone());
                let done = tokio::task::spawn_blocking(move || forget(&of, &from)).await;
                if let Ok(Err(error)) = done {
                    tracing::warn!(%error, "old deliveries could not be forgotten; tried again");
                }
            }
        }
    }
}

/// Puts what came since the last time into the queue.
pub(super) fn take(deliveries: &Deliveries, spool: &Spool) -> anyhow::Result<()> {
    let mut feed = deliveries.0.feed.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let objects = spool.objects_after(feed.seq, PAGE)?;
        let Some(last) = objects.last() else { return Ok(()) };
        let seq = last.seq;
        let mut wanted: Vec<(&Destination, &OnwardObject)> = Vec::new();
        for object in &objects {
            let mut modality = None;
            for destination in &deliveries.0.destinations {
                if !destination.rule.takes(object, &destination.callee.ae_title) {
                    continue;
                }
                if let Some(list) = &destination.rule.modalities {
                    if modality.is_none() {
                        modality = Some(feed.modality_of(spool, object)?);
                    }
                    let is_listed = match &modality {
                        Some(Modality::Named(name)) => list.contains(name),
                        Some(Modality::Unreadable) => true,
                        _ => false,
                    };
                    if !is_listed {
                        continue;
                    }
                }
                wanted.push((destination, object));
            }
        }
        deliveries.0.queue.add(&wanted)?;
        (feed.seq, feed.n_unread) = (seq, 0);
    }
}

/// What an object says of its modality.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Modality {
    /// Its name.
    Named(String),
    /// It names none.
    None,
    /// It cannot be read: whoever may want it gets it, so that it is not lost without a word.
    Unreadable,
}

impl Feed {
    /// Modality of an object, read from its file. An error of the disk is one at first, in case it passes.
    fn modality_of(&mut self, spool: &Spool, object: &OnwardObject) -> std::io::Result<Modality> {
        modality_of(spool, object).or_else(|error| {
            if self.n_unread + 1 < READS_MAX {
                self.n_unread += 1;
                return Err(error);
            }
            tracing::error!(%error, object.id = %object.object_id, "an object in the spool cannot be read");
            Ok(Modality::Unreadable)
        })
    }
}

fn modality_of(spool: &Spool, object: &OnwardObject) -> std::io::Result<Modality> {
    let file = match spool.open_object(object) {
        Err(error) if error.kind() == ErrorKind::InvalidData => return Ok(Modality::Unreadable),
        opened => opened?,
    };
    let mut data = DataSet::new(file, object.original_len)?;
    let Ok(transfer_syntax) = TransferSyntaxUid::parse(&object.transfer_syntax) else {
        return Ok(Modality::Unreadable);
    };
    match scan(&mut data, &transfer_syntax, &ScanLimits::default()) {
        Ok(found) => Ok(found.identity.modality.map_or(Modality::None, Modality::Named)),
        Err(ScanError::Io(error)) => Err(error),
        Err(_) => Ok(Modality::Unreadable),
    }
}

/// Forgets what was delivered of objects that are no longer here.
fn forget(deliveries: &Deliveries, spool: &Spool) -> anyhow::Result<()> {
    let queue = &deliveries.0.queue;
    queue.forget_answered(deliveries.0.clock.now_ms() - ANSWERED_MEMORY_MS)?;
    let mut after = String::new();
    loop {
        let objects = queue.list_settled(&after, PAGE)?;
        let Some(last) = objects.last() else { return Ok(()) };
        last.as_str().clone_into(&mut after);
        let mut gone: Vec<ObjectId> = Vec::new();
        for object in &objects {
            if spool.onward_object(object)?.is_none() {
                gone.push(object.clone());
            }
        }
        queue.forget_objects(&gone)?;
    }
}
