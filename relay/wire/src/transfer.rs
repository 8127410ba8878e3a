//! Moving instances: offer, want, ranges, receipt.
//!
//! `Sender` is the agent's end, `Receiver` the relay's. Neither does I/O: the caller carries frames and ranges
//! between them, reads files, writes files, and says what became durable. A cut connection loses nothing but time:
//! the sender offers again, the receiver asks for exactly the bytes that are not durable.

pub mod ranges;
pub mod outbound;
pub mod sender;
pub mod receiver;
mod schedule;
mod study_order;
mod places;
mod pace;

pub use outbound::{NextRange, Outbound, RangeToSend, SenderConfig, SenderEvent};
pub use ranges::RangeSet;
pub use receiver::{
    Action, DataVerdict, Finish, Holding, OfferedInstance, Receiver, refuse_final, refuse_later,
};
pub use sender::Sender;
