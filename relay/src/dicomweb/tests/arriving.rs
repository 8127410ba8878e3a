//! Instances on their way: what of them can be seen, and what cannot.

use std::ops::Range;

use axum::http::Method;
use bytes::Bytes;
use serde_json::json;
use tancho_domain::dicom::StudyInstanceUid;
use tancho_imaging::container::{ContainerHeader, Section, SectionKind, parse_header};

use super::*;
use crate::ingest::flow::Counts;
use crate::ingest::incoming::part_key;
use crate::ingest::journal::PartKey;

const HTJ2K: &str = "image/jphc;transfer-syntax=1.2.840.10008.1.2.4.202";

impl Relay {
    async fn arriving(&self, number: u32) -> Begun {
        let slice = CtSlice {
            rows: 96,
            columns: 80,
            samples: (0..96 * 80)
                .map(|n: i32| ((n % 80) * 3 + n / 80) as i16)
                .collect(),
            ..slice(number)
        };
        let ts = TransferSyntaxUid::parse(syntax::EXPLICIT_LITTLE).unwrap();
        self.begin(&slice.data_set(&ts).unwrap(), syntax::EXPLICIT_LITTLE)
            .await
    }

    fn key(&self, begun: &Begun) -> PartKey {
        part_key(&self.origin.site_id, tancho_wire::Digest(begun.container_sha256))
    }

    /// These bytes of its container come.
    fn receive(&self, begun: &Begun, range: Range<u64>) {
        let bytes = begun.container[range.start as usize..range.end as usize].to_vec();
        self.app
            .incoming
            .write(
                &self.key(begun),
                range.start,
                &Bytes::from(bytes),
                std::slice::from_ref(&range),
            )
            .unwrap();
    }

    async fn state_of(&self, token: &str, study: &StudyId) -> Value {
        let answer = self
            .get(token, &format!("/api/v1/studies/{study}/instances"), &[])
            .await;
        assert_eq!(answer.status, StatusCode::OK);
        answer.json()["series"][0]["instances"][0]["state"].clone()
    }

    async fn post(&self, token: &str, path: &str, body: &Value) -> Answer {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("host", "localhost")
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }
}

fn header_of(begun: &Begun) -> ContainerHeader {
    parse_header(&begun.container).unwrap().unwrap()
}

fn low_of(header: &ContainerHeader) -> Section {
    let is_low = |section: &&Section| section.kind == SectionKind::Htj2kLow;
    *header.sections.iter().find(is_low).unwrap()
}

#[tokio::test]
async fn an_instance_is_listed_then_seen_in_low_resolution_then_whole() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    let begun = relay.arriving(1).await;
    let study = begun.arrived.study_id.clone();
    let header = header_of(&begun);
    let (head_end, preview_end) = (header.head_end(), header.preview_end().unwrap());
    let low = low_of(&header);
    let metadata = format!("/api/v1/studies/{study}/series/{SERIES}/metadata");
    let preview = format!("/api/v1/studies/{study}/instances/{SERIES}.1/frames/1/preview");

    assert_eq!(relay.state_of(&token, &study).await, "listed");
    assert_eq!(relay.get(&token, &metadata, &[]).await.json(), json!([]));
    let not_there = relay.get(&token, &preview, &[]).await;
    not_there.refused(StatusCode::NOT_FOUND, "preview_not_there");

    relay.receive(&begun, 0..head_end);
    let listed = relay.get(&token, &metadata, &[]).await;
    assert_eq!(listed.header("content-type"), crate::dicomweb::DICOM_JSON);
    let listed = listed.json();
    assert_eq!(listed[0]["00080018"]["Value"][0], format!("{SERIES}.1"));
    assert_eq!(listed[0]["00280010"]["Value"][0], 96);
    let not_there = relay.get(&token, &preview, &[]).await;
    not_there.refused(StatusCode::NOT_FOUND, "preview_not_there");

    relay.receive(&begun, head_end..preview_end);
    let uid = StudyInstanceUid::parse(STUDY).unwrap();
    relay
        .app
        .readable
        .add(&relay.origin.site_id, &uid, relay.key(&begun));
    assert_eq!(relay.state_of(&token, &study).await, "preview");
    let seen = relay.get(&token, &preview, &[]).await;
    assert_eq!(seen.status, StatusCode::OK);
    assert_eq!(seen.header("content-type"), HTJ2K);
    let end = low.offset + low.stored_len;
    assert_eq!(seen.body, begun.container[low.offset as usize..end as usize]);
    assert!(seen.body.len() < begun.container.len() / 2);
    assert_eq!(seen.header("etag"), format!("\"{}\"", hex(&low.sha256)));
    assert_eq!(seen.header("cache-control"), "no-store");
    let said =
        ["columns", "rows", "halvings"].map(|what| seen.header(&format!("tancho-preview-{what}")).to_owned());
    assert_eq!(said, ["20", "24", "2"]);
    // Not by the routes for whole instances.
    let frame = relay.get(&token, &frame_path(1), &[]).await;
    frame.refused(StatusCode::NOT_FOUND, "instance_arriving");

    relay.put(&begun);
    relay.verify(&begun).await;
    relay.app.readable.remove(&relay.key(&begun));
    relay.app.incoming.forget(&relay.key(&begun)).unwrap();
    assert_eq!(relay.state_of(&token, &study).await, "complete");
    assert_eq!(relay.get(&token, &preview, &[]).await.body, seen.body);
    assert_eq!(relay.get(&token, &metadata, &[]).await.json(), listed);
    // The whole frame begins with the preview, so only what lies behind it is fetched.
    let whole = relay.get(&token, &frame_path(1), &[("accept", HTJ2K)]).await;
    assert_eq!(whole.header("etag"), seen.header("tancho-frame-etag"));
    let range = format!("bytes={}-", seen.body.len());
    let rest_of = async |etag: &str| {
        let headers = [("accept", HTJ2K), ("range", &range), ("if-range", etag)];
        relay.get(&token, &frame_path(1), &headers).await
    };
    let rest = rest_of(seen.header("tancho-frame-etag")).await;
    assert_eq!(rest.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!([seen.body.clone(), rest.body].concat(), whole.body);
    let other = rest_of("\"another\"").await;
    assert_eq!((other.status, other.body), (StatusCode::OK, whole.body));
    assert_eq!(relay.recorded_views().await, 1);
}

