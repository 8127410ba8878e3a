//! The record of a phone call about a case: attempts, the conversation, escalation, alternative delivery.
//!
//! `draft -> attempted* -> connected -> (readback_ok | readback_mismatch) -> closed`; from `attempted` also
//! `escalated -> alternative_delivered -> closed_with_exception`. A closed record never changes; addenda follow it.
//! Clinical reference 3. What a conversation must contain is in `call/conversation.rs`.

use crate::critical_result::{Criticality, FailurePolicy, missing_attempts};

mod conversation;

pub use conversation::{
    Conversation, Conveyed, FamilyInformed, Identity, Informed, Party, Plan, TOLD_FIELDS, ViewedImage,
    check_told,
};

/// Most attempts of one record.
pub const ATTEMPTS_MAX: usize = 50;
/// Most addenda of one record.
pub const ADDENDA_MAX: usize = 100;
/// Longest time after a call in which it is written down without giving a reason, in ms.
pub const LATE_ENTRY_MS: i64 = 30 * 60 * 1_000;

/// Where the record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CallState {
    /// Nobody was dialled yet.
    Draft,
    /// Someone was dialled, nobody was reached.
    Attempted,
    /// Both doctors speak or have spoken.
    Connected,
    /// The listener repeated the finding and it was right.
    ReadbackOk,
    /// The listener repeated something else.
    ReadbackMismatch,
    /// Complete and final.
    Closed,
    /// Nobody was reached and someone above was told.
    Escalated,
    /// The finding went another way and was received.
    AlternativeDelivered,
    /// Complete and final, without a conversation.
    ClosedWithException,
}

impl CallState {
    /// Every state.
    pub const ALL: [Self; 9] = [
        Self::Draft,
        Self::Attempted,
        Self::Connected,
        Self::ReadbackOk,
        Self::ReadbackMismatch,
        Self::Closed,
        Self::Escalated,
        Self::AlternativeDelivered,
        Self::ClosedWithException,
    ];

    /// The stable text form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Attempted => "attempted",
            Self::Connected => "connected",
            Self::ReadbackOk => "readback_ok",
            Self::ReadbackMismatch => "readback_mismatch",
            Self::Closed => "closed",
            Self::Escalated => "escalated",
            Self::AlternativeDelivered => "alternative_delivered",
            Self::ClosedWithException => "closed_with_exception",
        }
    }

    /// Parses the stable text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether only addenda may follow.
    #[must_use]
    pub fn is_closed(self) -> bool {
        matches!(self, Self::Closed | Self::ClosedWithException)
    }
}

/// A set of codes with their text form.
macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $code:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// The stable text form.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// Parses the stable text form.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($code => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

codes! {
    /// Who called whom.
    Direction {
        /// The reader called the sender.
        ReaderToReferrer = "reader_to_referrer",
        /// The sender called the reader.
        ReferrerToReader = "referrer_to_reader",
        /// Someone else was called: transfer target, ambulance, family.
        ThirdParty = "third_party",
    }
}

codes! {
    /// What the person called is.
    CalleeRole {
        /// 主治医
        Attending = "attending",
        /// 当直医
        OnCall = "on_call",
        /// 看護師
        Nurse = "nurse",
        /// 地域連携室
        Liaison = "liaison",
        /// 救急隊
        Ambulance = "ambulance",
        /// 読影医
        Reader = "reader",
        /// その他
        Other = "other",
    }
}

codes! {
    /// By what line.
    Channel {
        /// 固定電話
        Landline = "landline",
        /// 携帯
        Mobile = "mobile",
        /// 内線
        Extension = "extension",
        /// PHS
        Phs = "phs",
        /// ビデオ
        Video = "video",
        /// アプリ通話
        App = "app",
    }
}

codes! {
    /// How an attempt ended.
    Outcome {
        /// Someone who can take the finding answered.
        Connected = "connected",
        /// Nobody answered.
        NoAnswer = "no_answer",
        /// The line was busy.
        Busy = "busy",
        /// The number does not exist or cannot be reached.
        UnreachableNumber = "unreachable_number",
        /// Someone else answered.
        WrongParty = "wrong_party",
        /// A message was left.
        LeftMessage = "left_message",
        /// The person declined.
        Refused = "refused",
    }
}

