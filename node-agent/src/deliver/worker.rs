//! Calls one destination: an association for what is due, a pause after a failure, and again.
//!
//! A failure of the peer or the network pauses the destination; a failure of one object postpones that object alone,
//! and the next ones go on. What the peer said it has is recorded before the association goes on to be released.

use std::io;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::backoff::{Backoff, of_object};
use super::queue::{Delivery, Outcome};
use super::{Deliveries, Destination, Doing, LastError, commitment};
use crate::dimse::commitment::{CLASS, TRANSFER_SYNTAXES};
use crate::dimse::negotiation::{CONTEXTS_MAX, Context};
use crate::dimse::requestor::{Association, CallError};
use crate::dimse::store_scu::{self, Outgoing, StoreError};
use crate::spool::Spool;
use crate::spool::onward::OnwardObject;

/// Most objects of one association.
const BATCH_MAX: usize = 200;
/// Results that are recorded together, at the latest when the association ends.
const SETTLED_TOGETHER: usize = 16;
/// When an object that cannot go now is looked at again.
const HELD_CHECK_MS: i64 = 30_000;
/// The queue is looked at again after this time when nothing was announced.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Runs until the agent stops.
pub(super) async fn run(deliveries: Deliveries, at: usize, spool: Spool, stopping: CancellationToken) {
    let destination = deliveries.0.destinations[at].clone();
    let name = destination.name.clone();
    let mut backoff = Backoff::new(destination.retry);
    let mut changes = deliveries.subscribe();
    while !stopping.is_cancelled() {
        changes.mark_unchanged();
        let call = Call {
            deliveries: deliveries.clone(),
            destination: destination.clone(),
            spool: spool.clone(),
            stopping: stopping.clone(),
        };
        let called = tokio::task::spawn_blocking(move || call.run()).await;
        let now_ms = deliveries.0.clock.now_ms();
        let pause = match called {
            Ok(Ok(0)) => {
                deliveries.note(&name, |standing| standing.doing = Doing::Idle);
                let next_ms = deliveries.0.queue.next_due_ms(&name).ok().flatten();
                let until = next_ms.map(|next_ms| u64::try_from(next_ms - now_ms).unwrap_or(0));
                let wait = until.map_or(LOOK_AGAIN, Duration::from_millis).min(LOOK_AGAIN);
                tokio::select! {
                    () = stopping.cancelled() => return,
                    _ = changes.changed() => {}
                    () = tokio::time::sleep(wait) => {}
                }
                continue;
            }
            Ok(Ok(_)) => {
                backoff.succeeded();
                deliveries.note(&name, |standing| standing.failing_since_ms = None);
                continue;
            }
            Ok(Err(Stop { code: STOPPING, .. })) => return,
            Ok(Err(Stop { code, detail })) => {
                tracing::warn!(destination = name, code, detail, "a delivery failed; tried again");
                let pause = backoff.failed(random());
                deliveries.note(&name, |standing| {
                    standing.doing = Doing::Pausing;
                    standing.failing_since_ms.get_or_insert(now_ms);
                    standing.next_try_at_ms = Some(now_ms + millis(pause));
                    standing.last_error = Some(LastError {
                        code: code.to_owned(),
                        at_ms: now_ms,
                    });
                });
                pause
            }
            // A fault of ours in one call; the next begins anew.
            Err(_) => destination.retry.max,
        };
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        deliveries.note(&name, |standing| standing.next_try_at_ms = None);
    }
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    // Without randomness there is no jitter, which harms nothing.
    getrandom::fill(&mut bytes).ok();
    u64::from_le_bytes(bytes)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The code of a call that ends because the agent does.
const STOPPING: &str = "stopping";

/// Why a call ended before its time.
struct Stop {
    code: &'static str,
    detail: String,
}

impl From<CallError> for Stop {
    fn from(error: CallError) -> Self {
        Self {
            code: error.code(),
            detail: error.to_string(),
        }
    }
}

/// One association with a destination.
struct Call {
    deliveries: Deliveries,
    destination: Destination,
    spool: Spool,
    stopping: CancellationToken,
}

/// An object that is ready to go.
struct Ready {
    delivery: Delivery,
    object: OnwardObject,
}

impl Call {
    /// Delivers what is due; gives how many objects were looked at.
    fn run(&self) -> Result<usize, Stop> {
        let queue = &self.deliveries.0.queue;
        let now_ms = self.deliveries.0.clock.now_ms();
        let due = queue.due(&self.destination.name, now_ms, BATCH_MAX);
        let due = due.map_err(|error| Stop {
            code: "queue_unreadable",
            detail: error.to_string(),
        })?;
        let n_due = due.len();
        let mut settled = Settled::new(self);
        let ready = self.ready(due, &mut settled);
        settled.record();
        let asks = self.destination.storage_commitment;
        if asks {
            commitment::expire(&self.deliveries, &self.destination);
        }
        // What was delivered before and not asked for is a reason to call, too.
        if ready.is_empty() && !(asks && queue.has_unasked(&self.destination.name).unwrap_or(false)) {
            return Ok(n_due);
        }
        self.deliveries
            .note(&self.destination.name, |standing| standing.doing = Doing::Sending);
        let contexts = contexts(&ready, asks);
        let association = Association::request(&self.destination.callee, &contexts, self.stopping.clone())?;
        let sent = self.send(association, ready, &contexts, &mut settled);
        settled.record();
        sent.map(|()| n_due.max(1))
    }

    /// The objects that can go now; the others are settled.
    fn ready(&self, due: Vec<Delivery>, settled: &mut Settled<'_>) -> Vec<Ready> {
        let mut ready = Vec::with_capacity(due.len());
        for delivery in due {
            match self.spool.onward_object(&delivery.object_id) {
                Ok(Some(object)) if object.may_leave() => ready.push(Ready { delivery, object }),
                Ok(Some(object)) if object.state == crate::spool::ObjectState::Held => {
                    settled.add(delivery.delivery_id, self.postponed("held_for_patient"));
                }
                Ok(Some(_)) => settled.add(delivery.delivery_id, failed("damaged_in_spool")),
                Ok(None) => settled.add(delivery.delivery_id, Outcome::Gone),
                Err(error) => {
                    tracing::error!(%error, "the spool's index cannot be read");
                    settled.add(delivery.delivery_id, self.postponed("unreadable_in_spool"));
                }
            }
        }
        ready
    }

    fn send(
        &self,
        mut association: Association,
        ready: Vec<Ready>,
        proposed: &[Context],
        settled: &mut Settled<'_>,
    ) -> Result<(), Stop> {
        for Ready { delivery, object } in ready {
            let syntaxes = store_scu::transfer_syntaxes(&object.transfer_syntax);
            let Some((context_id, at)) = association.context(&object.sop_class_uid, &syntaxes) else {
                // One that was not proposed for want of room goes with the next association.
                if proposed.iter().any(|context| is_for(context, &object)) {
                    let code = match association.knows_class(&object.sop_class_uid) {
                        true => "peer_refuses_transfer_syntax",
                        false => "peer_refuses_sop_class",
                    };
                    settled.add(delivery.delivery_id, self.object_failed(&delivery, code));
                }
                continue;
            };
            let outgoing = match Outgoing::of(&self.spool, &object, None) {
                Ok(outgoing) => outgoing,
                Err(error) => {
                    tracing::error!(%error, object.id = %object.object_id, "an object in the spool cannot be read");
                    self.damaged(&delivery, &object, error.kind(), settled);
                    continue;
                }
            };
            match store_scu::store(&mut association, (context_id, syntaxes[at]), outgoing) {
                Ok(status) => {
                    let outcome = self.answered(&delivery, status);
                    let is_busy = matches!(&outcome, Outcome::Later { counts: false, .. });
                    settled.add(delivery.delivery_id, outcome);
                    if is_busy {
                        association.release();
                        return Err(Stop {
                            code: "peer_out_of_resources",
                            detail: format!("status {status:04x}"),
                        });
                    }
                }
                Err(StoreError::Call(error)) => {
                    if !matches!(error, CallError::Stopping) {
                        // It may be this object that the peer cannot bear: it waits, the others go on.
                        settled.add(delivery.delivery_id, self.again(&delivery, error.code()));
                    }
                    association.abort();
                    return Err(error.into());
                }
                Err(StoreError::Damaged) => {
                    association.abort();
                    self.damaged(&delivery, &object, io::ErrorKind::InvalidData, settled);
                    return Ok(());
                }
                Err(StoreError::NotConvertible) => {
                    association.abort();
                    settled.add(delivery.delivery_id, failed("not_convertible"));
                    return Ok(());
                }
                Err(StoreError::Disk(error)) => {
                    tracing::error!(%error, object.id = %object.object_id, "an object in the spool cannot be read");
                    association.abort();
                    settled.add(
                        delivery.delivery_id,
                        self.object_failed(&delivery, "unreadable_in_spool"),
                    );
                    return Ok(());
                }
            }
        }
        let is_taken = if self.destination.storage_commitment {
            settled.record();
            commitment::ask(&self.deliveries, &self.destination, &mut association)
        } else {
            Ok(true)
        };
        association.release();
        match is_taken {
            Ok(true) => Ok(()),
            Ok(false) => Err(Stop {
                code: "commitment_refused",
                detail: "the peer does not commit to what it took".to_owned(),
            }),
            // What was delivered stays delivered; the report comes later or is asked for again.
            Err(error) => Err(error.into()),
        }
    }

    /// What a status of PS3.4 section B.2.3 means for the delivery.
    fn answered(&self, delivery: &Delivery, status: u16) -> Outcome {
        let delivered = |code| Outcome::Delivered {
            code,
            is_to_be_committed: self.destination.storage_commitment,
        };
        match status {
            0x0000 => delivered(None),
            // Coercion of elements, elements discarded, data set does not match: it is stored.
            0x0001 | 0x0107 | 0x0116 | 0xB000..=0xBFFF => delivered(Some("peer_remarks")),
            // The peer has this SOP Instance UID.
            0x0111 => delivered(Some("peer_had_it")),
            // Out of resources: this is the peer's trouble, not the object's.
            0xA700..=0xA7FF => Outcome::Later {
                code: "peer_out_of_resources".to_owned(),
                at_ms: 0,
                counts: false,
            },
            0x0122 => self.object_failed(delivery, "peer_refuses_sop_class"),
            0x0124 => self.object_failed(delivery, "peer_refuses_us"),
            0xA900..=0xA9FF => self.object_failed(delivery, "peer_data_set_mismatch"),
            0xC000..=0xCFFF => self.object_failed(delivery, "peer_cannot_understand"),
            other => self.object_failed(delivery, &format!("peer_status_{other:04x}")),
        }
    }

    /// Tried again later, and given up in the end.
    fn object_failed(&self, delivery: &Delivery, code: &str) -> Outcome {
        if delivery.n_tries + 1 >= self.destination.retry.tries_max {
            return failed(code);
        }
        self.again(delivery, code)
    }

    /// Tried again later, however often that takes.
    fn again(&self, delivery: &Delivery, code: &str) -> Outcome {
        let retry = self.destination.retry;
        let pause = of_object(retry, delivery.n_tries, random());
        Outcome::Later {
            code: code.to_owned(),
            at_ms: self.deliveries.0.clock.now_ms() + millis(pause),
            counts: true,
        }
    }

    /// Looked at again in a while; nothing was tried.
    fn postponed(&self, code: &str) -> Outcome {
        Outcome::Later {
            code: code.to_owned(),
            at_ms: self.deliveries.0.clock.now_ms() + HELD_CHECK_MS,
            counts: false,
        }
    }

    fn damaged(
        &self,
        delivery: &Delivery,
        object: &OnwardObject,
        kind: io::ErrorKind,
        settled: &mut Settled<'_>,
    ) {
        if kind != io::ErrorKind::InvalidData {
            settled.add(
                delivery.delivery_id,
                self.object_failed(delivery, "unreadable_in_spool"),
            );
            return;
        }
        if let Err(error) = self.spool.record_damage(&object.object_id) {
            tracing::error!(%error, "the spool's index cannot be written");
        }
        settled.add(delivery.delivery_id, failed("damaged_in_spool"));
    }
}

fn failed(code: &str) -> Outcome {
    Outcome::Failed {
        code: code.to_owned(),
    }
}

/// One context for each class and transfer syntax, as many as an association has.
fn contexts(ready: &[Ready], asks_commitment: bool) -> Vec<Context> {
    let commitment = TRANSFER_SYNTAXES.iter().filter(|_| asks_commitment);
    let mut contexts: Vec<Context> = commitment
        .map(|syntax| Context {
            abstract_syntax: CLASS.to_owned(),
            transfer_syntax: (*syntax).to_owned(),
        })
        .collect();
    for Ready { object, .. } in ready {
        let syntaxes = store_scu::transfer_syntaxes(&object.transfer_syntax);
        let new: Vec<Context> = syntaxes
            .into_iter()
            .map(|syntax| Context {
                abstract_syntax: object.sop_class_uid.clone(),
                transfer_syntax: syntax.to_owned(),
            })
            .filter(|context| !contexts.contains(context))
            .collect();
        if contexts.len() + new.len() <= CONTEXTS_MAX {
            contexts.extend(new);
        }
    }
    contexts
}

fn is_for(context: &Context, object: &OnwardObject) -> bool {
    context.abstract_syntax == object.sop_class_uid && context.transfer_syntax == object.transfer_syntax
}

/// Outcomes on their way into the queue.
struct Settled<'a> {
    call: &'a Call,
    outcomes: Vec<(i64, Outcome)>,
}

