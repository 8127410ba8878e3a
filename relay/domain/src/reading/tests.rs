use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::ids::NetworkId;

const LEASE: i64 = 100;

fn site(n: u128) -> SiteId {
    SiteId::new(Uuid::from_u128(n))
}

fn person(role: Role, site_no: u128, user: u128) -> Principal {
    Principal {
        network_id: NetworkId::new(Uuid::from_u128(1)),
        user_id: UserId::new(Uuid::from_u128(user)),
        role,
        site_id: site(site_no),
    }
}

fn reader() -> Principal {
    person(Role::Reader, 2, 20)
}

fn other_reader() -> Principal {
    person(Role::Reader, 2, 21)
}

fn referrer() -> Principal {
    person(Role::Referrer, 1, 10)
}

fn request(state: State) -> ReadingRequest {
    let (report_version, has_final) = match state {
        State::Preliminary { .. } => (1, false),
        State::Final | State::Acknowledged { .. } | State::Reopened => (1, true),
        _ => (0, false),
    };
    let first_image_at_ms = (state != State::Requested).then_some(0);
    ReadingRequest {
        requesting_site_id: site(1),
        reading_site_id: site(2),
        state,
        first_image_at_ms,
        report_version,
        has_final,
    }
}

fn claim_of(person: &Principal) -> Claim {
    Claim {
        reader: person.user_id.clone(),
        claimed_at_ms: 0,
        lease_until_ms: LEASE,
    }
}

fn context(actor: Actor<'_>, now_ms: i64) -> Context<'_> {
    Context {
        actor,
        now_ms,
        lease_ms: LEASE,
    }
}

fn by<'a>(person: &'a Principal) -> Context<'a> {
    context(Actor::Person(person), 10)
}

fn commands() -> Vec<(&'static str, Command)> {
    let clearance = Clearance::for_test;
    vec![
        ("first_image", Command::FirstImage),
        ("claim", Command::Claim),
        ("heartbeat", Command::Heartbeat),
        ("release", Command::Release),
        (
            "return",
            Command::Return {
                reason: "r".to_owned(),
            },
        ),
        (
            "cancel",
            Command::Cancel {
                reason: "r".to_owned(),
            },
        ),
        ("complete_context", Command::CompleteContext),
        (
            "sign_preliminary",
            Command::Sign(clearance(VersionStatus::Preliminary)),
        ),
        ("sign_final", Command::Sign(clearance(VersionStatus::Final))),
        (
            "sign_corrected",
            Command::Sign(clearance(VersionStatus::Corrected)),
        ),
        ("add", Command::Add(clearance(VersionStatus::Addended))),
        (
            "acknowledge",
            Command::Acknowledge {
                version: 1,
                action: ActionTaken::Observe,
            },
        ),
        ("late_images", Command::LateImages),
    ]
}

