//! The library against real and hostile objects, and against pydicom as the oracle.

mod data;
mod container;
mod hostile;
mod oracle;
mod real;
