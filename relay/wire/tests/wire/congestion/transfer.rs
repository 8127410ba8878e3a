//! A bulk transfer between two real QUIC endpoints in memory: one stream, as many bytes as the line takes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use quinn_proto::congestion::ControllerFactory;
use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig, Event,
    ServerConfig, StreamEvent, StreamId, Transmit, TransportConfig, VarInt,
};

use super::link::{MILLISECOND, Nanos};

/// Which end of the line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    Near,
    Far,
}

pub type Factory = Arc<dyn ControllerFactory + Send + Sync>;

struct Peer {
    endpoint: Endpoint,
    connection: Option<(ConnectionHandle, Connection)>,
    buffer: Vec<u8>,
}

pub struct Transfer {
    epoch: Instant,
    near: Peer,
    far: Peer,
    stream: Option<StreamId>,
    /// What is sent, over and over.
    pattern: Vec<u8>,
    sent_bytes: u64,
    /// Bytes that may still be written; `None` for as many as the line takes.
    allowed_bytes: Option<u64>,
    /// Bytes that came, each compared with what was sent at its place.
    pub received_bytes: u64,
}

const NEAR: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 4000);
const FAR: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 4433);
const WINDOW_BYTES: u32 = 16 << 20;
/// A prime, so that bytes at the wrong place show.
const PATTERN_BYTES: usize = 65_521;

impl Transfer {
    /// A client that connects at `now`, with `factory` deciding its rate. It sends without end, or what it is allowed.
    pub fn new(now: Nanos, factory: Factory, seed: u64, is_endless: bool) -> Self {
        let epoch = Instant::now();
        let mut transport = TransportConfig::default();
        transport
            .stream_receive_window(VarInt::from_u32(WINDOW_BYTES))
            .receive_window(VarInt::from_u32(WINDOW_BYTES))
            .send_window(u64::from(WINDOW_BYTES))
            .max_idle_timeout(None);
        let server_transport = Arc::new(transport);
        let mut transport = TransportConfig::default();
        transport
            .send_window(u64::from(WINDOW_BYTES))
            .max_idle_timeout(None)
            .congestion_controller_factory(factory);
        let (client, server) = configurations(Arc::new(transport), server_transport);
        let config = Arc::new(EndpointConfig::default());
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut near = Peer::new(Endpoint::new(config.clone(), None, true, Some(bytes)));
        bytes[31] = 1;
        let far = Peer::new(Endpoint::new(config, Some(Arc::new(server)), true, Some(bytes)));
        near.connection = Some(
            near.endpoint
                .connect(epoch + Duration::from_nanos(now), client, FAR, "relay.test")
                .expect("the client may connect"),
        );
        Self {
            epoch,
            near,
            far,
            stream: None,
            pattern: (0..PATTERN_BYTES).map(|at| (at * at / 7) as u8).collect(),
            sent_bytes: 0,
            allowed_bytes: (!is_endless).then_some(0),
            received_bytes: 0,
        }
    }

    pub fn near_connection(&self) -> &Connection {
        &self.near.connection.as_ref().expect("connected at the start").1
    }

    /// So many bytes more may be sent.
    pub fn allow(&mut self, bytes: u64) {
        self.allowed_bytes = self.allowed_bytes.map(|allowed| allowed + bytes);
    }

    pub fn on_datagram(&mut self, now: Nanos, at: Side, data: &[u8]) {
        let now = self.instant(now);
        let (peer, from) = match at {
            Side::Near => (&mut self.near, FAR),
            Side::Far => (&mut self.far, NEAR),
        };
        peer.receive(now, from, data);
    }

    /// Lets timers run, moves application bytes, and returns the datagrams to put on the line.
    pub fn drive(&mut self, now: Nanos) -> Vec<(Side, Vec<u8>)> {
        let instant = self.instant(now);
        let mut out = Vec::new();
        self.near.run_timers(instant);
        self.far.run_timers(instant);
        self.feed();
        self.drain();
        self.near
            .transmit(instant, |data| out.push((Side::Near, data.to_vec())));
        self.far
            .transmit(instant, |data| out.push((Side::Far, data.to_vec())));
        out
    }

    /// When to call [`Transfer::drive`] next; whole milliseconds, as an ordinary runtime's timers.
    pub fn next_wake(&mut self) -> Option<Nanos> {
        let timeouts = [&mut self.near, &mut self.far]
            .into_iter()
            .filter_map(|peer| peer.connection.as_mut()?.1.poll_timeout());
        let next = timeouts.min()?.saturating_duration_since(self.epoch).as_nanos() as Nanos;
        Some(next.div_ceil(MILLISECOND) * MILLISECOND)
    }

