//! Storage commitment for modalities: the answer waits until the site's PACS has committed every instance, and is then
//! given on an association of ours. A modality may delete what it has after it, so doubt is a failure.

use std::collections::HashMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::queue::{Promise, PromiseStanding};
use super::{Deliveries, backoff, feed};
use crate::dimse::commitment::{self, Reference, Report, Request, TRANSFER_SYNTAXES, reason};
use crate::dimse::negotiation::Context;
use crate::dimse::requestor::{Association, CallError, Callee};
use crate::dimse::status;
use crate::spool::Spool;
use tancho_domain::dicom::AeTitle;

/// Promises looked at together.
const PAGE: usize = 50;
/// How often open promises are looked at when nothing was announced.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How long an instance may be unknown here: it may still be on its way from the modality.
const UNKNOWN_PATIENCE: Duration = Duration::from_secs(10);
/// Pauses when the answer cannot be given.
const RETRY: super::Retry = super::Retry {
    min: Duration::from_secs(10),
    max: Duration::from_secs(600),
    tries_max: 300,
};

impl Deliveries {
    /// Whether this title may ask for storage commitment.
    #[must_use]
    pub fn may_ask(&self, calling_ae: &AeTitle) -> bool {
        self.caller(calling_ae.as_str()).is_some()
    }

    /// Whether this title may report storage commitment.
    #[must_use]
    pub fn may_report(&self, calling_ae: &AeTitle) -> bool {
        let mut destinations = self.0.destinations.iter();
        destinations.any(|one| one.storage_commitment && one.callee.ae_title == *calling_ae)
    }

    /// Keeps what a modality asks for; gives the status to answer with.
    #[must_use]
    pub fn promise(&self, calling_ae: &AeTitle, request: Option<Request>) -> u16 {
        let Some(request) = request else {
            return status::INVALID_ARGUMENT;
        };
        let promise = Promise {
            calling_ae: calling_ae.as_str().to_owned(),
            transaction_uid: request.transaction_uid,
            asked_at_ms: self.0.clock.now_ms(),
            references: request.references,
            n_tries: 0,
        };
        match self.0.queue.promise(&promise) {
            Ok(true) => status::SUCCESS,
            Ok(false) => status::RESOURCE_LIMITATION,
            Err(error) => {
                tracing::error!(%error, "a request for storage commitment could not be kept");
                status::PROCESSING_FAILURE
            }
        }
    }

    fn caller(&self, calling_ae: &str) -> Option<&Callee> {
        let mut callers = self.0.promises.callers.iter();
        callers.find(|caller| caller.ae_title.as_str() == calling_ae)
    }
}

