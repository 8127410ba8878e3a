//! Reads a container: sections on demand, each against its digest before it is given out.

use std::io::{self, Read, Seek, SeekFrom, Write};

use sha2::{Digest, Sha256};

use super::{ContainerError, ContainerHeader, PIECE_BYTES, SectionKind};
use super::{code, header, item_header};
use crate::limits::{ScanLimits, pieces};
use crate::scan::{self, HeadScan, ScanError};

/// A container open for reading.
pub struct Container<R> {
    src: R,
    header: ContainerHeader,
}

impl<R: Read + Seek> Container<R> {
    /// Opens a container: reads and checks its header and table, and the length of the whole.
    ///
    /// # Errors
    /// When it is none, is cut or has bytes too many.
    pub fn open(mut src: R) -> Result<Self, ContainerError> {
        let total = src.seek(SeekFrom::End(0))?;
        src.seek(SeekFrom::Start(0))?;
        let mut bytes = Vec::new();
        src.by_ref().take(16).read_to_end(&mut bytes)?;
        let Ok(front) = <[u8; 16]>::try_from(bytes.as_slice()) else {
            return Err(ContainerError::Malformed("header cut"));
        };
        super::parse_header(&bytes)?;
        let rest = header::stated_len(&front)
            .min(pieces::CONTAINER_HEADER_BYTES_MAX)
            .saturating_sub(16);
        src.by_ref().take(rest).read_to_end(&mut bytes)?;
        let header = super::parse_header(&bytes)?.ok_or(ContainerError::Malformed("header cut"))?;
        if header.container_len() != total {
            return Err(ContainerError::Malformed("container length"));
        }
        Ok(Self { src, header })
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &ContainerHeader {
        &self.header
    }

    /// Number of frames that [`Self::frame`] gives.
    #[must_use]
    pub fn frame_count(&self) -> u32 {
        self.header.frame_count
    }

    /// Reads every section and compares it with its digest; nothing is expanded.
    ///
    /// # Errors
    /// [`ContainerError::DigestMismatch`] for the first section that differs.
    pub fn verify_sections(&mut self) -> Result<(), ContainerError> {
        for idx in 0..self.header.sections.len() {
            self.stream_stored(idx, &mut io::sink())?;
        }
        Ok(())
    }

    /// Writes the original data set, byte for byte, and returns its SHA-256 after comparing it with the
    /// header's. Memory stays below the largest section.
    ///
    /// # Errors
    /// When a section or the whole differs; what was written must then not be used.
    pub fn rebuild<W: Write>(&mut self, out: &mut W) -> Result<[u8; 32], ContainerError> {
        let mut hashed = Hashed {
            out,
            sha: Sha256::new(),
        };
        let mut buffers = Buffers::default();
        for idx in 0..self.header.sections.len() {
            let section = self.header.sections[idx];
            if section.kind == SectionKind::Fragment {
                hashed.write_all(&item_header(section.stored_len)?)?;
                self.stream_stored(idx, &mut hashed)?;
            } else {
                let expanded = self.expand(idx, &mut buffers)?;
                hashed.write_all(expanded)?;
            }
        }
        let sha256: [u8; 32] = hashed.sha.finalize().into();
        if sha256 != self.header.original_sha256 {
            return Err(ContainerError::OriginalMismatch);
        }
        Ok(sha256)
    }

    /// The elements before the first frame; for an object without a head section the whole data set, when
    /// it is no longer than `bytes_max`.
    ///
    /// # Errors
    /// [`ContainerError::TooLarge`] beyond `bytes_max`, or when a section differs from its digest.
    pub fn head_bytes(&mut self, bytes_max: u64) -> Result<Vec<u8>, ContainerError> {
        let sections = if self.header.has_head() {
            1
        } else {
            self.header.sections.len()
        };
        let len: u64 = self.header.sections[..sections]
            .iter()
            .map(|section| section.expanded_len)
            .sum();
        if len > bytes_max {
            return Err(ContainerError::TooLarge(bytes_max));
        }
        let mut head = Vec::new();
        let mut buffers = Buffers::default();
        for idx in 0..sections {
            head.extend_from_slice(self.expand(idx, &mut buffers)?);
        }
        Ok(head)
    }

    /// Identity and geometry of the object, from its head section or, without one, from the whole of it.
    ///
    /// # Errors
    /// The scan's own error inside the result; otherwise when a section differs from its digest.
    pub fn scan_identity(
        &mut self,
        limits: &ScanLimits,
    ) -> Result<Result<HeadScan, ScanError>, ContainerError> {
        let transfer_syntax = self.header.transfer_syntax.clone();
        if self.header.has_head() {
            let head = self.head_bytes(limits.max_head_bytes)?;
            return Ok(scan::scan_head(&head, &transfer_syntax, limits));
        }
        let total = self.header.original_len;
        let mut expanding = Expanding {
            container: self,
            next: 0,
            buffers: Buffers::default(),
            at: 0,
            len: 0,
            fault: None,
        };
        let scanned = scan::scan_forward(&mut expanding, total, &transfer_syntax, limits);
        match expanding.fault {
            Some(fault) => Err(fault),
            None => Ok(scanned),
        }
    }

    /// Frame `number`, counted from 1: native samples in the byte order received, or the codestream
    /// of an encapsulated frame with its fragments joined.
    ///
    /// # Errors
    /// [`ContainerError::NoSuchFrame`], or when a section differs from its digest.
    pub fn frame(&mut self, number: u32) -> Result<Vec<u8>, ContainerError> {
        if number == 0 || number > self.header.frame_count {
            return Err(ContainerError::NoSuchFrame(number));
        }
        let mut frame = Vec::new();
        let mut buffers = Buffers::default();
        for idx in 0..self.header.sections.len() {
            let section = self.header.sections[idx];
            if section.frame != number {
                continue;
            }
            if section.kind == SectionKind::Fragment {
                self.stream_stored(idx, &mut frame)?;
            } else {
                frame.extend_from_slice(self.expand(idx, &mut buffers)?);
            }
        }
        Ok(frame)
    }

    /// As [`Self::frame`], with native samples in little endian order whatever they came in.
    ///
    /// # Errors
    /// As [`Self::frame`].
    pub fn frame_little_endian(&mut self, number: u32) -> Result<Vec<u8>, ContainerError> {
        let mut frame = self.frame(number)?;
        code::swap(&mut frame, usize::from(self.header.swap_bytes));
        Ok(frame)
    }

    /// Streams the stored bytes of a section to `out` and compares their digest.
    fn stream_stored<W: Write>(&mut self, idx: usize, out: &mut W) -> Result<(), ContainerError> {
        let section = self.header.sections[idx];
        self.src.seek(SeekFrom::Start(section.offset))?;
        let mut sha = Sha256::new();
        let mut left = section.stored_len;
        let mut piece = [0u8; PIECE_BYTES];
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            let got = self.src.read(&mut piece[..want])?;
            if got == 0 {
                return Err(ContainerError::DigestMismatch(idx));
            }
            sha.update(&piece[..got]);
            out.write_all(&piece[..got])?;
            left -= got as u64;
        }
        if sha.finalize()[..] != section.sha256 {
            return Err(ContainerError::DigestMismatch(idx));
        }
        Ok(())
    }

