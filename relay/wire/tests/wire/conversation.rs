//! Peers that say anything at all, in any order: no end panics, and none holds more than its limits.

use proptest::prelude::*;
use tancho_domain::dicom::Priority;
use tancho_wire::frame::{Focus, Frame, Offer, OfferItem, Receipt, Refusal, RefusalKind, Want, WantItem};
use tancho_wire::limits::{OFFER_ITEMS_MAX, RANGE_BYTES_MAX};
use tancho_wire::transfer::{
    Action, DataVerdict, Finish, Holding, NextRange, Outbound, RangeSet, Receiver, Sender, SenderConfig,
};

use crate::order::outbound;

/// Small numbers, numbers near the limits of containers and heads, and the ends of the range.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0u64..2_000,
        2 => 0u64..200_000,
        1 => (32u64 << 20) - 2..(32 << 20) + 2,
        1 => (4u64 << 30)..(5 << 30),
        1 => u64::MAX - 2..=u64::MAX,
    ]
}

fn object(idx: u64) -> Outbound {
    Outbound {
        preview_end: Some(1_500),
        ..outbound(idx % 3, idx, Priority::Urgent, 100_000)
    }
}

#[derive(Debug, Clone)]
enum AgentSays {
    Offer {
        idx: u64,
        n_items: usize,
        len: u64,
        head_end: u64,
        preview_end: Option<u64>,
    },
    Data {
        idx: u64,
        offset: u64,
        len: u64,
    },
}

fn agent_says() -> impl Strategy<Value = AgentSays> {
    let offer = (
        0u64..6,
        prop_oneof![9 => 0usize..3, 1 => Just(OFFER_ITEMS_MAX + 1)],
        number(),
        number(),
        prop::option::of(number()),
    );
    let offer = offer.prop_map(|(idx, n_items, len, head_end, preview_end)| AgentSays::Offer {
        idx,
        n_items,
        len,
        head_end,
        preview_end,
    });
    let right = (0u64..6).prop_map(|idx| AgentSays::Offer {
        idx,
        n_items: 1,
        len: 100_000,
        head_end: 1_000,
        preview_end: Some(1_500),
    });
    let data = (0u64..6, number(), 1..=RANGE_BYTES_MAX);
    let data = data.prop_map(|(idx, offset, len)| AgentSays::Data { idx, offset, len });
    prop_oneof![1 => offer, 2 => right, 4 => data]
}

fn offer(idx: u64, n_items: usize, len: u64, head_end: u64, preview_end: Option<u64>) -> Offer {
    let object = object(idx);
    let item = OfferItem {
        container_sha256: object.container_sha256,
        container_len: len,
        head_end,
        sop_instance_uid: object.sop_instance_uid,
        original_sha256: object.original_sha256,
        original_len: object.original_len,
        received_at_ms: 0,
        preview_end,
    };
    Offer {
        study_instance_uid: object.study_instance_uid,
        series_instance_uid: object.series_instance_uid,
        sop_class_uid: object.sop_class_uid,
        transfer_syntax_uid: object.transfer_syntax_uid,
        calling_ae: object.calling_ae,
        called_ae: object.called_ae,
        priority: object.priority,
        items: vec![item; n_items],
    }
}

/// Carries out what the receiver asks for, with a disk that holds anything.
fn relay_works(receiver: &mut Receiver, held: &[(u64, u64)]) {
    while let Some(action) = receiver.poll_action() {
        match action {
            Action::Lookup(offered) => {
                let mut set = RangeSet::new();
                held.iter()
                    .for_each(|(start, len)| set.insert(*start..start.saturating_add(*len)));
                receiver.answer(&offered.item.container_sha256, Holding::Partial(set));
            }
            Action::Complete(digest) => receiver.finish(&digest, Finish::Again),
            Action::HeadComplete(_) | Action::PreviewArrived(_) => {}
        }
        while receiver.poll_frame().is_some() {}
    }
}

#[derive(Debug, Clone)]
enum RelaySays {
    Want {
        idx: u64,
        ranges: Vec<(u64, u64)>,
    },
    Receipt(u64),
    Refusal {
        idx: u64,
        kind: RefusalKind,
        retry_after_ms: u64,
    },
    Focus {
        study: u64,
        idx: u64,
    },
    Priority(Priority),
    Next {
        now_ms: u64,
    },
    Cut,
}

