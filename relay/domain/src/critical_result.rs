//! Critical results: how severe a finding is, and what proves that it was communicated (clinical reference 2.3, 3.3).
//!
//! Rule 3: a red finding is final only with (a) a connected conversation with a correct read-back, or (b) at least
//! three failed attempts over at least two numbers or roles, and an escalation, and an alternative delivery with its
//! receipt. Rule 4: orange needs (a), (b) or an acknowledgement by a named doctor within the target.
//!
//! Where the reference leaves room: only a closed record counts, since an open one may still be rewritten; the
//! identity of the other side must have been confirmed; attempts count over all calls of the case; and when a
//! correction raises the criticality, only what happened after the version before it counts.

use std::collections::BTreeSet;

use crate::call::{CallRecord, CallState, Direction, Outcome};
use crate::clinical_context::dialed_digits;

/// How severe the reader calls the finding; the order is from none to life-threatening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Criticality {
    /// なし
    None,
    /// 数日以内
    Yellow,
    /// 数時間以内
    Orange,
    /// 致死的・即時
    Red,
}

impl Criticality {
    /// Every criticality.
    pub const ALL: [Self; 4] = [Self::None, Self::Yellow, Self::Orange, Self::Red];

    /// The stable text form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Red => "crit_red",
            Self::Orange => "crit_orange",
            Self::Yellow => "crit_yellow",
            Self::None => "none",
        }
    }

    /// Parses the stable text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|criticality| criticality.as_str() == text)
    }

    /// Whether the listener has to repeat the finding.
    #[must_use]
    pub fn needs_readback(self) -> bool {
        self >= Self::Orange
    }
}

/// Limits of rule 3 (b).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailurePolicy {
    /// Failed attempts.
    pub attempts_min: usize,
    /// Different numbers, or different roles.
    pub distinct_min: usize,
}

impl Default for FailurePolicy {
    fn default() -> Self {
        Self {
            attempts_min: 3,
            distinct_min: 2,
        }
    }
}

/// An acknowledgement of an earlier signed version by a named doctor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EarlierAcknowledgement {
    /// When it was signed.
    pub signed_at_ms: i64,
    /// When it was acknowledged.
    pub acknowledged_at_ms: i64,
    /// By when it should have been.
    pub acknowledge_by_ms: i64,
}

/// What is known about the communication of one case.
#[derive(Debug, Clone, Copy)]
pub struct CommunicationEvidence<'a> {
    /// Calls of the case.
    pub calls: &'a [CallRecord],
    /// Only what happened after this instant counts, when a correction has raised the criticality.
    pub since_ms: Option<i64>,
    /// Acknowledgement of an earlier signed version of the same report, of at least the same criticality.
    pub acknowledgement: Option<EarlierAcknowledgement>,
}

/// How a critical result was communicated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommunicatedBy {
    /// Rule 3 (a).
    Readback,
    /// Rule 3 (b).
    DocumentedFailure,
    /// Rule 4, orange only.
    Acknowledgement,
    /// The criticality asks for no conversation.
    NotNeeded,
}

impl CommunicatedBy {
    /// The stable text form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Readback => "readback",
            Self::DocumentedFailure => "documented_failure",
            Self::Acknowledgement => "acknowledgement",
            Self::NotNeeded => "not_needed",
        }
    }
}

/// What is still missing for each of the two ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotCommunicated {
    /// A conversation with a correct read-back exists, but its record is not closed.
    pub readback_not_closed: bool,
    /// Failed attempts so far.
    pub failed_attempts: usize,
    /// Different numbers or roles so far, whichever is more.
    pub distinct: usize,
    /// An escalation is on record.
    pub escalated: bool,
    /// An alternative delivery with its receipt is on record.
    pub delivered: bool,
    /// A record with escalation and delivery exists, but it is not closed.
    pub exception_not_closed: bool,
}

