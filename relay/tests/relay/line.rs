//! A node agent reduced to its frames: what a peer, honest or not, can say to the relay.

use std::io::Cursor;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use rcgen::{CertificateParams, KeyPair};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::time_provider::TimeProvider;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use sha2::{Digest as _, Sha256};
use tancho_domain::dicom::{
    Priority, SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid,
};
use tancho_imaging::container::{Coding, CodingTurns, Encoder, Object};
use tancho_imaging::limits::ScanLimits;
use tancho_imaging::scan::scan;
use tancho_imaging::synthetic::{CT_IMAGE_STORAGE, CtSlice};
use tancho_wire::enrollment::EnrollmentCode;
use tancho_wire::frame::{
    Decoded, EnrollAccepted, EnrollRequest, FrameDecoder, Hello, Offer, OfferItem, StudyStatus, Welcome,
    data_header, encode,
};
use tancho_wire::limits::{ALPN, ALPN_ENROLL, RANGE_BYTES_MAX, RELAY_NAME};
use tancho_wire::{CloseCode, Digest, Frame};

use crate::harness::{NOW_MS, TestRelay};

pub const EXPLICIT: &str = "1.2.840.10008.1.2.1";
/// Nothing in a test takes this long unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
struct TestTime;

impl TimeProvider for TestTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis(
            NOW_MS.unsigned_abs(),
        )))
    }
}

/// A key with its certificate.
#[derive(Clone)]
pub struct NodeKey {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: Vec<u8>,
    pub node_id: String,
}

/// Dials the relay, trusting `authority`; `key` is the client certificate.
pub async fn dial(
    relay: SocketAddr,
    alpn: &[u8],
    authority: &CertificateDer<'static>,
    key: Option<&NodeKey>,
) -> Result<Connection, ConnectionError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).unwrap();
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .unwrap();
    let builder = rustls::ClientConfig::builder_with_details(provider, Arc::new(TestTime))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut tls = match key {
        None => builder.with_no_client_auth(),
        Some(node) => {
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(node.key.clone()));
            builder.with_client_auth_cert(node.chain.clone(), key).unwrap()
        }
    };
    tls.alpn_protocols = vec![alpn.to_vec()];
    let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    tokio::time::timeout(
        PATIENCE,
        endpoint.connect_with(config, relay, RELAY_NAME).unwrap(),
    )
    .await
    .unwrap()
}

/// A stream pair that speaks frames.
pub struct Talk {
    pub connection: Connection,
    send: SendStream,
    receive: RecvStream,
    decoder: FrameDecoder,
}

impl Talk {
    /// The close code when the relay was faster.
    pub async fn open(connection: Connection) -> Result<Self, CloseCode> {
        let (send, receive) = connection.open_bi().await.map_err(|ended| code_of(&ended))?;
        Ok(Self {
            connection,
            send,
            receive,
            decoder: FrameDecoder::new(),
        })
    }

    pub async fn say(&mut self, frame: &Frame) {
        let mut bytes = Vec::new();
        encode(frame, &mut bytes);
        self.say_bytes(&bytes).await;
    }

    pub async fn say_bytes(&mut self, bytes: &[u8]) {
        // When the relay has closed meanwhile, the test finds out by what it hears.
        let _ = self.send.write_all(bytes).await;
    }

    /// The next frame that is not about being alive or about how far a study is; the close code when the relay closed.
    pub async fn hear(&mut self) -> Result<Frame, CloseCode> {
        tokio::time::timeout(PATIENCE, self.next())
            .await
            .expect("the relay says something in time")
    }

    async fn next(&mut self) -> Result<Frame, CloseCode> {
        loop {
            match self.decoder.next_frame().unwrap() {
                Some(Decoded::Frame(Frame::Ping(_) | Frame::Pong(_) | Frame::StudyStatus(_))) => {}
                Some(Decoded::Frame(frame)) => return Ok(frame),
                Some(Decoded::Ignored(number)) => panic!("unknown frame {number}"),
                None => match self.receive.read_chunk(65_536, true).await {
                    Ok(Some(chunk)) => self.decoder.push(&chunk.bytes),
                    _ => return Err(close_code(&self.connection).await),
                },
            }
        }
    }

    /// How far a study is, when the relay next says so.
    pub async fn hear_status(&mut self) -> StudyStatus {
        loop {
            match self.decoder.next_frame().unwrap() {
                Some(Decoded::Frame(Frame::StudyStatus(status))) => return status,
                Some(_) => {}
                None => {
                    let chunk = tokio::time::timeout(PATIENCE, self.receive.read_chunk(65_536, true)).await;
                    self.decoder
                        .push(&chunk.expect("in time").unwrap().unwrap().bytes);
                }
            }
        }
    }