codes! {
    /// Why nobody was reached (HL7 communication-not-done-reason).
    FailureReason {
        /// recipient-unavailable
        RecipientUnavailable = "recipient-unavailable",
        /// invalid-phone-number
        InvalidPhoneNumber = "invalid-phone-number",
        /// system-error
        SystemError = "system-error",
        /// unknown
        Unknown = "unknown",
    }
}

codes! {
    /// What is done after an attempt that reached nobody.
    NextAction {
        /// 再発信
        Redial = "redial",
        /// 別番号
        OtherNumber = "other_number",
        /// 上位者へエスカレーション
        Escalate = "escalate",
        /// 代替経路
        AlternativeRoute = "alternative_route",
    }
}

codes! {
    /// How a finding is delivered when nobody answers the phone.
    AlternativeKind {
        /// Fax.
        Fax = "fax",
        /// Secure message.
        SecureMessage = "secure_message",
    }
}

/// One dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// From 1, in this record.
    pub attempt_no: u32,
    /// As dialled.
    pub number_dialed: String,
    /// What the person called is.
    pub callee_role: CalleeRole,
    /// The person's name, if known.
    pub callee_name: Option<String>,
    /// By what line.
    pub channel: Channel,
    /// When it began.
    pub started_at_ms: i64,
    /// When it ended; none while it rings.
    pub ended_at_ms: Option<i64>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Why nobody was reached.
    pub failure_reason: Option<FailureReason>,
    /// What is done next.
    pub next_action: Option<NextAction>,
}

impl Attempt {
    /// Whether the attempt ended without reaching anyone.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.outcome.is_some_and(|outcome| outcome != Outcome::Connected)
    }
}

/// Someone above was told that nobody answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escalation {
    /// Name.
    pub who: String,
    /// What that person is.
    pub role: String,
    /// Why.
    pub why: String,
    /// When.
    pub at_ms: i64,
}

/// The finding went another way, with proof that it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlternativeDelivery {
    /// How.
    pub kind: AlternativeKind,
    /// Where to.
    pub to: String,
    /// When it was sent.
    pub sent_at_ms: i64,
    /// What the receiver answered.
    pub receipt_text: String,
    /// When the receiver answered.
    pub receipt_at_ms: i64,
}

/// A correction or addition to a closed record; the original stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallAddendum {
    /// What is added.
    pub text: String,
    /// Fields it corrects.
    pub corrects_fields: Vec<String>,
    /// When.
    pub at_ms: i64,
}

/// The record of one call.
#[derive(Debug, Clone, PartialEq)]
pub struct CallRecord {
    /// Where it stands.
    pub state: CallState,
    /// Who called whom.
    pub direction: Direction,
    /// When it was begun.
    pub started_at_ms: i64,
    /// Dials, in order.
    pub attempts: Vec<Attempt>,
    /// What was said.
    pub conversation: Option<Conversation>,
    /// Who above was told.
    pub escalation: Option<Escalation>,
    /// How the finding went instead.
    pub alternative_delivery: Option<AlternativeDelivery>,
    /// When it became final.
    pub closed_at_ms: Option<i64>,
    /// What was added afterwards.
    pub addenda: Vec<CallAddendum>,
}

/// Why a command on a call record is refused; nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallRefusal {
    /// The record is closed; only an addendum can follow.
    #[error("the call record is closed")]
    Closed,
    /// Addenda follow a closed record only.
    #[error("the call record is not closed")]
    NotClosed,
    /// The last attempt has not ended.
    #[error("an attempt is still open")]
    AttemptOpen,
    /// No such attempt, or it has ended.
    #[error("no such open attempt")]
    NoOpenAttempt,
    /// The command does not fit the state.
    #[error("not possible while the call record is {}", .0.as_str())]
    WrongState(CallState),
    /// Required fields are missing.
    #[error("required fields are missing")]
    Missing(Vec<&'static str>),
    /// Nobody was reached, and what stands in for a conversation is not all there (rule 3 of the clinical reference).
    #[error("nobody was reached, and that is not documented as the rule asks")]
    FailureNotDocumented(Vec<&'static str>),
    /// An instant lies before the one it has to follow, or in the future.
    #[error("instants are in the wrong order")]
    OutOfOrder,
    /// A limit of the record is reached.
    #[error("too many entries")]
    TooMany,
}

impl CallRefusal {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Closed => "call_closed",
            Self::NotClosed => "call_not_closed",
            Self::AttemptOpen => "attempt_open",
            Self::NoOpenAttempt => "no_open_attempt",
            Self::WrongState(_) => "call_wrong_state",
            Self::Missing(_) => "call_incomplete",
            Self::FailureNotDocumented(_) => "failure_not_documented",
            Self::OutOfOrder => "out_of_order",
            Self::TooMany => "too_many",
        }
    }
}

