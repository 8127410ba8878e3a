//! The borders of the code base, checked from the cargo metadata and the sources.
