//! The reading request: its states, the commands that change them, and who may give them. The heart of the product.
//!
//! `apply` is pure: the request, one command and who gives it when make the next request and what happened, or a
//! refusal that names the rule. Repeating a command is the store's matter, by its command id; signatures need a
//! [`Clearance`], so an uncommunicated red finding cannot become final here.
//! The whole table of transitions is a snapshot beside `reading/tests.rs`.

use crate::access::{Action, Principal, Role, allows};
use crate::critical_result::Criticality;
use crate::ids::{SiteId, UserId};
use crate::report::{Clearance, VersionStatus};

/// How long a claim holds without a sign of life, in ms.
pub const LEASE_MS: i64 = 10 * 60 * 1_000;
/// Longest reason in characters.
pub const REASON_CHARS_MAX: usize = 2_000;

/// A reader's claim; it lapses when the lease ends and nobody has renewed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Who reads.
    pub reader: UserId,
    /// Since when.
    pub claimed_at_ms: i64,
    /// Until when without a sign of life.
    pub lease_until_ms: i64,
}

impl Claim {
    /// Whether the claim keeps others away.
    #[must_use]
    pub fn holds(&self, now_ms: i64) -> bool {
        now_ms < self.lease_until_ms
    }
}

/// What the requesting site did about a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ActionTaken {
    /// 経過観察
    Observe,
    /// 転送
    Transfer,
    /// 治療
    Treat,
    /// その他
    Other,
}

impl ActionTaken {
    /// Every action.
    pub const ALL: [Self; 4] = [Self::Observe, Self::Transfer, Self::Treat, Self::Other];

    /// The stable text form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Transfer => "transfer",
            Self::Treat => "treat",
            Self::Other => "other",
        }
    }

    /// Parses the stable text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }
}

/// Where a reading request stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Asked for; no image yet.
    Requested,
    /// The first image can be seen.
    Readable,
    /// A reader has it; no version is signed, or a final one is being gone over again.
    Claimed(Claim),
    /// Sent back for missing information.
    Returned {
        /// What is missing.
        reason: String,
    },
    /// A preliminary report is signed; a reader may hold it to finish.
    Preliminary {
        /// Who finishes it.
        claim: Option<Claim>,
    },
    /// A final report is signed; nobody has acknowledged it.
    Final,
    /// The requesting site has read the final report and said what it does: the loop is closed.
    Acknowledged {
        /// What it does.
        action: ActionTaken,
    },
    /// Images came after the final report.
    Reopened,
    /// Withdrawn before any report.
    Cancelled {
        /// Why.
        reason: String,
    },
}

/// The name of a state, as stored and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StateName {
    /// Asked for.
    Requested,
    /// First image can be seen.
    Readable,
    /// A reader has it.
    Claimed,
    /// Sent back.
    Returned,
    /// Preliminary report.
    Preliminary,
    /// Final report.
    Final,
    /// Loop closed.
    Acknowledged,
    /// Late images.
    Reopened,
    /// Withdrawn.
    Cancelled,
}

impl StateName {
    /// Every state.
    pub const ALL: [Self; 9] = [
        Self::Requested,
        Self::Readable,
        Self::Claimed,
        Self::Returned,
        Self::Preliminary,
        Self::Final,
        Self::Acknowledged,
        Self::Reopened,
        Self::Cancelled,
    ];

    /// The stable text form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Readable => "readable",
            Self::Claimed => "claimed",
            Self::Returned => "returned",
            Self::Preliminary => "preliminary",
            Self::Final => "final",
            Self::Acknowledged => "acknowledged",
            Self::Reopened => "reopened",
            Self::Cancelled => "cancelled",
        }
    }

    /// Parses the stable text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether someone still has to do something.
    #[must_use]
    pub fn is_open(self) -> bool {
        !matches!(self, Self::Acknowledged | Self::Cancelled)
    }
}

impl State {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> StateName {
        match self {
            Self::Requested => StateName::Requested,
            Self::Readable => StateName::Readable,
            Self::Claimed(_) => StateName::Claimed,
            Self::Returned { .. } => StateName::Returned,
            Self::Preliminary { .. } => StateName::Preliminary,
            Self::Final => StateName::Final,
            Self::Acknowledged { .. } => StateName::Acknowledged,
            Self::Reopened => StateName::Reopened,
            Self::Cancelled { .. } => StateName::Cancelled,
        }
    }

