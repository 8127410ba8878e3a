//! The one place that maps what happened to DIMSE statuses (PS3.7 annex C, PS3.4 section B.2.3), rejections and
//! aborts (PS3.8 section 9.3). The peer always gets an answer.

use std::borrow::Cow;

use dicom_ul::pdu::{
    AbortRQServiceProviderReason, AbortRQSource, AssociationRJ, AssociationRJResult,
    AssociationRJServiceProviderPresentationReason, AssociationRJServiceUserReason, AssociationRJSource, Pdu,
    write_pdu,
};

use super::pdu_stream::PduError;
use crate::spool::{IntakeError, Stored};

/// Success.
pub const SUCCESS: u16 = 0x0000;
/// Processing failure (PS3.7 section C.5.21).
pub const PROCESSING_FAILURE: u16 = 0x0110;
/// Invalid argument value (PS3.7 section C.5.10).
pub const INVALID_ARGUMENT: u16 = 0x0115;
/// Resource limitation (PS3.7 section C.5.25).
pub const RESOURCE_LIMITATION: u16 = 0x0213;
/// Refused: not authorised (PS3.7 section C.5.13).
pub const NOT_AUTHORISED: u16 = 0x0124;
/// Unrecognised operation (PS3.7 section C.5.24).
pub const UNRECOGNISED_OPERATION: u16 = 0x0211;
/// Out of resources: the sender may try again later (PS3.4 section B.2.3).
pub const OUT_OF_RESOURCES: u16 = 0xA700;
/// Data set does not match SOP class.
pub const DATA_SET_MISMATCH: u16 = 0xA900;
/// Cannot understand.
pub const CANNOT_UNDERSTAND: u16 = 0xC000;

/// The status of a C-STORE with its Error Comment: what is wrong and what to do, in the 64 characters that the scanner's
/// log shows. Comments carry no patient data.
#[must_use]
pub fn of_store(outcome: &Result<Stored, IntakeError>) -> (u16, Option<Cow<'static, str>>) {
    let Err(error) = outcome else {
        return (SUCCESS, None);
    };
    let (status, comment) = match error {
        IntakeError::NoSpace => (
            OUT_OF_RESOURCES,
            "no room in the spool: free the disk, then send again".into(),
        ),
        IntakeError::Storage(_) => (
            OUT_OF_RESOURCES,
            "spool storage failed: check the disk, then send again".into(),
        ),
        IntakeError::TooLarge => (
            OUT_OF_RESOURCES,
            "object longer than the limit: send it in smaller objects".into(),
        ),
        IntakeError::UidMismatch => (
            DATA_SET_MISMATCH,
            "UIDs of command and data set differ: correct at the scanner".into(),
        ),
        IntakeError::Unusable(code @ ("uid_missing" | "uid_malformed")) => {
            (DATA_SET_MISMATCH, kept_aside(code).into())
        }
        IntakeError::Unusable(code) => (CANNOT_UNDERSTAND, kept_aside(code).into()),
    };
    (status, Some(comment))
}

fn kept_aside(code: &str) -> String {
    format!("{code}: kept aside, see the node's page")
}

/// Why an association is not accepted (PS3.8 section 9.3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// Not one of our application entity titles.
    CalledAeUnknown,
    /// Not on the allow list, or from another address than listed.
    CallingAeUnknown,
    /// Not the DICOM application context.
    ApplicationContextUnknown,
    /// Too many associations; the peer may try again.
    LimitExceeded,
    /// The spool is full; the peer may try again.
    Congested,
    /// Protocol version 1 is not offered.
    ProtocolVersion,
}

impl Rejection {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::CalledAeUnknown,
        Self::CallingAeUnknown,
        Self::ApplicationContextUnknown,
        Self::LimitExceeded,
        Self::Congested,
        Self::ProtocolVersion,
    ];

    /// Stable code for logs and metrics.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::CalledAeUnknown => "called_ae_unknown",
            Self::CallingAeUnknown => "calling_ae_unknown",
            Self::ApplicationContextUnknown => "application_context_unknown",
            Self::LimitExceeded => "association_limit",
            Self::Congested => "congested",
            Self::ProtocolVersion => "protocol_version",
        }
    }

    /// The A-ASSOCIATE-RJ PDU.
    #[must_use]
    pub fn to_pdu(self) -> Vec<u8> {
        use AssociationRJServiceProviderPresentationReason as Presentation;
        use AssociationRJServiceUserReason as User;
        let (result, source) = match self {
            Self::CalledAeUnknown => (
                AssociationRJResult::Permanent,
                AssociationRJSource::ServiceUser(User::CalledAETitleNotRecognized),
            ),
            Self::CallingAeUnknown => (
                AssociationRJResult::Permanent,
                AssociationRJSource::ServiceUser(User::CallingAETitleNotRecognized),
            ),
            Self::ApplicationContextUnknown => (
                AssociationRJResult::Permanent,
                AssociationRJSource::ServiceUser(User::ApplicationContextNameNotSupported),
            ),
            Self::LimitExceeded => (
                AssociationRJResult::Transient,
                AssociationRJSource::ServiceProviderPresentation(Presentation::LocalLimitExceeded),
            ),
            Self::Congested => (
                AssociationRJResult::Transient,
                AssociationRJSource::ServiceProviderPresentation(Presentation::TemporaryCongestion),
            ),
            Self::ProtocolVersion => (
                AssociationRJResult::Permanent,
                AssociationRJSource::ServiceProviderASCE(
                    dicom_ul::pdu::AssociationRJServiceProviderASCEReason::ProtocolVersionNotSupported,
                ),
            ),
        };
        encode(&AssociationRJ { result, source }.into())
    }
}

