//! What the receiver asks for: look up what is held, write the rows of heads, verify and commit whole containers.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tancho_domain::ids::NetworkId;
use tancho_imaging::container::{Container, ContainerError};
use tancho_store::StoreError;
use tancho_store::studies::{self, ArrivedInstance, KnownInstance, Relation};
use tancho_wire::Digest;
use tancho_wire::frame::{OfferItem, Receipt, Refusal, RefusalKind};
use tancho_wire::transfer::{Action, Finish, Holding, OfferedInstance, refuse_final, refuse_later};

use super::data::{DISK_RETRY_MS, disk_code};
use super::{End, Session, lock};
use crate::blobs::{BlobError, Blobs};
use crate::durable::crash_point;
use crate::ingest::commit::Verified;
use crate::ingest::dictionaries::HeadDigest;
use crate::ingest::head::{self, Head, HeadFault, HeadRead, Heads};
use crate::ingest::incoming::part_key;
use crate::ingest::verify::{self, VerifyFault};
use crate::ingest::{requests, status};

/// Heads written in one transaction.
const HEADS_AT_ONCE_MAX: usize = 128;
/// How long a node waits before it offers again what the store did not take.
const STORE_RETRY_MS: u64 = 5_000;
/// How long a node waits while another connection verifies the same container.
const BUSY_RETRY_MS: u64 = 2_000;
/// Transfers of one container whose bytes turned out wrong before it is refused.
const BAD_DIGESTS_MAX: u32 = 3;
/// Containers of a series that are looked through for the head that others need; it came with the first.
const CONTAINERS_SEARCHED_MAX: i64 = 256;

/// A whole container that waits for its verification.
#[derive(Debug, Clone)]
enum Whole {
    Part(PathBuf),
    Blob(Blobs, NetworkId, Digest),
}

impl Whole {
    fn open(&self) -> io::Result<File> {
        match self {
            Self::Part(path) => File::open(path),
            Self::Blob(blobs, network_id, digest) => {
                blobs.file(network_id, &digest.0).map_err(|error| match error {
                    BlobError::Io(error) => error,
                    other => io::Error::new(io::ErrorKind::NotFound, other),
                })
            }
        }
    }
}

type HeadsRead = Vec<(OfferedInstance, Result<HeadRead, HeadFault>)>;

/// Heads that wait for the head they are coded with, by its digest. They are as many as offers are open.
#[derive(Debug, Default)]
pub(super) struct HeadsWaiting(HashMap<HeadDigest, Vec<Digest>>);

impl HeadsWaiting {
    /// Adds a head; whether it is the first that waits for this one.
    fn wait(&mut self, dictionary: HeadDigest, digest: Digest) -> bool {
        let waiting = self.0.entry(dictionary).or_default();
        waiting.push(digest);
        waiting.len() == 1
    }

    /// The container is answered.
    fn forget(&mut self, digest: &Digest) {
        for waiting in self.0.values_mut() {
            waiting.retain(|other| other != digest);
        }
        self.0.retain(|_, waiting| !waiting.is_empty());
    }

    fn take(&mut self, dictionary: &HeadDigest) -> Vec<Digest> {
        self.0.remove(dictionary).unwrap_or_default()
    }
}

impl Session {
    pub(super) async fn work(self: Arc<Self>) -> End {
        loop {
            let actions: Vec<Action> = {
                let mut receiver = self.receiver();
                std::iter::from_fn(|| receiver.poll_action()).collect()
            };
            if actions.is_empty() {
                self.working.notified().await;
                continue;
            }
            let (mut lookups, mut heads, mut complete) = (Vec::new(), Vec::new(), Vec::new());
            let mut previews = Vec::new();
            for action in actions {
                match action {
                    Action::Lookup(offered) => lookups.push(*offered),
                    Action::HeadComplete(digest) => heads.push(digest),
                    Action::PreviewArrived(digest) => previews.push(digest),
                    Action::Complete(digest) => complete.push(digest),
                }
            }
            self.look_up(lookups).await;
            for digests in heads.chunks(HEADS_AT_ONCE_MAX) {
                let mut readable = digests.to_vec();
                while !readable.is_empty() {
                    readable = self.begin_heads(&readable).await;
                }
            }
            self.begin_previews(&previews).await;
            for digest in complete {
                // Not tied to the connection: what is whole is finished even if its node is gone meanwhile.
                self.app.tasks.spawn(Arc::clone(&self).finish_container(digest));
            }
        }
    }

