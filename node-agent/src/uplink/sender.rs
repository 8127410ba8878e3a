//! Between the spool and one connection after another: what is listed goes out, what is answered is handed on.
//!
//! Ranges leave on short uni streams, the more urgent with the higher QUIC priority, so that a stat study overtakes
//! within a range (`streams.rs`). Files are read a range at a time: memory does not grow with objects. On TCP the ranges
//! go between the control frames of the one stream.

mod files;
mod streams;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use quinn::Connection;
use tancho_domain::dicom::StudyInstanceUid;
use tancho_domain::ids::ObjectId;
use tancho_wire::frame::{
    self, Ping, Pong, RefusalKind, RequestOutcome, StudyManifest, Welcome, WithheldInstances, data_header,
    encode,
};
use tancho_wire::handshake::{ClockOffset, FEATURE_EARLY};
use tancho_wire::limits::{CLOCK_OFFSET_ALARM_MS, HEARTBEAT_MS};
use tancho_wire::transfer::{NextRange, Outbound, RangeToSend, Sender, SenderEvent};
use tancho_wire::{Digest, Frame};
use tokio::io::AsyncWriteExt;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::UplinkConfig;
use super::carrier::{FrameReader, QUIC, Writer, line_fault};
use super::dial::LinkFault;
use super::identity::Identity;
use super::path_memory::PathMemories;
use super::recorder::Answer;
use super::renewal::Renewal;
use crate::clock::Clock;
use crate::link::{Asked, Flow, LinkBoard, LinkState, Measured};
use crate::requests::automatic::is_automatic;
use crate::spool::{OutboundObject, Receipt, RequestForm, RequestResult, Spool};
use files::Files;
use streams::DataStreams;

/// Shortest time from one pass over the spool's lists to the next, so that a fast modality is not one for each object.
/// The first change after a quiet time does not wait.
const SYNC_INTERVAL: Duration = Duration::from_millis(20);
/// How often the sender looks for what was forgotten, and whether the certificate is due.
const TICK: Duration = Duration::from_secs(5);
/// Bytes of control frames written in one go.
const WRITE_BYTES: usize = 32 * 1024;

/// What connections share, one after another.
pub(super) struct Line {
    pub(super) board: LinkBoard,
    pub(super) clock: Clock,
    pub(super) paths: PathMemories,
    config: UplinkConfig,
    spool: Spool,
    recorder: mpsc::Sender<Answer>,
    state: Mutex<State>,
    /// Rung when there may be a control frame to write.
    writing: Notify,
    /// Rung when there may be a range to send.
    sending: Notify,
    started: Instant,
    /// The same by the wall clock, milliseconds UTC.
    started_ms: i64,
}

/// An object that is on its way, and its study.
#[derive(Debug, Clone)]
struct OnLine {
    object_id: ObjectId,
    study_instance_uid: StudyInstanceUid,
}

struct State {
    identity: Identity,
    sender: Sender,
    objects: HashMap<Digest, OnLine>,
    pongs: Vec<Pong>,
    renewal: Renewal,
    clock_alarmed: bool,
    /// The connection measures its round trip itself.
    is_measured: bool,
    was_up: bool,
}

