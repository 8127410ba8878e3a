//! Heads that travel with the help of another head of their series, and frames that are shown before they are whole.

use std::io::Cursor;

use tancho_imaging::container::{Coding, Container, Dictionary};
use tancho_relay::ingest::incoming::part_key;
use tancho_relay::ingest::preview;
use tancho_wire::Frame;
use tancho_wire::frame::RefusalKind;

use crate::ingest::{World, original_at_relay, receipt, wanted, world};
use crate::line::{Coded, Talk, connect, deliver, send_ranges, slice_as};

/// The first slice of a series; its head may serve the others.
fn first() -> Coded {
    let coding = Coding {
        is_dictionary: true,
        ..Coding::default()
    };
    slice_as(1, "P1", 0, &coding)
}

fn head_of(coded: &Coded) -> Dictionary {
    let mut container = Container::open(Cursor::new(&coded.bytes)).unwrap();
    Dictionary::new(container.head_bytes(u64::MAX).unwrap()).unwrap()
}

/// A later slice, coded with the head of `first`.
fn later(number: u32, first: &Coded) -> Coded {
    let head = head_of(first);
    let coding = Coding {
        dictionary: Some(&head),
        ..Coding::default()
    };
    let coded = slice_as(number, "P1", 0, &coding);
    let container = Container::open(Cursor::new(&coded.bytes)).unwrap();
    assert_eq!(container.header().dictionary_sha256.as_ref(), Some(head.sha256()));
    coded
}

async fn offer(talk: &mut Talk, coded: &Coded) -> Vec<(u64, u64)> {
    talk.say(&Frame::Offer(coded.offer.clone())).await;
    wanted(talk.hear().await.unwrap())
}

