//! Low-resolution parts: when they go, when the relay says that they are there, and where the reader looks.

use tancho_domain::dicom::{Priority, SeriesInstanceUid, SopInstanceUid, StudyInstanceUid};
use tancho_wire::frame::{Focus, Offer, OfferItem};
use tancho_wire::limits::FOCUS_WAITING_MAX;
use tancho_wire::transfer::{
    Action, DataVerdict, Finish, Holding, Outbound, RangeSet, Receiver, Sender, SenderConfig,
};
use tancho_wire::{Digest, Frame};

use crate::order::{answer_offers, next, outbound};

const HEAD_END: u64 = 1_000;
const PREVIEW_END: u64 = 9_000;

fn with_preview(study: u64, instance: u64) -> Outbound {
    Outbound {
        preview_end: Some(PREVIEW_END),
        ..outbound(study, instance, Priority::Stat, 100_000)
    }
}

fn focus(study: u64, instance: u64) -> Focus {
    Focus {
        study_instance_uid: StudyInstanceUid::parse(&format!("1.{study}")).unwrap(),
        series_instance_uid: SeriesInstanceUid::parse(&format!("1.{study}.0")).unwrap(),
        sop_instance_uid: SopInstanceUid::parse(&format!("1.{study}.{instance}")).unwrap(),
    }
}

/// A sender that was asked for everything of `n` instances of study 1, and their digests.
fn sender_of(n: u64) -> (Sender, Vec<Digest>) {
    let mut sender = Sender::new(SenderConfig::default());
    sender.sync((0..n).map(|idx| with_preview(1, idx)));
    sender.connected(4096);
    answer_offers(&mut sender);
    let digests = (0..n).map(|idx| with_preview(1, idx).container_sha256).collect();
    (sender, digests)
}

/// Instance and first byte of the ranges to come.
fn coming(sender: &mut Sender, digests: &[Digest], n: usize) -> Vec<(usize, u64)> {
    let ranges = (0..n).map_while(|_| next(sender));
    ranges
        .map(|range| {
            let number = digests
                .iter()
                .position(|digest| *digest == range.container_sha256);
            (number.unwrap(), range.offset)
        })
        .collect()
}

#[test]
fn heads_then_low_resolution_from_the_middle_then_the_rest() {
    let (mut sender, digests) = sender_of(5);
    let heads = coming(&mut sender, &digests, 5);
    assert_eq!(heads, [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0)]);
    let preview = coming(&mut sender, &digests, 5);
    assert_eq!(
        preview,
        [2, 1, 3, 0, 4].map(|number| (number, HEAD_END)),
        "the middle first"
    );
    let rest = coming(&mut sender, &digests, 100);
    let second = PREVIEW_END + 65_536;
    let expected = [2, 1, 3, 0, 4].map(|number| [(number, PREVIEW_END), (number, second)]);
    assert_eq!(rest, expected.concat(), "and one instance whole after another");
}

#[test]
fn the_rest_follows_the_reader_at_the_next_range() {
    let (mut sender, digests) = sender_of(9);
    coming(&mut sender, &digests, 18);
    assert_eq!(coming(&mut sender, &digests, 1), [(4, PREVIEW_END)]);
    sender.on_frame(Frame::Focus(focus(1, 7)), 0).unwrap();
    let second = PREVIEW_END + 65_536;
    let expected = [(7, PREVIEW_END), (7, second), (6, PREVIEW_END), (6, second)];
    assert_eq!(coming(&mut sender, &digests, 4), expected);
    // Another study, another series, another instance: harmless.
    sender.on_frame(Frame::Focus(focus(2, 7)), 0).unwrap();
    sender.on_frame(Frame::Focus(focus(1, 70)), 0).unwrap();
    assert_eq!(coming(&mut sender, &digests, 1), [(8, PREVIEW_END)]);
}

#[test]
fn a_reader_who_looks_at_what_has_arrived_draws_its_neighbours() {
    let (mut sender, digests) = sender_of(9);
    coming(&mut sender, &digests, 18);
    // All up to number 5 is receipted and no longer listed.
    for instance in 0..6 {
        let object = with_preview(1, instance);
        let receipt = tancho_wire::frame::Receipt {
            container_sha256: object.container_sha256,
            original_sha256: object.original_sha256,
            durable_at_ms: 0,
        };
        sender.on_frame(Frame::Receipt(receipt), 0).unwrap().unwrap();
    }
    sender.sync((6..9).map(|instance| with_preview(1, instance)));
    assert!(!sender.knows(&digests[0]));
    sender.focus(&focus(1, 0));
    assert_eq!(coming(&mut sender, &digests, 1), [(6, PREVIEW_END)]);
    sender.focus(&focus(1, 8));
    assert_eq!(coming(&mut sender, &digests, 1), [(8, PREVIEW_END)]);
}

