//! What the page shows, made from the spool and the state of the line at one moment.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;
use tancho_domain::dicom::{Priority, japanese_era};
use tancho_domain::ids::ObjectId;
use tancho_wire::frame::LeftOut;

use super::PageParts;
use crate::conformance::Card;
use crate::deliver::{DestinationPicture, PromisePicture};
use crate::dimse::refusals::Refused;
use crate::link::{Asked, LinkStatus, StudyFlow};
use crate::spool::studies::PatientLabel;
use crate::spool::{
    HeldPicture, ObjectState, QUARANTINE_SHOWN_MAX, QuarantineRow, RequestForm, RequestPicture,
    RequestResult, StudyPicture,
};
use crate::troubles::{Facts, Trouble, troubles};

/// Most studies the page shows, the latest first; older ones stay in the spool.
pub const STUDIES_SHOWN_MAX: usize = 200;

/// Most senders of uncertain text the page shows.
pub const UNCERTAIN_TEXTS_SHOWN_MAX: usize = 50;

/// One picture of the node.
#[derive(Debug, Serialize)]
pub struct PageState {
    /// When it was made.
    now_ms: i64,
    /// Title that modalities call.
    ae_title: String,
    /// Title that means stat.
    ae_title_stat: String,
    /// Address modalities send to.
    dimse_address: String,
    /// The line.
    link: LinkStatus,
    /// What a person has to know of the line, the disk and what waits, the loudest first.
    troubles: Vec<Trouble>,
    /// Number the site was last to be called back at, if any request named one.
    callback_number: Option<String>,
    /// Studies, the latest arrival first.
    studies: Vec<StudyView>,
    /// Objects that name another patient than their study, the longest waiting first.
    held: Vec<HeldView>,
    /// Senders of text that their character sets do not explain, the latest arrival first.
    uncertain_texts: Vec<UncertainTextsView>,
    /// The conformance card of each modality, those with faults first.
    conformance: Vec<Card>,
    /// Objects set aside, the latest first.
    quarantine: Vec<QuarantineView>,
    /// Whether older ones may wait behind these for their place on the list.
    quarantine_is_full: bool,
    /// Associations that were not accepted, the latest first.
    refusals: Vec<Refused>,
    /// Where received objects are delivered to.
    deliveries: Vec<DestinationPicture>,
    /// Storage commitment that modalities wait for.
    promises: PromisePicture,
}

#[derive(Debug, Serialize)]
struct QuarantineView {
    object_id: ObjectId,
    at_ms: i64,
    calling_ae: String,
    code: String,
    bytes: u64,
}

/// Held objects of one study that name the same other patient. Both patients are `None` when they are not known.
#[derive(Debug, Serialize)]
struct HeldView {
    held_id: String,
    study_patient: Option<PatientView>,
    patient: Option<PatientView>,
    calling_ae: String,
    n_objects: u64,
    bytes: u64,
    first_received_at_ms: i64,
    last_received_at_ms: i64,
}

/// Studies from one sender whose text does not fit its declaration.
#[derive(Debug, Serialize)]
struct UncertainTextsView {
    calling_ae: String,
    declared: String,
    elements: BTreeSet<String>,
    n_studies: u64,
    last_received_at_ms: i64,
}

#[derive(Debug, Serialize)]
struct PatientView {
    patient_name: NameView,
    name_uncertain: bool,
    patient_id: Redacted,
    birth_date: Redacted,
    birth_date_era: Option<Redacted>,
    sex: String,
}

