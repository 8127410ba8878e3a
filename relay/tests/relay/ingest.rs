//! What a node, honest or not, can do to the relay over the line.

use quinn::ConnectionError;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use reqwest::StatusCode;
use serde_json::json;
use tancho_domain::access::Role;
use tancho_domain::dicom::TransferSyntaxUid;
use tancho_domain::ids::{CommandId, NodeId, ReadingRequestId};
use tancho_imaging::element::{Tag, Vr};
use tancho_imaging::synthetic::{CtSlice, ElementWriter};
use tancho_relay::blobs::check::BlobName;
use tancho_relay::ingest::incoming::part_key;
use tancho_relay::ingest::silence::SilenceWatch;
use tancho_relay::jobs::scrub;
use tancho_relay::nodes::authority::serial_of;
use tancho_store::sites::SiteKind;
use tancho_store::{Db, reading};
use tancho_wire::frame::{
    CertificateRequest, EnrollRequest, LeftOut, Offer, Ping, Receipt, RefusalKind, RequestForm,
    RequestOutcome, Returned, StudyManifest, Want, WithheldInstances, encode,
};
use tancho_wire::limits::{ALPN, FRAME_BYTES_MAX, OFFER_ITEMS_MAX};
use tancho_wire::{CloseCode, Digest, Frame};

use crate::harness::{NOW_MS, Person, TestRelay, problem_code};
use crate::line::{
    Coded, EXPLICIT, NodeKey, PATIENCE, Talk, close_code, code_of, coded, connect, connect_to, deliver, dial,
    enroll, hello, send_ranges, slice,
};

pub struct World {
    pub relay: TestRelay,
    pub admin: Person,
    pub node: NodeKey,
}

pub async fn invite(relay: &TestRelay, admin: &Person, site: &str) -> String {
    let body = json!({ "site": site });
    let answer = relay
        .write(admin, reqwest::Method::POST, "/api/v1/nodes/invitations", &body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 201);
    let answer: serde_json::Value = answer.json().await.unwrap();
    answer["code"].as_str().unwrap().to_owned()
}

pub async fn world() -> World {
    let relay = TestRelay::start().await;
    let (scope, site_id) = relay.site("default", "DOTO", SiteKind::Requesting).await;
    let admin = relay.person(&scope, &site_id, "admin", Role::Admin).await;
    let code = invite(&relay, &admin, "DOTO").await;
    let node = enroll(&relay, &code, &KeyPair::generate().unwrap())
        .await
        .unwrap();
    World { relay, admin, node }
}

pub fn receipt(frame: Frame) -> Receipt {
    match frame {
        Frame::Receipt(receipt) => receipt,
        other => panic!("a receipt expected, not {other:?}"),
    }
}

pub fn wanted(frame: Frame) -> Vec<(u64, u64)> {
    match frame {
        Frame::Want(Want { items }) => items.into_iter().flat_map(|item| item.ranges).collect(),
        other => panic!("a want expected, not {other:?}"),
    }
}

/// Offers again until the relay has written all but these bytes: what QUIC has acknowledged need not be read yet.
async fn until_lacking(talk: &mut Talk, coded: &Coded, lacking: &[(u64, u64)]) {
    loop {
        talk.say(&Frame::Offer(coded.offer.clone())).await;
        if wanted(talk.hear().await.unwrap()) == lacking {
            return;
        }
    }
}

