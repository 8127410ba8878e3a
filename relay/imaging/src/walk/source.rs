//! Bytes read forward with a small look-ahead; skipping seeks where the input can.

use std::io::{self, Read, Seek, SeekFrom};

/// Size of the look-ahead buffer, and the furthest that can be peeked.
pub(crate) const BUFFER_BYTES: usize = 16 * 1024;

/// An input that can pass over bytes.
pub(crate) trait Input: Read {
    /// Passes over at most `n` bytes and returns how many there were.
    fn pass(&mut self, n: u64) -> io::Result<u64>;
}

/// An input whose length is known and checked by the walk, so that seeking never leaves it.
pub(crate) struct SeekInput<R> {
    inner: R,
    left: u64,
}

impl<R: Read + Seek> SeekInput<R> {
    /// Rewinds `inner`; returns it with its length.
    pub(crate) fn new(mut inner: R) -> io::Result<(Self, u64)> {
        let total = inner.seek(SeekFrom::End(0))?;
        inner.seek(SeekFrom::Start(0))?;
        Ok((Self { inner, left: total }, total))
    }
}

impl<R: Read> Read for SeekInput<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buf)?;
        self.left = self.left.saturating_sub(got as u64);
        Ok(got)
    }
}

impl<R: Read + Seek> Input for SeekInput<R> {
    fn pass(&mut self, n: u64) -> io::Result<u64> {
        let n = n.min(self.left);
        let step = i64::try_from(n).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.inner.seek(SeekFrom::Current(step))?;
        self.left -= n;
        Ok(n)
    }
}

/// An input that can only be read on.
pub(crate) struct ForwardInput<R>(pub(crate) R);

impl<R: Read> Read for ForwardInput<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl<R: Read> Input for ForwardInput<R> {
    fn pass(&mut self, n: u64) -> io::Result<u64> {
        io::copy(&mut (&mut self.0).take(n), &mut io::sink())
    }
}

/// The buffered source of a walk.
pub(crate) struct Source<I> {
    input: I,
    total: Option<u64>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    position: u64,
}

impl<I: Input> Source<I> {
    /// A source over `input`; `total` is its real length, when known.
    pub(crate) fn new(input: I, total: Option<u64>) -> Self {
        Self {
            input,
            total,
            buffer: vec![0; BUFFER_BYTES],
            start: 0,
            end: 0,
            position: 0,
        }
    }

    /// Everything that was not passed over yet, as a plain reader.
    pub(crate) fn into_reader(self) -> impl Read {
        let buffered = self.buffer[self.start..self.end].to_vec();
        io::Cursor::new(buffered).chain(self.input)
    }

    pub(crate) fn total(&self) -> Option<u64> {
        self.total
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The next `n` bytes (at most [`BUFFER_BYTES`]), fewer only at the end of the data.
    pub(crate) fn peek(&mut self, n: usize) -> io::Result<&[u8]> {
        let n = n.min(BUFFER_BYTES);
        if self.end - self.start < n {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            while self.end < n {
                match self.input.read(&mut self.buffer[self.end..]) {
                    Ok(0) => break,
                    Ok(got) => self.end += got,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
        let available = (self.end - self.start).min(n);
        Ok(&self.buffer[self.start..self.start + available])
    }

    /// Passes over `n` bytes; returns how many there were.
    pub(crate) fn skip(&mut self, n: u64) -> io::Result<u64> {
        let buffered = ((self.end - self.start) as u64).min(n);
        self.start += buffered as usize;
        let passed = if n > buffered {
            self.input.pass(n - buffered)?
        } else {
            0
        };
        self.position += buffered + passed;
        Ok(buffered + passed)
    }

    /// Reads as far as the buffer or one read of the input reaches.
    pub(crate) fn read_some(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let buffered = (self.end - self.start).min(out.len());
        let got = if buffered > 0 {
            out[..buffered].copy_from_slice(&self.buffer[self.start..self.start + buffered]);
            self.start += buffered;
            buffered
        } else {
            self.input.read(out)?
        };
        self.position += got as u64;
        Ok(got)
    }

    /// Appends up to `n` bytes to `out`, which grows with the bytes that are there.
    pub(crate) fn read_into(&mut self, out: &mut Vec<u8>, n: u64) -> io::Result<()> {
        let mut left = n;
        let mut piece = [0u8; 4096];
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            let got = self.read_some(&mut piece[..want])?;
            if got == 0 {
                break;
            }
            out.extend_from_slice(&piece[..got]);
            left -= got as u64;
        }
        Ok(())
    }
}
