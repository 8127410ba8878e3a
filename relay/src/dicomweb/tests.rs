//! The routes in process: what a viewer gets, and what nobody gets.

mod arriving;
mod qido;
mod rendered;
mod stow;
mod wado;

use std::io::{Cursor, Read};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tancho_domain::access::{Reach, Role, Scope};
use tancho_domain::dicom::{Priority, TransferSyntaxUid};
use tancho_domain::ids::{NetworkId, NodeId, SessionId, SiteId, StudyId, UserId};
use tancho_imaging::container::{self, Coding, CodingTurns, Encoder, Object};
use tancho_imaging::element::{Tag, Vr};
use tancho_imaging::htj2k;
use tancho_imaging::limits::ScanLimits;
use tancho_imaging::part10;
use tancho_imaging::scan::scan;
use tancho_imaging::syntax;
use tancho_imaging::synthetic::{CtSlice, ElementWriter};
use tancho_store::audit::{self, AuditFilter};
use tancho_store::sites::{NewSite, SiteKind, add_site};
use tancho_store::studies::{
    ArrivedInstance, ArrivingInstance, InstanceFacts, Origin, Relation, SeriesFacts, StudyFacts,
    VerifiedInstance, begin_instance, verify_instance,
};
use tancho_store::tokens::{NewToken, create_token};
use tancho_store::users::{NewUser, add_user};
use tancho_store::{networks, nodes};
use tower::ServiceExt;

use super::qido::Limits;
use crate::blobs::hex;
use crate::clock::ManualClock;
use crate::config::Config;
use crate::http::router;
use crate::secrets::{new_secret, new_uuid};
use crate::state::AppState;

const NOW_MS: i64 = 1_769_100_000_000;
const STUDY: &str = "2.25.1";
const SERIES: &str = "2.25.1.1";
const JPEG_LS: &str = "1.2.840.10008.1.2.4.80";
/// An 8x8 JPEG-LS header, enough for the scanner; nothing here decodes it.
const JLS: &[u8] = &[
    0xFF, 0xD8, 0xFF, 0xF7, 0, 11, 16, 0, 8, 0, 8, 1, 1, 0x11, 0, 0xFF, 0xD9, 0,
];

struct Relay {
    app: AppState,
    clock: Arc<ManualClock>,
    router: Router,
    scope: Scope,
    origin: Origin,
    centre: SiteId,
    _dir: tempfile::TempDir,
}

/// An object whose head is recorded.
struct Begun {
    arrived: ArrivedInstance,
    container_sha256: [u8; 32],
    container: Vec<u8>,
}

struct Answer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    #[track_caller]
    fn refused(&self, status: StatusCode, code: &str) {
        assert_eq!((self.status, self.json()["code"].as_str()), (status, Some(code)));
    }
}