/// A new attempt as it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAttempt {
    /// As dialled.
    pub number_dialed: String,
    /// What the person called is.
    pub callee_role: CalleeRole,
    /// The person's name, if known.
    pub callee_name: Option<String>,
    /// By what line.
    pub channel: Channel,
    /// When it began.
    pub started_at_ms: i64,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptEnd {
    /// How.
    pub outcome: Outcome,
    /// Why nobody was reached; derived from the outcome when not given.
    pub failure_reason: Option<FailureReason>,
    /// What is done next; has to be there before the record is escalated.
    pub next_action: Option<NextAction>,
    /// When.
    pub ended_at_ms: i64,
}

impl CallRecord {
    /// A record as one key press begins it.
    #[must_use]
    pub fn begin(direction: Direction, now_ms: i64) -> Self {
        Self {
            state: CallState::Draft,
            direction,
            started_at_ms: now_ms,
            attempts: Vec::new(),
            conversation: None,
            escalation: None,
            alternative_delivery: None,
            closed_at_ms: None,
            addenda: Vec::new(),
        }
    }

    /// When the call was over: the record of one is closed as it ends. None while it is open.
    #[must_use]
    pub fn ended_at_ms(&self) -> Option<i64> {
        self.closed_at_ms
    }

    /// When the first dial began.
    #[must_use]
    pub fn dialed_at_ms(&self) -> Option<i64> {
        self.attempts.first().map(|attempt| attempt.started_at_ms)
    }

    /// When the other side first answered: the dial that connected ended then, and the conversation began.
    #[must_use]
    pub fn connected_at_ms(&self) -> Option<i64> {
        let connected = |attempt: &&Attempt| attempt.outcome == Some(Outcome::Connected);
        self.attempts.iter().find(connected)?.ended_at_ms
    }

    fn last_dial_ended_at_ms(&self) -> Option<i64> {
        self.attempts
            .iter()
            .filter_map(|attempt| attempt.ended_at_ms)
            .max()
    }

    /// Dials. A dropped line may be dialled again in the same record.
    ///
    /// # Errors
    /// The record is closed, the last attempt still rings, the limit is reached or the instant is in the future.
    pub fn start_attempt(&mut self, new: NewAttempt, now_ms: i64) -> Result<u32, CallRefusal> {
        self.ensure_open()?;
        if self.attempts.iter().any(|attempt| attempt.outcome.is_none()) {
            return Err(CallRefusal::AttemptOpen);
        }
        if self.attempts.len() >= ATTEMPTS_MAX {
            return Err(CallRefusal::TooMany);
        }
        if new.number_dialed.trim().is_empty() {
            return Err(CallRefusal::Missing(vec!["number_dialed"]));
        }
        let last_ended_at_ms = self.last_dial_ended_at_ms().unwrap_or(i64::MIN);
        if new.started_at_ms > now_ms || new.started_at_ms < last_ended_at_ms {
            return Err(CallRefusal::OutOfOrder);
        }
        let attempt_no = u32::try_from(self.attempts.len())
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        self.attempts.push(Attempt {
            attempt_no,
            number_dialed: new.number_dialed,
            callee_role: new.callee_role,
            callee_name: new.callee_name,
            channel: new.channel,
            started_at_ms: new.started_at_ms,
            ended_at_ms: None,
            outcome: None,
            failure_reason: None,
            next_action: None,
        });
        if self.state == CallState::Draft {
            self.state = CallState::Attempted;
        }
        Ok(attempt_no)
    }