    /// The claim, lapsed or not.
    #[must_use]
    pub fn claim(&self) -> Option<&Claim> {
        match self {
            Self::Claimed(claim) => Some(claim),
            Self::Preliminary { claim } => claim.as_ref(),
            _ => None,
        }
    }
}

/// A reading request as far as its rules need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadingRequest {
    /// The site that asks.
    pub requesting_site_id: SiteId,
    /// The site that reads.
    pub reading_site_id: SiteId,
    /// Where it stands.
    pub state: State,
    /// When the first image could be seen.
    pub first_image_at_ms: Option<i64>,
    /// Number of the newest signed version; none signed is 0.
    pub report_version: u32,
    /// Whether a final version has been signed.
    pub has_final: bool,
}

/// What someone wants to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The head of the first image has arrived.
    FirstImage,
    /// A reader takes it, or takes it on after a claim has lapsed.
    Claim,
    /// The reader is still there.
    Heartbeat,
    /// The reader gives it back.
    Release,
    /// The reader needs something from the sender first.
    Return {
        /// What.
        reason: String,
    },
    /// The sender withdraws it.
    Cancel {
        /// Why.
        reason: String,
    },
    /// The sender fills in the clinical context.
    CompleteContext,
    /// The reader signs.
    Sign(Clearance),
    /// The reader adds to a final report.
    Add(Clearance),
    /// The sender's doctor has read a version.
    Acknowledge {
        /// Which.
        version: u32,
        /// What the site does about it.
        action: ActionTaken,
    },
    /// Images have arrived after a report was signed.
    LateImages,
}

/// Who gives a command.
#[derive(Debug, Clone, Copy)]
pub enum Actor<'a> {
    /// Someone logged in.
    Person(&'a Principal),
    /// The relay itself: images arriving, timed jobs.
    Relay,
}

/// Who and when.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Who gives the command.
    pub actor: Actor<'a>,
    /// Now, in milliseconds UTC.
    pub now_ms: i64,
    /// How long a claim holds, in ms.
    pub lease_ms: i64,
}

/// What happened; one row of the request's history each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The first image can be seen.
    FirstImageArrived,
    /// A reader took it.
    Claimed {
        /// Whose lapsed claim ended by that.
        instead_of: Option<UserId>,
    },
    /// The lease was renewed; kept out of the history.
    LeaseRenewed,
    /// The reader gave it back.
    Released,
    /// Sent back for information.
    Returned,
    /// Withdrawn.
    Cancelled,
    /// The clinical context changed.
    ContextCompleted,
    /// A version was signed.
    ReportSigned {
        /// Which.
        version: u32,
        /// What it is.
        status: VersionStatus,
        /// How severe it calls the finding.
        criticality: Criticality,
    },
    /// A version was acknowledged.
    ReportAcknowledged {
        /// Which.
        version: u32,
        /// What the site does about it.
        action: ActionTaken,
    },
    /// Images came after a signature.
    LateImagesArrived {
        /// Whether a final report was opened again by them.
        reopened: bool,
    },
}

impl Event {
    /// The stable name in the history.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::FirstImageArrived => "first_image_arrived",
            Self::Claimed { .. } => "claimed",
            Self::LeaseRenewed => "lease_renewed",
            Self::Released => "released",
            Self::Returned => "returned",
            Self::Cancelled => "cancelled",
            Self::ContextCompleted => "context_completed",
            Self::ReportSigned {
                status: VersionStatus::Addended,
                ..
            } => "report_addended",
            Self::ReportSigned { .. } => "report_signed",
            Self::ReportAcknowledged { .. } => "report_acknowledged",
            Self::LateImagesArrived { .. } => "late_images_arrived",
        }
    }
}

/// Why a command is refused; nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The person's role or site does not allow it.
    #[error("not allowed for this role at this site")]
    NotAllowed,
    /// Another reader holds it.
    #[error("claimed by another reader")]
    AlreadyClaimed,
    /// The person does not hold it.
    #[error("claim the reading request first")]
    NotClaimed,
    /// The command does not fit the state.
    #[error("not possible while the reading request is {}", .0.as_str())]
    WrongState(StateName),
    /// There is a newer signed version, or no such version.
    #[error("not the newest signed version")]
    NotNewestVersion,
    /// A reason is required, and has a longest length.
    #[error("a reason is required, at most {REASON_CHARS_MAX} characters")]
    ReasonRequired,
}

