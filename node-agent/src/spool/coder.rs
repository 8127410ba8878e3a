//! Makes the containers that travel: durable file first, then the index, then the line.
//!
//! Threads of low priority, and one fewer than there are processors while objects arrive, so that intake and answers
//! to modalities always come first. Stat objects have a lane of their own, and while it works the other one waits at
//! its next frame; in a lane the most urgent object comes first. `coder/lane.rs` says how objects go through a lane,
//! this file how one is coded.

mod attempts;
mod heads;
mod lane;

use std::cell::Cell;
use std::collections::{HashSet, VecDeque};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tancho_domain::ids::ObjectId;
use tancho_imaging::container::{self, Coding, CodingTurns, ContainerError, Dictionary, Encoder, Object};
use tancho_imaging::limits::pieces;
use tancho_imaging::scan;
use tokio::sync::oneshot;

use super::commit::Change;
use super::index::{CodedObject, StoredObject};
use super::layout::{self, Layout};
use super::object_file::{DataSet, ObjectHeader};
use super::studies::ObjectState;
use super::{Shared, SpoolError, crash_point};
use crate::conformance::Seen;
use crate::durable;
use attempts::{Attempts, Begun};
use heads::Heads;
use lane::Lane;

/// Bytes read or written at once.
const BUFFER_BYTES: usize = 128 * 1024;
/// Memory for frames being coded, on all threads together. Bytes.
const CODING_MEMORY_BYTES: u64 = 48 * 1024 * 1024;
/// Objects remembered as counted: more than both lanes have coded and not handed over.
const NOTED_MAX: usize = 256;

/// What coding one object came to.
enum Outcome {
    Coded(CodedObject, File),
    /// Give up on it with this state and code.
    Aside(ObjectState, &'static str),
    /// The object's own file could not be opened or read: try again a few times.
    Unreadable(io::Error),
    /// The disk failed or is full: try again later.
    Later(io::Error),
}

/// How one object is coded.
#[derive(Debug, Clone, Copy)]
struct How {
    /// For the line that waits.
    is_urgent: bool,
    /// As it is, without the coder of frames.
    is_plain: bool,
}

/// What the two lanes share.
struct Coder<'a> {
    shared: &'a Arc<Shared>,
    turns: Arc<CodingTurns>,
    heads: Heads,
    attempts: Attempts,
    /// Objects that a lane works on: one whose priority changes meanwhile must not be begun by the other as well.
    in_work: Mutex<HashSet<ObjectId>>,
    /// Objects counted last: one whose container could not be handed over is coded again, and counts once.
    noted: Mutex<VecDeque<ObjectId>>,
}

/// Runs until the spool stops.
pub fn run(shared: &Arc<Shared>) {
    let coder = Coder::new(shared);
    let (Some(stat), Some(others)) = (Lane::open(&coder, true), Lane::open(&coder, false)) else {
        return;
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the coder cannot start");
            return;
        }
    };
    coder
        .attempts
        .forget_unless(|object_id| stat.is_stored(object_id));
    std::thread::scope(|scope| {
        let lanes = [&stat, &others];
        lanes.iter().for_each(|lane| lane.start(scope));
        while !shared.stopping.is_cancelled() {
            apart(|| shared.conformance.settle(shared.clock.now_ms()));
            // Rung when objects were stored; looked at now and then because of what could not be coded.
            runtime.block_on(async {
                tokio::select! {
                    () = shared.stopping.cancelled() => lanes.iter().for_each(|lane| lane.ring()),
                    () = shared.coder_wake.stat.notified() => stat.ring(),
                    () = shared.coder_wake.others.notified() => others.ring(),
                    () = tokio::time::sleep(shared.options.coder_retry) => lanes.iter().for_each(|lane| lane.ring()),
                }
            });
        }
        lanes.iter().for_each(|lane| lane.ring());
    });
    apart(|| shared.conformance.flush());
}

impl<'a> Coder<'a> {
    fn new(shared: &'a Arc<Shared>) -> Self {
        Self {
            shared,
            turns: Arc::new(CodingTurns::new(
                shared.options.coder_threads,
                CODING_MEMORY_BYTES,
            )),
            heads: Heads::default(),
            attempts: Attempts::open(shared.layout.coding()),
            noted: Mutex::default(),
            in_work: Mutex::default(),
        }
    }

