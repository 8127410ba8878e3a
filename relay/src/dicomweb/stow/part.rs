//! One part of a request: from a file that nobody can trust to a stored instance, or the reason why not.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::num::NonZeroUsize;
use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tancho_domain::dicom::{
    Priority, SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid,
};
use tancho_domain::ids::{NetworkId, StudyId};
use tancho_imaging::container::{self, Coding, CodingTurns, Container, ContainerError, Encoder, Object};
use tancho_imaging::limits::ScanLimits;
use tancho_imaging::part10::{self, Part10Error};
use tancho_imaging::scan::{self, ScanError};
use tancho_store::StoreError;
use tancho_store::audit::{self, Entry};
use tancho_store::studies::{self, InstanceState, KnownInstance, Origin, Relation, VerifiedInstance};
use tancho_wire::Digest;
use tancho_wire::frame::OfferItem;
use tancho_wire::transfer::OfferedInstance;
use tempfile::NamedTempFile;
use tokio::io::AsyncSeekExt as _;
use tracing::Instrument as _;

use super::Turn;
use crate::blobs::BlobError;
use crate::decoding::DecodeFault;
use crate::error::ApiError;
use crate::http::caller::Caller;
use crate::ingest::head::{self, HeadFault, Heads};
use crate::ingest::incoming::UPLOAD_PREFIX;
use crate::ingest::requests::{Arrival, Arrivals};
use crate::ingest::space;
use crate::ingest::status;
use crate::ingest::verify::{self, VerifyFault};
use crate::state::AppState;

/// Memory that coding one object may take besides one frame, in bytes.
const CODING_BYTES: u64 = 64 << 20;

/// Room that storing a file may take at its worst, in lengths of the file: the file itself is there, its planes are
/// gathered, the container is written, and proving it may gather them once more.
const ROOM_PER_BYTE: u64 = 4;

/// Warning Reason (0008,1196), PS3.18 section I.2.1: the data set does not match what it was stored to. Here it is kept, but
/// what is shown under its UID is another content, or its study is another patient's.
const KEPT_ASIDE: u16 = 0xB007;

/// Failure Reason (0008,1197), PS3.18 section I.2.2.
pub(super) mod reason {
    /// Processing failure.
    pub const PROCESSING_FAILED: u16 = 0x0110;
    /// Refused out of resources.
    pub const OUT_OF_RESOURCES: u16 = 0xA700;
    /// Data set does not match what it was stored as: here, another study.
    pub const OTHER_STUDY: u16 = 0xA900;
    /// Cannot understand.
    pub const NOT_UNDERSTOOD: u16 = 0xC000;
}

/// A part that is not stored.
#[derive(Debug)]
pub(super) struct Failure {
    /// SOP Class and SOP Instance UID, where they are known.
    pub(super) identity: Option<(SopClassUid, SopInstanceUid)>,
    pub(super) reason: u16,
}

impl Failure {
    /// The item of Failed SOP Sequence or Other Failures Sequence.
    pub(super) fn item(&self) -> Value {
        let mut item = json!({ "00081197": { "vr": "US", "Value": [self.reason] } });
        if let Some((class, instance)) = &self.identity {
            item["00081150"] = json!({ "vr": "UI", "Value": [class.as_str()] });
            item["00081155"] = json!({ "vr": "UI", "Value": [instance.as_str()] });
        }
        item
    }
}

/// What the parts of a request have in common.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) caller: Caller,
    pub(super) origin: Origin,
    /// The only study whose instances are taken; any without it.
    pub(super) study: Option<StudyInstanceUid>,
    /// Held until the last part's work has ended, also when the client has gone.
    pub(super) _turn: Turn,
}

/// An instance that is durable.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) study_id: StudyId,
    is_shown: bool,
    series_instance_uid: SeriesInstanceUid,
    sop_class_uid: SopClassUid,
    sop_instance_uid: SopInstanceUid,
}

impl Stored {
    /// Whether its address gives what was stored.
    pub(super) fn is_shown(&self) -> bool {
        self.is_shown
    }

