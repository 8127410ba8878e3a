//! Opens a data set for a walk in the encoding its bytes really have.

use std::io::{self, Read, Seek};

use tancho_domain::dicom::TransferSyntaxUid;

use super::detect::{Verdict, judge};
use super::{BoundedInflate, ForwardInput, Input, SeekInput, Source, Walker, plausible_elements};
use crate::limits::ScanLimits;
use crate::scan::ScanError;
use crate::syntax::{Encoding, Syntax};

/// First bytes looked at to tell the encoding.
const DETECTION_BYTES: usize = 4096;

/// How the bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) encoding: Encoding,
    /// The bytes are one deflate stream.
    pub(crate) deflated: bool,
    /// This is not what the transfer syntax says.
    pub(crate) mismatch: bool,
}

/// Compares the first bytes with what the transfer syntax says.
pub(crate) fn find_encoding<I: Input>(
    source: &mut Source<I>,
    total: u64,
    syntax: Syntax,
) -> io::Result<Found> {
    let window = source.peek(DETECTION_BYTES)?;
    if syntax.deflated {
        let plain = plausible_elements(window, total, syntax.encoding) >= 2;
        return Ok(Found {
            encoding: syntax.encoding,
            deflated: !plain,
            mismatch: plain,
        });
    }
    Ok(match judge(window, total, syntax.encoding) {
        Verdict::AsNegotiated => Found {
            encoding: syntax.encoding,
            deflated: false,
            mismatch: false,
        },
        Verdict::Other(encoding) => Found {
            encoding,
            deflated: false,
            mismatch: true,
        },
    })
}

/// A walk over any kind of input.
pub(crate) type AnyWalker<'a> = Walker<Box<dyn Input + 'a>>;

/// Opens a data set, or the head of one, inflating it where it is deflated.
pub(crate) fn open<'a, R: Read + Seek + 'a>(
    src: R,
    transfer_syntax: &TransferSyntaxUid,
    limits: &ScanLimits,
) -> Result<AnyWalker<'a>, ScanError> {
    let (input, total) = SeekInput::new(src)?;
    open_input(Box::new(input), total, transfer_syntax, limits)
}

/// As [`open`], over an input of `total` bytes.
pub(crate) fn open_input<'a>(
    input: Box<dyn Input + 'a>,
    total: u64,
    transfer_syntax: &TransferSyntaxUid,
    limits: &ScanLimits,
) -> Result<AnyWalker<'a>, ScanError> {
    let mut source = Source::new(input, Some(total));
    let found = find_encoding(&mut source, total, Syntax::of(transfer_syntax))?;
    if found.deflated {
        let inflated: Box<dyn Input + 'a> =
            Box::new(ForwardInput(BoundedInflate::new(source.into_reader(), limits)));
        return Ok(Walker::new(Source::new(inflated, None), found.encoding, limits));
    }
    Ok(Walker::new(source, found.encoding, limits))
}

impl Input for Box<dyn Input + '_> {
    fn pass(&mut self, n: u64) -> io::Result<u64> {
        (**self).pass(n)
    }
}
