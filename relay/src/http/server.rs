//! The listener: plain on loopback or behind a proxy, TLS 1.3 and 1.2 otherwise; HTTP/1.1 and HTTP/2.
//!
//! Bounded in connections, in the time a client may take for its handshake and its headers, and in streams.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::config::http::TlsFiles;
use crate::http::caller::Peer;
use crate::state::AppState;

/// Longest TLS handshake.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// Longest time for the headers of a request.
const HEADERS_TIME_MAX: Duration = Duration::from_secs(10);
/// Read buffer of an HTTP/1.1 connection; also bounds its headers.
const HTTP1_BUFFER_BYTES: usize = 64 * 1024;
/// Requests at once on an HTTP/2 connection.
const HTTP2_STREAMS_MAX: u32 = 128;
/// A quiet HTTP/2 connection is asked for a sign of life this often.
const HTTP2_PING_EVERY: Duration = Duration::from_secs(30);
/// Running answers get this long when the relay stops.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);

/// Reads certificate chain and key.
pub fn tls_acceptor(files: &TlsFiles) -> anyhow::Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(&files.cert_file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("reading the certificate chain {}", files.cert_file.display()))?;
    let key = PrivateKeyDer::from_pem_file(&files.key_file)
        .with_context(|| format!("reading the key {}", files.key_file.display()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("certificate and key do not fit")?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves `router` until the relay stops; then finishes what is running, for a bounded time.
pub async fn serve(app: AppState, listener: TcpListener, tls: Option<TlsAcceptor>, router: Router) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(app.config.http.connections_max));
    loop {
        let place = tokio::select! {
            () = app.shutdown.cancelled() => break,
            place = Arc::clone(&places).acquire_owned() => place.expect("the semaphore is never closed"),
        };
        let (stream, address) = tokio::select! {
            () = app.shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file handles, most likely: accepting again at once would spin.
                    tracing::warn!(error = %error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let peer = Peer {
            address,
            loopback: address.ip().is_loopback(),
        };
        let connection = Connection {
            app: app.clone(),
            router: router.clone(),
            peer,
            watcher: graceful.watcher(),
        };
        let tls = tls.clone();
        app.tasks.spawn(async move {
            connection.run(stream, tls).await;
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(STOP_TIME_MAX, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!(
            "connections still open after {} s were cut",
            STOP_TIME_MAX.as_secs()
        );
    }
}

struct Connection {
    app: AppState,
    router: Router,
    peer: Peer,
    watcher: hyper_util::server::graceful::Watcher,
}

impl Connection {
    async fn run(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        // Small answers must not wait for a full packet.
        let _ = stream.set_nodelay(true);
        match tls {
            None => self.speak(stream).await,
            Some(tls) => match tokio::time::timeout(HANDSHAKE_TIME_MAX, tls.accept(stream)).await {
                Ok(Ok(stream)) => self.speak(stream).await,
                Ok(Err(error)) => tracing::debug!(error = %error, "TLS handshake failed"),
                Err(_) => tracing::debug!("TLS handshake took too long"),
            },
        }
    }

    async fn speak(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self {
            app,
            router,
            peer,
            watcher,
        } = self;
        let service = router.map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            request.map(axum::body::Body::new)
        });
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS_TIME_MAX)
            .max_buf_size(HTTP1_BUFFER_BYTES);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(HTTP2_STREAMS_MAX)
            .max_header_list_size(crate::http::headers::REQUEST_HEAD_BYTES_MAX as u32)
            .keep_alive_interval(HTTP2_PING_EVERY);
        app.metrics.http_connections.inc();
        let connection = builder
            .serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service))
            .into_owned();
        let cut = async {
            app.shutdown.cancelled().await;
            tokio::time::sleep(STOP_TIME_MAX).await;
        };
        tokio::select! {
            result = watcher.watch(connection) => {
                if let Err(error) = result {
                    tracing::trace!(error = %error, "connection ended");
                }
            }
            () = cut => {}
        }
        app.metrics.http_connections.dec();
    }
}

/// Binds the listener and says where it is.
pub async fn bind(address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("listening on http.listen {address}"))?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}