impl Relay {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(NOW_MS));
        let mut config = Config::on_free_ports(dir.path());
        change(&mut config);
        let app = AppState::open(config, clock.clone()).await.unwrap();
        let network_id = NetworkId::new(new_uuid());
        let scope = Scope {
            network_id: network_id.clone(),
            reach: Reach::Network,
        };
        let (site_id, centre) = (SiteId::new(new_uuid()), SiteId::new(new_uuid()));
        let mut tx = app.db.write().await.unwrap();
        networks::ensure_network(&mut tx, "tests", &network_id, NOW_MS)
            .await
            .unwrap();
        for (id, code, kind) in [
            (&site_id, "doto", SiteKind::Requesting),
            (&centre, "centre", SiteKind::Reading),
        ] {
            let new = NewSite {
                id,
                code,
                name: code,
                kind,
                phone: None,
            };
            add_site(&mut tx, &scope, &new, NOW_MS).await.unwrap();
        }
        let secret_sha256 = "ab".repeat(32);
        let invitation = nodes::NewInvitation {
            id: "invitation",
            site_id: &site_id,
            secret_sha256: &secret_sha256,
            expires_at_ms: NOW_MS + 1000,
        };
        nodes::create_invitation(&mut tx, &scope, &invitation, NOW_MS)
            .await
            .unwrap();
        let node_id = NodeId::new(new_uuid());
        let enrollment = nodes::Enrollment {
            secret_sha256: &secret_sha256,
            public_key_sha256: &"cd".repeat(32),
            new_node_id: &node_id,
            state: nodes::NodeState::Active,
        };
        nodes::redeem_invitation(&mut tx, &enrollment, NOW_MS)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let router = router::build(app.clone());
        Self {
            app,
            clock,
            router,
            scope,
            origin: Origin {
                network_id,
                site_id,
                node_id,
            },
            centre,
            _dir: dir,
        }
    }

    /// A bearer token of a new person.
    async fn login(&self, site: &SiteId, role: Role) -> String {
        let (secret, token_hash) = new_secret();
        let (user_id, token_id) = (UserId::new(new_uuid()), SessionId::new(new_uuid()));
        let login = user_id.to_string();
        let new = NewUser {
            id: &user_id,
            site_id: site,
            login: &login,
            name: "test",
            role,
            email: None,
            phone: None,
            password_hash: None,
        };
        let mut tx = self.app.db.write().await.unwrap();
        add_user(&mut tx, &self.scope, &new, NOW_MS).await.unwrap();
        let token = NewToken {
            id: &token_id,
            user_id: &user_id,
            token_hash,
            expires_at_ms: NOW_MS + 86_400_000,
        };
        create_token(&mut tx, &self.scope, &token, NOW_MS).await.unwrap();
        tx.commit().await.unwrap();
        secret
    }

    async fn referrer(&self) -> String {
        self.login(&self.origin.site_id.clone(), Role::Referrer).await
    }

    /// Puts an object into the blob store and, unless it is to stay on its way, records it as verified.
    async fn store(&self, data_set: &[u8], transfer_syntax: &str, verified: bool) -> StudyId {
        let begun = self.begin(data_set, transfer_syntax).await;
        self.put(&begun);
        if verified {
            self.verify(&begun).await;
        }
        begun.arrived.study_id
    }

    fn put(&self, begun: &Begun) {
        let finished = self.app.config.data_dir.join(new_uuid().to_string());
        std::fs::write(&finished, &begun.container).unwrap();
        self.app
            .blobs
            .put_file(&self.scope.network_id, &begun.container_sha256, &finished)
            .unwrap();
    }

    async fn verify(&self, begun: &Begun) {
        let row = VerifiedInstance {
            instance_id: &begun.arrived.instance_id,
            relation: Relation::First,
        };
        let mut tx = self.app.db.write().await.unwrap();
        verify_instance(&mut tx, &self.origin, &row, NOW_MS)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    /// Records the head of an object; its container is nowhere yet.
    async fn begin(&self, data_set: &[u8], transfer_syntax: &str) -> Begun {
        self.begin_coded(data_set, transfer_syntax, &Coding::default())
            .await
    }

    async fn begin_coded(&self, data_set: &[u8], transfer_syntax: &str, coding: &Coding<'_>) -> Begun {
        let ts = TransferSyntaxUid::parse(transfer_syntax).unwrap();
        let mut src = Cursor::new(data_set);
        let scan = scan(&mut src, &ts, &ScanLimits::default()).unwrap();
        let sha256: [u8; 32] = Sha256::digest(data_set).into();
        let mut out = Cursor::new(Vec::new());
        let object = Object {
            scan: &scan,
            transfer_syntax: &ts,
            original_sha256: &sha256,
        };
        let mut encoder = Encoder::new(Arc::new(CodingTurns::new(1, 1 << 20))).unwrap();
        let mut gathered = Cursor::new(Vec::new());
        let summary = encoder
            .encode(&mut src, &object, coding, &mut gathered, &mut out)
            .unwrap();
        let container_sha256 = container::digest(&mut out).unwrap();
        let name = scan.identity.patient_name.unwrap();
        let study = StudyFacts {
            patient_id: scan.identity.patient_id.unwrap(),
            patient_name_alphabetic: name.alphabetic,
            patient_name_ideographic: name.ideographic,
            patient_name_phonetic: name.phonetic,
            patient_birth_date: scan.identity.birth_date,
            patient_sex: scan.identity.sex,
            study_date: scan.identity.study_date,
            study_time: scan.identity.study_time,
            study_description: scan.identity.study_description,
            ..StudyFacts::default()
        };
        let instance = InstanceFacts {
            sop_instance_uid: scan.identity.sop_instance_uid,
            sop_class_uid: scan.identity.sop_class_uid,
            transfer_syntax_uid: ts,
            container_sha256: hex(&container_sha256),
            container_len: summary.container_len as i64,
            original_sha256: hex(&sha256),
            original_len: data_set.len() as i64,
            calling_ae: "CT1".to_owned(),
            called_ae: "TANCHO".to_owned(),
            instance_number: scan.identity.instance_number,
            number_of_frames: 1,
            frame_rows: Some(8),
            frame_columns: Some(8),
            warnings: String::new(),
            sent_received_at_ms: NOW_MS,
        };
        let arriving = ArrivingInstance {
            study_instance_uid: &scan.identity.study_instance_uid,
            series_instance_uid: &scan.identity.series_instance_uid,
            priority: Priority::Stat,
            study: &study,
            series: &SeriesFacts {
                modality: scan.identity.modality.unwrap_or_default(),
                series_number: scan.identity.series_number,
                body_part: scan.identity.body_part,
                ..SeriesFacts::default()
            },
            instance: &instance,
            new_ids: (
                StudyId::new(new_uuid()),
                tancho_domain::ids::SeriesId::new(new_uuid()),
                tancho_domain::ids::InstanceId::new(new_uuid()),
            ),
        };
        let mut tx = self.app.db.write().await.unwrap();
        let arrived = begin_instance(&mut tx, &self.origin, &arriving, NOW_MS)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        Begun {
            arrived,
            container_sha256,
            container: out.into_inner(),
        }
    }

    /// Asks for `path`, below `/dicom-web` unless it begins with a slash.
    async fn get(&self, token: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/dicom-web/{path}")
        };
        let mut request = Request::get(path).header("host", "localhost");
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self
            .router
            .clone()
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    async fn recorded_views(&self) -> usize {
        let mut tx = self.app.db.read().await.unwrap();
        let filter = AuditFilter {
            limit: 100,
            ..AuditFilter::default()
        };
        let rows = audit::list_audit(&mut tx, &self.scope, &filter).await.unwrap();
        rows.iter().filter(|row| row.action == "view_images").count()
    }
}