    /// The original bytes of a section that is not a fragment.
    fn expand<'b>(&mut self, idx: usize, buffers: &'b mut Buffers) -> Result<&'b [u8], ContainerError> {
        let section = self.header.sections[idx];
        if section.kind == SectionKind::Fragment {
            return Err(ContainerError::Malformed("fragment without frame"));
        }
        buffers.packed.clear();
        self.stream_stored(idx, &mut buffers.packed)?;
        code::unpack(&buffers.packed, section.expanded_len, &mut buffers.plain)?;
        if section.sample_bytes > 1 {
            code::join(
                &buffers.plain,
                usize::from(section.sample_bytes),
                &mut buffers.joined,
            );
            return Ok(&buffers.joined);
        }
        Ok(&buffers.plain)
    }
}

#[derive(Default)]
struct Buffers {
    packed: Vec<u8>,
    plain: Vec<u8>,
    joined: Vec<u8>,
}

/// A writer that hashes what passes.
struct Hashed<'a, W> {
    out: &'a mut W,
    sha: Sha256,
}

impl<W: Write> Write for Hashed<'_, W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = self.out.write(buf)?;
        self.sha.update(&buf[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The original bytes of an opaque object as a reader.
struct Expanding<'a, R> {
    container: &'a mut Container<R>,
    next: usize,
    buffers: Buffers,
    at: usize,
    len: usize,
    fault: Option<ContainerError>,
}

impl<R: Read + Seek> Read for Expanding<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at == self.len && self.next < self.container.header.sections.len() {
            self.at = 0;
            self.len = match self.container.expand(self.next, &mut self.buffers) {
                Ok(expanded) => expanded.len(),
                Err(fault) => {
                    self.fault = Some(fault);
                    return Err(io::ErrorKind::InvalidData.into());
                }
            };
            self.next += 1;
        }
        let got = (self.len - self.at).min(buf.len());
        buf[..got].copy_from_slice(&self.buffers.plain[self.at..self.at + got]);
        self.at += got;
        Ok(got)
    }
}
