//! The borders of the code base, checked from the cargo metadata and the sources: who may depend on whom, where a
//! subject may be spoken of, what the top level holds, and that what ARCHITECTURE.md promises is tested.
//!
//! A failure names the file, the line and the rule. When a rule is in the way, change it here and say why.

mod borders;
mod dependencies;
mod documents;
mod layout;
mod tree;
mod words;
