//! What the tests of the whole product share: the real programs as processes, the people who log in, foreign DICOM
//! senders, a mail server, and a head CT made here.
//!
//! Nothing in this package is linked into the product, and it links nothing of the product: it meets the programs
//! as a hospital does, through their command lines, ports and files. Start at [`hospital::Network`].

pub mod hospital;
pub mod mail;
pub mod modality;
pub mod node;
pub mod orthanc;
pub mod people;
pub mod phantom;
pub mod ports;
pub mod program;
pub mod relay;
pub mod samples;
pub mod wait;
