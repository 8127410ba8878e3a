//! What arrives from the nodes: the listeners for QUIC and TCP, sessions, partial files, verification, commit.
//!
//! A receipt leaves only after the container is durable in the blob store and its rows are committed. Node, site and
//! network follow from the certificate, never from a message. `tancho-wire` decides what is asked for; here are the
//! sockets, the files and the transactions. Start at `session.rs`.

pub mod carrier;
pub mod commit;
pub mod dictionaries;
pub mod enroll;
pub mod flow;
pub mod focus;
pub mod handshakes;
pub mod head;
pub mod incoming;
pub mod journal;
pub mod listener;
pub mod preview;
pub mod progress;
pub mod readable;
pub mod recover;
pub mod registry;
pub mod requests;
pub mod reset_key;
pub mod session;
pub mod silence;
pub mod space;
pub mod status;
pub mod tcp;
pub mod telling;
pub mod verify;
pub mod withheld;

pub use commit::CommitQueue;
pub use dictionaries::Dictionaries;
pub use flow::Flows;
pub use focus::Focuses;
pub use incoming::Incoming;
pub use listener::serve;
pub use readable::Readable;
pub use registry::Registry;
pub use telling::Tellings;
pub use verify::Verifications;
