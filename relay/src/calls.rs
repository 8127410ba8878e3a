//! Phone-call records: one key begins one, and a third doctor can later reconstruct what was said.
//!
//! The rules (what must be filled in, what follows what) are in `tancho_domain::call`; a closed record takes addenda
//! only, and only the person under whose account it was begun writes in it.

pub mod dto;
pub mod stored;
pub mod service;
pub mod routes;
