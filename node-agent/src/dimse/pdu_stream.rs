//! PDUs from a socket, one at a time, in a buffer of fixed size: whatever length a peer declares, no more
//! memory is used than one PDU of the largest size we agreed to.
//!
//! On Linux every read re-arms TCP_QUICKACK: many senders leave Nagle's algorithm on and would otherwise wait
//! for a delayed acknowledgement in every object.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// Bytes of a PDU's type, reserved byte and length (PS3.8 section 9.3.1).
pub const PDU_HEADER_BYTES: usize = 6;
/// Longest PDU after its header that is accepted. Bytes.
pub const PDU_BYTES_MAX: usize = 128 * 1024;
/// Longest pause between two looks at the deadlines.
const TICK_MAX: Duration = Duration::from_millis(500);
/// How long a peer that was sent away may take to close its side.
const LINGER: Duration = Duration::from_secs(1);
/// Bytes read from such a peer before the socket is closed on it.
const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// PDU types (PS3.8 section 9.3).
pub mod pdu_type {
    /// A-ASSOCIATE-RQ.
    pub const ASSOCIATE_RQ: u8 = 0x01;
    /// A-ASSOCIATE-AC.
    pub const ASSOCIATE_AC: u8 = 0x02;
    /// A-ASSOCIATE-RJ.
    pub const ASSOCIATE_RJ: u8 = 0x03;
    /// P-DATA-TF.
    pub const P_DATA: u8 = 0x04;
    /// A-RELEASE-RQ.
    pub const RELEASE_RQ: u8 = 0x05;
    /// A-RELEASE-RP.
    pub const RELEASE_RP: u8 = 0x06;
    /// A-ABORT.
    pub const ABORT: u8 = 0x07;
}

/// Why there is no further PDU.
#[derive(Debug, thiserror::Error)]
pub enum PduError {
    /// The peer closed the connection between two PDUs.
    #[error("connection closed by the peer")]
    Closed,
    /// The peer closed it inside a PDU, or it broke.
    #[error("connection lost: {0}")]
    Lost(io::Error),
    /// Nothing came, or a PDU did not become whole, in the time allowed.
    #[error("peer too slow")]
    TimedOut,
    /// The agent is stopping.
    #[error("the agent is stopping")]
    Stopping,
    /// A PDU type that does not exist.
    #[error("unrecognised PDU type")]
    UnknownType,
    /// A PDU longer than agreed, or too short to be one.
    #[error("PDU length out of bounds")]
    BadLength,
}

/// A socket with its receive buffer.
pub struct PduStream {
    stream: TcpStream,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    stopping: tokio_util::sync::CancellationToken,
}

impl PduStream {
    /// Takes over a connected socket; `patience` is the shortest of the deadlines that will be used.
    pub fn new(
        stream: TcpStream,
        patience: Duration,
        stopping: tokio_util::sync::CancellationToken,
    ) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        let tick = (patience / 4).clamp(Duration::from_millis(10), TICK_MAX);
        stream.set_read_timeout(Some(tick))?;
        stream.set_write_timeout(Some(patience))?;
        let buffer = vec![0; PDU_HEADER_BYTES + PDU_BYTES_MAX].into_boxed_slice();
        Ok(Self {
            stream,
            buffer,
            start: 0,
            end: 0,
            stopping,
        })
    }

    /// Waits for the next whole PDU until `deadline`; gives its type and its bytes with the header.
    pub fn next(&mut self, deadline: Instant) -> Result<(u8, &[u8]), PduError> {
        self.fill(PDU_HEADER_BYTES, deadline)?;
        let header = &self.buffer[self.start..self.start + PDU_HEADER_BYTES];
        let kind = header[0];
        let declared = u32::from_be_bytes([header[2], header[3], header[4], header[5]]) as usize;
        if !(pdu_type::ASSOCIATE_RQ..=pdu_type::ABORT).contains(&kind) {
            return Err(PduError::UnknownType);
        }
        let shortest = match kind {
            pdu_type::ASSOCIATE_RQ | pdu_type::ASSOCIATE_AC => 68,
            pdu_type::P_DATA => 6,
            _ => 4,
        };
        if !(shortest..=PDU_BYTES_MAX).contains(&declared) {
            return Err(PduError::BadLength);
        }
        let whole = PDU_HEADER_BYTES + declared;
        self.fill(whole, deadline)?;
        let pdu = &self.buffer[self.start..self.start + whole];
        self.start += whole;
        Ok((kind, pdu))
    }

    /// Whether bytes of the peer wait to be read; a connection that ended counts, so that its end is read.
    pub fn has_pending(&mut self) -> bool {
        if self.end > self.start {
            return true;
        }
        if self.stream.set_nonblocking(true).is_err() {
            return true;
        }
        let peeked = self.stream.peek(&mut [0]);
        let is_blocking_again = self.stream.set_nonblocking(false).is_ok();
        let is_silent = matches!(&peeked, Err(error) if error.kind() == ErrorKind::WouldBlock);
        !(is_silent && is_blocking_again)
    }

    /// What says that the agent is stopping.
    #[must_use]
    pub fn stopping(&self) -> tokio_util::sync::CancellationToken {
        self.stopping.clone()
    }

    /// Whether the agent is stopping.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Reads until `needed` bytes of the current PDU are in the buffer.
    fn fill(&mut self, needed: usize, deadline: Instant) -> Result<(), PduError> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.start + needed > self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        while self.end - self.start < needed {
            match self.stream.read(&mut self.buffer[self.end..]) {
                Ok(0) if self.end == self.start => return Err(PduError::Closed),
                Ok(0) => return Err(PduError::Lost(ErrorKind::UnexpectedEof.into())),
                Ok(n) => {
                    self.end += n;
                    self.acknowledge_at_once();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(PduError::Lost(error)),
            }
            if self.end - self.start < needed {
                if self.stopping.is_cancelled() {
                    return Err(PduError::Stopping);
                }
                if Instant::now() >= deadline {
                    return Err(PduError::TimedOut);
                }
            }
        }
        Ok(())
    }

    fn acknowledge_at_once(&self) {
        #[cfg(target_os = "linux")]
        socket2::SockRef::from(&self.stream).set_tcp_quickack(true).ok();
    }

    /// Sends a whole PDU.
    pub fn send(&mut self, pdu: &[u8]) -> io::Result<()> {
        self.stream.write_all(pdu)
    }

    /// Sends a last PDU and closes, giving the peer a moment to read it: a socket closed on unread bytes would
    /// throw the answer away.
    pub fn send_and_close(mut self, pdu: &[u8]) {
        if self.stream.write_all(pdu).is_err() || self.stream.shutdown(Shutdown::Write).is_err() {
            return;
        }
        let until = Instant::now() + LINGER;
        let mut n_read = 0;
        while Instant::now() < until && n_read < LINGER_BYTES_MAX {
            match self.stream.read(&mut self.buffer) {
                Ok(0) => return,
                Ok(n) => n_read += n,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return,
            }
        }
    }
}
