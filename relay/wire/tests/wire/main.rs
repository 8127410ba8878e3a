//! The protocol as its peers see it: bytes on the line, hostile bytes, and two ends joined by a bad line.

mod golden;
mod hostile;
mod joined;
mod order;
