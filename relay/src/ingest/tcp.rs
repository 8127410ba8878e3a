//! The same protocol over TLS on TCP, for lines that block UDP: same CA, mutual certificates, same ALPN.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use tancho_wire::limits::{ALPN_ENROLL, HANDSHAKE_TIMEOUT_MS, IDLE_TIMEOUT_MS};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::carrier::{Carrier, FrameReader, Writer, say_farewell};
use super::handshakes::Handshakes;
use super::{enroll, session};
use crate::nodes::service;
use crate::state::AppState;

/// Handshakes under way at once; more wait to be accepted.
const HANDSHAKES_MAX: usize = 64;
/// Enrolments under way at once.
const ENROLLMENTS_MAX: usize = 16;
/// Pause after the system refused to accept: accepting again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the port until the relay stops.
pub(super) async fn accept(app: AppState, listener: TcpListener, tls: rustls::ServerConfig) {
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    let by_source = Arc::new(Handshakes::default());
    let enrollments = Arc::new(Semaphore::new(ENROLLMENTS_MAX));
    loop {
        let permit = tokio::select! {
            () = app.shutdown.cancelled() => return,
            permit = Arc::clone(&handshakes).acquire_owned() => permit,
        };
        let (stream, address) = tokio::select! {
            () = app.shutdown.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a node's TCP connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        // A TCP peer has proved its address.
        let Some(turn) = by_source.begin(address.ip(), true) else {
            continue;
        };
        let (acceptor, enrollments, serving) = (acceptor.clone(), Arc::clone(&enrollments), app.clone());
        app.tasks.spawn(async move {
            let patience = Duration::from_millis(HANDSHAKE_TIMEOUT_MS);
            let shaken = tokio::time::timeout(patience, shake_hands(&acceptor, stream)).await;
            drop((permit, turn));
            match shaken {
                Ok(Ok(stream)) => serve(serving, stream, address, &enrollments).await,
                Ok(Err(error)) => tracing::warn!(peer = %address, %error, "handshake refused"),
                Err(_) => tracing::debug!(peer = %address, "handshake took too long"),
            }
        });
    }
}

async fn shake_hands(acceptor: &TlsAcceptor, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
    stream.set_nodelay(true)?;
    acceptor.accept(stream).await
}

async fn serve(app: AppState, stream: TlsStream<TcpStream>, address: SocketAddr, enrollments: &Semaphore) {
    let (_, tls) = stream.get_ref();
    let enrolls = tls.alpn_protocol() == Some(ALPN_ENROLL);
    let leaf: Option<CertificateDer<'static>> = tls
        .peer_certificates()
        .and_then(|chain| chain.first())
        .map(|leaf| leaf.clone().into_owned());
    let carrier = Carrier::tcp(address);
    let (receive, send) = tokio::io::split(stream);
    let receive = FrameReader::new(Box::new(receive), Some(Duration::from_millis(IDLE_TIMEOUT_MS)));
    let mut send: Writer = Box::new(send);
    if enrolls {
        match enrollments.try_acquire() {
            Ok(_permit) => enroll::serve_enrollment(app, carrier, receive, send).await,
            Err(_) => say_farewell(&mut send, tancho_wire::CloseCode::OVERLOADED).await,
        }
        return;
    }
    let node = match leaf {
        Some(leaf) => service::identify_node(&app, &leaf).await,
        None => Err(tancho_wire::CloseCode::IDENTITY_REQUIRED),
    };
    match node {
        Ok(node) => session::serve_node(app, carrier, receive, send, node).await,
        Err(code) => {
            tracing::warn!(peer = %address, code = code.name(), "connection refused");
            say_farewell(&mut send, code).await;
        }
    }
}
