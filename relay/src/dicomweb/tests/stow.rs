//! Storing: what is durable, what is refused and why, and who may.

use super::*;
use crate::dicomweb::stow::{CODINGS_AT_ONCE_MAX, REQUESTS_AT_ONCE_MAX};
use crate::ingest::verify::AT_ONCE_MAX;

const TYPE: &str = "multipart/related; type=\"application/dicom\"; boundary=edge";
/// Failure Reasons.
const NOT_UNDERSTOOD: i64 = 0xC000;
const OTHER_STUDY: i64 = 0xA900;
/// Warning Reason of what is kept and not shown.
const KEPT_ASIDE: i64 = 0xB007;

/// A DICOM file around a data set.
fn file(data_set: &[u8], transfer_syntax: &str) -> Vec<u8> {
    let ts = TransferSyntaxUid::parse(transfer_syntax).unwrap();
    let scan = scan(&mut Cursor::new(data_set), &ts, &ScanLimits::default()).unwrap();
    let identity = scan.identity;
    let mut file = part10::header(&ts, &identity.sop_class_uid, &identity.sop_instance_uid);
    file.extend_from_slice(data_set);
    file
}

fn body(parts: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::new();
    for part in parts {
        body.extend_from_slice(b"--edge\r\nContent-Type: application/dicom\r\n\r\n");
        body.extend_from_slice(part);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--edge--\r\n");
    body
}

impl Relay {
    async fn send(&self, token: &str, path: &str, content_type: &str, body: impl Into<Body>) -> Answer {
        let request = Request::post(format!("/dicom-web/{path}"))
            .header("host", "localhost")
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", content_type)
            .body(body.into())
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes().to_vec(),
        }
    }

    async fn audited(&self, action: &str) -> Vec<audit::AuditRow> {
        let mut tx = self.app.db.read().await.unwrap();
        let filter = AuditFilter {
            limit: 100,
            ..AuditFilter::default()
        };
        let rows = audit::list_audit(&mut tx, &self.scope, &filter).await.unwrap();
        rows.into_iter().filter(|row| row.action == action).collect()
    }

    fn files_left(&self) -> usize {
        std::fs::read_dir(self.app.incoming.dir())
            .unwrap()
            .filter(|entry| {
                let name = entry.as_ref().unwrap().file_name();
                name.to_string_lossy().starts_with("upload-")
            })
            .count()
    }
}

/// The SOP Instance UIDs of a sequence of the answer.
fn uids(answer: &Answer, sequence: &str) -> Vec<String> {
    let model = answer.json();
    let items = model[sequence]["Value"].as_array().cloned().unwrap_or_default();
    items
        .iter()
        .map(|item| {
            item["00081155"]["Value"][0]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        })
        .collect()
}

#[tokio::test]
async fn stored_files_come_back_byte_for_byte_and_again_change_nothing() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    let originals = [
        (native(1, syntax::EXPLICIT_LITTLE), syntax::EXPLICIT_LITTLE),
        (native(2, syntax::IMPLICIT_LITTLE), syntax::IMPLICIT_LITTLE),
        (compressed(3), JPEG_LS),
    ];
    let files: Vec<Vec<u8>> = originals
        .iter()
        .map(|(data_set, ts)| file(data_set, ts))
        .collect();
    let parts_sent: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    for _ in 0..2 {
        let answer = relay.send(&token, "studies", TYPE, body(&parts_sent)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.json());
        assert_eq!(answer.header("content-type"), "application/dicom+json");
        let expected: Vec<String> = (1..=3).map(|number| format!("{SERIES}.{number}")).collect();
        assert_eq!(uids(&answer, "00081199"), expected);
        assert!(answer.json().get("00081198").is_none());
        let study = answer.json()["00081190"]["Value"][0].as_str().unwrap().to_owned();
        let kept = relay.get(&token, &study, &[]).await;
        for ((_, kept), (original, _)) in parts(&kept).iter().zip(&originals) {
            assert!(kept.ends_with(original));
        }
        let address = &answer.json()["00081199"]["Value"][2]["00081190"]["Value"][0];
        let one = relay
            .get(
                &token,
                address.as_str().unwrap(),
                &[("accept", "application/dicom")],
            )
            .await;
        assert_eq!(one.status, StatusCode::OK);
        let found = relay.get(&token, "instances", &[]).await;
        assert_eq!(found.header("x-total-count"), "3");
    }
    let rows = relay.audited("store_instances").await;
    assert_eq!(rows.len(), 3);
    assert_eq!(relay.files_left(), 0);
    // Only who may read the site's images may see them.
    let stranger = relay.login(&relay.centre.clone(), Role::Reader).await;
    let found = relay.get(&stranger, "studies", &[]).await;
    assert_eq!(found.header("x-total-count"), "0");
}

