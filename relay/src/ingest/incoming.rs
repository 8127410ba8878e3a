//! Partial containers on disk: ranges are written where they belong, the journal says which of them can be trusted.
//!
//! File names are our site id and the container's digest, never a peer's text. A part belongs to a site, not to a
//! connection, so two connections add to one file and a restart goes on where the bytes ended. Nothing here is a
//! receipt: that needs the whole container, verified, in the blob store.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tancho_domain::ids::SiteId;
use tancho_wire::Digest;
use tancho_wire::transfer::RangeSet;
use uuid::Uuid;

use super::journal::{Journal, PartKey, Trusted};
use super::space::{self, Room};
use crate::durable::{self, crash_point};
use crate::state::make_private_dir;

/// Beginning of the names of files that live only as long as the request that stores them.
pub const UPLOAD_PREFIX: &str = "upload-";
/// Partial files kept open for writing; others are opened again when their next range comes.
const FILES_OPEN_MAX: usize = 128;
/// Parts made durable in one turn, so that a turn stays short.
const PARTS_SYNCED_AT_ONCE_MAX: usize = 16;

/// All partial containers of the relay.
#[derive(Debug)]
pub struct Incoming {
    dir: PathBuf,
    inner: Mutex<Inner>,
    /// Rung when a part's fsync has ended.
    sync_ended: Condvar,
    journal: Mutex<Journal>,
    room: Room,
}

#[derive(Debug, Default)]
struct Inner {
    parts: HashMap<PartKey, Part>,
    files: HashMap<PartKey, (Arc<File>, u64)>,
    turn: u64,
    /// Containers that were asked for.
    promised: HashMap<PartKey, Promised>,
    /// Bytes of them that are still to come.
    lacking_bytes: u64,
}

#[derive(Debug)]
struct Promised {
    len: u64,
    n_holders: usize,
}

impl Inner {
    fn held_len(&self, key: &PartKey) -> u64 {
        self.parts.get(key).map_or(0, |part| part.held.len())
    }

    /// Changes what is held of a part and keeps the sum of what lacks.
    fn change_held(&mut self, key: &PartKey, change: impl FnOnce(&mut HashMap<PartKey, Part>)) {
        let before = self.held_len(key);
        change(&mut self.parts);
        if let Some(len) = self.promised.get(key).map(|promised| promised.len) {
            let lacked = len.saturating_sub(before);
            let lacks = len.saturating_sub(self.held_len(key));
            self.lacking_bytes = self.lacking_bytes.saturating_sub(lacked) + lacks;
        }
    }
}

#[derive(Debug, Default)]
struct Part {
    held: RangeSet,
    synced: RangeSet,
    /// Taken for verification: nothing may change its bytes any more.
    sealed: bool,
    /// Writes under way.
    n_writers: usize,
    /// Its fsync is under way.
    syncing: bool,
    /// An fsync of its file failed. The system says so once, and a later fsync succeeds over bytes that the disk never
    /// got: nothing of the part counts any more, it is thrown away and received again.
    lost: bool,
}

/// The key of a site's container.
#[must_use]
pub fn part_key(site_id: &SiteId, container_sha256: Digest) -> PartKey {
    let site = Uuid::try_parse(site_id.as_str())
        .map(Uuid::into_bytes)
        .unwrap_or_default();
    PartKey {
        site,
        container_sha256,
    }
}