    fn in_work(&self) -> MutexGuard<'_, HashSet<ObjectId>> {
        self.in_work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Syncs and renames the containers, syncs their folders once, and commits them together.
fn hand_over(shared: &Arc<Shared>, finished: Vec<(StoredObject, Outcome)>) -> Result<(), SpoolError> {
    let mut coded = Vec::new();
    let mut folders = Vec::new();
    for (object, outcome) in finished {
        match outcome {
            Outcome::Coded(container, file) => {
                // All these files are written by now, so the first fsync does most of the work of the rest.
                durable::file(&file)?;
                let folder = shared.layout.container_folder(object.folder);
                Layout::ensure_folder(&folder)?;
                fs::rename(
                    shared.layout.partial_file(&object.object_id, "tanc"),
                    shared.layout.container_file(object.folder, &object.object_id),
                )?;
                if !folders.contains(&folder) {
                    folders.push(folder);
                }
                coded.push(container);
            }
            Outcome::Aside(state, code) => {
                tracing::error!(object.id = %object.object_id, code, "object cannot be sent; it stays in the spool");
                let (reply, answer) = oneshot::channel();
                let code = code.to_owned();
                shared.send_blocking(Change::SetAside {
                    object_id: object.object_id,
                    state,
                    code,
                    reply,
                })?;
                answer.blocking_recv().map_err(|_| SpoolError::Stopped)??;
            }
            Outcome::Unreadable(error) => {
                tracing::warn!(object.id = %object.object_id, %error, "object could not be read; tried again later");
            }
            Outcome::Later(error) => {
                tracing::warn!(object.id = %object.object_id, %error, "container could not be written; tried again later");
            }
        }
    }
    crash_point("coded.renamed");
    for folder in folders {
        durable::folder(&folder)?;
    }
    if !coded.is_empty() {
        let (reply, answer) = oneshot::channel();
        shared.send_blocking(Change::Coded {
            objects: coded,
            reply,
        })?;
        answer.blocking_recv().map_err(|_| SpoolError::Stopped)??;
    }
    crash_point("coded.committed");
    Ok(())
}

impl Coder<'_> {
    /// Codes one object that may be begun, unless it has ended the process too often.
    fn code_one(&self, object: &StoredObject, is_urgent: bool, encoder: &mut Option<Encoder>) -> Outcome {
        let begun = match self.attempts.begin(&object.object_id) {
            Ok(begun) => begun,
            Err(error) => {
                self.pass(&object.object_id);
                return Outcome::Later(error);
            }
        };
        let outcome = if begun == Begun::Guilty {
            Outcome::Aside(ObjectState::Refused, "coder_died")
        } else {
            crash_point("coding.begun");
            let how = How {
                is_urgent,
                is_plain: object.is_coded_again || begun == Begun::Last,
            };
            self.code_guarded(object, how, encoder)
        };
        if self.attempts.end(&object.object_id) {
            self.ring_for_suspects();
        }
        outcome
    }

    /// An object that may be begun is not.
    fn pass(&self, object_id: &ObjectId) {
        if self.attempts.pass(object_id) {
            self.ring_for_suspects();
        }
    }

    /// Both lanes look again: the next suspect may be of either.
    fn ring_for_suspects(&self) {
        self.shared.coder_wake.stat.notify_one();
        self.shared.coder_wake.others.notify_one();
    }

    /// A panic of the coder costs this object only.
    fn code_guarded(&self, object: &StoredObject, how: How, encoder: &mut Option<Encoder>) -> Outcome {
        let read_failed = Cell::new(false);
        let coded = catch_unwind(AssertUnwindSafe(|| {
            self.try_code(object, how, encoder, &read_failed)
        }));
        if !matches!(coded, Ok(Ok(_))) {
            // What was written of it must not keep a full disk full.
            fs::remove_file(self.shared.layout.partial_file(&object.object_id, "tanc")).ok();
        }
        match coded {
            Ok(Ok((coded, file))) => Outcome::Coded(coded, file),
            Ok(Err(ContainerError::SourceChanged)) => {
                Outcome::Aside(ObjectState::Damaged, "damaged_in_spool")
            }
            Ok(Err(ContainerError::Io(error))) if error.kind() == io::ErrorKind::NotFound => {
                Outcome::Aside(ObjectState::Damaged, "missing_in_spool")
            }
            Ok(Err(ContainerError::Io(error))) if read_failed.get() => Outcome::Unreadable(error),
            Ok(Err(ContainerError::Io(error))) => Outcome::Later(error),
            Ok(Err(error)) => Outcome::Aside(ObjectState::Refused, error.code()),
            Err(_) => {
                *encoder = None;
                Outcome::Aside(ObjectState::Refused, "coder_panicked")
            }
        }
    }