    /// Answers Pings until the relay closes; gives its code.
    pub async fn live_until_closed(&mut self) -> CloseCode {
        loop {
            match self.decoder.next_frame().unwrap() {
                Some(Decoded::Frame(Frame::Ping(ping))) => {
                    let pong = tancho_wire::frame::Pong {
                        seq: ping.seq,
                        ping_now_ms: ping.now_ms,
                        now_ms: NOW_MS,
                    };
                    self.say(&Frame::Pong(pong)).await;
                }
                Some(_) => {}
                None => match self.receive.read_chunk(65_536, true).await {
                    Ok(Some(chunk)) => self.decoder.push(&chunk.bytes),
                    _ => return close_code(&self.connection).await,
                },
            }
        }
    }
}

/// The code the relay closed with.
pub async fn close_code(connection: &Connection) -> CloseCode {
    let ended = tokio::time::timeout(PATIENCE, connection.closed()).await;
    code_of(&ended.expect("closed in time"))
}

/// The code in a connection's end.
pub fn code_of(ended: &ConnectionError) -> CloseCode {
    match ended {
        ConnectionError::ApplicationClosed(close) => {
            CloseCode(u32::try_from(close.error_code.into_inner()).unwrap())
        }
        other => panic!("not closed by the relay's protocol: {other}"),
    }
}

/// Shows a code to the relay.
pub async fn enroll(relay: &TestRelay, code: &str, key: &KeyPair) -> Result<NodeKey, String> {
    let code = EnrollmentCode::parse(code).unwrap();
    let authority = relay.app().authority.certificate();
    assert_eq!(code.ca_fingerprint, EnrollmentCode::fingerprint(authority));
    let connection = dial(relay.quic(), ALPN_ENROLL, authority, None).await.unwrap();
    let mut talk = Talk::open(connection).await.unwrap();
    let csr = CertificateParams::default().serialize_request(key).unwrap();
    let software = "test".to_owned();
    talk.say(&Frame::EnrollRequest(EnrollRequest {
        secret: code.secret,
        csr_der: csr.der().to_vec(),
        software,
    }))
    .await;
    match talk.hear().await.unwrap() {
        Frame::EnrollAccepted(accepted) => Ok(node_key(accepted, key)),
        Frame::EnrollRefused(refused) => Err(refused.code),
        other => panic!("{}", other.name()),
    }
}

fn node_key(accepted: EnrollAccepted, key: &KeyPair) -> NodeKey {
    let chain = accepted
        .chain_der
        .into_iter()
        .map(|der| CertificateDer::from(Vec::from(der)))
        .collect();
    NodeKey {
        chain,
        key: key.serialize_der(),
        node_id: accepted.node_id,
    }
}

pub fn hello(boot_id: u8) -> Hello {
    Hello {
        version_min: 1,
        version_max: 1,
        boot_id: [boot_id; 16],
        software: "test".to_owned(),
        now_ms: NOW_MS,
        features_required: vec![],
        features_supported: vec![],
    }
}

/// Connects as a node and says Hello.
pub async fn connect(relay: &TestRelay, node: &NodeKey, boot_id: u8) -> Result<(Talk, Welcome), CloseCode> {
    connect_to(relay.quic(), relay.app().authority.certificate(), node, boot_id).await
}

/// As [`connect`], to whatever relay is at this address.
pub async fn connect_to(
    relay: SocketAddr,
    authority: &CertificateDer<'static>,
    node: &NodeKey,
    boot_id: u8,
) -> Result<(Talk, Welcome), CloseCode> {
    let connection = dial(relay, ALPN, authority, Some(node))
        .await
        .map_err(|ended| code_of(&ended))?;
    let mut talk = Talk::open(connection).await?;
    talk.say(&Frame::Hello(hello(boot_id))).await;
    match talk.hear().await? {
        Frame::Welcome(welcome) => Ok((talk, welcome)),
        other => panic!("{}", other.name()),
    }
}

/// A CT slice in its container.
#[derive(Clone)]
pub struct Coded {
    pub data_set: Vec<u8>,
    pub bytes: Vec<u8>,
    pub offer: Offer,
}

impl Coded {
    pub fn item(&self) -> &OfferItem {
        &self.offer.items[0]
    }

    pub fn sha256(&self) -> Digest {
        self.item().container_sha256
    }
}

/// Slice `number` of a study; `patient_id` and `shade` vary what is in it.
pub fn slice(number: u32, patient_id: &str, shade: i16) -> Coded {
    slice_as(number, patient_id, shade, &Coding::default())
}

