//! Makes the containers that travel: durable file first, then the index, then the line.
//!
//! Threads of low priority, and one fewer than there are processors while objects arrive, so that intake and answers
//! to modalities always come first. Stat objects have a lane of
//! their own, and while it works the other one waits at its next frame; in a lane the most urgent object comes first,
//! in small rounds. Each round shares its folder fsync and its commit.

mod heads;

use std::cell::Cell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tancho_domain::ids::ObjectId;
use tancho_imaging::container::{self, Coding, CodingTurns, ContainerError, Dictionary, Encoder, Object};
use tancho_imaging::limits::pieces;
use tancho_imaging::scan;
use tokio::sync::{Notify, oneshot};

use super::commit::Change;
use super::index::{self, CodedObject, StoredObject};
use super::layout::{self, Layout};
use super::object_file::DataSet;
use super::studies::ObjectState;
use super::{Shared, SpoolError, crash_point};
use crate::durable;
use heads::Heads;

/// Objects per round.
const ROUND_MAX: usize = 32;
/// No object of a round is begun after this time, so that the next round can begin with what came meanwhile.
const ROUND_TIME_MAX: Duration = Duration::from_millis(250);
/// Shortest time from the begin of a round to the next, so that the fsyncs and the commit of a round are shared
/// while objects arrive one after the other. The first object of a quiet agent does not wait.
const ROUND_INTERVAL: Duration = Duration::from_millis(100);
/// Bytes read or written at once.
const BUFFER_BYTES: usize = 128 * 1024;
/// Memory for frames being coded, on all threads together. Bytes.
const CODING_MEMORY_BYTES: u64 = 48 * 1024 * 1024;

/// Reads of one object that may fail before it is set aside, so that bad sectors do not keep the others waiting.
const READS_FAILED_MAX: u32 = 5;

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

/// How often each object could not be read, as long as it is neither coded nor set aside.
type FailedReads = HashMap<ObjectId, u32>;

/// What the two lanes share.
struct Coder<'a> {
    shared: &'a Arc<Shared>,
    turns: Arc<CodingTurns>,
    heads: Heads,
    /// Objects that a lane works on: one whose priority changes meanwhile must not be begun by the other as well.
    in_work: Mutex<HashSet<ObjectId>>,
    /// Rung for the lane of the other objects.
    wake_others: Notify,
}

/// Runs until the spool stops.
pub fn run(shared: &Arc<Shared>) {
    let coder = Coder::new(shared);
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("spool-coder-stat".to_owned());
        if let Err(error) = builder.spawn_scoped(scope, || coder.run_lane(true)) {
            tracing::error!(%error, "the coder cannot start");
            return;
        }
        coder.run_lane(false);
    });
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
            in_work: Mutex::default(),
            wake_others: Notify::new(),
        }
    }

    fn run_lane(&self, is_stat: bool) {
        lower_priority(is_stat);
        let shared = self.shared;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!(%error, "the coder cannot start");
                return;
            }
        };
        let db = match index::open_reader(&shared.layout.index_file()) {
            Ok(db) => db,
            Err(error) => {
                tracing::error!(%error, "the coder cannot read the index");
                return;
            }
        };
        let mut failed_reads = FailedReads::new();
        while !shared.stopping.is_cancelled() {
            let round_ends = Instant::now() + ROUND_INTERVAL;
            let round = match index::list_stored(&db, is_stat, ROUND_MAX) {
                Ok(round) => round,
                Err(error) => {
                    tracing::error!(%error, "the coder cannot read the index");
                    Vec::new()
                }
            };
            // Outside of the runtime: handing over waits for the commit by blocking this thread.
            for object in self.heads.unknown_series(&round) {
                let uids = (&object.study_instance_uid, &object.series_instance_uid);
                match index::find_first_of_series(&db, uids.0, uids.1) {
                    Ok(first) => first.into_iter().for_each(|first| self.heads.know(first)),
                    Err(error) => tracing::error!(%error, "the coder cannot read the index"),
                }
            }
            let progressed = !round.is_empty() && self.code_round(round, is_stat, &mut failed_reads);
            runtime.block_on(async {
                let rest = async {
                    if progressed {
                        tokio::time::sleep_until(round_ends.into()).await;
                    } else {
                        self.wait_for_work(is_stat).await;
                    }
                };
                tokio::select! {
                    () = shared.stopping.cancelled() => {}
                    () = rest => {}
                }
            });
        }
    }

    /// Waits until objects were stored, or a failed attempt may be made again. The stat lane is the one that is rung;
    /// it passes it on.
    async fn wait_for_work(&self, is_stat: bool) {
        let rung = if is_stat {
            &self.shared.coder_wake
        } else {
            &self.wake_others
        };
        tokio::select! {
            () = rung.notified() => {}
            () = tokio::time::sleep(self.shared.options.coder_retry) => {}
        }
        if is_stat {
            self.wake_others.notify_one();
        }
    }

    /// Codes a round; false when nothing of it could be finished now.
    fn code_round(
        &self,
        mut round: Vec<StoredObject>,
        is_stat: bool,
        failed_reads: &mut FailedReads,
    ) -> bool {
        {
            let mut in_work = self.in_work();
            round.retain(|object| in_work.insert(object.object_id.clone()));
        }
        let taken: Vec<ObjectId> = round.iter().map(|object| object.object_id.clone()).collect();
        let _urgent = is_stat.then(|| self.turns.begin_urgent());
        let n_threads = match self.shared.is_receiving() {
            true => self.turns.n_threads().saturating_sub(1).max(1),
            false => self.turns.n_threads(),
        };
        let n_threads = n_threads.min(round.len());
        let queue: Mutex<VecDeque<StoredObject>> = Mutex::new(round.into());
        let finished = Mutex::new(Vec::new());
        let begin_until = Instant::now() + ROUND_TIME_MAX;
        let work = || {
            let mut encoder = None;
            while Instant::now() < begin_until {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let Some(object) = next else { return };
                let outcome = self.code_one(&object, is_stat, &mut encoder);
                finished
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push((object, outcome));
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..n_threads {
                scope.spawn(|| {
                    lower_priority(is_stat);
                    work();
                });
            }
            work();
        });
        let mut finished = finished.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (object, outcome) in &mut finished {
            count_read(failed_reads, &object.object_id, outcome);
            if matches!(outcome, Outcome::Aside(..)) {
                self.heads.forget(object);
            }
        }
        let progressed = match hand_over(self.shared, finished) {
            Ok(progressed) => progressed,
            // They are made again after the next start.
            Err(SpoolError::Stopped) => false,
            Err(error) => {
                tracing::error!(%error, "containers could not be handed over; they are made again");
                false
            }
        };
        let mut in_work = self.in_work();
        for object_id in taken {
            in_work.remove(&object_id);
        }
        progressed
    }

    fn in_work(&self) -> MutexGuard<'_, HashSet<ObjectId>> {
        self.in_work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives an object up whose file could not be read too often.
