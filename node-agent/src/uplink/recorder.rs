//! Makes the relay's answers durable in the spool, many at once, without holding up the line.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _, join_all};
use tancho_domain::ids::{CommandId, ObjectId};
use tancho_wire::frame::{RefusalKind, StudyStatus};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::link::LinkBoard;
use crate::spool::{Receipt, RequestResult, Spool, SpoolError, StudyUpdate};

/// Answers waiting to be recorded; more make the control stream wait, and so the relay.
const WAITING_MAX: usize = 1024;
/// Answers recorded at once, in one commit of the spool.
const BATCH_MAX: usize = 256;
/// Attempts at one object to get a container that the relay can rebuild.
const RECODES_MAX: u32 = 2;
/// Studies whose last status is remembered, so that unchanged news is not written again.
const STUDIES_REMEMBERED_MAX: usize = 1024;

/// First pause before answers that could not be recorded are tried again; it doubles up to the longest one.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause between two tries.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(30);

/// An answer of the relay.
#[derive(Debug)]
pub(super) enum Answer {
    Receipt(Receipt),
    Refusal {
        object_id: ObjectId,
        kind: RefusalKind,
        code: String,
        text: String,
    },
    Request {
        command_id: CommandId,
        result: RequestResult,
    },
    Study(Box<StudyStatus>),
}

/// Starts the recorder: where answers go, and what has to be run.
pub(super) fn start(spool: Spool, board: LinkBoard) -> (mpsc::Sender<Answer>, impl Future<Output = ()>) {
    let (sender, waiting) = mpsc::channel(WAITING_MAX);
    let record = move |step| {
        let (spool, board) = (spool.clone(), board.clone());
        async move { record(&spool, &board, step).await }.boxed()
    };
    (sender, run(record, waiting, RETRY_PAUSE..=RETRY_PAUSE_MAX))
}

type Recorded = BoxFuture<'static, Result<(), SpoolError>>;

/// The sender never asks for an answer twice, so what could not be recorded is kept here until it is.
async fn run(
    record: impl Fn(Step) -> Recorded,
    mut waiting: mpsc::Receiver<Answer>,
    pauses: RangeInclusive<Duration>,
) {
    let mut batch = Vec::new();
    let mut recodes: HashMap<ObjectId, u32> = HashMap::new();
    let mut told: HashMap<String, StudyUpdate> = HashMap::new();
    let mut unrecorded: Vec<Step> = Vec::new();
    let mut pause = *pauses.start();
    let mut retry_at = Instant::now();
    loop {
        tokio::select! {
            n_taken = waiting.recv_many(&mut batch, BATCH_MAX), if unrecorded.len() < WAITING_MAX => {
                if n_taken == 0 {
                    return;
                }
                let steps: Vec<Step> = batch
                    .drain(..)
                    .filter_map(|answer| decide(answer, &mut recodes, &mut told))
                    .collect();
                for step in &steps {
                    // Newer news of a study takes the place of older news that waits.
                    if let Step::Study { study, .. } = step {
                        unrecorded.retain(|old| !matches!(old, Step::Study { study: of, .. } if of == study));
                    }
                }
                let recorded = join_all(steps.iter().cloned().map(&record)).await;
                let was_clear = unrecorded.is_empty();
                for (step, recorded) in steps.into_iter().zip(recorded) {
                    if must_retry(recorded.as_ref(), unrecorded.is_empty()) {
                        if let Step::Study { study, .. } = &step {
                            told.remove(study);
                        }
                        unrecorded.push(step);
                    }
                }
                if was_clear {
                    pause = *pauses.start();
                    retry_at = Instant::now() + pause;
                }
            }
            () = tokio::time::sleep_until(retry_at), if !unrecorded.is_empty() => {
                // One by one: an answer that the index cannot take must not keep the others from being recorded.
                for step in std::mem::take(&mut unrecorded) {
                    if must_retry(record(step.clone()).await.as_ref(), false) {
                        unrecorded.push(step);
                    }
                }
                pause = (pause * 2).min(*pauses.end());
                retry_at = Instant::now() + pause;
            }
        }
    }
}