/// Runs until the agent stops.
pub(super) async fn run(deliveries: Deliveries, spool: Spool, stopping: CancellationToken) {
    let mut changes = deliveries.subscribe();
    while !stopping.is_cancelled() {
        changes.mark_unchanged();
        let (of, from, stop) = (deliveries.clone(), spool.clone(), stopping.clone());
        tokio::task::spawn_blocking(move || look(&of, &from, &stop))
            .await
            .ok();
        tokio::select! {
            () = stopping.cancelled() => return,
            _ = changes.changed() => {}
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }
}

/// Looks at the open promises, and answers those that can be answered.
fn look(deliveries: &Deliveries, spool: &Spool, stopping: &CancellationToken) {
    let queue = &deliveries.0.queue;
    let now_ms = || deliveries.0.clock.now_ms();
    let latest_ms = now_ms().saturating_add(millis(RETRY.max));
    let due = match queue.due_promises((now_ms(), latest_ms), PAGE) {
        Ok(due) if due.is_empty() => return,
        Ok(due) => due,
        Err(error) => {
            tracing::error!(%error, "the delivery queue cannot be read");
            return;
        }
    };
    // What came last may be another version of an instance that was committed before.
    if let Err(error) = feed::take(deliveries, spool) {
        tracing::error!(%error, "new objects are not in the delivery queue, so no storage commitment is answered");
        return;
    }
    // Modalities that could not be told, with the reason: each is called in vain once at most.
    let mut unreachable: HashMap<&str, &'static str> = HashMap::new();
    for promise in &due {
        let Some(report) = report_of(deliveries, promise, now_ms()) else {
            // Behind the others, so that those beyond the page have their turn.
            let next_ms = now_ms() + millis(LOOK_AGAIN) / 2;
            queue.postpone_promise(promise, None, next_ms).ok();
            continue;
        };
        let caller = promise.calling_ae.as_str();
        let given = match (deliveries.caller(caller), unreachable.get(caller)) {
            // No longer configured: there is nobody to tell.
            (None, _) => Ok(()),
            (_, Some(code)) => Err(*code),
            (Some(callee), None) => match give(callee, &report, stopping) {
                Err(CallError::Stopping) => return,
                given => given.map_err(|error| error.code()),
            },
        };
        let recorded = match given {
            Ok(()) => queue.keep_promise(promise, now_ms()),
            Err(code) if promise.n_tries >= RETRY.tries_max => {
                tracing::error!(
                    association.called_ae = caller,
                    code,
                    "an answer on storage commitment was given up"
                );
                queue.keep_promise(promise, now_ms())
            }
            Err(code) => {
                unreachable.insert(caller, code);
                let pause = backoff::of_object(RETRY, promise.n_tries, 0);
                queue.postpone_promise(promise, Some(code), now_ms() + millis(pause))
            }
        };
        if let Err(error) = recorded {
            tracing::error!(%error, "the delivery queue cannot be written");
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The answer, when there is one: every instance is committed or failed, or the time is over.
fn report_of(deliveries: &Deliveries, promise: &Promise, now_ms: i64) -> Option<Report> {
    let destinations = deliveries.0.destinations.iter();
    let names: Vec<&str> = destinations
        .filter(|one| one.storage_commitment)
        .map(|one| one.name.as_str())
        .collect();
    let waits_ms = now_ms - promise.asked_at_ms;
    let is_over = waits_ms >= millis(deliveries.0.promises.patience);
    let may_come = !is_over && waits_ms < millis(UNKNOWN_PATIENCE);
    let (mut committed, mut failed) = (Vec::new(), Vec::<(Reference, u16)>::new());
    for reference in &promise.references {
        let why = match deliveries.0.queue.standing(&names, reference).ok()? {
            PromiseStanding::Committed => {
                committed.push(reference.clone());
                continue;
            }
            PromiseStanding::Open if !is_over => return None,
            PromiseStanding::Unknown if may_come => return None,
            PromiseStanding::Open | PromiseStanding::Failed => reason::PROCESSING_FAILURE,
            PromiseStanding::Unknown => reason::NO_SUCH_INSTANCE,
            PromiseStanding::OtherClass => reason::CLASS_INSTANCE_CONFLICT,
        };
        failed.push((reference.clone(), why));
    }
    Some(Report {
        transaction_uid: promise.transaction_uid.clone(),
        committed,
        failed,
    })
}

/// Calls the modality and reports.
fn give(callee: &Callee, report: &Report, stopping: &CancellationToken) -> Result<(), CallError> {
    let contexts = TRANSFER_SYNTAXES.map(|syntax| Context {
        abstract_syntax: commitment::CLASS.to_owned(),
        transfer_syntax: syntax.to_owned(),
    });
    let mut association = Association::request_as_provider(callee, &contexts, stopping.clone())?;
    let status = commitment::report(&mut association, report);
    association.release();
    match status? {
        Some(status::SUCCESS) => Ok(()),
        Some(_) => Err(CallError::Violation("the report was not taken")),
        None => Err(CallError::Violation("the report's class was not accepted")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tempfile::TempDir;

    use super::super::PromiseRule;
    use super::super::queue::tests::committing;
    use super::*;
    use crate::clock::Clock;
    use crate::spool::{SpoolOptions, SpoolWorkers};

    const NOW: i64 = 1_700_000_000_000;

    struct Site {
        _folder: TempDir,
        _workers: SpoolWorkers,
        spool: Spool,
        deliveries: Deliveries,
    }

    /// A site whose modalities, by title and address, may ask for storage commitment.
    fn site(runtime: &tokio::runtime::Runtime, modalities: &[(&str, String)], clock: Clock) -> Site {
        let folder = tempfile::tempdir().unwrap();
        let options = SpoolOptions::new(folder.path());
        let opened = runtime.block_on(Spool::open(options, clock.clone()));
        let (spool, workers) = opened.unwrap();
        let callers = modalities.iter().map(|(title, address)| Callee {
            address: address.clone(),
            ae_title: AeTitle::parse(title).unwrap(),
            ..committing().callee
        });
        let rule = PromiseRule {
            callers: callers.collect(),
            patience: Duration::from_secs(3_600),
        };
        let destinations = vec![committing()];
        let deliveries = Deliveries::open(folder.path(), (destinations, rule), &spool, clock).unwrap();
        Site {
            _folder: folder,
            _workers: workers,
            spool,
            deliveries,
        }
    }

    fn ask(site: &Site, title: &str, transaction_uid: &str) {
        let request = Request {
            transaction_uid: transaction_uid.to_owned(),
            references: vec![Reference {
                sop_class_uid: "1.2.840.10008.5.1.4.1.1.2".to_owned(),
                sop_instance_uid: "1.2.3".to_owned(),
            }],
        };
        let title = AeTitle::parse(title).unwrap();
        assert_eq!(site.deliveries.promise(&title, Some(request)), status::SUCCESS);
    }

    /// A modality that ends every connection; with how many there were.
    fn refusing() -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let n_calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&n_calls);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                counted.fetch_add(1, Ordering::SeqCst);
                drop(connection);
            }
        });
        (address, n_calls)
    }

    #[test]
    fn a_modality_that_does_not_answer_is_called_once_a_look_and_holds_up_no_other() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let ((first, n_first), (second, n_second)) = (refusing(), refusing());
        let (clock, hand) = Clock::manual(NOW);
        let site = site(&runtime, &[("CT1", first), ("CT2", second)], clock);
        for n in 0..PAGE {
            ask(&site, "CT1", &format!("2.25.1{n}"));
        }
        ask(&site, "CT2", "2.25.2");
        hand.advance_ms(millis(UNKNOWN_PATIENCE));
        let stopping = CancellationToken::new();
        for n in 1..=2 {
            look(&site.deliveries, &site.spool, &stopping);
            assert_eq!(n_first.load(Ordering::SeqCst), 1);
            assert_eq!(n_second.load(Ordering::SeqCst), n - 1);
        }
    }

    #[test]
    fn what_is_unknown_is_denied_only_after_a_while_and_nothing_is_answered_while_the_spool_cannot_be_read() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (address, n_calls) = refusing();
        let (clock, hand) = Clock::manual(NOW);
        let site = site(&runtime, &[("CT1", address)], clock);
        ask(&site, "CT1", "2.25.1");
        let stopping = CancellationToken::new();
        let look = || {
            look(&site.deliveries, &site.spool, &stopping);
            n_calls.load(Ordering::SeqCst)
        };
        assert_eq!(look(), 0);
        hand.advance_ms(millis(UNKNOWN_PATIENCE));
        let index = site._folder.path().join("spool/index.sqlite3");
        let db = rusqlite::Connection::open(index).unwrap();
        db.execute_batch("alter table objects rename to elsewhere")
            .unwrap();
        assert_eq!(look(), 0);
        db.execute_batch("alter table elsewhere rename to objects")
            .unwrap();
        assert_eq!(look(), 1);
    }
}