    /// The item of Referenced SOP Sequence. Retrieve URL has no value for what is not shown.
    pub(super) fn item(&self) -> Value {
        let address = format!(
            "/dicom-web/studies/{}/series/{}/instances/{}",
            self.study_id, self.series_instance_uid, self.sop_instance_uid
        );
        let mut item = json!({
            "00081150": { "vr": "UI", "Value": [self.sop_class_uid.as_str()] },
            "00081155": { "vr": "UI", "Value": [self.sop_instance_uid.as_str()] },
            "00081190": { "vr": "UR" },
        });
        if self.is_shown {
            item["00081190"]["Value"] = json!([address]);
        } else {
            item["00081196"] = json!({ "vr": "US", "Value": [KEPT_ASIDE] });
        }
        item
    }
}

/// Why an object is not stored.
enum Fault {
    /// By its own fault; the answer says so.
    Refused(Failure),
    /// By ours; the request ends.
    Failed(ApiError),
}

impl From<ApiError> for Fault {
    fn from(error: ApiError) -> Self {
        Self::Failed(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Failed(ApiError::unavailable(error))
    }
}

/// An object in its container.
struct Coded {
    offered: OfferedInstance,
    container: NamedTempFile,
}

impl Coded {
    fn identity(&self) -> (SopClassUid, SopInstanceUid) {
        (
            self.offered.sop_class_uid.clone(),
            self.offered.item.sop_instance_uid.clone(),
        )
    }

