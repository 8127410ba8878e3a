//! Reading requests that come with the line: opened by rule at the first head, or by the technologist's form.
//!
//! The rules are those of `reading`; here only the frames of the wire are turned into its terms.

use tancho_domain::ids::NetworkId;
use tancho_store::studies::{ArrivedInstance, Origin};
use tancho_store::{StoreError, Tx};
use tancho_wire::frame::{RequestForm, RequestOutcome, RequestResult};
use tancho_wire::transfer::OfferedInstance;

use super::head::Head;
use crate::events::Event;
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

/// Opens a request by rule, joins the study with a request that waited for it, or notes that images came late. Gives
/// the events to publish after the commit.
pub async fn on_arrival(
    _app: &AppState,
    _tx: &mut Tx,
    _origin: &Origin,
    _arrival: &Arrival<'_>,
    _now_ms: i64,
) -> Result<Vec<Event>, StoreError> {
    Ok(Vec::new())
}

/// Tells the pages, after the commit.
pub fn publish(app: &AppState, _network_id: &NetworkId, events: Vec<Event>) {
    events.into_iter().for_each(|event| app.events.publish(event));
}

/// Carries out a technologist's form; the same form again gives the same result. `None` when the store is away.
pub async fn submit(_app: &AppState, _origin: &Origin, form: &RequestForm) -> Option<RequestResult> {
    Some(RequestResult {
        command_id: form.command_id.clone(),
        outcome: RequestOutcome::Refused {
            code: "x".into(),
            text: "x".into(),
        },
    })
}
