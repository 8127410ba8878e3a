//! One connection of one node, from Hello to its end.
//!
//! Four kinds of tasks share a [`Session`]: one reads the control stream, one writes it, one per data stream writes
//! ranges to disk, and one carries out what the wire's receiver asks for (`work.rs`). Whichever ends first ends the
//! connection; whatever was not finished is finished after the node's next offer.

mod data;
mod frames;
mod previews;
mod work;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tancho_store::nodes::{self, Node, Seen};
use tancho_store::studies::{ArrivedInstance, Origin};
use tancho_wire::frame::{Hello, Ping, RequestForm, Welcome, encode};
use tancho_wire::handshake::{self, ClockOffset, FEATURE_EARLY};
use tancho_wire::limits::{CLOCK_OFFSET_ALARM_MS, HANDSHAKE_TIMEOUT_MS, HEARTBEAT_MS, OFFERS_OPEN_MAX};
use tancho_wire::transfer::Receiver;
use tancho_wire::{CloseCode, Digest, Frame, Violation};
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::carrier::{Carrier, FrameReader, Writer, say_farewell};
use super::incoming::Promise;
use super::registry::Member;
use crate::state::AppState;

/// Frames waiting to be written besides the receiver's own; a peer that does not read them is cut.
const OUTBOX_FRAMES_MAX: usize = 1024;
/// Bytes of frames written in one go.
const WRITE_BYTES: usize = 64 * 1024;
/// A peer that takes no frame for this long is gone.
const WRITE_TIME_MAX: Duration = Duration::from_secs(30);
/// How long the writer may take to come to its end.
const STOP_WRITING_TIME: Duration = Duration::from_secs(2);
/// How often the store notes that a node is there.
const SEEN_EVERY_MS: i64 = 60_000;

/// What the tasks of one connection share.
pub struct Session {
    app: AppState,
    node: Node,
    origin: Origin,
    carrier: Carrier,
    member: Arc<Member>,
    boot_id: String,
    agent_version: String,
    receiver: Mutex<Receiver>,
    outbox: Mutex<VecDeque<Frame>>,
    /// Rung when there may be something to write.
    writing: Notify,
    /// Rung when the receiver may ask for something.
    working: Notify,
    /// Rung for everyone when offers came or were looked up.
    looked_up: Notify,
    /// Instances of this connection whose rows are there.
    heads: Mutex<HashMap<Digest, ArrivedInstance>>,
    /// Room on the disk for containers that were asked for.
    promises: Mutex<HashMap<Digest, Promise>>,
    /// Heads that wait for another.
    heads_waiting: Mutex<work::HeadsWaiting>,
    /// How often a container's bytes turned out wrong.
    bad_digests: Mutex<HashMap<Digest, u32>>,
    noted_at_ms: Mutex<i64>,
    /// The technologist's forms without a result.
    forms: Mutex<VecDeque<RequestForm>>,
    forms_waiting: Notify,
}

/// Why a session ends.
#[derive(Debug)]
pub enum End {
    /// The peer went away, or the line did.
    Gone,
    /// We close it.
    Close(CloseCode),
}

impl From<Violation> for End {
    fn from(violation: Violation) -> Self {
        tracing::warn!(
            what = violation.what,
            code = violation.code.name(),
            "protocol violation"
        );
        Self::Close(violation.code)
    }
}

/// Serves one `tancho/1` connection to its end.
pub async fn serve_node(app: AppState, carrier: Carrier, mut receive: FrameReader, send: Writer, node: Node) {
    let patience = Duration::from_millis(HANDSHAKE_TIMEOUT_MS);
    let hello = match tokio::time::timeout(patience, receive.next()).await {
        Ok(Ok(Some(Frame::Hello(hello)))) => Ok(hello),
        Ok(Ok(_)) => Err(Violation::protocol("the first frame is not Hello").into()),
        Ok(Err(end)) => Err(end),
        Err(_) => Err(End::Close(CloseCode::TIMEOUT)),
    };
    let hello = match hello {
        Ok(hello) => hello,
        Err(end) => return refuse(&carrier, send, end).await,
    };
    let member = match app.nodes_connected.join(&node.id, hello.boot_id, &carrier).await {
        Ok(member) => member,
        Err(code) => {
            if code == CloseCode::IDENTITY_IN_USE {
                tracing::error!(node.id = %node.id, "two machines use the certificate of one node");
                frames::audit_identity_in_use(&app, &node).await;
            }
            return refuse(&carrier, send, End::Close(code)).await;
        }
    };
    let session = Arc::new(Session::new(
        app.clone(),
        node,
        carrier.clone(),
        Arc::clone(&member),
        &hello,
    ));
    let end = session.welcome_and_run(send, receive, &hello).await;
    app.nodes_connected.leave(&session.node.id, &member);
    tracing::info!(node.id = %session.node.id, ?end, "node disconnected");
}