    /// The answer for an instance that is durable as `known`.
    fn stored(&self, known: &KnownInstance) -> Stored {
        Stored {
            study_id: known.study_id.clone(),
            is_shown: known.state != InstanceState::Held
                && (known.revision == 1 || known.relation != Relation::Conflict),
            series_instance_uid: self.offered.series_instance_uid.clone(),
            sop_class_uid: self.offered.sop_class_uid.clone(),
            sop_instance_uid: self.offered.item.sop_instance_uid.clone(),
        }
    }
}

/// Stores the DICOM file of one part. An error of ours ends the request; what was stored before stays. A client that goes
/// away neither stops it between blob and rows nor frees turns while it works.
pub(super) async fn store(
    app: &AppState,
    request: &Arc<Request>,
    file: NamedTempFile,
) -> Result<Result<Stored, Failure>, ApiError> {
    let (of, request) = (app.clone(), Arc::clone(request));
    let task = app
        .tasks
        .spawn(async move { try_store(&of, &request, file).await }.in_current_span());
    match task.await.map_err(ApiError::internal)? {
        Ok(stored) => Ok(Ok(stored)),
        Err(Fault::Refused(failure)) => Ok(Err(failure)),
        Err(Fault::Failed(error)) => Err(error),
    }
}

async fn try_store(app: &AppState, request: &Request, file: NamedTempFile) -> Result<Stored, Fault> {
    let codings = &app.dicomweb.storing.codings;
    let _turn = tokio::select! {
        turn = codings.acquire() => turn.map_err(ApiError::internal)?,
        () = app.shutdown.cancelled() => return Err(ApiError::unavailable("the relay is stopping").into()),
    };
    let now_ms = app.now_ms();
    let origin = &request.origin;
    let wanted = request.study.clone();
    let scratch = app.incoming.dir().to_owned();
    let file = look(app, &request.origin.network_id, file).await?;
    let coded = blocking(move || code(file, wanted.as_ref(), &scratch, now_ms)).await?;
    let item = coded.offered.item.clone();
    let mut tx = app.db.read().await?;
    let original = item.original_sha256.hex();
    let known = studies::find_by_original(&mut tx, origin, &item.sop_instance_uid, &original).await?;
    let first = studies::find_first_revision(&mut tx, origin, &item.sop_instance_uid).await?;
    drop(tx);
    if let Some(known) = &known
        && let Some(digest) = Digest::parse_hex(&known.container_sha256)
        && app.blobs.exists(&origin.network_id, &digest.0).unwrap_or(false)
    {
        return Ok(coded.stored(known));
    }
    let heads = Heads {
        network_id: origin.network_id.clone(),
        dictionaries: Arc::clone(&app.dictionaries),
    };
    let is_copy = first
        .as_ref()
        .is_some_and(|first| first.original_sha256 == original);
    let first = first.and_then(|first| Digest::parse_hex(&first.container_sha256));
    let (blobs, network_id) = (app.blobs.clone(), origin.network_id.clone());
    let scratch = app.incoming.dir().to_owned();
    let verifying = app.clone();
    let (coded, head, relation) = blocking(move || {
        let refused = |coded: &Coded| {
            Fault::Refused(Failure {
                identity: Some(coded.identity()),
                reason: reason::NOT_UNDERSTOOD,
            })
        };
        let open = |coded: &Coded| File::open(coded.container.path());
        // The proof that a receipt over the line needs.
        let proved = verifying
            .verifications
            .verify(open(&coded)?, &coded.offered.item, &heads);
        proved.map_err(|fault| match fault {
            VerifyFault::Io(error) => Fault::from(error),
            _ => refused(&coded),
        })?;
        let head = head::read_head_of_whole(open(&coded)?, &coded.offered, &heads);
        let head = head.map_err(|fault| match fault {
            HeadFault::Io(error) => Fault::from(error),
            _ => refused(&coded),
        })?;
        // Doubt is a conflict: both are kept and people are told.
        let relation = match first {
            None => Relation::First,
            Some(_) if is_copy => Relation::Reencoding,
            Some(first) => blobs
                .file(&network_id, &first.0)
                .ok()
                .zip(open(&coded).ok())
                .and_then(|(first, second)| verify::relation_between(first, second, &scratch, &heads).ok())
                .unwrap_or(Relation::Conflict),
        };
        let digest = coded.offered.item.container_sha256;
        blobs
            .put_file(&network_id, &digest.0, coded.container.path())
            .map_err(|error| match error {
                BlobError::Io(error) | BlobError::NotDurable(error) => Fault::from(error),
                other => Fault::Failed(ApiError::internal(other)),
            })?;
        Ok((coded, head, relation))
    })
    .await?;
    let mut tx = app.db.write().await?;
    let arrived = head.begin(&mut tx, origin, &coded.offered, now_ms).await?;
    // Joins a request that waits for the study, or says that images came late, as for those of the line.
    let mut arrivals = Arrivals::default();
    let arrival = Arrival {
        offered: &coded.offered,
        head: &head,
        instance: &arrived,
    };
    arrivals.note(app, &mut tx, origin, &arrival, now_ms).await?;
    let verified = VerifiedInstance {
        instance_id: &arrived.instance_id,
        relation: if arrived.revision == 1 {
            Relation::First
        } else if relation == Relation::First {
            Relation::Conflict
        } else {
            relation
        },
    };
    match studies::verify_instance(&mut tx, origin, &verified, now_ms).await {
        // The same bytes were stored at the same time; their blob is one.
        Err(StoreError::Stale) if !arrived.instance_is_new => {}
        done => done?,
    }
    // A known one without its blob: this copy, coded in another way, takes its place.
    if let Some(lost) = known.filter(|lost| lost.id != arrived.instance_id)
        && lost.state == InstanceState::Verified
        && lost.revision == 1
        && !arrived.held
    {
        match studies::replace_lost_first(&mut tx, origin, &lost.id, &arrived.instance_id).await {
            // Another copy that came at the same time took it.
            Err(StoreError::Stale) => {}
            done => done?,
        }
    }
    let container = item.container_sha256.hex();
    let known = studies::find_by_container(&mut tx, origin, &container).await?;
    let known = known.ok_or_else(|| ApiError::internal("an instance that was just recorded is gone"))?;
    let detail = json!({
        "instance_id": arrived.instance_id.as_str(),
        "original_sha256": original,
        "is_conflict": verified.relation == Relation::Conflict,
    });
    let entry = Entry::done(
        &request.caller.principal,
        "store_instances",
        "study",
        arrived.study_id.as_str(),
    );
    let entry = entry
        .with_request_id(&request.caller.request_id)
        .with_detail(detail);
    audit::append(&mut tx, &origin.network_id, entry, now_ms).await?;
    tx.commit().await?;
    arrivals
        .events
        .into_iter()
        .for_each(|event| app.events.publish(event));
    app.jobs_waiting.notify_one();
    if arrived.held && arrived.instance_is_new {
        tracing::error!(alarm = "patient_mismatch_held", study.id = %arrived.study_id,
            instance.id = %arrived.instance_id, site.id = %origin.site_id,
            "an instance of another patient came under a study and is held aside");
    }
    status::publish_study(app, &origin.network_id, &arrived.study_id).await;
    Ok(coded.stored(&known))
}

/// Has a worker read the data set first: what ends the scanner, or lets it take more than a worker may, costs that process
/// and this part. What the scanner refuses is refused by [`code`], which can say more.
async fn look(app: &AppState, network_id: &NetworkId, file: NamedTempFile) -> Result<NamedTempFile, Fault> {
    let mut source = tokio::fs::File::from_std(file.reopen()?);
    let (file, meta) = blocking(move || {
        let meta = part10::split(&mut BufReader::new(file.reopen()?));
        Ok((file, meta))
    })
    .await?;
    let Ok(meta) = meta else { return Ok(file) };
    let begin = source.seek(SeekFrom::Start(meta.data_set_offset)).await?;
    let len = source.metadata().await?.len().saturating_sub(begin);
    let looked = app
        .decoders
        .scan(network_id, &meta.transfer_syntax, &mut source, len)
        .await;
    match looked {
        Ok(()) | Err(DecodeFault::Refused) => Ok(file),
        Err(DecodeFault::Died | DecodeFault::Marked) => Err(refusal(
            meta.sop_class_uid.zip(meta.sop_instance_uid),
            reason::PROCESSING_FAILED,
        )),
        Err(DecodeFault::Unavailable) => {
            Err(ApiError::unavailable("no worker reads what was uploaded").into())
        }
    }
}

/// Looks at a file and writes its container, proved frame by frame.
fn code(
    file: NamedTempFile,
    study: Option<&StudyInstanceUid>,
    scratch: &std::path::Path,
    now_ms: i64,
) -> Result<Coded, Fault> {
    let limits = ScanLimits::default();
    let mut source = BufReader::new(file.reopen()?);
    let meta = part10::split(&mut source).map_err(|error| match error {
        Part10Error::Io(error) => Fault::from(error),
        _ => refusal(None, reason::NOT_UNDERSTOOD),
    })?;
    let stated = meta.sop_class_uid.clone().zip(meta.sop_instance_uid.clone());
    let room = file.as_file().metadata()?.len().saturating_mul(ROOM_PER_BYTE);
    if !space::has_room(scratch, room).unwrap_or(true) {
        return Err(refusal(stated, reason::OUT_OF_RESOURCES));
    }
    let mut data_set = DataSet::new(source, meta.data_set_offset)?;
    let scan = scan::scan(&mut data_set, &meta.transfer_syntax, &limits).map_err(|error| match error {
        ScanError::Io(error) => Fault::from(error),
        other => {
            tracing::info!(code = other.code(), "an object was not stored");
            refusal(stated, reason::NOT_UNDERSTOOD)
        }
    })?;
    // Files are renamed and their headers forgotten: what the data set says counts, as everywhere.
    let identity = &scan.identity;
    let named = (identity.sop_class_uid.clone(), identity.sop_instance_uid.clone());
    if study.is_some_and(|study| *study != identity.study_instance_uid) {
        return Err(refusal(Some(named), reason::OTHER_STUDY));
    }
    data_set.rewind()?;
    let original_sha256 = digest_of(&mut data_set)?;
    let object = Object {
        scan: &scan,
        transfer_syntax: &meta.transfer_syntax,
        original_sha256: &original_sha256,
    };
    let n_threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let turns = CodingTurns::new(n_threads.min(2), CODING_BYTES);
    let mut encoder = Encoder::new(Arc::new(turns))?;
    let mut gathered = tempfile::tempfile_in(scratch)?;
    let container = NamedTempFile::with_prefix_in(UPLOAD_PREFIX, scratch)?;
    let mut out = container.reopen()?;
    let coded = encoder.encode(
        &mut data_set,
        &object,
        &Coding::default(),
        &mut gathered,
        &mut out,
    );
    let summary = coded.map_err(|error| match error {
        ContainerError::Io(error) => Fault::from(error),
        _ => refusal(Some(named.clone()), reason::PROCESSING_FAILED),
    })?;
    let container_sha256 = container::digest(&mut out)?;
    let opened = Container::open(out).map_err(|error| Fault::Failed(ApiError::internal(error)))?;
    let header = opened.header();
    let offered = OfferedInstance {
        study_instance_uid: identity.study_instance_uid.clone(),
        series_instance_uid: identity.series_instance_uid.clone(),
        sop_class_uid: named.0,
        transfer_syntax_uid: TransferSyntaxUid::clone(&meta.transfer_syntax),
        calling_ae: String::new(),
        called_ae: String::new(),
        priority: Priority::Routine,
        item: OfferItem {
            container_sha256: Digest(container_sha256),
            container_len: summary.container_len,
            head_end: header.head_end(),
            sop_instance_uid: named.1,
            original_sha256: Digest(original_sha256),
            original_len: header.original_len,
            received_at_ms: now_ms,
            preview_end: header.preview_end(),
        },
    };
    Ok(Coded { offered, container })
}

fn refusal(identity: Option<(SopClassUid, SopInstanceUid)>, reason: u16) -> Fault {
    Fault::Refused(Failure { identity, reason })
}

fn digest_of(source: &mut impl Read) -> io::Result<[u8; 32]> {
    let mut sha = Sha256::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        match source.read(&mut piece)? {
            0 => return Ok(sha.finalize().into()),
            n_read => sha.update(&piece[..n_read]),
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // The object's fault, as far as the others of the request are concerned.
        Err(error) if error.is_panic() => {
            tracing::error!(%error, "storing an object failed in a way that is not foreseen");
            Err(refusal(None, reason::PROCESSING_FAILED))
        }
        Err(error) => Err(Fault::Failed(ApiError::internal(error))),
    }
}

/// The data set of a file as if nothing stood before it.
struct DataSet<R> {
    file: R,
    begin: u64,
}

impl<R: Read + Seek> DataSet<R> {
    fn new(mut file: R, begin: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(begin))?;
        Ok(Self { file, begin })
    }
}

