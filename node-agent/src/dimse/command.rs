//! DIMSE command sets (PS3.7 section 6.3 and annex E): implicit little endian, group 0000, a few elements.
//!
//! Read with bounds on everything; only what the services here need is kept.

use std::collections::BTreeMap;

/// Longest command set that is accepted. Bytes.
pub const COMMAND_BYTES_MAX: usize = 16 * 1024;

/// Command Field values (PS3.7 section E.1).
pub mod field {
    /// C-STORE-RQ.
    pub const C_STORE_RQ: u16 = 0x0001;
    /// C-GET-RQ.
    pub const C_GET_RQ: u16 = 0x0010;
    /// C-FIND-RQ.
    pub const C_FIND_RQ: u16 = 0x0020;
    /// C-MOVE-RQ.
    pub const C_MOVE_RQ: u16 = 0x0021;
    /// C-ECHO-RQ.
    pub const C_ECHO_RQ: u16 = 0x0030;
    /// N-EVENT-REPORT-RQ.
    pub const N_EVENT_REPORT_RQ: u16 = 0x0100;
    /// N-ACTION-RQ.
    pub const N_ACTION_RQ: u16 = 0x0130;
    /// C-CANCEL-RQ.
    pub const C_CANCEL_RQ: u16 = 0x0FFF;
    /// Set in the command field of every response.
    pub const RESPONSE: u16 = 0x8000;
}

/// Command Data Set Type when no data set follows (PS3.7 section E.1).
pub const NO_DATA_SET: u16 = 0x0101;
/// Any other value says that one does.
pub const WITH_DATA_SET: u16 = 0x0000;

/// What a request or a response says. What is not there is empty or zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Command {
    /// Command Field (0000,0100).
    pub command_field: u16,
    /// Message ID (0000,0110) of a request.
    pub message_id: u16,
    /// Message ID Being Responded To (0000,0120); of a cancel, the request to cancel.
    pub responds_to: u16,
    /// Affected SOP Class UID (0000,0002), or the requested one (0000,0003), as sent.
    pub sop_class_uid: String,
    /// Affected SOP Instance UID (0000,1000), or the requested one (0000,1001), as sent.
    pub sop_instance_uid: String,
    /// Move Destination (0000,0600), as sent.
    pub move_destination: String,
    /// Event Type ID (0000,1002) or Action Type ID (0000,1008).
    pub type_id: u16,
    /// Status (0000,0900) of a response.
    pub status: Option<u16>,
    /// Whether a data set follows (0000,0800).
    pub has_data_set: bool,
}

impl Command {
    /// Reads a command set; `None` when it is malformed or has no command field.
    #[must_use]
    pub fn parse(mut bytes: &[u8]) -> Option<Self> {
        let mut command = Self::default();
        let mut has_field = false;
        while !bytes.is_empty() {
            let header: &[u8; 8] = bytes.first_chunk()?;
            let group = u16::from_le_bytes([header[0], header[1]]);
            let element = u16::from_le_bytes([header[2], header[3]]);
            let len = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
            let value = bytes.get(8..8_usize.checked_add(len)?)?;
            bytes = &bytes[8 + len..];
            if group != 0 {
                return None;
            }
            match element {
                0x0002 | 0x0003 => command.sop_class_uid = short_text(value)?,
                0x0100 => {
                    command.command_field = number(value)?;
                    has_field = true;
                }
                0x0110 => command.message_id = number(value)?,
                0x0120 => command.responds_to = number(value)?,
                0x0600 => short_text(value)?
                    .trim()
                    .clone_into(&mut command.move_destination),
                0x0800 => command.has_data_set = number(value)? != NO_DATA_SET,
                0x0900 => command.status = Some(number(value)?),
                0x1000 | 0x1001 => command.sop_instance_uid = short_text(value)?,
                0x1002 | 0x1008 => command.type_id = number(value)?,
                _ => {}
            }
        }
        has_field.then_some(command)
    }
}

fn number(value: &[u8]) -> Option<u16> {
    Some(u16::from_le_bytes(value.try_into().ok()?))
}

/// A UID or title without its padding; anything that is not ASCII is replaced, so that it can never match.
fn short_text(value: &[u8]) -> Option<String> {
    if value.len() > 256 {
        return None;
    }
    let text: String = value
        .iter()
        .map(|byte| if byte.is_ascii() { *byte as char } else { '?' })
        .collect();
    Some(text.trim_end_matches(['\0', ' ']).to_owned())
}

/// A command set being made.
#[derive(Debug, Clone, Default)]
pub struct CommandSet(BTreeMap<u16, Vec<u8>>);

impl CommandSet {
    /// A request with its message identifier. A data set follows unless said otherwise.
    #[must_use]
    pub fn request(command_field: u16, message_id: u16) -> Self {
        Self::default()
            .number(0x0100, command_field)
            .number(0x0110, message_id)
            .number(0x0800, WITH_DATA_SET)
    }

