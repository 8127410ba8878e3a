//! The life of the line: dial until it stands, serve it until it ends, say what it is in, and begin again.
//!
//! In the first ten minutes of an outage a fresh attempt starts every second, whether or not the one before has
//! ended: after an outage the line is back within a second or two, also over a satellite.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use quinn::{Connection, RecvStream, SendStream, VarInt};
use tancho_wire::frame::{Decoded, FrameDecoder, Hello, Welcome, encode};
use tancho_wire::limits::{HANDSHAKE_TIMEOUT_MS, VERSION_MAX, VERSION_MIN};
use tancho_wire::{CloseCode, Frame, Violation};
use tokio::time::Instant;

use super::backoff::{Backoff, random};
use super::dial::{LinkFault, dial, fault_of};
use super::identity::Identity;
use super::recorder;
use super::sender::Line;
use super::{UplinkConfig, tls};
use crate::clock::Clock;
use crate::link::{LinkBoard, LinkState};
use crate::spool::Spool;

/// Attempts under way at once.
const ATTEMPTS_MAX: usize = 6;
/// Largest piece read at once.
const READ_BYTES: usize = 64 * 1024;

type Attempt = Pin<Box<dyn Future<Output = Result<Connection, LinkFault>> + Send>>;

/// Keeps the line for ever with this identity. Ends only when the identity cannot be used at all.
pub(super) async fn keep_connected(
    config: &UplinkConfig,
    identity: Identity,
    spool: &Spool,
    board: &LinkBoard,
    clock: &Clock,
) {
    let mut boot_id = [0; 16];
    // Without randomness two starts look like one; the relay then only misses a copied machine.
    let _ = getrandom::fill(&mut boot_id);
    let (recorder, recording) = recorder::start(spool.clone(), board.clone());
    let line = Arc::new(Line::new(
        config,
        identity,
        spool.clone(),
        board.clone(),
        clock.clone(),
        recorder,
    ));
    let connecting = async {
        let mut last_up = Instant::now();
        let mut since_ms = clock.now_ms();
        let mut last_fault: Option<LinkFault> = None;
        loop {
            let fault = match connect(config, &line, last_up, since_ms, last_fault.take()).await {
                Ok(connection) => {
                    let fault = serve(&line, &connection, boot_id).await;
                    connection.close(VarInt::from_u32(CloseCode::DONE.0), b"");
                    fault
                }
                Err(fault) => fault,
            };
            line.disconnected();
            if line.was_up() {
                last_up = Instant::now();
                since_ms = clock.now_ms();
            }
            tracing::warn!(
                code = fault.code,
                text = fault.text,
                "the line to the relay is down"
            );
            last_fault = Some(fault);
        }
    };
    tokio::join!(connecting, recording);
}

/// Dials until a connection stands.
async fn connect(
    config: &UplinkConfig,
    line: &Line,
    last_up: Instant,
    since_ms: i64,
    mut fault: Option<LinkFault>,
) -> Result<Connection, LinkFault> {
    let mut attempts: FuturesUnordered<Attempt> = FuturesUnordered::new();
    let mut backoff = Backoff::new();
    loop {
        let pause = match &fault {
            Some(fault) if fault.needs_a_person() => Backoff::after_refusal(random()),
            _ => backoff.next_pause(last_up.elapsed(), random()),
        };
        // The first attempt after a loss goes out at once, unless the relay has just refused us.
        let starts_now = attempts.is_empty() && !fault.as_ref().is_some_and(LinkFault::needs_a_person);
        if starts_now && fault.is_none() {
            line.board.set_link(LinkState::Connecting);
        } else if let Some(fault) = &fault {
            let next_attempt_at_ms = line.clock.now_ms() + i64::try_from(pause.as_millis()).unwrap_or(0);
            let code = fault.code.to_owned();
            line.board.set_link(LinkState::Offline {
                since_ms,
                code,
                next_attempt_at_ms: Some(next_attempt_at_ms),
            });
        }
        if starts_now {
            attempts.push(attempt(config, line)?);
        }
        let next = tokio::time::sleep(pause);
        tokio::pin!(next);
        loop {
            tokio::select! {
                () = &mut next => {
                    if attempts.len() < ATTEMPTS_MAX {
                        attempts.push(attempt(config, line)?);
                    }
                    break;
                }
                Some(result) = attempts.next(), if !attempts.is_empty() => match result {
                    Ok(connection) => return Ok(connection),
                    Err(failed) => {
                        tracing::debug!(code = failed.code, text = failed.text, "an attempt to reach the relay failed");
                        let must_wait = failed.needs_a_person();
                        fault = Some(failed);
                        if must_wait {
                            break;
                        }
                    }
                },
            }
        }
        if fault.is_none() {
            fault = Some(LinkFault::new("unreachable", "the relay does not answer"));
        }
    }
}

