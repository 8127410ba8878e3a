//! Whether two data sets are one and the same object, written differently.
//!
//! Many senders re-encode sequence lengths; such a copy is no conflict. Elements are compared without
//! length forms, group lengths and padding.

use std::io::{Read, Seek};

use tancho_domain::dicom::TransferSyntaxUid;

use crate::limits::ScanLimits;
use crate::scan::ScanError;

/// Compares two data sets element by element, streaming both.
pub fn same_elements<A: Read + Seek, B: Read + Seek>(
    _a: &mut A,
    _ts_a: &TransferSyntaxUid,
    _b: &mut B,
    _ts_b: &TransferSyntaxUid,
    _limits: &ScanLimits,
) -> Result<bool, ScanError> {
    Err(ScanError::Empty)
}