impl Refusal {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAllowed => "not_allowed",
            Self::AlreadyClaimed => "already_claimed",
            Self::NotClaimed => "not_claimed",
            Self::WrongState(_) => "wrong_state",
            Self::NotNewestVersion => "report_version_superseded",
            Self::ReasonRequired => "reason_required",
        }
    }
}

/// The request after a command, with what happened.
///
/// # Errors
/// The rule that forbids it.
pub fn apply(
    request: &ReadingRequest,
    command: &Command,
    context: &Context<'_>,
) -> Result<(ReadingRequest, Event), Refusal> {
    ensure_allowed(request, command, context.actor)?;
    let mut next = request.clone();
    let wrong = || Refusal::WrongState(request.state.name());
    let event = match command {
        Command::FirstImage => {
            if request.first_image_at_ms.is_some() {
                return Err(wrong());
            }
            next.first_image_at_ms = Some(context.now_ms);
            if request.state == State::Requested {
                next.state = State::Readable;
            }
            Event::FirstImageArrived
        }
        Command::Claim => {
            let (state, instead_of) = claimed(request, context)?;
            next.state = state;
            Event::Claimed { instead_of }
        }
        Command::Heartbeat => {
            ensure_holder(request, context.actor)?;
            let claim = match &mut next.state {
                State::Claimed(claim) | State::Preliminary { claim: Some(claim) } => claim,
                _ => return Err(wrong()),
            };
            claim.lease_until_ms = context.now_ms + context.lease_ms;
            Event::LeaseRenewed
        }
        Command::Release => {
            ensure_holder(request, context.actor)?;
            next.state = unclaimed(request);
            Event::Released
        }
        Command::Return { reason } => {
            ensure_holder(request, context.actor)?;
            ensure_reason(reason)?;
            if request.report_version > 0 {
                return Err(wrong());
            }
            next.state = State::Returned {
                reason: reason.clone(),
            };
            Event::Returned
        }
        Command::Cancel { reason } => {
            ensure_reason(reason)?;
            if request.report_version > 0 || !request.state.name().is_open() {
                return Err(wrong());
            }
            next.state = State::Cancelled {
                reason: reason.clone(),
            };
            Event::Cancelled
        }
        Command::CompleteContext => {
            if !request.state.name().is_open() {
                return Err(wrong());
            }
            if let State::Returned { .. } = request.state {
                next.state = unclaimed(request);
            }
            Event::ContextCompleted
        }
        Command::Sign(clearance) => {
            ensure_holder(request, context.actor)?;
            sign(request, &mut next, *clearance)?
        }
        Command::Add(clearance) => {
            let fits = matches!(
                request.state,
                State::Final | State::Acknowledged { .. } | State::Reopened
            );
            if !fits || clearance.status() != VersionStatus::Addended {
                return Err(wrong());
            }
            next.report_version += 1;
            next.state = State::Final;
            signed(&next, *clearance)
        }
        Command::Acknowledge { version, action } => {
            if *version != request.report_version || *version == 0 {
                return Err(Refusal::NotNewestVersion);
            }
            match request.state {
                State::Final | State::Acknowledged { .. } => {
                    next.state = State::Acknowledged { action: *action }
                }
                // A preliminary version is acknowledged as such; a reader at work, or late images, keep it open.
                State::Preliminary { .. } | State::Claimed(_) | State::Reopened => {}
                _ => return Err(wrong()),
            }
            Event::ReportAcknowledged {
                version: *version,
                action: *action,
            }
        }
        Command::LateImages => {
            if request.report_version == 0 {
                return Err(wrong());
            }
            let reopened = matches!(request.state, State::Final | State::Acknowledged { .. });
            if reopened {
                next.state = State::Reopened;
            }
            Event::LateImagesArrived { reopened }
        }
    };
    Ok((next, event))
}

/// The action of the access table that a command is.
#[must_use]
pub fn action_of(command: &Command) -> Option<Action> {
    match command {
        Command::FirstImage | Command::LateImages => None,
        Command::Claim | Command::Heartbeat => Some(Action::ClaimReadingRequest),
        Command::Release => Some(Action::ReleaseClaim),
        Command::Return { .. } => Some(Action::ReturnReadingRequest),
        Command::Cancel { .. } => Some(Action::CancelReadingRequest),
        Command::CompleteContext => Some(Action::CompleteClinicalContext),
        Command::Sign(_) => Some(Action::SignReport),
        Command::Add(_) => Some(Action::AddReportAddendum),
        Command::Acknowledge { .. } => Some(Action::AcknowledgeReport),
    }
}