fn attempt(config: &UplinkConfig, line: &Line) -> Result<Attempt, LinkFault> {
    let identity = line.identity();
    let now_ms = line.clock.now_ms();
    if now_ms < identity.not_before_ms {
        let text = "this machine's clock is before the start of the node's certificate";
        return Ok(Box::pin(std::future::ready(Err(LinkFault::new(
            "clock_wrong",
            text,
        )))));
    }
    let tls = tls::session_config(&identity, &line.clock)
        .map_err(|error| LinkFault::new("identity_unreadable", error.to_string()))?;
    let address = config.relay_address.clone().unwrap_or(identity.relay_address);
    Ok(Box::pin(async move { dial(&address, tls).await }))
}

/// Serves one connection to its end and says why it ended.
async fn serve(line: &Arc<Line>, connection: &Connection, boot_id: [u8; 16]) -> LinkFault {
    let patience = Duration::from_millis(HANDSHAKE_TIMEOUT_MS);
    let shaken = tokio::time::timeout(patience, shake_hands(line, connection, boot_id)).await;
    let (send, receive, decoder, welcome) = match shaken {
        Ok(Ok(opened)) => opened,
        Ok(Err(fault)) => return fault,
        Err(_) => return LinkFault::new("timeout", "the relay did not answer the first frame"),
    };
    tracing::info!(
        node.id = welcome.node_id,
        relay = welcome.software,
        "connected to the relay"
    );
    line.connected(&welcome);
    let (read, write, data) = (
        line.read_control(receive, decoder),
        line.write_control(send),
        line.send_data(connection),
    );
    tokio::select! {
        fault = read => fault,
        fault = write => fault,
        fault = data => fault,
        () = line.follow_spool() => LinkFault::new("internal", "the spool has ended"),
        error = connection.closed() => fault_of(&error),
    }
}

type Opened = (SendStream, RecvStream, FrameDecoder, Welcome);

async fn shake_hands(line: &Line, connection: &Connection, boot_id: [u8; 16]) -> Result<Opened, LinkFault> {
    let (mut send, mut receive) = connection.open_bi().await.map_err(|error| fault_of(&error))?;
    let hello = Hello {
        version_min: VERSION_MIN,
        version_max: VERSION_MAX,
        boot_id,
        software: concat!("tancho-agent ", env!("CARGO_PKG_VERSION")).to_owned(),
        now_ms: line.clock.now_ms(),
        features_required: vec![],
        features_supported: vec![],
    };
    let mut bytes = Vec::new();
    encode(&Frame::Hello(hello), &mut bytes);
    send.write_all(&bytes).await.map_err(|_| line_fault(connection))?;
    let mut decoder = FrameDecoder::new();
    match next_frame(&mut receive, &mut decoder).await {
        Ok(Some(Frame::Welcome(welcome))) if welcome.version == VERSION_MAX => {
            Ok((send, receive, decoder, welcome))
        }
        Ok(Some(_)) => Err(LinkFault::new(
            "protocol_violation",
            "the relay's first frame is not a Welcome we know",
        )),
        Ok(None) => Err(line_fault(connection)),
        Err(violation) => Err(LinkFault::new("protocol_violation", violation.to_string())),
    }
}

/// The next frame of the control stream; `None` when the line is gone.
pub(super) async fn next_frame(
    receive: &mut RecvStream,
    decoder: &mut FrameDecoder,
) -> Result<Option<Frame>, Violation> {
    loop {
        match decoder.next_frame()? {
            Some(Decoded::Frame(frame)) => return Ok(Some(frame)),
            Some(Decoded::Ignored(number)) => tracing::debug!(number, "an unknown frame was skipped"),
            None => match receive.read_chunk(READ_BYTES, true).await {
                Ok(Some(chunk)) => decoder.push(&chunk.bytes),
                _ => return Ok(None),
            },
        }
    }
}

/// Why the line is gone, as far as the connection knows.
pub(super) fn line_fault(connection: &Connection) -> LinkFault {
    connection
        .close_reason()
        .map_or(LinkFault::new("line_failed", "the stream ended"), |error| {
            fault_of(&error)
        })
}
