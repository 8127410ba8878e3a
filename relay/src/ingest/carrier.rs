//! What carries a session: QUIC, or TLS over TCP on lines that block UDP. Above this the two are told apart only
//! where it matters: ranges have streams of their own on QUIC, on TCP everything shares the one stream.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use quinn::VarInt;
use tancho_wire::CloseCode;
use tancho_wire::frame::{Close, Decoded, Frame, FrameDecoder, encode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use super::session::End;

/// The half that is read.
pub type Reader = Box<dyn AsyncRead + Send + Unpin>;
/// The half that is written.
pub type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// Largest piece read at once.
const READ_BYTES: usize = 64 * 1024;
/// How long the last frame of a TCP session may take.
const FAREWELL_TIME: Duration = Duration::from_secs(2);

/// A connection of a node.
#[derive(Debug, Clone)]
pub enum Carrier {
    /// Control on a bidirectional stream, ranges on unidirectional ones.
    Quic(quinn::Connection),
    /// Everything on one byte stream.
    Tcp(Arc<TcpCarrier>),
}

/// The handle of a TLS connection over TCP.
#[derive(Debug)]
pub struct TcpCarrier {
    address: SocketAddr,
    code: OnceLock<CloseCode>,
    closing: CancellationToken,
    closed: CancellationToken,
}

impl Carrier {
    /// A TLS connection over TCP from `address`.
    #[must_use]
    pub fn tcp(address: SocketAddr) -> Self {
        Self::Tcp(Arc::new(TcpCarrier {
            address,
            code: OnceLock::new(),
            closing: CancellationToken::new(),
            closed: CancellationToken::new(),
        }))
    }

    /// Closes with one of the protocol's codes. On TCP the session's writer sends it as the last frame.
    pub fn close(&self, code: CloseCode) {
        match self {
            Self::Quic(connection) => connection.close(VarInt::from_u32(code.0), code.name().as_bytes()),
            Self::Tcp(tcp) => {
                let _ = tcp.code.set(code);
                tcp.closing.cancel();
            }
        }
    }

    /// Returns when the connection is gone.
    pub async fn closed(&self) {
        match self {
            Self::Quic(connection) => {
                connection.closed().await;
            }
            Self::Tcp(tcp) => tcp.closed.cancelled().await,
        }
    }

    /// Returns the code when a TCP session is to end; never on QUIC, which tells the peer itself.
    pub async fn farewell(&self) -> CloseCode {
        match self {
            Self::Quic(_) => std::future::pending().await,
            Self::Tcp(tcp) => {
                tcp.closing.cancelled().await;
                tcp.code.get().copied().unwrap_or(CloseCode::DONE)
            }
        }
    }

    /// Notes that nothing more can be written or read.
    pub fn set_closed(&self) {
        if let Self::Tcp(tcp) = self {
            tcp.closed.cancel();
        }
    }

    /// Where the peer is.
    #[must_use]
    pub fn remote_address(&self) -> SocketAddr {
        match self {
            Self::Quic(connection) => connection.remote_address(),
            Self::Tcp(tcp) => tcp.address,
        }
    }

    /// The round trip as QUIC measures it; TCP's is not known here.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        match self {
            Self::Quic(connection) => Some(connection.rtt()),
            Self::Tcp(_) => None,
        }
    }

    /// For logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Quic(_) => "quic",
            Self::Tcp(_) => "tcp",
        }
    }
}

/// Writes the last frame of a TCP session and ends the stream.
pub async fn say_farewell(send: &mut Writer, code: CloseCode) {
    let close = Close {
        code: code.0,
        reason: code.name().to_owned(),
    };
    let mut bytes = Vec::new();
    encode(&Frame::Close(close), &mut bytes);
    let last = async {
        if send.write_all(&bytes).await.is_ok() {
            let _ = send.shutdown().await;
        }
    };
    let _ = tokio::time::timeout(FAREWELL_TIME, last).await;
}

/// Frames of one stream, one after another.
pub struct FrameReader {
    receive: Reader,
    decoder: FrameDecoder,
    piece: Box<[u8]>,
    /// A stream without a byte for this long is dead; `None` where the transport itself notices.
    idle: Option<Duration>,
}

impl FrameReader {
    /// Reads `receive`.
    #[must_use]
    pub fn new(receive: Reader, idle: Option<Duration>) -> Self {
        Self {
            receive,
            decoder: FrameDecoder::new(),
            piece: vec![0; READ_BYTES].into_boxed_slice(),
            idle,
        }
    }

    /// The next frame; `None` when the stream ended between frames.
    pub async fn next(&mut self) -> Result<Option<Frame>, End> {
        loop {
            match self.decoder.next_frame()? {
                Some(Decoded::Frame(frame)) => return Ok(Some(frame)),
                Some(Decoded::Ignored(number)) => tracing::debug!(number, "an unknown frame was skipped"),
                None => match self.read().await? {
                    0 if self.idle.is_none() && self.decoder.is_mid_frame() => {
                        let violation = tancho_wire::Violation::protocol("a stream ended inside a frame");
                        return Err(violation.into());
                    }
                    0 => return Ok(None),
                    n => self.decoder.push(&self.piece[..n]),
                },
            }
        }
    }

    async fn read(&mut self) -> Result<usize, End> {
        let read = self.receive.read(&mut self.piece);
        let read = match self.idle {
            Some(idle) => tokio::time::timeout(idle, read).await.map_err(|_| End::Gone)?,
            None => read.await,
        };
        read.map_err(|_| End::Gone)
    }
}
