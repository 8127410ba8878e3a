//! What the node says on the control stream besides offers, and what it is told about its studies.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tancho_domain::access::{Reach, Scope};
use tancho_domain::dicom::StudyInstanceUid;
use tancho_domain::ids::ReadingRequestId;
use tancho_store::audit::{self, Actor, Entry};
use tancho_store::nodes::Node;
use tancho_store::studies::{self, Manifest, Withheld};
use tancho_store::{StoreError, reading};
use tancho_wire::frame::{Pong, RequestForm, StudyManifest};
use tancho_wire::handshake::ClockOffset;
use tancho_wire::limits::REQUESTS_OPEN_MAX;
use tancho_wire::{CloseCode, Frame, Violation};
use tokio::sync::broadcast::error::RecvError;

use super::{End, Session, lock};
use crate::events::{Audience, Published};
use crate::ingest::{requests, status};
use crate::nodes::service;
use crate::state::AppState;

/// How long a form waits that could not be carried out.
const FORM_RETRY: Duration = Duration::from_secs(5);
/// Studies with a request that a node is told of when it connects, the newest: as many as its page shows.
const REQUESTS_TOLD_MAX: i64 = 200;
/// Time from telling the node something to telling it the next: so many times as long as the telling took, so that a
/// busy relay tells less often, within these limits. The first change after a quiet time is told at once.
const TELL_INTERVAL_TELLINGS: u32 = 20;
const TELL_INTERVAL_MIN: Duration = Duration::from_millis(30);
const TELL_INTERVAL_MAX: Duration = Duration::from_millis(500);

impl Session {
    pub(super) async fn on_frame(&self, frame: Frame) -> Result<(), End> {
        match frame {
            Frame::Ping(ping) => {
                let pong = Pong {
                    seq: ping.seq,
                    ping_now_ms: ping.now_ms,
                    now_ms: self.app.now_ms(),
                };
                self.queue(Frame::Pong(pong))
            }
            Frame::Pong(pong) => {
                self.member.answered.notify_waiters();
                self.note_seen(Some(ClockOffset::measure(&pong, self.app.now_ms())))
                    .await;
                Ok(())
            }
            Frame::Offer(offer) => {
                self.with_receiver(|receiver| receiver.on_offer(offer))?;
                self.looked_up.notify_waiters();
                Ok(())
            }
            Frame::Manifest(manifest) => self.on_manifest(&manifest).await,
            Frame::Request(form) => self.queue_form(form),
            Frame::CertificateRequest(request) => {
                match service::renew_certificate(&self.app, &self.node, &request.csr_der).await {
                    Ok(issued) => self.queue(Frame::CertificateIssued(issued)),
                    Err(refused) => self.queue(Frame::CertificateRefused(refused)),
                }
            }
            Frame::Close(_) => Err(End::Gone),
            _ => Err(Violation::protocol("a frame that this end of the control stream does not take").into()),
        }
    }

    fn queue_form(&self, form: RequestForm) -> Result<(), End> {
        let mut forms = lock(&self.forms);
        if forms.iter().any(|waiting| waiting.command_id == form.command_id) {
            return Ok(());
        }
        if forms.len() >= REQUESTS_OPEN_MAX {
            return Err(Violation::limit("too many reading requests wait for an answer").into());
        }
        forms.push_back(form);
        self.forms_waiting.notify_one();
        Ok(())
    }

    /// Carries out the technologist's forms one after another. One that cannot be carried out now is tried again: it
    /// must not be lost while the connection lives.
    pub(super) async fn carry_out_forms(self: Arc<Self>) -> End {
        loop {
            let Some(form) = lock(&self.forms).front().cloned() else {
                self.forms_waiting.notified().await;
                continue;
            };
            let result = requests::submit(&self.app, &self.origin, &form).await;
            lock(&self.forms).pop_front();
            match result {
                Some(result) => {
                    if let Err(end) = self.queue(Frame::RequestResult(result)) {
                        return end;
                    }
                }
                None => {
                    lock(&self.forms).push_back(form);
                    tokio::time::sleep(FORM_RETRY).await;
                }
            }
        }
    }

    async fn on_manifest(&self, manifest: &StudyManifest) -> Result<(), End> {
        if !manifest.has_fit_reasons() {
            return Err(
                Violation::protocol("a manifest's reasons for withheld instances are malformed").into(),
            );
        }
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let reasons = manifest.withheld.iter();
        let reasons = reasons.map(|withheld| (withheld.reason.clone(), signed(withheld.n_instances)));
        let withheld = Withheld::new(reasons.collect());
        let row = Manifest {
            study_instance_uid: &manifest.study_instance_uid,
            priority: manifest.priority,
            closed: manifest.closed,
            n_instances: signed(manifest.n_instances),
            bytes_original: signed(manifest.bytes_original),
            generation: signed(manifest.generation),
            withheld: &withheld,
        };
        let recorded = async {
            let mut tx = self.app.db.write().await?;
            let changed = studies::record_manifest(&mut tx, &self.origin, &row, self.app.now_ms()).await?;
            tx.commit().await?;
            Ok::<_, StoreError>(changed)
        };
        match recorded.await {
            Ok(changed) => {
                if let Some(study_id) = changed {
                    status::publish_study(&self.app, &self.origin.network_id, &study_id).await;
                }
                self.tell(&manifest.study_instance_uid).await
            }
            Err(error) => {
                tracing::error!(%error, "a study's manifest could not be recorded");
                Err(End::Close(CloseCode::INTERNAL))
            }
        }
    }