    /// Sets a number.
    #[must_use]
    pub fn number(mut self, element: u16, value: u16) -> Self {
        self.0.insert(element, value.to_le_bytes().to_vec());
        self
    }

    /// Sets a UID, unless it is empty.
    #[must_use]
    pub fn uid(mut self, element: u16, uid: &str) -> Self {
        if !uid.is_empty() {
            self.0.insert(element, padded(uid, 0));
        }
        self
    }

    /// Sets a text.
    #[must_use]
    pub fn text(mut self, element: u16, text: &str) -> Self {
        self.0.insert(element, padded(text, b' '));
        self
    }

    /// The bytes, with the group length.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut elements = Vec::with_capacity(256);
        for (element, value) in &self.0 {
            elements.extend([0, 0]);
            elements.extend(element.to_le_bytes());
            elements.extend(u32::try_from(value.len()).unwrap_or(0).to_le_bytes());
            elements.extend(value);
        }
        let mut bytes = Vec::with_capacity(elements.len() + 12);
        bytes.extend([0, 0, 0, 0, 4, 0, 0, 0]);
        bytes.extend(u32::try_from(elements.len()).unwrap_or(0).to_le_bytes());
        bytes.extend(elements);
        bytes
    }

    /// The whole P-DATA-TF PDU with the command as its one fragment (PS3.8 section 9.3.5).
    #[must_use]
    pub fn to_pdu(&self, context_id: u8) -> Vec<u8> {
        let command = self.encode();
        let pdv_len = u32::try_from(command.len() + 2).unwrap_or(0);
        let mut pdu = vec![super::pdu_stream::pdu_type::P_DATA, 0];
        pdu.extend((pdv_len + 4).to_be_bytes());
        pdu.extend(pdv_len.to_be_bytes());
        pdu.extend([context_id, 0x03]);
        pdu.extend(command);
        pdu
    }
}

/// A response to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response<'a> {
    /// The request answered.
    pub request: &'a Command,
    /// Status (0000,0900).
    pub status: u16,
    /// Error Comment (0000,0902), at most 64 characters.
    pub comment: Option<&'a str>,
}

impl Response<'_> {
    /// The command set; no data set follows unless that is changed.
    #[must_use]
    pub fn to_command(&self) -> CommandSet {
        let set = CommandSet::default()
            .uid(0x0002, &self.request.sop_class_uid)
            .number(0x0100, self.request.command_field | field::RESPONSE)
            .number(0x0120, self.request.message_id)
            .number(0x0800, NO_DATA_SET)
            .number(0x0900, self.status)
            .uid(0x1000, &self.request.sop_instance_uid);
        match self.comment {
            Some(comment) => set.text(0x0902, &comment.chars().take(64).collect::<String>()),
            None => set,
        }
    }

    /// The whole P-DATA-TF PDU with the response.
    #[must_use]
    pub fn to_pdu(&self, context_id: u8) -> Vec<u8> {
        self.to_command().to_pdu(context_id)
    }
}

fn padded(text: &str, pad: u8) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    if bytes.len() % 2 == 1 {
        bytes.push(pad);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Command {
        Command {
            command_field: field::C_STORE_RQ,
            message_id: 7,
            sop_class_uid: "1.2.840.10008.5.1.4.1.1.2".to_owned(),
            sop_instance_uid: "1.2.3".to_owned(),
            has_data_set: true,
            ..Command::default()
        }
    }

    #[test]
    fn a_response_names_the_request_it_answers() {
        let request = request();
        let bytes = Response {
            request: &request,
            status: 0xA900,
            comment: Some("why"),
        }
        .to_command()
        .encode();
        let parsed = Command::parse(&bytes).unwrap();
        assert_eq!((parsed.command_field, parsed.responds_to), (0x8001, 7));
        assert_eq!(parsed.status, Some(0xA900));
        assert_eq!(parsed.sop_instance_uid, request.sop_instance_uid);
        assert!(!parsed.has_data_set);
        assert_eq!(bytes.len() % 2, 0);
    }

    #[test]
    fn no_prefix_and_no_lying_length_is_taken_for_a_command() {
        let bytes = Response {
            request: &request(),
            status: 0,
            comment: None,
        }
        .to_command()
        .encode();
        for cut in 0..bytes.len() {
            let parsed = Command::parse(&bytes[..cut]);
            assert!(parsed.is_none() || cut % 2 == 0, "{cut}");
        }
        let mut lying = bytes.clone();
        lying[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Command::parse(&lying), None);
        assert_eq!(Command::parse(&[8, 0, 5, 0, 0, 0, 0, 0]), None);
    }
}
