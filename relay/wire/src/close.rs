//! Why a connection ends: numbers that never change meaning, listed in `PROTOCOL.md`.

/// Application error code of a closed connection. Unknown numbers from a newer peer are kept as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CloseCode(pub u32);

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $name:ident = $number:literal, $text:literal;)*) => {
        impl CloseCode {
            $($(#[doc = $doc])* pub const $name: Self = Self($number);)*

            /// A stable name for logs and the technologist's page; `unknown` for numbers of a newer peer.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self.0 {
                    $($number => $text,)*
                    _ => "unknown",
                }
            }
        }
    };
}

codes! {
    /// Normal end.
    DONE = 0, "done";
    /// A frame that this state of the protocol does not allow, or one that cannot be decoded.
    PROTOCOL = 1, "protocol_violation";
    /// No common protocol version.
    VERSION = 2, "version_unsupported";
    /// The peer requires a feature that this end does not have.
    FEATURE = 3, "feature_unsupported";
    /// `tancho/1` without a client certificate, or with one that names no node.
    IDENTITY_REQUIRED = 4, "identity_required";
    /// The node is on the deny-list, or its certificate was revoked.
    DENIED = 5, "node_denied";
    /// The node waits for a person's approval.
    NOT_APPROVED = 6, "node_not_approved";
    /// Another machine is connected with this node's certificate.
    IDENTITY_IN_USE = 7, "node_identity_in_use";
    /// A newer connection of the same node took over.
    REPLACED = 8, "replaced";
    /// This end is stopping; connect again.
    SHUTDOWN = 9, "shutting_down";
    /// Too many connections; connect again later.
    OVERLOADED = 10, "overloaded";
    /// A frame longer than the limit.
    FRAME_TOO_LARGE = 11, "frame_too_large";
    /// A frame type that is unknown and not marked as ignorable.
    UNKNOWN_FRAME = 12, "unknown_frame";
    /// Another limit of the protocol was passed.
    LIMIT = 13, "limit_exceeded";
    /// The peer did not answer in time.
    TIMEOUT = 14, "timeout";
    /// A fault of this end; connect again later.
    INTERNAL = 15, "internal";
}

/// A peer broke the protocol: the connection is closed with `code`, `what` says how for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} ({})", code.name())]
pub struct Violation {
    /// The code to close with.
    pub code: CloseCode,
    /// What was wrong; never holds text of the peer.
    pub what: &'static str,
}

impl Violation {
    /// A violation of the state machine or the encoding.
    #[must_use]
    pub fn protocol(what: &'static str) -> Self {
        Self {
            code: CloseCode::PROTOCOL,
            what,
        }
    }

    /// A limit passed.
    #[must_use]
    pub fn limit(what: &'static str) -> Self {
        Self {
            code: CloseCode::LIMIT,
            what,
        }
    }
}
