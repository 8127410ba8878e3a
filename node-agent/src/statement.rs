//! The DICOM conformance statement (PS3.2), written from the tables the code works with: what it states is what runs.
//!
//! `tancho-agent conformance` prints it; a test compares it with the page that is kept beside the sources.

use std::fmt::Write as _;

use crate::config::Config;
use crate::deliver::Retry;
use crate::dimse::negotiation::{
    self, CONTEXTS_MAX, IMPLEMENTATION_CLASS, IMPLEMENTATION_VERSION, STORAGE_ROOT, VERIFICATION,
};
use crate::dimse::pdu_stream::PDU_BYTES_MAX;
use crate::dimse::status::{self, Rejection};
use crate::dimse::{DimseLimits, commitment, fragments, query};
use crate::spool::{IntakeError, SpoolError, SpoolOptions};

/// The text before the tables.
const OVERVIEW: &str = include_str!("statement/overview.md");
/// Character sets (PS3.3 section C.12.1.1.2), media, security, annexes.
const REST: &str = include_str!("statement/rest.md");

/// A row of the table of services: UID, name, as SCU, as SCP, when.
type Service = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

/// Every service that is not storage.
const SERVICES: [Service; 5] = [
    (VERIFICATION, "Verification", "no", "yes", "always"),
    (
        commitment::CLASS,
        "Storage Commitment Push Model",
        "yes",
        "yes",
        "SCU: for a `[[deliver]]` with `storage_commitment = true`. SCP: with `dimse.storage_commitment = \
         \"after_site_pacs\"`, for `dimse.commitment_callers`",
    ),
    (
        query::FIND,
        "Study Root Query/Retrieve - FIND",
        "no",
        "yes",
        "for `dimse.query_callers`",
    ),
    (
        query::MOVE,
        "Study Root Query/Retrieve - MOVE",
        "no",
        "yes",
        "for `dimse.query_callers`, to `dimse.move_destinations`",
    ),
    (
        query::GET,
        "Study Root Query/Retrieve - GET",
        "no",
        "yes",
        "for `dimse.query_callers`",
    ),
];

/// The statement as Markdown.
#[must_use]
pub fn statement(defaults: &Config) -> String {
    let mut text = OVERVIEW.to_owned();
    services(&mut text);
    association(&mut text, defaults);
    storage(&mut text);
    onward(&mut text);
    queries(&mut text);
    text.push_str(REST);
    text
}

macro_rules! say {
    ($text:expr, $($arguments:tt)*) => {
        // Writing to a string does not fail.
        writeln!($text, $($arguments)*).ok()
    };
}

fn services(text: &mut String) {
    say!(text, "### 4.1 SOP classes\n");
    say!(
        text,
        "| SOP class | UID | SCU | SCP | when |\n|---|---|---|---|---|"
    );
    for (uid, name, scu, scp, when) in SERVICES {
        say!(text, "| {name} | `{uid}` | {scu} | {scp} | {when} |");
    }
    say!(
        text,
        "| Every storage class of the standard | `{STORAGE_ROOT}*` | yes | yes | SCP: always. SCU: for `[[deliver]]`, \
         C-MOVE and C-GET |"
    );
    say!(
        text,
        "| Every private class | any UID that is not the standard's | yes | yes | as above |\n"
    );
    let (mut taken, mut refused) = (Vec::new(), Vec::new());
    for (uid, name, ..) in SERVICES {
        if negotiation::is_storage(uid) {
            taken.push(name);
        } else {
            refused.push(name);
        }
    }
    debug_assert!(taken.is_empty(), "a service is taken for storage");
    say!(
        text,
        "Objects are taken in the transfer syntax that is proposed first in a presentation context, whichever it is, and \
         kept as they come. Messages that the agent reads itself are taken in {native}, the first of these that is \
         proposed. So are contexts of storage classes for which a caller of C-GET proposes the SCP role, when one of \
         these is proposed: objects go back in them.\n",
        native = join(&commitment::TRANSFER_SYNTAXES)
    );
}