impl<'a> Settled<'a> {
    fn new(call: &'a Call) -> Self {
        Self {
            call,
            outcomes: Vec::new(),
        }
    }

    fn add(&mut self, delivery_id: i64, outcome: Outcome) {
        self.outcomes.push((delivery_id, outcome));
        if self.outcomes.len() >= SETTLED_TOGETHER {
            self.record();
        }
    }

    fn record(&mut self) {
        let deliveries = &self.call.deliveries;
        let now_ms = deliveries.0.clock.now_ms();
        let is_delivered = |(_, outcome): &(i64, Outcome)| matches!(outcome, Outcome::Delivered { .. });
        if self.outcomes.iter().any(is_delivered) {
            deliveries.note(&self.call.destination.name, |standing| {
                standing.last_delivered_at_ms = Some(now_ms);
            });
        }
        for (_, outcome) in &self.outcomes {
            let (Outcome::Later { code, .. } | Outcome::Failed { code }) = outcome else {
                continue;
            };
            deliveries.note(&self.call.destination.name, |standing| {
                standing.last_error = Some(LastError {
                    code: code.clone(),
                    at_ms: now_ms,
                });
            });
        }
        // What is not recorded is delivered again, and the peer keeps one copy.
        if let Err(error) = deliveries.0.queue.settle(&self.outcomes, now_ms) {
            tracing::error!(%error, "the delivery queue cannot be written");
        }
        self.outcomes.clear();
    }
}