/// Every state with every command, given by whoever may give it.
#[test]
fn the_transition_table_reads_as_reviewed() {
    let (reader, referrer) = (reader(), referrer());
    let claim = claim_of(&reader);
    let mut corrected = request(State::Claimed(claim.clone()));
    (corrected.report_version, corrected.has_final) = (1, true);
    let starts = [
        ("requested", request(State::Requested)),
        ("readable", request(State::Readable)),
        ("claimed", request(State::Claimed(claim.clone()))),
        ("claimed after final", corrected),
        (
            "returned",
            request(State::Returned {
                reason: "r".to_owned(),
            }),
        ),
        (
            "preliminary held",
            request(State::Preliminary { claim: Some(claim) }),
        ),
        ("preliminary free", request(State::Preliminary { claim: None })),
        ("final", request(State::Final)),
        (
            "acknowledged",
            request(State::Acknowledged {
                action: ActionTaken::Treat,
            }),
        ),
        ("reopened", request(State::Reopened)),
        (
            "cancelled",
            request(State::Cancelled {
                reason: "r".to_owned(),
            }),
        ),
    ];
    let mut table = String::new();
    for (name, start) in &starts {
        for (label, command) in commands() {
            let actor = match action_of(&command) {
                None => Actor::Relay,
                Some(action) if allows(Role::Reader, action) => Actor::Person(&reader),
                Some(_) => Actor::Person(&referrer),
            };
            let outcome = match apply(start, &command, &context(actor, 10)) {
                Ok((next, event)) => format!("{} [{}]", next.state.name().as_str(), event.kind()),
                Err(refusal) => format!("- {}", refusal.code()),
            };
            table.push_str(&format!("{name:<20} {label:<17} {outcome}\n"));
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_claim_keeps_others_away_until_it_lapses() {
    let (first, second) = (reader(), other_reader());
    let (held, _) = apply(&request(State::Readable), &Command::Claim, &by(&first)).expect("claimed");
    assert_eq!(
        apply(&held, &Command::Claim, &by(&second)),
        Err(Refusal::AlreadyClaimed)
    );
    let (again, _) = apply(&held, &Command::Claim, &context(Actor::Person(&first), 50)).expect("mine");
    assert_eq!(
        again
            .state
            .claim()
            .map(|claim| (claim.claimed_at_ms, claim.lease_until_ms)),
        Some((10, 150))
    );
    let lapsed = context(Actor::Person(&second), 110);
    let (taken, event) = apply(&held, &Command::Claim, &lapsed).expect("lapsed");
    assert_eq!(
        event,
        Event::Claimed {
            instead_of: Some(first.user_id.clone())
        }
    );
    let sign = Command::Sign(Clearance::for_test(VersionStatus::Final));
    assert_eq!(
        apply(&taken, &sign, &context(Actor::Person(&first), 111)),
        Err(Refusal::NotClaimed)
    );
    let renewed = context(Actor::Person(&first), 500);
    assert!(
        apply(&held, &Command::Heartbeat, &renewed).is_ok(),
        "nobody took it meanwhile"
    );
}

#[test]
fn roles_and_sites_are_kept_apart() {
    let readable = request(State::Readable);
    for stranger in [
        person(Role::Reader, 3, 30),
        person(Role::Reader, 1, 31),
        referrer(),
        person(Role::Admin, 2, 32),
    ] {
        assert_eq!(
            apply(&readable, &Command::Claim, &by(&stranger)),
            Err(Refusal::NotAllowed)
        );
    }
    let cancel = Command::Cancel {
        reason: "twice".to_owned(),
    };
    assert_eq!(
        apply(&readable, &cancel, &by(&reader())),
        Err(Refusal::NotAllowed)
    );
    assert_eq!(
        apply(&readable, &cancel, &by(&person(Role::Referrer, 3, 33))),
        Err(Refusal::NotAllowed)
    );
    let acknowledge = Command::Acknowledge {
        version: 1,
        action: ActionTaken::Treat,
    };
    let done = request(State::Final);
    for stranger in [
        reader(),
        person(Role::Technologist, 1, 34),
        person(Role::Referrer, 2, 35),
    ] {
        assert_eq!(
            apply(&done, &acknowledge, &by(&stranger)),
            Err(Refusal::NotAllowed)
        );
    }
    assert_eq!(
        apply(&done, &Command::LateImages, &by(&referrer())),
        Err(Refusal::NotAllowed)
    );
    let claim = Command::Claim;
    assert_eq!(
        apply(&readable, &claim, &context(Actor::Relay, 0)),
        Err(Refusal::NotAllowed)
    );
}

#[test]
fn an_older_version_cannot_be_acknowledged() {
    let mut done = request(State::Final);
    done.report_version = 2;
    let acknowledge = |version| Command::Acknowledge {
        version,
        action: ActionTaken::Transfer,
    };
    assert_eq!(
        apply(&done, &acknowledge(1), &by(&referrer())),
        Err(Refusal::NotNewestVersion)
    );
    let (closed, _) = apply(&done, &acknowledge(2), &by(&referrer())).expect("newest");
    assert!(!closed.state.name().is_open());
    let empty = Command::Return {
        reason: " ".to_owned(),
    };
    let held = request(State::Claimed(claim_of(&reader())));
    assert_eq!(apply(&held, &empty, &by(&reader())), Err(Refusal::ReasonRequired));
}

proptest! {
    /// Whoever presses whatever in whatever order, versions only grow, a final report stays signed until it is
    /// corrected or added to, and it is closed only by the requesting site.
    #[test]
    fn random_commands_keep_the_invariants(steps in proptest::collection::vec((0..13usize, 0..5usize, 0..80i64), 1..60)) {
        let people = [reader(), other_reader(), referrer(), person(Role::Technologist, 1, 11), person(Role::Reader, 3, 30)];
        let mut now = request(State::Requested);
        let mut now_ms = 0;
        for (command, who, pause_ms) in steps {
            now_ms += pause_ms;
            let mut command = commands()[command].1.clone();
            if let Command::Acknowledge { version, .. } = &mut command {
                *version = now.report_version;
            }
            let actor = if action_of(&command).is_none() { Actor::Relay } else { Actor::Person(&people[who]) };
            let Ok((next, event)) = apply(&now, &command, &context(actor, now_ms)) else { continue };
            let signed = matches!(event, Event::ReportSigned { .. });
            prop_assert_eq!(next.report_version, now.report_version + u32::from(signed));
            prop_assert!(next.has_final >= now.has_final);
            if let (Some(old), Some(new)) = (now.state.claim(), next.state.claim())
                && old.reader != new.reader
            {
                prop_assert!(!old.holds(now_ms), "a live claim was taken away");
            }
            match next.state.name() {
                StateName::Final | StateName::Reopened => prop_assert!(next.has_final),
                StateName::Acknowledged => {
                    prop_assert!(next.has_final);
                    if now.state.name() != StateName::Acknowledged {
                        prop_assert!(who == 2, "acknowledged by someone else");
                    }
                }
                StateName::Cancelled | StateName::Returned => prop_assert_eq!(next.report_version, 0),
                StateName::Preliminary => prop_assert!(next.report_version > 0 && !next.has_final),
                StateName::Requested => prop_assert!(next.first_image_at_ms.is_none()),
                StateName::Readable | StateName::Claimed => {}
            }
            if now.state.name() == StateName::Cancelled {
                prop_assert_eq!(next.state.name(), StateName::Cancelled);
            }
            now = next;
        }
    }
}