fn association(text: &mut String, defaults: &Config) {
    let limits = DimseLimits::default();
    let title = defaults
        .dimse
        .as_ref()
        .map(|dimse| dimse.ae_title.as_str().to_owned());
    let title = title.unwrap_or_default();
    say!(text, "### 4.2 Associations\n");
    say!(text, "| what | value |\n|---|---|");
    for (what, value) in [
        (
            "Application context name",
            format!("`{}`", negotiation::APPLICATION_CONTEXT),
        ),
        ("Implementation class UID", format!("`{IMPLEMENTATION_CLASS}`")),
        (
            "Implementation version name",
            format!("`{IMPLEMENTATION_VERSION}`"),
        ),
        (
            "AE titles",
            format!("`{title}`, and `{title}_STAT` for what must go first (`dimse.ae_title`)"),
        ),
        (
            "Maximum length of a PDU that is received",
            format!("{PDU_BYTES_MAX} bytes"),
        ),
        (
            "Maximum length of a PDU that is sent",
            format!(
                "what the peer states, no more than {} bytes",
                fragments::SENT_PDU_BYTES_MAX
            ),
        ),
        ("Presentation contexts", format!("{CONTEXTS_MAX}")),
        (
            "Associations at the same time",
            format!(
                "{} in all, {} from one address (`dimse.associations_max`, `dimse.associations_per_peer_max`); asked for by \
                 the agent: one to each destination of `[[deliver]]`, one for each C-MOVE that runs, one to report storage \
                 commitment",
                limits.associations_max, limits.associations_per_peer_max
            ),
        ),
        ("Asynchronous operations", "not supported".to_owned()),
        (
            "Time for the association request",
            format!(
                "{} s (`dimse.association_request_timeout_ms`)",
                limits.artim.as_secs()
            ),
        ),
        (
            "Time between two PDUs",
            format!("{} s (`dimse.idle_timeout_ms`)", limits.idle.as_secs()),
        ),
        (
            "Slowest transfer",
            format!(
                "{} bytes a second over {} s",
                limits.bytes_per_second_min,
                limits.rate_window.as_secs()
            ),
        ),
    ] {
        say!(text, "| {what} | {value} |");
    }
    say!(
        text,
        "\nCallers are admitted by title, and by address where one is listed (`dimse.allow`); without a list the port listens on loopback only.\n"
    );
    say!(
        text,
        "| reason | A-ASSOCIATE-RJ result, source, reason |\n|---|---|"
    );
    for rejection in Rejection::ALL {
        let pdu = rejection.to_pdu();
        let [result, source, reason] = [7, 8, 9].map(|at| pdu.get(at).copied().unwrap_or_default());
        say!(text, "| `{}` | {result}, {source}, {reason} |", rejection.code());
    }
    text.push('\n');
}

fn storage(text: &mut String) {
    say!(text, "### 4.3 Storage as SCP\n");
    say!(
        text,
        "Success means that the object is durable on the agent's disk, byte for byte as it was received. Elements are \
         neither changed nor removed. The level of support is 2 (full).\n"
    );
    say!(text, "| case | status | error comment |\n|---|---|---|");
    say!(text, "| stored, or the same bytes are here already | 0000 | |");
    for (case, error) in [
        ("no room", IntakeError::NoSpace),
        ("the disk failed", IntakeError::Storage(SpoolError::Stopped)),
        ("longer than the limit", IntakeError::TooLarge),
        (
            "command and data set name different UIDs",
            IntakeError::UidMismatch,
        ),
        (
            "a UID is missing or malformed",
            IntakeError::Unusable("uid_missing"),
        ),
        ("the data set cannot be read", IntakeError::Unusable("header_cut")),
    ] {
        let is_any = matches!(error, IntakeError::Unusable("header_cut"));
        let (code, comment) = status::of_store(&Err(error));
        let comment = comment
            .filter(|_| !is_any)
            .unwrap_or("the code of the reason, and what to do".into());
        say!(text, "| {case} | {code:04X} | {comment} |");
    }
    text.push('\n');
}

