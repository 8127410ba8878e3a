//! Whole messages over an association, in both directions: commands and data sets as fragments of P-DATA-TF PDUs
//! (PS3.8 section 9.3.5 and annex E).
//!
//! What is sent is never longer than the peer takes, and the last fragment leaves only when the data set ended well:
//! a data set that broke off can not be taken for a whole one. What is received is bounded by a number of ours.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use super::command::{COMMAND_BYTES_MAX, Command, CommandSet};
use super::pdu_stream::{PDU_HEADER_BYTES, PduError, PduStream, pdu_type};

/// Longest data set of a message that is kept in memory: queries, their answers, storage commitment. Bytes.
pub const DATA_SET_BYTES_MAX: usize = 1024 * 1024;
/// Longest PDU that is sent, whatever more a peer takes. Bytes after the header.
pub const SENT_PDU_BYTES_MAX: usize = 64 * 1024;
/// Shortest PDU a peer may restrict us to.
const SENT_PDU_BYTES_MIN: usize = 64;
/// Length, context and control byte of a presentation data value.
const PDV_HEADER_BYTES: usize = 6;
/// Slowest mean at which a peer may take a data set, once the first patience is over.
const BYTES_PER_SECOND_MIN: u64 = 8 * 1024;

/// A received message.
#[derive(Debug)]
pub struct Message {
    /// Presentation context.
    pub context_id: u8,
    /// Command set.
    pub command: Command,
    /// Data set; empty when none followed.
    pub data_set: Vec<u8>,
}

/// Why there is no message.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// No further PDU.
    #[error(transparent)]
    Pdu(#[from] PduError),
    /// A-RELEASE-RQ.
    #[error("released by the peer")]
    Released,
    /// A-ABORT.
    #[error("aborted by the peer")]
    Aborted,
    /// Fragments or a command that cannot be.
    #[error("malformed message")]
    Malformed,
    /// A data set beyond the limit.
    #[error("data set longer than the limit")]
    TooLong,
}

/// Puts fragments together.
#[derive(Debug, Default)]
pub struct MessageReader {
    ready: VecDeque<Message>,
    command: Vec<u8>,
    begun_in: Option<u8>,
    open: Option<Message>,
}

impl MessageReader {
    /// The next whole message.
    pub fn next(&mut self, pdus: &mut PduStream, deadline: Instant) -> Result<Message, ReceiveError> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Ok(message);
            }
            match pdus.next(deadline)? {
                (pdu_type::P_DATA, pdu) => self.take(&pdu[PDU_HEADER_BYTES..])?,
                (pdu_type::RELEASE_RQ, _) => return Err(ReceiveError::Released),
                (pdu_type::ABORT, _) => return Err(ReceiveError::Aborted),
                _ => return Err(ReceiveError::Malformed),
            }
        }
    }

    fn take(&mut self, mut values: &[u8]) -> Result<(), ReceiveError> {
        while !values.is_empty() {
            let header: &[u8; 4] = values.first_chunk().ok_or(ReceiveError::Malformed)?;
            let len = u32::from_be_bytes(*header) as usize;
            let value = values
                .get(4..4_usize.saturating_add(len))
                .filter(|value| value.len() >= 2)
                .ok_or(ReceiveError::Malformed)?;
            values = &values[4 + len..];
            self.take_fragment(value[0], value[1], &value[2..])?;
        }
        Ok(())
    }

    fn take_fragment(&mut self, context_id: u8, control: u8, fragment: &[u8]) -> Result<(), ReceiveError> {
        let (is_command, is_last) = (control & 1 != 0, control & 2 != 0);
        match (&mut self.open, is_command) {
            (None, true) => {
                let begun_in = *self.begun_in.get_or_insert(context_id);
                if begun_in != context_id || self.command.len() + fragment.len() > COMMAND_BYTES_MAX {
                    return Err(ReceiveError::Malformed);
                }
                self.command.extend_from_slice(fragment);
                if is_last {
                    let command = Command::parse(&self.command).ok_or(ReceiveError::Malformed)?;
                    self.command.clear();
                    self.begun_in = None;
                    let message = Message {
                        context_id,
                        command,
                        data_set: Vec::new(),
                    };
                    if message.command.has_data_set {
                        self.open = Some(message);
                    } else {
                        self.ready.push_back(message);
                    }
                }
                Ok(())
            }
            (Some(message), false) if message.context_id == context_id => {
                if message.data_set.len() + fragment.len() > DATA_SET_BYTES_MAX {
                    return Err(ReceiveError::TooLong);
                }
                message.data_set.extend_from_slice(fragment);
                if is_last {
                    self.ready.extend(self.open.take());
                }
                Ok(())
            }
            _ => Err(ReceiveError::Malformed),
        }
    }
}

/// Bytes after a PDU's header that we may send to a peer that states `max_length`; 0 is no limit. `None` when it is
/// too short to talk.
#[must_use]
pub fn sent_pdu_bytes(max_length: u32) -> Option<usize> {
    match max_length as usize {
        0 => Some(SENT_PDU_BYTES_MAX),
        short if short < SENT_PDU_BYTES_MIN => None,
        bytes => Some(bytes.min(SENT_PDU_BYTES_MAX)),
    }
}

/// Sends a command without a data set.
pub fn send_command(
    pdus: &mut PduStream,
    context_id: u8,
    command: &CommandSet,
    pdu_bytes: usize,
) -> io::Result<()> {
    let mut writer = FragmentWriter::new(pdus, context_id, pdu_bytes, Duration::MAX);
    writer.control = COMMAND;
    writer.write_all(&command.encode())?;
    writer.finish()
}

