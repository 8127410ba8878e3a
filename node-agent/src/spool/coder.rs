//! Makes the containers that travel: durable file first, then the index, then the line.
//!
//! Threads of low priority, so that intake and answers to modalities always come first. Most urgent object
//! first, in small rounds, so that a stat study overtakes at the next round. Each round shares its folder
//! fsync and its commit.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tancho_domain::ids::ObjectId;
use tancho_imaging::container::{self, ContainerError};
use tancho_imaging::scan;
use tokio::sync::oneshot;

use super::commit::Change;
use super::index::{self, CodedObject, StoredObject};
use super::layout::{self, Layout};
use super::object_file::DataSet;
use super::studies::ObjectState;
use super::{Shared, SpoolError, crash_point};

/// Objects per round.
const ROUND_MAX: usize = 32;
/// No object of a round is begun after this time, so that a stat object soon gets its turn.
const ROUND_TIME_MAX: Duration = Duration::from_millis(250);
/// Shortest time from the begin of a round to the next, so that the fsyncs and the commit of a round are shared
/// while objects arrive one after the other. The first object of a quiet agent does not wait.
const ROUND_INTERVAL: Duration = Duration::from_millis(100);
/// Bytes read or written at once.
const BUFFER_BYTES: usize = 128 * 1024;

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

/// Runs until the spool stops.
pub fn run(shared: &Arc<Shared>) {
    lower_priority();
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
    let mut db = match runtime.block_on(index::open_reader(&shared.layout.index_file())) {
        Ok(db) => db,
        Err(error) => {
            tracing::error!(%error, "the coder cannot read the index");
            return;
        }
    };
    let mut failed_reads = FailedReads::new();
    while !shared.stopping.is_cancelled() {
        let round_ends = Instant::now() + ROUND_INTERVAL;
        let round = match runtime.block_on(index::list_stored(&mut db, ROUND_MAX)) {
            Ok(round) => round,
            Err(error) => {
                tracing::error!(%error, "the coder cannot read the index");
                Vec::new()
            }
        };
        // Outside of the runtime: handing over waits for the commit by blocking this thread.
        let progressed = !round.is_empty() && code_round(shared, round, &mut failed_reads);
        if progressed {
            runtime.block_on(async {
                tokio::select! {
                    () = shared.stopping.cancelled() => {}
                    () = tokio::time::sleep_until(round_ends.into()) => {}
                }
            });
        } else {
            runtime.block_on(async {
                tokio::select! {
                    () = shared.coder_wake.notified() => {}
                    () = shared.stopping.cancelled() => {}
                    () = tokio::time::sleep(shared.options.coder_retry) => {}
                }
            });
        }
    }
}

/// Codes a round; false when nothing of it could be finished now.
fn code_round(shared: &Arc<Shared>, round: Vec<StoredObject>, failed_reads: &mut FailedReads) -> bool {
    let queue: Mutex<VecDeque<StoredObject>> = Mutex::new(round.into());
    let finished = Mutex::new(Vec::new());
    let begin_until = Instant::now() + ROUND_TIME_MAX;
    let work = || {
        while Instant::now() < begin_until {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(object) = next else { return };
            let outcome = code_one(shared, &object);
            finished
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((object, outcome));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..shared.options.coder_threads {
            scope.spawn(|| {
                lower_priority();
                work();
            });
        }
        work();
    });
    let mut finished = finished.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (object, outcome) in &mut finished {
        count_read(failed_reads, &object.object_id, outcome);
    }
    match hand_over(shared, finished) {
        Ok(progressed) => progressed,
        // They are made again after the next start.
        Err(SpoolError::Stopped) => false,
        Err(error) => {
            tracing::error!(%error, "containers could not be handed over; they are made again");
            false
        }
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
                file.sync_data()?;
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
        layout::sync_folder(&folder)?;
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

fn code_one(shared: &Shared, object: &StoredObject) -> Outcome {
    let read_failed = Cell::new(false);
    let coded = catch_unwind(AssertUnwindSafe(|| try_code(shared, object, &read_failed)));
    match coded {
        Ok(Ok((coded, file))) => Outcome::Coded(coded, file),
        Ok(Err(ContainerError::SourceChanged)) => Outcome::Aside(ObjectState::Damaged, "damaged_in_spool"),
        Ok(Err(ContainerError::Io(error))) if error.kind() == io::ErrorKind::NotFound => {
            Outcome::Aside(ObjectState::Damaged, "missing_in_spool")
        }
        Ok(Err(ContainerError::Io(error))) if read_failed.get() => Outcome::Unreadable(error),
        Ok(Err(ContainerError::Io(error))) => Outcome::Later(error),
        Ok(Err(error)) => Outcome::Aside(ObjectState::Refused, error.code()),
        Err(_) => Outcome::Aside(ObjectState::Refused, "coder_panicked"),
    }
}

/// Writes the container of one object under its partial name; the file is fsynced with its round.
fn try_code(
    shared: &Shared,
    object: &StoredObject,
    read_failed: &Cell<bool>,
) -> Result<(CodedObject, File), ContainerError> {
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
        scan::scan(&mut source, &object.transfer_syntax, &shared.options.limits).map_err(
            |error| match error {
                scan::ScanError::Io(error) => ContainerError::Io(error),
                _ => ContainerError::SourceChanged,
            },
        )?;
    source.seek(SeekFrom::Start(0))?;
    let partial = shared.layout.partial_file(&object.object_id, "tanc");
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&partial)?;
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, file);
    let summary = container::encode(
        &mut source,
        &scan,
        &object.transfer_syntax,
        &object.original_sha256,
        &mut out,
    )?;
    let mut file = out
        .into_inner()
        .map_err(|error| ContainerError::Io(error.into_error()))?;
    let container_sha256 = container::digest(&mut file)?;
    let coded = CodedObject {
        object_id: object.object_id.clone(),
        container_len: summary.container_len,
        container_sha256,
        head_end: summary.head_end,
    };
    Ok((coded, file))
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

/// Lets intake run first on a small machine.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 10) {
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
            folder: 1,
            transfer_syntax: "1.2.840.10008.1.2.1".to_owned().try_into().unwrap(),
            original_sha256: [0; 32],
            original_len: 10,
        };
        let file = spool.shared.layout.object_file(1, &object.object_id);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        // A link to itself cannot be opened by anyone.
        std::os::unix::fs::symlink(&file, &file).unwrap();
        assert!(matches!(code_one(&spool.shared, &object), Outcome::Unreadable(_)));
        fs::remove_file(&file).unwrap();
        let missing = code_one(&spool.shared, &object);
        assert!(matches!(
            missing,
            Outcome::Aside(ObjectState::Damaged, "missing_in_spool")
        ));
        spool.stop();
        workers.join().await;
    }
}