fn onward(text: &mut String) {
    let retry = Retry::default();
    say!(text, "### 4.4 Storage as SCU\n");
    say!(
        text,
        "For each destination of `[[deliver]]` and for C-MOVE. Each presentation context has one transfer syntax: the \
         object's own, and for objects in {} the other of these two, with the same elements written anew. Pixels are never \
         decoded, compressed or changed. An object that the peer takes in neither is not sent, and a person is told.\n",
        join(&commitment::TRANSFER_SYNTAXES)
    );
    say!(text, "| status of the peer | what follows |\n|---|---|");
    for (status, what) in [
        ("0000", "delivered"),
        ("0001, 0107, 0116, Bxxx", "delivered, with a remark"),
        ("0111", "delivered: the peer has the instance"),
        (
            "A7xx",
            "the object is tried again later; it counts as a refusal when the peer took others meanwhile",
        ),
        ("any other", "the object is tried again later: a refusal"),
    ] {
        say!(text, "| {status} | {what} |");
    }
    say!(
        text,
        "\nPauses begin with {} s and double up to {} s. An object that the peer refuses {} times is given up, and a person \
         is told; an object at which the association breaks is refused when the peer took others meanwhile. When several \
         objects in a row fail, or no association is accepted, the destination pauses and nothing is given up for it; it is \
         tried without end. An instance may be sent again after a power cut; the \
         peer knows it by its SOP Instance UID.\n",
        retry.min.as_secs(),
        retry.max.as_secs(),
        retry.tries_max
    );
    say!(text, "### 4.5 Storage commitment\n");
    say!(
        text,
        "As SCU the agent asks on the association of the delivery, at most {} instances in one transaction, and takes the \
         report on the same association within a second or on one that the peer opens, with SCP role selection. Instances \
         that the peer reports as failed are delivered again, and given up after three reports.\n",
        commitment::REFERENCES_MAX
    );
    say!(
        text,
        "As SCP it is off by default, because a modality may delete what was committed and the agent is no archive. Switched \
         on, an instance is committed only after every destination with `storage_commitment = true` that it is delivered to by \
         its rule has committed the version that came last. There is no other retention guarantee. The report is sent on an association of the agent's, with SCP role selection. \
         Failure reasons:\n"
    );
    say!(text, "| reason | when |\n|---|---|");
    for (reason, when) in [
        (
            commitment::reason::PROCESSING_FAILURE,
            "a destination did not commit it in `dimse.commitment_patience_ms`, or the version that came last was not \
             delivered",
        ),
        (
            commitment::reason::NO_SUCH_INSTANCE,
            "it was not delivered to such a destination, or is no longer known here",
        ),
        (
            commitment::reason::CLASS_INSTANCE_CONFLICT,
            "it is here with another SOP Class UID",
        ),
    ] {
        say!(text, "| {reason:04X} | {when} |");
    }
    text.push('\n');
}

fn queries(text: &mut String) {
    let hours = SpoolOptions::new(std::path::Path::new("")).retention_ms / 3_600_000;
    say!(text, "### 4.6 Query and retrieve as SCP\n");
    say!(
        text,
        "Only what is still in the agent's spool can be found and had: by default {hours} hours after the relay has it \
         (`spool.retention_ms`). Objects that are held back because they name another patient are neither found nor given; damaged ones are not \
         found, and fail in a retrieval.\n"
    );
    say!(
        text,
        "Study root; levels STUDY, SERIES and IMAGE; relational queries are not supported. Every attribute of the objects \
         before their pixels can be asked for and matched, those of a study or series as the first of its objects has them \
         that can be read; attributes in sequences are not read; sequences, binary values, numbers in binary other than US, \
         and values longer than 65534 bytes come back empty. Computed: Modalities in Study, Number of Study Related \
         Series and Instances, Number of Series Related Instances, Retrieve AE Title, Instance Availability.\n"
    );
    say!(
        text,
        "Matching: universal, single value, list of UIDs, wildcard, range of dates and times. Names match in any of their \
         groups, without regard to case, width and kind of kana. Answers are in the first of these character sets that has \
         every character: ISO_IR 6, ISO 2022 IR 87, with ISO 2022 IR 13, with ISO 2022 IR 159, ISO_IR 192.\n"
    );
    say!(
        text,
        "At most {} answers to a query, and {} studies and {} objects in one retrieval. C-CANCEL ends each of the three; \
         retrievals count their sub-operations after each.\n",
        query::MATCHES_MAX,
        query::STUDIES_MAX,
        query::OBJECTS_MAX
    );
    say!(text, "| case | status |\n|---|---|");
    for (case, code) in query::STATUSES {
        say!(text, "| {case} | {code:04X} |");
    }
    text.push('\n');
}

fn join(uids: &[&str]) -> String {
    let quoted: Vec<String> = uids.iter().map(|uid| format!("`{uid}`")).collect();
    quoted.join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_conformance_statement_is_up_to_date() {
        let config = crate::config::load(None, [], None).unwrap();
        let kept = include_str!("../CONFORMANCE.md");
        assert_eq!(
            kept,
            statement(&config),
            "write it anew: tancho-agent conformance > node-agent/CONFORMANCE.md"
        );
    }

    #[test]
    fn what_it_states_of_classes_is_what_is_negotiated() {
        for (uid, ..) in SERVICES {
            assert!(!negotiation::is_storage(uid), "{uid}");
        }
    }
}