/// Whether recording failed in a way that may pass; said once per failure of the spool.
fn must_retry(recorded: Result<&(), &SpoolError>, is_first: bool) -> bool {
    match recorded {
        // The object or study was removed meanwhile, or the answer was recorded before.
        Ok(()) | Err(SpoolError::NotFound) => false,
        Err(error @ SpoolError::ReceiptMismatch) => {
            tracing::error!(%error, "a receipt was not taken; the object stays in the spool");
            false
        }
        // After the next start the objects are offered again and answered again.
        Err(SpoolError::Stopped) => false,
        Err(error) => {
            if is_first {
                tracing::error!(%error, "an answer of the relay was not recorded; it is tried again");
            }
            true
        }
    }
}

/// What is written into the spool.
#[derive(Debug, Clone)]
enum Step {
    Receipt(Receipt),
    Refusal {
        object_id: ObjectId,
        code: String,
        text: String,
    },
    Request {
        command_id: CommandId,
        result: RequestResult,
    },
    Study {
        study: String,
        update: Option<StudyUpdate>,
        /// The generation of its manifest that the relay has, once it is closed.
        confirmed: Option<u64>,
    },
}

fn decide(
    answer: Answer,
    recodes: &mut HashMap<ObjectId, u32>,
    told: &mut HashMap<String, StudyUpdate>,
) -> Option<Step> {
    match answer {
        Answer::Receipt(receipt) => {
            recodes.remove(&receipt.object_id);
            Some(Step::Receipt(receipt))
        }
        // The object itself is offered again by the sender.
        Answer::Refusal {
            kind: RefusalKind::Later,
            ..
        } => None,
        Answer::Refusal {
            object_id,
            kind,
            code,
            text,
        } => {
            let n_recodes = recodes.entry(object_id.clone()).or_default();
            let recode = kind == RefusalKind::Recode || code == "container_digest_mismatch";
            if recode && *n_recodes < RECODES_MAX {
                *n_recodes += 1;
                return Some(Step::Refusal {
                    object_id,
                    code: "container_mismatch".to_owned(),
                    text,
                });
            }
            recodes.remove(&object_id);
            // The spool makes the container anew at this code; after enough attempts a person has to look.
            let code = if code == "container_mismatch" {
                "container_refused".to_owned()
            } else {
                code
            };
            Some(Step::Refusal {
                object_id,
                code,
                text,
            })
        }
        Answer::Request { command_id, result } => Some(Step::Request { command_id, result }),
        Answer::Study(status) => Some(study_step(*status, told)),
    }
}

fn study_step(status: StudyStatus, told: &mut HashMap<String, StudyUpdate>) -> Step {
    let some = |text: String| (!text.is_empty()).then_some(text);
    let uid = status.study_instance_uid.as_str().to_owned();
    let confirmed = status.manifest_closed.then_some(status.manifest_generation);
    let update = StudyUpdate {
        study_instance_uid: status.study_instance_uid,
        reading_request_id: some(status.reading_request_id),
        case_code: some(status.case_code),
        state: status.reading_state,
        reader_name: some(status.reader_name),
        clinical_context_complete: status.clinical_context_complete,
        at_ms: status.at_ms,
    };
    let is_news = told.get(&uid).is_none_or(|before| {
        StudyUpdate {
            at_ms: update.at_ms,
            ..before.clone()
        } != update
    });
    if !is_news {
        return Step::Study {
            study: uid,
            update: None,
            confirmed,
        };
    }
    if told.len() >= STUDIES_REMEMBERED_MAX {
        told.clear();
    }
    told.insert(uid.clone(), update.clone());
    Step::Study {
        study: uid,
        update: Some(update),
        confirmed,
    }
}

async fn record(spool: &Spool, board: &LinkBoard, step: Step) -> Result<(), SpoolError> {
    match step {
        Step::Receipt(receipt) => {
            let object_id = receipt.object_id.clone();
            let recorded = spool.record_receipt(receipt).await;
            board.clear_sent(&object_id);
            recorded
        }
        Step::Refusal {
            object_id,
            code,
            text,
        } => {
            board.clear_sent(&object_id);
            spool.record_refusal(&object_id, &code, &text).await
        }
        Step::Request { command_id, result } => spool.record_request_result(&command_id, result).await,
        Step::Study {
            study,
            update,
            confirmed,
        } => record_study(spool, &study, update, confirmed).await,
    }
}

