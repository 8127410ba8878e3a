//! Reading requests that come with the line: opened by rule at the first head, or by the technologist's form.
//!
//! The rules are those of `reading/automatic.rs`; here the frames of the wire are turned into its terms.

use std::collections::HashSet;

use tancho_domain::dicom::Priority;
use tancho_store::studies::{ArrivedInstance, Origin};
use tancho_store::{StoreError, Tx};
use tancho_wire::frame::{RequestForm, RequestOutcome, RequestResult};
use tancho_wire::transfer::OfferedInstance;

use super::head::Head;
use crate::events::Event;
use crate::reading::automatic::{self, ArrivingHead, FormOrigin, FormOutcome, NodeForm};
use crate::state::AppState;

/// An instance whose head has just come.
pub struct Arrival<'a> {
    /// What was offered.
    pub offered: &'a OfferedInstance,
    /// What its head says.
    pub head: &'a Head,
    /// What became of it.
    pub instance: &'a ArrivedInstance,
}

/// What the rules look at; heads of one transaction that agree in it are asked about once.
type Kind = (String, Priority, String, String, String, Option<String>);

/// The arrivals of one transaction.
#[derive(Default)]
pub struct Arrivals {
    asked: HashSet<Kind>,
    /// To be published after the commit.
    pub events: Vec<Event>,
}

impl Arrivals {
    /// Opens a request by rule, joins the study with a request that waited for it, or notes that images came late.
    /// An instance that is held aside for its patient asks for nothing.
    pub async fn note(
        &mut self,
        app: &AppState,
        tx: &mut Tx,
        origin: &Origin,
        arrival: &Arrival<'_>,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let Arrival {
            offered,
            head,
            instance,
        } = arrival;
        let series = head.series();
        let kind = (
            instance.study_id.as_str().to_owned(),
            offered.priority,
            offered.calling_ae.clone(),
            offered.called_ae.clone(),
            series.modality.clone(),
            series.body_part.clone(),
        );
        if instance.held || !instance.instance_is_new || !self.asked.insert(kind) {
            return Ok(());
        }
        let head = ArrivingHead {
            network_id: &origin.network_id,
            site_id: &origin.site_id,
            study_id: &instance.study_id,
            study_instance_uid: &offered.study_instance_uid,
            instance_is_new: true,
            priority: offered.priority,
            calling_ae: &offered.calling_ae,
            called_ae: &offered.called_ae,
            modality: &series.modality,
            body_part: series.body_part.as_deref(),
        };
        self.events
            .extend(automatic::study_arrived(app, tx, &head, now_ms).await?);
        Ok(())
    }
}

/// Carries out a technologist's form; the same form again gives the same result. `None` means not now.
pub async fn submit(app: &AppState, origin: &Origin, form: &RequestForm) -> Option<RequestResult> {
    let from = FormOrigin {
        network_id: &origin.network_id,
        site_id: &origin.site_id,
        node_id: &origin.node_id,
    };
    let node_form = NodeForm {
        command_id: &form.command_id,
        study_instance_uid: &form.study_instance_uid,
        urgency: &form.urgency,
        callback_number: &form.callback_number,
        callback_person: &form.callback_person,
        responsible_physician: &form.responsible_physician,
        clinical_context: &form.clinical_context,
        requested_at_ms: form.requested_at_ms,
        automatic: form.automatic,
    };
    let outcome = match automatic::open_from_node(app, from, node_form).await {
        Ok(FormOutcome::Accepted {
            reading_request_id,
            case_code,
        }) => RequestOutcome::Accepted {
            reading_request_id,
            case_code,
        },
        Ok(FormOutcome::Refused { code, text }) => RequestOutcome::Refused { code, text },
        Err(error) => {
            tracing::error!(code = %error.code, cause = error.cause, "a technologist's form could not be carried out");
            return None;
        }
    };
    Some(RequestResult {
        command_id: form.command_id.clone(),
        outcome,
    })
}