#[tokio::test]
async fn each_part_fails_for_itself() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    let good = file(&native(1, syntax::EXPLICIT_LITTLE), syntax::EXPLICIT_LITTLE);
    let cut = {
        let whole = file(&native(2, syntax::EXPLICIT_LITTLE), syntax::EXPLICIT_LITTLE);
        whole[..whole.len() - 20].to_vec()
    };
    // The file's header names another instance than its data set.
    let renamed = {
        let mut writer = ElementWriter::new(&TransferSyntaxUid::parse(syntax::EXPLICIT_LITTLE).unwrap());
        slice(4).write_head(&mut writer).unwrap();
        writer.pixels_i16(&slice(4).samples);
        let other = file(&native(3, syntax::EXPLICIT_LITTLE), syntax::EXPLICIT_LITTLE);
        let header_len = other.len() - native(3, syntax::EXPLICIT_LITTLE).len();
        [&other[..header_len], &writer.finish()].concat()
    };
    let answer = relay
        .send(
            &token,
            "studies",
            TYPE,
            body(&[b"no DICOM at all", &good, &cut, &renamed]),
        )
        .await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let stored = [1, 4].map(|number| format!("{SERIES}.{number}"));
    assert_eq!(uids(&answer, "00081199"), stored);
    assert_eq!(uids(&answer, "00081198"), [format!("{SERIES}.2")]);
    let model = answer.json();
    for item in model["00081198"]["Value"].as_array().unwrap() {
        assert_eq!(item["00081197"]["Value"][0], NOT_UNDERSTOOD);
    }
    assert_eq!(
        model["0008119A"]["Value"][0]["00081197"]["Value"][0],
        NOT_UNDERSTOOD
    );
    let found = relay.get(&token, "instances", &[]).await;
    assert_eq!(found.header("x-total-count"), "2");

    let answer = relay
        .send(&token, "studies", TYPE, body(&[b"nothing", &cut]))
        .await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    let answer = relay.send(&token, "studies/2.25.99", TYPE, body(&[&good])).await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.json());
    assert_eq!(
        uids(&answer, "00081198"),
        [format!("{SERIES}.1")],
        "{}",
        answer.json()
    );
    assert_eq!(
        answer.json()["00081198"]["Value"][0]["00081197"]["Value"][0],
        OTHER_STUDY
    );
    let answer = relay
        .send(&token, &format!("studies/{STUDY}"), TYPE, body(&[&good]))
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(relay.files_left(), 0);
}

#[tokio::test]
async fn bodies_that_are_none_are_refused_and_what_came_before_stays() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    let good = file(&native(1, syntax::EXPLICIT_LITTLE), syntax::EXPLICIT_LITTLE);
    for content_type in [
        "application/dicom",
        "multipart/related; type=\"application/dicom\"",
        "multipart/related; type=\"application/dicom+json\"; boundary=edge",
        "multipart/form-data; boundary=edge",
    ] {
        relay
            .send(&token, "studies", content_type, body(&[&good]))
            .await
            .refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type_not_supported");
    }
    relay
        .send(&token, "studies", TYPE, b"--edge--\r\n".to_vec())
        .await
        .refused(StatusCode::BAD_REQUEST, "nothing_to_store");
    let mut cut = body(&[&good, &good]);
    cut.truncate(cut.len() - 100);
    relay
        .send(&token, "studies", TYPE, cut)
        .await
        .refused(StatusCode::BAD_REQUEST, "body_malformed");
    let found = relay.get(&token, "instances", &[]).await;
    assert_eq!(found.header("x-total-count"), "1");
    assert_eq!(relay.files_left(), 0);
}