async fn refuse(carrier: &Carrier, mut send: Writer, end: End) {
    if let End::Close(code) = end {
        match carrier {
            Carrier::Quic(_) => carrier.close(code),
            Carrier::Tcp(_) => say_farewell(&mut send, code).await,
        }
    }
    carrier.set_closed();
}

impl Session {
    fn new(app: AppState, node: Node, carrier: Carrier, member: Arc<Member>, hello: &Hello) -> Self {
        let origin = Origin {
            network_id: node.network_id.clone(),
            site_id: node.site_id.clone(),
            node_id: node.id.clone(),
        };
        Self {
            app,
            node,
            origin,
            carrier,
            member,
            boot_id: crate::nodes::authority::hex(&hello.boot_id),
            agent_version: hello.software.clone(),
            receiver: Mutex::new(Receiver::new(OFFERS_OPEN_MAX)),
            outbox: Mutex::default(),
            writing: Notify::new(),
            working: Notify::new(),
            looked_up: Notify::new(),
            heads: Mutex::default(),
            promises: Mutex::default(),
            heads_waiting: Mutex::default(),
            bad_digests: Mutex::default(),
            noted_at_ms: Mutex::new(0),
            forms: Mutex::default(),
            forms_waiting: Notify::new(),
        }
    }

    async fn welcome_and_run(self: &Arc<Self>, send: Writer, receive: FrameReader, hello: &Hello) -> End {
        let (end, send) = match self.welcome(hello) {
            Ok(()) => self.run(send, receive).await,
            Err(end) => (end, Some(send)),
        };
        let code = match &end {
            End::Close(code) => *code,
            End::Gone => CloseCode::DONE,
        };
        // Verifications that go on may hold the connection; the peer must not take it for alive.
        self.carrier.close(code);
        if let (Carrier::Tcp(_), Some(mut send)) = (&self.carrier, send) {
            say_farewell(&mut send, code).await;
        }
        self.carrier.set_closed();
        end
    }

    fn welcome(&self, hello: &Hello) -> Result<(), End> {
        let mut agreed = handshake::negotiate(hello)?;
        if matches!(self.carrier, Carrier::Tcp(_)) {
            // There is one stream: bytes that wait for an Offer would hold up the Offer itself.
            agreed.features.retain(|feature| *feature != FEATURE_EARLY);
        }
        if agreed.features.contains(&FEATURE_EARLY) {
            *self.receiver() = Receiver::new(OFFERS_OPEN_MAX).taking_early();
        }
        let welcome = Welcome {
            version: agreed.version,
            software: concat!("tancho-relay ", env!("CARGO_PKG_VERSION")).to_owned(),
            now_ms: self.app.now_ms(),
            features: agreed.features,
            offers_open_max: OFFERS_OPEN_MAX,
            node_id: self.node.id.to_string(),
            site_code: self.node.site_code.clone(),
            site_name: self.node.site_name.clone(),
        };
        self.queue(Frame::Welcome(welcome))
    }

