//! Which associations and presentation contexts are accepted (PS3.8 section 7.1.1, PS3.4 annex B).
//!
//! Storage is accepted for every class that could be storage, known or not, and in every transfer syntax,
//! known or not: objects are kept as they come, and displaying them is somebody else's question.

use std::collections::HashMap;
use std::net::IpAddr;

use dicom_ul::pdu::{
    AssociationAC, AssociationRQ, Pdu, PresentationContextResult, PresentationContextResultReason,
    UserVariableItem,
};
use tancho_domain::dicom::{AeTitle, Priority, is_uid};

use super::pdu_stream::PDU_BYTES_MAX;
use super::status::Rejection;
use crate::config::AllowedCaller;

/// Most presentation contexts of one association (their identifiers are odd bytes).
const CONTEXTS_MAX: usize = 128;
const APPLICATION_CONTEXT: &str = "1.2.840.10008.3.1.1.1";
/// Verification SOP class (PS3.4 annex A).
pub const VERIFICATION: &str = "1.2.840.10008.1.1";
/// Every standard storage class lies below this root.
const STORAGE_ROOT: &str = "1.2.840.10008.5.1.4.1.1.";
/// Root of everything the standard defines.
const STANDARD_ROOT: &str = "1.2.840.10008.";
/// Implementation Class UID: a UUID-derived UID of this program (PS3.5 annex B.2).
const IMPLEMENTATION_CLASS: &str = "2.25.201539812041743562180247133270413918537";

/// What the agent answers to.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Our title.
    pub ae_title: AeTitle,
    /// Who may call; `None` lets everyone in, for a port on loopback only.
    pub allow: Option<Vec<AllowedCaller>>,
}

/// An accepted association.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// Calling title.
    pub calling_ae: AeTitle,
    /// The title of ours it called.
    pub called_ae: AeTitle,
    /// Priority that title stands for.
    pub priority: Priority,
    /// Accepted contexts by identifier.
    pub contexts: HashMap<u8, Context>,
    /// The A-ASSOCIATE-AC.
    pub answer: Pdu,
}

/// An accepted presentation context.
#[derive(Debug, Clone)]
pub struct Context {
    /// SOP class.
    pub abstract_syntax: String,
    /// Transfer syntax chosen.
    pub transfer_syntax: String,
}

/// Whether a class can be stored: standard classes below the storage root, and every class that is not the
/// standard's, since vendors have their own. Query, worklist, print and the like are not.
#[must_use]
pub fn is_storage(sop_class: &str) -> bool {
    if !is_uid(sop_class) {
        return false;
    }
    sop_class.starts_with(STORAGE_ROOT) || !sop_class.starts_with(STANDARD_ROOT)
}

/// Decides on a request.
pub fn negotiate(request: &AssociationRQ, peer: IpAddr, policy: &Policy) -> Result<Accepted, Rejection> {
    if request.protocol_version & 1 == 0 {
        return Err(Rejection::ProtocolVersion);
    }
    if request.application_context_name != APPLICATION_CONTEXT {
        return Err(Rejection::ApplicationContextUnknown);
    }
    let called_ae = AeTitle::parse(&request.called_ae_title).map_err(|_| Rejection::CalledAeUnknown)?;
    let stat_title = stat_title(&policy.ae_title);
    let priority = match &called_ae {
        title if *title == policy.ae_title => Priority::Routine,
        title if stat_title.as_ref() == Some(title) => Priority::Stat,
        _ => return Err(Rejection::CalledAeUnknown),
    };
    let calling_ae = AeTitle::parse(&request.calling_ae_title).map_err(|_| Rejection::CallingAeUnknown)?;
    let allowed = policy
        .allow
        .as_ref()
        .is_none_or(|list| list.iter().any(|caller| caller.admits(&calling_ae, peer)));
    if !allowed {
        return Err(Rejection::CallingAeUnknown);
    }
    let mut contexts = HashMap::new();
    let mut results = Vec::new();
    for proposed in request.presentation_contexts.iter().take(CONTEXTS_MAX) {
        let (reason, transfer_syntax) = choose(&proposed.abstract_syntax, &proposed.transfer_syntaxes);
        if reason == PresentationContextResultReason::Acceptance {
            let context = Context {
                abstract_syntax: proposed.abstract_syntax.clone(),
                transfer_syntax: transfer_syntax.clone(),
            };
            contexts.insert(proposed.id, context);
        }
        results.push(PresentationContextResult {
            id: proposed.id,
            reason,
            transfer_syntax,
        });
    }
    let answer = AssociationAC {
        protocol_version: 1,
        calling_ae_title: request.calling_ae_title.clone(),
        called_ae_title: request.called_ae_title.clone(),
        application_context_name: APPLICATION_CONTEXT.to_owned(),
        presentation_contexts: results,
        user_variables: vec![
            UserVariableItem::MaxLength(PDU_BYTES_MAX as u32),
            UserVariableItem::ImplementationClassUID(IMPLEMENTATION_CLASS.to_owned()),
            UserVariableItem::ImplementationVersionName("TANCHO".to_owned()),
        ],
    };
    Ok(Accepted {
        calling_ae,
        called_ae,
        priority,
        contexts,
        answer: answer.into(),
    })
}

/// The title under which everything is stat: ours with `_STAT`, when that still fits a title.
#[must_use]
pub fn stat_title(ae_title: &AeTitle) -> Option<AeTitle> {
    AeTitle::parse(&format!("{ae_title}_STAT")).ok()
}

fn choose(abstract_syntax: &str, proposed: &[String]) -> (PresentationContextResultReason, String) {
    // A result that is not acceptance still has a transfer syntax item; its value is not significant.
    const INSIGNIFICANT: &str = "1.2.840.10008.1.2";
    if abstract_syntax != VERIFICATION && !is_storage(abstract_syntax) {
        return (
            PresentationContextResultReason::AbstractSyntaxNotSupported,
            INSIGNIFICANT.to_owned(),
        );
    }
    match proposed.iter().find(|uid| is_uid(uid)) {
        Some(uid) => (PresentationContextResultReason::Acceptance, uid.clone()),
        None => (
            PresentationContextResultReason::TransferSyntaxesNotSupported,
            INSIGNIFICANT.to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_is_every_storage_class_and_every_private_one_but_no_query() {
        for class in [
            "1.2.840.10008.5.1.4.1.1.2",
            "1.2.840.10008.5.1.4.1.1.999.1",
            "1.2.392.200036.9999.1",
        ] {
            assert!(is_storage(class), "{class}");
        }
        for class in [
            "1.2.840.10008.5.1.4.1.2.2.1",
            "1.2.840.10008.1.20.1",
            "1.2.840.10008.5.1.4.31",
            "x",
            "",
        ] {
            assert!(!is_storage(class), "{class}");
        }
    }

    #[test]
    fn a_title_too_long_for_the_suffix_has_no_stat_twin() {
        assert_eq!(
            stat_title(&AeTitle::parse("TANCHO").unwrap()).unwrap().as_str(),
            "TANCHO_STAT"
        );
        assert_eq!(stat_title(&AeTitle::parse("ABCDEFGHIJKL").unwrap()), None);
    }
}