#[tokio::test]
async fn a_boundary_longer_than_the_standards_is_taken_up_to_its_limit() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    let good = file(&native(1, syntax::EXPLICIT_LITTLE), syntax::EXPLICIT_LITTLE);
    for (n_bytes, is_taken) in [(73, true), (200, true), (201, false)] {
        let boundary = "b".repeat(n_bytes);
        let content_type = format!("multipart/related; type=\"application/dicom\"; boundary={boundary}");
        let part = format!("--{boundary}\r\nContent-Type: application/dicom\r\n\r\n");
        let body = [
            part.as_bytes(),
            &good,
            format!("\r\n--{boundary}--\r\n").as_bytes(),
        ]
        .concat();
        let answer = relay.send(&token, "studies", &content_type, body).await;
        if is_taken {
            assert_eq!(answer.status, StatusCode::OK, "{n_bytes}");
        } else {
            answer.refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type_not_supported");
        }
    }
}

/// A body that comes in pieces of 4 KiB.
fn in_pieces(sent: &[u8]) -> Body {
    let pieces: Vec<_> = sent
        .chunks(4096)
        .map(|piece| Ok::<_, std::io::Error>(piece.to_vec()))
        .collect();
    Body::from_stream(futures_util::stream::iter(pieces))
}

/// A body that never ends, in pieces of 4 KiB.
fn endless(begin: &'static [u8]) -> Body {
    let junk = std::iter::repeat_with(|| Ok::<_, std::io::Error>(vec![b'x'; 4096]));
    let pieces = std::iter::once(Ok(begin.to_vec())).chain(junk);
    Body::from_stream(futures_util::stream::iter(pieces))
}

#[tokio::test]
async fn what_is_no_part_does_not_fill_the_memory() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    let good = file(&native(1, syntax::EXPLICIT_LITTLE), syntax::EXPLICIT_LITTLE);
    let good = body(&[&good]);
    let junk = vec![b'x'; 1 << 20];
    let long_name = [b"--edge\r\nX-Long: ".as_slice(), &junk, b"\r\n\r\n"].concat();
    let after_a_part = [&good[..good.len() - 4], &long_name[6..]].concat();
    for sent in [
        Body::from([junk.as_slice(), &good].concat()),
        Body::from([long_name.as_slice(), &good].concat()),
        in_pieces(&after_a_part),
        endless(b""),
        endless(b"--edge\r\nX-Long: "),
    ] {
        relay
            .send(&token, "studies", TYPE, sent)
            .await
            .refused(StatusCode::BAD_REQUEST, "part_header_too_large");
    }
    // What is usual before and after parts is taken, and the part of a body that was refused is stored.
    let framed = [b"for people\r\n".as_slice(), &good, &junk].concat();
    let answer = relay.send(&token, "studies", TYPE, framed).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(relay.audited("store_instances").await.len(), 1);
    assert_eq!(relay.files_left(), 0);
}

#[tokio::test]
async fn storing_waits_for_no_turn_of_the_line() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    let verifications = &relay.app.verifications;
    let _line = futures_util::future::join_all((0..AT_ONCE_MAX).map(|_| verifications.turn())).await;
    let good = file(&native(1, syntax::EXPLICIT_LITTLE), syntax::EXPLICIT_LITTLE);
    let answer = relay.send(&token, "studies", TYPE, body(&[&good])).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn a_client_that_goes_away_frees_no_turn_before_its_part_is_whole() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    let storing = &relay.app.dicomweb.storing;
    let n_codings = CODINGS_AT_ONCE_MAX as u32;
    let others = storing.codings.acquire_many(n_codings).await.unwrap();
    let good = file(&native(1, syntax::EXPLICIT_LITTLE), syntax::EXPLICIT_LITTLE);
    let request = Request::post("/dicom-web/studies")
        .header("host", "localhost")
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", TYPE)
        .body(Body::from(body(&[&good])))
        .unwrap();
    let sending = tokio::spawn(relay.router.clone().oneshot(request));
    // The part has come and waits for its turn.
    while relay.app.tasks.is_empty() {
        tokio::task::yield_now().await;
    }
    sending.abort();
    assert!(sending.await.unwrap_err().is_cancelled());
    let n_requests = REQUESTS_AT_ONCE_MAX;
    assert_eq!(storing.requests.available_permits(), n_requests - 1);
    drop(others);
    relay.app.tasks.close();
    relay.app.tasks.wait().await;
    assert_eq!(storing.requests.available_permits(), n_requests);
    assert_eq!(storing.codings.available_permits(), n_codings as usize);
    let found = relay.get(&token, "instances", &[]).await;
    assert_eq!(found.header("x-total-count"), "1");
    assert_eq!(relay.audited("store_instances").await.len(), 1);
    assert_eq!(relay.files_left(), 0);
}

