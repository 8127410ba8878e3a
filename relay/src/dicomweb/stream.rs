//! Bodies that are made on a blocking thread while they are sent: memory holds a few pieces, never the whole.

use std::io::{self, Write};
use std::ops::Range;

use axum::body::{Body, Bytes};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Pieces made ahead of the connection.
const PIECES_AHEAD_MAX: usize = 4;
/// Bytes of one piece.
const PIECE_BYTES: usize = 64 * 1024;

/// Where a blocking producer writes its body. Fails when the client is gone.
pub(super) struct BodyWriter {
    sender: mpsc::Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

/// A body written by `produce` on a blocking thread. When it fails the connection is cut, so that no client takes a
/// part for the whole; `what` names the failure in the log.
pub(super) fn body(
    what: &'static str,
    produce: impl FnOnce(&mut BodyWriter) -> io::Result<()> + Send + 'static,
) -> Body {
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD_MAX);
    tokio::task::spawn_blocking(move || {
        let mut writer = BodyWriter {
            sender,
            piece: Vec::with_capacity(PIECE_BYTES),
        };
        match produce(&mut writer).and_then(|()| writer.flush()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => {
                tracing::error!(%error, "{what} was cut off");
                let _ = writer.sender.blocking_send(Err(error));
            }
        }
    });
    Body::from_stream(ReceiverStream::new(receiver))
}

impl Write for BodyWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.piece.len() + bytes.len() > PIECE_BYTES {
            self.flush()?;
        }
        let taken = bytes.len().min(PIECE_BYTES);
        self.piece.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES));
        self.sender
            .blocking_send(Ok(piece.into()))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// A part of what is written to it; the rest is dropped, and once the part is whole, refused.
pub(super) struct Window<'a, W> {
    out: &'a mut W,
    to_skip: usize,
    to_take: usize,
}

impl<'a, W: Write> Window<'a, W> {
    pub(super) fn new(out: &'a mut W, range: Range<usize>) -> Self {
        Self {
            out,
            to_skip: range.start,
            to_take: range.len(),
        }
    }

    /// The part is whole.
    pub(super) fn is_full(&self) -> bool {
        self.to_take == 0
    }
}

impl<W: Write> Write for Window<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_full() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let skipped = self.to_skip.min(bytes.len());
        self.to_skip -= skipped;
        let taken = &bytes[skipped..];
        let taken = &taken[..taken.len().min(self.to_take)];
        self.out.write_all(taken)?;
        self.to_take -= taken.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Begins a part of a multipart body; viewers look for `Content-Type` spelt exactly so.
pub(super) fn begin_part(out: &mut impl Write, boundary: &str, content_type: &str) -> io::Result<()> {
    write!(out, "--{boundary}\r\nContent-Type: {content_type}\r\n\r\n")
}

/// Ends a part.
pub(super) fn end_part(out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"\r\n")
}

/// Ends the body.
pub(super) fn end_parts(out: &mut impl Write, boundary: &str) -> io::Result<()> {
    write!(out, "--{boundary}--\r\n")
}
