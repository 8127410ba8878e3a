//! The life of the line: dial until it stands, serve it until it ends, say what it is in, and begin again.
//!
//! In the first ten minutes of an outage a fresh attempt starts every second, whether or not the one before has
//! ended: after an outage the line is back within a second or two, also over a satellite.
//!
//! QUIC comes first. When it gets no answer for some seconds, TLS over TCP is tried beside it, also while a QUIC
//! connection still stands but hears nothing. On TCP, QUIC is tried again and again and taken as soon as it answers.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use quinn::Connection;
use tancho_wire::Frame;
use tancho_wire::frame::{Hello, Welcome, encode};
use tancho_wire::handshake::FEATURES;
use tancho_wire::limits::{HANDSHAKE_TIMEOUT_MS, VERSION_MAX, VERSION_MIN};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::backoff::{Backoff, Over, random};
use super::carrier::{self, Carrier, FrameReader, Writer, line_fault};
use super::dial::{LinkFault, dial, dial_tcp, fault_of};
use super::identity::Identity;
use super::recorder;
use super::sender::Line;
use super::{UplinkConfig, tls};
use crate::clock::Clock;
use crate::link::{LinkBoard, LinkState};
use crate::spool::Spool;

/// A QUIC connection that hears nothing for this long, through two signs of life, may be blocked.
const QUIC_SILENCE: Duration = Duration::from_secs(5);
/// When QUIC is first tried again on a TCP line, and how often after that.
const QUIC_AGAIN: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(30)];

type Attempt = Pin<Box<dyn Future<Output = Result<Carrier, LinkFault>> + Send>>;