    /// Ends the attempt that rings. Being connected after an escalation makes it a conversation after all.
    ///
    /// # Errors
    /// No such open attempt, or it would end before it began or in the future.
    pub fn end_attempt(&mut self, attempt_no: u32, end: &AttemptEnd, now_ms: i64) -> Result<(), CallRefusal> {
        self.ensure_open()?;
        let open = self
            .attempts
            .iter_mut()
            .find(|attempt| attempt.attempt_no == attempt_no && attempt.outcome.is_none());
        let attempt = open.ok_or(CallRefusal::NoOpenAttempt)?;
        if end.ended_at_ms < attempt.started_at_ms || end.ended_at_ms > now_ms {
            return Err(CallRefusal::OutOfOrder);
        }
        attempt.ended_at_ms = Some(end.ended_at_ms);
        attempt.outcome = Some(end.outcome);
        if end.outcome == Outcome::Connected {
            if matches!(
                self.state,
                CallState::Attempted | CallState::Escalated | CallState::AlternativeDelivered
            ) {
                self.state = CallState::Connected;
            }
            return Ok(());
        }
        attempt.failure_reason = Some(end.failure_reason.unwrap_or(match end.outcome {
            Outcome::UnreachableNumber => FailureReason::InvalidPhoneNumber,
            Outcome::WrongParty => FailureReason::Unknown,
            _ => FailureReason::RecipientUnavailable,
        }));
        attempt.next_action = end.next_action;
        Ok(())
    }

    /// Writes what is said; may be written again until the record is closed.
    ///
    /// # Errors
    /// Nobody was reached yet, or the record is closed.
    pub fn put_conversation(&mut self, conversation: Conversation) -> Result<(), CallRefusal> {
        self.ensure_open()?;
        let speaking = self.attempts.iter().any(|attempt| {
            attempt
                .outcome
                .is_none_or(|outcome| outcome == Outcome::Connected)
        });
        if !speaking {
            return Err(CallRefusal::WrongState(self.state));
        }
        if matches!(
            self.state,
            CallState::Connected | CallState::ReadbackOk | CallState::ReadbackMismatch
        ) {
            self.state = match conversation.readback_ok {
                Some(true) => CallState::ReadbackOk,
                Some(false) => CallState::ReadbackMismatch,
                None => CallState::Connected,
            };
        }
        self.conversation = Some(conversation);
        Ok(())
    }

    /// Someone above is told that nobody answers.
    ///
    /// # Errors
    /// Not after failed attempts only, an attempt still rings, or a field is missing.
    pub fn escalate(&mut self, escalation: Escalation) -> Result<(), CallRefusal> {
        self.ensure_open()?;
        if self.state != CallState::Attempted {
            return Err(CallRefusal::WrongState(self.state));
        }
        if self.attempts.iter().any(|attempt| attempt.outcome.is_none()) {
            return Err(CallRefusal::AttemptOpen);
        }
        let fields = [
            ("who", &escalation.who),
            ("role", &escalation.role),
            ("why", &escalation.why),
        ];
        let mut missing = empty_fields(&fields);
        if self
            .attempts
            .iter()
            .any(|attempt| attempt.failed() && attempt.next_action.is_none())
        {
            missing.push("attempts.next_action");
        }
        if !missing.is_empty() {
            return Err(CallRefusal::Missing(missing));
        }
        self.escalation = Some(escalation);
        self.state = CallState::Escalated;
        Ok(())
    }

    /// The finding went another way and was received.
    ///
    /// # Errors
    /// Not escalated before, a field is missing, or the receipt lies before the sending or in the future.
    pub fn deliver_otherwise(
        &mut self,
        delivery: AlternativeDelivery,
        now_ms: i64,
    ) -> Result<(), CallRefusal> {
        self.ensure_open()?;
        if !matches!(self.state, CallState::Escalated | CallState::AlternativeDelivered) {
            return Err(CallRefusal::WrongState(self.state));
        }
        let missing = empty_fields(&[("to", &delivery.to), ("receipt_text", &delivery.receipt_text)]);
        if !missing.is_empty() {
            return Err(CallRefusal::Missing(missing));
        }
        if delivery.receipt_at_ms < delivery.sent_at_ms || delivery.receipt_at_ms > now_ms {
            return Err(CallRefusal::OutOfOrder);
        }
        self.alternative_delivery = Some(delivery);
        self.state = CallState::AlternativeDelivered;
        Ok(())
    }