fn slice(number: u32) -> CtSlice {
    CtSlice {
        sop_instance_uid: format!("{SERIES}.{number}"),
        instance_number: number,
        ..CtSlice::default()
    }
}

fn native(number: u32, transfer_syntax: &str) -> Vec<u8> {
    slice(number)
        .data_set(&TransferSyntaxUid::parse(transfer_syntax).unwrap())
        .unwrap()
}

/// The samples of [`slice`] as a viewer must get them.
fn little_endian() -> Vec<u8> {
    CtSlice::default()
        .samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect()
}

fn compressed(number: u32) -> Vec<u8> {
    let mut writer = ElementWriter::new(&TransferSyntaxUid::parse(JPEG_LS).unwrap());
    let slice = slice(number);
    slice.write_head(&mut writer).unwrap();
    writer.fragments(&[], &[JLS]);
    writer.finish()
}

fn frame_path(number: u32) -> String {
    format!("studies/{STUDY}/series/{SERIES}/instances/{SERIES}.{number}/frames/1")
}

/// The parts of a multipart body: content type and content.
fn parts(answer: &Answer) -> Vec<(String, Vec<u8>)> {
    let boundary = answer
        .header("content-type")
        .split("boundary=")
        .nth(1)
        .unwrap()
        .to_owned();
    let mark = format!("--{boundary}");
    let mut rest = answer.body.as_slice();
    let mut found = Vec::new();
    let find = |bytes: &[u8], needle: &[u8]| bytes.windows(needle.len()).position(|window| window == needle);
    while let Some(at) = find(rest, mark.as_bytes()) {
        rest = &rest[at + mark.len()..];
        if rest.starts_with(b"--") {
            break;
        }
        let head = find(rest, b"\r\n\r\n").unwrap();
        let content_type = std::str::from_utf8(&rest[2..head])
            .unwrap()
            .strip_prefix("Content-Type: ")
            .unwrap();
        let end = find(rest, format!("\r\n{mark}").as_bytes()).unwrap();
        found.push((content_type.to_owned(), rest[head + 4..end].to_vec()));
    }
    found
}

