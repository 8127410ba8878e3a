//! The listeners for node agents, and the QUIC endpoint: TLS 1.3 only, early data off, client certificates checked before anything is read.
//!
//! One address serves both protocols. Connections are told apart by their ALPN; `tancho/1` without a certificate of
//! our own CA ends before its first stream is looked at.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use quinn::crypto::rustls::{HandshakeData, QuicServerConfig};
use quinn::{Endpoint, Incoming, ServerConfig, TransportConfig, VarInt};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls::time_provider::TimeProvider;
use rustls_pki_types::{CertificateDer, UnixTime};
use tancho_store::nodes;
use tancho_wire::CloseCode;
use tancho_wire::congestion::LineControllerConfig;
use tancho_wire::limits::{ALPN, ALPN_ENROLL, HANDSHAKE_TIMEOUT_MS, IDLE_TIMEOUT_MS};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::carrier::{Carrier, FrameReader};
use super::handshakes::Handshakes;
use super::reset_key::ResetKey;
use super::silence::SilenceWatch;
use super::{enroll, recover, session};
use crate::clock::Clock;
use crate::nodes::service;
use crate::state::AppState;

/// Receive window of a node's connection in bytes: what it can make us hold.
const CONNECTION_WINDOW_BYTES: u32 = 32 << 20;
/// The same of a peer that has not shown a certificate: one request to enrol.
const STRANGER_WINDOW_BYTES: u32 = 64 << 10;
/// Receive window of one stream in bytes.
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
/// Data streams a node may have open at once: of 64 KiB each, half of what [`CONNECTION_WINDOW_BYTES`] allows.
const DATA_STREAMS_MAX: u32 = 256;
/// Handshakes under way at once; more are asked to prove their address or wait.
const HANDSHAKES_MAX: usize = 256;
/// Above this many handshakes a peer must prove its address first, so that spoofed sources cost nothing.
const HANDSHAKES_BEFORE_RETRY: usize = 32;
/// Enrolments under way at once.
const ENROLLMENTS_MAX: usize = 16;
/// How often live connections are compared with the deny-list; also how soon another relay's denial acts here.
const DENY_LIST_EVERY: Duration = Duration::from_secs(20);
/// How often silent nodes are looked for; with the time until a node counts as silent below three minutes.
const SILENCE_EVERY: Duration = Duration::from_secs(20);
/// How often it is looked whether the relay's certificate has to be made anew.
const CERTIFICATE_EVERY: Duration = Duration::from_secs(60);
/// How often partial files are made durable.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// How often another pair of ports is tried when any will do.
const ANY_PORT_ATTEMPTS: usize = 16;
/// Time for open connections to end when the relay stops.
const DRAIN_TIME: Duration = Duration::from_secs(3);

/// Opens the port and starts serving nodes. What an earlier run left is put in order first.
pub async fn serve(app: &AppState) -> anyhow::Result<SocketAddr> {
    app.authority.refresh_relay_certificate(app.now_ms())?;
    recover::recover(app)
        .await
        .context("putting the incoming folder in order")?;
    let (endpoint, listener) = open_ports(app).await?;
    let address = endpoint
        .local_addr()
        .context("asking for the address of the QUIC port")?;
    let tcp = listener
        .local_addr()
        .context("asking for the address of the TCP port")?;
    app.tasks.spawn(accept(app.clone(), endpoint));
    app.tasks
        .spawn(super::tcp::accept(app.clone(), listener, tls_config(app)?));
    app.tasks.spawn(super::commit::run(app.clone()));
    app.tasks.spawn(watch_deny_list(app.clone()));
    app.tasks.spawn(watch_silence(app.clone()));
    app.tasks.spawn(keep_certificate_fresh(app.clone()));
    app.tasks.spawn(keep_parts_durable(app.clone()));
    tracing::info!(quic = %address, %tcp, "listening for node agents");
    Ok(address)
}

