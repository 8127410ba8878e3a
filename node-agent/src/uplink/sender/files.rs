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

    /// Forgets an open file, because the container behind it may be made again.
    pub(super) fn close(&mut self, container_sha256: &Digest) {
        self.open.retain(|(open, _)| open != container_sha256);
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

/// Whether the container is gone, cut short or on a bad sector, so that trying again will not help.
pub(super) fn is_lasting(error: &io::Error) -> bool {
    // EIO; ERROR_CRC and ERROR_IO_DEVICE of Windows.
    let of_the_disk: &[i32] = if cfg!(windows) { &[23, 1117] } else { &[5] };
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof
    ) || error
        .raw_os_error()
        .is_some_and(|code| of_the_disk.contains(&code))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_sector_lasts_and_a_lack_of_file_handles_passes() {
        assert!(is_lasting(&io::ErrorKind::NotFound.into()));
        assert!(is_lasting(&io::ErrorKind::UnexpectedEof.into()));
        assert!(!is_lasting(&io::ErrorKind::Interrupted.into()));
        assert!(!is_lasting(&io::Error::from_raw_os_error(24)));
        let bad_sector = if cfg!(windows) { 23 } else { 5 };
        assert!(is_lasting(&io::Error::from_raw_os_error(bad_sector)));
    }
}
