//! What the tests of the whole product share: the real programs as processes, the people who log in, foreign DICOM
//! senders, a mail server, and a head CT made here.
//!
//! Nothing in this package is linked into the product, and it links nothing of the product: it meets the programs
//! as a hospital does, through their command lines, ports and files.

pub mod phantom;