#[tokio::test]
async fn a_preview_is_given_only_with_its_digest_and_only_of_frames_there_are() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    let mut begun = relay.arriving(1).await;
    let study = begun.arrived.study_id.clone();
    let header = header_of(&begun);
    let low = low_of(&header);
    begun.container[low.offset as usize + 5] ^= 1;
    relay.receive(&begun, 0..header.preview_end().unwrap());
    let of_frame =
        |frame: &str| format!("/api/v1/studies/{study}/instances/{SERIES}.1/frames/{frame}/preview");
    let damaged = relay.get(&token, &of_frame("1"), &[]).await;
    damaged.refused(StatusCode::NOT_FOUND, "preview_not_there");
    let beyond = relay.get(&token, &of_frame("2"), &[]).await;
    beyond.refused(StatusCode::NOT_FOUND, "preview_not_there");
    for frame in ["0", "1,2", "x"] {
        let answer = relay.get(&token, &of_frame(frame), &[]).await;
        answer.refused(StatusCode::BAD_REQUEST, "frames_malformed");
    }
    let unknown = format!("/api/v1/studies/{study}/instances/2.25.9/frames/1/preview");
    let unknown = relay.get(&token, &unknown, &[]).await;
    unknown.refused(StatusCode::NOT_FOUND, "not_found");
}

#[tokio::test]
async fn where_a_reader_looks_is_passed_on_to_the_site_that_sends() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    let begun = relay.arriving(1).await;
    let mut looks = relay.app.focuses.follow();
    let path = format!("/api/v1/studies/{}/focus", begun.arrived.study_id);
    let report = json!({ "series_instance_uid": SERIES, "sop_instance_uid": format!("{SERIES}.1") });
    assert_eq!(
        relay.post(&token, &path, &report).await.status,
        StatusCode::NO_CONTENT
    );
    let look = looks.try_recv().unwrap();
    assert_eq!(look.site_id, relay.origin.site_id);
    assert_eq!(look.focus.study_instance_uid.as_str(), STUDY);
    assert_eq!(look.focus.sop_instance_uid.as_str(), format!("{SERIES}.1"));
    let malformed = json!({ "series_instance_uid": "not a uid", "sop_instance_uid": "1.2" });
    let malformed = relay.post(&token, &path, &malformed).await;
    malformed.refused(StatusCode::BAD_REQUEST, "uid_malformed");
    assert!(looks.try_recv().is_err());
}

#[tokio::test]
async fn a_study_says_how_fast_it_comes_and_how_long_the_rest_takes() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    let begun = relay.arriving(1).await;
    let (study, key) = (&begun.arrived.study_id, relay.key(&begun));
    let arrival = async || {
        relay
            .get(&token, &format!("/api/v1/studies/{study}"), &[])
            .await
            .json()["arrival"]
            .clone()
    };
    let before = arrival().await;
    assert_eq!(before["bytes_per_s"], Value::Null);
    assert_eq!(before["last_data_at_ms"], Value::Null);
    assert_eq!(before["previews"], 0);

    relay.app.flows.on_listed(study, key, 100_000, 0, NOW_MS);
    relay.app.flows.on_bytes(&key, 10_000, NOW_MS);
    relay.app.flows.on_bytes(&key, 10_000, NOW_MS + 2_000);
    let uid = StudyInstanceUid::parse(STUDY).unwrap();
    relay.app.readable.add(&relay.origin.site_id, &uid, key);
    relay.clock.advance(Duration::from_secs(2));
    let now = arrival().await;
    assert_eq!(
        (now["previews"].as_i64(), now["bytes_per_s"].as_i64()),
        (Some(1), Some(10_000))
    );
    assert_eq!(now["last_data_at_ms"], NOW_MS + 2_000);
    assert_eq!(
        now["remaining_ms"],
        Value::Null,
        "the site has not said how many there are"
    );
    let announced = Counts {
        announced: Some(1),
        verified: 0,
    };
    let measured = relay.app.flows.measure(study, announced, NOW_MS + 2_000);
    assert_eq!(measured.remaining_ms, Some(8_000));
}
