//! Every maximum and timeout of the protocol, with its unit in the name.
//!
//! A peer that goes over one of them is told which (`close.rs`) and cut; nothing is sized from a length that a
//! peer only declares.

/// ALPN of the data connection, with a client certificate.
pub const ALPN: &[u8] = b"tancho/1";
/// ALPN of enrolment, without a client certificate.
pub const ALPN_ENROLL: &[u8] = b"tancho-enroll/1";
/// The one name the relay's certificate carries, whatever address the agent dials.
pub const RELAY_NAME: &str = "relay.tancho.internal";

/// Oldest protocol version spoken.
pub const VERSION_MIN: u16 = 1;
/// Newest protocol version spoken.
pub const VERSION_MAX: u16 = 1;

/// Largest frame after its length prefix.
pub const FRAME_BYTES_MAX: usize = 128 * 1024;
/// Largest byte range in one Data frame: the grain at which an urgent study overtakes.
pub const RANGE_BYTES_MAX: u64 = 64 * 1024;
/// Largest container (a 4 GiB object, its table and a margin for data that does not compress).
pub const CONTAINER_BYTES_MAX: u64 = (4 << 30) + (128 << 20);
/// Largest head part of a container: header, table of sections and the coded head.
pub const HEAD_BYTES_MAX: u64 = 32 << 20;
/// Instances in one Offer frame.
pub const OFFER_ITEMS_MAX: usize = 128;
/// Instances offered and not yet answered by a receipt or refusal, per connection.
pub const OFFERS_OPEN_MAX: u32 = 4096;
/// Instances in one Want frame.
pub const WANT_ITEMS_MAX: usize = 128;
/// Gaps of one instance named in one Want; the relay asks for the rest when these have come.
pub const WANT_RANGES_MAX: usize = 32;
/// Pieces in which one instance may lie at the relay while it arrives.
pub const PIECES_MAX: usize = 4096;
/// Unsolicited or late bytes the relay reads and drops per connection before it calls that a violation.
pub const DROPPED_BYTES_MAX: u64 = 256 << 20;
/// Bytes an agent may have sent before the answer to their Offers came.
pub const EARLY_BYTES_MAX: u64 = 1 << 20;
/// How long a relay holds a stream whose next bytes belong to an instance that is not offered, or not looked up yet.
pub const EARLY_WAIT_MS: u64 = 15_000;
/// Answered instances a relay remembers, so that late bytes of them are not taken for early ones.
pub const SETTLED_REMEMBERED_MAX: usize = 1024;
/// Studies for which a relay keeps a Focus that is not written yet; a newer one of a study takes the older one's place.
pub const FOCUS_WAITING_MAX: usize = 64;
/// Lowest cap on a node's line in bytes a second; a lower one is taken as this, so that a slip never stops stat work.
pub const RATE_CAP_BYTES_PER_S_MIN: u64 = 16 * 1024;
/// Longest short text (titles, names, versions, codes) in bytes.
pub const TEXT_BYTES_MAX: usize = 256;
/// Longest explanation for a person in bytes.
pub const REASON_BYTES_MAX: usize = 1024;
/// Longest text of what a reader asks for before reading, in bytes: 2,000 characters.
pub const RETURN_REASON_BYTES_MAX: usize = 8 * 1024;
/// Answers of a clinical context that a StudyStatus may name as left out.
pub const LEFT_OUT_MAX: usize = 64;
/// Reasons for withheld instances that a Manifest may name.
pub const WITHHELD_REASONS_MAX: usize = 16;
/// Longest code of such a reason in bytes.
pub const REASON_CODE_BYTES_MAX: usize = 64;
/// Largest clinical context of a reading request, JSON text in bytes.
pub const CLINICAL_CONTEXT_BYTES_MAX: usize = 64 * 1024;
/// Reading requests an agent may have unanswered on one connection.
pub const REQUESTS_OPEN_MAX: usize = 256;
/// Largest certificate signing request in bytes.
pub const CSR_BYTES_MAX: usize = 16 * 1024;
/// Features a Hello may name.
pub const FEATURES_MAX: usize = 64;

/// Both ends send a Ping this often.
pub const HEARTBEAT_MS: u64 = 5_000;
/// A connection without any packet for this long is dead.
pub const IDLE_TIMEOUT_MS: u64 = 15_000;
/// The handshake frames must have passed within this time after the connection stands.
pub const HANDSHAKE_TIMEOUT_MS: u64 = 10_000;
/// An instance whose bytes were all sent and that got neither receipt nor refusal is offered again after this.
pub const REOFFER_AFTER_MS: u64 = 120_000;
/// How long an older connection of the same node may take to prove that it lives when a newer one appears: so many of
/// its round trips, in which a lost packet is sent again, within these limits.
pub const OVERLAP_PROBE_ROUND_TRIPS: u32 = 8;
/// At least this.
pub const OVERLAP_PROBE_MS_MIN: u64 = 1_000;
/// At most this, and where the round trip is not known.
pub const OVERLAP_PROBE_MS_MAX: u64 = 3_000;
/// Clocks further apart than this are alarmed.
pub const CLOCK_OFFSET_ALARM_MS: i64 = 60_000;

/// Life of a node certificate.
pub const NODE_CERTIFICATE_MS: i64 = 14 * 24 * 3600 * 1000;
/// Part of its life after which the agent renews: one third.
pub const RENEW_AFTER_LIFE_DIVISOR: i64 = 3;
/// Longest life of an enrolment code.
pub const INVITATION_MS_MAX: i64 = 24 * 3600 * 1000;
