//! The range journal: which bytes of which partial file can be trusted after a restart. One file for all, append only.
//!
//! A `written` record is appended without fsync after the bytes were written: it holds as long as the machine did not
//! restart, because the page cache outlives a killed process. A `synced` record is appended and fsynced after the
//! bytes were: it holds after a power cut. Which machine start the journal belongs to stands in its first line; after
//! another one only `synced` records count. A wrong record can only cost a transfer, never make a wrong instance: the
//! container's digest is checked over the whole.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use tancho_wire::Digest;
use tancho_wire::transfer::RangeSet;

use crate::durable;

/// Bytes of one record: kind, site, digest, start, end, check.
const RECORD_BYTES: usize = 1 + 16 + 32 + 8 + 8 + 4;
const HEADER_BYTES: usize = 8 + 32;
const MAGIC: &[u8; 8] = b"TANCHOJ1";
/// The journal is rewritten when it grows past this.
pub const JOURNAL_BYTES_MAX: u64 = 32 << 20;

/// Which partial file: the site's id and the container's digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartKey {
    /// The site's UUID as bytes.
    pub site: [u8; 16],
    /// The container.
    pub container_sha256: Digest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Written = 1,
    Synced = 2,
    Gone = 3,
}

/// The open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    len: u64,
    machine: [u8; 32],
}

/// Ranges by partial file.
pub type Ranges = HashMap<PartKey, RangeSet>;

/// What a journal said when it was opened. A range may be in both.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Trusted {
    /// Durable.
    pub synced: Ranges,
    /// Written since the machine started; empty after another start.
    pub written: Ranges,
}

impl Journal {
    /// Opens the journal in `dir` and reads what it says; a torn end is ignored. It is rewritten in short form.
    pub fn open(dir: &Path) -> io::Result<(Self, Trusted)> {
        Self::open_on(dir, machine_start())
    }

    fn open_on(dir: &Path, machine: [u8; 32]) -> io::Result<(Self, Trusted)> {
        let path = dir.join("ranges.journal");
        let trusted = match fs::read(&path) {
            Ok(bytes) => read_records(&bytes, machine),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Trusted::default(),
            Err(error) => return Err(error),
        };
        let (file, len) = write_anew(&path, machine, &trusted)?;
        Ok((
            Self {
                path,
                file,
                len,
                machine,
            },
            trusted,
        ))
    }

    /// These bytes were written; not durable yet.
    pub fn note_written(&mut self, key: &PartKey, range: &Range<u64>) -> io::Result<()> {
        self.append(&record(Kind::Written, key, range))
    }

    /// These bytes were made durable before this call; returns when that is recorded durably.
    pub fn note_synced(&mut self, synced: &[(PartKey, RangeSet)]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for (key, ranges) in synced {
            ranges
                .iter()
                .for_each(|range| bytes.extend_from_slice(&record(Kind::Synced, key, &range)));
        }
        self.append(&bytes)?;
        durable::file(&self.file)
    }

    /// The partial file was finished or thrown away.
    pub fn note_gone(&mut self, key: &PartKey) -> io::Result<()> {
        self.append(&record(Kind::Gone, key, &(0..0)))
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(bytes) {
            // Half a record would hide every later one from the next start.
            self.file.set_len(self.len).ok();
            self.file.seek(SeekFrom::Start(self.len)).ok();
            return Err(error);
        }
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Has every further record refused as on a full disk.
    #[cfg(all(test, unix))]
    pub(super) fn fill_up(&mut self) {
        self.file = OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .expect("Unix has it");
    }

    /// Whether it is time for [`Journal::rewrite`].
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.len > JOURNAL_BYTES_MAX
    }

    /// Rewrites the journal with what is known now: ranges that are synced, and ranges that are only written.
    pub fn rewrite(&mut self, known: &Trusted) -> io::Result<()> {
        (self.file, self.len) = write_anew(&self.path, self.machine, known)?;
        Ok(())
    }
}

fn write_anew(path: &Path, machine: [u8; 32], known: &Trusted) -> io::Result<(File, u64)> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&machine);
    for (kind, parts) in [(Kind::Synced, &known.synced), (Kind::Written, &known.written)] {
        for (key, ranges) in parts {
            ranges
                .iter()
                .for_each(|range| bytes.extend_from_slice(&record(kind, key, &range)));
        }
    }
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .open(&temporary)?;
    file.write_all(&bytes)?;
    durable::file(&file)?;
    fs::rename(&temporary, path)?;
    durable::folder(path.parent().unwrap_or(Path::new(".")))?;
    Ok((file, bytes.len() as u64))
}

fn record(kind: Kind, key: &PartKey, range: &Range<u64>) -> [u8; RECORD_BYTES] {
    let mut bytes = [0; RECORD_BYTES];
    bytes[0] = kind as u8;
    bytes[1..17].copy_from_slice(&key.site);
    bytes[17..49].copy_from_slice(&key.container_sha256.0);
    bytes[49..57].copy_from_slice(&range.start.to_be_bytes());
    bytes[57..65].copy_from_slice(&range.end.to_be_bytes());
    let check = Digest::of(&bytes[..65]);
    bytes[65..].copy_from_slice(&check.0[..4]);
    bytes
}

