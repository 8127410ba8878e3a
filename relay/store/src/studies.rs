//! Studies, series and instances as they arrive from a node: the writes of the ingest.
//!
//! Reading them back is in `instances.rs`. Everything is keyed by network and site first, so two sites that send one
//! UID make two unrelated rows. Nothing here is ever overwritten: another version of an instance is another revision.

mod arrival;
mod manifest;

pub use arrival::{
    ArrivedInstance, ArrivingInstance, InstanceFacts, InstanceState, KnownInstance, Relation, SeriesFacts,
    StudyFacts, VerifiedInstance, begin_instance, find_by_container, find_by_original, find_first_revision,
    find_instance_of_site, list_containers_of_series, replace_lost_first, verify_instance, withdraw_instance,
};
pub use manifest::{
    Manifest, StudyArrival, StudyProgress, WITHHOLDING_STUDIES_MAX, Withheld, WithholdingStudy,
    find_manifest, get_study_arrival, get_study_progress, get_study_uid, list_withholding_studies,
    record_manifest,
};

use tancho_domain::ids::{NetworkId, NodeId, SiteId};

/// Where an instance comes from, by the node's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The tenant.
    pub network_id: NetworkId,
    /// The site the node stands at.
    pub site_id: SiteId,
    /// The node.
    pub node_id: NodeId,
}

/// Elements whose text the declared character sets do not explain: eight hexadecimal digits each, separated by commas.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UncertainElements(String);

impl UncertainElements {
    /// Patient's Name.
    pub const PATIENT_NAME: &str = "00100010";
    /// Patient ID.
    pub const PATIENT_ID: &str = "00100020";
    /// Accession Number.
    pub const ACCESSION_NUMBER: &str = "00080050";
    /// Study Description.
    pub const STUDY_DESCRIPTION: &str = "00081030";
    /// Series Description.
    pub const SERIES_DESCRIPTION: &str = "0008103E";

    /// Whether the element is one of them.
    #[must_use]
    pub fn holds(&self, element: &str) -> bool {
        self.0.split(',').any(|uncertain| uncertain == element)
    }

    /// Whether there are any besides the patient's name, which has its own mark.
    #[must_use]
    pub fn holds_other_than_name(&self) -> bool {
        self.0
            .split(',')
            .any(|uncertain| !matches!(uncertain, "" | Self::PATIENT_NAME))
    }
}

impl From<String> for UncertainElements {
    fn from(elements: String) -> Self {
        Self(elements)
    }
}
