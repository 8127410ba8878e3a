//! A PACS that takes objects on a plain TCP socket, and does as badly as it is told.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use dicom_ul::pdu::{
    AssociationAC, AssociationRQ, Pdu, PresentationContextResult, PresentationContextResultReason,
    UserVariableItem, read_pdu, write_pdu,
};

use crate::peer::fragment;

/// How it behaves on one association.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// Takes everything; `None` takes every transfer syntax.
    Take(Option<&'static str>),
    /// As `Take(None)`, and states this maximum length.
    TakeInPieces(u32),
    /// Takes no presentation context of any storage class.
    TakeNoClass,
    /// Accepts the connection and says nothing until it is closed.
    Hang,
    /// Accepts the association and then says nothing.
    HangAfterObject,
    /// Rejects: result, source, reason.
    Reject(u8, u8, u8),
    /// Aborts after the first fragment of an object.
    AbortInObject,
    /// Takes everything but these SOP Instance UIDs: there it aborts.
    AbortAt(&'static [&'static str]),
    /// Takes every storage class and nothing else.
    TakeStorage,
    /// Takes the object and answers with this status.
    Status(u16),
    /// Takes the object and answers to a message that was never sent.
    WrongMessageId,
    /// Takes the object and announces a PDU of 2 GiB.
    OversizedPdu,
    /// Answers the association request with bytes that are none.
    Garbage,
}

/// An object as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    pub transfer_syntax: String,
    pub sop_instance_uid: String,
    pub data: Vec<u8>,
}

/// A listening PACS.
pub struct Receiver {
    pub address: SocketAddr,
    taken: Arc<Mutex<Vec<Taken>>>,
    n_associations: Arc<AtomicUsize>,
    stopping: Arc<Mutex<bool>>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Behaves on each association as the list says, and at last as its last entry says.
    pub fn start(behaviours: Vec<Behaviour>) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), behaviours)
    }

    pub fn start_at(address: SocketAddr, behaviours: Vec<Behaviour>) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let taken: Arc<Mutex<Vec<Taken>>> = Arc::default();
        let n_associations: Arc<AtomicUsize> = Arc::default();
        let stopping: Arc<Mutex<bool>> = Arc::default();
        let (kept, counted, stop) = (
            Arc::clone(&taken),
            Arc::clone(&n_associations),
            Arc::clone(&stopping),
        );
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if *stop.lock().unwrap() {
                    return;
                }
                let n = counted.fetch_add(1, Ordering::SeqCst).min(behaviours.len() - 1);
                let (behaviour, kept) = (behaviours[n].clone(), Arc::clone(&kept));
                let stream = stream.unwrap();
                std::thread::spawn(move || serve(stream, &behaviour, &kept));
            }
        });
        Self {
            address,
            taken,
            n_associations,
            stopping,
            thread: Some(thread),
        }
    }

    /// Objects it took whole, in the order they came.
    pub fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap().clone()
    }

    pub fn n_associations(&self) -> usize {
        self.n_associations.load(Ordering::SeqCst)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        *self.stopping.lock().unwrap() = true;
        TcpStream::connect(self.address).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn serve(mut stream: TcpStream, behaviour: &Behaviour, taken: &Mutex<Vec<Taken>>) {
    let Some(Pdu::AssociationRQ(request)) = next(&mut stream) else {
        return;
    };
    let contexts = match behaviour {
        Behaviour::Hang => {
            // Until the agent gives up.
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).ok();
            return;
        }
        Behaviour::Reject(result, source, reason) => {
            stream
                .write_all(&[3, 0, 0, 0, 0, 4, 0, *result, *source, *reason])
                .ok();
            return;
        }
        Behaviour::Garbage => {
            stream.write_all(&[0x7F; 64]).ok();
            return;
        }
        _ => accept(&mut stream, &request, behaviour),
    };
    take_objects(&mut stream, behaviour, &contexts, taken);
}

/// Answers the request; gives the accepted contexts with their transfer syntaxes.
fn accept(stream: &mut TcpStream, request: &AssociationRQ, behaviour: &Behaviour) -> Vec<(u8, String)> {
    let mut accepted = Vec::new();
    let mut results = Vec::new();
    for context in &request.presentation_contexts {
        let syntax = context.transfer_syntaxes[0].clone();
        let is_taken = match behaviour {
            Behaviour::Take(Some(only)) => syntax == *only,
            Behaviour::TakeNoClass => false,
            Behaviour::TakeStorage => context.abstract_syntax.starts_with("1.2.840.10008.5.1.4.1.1."),
            _ => true,
        };
        let reason = if is_taken {
            accepted.push((context.id, syntax.clone()));
            PresentationContextResultReason::Acceptance
        } else if matches!(behaviour, Behaviour::TakeNoClass) {
            PresentationContextResultReason::AbstractSyntaxNotSupported
        } else {
            PresentationContextResultReason::TransferSyntaxesNotSupported
        };
        results.push(PresentationContextResult {
            id: context.id,
            reason,
            transfer_syntax: syntax,
        });
    }
    let max_length = match behaviour {
        Behaviour::TakeInPieces(bytes) => *bytes,
        _ => 16_384,
    };
    let answer = AssociationAC {
        protocol_version: 1,
        calling_ae_title: request.calling_ae_title.clone(),
        called_ae_title: request.called_ae_title.clone(),
        application_context_name: request.application_context_name.clone(),
        presentation_contexts: results,
        user_variables: vec![UserVariableItem::MaxLength(max_length)],
    };
    let mut bytes = Vec::new();
    write_pdu(&mut bytes, &answer.into()).unwrap();
    stream.write_all(&bytes).ok();
    accepted
}