fn read_records(bytes: &[u8], machine: [u8; 32]) -> Trusted {
    let mut trusted = Trusted::default();
    let Some((header, mut rest)) = bytes.split_at_checked(HEADER_BYTES) else {
        return trusted;
    };
    if &header[..8] != MAGIC {
        return trusted;
    }
    let same_machine_start = header[8..] == machine;
    while let Some((bytes, tail)) = rest.split_at_checked(RECORD_BYTES) {
        rest = tail;
        if Digest::of(&bytes[..65]).0[..4] != bytes[65..] {
            break;
        }
        let field = |from: usize| {
            bytes[from..from + 8]
                .try_into()
                .map(u64::from_be_bytes)
                .unwrap_or_default()
        };
        let mut key = PartKey {
            site: [0; 16],
            container_sha256: Digest([0; 32]),
        };
        key.site.copy_from_slice(&bytes[1..17]);
        key.container_sha256.0.copy_from_slice(&bytes[17..49]);
        let range = field(49)..field(57);
        match bytes[0] {
            1 if same_machine_start => trusted.written.entry(key).or_default().insert(range),
            2 => trusted.synced.entry(key).or_default().insert(range),
            3 => {
                trusted.written.remove(&key);
                trusted.synced.remove(&key);
            }
            _ => {}
        }
    }
    trusted
}

/// Changes with each start of the machine (Linux); elsewhere it never matches, so only synced ranges count.
fn machine_start() -> [u8; 32] {
    let mut id = Vec::new();
    let read = File::open("/proc/sys/kernel/random/boot_id").and_then(|mut file| file.read_to_end(&mut id));
    match read {
        Ok(_) => Digest::of(&id).0,
        Err(_) => {
            let mut never_again = [0; 32];
            let _ = getrandom::fill(&mut never_again);
            never_again
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> PartKey {
        PartKey {
            site: [n; 16],
            container_sha256: Digest([n; 32]),
        }
    }

    fn set(range: Range<u64>) -> RangeSet {
        let mut set = RangeSet::new();
        set.insert(range);
        set
    }

    #[test]
    fn a_killed_process_keeps_written_ranges_and_a_power_cut_only_synced_ones() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, before) = Journal::open_on(dir.path(), [1; 32]).unwrap();
        assert_eq!(before, Trusted::default());
        journal.note_written(&key(1), &(0..100)).unwrap();
        journal.note_written(&key(2), &(0..50)).unwrap();
        journal.note_synced(&[(key(1), set(0..60))]).unwrap();
        journal.note_written(&key(3), &(0..10)).unwrap();
        journal.note_gone(&key(3)).unwrap();
        for _ in 0..2 {
            let (_, killed) = Journal::open_on(dir.path(), [1; 32]).unwrap();
            assert_eq!(
                killed.written,
                HashMap::from([(key(1), set(0..100)), (key(2), set(0..50))])
            );
            assert_eq!(killed.synced, HashMap::from([(key(1), set(0..60))]));
        }
        let (_, power_cut) = Journal::open_on(dir.path(), [2; 32]).unwrap();
        assert_eq!(power_cut.written, HashMap::new());
        assert_eq!(power_cut.synced, HashMap::from([(key(1), set(0..60))]));
    }

    #[test]
    fn a_torn_or_damaged_end_loses_only_itself() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ranges.journal");
        let (mut journal, _) = Journal::open_on(dir.path(), [1; 32]).unwrap();
        journal.note_synced(&[(key(1), set(0..60))]).unwrap();
        journal.note_synced(&[(key(2), set(0..70))]).unwrap();
        let bytes = fs::read(&path).unwrap();
        for cut in 0..=RECORD_BYTES {
            let torn = &bytes[..bytes.len() - cut];
            let expected = if cut == 0 { 2 } else { 1 };
            assert_eq!(read_records(torn, [1; 32]).synced.len(), expected, "{cut}");
        }
        let mut flipped = bytes.clone();
        flipped[HEADER_BYTES + 60] ^= 1;
        for damaged in [flipped.as_slice(), b"TANCHOJ1", b""] {
            assert_eq!(read_records(damaged, [1; 32]), Trusted::default());
        }
    }

    #[test]
    fn rewriting_keeps_what_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open_on(dir.path(), [1; 32]).unwrap();
        let known = Trusted {
            synced: HashMap::from([(key(1), set(0..5))]),
            written: HashMap::from([(key(2), set(7..9))]),
        };
        journal.rewrite(&known).unwrap();
        journal.note_written(&key(2), &(9..12)).unwrap();
        let (_, again) = Journal::open_on(dir.path(), [1; 32]).unwrap();
        assert_eq!(again.synced, known.synced);
        assert_eq!(again.written, HashMap::from([(key(2), set(7..12))]));
    }
}
