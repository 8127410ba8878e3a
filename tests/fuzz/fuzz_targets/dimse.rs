//! The DIMSE port: PDUs, association requests and command sets. The agent's own reader gets the bytes from a socket, as
//! a modality sends them; what it lets through goes to what the agent does with it.

#![no_main]

use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use dicom_ul::pdu::read_pdu;
use libfuzzer_sys::fuzz_target;
use tokio_util::sync::CancellationToken;

/// The agent's own sources: these two read bytes and need nothing else of it.
#[expect(dead_code, reason = "answers to a modality are not written here")]
#[path = "../../../node-agent/src/dimse"]
mod agent {
    pub mod command;
    pub mod pdu_stream;
}

use agent::command::{COMMAND_BYTES_MAX, Command};
use agent::pdu_stream::{PDU_BYTES_MAX, PDU_HEADER_BYTES, PduStream, pdu_type};

/// A socket holds so much before anyone reads. Bytes.
const INPUT_MAX: usize = 64 * 1024;

static LISTENER: OnceLock<TcpListener> = OnceLock::new();

fuzz_target!(|input: &[u8]| {
    let input = &input[..input.len().min(INPUT_MAX)];
    let listener = LISTENER.get_or_init(|| TcpListener::bind("127.0.0.1:0").expect("a port"));
    let address = listener.local_addr().expect("a bound port");
    let mut modality = TcpStream::connect(address).expect("a connection");
    let (taken, _) = listener.accept().expect("the connection");
    modality.write_all(input).expect("room in the socket");
    modality.shutdown(Shutdown::Write).expect("an open socket");
    let patience = Duration::from_secs(10);
    let mut pdus = PduStream::new(taken, patience, CancellationToken::new()).expect("a socket");
    while let Ok((kind, pdu)) = pdus.next(Instant::now() + patience) {
        assert!(pdu.len() <= PDU_HEADER_BYTES + PDU_BYTES_MAX);
        match kind {
            pdu_type::ASSOCIATE_RQ => {
                let _ = read_pdu(pdu, PDU_BYTES_MAX as u32, true);
            }
            pdu_type::P_DATA => take_fragments(&pdu[PDU_HEADER_BYTES..]),
            _ => {}
        }
    }
});

/// Presentation data values (PS3.8 section 9.3.5) with whole command sets.
fn take_fragments(mut pdu: &[u8]) {
    while let Some((header, rest)) = pdu.split_first_chunk::<4>() {
        let Some((value, rest)) = rest.split_at_checked(u32::from_be_bytes(*header) as usize) else {
            return;
        };
        pdu = rest;
        let command = value
            .get(2..)
            .filter(|command| command.len() <= COMMAND_BYTES_MAX);
        if let Some(command) = command.and_then(Command::parse) {
            assert!(command.sop_class_uid.len() <= COMMAND_BYTES_MAX);
        }
    }
}
