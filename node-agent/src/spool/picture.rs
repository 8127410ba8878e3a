//! What the spool holds, in memory and bounded: studies with their counts, the front of the line to the relay,
//! open requests, the quarantine list and counters. Written by the commit thread after each commit, so that
//! nobody sees what is not durable yet.

use std::collections::{BTreeMap, HashMap, VecDeque};

use sha2::{Digest, Sha256};
use tancho_domain::ids::{CommandId, ObjectId};

use super::OUTBOUND_OBJECTS_MAX;
use super::index::{HeldRow, InstanceSum, QuarantineRow, Queued, StudyRow};
use super::outbound::{OutboundObject, RequestForm, RequestResult};
use super::studies::{ObjectState, PatientLabel, StudyPicture};

/// Quarantined objects kept in memory for the page; older ones stay on disk and in the index.
pub const QUARANTINE_SHOWN_MAX: usize = 500;
/// Groups of held objects kept in memory for the page; the others move up as these are released.
pub const HELD_SHOWN_MAX: usize = 200;
/// Answered requests kept in memory for the page.
const REQUESTS_SHOWN_MAX: usize = 2_000;

/// Counts since start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Objects stored.
    pub n_stored: u64,
    /// Bytes of their data sets.
    pub stored_bytes: u64,
    /// Objects that were already here, byte for byte.
    pub n_duplicates: u64,
    /// Objects whose SOP Instance UID was here with other bytes.
    pub n_revisions: u64,
    /// Objects put in quarantine.
    pub n_quarantined: u64,
    /// Objects refused for want of space.
    pub n_refused_no_space: u64,
    /// Objects damaged on our own disk.
    pub n_damaged: u64,
    /// Receipts recorded.
    pub n_receipts: u64,
    /// Objects deleted after receipt and retention.
    pub n_deleted: u64,
}

/// A request form and its answer.
#[derive(Debug, Clone)]
pub struct RequestPicture {
    /// What the technologist sent.
    pub form: RequestForm,
    /// What the relay answered.
    pub result: Option<RequestResult>,
    /// When.
    pub answered_at_ms: Option<i64>,
}

/// Held objects of one study that name the same other patient.
#[derive(Debug, Clone)]
pub struct HeldPicture {
    /// Names exactly these: the study and the patient. 32 hexadecimal digits.
    pub held_id: String,
    /// The study they came under.
    pub study_instance_uid: String,
    /// Whom they name; `None` when that was not recorded.
    pub patient: Option<PatientLabel>,
    /// Who sent the first.
    pub calling_ae: String,
    /// Objects.
    pub n_objects: u64,
    /// Bytes of their data sets.
    pub original_bytes: u64,
    /// First arrival.
    pub first_received_at_ms: i64,
    /// Last arrival.
    pub last_received_at_ms: i64,
    /// The patient as the index keeps it.
    pub(super) patient_json: Option<String>,
}

impl From<HeldRow> for HeldPicture {
    fn from(row: HeldRow) -> Self {
        let named = format!(
            "{}\n{}",
            row.study_instance_uid,
            row.patient.as_deref().unwrap_or("")
        );
        let digest = Sha256::digest(named.as_bytes());
        Self {
            held_id: digest[..16].iter().map(|byte| format!("{byte:02x}")).collect(),
            study_instance_uid: row.study_instance_uid,
            patient: row
                .patient
                .as_deref()
                .and_then(|json| serde_json::from_str(json).ok()),
            calling_ae: row.calling_ae,
            n_objects: row.n_objects,
            original_bytes: row.original_len,
            first_received_at_ms: row.first_received_at_ms,
            last_received_at_ms: row.last_received_at_ms,
            patient_json: row.patient,
        }
    }
}

