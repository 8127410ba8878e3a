//! The element walk shared by scanner, metadata and comparison.
