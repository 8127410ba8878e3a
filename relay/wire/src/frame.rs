//! Frames: `length: u32, type: u16, body`, big endian; the body is a CBOR map with integer keys.
//!
//! Numbers are explicit and never reused. Unknown keys are ignored; an unknown type closes the connection unless
//! its highest bit marks it as ignorable. Data frames carry raw bytes, so that no range is ever copied into CBOR.

mod codec;
mod messages;

pub use codec::{DATA_HEADER_BYTES, Decoded, FrameDecoder, data_header, encode};
pub use messages::{
    CertificateIssued, CertificateRefused, CertificateRequest, Close, EnrollAccepted, EnrollRefused,
    EnrollRequest, Focus, Hello, LeftOut, Offer, OfferItem, Ping, Pong, Receipt, Refusal, RefusalKind,
    RequestForm, RequestOutcome, RequestResult, Returned, StudyManifest, StudyStatus, Want, WantItem,
    Welcome, WithheldInstances,
};

use bytes::Bytes;

use crate::digest::Digest;

/// A DER structure, written as a CBOR byte string.
pub type DerBytes = minicbor::bytes::ByteVec;

/// Types with this bit may be skipped by an end that does not know them.
pub const IGNORABLE: u16 = 0x8000;

/// A range of a container's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// Which container.
    pub container_sha256: Digest,
    /// Where in it the bytes belong.
    pub offset: u64,
    /// At least 1 and at most `limits::RANGE_BYTES_MAX` bytes.
    pub bytes: Bytes,
}

macro_rules! frames {
    ($($(#[doc = $doc:literal])* $name:ident($body:ty) = $number:literal;)*) => {
        /// Everything the two ends say to each other.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Frame {
            $($(#[doc = $doc])* $name($body),)*
            /// A range of bytes (type 48); the one frame whose body is not CBOR.
            Data(Data),
        }

        impl Frame {
            /// The permanent number of this frame's type.
            #[must_use]
            pub fn number(&self) -> u16 {
                match self {
                    $(Self::$name(_) => $number,)*
                    Self::Data(_) => codec::DATA,
                }
            }

            /// The name of this frame's type, for logs.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => stringify!($name),)*
                    Self::Data(_) => "Data",
                }
            }

            fn encode_body(&self, out: &mut Vec<u8>) {
                // Writing into a vector cannot fail.
                let written = match self {
                    $(Self::$name(body) => minicbor::encode(body, &mut *out),)*
                    Self::Data(_) => Ok(()),
                };
                debug_assert!(written.is_ok());
            }

            fn decode_body(number: u16, body: &[u8]) -> Option<Result<Self, minicbor::decode::Error>> {
                match number {
                    $($number => Some(minicbor::decode(body).map(Self::$name)),)*
                    _ => None,
                }
            }
        }
    };
}

frames! {
    /// Agent's first frame.
    Hello(Hello) = 1;
    /// Relay's answer; from here on the connection carries studies.
    Welcome(Welcome) = 2;
    /// The last frame where the transport has no close codes of its own (TLS over TCP).
    Close(Close) = 3;
    /// Either end: are you there, and what time is it at your side?
    Ping(Ping) = 4;
    /// The answer to a Ping.
    Pong(Pong) = 5;
    /// Agent: instances it holds, durable and immutable.
    Offer(Offer) = 16;
    /// Relay: bytes it lacks; adds to what it asked for before.
    Want(Want) = 17;
    /// Relay: this instance is durable; the agent may forget it after its retention time.
    Receipt(Receipt) = 18;
    /// Relay: this instance was not taken, and what to do about it.
    Refusal(Refusal) = 19;
    /// Agent: what a study consists of as far as the site knows.
    Manifest(StudyManifest) = 20;
    /// Relay: how far the study and its reading are, for the technologist's page.
    StudyStatus(StudyStatus) = 21;
    /// Relay: where the reader of a study looks; an agent that does not know it skips it.
    Focus(Focus) = 0x8016;
    /// Agent: a technologist asks for a reading.
    Request(RequestForm) = 24;
    /// Relay: what became of that request.
    RequestResult(RequestResult) = 25;
    /// Agent: please certify this new key before the old certificate ends.
    CertificateRequest(CertificateRequest) = 32;
    /// Relay: the new certificate.
    CertificateIssued(CertificateIssued) = 33;
    /// Relay: no new certificate.
    CertificateRefused(CertificateRefused) = 34;
    /// Agent, on the enrolment connection only: the secret of the code and a key to certify.
    EnrollRequest(EnrollRequest) = 40;
    /// Relay: the node now exists.
    EnrollAccepted(EnrollAccepted) = 41;
    /// Relay: the code was not taken.
    EnrollRefused(EnrollRefused) = 42;
}