/// A change to the picture, decided before the commit and applied after it.
pub enum Effect {
    /// A study's row changed.
    Study(Box<StudyRow>),
    /// An object entered the spool.
    Arrived {
        study: String,
        state: ObjectState,
        original_bytes: u64,
        is_revision: bool,
        /// Its SOP Instance UID was not counted before.
        is_first: bool,
        at_ms: i64,
    },
    /// SOP Instance UIDs that count from now on.
    Counted { study: String, instances: InstanceSum },
    /// An object moved from one state to another, or out of the spool.
    Moved {
        study: String,
        from: ObjectState,
        to: Option<ObjectState>,
        original_bytes: u64,
        container_bytes: u64,
    },
    /// An object got its container.
    Coded {
        study: String,
        original_bytes: u64,
        queued: Box<Queued>,
    },
    /// An object left the line.
    LeftLine(ObjectId),
    /// The order of the line changed.
    LineChanged,
    /// A request was added.
    Requested(Box<RequestForm>),
    /// A request was answered.
    Answered {
        command_id: CommandId,
        result: RequestResult,
        at_ms: i64,
    },
    /// An object went into quarantine.
    Quarantined(QuarantineRow),
    /// A quarantined object was taken off the list, which is this now.
    Dismissed(Vec<QuarantineRow>),
    /// Studies are gone from the spool.
    Forgotten(Vec<String>),
    /// A counter moved.
    Count(fn(&mut Counters)),
}

impl Effect {
    /// Whether objects began or ceased to be held.
    #[must_use]
    pub fn changes_held(&self) -> bool {
        match self {
            Self::Arrived { state, .. } => *state == ObjectState::Held,
            Self::Moved { from, to, .. } => *from == ObjectState::Held || *to == Some(ObjectState::Held),
            _ => false,
        }
    }
}

/// The picture.
#[derive(Default)]
pub struct Picture {
    /// Studies by Study Instance UID.
    pub studies: HashMap<String, StudyPicture>,
    /// Front of the line, in its order.
    line: BTreeMap<(u8, i64), Queued>,
    places: HashMap<ObjectId, (u8, i64)>,
    /// The index holds more coded objects than the line here.
    pub more_in_index: bool,
    /// Requests, oldest first.
    pub requests: Vec<RequestPicture>,
    /// Quarantined objects nobody dismissed, newest first.
    pub quarantine: VecDeque<QuarantineRow>,
    /// Held objects by study and patient, the longest waiting first.
    pub held: Vec<HeldPicture>,
    /// Counts since start.
    pub counters: Counters,
}

impl Picture {
    /// Replaces what is held by what the index gave.
    pub fn set_held(&mut self, rows: Vec<HeldRow>) {
        self.held = rows.into_iter().map(HeldPicture::from).collect();
    }

    /// The front of the line.
    #[must_use]
    pub fn outbound(&self) -> Vec<OutboundObject> {
        self.line.values().map(|queued| queued.object.clone()).collect()
    }

    /// Numbered folder of an object in the line.
    #[must_use]
    pub fn folder_of(&self, object_id: &ObjectId) -> Option<i64> {
        self.line
            .get(self.places.get(object_id)?)
            .map(|queued| queued.folder)
    }

    /// Study of an object in the line.
    pub fn in_line(&self) -> impl Iterator<Item = &OutboundObject> {
        self.line.values().map(|queued| &queued.object)
    }

    /// Whether the line should be read from the index again.
    #[must_use]
    pub fn needs_refill(&self) -> bool {
        self.more_in_index && self.line.len() < OUTBOUND_OBJECTS_MAX / 2
    }

    /// Replaces the line by what the index gave.
    pub fn set_line(&mut self, queued: Vec<Queued>) {
        self.more_in_index = queued.len() >= OUTBOUND_OBJECTS_MAX;
        self.line.clear();
        self.places.clear();
        for entry in queued {
            self.enqueue(entry);
        }
    }

    fn enqueue(&mut self, queued: Queued) {
        let place = (queued.object.priority as u8, queued.seq);
        let beyond = self.line.last_key_value().is_some_and(|(last, _)| place > *last);
        if self.more_in_index && beyond {
            return;
        }
        self.places.insert(queued.object.object_id.clone(), place);
        self.line.insert(place, queued);
        if self.line.len() > OUTBOUND_OBJECTS_MAX
            && let Some((_, last)) = self.line.pop_last()
        {
            self.places.remove(&last.object.object_id);
            self.more_in_index = true;
        }
    }

