//! DICOMweb: QIDO-RS (PS3.18 section 10.6) and WADO-RS (section 10.4) over what has fully arrived, and STOW-RS (section
//! 10.5).
//!
//! Searches are the standard's, so an address of another program may hold patient data: no log of ours has one,
//! and our own page searches in a body. A study may be named by its UID or by our id; our id is the one for addresses
//! people see. What was received leaves as it is, native frames in little endian; only a client that does not take it gets
//! Explicit VR Little Endian, from any native transfer syntax and from every codestream that `decoding` has decoded in a
//! process apart. Viewing is on record before a byte leaves.

mod accept;
mod access;
mod address;
mod arriving;
mod model;
mod qido;
mod ranges;
mod rendered;
mod stow;
mod stream;
mod wado;

use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_http::compression::CompressionLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::ApiError;
use crate::state::AppState;

/// Media type of the DICOM JSON model.
pub const DICOM_JSON: &str = "application/dicom+json";
/// What JSON answers are called, as the relay likes best.
const JSON_MEDIA: [&str; 2] = [DICOM_JSON, "application/json"];
/// MiB of frames held in memory for answers at once; more wait.
pub const FRAME_MIB_MAX: usize = 512;
/// The same for frames that a worker decodes, which wait for one: apart, so that the others do not wait behind them.
pub const DECODED_MIB_MAX: usize = 512;
/// Searches that read headers at once; more wait.
const HEADER_SEARCHES_MAX: usize = 2;

/// What giving a frame takes of memory, in bytes.
#[derive(Debug, Clone, Copy)]
enum FrameMemory {
    /// It is at hand, or decoded here.
    AtHand(u64),
    /// A worker decodes it.
    Decoded(u64),
}

/// What the routes share.
#[derive(Debug)]
pub struct Serving {
    /// Views that are on record.
    noted: Mutex<access::Noted>,
    /// One permit for each MiB of a frame in memory.
    frame_mib: Arc<Semaphore>,
    /// One permit for each MiB of a frame that a worker decodes.
    decoded_mib: Arc<Semaphore>,
    /// One permit for each search that reads headers.
    header_searches: Arc<Semaphore>,
    search_limits: qido::Limits,
    storing: stow::Storing,
}

impl Default for Serving {
    fn default() -> Self {
        Self {
            noted: Mutex::default(),
            frame_mib: Arc::new(Semaphore::new(FRAME_MIB_MAX)),
            decoded_mib: Arc::new(Semaphore::new(DECODED_MIB_MAX)),
            header_searches: Arc::new(Semaphore::new(HEADER_SEARCHES_MAX)),
            search_limits: qido::Limits::default(),
            storing: stow::Storing::default(),
        }
    }
}

impl Serving {
    /// Waits until a frame fits into memory. The permit goes where the work is done: a client that leaves ends the
    /// handler, not the thread.
    async fn frame_permit(&self, memory: FrameMemory) -> Result<OwnedSemaphorePermit, ApiError> {
        let (budget, bytes, mib_max) = match memory {
            FrameMemory::AtHand(bytes) => (&self.frame_mib, bytes, FRAME_MIB_MAX),
            FrameMemory::Decoded(bytes) => (&self.decoded_mib, bytes, DECODED_MIB_MAX),
        };
        let mib = u32::try_from((bytes >> 20) + 1).unwrap_or(u32::MAX);
        let permits = Arc::clone(budget).acquire_many_owned(mib.min(mib_max as u32));
        permits.await.map_err(ApiError::internal)
    }

    /// Waits until a search may read headers.
    async fn header_search_permit(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let permit = self.header_searches.clone().acquire_owned();
        permit.await.map_err(ApiError::internal)
    }
}

/// The routes of this slice. Only JSON is compressed: frames are coded already, and a viewer asks for their ranges.
pub fn routes() -> OpenApiRouter<AppState> {
    let json = OpenApiRouter::new()
        .routes(routes!(qido::search_studies))
        .routes(routes!(qido::search_all_series))
        .routes(routes!(qido::search_all_instances))
        .routes(routes!(qido::search_series))
        .routes(routes!(qido::search_study_instances))
        .routes(routes!(qido::search_series_instances))
        .routes(routes!(stow::store_instances))
        .routes(routes!(stow::store_instances_of_study))
        .routes(routes!(wado::study_metadata))
        .routes(routes!(wado::series_metadata))
        .routes(routes!(wado::instance_metadata))
        .routes(routes!(arriving::listed_metadata))
        .layer(CompressionLayer::new().gzip(true));
    let bytes = OpenApiRouter::new()
        .routes(routes!(wado::retrieve_study))
        .routes(routes!(wado::retrieve_series))
        .routes(routes!(wado::retrieve_instance))
        .routes(routes!(wado::retrieve_frames))
        .routes(routes!(wado::retrieve_bulk_data))
        .routes(routes!(rendered::render_study))
        .routes(routes!(rendered::render_series))
        .routes(routes!(rendered::render_instance))
        .routes(routes!(rendered::render_frames))
        .routes(routes!(rendered::study_thumbnail))
        .routes(routes!(rendered::series_thumbnail))
        .routes(routes!(rendered::instance_thumbnail))
        .routes(routes!(rendered::frame_thumbnail))
        .routes(routes!(arriving::frame_preview));
    json.merge(bytes)
}

#[cfg(test)]
mod tests;