/// What a connection came to.
enum Ended {
    Fault(LinkFault),
    /// The other transport answers: go on there.
    Elsewhere(Carrier),
}

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
    board.set_relay(
        relay_address(config, &line.identity()),
        config.sender.rate_cap_bytes_per_s,
    );
    let connecting = async {
        let mut last_up = Instant::now();
        let mut since_ms = clock.now_ms();
        let mut last_fault: Option<LinkFault> = None;
        let mut elsewhere: Option<Carrier> = None;
        let mut is_tcp = false;
        loop {
            let connected = match elsewhere.take() {
                Some(carrier) => Ok(carrier),
                None => connect(config, &line, last_up, since_ms, last_fault.take(), is_tcp).await,
            };
            let ended = match connected {
                Ok(carrier) => {
                    is_tcp = matches!(carrier, Carrier::Tcp(_));
                    serve(config, &line, carrier, boot_id).await
                }
                Err(fault) => Ended::Fault(fault),
            };
            line.disconnected();
            let fault = match ended {
                Ended::Fault(fault) => fault,
                Ended::Elsewhere(carrier) => {
                    tracing::info!(
                        transport = carrier.name(),
                        "the line goes on over another transport"
                    );
                    elsewhere = Some(carrier);
                    continue;
                }
            };
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
    was_tcp: bool,
) -> Result<Carrier, LinkFault> {
    let mut attempts: FuturesUnordered<Attempt> = FuturesUnordered::new();
    let mut backoff = Backoff::new(was_tcp);
    let begun = Instant::now();
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
            attempts.push(attempt(config, line, Over::Quic)?);
        }
        let next = tokio::time::sleep(pause);
        tokio::pin!(next);
        loop {
            tokio::select! {
                () = &mut next => {
                    for over in backoff.after_pause(begun.elapsed(), attempts.len()) {
                        attempts.push(attempt(config, line, over)?);
                    }
                    break;
                }
                Some(result) = attempts.next(), if !attempts.is_empty() => match result {
                    Ok(carrier) => return Ok(carrier),
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

fn relay_address(config: &UplinkConfig, identity: &Identity) -> String {
    config
        .relay_address
        .clone()
        .unwrap_or_else(|| identity.relay_address.clone())
}

fn attempt(config: &UplinkConfig, line: &Line, over: Over) -> Result<Attempt, LinkFault> {
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
    let address = relay_address(config, &identity);
    Ok(match over {
        Over::Quic => {
            let memory = line.paths.recall(&address, now_ms);
            Box::pin(async move { dial(&address, &tls, memory).await.map(Carrier::Quic) })
        }
        Over::Tcp => Box::pin(async move {
            let stream = dial_tcp(&address, &tls).await?;
            Ok(Carrier::Tcp(Box::new(stream)))
        }),
    })
}

/// Serves one connection to its end and says why it ended.
async fn serve(config: &UplinkConfig, line: &Arc<Line>, carrier: Carrier, boot_id: [u8; 16]) -> Ended {
    let transport = carrier.name();
    let (mut send, mut receive, connection) = match carrier.open().await {
        Ok(opened) => opened,
        Err(fault) => return Ended::Fault(fault),
    };
    let connection = connection.as_ref();
    let address = &relay_address(config, &line.identity());
    let patience = Duration::from_millis(HANDSHAKE_TIMEOUT_MS);
    let shaking = shake_hands(line, &mut send, &mut receive, connection, boot_id);
    let welcome = match tokio::time::timeout(patience, shaking).await {
        Ok(Ok(welcome)) => welcome,
        Ok(Err(fault)) => return Ended::Fault(fault),
        Err(_) => {
            return Ended::Fault(LinkFault::new(
                "timeout",
                "the relay did not answer the first frame",
            ));
        }
    };
    tracing::info!(
        node.id = welcome.node_id,
        relay = welcome.software,
        transport,
        "connected to the relay"
    );
    line.connected(&welcome, transport);
    let write_and_send = async {
        match connection {
            Some(connection) => tokio::select! {
                fault = line.write_control(send) => fault,
                fault = line.send_data(connection) => fault,
                error = connection.closed() => fault_of(&error),
            },
            None => line.write_all(send).await,
        }
    };
    let ended = tokio::select! {
        fault = line.read_control(receive) => Ended::Fault(fault),
        () = carrier::measure(connection, &line.board) => Ended::Fault(line_fault(connection)),
        () = line.paths.watch(address, connection, &line.clock) => Ended::Fault(line_fault(connection)),
        fault = write_and_send => Ended::Fault(fault),
        () = line.follow_spool() => Ended::Fault(LinkFault::new("internal", "the spool has ended")),
        carrier = find_other(config, line, connection) => Ended::Elsewhere(carrier),
    };
    let ended = match (ended, connection.and_then(Connection::close_reason)) {
        // A stream's end is only how it shows; the connection knows why.
        (Ended::Fault(fault), Some(error)) if fault.code == "line_failed" => Ended::Fault(fault_of(&error)),
        (ended, _) => ended,
    };
    line.paths.remember(address, connection, &line.clock);
    carrier::close(connection);
    ended
}

/// Waits until the other transport should be used and stands.
async fn find_other(config: &UplinkConfig, line: &Line, connection: Option<&Connection>) -> Carrier {
    let [mut pause, later] = QUIC_AGAIN;
    loop {
        let over = match connection {
            Some(connection) => {
                carrier::silent_for(connection, QUIC_SILENCE).await;
                Over::Tcp
            }
            None => {
                tokio::time::sleep(std::mem::replace(&mut pause, later)).await;
                Over::Quic
            }
        };
        let n_heard = || connection.map(|connection| connection.stats().udp_rx.datagrams);
        let before = n_heard();
        if let Ok(attempt) = attempt(config, line, over)
            && let Ok(carrier) = attempt.await
            && n_heard() == before
        {
            return carrier;
        }
    }
}

async fn shake_hands(
    line: &Line,
    send: &mut Writer,
    receive: &mut FrameReader,
    connection: Option<&Connection>,
    boot_id: [u8; 16],
) -> Result<Welcome, LinkFault> {
    let hello = Hello {
        version_min: VERSION_MIN,
        version_max: VERSION_MAX,
        boot_id,
        software: concat!("tancho-agent ", env!("CARGO_PKG_VERSION")).to_owned(),
        now_ms: line.clock.now_ms(),
        features_required: vec![],
        features_supported: FEATURES.to_vec(),
    };
    let mut bytes = Vec::new();
    encode(&Frame::Hello(hello), &mut bytes);
    let sent = async {
        send.write_all(&bytes).await?;
        send.flush().await
    };
    sent.await.map_err(|_| line_fault(connection))?;
    match receive.next().await {
        Ok(Some(Frame::Welcome(welcome))) if welcome.version == VERSION_MAX => Ok(welcome),
        Ok(Some(Frame::Close(close))) => Err(LinkFault::new(
            tancho_wire::CloseCode(close.code).name(),
            close.reason,
        )),
        Ok(Some(_)) => Err(LinkFault::new(
            "protocol_violation",
            "the relay's first frame is not a Welcome we know",
        )),
        Ok(None) => Err(line_fault(connection)),
        Err(violation) => Err(LinkFault::new("protocol_violation", violation.to_string())),
    }
}
