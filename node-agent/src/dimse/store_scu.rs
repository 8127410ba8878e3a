//! Storage service as SCU (PS3.4 annex B) for one object on an association: its command, its data set as it was
//! received or with its elements written anew, and what the peer answered.
//!
//! The bytes are compared with their digest before the last fragment leaves: bytes that changed on the disk never
//! become an object at the peer.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};

use sha2::{Digest, Sha256};
use tancho_domain::dicom::TransferSyntaxUid;
use tancho_imaging::transcode::{self, Written};

use super::command::{CommandSet, field};
use super::fragments::{FragmentWriter, Message, send_command};
use super::requestor::{Association, CallError};
use crate::spool::Spool;
use crate::spool::object_file::DataSet;
use crate::spool::onward::OnwardObject;

/// Bytes read from the disk at once.
const READ_BYTES: usize = 256 * 1024;

/// Who fetches an object through us (PS3.4 section C.4.2.1): the peer's title and the message it asked with.
#[derive(Debug, Clone)]
pub struct Originator {
    /// Its title.
    pub ae_title: String,
    /// Identifier of its request.
    pub message_id: u16,
}

/// An object to store at a peer.
#[derive(Debug)]
pub struct Outgoing {
    /// SOP Class UID.
    pub sop_class_uid: String,
    /// SOP Instance UID.
    pub sop_instance_uid: String,
    /// Transfer syntax it was received in.
    pub transfer_syntax: TransferSyntaxUid,
    /// SHA-256 of its data set.
    pub sha256: [u8; 32],
    /// Its object file and the length of its data set.
    pub file: File,
    /// Bytes of the data set.
    pub len: u64,
    /// Who asked for it, with C-MOVE.
    pub originator: Option<Originator>,
}

impl Outgoing {
    /// An object of the spool; `InvalidData` when it is damaged there.
    pub fn of(spool: &Spool, object: &OnwardObject, originator: Option<Originator>) -> io::Result<Self> {
        let transfer_syntax = TransferSyntaxUid::parse(&object.transfer_syntax);
        Ok(Self {
            sop_class_uid: object.sop_class_uid.clone(),
            sop_instance_uid: object.sop_instance_uid.clone(),
            transfer_syntax: transfer_syntax.map_err(|_| io::ErrorKind::InvalidData)?,
            sha256: object.original_sha256,
            file: spool.open_object(object)?,
            len: object.original_len,
            originator,
        })
    }

    /// Whether it can go in `transfer_syntax`, one of [`transfer_syntaxes`]: before its command leaves, while the
    /// association can still take another object.
    pub fn check(&self, transfer_syntax: &str) -> Result<(), StoreError> {
        let file = self.file.try_clone().map_err(StoreError::Disk)?;
        let mut data = DataSet::new(file, self.len).map_err(StoreError::Disk)?;
        if data.sha256().map_err(StoreError::Disk)? != self.sha256 {
            return Err(StoreError::Damaged);
        }
        if transfer_syntax == self.transfer_syntax.as_str() {
            return Ok(());
        }
        data.rewind().map_err(StoreError::Disk)?;
        let written = written_in(&self.transfer_syntax, transfer_syntax)?;
        let source = BufReader::with_capacity(READ_BYTES, data);
        transcode::rewrite_native(source, &self.transfer_syntax, written, &mut io::sink())
            .map_err(|_| StoreError::NotConvertible)
    }
}

/// What became of it.
#[derive(Debug)]
pub enum StoreError {
    /// The association is of no more use.
    Call(CallError),
    /// The bytes on the disk are no longer those received. The association was left in the middle of the data set.
    Damaged,
    /// The elements cannot be written anew. As with `Damaged`.
    NotConvertible,
    /// The disk failed. As with `Damaged`.
    Disk(io::Error),
}

/// The transfer syntaxes an object can leave in, the preferred first: its own, then the one its elements can be written
/// anew in without touching its pixels.
#[must_use]
pub fn transfer_syntaxes(own: &str) -> Vec<&str> {
    let other = Written::other_than(own).map(|(_, other)| other);
    std::iter::once(own).chain(other).collect()
}

/// The request for an object.
#[must_use]
pub fn request(outgoing: &Outgoing, message_id: u16) -> CommandSet {
    let command = CommandSet::request(field::C_STORE_RQ, message_id)
        .uid(0x0002, &outgoing.sop_class_uid)
        .number(0x0700, 0)
        .uid(0x1000, &outgoing.sop_instance_uid);
    match &outgoing.originator {
        Some(originator) => command
            .text(0x1030, &originator.ae_title)
            .number(0x1031, originator.message_id),
        None => command,
    }
}