async fn send(talk: &Talk, coded: &Coded, range: (u64, u64)) {
    send_ranges(&talk.connection, &coded.sha256(), &coded.bytes, &[range]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn later_slices_are_given_back_and_their_dictionary_outlives_the_process() {
    let World { relay, admin, node } = world().await;
    let first = first();
    let (second, third) = (later(2, &first), later(3, &first));
    assert!(second.item().head_end + 200 <= first.item().head_end);
    let (mut talk, _) = connect(&relay, &node, 1).await.unwrap();
    receipt(deliver(&mut talk, &first).await);
    receipt(deliver(&mut talk, &second).await);
    let relay = relay.restart_with(|_| {}).await;
    for coded in [&first, &second] {
        assert_eq!(original_at_relay(&relay, &admin, coded).await, coded.data_set);
        let (network, digest) = (&admin.scope.network_id, coded.sha256().0);
        relay.app().blobs.verify(network, &digest).unwrap();
    }
    let (mut talk, _) = connect(&relay, &node, 2).await.unwrap();
    receipt(deliver(&mut talk, &third).await);
    assert_eq!(original_at_relay(&relay, &admin, &third).await, third.data_set);
}

/// Nothing had named the head before the restart: it is found in the container that brought it.
#[tokio::test(flavor = "multi_thread")]
async fn a_dictionary_that_memory_forgot_is_found_in_its_series() {
    let World { relay, admin, node } = world().await;
    let first = first();
    let (whole_before, arriving_before) = (later(2, &first), later(3, &first));
    let (mut talk, _) = connect(&relay, &node, 1).await.unwrap();
    let mut live = relay.app().events.follow(None).live;
    assert_eq!(offer(&mut talk, &first).await, [(0, first.item().container_len)]);
    send(&talk, &first, (0, first.item().head_end)).await;
    while live.recv().await.unwrap().event.name != "study" {}
    drop(talk);
    let relay = relay.restart_with(|_| {}).await;
    let (mut talk, _) = connect(&relay, &node, 2).await.unwrap();
    receipt(deliver(&mut talk, &arriving_before).await);
    receipt(deliver(&mut talk, &first).await);
    let relay = relay.restart_with(|_| {}).await;
    let (mut talk, _) = connect(&relay, &node, 3).await.unwrap();
    receipt(deliver(&mut talk, &whole_before).await);
    for coded in [&whole_before, &arriving_before] {
        assert_eq!(original_at_relay(&relay, &admin, coded).await, coded.data_set);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_waits_for_the_head_it_needs_and_is_listed_then() {
    let World { relay, admin, node } = world().await;
    let first = first();
    let (second, third) = (later(2, &first), later(3, &first));
    let (mut talk, _) = connect(&relay, &node, 1).await.unwrap();
    let mut live = relay.app().events.follow(None).live;
    for coded in [&second, &third, &first] {
        offer(&mut talk, coded).await;
        send(&talk, coded, (0, coded.item().head_end)).await;
    }
    let mut listed = 0;
    while listed < 3 {
        let published = live.recv().await.unwrap();
        if published.event.name == "study" {
            listed = published.event.data["received"].as_u64().unwrap();
        }
    }
    for coded in [&third, &second, &first] {
        send(&talk, coded, (coded.item().head_end, coded.item().container_len)).await;
        receipt(talk.hear().await.unwrap());
        assert_eq!(original_at_relay(&relay, &admin, coded).await, coded.data_set);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_dictionary_an_instance_is_asked_for_in_its_plain_form() {
    let World { relay, admin, node } = world().await;
    let first = first();
    let second = later(2, &first);
    let (mut talk, _) = connect(&relay, &node, 1).await.unwrap();
    match deliver(&mut talk, &second).await {
        Frame::Refusal(refusal) => assert_eq!(
            (refusal.kind, refusal.code.as_str()),
            (RefusalKind::Recode, "dictionary_missing")
        ),
        other => panic!("{other:?}"),
    }
    let plain = Coding {
        is_plain: true,
        ..Coding::default()
    };
    let again = slice_as(2, "P1", 0, &plain);
    receipt(deliver(&mut talk, &again).await);
    assert_eq!(original_at_relay(&relay, &admin, &again).await, second.data_set);
}

/// What the relay has does not travel again when a node codes it in another way.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_bytes_in_another_container_get_their_receipt_at_once() {
    let World { relay, admin, node } = world().await;
    let (first, other) = (first(), slice_as(1, "P1", 0, &Coding::default()));
    assert_ne!(first.sha256(), other.sha256());
    let (mut talk, _) = connect(&relay, &node, 1).await.unwrap();
    receipt(deliver(&mut talk, &other).await);
    talk.say(&Frame::Offer(first.offer.clone())).await;
    let again = receipt(talk.hear().await.unwrap());
    assert_eq!(again.container_sha256, first.sha256());
    assert_eq!(again.original_sha256, first.item().original_sha256);
    // Its head serves all the same: the bytes are there.
    let second = later(2, &first);
    receipt(deliver(&mut talk, &second).await);
    assert_eq!(original_at_relay(&relay, &admin, &second).await, second.data_set);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_is_shown_from_its_first_bytes_and_never_from_others() {
    let World { relay, admin, node } = world().await;
    let coded = first();
    let header = Container::open(Cursor::new(&coded.bytes))
        .unwrap()
        .header()
        .clone();
    let (head_end, preview_end) = (header.head_end(), header.preview_end().unwrap());
    let app = relay.app();
    let mut tx = app.db.read().await.unwrap();
    let sites = tancho_store::sites::list_sites(&mut tx, &admin.scope)
        .await
        .unwrap();
    drop(tx);
    let site_id = sites.iter().find(|site| site.code == "DOTO").unwrap().id.clone();
    let low = |number| {
        let whose = (&admin.scope.network_id, &site_id);
        preview::low_frame(&app.incoming, &app.blobs, whose, coded.sha256(), number)
    };
    assert!(low(1).is_err(), "not known");
    let (mut talk, _) = connect(&relay, &node, 1).await.unwrap();
    offer(&mut talk, &coded).await;
    let written = async |range: (u64, u64)| {
        send(&talk, &coded, range).await;
        let key = part_key(&site_id, coded.sha256());
        while !app.incoming.held(&key).contains(&(range.0..range.1)) {
            tokio::task::yield_now().await;
        }
    };
    written((preview_end - 1, preview_end)).await;
    assert_eq!(low(1).unwrap(), None);
    written((0, head_end)).await;
    assert_eq!(low(1).unwrap(), None);
    written((head_end, preview_end - 1)).await;
    let mut container = Container::open(Cursor::new(&coded.bytes)).unwrap();
    let expected = container.low_frame(1).unwrap();
    assert_eq!(
        expected.as_ref().map(|low| (low.columns, low.rows)),
        Some((32, 32))
    );
    assert_eq!(low(1).unwrap(), expected);
    assert!(low(2).is_err(), "there is no such frame");
    send(&talk, &coded, (preview_end, coded.item().container_len)).await;
    receipt(talk.hear().await.unwrap());
    assert_eq!(low(1).unwrap(), expected, "from the blob store");
}