impl Incoming {
    /// Opens `data_dir/incoming`. Files without a trusted range are removed. Ranges without a file are kept: the
    /// container may have reached the blob store before its rows were committed; `recover.rs` finds out.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let dir = data_dir.join("incoming");
        make_private_dir(&dir)?;
        let (mut journal, trusted) = Journal::open(&dir)?;
        let mut parts: HashMap<PartKey, Part> = HashMap::new();
        for (key, synced) in trusted.synced {
            parts.insert(
                key,
                Part {
                    held: synced.clone(),
                    synced,
                    ..Part::default()
                },
            );
        }
        for (key, written) in trusted.written {
            let part = parts.entry(key).or_default();
            written.iter().for_each(|range| part.held.insert(range));
        }
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_str().unwrap_or_default();
            if name.starts_with(UPLOAD_PREFIX) {
                // Of a request that ended with the run before.
                fs::remove_file(entry.path())?;
                continue;
            }
            let Some(key) = parse_name(name) else {
                continue;
            };
            let on_disk = entry.metadata()?.len();
            let last_held = parts.get(&key).and_then(|part| part.held.iter().last());
            if last_held.is_none_or(|last| last.end > on_disk) {
                fs::remove_file(entry.path())?;
                parts.remove(&key);
            }
        }
        journal.rewrite(&known(&parts))?;
        let inner = Inner {
            parts,
            ..Inner::default()
        };
        Ok(Self {
            dir,
            inner: Mutex::new(inner),
            sync_ended: Condvar::new(),
            journal: Mutex::new(journal),
            room: Room::default(),
        })
    }

    /// The folder, for files that live only as long as their use.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The bytes held of a container; none when it is unknown.
    #[must_use]
    pub fn held(&self, key: &PartKey) -> RangeSet {
        self.lock()
            .parts
            .get(key)
            .map(|part| part.held.clone())
            .unwrap_or_default()
    }

    /// Reserves room for what lacks of a container that is about to be asked for; `None` when the disk has none left
    /// besides what was promised to others. An error of the disk's answer is no reason to refuse.
    #[must_use]
    pub fn promise(self: &Arc<Self>, key: &PartKey, container_len: u64) -> Option<Promise> {
        let mut inner = self.lock();
        let lacks = container_len.saturating_sub(inner.held_len(key));
        let is_promised = inner.promised.contains_key(key);
        let wanted = inner.lacking_bytes + if is_promised { 0 } else { lacks };
        if lacks > 0 && !space::has_room(&self.dir, wanted).unwrap_or(true) {
            return None;
        }
        if !is_promised {
            inner.lacking_bytes += lacks;
        }
        let promised = inner.promised.entry(*key).or_insert(Promised {
            len: container_len,
            n_holders: 0,
        });
        promised.n_holders += 1;
        Some(Promise {
            incoming: Arc::clone(self),
            key: *key,
        })
    }

    /// Whether the container is being verified, or waits to be thrown away.
    #[must_use]
    pub fn is_busy(&self, key: &PartKey) -> bool {
        self.lock()
            .parts
            .get(key)
            .is_some_and(|part| part.sealed || part.lost)
    }

    /// Waits for an fsync of a sealed part that is under way; `false` when the disk has lost bytes of it. After `true`
    /// nobody else syncs the part, so that the caller's own fsync is the one that learns of an error.
    #[must_use]
    pub fn is_sound(&self, key: &PartKey) -> bool {
        let mut inner = self.lock();
        while inner.parts.get(key).is_some_and(|part| part.syncing) {
            inner = self
                .sync_ended
                .wait(inner)
                .unwrap_or_else(PoisonError::into_inner);
        }
        inner.parts.get(key).is_none_or(|part| !part.lost)
    }

    /// Every part that is held, for reconciliation.
    #[must_use]
    pub fn keys(&self) -> Vec<PartKey> {
        self.lock().parts.keys().copied().collect()
    }

    /// Where the part's bytes are.
    #[must_use]
    pub fn path(&self, key: &PartKey) -> PathBuf {
        self.dir.join(format!(
            "{}-{}.part",
            Uuid::from_bytes(key.site),
            key.container_sha256
        ))
    }

    /// Writes ranges of one container. Blocks on the disk. A sealed part takes nothing more.
    pub fn write(&self, key: &PartKey, offset: u64, bytes: &Bytes, gaps: &[Range<u64>]) -> io::Result<()> {
        if !self.room.is_left(&self.dir) {
            let text = "the disk is full up to its reserve";
            return Err(io::Error::new(io::ErrorKind::StorageFull, text));
        }
        {
            let mut inner = self.lock();
            let part = inner.parts.entry(*key).or_default();
            if part.sealed {
                return Ok(());
            }
            if part.lost {
                return Err(io::Error::other(
                    "the disk lost bytes of the part; it is received again",
                ));
            }
            part.n_writers += 1;
        }
        let written = self.write_gaps(key, offset, bytes, gaps);
        let mut inner = self.lock();
        inner.change_held(key, |parts| {
            if let Some(part) = parts.get_mut(key) {
                part.n_writers = part.n_writers.saturating_sub(1);
                if written.is_ok() {
                    gaps.iter().for_each(|gap| part.held.insert(gap.clone()));
                }
            }
        });
        written
    }

    fn write_gaps(&self, key: &PartKey, offset: u64, bytes: &Bytes, gaps: &[Range<u64>]) -> io::Result<()> {
        let file = self.file(key)?;
        for gap in gaps {
            let part = &bytes[(gap.start - offset) as usize..(gap.end - offset) as usize];
            write_all_at(&file, part, gap.start)?;
        }
        crash_point("part.written");
        let mut journal = self.journal();
        gaps.iter().try_for_each(|gap| journal.note_written(key, gap))
    }

    fn file(&self, key: &PartKey) -> io::Result<Arc<File>> {
        let mut inner = self.lock();
        inner.turn += 1;
        let turn = inner.turn;
        if let Some((file, used)) = inner.files.get_mut(key) {
            *used = turn;
            return Ok(Arc::clone(file));
        }
        if inner.files.len() >= FILES_OPEN_MAX {
            let oldest = inner
                .files
                .iter()
                .min_by_key(|(_, (_, used))| *used)
                .map(|(key, _)| *key);
            oldest.and_then(|oldest| inner.files.remove(&oldest));
        }
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).read(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = Arc::new(options.open(self.path(key))?);
        inner.files.insert(*key, (Arc::clone(&file), turn));
        Ok(file)
    }

    /// Makes the parts with the most bytes at risk durable and records it. Blocks on the disk. Gives how many. A part
    /// that the disk does not take is thrown away and does not keep the others from their turn.
    pub fn sync_some(&self) -> io::Result<usize> {
        let mut risky: Vec<(u64, PartKey)> = {
            let inner = self.lock();
            let at_risk = |part: &Part| part.held.len().saturating_sub(part.synced.len());
            let open = inner
                .parts
                .iter()
                .filter(|(_, part)| !part.sealed && !part.lost && at_risk(part) > 0);
            open.map(|(key, part)| (at_risk(part), *key)).collect()
        };
        risky.sort_unstable_by_key(|(bytes, key)| (std::cmp::Reverse(*bytes), *key));
        risky.truncate(PARTS_SYNCED_AT_ONCE_MAX);
        let mut synced = Vec::new();
        for (_, key) in risky {
            let Some(held) = self.begin_sync(&key) else {
                continue;
            };
            let ended = OpenOptions::new()
                .write(true)
                .open(self.path(&key))
                .and_then(|file| durable::file(&file));
            let is_lost = match &ended {
                Ok(()) => false,
                // Verified and taken away in the meantime.
                Err(error) if error.kind() == io::ErrorKind::NotFound => false,
                Err(error) => {
                    tracing::error!(%error, container = %key.container_sha256,
                        "a partial file could not be made durable; it is received again");
                    true
                }
            };
            self.end_sync(&key, is_lost);
            if ended.is_ok() {
                synced.push((key, held));
            }
        }
        self.discard_lost();
        if synced.is_empty() {
            return Ok(0);
        }
        // The files' names must be durable too, else a power cut leaves ranges of a file that is not there.
        durable::folder(&self.dir)?;
        crash_point("part.synced");
        let mut journal = self.journal();
        journal.note_synced(&synced)?;
        let n_synced = synced.len();
        let mut inner = self.lock();
        for (key, held) in synced {
            if let Some(part) = inner.parts.get_mut(&key) {
                held.iter().for_each(|range| part.synced.insert(range));
            }
        }
        if journal.is_long() {
            let known = known(&inner.parts);
            journal.rewrite(&known)?;
        }
        Ok(n_synced)
    }

    /// What is held of a part whose fsync may begin now.
    fn begin_sync(&self, key: &PartKey) -> Option<RangeSet> {
        let mut inner = self.lock();
        let part = inner
            .parts
            .get_mut(key)
            .filter(|part| !part.sealed && !part.lost)?;
        part.syncing = true;
        Some(part.held.clone())
    }

    fn end_sync(&self, key: &PartKey, is_lost: bool) {
        if let Some(part) = self.lock().parts.get_mut(key) {
            part.syncing = false;
            part.lost |= is_lost;
        }
        self.sync_ended.notify_all();
    }

    /// Throws lost parts away that nobody writes or verifies; the others are thrown away in a later turn.
    fn discard_lost(&self) {
        let lost: Vec<PartKey> = {
            let inner = self.lock();
            let idle = |part: &Part| part.lost && !part.sealed && part.n_writers == 0;
            inner
                .parts
                .iter()
                .filter(|(_, part)| idle(part))
                .map(|(key, _)| *key)
                .collect()
        };
        for key in lost {
            if let Err(error) = self.forget(&key) {
                tracing::error!(%error, "a partial file could not be removed; the next start removes it");
            }
        }
    }

    /// Takes a whole container for verification; `None` when someone else has it, writes it, or it is not there.
    #[must_use]
    pub fn seal(self: &Arc<Self>, key: &PartKey) -> Option<Seal> {
        let mut inner = self.lock();
        inner.files.remove(key);
        let part = inner
            .parts
            .get_mut(key)
            .filter(|part| !part.sealed && !part.lost && part.n_writers == 0)?;
        part.sealed = true;
        Some(Seal {
            incoming: Arc::clone(self),
            key: *key,
        })
    }

    /// The part's bytes are elsewhere or worthless: its file, if still there, and its ranges go.
    ///
    /// The file goes first: on a full disk the journal may not take the note, and a start removes ranges without a file.
    pub fn forget(&self, key: &PartKey) -> io::Result<()> {
        let removed = match fs::remove_file(self.path(key)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        {
            let mut inner = self.lock();
            inner.files.remove(key);
            inner.change_held(key, |parts| {
                parts.remove(key);
            });
        }
        self.journal().note_gone(key)?;
        removed
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part that is being verified. When it is dropped, the part can be taken again, unless it was forgotten.
#[derive(Debug)]
pub struct Seal {
    incoming: Arc<Incoming>,
    key: PartKey,
}

impl Drop for Seal {
    fn drop(&mut self) {
        if let Some(part) = self.incoming.lock().parts.get_mut(&self.key) {
            part.sealed = false;
        }
    }
}

/// Room on the disk for a container that was asked for, until it is dropped.
#[derive(Debug)]
pub struct Promise {
    incoming: Arc<Incoming>,
    key: PartKey,
}

impl Drop for Promise {
    fn drop(&mut self) {
        let mut inner = self.incoming.lock();
        let held = inner.held_len(&self.key);
        let Some(promised) = inner.promised.get_mut(&self.key) else {
            return;
        };
        promised.n_holders -= 1;
        if promised.n_holders == 0 {
            let lacks = promised.len.saturating_sub(held);
            inner.promised.remove(&self.key);
            inner.lacking_bytes = inner.lacking_bytes.saturating_sub(lacks);
        }
    }
}

fn known(parts: &HashMap<PartKey, Part>) -> Trusted {
    let by = |ranges: fn(&Part) -> &RangeSet| {
        parts
            .iter()
            .map(|(key, part)| (*key, ranges(part).clone()))
            .collect()
    };
    Trusted {
        synced: by(|part| &part.synced),
        written: by(|part| &part.held),
    }
}

fn parse_name(name: &str) -> Option<PartKey> {
    let (site, digest) = name.strip_suffix(".part")?.split_at_checked(36)?;
    let site = Uuid::try_parse(site).ok()?.into_bytes();
    Some(PartKey {
        site,
        container_sha256: Digest::parse_hex(digest.strip_prefix('-')?)?,
    })
}

#[cfg(unix)]
fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
fn write_all_at(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = std::os::windows::fs::FileExt::seek_write(file, bytes, offset)?;
        bytes = &bytes[written..];
        offset += written as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8]) -> (PartKey, Bytes) {
        let key = PartKey {
            site: [7; 16],
            container_sha256: Digest::of(bytes),
        };
        (key, Bytes::copy_from_slice(bytes))
    }

    #[test]
    fn ranges_come_in_any_order_and_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let (key, bytes) = whole(b"0123456789");
        let incoming = Incoming::open(dir.path()).unwrap();
        incoming
            .write(&key, 6, &bytes.slice(6..), std::slice::from_ref(&(6..10)))
            .unwrap();
        incoming.write(&key, 0, &bytes, &[0..2, 4..6]).unwrap();
        drop(incoming);
        let incoming = Incoming::open(dir.path()).unwrap();
        assert_eq!(incoming.held(&key).gaps(0..10), vec![2..4]);
        assert_eq!(incoming.sync_some().unwrap(), 1);
        assert_eq!(incoming.sync_some().unwrap(), 0);
        incoming
            .write(&key, 0, &bytes, std::slice::from_ref(&(2..4)))
            .unwrap();
        assert_eq!(fs::read(incoming.path(&key)).unwrap(), b"0123456789");
    }

    #[test]
    fn a_sealed_part_cannot_be_changed_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let (key, bytes) = whole(b"0123456789");
        let incoming = Arc::new(Incoming::open(dir.path()).unwrap());
        assert!(incoming.seal(&key).is_none());
        incoming
            .write(&key, 0, &bytes, std::slice::from_ref(&(0..10)))
            .unwrap();
        drop(incoming.seal(&key).unwrap());
        let seal = incoming.seal(&key).unwrap();
        assert!(incoming.seal(&key).is_none(), "one verification at a time");
        incoming
            .write(
                &key,
                0,
                &Bytes::from_static(b"XXXXXXXXXX"),
                std::slice::from_ref(&(0..10)),
            )
            .unwrap();
        assert_eq!(fs::read(incoming.path(&key)).unwrap(), b"0123456789");
        incoming.forget(&key).unwrap();
        drop(seal);
        assert!(incoming.held(&key).is_empty());
        assert!(!incoming.path(&key).exists());
        incoming.forget(&key).unwrap();
    }

    #[test]
    fn leftovers_that_nothing_vouches_for_are_removed_at_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let (key, bytes) = whole(b"0123456789");
        let incoming = Incoming::open(dir.path()).unwrap();
        let stray = incoming.path(&key);
        fs::write(&stray, b"0123456789").unwrap();
        let other = PartKey { site: [8; 16], ..key };
        incoming
            .write(&other, 0, &bytes, std::slice::from_ref(&(0..10)))
            .unwrap();
        fs::write(incoming.path(&other), b"cut").unwrap();
        drop(incoming);
        let incoming = Incoming::open(dir.path()).unwrap();
        assert!(!stray.exists());
        assert!(
            incoming.keys().is_empty(),
            "a file shorter than its ranges is not trusted"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_part_that_the_disk_lost_is_received_again_and_holds_up_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let (lost, bytes) = whole(b"0123456789");
        let good = PartKey {
            site: [9; 16],
            ..lost
        };
        let incoming = Arc::new(Incoming::open(dir.path()).unwrap());
        let write = |key: &PartKey| incoming.write(key, 0, &bytes, std::slice::from_ref(&(0..10)));
        write(&lost).unwrap();
        write(&good).unwrap();
        // The fsync of a device fails.
        fs::remove_file(incoming.path(&lost)).unwrap();
        std::os::unix::fs::symlink("/dev/full", incoming.path(&lost)).unwrap();
        assert_eq!(incoming.sync_some().unwrap(), 1, "the other part has its turn");
        assert!(incoming.held(&lost).is_empty(), "nothing of it counts");
        assert!(fs::symlink_metadata(incoming.path(&lost)).is_err());
        assert!(incoming.seal(&lost).is_none());
        assert_eq!(incoming.held(&good).len(), 10);
        write(&lost).unwrap();
        assert_eq!(incoming.sync_some().unwrap(), 1);
        let seal = incoming.seal(&lost).unwrap();
        assert!(incoming.is_sound(&lost));
        drop(seal);
        drop(incoming);
        let incoming = Incoming::open(dir.path()).unwrap();
        assert_eq!((incoming.held(&lost).len(), incoming.held(&good).len()), (10, 10));
    }

    #[test]
    fn a_part_lost_while_it_is_verified_is_not_sound_and_goes_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let (key, bytes) = whole(b"0123456789");
        let incoming = Arc::new(Incoming::open(dir.path()).unwrap());
        incoming
            .write(&key, 0, &bytes, std::slice::from_ref(&(0..10)))
            .unwrap();
        assert!(incoming.begin_sync(&key).is_some());
        let seal = incoming.seal(&key).unwrap();
        let sound = std::thread::spawn({
            let incoming = Arc::clone(&incoming);
            move || incoming.is_sound(&key)
        });
        incoming.end_sync(&key, true);
        assert!(!sound.join().unwrap());
        incoming.discard_lost();
        assert!(incoming.path(&key).exists(), "not under the verification");
        drop(seal);
        assert!(incoming.is_busy(&key));
        assert!(incoming.write(&key, 0, &bytes, &[]).is_err());
        incoming.discard_lost();
        assert!(!incoming.is_busy(&key) && !incoming.path(&key).exists());
    }

    #[test]
    fn room_is_promised_once_and_given_back_to_the_byte() {
        let dir = tempfile::tempdir().unwrap();
        let (key, bytes) = whole(b"0123456789");
        let other = PartKey { site: [8; 16], ..key };
        let incoming = Arc::new(Incoming::open(dir.path()).unwrap());
        let lacking = || incoming.lock().lacking_bytes;
        let write = |range: Range<u64>| {
            let part = bytes.slice(range.start as usize..range.end as usize);
            incoming
                .write(&key, range.start, &part, std::slice::from_ref(&range))
                .unwrap();
        };
        write(0..2);
        let first = incoming.promise(&key, 10).unwrap();
        let again = incoming.promise(&key, 10).unwrap();
        let of_another = incoming.promise(&other, 100).unwrap();
        assert_eq!(lacking(), 108);
        write(2..6);
        assert_eq!(lacking(), 104);
        incoming.forget(&key).unwrap();
        assert_eq!(lacking(), 110, "all of it is to come again");
        assert!(
            incoming
                .promise(&PartKey { site: [9; 16], ..key }, u64::MAX - 110)
                .is_none(),
            "more than the disk has"
        );
        drop(first);
        assert_eq!(lacking(), 110);
        drop(again);
        drop(of_another);
        assert_eq!((lacking(), incoming.lock().promised.len()), (0, 0));
    }

    #[test]
    fn nothing_is_written_into_the_reserve() {
        let dir = tempfile::tempdir().unwrap();
        let (key, bytes) = whole(b"0123456789");
        let incoming = Incoming::open(dir.path()).unwrap();
        incoming.room.note(false);
        let refused = incoming.write(&key, 0, &bytes, std::slice::from_ref(&(0..10)));
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(incoming.keys().is_empty() && !incoming.path(&key).exists());
        incoming.room.note(true);
        incoming
            .write(&key, 0, &bytes, std::slice::from_ref(&(0..10)))
            .unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_full_disk_does_not_keep_a_part_that_is_thrown_away() {
        let dir = tempfile::tempdir().unwrap();
        let (key, bytes) = whole(b"0123456789");
        let incoming = Incoming::open(dir.path()).unwrap();
        incoming
            .write(&key, 0, &bytes, std::slice::from_ref(&(0..10)))
            .unwrap();
        incoming.journal().fill_up();
        assert!(incoming.forget(&key).is_err());
        assert!(!incoming.path(&key).exists());
    }

    #[test]
    fn many_parts_do_not_hold_many_files() {
        let dir = tempfile::tempdir().unwrap();
        let incoming = Incoming::open(dir.path()).unwrap();
        for n in 0..FILES_OPEN_MAX as u32 * 2 {
            let (key, bytes) = whole(&n.to_be_bytes());
            incoming
                .write(&key, 0, &bytes, std::slice::from_ref(&(0..4)))
                .unwrap();
        }
        assert!(incoming.lock().files.len() <= FILES_OPEN_MAX);
        assert_eq!(incoming.keys().len(), FILES_OPEN_MAX * 2);
        assert_eq!(incoming.sync_some().unwrap(), PARTS_SYNCED_AT_ONCE_MAX);
    }
}