#[tokio::test]
async fn native_frames_leave_in_little_endian_whatever_they_came_in() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    let syntaxes = [
        syntax::EXPLICIT_LITTLE,
        syntax::IMPLICIT_LITTLE,
        syntax::EXPLICIT_BIG,
    ];
    for (number, written) in (1..).zip(syntaxes) {
        relay.store(&native(number, written), written, true).await;
        let answer = relay.get(&token, &frame_path(number), &[]).await;
        assert_eq!(answer.status, StatusCode::OK);
        let content_type = "application/octet-stream;transfer-syntax=1.2.840.10008.1.2.1";
        assert_eq!(answer.header("content-type"), content_type);
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("content-encoding"), "");
        assert_eq!(answer.body, little_endian(), "{written}");
        let accept = "multipart/related; type=application/octet-stream; transfer-syntax=*";
        let answer = relay
            .get(&token, &frame_path(number), &[("accept", accept)])
            .await;
        assert!(
            answer
                .header("content-type")
                .starts_with("multipart/related; type=\"application/octet-stream\"")
        );
        assert_eq!(parts(&answer), [(content_type.to_owned(), little_endian())]);
    }
}

/// A slice large enough to travel as HTJ2K.
fn large(number: u32) -> CtSlice {
    CtSlice {
        rows: 96,
        columns: 80,
        samples: (0..96 * 80)
            .map(|n: i32| (n % 80 * 13 + n / 80 * 7) as i16)
            .collect(),
        ..slice(number)
    }
}

#[tokio::test]
async fn native_frames_leave_as_htj2k_for_those_who_name_it() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    let written = syntax::EXPLICIT_BIG;
    let ts = TransferSyntaxUid::parse(written).unwrap();
    let samples: Vec<i32> = large(1).samples.iter().map(|sample| i32::from(*sample)).collect();
    relay.store(&large(1).data_set(&ts).unwrap(), written, true).await;
    relay.store(&native(2, written), written, true).await;
    let htj2k = "image/jphc;transfer-syntax=1.2.840.10008.1.2.4.202";
    let decoded = |codestream: &[u8]| {
        let shape = htj2k::ImageShape {
            width: 80,
            height: 96,
            components: 1,
            precision: 16,
            signed: true,
        };
        let mut samples = Vec::new();
        htj2k::decode(codestream, &shape, &mut samples).unwrap();
        samples
    };

    let answer = relay.get(&token, &frame_path(1), &[("accept", htj2k)]).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (StatusCode::OK, htj2k)
    );
    assert_eq!(decoded(&answer.body), samples);
    let whole = answer.body;
    let headers = [("accept", htj2k), ("range", "bytes=0-99")];
    let answer = relay.get(&token, &frame_path(1), &headers).await;
    assert_eq!(
        answer.header("content-range"),
        format!("bytes 0-99/{}", whole.len())
    );
    assert_eq!(answer.body, whole[..100]);
    let accept = "multipart/related; type=\"image/jphc\"; transfer-syntax=1.2.840.10008.1.2.4.202";
    let answer = relay.get(&token, &frame_path(1), &[("accept", accept)]).await;
    assert_eq!(parts(&answer), [(htj2k.to_owned(), whole)]);

    let little: Vec<u8> = large(1)
        .samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect();
    for accept in [
        "*/*",
        "multipart/related; type=application/octet-stream; transfer-syntax=*",
    ] {
        let answer = relay.get(&token, &frame_path(1), &[("accept", accept)]).await;
        assert!(
            answer.header("content-type").contains("application/octet-stream"),
            "{accept}"
        );
        assert!(answer.body.windows(little.len()).any(|window| window == little));
    }
    let answer = relay.get(&token, &frame_path(2), &[("accept", htj2k)]).await;
    answer.refused(StatusCode::NOT_ACCEPTABLE, "not_acceptable");
    let either = format!("{htj2k}, application/octet-stream");
    let answer = relay.get(&token, &frame_path(2), &[("accept", &either)]).await;
    assert_eq!(answer.body, little_endian(), "too small to gain by it");
}

#[tokio::test]
async fn ranges_of_a_frame_fit_together() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    relay
        .store(&native(1, syntax::EXPLICIT_LITTLE), syntax::EXPLICIT_LITTLE, true)
        .await;
    let mut joined = Vec::new();
    for range in ["bytes=0-63", "bytes=64-99", "bytes=100-"] {
        let accept = (
            "accept",
            "multipart/related; type=application/octet-stream; transfer-syntax=*",
        );
        let answer = relay
            .get(&token, &frame_path(1), &[("range", range), accept])
            .await;
        assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT);
        let expected = format!(
            "bytes {}-{}/128",
            joined.len(),
            joined.len() + answer.body.len() - 1
        );
        assert_eq!(answer.header("content-range"), expected);
        joined.extend(answer.body);
    }
    assert_eq!(joined, little_endian());
    let answer = relay
        .get(&token, &frame_path(1), &[("range", "bytes=128-")])
        .await;
    answer.refused(StatusCode::RANGE_NOT_SATISFIABLE, "range_beyond_frame");
    assert_eq!(answer.header("content-range"), "bytes */128");
}