/// A study on the page. Its `Debug` prints no patient data.
#[derive(Debug, Serialize)]
pub struct StudyView {
    study_instance_uid: String,
    #[serde(flatten)]
    patient: PatientView,
    study_date: String,
    study_time: String,
    description: Redacted,
    /// Some text of it does not fit the declared character sets.
    text_uncertain: bool,
    modalities: Vec<String>,
    priority: Priority,
    closed: bool,
    generation: u64,
    first_received_at_ms: i64,
    last_received_at_ms: i64,
    /// Objects kept, of every state but damaged.
    n_received: u64,
    /// Objects durable at the relay.
    n_durable: u64,
    /// Objects whose container is not made yet.
    n_coding: u64,
    /// Objects the relay would not take.
    n_refused: u64,
    /// Objects held back: they name another patient.
    n_held: u64,
    /// Objects whose bytes here are no longer those received, or cannot be read.
    n_damaged: u64,
    /// Bytes that have to cross the line; data set bytes stand in until a container is made.
    bytes_total: u64,
    /// Of those, durable at the relay or on the line now.
    bytes_sent: u64,
    /// On the line now, without a receipt.
    bytes_sent_now: u64,
    /// Instances a reader can look at, as preview or original, as far as the relay has said since the agent started.
    n_shown: u64,
    /// When the last byte of it was put on the line, since start.
    last_sent_at_ms: Option<i64>,
    /// Mean of its own bytes over the last five seconds.
    bytes_per_second: u64,
    request: Option<RequestView>,
}

/// What is patient data: serialised for the page, never printed.
#[derive(Serialize)]
#[serde(transparent)]
struct Redacted<T = String>(T);

impl<T> std::fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

#[derive(Debug, Serialize)]
struct NameView {
    alphabetic: Redacted,
    ideographic: Redacted,
    phonetic: Redacted,
}

#[derive(Debug, Default, Serialize)]
struct RequestView {
    /// A form is on its way to the relay.
    pending: bool,
    /// Why the relay refused the last form.
    refused: Option<String>,
    case_code: Option<String>,
    state: Option<String>,
    reader_name: Option<String>,
    clinical_context_complete: Option<bool>,
    /// What the reader needs before reading, while the request is sent back.
    returned: Option<ReturnedView>,
    /// Answers of the last form that the relay did not take, and why.
    left_out: Vec<LeftOutView>,
    /// What the last form asked for; `None` when the request was opened elsewhere.
    form: Option<FormView>,
}

#[derive(Debug, Serialize)]
struct ReturnedView {
    reason: Redacted,
    by: String,
    at_ms: i64,
}

#[derive(Debug, Serialize)]
struct LeftOutView {
    field: String,
    code: String,
}

/// The last form of a study, so that the next one starts from it.
#[derive(Debug, Serialize)]
struct FormView {
    urgency: String,
    clinical_context: Redacted<serde_json::Value>,
    callback_number: String,
    callback_person: Option<String>,
    responsible_physician: Option<String>,
}

/// Takes the picture.
#[must_use]
pub fn picture(parts: &PageParts) -> PageState {
    let now_ms = parts.clock.now_ms();
    let on_line = parts.board.in_flight();
    let by_study = parts.spool.line_by_study();
    let requests = parts.spool.requests();
    let studies = parts.spool.studies();
    let flows = parts.board.study_flows();
    let mut asked = parts.board.asked();
    let facts = Facts::gather(&parts.spool, &parts.board, &parts.deliveries, now_ms);
    let quarantine = parts.spool.quarantine();
    PageState {
        now_ms,
        ae_title: parts.ae_title.clone(),
        ae_title_stat: format!("{}_STAT", parts.ae_title),
        dimse_address: parts.dimse_address.to_string(),
        troubles: troubles(&facts),
        link: facts.link,
        deliveries: facts.deliveries,
        promises: parts.deliveries.promises(),
        callback_number: requests
            .iter()
            .max_by_key(|request| request.form.created_at_ms)
            .map(|request| request.form.callback_number.clone()),
        studies: studies
            .iter()
            .take(STUDIES_SHOWN_MAX)
            .map(|study| {
                let uid = &study.study_instance_uid;
                let flow = flows.get(uid).copied().unwrap_or_default();
                let request = request_view(study, &requests, asked.remove(uid).unwrap_or_default());
                study_view(study, flow, &by_study, &on_line, request)
            })
            .collect(),
        held: parts
            .spool
            .held()
            .into_iter()
            .map(|held| held_view(held, &studies))
            .collect(),
        uncertain_texts: uncertain_texts(&studies),
        conformance: parts.spool.conformance(),
        quarantine_is_full: quarantine.len() == QUARANTINE_SHOWN_MAX,
        quarantine: quarantine.into_iter().map(quarantine_view).collect(),
        refusals: parts.refusals.recent(),
    }
}

