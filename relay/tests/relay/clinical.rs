//! The clinical half over HTTP: from an arriving study to a signed, acknowledged report.

mod clinic;
mod reading;
mod calls;
mod signing;
mod acknowledgement;
mod ladder;
mod nodes;