    async fn look_up(&self, lookups: Vec<OfferedInstance>) {
        if lookups.is_empty() {
            return;
        }
        let answers = self.find_holdings(&lookups).await.unwrap_or_else(|error| {
            tracing::error!(%error, "offers could not be looked up");
            lookups
                .iter()
                .map(|offered| later_store(offered.item.container_sha256))
                .collect()
        });
        self.with_receiver(|receiver| {
            for (offered, holding) in lookups.iter().zip(answers) {
                receiver.answer(&offered.item.container_sha256, holding);
            }
        });
        self.looked_up.notify_waiters();
    }

    async fn find_holdings(&self, lookups: &[OfferedInstance]) -> Result<Vec<Holding>, StoreError> {
        let mut tx = self.app.db.read().await?;
        let mut holdings = Vec::with_capacity(lookups.len());
        for offered in lookups {
            let digest = offered.item.container_sha256;
            let key = part_key(&self.origin.site_id, digest);
            if self.app.incoming.is_busy(&key) {
                let text = "the same container is being verified or thrown away";
                holdings.push(Holding::Refused(refuse_later(
                    digest,
                    "busy",
                    text,
                    BUSY_RETRY_MS,
                )));
                continue;
            }
            let mut known = studies::find_by_container(&mut tx, &self.origin, &digest.hex()).await?;
            if known.is_none() {
                // The same bytes from the same site in another container: a node that forgot codes them anew.
                let (uid, original) = (&offered.item.sop_instance_uid, offered.item.original_sha256.hex());
                known = studies::find_by_original(&mut tx, &self.origin, uid, &original).await?;
            }
            let durable = known
                .filter(|known| known.verified_at_ms.is_some() && self.has_blob(&known.container_sha256))
                .and_then(|known| receipt_of(&digest, &known));
            holdings.push(match durable {
                Some(receipt) => Holding::Durable(receipt),
                None => {
                    let Some(promise) = self.app.incoming.promise(&key, offered.item.container_len) else {
                        tracing::error!(alarm = "disk_full", "the disk is full: nodes are told to wait");
                        holdings.push(Holding::Refused(disk_full(digest)));
                        continue;
                    };
                    lock(&self.promises).insert(digest, promise);
                    Holding::Partial(self.app.incoming.held(&key))
                }
            });
        }
        Ok(holdings)
    }

    /// Whether the container's blob is there. An instance whose blob was lost is asked for again: its receipt would let
    /// the site delete the last copy.
    fn has_blob(&self, container_sha256: &str) -> bool {
        let Some(digest) = Digest::parse_hex(container_sha256) else {
            return false;
        };
        let is_there = self.app.blobs.exists(&self.origin.network_id, &digest.0);
        if !matches!(is_there, Ok(true)) {
            tracing::error!(container = %digest, "a stored container is missing; it is received again");
        }
        is_there.unwrap_or(false)
    }