/// Why an association is aborted by us; the source is always the service provider (PS3.8 section 9.3.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abort {
    /// Too slow, or we are stopping.
    NotSpecified,
    /// A PDU type that does not exist.
    UnrecognisedPdu,
    /// A PDU that has no place here.
    UnexpectedPdu,
    /// A length or field that cannot be.
    InvalidParameter,
    /// A fragment or context that has no place here.
    UnexpectedParameter,
}

impl Abort {
    /// Stable code for logs and metrics.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::NotSpecified => "not_specified",
            Self::UnrecognisedPdu => "unrecognised_pdu",
            Self::UnexpectedPdu => "unexpected_pdu",
            Self::InvalidParameter => "invalid_parameter",
            Self::UnexpectedParameter => "unexpected_parameter",
        }
    }

    /// The abort that answers a stream's failure; `None` when there is nobody to tell.
    #[must_use]
    pub fn for_error(error: &PduError) -> Option<Self> {
        match error {
            PduError::Closed | PduError::Lost(_) => None,
            PduError::TimedOut | PduError::Stopping => Some(Self::NotSpecified),
            PduError::UnknownType => Some(Self::UnrecognisedPdu),
            PduError::BadLength => Some(Self::InvalidParameter),
        }
    }

    /// The A-ABORT PDU.
    #[must_use]
    pub fn to_pdu(self) -> Vec<u8> {
        use AbortRQServiceProviderReason as Reason;
        let reason = match self {
            Self::NotSpecified => Reason::ReasonNotSpecified,
            Self::UnrecognisedPdu => Reason::UnrecognizedPdu,
            Self::UnexpectedPdu => Reason::UnexpectedPdu,
            Self::InvalidParameter => Reason::InvalidPduParameter,
            Self::UnexpectedParameter => Reason::UnexpectedPduParameter,
        };
        encode(&Pdu::AbortRQ {
            source: AbortRQSource::ServiceProvider(reason),
        })
    }
}

/// The bytes of a PDU that we made ourselves.
#[must_use]
pub fn encode(pdu: &Pdu) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    if let Err(error) = write_pdu(&mut bytes, pdu) {
        // Only a text that does not fit its field can fail, and ours are checked before.
        tracing::error!(%error, "a PDU of ours could not be encoded");
        bytes.clear();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::SpoolError;

    #[test]
    fn a_refused_object_is_answered_with_what_to_do_in_what_the_field_takes() {
        let of = |error| of_store(&Err(error));
        let (status, comment) = of(IntakeError::Unusable("too_many_elements"));
        assert_eq!(
            (status, comment.as_deref()),
            (
                CANNOT_UNDERSTAND,
                Some("too_many_elements: kept aside, see the node's page")
            )
        );
        for error in [
            IntakeError::NoSpace,
            IntakeError::Storage(SpoolError::Index("x".to_owned())),
            IntakeError::TooLarge,
            IntakeError::UidMismatch,
            IntakeError::Unusable("transfer_syntax_malformed"),
        ] {
            let (status, comment) = of(error);
            let comment = comment.expect("a comment");
            assert!(status != SUCCESS && comment.is_ascii(), "{comment}");
            assert!(
                comment.len() <= 64 && comment.contains(':'),
                "{comment} has {}",
                comment.len()
            );
        }
    }

    #[test]
    fn rejections_and_aborts_carry_the_numbers_of_the_standard() {
        assert_eq!(
            Rejection::CalledAeUnknown.to_pdu(),
            [3, 0, 0, 0, 0, 4, 0, 1, 1, 7]
        );
        assert_eq!(
            Rejection::CallingAeUnknown.to_pdu(),
            [3, 0, 0, 0, 0, 4, 0, 1, 1, 3]
        );
        assert_eq!(Rejection::LimitExceeded.to_pdu(), [3, 0, 0, 0, 0, 4, 0, 2, 3, 2]);
        assert_eq!(Abort::UnrecognisedPdu.to_pdu(), [7, 0, 0, 0, 0, 4, 0, 0, 2, 1]);
        assert_eq!(Abort::UnexpectedPdu.to_pdu(), [7, 0, 0, 0, 0, 4, 0, 0, 2, 2]);
        assert_eq!(
            Abort::UnexpectedParameter.to_pdu(),
            [7, 0, 0, 0, 0, 4, 0, 0, 2, 5]
        );
        assert_eq!(Abort::InvalidParameter.to_pdu(), [7, 0, 0, 0, 0, 4, 0, 0, 2, 6]);
    }
}