#[tokio::test]
async fn compressed_frames_pass_in_their_own_syntax_or_not_at_all() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    relay.store(&compressed(1), JPEG_LS, true).await;
    let answer = relay.get(&token, &frame_path(1), &[]).await;
    assert_eq!(
        answer.header("content-type"),
        format!("image/jls;transfer-syntax={JPEG_LS}")
    );
    assert_eq!(answer.body, JLS);
    let accept = "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1";
    let answer = relay.get(&token, &frame_path(1), &[("accept", accept)]).await;
    answer.refused(StatusCode::NOT_ACCEPTABLE, "not_acceptable");
    for (frames, status, code) in [
        ("2", StatusCode::NOT_FOUND, "not_found"),
        ("0", StatusCode::BAD_REQUEST, "frames_malformed"),
        ("1,x", StatusCode::BAD_REQUEST, "frames_malformed"),
    ] {
        let path = frame_path(1).replace("/frames/1", &format!("/frames/{frames}"));
        relay.get(&token, &path, &[]).await.refused(status, code);
    }
}

#[tokio::test]
async fn metadata_reads_as_sent_and_travels_compressed() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    let study_id = relay
        .store(&native(2, syntax::EXPLICIT_LITTLE), syntax::EXPLICIT_LITTLE, true)
        .await;
    relay
        .store(&native(1, syntax::EXPLICIT_BIG), syntax::EXPLICIT_BIG, true)
        .await;
    let answer = relay.get(&token, &format!("studies/{STUDY}/metadata"), &[]).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (StatusCode::OK, "application/dicom+json")
    );
    let model = answer.json();
    assert_eq!(model.as_array().unwrap().len(), 2);
    for (instance, number) in model.as_array().unwrap().iter().zip(1..) {
        assert_eq!(instance["00200013"]["Value"][0], number);
        assert_eq!(instance["00100010"]["Value"][0]["Ideographic"], "道東^花子");
        assert_eq!(instance["00280010"]["Value"][0], 8);
    }
    // By our own id, by series and by instance it is the same.
    for path in [
        format!("studies/{study_id}/metadata"),
        format!("studies/{STUDY}/series/{SERIES}/metadata"),
    ] {
        assert_eq!(relay.get(&token, &path, &[]).await.json(), model, "{path}");
    }
    let path = format!("studies/{STUDY}/series/{SERIES}/instances/{SERIES}.2/metadata");
    assert_eq!(relay.get(&token, &path, &[]).await.json()[0], model[1]);
    let zipped = relay
        .get(
            &token,
            &format!("studies/{STUDY}/metadata"),
            &[("accept-encoding", "gzip")],
        )
        .await;
    assert_eq!(zipped.header("content-encoding"), "gzip");
    assert!(zipped.body.len() * 2 < answer.body.len());
}

#[tokio::test]
async fn instances_come_back_as_files_around_the_original_bytes() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    let originals = [native(1, syntax::EXPLICIT_LITTLE), compressed(2)];
    relay.store(&originals[0], syntax::EXPLICIT_LITTLE, true).await;
    relay.store(&originals[1], JPEG_LS, true).await;
    let answer = relay.get(&token, &format!("studies/{STUDY}"), &[]).await;
    let found = parts(&answer);
    assert_eq!(found.len(), 2);
    for ((content_type, file), original) in found.iter().zip(&originals) {
        let mut file = Cursor::new(file);
        let meta = part10::split(&mut file).unwrap();
        assert_eq!(
            *content_type,
            format!("application/dicom;transfer-syntax={}", meta.transfer_syntax)
        );
        let mut data_set = Vec::new();
        file.set_position(meta.data_set_offset);
        file.read_to_end(&mut data_set).unwrap();
        assert_eq!(&data_set, original);
    }
    let path = format!("studies/{STUDY}/series/{SERIES}/instances/{SERIES}.1");
    let single = relay.get(&token, &path, &[("accept", "application/dicom")]).await;
    assert_eq!(
        (single.header("content-type"), &single.body),
        ("application/dicom", &found[0].1)
    );
    assert_eq!(parts(&relay.get(&token, &path, &[]).await), found[..1]);
    relay
        .get(&token, &path, &[("accept", "image/png")])
        .await
        .refused(StatusCode::NOT_ACCEPTABLE, "not_acceptable");
}

