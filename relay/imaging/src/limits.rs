//! Every maximum of the scanner and the container, with its name and unit.
//!
//! The defaults are the product's promises; a test sits at each limit and one beyond it.

/// Sizes of pieces that are held in memory at once while a container is written or read.
pub mod pieces {
    /// Largest native frame in one section that is read. Bytes.
    pub const FRAME_SECTION_BYTES_MAX: u64 = 32 * 1024 * 1024;
    /// Largest native frame that is written as one section; larger frames are cut into opaque chunks, so that coding
    /// one frame never takes more memory than a small agent may. Bytes.
    pub const WHOLE_FRAME_BYTES_MAX: u64 = 8 * 1024 * 1024;
    /// Most samples of such a frame.
    pub const WHOLE_FRAME_SAMPLES_MAX: u64 = 4 * 1024 * 1024;
    /// Size of one opaque chunk before compression. Bytes.
    pub const OPAQUE_CHUNK_BYTES: u64 = 4 * 1024 * 1024;
    /// Most sections of one container; an object that would need more is stored as opaque chunks.
    pub const SECTIONS_MAX: u64 = 200_000;
    /// Longest container header with its table of sections. Bytes.
    pub const CONTAINER_HEADER_BYTES_MAX: u64 = 16 * 1024 * 1024;
    /// Longest expanded head that other heads are coded with. Bytes.
    pub const DICTIONARY_BYTES_MAX: u64 = 1024 * 1024;
    /// Largest identity value (a name, a description) that is read for indexing. Bytes.
    pub const INDEXED_VALUE_BYTES_MAX: u64 = 4096;
    /// Most warnings kept for one object; further ones are counted as the last.
    pub const WARNINGS_MAX: usize = 64;
}

/// What an object may ask of the scanner before it is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanLimits {
    /// Deepest nesting of sequences.
    pub max_depth: usize,
    /// Most data elements, items and fragments together.
    pub max_elements: u64,
    /// Longest value of an element that is not pixel data, in bytes.
    pub max_value_bytes: u64,
    /// Longest part before Pixel Data that is kept readable, in bytes; a longer one makes the object opaque.
    pub max_head_bytes: u64,
    /// Largest object, in bytes.
    pub max_object_bytes: u64,
    /// Largest decoded frame (rows x columns x samples x bytes), in bytes.
    pub max_frame_bytes: u64,
    /// Largest inflated size of a deflated data set, in bytes.
    pub max_inflated_bytes: u64,
    /// Largest ratio of inflated to deflated bytes, past the first MiB of output.
    pub max_inflate_ratio: u64,
}

impl Default for ScanLimits {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            max_depth: 64,
            max_elements: 500_000,
            max_value_bytes: 64 * MIB,
            max_head_bytes: 16 * MIB,
            max_object_bytes: 4096 * MIB,
            max_frame_bytes: 512 * MIB,
            max_inflated_bytes: 4096 * MIB,
            max_inflate_ratio: 200,
        }
    }
}