fn ensure_allowed(request: &ReadingRequest, command: &Command, actor: Actor<'_>) -> Result<(), Refusal> {
    let person = match (action_of(command), actor) {
        (None, Actor::Relay) => return Ok(()),
        // A node speaks for the technologist who stands at it.
        (Some(Action::CompleteClinicalContext), Actor::Relay) => return Ok(()),
        (Some(action), Actor::Person(person)) if allows(person.role, action) => person,
        _ => return Err(Refusal::NotAllowed),
    };
    let site = if person.role == Role::Reader {
        &request.reading_site_id
    } else {
        &request.requesting_site_id
    };
    if person.site_id == *site {
        Ok(())
    } else {
        Err(Refusal::NotAllowed)
    }
}

fn ensure_reason(reason: &str) -> Result<(), Refusal> {
    let fits = !reason.trim().is_empty() && reason.chars().count() <= REASON_CHARS_MAX;
    if fits {
        Ok(())
    } else {
        Err(Refusal::ReasonRequired)
    }
}

/// The holder of a lapsed claim that nobody has taken still holds it: text is not lost to a pause.
fn ensure_holder(request: &ReadingRequest, actor: Actor<'_>) -> Result<(), Refusal> {
    match (request.state.claim(), actor) {
        (Some(claim), Actor::Person(person)) if claim.reader == person.user_id => Ok(()),
        _ => Err(Refusal::NotClaimed),
    }
}

fn claimed(request: &ReadingRequest, context: &Context<'_>) -> Result<(State, Option<UserId>), Refusal> {
    let Actor::Person(person) = context.actor else {
        return Err(Refusal::NotAllowed);
    };
    let held = request.state.claim();
    let mine = held.filter(|claim| claim.reader == person.user_id);
    if mine.is_none() && held.is_some_and(|claim| claim.holds(context.now_ms)) {
        return Err(Refusal::AlreadyClaimed);
    }
    let claim = Claim {
        reader: person.user_id.clone(),
        claimed_at_ms: mine.map_or(context.now_ms, |claim| claim.claimed_at_ms),
        lease_until_ms: context.now_ms + context.lease_ms,
    };
    let state = match request.state {
        State::Requested
        | State::Readable
        | State::Returned { .. }
        | State::Claimed(_)
        | State::Reopened
        | State::Final
        | State::Acknowledged { .. } => State::Claimed(claim),
        State::Preliminary { .. } => State::Preliminary { claim: Some(claim) },
        State::Cancelled { .. } => return Err(Refusal::WrongState(request.state.name())),
    };
    let instead_of = held
        .filter(|claim| claim.reader != person.user_id)
        .map(|claim| claim.reader.clone());
    Ok((state, instead_of))
}

/// Where a request stands when no reader holds it.
///
/// A final report that was claimed for a correction comes back as reopened, also if it had been acknowledged: someone
/// saw a reason to go over it, and an addendum or a correction says what came of it.
fn unclaimed(request: &ReadingRequest) -> State {
    match request.state {
        State::Preliminary { .. } => State::Preliminary { claim: None },
        _ if request.has_final => State::Reopened,
        _ if request.first_image_at_ms.is_some() => State::Readable,
        _ => State::Requested,
    }
}

fn sign(request: &ReadingRequest, next: &mut ReadingRequest, clearance: Clearance) -> Result<Event, Refusal> {
    let fits = match clearance.status() {
        VersionStatus::Preliminary | VersionStatus::Final => !request.has_final,
        VersionStatus::Corrected => request.has_final,
        VersionStatus::Addended => false,
    };
    if !fits {
        return Err(Refusal::WrongState(request.state.name()));
    }
    next.report_version += 1;
    next.state = match clearance.status() {
        VersionStatus::Preliminary => State::Preliminary {
            claim: request.state.claim().cloned(),
        },
        _ => State::Final,
    };
    next.has_final |= clearance.status().is_final();
    Ok(signed(next, clearance))
}

fn signed(next: &ReadingRequest, clearance: Clearance) -> Event {
    Event::ReportSigned {
        version: next.report_version,
        status: clearance.status(),
        criticality: clearance.criticality(),
    }
}

#[cfg(test)]
mod tests;