#[tokio::test]
async fn searches_know_only_what_has_arrived() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    relay
        .store(&native(1, syntax::EXPLICIT_LITTLE), syntax::EXPLICIT_LITTLE, true)
        .await;
    relay
        .store(
            &native(2, syntax::EXPLICIT_LITTLE),
            syntax::EXPLICIT_LITTLE,
            false,
        )
        .await;
    let studies = relay
        .get(&token, &format!("studies?StudyInstanceUID={STUDY}"), &[])
        .await
        .json();
    assert_eq!(studies[0]["0020000D"]["Value"][0], STUDY);
    assert_eq!(studies[0]["00100010"]["Value"][0]["Phonetic"], "ドウトウ^ハナコ");
    assert_eq!(studies[0]["00080061"]["Value"][0], "CT");
    assert_eq!(studies[0]["00201208"]["Value"][0], 1);
    assert_eq!(
        relay
            .get(&token, "studies?StudyInstanceUID=1.2.3", &[])
            .await
            .json(),
        Value::Array(Vec::new())
    );
    let series = relay
        .get(&token, &format!("studies/{STUDY}/series"), &[])
        .await
        .json();
    assert_eq!(
        (
            &series[0]["0020000E"]["Value"][0],
            &series[0]["00201209"]["Value"][0]
        ),
        (&SERIES.into(), &1.into())
    );
    for path in [
        format!("studies/{STUDY}/instances"),
        format!("studies/{STUDY}/series/{SERIES}/instances"),
    ] {
        let found = relay.get(&token, &path, &[]).await.json();
        assert_eq!(found.as_array().unwrap().len(), 1, "{path}");
        assert_eq!(found[0]["00080018"]["Value"][0], format!("{SERIES}.1"));
    }
    relay
        .get(&token, "studies?PatientsName=X", &[])
        .await
        .refused(StatusCode::BAD_REQUEST, "query_not_supported");
    relay
        .get(&token, &frame_path(2), &[])
        .await
        .refused(StatusCode::NOT_FOUND, "instance_arriving");
}

#[tokio::test]
async fn images_are_for_those_within_reach_only() {
    let relay = Relay::new().await;
    relay
        .store(&native(1, syntax::EXPLICIT_LITTLE), syntax::EXPLICIT_LITTLE, true)
        .await;
    let centre = relay.centre.clone();
    let paths = [
        frame_path(1),
        format!("studies/{STUDY}"),
        format!("studies/{STUDY}/series"),
        format!("studies/{STUDY}/instances"),
        format!("studies/{STUDY}/metadata"),
        format!("studies/{STUDY}/series/{SERIES}"),
        format!("studies/{STUDY}/series/{SERIES}/instances"),
        format!("studies/{STUDY}/series/{SERIES}/metadata"),
        format!("studies/{STUDY}/series/{SERIES}/instances/{SERIES}.1"),
        format!("studies/{STUDY}/series/{SERIES}/instances/{SERIES}.1/metadata"),
        format!("studies/{STUDY}/series/{SERIES}/instances/{SERIES}.1/bulkdata/00091001"),
    ];
    let reader = relay.login(&centre, Role::Reader).await;
    let liaison = relay.login(&relay.origin.site_id.clone(), Role::Liaison).await;
    for path in &paths {
        relay
            .get("", path, &[])
            .await
            .refused(StatusCode::UNAUTHORIZED, "login_required");
        relay
            .get(&liaison, path, &[])
            .await
            .refused(StatusCode::FORBIDDEN, "role_not_allowed");
        // Nobody asked this centre for a reading, so to it the study does not exist.
        relay
            .get(&reader, path, &[])
            .await
            .refused(StatusCode::NOT_FOUND, "not_found");
    }
    assert_eq!(
        relay.get(&reader, "studies", &[]).await.json(),
        Value::Array(Vec::new())
    );
    relay
        .get("", "studies", &[])
        .await
        .refused(StatusCode::UNAUTHORIZED, "login_required");
    let own = relay.referrer().await;
    for path in [
        "studies/9.9/metadata",
        "studies/x/metadata",
        "studies/%2e%2e/metadata",
    ] {
        relay
            .get(&own, path, &[])
            .await
            .refused(StatusCode::NOT_FOUND, "not_found");
    }
    let other_series = frame_path(1).replace(&format!("/series/{SERIES}/"), "/series/9.9/");
    relay
        .get(&own, &other_series, &[])
        .await
        .refused(StatusCode::NOT_FOUND, "not_found");
    assert_eq!(relay.recorded_views().await, 0);
}

