//! Which associations and presentation contexts are accepted (PS3.8 section 7.1.1, PS3.4 annex B).
//!
//! Storage is accepted for every class that could be storage, known or not, and in every transfer syntax,
//! known or not: objects are kept as they come, and displaying them is somebody else's question.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use dicom_ul::pdu::{
    AssociationAC, AssociationRQ, Pdu, PresentationContextResult, PresentationContextResultReason,
    RequestorRoles, UserVariableItem,
};
use tancho_domain::dicom::{AeTitle, Priority, is_uid};

use super::commitment;
use super::fragments::sent_pdu_bytes;
use super::pdu_stream::PDU_BYTES_MAX;
use super::query;
use super::status::Rejection;
use crate::config::AllowedCaller;

/// Most presentation contexts of one association (their identifiers are odd bytes).
pub const CONTEXTS_MAX: usize = 128;
/// The DICOM application context (PS3.7 annex A).
pub const APPLICATION_CONTEXT: &str = "1.2.840.10008.3.1.1.1";
/// Verification SOP class (PS3.4 annex A).
pub const VERIFICATION: &str = "1.2.840.10008.1.1";
/// Every standard storage class lies below this root.
pub const STORAGE_ROOT: &str = "1.2.840.10008.5.1.4.1.1.";
/// Root of everything the standard defines.
const STANDARD_ROOT: &str = "1.2.840.10008.";
/// Implementation Class UID: a UUID-derived UID of this program (PS3.5 annex B.2).
pub const IMPLEMENTATION_CLASS: &str = "2.25.201539812041743562180247133270413918537";

/// Implementation Version Name.
pub const IMPLEMENTATION_VERSION: &str = "TANCHO";

/// What the agent answers to.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Our title.
    pub ae_title: AeTitle,
    /// Who may call; `None` lets everyone in, for a port on loopback only.
    pub allow: Option<Vec<AllowedCaller>>,
    /// Titles of those who may report storage commitment to us.
    pub reporters: Vec<AeTitle>,
    /// Titles of those who may ask us for storage commitment.
    pub askers: Vec<AeTitle>,
    /// Who may query and retrieve.
    pub queriers: Vec<AllowedCaller>,
}

/// A caller as the policy looks at it.
struct Caller<'a> {
    ae_title: &'a AeTitle,
    may_query: bool,
}

impl Policy {
    /// What everyone gets: objects are taken, nothing else.
    #[must_use]
    pub fn storage_only(ae_title: AeTitle, allow: Option<Vec<AllowedCaller>>) -> Self {
        Self {
            ae_title,
            allow,
            reporters: Vec::new(),
            askers: Vec::new(),
            queriers: Vec::new(),
        }
    }

    /// Whether a caller may use a class here.
    fn serves(&self, class: &str, caller: &Caller<'_>) -> bool {
        match class {
            VERIFICATION => true,
            commitment::CLASS => {
                self.reporters.contains(caller.ae_title) || self.askers.contains(caller.ae_title)
            }
            query::FIND | query::MOVE | query::GET => caller.may_query,
            other => is_storage(other),
        }
    }

    /// The roles of a requestor that are accepted of those it proposes for a class.
    fn roles(&self, class: &str, proposed: &RequestorRoles, caller: &Caller<'_>) -> RequestorRoles {
        let (may_use, may_provide) = match class {
            commitment::CLASS => (
                self.askers.contains(caller.ae_title),
                self.reporters.contains(caller.ae_title),
            ),
            // Objects come back on the same association with C-GET.
            storage if is_storage(storage) => (true, caller.may_query),
            _ => (true, false),
        };
        RequestorRoles {
            scu: proposed.scu && may_use,
            scp: proposed.scp && may_provide,
        }
    }
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
    /// Storage classes that the peer takes objects of on this association, for C-GET.
    pub storable: HashSet<String>,
    /// Longest PDU after its header that the peer takes; `None` when it is too short to answer queries in.
    pub pdu_bytes: Option<usize>,
    /// The A-ASSOCIATE-AC.
    pub answer: Pdu,
}