    /// Writes the container of one object under its partial name; the file is fsynced when it is handed over.
    fn try_code(
        &self,
        object: &StoredObject,
        how: How,
        encoder: &mut Option<Encoder>,
        read_failed: &Cell<bool>,
    ) -> Result<(CodedObject, File), ContainerError> {
        let shared = self.shared;
        let source = File::open(shared.layout.object_file(object.folder, &object.object_id));
        if let Err(error) = &source {
            read_failed.set(!layout::is_out_of_handles(error));
        }
        let mut source = source?;
        // It serves the card of the modality only: what is wrong with it is no reason to keep the object back.
        let header = ObjectHeader::read(&mut source).ok().flatten();
        if source.metadata()?.len() != super::object_file::HEADER_BYTES as u64 + object.original_len {
            return Err(ContainerError::SourceChanged);
        }
        let source = Source {
            data: DataSet::new(source, object.original_len)?,
            read_failed,
        };
        let mut source = BufReader::with_capacity(BUFFER_BYTES, source);
        // The bytes were scanned when they came: another verdict now means they are no longer the same.
        let scan =
            scan::scan(&mut source, &object.transfer_syntax, &shared.options.limits).map_err(|error| {
                match error {
                    scan::ScanError::Io(error) => ContainerError::Io(error),
                    _ => ContainerError::SourceChanged,
                }
            })?;
        let dictionary = self.heads.dictionary_for(object, |first| self.read_head(first));
        let coding = Coding {
            dictionary: dictionary.as_deref(),
            is_dictionary: dictionary.is_none(),
            is_plain: how.is_plain,
            is_urgent: how.is_urgent,
        };
        if !shared.has_room_to_code(object.original_len) {
            return Err(ContainerError::Io(io::ErrorKind::StorageFull.into()));
        }
        let partial = shared.layout.partial_file(&object.object_id, "tanc");
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&partial)?;
        let mut out = BufWriter::with_capacity(BUFFER_BYTES, file);
        let mut scratch = ScratchFile {
            path: shared.layout.partial_file(&object.object_id, "frames"),
            file: None,
        };
        let encoder = match encoder {
            Some(encoder) => encoder,
            None => encoder.insert(Encoder::new(Arc::clone(&self.turns))?),
        };
        let described = Object {
            scan: &scan,
            transfer_syntax: &object.transfer_syntax,
            original_sha256: &object.original_sha256,
        };
        let summary = encoder.encode(&mut source, &described, &coding, &mut scratch, &mut out)?;
        let mut file = out
            .into_inner()
            .map_err(|error| ContainerError::Io(error.into_error()))?;
        let container_sha256 = container::digest(&mut file)?;
        let coded = CodedObject {
            object_id: object.object_id.clone(),
            container_len: summary.container_len,
            container_sha256,
            head_end: summary.head_end,
            preview_end: summary.header.preview_end(),
        };
        self.note_conformance(object, header.as_ref(), &scan);
        Ok((coded, file))
    }
}

