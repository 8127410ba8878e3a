//! What carries the line: QUIC, or TLS over TCP where UDP is blocked. On QUIC ranges have streams of their own, on
//! TCP they share the one stream with the control frames.

use std::time::Duration;

use quinn::{Connection, VarInt};
use tancho_wire::frame::{Decoded, FrameDecoder};
use tancho_wire::{CloseCode, Frame, Violation};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use super::dial::{LinkFault, fault_of};
use crate::link::{LinkBoard, Measured};

/// The half that is read.
pub(super) type Reader = Box<dyn AsyncRead + Send + Unpin>;
/// The half that is written.
pub(super) type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// Largest piece read at once.
const READ_BYTES: usize = 64 * 1024;
/// A TCP connection without a byte from the relay for this long is dead; it answers a Ping every five seconds.
const TCP_IDLE: Duration = Duration::from_secs(12);
/// How often it is looked whether a QUIC connection still hears from the relay.
const LISTEN_EVERY: Duration = Duration::from_millis(500);
/// How often a QUIC connection is measured.
const MEASURE_EVERY: Duration = Duration::from_secs(2);
/// QUIC priority of the control stream; data streams come below.
pub(super) const CONTROL_PRIORITY: i32 = i32::MAX;

/// What the page calls a line over UDP.
pub(super) const QUIC: &str = "quic";

/// A connection that stands.
pub(super) enum Carrier {
    /// Streams over UDP.
    Quic(Connection),
    /// One stream of TLS over TCP.
    Tcp(Box<TlsStream<TcpStream>>),
}

impl Carrier {
    /// For the page: `quic` or `tcp`.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Quic(_) => QUIC,
            Self::Tcp(_) => "tcp",
        }
    }

    /// Opens the control stream. On TCP that is the whole connection.
    pub(super) async fn open(self) -> Result<(Writer, FrameReader, Option<Connection>), LinkFault> {
        match self {
            Self::Quic(connection) => {
                let opened = connection.open_bi().await;
                let (send, receive) = opened.map_err(|error| fault_of(&error))?;
                let _ = send.set_priority(CONTROL_PRIORITY);
                let receive = FrameReader::new(Box::new(receive), None);
                Ok((Box::new(send), receive, Some(connection)))
            }
            Self::Tcp(stream) => {
                let (receive, send) = tokio::io::split(*stream);
                let receive = FrameReader::new(Box::new(receive), Some(TCP_IDLE));
                Ok((Box::new(send), receive, None))
            }
        }
    }
}

/// Ends a QUIC connection in peace; a TCP stream ends with its halves.
pub(super) fn close(connection: Option<&Connection>) {
    if let Some(connection) = connection {
        connection.close(VarInt::from_u32(CloseCode::DONE.0), b"");
    }
}

/// Why the line is gone, as far as the connection knows.
pub(super) fn line_fault(connection: Option<&Connection>) -> LinkFault {
    connection
        .and_then(Connection::close_reason)
        .map_or(LinkFault::new("line_failed", "the stream ended"), |error| {
            fault_of(&error)
        })
}

/// Returns when nothing has come from the relay for `silence`, though it has been asked.
pub(super) async fn silent_for(connection: &Connection, silence: Duration) {
    let heard = || connection.stats().udp_rx.datagrams;
    let (mut n_heard, mut since) = (heard(), Instant::now());
    while since.elapsed() < silence {
        tokio::time::sleep(LISTEN_EVERY).await;
        let now = heard();
        if now != n_heard {
            (n_heard, since) = (now, Instant::now());
        }
    }
}

/// Tells the board what a QUIC connection measures, for as long as it lives. Over TCP the heartbeat measures.
pub(super) async fn measure(connection: Option<&Connection>, board: &LinkBoard) {
    let Some(connection) = connection else {
        return std::future::pending().await;
    };
    let mut before = connection.stats().path;
    loop {
        tokio::time::sleep(MEASURE_EVERY).await;
        let now = connection.stats().path;
        board.measure(Measured {
            rtt_us: u64::try_from(now.rtt.as_micros()).ok(),
            // After a change of path the counters may begin anew.
            n_packets: now.sent_packets.saturating_sub(before.sent_packets),
            n_lost: now.lost_packets.saturating_sub(before.lost_packets),
        });
        before = now;
    }
}

/// Frames of the control stream, one after another.
pub(super) struct FrameReader {
    receive: Reader,
    decoder: FrameDecoder,
    piece: Box<[u8]>,
    idle: Option<Duration>,
}

impl FrameReader {
    fn new(receive: Reader, idle: Option<Duration>) -> Self {
        Self {
            receive,
            decoder: FrameDecoder::new(),
            piece: vec![0; READ_BYTES].into_boxed_slice(),
            idle,
        }
    }

    /// The next frame; `None` when the line is gone.
    pub(super) async fn next(&mut self) -> Result<Option<Frame>, Violation> {
        loop {
            match self.decoder.next_frame()? {
                Some(Decoded::Frame(frame)) => return Ok(Some(frame)),
                Some(Decoded::Ignored(number)) => tracing::debug!(number, "an unknown frame was skipped"),
                None => match self.read().await {
                    0 => return Ok(None),
                    n => self.decoder.push(&self.piece[..n]),
                },
            }
        }
    }

    async fn read(&mut self) -> usize {
        let read = self.receive.read(&mut self.piece);
        match self.idle {
            Some(idle) => match tokio::time::timeout(idle, read).await {
                Ok(read) => read.unwrap_or(0),
                Err(_) => 0,
            },
            None => read.await.unwrap_or(0),
        }
    }
}
