//! Calls one destination: an association for what is due, a pause after a failure, and again.
//!
//! A failure of one object postpones that object alone: the others go on, on a new association when the peer ended the
//! old one. The destination pauses when it takes no association, or when several objects fail in a row: then it is not
//! the objects' fault, and none of them is given up for it. What the peer said it has is recorded before the association
//! goes on to be released.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

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

/// Most objects of one call.
const BATCH_MAX: usize = 200;
/// Results that are recorded together, at the latest when the association ends.
const SETTLED_TOGETHER: usize = 16;
/// When an object that cannot go now is looked at again.
const HELD_CHECK_MS: i64 = 30_000;
/// The queue is looked at again after this time when nothing was announced.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// So many different objects that fail in a row are the peer's trouble.
const SEVERAL: usize = 3;

/// Runs until the agent stops.
pub(super) async fn run(deliveries: Deliveries, at: usize, spool: Spool, stopping: CancellationToken) {
    let destination = deliveries.0.destinations[at].clone();
    let name = destination.name.clone();
    let mut backoff = Backoff::new(destination.retry);
    let mut changes = deliveries.subscribe();
    let call = Arc::new(Call {
        deliveries: deliveries.clone(),
        spool,
        stopping: stopping.clone(),
        memory: Mutex::new(Memory::new(&destination)),
        destination,
    });
    while !stopping.is_cancelled() {
        changes.mark_unchanged();
        let of = Arc::clone(&call);
        let called = tokio::task::spawn_blocking(move || of.run()).await;
        let now_ms = deliveries.0.clock.now_ms();
        let pause = match called {
            Ok((done, Ok(n_due))) => {
                if done.n_taken > 0 {
                    backoff.succeeded();
                    deliveries.note(&name, |standing| standing.failing_since_ms = None);
                } else if done.n_failed > 0 {
                    deliveries.note(&name, |standing| {
                        standing.failing_since_ms.get_or_insert(now_ms);
                    });
                }
                if n_due > 0 {
                    continue;
                }
                let queue = &deliveries.0.queue;
                let next_ms = queue.next_due_ms(&name).ok().flatten();
                let is_failing = queue.has_tried(&name).unwrap_or(true);
                deliveries.note(&name, |standing| {
                    standing.doing = Doing::Idle;
                    // What failed was given up: it is on another list.
                    standing.failing_since_ms = standing.failing_since_ms.filter(|_| is_failing);
                });
                let until = next_ms.map(|next_ms| u64::try_from(next_ms - now_ms).unwrap_or(0));
                let wait = until.map_or(LOOK_AGAIN, Duration::from_millis).min(LOOK_AGAIN);
                let wait = call.asks_again_in().map_or(wait, |asks_in| wait.min(asks_in));
                tokio::select! {
                    () = stopping.cancelled() => return,
                    _ = changes.changed() => {}
                    () = tokio::time::sleep(wait) => {}
                }
                continue;
            }
            Ok((_, Err(Stop { code: STOPPING, .. }))) => return,
            Ok((done, Err(Stop { code, detail }))) => {
                tracing::warn!(destination = name, code, detail, "a delivery failed; tried again");
                if done.n_taken > 0 {
                    backoff.succeeded();
                }
                let pause = backoff.failed(random());
                deliveries.note(&name, |standing| {
                    standing.doing = Doing::Pausing;
                    if done.n_taken > 0 {
                        standing.failing_since_ms = None;
                    }
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
            Err(_) => call.destination.retry.max,
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

/// What is remembered from call to call.
struct Memory {
    /// Objects that failed in a row: none was taken since.
    in_a_row: HashSet<i64>,
    /// Objects that the peer took.
    n_taken: u64,
    /// How many it had taken when it last broke off at an object, by the object.
    broken_at: HashMap<i64, u64>,
    /// What happened and is not in the queue yet, because it could not be written.
    unrecorded: Vec<(i64, Outcome)>,
    /// Pauses between requests for storage commitment that the peer does not take.
    asking: Backoff,
    /// It is not asked again before.
    asks_from: Option<Instant>,
}

impl Memory {
    fn new(destination: &Destination) -> Self {
        Self {
            in_a_row: HashSet::new(),
            n_taken: 0,
            broken_at: HashMap::new(),
            unrecorded: Vec::new(),
            asking: Backoff::new(destination.retry),
            asks_from: None,
        }
    }

    fn note_taken(&mut self, delivery_id: i64) {
        self.n_taken += 1;
        self.in_a_row.clear();
        self.broken_at.remove(&delivery_id);
    }

    /// The peer refused an object; whether that counts towards giving it up.
    fn note_refused(&mut self, delivery_id: i64) -> bool {
        self.in_a_row.insert(delivery_id);
        !self.is_peer_in_trouble()
    }

    /// The peer broke off at an object or has no room for it, which may be the object's fault or not: it counts when the
    /// peer took another since it last did so at this one.
    fn note_broken(&mut self, delivery_id: i64) -> bool {
        let before = self.broken_at.insert(delivery_id, self.n_taken);
        self.note_refused(delivery_id) && before.is_some_and(|before| before < self.n_taken)
    }

    fn is_peer_in_trouble(&self) -> bool {
        self.in_a_row.len() >= SEVERAL
    }
}

/// Calls to a destination.
struct Call {
    deliveries: Deliveries,
    destination: Destination,
    spool: Spool,
    stopping: CancellationToken,
    memory: Mutex<Memory>,
}

/// What one call brought.
#[derive(Debug, Default)]
struct Done {
    /// Objects that the peer took.
    n_taken: usize,
    /// Objects that failed and are tried again.
    n_failed: usize,
}

/// An object that is ready to go.
struct Ready {
    delivery: Delivery,
    object: OnwardObject,
}

impl Call {
    /// Delivers what is due; gives how many objects were looked at.
    fn run(&self) -> (Done, Result<usize, Stop>) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let mut settled = Settled {
            call: self,
            outcomes: std::mem::take(&mut memory.unrecorded),
            memory: &mut memory,
            done: Done::default(),
        };
        // What an earlier call could not record comes first: it would be delivered again.
        let called = settled.record().and_then(|()| self.deliver(&mut settled));
        let called = settled.record().and(called);
        (settled.done, called)
    }

    fn deliver(&self, settled: &mut Settled<'_>) -> Result<usize, Stop> {
        let queue = &self.deliveries.0.queue;
        let now_ms = self.deliveries.0.clock.now_ms();
        let latest_ms = now_ms.saturating_add(millis(self.destination.retry.max).max(HELD_CHECK_MS));
        let due = queue.due(&self.destination.name, (now_ms, latest_ms), BATCH_MAX);
        let due = due.map_err(|error| Stop {
            code: "queue_unreadable",
            detail: error.to_string(),
        })?;
        let n_due = due.len();
        let mut ready = self.ready(due, settled)?;
        settled.record()?;
        if self.destination.storage_commitment {
            commitment::expire(&self.deliveries, &self.destination);
        }
        let asks = self.destination.storage_commitment
            && settled.memory.asks_from.is_none_or(|from| from <= Instant::now());
        // What was delivered before and not asked for is a reason to call, too.
        let mut has_to_ask = asks && queue.has_unasked(&self.destination.name).unwrap_or(false);
        let n_due = n_due.max(usize::from(has_to_ask));
        while !ready.is_empty() || std::mem::take(&mut has_to_ask) {
            self.deliveries
                .note(&self.destination.name, |standing| standing.doing = Doing::Sending);
            let contexts = contexts(&ready, asks);
            let association =
                Association::request(&self.destination.callee, &contexts, self.stopping.clone())?;
            self.send(association, &mut ready, (&contexts, asks), settled)?;
        }
        Ok(n_due)
    }

    /// When storage commitment is asked for again that the peer did not take a request for.
    fn asks_again_in(&self) -> Option<Duration> {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let asks_from = memory.asks_from?;
        let has_some = self.deliveries.0.queue.has_unasked(&self.destination.name);
        has_some
            .unwrap_or(false)
            .then(|| asks_from.saturating_duration_since(Instant::now()))
    }

    /// The objects that can go now; the others are settled.
    fn ready(&self, due: Vec<Delivery>, settled: &mut Settled<'_>) -> Result<VecDeque<Ready>, Stop> {
        let mut ready = VecDeque::with_capacity(due.len());
        for delivery in due {
            let outcome = match self.spool.onward_object(&delivery.object_id) {
                Ok(Some(object)) if object.may_leave() => {
                    ready.push_back(Ready { delivery, object });
                    continue;
                }
                Ok(Some(object)) if object.state == crate::spool::ObjectState::Held => {
                    self.postponed("held_for_patient")
                }
                Ok(Some(_)) => failed("damaged_in_spool"),
                Ok(None) => Outcome::Gone,
                Err(error) => {
                    tracing::error!(%error, "the spool's index cannot be read");
                    self.postponed("unreadable_in_spool")
                }
            };
            settled.add(delivery.delivery_id, outcome)?;
        }
        Ok(ready)
    }

    /// Sends until all is sent or the association is of no more use; then the rest goes on another one.
    fn send(
        &self,
        mut association: Association,
        ready: &mut VecDeque<Ready>,
        (proposed, asks): (&[Context], bool),
        settled: &mut Settled<'_>,
    ) -> Result<(), Stop> {
        while let Some(Ready { delivery, object }) = ready.pop_front() {
            let delivery_id = delivery.delivery_id;
            let syntaxes = store_scu::transfer_syntaxes(&object.transfer_syntax);
            let Some((context_id, at)) = association.context(&object.sop_class_uid, &syntaxes) else {
                // One that was not proposed for want of room goes with the next call.
                if proposed.iter().any(|context| is_for(context, &object)) {
                    let code = match association.knows_class(&object.sop_class_uid) {
                        true => "peer_refuses_transfer_syntax",
                        false => "peer_refuses_sop_class",
                    };
                    settled.add(delivery_id, self.tried(&delivery, code, true))?;
                }
                continue;
            };
            let outgoing = match Outgoing::of(&self.spool, &object, None) {
                Ok(outgoing) => outgoing,
                Err(error) => {
                    tracing::error!(%error, object.id = %object.object_id, "an object in the spool cannot be read");
                    self.damaged(&delivery, &object, error.kind(), settled)?;
                    continue;
                }
            };
            match store_scu::store(&mut association, (context_id, syntaxes[at]), outgoing) {
                Ok(status) => {
                    let outcome = self.answered(&delivery, status, settled.memory);
                    settled.add(delivery_id, outcome)?;
                    if settled.memory.is_peer_in_trouble() {
                        association.release();
                        return Err(Stop {
                            code: code_of(status),
                            detail: format!("{SEVERAL} objects in a row failed, the last with {status:04x}"),
                        });
                    }
                }
                Err(StoreError::Call(error)) => {
                    association.abort();
                    if matches!(error, CallError::Stopping) {
                        return Err(error.into());
                    }
                    // It may be this object that the peer cannot bear: it waits, the others go on.
                    let counts = settled.memory.note_broken(delivery_id);
                    settled.add(delivery_id, self.tried(&delivery, error.code(), counts))?;
                    if settled.memory.is_peer_in_trouble() {
                        return Err(error.into());
                    }
                    return Ok(());
                }
                Err(StoreError::Damaged) => {
                    association.abort();
                    return self.damaged(&delivery, &object, io::ErrorKind::InvalidData, settled);
                }
                Err(StoreError::NotConvertible) => {
                    association.abort();
                    return settled.add(delivery_id, failed("not_convertible"));
                }
                Err(StoreError::Disk(error)) => {
                    tracing::error!(%error, object.id = %object.object_id, "an object in the spool cannot be read");
                    association.abort();
                    return self.damaged(&delivery, &object, error.kind(), settled);
                }
            }
        }
        if asks {
            settled.record()?;
            self.ask(&mut association, settled.memory)?;
        }
        association.release();
        Ok(())
    }

    /// Asks for storage commitment. Whatever comes of it, what was delivered stays delivered: only the asking pauses.
    fn ask(&self, association: &mut Association, memory: &mut Memory) -> Result<(), Stop> {
        let code = match commitment::ask(&self.deliveries, &self.destination, association) {
            Ok(true) => {
                memory.asking.succeeded();
                memory.asks_from = None;
                return Ok(());
            }
            Err(error @ CallError::Stopping) => return Err(error.into()),
            Ok(false) => "commitment_refused",
            Err(error) => error.code(),
        };
        let pause = memory.asking.failed(random());
        memory.asks_from = Some(Instant::now() + pause);
        tracing::warn!(
            destination = self.destination.name,
            code,
            "storage commitment could not be asked for; tried again"
        );
        let now_ms = self.deliveries.0.clock.now_ms();
        self.deliveries.note(&self.destination.name, |standing| {
            standing.last_error = Some(LastError {
                code: code.to_owned(),
                at_ms: now_ms,
            });
        });
        Ok(())
    }

    /// What a status of PS3.4 section B.2.3 means for the delivery.
    fn answered(&self, delivery: &Delivery, status: u16, memory: &mut Memory) -> Outcome {
        let code = match status {
            0x0000 => None,
            // Coercion of elements, elements discarded, data set does not match: it is stored.
            0x0001 | 0x0107 | 0x0116 | 0xB000..=0xBFFF => Some("peer_remarks"),
            // The peer has this SOP Instance UID.
            0x0111 => Some("peer_had_it"),
            // Out of resources may be the peer's trouble or that of a large object.
            0xA700..=0xA7FF => {
                let counts = memory.note_broken(delivery.delivery_id);
                return self.tried(delivery, code_of(status), counts);
            }
            other => {
                let counts = memory.note_refused(delivery.delivery_id);
                return match code_of(other) {
                    OTHER_STATUS => self.tried(delivery, &format!("peer_status_{other:04x}"), counts),
                    code => self.tried(delivery, code, counts),
                };
            }
        };
        memory.note_taken(delivery.delivery_id);
        Outcome::Delivered {
            code,
            is_to_be_committed: self.destination.storage_commitment,
        }
    }

    /// Tried again later, and given up after as many tries that count as are allowed.
    fn tried(&self, delivery: &Delivery, code: &str, counts: bool) -> Outcome {
        let retry = self.destination.retry;
        if counts && delivery.n_counted + 1 >= retry.tries_max {
            return failed(code);
        }
        let pause = of_object(retry, delivery.n_tries, random());
        Outcome::Later {
            code: code.to_owned(),
            at_ms: self.deliveries.0.clock.now_ms() + millis(pause),
            is_tried: true,
            counts,
        }
    }

    /// Looked at again in a while; nothing was tried.
    fn postponed(&self, code: &str) -> Outcome {
        Outcome::Later {
            code: code.to_owned(),
            at_ms: self.deliveries.0.clock.now_ms() + HELD_CHECK_MS,
            is_tried: false,
            counts: false,
        }
    }

    fn damaged(
        &self,
        delivery: &Delivery,
        object: &OnwardObject,
        kind: io::ErrorKind,
        settled: &mut Settled<'_>,
    ) -> Result<(), Stop> {
        if kind != io::ErrorKind::InvalidData {
            return settled.add(
                delivery.delivery_id,
                self.tried(delivery, "unreadable_in_spool", true),
            );
        }
        if let Err(error) = self.spool.record_damage(&object.object_id) {
            tracing::error!(%error, "the spool's index cannot be written");
        }
        settled.add(delivery.delivery_id, failed("damaged_in_spool"))
    }
}

/// The code of a status without one of its own.
const OTHER_STATUS: &str = "other_status";

/// The code of a failure.
fn code_of(status: u16) -> &'static str {
    match status {
        0x0122 => "peer_refuses_sop_class",
        0x0124 => "peer_refuses_us",
        0xA700..=0xA7FF => "peer_out_of_resources",
        0xA900..=0xA9FF => "peer_data_set_mismatch",
        0xC000..=0xCFFF => "peer_cannot_understand",
        _ => OTHER_STATUS,
    }
}

fn failed(code: &str) -> Outcome {
    Outcome::Failed {
        code: code.to_owned(),
    }
}

/// One context for each class and transfer syntax, as many as an association has.
fn contexts(ready: &VecDeque<Ready>, asks_commitment: bool) -> Vec<Context> {
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
    memory: &'a mut Memory,
    outcomes: Vec<(i64, Outcome)>,
    done: Done,
}

impl Settled<'_> {
    fn add(&mut self, delivery_id: i64, outcome: Outcome) -> Result<(), Stop> {
        match &outcome {
            Outcome::Delivered { .. } => self.done.n_taken += 1,
            Outcome::Later { is_tried: true, .. } => self.done.n_failed += 1,
            _ => {}
        }
        self.outcomes.push((delivery_id, outcome));
        if self.outcomes.len() >= SETTLED_TOGETHER {
            self.record()?;
        }
        Ok(())
    }

    /// Writes them into the queue; what cannot be written is kept for the next call, and this one ends.
    fn record(&mut self) -> Result<(), Stop> {
        let deliveries = &self.call.deliveries;
        let now_ms = deliveries.0.clock.now_ms();
        let outcomes = std::mem::take(&mut self.outcomes);
        if let Err(error) = deliveries.0.queue.settle(&outcomes, now_ms) {
            tracing::error!(%error, "the delivery queue cannot be written");
            self.memory.unrecorded.extend(outcomes);
            return Err(Stop {
                code: "queue_unwritable",
                detail: error.to_string(),
            });
        }
        let is_delivered = |(_, outcome): &(i64, Outcome)| matches!(outcome, Outcome::Delivered { .. });
        let has_delivered = outcomes.iter().any(is_delivered);
        let error = outcomes.iter().rev().find_map(|(_, outcome)| match outcome {
            Outcome::Later {
                code, is_tried: true, ..
            }
            | Outcome::Failed { code } => Some(code.clone()),
            _ => None,
        });
        deliveries.note(&self.call.destination.name, |standing| {
            if has_delivered {
                standing.last_delivered_at_ms = Some(now_ms);
            }
            if let Some(code) = error {
                standing.last_error = Some(LastError { code, at_ms: now_ms });
            }
        });
        Ok(())
    }
}
