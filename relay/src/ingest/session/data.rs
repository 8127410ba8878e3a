//! Data streams: ranges go to disk as they come; a stream is not read on while its last range is being written.

use std::sync::Arc;
use std::time::Duration;

use tancho_wire::frame::Data;
use tancho_wire::limits::EARLY_WAIT_MS;
use tancho_wire::transfer::{DataVerdict, refuse_later};
use tancho_wire::{Digest, Frame, Violation};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Carrier, End, FrameReader, Session, lock};
use crate::ingest::incoming::part_key;
use crate::ingest::status;

/// How long a node waits before it offers again what the disk did not take.
pub(super) const DISK_RETRY_MS: u64 = 30_000;

impl Session {
    pub(super) async fn accept_data(self: Arc<Self>) -> End {
        let Carrier::Quic(connection) = &self.carrier else {
            return std::future::pending().await;
        };
        let mut streams = JoinSet::new();
        loop {
            tokio::select! {
                stream = connection.accept_uni() => match stream {
                    Ok(stream) => {
                        let stream = FrameReader::new(Box::new(stream), None);
                        streams.spawn(Arc::clone(&self).read_data(stream));
                    }
                    Err(_) => return End::Gone,
                },
                Some(ended) = streams.join_next() => match ended {
                    Ok(Ok(())) => {}
                    Ok(Err(end)) => return end,
                    Err(_) => return End::Close(tancho_wire::CloseCode::INTERNAL),
                },
            }
        }
    }

    async fn read_data(self: Arc<Self>, mut stream: FrameReader) -> Result<(), End> {
        while let Some(frame) = stream.next().await? {
            let Frame::Data(data) = frame else {
                return Err(Violation::protocol("a data stream carries another frame than Data").into());
            };
            self.on_data(data).await?;
        }
        Ok(())
    }

    /// Judges a range; one that came before its Offer was looked up waits for that, and its stream with it.
    async fn judge(&self, digest: &Digest, offset: u64, len: u64) -> Result<DataVerdict, Violation> {
        let until = Instant::now() + Duration::from_millis(EARLY_WAIT_MS);
        loop {
            let mut looked_up = std::pin::pin!(self.looked_up.notified());
            // Before the look at the receiver, so that no answer is missed.
            looked_up.as_mut().enable();
            let verdict = self.receiver().on_data(digest, offset, len)?;
            if verdict != DataVerdict::Wait {
                return Ok(verdict);
            }
            if tokio::time::timeout_at(until, looked_up).await.is_err() {
                self.receiver().drop_early(len)?;
                return Ok(DataVerdict::Drop);
            }
        }
    }

    pub(super) async fn on_data(&self, data: Data) -> Result<(), End> {
        let digest = data.container_sha256;
        let DataVerdict::Store(gaps) = self.judge(&digest, data.offset, data.bytes.len() as u64).await?
        else {
            return Ok(());
        };
        let key = part_key(&self.origin.site_id, digest);
        let incoming = Arc::clone(&self.app.incoming);
        let written = tokio::task::spawn_blocking(move || {
            incoming
                .write(&key, data.offset, &data.bytes, &gaps)
                .map(|()| gaps)
        });
        match written.await {
            Ok(Ok(gaps)) => {
                let n_bytes = gaps.iter().map(|gap| gap.end - gap.start).sum();
                self.app.flows.on_bytes(&key, n_bytes, self.app.now_ms());
                let study_id = lock(&self.heads)
                    .get(&digest)
                    .map(|arrived| arrived.study_id.clone());
                if let Some(study_id) = study_id {
                    status::publish_bytes(&self.app, &self.origin.network_id, &study_id);
                }
                self.with_receiver(|receiver| {
                    gaps.into_iter().for_each(|gap| receiver.on_stored(&digest, gap))
                });
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "a range could not be written");
                let text = "the relay's disk did not take the data";
                let refusal = refuse_later(digest, disk_code(&error), text, DISK_RETRY_MS);
                self.with_receiver(|receiver| receiver.refuse(refusal));
            }
            Err(_) => return Err(End::Close(tancho_wire::CloseCode::INTERNAL)),
        }
        Ok(())
    }
}

/// Stable code of a disk error.
pub(super) fn disk_code(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => "disk_full",
        std::io::ErrorKind::ReadOnlyFilesystem => "disk_read_only",
        _ => "disk_failed",
    }
}