#[tokio::test]
async fn a_view_is_recorded_once_in_a_while() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    relay
        .store(&native(1, syntax::EXPLICIT_LITTLE), syntax::EXPLICIT_LITTLE, true)
        .await;
    for _ in 0..5 {
        assert_eq!(
            relay.get(&token, &frame_path(1), &[]).await.status,
            StatusCode::OK
        );
    }
    assert_eq!(relay.recorded_views().await, 1);
    relay.clock.advance(Duration::from_secs(16 * 60));
    relay.get(&token, &frame_path(1), &[]).await;
    assert_eq!(relay.recorded_views().await, 2);
}

#[tokio::test]
async fn damaged_bytes_are_never_shown_and_hide_nothing_else() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    relay
        .store(&native(1, syntax::EXPLICIT_LITTLE), syntax::EXPLICIT_LITTLE, true)
        .await;
    relay
        .store(&native(2, syntax::EXPLICIT_LITTLE), syntax::EXPLICIT_LITTLE, true)
        .await;
    let mut names = Vec::new();
    relay
        .app
        .blobs
        .visit(|name| {
            names.push(name);
            true
        })
        .unwrap();
    let path = frame_path(1);
    let first = relay
        .get(&token, &format!("studies/{STUDY}/metadata"), &[])
        .await
        .json();
    let file = names
        .iter()
        .map(|name| {
            relay
                .app
                .config
                .data_dir
                .join("blobs")
                .join(name.network_id.as_str())
                .join(&hex(&name.container_sha256)[..2])
                .join(format!("{}.tic", hex(&name.container_sha256)))
        })
        .find(|file| {
            let container = container::Container::open(std::fs::File::open(file).unwrap()).unwrap();
            container.header().sop_instance_uid.as_str() == format!("{SERIES}.1")
        })
        .unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    let header = container::parse_header(&bytes).unwrap().unwrap();
    for section in &header.sections {
        bytes[usize::try_from(section.offset).unwrap() + 3] ^= 0x20;
    }
    std::fs::write(&file, &bytes).unwrap();
    relay
        .get(&token, &path, &[])
        .await
        .refused(StatusCode::INTERNAL_SERVER_ERROR, "instance_damaged");
    let model = relay
        .get(&token, &format!("studies/{STUDY}/metadata"), &[])
        .await
        .json();
    assert_eq!(model[1], first[1]);
    assert_eq!(model[0]["00080018"], first[0]["00080018"]);
    std::fs::remove_file(&file).unwrap();
    relay
        .get(&token, &path, &[])
        .await
        .refused(StatusCode::INTERNAL_SERVER_ERROR, "instance_damaged");
    assert_eq!(
        relay.get(&token, &frame_path(2), &[]).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn long_values_are_fetched_by_the_address_in_the_metadata() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    let mut writer = ElementWriter::new(&TransferSyntaxUid::parse(syntax::EXPLICIT_LITTLE).unwrap());
    let slice = slice(1);
    slice.write_head(&mut writer).unwrap();
    let long: Vec<u8> = (0..20_000u32).map(|n| (n % 251) as u8).collect();
    writer.bytes(Tag(0x0029, 0x1010), Vr::OB, &long);
    writer.pixels_i16(&slice.samples);
    relay.store(&writer.finish(), syntax::EXPLICIT_LITTLE, true).await;
    let model = relay
        .get(&token, &format!("studies/{STUDY}/metadata"), &[])
        .await
        .json();
    let address = model[0]["00291010"]["BulkDataURI"].as_str().unwrap().to_owned();
    let answer = relay
        .get(&token, address.strip_prefix("/dicom-web/").unwrap(), &[])
        .await;
    assert_eq!((answer.status, answer.body), (StatusCode::OK, long));
}