async fn record_study(
    spool: &Spool,
    study: &str,
    update: Option<StudyUpdate>,
    confirmed: Option<u64>,
) -> Result<(), SpoolError> {
    if let Some(update) = update {
        spool.record_relay_update(update).await?;
    }
    if let Some(generation) = confirmed {
        let waits = |manifest: &crate::spool::StudyManifest| {
            manifest.study_instance_uid.as_str() == study
                && manifest.generation <= generation
                && manifest.closed
        };
        if spool.study_manifests().iter().any(waits) {
            spool.record_manifest_confirmed(study, generation).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn refusal(kind: RefusalKind, code: &str) -> Answer {
        let object_id = ObjectId::new(Uuid::from_u128(1));
        Answer::Refusal {
            object_id,
            kind,
            code: code.to_owned(),
            text: String::new(),
        }
    }

    #[test]
    fn a_container_is_made_anew_twice_and_then_shown_to_a_person() {
        let (mut recodes, mut told) = (HashMap::new(), HashMap::new());
        let mut codes = Vec::new();
        for answer in [
            refusal(RefusalKind::Recode, "original_digest_mismatch"),
            refusal(RefusalKind::Final, "container_digest_mismatch"),
            refusal(RefusalKind::Recode, "original_digest_mismatch"),
            refusal(RefusalKind::Later, "disk_full"),
            refusal(RefusalKind::Final, "head_unreadable"),
        ] {
            if let Some(Step::Refusal { code, .. }) = decide(answer, &mut recodes, &mut told) {
                codes.push(code);
            }
        }
        let expected = [
            "container_mismatch",
            "container_mismatch",
            "original_digest_mismatch",
            "head_unreadable",
        ];
        assert_eq!(codes, expected);
    }

    #[tokio::test]
    async fn a_receipt_is_tried_until_the_spool_takes_it_and_holds_nothing_up() {
        let receipt = |n| {
            Answer::Receipt(Receipt {
                object_id: ObjectId::new(Uuid::from_u128(n)),
                container_sha256: [0; 32],
                original_sha256: [0; 32],
                received_at_ms: 1,
            })
        };
        let (answers, waiting) = mpsc::channel(WAITING_MAX);
        let (recorded, mut taken) = mpsc::unbounded_channel();
        let first = ObjectId::new(Uuid::from_u128(1));
        let n_failures = std::sync::atomic::AtomicU32::new(0);
        let record = move |step: Step| {
            let Step::Receipt(receipt) = step else {
                panic!("only receipts were given");
            };
            let fails = receipt.object_id == first
                && n_failures.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 6;
            let outcome = if fails {
                Err(SpoolError::Index("disk I/O error".to_owned()))
            } else {
                recorded.send(receipt.object_id).unwrap();
                Ok(())
            };
            async move { outcome }.boxed()
        };
        let running = tokio::spawn(run(record, waiting, Duration::ZERO..=Duration::ZERO));
        answers.send(receipt(1)).await.unwrap();
        answers.send(receipt(2)).await.unwrap();
        assert_eq!(taken.recv().await, Some(ObjectId::new(Uuid::from_u128(2))));
        assert_eq!(taken.recv().await, Some(ObjectId::new(Uuid::from_u128(1))));
        drop(answers);
        running.await.unwrap();
        assert!(taken.try_recv().is_err(), "each is recorded once");
    }

    #[test]
    fn a_receipt_of_another_object_is_not_tried_again() {
        assert!(!must_retry(Err(&SpoolError::ReceiptMismatch), true));
        assert!(!must_retry(Err(&SpoolError::NotFound), true));
        assert!(!must_retry(Err(&SpoolError::Stopped), true));
        assert!(must_retry(Err(&SpoolError::Index(String::new())), true));
    }
}