#[tokio::test]
async fn other_content_and_other_patients_are_kept_beside_what_is_shown() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    let first = native(1, syntax::EXPLICIT_LITTLE);
    let explicit = TransferSyntaxUid::parse(syntax::EXPLICIT_LITTLE).unwrap();
    let other = CtSlice {
        samples: vec![9; 64],
        ..slice(1)
    };
    let foreign = CtSlice {
        patient_id: "SOMEONE-ELSE".to_owned(),
        ..slice(2)
    };
    let implicit = (native(1, syntax::IMPLICIT_LITTLE), syntax::IMPLICIT_LITTLE);
    let sent = [
        ((first.clone(), syntax::EXPLICIT_LITTLE), true),
        (implicit, true),
        (
            (other.data_set(&explicit).unwrap(), syntax::EXPLICIT_LITTLE),
            false,
        ),
        (
            (foreign.data_set(&explicit).unwrap(), syntax::EXPLICIT_LITTLE),
            false,
        ),
    ];
    // The second time each is known already.
    for ((data_set, ts), is_shown) in sent.iter().chain(&sent) {
        let sent = file(data_set, ts);
        let answer = relay.send(&token, "studies", TYPE, body(&[&sent])).await;
        let item = &answer.json()["00081199"]["Value"][0];
        let address = item["00081190"]["Value"][0].as_str();
        if *is_shown {
            assert_eq!(answer.status, StatusCode::OK);
            assert!(item.get("00081196").is_none());
            let found = relay.get(&token, address.unwrap(), &[]).await;
            assert_eq!(found.status, StatusCode::OK);
        } else {
            assert_eq!(answer.status, StatusCode::ACCEPTED);
            assert_eq!(item["00081196"]["Value"][0], KEPT_ASIDE);
            assert_eq!((item["00081190"]["vr"].as_str(), address), (Some("UR"), None));
        }
    }
    let path = format!("studies/{STUDY}/series/{SERIES}/instances/{SERIES}.1");
    let shown = relay.get(&token, &path, &[("accept", "application/dicom")]).await;
    assert!(shown.body.ends_with(&first));
    let found = relay.get(&token, "instances", &[]).await;
    assert_eq!(found.header("x-total-count"), "1");
    let mut tx = relay.app.db.read().await.unwrap();
    for (number, expected) in [(1, 3), (2, 1)] {
        let uid = tancho_domain::dicom::SopInstanceUid::parse(&format!("{SERIES}.{number}")).unwrap();
        let versions = tancho_store::instances::list_versions(&mut tx, &relay.scope, &uid)
            .await
            .unwrap();
        assert_eq!(versions.len(), expected);
        assert!(versions.iter().all(|version| version.verified_at_ms.is_some()));
    }
    let key = tancho_store::instances::StudyKey::parse(STUDY).unwrap();
    let study = tancho_store::instances::get_study(&mut tx, &relay.scope, &key)
        .await
        .unwrap();
    assert!(study.conflict_at_ms.is_some() && study.held_at_ms.is_some());
}

#[tokio::test]
async fn the_same_original_again_repairs_what_rotted() {
    for is_dictionary in [false, true] {
        let relay = Relay::new().await;
        let token = relay.referrer().await;
        let original = native(1, syntax::EXPLICIT_LITTLE);
        // The second is coded in another way than the relay codes, as by an agent.
        let coding = Coding {
            is_dictionary,
            ..Coding::default()
        };
        let begun = relay
            .begin_coded(&original, syntax::EXPLICIT_LITTLE, &coding)
            .await;
        relay.put(&begun);
        relay.verify(&begun).await;
        let (blobs, network_id) = (&relay.app.blobs, &relay.scope.network_id);
        let name = hex(&begun.container_sha256);
        let path = relay.app.config.data_dir.join("blobs").join(network_id.as_str());
        let path = path.join(&name[..2]).join(format!("{name}.tic"));
        std::fs::write(path, b"rot").unwrap();
        assert!(
            blobs
                .set_aside_damaged(network_id, &begun.container_sha256)
                .unwrap()
        );
        let address = format!("studies/{STUDY}/series/{SERIES}/instances/{SERIES}.1");
        let accept = [("accept", "application/dicom")];
        assert_ne!(relay.get(&token, &address, &accept).await.status, StatusCode::OK);
        for _ in 0..2 {
            let sent = file(&original, syntax::EXPLICIT_LITTLE);
            let answer = relay.send(&token, "studies", TYPE, body(&[&sent])).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.json());
            let shown = relay.get(&token, &address, &accept).await;
            assert_eq!(shown.status, StatusCode::OK);
            assert!(shown.body.ends_with(&original));
        }
        let found = relay.get(&token, "instances", &[]).await;
        assert_eq!(found.header("x-total-count"), "1");
        let mut tx = relay.app.db.read().await.unwrap();
        let uid = tancho_domain::dicom::SopInstanceUid::parse(&format!("{SERIES}.1")).unwrap();
        let versions = tancho_store::instances::list_versions(&mut tx, &relay.scope, &uid)
            .await
            .unwrap();
        assert_eq!(versions.len(), 1 + usize::from(is_dictionary));
        let key = tancho_store::instances::StudyKey::parse(STUDY).unwrap();
        let study = tancho_store::instances::get_study(&mut tx, &relay.scope, &key)
            .await
            .unwrap();
        assert_eq!((study.conflict_at_ms, study.n_verified), (None, 1));
    }
}