/// Whether a finding of this criticality counts as communicated.
///
/// # Errors
/// What is missing, when neither way is complete.
pub fn assess(
    criticality: Criticality,
    evidence: CommunicationEvidence<'_>,
    policy: &FailurePolicy,
) -> Result<CommunicatedBy, NotCommunicated> {
    if !criticality.needs_readback() {
        return Ok(CommunicatedBy::NotNeeded);
    }
    let counts = |at_ms: i64| evidence.since_ms.is_none_or(|since_ms| at_ms >= since_ms);
    let calls: Vec<&CallRecord> = evidence
        .calls
        .iter()
        // Only a conversation between the reader and the referrer tells the referrer.
        .filter(|call| counts(call.started_at_ms) && call.direction != Direction::ThirdParty)
        .collect();
    let read_back = |call: &&&CallRecord| {
        call.attempts
            .iter()
            .any(|attempt| attempt.outcome == Some(Outcome::Connected))
            && call
                .conversation
                .as_ref()
                .is_some_and(|said| said.proves_readback() && said.conveyed_as_bad_as(criticality))
    };
    if calls
        .iter()
        .filter(read_back)
        .any(|call| call.state == CallState::Closed)
    {
        return Ok(CommunicatedBy::Readback);
    }
    let failed: Vec<_> = calls
        .iter()
        .flat_map(|call| &call.attempts)
        .filter(|attempt| attempt.failed())
        .collect();
    let numbers: BTreeSet<_> = failed
        .iter()
        .map(|attempt| dialed_digits(&attempt.number_dialed))
        .collect();
    let roles: BTreeSet<_> = failed.iter().map(|attempt| attempt.callee_role).collect();
    let distinct = numbers.len().max(roles.len());
    let excepted = calls
        .iter()
        .any(|call| call.state == CallState::ClosedWithException);
    if failed.len() >= policy.attempts_min && distinct >= policy.distinct_min && excepted {
        return Ok(CommunicatedBy::DocumentedFailure);
    }
    let in_time = evidence.acknowledgement.is_some_and(|given| {
        counts(given.signed_at_ms) && given.acknowledged_at_ms <= given.acknowledge_by_ms
    });
    if criticality == Criticality::Orange && in_time {
        return Ok(CommunicatedBy::Acknowledgement);
    }
    Err(NotCommunicated {
        readback_not_closed: calls.iter().any(|call| read_back(&call)),
        failed_attempts: failed.len(),
        distinct,
        escalated: calls.iter().any(|call| call.escalation.is_some()),
        delivered: calls.iter().any(|call| call.alternative_delivery.is_some()),
        exception_not_closed: calls
            .iter()
            .any(|call| call.state == CallState::AlternativeDelivered),
    })
}