fn offer_of(object: &Outbound) -> Offer {
    let mut sender = Sender::new(SenderConfig::default());
    sender.sync([object.clone()]);
    sender.connected(1);
    answer_offers(&mut sender).remove(0)
}

fn actions(receiver: &mut Receiver) -> Vec<Action> {
    std::iter::from_fn(|| receiver.poll_action()).collect()
}

fn store(receiver: &mut Receiver, digest: &Digest, offset: u64, len: u64) {
    let DataVerdict::Store(gaps) = receiver.on_data(digest, offset, len).unwrap() else {
        panic!("the bytes are needed");
    };
    gaps.into_iter().for_each(|gap| receiver.on_stored(digest, gap));
}

#[test]
fn the_relay_says_once_when_an_instance_can_be_listed_and_when_it_can_be_looked_at() {
    let object = with_preview(1, 0);
    let digest = object.container_sha256;
    let mut receiver = Receiver::new(10);
    receiver.on_offer(offer_of(&object)).unwrap();
    actions(&mut receiver);
    receiver.answer(&digest, Holding::Partial(RangeSet::new()));
    store(&mut receiver, &digest, HEAD_END, PREVIEW_END - HEAD_END);
    assert_eq!(
        actions(&mut receiver),
        [],
        "without its head nobody can look at it"
    );
    store(&mut receiver, &digest, 0, HEAD_END - 1);
    assert_eq!(actions(&mut receiver), []);
    store(&mut receiver, &digest, HEAD_END - 1, 1);
    let both = [Action::HeadComplete(digest), Action::PreviewArrived(digest)];
    assert_eq!(actions(&mut receiver), both);
    store(&mut receiver, &digest, PREVIEW_END, 50_000);
    assert_eq!(actions(&mut receiver), []);
    store(&mut receiver, &digest, 59_000, 41_000);
    assert_eq!(actions(&mut receiver), [Action::Complete(digest)]);
    receiver.finish(&digest, Finish::Again);
    store(&mut receiver, &digest, 0, 60_000);
    assert_eq!(actions(&mut receiver), []);

    // What an earlier connection brought counts.
    let mut receiver = Receiver::new(10);
    receiver.on_offer(offer_of(&object)).unwrap();
    actions(&mut receiver);
    receiver.answer(&digest, Holding::Partial(RangeSet::whole(PREVIEW_END)));
    assert_eq!(actions(&mut receiver), both);

    // Without low-resolution parts nothing is said of them.
    let plain = outbound(2, 0, Priority::Stat, 100_000);
    receiver.on_offer(offer_of(&plain)).unwrap();
    actions(&mut receiver);
    receiver.answer(
        &plain.container_sha256,
        Holding::Partial(RangeSet::whole(plain.container_len)),
    );
    let (head, whole) = (
        Action::HeadComplete(plain.container_sha256),
        Action::Complete(plain.container_sha256),
    );
    assert_eq!(actions(&mut receiver), [head, whole]);
}

#[test]
fn low_resolution_parts_lie_between_head_and_end_and_do_not_move() {
    let offer = |preview_end| {
        let mut offer = offer_of(&with_preview(1, 0));
        let item: &mut OfferItem = &mut offer.items[0];
        item.preview_end = preview_end;
        offer
    };
    let judge = |offers: &[Offer]| {
        let mut receiver = Receiver::new(10);
        offers
            .iter()
            .try_for_each(|offer| receiver.on_offer(offer.clone()))
    };
    for good in [None, Some(HEAD_END), Some(100_000)] {
        assert_eq!(judge(&[offer(good), offer(good)]), Ok(()));
    }
    for bad in [0, HEAD_END - 1, 100_001, u64::MAX] {
        assert!(judge(&[offer(Some(bad))]).is_err());
    }
    assert!(judge(&[offer(None), offer(Some(HEAD_END))]).is_err());
}

#[test]
fn only_the_newest_focus_of_a_study_is_told_and_only_so_many_wait() {
    let mut receiver = Receiver::new(10);
    receiver.focus(focus(1, 1));
    receiver.focus(focus(2, 5));
    receiver.focus(focus(1, 2));
    assert_eq!(receiver.poll_frame(), Some(Frame::Focus(focus(1, 2))));
    assert_eq!(receiver.poll_frame(), Some(Frame::Focus(focus(2, 5))));
    assert_eq!(receiver.poll_frame(), None);
    (0..1_000).for_each(|study| receiver.focus(focus(study, 0)));
    let told: Vec<_> = std::iter::from_fn(|| receiver.poll_frame()).collect();
    assert_eq!(told.len(), FOCUS_WAITING_MAX);
    assert_eq!(told.last(), Some(&Frame::Focus(focus(999, 0))));
}
