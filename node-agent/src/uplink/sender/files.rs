//! Container files, read a range at a time; the last few stay open.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tancho_domain::ids::ObjectId;
use tancho_wire::Digest;
use tancho_wire::transfer::RangeToSend;

use crate::spool::Spool;

/// Files kept open.
const FILES_OPEN_MAX: usize = 16;

pub(super) struct Files {
    spool: Spool,
    open: VecDeque<(Digest, Arc<File>)>,
}

impl Files {
    pub(super) fn new(spool: Spool) -> Self {
        Self {
            spool,
            open: VecDeque::new(),
        }
    }

    /// Reads a range of an object's container.
    pub(super) async fn read(&mut self, object_id: &ObjectId, range: &RangeToSend) -> io::Result<Bytes> {
        let file = self.file(object_id, range.container_sha256).await?;
        let offset = range.offset;
        let len = usize::try_from(range.len).map_err(|_| io::ErrorKind::InvalidInput)?;
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = vec![0; len];
            read_exact_at(&file, &mut bytes, offset)?;
            Ok(Bytes::from(bytes))
        });
        read.await.map_err(io::Error::other)?
    }

    /// A container made anew has another digest, so its old file is never taken for it.
    async fn file(&mut self, object_id: &ObjectId, container_sha256: Digest) -> io::Result<Arc<File>> {
        if let Some((_, file)) = self.open.iter().find(|(open, _)| *open == container_sha256) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(self.spool.container_file(object_id).await?);
        if self.open.len() >= FILES_OPEN_MAX {
            self.open.pop_front();
        }
        self.open.push_back((container_sha256, Arc::clone(&file)));
        Ok(file)
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            got => {
                bytes = &mut bytes[got..];
                offset += got as u64;
            }
        }
    }
    Ok(())
}