/// What of rule 3 (b) a red finding would still lack if this record, which reached nobody, were closed now:
/// `failed_attempts`, `numbers_or_roles`. Nothing when another record has told the finding already.
#[must_use]
pub fn missing_attempts(
    record: &CallRecord,
    others: &[CallRecord],
    policy: &FailurePolicy,
) -> Vec<&'static str> {
    let mut calls = others.to_vec();
    calls.push(CallRecord {
        state: CallState::ClosedWithException,
        ..record.clone()
    });
    let evidence = CommunicationEvidence {
        calls: &calls,
        since_ms: None,
        acknowledgement: None,
    };
    let Err(lacking) = assess(Criticality::Red, evidence, policy) else {
        return Vec::new();
    };
    let conditions = [
        (lacking.failed_attempts < policy.attempts_min, "failed_attempts"),
        (lacking.distinct < policy.distinct_min, "numbers_or_roles"),
    ];
    conditions
        .into_iter()
        .filter(|(lacks, _)| *lacks)
        .map(|(_, name)| name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::CalleeRole;
    use crate::call::tests::{closed_with_exception, closed_with_readback};

    fn evidence(calls: &[CallRecord]) -> CommunicationEvidence<'_> {
        CommunicationEvidence {
            calls,
            since_ms: None,
            acknowledgement: None,
        }
    }

    fn red(calls: &[CallRecord]) -> Result<CommunicatedBy, NotCommunicated> {
        assess(Criticality::Red, evidence(calls), &FailurePolicy::default())
    }

    #[test]
    fn a_closed_call_with_readback_is_enough_and_an_open_one_is_not() {
        let closed = closed_with_readback(0);
        assert_eq!(red(std::slice::from_ref(&closed)), Ok(CommunicatedBy::Readback));
        let mut open = closed.clone();
        open.state = CallState::ReadbackOk;
        assert!(red(&[open]).expect_err("open").readback_not_closed);
        let mut unsure = closed.clone();
        unsure.conversation.as_mut().expect("said").identity_confirmed =
            Some(crate::call::Identity::NotConfirmed);
        assert!(red(&[unsure]).is_err());
        let mut mismatch = closed;
        mismatch.conversation.as_mut().expect("said").readback_ok = Some(false);
        assert!(red(&[mismatch]).is_err());
        assert!(red(&[]).is_err());
    }

    #[test]
    fn a_documented_failure_needs_all_of_its_parts() {
        use CalleeRole::{Attending, OnCall};
        let two_numbers = [
            ("0154-1", Attending),
            ("0154-1", Attending),
            ("0154-2", Attending),
        ];
        assert_eq!(
            red(&[closed_with_exception(0, &two_numbers)]),
            Ok(CommunicatedBy::DocumentedFailure)
        );
        let two_roles = [("0154-1", Attending), ("0154-1", OnCall), ("0154-1", OnCall)];
        assert_eq!(
            red(&[closed_with_exception(0, &two_roles)]),
            Ok(CommunicatedBy::DocumentedFailure)
        );
        let one_number = [("0154-1", Attending), ("01541", Attending), ("0154-1", Attending)];
        let missing = red(&[closed_with_exception(0, &one_number)]).expect_err("one number, one role");
        assert_eq!((missing.failed_attempts, missing.distinct), (3, 1));
        let two_attempts = &two_numbers[1..];
        assert_eq!(
            red(&[closed_with_exception(0, two_attempts)])
                .expect_err("two attempts")
                .failed_attempts,
            2
        );
        let mut open = closed_with_exception(0, &two_numbers);
        open.state = CallState::AlternativeDelivered;
        assert!(red(&[open]).expect_err("not closed").exception_not_closed);
        let mut only_tried = closed_with_exception(0, &two_numbers);
        only_tried.state = CallState::Attempted;
        assert!(red(&[only_tried]).is_err());
    }

    #[test]
    fn attempts_count_over_all_calls_of_the_case() {
        let mut first = CallRecord::begin(Direction::ReaderToReferrer, 0);
        first.attempts = closed_with_exception(0, &[("0154-1", CalleeRole::Attending)]).attempts;
        first.state = CallState::Attempted;
        let second = closed_with_exception(
            9,
            &[("0154-2", CalleeRole::OnCall), ("0154-2", CalleeRole::OnCall)],
        );
        assert_eq!(red(&[first, second]), Ok(CommunicatedBy::DocumentedFailure));
    }

    #[test]
    fn an_acknowledgement_in_time_covers_orange_only() {
        let mut given = evidence(&[]);
        given.acknowledgement = Some(EarlierAcknowledgement {
            signed_at_ms: 0,
            acknowledged_at_ms: 10,
            acknowledge_by_ms: 10,
        });
        let policy = FailurePolicy::default();
        assert_eq!(
            assess(Criticality::Orange, given, &policy),
            Ok(CommunicatedBy::Acknowledgement)
        );
        assert!(assess(Criticality::Red, given, &policy).is_err());
        given.acknowledgement = Some(EarlierAcknowledgement {
            signed_at_ms: 0,
            acknowledged_at_ms: 11,
            acknowledge_by_ms: 10,
        });
        assert!(assess(Criticality::Orange, given, &policy).is_err());
        assert_eq!(
            assess(Criticality::Yellow, evidence(&[]), &policy),
            Ok(CommunicatedBy::NotNeeded)
        );
    }

    #[test]
    fn a_call_that_told_less_or_told_someone_else_does_not_count() {
        let mut mild = closed_with_readback(0);
        let said = mild.conversation.as_mut().expect("said");
        said.findings_conveyed.as_mut().expect("conveyed").criticality = Some(Criticality::Orange);
        assert!(red(std::slice::from_ref(&mild)).is_err());
        let said = mild.conversation.as_mut().expect("said");
        said.findings_conveyed.as_mut().expect("conveyed").criticality = Some(Criticality::Red);
        assert!(red(std::slice::from_ref(&mild)).is_ok());
        mild.direction = Direction::ThirdParty;
        assert!(red(&[mild]).is_err());
    }

    #[test]
    fn what_was_said_before_the_finding_got_worse_does_not_count() {
        let calls = [closed_with_readback(1_000)];
        let mut given = evidence(&calls);
        given.since_ms = Some(2_000);
        assert!(assess(Criticality::Red, given, &FailurePolicy::default()).is_err());
        given.since_ms = Some(1_000);
        assert!(assess(Criticality::Red, given, &FailurePolicy::default()).is_ok());
    }
}