fn count_read(failed_reads: &mut FailedReads, object_id: &ObjectId, outcome: &mut Outcome) {
    if !matches!(outcome, Outcome::Unreadable(_)) {
        failed_reads.remove(object_id);
        return;
    }
    let n_failed = failed_reads.entry(object_id.clone()).or_default();
    *n_failed += 1;
    if *n_failed >= READS_FAILED_MAX {
        failed_reads.remove(object_id);
        *outcome = Outcome::Aside(ObjectState::Damaged, "unreadable_in_spool");
    }
}

/// Renames, syncs the folders once, and commits the round.
fn hand_over(shared: &Arc<Shared>, finished: Vec<(StoredObject, Outcome)>) -> Result<bool, SpoolError> {
    let mut coded = Vec::new();
    let mut folders = Vec::new();
    let mut progressed = false;
    for (object, outcome) in finished {
        match outcome {
            Outcome::Coded(container, file) => {
                // All files of the round are written by now, so the first fsync does most of the work of the rest.
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
                progressed = true;
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
        progressed = true;
    }
    crash_point("coded.committed");
    Ok(progressed)
}

impl Coder<'_> {
    fn code_one(&self, object: &StoredObject, is_urgent: bool, encoder: &mut Option<Encoder>) -> Outcome {
        let read_failed = Cell::new(false);
        let coded = catch_unwind(AssertUnwindSafe(|| {
            self.try_code(object, is_urgent, encoder, &read_failed)
        }));
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

    /// Writes the container of one object under its partial name; the file is fsynced with its round.
    fn try_code(
        &self,
        object: &StoredObject,
        is_urgent: bool,
        encoder: &mut Option<Encoder>,
        read_failed: &Cell<bool>,
    ) -> Result<(CodedObject, File), ContainerError> {
        let shared = self.shared;
        let source = File::open(shared.layout.object_file(object.folder, &object.object_id));
        if let Err(error) = &source {
            read_failed.set(!layout::is_out_of_handles(error));
        }
        let source = source?;
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
            is_plain: object.is_coded_again,
            is_urgent,
        };
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
        Ok((coded, file))
    }
}

impl Coder<'_> {
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
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_object_that_cannot_be_read_is_set_aside_after_a_few_tries_and_a_full_disk_sets_nothing_aside() {
        let object_id = ObjectId::new(Uuid::from_u128(1));
        let mut failed_reads = FailedReads::new();
        let mut count = |mut outcome: Outcome| {
            count_read(&mut failed_reads, &object_id, &mut outcome);
            matches!(
                outcome,
                Outcome::Aside(ObjectState::Damaged, "unreadable_in_spool")
            )
        };
        let bad_sector = || Outcome::Unreadable(io::Error::from_raw_os_error(5));
        for _ in 1..READS_FAILED_MAX {
            assert!(!count(bad_sector()));
        }
        assert!(
            !count(Outcome::Later(io::ErrorKind::StorageFull.into())),
            "reading went well"
        );
        for _ in 1..READS_FAILED_MAX {
            assert!(!count(bad_sector()));
        }
        assert!(count(bad_sector()));
        assert!(failed_reads.is_empty());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn an_object_whose_file_cannot_be_opened_counts_as_unreadable() {
        let folder = tempfile::tempdir().unwrap();
        let options = crate::spool::SpoolOptions::new(folder.path());
        let (spool, workers) = crate::spool::Spool::open(options, crate::clock::Clock::system())
            .await
            .unwrap();
        let object = StoredObject {
            object_id: ObjectId::new(Uuid::from_u128(1)),
            seq: 1,
            folder: 1,
            study_instance_uid: "2.25.1".to_owned().try_into().unwrap(),
            series_instance_uid: "2.25.1.1".to_owned().try_into().unwrap(),
            is_coded_again: false,
            transfer_syntax: "1.2.840.10008.1.2.1".to_owned().try_into().unwrap(),
            original_sha256: [0; 32],
            original_len: 10,
        };
        let file = spool.shared.layout.object_file(1, &object.object_id);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        // A link to itself cannot be opened by anyone.
        std::os::unix::fs::symlink(&file, &file).unwrap();
        let coder = Coder::new(&spool.shared);
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