#[tokio::test]
async fn only_those_who_send_store() {
    let relay = Relay::new().await;
    let good = file(&native(1, syntax::EXPLICIT_LITTLE), syntax::EXPLICIT_LITTLE);
    for role in [Role::Reader, Role::Liaison, Role::Admin, Role::Auditor] {
        let token = relay.login(&relay.origin.site_id.clone(), role).await;
        relay
            .send(&token, "studies", TYPE, body(&[&good]))
            .await
            .refused(StatusCode::FORBIDDEN, "role_not_allowed");
    }
    // A study of another site by the same UID is another study.
    let own = relay.referrer().await;
    relay.send(&own, "studies", TYPE, body(&[&good])).await;
    let elsewhere = relay.login(&relay.centre.clone(), Role::Technologist).await;
    let answer = relay
        .send(&elsewhere, &format!("studies/{STUDY}"), TYPE, body(&[&good]))
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    for token in [own, elsewhere] {
        let found = relay.get(&token, "studies", &[]).await;
        assert_eq!(found.header("x-total-count"), "1");
    }
}

/// The files below some folders of the shared data, where it is there.
fn shared(folders: &[&str]) -> Vec<std::path::PathBuf> {
    let root = std::env::var_os("TANCHO_TEST_DATA").map_or_else(
        || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        std::path::PathBuf::from,
    );
    let listed = folders
        .iter()
        .filter_map(|folder| std::fs::read_dir(root.join(folder)).ok());
    let mut files: Vec<_> = listed.flatten().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.is_file());
    files.sort();
    if files.is_empty() {
        println!("skipped: no shared test data (set TANCHO_TEST_DATA)");
    }
    files
}

#[tokio::test]
async fn whatever_is_sent_the_relay_answers_and_goes_on() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    let files = shared(&["hostile", "odd-real", "multiframe", "syntaxes"]);
    let (mut n_stored, mut n_shown) = (0, 0);
    for path in &files {
        let sent = std::fs::read(path).unwrap();
        let answer = relay.send(&token, "studies", TYPE, body(&[&sent])).await;
        let name = path.display();
        if answer.status == StatusCode::CONFLICT {
            let model = answer.json();
            let failed = ["00081198", "0008119A"].map(|sequence| model[sequence]["Value"][0].clone());
            let reason = failed
                .iter()
                .find_map(|item| item["00081197"]["Value"][0].as_i64());
            assert_eq!(reason, Some(NOT_UNDERSTOOD), "{name}");
            continue;
        }
        n_stored += 1;
        let item = answer.json()["00081199"]["Value"][0].clone();
        // One that came under the study of another patient is kept aside.
        let Some(address) = item["00081190"]["Value"][0].as_str() else {
            assert_eq!(answer.status, StatusCode::ACCEPTED, "{name}: {}", answer.json());
            assert_eq!(item["00081196"]["Value"][0], KEPT_ASIDE, "{name}");
            continue;
        };
        assert_eq!(answer.status, StatusCode::OK, "{name}: {}", answer.json());
        let metadata = relay.get(&token, &format!("{address}/metadata"), &[]).await;
        assert_eq!(metadata.status, StatusCode::OK, "{name}");
        let picture = relay.get(&token, &format!("{address}/thumbnail"), &[]).await;
        assert!(
            matches!(picture.status.as_u16(), 200 | 404 | 406),
            "{name}: {}",
            picture.status
        );
        n_shown += usize::from(picture.status == StatusCode::OK);
    }
    assert_eq!(relay.files_left(), 0);
    let good = file(&native(1, syntax::EXPLICIT_LITTLE), syntax::EXPLICIT_LITTLE);
    let answer = relay.send(&token, "studies", TYPE, body(&[&good])).await;
    assert_eq!(answer.status, StatusCode::OK);
    println!("{n_stored} of {} stored, {n_shown} shown", files.len());
    assert!(
        files.is_empty() || (n_stored > 60 && n_shown > 30),
        "{n_stored} {n_shown}"
    );
}

