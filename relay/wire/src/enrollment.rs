//! The one-time enrolment code: a 128-bit secret and the fingerprint of the relay's CA, as text for a person.
//!
//! The fingerprint is the trust: the agent takes no relay whose chain does not hold that CA. The text is
//! Crockford base 32 in groups of four, so that it survives dictation; two check bytes catch a mistyped character
//! before any packet is sent.

use sha2::{Digest as _, Sha256};

const VERSION: u8 = 1;
const BODY_BYTES: usize = 1 + 16 + 16;
const CHECK_BYTES: usize = 2;
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// What an enrolment code says.
#[derive(Clone, PartialEq, Eq)]
pub struct EnrollmentCode {
    /// Proves that the holder was invited; single use.
    pub secret: [u8; 16],
    /// First 16 bytes of the SHA-256 of the CA certificate (DER).
    pub ca_fingerprint: [u8; 16],
}

impl std::fmt::Debug for EnrollmentCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EnrollmentCode(redacted)")
    }
}

/// The text is not an enrolment code; it is not repeated here because it may be one with a typing error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEnrollmentCode {
    /// A character outside the alphabet, or a wrong length.
    #[error(
        "enrolment code expected as the relay printed it: 14 groups of four letters and digits with dashes between, \
         such as 04AB-12CD-..."
    )]
    Shape,
    /// The check bytes differ.
    #[error("enrolment code is mistyped: its check does not match")]
    Check,
    /// Made by a newer relay.
    #[error("enrolment code is of a newer kind than this agent knows")]
    Version,
}

impl EnrollmentCode {
    /// The fingerprint of a CA certificate as the code carries it.
    #[must_use]
    pub fn fingerprint(ca_der: &[u8]) -> [u8; 16] {
        let digest: [u8; 32] = Sha256::digest(ca_der).into();
        let mut short = [0; 16];
        short.copy_from_slice(&digest[..16]);
        short
    }

    /// The text form: 14 groups of four characters.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut body = [0; BODY_BYTES + CHECK_BYTES];
        body[0] = VERSION;
        body[1..17].copy_from_slice(&self.secret);
        body[17..33].copy_from_slice(&self.ca_fingerprint);
        let check = check(&body[..BODY_BYTES]);
        body[BODY_BYTES..].copy_from_slice(&check);
        let mut text = String::new();
        for (idx, character) in encode(&body).into_iter().enumerate() {
            if idx > 0 && idx % 4 == 0 {
                text.push('-');
            }
            text.push(char::from(character));
        }
        text
    }

    /// Reads a typed or pasted code: case, spaces and hyphens do not matter; O reads as 0, I and L as 1.
    pub fn parse(text: &str) -> Result<Self, InvalidEnrollmentCode> {
        let body = decode(text).ok_or(InvalidEnrollmentCode::Shape)?;
        if check(&body[..BODY_BYTES]) != body[BODY_BYTES..] {
            return Err(InvalidEnrollmentCode::Check);
        }
        if body[0] != VERSION {
            return Err(InvalidEnrollmentCode::Version);
        }
        let mut code = Self {
            secret: [0; 16],
            ca_fingerprint: [0; 16],
        };
        code.secret.copy_from_slice(&body[1..17]);
        code.ca_fingerprint.copy_from_slice(&body[17..33]);
        Ok(code)
    }
}

fn check(body: &[u8]) -> [u8; CHECK_BYTES] {
    let digest: [u8; 32] = Sha256::digest(body).into();
    [digest[0], digest[1]]
}

// 35 bytes are exactly 56 characters of 5 bits.
fn encode(body: &[u8; BODY_BYTES + CHECK_BYTES]) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in body.chunks_exact(5) {
        let bits = chunk.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        out.extend(
            (0..8)
                .rev()
                .map(|idx| ALPHABET[(bits >> (idx * 5) & 31) as usize]),
        );
    }
    out
}

fn decode(text: &str) -> Option<[u8; BODY_BYTES + CHECK_BYTES]> {
    let mut values = Vec::new();
    for character in text
        .chars()
        .filter(|character| !character.is_whitespace() && *character != '-')
    {
        let upper = match character.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        };
        values.push(ALPHABET.iter().position(|letter| char::from(*letter) == upper)? as u64);
        if values.len() > 56 {
            return None;
        }
    }
    if values.len() != 56 {
        return None;
    }
    let mut body = [0; BODY_BYTES + CHECK_BYTES];
    for (out, chunk) in body.chunks_exact_mut(5).zip(values.chunks_exact(8)) {
        let bits = chunk.iter().fold(0u64, |bits, value| bits << 5 | value);
        out.copy_from_slice(&bits.to_be_bytes()[3..]);
    }
    Some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_survives_dictation_and_catches_a_typing_error() {
        let code = EnrollmentCode {
            secret: [0xa5; 16],
            ca_fingerprint: EnrollmentCode::fingerprint(b"ca"),
        };
        let text = code.to_text();
        assert_eq!(text.len(), 56 + 13);
        assert_eq!(EnrollmentCode::parse(&text), Ok(code.clone()));
        let spoken = text
            .to_lowercase()
            .replace('-', " ")
            .replace('0', "o")
            .replace('1', "l");
        assert_eq!(EnrollmentCode::parse(&spoken), Ok(code));
        for idx in (0..text.len()).filter(|idx| text.as_bytes()[*idx] != b'-') {
            let mut typo = text.clone().into_bytes();
            typo[idx] = if typo[idx] == b'7' { b'8' } else { b'7' };
            let typo = String::from_utf8(typo).expect("ascii");
            assert_eq!(EnrollmentCode::parse(&typo), Err(InvalidEnrollmentCode::Check));
        }
        assert_eq!(EnrollmentCode::parse("U"), Err(InvalidEnrollmentCode::Shape));
        assert_eq!(EnrollmentCode::parse(""), Err(InvalidEnrollmentCode::Shape));
    }
}