    /// Tells the node how far a study is.
    async fn tell(&self, uid: &StudyInstanceUid) -> Result<(), End> {
        match status::study_status(&self.app, &self.origin, uid).await {
            Ok(Some(told)) => self.queue(Frame::StudyStatus(told)),
            Ok(None) => Ok(()),
            Err(error) => {
                tracing::warn!(%error, "a study's status could not be told to its node");
                Ok(())
            }
        }
    }

    /// Follows the relay's events and tells the node about its own site's studies. What became of the site's requests
    /// while the node was away is told first: of a study that is here whole the node says nothing more by itself.
    pub(super) async fn tell_status(self: Arc<Self>) -> End {
        let mut live = self.app.events.follow(None).live;
        for uid in self.requested_studies().await {
            if let Err(end) = self.tell(&uid).await {
                return end;
            }
        }
        let mut concerned = BTreeSet::new();
        loop {
            match live.recv().await {
                Ok(published) => self.collect(&published, &mut concerned).await,
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return End::Close(CloseCode::SHUTDOWN),
            }
            while let Ok(published) = live.try_recv() {
                self.collect(&published, &mut concerned).await;
            }
            if concerned.is_empty() {
                continue;
            }
            let begun = tokio::time::Instant::now();
            for uid in std::mem::take(&mut concerned) {
                if let Err(end) = self.tell(&uid).await {
                    return end;
                }
            }
            let rest = begun.elapsed() * TELL_INTERVAL_TELLINGS;
            tokio::time::sleep(rest.clamp(TELL_INTERVAL_MIN, TELL_INTERVAL_MAX)).await;
        }
    }

    async fn requested_studies(&self) -> Vec<StudyInstanceUid> {
        let origin = &self.origin;
        let listed = async {
            let mut tx = self.app.db.read().await?;
            reading::list_requested_studies(&mut tx, &origin.network_id, &origin.site_id, REQUESTS_TOLD_MAX)
                .await
        };
        match listed.await {
            Ok(uids) => uids
                .iter()
                .filter_map(|uid| StudyInstanceUid::parse(uid).ok())
                .collect(),
            Err(error) => {
                tracing::warn!(%error, "a node could not be told of its site's requests");
                Vec::new()
            }
        }
    }

    async fn collect(&self, published: &Published, concerned: &mut BTreeSet<StudyInstanceUid>) {
        let event = &published.event;
        let ours = event.network_id == self.origin.network_id
            && matches!(&event.audience, Audience::Sites(sites) if sites.contains(&self.origin.site_id));
        if !ours {
            return;
        }
        let found = match event.name {
            "study" => {
                self.uid_of_study(event.data["study_id"].as_str().unwrap_or_default())
                    .await
            }
            "reading_request" | "worklist" => {
                let id = event.data["reading_request_id"]
                    .as_str()
                    .or_else(|| event.data["id"].as_str());
                self.uid_of_request(id.unwrap_or_default()).await
            }
            _ => return,
        };
        concerned.extend(found);
    }

    async fn uid_of_study(&self, study_id: &str) -> Option<StudyInstanceUid> {
        let mut tx = self.app.db.read().await.ok()?;
        studies::get_study_uid(&mut tx, &self.origin, study_id).await.ok()
    }

    async fn uid_of_request(&self, id: &str) -> Option<StudyInstanceUid> {
        let id = ReadingRequestId::parse(id).ok()?;
        let reach = Reach::Site(self.origin.site_id.clone());
        let scope = Scope {
            network_id: self.origin.network_id.clone(),
            reach,
        };
        let mut tx = self.app.db.read().await.ok()?;
        let request = reading::get_reading_request(&mut tx, &scope, &id).await.ok()?;
        StudyInstanceUid::parse(&request.study_instance_uid).ok()
    }
}

/// Writes down that a node's certificate is used in two places.
pub(super) async fn audit_identity_in_use(app: &AppState, node: &Node) {
    let written = async {
        let mut tx = app.db.write().await?;
        let entry = Entry::by(
            Actor::Node(node.id.to_string()),
            "connect_node",
            "node",
            node.id.as_str(),
        )
        .refused();
        let entry = entry.with_detail(serde_json::json!({ "code": CloseCode::IDENTITY_IN_USE.name() }));
        audit::append(&mut tx, &node.network_id, entry, app.now_ms()).await?;
        tx.commit().await
    };
    if let Err(error) = written.await {
        tracing::error!(%error, "a refused connection could not be audited");
    }
}