fn relay_says() -> impl Strategy<Value = RelaySays> {
    let want = (0u64..8, prop::collection::vec((number(), number()), 0..4));
    let want = want.prop_map(|(idx, ranges)| RelaySays::Want { idx, ranges });
    let right = (0u64..8, 0u64..100_000, 0u64..100_000);
    let right = right.prop_map(|(idx, start, len)| RelaySays::Want {
        idx,
        ranges: vec![(start, (start + len + 1).min(100_000))],
    });
    let kind = prop::sample::select(vec![RefusalKind::Final, RefusalKind::Later, RefusalKind::Recode]);
    let refusal = (0u64..8, kind, number());
    let refusal = refusal.prop_map(|(idx, kind, retry_after_ms)| RelaySays::Refusal {
        idx,
        kind,
        retry_after_ms,
    });
    let classes = vec![Priority::Stat, Priority::Urgent, Priority::Routine];
    prop_oneof![
        1 => want,
        6 => right,
        2 => (0u64..8).prop_map(RelaySays::Receipt),
        2 => refusal,
        2 => (0u64..4, 0u64..9).prop_map(|(study, idx)| RelaySays::Focus { study, idx }),
        1 => prop::sample::select(classes).prop_map(RelaySays::Priority),
        8 => number().prop_map(|now_ms| RelaySays::Next { now_ms }),
        1 => Just(RelaySays::Cut),
    ]
}

fn frame(says: &RelaySays) -> Option<Frame> {
    let sha256 = |idx: &u64| object(*idx).container_sha256;
    Some(match says {
        RelaySays::Want { idx, ranges } => {
            let item = WantItem {
                container_sha256: sha256(idx),
                ranges: ranges.clone(),
            };
            Frame::Want(Want { items: vec![item] })
        }
        RelaySays::Receipt(idx) => Frame::Receipt(Receipt {
            container_sha256: sha256(idx),
            original_sha256: object(*idx).original_sha256,
            durable_at_ms: 0,
        }),
        RelaySays::Refusal {
            idx,
            kind,
            retry_after_ms,
        } => Frame::Refusal(Refusal {
            container_sha256: sha256(idx),
            kind: *kind,
            code: String::new(),
            text: String::new(),
            retry_after_ms: *retry_after_ms,
        }),
        RelaySays::Focus { study, idx } => {
            let looked_at = object(*idx);
            let study = object(*study);
            Frame::Focus(Focus {
                study_instance_uid: study.study_instance_uid,
                series_instance_uid: study.series_instance_uid,
                sop_instance_uid: looked_at.sop_instance_uid,
            })
        }
        RelaySays::Priority(_) | RelaySays::Next { .. } | RelaySays::Cut => return None,
    })
}

proptest! {
    #[test]
    fn no_agent_makes_the_receiver_panic_or_hold_more_than_it_said(
        says in prop::collection::vec(agent_says(), 0..60),
        held in prop::collection::vec((number(), number()), 0..5),
    ) {
        let mut receiver = Receiver::new(3);
        for say in says {
            let judged = match say {
                AgentSays::Offer { idx, n_items, len, head_end, preview_end } =>
                    receiver.on_offer(offer(idx, n_items, len, head_end, preview_end)),
                AgentSays::Data { idx, offset, len } => {
                    let digest = object(idx).container_sha256;
                    receiver.on_data(&digest, offset, len).map(|verdict| {
                        let DataVerdict::Store(gaps) = verdict else { return };
                        gaps.into_iter().for_each(|gap| receiver.on_stored(&digest, gap));
                    })
                }
            };
            if judged.is_err() {
                return Ok(());
            }
            relay_works(&mut receiver, &held);
            prop_assert!(receiver.n_open() <= 6);
            prop_assert!(receiver.n_unwritten() <= 12);
        }
    }

    #[test]
    fn no_relay_makes_the_sender_panic_or_send_what_is_not_there(
        says in prop::collection::vec(relay_says(), 0..80),
        rate_cap_bytes_per_s in prop::option::of(number()),
    ) {
        let mut sender = Sender::new(SenderConfig { rate_cap_bytes_per_s, ..SenderConfig::default() });
        sender.sync((0..6).map(object));
        sender.connected(5);
        for say in says {
            while sender.poll_frame(0).is_some() {}
            match &say {
                RelaySays::Next { now_ms } => {
                    if let NextRange::Send(range) = sender.next_range(*now_ms) {
                        prop_assert!(range.len > 0 && range.len <= RANGE_BYTES_MAX);
                        prop_assert!(range.offset + range.len <= 100_000);
                    }
                    sender.tick(*now_ms);
                }
                RelaySays::Priority(priority) => {
                    let priority = *priority;
                    sender.sync((0..6).map(|idx| Outbound { priority, ..object(idx) }));
                }
                RelaySays::Cut => sender.connected(5),
                _ => {}
            }
            if let Some(frame) = frame(&say)
                && sender.on_frame(frame, 0).is_err()
            {
                return Ok(());
            }
        }
    }
}