/// By sender and declaration: what is wrong is corrected at the sender, once for all its studies.
fn uncertain_texts(studies: &[StudyPicture]) -> Vec<UncertainTextsView> {
    let mut views: Vec<UncertainTextsView> = Vec::new();
    for study in studies {
        let Some(doubt) = &study.label.text_doubt else {
            continue;
        };
        let known = views
            .iter()
            .position(|view| view.calling_ae == doubt.calling_ae && view.declared == doubt.declared);
        let at = known.unwrap_or_else(|| {
            views.push(UncertainTextsView {
                calling_ae: doubt.calling_ae.clone(),
                declared: doubt.declared.clone(),
                elements: BTreeSet::new(),
                n_studies: 0,
                last_received_at_ms: 0,
            });
            views.len() - 1
        });
        let view = &mut views[at];
        view.elements.extend(doubt.elements.iter().cloned());
        view.n_studies += 1;
        view.last_received_at_ms = view.last_received_at_ms.max(study.last_received_at_ms);
    }
    views.sort_by_key(|view| std::cmp::Reverse(view.last_received_at_ms));
    views.truncate(UNCERTAIN_TEXTS_SHOWN_MAX);
    views
}

fn study_view(
    study: &StudyPicture,
    flow: StudyFlow,
    by_study: &HashMap<String, Vec<ObjectId>>,
    on_line: &HashMap<ObjectId, u64>,
    request: Option<RequestView>,
) -> StudyView {
    let tally = |state| study.tally(state);
    let [stored, coded, receipted, refused, held, damaged] = ObjectState::ALL.map(tally);
    let bytes_total = stored.original_bytes + coded.container_bytes + receipted.container_bytes;
    let bytes_sent_now = by_study
        .get(&study.study_instance_uid)
        .into_iter()
        .flatten()
        .filter_map(|object| on_line.get(object))
        .sum::<u64>()
        .min(coded.container_bytes);
    StudyView {
        study_instance_uid: study.study_instance_uid.clone(),
        patient: patient_view(&study.label.patient),
        study_date: study.label.study_date.clone(),
        study_time: study.label.study_time.clone(),
        description: Redacted(study.label.description.clone()),
        text_uncertain: study.label.text_doubt.is_some(),
        modalities: study.label.modalities.clone(),
        priority: study.priority,
        closed: study.closed_at_ms.is_some(),
        generation: study.generation,
        first_received_at_ms: study.first_received_at_ms,
        last_received_at_ms: study.last_received_at_ms,
        n_received: [stored, coded, receipted, refused, held, damaged]
            .iter()
            .map(|t| t.n_objects)
            .sum(),
        n_durable: receipted.n_objects,
        n_coding: stored.n_objects,
        n_refused: refused.n_objects,
        n_held: held.n_objects,
        n_damaged: damaged.n_objects,
        bytes_total,
        bytes_sent: receipted.container_bytes + bytes_sent_now,
        bytes_sent_now,
        n_shown: flow.n_shown,
        last_sent_at_ms: flow.last_sent_at_ms,
        bytes_per_second: flow.bytes_per_second,
        request,
    }
}

fn patient_view(patient: &PatientLabel) -> PatientView {
    let PatientLabel {
        alphabetic,
        ideographic,
        phonetic,
        name_uncertain,
        patient_id,
        birth_date,
        sex,
    } = patient.clone();
    PatientView {
        patient_name: NameView {
            alphabetic: Redacted(alphabetic),
            ideographic: Redacted(ideographic),
            phonetic: Redacted(phonetic),
        },
        name_uncertain,
        patient_id: Redacted(patient_id),
        birth_date_era: japanese_era(&birth_date).map(Redacted),
        birth_date: Redacted(birth_date),
        sex,
    }
}