fn take_objects(
    stream: &mut TcpStream,
    behaviour: &Behaviour,
    contexts: &[(u8, String)],
    taken: &Mutex<Vec<Taken>>,
) {
    let mut command: Option<Vec<u8>> = None;
    let mut data = Vec::new();
    loop {
        let values = match next(stream) {
            Some(Pdu::PData { data }) => data,
            Some(Pdu::ReleaseRQ) => {
                stream.write_all(&[6, 0, 0, 0, 0, 4, 0, 0, 0, 0]).ok();
                return;
            }
            _ => return,
        };
        for value in values {
            if let Behaviour::TakeInPieces(bytes) = behaviour {
                assert!(
                    value.data.len() + 6 <= *bytes as usize,
                    "a PDU is longer than the peer takes"
                );
            }
            if value.value_type == dicom_ul::pdu::PDataValueType::Command {
                command.get_or_insert_default().extend(value.data);
                continue;
            }
            data.extend(value.data);
            let aborts = match behaviour {
                Behaviour::AbortInObject => true,
                Behaviour::AbortAt(uids) => {
                    let request = command.as_deref().expect("a command before the data set");
                    uids.contains(&text(request, 0x1000).as_str())
                }
                _ => false,
            };
            if aborts {
                stream.write_all(&[7, 0, 0, 0, 0, 4, 0, 0, 2, 0]).ok();
                return;
            }
            if !value.is_last {
                continue;
            }
            let request = command.take().expect("a command before the data set");
            let id = value.presentation_context_id;
            let syntax = &contexts
                .iter()
                .find(|(known, _)| *known == id)
                .expect("an accepted context")
                .1;
            let sop_instance_uid = text(&request, 0x1000);
            let mut message_id = number(&request, 0x0110);
            let mut status = 0;
            match behaviour {
                Behaviour::HangAfterObject => {
                    stream.read_to_end(&mut Vec::new()).ok();
                    return;
                }
                Behaviour::OversizedPdu => {
                    stream.write_all(&[4, 0, 0x80, 0, 0, 0, 0, 0, 0, 0]).ok();
                    stream.read_to_end(&mut Vec::new()).ok();
                    return;
                }
                Behaviour::WrongMessageId => message_id = message_id.wrapping_add(7),
                Behaviour::Status(failure) => status = *failure,
                _ => {}
            }
            if status == 0 && !matches!(behaviour, Behaviour::WrongMessageId) {
                taken.lock().unwrap().push(Taken {
                    transfer_syntax: syntax.clone(),
                    sop_instance_uid: sop_instance_uid.clone(),
                    data: std::mem::take(&mut data),
                });
            }
            data.clear();
            stream
                .write_all(&fragment(
                    id,
                    true,
                    true,
                    &answer(message_id, status, &sop_instance_uid),
                ))
                .ok();
        }
    }
}

fn next(stream: &mut TcpStream) -> Option<Pdu> {
    let mut bytes = vec![0; 6];
    stream.read_exact(&mut bytes).ok()?;
    let len = u32::from_be_bytes([bytes[2], bytes[3], bytes[4], bytes[5]]) as usize;
    bytes.resize(6 + len, 0);
    stream.read_exact(&mut bytes[6..]).ok()?;
    read_pdu(bytes.as_slice(), 1 << 20, false).unwrap()
}

fn answer(message_id: u16, status: u16, sop_instance_uid: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut put = |element: u16, value: &[u8]| {
        bytes.extend([0, 0]);
        bytes.extend(element.to_le_bytes());
        bytes.extend(u32::try_from(value.len()).unwrap().to_le_bytes());
        bytes.extend(value);
    };
    put(0x0100, &0x8001_u16.to_le_bytes());
    put(0x0120, &message_id.to_le_bytes());
    put(0x0800, &0x0101_u16.to_le_bytes());
    put(0x0900, &status.to_le_bytes());
    let mut uid = sop_instance_uid.as_bytes().to_vec();
    uid.resize(uid.len().next_multiple_of(2), 0);
    put(0x1000, &uid);
    bytes
}

fn value(command: &[u8], wanted: u16) -> &[u8] {
    let mut at = 0;
    while at + 8 <= command.len() {
        let element = u16::from_le_bytes([command[at + 2], command[at + 3]]);
        let len = u32::from_le_bytes(command[at + 4..at + 8].try_into().unwrap()) as usize;
        if element == wanted {
            return &command[at + 8..at + 8 + len];
        }
        at += 8 + len;
    }
    panic!("element {wanted:04x} in the command");
}

fn number(command: &[u8], element: u16) -> u16 {
    u16::from_le_bytes(value(command, element).try_into().unwrap())
}

fn text(command: &[u8], element: u16) -> String {
    let text = String::from_utf8(value(command, element).to_vec()).unwrap();
    text.trim_end_matches(['\0', ' ']).to_owned()
}