    fn feed(&mut self) {
        let (_, connection) = self.near.connection.as_mut().expect("connected at the start");
        while let Some(event) = connection.poll() {
            if matches!(event, Event::Connected) {
                self.stream = connection.streams().open(Dir::Uni);
            }
            if let Event::ConnectionLost { reason } = event {
                panic!("the simulated connection was lost: {reason}");
            }
        }
        let Some(stream) = self.stream else { return };
        loop {
            let from = (self.sent_bytes % PATTERN_BYTES as u64) as usize;
            let allowed = self.allowed_bytes.map_or(usize::MAX, |allowed| allowed as usize);
            // An empty write would still send a frame.
            if allowed == 0 {
                return;
            }
            let to = PATTERN_BYTES.min(from.saturating_add(allowed));
            let Ok(n_bytes) = connection.send_stream(stream).write(&self.pattern[from..to]) else {
                return;
            };
            self.sent_bytes += n_bytes as u64;
            self.allowed_bytes = self.allowed_bytes.map(|allowed| allowed - n_bytes as u64);
        }
    }

    fn drain(&mut self) {
        let Some((_, connection)) = self.far.connection.as_mut() else {
            return;
        };
        let mut readable = Vec::new();
        while let Some(event) = connection.poll() {
            match event {
                Event::Stream(StreamEvent::Opened { dir: Dir::Uni }) => {
                    readable.extend(connection.streams().accept(Dir::Uni));
                }
                Event::Stream(StreamEvent::Readable { id }) => readable.push(id),
                _ => {}
            }
        }
        for id in readable {
            let mut stream = connection.recv_stream(id);
            let Ok(mut chunks) = stream.read(true) else {
                continue;
            };
            while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
                assert_eq!(chunk.offset, self.received_bytes, "bytes come in order and once");
                let mut rest: &[u8] = &chunk.bytes;
                while !rest.is_empty() {
                    let from = (self.received_bytes % PATTERN_BYTES as u64) as usize;
                    let (now, later) = rest.split_at(rest.len().min(PATTERN_BYTES - from));
                    assert!(now == &self.pattern[from..from + now.len()], "other bytes came");
                    self.received_bytes += now.len() as u64;
                    rest = later;
                }
            }
            let _ = chunks.finalize();
        }
    }

    fn instant(&self, now: Nanos) -> Instant {
        self.epoch + Duration::from_nanos(now)
    }
}

impl Peer {
    fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            connection: None,
            buffer: Vec::new(),
        }
    }

    fn receive(&mut self, now: Instant, from: SocketAddr, data: &[u8]) {
        self.buffer.clear();
        let event = self
            .endpoint
            .handle(now, from, None, None, BytesMut::from(data), &mut self.buffer);
        match event {
            Some(DatagramEvent::ConnectionEvent(_, event)) => {
                if let Some((_, connection)) = self.connection.as_mut() {
                    connection.handle_event(event);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                self.buffer.clear();
                let accepted = self.endpoint.accept(incoming, now, &mut self.buffer, None);
                self.connection = Some(accepted.unwrap_or_else(|error| panic!("refused: {}", error.cause)));
            }
            Some(DatagramEvent::Response(_)) | None => {}
        }
    }

    fn run_timers(&mut self, now: Instant) {
        let Some((handle, connection)) = self.connection.as_mut() else {
            return;
        };
        if connection.poll_timeout().is_some_and(|due| due <= now) {
            connection.handle_timeout(now);
        }
        while let Some(event) = connection.poll_endpoint_events() {
            if let Some(answer) = self.endpoint.handle_event(*handle, event) {
                connection.handle_event(answer);
            }
        }
    }

    fn transmit(&mut self, now: Instant, mut send: impl FnMut(&[u8])) {
        const DATAGRAMS_MAX: usize = 10;
        let Some((_, connection)) = self.connection.as_mut() else {
            return;
        };
        loop {
            self.buffer.clear();
            let Some(Transmit {
                size, segment_size, ..
            }) = connection.poll_transmit(now, DATAGRAMS_MAX, &mut self.buffer)
            else {
                return;
            };
            for datagram in self.buffer[..size].chunks(segment_size.unwrap_or(size)) {
                send(datagram);
            }
        }
    }
}

fn configurations(
    client_transport: Arc<TransportConfig>,
    server_transport: Arc<TransportConfig>,
) -> (ClientConfig, ServerConfig) {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
    let params = rcgen::CertificateParams::new(vec!["relay.test".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.der().clone()).expect("a root");
    let client = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).expect("PKCS 8");
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("certificate and key");
    let mut client = ClientConfig::new(Arc::new(QuicClientConfig::try_from(client).expect("QUIC suite")));
    client.transport_config(client_transport);
    let mut server =
        ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(server).expect("QUIC suite")));
    server.transport_config(server_transport);
    (client, server)
}