impl Coder<'_> {
    /// Counts once what a coded object shows of its modality. Whatever goes wrong with that, the object travels.
    fn note_conformance(
        &self,
        object: &StoredObject,
        header: Option<&ObjectHeader>,
        scan: &scan::DataSetScan,
    ) {
        let Some(header) = header.filter(|_| !object.is_coded_again) else {
            return;
        };
        {
            let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
            if noted.contains(&object.object_id) {
                return;
            }
            noted.push_back(object.object_id.clone());
            if noted.len() > NOTED_MAX {
                noted.pop_front();
            }
        }
        apart(|| {
            self.shared.conformance.note(&Seen {
                calling_ae: &header.calling_ae,
                received_at_ms: header.received_at_ms,
                noted_at_ms: self.shared.clock.now_ms(),
                transfer_syntax: object.transfer_syntax.as_str(),
                scan,
            });
        });
    }

    /// The head of an object as received; `None` when it cannot serve other heads.
    fn read_head(&self, object: &StoredObject) -> Option<Dictionary> {
        let file = self.shared.layout.object_file(object.folder, &object.object_id);
        let mut data = DataSet::new(File::open(file).ok()?, object.original_len).ok()?;
        let scanned = {
            let mut source = BufReader::with_capacity(BUFFER_BYTES, &mut data);
            scan::scan(&mut source, &object.transfer_syntax, &self.shared.options.limits).ok()?
        };
        let head_len = scanned.layout.head_len;
        if head_len > pieces::DICTIONARY_BYTES_MAX {
            return None;
        }
        let mut head = Vec::new();
        data.seek(SeekFrom::Start(0)).ok()?;
        data.take(head_len).read_to_end(&mut head).ok()?;
        Dictionary::new(head)
    }
}

/// Statistics must never keep an image from the line, however they fail.
fn apart(count: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(count)).is_err() {
        tracing::error!("the conformance cards could not be counted; no image is held up by that");
    }
}

/// Where the frames of an object wait for their place in its container; made when it is needed, gone afterwards.
struct ScratchFile {
    path: PathBuf,
    file: Option<File>,
}

impl ScratchFile {
    fn file(&mut self) -> io::Result<&mut File> {
        if self.file.is_none() {
            let mut options = File::options();
            options.read(true).write(true).create(true).truncate(true);
            self.file = Some(options.open(&self.path)?);
        }
        self.file.as_mut().ok_or(io::ErrorKind::NotFound.into())
    }
}

impl Read for ScratchFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file()?.read(buffer)
    }
}

impl Write for ScratchFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file()?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file()?.flush()
    }
}

impl Seek for ScratchFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file()?.seek(to)
    }
}

impl Drop for ScratchFile {
    fn drop(&mut self) {
        if self.file.take().is_some()
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(%error, "a scratch file was left behind; the next start removes it");
        }
    }
}

/// An object's data set that notes when its bytes cannot be read, as against a container that cannot be written.
struct Source<'a> {
    data: DataSet,
    read_failed: &'a Cell<bool>,
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.data.read(buffer);
        if let Err(error) = &read
            && error.kind() != io::ErrorKind::Interrupted
        {
            self.read_failed.set(true);
        }
        read
    }
}

impl Seek for Source<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.data.seek(to)
    }
}

/// Lets intake run first on a small machine: whoever pushes a study waits for it, and coding that gives way catches up in
/// the pauses. Stat objects give way less.
fn lower_priority(is_stat: bool) {
    let nice = if is_stat { 10 } else { 19 };
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), nice) {
        tracing::debug!(%error, "the coder runs with normal priority");
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    #[cfg(unix)]
    #[tokio::test]
    async fn an_object_whose_file_cannot_be_opened_counts_as_unreadable() {
        let folder = tempfile::tempdir().unwrap();
        let options = crate::spool::SpoolOptions::new(folder.path());
        let (spool, workers) = crate::spool::Spool::open(options, crate::clock::Clock::system())
            .await
            .unwrap();
        let object = StoredObject::fixture(1, "2.25.1.1");
        let file = spool.shared.layout.object_file(1, &object.object_id);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        // A link to itself cannot be opened by anyone.
        std::os::unix::fs::symlink(&file, &file).unwrap();
        let coder = Coder::new(&spool.shared);
        // A folder opens, and reading it fails, its header as well.
        let folder_there = StoredObject::fixture(2, "2.25.1.1");
        fs::create_dir(spool.shared.layout.object_file(1, &folder_there.object_id)).unwrap();
        let outcome = coder.code_one(&folder_there, false, &mut None);
        assert!(
            !matches!(outcome, Outcome::Later(_)),
            "it would be tried for ever"
        );
        let code = || coder.code_one(&object, false, &mut None);
        assert!(matches!(code(), Outcome::Unreadable(_)));
        fs::remove_file(&file).unwrap();
        let missing = code();
        assert!(matches!(
            missing,
            Outcome::Aside(ObjectState::Damaged, "missing_in_spool")
        ));
        spool.stop();
        workers.join().await;
    }
}