#[tokio::test]
async fn stored_images_join_the_request_that_waits_for_them() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    let asked = serde_json::json!({
        "study_instance_uid": STUDY,
        "urgency": "urgent",
        "callback_number": "0153-00-1111",
    });
    let request = Request::post("/api/v1/reading-requests")
        .header("host", "localhost")
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .header("idempotency-key", new_uuid().to_string())
        .body(Body::from(asked.to_string()))
        .unwrap();
    let answer = relay.router.clone().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    let good = file(&native(1, syntax::EXPLICIT_LITTLE), syntax::EXPLICIT_LITTLE);
    let answer = relay.send(&token, "studies", TYPE, body(&[&good])).await;
    assert_eq!(answer.status, StatusCode::OK);
    // The centre that was asked to read sees them now.
    let reader = relay.login(&relay.centre.clone(), Role::Reader).await;
    let found = relay.get(&reader, "studies", &[]).await;
    assert_eq!(found.header("x-total-count"), "1");
}

#[tokio::test]
async fn addresses_are_whole_where_the_relay_knows_its_own() {
    let base = "https://localhost";
    let relay = Relay::with(|config| config.http.public_url = Some(base.to_owned())).await;
    let token = relay.referrer().await;
    let good = file(&native(1, syntax::EXPLICIT_LITTLE), syntax::EXPLICIT_LITTLE);
    let stored = relay.send(&token, "studies", TYPE, body(&[&good])).await;
    assert_eq!(stored.status, StatusCode::OK);
    let study = stored.json()["00081190"]["Value"][0].as_str().unwrap().to_owned();
    assert!(
        study.starts_with("https://localhost/dicom-web/studies/"),
        "{study}"
    );
    assert_eq!(stored.header("location"), study);
    let instance = stored.json()["00081199"]["Value"][0]["00081190"]["Value"][0].clone();
    assert!(instance.as_str().unwrap().starts_with(&study));
    for (path, expected) in [
        ("studies", &study),
        ("instances", &instance.as_str().unwrap().to_owned()),
    ] {
        let found = relay.get(&token, path, &[]).await.json();
        assert_eq!(found[0]["00081190"]["Value"][0], *expected);
    }
    let metadata = relay
        .get(&token, &format!("studies/{STUDY}/metadata"), &[])
        .await
        .json();
    let pixels = metadata[0]["7FE00010"]["BulkDataURI"].as_str().unwrap();
    assert!(pixels.starts_with(instance.as_str().unwrap()));
}

/// A part whose reading ends a worker is not stored, the one behind it is.
#[tokio::test]
async fn flt_023_an_upload_that_ends_its_worker_costs_one_part() {
    let relay = Relay::with(|config| config.decoding.workers = 1).await;
    let token = relay.referrer().await;
    relay.app.decoders.warm().await;
    let explicit = syntax::EXPLICIT_LITTLE;
    let files = [1, 2].map(|number| file(&native(number, explicit), explicit));
    let process_id = relay.app.decoders.idle_process_ids()[0].to_string();
    let signal = |name: &str| {
        let mut kill = std::process::Command::new("kill");
        assert!(kill.args([name, &process_id]).status().unwrap().success());
    };
    signal("-STOP");
    let killed = async {
        while !relay.app.decoders.idle_process_ids().is_empty() {
            tokio::task::yield_now().await;
        }
        signal("-KILL");
    };
    let sent = relay.send(&token, "studies", TYPE, body(&[&files[0], &files[1]]));
    let (answer, ()) = tokio::join!(sent, killed);
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.json());
    assert_eq!(uids(&answer, "00081198"), [format!("{SERIES}.1")]);
    assert_eq!(
        answer.json()["00081198"]["Value"][0]["00081197"]["Value"][0],
        0x0110
    );
    assert_eq!(uids(&answer, "00081199"), [format!("{SERIES}.2")]);
    let again = relay.send(&token, "studies", TYPE, body(&[&files[0]])).await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.json());
}
