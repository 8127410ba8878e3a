//! The command line's side of the control socket. Blocking: a command has nothing else to do.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use tancho_domain::dicom::Priority;

use super::message::{ObjectAnswer, ObjectLine, Progress, Request};
use super::{FRAME_BYTES_MAX, socket_path};

/// A connection to the running agent, for one request.
pub struct Client {
    from: BufReader<UnixStream>,
    to: UnixStream,
}

impl Client {
    /// Connects; fails when no agent runs on this data folder.
    pub fn connect(data_dir: &Path) -> io::Result<Self> {
        let to = UnixStream::connect(socket_path(data_dir))?;
        Ok(Self {
            from: BufReader::new(to.try_clone()?),
            to,
        })
    }

    /// Figures of the agent, as JSON.
    pub fn status(mut self) -> io::Result<serde_json::Value> {
        self.say(&Request::Status)?;
        self.hear()?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Begins to hand over objects.
    pub fn begin_send(&mut self, priority: Priority) -> io::Result<()> {
        self.say(&Request::Send { priority })
    }

    /// Hands over one object: the data set from where `source` stands to its end.
    pub fn send_object(&mut self, object: &ObjectLine, source: &mut impl Read) -> io::Result<ObjectAnswer> {
        self.say(object)?;
        let mut frame = vec![0; 4 + FRAME_BYTES_MAX];
        loop {
            let n = fill(source, &mut frame[4..])?;
            frame[..4].copy_from_slice(&u32::try_from(n).unwrap_or(0).to_be_bytes());
            self.to.write_all(&frame[..4 + n])?;
            if n == 0 {
                break;
            }
        }
        self.hear()?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Asks for progress lines of these objects.
    pub fn begin_watch(&mut self, objects: Vec<tancho_domain::ids::ObjectId>) -> io::Result<()> {
        self.say(&Request::Watch { objects })
    }

    /// The next progress line; `None` when the agent has nothing more to say.
    pub fn next_progress(&mut self) -> io::Result<Option<Progress>> {
        self.hear()
    }

    fn say(&mut self, value: &impl serde::Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        self.to.write_all(&line)
    }

    fn hear<T: serde::de::DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let mut line = String::new();
        if self.from.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        Ok(Some(serde_json::from_str(&line)?))
    }
}

fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