/// As [`slice`], coded in another way.
pub fn slice_as(number: u32, patient_id: &str, shade: i16, coding: &Coding<'_>) -> Coded {
    let side = 128_u16;
    // Not compressible to nothing, so that a container has several ranges.
    let mut noise = 1_u32;
    let samples = (0..u32::from(side) * u32::from(side)).map(|_| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        shade.wrapping_add((noise >> 18) as i16)
    });
    let slice = CtSlice {
        study_instance_uid: "2.25.1".to_owned(),
        series_instance_uid: "2.25.1.1".to_owned(),
        sop_instance_uid: format!("2.25.1.1.{number}"),
        character_sets: "\\ISO 2022 IR 87".to_owned(),
        patient_name: "DOTO^HANAKO=道東^花子=ドウトウ^ハナコ".to_owned(),
        patient_id: patient_id.to_owned(),
        instance_number: number,
        rows: side,
        columns: side,
        samples: samples.collect(),
    };
    let ts = TransferSyntaxUid::parse(EXPLICIT).unwrap();
    coded_as(slice.data_set(&ts).unwrap(), &ts, coding)
}

/// Puts a data set into its container and its offer.
pub fn coded(data_set: Vec<u8>, ts: &TransferSyntaxUid) -> Coded {
    coded_as(data_set, ts, &Coding::default())
}

fn coded_as(data_set: Vec<u8>, ts: &TransferSyntaxUid, coding: &Coding<'_>) -> Coded {
    let mut source = Cursor::new(&data_set);
    let scan = scan(&mut source, ts, &ScanLimits::default()).unwrap();
    let mut out = Cursor::new(Vec::new());
    let original_sha256: [u8; 32] = Sha256::digest(&data_set).into();
    let object = Object {
        scan: &scan,
        transfer_syntax: ts,
        original_sha256: &original_sha256,
    };
    let mut encoder = Encoder::new(Arc::new(CodingTurns::new(1, u64::MAX))).unwrap();
    let mut scratch = Cursor::new(Vec::new());
    let summary = encoder
        .encode(&mut source, &object, coding, &mut scratch, &mut out)
        .unwrap();
    let bytes = out.into_inner();
    let offer = Offer {
        study_instance_uid: StudyInstanceUid::parse(scan.identity.study_instance_uid.as_str()).unwrap(),
        series_instance_uid: SeriesInstanceUid::parse(scan.identity.series_instance_uid.as_str()).unwrap(),
        sop_class_uid: SopClassUid::parse(CT_IMAGE_STORAGE).unwrap(),
        transfer_syntax_uid: ts.clone(),
        calling_ae: "CT1".to_owned(),
        called_ae: "TANCHO".to_owned(),
        priority: Priority::Routine,
        items: vec![OfferItem {
            container_sha256: Digest::of(&bytes),
            container_len: bytes.len() as u64,
            head_end: summary.head_end,
            sop_instance_uid: SopInstanceUid::parse(scan.identity.sop_instance_uid.as_str()).unwrap(),
            original_sha256: Digest(original_sha256),
            original_len: data_set.len() as u64,
            received_at_ms: NOW_MS,
            preview_end: summary.header.preview_end(),
        }],
    };
    Coded {
        data_set,
        bytes,
        offer,
    }
}

/// Sends ranges of a container on one data stream.
pub async fn send_ranges(connection: &Connection, sha256: &Digest, bytes: &[u8], ranges: &[(u64, u64)]) {
    let mut stream = connection.open_uni().await.unwrap();
    for (start, end) in ranges {
        let mut at = *start;
        while at < *end {
            let next = (at + RANGE_BYTES_MAX).min(*end);
            let part = &bytes[at as usize..next as usize];
            let mut frame = data_header(sha256, at, part.len()).to_vec();
            frame.extend_from_slice(part);
            stream.write_all(&frame).await.unwrap();
            at = next;
        }
    }
    stream.finish().unwrap();
    // Finished does not mean read: the stream lives until the relay has acknowledged it.
    let _ = tokio::time::timeout(PATIENCE, stream.stopped()).await;
}

/// Offers one container and sends whatever the relay wants, until it is settled.
pub async fn deliver(talk: &mut Talk, coded: &Coded) -> Frame {
    talk.say(&Frame::Offer(coded.offer.clone())).await;
    loop {
        match talk.hear().await.unwrap() {
            Frame::Want(want) => {
                for item in want.items {
                    send_ranges(
                        &talk.connection,
                        &item.container_sha256,
                        &coded.bytes,
                        &item.ranges,
                    )
                    .await;
                }
            }
            settled => return settled,
        }
    }
}
