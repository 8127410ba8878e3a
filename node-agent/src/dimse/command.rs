//! DIMSE command sets (PS3.7 section 6.3 and annex E): implicit little endian, group 0000, a few elements.
//!
//! Read with bounds on everything; only what C-STORE and C-ECHO need is kept.

/// Longest command set that is accepted. Bytes.
pub const COMMAND_BYTES_MAX: usize = 16 * 1024;

/// Command Field values (PS3.7 section E.1).
pub mod field {
    /// C-STORE-RQ.
    pub const C_STORE_RQ: u16 = 0x0001;
    /// C-ECHO-RQ.
    pub const C_ECHO_RQ: u16 = 0x0030;
    /// C-CANCEL-RQ.
    pub const C_CANCEL_RQ: u16 = 0x0FFF;
    /// Set in the command field of every response.
    pub const RESPONSE: u16 = 0x8000;
}

/// Command Data Set Type when no data set follows (PS3.7 section E.1).
pub const NO_DATA_SET: u16 = 0x0101;

/// What a request says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Command {
    /// Command Field (0000,0100).
    pub command_field: u16,
    /// Message ID (0000,0110).
    pub message_id: u16,
    /// Affected SOP Class UID (0000,0002), as sent.
    pub sop_class_uid: String,
    /// Affected SOP Instance UID (0000,1000), as sent.
    pub sop_instance_uid: String,
    /// Whether a data set follows (0000,0800).
    pub has_data_set: bool,
}

impl Command {
    /// Reads a command set; `None` when it is malformed or has no command field.
    #[must_use]
    pub fn parse(mut bytes: &[u8]) -> Option<Self> {
        let mut command = Self {
            has_data_set: false,
            ..Self::default()
        };
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
                0x0002 => command.sop_class_uid = uid_text(value)?,
                0x0100 => {
                    command.command_field = number(value)?;
                    has_field = true;
                }
                0x0110 => command.message_id = number(value)?,
                0x0800 => command.has_data_set = number(value)? != NO_DATA_SET,
                0x1000 => command.sop_instance_uid = uid_text(value)?,
                _ => {}
            }
        }
        has_field.then_some(command)
    }
}

fn number(value: &[u8]) -> Option<u16> {
    Some(u16::from_le_bytes(value.try_into().ok()?))
}

/// A UID as text without its padding; anything that is not ASCII is replaced, so that it can never match.
fn uid_text(value: &[u8]) -> Option<String> {
    if value.len() > 256 {
        return None;
    }
    let text: String = value
        .iter()
        .map(|byte| if byte.is_ascii() { *byte as char } else { '?' })
        .collect();
    Some(text.trim_end_matches(['\0', ' ']).to_owned())
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
    /// The command set's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut elements = Vec::with_capacity(256);
        let mut put = |element: u16, value: &[u8]| {
            elements.extend([0, 0]);
            elements.extend(element.to_le_bytes());
            elements.extend(u32::try_from(value.len()).unwrap_or(0).to_le_bytes());
            elements.extend(value);
        };
        if !self.request.sop_class_uid.is_empty() {
            put(0x0002, &padded(&self.request.sop_class_uid, 0));
        }
        put(
            0x0100,
            &(self.request.command_field | field::RESPONSE).to_le_bytes(),
        );
        put(0x0120, &self.request.message_id.to_le_bytes());
        put(0x0800, &NO_DATA_SET.to_le_bytes());
        put(0x0900, &self.status.to_le_bytes());
        if let Some(comment) = self.comment {
            let short: String = comment.chars().take(64).collect();
            put(0x0902, &padded(&short, b' '));
        }
        if !self.request.sop_instance_uid.is_empty() {
            put(0x1000, &padded(&self.request.sop_instance_uid, 0));
        }
        let mut bytes = Vec::with_capacity(elements.len() + 12);
        bytes.extend([0, 0, 0, 0, 4, 0, 0, 0]);
        bytes.extend(u32::try_from(elements.len()).unwrap_or(0).to_le_bytes());
        bytes.extend(elements);
        bytes
    }

    /// The whole P-DATA-TF PDU with the response as its one command fragment (PS3.8 section 9.3.5).
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
        .encode();
        let parsed = Command::parse(&bytes).unwrap();
        assert_eq!(parsed.command_field, 0x8001);
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
