//! A peer that offers again and again, and reads no answer: what the relay keeps for it is bounded.

use tancho_domain::dicom::{
    Priority, SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid,
};
use tancho_wire::close::CloseCode;
use tancho_wire::frame::{Offer, OfferItem, Receipt};
use tancho_wire::transfer::{Action, DataVerdict, Holding, RangeSet, Receiver};
use tancho_wire::{Digest, Frame, Violation};

const OFFERS_OPEN_MAX: u32 = 2;
const LEN: u64 = 1_000;

fn offer(receiver: &mut Receiver, n: u8) -> Result<(), Violation> {
    receiver.on_offer(Offer {
        study_instance_uid: StudyInstanceUid::parse("1.2").unwrap(),
        series_instance_uid: SeriesInstanceUid::parse("1.2.3").unwrap(),
        sop_class_uid: SopClassUid::parse("1.2.4").unwrap(),
        transfer_syntax_uid: TransferSyntaxUid::parse("1.2.5").unwrap(),
        calling_ae: "CT1".to_owned(),
        called_ae: "TANCHO".to_owned(),
        priority: Priority::Routine,
        items: vec![OfferItem {
            container_sha256: Digest([n; 32]),
            container_len: LEN,
            head_end: 100,
            sop_instance_uid: SopInstanceUid::parse(&format!("1.2.{n}")).unwrap(),
            original_sha256: Digest([0; 32]),
            original_len: LEN,
            received_at_ms: 0,
            preview_end: None,
        }],
    })
}

/// Answers every look-up.
fn answer(receiver: &mut Receiver, holding: impl Fn(Digest) -> Holding) {
    while let Some(action) = receiver.poll_action() {
        if let Action::Lookup(offered) = action {
            let digest = offered.item.container_sha256;
            receiver.answer(&digest, holding(digest));
        }
    }
}

fn durable(container_sha256: Digest) -> Holding {
    Holding::Durable(Receipt {
        container_sha256,
        original_sha256: Digest([0; 32]),
        durable_at_ms: 1,
    })
}

/// The ranges of the next Want by the first byte of each digest.
fn wanted(receiver: &mut Receiver) -> Vec<(u8, Vec<(u64, u64)>)> {
    match receiver.poll_frame() {
        Some(Frame::Want(want)) => {
            let items = want.items.into_iter();
            items
                .map(|item| (item.container_sha256.0[0], item.ranges))
                .collect()
        }
        None => Vec::new(),
        other => panic!("a Want expected, found {other:?}"),
    }
}

#[test]
fn one_want_waits_however_often_an_instance_is_offered() {
    let mut receiver = Receiver::new(OFFERS_OPEN_MAX);
    offer(&mut receiver, 1).unwrap();
    answer(&mut receiver, |_| Holding::Partial(RangeSet::new()));
    for _ in 0..10_000 {
        offer(&mut receiver, 1).unwrap();
    }
    assert_eq!(receiver.n_unwritten(), 1);
    // Bytes that came meanwhile are not asked for any more.
    let verdict = receiver.on_data(&Digest([1; 32]), 0, 300).unwrap();
    assert!(matches!(verdict, DataVerdict::Store(gaps) if gaps.len() == 1 && gaps[0] == (0..300)));
    receiver.on_stored(&Digest([1; 32]), 0..300);
    assert_eq!(wanted(&mut receiver), [(1, vec![(300, LEN)])]);
    assert_eq!(wanted(&mut receiver), []);
    // After it is written, an offer asks again: what was expected is not coming.
    offer(&mut receiver, 1).unwrap();
    offer(&mut receiver, 1).unwrap();
    assert_eq!(wanted(&mut receiver), [(1, vec![(300, LEN)])]);
    assert_eq!(receiver.n_unwritten(), 0);
}

#[test]
fn a_want_for_what_has_come_whole_meanwhile_is_not_written() {
    let mut receiver = Receiver::new(OFFERS_OPEN_MAX);
    offer(&mut receiver, 1).unwrap();
    answer(&mut receiver, |_| Holding::Partial(RangeSet::new()));
    receiver.on_data(&Digest([1; 32]), 0, LEN).unwrap();
    receiver.on_stored(&Digest([1; 32]), 0..LEN);
    assert_eq!(wanted(&mut receiver), []);
    assert_eq!(receiver.n_unwritten(), 0);
}

#[test]
fn answers_that_are_not_read_take_the_places_of_open_offers() {
    let mut receiver = Receiver::new(OFFERS_OPEN_MAX);
    let limit = 2 * OFFERS_OPEN_MAX as usize;
    for _ in 0..limit {
        offer(&mut receiver, 1).unwrap();
        answer(&mut receiver, durable);
    }
    assert_eq!((receiver.n_open(), receiver.n_unwritten()), (0, limit));
    let refused = offer(&mut receiver, 1).unwrap_err();
    assert_eq!(refused.code, CloseCode::LIMIT);
    // One that is written makes room for one more, and no more than one.
    assert!(matches!(receiver.poll_frame(), Some(Frame::Receipt(_))));
    offer(&mut receiver, 2).unwrap();
    assert!(offer(&mut receiver, 3).is_err());
}