fn held_view(held: HeldPicture, studies: &[StudyPicture]) -> HeldView {
    let study = studies
        .iter()
        .find(|study| study.study_instance_uid == held.study_instance_uid);
    HeldView {
        held_id: held.held_id,
        study_patient: study.map(|study| patient_view(&study.label.patient)),
        patient: held.patient.as_ref().map(patient_view),
        calling_ae: held.calling_ae,
        n_objects: held.n_objects,
        bytes: held.original_bytes,
        first_received_at_ms: held.first_received_at_ms,
        last_received_at_ms: held.last_received_at_ms,
    }
}

fn request_view(study: &StudyPicture, requests: &[RequestPicture], asked: Asked) -> Option<RequestView> {
    let last = requests
        .iter()
        .rfind(|request| request.form.study_instance_uid.as_str() == study.study_instance_uid);
    let update = study
        .relay_update
        .as_ref()
        .filter(|update| !update.state.is_empty());
    if last.is_none() && update.is_none() {
        return None;
    }
    let mut view = RequestView {
        form: last.map(|request| form_view(&request.form)),
        ..RequestView::default()
    };
    match last.map(|request| &request.result) {
        Some(None) => view.pending = true,
        Some(Some(RequestResult::Refused { text, .. })) => view.refused = Some(text.clone()),
        Some(Some(RequestResult::Accepted { case_code, .. })) => view.case_code = Some(case_code.clone()),
        None => {}
    }
    view.take_asked(asked);
    if let Some(update) = update {
        view.case_code = update.case_code.clone().or(view.case_code);
        view.state = Some(update.state.clone());
        view.reader_name = update.reader_name.clone();
        view.clinical_context_complete = Some(update.clinical_context_complete);
    }
    Some(view)
}

impl RequestView {
    fn take_asked(&mut self, asked: Asked) {
        self.returned = asked.returned.map(|returned| ReturnedView {
            reason: Redacted(returned.reason),
            by: returned.by,
            at_ms: returned.at_ms,
        });
        // What was left out of the form before says nothing about the one that is on its way.
        if !self.pending {
            let left_out = asked.left_out.into_iter();
            self.left_out = left_out
                .map(|LeftOut { field, code }| LeftOutView { field, code })
                .collect();
        }
    }
}

fn form_view(form: &RequestForm) -> FormView {
    FormView {
        urgency: form.urgency.clone(),
        clinical_context: Redacted(form.clinical_context.clone()),
        callback_number: form.callback_number.clone(),
        callback_person: form.callback_person.clone(),
        responsible_physician: form.responsible_physician.clone(),
    }
}

fn quarantine_view(row: QuarantineRow) -> QuarantineView {
    QuarantineView {
        object_id: row.object_id,
        at_ms: row.received_at_ms,
        calling_ae: row.calling_ae,
        code: row.reason,
        bytes: row.data_len,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tancho_wire::frame::Returned;

    use super::*;

    #[test]
    fn the_card_says_what_a_reader_asks_for_and_which_answers_were_lost() {
        let asked = Asked {
            returned: Some(Returned {
                reason: "GCS?".to_owned(),
                by: "齋藤 守".to_owned(),
                at_ms: 7,
            }),
            left_out: vec![LeftOut {
                field: "door_dt".to_owned(),
                code: "in_future".to_owned(),
            }],
        };
        let mut view = RequestView::default();
        view.take_asked(asked.clone());
        let shown = serde_json::to_value(&view).unwrap();
        assert_eq!(
            shown["returned"],
            json!({ "reason": "GCS?", "by": "齋藤 守", "at_ms": 7 })
        );
        assert_eq!(
            shown["left_out"],
            json!([{ "field": "door_dt", "code": "in_future" }])
        );
        assert!(
            !format!("{view:?}").contains("GCS?"),
            "a person's words are in no log"
        );
        let mut on_its_way = RequestView {
            pending: true,
            ..RequestView::default()
        };
        on_its_way.take_asked(asked);
        assert!(on_its_way.left_out.is_empty());
    }
}