/// Stores it; gives the status of the answer.
pub fn store(
    association: &mut Association,
    (context_id, transfer_syntax): (u8, &str),
    outgoing: Outgoing,
) -> Result<u16, StoreError> {
    let message_id = association.next_message_id();
    let command = request(&outgoing, message_id);
    let sop_instance_uid = outgoing.sop_instance_uid.clone();
    let patience = association.patience();
    let (pdus, pdu_bytes) = association.pdus();
    send_command(pdus, context_id, &command, pdu_bytes).map_err(call_error)?;
    let writer = FragmentWriter::new(pdus, context_id, pdu_bytes, patience);
    send_data_set(outgoing, transfer_syntax, writer)?;
    let answer = association.receive(patience).map_err(StoreError::Call)?;
    status_of(&answer, message_id, &sop_instance_uid).map_err(StoreError::Call)
}

/// The status of an answer, if it is the answer to this request.
pub fn status_of(answer: &Message, message_id: u16, sop_instance_uid: &str) -> Result<u16, CallError> {
    let command = &answer.command;
    let names_it = command.sop_instance_uid.is_empty() || command.sop_instance_uid == sop_instance_uid;
    match command.status {
        Some(status)
            if command.command_field == field::C_STORE_RQ | field::RESPONSE
                && command.responds_to == message_id
                && names_it =>
        {
            Ok(status)
        }
        _ => Err(CallError::Violation("answer to another request")),
    }
}

/// Sends the data set in `transfer_syntax`, one of [`transfer_syntaxes`].
pub fn send_data_set(
    outgoing: Outgoing,
    transfer_syntax: &str,
    mut writer: FragmentWriter<'_>,
) -> Result<(), StoreError> {
    let mut data = DataSet::new(outgoing.file, outgoing.len).map_err(StoreError::Disk)?;
    if transfer_syntax == outgoing.transfer_syntax.as_str() {
        copy_checked(data, &outgoing.sha256, &mut writer)?;
    } else {
        if data.sha256().map_err(StoreError::Disk)? != outgoing.sha256 {
            return Err(StoreError::Damaged);
        }
        data.rewind().map_err(StoreError::Disk)?;
        rewrite(data, &outgoing.transfer_syntax, transfer_syntax, &mut writer)?;
    }
    writer.finish().map_err(call_error)
}

/// Copies the bytes, and compares them with their digest as they go by.
fn copy_checked(
    mut data: DataSet,
    sha256: &[u8; 32],
    writer: &mut FragmentWriter<'_>,
) -> Result<(), StoreError> {
    let mut digest = Sha256::new();
    let mut piece = vec![0; READ_BYTES];
    loop {
        match data.read(&mut piece).map_err(StoreError::Disk)? {
            0 => break,
            n => {
                digest.update(&piece[..n]);
                writer.write_all(&piece[..n]).map_err(call_error)?;
            }
        }
    }
    let found: [u8; 32] = digest.finalize().into();
    if found == *sha256 {
        Ok(())
    } else {
        Err(StoreError::Damaged)
    }
}

/// A sink that remembers why writing failed.
struct Sink<'a, 'b> {
    writer: &'a mut FragmentWriter<'b>,
    failed: Option<io::Error>,
}

impl Write for Sink<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes).inspect_err(|error| {
            self.failed = Some(io::Error::from(error.kind()));
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn rewrite(
    data: DataSet,
    from: &TransferSyntaxUid,
    to: &str,
    writer: &mut FragmentWriter<'_>,
) -> Result<(), StoreError> {
    let written = written_in(from, to)?;
    let source = BufReader::with_capacity(READ_BYTES, data);
    let mut sink = Sink { writer, failed: None };
    match transcode::rewrite_native(source, from, written, &mut sink) {
        Ok(()) => Ok(()),
        Err(_) => match sink.failed {
            Some(error) => Err(call_error(error)),
            None => Err(StoreError::NotConvertible),
        },
    }
}

fn written_in(from: &TransferSyntaxUid, to: &str) -> Result<Written, StoreError> {
    match Written::other_than(from.as_str()) {
        Some((written, other)) if other == to => Ok(written),
        _ => Err(StoreError::NotConvertible),
    }
}

fn call_error(error: io::Error) -> StoreError {
    StoreError::Call(error.into())
}