/// Sends a command and the data set that follows it.
pub fn send_message(
    pdus: &mut PduStream,
    context_id: u8,
    (command, data_set): (&CommandSet, &[u8]),
    pdu_bytes: usize,
) -> io::Result<()> {
    send_command(pdus, context_id, command, pdu_bytes)?;
    let mut writer = FragmentWriter::new(pdus, context_id, pdu_bytes, Duration::MAX);
    writer.write_all(data_set)?;
    writer.finish()
}

const COMMAND: u8 = 1;
const LAST: u8 = 2;

/// Writes a data set as fragments. Dropped without [`FragmentWriter::finish`], the data set stays unfinished, and the
/// association has to be aborted.
pub struct FragmentWriter<'a> {
    pdus: &'a mut PduStream,
    control: u8,
    /// Header and payload of the PDU being filled.
    pdu: Vec<u8>,
    whole: usize,
    sent: u64,
    started: Instant,
    patience: Duration,
}

impl<'a> FragmentWriter<'a> {
    /// A data set in a presentation context, in PDUs of at most `pdu_bytes` after the header. After `patience` the
    /// peer must keep up a slowest mean.
    pub fn new(pdus: &'a mut PduStream, context_id: u8, pdu_bytes: usize, patience: Duration) -> Self {
        let mut pdu = Vec::with_capacity(PDU_HEADER_BYTES + pdu_bytes);
        pdu.extend([pdu_type::P_DATA, 0, 0, 0, 0, 0, 0, 0, 0, 0, context_id, 0]);
        Self {
            pdus,
            control: 0,
            pdu,
            whole: PDU_HEADER_BYTES + pdu_bytes,
            sent: 0,
            started: Instant::now(),
            patience,
        }
    }

    fn flush_pdu(&mut self, control: u8) -> io::Result<()> {
        if self.pdus.is_stopping() {
            return Err(io::Error::other("the agent is stopping"));
        }
        let allowed = self
            .patience
            .saturating_add(Duration::from_secs(self.sent / BYTES_PER_SECOND_MIN));
        if self.started.elapsed() > allowed {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let len = self.pdu.len() - PDU_HEADER_BYTES;
        let number = |len: usize| u32::try_from(len).unwrap_or(0).to_be_bytes();
        self.pdu[2..6].copy_from_slice(&number(len));
        self.pdu[6..10].copy_from_slice(&number(len - 4));
        self.pdu[11] = control;
        self.pdus.send(&self.pdu)?;
        self.sent += len as u64;
        self.pdu.truncate(PDU_HEADER_BYTES + PDV_HEADER_BYTES);
        Ok(())
    }

    /// Sends the last fragment.
    pub fn finish(mut self) -> io::Result<()> {
        self.flush_pdu(self.control | LAST)
    }
}

impl Write for FragmentWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full PDU waits for more: it may be the last.
        if self.pdu.len() == self.whole && !bytes.is_empty() {
            self.flush_pdu(self.control)?;
        }
        let n = bytes.len().min(self.whole - self.pdu.len());
        self.pdu.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(context_id: u8, control: u8, bytes: &[u8]) -> Vec<u8> {
        let mut value = u32::try_from(bytes.len() + 2).unwrap().to_be_bytes().to_vec();
        value.extend([context_id, control]);
        value.extend(bytes);
        value
    }

    fn request() -> Vec<u8> {
        CommandSet::request(0x0130, 3).uid(0x0003, "1.2").encode()
    }

    #[test]
    fn messages_are_put_together_from_any_fragments() {
        let command = request();
        let mut reader = MessageReader::default();
        let mut pdu = value(1, COMMAND, &command[..10]);
        pdu.extend(value(1, COMMAND | LAST, &command[10..]));
        pdu.extend(value(1, 0, b"ab"));
        reader.take(&pdu).unwrap();
        assert!(reader.ready.is_empty());
        reader.take(&value(1, LAST, b"c")).unwrap();
        let message = reader.ready.pop_front().unwrap();
        assert_eq!(
            (message.command.message_id, message.data_set.as_slice()),
            (3, b"abc".as_slice())
        );
        assert_eq!(message.command.sop_class_uid, "1.2");
    }

    #[test]
    fn what_cannot_be_is_refused_and_a_long_data_set_is_not_kept() {
        for pdu in [
            value(1, LAST, b"data before a command"),
            value(1, COMMAND | LAST, b"no command"),
            vec![0, 0, 0, 1, 1],
            vec![0xFF, 0xFF, 0xFF, 0xFF, 1, 1, 0],
            [value(1, COMMAND, b"ab"), value(3, COMMAND, b"cd")].concat(),
        ] {
            assert!(MessageReader::default().take(&pdu).is_err(), "{pdu:?}");
        }
        let mut reader = MessageReader::default();
        reader.take(&value(1, COMMAND | LAST, &request())).unwrap();
        let piece = vec![0; 64 * 1024];
        let taken = (0..)
            .take_while(|_| reader.take(&value(1, 0, &piece)).is_ok())
            .count();
        assert_eq!(taken, DATA_SET_BYTES_MAX / piece.len());
    }

    #[test]
    fn the_peer_says_how_long_a_pdu_may_be() {
        assert_eq!(sent_pdu_bytes(0), Some(SENT_PDU_BYTES_MAX));
        assert_eq!(sent_pdu_bytes(16_384), Some(16_384));
        assert_eq!(sent_pdu_bytes(u32::MAX), Some(SENT_PDU_BYTES_MAX));
        assert_eq!(sent_pdu_bytes(63), None);
    }
}