/// Opens the UDP port and the TCP port beside it. When any port will do, both get the same number.
async fn open_ports(app: &AppState) -> anyhow::Result<(Endpoint, TcpListener)> {
    let (listen, tcp_listen) = (app.config.quic.listen, app.config.quic.tcp_listen);
    let reset_key = ResetKey::open(&app.config.data_dir)?;
    let follows = listen.port() == 0 && tcp_listen == listen;
    let mut attempts_left = if follows { ANY_PORT_ATTEMPTS } else { 1 };
    loop {
        attempts_left -= 1;
        let endpoint = open_endpoint(app, listen, &reset_key)
            .with_context(|| format!("opening UDP {listen} (quic.listen) for node agents"))?;
        let tcp_listen = match follows {
            true => endpoint.local_addr()?,
            false => tcp_listen,
        };
        match TcpListener::bind(tcp_listen).await {
            Ok(listener) => return Ok((endpoint, listener)),
            Err(_) if attempts_left > 0 => {}
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("opening TCP {tcp_listen} (quic.tcp_listen) for node agents"));
            }
        }
    }
}

fn open_endpoint(app: &AppState, listen: SocketAddr, reset_key: &ResetKey) -> anyhow::Result<Endpoint> {
    let socket = std::net::UdpSocket::bind(listen)?;
    let runtime = quinn::default_runtime().context("a tokio runtime expected")?;
    let (config, server) = (reset_key.endpoint_config(), server_config(app)?);
    Ok(Endpoint::new(config, Some(server), socket, runtime)?)
}

/// TLS as both listeners speak it: 1.3 only, our CA, a client certificate unless the peer enrols.
fn tls_config(app: &AppState) -> anyhow::Result<rustls::ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots
        .add(app.authority.certificate().clone())
        .context("trusting our own CA")?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .context("checking client certificates")?;
    let time = Arc::new(ClockTime(Arc::clone(&app.clock)));
    let mut tls = rustls::ServerConfig::builder_with_details(provider, time)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::clone(&app.authority) as Arc<dyn rustls::server::ResolvesServerCert>);
    tls.alpn_protocols = vec![ALPN.to_vec(), ALPN_ENROLL.to_vec()];
    tls.max_early_data_size = 0;
    // No resumption: every connection proves its certificate.
    tls.send_tls13_tickets = 0;
    Ok(tls)
}

fn server_config(app: &AppState) -> anyhow::Result<ServerConfig> {
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls_config(app)?)?));
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(VarInt::from_u32(IDLE_TIMEOUT_MS as u32).into()))
        // Raised when the peer turns out to be a node.
        .receive_window(VarInt::from_u32(STRANGER_WINDOW_BYTES))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .congestion_controller_factory(Arc::new(LineControllerConfig::default()));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// Certificates are judged by the relay's clock, like everything else.
#[derive(Debug)]
struct ClockTime(Arc<dyn Clock>);

impl TimeProvider for ClockTime {
    fn current_time(&self) -> Option<UnixTime> {
        let since = Duration::from_millis(u64::try_from(self.0.now_ms()).ok()?);
        Some(UnixTime::since_unix_epoch(since))
    }
}

async fn accept(app: AppState, endpoint: Endpoint) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    let by_source = Arc::new(Handshakes::default());
    let enrollments = Arc::new(Semaphore::new(ENROLLMENTS_MAX));
    loop {
        let incoming = tokio::select! {
            () = app.shutdown.cancelled() => break,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { break };
        let busy = HANDSHAKES_MAX - handshakes.available_permits() >= HANDSHAKES_BEFORE_RETRY;
        if busy && !incoming.remote_address_validated() {
            // A failed retry means that the packet cannot be answered with one: it is dropped.
            let _ = incoming.retry();
            continue;
        }
        let is_validated = incoming.remote_address_validated();
        let Some(turn) = by_source.begin(incoming.remote_address().ip(), is_validated) else {
            if is_validated {
                incoming.refuse();
            } else {
                let _ = incoming.retry();
            }
            continue;
        };
        let Ok(permit) = Arc::clone(&handshakes).try_acquire_owned() else {
            incoming.refuse();
            continue;
        };
        let (app, enrollments) = (app.clone(), Arc::clone(&enrollments));
        app.clone().tasks.spawn(async move {
            let shaken = shake_hands(incoming).await;
            drop((permit, turn));
            if let Some((connection, alpn)) = shaken {
                serve_connection(app, connection, &alpn, &enrollments).await;
            }
        });
    }
    endpoint.close(
        VarInt::from_u32(CloseCode::SHUTDOWN.0),
        CloseCode::SHUTDOWN.name().as_bytes(),
    );
    let _ = tokio::time::timeout(DRAIN_TIME, endpoint.wait_idle()).await;
}

