//! Reading requests that open by rule, so that pushing a study from the scanner's console alone is enough.
//!
//! Such a request has no clinical context; the technologist's form or the referring physician completes it.
//! Its command identifier is made from the study, so that a repeated rule opens nothing twice.

use sha2::{Digest, Sha256};
use tancho_domain::dicom::Priority;
use tancho_domain::ids::CommandId;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{AutomaticRequests, RequestRule};
use crate::spool::{RequestForm, Spool, StudyPicture};

/// Watches the spool until the agent stops.
pub async fn run(spool: Spool, rule: RequestRule, clock: Clock, stopping: CancellationToken) {
    let mut changes = spool.subscribe();
    loop {
        for form in due(&spool, &rule, clock.now_ms()) {
            if let Err(error) = spool.add_request(form).await {
                tracing::error!(%error, "an automatic reading request could not be kept; tried again");
            }
        }
        tokio::select! {
            () = stopping.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}

/// Forms for studies that the rule covers and that have no request yet.
fn due(spool: &Spool, rule: &RequestRule, now_ms: i64) -> Vec<RequestForm> {
    let covered = |study: &StudyPicture| match rule.automatic {
        AutomaticRequests::Off => false,
        AutomaticRequests::Stat => study.priority == Priority::Stat,
        AutomaticRequests::All => true,
    };
    let Some(number) = &rule.callback_number else {
        return Vec::new();
    };
    let requests = spool.requests();
    let has_request = |study: &StudyPicture| {
        let form = requests
            .iter()
            .any(|r| r.form.study_instance_uid.as_str() == study.study_instance_uid);
        let known = study
            .relay_update
            .as_ref()
            .is_some_and(|update| update.reading_request_id.is_some());
        form || known
    };
    let studies = spool.studies();
    let due = studies
        .iter()
        .filter(|study| covered(study) && !has_request(study));
    due.filter_map(|study| {
        let urgency = match study.priority {
            Priority::Stat => "critical".to_owned(),
            Priority::Urgent | Priority::Routine => rule.urgency.clone(),
        };
        Some(RequestForm {
            command_id: command_id(&study.study_instance_uid),
            study_instance_uid: study.study_instance_uid.clone().try_into().ok()?,
            urgency,
            clinical_context: serde_json::json!({}),
            callback_number: number.clone(),
            callback_person: None,
            responsible_physician: None,
            created_at_ms: now_ms,
        })
    })
    .collect()
}

/// Whether a form was made here by the rule.
#[must_use]
pub fn is_automatic(form: &RequestForm) -> bool {
    form.command_id == command_id(form.study_instance_uid.as_str())
}

fn command_id(study: &str) -> CommandId {
    let digest = Sha256::digest(format!("tancho automatic request {study}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    CommandId::new(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_form_of_the_rule_is_told_from_a_persons() {
        let mut form = RequestForm {
            command_id: command_id("1.2.3"),
            study_instance_uid: "1.2.3".to_owned().try_into().unwrap(),
            urgency: "routine".to_owned(),
            clinical_context: serde_json::json!({}),
            callback_number: "0154-22-1111".to_owned(),
            callback_person: None,
            responsible_physician: None,
            created_at_ms: 1,
        };
        assert!(is_automatic(&form));
        form.command_id = CommandId::new(Uuid::from_u128(1));
        assert!(!is_automatic(&form));
    }

    #[test]
    fn the_same_study_always_has_the_same_command() {
        assert_eq!(command_id("1.2.3"), command_id("1.2.3"));
        assert_ne!(command_id("1.2.3"), command_id("1.2.4"));
        assert_eq!(
            Uuid::try_parse(command_id("1.2.3").as_str())
                .unwrap()
                .get_version_num(),
            8
        );
    }
}
