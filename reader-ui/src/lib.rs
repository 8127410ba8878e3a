//! Tancho.