pub async fn original_at_relay(relay: &TestRelay, admin: &Person, coded: &Coded) -> Vec<u8> {
    let blobs = relay.app().blobs.clone();
    let (network_id, digest) = (admin.scope.network_id.clone(), coded.sha256().0);
    let mut container = blobs.container(&network_id, &digest).unwrap();
    let mut original = Vec::new();
    container.rebuild(&mut original).unwrap();
    original
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_means_that_the_original_can_be_given_back() {
    let World { relay, admin, node } = world().await;
    let (mut talk, welcome) = connect(&relay, &node, 1).await.unwrap();
    assert_eq!(
        (welcome.node_id.as_str(), welcome.site_code.as_str()),
        (node.node_id.as_str(), "DOTO")
    );
    for number in 1..=3 {
        let coded = slice(number, "P1", 0);
        let receipt = receipt(deliver(&mut talk, &coded).await);
        assert_eq!(receipt.container_sha256, coded.sha256());
        assert_eq!(receipt.original_sha256, coded.item().original_sha256);
        assert_eq!(original_at_relay(&relay, &admin, &coded).await, coded.data_set);
    }
    assert!(
        relay.app().incoming.keys().is_empty(),
        "no partial file stays behind"
    );
}

/// FLT-038, FLT-042: what was durable before the cut or the kill does not travel again.
#[tokio::test(flavor = "multi_thread")]
async fn flt_038_an_interrupted_instance_goes_on_where_it_stopped() {
    let World { relay, admin, node } = world().await;
    let coded = slice(1, "P1", 0);
    let len = coded.item().container_len;
    let (mut talk, _) = connect(&relay, &node, 1).await.unwrap();
    talk.say(&Frame::Offer(coded.offer.clone())).await;
    assert_eq!(wanted(talk.hear().await.unwrap()), [(0, len)]);
    let parts = [(0, 700), (2_000, 2_500)];
    send_ranges(&talk.connection, &coded.sha256(), &coded.bytes, &parts).await;
    let lacking = [(700, 2_000), (2_500, len)];
    until_lacking(&mut talk, &coded, &lacking).await;
    drop(talk);
    let (mut talk, _) = connect(&relay, &node, 2).await.unwrap();
    talk.say(&Frame::Offer(coded.offer.clone())).await;
    assert_eq!(wanted(talk.hear().await.unwrap()), lacking);
    drop(talk);

    let relay = relay.restart_with(|_| {}).await;
    let (mut talk, _) = connect(&relay, &node, 3).await.unwrap();
    talk.say(&Frame::Offer(coded.offer.clone())).await;
    assert_eq!(
        wanted(talk.hear().await.unwrap()),
        lacking,
        "the journal outlives the process"
    );
    send_ranges(&talk.connection, &coded.sha256(), &coded.bytes, &lacking).await;
    receipt(talk.hear().await.unwrap());
    assert_eq!(original_at_relay(&relay, &admin, &coded).await, coded.data_set);
}

/// FLT-043: a lost receipt is answered again, and nothing is stored twice.
/// FLT-042: the next run of a killed relay ends the connections that the kill left behind, at the first packet of their
/// nodes, so that these dial again at once.
#[test]
fn flt_042_a_connection_that_a_kill_left_behind_is_ended_by_the_next_run() {
    let killed = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let living = tokio::runtime::Runtime::new().unwrap();
    let World { relay, node, .. } = killed.block_on(world());
    let (address, authority) = (relay.quic(), relay.app().authority.certificate().clone());
    let connecting = living.spawn({
        let node = node.clone();
        async move { connect_to(address, &authority, &node, 1).await.unwrap() }
    });
    let (mut talk, _) = killed.block_on(connecting).unwrap();
    // From here on nobody runs that could say goodbye.
    drop(killed);
    let folder = relay.killed();
    living.block_on(async {
        let relay = TestRelay::start_again(folder, address).await;
        let ping = Ping {
            seq: 1,
            now_ms: NOW_MS,
        };
        talk.say(&Frame::Ping(ping)).await;
        let ended = tokio::time::timeout(PATIENCE, talk.connection.closed()).await;
        assert_eq!(ended.expect("ended in time"), ConnectionError::Reset);
        connect(&relay, &node, 1).await.unwrap();
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn flt_043_the_same_container_again_gets_the_same_receipt() {
    let World {
        relay,
        admin: _,
        node,
    } = world().await;
    let coded = slice(1, "P1", 0);
    let (mut talk, _) = connect(&relay, &node, 1).await.unwrap();
    let first = receipt(deliver(&mut talk, &coded).await);
    talk.say(&Frame::Offer(coded.offer.clone())).await;
    assert_eq!(receipt(talk.hear().await.unwrap()), first);
    let relay = relay.restart_with(|_| {}).await;
    let (mut talk, _) = connect(&relay, &node, 2).await.unwrap();
    talk.say(&Frame::Offer(coded.offer.clone())).await;
    assert_eq!(receipt(talk.hear().await.unwrap()), first);
}

/// A receipt for a container that is not there any more would let the site delete the last copy.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_whose_container_was_lost_is_received_again() {
    let World { relay, admin, node } = world().await;
    let coded = slice(1, "P1", 0);
    let len = coded.item().container_len;
    let (mut talk, _) = connect(&relay, &node, 1).await.unwrap();
    receipt(deliver(&mut talk, &coded).await);
    let name = coded.sha256().hex();
    let blob = relay
        .data_dir()
        .join("blobs")
        .join(admin.scope.network_id.as_str())
        .join(&name[..2])
        .join(format!("{name}.tic"));
    std::fs::remove_file(blob).unwrap();
    talk.say(&Frame::Offer(coded.offer.clone())).await;
    assert_eq!(wanted(talk.hear().await.unwrap()), [(0, len)]);
    send_ranges(&talk.connection, &coded.sha256(), &coded.bytes, &[(0, len)]).await;
    receipt(talk.hear().await.unwrap());
    assert_eq!(original_at_relay(&relay, &admin, &coded).await, coded.data_set);
}

/// A head that rotted on the relay's disk is not the site's fault: the container is received again, not refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_container_whose_head_rotted_in_its_partial_file_is_received_again() {
    let World { relay, admin, node } = world().await;
    let coded = slice(1, "P1", 0);
    let (len, head_end) = (coded.item().container_len, coded.item().head_end);
    let (mut talk, _) = connect(&relay, &node, 1).await.unwrap();
    talk.say(&Frame::Offer(coded.offer.clone())).await;
    assert_eq!(wanted(talk.hear().await.unwrap()), [(0, len)]);
    send_ranges(
        &talk.connection,
        &coded.sha256(),
        &coded.bytes,
        &[(0, head_end - 1)],
    )
    .await;
    until_lacking(&mut talk, &coded, &[(head_end - 1, len)]).await;
    drop(talk);
    let relay = relay.restart_with(|_| {}).await;
    let keys = relay.app().incoming.keys();
    assert_eq!(keys.len(), 1);
    let part = relay.app().incoming.path(&keys[0]);
    let mut bytes = std::fs::read(&part).unwrap();
    bytes.fill(0x55);
    std::fs::write(&part, bytes).unwrap();

    let (mut talk, _) = connect(&relay, &node, 2).await.unwrap();
    talk.say(&Frame::Offer(coded.offer.clone())).await;
    let lacking = [(head_end - 1, len)];
    assert_eq!(wanted(talk.hear().await.unwrap()), lacking);
    send_ranges(&talk.connection, &coded.sha256(), &coded.bytes, &lacking).await;
    assert_eq!(wanted(talk.hear().await.unwrap()), [(0, len)], "all of it again");
    send_ranges(&talk.connection, &coded.sha256(), &coded.bytes, &[(0, len)]).await;
    receipt(talk.hear().await.unwrap());
    assert_eq!(original_at_relay(&relay, &admin, &coded).await, coded.data_set);
}

/// FLT-059, FLT-062: what rotted is found, set aside, and received again when its site offers it.
#[tokio::test(flavor = "multi_thread")]
async fn flt_062_a_container_that_rotted_is_received_again() {
    let World { relay, admin, node } = world().await;
    let coded = slice(1, "P1", 0);
    let len = coded.item().container_len;
    let (mut talk, _) = connect(&relay, &node, 1).await.unwrap();
    receipt(deliver(&mut talk, &coded).await);
    let name = BlobName {
        network_id: admin.scope.network_id.clone(),
        container_sha256: coded.sha256().0,
    };
    assert_eq!(
        scrub::check(relay.app(), &name).await.unwrap(),
        scrub::Found::Intact(len)
    );
    let hex = coded.sha256().hex();
    let folder = relay
        .data_dir()
        .join("blobs")
        .join(admin.scope.network_id.as_str())
        .join(&hex[..2]);
    let blob = folder.join(format!("{hex}.tic"));
    let mut bytes = std::fs::read(&blob).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    assert_eq!(
        scrub::check(relay.app(), &name).await.unwrap(),
        scrub::Found::Damaged
    );
    assert!(!blob.exists() && folder.join(format!("{hex}.tic.damaged")).exists());
    assert!(relay.app().metrics.text().contains("blobs_damaged_total 1"));
    assert_eq!(
        scrub::check(relay.app(), &name).await.unwrap(),
        scrub::Found::Missing
    );

    talk.say(&Frame::Offer(coded.offer.clone())).await;
    assert_eq!(wanted(talk.hear().await.unwrap()), [(0, len)]);
    send_ranges(&talk.connection, &coded.sha256(), &coded.bytes, &[(0, len)]).await;
    receipt(talk.hear().await.unwrap());
    assert_eq!(original_at_relay(&relay, &admin, &coded).await, coded.data_set);
    assert_eq!(
        scrub::check(relay.app(), &name).await.unwrap(),
        scrub::Found::Intact(len)
    );
}

/// One head that the store does not take keeps no other of its transaction away.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_cannot_be_recorded_holds_up_no_other() {
    let World { relay, admin, node } = world().await;
    let Db::Sqlite { writer, .. } = &relay.app().db else {
        panic!("SQLite by default")
    };
    sqlx::query(
        "create trigger poison before insert on instances when new.sop_instance_uid = '2.25.1.1.2' \
         begin select raise(abort, 'poison'); end",
    )
    .execute(writer)
    .await
    .unwrap();
    let slices: Vec<Coded> = (1..=3).map(|number| slice(number, "P1", 0)).collect();
    let (mut talk, _) = connect(&relay, &node, 1).await.unwrap();
    // Whole at the relay before the session looks at them: their heads come in one batch.
    for coded in &slices {
        let key = part_key(&admin.site_id, coded.sha256());
        let (bytes, len) = (
            bytes::Bytes::from(coded.bytes.clone()),
            coded.item().container_len,
        );
        relay
            .app()
            .incoming
            .write(&key, 0, &bytes, std::slice::from_ref(&(0..len)))
            .unwrap();
    }
    let mut offer = slices[0].offer.clone();
    offer.items = slices.iter().map(|coded| coded.item().clone()).collect();
    talk.say(&Frame::Offer(offer)).await;
    let (mut received, mut refused) = (Vec::new(), Vec::new());
    while received.len() + refused.len() < 3 {
        match talk.hear().await.unwrap() {
            Frame::Receipt(receipt) => received.push(receipt.container_sha256),
            Frame::Refusal(refusal) => {
                assert_eq!(refusal.kind, RefusalKind::Later);
                refused.push(refusal.container_sha256);
            }
            other => panic!("{other:?}"),
        }
    }
    received.sort_unstable();
    let mut expected = vec![slices[0].sha256(), slices[2].sha256()];
    expected.sort_unstable();
    assert_eq!((received, refused), (expected, vec![slices[1].sha256()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_shows_a_study_at_its_first_head() {
    let World { relay, admin, node } = world().await;
    let (scope, _) = relay.site("default", "CENTRE", SiteKind::Reading).await;
    assert_eq!(scope.network_id, admin.scope.network_id);
    let coded = slice(1, "P1", 0);
    let (mut talk, _) = connect(&relay, &node, 1).await.unwrap();
    let manifest = StudyManifest {
        study_instance_uid: coded.offer.study_instance_uid.clone(),
        priority: coded.offer.priority,
        closed: false,
        n_instances: 2,
        bytes_original: 1,
        generation: 1,
        withheld: Vec::new(),
    };
    talk.say(&Frame::Manifest(manifest)).await;
    let mut live = relay.app().events.follow(None).live;
    talk.say(&Frame::Offer(coded.offer.clone())).await;
    wanted(talk.hear().await.unwrap());
    send_ranges(
        &talk.connection,
        &coded.sha256(),
        &coded.bytes,
        &[(0, coded.item().head_end)],
    )
    .await;
    let data = loop {
        let published = live.recv().await.unwrap();
        if published.event.name == "study" {
            break published.event.data.clone();
        }
    };
    assert_eq!(
        (&data["received"], &data["verified"], &data["announced"]),
        (&json!(1), &json!(0), &json!(2))
    );
}

/// FLT-005: other bytes are kept beside the first; a re-encoding is no conflict; another patient is held aside.
#[tokio::test(flavor = "multi_thread")]
async fn flt_005_a_second_version_never_replaces_the_first() {
    let World { relay, admin, node } = world().await;
    let (mut talk, _) = connect(&relay, &node, 1).await.unwrap();
    let first = slice(1, "P1", 0);
    receipt(deliver(&mut talk, &first).await);

    let implicit = TransferSyntaxUid::parse("1.2.840.10008.1.2").unwrap();
    let other_way = coded(as_implicit(&first), &implicit);
    receipt(deliver(&mut talk, &other_way).await);
    assert_eq!(
        warnings(&mut talk, &first).await,
        Vec::<String>::new(),
        "the same elements are no conflict"
    );

    let other_content = slice(1, "P1", 5);
    receipt(deliver(&mut talk, &other_content).await);
    assert_eq!(warnings(&mut talk, &first).await, ["study_conflict"]);

    let other_patient = slice(2, "P2", 0);
    receipt(deliver(&mut talk, &other_patient).await);
    assert_eq!(
        warnings(&mut talk, &first).await,
        ["study_conflict", "patient_mismatch_held"]
    );
    for coded in [&first, &other_way, &other_content, &other_patient] {
        assert_eq!(original_at_relay(&relay, &admin, coded).await, coded.data_set);
    }
}

/// FLT-005: whoever reads the study sees that something under it belongs to another patient, and how much.
#[tokio::test(flavor = "multi_thread")]
async fn flt_005_readers_see_that_an_instance_is_held_for_another_patient() {
    let World { relay, admin, node } = world().await;
    let (_, centre) = relay.site("default", "CENTRE", SiteKind::Reading).await;
    let reader = relay.person(&admin.scope, &centre, "reader", Role::Reader).await;
    let (mut talk, _) = connect(&relay, &node, 1).await.unwrap();
    let mut first = slice(1, "P1", 0);
    first.offer.called_ae = "TANCHO_STAT".to_owned();
    receipt(deliver(&mut talk, &first).await);
    let seen = async || -> (serde_json::Value, serde_json::Value) {
        let list = relay.get(&reader, "/api/v1/reading-requests").await;
        let line = list.json::<serde_json::Value>().await.unwrap()["items"][0].take();
        let path = format!("/api/v1/studies/{}", line["study"]["id"].as_str().unwrap());
        (line, relay.get(&reader, &path).await.json().await.unwrap())
    };
    let (line, study) = seen().await;
    assert_eq!(
        (&line["warnings"], &line["arrival"]["held"]),
        (&json!([]), &json!(0))
    );
    assert_eq!(study["held_at_ms"], json!(null));

    receipt(deliver(&mut talk, &slice(2, "P2", 0)).await);
    let (line, study) = seen().await;
    assert_eq!(line["warnings"], json!(["patient_mismatch_held"]));
    assert_eq!(
        (&line["arrival"]["verified"], &line["arrival"]["held"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(study["held_at_ms"], json!(NOW_MS));
    assert_eq!(study["conflict_at_ms"], json!(null), "held aside, not mixed");
}

/// What the hospital keeps back is said wherever the study is, and the study is not complete by it.
#[tokio::test(flavor = "multi_thread")]
async fn readers_see_what_the_site_keeps_back_and_why() {
    let World { relay, admin, node } = world().await;
    let (_, centre) = relay.site("default", "CENTRE", SiteKind::Reading).await;
    let reader = relay.person(&admin.scope, &centre, "reader", Role::Reader).await;
    let (mut talk, _) = connect(&relay, &node, 1).await.unwrap();
    let mut first = slice(1, "P1", 0);
    first.offer.called_ae = "TANCHO_STAT".to_owned();
    receipt(deliver(&mut talk, &first).await);
    let manifest = |reason: &str, n_instances: u64, generation: u64| StudyManifest {
        study_instance_uid: first.offer.study_instance_uid.clone(),
        priority: first.offer.priority,
        closed: true,
        n_instances: 1,
        bytes_original: 1,
        generation,
        withheld: vec![WithheldInstances {
            reason: reason.to_owned(),
            n_instances,
        }],
    };
    let seen = async || -> [serde_json::Value; 2] {
        let list = relay.get(&reader, "/api/v1/reading-requests").await;
        let mut line = list.json::<serde_json::Value>().await.unwrap()["items"][0].take();
        let path = format!("/api/v1/studies/{}", line["study"]["id"].as_str().unwrap());
        let mut study: serde_json::Value = relay.get(&reader, &path).await.json().await.unwrap();
        [
            line["arrival"]["withheld"].take(),
            study["arrival"]["withheld"].take(),
        ]
    };
    assert_eq!(seen().await, [json!([]), json!([])]);
    let mut live = relay.app().events.follow(None).live;
    talk.say(&Frame::Manifest(manifest("patient_differs", 3, 1)))
        .await;
    while talk.hear_status().await.manifest_generation < 1 {}
    let kept = json!([{ "reason": "patient_differs", "n_instances": 3 }]);
    assert_eq!(seen().await, [kept.clone(), kept.clone()]);
    let told = live.recv().await.unwrap();
    assert_eq!((told.event.name, &told.event.data["withheld"]), ("study", &kept));
    let released = StudyManifest {
        withheld: Vec::new(),
        ..manifest("patient_differs", 3, 2)
    };
    talk.say(&Frame::Manifest(released)).await;
    while talk.hear_status().await.manifest_generation < 2 {}
    assert_eq!(seen().await, [json!([]), json!([])]);
    talk.say(&Frame::Manifest(manifest("<b>", 1, 3))).await;
    assert_eq!(
        talk.hear().await,
        Err(CloseCode::PROTOCOL),
        "a reason is a code, not a text"
    );
}

/// FLT-065: a viewer opens the frames that the relay has counted, so it must not count what a header only claims.
#[tokio::test(flavor = "multi_thread")]
async fn flt_065_frames_that_a_header_only_claims_are_not_counted() {
    let World { relay, admin, node } = world().await;
    let (_, centre) = relay.site("default", "CENTRE", SiteKind::Reading).await;
    let reader = relay.person(&admin.scope, &centre, "reader", Role::Reader).await;
    let (mut talk, _) = connect(&relay, &node, 1).await.unwrap();
    let ts = TransferSyntaxUid::parse(EXPLICIT).unwrap();
    let claims = |instance: u32, n_frames: &str| {
        let slice = CtSlice {
            sop_instance_uid: format!("2.25.1.1.{instance}"),
            ..CtSlice::default()
        };
        let mut writer = ElementWriter::new(&ts);
        slice.write_head(&mut writer).unwrap();
        writer.ascii(Tag(0x0028, 0x0008), Vr::IS, n_frames);
        writer.pixels_i16(&slice.samples);
        let mut coded = coded(writer.finish(), &ts);
        coded.offer.called_ae = "TANCHO_STAT".to_owned();
        coded
    };
    receipt(deliver(&mut talk, &claims(1, "1")).await);
    receipt(deliver(&mut talk, &claims(2, "1000000")).await);
    let list = relay.get(&reader, "/api/v1/reading-requests").await;
    let line = list.json::<serde_json::Value>().await.unwrap()["items"][0].take();
    let study = line["study"]["id"].as_str().unwrap();
    let path = format!("/api/v1/studies/{study}/instances");
    let listed: serde_json::Value = relay.get(&reader, &path).await.json().await.unwrap();
    let instances = listed["series"][0]["instances"].as_array().unwrap().iter();
    let frames: Vec<_> = instances
        .map(|instance| instance["number_of_frames"].clone())
        .collect();
    assert_eq!(frames, [json!(1), json!(0)]);
    let series = CtSlice::default().series_instance_uid;
    let path = format!("/dicom-web/studies/{study}/series/{series}/instances/2.25.1.1.2/frames/1");
    let answer = relay.get(&reader, &path).await;
    assert_eq!(
        problem_code(answer, StatusCode::NOT_FOUND).await,
        "not_displayable"
    );
}

/// The slice of [`slice`] written with implicit VRs.
fn as_implicit(coded: &Coded) -> Vec<u8> {
    let (mut out, mut at) = (Vec::new(), 0);
    let bytes = &coded.data_set;
    while at < bytes.len() {
        let long = matches!(&bytes[at + 4..at + 6], b"OB" | b"OW" | b"UN" | b"SQ" | b"UT");
        let (len, value) = if long {
            (
                u32::from_le_bytes(bytes[at + 8..at + 12].try_into().unwrap()),
                at + 12,
            )
        } else {
            (
                u32::from(u16::from_le_bytes(bytes[at + 6..at + 8].try_into().unwrap())),
                at + 8,
            )
        };
        out.extend_from_slice(&bytes[at..at + 4]);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&bytes[value..value + len as usize]);
        at = value + len as usize;
    }
    out
}

/// The warnings the relay tells the node about a study, asked for by sending a manifest.
async fn warnings(talk: &mut Talk, coded: &Coded) -> Vec<String> {
    let manifest = StudyManifest {
        study_instance_uid: coded.offer.study_instance_uid.clone(),
        priority: coded.offer.priority,
        closed: false,
        n_instances: 9,
        bytes_original: 9,
        generation: 1,
        withheld: Vec::new(),
    };
    talk.say(&Frame::Manifest(manifest)).await;
    talk.hear_status().await.warnings
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_the_containers_are_asked_for_again_and_then_refused() {
    let World { relay, admin, node } = world().await;
    let good = slice(1, "P1", 0);
    let mut bad = good.clone();
    let last = bad.bytes.len() - 1;
    bad.bytes[last] ^= 1;
    let (mut talk, _) = connect(&relay, &node, 1).await.unwrap();
    match deliver(&mut talk, &bad).await {
        Frame::Refusal(refusal) => {
            assert_eq!(
                (refusal.kind, refusal.code.as_str()),
                (RefusalKind::Final, "container_digest_mismatch")
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(relay.app().incoming.keys().is_empty());
    receipt(deliver(&mut talk, &good).await);
    assert_eq!(original_at_relay(&relay, &admin, &good).await, good.data_set);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_not_the_original_is_never_receipted() {
    let World {
        relay,
        admin: _,
        node,
    } = world().await;
    let (mut talk, _) = connect(&relay, &node, 1).await.unwrap();
    let honest = slice(1, "P1", 0);

    let mut wrong_original = honest.clone();
    wrong_original.offer.items[0].original_sha256 = Digest([7; 32]);
    let mut other_study = honest.clone();
    other_study.offer.study_instance_uid = "2.25.99".to_owned().try_into().unwrap();
    for lying in [wrong_original, other_study] {
        match deliver(&mut talk, &lying).await {
            Frame::Refusal(refusal) => assert_eq!(refusal.code, "offer_contradicts_head"),
            other => panic!("{other:?}"),
        }
    }

    let mut garbage = honest.clone();
    garbage.bytes = vec![0x5a; honest.bytes.len()];
    garbage.offer.items[0].container_sha256 = Digest::of(&garbage.bytes);
    match deliver(&mut talk, &garbage).await {
        Frame::Refusal(refusal) => assert_eq!(refusal.code, "container_malformed"),
        other => panic!("{other:?}"),
    }
    assert!(relay.app().incoming.keys().is_empty());
    receipt(deliver(&mut talk, &honest).await);
}

/// FLT-093: the code is single use; the same key may ask again for a lost answer.
#[tokio::test(flavor = "multi_thread")]
async fn flt_093_a_code_enrols_one_key() {
    let World { relay, admin, .. } = world().await;
    let code = invite(&relay, &admin, "DOTO").await;
    let key = KeyPair::generate().unwrap();
    let first = enroll(&relay, &code, &key).await.unwrap();
    let again = enroll(&relay, &code, &key).await.unwrap();
    assert_eq!(first.node_id, again.node_id);
    let thief = enroll(&relay, &code, &KeyPair::generate().unwrap()).await;
    assert_eq!(thief.err().as_deref(), Some("enrollment_refused"));
    let late = invite(&relay, &admin, "DOTO").await;
    relay.advance(std::time::Duration::from_secs(24 * 3600));
    assert_eq!(
        enroll(&relay, &late, &key).await.err().as_deref(),
        Some("enrollment_refused")
    );
}

/// FLT-091: no certificate, a foreign CA's, or the enrolment protocol instead: nothing is read.
#[tokio::test(flavor = "multi_thread")]
async fn flt_091_strangers_are_refused_before_anything_is_read() {
    let World { relay, node, .. } = world().await;
    let authority = relay.app().authority.certificate().clone();

    let code = match dial(relay.quic(), ALPN, &authority, None).await {
        Ok(nobody) => close_code(&nobody).await,
        Err(ended) => code_of(&ended),
    };
    assert_eq!(code, CloseCode::IDENTITY_REQUIRED);

    let (foreign_ca, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = params.self_signed(&foreign_ca).unwrap();
    let issuer = Issuer::from_ca_cert_der(ca.der(), foreign_ca).unwrap();
    let leaf = CertificateParams::default().signed_by(&key, &issuer).unwrap();
    let foreign = NodeKey {
        chain: vec![leaf.der().clone(), ca.der().clone()],
        key: key.serialize_der(),
        node_id: node.node_id.clone(),
    };
    // In TLS 1.3 the client learns of the refusal after its own side of the handshake has ended.
    if let Ok(connection) = dial(relay.quic(), ALPN, &authority, Some(&foreign)).await {
        let ended = connection.closed().await;
        assert!(
            matches!(ended, quinn::ConnectionError::ConnectionClosed(_)),
            "{ended}"
        );
    }

    let mut talk = Talk::open(dial(relay.quic(), ALPN, &authority, Some(&node)).await.unwrap())
        .await
        .unwrap();
    let csr_der = vec![0x30];
    talk.say(&Frame::EnrollRequest(EnrollRequest {
        secret: [0; 16],
        csr_der,
        software: String::new(),
    }))
    .await;
    assert_eq!(talk.hear().await, Err(CloseCode::PROTOCOL));
}

/// FLT-090: a denied node is cut at once and not let in again.
#[tokio::test(flavor = "multi_thread")]
async fn flt_090_a_denied_node_is_cut_and_stays_out() {
    let World { relay, admin, node } = world().await;
    let (mut talk, _) = connect(&relay, &node, 1).await.unwrap();
    let path = format!("/api/v1/nodes/{}/deny", node.node_id);
    let answer = relay
        .write(&admin, reqwest::Method::POST, &path, &json!({}))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 204);
    assert_eq!(talk.live_until_closed().await, CloseCode::DENIED);
    assert_eq!(connect(&relay, &node, 2).await.err(), Some(CloseCode::DENIED));
}

/// FLT-094: a living connection of another start of the program keeps its place; a dead one gives way.
#[tokio::test(flavor = "multi_thread")]
async fn flt_094_one_certificate_in_two_places_is_noticed() {
    let World { relay, node, .. } = world().await;
    let (mut talk, _) = connect(&relay, &node, 1).await.unwrap();
    let living = tokio::spawn(async move { talk.live_until_closed().await });
    assert_eq!(
        connect(&relay, &node, 2).await.err(),
        Some(CloseCode::IDENTITY_IN_USE)
    );
    assert!(!living.is_finished());
    // The same start of the program dials again, as after a change of address.
    let (silent, _) = connect(&relay, &node, 1).await.unwrap();
    assert_eq!(living.await.unwrap(), CloseCode::REPLACED);
    // A connection that does not answer is taken for dead.
    let (_newer, _) = connect(&relay, &node, 3).await.unwrap();
    assert_eq!(close_code(&silent.connection).await, CloseCode::REPLACED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_renews_its_certificate_over_the_line() {
    let World { relay, node, .. } = world().await;
    let (mut talk, _) = connect(&relay, &node, 1).await.unwrap();
    let key = KeyPair::generate().unwrap();
    let csr = CertificateParams::default().serialize_request(&key).unwrap();
    talk.say(&Frame::CertificateRequest(CertificateRequest {
        csr_der: csr.der().to_vec(),
    }))
    .await;
    let Frame::CertificateIssued(issued) = talk.hear().await.unwrap() else {
        panic!("a certificate expected")
    };
    assert_eq!(issued.not_after_ms, NOW_MS + 14 * 24 * 3600 * 1000);
    let chain = issued
        .chain_der
        .into_iter()
        .map(|der| Vec::from(der).into())
        .collect();
    let renewed = NodeKey {
        chain,
        key: key.serialize_der(),
        node_id: node.node_id.clone(),
    };
    drop(talk);
    let (_, welcome) = connect(&relay, &renewed, 1).await.unwrap();
    assert_eq!(welcome.node_id, node.node_id);
    connect(&relay, &node, 1)
        .await
        .expect("the old certificate is good until its end");
    talk_garbage_csr(&relay, &node).await;
}

/// A node asks for certificates as often as it likes and gets one an hour; a lost answer is given again.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_one_certificate_and_a_node_one_new_one_an_hour() {
    let World { relay, node, .. } = world().await;
    let (mut talk, _) = connect(&relay, &node, 1).await.unwrap();
    let ask = async |talk: &mut Talk, key: &KeyPair| {
        let csr = CertificateParams::default().serialize_request(key).unwrap();
        let csr_der = csr.der().to_vec();
        talk.say(&Frame::CertificateRequest(CertificateRequest { csr_der }))
            .await;
        match talk.hear().await.unwrap() {
            Frame::CertificateIssued(issued) => {
                let leaf = Vec::from(issued.chain_der.into_iter().next().unwrap()).into();
                Ok((serial_of(&leaf).unwrap(), issued.not_after_ms))
            }
            Frame::CertificateRefused(refused) => Err(refused.code),
            other => panic!("{other:?}"),
        }
    };
    let keys: Vec<KeyPair> = (0..2).map(|_| KeyPair::generate().unwrap()).collect();
    let first = ask(&mut talk, &keys[0]).await.unwrap();
    assert_eq!(
        ask(&mut talk, &keys[0]).await.unwrap(),
        first,
        "the same certificate again"
    );
    assert_eq!(ask(&mut talk, &keys[1]).await.unwrap_err(), "too_soon");
    drop(talk);
    relay.advance(std::time::Duration::from_secs(3_601));
    let (mut talk, _) = connect(&relay, &node, 2).await.unwrap();
    let second = ask(&mut talk, &keys[1]).await.unwrap();
    assert!(second.0 != first.0 && second.1 > first.1);
}

/// A code that was used, shown again with the key of its node, gives the same certificate, and none once it is denied.
#[tokio::test(flavor = "multi_thread")]
async fn a_denied_node_gets_no_certificate_with_its_old_code() {
    let relay = TestRelay::start().await;
    let (scope, site_id) = relay.site("default", "DOTO", SiteKind::Requesting).await;
    let admin = relay.person(&scope, &site_id, "admin", Role::Admin).await;
    let code = invite(&relay, &admin, "DOTO").await;
    let key = KeyPair::generate().unwrap();
    let first = enroll(&relay, &code, &key).await.unwrap();
    let again = enroll(&relay, &code, &key).await.unwrap();
    assert_eq!(serial_of(&again.chain[0]), serial_of(&first.chain[0]));
    let path = format!("/api/v1/nodes/{}/deny", first.node_id);
    let denied = relay
        .write(&admin, reqwest::Method::POST, &path, &json!({}))
        .send()
        .await
        .unwrap();
    assert_eq!(denied.status(), 204);
    assert!(enroll(&relay, &code, &key).await.is_err());
    assert!(
        enroll(&relay, &code, &KeyPair::generate().unwrap())
            .await
            .is_err()
    );
}

async fn talk_garbage_csr(relay: &TestRelay, node: &NodeKey) {
    let (mut talk, _) = connect(relay, node, 1).await.unwrap();
    talk.say(&Frame::CertificateRequest(CertificateRequest {
        csr_der: vec![1, 2, 3],
    }))
    .await;
    assert!(matches!(talk.hear().await, Ok(Frame::CertificateRefused(_))));
}

/// FLT-045, FLT-047: every breach of the protocol ends that connection with its code, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn flt_045_breaches_close_the_connection_with_their_code() {
    let World { relay, node, .. } = world().await;
    let raw = |frame: &Frame| {
        let mut bytes = Vec::new();
        encode(frame, &mut bytes);
        bytes
    };
    let one = slice(1, "P1", 0).offer;
    let too_many = Offer {
        items: vec![one.items[0].clone(); OFFER_ITEMS_MAX + 1],
        ..one.clone()
    };
    let mut no_head = one.clone();
    no_head.items[0].head_end = one.items[0].container_len + 1;
    let cases = [
        (
            (FRAME_BYTES_MAX as u32 + 1).to_be_bytes().to_vec(),
            CloseCode::FRAME_TOO_LARGE,
        ),
        (vec![0, 0, 0, 2, 0x03, 0xe7], CloseCode::UNKNOWN_FRAME),
        (raw(&Frame::Hello(hello(1))), CloseCode::PROTOCOL),
        (vec![0, 0, 0, 3, 0, 16, 0xff], CloseCode::PROTOCOL),
        (raw(&Frame::Offer(too_many)), CloseCode::LIMIT),
        (raw(&Frame::Offer(no_head)), CloseCode::LIMIT),
    ];
    for (idx, (bytes, code)) in cases.into_iter().enumerate() {
        let (mut talk, _) = connect(&relay, &node, 1).await.unwrap();
        talk.say_bytes(&bytes).await;
        assert_eq!(talk.hear().await, Err(code), "case {idx}");
    }

    let authority = relay.app().authority.certificate().clone();
    let mut newer = Talk::open(dial(relay.quic(), ALPN, &authority, Some(&node)).await.unwrap())
        .await
        .unwrap();
    newer
        .say(&Frame::Hello(tancho_wire::frame::Hello {
            version_min: 9,
            version_max: 9,
            ..hello(1)
        }))
        .await;
    assert_eq!(newer.hear().await, Err(CloseCode::VERSION));

    let (mut talk, _) = connect(&relay, &node, 1).await.unwrap();
    let mut stream = talk.connection.open_uni().await.unwrap();
    stream
        .write_all(&raw(&Frame::Ping(tancho_wire::frame::Ping { seq: 1, now_ms: 1 })))
        .await
        .unwrap();
    assert_eq!(talk.hear().await, Err(CloseCode::PROTOCOL));

    // An unknown frame that may be skipped is skipped, and the connection goes on.
    let (mut talk, _) = connect(&relay, &node, 1).await.unwrap();
    talk.say_bytes(&[0, 0, 0, 3, 0x83, 0xe7, 0xff]).await;
    receipt(deliver(&mut talk, &slice(1, "P1", 0)).await);
}

/// FLT-136: a node that falls silent is reported once within three minutes, and one that is connected is not.
#[tokio::test(flavor = "multi_thread")]
async fn flt_136_a_silent_node_is_noticed() {
    let World { relay, node, .. } = world().await;
    let (talk, _) = connect(&relay, &node, 1).await.unwrap();
    let mut watch = SilenceWatch::default();
    relay.advance(std::time::Duration::from_secs(170));
    assert_eq!(
        watch.look(relay.app()).await.unwrap(),
        [],
        "its connection stands"
    );
    let id = NodeId::parse(&node.node_id).unwrap();
    talk.connection.close(0_u32.into(), b"");
    while relay.app().nodes_connected.is_connected(&id) {
        tokio::task::yield_now().await;
    }
    assert_eq!(watch.look(relay.app()).await.unwrap(), [id]);
    assert_eq!(watch.look(relay.app()).await.unwrap(), [], "once");
}

fn form(command: u128, coded: &Coded) -> RequestForm {
    RequestForm {
        command_id: CommandId::new(uuid::Uuid::from_u128(command)),
        study_instance_uid: coded.offer.study_instance_uid.clone(),
        urgency: "urgent".to_owned(),
        callback_number: "0153-00-1111".to_owned(),
        callback_person: "佐藤".to_owned(),
        responsible_physician: String::new(),
        clinical_context: "{}".to_owned(),
        requested_at_ms: NOW_MS,
        automatic: false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_technologists_form_gets_a_case_code_and_the_same_one_again() {
    let World { relay, node, .. } = world().await;
    relay.site("default", "CENTRE", SiteKind::Reading).await;
    let coded = slice(1, "P1", 0);
    let (mut talk, _) = connect(&relay, &node, 1).await.unwrap();
    let mut results = Vec::new();
    for command in [1, 1, 2] {
        talk.say(&Frame::Request(form(command, &coded))).await;
        match talk.hear().await.unwrap() {
            Frame::RequestResult(result) => results.push(result),
            other => panic!("{other:?}"),
        }
    }
    assert!(
        matches!(&results[0].outcome, RequestOutcome::Accepted { case_code, .. } if case_code.len() == 4)
    );
    assert_eq!(results[0], results[1], "the same command, the same result");
    assert_eq!(
        results[0].outcome, results[2].outcome,
        "another form completes the open request"
    );
    let unknown = RequestForm {
        urgency: "at once".to_owned(),
        ..form(3, &coded)
    };
    talk.say(&Frame::Request(unknown)).await;
    let Frame::RequestResult(refused) = talk.hear().await.unwrap() else {
        panic!("a result expected")
    };
    assert!(matches!(refused.outcome, RequestOutcome::Refused { .. }));
    // The study joins the request that waited for it, and its node is told.
    receipt(deliver(&mut talk, &coded).await);
    loop {
        let status = talk.hear_status().await;
        if status.n_verified == 1 {
            assert!(!status.case_code.is_empty());
            return;
        }
    }
}

/// A reason that reached the history alone was read by nobody; what was left out of a form, neither.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_hears_what_is_asked_of_its_site_also_when_it_was_away() {
    let World { relay, admin, node } = world().await;
    let (_, centre) = relay.site("default", "CENTRE", SiteKind::Reading).await;
    let reader = relay.person(&admin.scope, &centre, "reader", Role::Reader).await;
    let coded = slice(1, "P1", 0);
    let (mut talk, _) = connect(&relay, &node, 1).await.unwrap();
    let ahead = RequestForm {
        clinical_context: json!({ "sbp": 180, "door_dt": "2099-01-01T00:00:00+09:00" }).to_string(),
        ..form(1, &coded)
    };
    talk.say(&Frame::Request(ahead)).await;
    let told = loop {
        let status = talk.hear_status().await;
        if !status.left_out.is_empty() {
            break status;
        }
    };
    let left_out = LeftOut {
        field: "door_dt".to_owned(),
        code: "in_future".to_owned(),
    };
    assert_eq!((told.left_out, told.returned), (vec![left_out], None));
    talk.connection.close(0_u32.into(), b"");

    let list = relay.get(&reader, "/api/v1/reading-requests").await;
    let list: serde_json::Value = list.json().await.unwrap();
    let path = format!(
        "/api/v1/reading-requests/{}",
        list["items"][0]["id"].as_str().unwrap()
    );
    for (act, body) in [("claim", json!({})), ("return", json!({ "reason": "GCS?" }))] {
        let path = format!("{path}/{act}");
        let answer = relay
            .write(&reader, reqwest::Method::POST, &path, &body)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{act}");
    }
    let (mut talk, _) = connect(&relay, &node, 2).await.unwrap();
    let told = talk.hear_status().await;
    let returned = Returned {
        reason: "GCS?".to_owned(),
        by: "佐藤 花子".to_owned(),
        at_ms: NOW_MS,
    };
    assert_eq!(
        (told.reading_state.as_str(), told.returned),
        ("returned", Some(returned))
    );
    talk.say(&Frame::Request(form(2, &coded))).await;
    loop {
        let told = talk.hear_status().await;
        if told.reading_state != "returned" {
            assert_eq!((told.returned, told.left_out), (None, vec![]));
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_study_that_is_only_announced_is_confirmed_and_still_is_when_it_comes() {
    let World { relay, node, .. } = world().await;
    let coded = slice(1, "P1", 0);
    let (mut talk, _) = connect(&relay, &node, 1).await.unwrap();
    let manifest = StudyManifest {
        study_instance_uid: coded.offer.study_instance_uid.clone(),
        priority: coded.offer.priority,
        closed: true,
        n_instances: 1,
        bytes_original: coded.item().original_len,
        generation: 7,
        withheld: Vec::new(),
    };
    talk.say(&Frame::Manifest(manifest)).await;
    let told = talk.hear_status().await;
    assert_eq!(
        (told.manifest_generation, told.manifest_closed, told.n_received),
        (7, true, 0)
    );
    receipt(deliver(&mut talk, &coded).await);
    loop {
        let told = talk.hear_status().await;
        assert_eq!((told.manifest_generation, told.manifest_closed), (7, true));
        if told.n_verified == 1 {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_study_sent_to_the_stat_title_opens_its_request_at_the_first_head() {
    let World { relay, admin, node } = world().await;
    relay.site("default", "CENTRE", SiteKind::Reading).await;
    let (mut talk, _) = connect(&relay, &node, 1).await.unwrap();
    let mut coded = slice(1, "P1", 0);
    coded.offer.called_ae = "TANCHO_STAT".to_owned();
    talk.say(&Frame::Offer(coded.offer.clone())).await;
    wanted(talk.hear().await.unwrap());
    let mut live = relay.app().events.follow(None).live;
    send_ranges(
        &talk.connection,
        &coded.sha256(),
        &coded.bytes,
        &[(0, coded.item().head_end)],
    )
    .await;
    let id = loop {
        let published = live.recv().await.unwrap();
        if published.event.name == "reading_request" {
            break ReadingRequestId::parse(published.event.data["id"].as_str().unwrap()).unwrap();
        }
    };
    let mut tx = relay.app().db.read().await.unwrap();
    let request = reading::get_reading_request(&mut tx, &admin.scope, &id)
        .await
        .unwrap();
    assert_eq!(
        (request.urgency.as_str(), request.origin.as_str()),
        ("critical", "rule")
    );
    assert_eq!(
        request.callback_number.as_deref(),
        Some("0153-00-0000"),
        "the site's own number"
    );
    assert!(request.study_id.is_some());
}
