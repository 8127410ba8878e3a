//! Inflating with limits: by ratio and by absolute size, checked after every piece.

use std::io::{self, BufReader, Read};

use flate2::bufread::DeflateDecoder;

use crate::limits::ScanLimits;
use crate::scan::ScanError;

/// Output that is always allowed, so that short runs of zeros do not trip the ratio.
const RATIO_FLOOR_BYTES: u64 = 1024 * 1024;

/// A reader of inflated bytes that stops with an error at the limits.
pub(crate) struct BoundedInflate<R: Read> {
    inner: DeflateDecoder<BufReader<R>>,
    bytes_max: u64,
    ratio_max: u64,
}

/// Marks the error of a stream that inflates too far.
#[derive(Debug, thiserror::Error)]
#[error("inflated beyond the limit")]
struct LimitReached;

/// Marks the error of a broken stream.
#[derive(Debug, thiserror::Error)]
#[error("deflate stream malformed")]
struct Malformed;

impl<R: Read> BoundedInflate<R> {
    pub(crate) fn new(inner: R, limits: &ScanLimits) -> Self {
        Self {
            inner: DeflateDecoder::new(BufReader::new(inner)),
            bytes_max: limits.max_inflated_bytes,
            ratio_max: limits.max_inflate_ratio,
        }
    }
}

impl<R: Read> Read for BoundedInflate<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = match self.inner.read(buf) {
            Ok(got) => got,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData
                ) =>
            {
                return Err(io::Error::other(Malformed));
            }
            // The stream ends before its last block.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(io::Error::other(Malformed));
            }
            Err(error) => return Err(error),
        };
        let (input, output) = (self.inner.total_in(), self.inner.total_out());
        let by_ratio = output > RATIO_FLOOR_BYTES && output / self.ratio_max > input;
        if output > self.bytes_max || by_ratio {
            return Err(io::Error::other(LimitReached));
        }
        Ok(got)
    }
}

/// Turns the marks of [`BoundedInflate`] into scan errors.
pub(crate) fn scan_error(error: ScanError) -> ScanError {
    let ScanError::Io(io_error) = &error else {
        return error;
    };
    match io_error.get_ref() {
        Some(mark) if mark.is::<LimitReached>() => ScanError::InflateLimit,
        Some(mark) if mark.is::<Malformed>() => ScanError::InflateMalformed,
        _ => error,
    }
}