    /// Makes the record final. `criticality` is the most severe the reader has named, in the draft or on the phone,
    /// `others` are the other records of the case. A record that reached nobody is not closed while that would leave a
    /// red finding neither communicated nor documented: it would have to be done again.
    ///
    /// # Errors
    /// The record is not that far, or something required is missing; all of it is named.
    pub fn close(
        &mut self,
        criticality: Criticality,
        others: &[CallRecord],
        now_ms: i64,
    ) -> Result<(), CallRefusal> {
        self.ensure_open()?;
        if self.attempts.iter().any(|attempt| attempt.outcome.is_none()) {
            return Err(CallRefusal::AttemptOpen);
        }
        match self.state {
            CallState::Connected | CallState::ReadbackOk | CallState::ReadbackMismatch => {
                let missing = self.missing_to_close(criticality, now_ms);
                if !missing.is_empty() {
                    return Err(CallRefusal::Missing(missing));
                }
                self.state = CallState::Closed;
            }
            CallState::Attempted | CallState::Escalated | CallState::AlternativeDelivered => {
                let missing = self.missing_to_except(criticality, others);
                if !missing.is_empty() {
                    return Err(CallRefusal::FailureNotDocumented(missing));
                }
                self.state = CallState::ClosedWithException;
            }
            other => return Err(CallRefusal::WrongState(other)),
        }
        self.closed_at_ms = Some(now_ms);
        Ok(())
    }

    /// What a record that reached nobody lacks: attempts and numbers count over all records of the case.
    fn missing_to_except(&self, criticality: Criticality, others: &[CallRecord]) -> Vec<&'static str> {
        let mut missing = Vec::new();
        if criticality == Criticality::Red && self.direction != Direction::ThirdParty {
            missing.extend(missing_attempts(self, others, &FailurePolicy::default()));
        }
        if self.escalation.is_none() {
            missing.push("escalation");
        }
        if self.alternative_delivery.is_none() {
            missing.push("alternative_delivery");
        }
        missing
    }

    /// Required fields that a conversation still lacks.
    #[must_use]
    pub fn missing_to_close(&self, criticality: Criticality, now_ms: i64) -> Vec<&'static str> {
        let empty = Conversation::default();
        let conversation = self.conversation.as_ref().unwrap_or(&empty);
        let conveyed = conversation
            .findings_conveyed
            .as_ref()
            .and_then(|conveyed| conveyed.criticality);
        let most_severe = conveyed.map_or(criticality, |conveyed| conveyed.max(criticality));
        let mut missing = conversation.missing(most_severe);
        let late = self
            .last_dial_ended_at_ms()
            .is_some_and(|ended_at_ms| now_ms - ended_at_ms > LATE_ENTRY_MS);
        if late
            && conversation
                .late_entry_reason
                .as_deref()
                .is_none_or(|reason| reason.trim().is_empty())
        {
            missing.push("late_entry_reason");
        }
        missing
    }

    /// Adds to a closed record.
    ///
    /// # Errors
    /// The record is not closed, the text is empty or the limit is reached.
    pub fn add(&mut self, addendum: CallAddendum) -> Result<(), CallRefusal> {
        if !self.state.is_closed() {
            return Err(CallRefusal::NotClosed);
        }
        if addendum.text.trim().is_empty() {
            return Err(CallRefusal::Missing(vec!["text"]));
        }
        if self.addenda.len() >= ADDENDA_MAX {
            return Err(CallRefusal::TooMany);
        }
        self.addenda.push(addendum);
        Ok(())
    }

    fn ensure_open(&self) -> Result<(), CallRefusal> {
        if self.state.is_closed() {
            Err(CallRefusal::Closed)
        } else {
            Ok(())
        }
    }
}

fn empty_fields(fields: &[(&'static str, &String)]) -> Vec<&'static str> {
    fields
        .iter()
        .filter(|(_, text)| text.trim().is_empty())
        .map(|(name, _)| *name)
        .collect()
}

#[cfg(test)]
pub(crate) mod tests;