impl<R: Read> Read for DataSet<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.file.read(out)
    }
}

impl<R: Seek> Seek for DataSet<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(at) => SeekFrom::Start(self.begin.saturating_add(at)),
            other => other,
        };
        let at = self.file.seek(to)?;
        at.checked_sub(self.begin)
            .ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_would_fill_the_disk_is_refused_before_anything_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let (transfer_syntax, class, instance) = (
            TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap(),
            SopClassUid::parse("1.2.840.10008.5.1.4.1.1.2").unwrap(),
            SopInstanceUid::parse("2.25.7").unwrap(),
        );
        let reason_of = |len: u64| {
            let file = NamedTempFile::new_in(dir.path()).unwrap();
            let header = part10::header(&transfer_syntax, &class, &instance);
            std::fs::write(file.path(), header).unwrap();
            // Sparse: it takes no room itself.
            file.as_file().set_len(len).unwrap();
            match code(file, None, dir.path(), 0).err().unwrap() {
                Fault::Refused(failure) => (failure.reason, failure.identity.map(|(_, uid)| uid)),
                Fault::Failed(error) => panic!("{error:?}"),
            }
        };
        let named = Some(instance.clone());
        assert_eq!(reason_of(8 << 40), (reason::OUT_OF_RESOURCES, named.clone()));
        assert_eq!(reason_of(4096), (reason::NOT_UNDERSTOOD, named));
    }
}