    /// Works until something ends; gives the writer back where it can still be used.
    async fn run(self: &Arc<Self>, send: Writer, receive: FrameReader) -> (End, Option<Writer>) {
        self.note_seen(None).await;
        tracing::info!(
            node.id = %self.node.id,
            site.id = %self.node.site_id,
            transport = self.carrier.name(),
            "node connected"
        );
        // Before the node hears its first frame, so that it misses none.
        let looks = self.app.focuses.follow();
        let stop_writing = CancellationToken::new();
        let mut writer = tokio::spawn(Arc::clone(self).write_control(send, stop_writing.clone()));
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(self).follow_readers(looks));
        tasks.spawn(Arc::clone(self).read_control(receive));
        tasks.spawn(Arc::clone(self).accept_data());
        tasks.spawn(Arc::clone(self).work());
        tasks.spawn(Arc::clone(self).tell_status());
        tasks.spawn(Arc::clone(self).carry_out_forms());
        let end = tokio::select! {
            () = self.app.shutdown.cancelled() => End::Close(CloseCode::SHUTDOWN),
            code = self.carrier.farewell() => End::Close(code),
            _ = &mut writer => return (End::Gone, None),
            ended = tasks.join_next() => match ended {
                Some(Ok(end)) => end,
                _ => End::Close(CloseCode::INTERNAL),
            },
        };
        stop_writing.cancel();
        // A peer that does not read cannot be told anything.
        let send = tokio::time::timeout(STOP_WRITING_TIME, &mut writer).await;
        writer.abort();
        (end, send.ok().and_then(Result::ok).flatten())
    }

    async fn read_control(self: Arc<Self>, mut receive: FrameReader) -> End {
        loop {
            let frame = match receive.next().await {
                Ok(Some(frame)) => frame,
                Ok(None) => return End::Gone,
                Err(end) => return end,
            };
            let taken = match (frame, &self.carrier) {
                (Frame::Data(data), Carrier::Tcp(_)) => self.on_data(data).await,
                (frame, _) => self.on_frame(frame).await,
            };
            if let Err(end) = taken {
                return end;
            }
        }
    }

    /// Writes control frames until it is told to stop; gives the stream back unless it is broken.
    async fn write_control(self: Arc<Self>, mut send: Writer, stop: CancellationToken) -> Option<Writer> {
        let mut seq = 0;
        let mut bytes = Vec::new();
        let heartbeat = Duration::from_millis(HEARTBEAT_MS);
        let mut due = tokio::time::Instant::now() + heartbeat;
        loop {
            while bytes.len() < WRITE_BYTES {
                let Some(frame) = self.next_to_write() else { break };
                encode(&frame, &mut bytes);
            }
            if !bytes.is_empty() {
                let written = async {
                    send.write_all(&bytes).await?;
                    send.flush().await
                };
                tokio::time::timeout(WRITE_TIME_MAX, written).await.ok()?.ok()?;
                bytes.clear();
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => return Some(send),
                () = self.writing.notified() => continue,
                () = self.member.probe.notified() => {}
                () = tokio::time::sleep_until(due) => due = tokio::time::Instant::now() + heartbeat,
            }
            seq += 1;
            encode(
                &Frame::Ping(Ping {
                    seq,
                    now_ms: self.app.now_ms(),
                }),
                &mut bytes,
            );
        }
    }

    fn next_to_write(&self) -> Option<Frame> {
        let own = lock(&self.outbox).pop_front();
        own.or_else(|| self.receiver().poll_frame())
    }

    /// Queues a frame besides the receiver's own.
    fn queue(&self, frame: Frame) -> Result<(), End> {
        let mut outbox = lock(&self.outbox);
        if outbox.len() >= OUTBOX_FRAMES_MAX {
            return Err(Violation::limit("the peer does not read its answers").into());
        }
        outbox.push_back(frame);
        self.writing.notify_one();
        Ok(())
    }

    fn receiver(&self) -> MutexGuard<'_, Receiver> {
        lock(&self.receiver)
    }

    /// Changes the receiver and wakes whoever may have something to do now.
    fn with_receiver<T>(&self, change: impl FnOnce(&mut Receiver) -> T) -> T {
        let result = change(&mut self.receiver());
        self.writing.notify_one();
        self.working.notify_one();
        result
    }

    /// Notes in the store that the node is there, at most once a minute, and warns about its clock.
    async fn note_seen(&self, offset: Option<ClockOffset>) {
        let now_ms = self.app.now_ms();
        {
            let mut noted_at_ms = lock(&self.noted_at_ms);
            let is_first_offset = offset.is_some() && *noted_at_ms <= 1;
            if now_ms - *noted_at_ms < SEEN_EVERY_MS && !is_first_offset {
                return;
            }
            // The first note has no clock offset yet; the marker lets the first measured one through at once.
            *noted_at_ms = if offset.is_some() { now_ms } else { 1 };
        }
        if offset.is_some_and(|offset| offset.offset_ms.abs() > CLOCK_OFFSET_ALARM_MS) {
            tracing::warn!(node.id = %self.node.id, "the node's clock is more than a minute off");
        }
        let address = self.carrier.remote_address().to_string();
        let seen = Seen {
            address: &address,
            agent_version: &self.agent_version,
            boot_id: &self.boot_id,
            clock_offset_ms: offset.map(|offset| offset.offset_ms),
        };
        let noted = async {
            let mut tx = self.app.db.write().await?;
            nodes::record_node_seen(&mut tx, &self.node.id, &seen, now_ms).await?;
            tx.commit().await
        };
        if let Err(error) = noted.await {
            tracing::warn!(%error, "a node's sign of life was not noted");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
