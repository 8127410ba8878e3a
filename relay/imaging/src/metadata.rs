//! The DICOM JSON model (PS3.18 annex F) of an object's head, for WADO-RS metadata.

use tancho_domain::dicom::TransferSyntaxUid;

use crate::limits::ScanLimits;
use crate::scan::ScanError;

/// How metadata is made.
#[derive(Debug, Clone)]
pub struct MetadataOptions {
    /// Address of the instance, without a slash at its end; bulk data is below it. Without one, bulk data
    /// is left out.
    pub bulk_data_base_url: Option<String>,
    /// Longest binary value carried inline, in bytes.
    pub inline_bytes_max: u64,
    /// Limits of the walk.
    pub limits: ScanLimits,
}

impl Default for MetadataOptions {
    fn default() -> Self {
        Self {
            bulk_data_base_url: None,
            inline_bytes_max: 1024,
            limits: ScanLimits::default(),
        }
    }
}

/// The DICOM JSON model of the elements in `head`.
pub fn dicom_json(
    _head: &[u8],
    _transfer_syntax: &TransferSyntaxUid,
    _options: &MetadataOptions,
) -> Result<serde_json::Value, ScanError> {
    Err(ScanError::Empty)
}