/// A presentation context: accepted, or to be proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// SOP class.
    pub abstract_syntax: String,
    /// Transfer syntax.
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
    let caller = Caller {
        ae_title: &calling_ae,
        may_query: policy.queriers.iter().any(|one| one.admits(&calling_ae, peer)),
    };
    let roles: Vec<(String, RequestorRoles)> = request
        .user_variables
        .iter()
        .filter_map(|item| match item {
            UserVariableItem::ScuScpRoleSelectionSubItem(class, proposed) => {
                Some((class.clone(), policy.roles(class, proposed, &caller)))
            }
            _ => None,
        })
        .collect();
    let provided = roles
        .iter()
        .filter(|(class, roles)| roles.scp && is_storage(class));
    let storable: HashSet<String> = provided.map(|(class, _)| class.clone()).collect();
    let mut contexts = HashMap::new();
    let mut results = Vec::new();
    for proposed in request.presentation_contexts.iter().take(CONTEXTS_MAX) {
        let class = proposed.abstract_syntax.as_str();
        let (reason, transfer_syntax) = if policy.serves(class, &caller) {
            choose(class, &proposed.transfer_syntaxes, storable.contains(class))
        } else {
            (
                PresentationContextResultReason::AbstractSyntaxNotSupported,
                INSIGNIFICANT.to_owned(),
            )
        };
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
    let max_length = request.user_variables.iter().find_map(|item| match item {
        UserVariableItem::MaxLength(bytes) => Some(*bytes),
        _ => None,
    });
    let answer = AssociationAC {
        protocol_version: 1,
        calling_ae_title: request.calling_ae_title.clone(),
        called_ae_title: request.called_ae_title.clone(),
        application_context_name: APPLICATION_CONTEXT.to_owned(),
        presentation_contexts: results,
        user_variables: vec![
            UserVariableItem::MaxLength(PDU_BYTES_MAX as u32),
            UserVariableItem::ImplementationClassUID(IMPLEMENTATION_CLASS.to_owned()),
            UserVariableItem::ImplementationVersionName(IMPLEMENTATION_VERSION.to_owned()),
        ]
        .into_iter()
        .chain(
            roles
                .into_iter()
                .map(|(class, roles)| UserVariableItem::ScuScpRoleSelectionSubItem(class, roles)),
        )
        .collect(),
    };
    Ok(Accepted {
        storable,
        pdu_bytes: sent_pdu_bytes(max_length.unwrap_or(0)),
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

/// A result that is not acceptance still has a transfer syntax item; its value is not significant.
const INSIGNIFICANT: &str = "1.2.840.10008.1.2";

/// Objects are taken in whatever transfer syntax is proposed first, messages that are read here in one that is.
/// So are those that objects go back in, since they can be written in it when they came native.
fn choose(class: &str, proposed: &[String], goes_back: bool) -> (PresentationContextResultReason, String) {
    let readable = || {
        let readable = commitment::TRANSFER_SYNTAXES.iter();
        readable
            .map(|syntax| (*syntax).to_owned())
            .find(|syntax| proposed.contains(syntax))
    };
    let chosen = if class == VERIFICATION || is_storage(class) {
        let first = proposed.iter().find(|uid| is_uid(uid)).cloned();
        if goes_back { readable().or(first) } else { first }
    } else {
        readable()
    };
    match chosen {
        Some(uid) => (PresentationContextResultReason::Acceptance, uid),
        None => (
            PresentationContextResultReason::TransferSyntaxesNotSupported,
            INSIGNIFICANT.to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use dicom_ul::pdu::PresentationContextProposed;

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

    /// What a caller with this title is answered: accepted classes, and the roles it may have.
    fn answered(calling: &str, roles: RequestorRoles) -> (Vec<String>, Vec<RequestorRoles>) {
        let title = |text: &str| AeTitle::parse(text).unwrap();
        let policy = Policy {
            reporters: vec![title("PACS")],
            askers: vec![title("CT1")],
            queriers: vec![AllowedCaller {
                ae_title: title("WS1"),
                ip: Some(IpAddr::from([192, 0, 2, 9])),
            }],
            ..Policy::storage_only(title("TANCHO"), None)
        };
        let classes = [
            commitment::CLASS,
            query::FIND,
            query::MOVE,
            query::GET,
            "1.2.840.10008.5.1.4.1.1.2",
        ];
        let contexts = classes
            .iter()
            .enumerate()
            .map(|(n, class)| PresentationContextProposed {
                id: u8::try_from(2 * n + 1).unwrap(),
                abstract_syntax: (*class).to_owned(),
                transfer_syntaxes: vec!["1.2.840.10008.1.2".to_owned(), "1.2.840.10008.1.2.1".to_owned()],
            });
        let request = AssociationRQ {
            protocol_version: 1,
            calling_ae_title: calling.to_owned(),
            called_ae_title: "TANCHO".to_owned(),
            application_context_name: APPLICATION_CONTEXT.to_owned(),
            presentation_contexts: contexts.collect(),
            user_variables: [commitment::CLASS, "1.2.840.10008.5.1.4.1.1.2"]
                .map(|class| UserVariableItem::ScuScpRoleSelectionSubItem(class.to_owned(), roles))
                .to_vec(),
        };
        let accepted = negotiate(&request, IpAddr::from([192, 0, 2, 9]), &policy).unwrap();
        let mut taken: Vec<String> = accepted
            .contexts
            .values()
            .map(|one| one.abstract_syntax.clone())
            .collect();
        taken.sort();
        let Pdu::AssociationAC(answer) = accepted.answer else {
            panic!("an answer");
        };
        let roles = answer.user_variables.into_iter().filter_map(|item| match item {
            UserVariableItem::ScuScpRoleSelectionSubItem(_, roles) => Some(roles),
            _ => None,
        });
        (taken, roles.collect())
    }

    #[test]
    fn commitment_and_queries_are_for_those_who_are_listed() {
        let roles = |scu, scp| RequestorRoles { scu, scp };
        let storage = "1.2.840.10008.5.1.4.1.1.2";
        let (taken, given) = answered("SOMEBODY", roles(true, true));
        assert_eq!(taken, [storage]);
        assert_eq!(given, [roles(false, false), roles(true, false)]);
        let (taken, given) = answered("PACS", roles(false, true));
        assert_eq!(taken, [commitment::CLASS, storage]);
        assert_eq!(given[0], roles(false, true));
        let (taken, given) = answered("CT1", roles(true, true));
        assert_eq!(taken, [commitment::CLASS, storage]);
        assert_eq!(given[0], roles(true, false));
        let (taken, given) = answered("WS1", roles(false, true));
        assert_eq!(taken, [storage, query::FIND, query::MOVE, query::GET]);
        assert_eq!(given[1], roles(false, true));
    }
}