    /// Reads heads that are there and writes their rows, so that lists show the instances while the rest arrives.
    /// Gives those that waited for one of these and can be read now.
    async fn begin_heads(&self, digests: &[Digest]) -> Vec<Digest> {
        let offered: Vec<OfferedInstance> = {
            let receiver = self.receiver();
            digests
                .iter()
                .filter_map(|digest| receiver.offered(digest).cloned())
                .collect()
        };
        let paths: Vec<PathBuf> = offered
            .iter()
            .map(|offered| self.part_path(&offered.item.container_sha256))
            .collect();
        let at_hand = self.heads_at_hand();
        let read = tokio::task::spawn_blocking(move || -> HeadsRead {
            let read = |(offered, path): (OfferedInstance, PathBuf)| {
                let head = head::read_head(&path, &offered, &at_hand);
                (offered, head)
            };
            offered.into_iter().zip(paths).map(read).collect()
        });
        let Ok(read) = read.await else { return Vec::new() };
        let mut heads = Vec::new();
        let mut dictionaries: Vec<HeadDigest> = Vec::new();
        for (offered, head) in read {
            match head {
                Ok(HeadRead::Head(head)) => {
                    dictionaries.extend(head.serves_as);
                    heads.push((offered, head));
                }
                Ok(HeadRead::NeedsWhole) => {}
                Ok(HeadRead::NeedsDictionary(sha256)) => {
                    let digest = offered.item.container_sha256;
                    let is_first = lock(&self.heads_waiting).wait(sha256, digest);
                    if is_first && self.find_dictionary(&offered, &sha256).await {
                        dictionaries.push(sha256);
                    }
                }
                // Moved to the blob store by a run that ended before its commit; read when it is finished.
                Err(HeadFault::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(HeadFault::Io(error)) => self.put_head_off(&offered, &error),
                // Only the whole container's digest tells whether the site or our disk is wrong; it is read again then.
                Err(fault) => {
                    let (digest, code) = (offered.item.container_sha256, fault.code());
                    tracing::warn!(container = %digest, code, "a head that came is not what was offered");
                }
            }
        }
        match self.write_heads(&heads).await {
            Ok(()) => {}
            // One that the store does not take must not keep the others of its transaction from the lists.
            Err(error) if heads.len() > 1 && !matches!(error, StoreError::Unavailable(_)) => {
                for head in &heads {
                    if let Err(error) = self.write_heads(std::slice::from_ref(head)).await {
                        self.put_rows_off(std::slice::from_ref(head), &error);
                    }
                }
            }
            Err(error) => self.put_rows_off(&heads, &error),
        }
        let mut waiting = lock(&self.heads_waiting);
        dictionaries
            .iter()
            .flat_map(|sha256| waiting.take(sha256))
            .collect()
    }

    fn heads_at_hand(&self) -> Heads {
        Heads {
            network_id: self.origin.network_id.clone(),
            dictionaries: Arc::clone(&self.app.dictionaries),
        }
    }

    /// Looks for the head that another head needs in the containers of its series, arriving or stored: memory forgets.
    async fn find_dictionary(&self, offered: &OfferedInstance, sha256: &HeadDigest) -> bool {
        let listed = async {
            let mut tx = self.app.db.read().await?;
            let uids = (&offered.study_instance_uid, &offered.series_instance_uid);
            studies::list_containers_of_series(&mut tx, &self.origin, uids, CONTAINERS_SEARCHED_MAX).await
        };
        let listed = match listed.await {
            Ok(listed) => listed,
            Err(error) => {
                tracing::warn!(%error, "the containers of a series could not be looked through for a head");
                return false;
            }
        };
        let containers: Vec<Whole> = listed
            .iter()
            .filter_map(|name| self.whole(&Digest::parse_hex(name)?))
            .collect();
        let (at_hand, wanted) = (self.heads_at_hand(), *sha256);
        let search = move || {
            containers.iter().any(|container| {
                let found = container.open().map_err(ContainerError::Io).and_then(|file| {
                    let container = Container::open_part(file)?;
                    at_hand
                        .dictionaries
                        .take_head(&at_hand.network_id, container, &wanted)
                });
                found.unwrap_or(false)
            })
        };
        tokio::task::spawn_blocking(search).await.unwrap_or(false)
    }

    fn put_rows_off(&self, heads: &[(OfferedInstance, Box<Head>)], error: &StoreError) {
        tracing::error!(%error, n_heads = heads.len(), "heads could not be recorded");
        self.with_receiver(|receiver| {
            for (offered, _) in heads {
                receiver.refuse(store_away(offered.item.container_sha256));
            }
        });
    }

    async fn write_heads(&self, heads: &[(OfferedInstance, Box<Head>)]) -> Result<(), StoreError> {
        if heads.is_empty() {
            return Ok(());
        }
        let now_ms = self.app.now_ms();
        let mut tx = self.app.db.write().await?;
        let mut arrived: Vec<(Digest, ArrivedInstance)> = Vec::with_capacity(heads.len());
        let mut arrivals = requests::Arrivals::default();
        for (offered, head) in heads {
            let instance = head.begin(&mut tx, &self.origin, offered, now_ms).await?;
            let arrival = requests::Arrival {
                offered,
                head,
                instance: &instance,
            };
            arrivals
                .note(&self.app, &mut tx, &self.origin, &arrival, now_ms)
                .await?;
            arrived.push((offered.item.container_sha256, instance));
        }
        tx.commit().await?;
        arrivals
            .events
            .into_iter()
            .for_each(|event| self.app.events.publish(event));
        self.app.jobs_waiting.notify_one();
        let mut studies: Vec<_> = arrived
            .iter()
            .map(|(_, instance)| instance.study_id.clone())
            .collect();
        studies.sort_unstable();
        studies.dedup();
        for (_, instance) in &arrived {
            if instance.held && instance.instance_is_new {
                tracing::error!(alarm = "patient_mismatch_held", study.id = %instance.study_id,
                    instance.id = %instance.instance_id, site.id = %self.origin.site_id,
                    "an instance of another patient came under a study and is held aside");
            }
        }
        for ((digest, instance), (offered, _)) in arrived.iter().zip(heads) {
            if !instance.held && instance.revision == 1 {
                let key = part_key(&self.origin.site_id, *digest);
                let held = self.app.incoming.held(&key).len();
                let len = offered.item.container_len;
                self.app
                    .flows
                    .on_listed(&instance.study_id, key, len, held, now_ms);
            }
        }
        lock(&self.heads).extend(arrived);
        for study_id in studies {
            status::publish_study(&self.app, &self.origin.network_id, &study_id).await;
        }
        Ok(())
    }

    fn put_head_off(&self, offered: &OfferedInstance, error: &io::Error) {
        let digest = offered.item.container_sha256;
        tracing::error!(container = %digest, %error, "a head could not be read");
        let text = "the relay's disk failed";
        let refusal = refuse_later(digest, disk_code(error), text, STORE_RETRY_MS);
        self.with_receiver(|receiver| receiver.refuse(refusal));
    }

    /// Verifies one whole container, makes it durable and tells the receiver.
    async fn finish_container(self: Arc<Self>, digest: Digest) {
        let Some(offered) = self.receiver().offered(&digest).cloned() else {
            return;
        };
        let key = part_key(&self.origin.site_id, digest);
        let Some(_seal) = self.app.incoming.seal(&key) else {
            let refusal = refuse_later(
                digest,
                "busy",
                "the same container is being verified",
                BUSY_RETRY_MS,
            );
            return self.with_receiver(|receiver| receiver.finish(&digest, Finish::Refused(refusal)));
        };
        let turn = self.app.verifications.turn().await;
        let finish = self.verify_and_commit(&offered).await;
        drop(turn);
        match &finish {
            Finish::Durable(_) => self.app.flows.on_settled(&key, true),
            Finish::Again => self.app.flows.on_lost(&key),
            Finish::Refused(refusal) if refusal.kind == RefusalKind::Later => {}
            Finish::Refused(_) => self.app.flows.on_settled(&key, false),
        }
        match &finish {
            Finish::Durable(_) | Finish::Again => self.forget(&digest).await,
            Finish::Refused(refusal) if refusal.kind == RefusalKind::Later => {}
            Finish::Refused(_) => {
                self.withdraw(&digest).await;
                self.forget(&digest).await;
            }
        }
        lock(&self.heads).remove(&digest);
        if finish != Finish::Again {
            lock(&self.promises).remove(&digest);
            lock(&self.heads_waiting).forget(&digest);
        }
        self.with_receiver(|receiver| receiver.finish(&digest, finish));
        crash_point("instance.answered");
    }

    async fn verify_and_commit(&self, offered: &OfferedInstance) -> Finish {
        let item = offered.item.clone();
        let digest = item.container_sha256;
        let Some(whole) = self.whole(&digest) else {
            return Finish::Again;
        };
        let key = part_key(&self.origin.site_id, digest);
        let is_cut = |held: tancho_wire::transfer::RangeSet| !held.gaps(0..item.container_len).is_empty();
        if matches!(whole, Whole::Part(_)) && is_cut(self.app.incoming.held(&key)) {
            // Thrown away while it arrived, because the disk had lost bytes of it.
            return Finish::Again;
        }
        let mut verified = self.verify(whole.clone(), &item).await;
        if let Ok(Err(VerifyFault::DictionaryMissing(sha256))) = &verified
            && self.find_dictionary(offered, sha256).await
        {
            verified = self.verify(whole.clone(), &item).await;
        }
        let dictionary = match verified {
            Ok(Ok(dictionary)) => dictionary,
            Ok(Err(fault)) => return self.after_fault(&digest, &fault),
            Err(_) => return Finish::Refused(recode(digest, "verification_failed")),
        };
        if let Some(refusal) = self.keep_dictionary(&digest, dictionary).await {
            return Finish::Refused(refusal);
        }
        let arrived = match self.arrived(offered, whole.clone()).await {
            Ok(arrived) => arrived,
            Err(refusal) => return Finish::Refused(refusal),
        };
        let relation = self.relation(offered, &arrived, whole.clone()).await;
        crash_point("instance.verified");
        if let Err(refusal) = self.store(digest, whole).await {
            return Finish::Refused(refusal);
        }
        let verified = Verified {
            origin: self.origin.clone(),
            study_id: arrived.study_id,
            instance_id: arrived.instance_id,
            relation,
        };
        // Before the commit, so that it is never counted twice.
        self.app.readable.remove(&part_key(&self.origin.site_id, digest));
        match self.app.commits.commit(verified).await {
            Ok(durable_at_ms) => Finish::Durable(Receipt {
                container_sha256: digest,
                original_sha256: offered.item.original_sha256,
                durable_at_ms,
            }),
            // Recorded before: its blob was lost, or another connection was faster.
            Err(StoreError::Stale) => match self.recorded(&digest).await {
                Some(receipt) => Finish::Durable(receipt),
                None => Finish::Refused(store_away(digest)),
            },
            Err(_) => Finish::Refused(store_away(digest)),
        }
    }

    /// Makes a whole container durable in the blob store.
    async fn store(&self, digest: Digest, whole: Whole) -> Result<(), Refusal> {
        let (blobs, network_id) = (self.app.blobs.clone(), self.origin.network_id.clone());
        let incoming = Arc::clone(&self.app.incoming);
        let key = part_key(&self.origin.site_id, digest);
        let put = move || match whole {
            Whole::Part(_) if !incoming.is_sound(&key) => {
                Err(BlobError::NotDurable(io::Error::other("an earlier fsync failed")))
            }
            Whole::Part(path) => blobs.put_file(&network_id, &digest.0, &path).map(|_| ()),
            Whole::Blob(..) => blobs.make_durable(&network_id, &digest.0),
        };
        let put = tokio::task::spawn_blocking(put).await;
        if matches!(put, Ok(Err(BlobError::NotDurable(_)))) {
            self.forget(&digest).await;
        }
        blob_refusal(digest, put).map_or(Ok(()), Err)
    }

    async fn verify(
        &self,
        whole: Whole,
        item: &OfferItem,
    ) -> Result<Result<Option<HeadDigest>, VerifyFault>, tokio::task::JoinError> {
        let (app, item, at_hand) = (self.app.clone(), item.clone(), self.heads_at_hand());
        tokio::task::spawn_blocking(move || app.verifications.verify(whole.open()?, &item, &at_hand)).await
    }

    /// Makes the dictionary of a verified container durable, because its receipt promises that it can be given back.
    async fn keep_dictionary(&self, digest: &Digest, dictionary: Option<HeadDigest>) -> Option<Refusal> {
        let sha256 = dictionary?;
        let at_hand = self.heads_at_hand();
        let keep = move || at_hand.dictionaries.make_durable(&at_hand.network_id, &sha256);
        match tokio::task::spawn_blocking(keep).await {
            Ok(Ok(true)) => None,
            Ok(Ok(false)) => Some(recode(*digest, "dictionary_missing")),
            failed => blob_refusal(*digest, failed.map(|kept| kept.map(drop))),
        }
    }

    /// The receipt of a container whose instance is recorded as whole.
    async fn recorded(&self, digest: &Digest) -> Option<Receipt> {
        let mut tx = self.app.db.read().await.ok()?;
        let known = studies::find_by_container(&mut tx, &self.origin, &digest.hex()).await;
        receipt_of(digest, &known.ok()??)
    }

    fn after_fault(&self, digest: &Digest, fault: &VerifyFault) -> Finish {
        tracing::warn!(container = %digest, %fault, "a container was not taken");
        match fault {
            VerifyFault::ContainerDigest => {
                let mut bad_digests = lock(&self.bad_digests);
                let n_bad = bad_digests.entry(*digest).or_default();
                *n_bad += 1;
                if *n_bad < BAD_DIGESTS_MAX {
                    return Finish::Again;
                }
                let text = "the bytes that arrive do not have the object's digest; it stays at the site";
                Finish::Refused(refuse_final(*digest, "container_digest_mismatch", text))
            }
            VerifyFault::NotTheOriginal(code) => Finish::Refused(recode(*digest, code)),
            VerifyFault::DictionaryMissing(_) => Finish::Refused(recode(*digest, "dictionary_missing")),
            VerifyFault::Io(error) => Finish::Refused(refuse_later(
                *digest,
                disk_code(error),
                "the relay's disk failed",
                STORE_RETRY_MS,
            )),
        }
    }

    /// The rows of a whole container; those of containers without a readable head part are written only now.
    async fn arrived(&self, offered: &OfferedInstance, whole: Whole) -> Result<ArrivedInstance, Refusal> {
        let digest = offered.item.container_sha256;
        if let Some(arrived) = lock(&self.heads).get(&digest).cloned() {
            return Ok(arrived);
        }
        let read = {
            let (offered, at_hand) = (offered.clone(), self.heads_at_hand());
            let read = move || head::read_head_of_whole(whole.open()?, &offered, &at_hand);
            tokio::task::spawn_blocking(read).await
        };
        let head = match read {
            Ok(Ok(head)) => head,
            Ok(Err(HeadFault::Io(error))) => {
                return Err(refuse_later(
                    digest,
                    disk_code(&error),
                    "the relay's disk failed",
                    STORE_RETRY_MS,
                ));
            }
            Ok(Err(fault @ HeadFault::NeedsDictionary(_))) => return Err(recode(digest, fault.code())),
            Ok(Err(fault)) => {
                return Err(refuse_final(
                    digest,
                    fault.code(),
                    "the relay cannot read this object",
                ));
            }
            Err(_) => {
                return Err(refuse_final(
                    digest,
                    "head_unreadable",
                    "the relay cannot read this object",
                ));
            }
        };
        self.write_heads(&[(offered.clone(), head)])
            .await
            .map_err(|_| store_away(digest))?;
        lock(&self.heads)
            .get(&digest)
            .cloned()
            .ok_or_else(|| store_away(digest))
    }

    /// What this revision is to the first one that is whole.
    async fn relation(&self, offered: &OfferedInstance, arrived: &ArrivedInstance, whole: Whole) -> Relation {
        if arrived.revision == 1 {
            return Relation::First;
        }
        let first = async {
            let mut tx = self.app.db.read().await?;
            studies::find_first_revision(&mut tx, &self.origin, &offered.item.sop_instance_uid).await
        };
        let first = first
            .await
            .ok()
            .flatten()
            .and_then(|first| Digest::parse_hex(&first.container_sha256));
        let Some(first) = first else {
            return Relation::Conflict;
        };
        let (blobs, network_id) = (self.app.blobs.clone(), self.origin.network_id.clone());
        let (scratch, at_hand) = (self.app.incoming.dir().to_owned(), self.heads_at_hand());
        let compared = tokio::task::spawn_blocking(move || {
            let first = blobs.file(&network_id, &first.0).ok()?;
            verify::relation_between(first, whole.open().ok()?, &scratch, &at_hand).ok()
        });
        // Doubt is a conflict: both are kept and people are told.
        compared.await.ok().flatten().unwrap_or(Relation::Conflict)
    }

    pub(super) fn part_path(&self, digest: &Digest) -> PathBuf {
        self.app.incoming.path(&part_key(&self.origin.site_id, *digest))
    }

    /// Where the whole container is: still a part, or in the blob store after a crash before its commit.
    fn whole(&self, digest: &Digest) -> Option<Whole> {
        let part = self.part_path(digest);
        if part.exists() {
            return Some(Whole::Part(part));
        }
        let network_id = &self.origin.network_id;
        let is_blob = self.app.blobs.exists(network_id, &digest.0).unwrap_or(false);
        is_blob.then(|| Whole::Blob(self.app.blobs.clone(), network_id.clone(), *digest))
    }

    async fn forget(&self, digest: &Digest) {
        let key = part_key(&self.origin.site_id, *digest);
        self.app.readable.remove(&key);
        let incoming = Arc::clone(&self.app.incoming);
        let forgotten = tokio::task::spawn_blocking(move || incoming.forget(&key)).await;
        if let Ok(Err(error)) = forgotten {
            tracing::warn!(%error, "a partial file could not be removed; the next start removes it");
        }
    }

    /// Takes back the rows of an instance that cannot be used, whichever connection wrote them.
    async fn withdraw(&self, digest: &Digest) {
        let withdrawn = async {
            let mut tx = self.app.db.write().await?;
            let known = studies::find_by_container(&mut tx, &self.origin, &digest.hex()).await?;
            let Some(known) = known.filter(|known| known.verified_at_ms.is_none()) else {
                return Ok(None);
            };
            studies::withdraw_instance(&mut tx, &self.origin, &known.id).await?;
            tx.commit().await?;
            Ok(Some(known.study_id))
        };
        match withdrawn.await {
            Ok(Some(study_id)) => {
                status::publish_study(&self.app, &self.origin.network_id, &study_id).await;
            }
            Ok(None) | Err(StoreError::Stale) => {}
            Err(error) => tracing::error!(%error, "a refused instance still shows as arriving"),
        }
    }
}

fn receipt_of(container_sha256: &Digest, known: &KnownInstance) -> Option<Receipt> {
    Some(Receipt {
        container_sha256: *container_sha256,
        original_sha256: Digest::parse_hex(&known.original_sha256)?,
        durable_at_ms: known.verified_at_ms?,
    })
}

/// Asks for a container that needs nothing but itself.
fn recode(digest: Digest, code: &str) -> Refusal {
    Refusal {
        container_sha256: digest,
        kind: RefusalKind::Recode,
        code: code.to_owned(),
        text: "the container does not give the original back; code it in its plain form".to_owned(),
        retry_after_ms: 0,
    }
}

fn store_away(digest: Digest) -> Refusal {
    let text = "the relay cannot reach its store right now; the object is offered again by itself";
    refuse_later(digest, "store_unavailable", text, STORE_RETRY_MS)
}

fn disk_full(digest: Digest) -> Refusal {
    let text = "the relay's disk is full; the object is offered again by itself";
    refuse_later(digest, "disk_full", text, DISK_RETRY_MS)
}

fn later_store(digest: Digest) -> Holding {
    Holding::Refused(store_away(digest))
}

fn blob_refusal(
    digest: Digest,
    stored: Result<Result<(), BlobError>, tokio::task::JoinError>,
) -> Option<Refusal> {
    let error = match stored {
        Ok(Ok(())) => return None,
        Ok(Err(BlobError::Io(error) | BlobError::NotDurable(error))) => {
            tracing::error!(%error, "a container could not be stored");
            return Some(refuse_later(
                digest,
                disk_code(&error),
                "the relay's disk failed",
                STORE_RETRY_MS,
            ));
        }
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    tracing::error!(error, "a container could not be stored");
    Some(refuse_later(
        digest,
        "blob_not_stored",
        "the relay could not store the object",
        STORE_RETRY_MS,
    ))
}