async fn shake_hands(incoming: Incoming) -> Option<(quinn::Connection, Vec<u8>)> {
    let address = incoming.remote_address();
    let connecting = incoming.accept().ok()?;
    let patience = Duration::from_millis(HANDSHAKE_TIMEOUT_MS);
    let connection = match tokio::time::timeout(patience, connecting).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            tracing::warn!(peer = %address, %error, "handshake refused");
            return None;
        }
        Err(_) => return None,
    };
    let data = connection.handshake_data()?.downcast::<HandshakeData>().ok()?;
    Some((connection, data.protocol?))
}

async fn serve_connection(
    app: AppState,
    connection: quinn::Connection,
    alpn: &[u8],
    enrollments: &Semaphore,
) {
    let carrier = Carrier::Quic(connection.clone());
    let enrolls = alpn == ALPN_ENROLL;
    let permit = enrolls.then(|| enrollments.try_acquire());
    if let Some(Err(_)) = &permit {
        return carrier.close(CloseCode::OVERLOADED);
    }
    let node = match enrolls {
        true => None,
        false => match identify(&app, &connection).await {
            Ok(node) => {
                connection.set_receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES));
                connection.set_max_concurrent_uni_streams(VarInt::from_u32(DATA_STREAMS_MAX));
                Some(node)
            }
            Err(code) => {
                tracing::warn!(peer = %connection.remote_address(), code = code.name(), "connection refused");
                return carrier.close(code);
            }
        },
    };
    let patience = Duration::from_millis(HANDSHAKE_TIMEOUT_MS);
    let (send, receive) = match tokio::time::timeout(patience, connection.accept_bi()).await {
        Ok(Ok(streams)) => streams,
        Ok(Err(_)) => return,
        Err(_) => return carrier.close(CloseCode::TIMEOUT),
    };
    let (receive, send) = (FrameReader::new(Box::new(receive), None), Box::new(send));
    match node {
        Some(node) => session::serve_node(app, carrier, receive, send, node).await,
        None => enroll::serve_enrollment(app, carrier, receive, send).await,
    }
}

async fn identify(app: &AppState, connection: &quinn::Connection) -> Result<nodes::Node, CloseCode> {
    let chain = connection
        .peer_identity()
        .and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok())
        .ok_or(CloseCode::IDENTITY_REQUIRED)?;
    let leaf = chain.first().ok_or(CloseCode::IDENTITY_REQUIRED)?;
    service::identify_node(app, leaf).await
}

async fn watch_deny_list(app: AppState) {
    while wait(&app, DENY_LIST_EVERY).await {
        if app.nodes_connected.connected().is_empty() {
            continue;
        }
        let denied = async { nodes::list_denied_nodes(&mut app.db.read().await?).await };
        match denied.await {
            Ok(denied) => denied
                .iter()
                .for_each(|node_id| app.nodes_connected.cut_denied(node_id)),
            Err(error) => tracing::error!(%error, "the deny-list could not be read"),
        }
    }
}

async fn watch_silence(app: AppState) {
    let mut watch = SilenceWatch::default();
    while wait(&app, SILENCE_EVERY).await {
        if let Err(error) = watch.look(&app).await {
            tracing::error!(%error, "silent nodes could not be looked for");
        }
    }
}

async fn keep_certificate_fresh(app: AppState) {
    while wait(&app, CERTIFICATE_EVERY).await {
        if let Err(error) = app.authority.refresh_relay_certificate(app.now_ms()) {
            tracing::error!(
                error = format!("{error:#}"),
                "the relay's certificate could not be made anew"
            );
        }
    }
}

async fn keep_parts_durable(app: AppState) {
    while wait(&app, SYNC_EVERY).await {
        let incoming = Arc::clone(&app.incoming);
        match tokio::task::spawn_blocking(move || incoming.sync_some()).await {
            Ok(Ok(_)) | Err(_) => {}
            Ok(Err(error)) => tracing::error!(%error, "partial files could not be made durable"),
        }
    }
}

/// `false` when the relay stops.
async fn wait(app: &AppState, time: Duration) -> bool {
    tokio::select! {
        () = app.shutdown.cancelled() => false,
        () = app.clock.sleep(time) => true,
    }
}
