//! A peer that writes any bytes it likes, and one that behaves, on a plain TCP socket.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use dicom_ul::pdu::{AssociationRQ, Pdu, PresentationContextProposed, UserVariableItem, read_pdu, write_pdu};

use crate::support::{CT, EXPLICIT_LE};

pub const VERIFICATION: &str = "1.2.840.10008.1.1";

/// A socket to the agent.
pub struct Peer(pub TcpStream);

/// What to propose.
#[derive(Clone)]
pub struct Proposal {
    pub called: String,
    pub calling: String,
    pub contexts: Vec<(String, Vec<String>)>,
}

impl Default for Proposal {
    fn default() -> Self {
        let contexts = vec![
            (CT.to_owned(), vec![EXPLICIT_LE.to_owned()]),
            (VERIFICATION.to_owned(), vec!["1.2.840.10008.1.2".to_owned()]),
        ];
        Self {
            called: "TANCHO".to_owned(),
            calling: "RAWPEER".to_owned(),
            contexts,
        }
    }
}

impl Proposal {
    pub fn to(called: &str) -> Self {
        Self {
            called: called.to_owned(),
            ..Self::default()
        }
    }

    pub fn storing(class: &str, transfer_syntax: &str) -> Self {
        Self {
            contexts: vec![(class.to_owned(), vec![transfer_syntax.to_owned()])],
            ..Self::default()
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let contexts =
            self.contexts
                .iter()
                .enumerate()
                .map(|(n, (class, syntaxes))| PresentationContextProposed {
                    id: u8::try_from(2 * n + 1).unwrap(),
                    abstract_syntax: class.clone(),
                    transfer_syntaxes: syntaxes.clone(),
                });
        let request = AssociationRQ {
            protocol_version: 1,
            calling_ae_title: self.calling.clone(),
            called_ae_title: self.called.clone(),
            application_context_name: "1.2.840.10008.3.1.1.1".to_owned(),
            presentation_contexts: contexts.collect(),
            user_variables: vec![UserVariableItem::MaxLength(16384)],
        };
        let mut bytes = Vec::new();
        write_pdu(&mut bytes, &request.into()).unwrap();
        bytes
    }
}

impl Peer {
    pub fn connect(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).unwrap();
        // A bound on the test, far beyond what is awaited.
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    /// Connects and has the association accepted.
    pub fn associate(to: SocketAddr, proposal: &Proposal) -> Self {
        let mut peer = Self::connect(to);
        peer.write(&proposal.bytes());
        let answer = peer.read_pdu();
        assert!(matches!(answer, Some(Pdu::AssociationAC(_))), "{answer:?}");
        peer
    }

    /// Writes; a peer that was cut off may fail to.
    pub fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).ok();
    }

    /// The next PDU; `None` when the connection is closed.
    pub fn read_pdu(&mut self) -> Option<Pdu> {
        let mut bytes = vec![0; 6];
        self.0.read_exact(&mut bytes).ok()?;
        let len = u32::from_be_bytes([bytes[2], bytes[3], bytes[4], bytes[5]]) as usize;
        bytes.resize(6 + len, 0);
        self.0.read_exact(&mut bytes[6..]).ok()?;
        read_pdu(bytes.as_slice(), 1 << 20, true).unwrap()
    }

    /// The raw bytes of the next PDU up to the end of the connection.
    pub fn read_to_close(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.0.read_to_end(&mut bytes) {
            Ok(_) => {}
            Err(error) => assert!(
                matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
                ),
                "not closed: {error}"
            ),
        }
        bytes
    }

    /// Sends one object and gives the status; `None` when the connection ends instead.
    pub fn store(&mut self, context_id: u8, class: &str, instance: &str, data: &[u8]) -> Option<u16> {
        self.write(&fragment(context_id, true, true, &store_command(class, instance)));
        for (n, piece) in data.chunks(16_000).enumerate() {
            self.write(&fragment(
                context_id,
                false,
                (n + 1) * 16_000 >= data.len(),
                piece,
            ));
        }
        if data.is_empty() {
            self.write(&fragment(context_id, false, true, &[]));
        }
        self.read_status()
    }

    /// The status of the next response.
    pub fn read_status(&mut self) -> Option<u16> {
        let Some(Pdu::PData { data }) = self.read_pdu() else {
            return None;
        };
        let command = &data[0].data;
        let mut at = 0;
        while at + 8 <= command.len() {
            let element = u16::from_le_bytes([command[at + 2], command[at + 3]]);
            let len = u32::from_le_bytes(command[at + 4..at + 8].try_into().unwrap()) as usize;
            if element == 0x0900 {
                return Some(u16::from_le_bytes([command[at + 8], command[at + 9]]));
            }
            at += 8 + len;
        }
        panic!("a response without status");
    }

    /// Releases the association and waits for the answer.
    pub fn release(mut self) {
        self.write(&[5, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
        assert!(matches!(self.read_pdu(), Some(Pdu::ReleaseRP)));
    }
}

/// A P-DATA-TF with one fragment.
pub fn fragment(context_id: u8, is_command: bool, is_last: bool, bytes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(bytes.len() + 2).unwrap();
    let mut pdu = vec![4, 0];
    pdu.extend((len + 4).to_be_bytes());
    pdu.extend(len.to_be_bytes());
    pdu.extend([context_id, u8::from(is_command) | u8::from(is_last) << 1]);
    pdu.extend(bytes);
    pdu
}

/// A C-STORE-RQ.
pub fn store_command(class: &str, instance: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    element(&mut bytes, 0x0002, class.as_bytes());
    element(&mut bytes, 0x0100, &1_u16.to_le_bytes());
    element(&mut bytes, 0x0110, &1_u16.to_le_bytes());
    element(&mut bytes, 0x0700, &0_u16.to_le_bytes());
    element(&mut bytes, 0x0800, &0_u16.to_le_bytes());
    element(&mut bytes, 0x1000, instance.as_bytes());
    bytes
}

/// A C-ECHO-RQ.
pub fn echo_command() -> Vec<u8> {
    let mut bytes = Vec::new();
    element(&mut bytes, 0x0002, VERIFICATION.as_bytes());
    element(&mut bytes, 0x0100, &0x0030_u16.to_le_bytes());
    element(&mut bytes, 0x0110, &1_u16.to_le_bytes());
    element(&mut bytes, 0x0800, &0x0101_u16.to_le_bytes());
    bytes
}

fn element(bytes: &mut Vec<u8>, number: u16, value: &[u8]) {
    bytes.extend([0, 0]);
    bytes.extend(number.to_le_bytes());
    bytes.extend(
        u32::try_from(value.len().next_multiple_of(2))
            .unwrap()
            .to_le_bytes(),
    );
    bytes.extend(value);
    if value.len() % 2 == 1 {
        bytes.push(0);
    }
}