    /// Applies an effect; true when the line must be read again from the index.
    pub fn apply(&mut self, effect: Effect, now_ms: i64) -> bool {
        match effect {
            Effect::Study(row) => self.put_study(&row, now_ms),
            Effect::Arrived {
                study,
                state,
                original_bytes,
                is_revision,
                is_first,
                at_ms,
            } => {
                self.counters.n_stored += 1;
                self.counters.stored_bytes += original_bytes;
                self.counters.n_revisions += u64::from(is_revision);
                if let Some(study) = self.studies.get_mut(&study) {
                    let tally = study.tally_mut(state);
                    tally.n_objects += 1;
                    tally.original_bytes += original_bytes;
                    if is_first {
                        study.instances.n_instances += 1;
                        study.instances.original_len += original_bytes;
                    }
                    study.n_revisions += u64::from(is_revision);
                    study.last_received_at_ms = at_ms;
                    study.last_activity_ms = now_ms;
                }
            }
            Effect::Counted { study, instances } => {
                if let Some(study) = self.studies.get_mut(&study) {
                    study.instances.n_instances += instances.n_instances;
                    study.instances.original_len += instances.original_len;
                }
            }
            Effect::Moved {
                study,
                from,
                to,
                original_bytes,
                container_bytes,
            } => {
                if let Some(study) = self.studies.get_mut(&study) {
                    let tally = study.tally_mut(from);
                    tally.n_objects = tally.n_objects.saturating_sub(1);
                    tally.original_bytes = tally.original_bytes.saturating_sub(original_bytes);
                    tally.container_bytes = tally.container_bytes.saturating_sub(container_bytes);
                    if let Some(to) = to {
                        let tally = study.tally_mut(to);
                        tally.n_objects += 1;
                        tally.original_bytes += original_bytes;
                        tally.container_bytes += container_bytes;
                    }
                }
            }
            Effect::Coded {
                study,
                original_bytes,
                queued,
            } => {
                let container_bytes = queued.object.container_len;
                let moved = Effect::Moved {
                    study: study.clone(),
                    from: ObjectState::Stored,
                    to: Some(ObjectState::Coded),
                    original_bytes,
                    container_bytes: 0,
                };
                self.apply(moved, now_ms);
                if let Some(study) = self.studies.get_mut(&study) {
                    study.tally_mut(ObjectState::Coded).container_bytes += container_bytes;
                }
                self.enqueue(*queued);
            }
            Effect::LeftLine(object_id) => {
                if let Some(place) = self.places.remove(&object_id) {
                    self.line.remove(&place);
                }
            }
            Effect::LineChanged => return true,
            Effect::Requested(form) => {
                self.requests.push(RequestPicture {
                    form: *form,
                    result: None,
                    answered_at_ms: None,
                });
            }
            Effect::Answered {
                command_id,
                result,
                at_ms,
            } => {
                if let Some(request) = self.requests.iter_mut().find(|r| r.form.command_id == command_id) {
                    request.result = Some(result);
                    request.answered_at_ms = Some(at_ms);
                }
                while self.requests.len() > REQUESTS_SHOWN_MAX {
                    let Some(oldest) = self.requests.iter().position(|r| r.result.is_some()) else {
                        break;
                    };
                    self.requests.remove(oldest);
                }
            }
            Effect::Quarantined(row) => {
                self.counters.n_quarantined += 1;
                self.quarantine.push_front(row);
                self.quarantine.truncate(QUARANTINE_SHOWN_MAX);
            }
            Effect::Dismissed(list) => self.quarantine = list.into(),
            Effect::Forgotten(studies) => {
                for study in studies {
                    self.studies.remove(&study);
                    self.requests
                        .retain(|request| request.form.study_instance_uid.as_str() != study);
                }
            }
            Effect::Count(count) => count(&mut self.counters),
        }
        self.needs_refill()
    }

    /// Takes over a study's row.
    pub fn put_study(&mut self, row: &StudyRow, now_ms: i64) {
        match self.studies.get_mut(&row.study_instance_uid) {
            Some(study) => study.take_row(row),
            None => {
                self.studies
                    .insert(row.study_instance_uid.clone(), StudyPicture::new(row, now_ms));
            }
        }
    }
}
