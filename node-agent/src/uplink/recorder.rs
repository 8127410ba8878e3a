//! Makes the relay's answers durable in the spool, many at once, without holding up the line.

use std::collections::HashMap;

use futures_util::future::join_all;
use tancho_domain::ids::{CommandId, ObjectId};
use tancho_wire::frame::{RefusalKind, StudyStatus};
use tokio::sync::mpsc;

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
    (sender, run(spool, board, waiting))
}

async fn run(spool: Spool, board: LinkBoard, mut waiting: mpsc::Receiver<Answer>) {
    let mut batch = Vec::new();
    let mut recodes: HashMap<ObjectId, u32> = HashMap::new();
    let mut told: HashMap<String, StudyUpdate> = HashMap::new();
    while waiting.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let mut recording = Vec::with_capacity(batch.len());
        for answer in batch.drain(..) {
            if let Some(step) = decide(answer, &mut recodes, &mut told) {
                recording.push(record(&spool, &board, step));
            }
        }
        join_all(recording).await;
    }
}

/// What is written into the spool.
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
        update: Option<StudyUpdate>,
        confirmed: Option<(String, u64)>,
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
    let confirmed = status
        .manifest_closed
        .then_some((uid.clone(), status.manifest_generation));
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
            update: None,
            confirmed,
        };
    }
    if told.len() >= STUDIES_REMEMBERED_MAX {
        told.clear();
    }
    told.insert(uid, update.clone());
    Step::Study {
        update: Some(update),
        confirmed,
    }
}

async fn record(spool: &Spool, board: &LinkBoard, step: Step) {
    let recorded = match step {
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
        Step::Study { update, confirmed } => record_study(spool, update, confirmed).await,
    };
    match recorded {
        // The object or study was removed meanwhile, or the answer was recorded before.
        Ok(()) | Err(SpoolError::NotFound) => {}
        Err(error) => {
            tracing::error!(%error, "an answer of the relay was not recorded; it will be asked for again")
        }
    }
}

async fn record_study(
    spool: &Spool,
    update: Option<StudyUpdate>,
    confirmed: Option<(String, u64)>,
) -> Result<(), SpoolError> {
    if let Some(update) = update {
        spool.record_relay_update(update).await?;
    }
    if let Some((study, generation)) = confirmed {
        let waits = |manifest: &crate::spool::StudyManifest| {
            manifest.study_instance_uid.as_str() == study
                && manifest.generation <= generation
                && manifest.closed
        };
        if spool.study_manifests().iter().any(waits) {
            spool.record_manifest_confirmed(&study, generation).await?;
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
}