impl Line {
    pub(super) fn new(
        config: &UplinkConfig,
        identity: Identity,
        spool: Spool,
        board: LinkBoard,
        clock: Clock,
        recorder: mpsc::Sender<Answer>,
    ) -> Self {
        let state = State {
            identity,
            sender: Sender::new(config.sender.clone()),
            objects: HashMap::new(),
            pongs: Vec::new(),
            renewal: Renewal::default(),
            clock_alarmed: false,
            is_measured: false,
            was_up: false,
        };
        board.set_certificate(state.identity.life());
        let clock_ms = clock.now_ms();
        Self {
            board,
            clock,
            paths: PathMemories::new(&config.data_dir),
            config: config.clone(),
            spool,
            recorder,
            state: Mutex::new(state),
            writing: Notify::new(),
            sending: Notify::new(),
            started: Instant::now(),
            started_ms: clock_ms,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds of a clock that never steps.
    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn identity(&self) -> Identity {
        self.state().identity.clone()
    }

    /// Whether a connection stood since this was last asked.
    pub(super) fn was_up(&self) -> bool {
        std::mem::take(&mut self.state().was_up)
    }

    pub(super) fn connected(&self, welcome: &Welcome, transport: &str) {
        let mut state = self.state();
        state.was_up = true;
        state.is_measured = transport == QUIC;
        state.clock_alarmed = false;
        state.pongs.clear();
        state.renewal.reset();
        state.sender.connected(welcome.offers_open_max);
        // On TCP's one stream it would hold up everything behind it until the relay has looked the Offer up.
        if transport == QUIC && welcome.features.contains(&FEATURE_EARLY) {
            state.sender.set_takes_early();
        }
        drop(state);
        self.keep_hours();
        self.board.set_link(LinkState::Connected {
            since_ms: self.clock.now_ms(),
            transport: transport.to_owned(),
        });
    }

    pub(super) fn disconnected(&self) {
        self.state().sender.disconnected();
        self.board.set_flow(Flow::Idle);
        for object_id in self.board.in_flight().keys() {
            self.board.clear_sent(object_id);
        }
    }

    /// Hands the spool's lists to the sender whenever they change.
    pub(super) async fn follow_spool(&self) {
        let mut changed = self.spool.subscribe();
        loop {
            changed.borrow_and_update();
            let next = Instant::now() + SYNC_INTERVAL;
            for refused in self.sync() {
                self.hand_on(refused).await;
            }
            self.writing.notify_one();
            self.sending.notify_one();
            if changed.changed().await.is_err() {
                return;
            }
            tokio::time::sleep_until(next).await;
        }
    }

    /// Gives the answers to forms that cannot travel: the relay would cut the line at each of them, for ever.
    fn sync(&self) -> Vec<Answer> {
        let objects = self.spool.outbound();
        let manifests = self.spool.study_manifests().into_iter().map(manifest_frame);
        let (requests, too_long): (Vec<_>, Vec<_>) = self
            .spool
            .pending_requests()
            .into_iter()
            .map(request_frame)
            .partition(|form| form.field_too_long().is_none());
        let mut state = self.state();
        let State {
            sender,
            objects: on_line,
            ..
        } = &mut *state;
        on_line.retain(|digest, _| sender.knows(digest));
        on_line.extend(objects.iter().map(|object| {
            let of = OnLine {
                object_id: object.object_id.clone(),
                study_instance_uid: object.study_instance_uid.clone(),
            };
            (Digest(object.container_sha256), of)
        }));
        sender.sync(
            objects
                .into_iter()
                .map(|object| outbound(object, self.started_ms)),
        );
        sender.set_manifests(manifests);
        sender.set_requests(requests);
        too_long.into_iter().map(too_long_answer).collect()
    }

    pub(super) async fn read_control(&self, mut receive: FrameReader) -> LinkFault {
        loop {
            match receive.next().await {
                Ok(Some(frame)) => {
                    if let Err(fault) = self.on_frame(frame).await {
                        return fault;
                    }
                }
                Ok(None) => return LinkFault::new("line_failed", "the relay's stream ended"),
                Err(violation) => return LinkFault::new("protocol_violation", violation.to_string()),
            }
        }
    }

    async fn on_frame(&self, frame: Frame) -> Result<(), LinkFault> {
        match frame {
            Frame::Want(_) | Frame::Receipt(_) | Frame::Refusal(_) | Frame::Focus(_) => {
                return self.on_transfer(frame).await;
            }
            Frame::Ping(ping) => {
                let pong = Pong {
                    seq: ping.seq,
                    ping_now_ms: ping.now_ms,
                    now_ms: self.clock.now_ms(),
                };
                self.state().pongs.push(pong);
                self.writing.notify_one();
            }
            Frame::Pong(pong) => self.on_pong(&pong),
            Frame::StudyStatus(status) => {
                if let Some(n_preview) = status.n_preview {
                    self.board
                        .set_shown(status.study_instance_uid.as_str(), n_preview);
                }
                let asked = Asked {
                    returned: status.returned.clone(),
                    left_out: status.left_out.clone(),
                };
                self.board.set_asked(status.study_instance_uid.as_str(), asked);
                self.hand_on(Answer::Study(Box::new(status))).await;
            }
            Frame::RequestResult(result) => {
                let outcome = match result.outcome {
                    RequestOutcome::Accepted {
                        reading_request_id,
                        case_code,
                    } => RequestResult::Accepted {
                        reading_request_id,
                        case_code,
                    },
                    RequestOutcome::Refused { code, text } => RequestResult::Refused { code, text },
                };
                self.hand_on(Answer::Request {
                    command_id: result.command_id,
                    result: outcome,
                })
                .await;
            }
            Frame::CertificateIssued(issued) => self.on_certificate(issued).await,
            Frame::CertificateRefused(refused) => {
                tracing::error!(
                    code = refused.code,
                    "the relay did not renew the node's certificate"
                );
            }
            Frame::Close(close) => {
                return Err(LinkFault::new(
                    tancho_wire::CloseCode(close.code).name(),
                    close.reason,
                ));
            }
            other => {
                return Err(LinkFault::new(
                    "protocol_violation",
                    format!("the relay sent {}", other.name()),
                ));
            }
        }
        Ok(())
    }

    async fn on_transfer(&self, frame: Frame) -> Result<(), LinkFault> {
        let answer = {
            let mut state = self.state();
            let event = state
                .sender
                .on_frame(frame, self.now_ms())
                .map_err(|violation| LinkFault::new("protocol_violation", violation.to_string()))?;
            event.and_then(|event| answer_of(&state, event))
        };
        match &answer {
            Some((Answer::Receipt(_), _)) => self.board.set_relay_defers(None),
            Some((Answer::Refusal { kind, code, .. }, _)) if *kind == RefusalKind::Later => {
                self.board.set_relay_defers(Some(code.clone()));
            }
            _ => {}
        }
        if let Some((answer, digest)) = answer {
            let is_settled = is_final_refusal(&answer);
            self.hand_on(answer).await;
            if is_settled {
                self.state().sender.forget(&digest);
            }
        }
        self.writing.notify_one();
        self.sending.notify_one();
        Ok(())
    }

    async fn hand_on(&self, answer: Answer) {
        // The recorder lives as long as the line.
        let _ = self.recorder.send(answer).await;
    }

    fn on_pong(&self, pong: &Pong) {
        let offset = ClockOffset::measure(pong, self.clock.now_ms());
        self.board.set_clock_offset(offset.offset_ms);
        let mut state = self.state();
        if !state.is_measured {
            // QUIC measures the round trip itself; here the heartbeat has to.
            let rtt_us = u64::try_from(offset.round_trip_ms).ok().map(|ms| ms * 1_000);
            self.board.measure(Measured {
                rtt_us,
                ..Measured::default()
            });
        }
        if offset.offset_ms.saturating_abs() > CLOCK_OFFSET_ALARM_MS && !state.clock_alarmed {
            state.clock_alarmed = true;
            tracing::warn!(
                offset_ms = offset.offset_ms,
                "this machine's clock and the relay's are over a minute apart"
            );
        }
    }

    async fn on_certificate(&self, issued: frame::CertificateIssued) {
        let renewed = {
            let mut state = self.state();
            let identity = state.identity.clone();
            state.renewal.accept(&identity, issued)
        };
        let Some(renewed) = renewed else {
            tracing::error!("the relay's new certificate is not for this node's key");
            return;
        };
        let (identity, data_dir) = (renewed.clone(), self.config.data_dir.clone());
        match tokio::task::spawn_blocking(move || identity.save(&data_dir)).await {
            Ok(Ok(())) => {
                tracing::info!("the node's certificate was renewed");
                self.board.set_certificate(renewed.life());
                self.state().identity = renewed;
            }
            Ok(Err(error)) => tracing::error!(%error, "the renewed certificate could not be kept"),
            Err(_) => tracing::error!("the renewed certificate could not be kept"),
        }
    }

    /// Writes the control frames for as long as the connection lives.
    pub(super) async fn write_control(&self, mut send: Writer) -> LinkFault {
        let mut control = Control::new();
        loop {
            self.collect(&mut control);
            if control.bytes.is_empty() {
                tokio::select! {
                    () = self.writing.notified() => {}
                    () = tokio::time::sleep_until(control.due()) => {}
                }
            } else if control.write_to(&mut send).await.is_err() {
                return LinkFault::new("line_failed", "the relay's stream ended");
            }
        }
    }

    /// Writes control frames and ranges to one stream, control frames first.
    pub(super) async fn write_all(&self, mut send: Writer) -> LinkFault {
        let ended = || LinkFault::new("line_failed", "the relay's stream ended");
        let mut control = Control::new();
        let mut files = Files::new(self.spool.clone());
        loop {
            self.collect(&mut control);
            if !control.bytes.is_empty() {
                if control.write_to(&mut send).await.is_err() {
                    return ended();
                }
                continue;
            }
            let next = self.next_range();
            let NextRange::Send(range) = next else {
                tokio::select! {
                    () = self.writing.notified() => {}
                    () = self.sending.notified() => {}
                    () = self.cap_allows(next) => {}
                    () = tokio::time::sleep_until(control.due()) => {}
                }
                continue;
            };
            let Some((of, bytes)) = self.read_range(&mut files, &range).await else {
                continue;
            };
            let header = data_header(&range.container_sha256, range.offset, bytes.len());
            let written = async {
                send.write_all(&header).await?;
                send.write_all(&bytes).await?;
                send.flush().await
            };
            if written.await.is_err() {
                return ended();
            }
            self.board
                .add_sent(&of.object_id, of.study_instance_uid.as_str(), range.len);
        }
    }

    /// Adds the control frames that are due.
    fn collect(&self, control: &mut Control) {
        while control.bytes.len() < WRITE_BYTES {
            let Some(frame) = self.next_control_frame() else {
                break;
            };
            encode(&frame, &mut control.bytes);
        }
        let now = Instant::now();
        if now >= control.ping_due {
            control.ping_due = now + Duration::from_millis(HEARTBEAT_MS);
            control.seq += 1;
            let ping = Ping {
                seq: control.seq,
                now_ms: self.clock.now_ms(),
            };
            encode(&Frame::Ping(ping), &mut control.bytes);
        }
        if now >= control.tick_due {
            control.tick_due = now + TICK;
            if let Some(request) = self.tick() {
                encode(&request, &mut control.bytes);
            }
        }
    }

    fn next_control_frame(&self) -> Option<Frame> {
        let now_ms = self.now_ms();
        let mut state = self.state();
        state
            .pongs
            .pop()
            .map(Frame::Pong)
            .or_else(|| state.sender.poll_frame(now_ms))
    }

    /// Lets routine work go or wait, by the site's timetable.
    fn keep_hours(&self) {
        let until_ms = self.config.routine_hours.waits_until(self.clock.now_ms());
        self.state().sender.set_routine_allowed(until_ms.is_none());
        self.board.set_routine_waits_until(until_ms);
        self.sending.notify_one();
    }

    fn tick(&self) -> Option<Frame> {
        self.keep_hours();
        let now_ms = self.now_ms();
        let mut state = self.state();
        state.sender.tick(now_ms);
        let State {
            identity, renewal, ..
        } = &mut *state;
        renewal
            .request(identity, self.clock.now_ms())
            .map(Frame::CertificateRequest)
    }

    /// Sends ranges for as long as the connection lives.
    pub(super) async fn send_data(&self, connection: &Connection) -> LinkFault {
        let mut streams = DataStreams::new(connection);
        let mut files = Files::new(self.spool.clone());
        loop {
            let next = self.next_range();
            let NextRange::Send(range) = next else {
                tokio::select! {
                    () = self.sending.notified() => {}
                    () = self.cap_allows(next) => {}
                }
                continue;
            };
            let Some((of, bytes)) = self.read_range(&mut files, &range).await else {
                continue;
            };
            if streams.write(&range, bytes).await.is_err() {
                return line_fault(Some(connection));
            }
            self.board
                .add_sent(&of.object_id, of.study_instance_uid.as_str(), range.len);
        }
    }

    fn next_range(&self) -> NextRange {
        let now_ms = self.now_ms();
        let next = self.state().sender.next_range(now_ms);
        self.board.set_flow(match next {
            NextRange::Send(_) => Flow::Sending,
            NextRange::NotBefore(_) => Flow::Capped,
            NextRange::Nothing => Flow::Idle,
        });
        next
    }

    /// Ends when the site's cap lets something go again; never when there is nothing to send.
    async fn cap_allows(&self, next: NextRange) {
        match next {
            NextRange::NotBefore(at_ms) => {
                tokio::time::sleep_until(self.started + Duration::from_millis(at_ms)).await;
            }
            NextRange::Send(_) | NextRange::Nothing => std::future::pending().await,
        }
    }

    /// Reads a range from its container. `None` when there is nothing to send; the sender has been told why.
    async fn read_range(&self, files: &mut Files, range: &RangeToSend) -> Option<(OnLine, Bytes)> {
        let of = self.state().objects.get(&range.container_sha256).cloned()?;
        match files.read(&of.object_id, range).await {
            Ok(bytes) => Some((of, bytes)),
            Err(error) => {
                let object_id = of.object_id;
                tracing::error!(object.id = %object_id, %error, "a container could not be read");
                files.close(&range.container_sha256);
                self.state()
                    .sender
                    .set_unreadable(&range.container_sha256, self.now_ms());
                if files::is_lasting(&error) {
                    self.hand_on(unreadable(object_id)).await;
                }
                None
            }
        }
    }
}

/// Control frames on their way to the stream, and what goes out by the clock.
struct Control {
    bytes: Vec<u8>,
    seq: u64,
    ping_due: Instant,
    tick_due: Instant,
}

impl Control {
    fn new() -> Self {
        Self {
            bytes: Vec::new(),
            seq: 0,
            ping_due: Instant::now(),
            tick_due: Instant::now(),
        }
    }

    fn due(&self) -> Instant {
        self.ping_due.min(self.tick_due)
    }

    async fn write_to(&mut self, send: &mut Writer) -> std::io::Result<()> {
        send.write_all(&self.bytes).await?;
        self.bytes.clear();
        send.flush().await
    }
}

/// Whether the relay will not take the object as it is: it is offered again only if the spool lists it anew. After
/// `Later` the sender itself keeps when to offer it again.
fn is_final_refusal(answer: &Answer) -> bool {
    matches!(answer, Answer::Refusal { kind, .. } if *kind != RefusalKind::Later)
}

/// The original is whole in the spool, so its container is made again.
fn unreadable(object_id: ObjectId) -> Answer {
    Answer::Refusal {
        object_id,
        kind: RefusalKind::Recode,
        code: "container_unreadable".to_owned(),
        text: "the container cannot be read from this agent's disk".to_owned(),
    }
}

fn too_long_answer(form: frame::RequestForm) -> Answer {
    let field = form.field_too_long().unwrap_or_default();
    tracing::error!(
        field,
        "a reading request form is too long for the line and was refused here"
    );
    Answer::Request {
        command_id: form.command_id,
        result: RequestResult::Refused {
            code: "request_too_long".to_owned(),
            text: format!("{field} is too long; shorten it and send the form again"),
        },
    }
}

fn answer_of(state: &State, event: SenderEvent) -> Option<(Answer, Digest)> {
    let digest = match &event {
        SenderEvent::Durable(receipt) | SenderEvent::ReceiptDoubtful(receipt) => receipt.container_sha256,
        SenderEvent::Refused(refusal) => refusal.container_sha256,
    };
    let object_id = state.objects.get(&digest)?.object_id.clone();
    let answer = match event {
        SenderEvent::Durable(receipt) => Answer::Receipt(Receipt {
            object_id,
            container_sha256: receipt.container_sha256.0,
            original_sha256: receipt.original_sha256.0,
            received_at_ms: receipt.durable_at_ms,
        }),
        SenderEvent::ReceiptDoubtful(_) => {
            tracing::error!(object.id = %object_id, "the relay's receipt names another object; nothing is deleted");
            return None;
        }
        SenderEvent::Refused(refusal) => Answer::Refusal {
            object_id,
            kind: refusal.kind,
            code: refusal.code,
            text: refusal.text,
        },
    };
    Some((answer, digest))
}

fn outbound(object: OutboundObject, started_ms: i64) -> Outbound {
    Outbound {
        container_sha256: Digest(object.container_sha256),
        container_len: object.container_len,
        head_end: object.head_end,
        preview_end: object.preview_end,
        original_sha256: Digest(object.original_sha256),
        original_len: object.original_len,
        study_instance_uid: object.study_instance_uid,
        series_instance_uid: object.series_instance_uid,
        sop_instance_uid: object.sop_instance_uid,
        sop_class_uid: object.sop_class_uid,
        transfer_syntax_uid: object.transfer_syntax,
        calling_ae: object.calling_ae.into(),
        called_ae: object.called_ae.into(),
        priority: object.priority,
        received_at_ms: object.received_at_ms,
        is_new: object.received_at_ms > started_ms,
    }
}

fn manifest_frame(manifest: crate::spool::StudyManifest) -> StudyManifest {
    StudyManifest {
        study_instance_uid: manifest.study_instance_uid,
        priority: manifest.priority,
        closed: manifest.closed,
        n_instances: manifest.n_instances,
        bytes_original: manifest.n_bytes_original,
        generation: manifest.generation,
        withheld: manifest
            .withheld
            .iter()
            .map(|(reason, n_instances)| WithheldInstances {
                reason: reason.code().to_owned(),
                n_instances,
            })
            .collect(),
    }
}

fn request_frame(form: RequestForm) -> frame::RequestForm {
    let automatic = is_automatic(&form);
    frame::RequestForm {
        command_id: form.command_id,
        study_instance_uid: form.study_instance_uid,
        urgency: form.urgency,
        callback_number: form.callback_number,
        callback_person: form.callback_person.unwrap_or_default(),
        responsible_physician: form.responsible_physician.unwrap_or_default(),
        clinical_context: form.clinical_context.to_string(),
        requested_at_ms: form.created_at_ms,
        automatic,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::clock::Clock;
    use crate::spool::SpoolOptions;

    #[test]
    fn only_a_refusal_for_good_makes_the_sender_forget() {
        let refusal = |kind| Answer::Refusal {
            object_id: ObjectId::new(Uuid::from_u128(1)),
            kind,
            code: "disk_full".to_owned(),
            text: String::new(),
        };
        assert!(!is_final_refusal(&refusal(RefusalKind::Later)));
        assert!(is_final_refusal(&refusal(RefusalKind::Final)));
        assert!(is_final_refusal(&refusal(RefusalKind::Recode)));
    }

    fn form(n: u128, callback_person: &str) -> RequestForm {
        RequestForm {
            command_id: tancho_domain::ids::CommandId::new(Uuid::from_u128(n)),
            study_instance_uid: "1.2.3".to_owned().try_into().unwrap(),
            urgency: "critical".to_owned(),
            clinical_context: serde_json::json!({}),
            callback_number: "0154-22-1111".to_owned(),
            callback_person: Some(callback_person.to_owned()),
            responsible_physician: None,
            created_at_ms: 1,
        }
    }

    #[tokio::test]
    async fn a_form_too_long_for_the_line_is_answered_here_and_the_others_go() {
        let folder = tempfile::tempdir().unwrap();
        let (clock, _) = Clock::manual(1_700_000_000_000);
        let (spool, _workers) = Spool::open(SpoolOptions::new(folder.path()), clock.clone())
            .await
            .unwrap();
        let too_long = form(1, &"道".repeat(100));
        let good = form(2, &"道".repeat(85));
        spool.add_request(too_long.clone()).await.unwrap();
        spool.add_request(good.clone()).await.unwrap();
        let board = LinkBoard::new(clock.clone());
        let (recorder, mut answers) = mpsc::channel(8);
        let identity = Identity {
            node_id: String::new(),
            site_code: String::new(),
            site_name: String::new(),
            relay_address: String::new(),
            chain: Vec::new(),
            not_before_ms: 0,
            not_after_ms: i64::MAX,
            key: Vec::new(),
        };
        let config = UplinkConfig::new(folder.path().to_owned(), None);
        let line = Line::new(&config, identity, spool.clone(), board, clock, recorder);
        for answer in line.sync() {
            line.hand_on(answer).await;
        }
        let Some(Answer::Request { command_id, result }) = answers.recv().await else {
            panic!("the long form is answered");
        };
        assert_eq!(command_id, too_long.command_id);
        assert!(matches!(result, RequestResult::Refused { code, .. } if code == "request_too_long"));
        assert!(answers.try_recv().is_err());
        line.state().sender.connected(16);
        let Some(Frame::Request(sent)) = line.next_control_frame() else {
            panic!("the other form goes out");
        };
        assert_eq!((sent.command_id, sent.automatic), (good.command_id, false));
        assert!(line.next_control_frame().is_none());
    }
}
