//! Bulk transfers: QUIC with a chosen congestion controller, TCP with the kernel's, and the receiver of both.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use quinn::congestion::{BbrConfig, ControllerFactory, CubicConfig};
use quinn::{ClientConfig, Connection, Endpoint, ServerConfig, TransportConfig, VarInt};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tancho_wire::congestion::{LineController, LineControllerConfig, PathMemory};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::{ControllerName, unix_ns};

/// Name in the receiver's certificate.
const SERVER_NAME: &str = "line";
/// What is written at once.
static BLOCK: [u8; 64 * 1024] = [0x5a; 64 * 1024];
/// More than any of the lines holds in flight, so that the controller alone decides.
const WINDOW_BYTES: u32 = 64 << 20;
/// From one line of the receiver's count to the next.
const COUNT_EVERY: Duration = Duration::from_millis(50);

/// Bytes that have arrived.
#[derive(Default)]
struct Arrived {
    quic: AtomicU64,
    tcp: AtomicU64,
}

/// The controllers by name.
pub fn factory(
    name: ControllerName,
    remembered: Option<Vec<u64>>,
) -> Arc<dyn ControllerFactory + Send + Sync> {
    match name {
        ControllerName::Cubic => Arc::new(CubicConfig::default()),
        ControllerName::Bbr => Arc::new(BbrConfig::default()),
        ControllerName::Tancho => {
            let memory = remembered.map(|path| PathMemory {
                bandwidth_bytes_per_s: path[0],
                min_rtt: Duration::from_micros(path[1]),
                measured_at_ms: unix_ns() / 1_000_000,
            });
            Arc::new(LineControllerConfig::remembering(memory))
        }
    }
}

/// Receives until it is ended.
#[tokio::main]
pub async fn receive(listen: SocketAddr, certificate: &Path) -> anyhow::Result<()> {
    let made = rcgen::generate_simple_self_signed(vec![SERVER_NAME.to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let mut config = ServerConfig::with_single_cert(vec![made.cert.der().clone()], key.into())?;
    config.transport_config(Arc::new(transport()));
    let endpoint = Endpoint::server(config, listen)?;
    let listener = TcpListener::bind(listen).await?;
    std::fs::write(certificate, made.cert.der())?;
    let arrived: Arc<Arrived> = Arc::default();

    let counted = Arc::clone(&arrived);
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(receive_quic(incoming, Arc::clone(&counted)));
        }
    });
    let counted = Arc::clone(&arrived);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                let mut block = vec![0; BLOCK.len()];
                while let Ok(len @ 1..) = stream.read(&mut block).await {
                    counted.tcp.fetch_add(len as u64, Ordering::Relaxed);
                }
            });
        }
    });
    let mut ticks = tokio::time::interval(COUNT_EVERY);
    loop {
        ticks.tick().await;
        let (quic, tcp) = (
            arrived.quic.load(Ordering::Relaxed),
            arrived.tcp.load(Ordering::Relaxed),
        );
        print(&json!({ "at_ms": unix_ns() / 1_000_000, "quic": quic, "tcp": tcp }))?;
    }
}

async fn receive_quic(incoming: quinn::Incoming, arrived: Arc<Arrived>) -> anyhow::Result<()> {
    let connection = incoming.await?;
    let mut stream = connection.accept_uni().await?;
    // In any order: a lost packet must not look like a pause and a burst.
    while let Some(chunk) = stream.read_chunk(BLOCK.len(), false).await? {
        arrived
            .quic
            .fetch_add(chunk.bytes.len() as u64, Ordering::Relaxed);
    }
    Ok(())
}

/// Sends for `seconds`, then prints what the connection counted and what it would remember of the path.
#[tokio::main]
pub async fn send(
    to: SocketAddr,
    certificate: Vec<u8>,
    controller: Arc<dyn ControllerFactory + Send + Sync>,
    seconds: f64,
) -> anyhow::Result<()> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(certificate))?;
    let mut config = ClientConfig::with_root_certificates(Arc::new(roots))?;
    let mut transport = transport();
    transport.congestion_controller_factory(controller);
    config.transport_config(Arc::new(transport));
    let mut endpoint = Endpoint::client(SocketAddr::from(([0, 0, 0, 0], 0)))?;
    endpoint.set_default_client_config(config);
    let connection = endpoint.connect(to, SERVER_NAME)?.await.context("connecting")?;
    let mut stream = connection.open_uni().await?;
    let sending = async { while stream.write_all(&BLOCK).await.is_ok() {} };
    // Only ends early when the connection does, which the counts then show.
    let _ = tokio::time::timeout(Duration::from_secs_f64(seconds), sending).await;
    let error = connection.close_reason().map(|reason| reason.to_string());
    print(&json!({ "path": path(&connection), "error": error }))?;
    connection.close(VarInt::from_u32(0), b"done");
    Ok(())
}

/// What our controller would remember; nothing for the others.
fn path(connection: &Connection) -> Option<Value> {
    let controller = connection.congestion_state().into_any();
    let controller = controller.downcast::<LineController>().ok()?;
    let memory = controller.path_memory(Instant::now(), unix_ns() / 1_000_000)?;
    let round_trip_us = u64::try_from(memory.min_rtt.as_micros()).unwrap_or(u64::MAX);
    Some(json!([memory.bandwidth_bytes_per_s, round_trip_us]))
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .stream_receive_window(VarInt::from_u32(WINDOW_BYTES))
        .receive_window(VarInt::from_u32(WINDOW_BYTES))
        .send_window(WINDOW_BYTES.into());
    transport
}

/// Sends by TCP for `seconds`.
pub fn send_tcp(to: SocketAddr, seconds: f64) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(to)?;
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    while Instant::now() < end {
        stream.write_all(&BLOCK)?;
    }
    Ok(())
}

/// Written out at once: the reader follows the output while the program runs.
fn print(line: &Value) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
