//! The inside of a worker: decodes one frame after another from its standard input to its standard output.
//!
//! It ends when its input ends, and by any fault: a decoder that panics is not asked again, the relay starts another.

use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use tancho_domain::dicom::TransferSyntaxUid;
use tancho_imaging::codec::{self, FrameJob};
use tancho_imaging::limits::ScanLimits;
use tancho_imaging::scan;

use super::protocol::{self, Answer, Ask, LENGTH_BYTES, Ready};
use super::sandbox::{self, Limits};

/// Bytes that are reserved for a codestream before they have come.
const PIECE_BYTES: u64 = 1 << 20;

/// Works until the relay closes the input.
///
/// # Errors
/// When the limits cannot be set, or the relay does not keep to the protocol.
pub fn run(memory_bytes_max: u64, cpu_seconds_max: u64) -> io::Result<()> {
    let limits = Limits {
        memory_bytes_max,
        cpu_seconds_max,
    };
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    // A table of random numbers is made at the first use, from a call that is not given later on every system.
    drop(std::collections::HashMap::<u8, u8>::new());
    let is_confined = sandbox::enter(limits)?;
    say(&mut output, &Ready { is_confined })?;
    output.flush()?;
    while let Some(ask) = hear::<Ask>(&mut input)? {
        sandbox::begin_job(limits)?;
        match ask {
            Ask::Frame { job, len } => decode(&job, &mut input, len, &mut output)?,
            Ask::Scan { transfer_syntax, len } => scan(&transfer_syntax, &mut input, len, &mut output)?,
        }
        output.flush()?;
    }
    Ok(())
}

fn decode(job: &FrameJob, input: &mut impl Read, len: u64, output: &mut impl Write) -> io::Result<()> {
    let mut codestream = Vec::new();
    codestream.reserve_exact(len.min(PIECE_BYTES) as usize);
    input.take(len).read_to_end(&mut codestream)?;
    if codestream.len() as u64 != len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    match codec::decode(job, &codestream) {
        Ok(frame) => {
            drop(codestream);
            say(output, &Answer::Decoded(frame.facts))?;
            output.write_all(&frame.samples)
        }
        Err(error) => say(output, &Answer::Refused(error.to_string())),
    }
}

fn scan(
    transfer_syntax: &TransferSyntaxUid,
    input: &mut impl Read,
    len: u64,
    output: &mut impl Write,
) -> io::Result<()> {
    let mut data_set = input.take(len);
    let scanned = scan::scan_forward(&mut data_set, len, transfer_syntax, &ScanLimits::default());
    // What the scanner did not want is not the next message.
    io::copy(&mut data_set, &mut io::sink())?;
    let answer = match scanned {
        Ok(_) => Answer::Scanned,
        Err(error) => Answer::Refused(error.code().to_owned()),
    };
    say(output, &answer)
}

fn say(output: &mut impl Write, content: &impl serde::Serialize) -> io::Result<()> {
    let message = protocol::message(content).ok_or(io::ErrorKind::InvalidData)?;
    output.write_all(&message)
}

/// The next message; `None` at the end of the input.
fn hear<T: DeserializeOwned>(input: &mut impl Read) -> io::Result<Option<T>> {
    let mut len = [0; LENGTH_BYTES];
    match input.read(&mut len[..1])? {
        0 => return Ok(None),
        _ => input.read_exact(&mut len[1..])?,
    }
    let len = protocol::length(len).ok_or(io::ErrorKind::InvalidData)?;
    let mut json = vec![0; len];
    input.read_exact(&mut json)?;
    Ok(Some(protocol::content(&json).ok_or(io::ErrorKind::InvalidData)?))
}
