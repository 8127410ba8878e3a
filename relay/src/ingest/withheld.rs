//! What people are told about instances that came to the site and stay there.

use serde::Serialize;
use tancho_store::studies::Withheld;
use utoipa::ToSchema;

/// Instances of a study that its site withholds for one reason; while there are any, the study is not complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WithheldInstances {
    /// `patient_differs`, `unusable`, `damaged`, `refused`, or a code of a newer agent.
    pub reason: String,
    /// How many.
    pub n_instances: i64,
}

/// By reason, as the site gave them.
#[must_use]
pub fn of(withheld: &Withheld) -> Vec<WithheldInstances> {
    let reasons = withheld.reasons().iter();
    reasons
        .map(|(reason, n_instances)| WithheldInstances {
            reason: reason.clone(),
            n_instances: *n_instances,
        })
        .collect()
}
