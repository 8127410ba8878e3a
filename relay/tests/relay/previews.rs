//! Low-resolution parts at the relay: counted for the sender when they are right, and the sender is told where readers
//! look.

use rcgen::KeyPair;
use std::io::Cursor;
use tancho_domain::access::Role;
use tancho_domain::dicom::{SeriesInstanceUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid};
use tancho_domain::ids::SiteId;
use tancho_imaging::container::Container;
use tancho_store::sites::SiteKind;
use tancho_wire::Frame;
use tancho_wire::frame::{Focus, StudyStatus};

use crate::harness::TestRelay;
use crate::ingest::invite;
use crate::line::{Coded, NodeKey, Talk, coded, connect, enroll, send_ranges, slice};

/// An instance with bytes after its frame, and where its frame ends.
fn with_preview(number: u32) -> (Coded, u64) {
    let mut data_set = slice(number, "P1", 0).data_set;
    // Data Set Trailing Padding (FFFC,FFFC), explicit VR little endian.
    data_set.extend_from_slice(b"\xfc\xff\xfc\xffOB\0\0\x08\0\0\0\x01\x02\x03\x04\x05\x06\x07\x08");
    let ts = TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap();
    let mut coded = coded(data_set, &ts);
    let container = Container::open(Cursor::new(coded.bytes.clone())).unwrap();
    let sections = &container.header().sections;
    let last = sections.iter().rfind(|section| section.frame > 0).unwrap();
    let preview_end = last.offset + last.stored_len;
    assert!(preview_end < coded.item().container_len, "something is left");
    coded.offer.items[0].preview_end = Some(preview_end);
    (coded, preview_end)
}

async fn relay_and_node() -> (TestRelay, SiteId, NodeKey) {
    let relay = TestRelay::start().await;
    let (scope, site_id) = relay.site("default", "DOTO", SiteKind::Requesting).await;
    let admin = relay.person(&scope, &site_id, "admin", Role::Admin).await;
    let code = invite(&relay, &admin, "DOTO").await;
    let node = enroll(&relay, &code, &KeyPair::generate().unwrap())
        .await
        .unwrap();
    (relay, site_id, node)
}

async fn hear_status_with(talk: &mut Talk, is_it: impl Fn(&StudyStatus) -> bool) -> StudyStatus {
    loop {
        let status = talk.hear_status().await;
        assert!(status.n_verified <= status.n_preview.unwrap());
        assert!(status.n_preview <= status.n_listed);
        if is_it(&status) {
            return status;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sender_hears_what_can_be_looked_at_before_it_is_whole() {
    let (relay, _, node) = relay_and_node().await;
    let (mut talk, _) = connect(&relay, &node, 1).await.unwrap();
    let (right, preview_end) = with_preview(1);
    let (wrong, wrong_preview_end) = with_preview(2);
    for coded in [&right, &wrong] {
        talk.say(&Frame::Offer(coded.offer.clone())).await;
        assert!(matches!(talk.hear().await, Ok(Frame::Want(_))));
    }
    let mut torn = wrong.bytes.clone();
    torn[wrong_preview_end as usize - 1] ^= 1;
    let part = [(0, wrong_preview_end)];
    send_ranges(&talk.connection, &wrong.sha256(), &torn, &part).await;
    hear_status_with(&mut talk, |status| status.n_listed == Some(1)).await;
    send_ranges(
        &talk.connection,
        &right.sha256(),
        &right.bytes,
        &[(0, preview_end)],
    )
    .await;
    let status = hear_status_with(&mut talk, |status| status.n_preview == Some(1)).await;
    assert_eq!((status.n_listed, status.n_verified), (Some(2), 0));
    let rest = [(preview_end, right.item().container_len)];
    send_ranges(&talk.connection, &right.sha256(), &right.bytes, &rest).await;
    let status = hear_status_with(&mut talk, |status| status.n_verified == 1).await;
    assert_eq!(
        status.n_preview,
        Some(1),
        "counted once, and the torn one not at all"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_before_a_restart_can_be_looked_at_after_it() {
    let (relay, _, node) = relay_and_node().await;
    let (coded, preview_end) = with_preview(1);
    let (mut talk, _) = connect(&relay, &node, 1).await.unwrap();
    talk.say(&Frame::Offer(coded.offer.clone())).await;
    talk.hear().await.unwrap();
    send_ranges(
        &talk.connection,
        &coded.sha256(),
        &coded.bytes,
        &[(0, preview_end)],
    )
    .await;
    hear_status_with(&mut talk, |status| status.n_preview == Some(1)).await;
    drop(talk);
    let relay = relay.restart_with(|_| {}).await;
    let (mut talk, _) = connect(&relay, &node, 2).await.unwrap();
    talk.say(&Frame::Offer(coded.offer.clone())).await;
    hear_status_with(&mut talk, |status| status.n_preview == Some(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_hears_where_readers_of_its_site_look() {
    let (relay, site_id, node) = relay_and_node().await;
    let (_, other_site) = relay.site("default", "KUSHIRO", SiteKind::Requesting).await;
    let (mut talk, _) = connect(&relay, &node, 1).await.unwrap();
    let look = |number: u32| Focus {
        study_instance_uid: StudyInstanceUid::parse("2.25.1").unwrap(),
        series_instance_uid: SeriesInstanceUid::parse("2.25.1.1").unwrap(),
        sop_instance_uid: SopInstanceUid::parse(&format!("2.25.1.1.{number}")).unwrap(),
    };
    let focuses = &relay.app().focuses;
    focuses.look_at(other_site, look(7));
    focuses.look_at(site_id.clone(), look(3));
    assert_eq!(talk.hear().await.unwrap(), Frame::Focus(look(3)));
    for number in 4..200 {
        focuses.look_at(site_id.clone(), look(number));
    }
    // A reader who scrolls fast is not followed slice by slice.
    let mut n_told = 0;
    loop {
        n_told += 1;
        if talk.hear().await.unwrap() == Frame::Focus(look(199)) {
            break;
        }
    }
    assert!(n_told <= 20, "told {n_told} times");
}