#[tokio::test]
async fn exports_are_the_original_and_the_scrub_names_what_is_gone() {
    use crate::control::{Request, carry_out};
    use tokio::io::AsyncReadExt;

    let relay = Relay::new().await;
    let original = native(1, syntax::EXPLICIT_BIG);
    relay.store(&original, syntax::EXPLICIT_BIG, true).await;
    relay
        .store(&native(2, syntax::EXPLICIT_BIG), syntax::EXPLICIT_BIG, false)
        .await;
    let ask = async |number: u32, form: &str| {
        let request: Request = serde_json::from_value(serde_json::json!({
            "command": "export", "network": "tests", "sop_instance_uid": format!("{SERIES}.{number}"),
            "form": form, "site": null, "revision": 1,
        }))
        .unwrap();
        let reply = carry_out(&relay.app, request).await?;
        let mut bytes = Vec::new();
        reply.file.unwrap().read_to_end(&mut bytes).await.unwrap();
        assert_eq!(reply.value["bytes"], bytes.len());
        Ok::<_, crate::control::Refusal>(bytes)
    };
    assert_eq!(ask(1, "original").await.unwrap(), original);
    let file = ask(1, "dicom").await.unwrap();
    let meta = part10::split(&mut Cursor::new(&file)).unwrap();
    assert_eq!(meta.transfer_syntax.as_str(), syntax::EXPLICIT_BIG);
    assert_eq!(file[usize::try_from(meta.data_set_offset).unwrap()..], original);
    assert_eq!(ask(2, "original").await.unwrap_err().code, "instance_arriving");
    assert_eq!(ask(9, "original").await.unwrap_err().code, "instance_not_found");

    let scrub = async || {
        let request: Request =
            serde_json::from_value(serde_json::json!({ "command": "blobs_verify" })).unwrap();
        carry_out(&relay.app, request).await.unwrap().value
    };
    let intact = scrub().await;
    assert_eq!(
        (&intact["intact"], &intact["n_intact"], &intact["n_unreferenced"]),
        (&true.into(), &1.into(), &0.into())
    );
    let mut tx = relay.app.db.read().await.unwrap();
    let expected = tancho_store::instances::list_expected_blobs(&mut tx, None, 1)
        .await
        .unwrap();
    drop(tx);
    let name = &expected[0].container_sha256;
    let folder = relay
        .app
        .config
        .data_dir
        .join("blobs")
        .join(expected[0].network_id.as_str())
        .join(&name[..2]);
    std::fs::remove_file(folder.join(format!("{name}.tic"))).unwrap();
    let broken = scrub().await;
    assert_eq!(
        (&broken["intact"], &broken["n_missing"]),
        (&false.into(), &1.into())
    );
    assert_eq!(broken["faults"][0]["fault"], "missing");
    assert_eq!(ask(1, "original").await.unwrap_err().code, "instance_damaged");
}

#[tokio::test]
async fn a_study_is_laid_out_before_its_images_are_fetched() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    let study_id = relay
        .store(&native(2, syntax::EXPLICIT_LITTLE), syntax::EXPLICIT_LITTLE, true)
        .await;
    relay
        .store(
            &native(1, syntax::EXPLICIT_LITTLE),
            syntax::EXPLICIT_LITTLE,
            false,
        )
        .await;
    let path = format!("/api/v1/studies/{study_id}");
    let study = relay.get(&token, &path, &[]).await.json();
    assert_eq!(study["study_instance_uid"], STUDY);
    assert_eq!(study["patient"]["name"]["ideographic"], "道東^花子");
    assert_eq!(
        (&study["arrival"]["received"], &study["arrival"]["verified"]),
        (&2.into(), &1.into())
    );
    let instances = study["series"][0]["instances"].as_array().unwrap();
    let states: Vec<&str> = instances
        .iter()
        .map(|instance| instance["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["listed", "complete"]);
    let centre = relay.centre.clone();
    let reader = relay.login(&centre, Role::Reader).await;
    relay
        .get(&reader, &path, &[])
        .await
        .refused(StatusCode::NOT_FOUND, "not_found");
    let admin = relay.login(&centre, Role::Admin).await;
    relay
        .get(&admin, &path, &[])
        .await
        .refused(StatusCode::FORBIDDEN, "role_not_allowed");
    relay
        .get("", &path, &[])
        .await
        .refused(StatusCode::UNAUTHORIZED, "login_required");
    relay
        .get(&token, "/api/v1/studies/2.25.1", &[])
        .await
        .refused(StatusCode::NOT_FOUND, "not_found");
}
