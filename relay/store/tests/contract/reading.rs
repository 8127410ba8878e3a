//! Reading requests, worklist and drafts on both databases.

use tancho_domain::access::{Reach, Scope};
use tancho_domain::ids::{ReadingRequestId, UserId};
use tancho_domain::search_key::search_words;
use tancho_store::reading::{self, Draft, ReadingEvent};
use tancho_store::worklist::{self, Openness, WorklistFilter};
use tancho_store::{Db, StoreError, Tx};

use crate::hospital::{Hospital, NOW_MS, id, request};

on_both_databases! {
    /// A request is found by both of its sites, by the whole network, and by nobody else.
    async fn requests_are_found_by_their_two_sites_only(db: &Db) {
        let hospital = Hospital::new(db).await;
        let new = request(&hospital, 1, "4711");
        let mut tx = db.write().await.unwrap();
        reading::open_reading_request(&mut tx, &hospital.network_scope(), &new).await.unwrap();
        tx.commit().await.unwrap();

        let mut tx = db.read().await.unwrap();
        for scope in [hospital.network_scope(), hospital.scope_of(&hospital.site), hospital.scope_of(&hospital.centre)] {
            let found = reading::get_reading_request(&mut tx, &scope, &new.id).await.unwrap();
            assert_eq!(found, new);
            assert_eq!(found.study().unwrap(), Some(hospital.study_id.clone()));
            assert_eq!((found.claim_reader().unwrap(), found.report().unwrap()), (None, None));
        }
        let foreign = hospital.scope_of(&hospital.other_site);
        let found = reading::get_reading_request(&mut tx, &foreign, &new.id).await;
        assert!(matches!(found, Err(StoreError::NotFound)));
        let elsewhere = Scope { network_id: id(99), reach: Reach::Network };
        let found = reading::get_reading_request(&mut tx, &elsewhere, &new.id).await;
        assert!(matches!(found, Err(StoreError::NotFound)));
    }

    /// A held case code, and a second open request about one study, are conflicts; closing makes room.
    async fn case_codes_and_studies_are_held_by_open_requests(db: &Db) {
        let hospital = Hospital::new(db).await;
        let scope = hospital.network_scope();
        let mut first = request(&hospital, 1, "4711");
        let mut tx = db.write().await.unwrap();
        reading::open_reading_request(&mut tx, &scope, &first).await.unwrap();
        tx.commit().await.unwrap();

        let mut same_code = request(&hospital, 2, "4711");
        same_code.study_instance_uid = "1.2.3.4".to_owned();
        same_code.study_id = None;
        let same_study = request(&hospital, 3, "4712");
        for refused in [&same_code, &same_study] {
            let mut tx = db.write().await.unwrap();
            let result = reading::open_reading_request(&mut tx, &scope, refused).await;
            assert!(matches!(result, Err(StoreError::Conflict)), "{result:?}");
        }

        let network = &hospital.network_id;
        let mut tx = db.write().await.unwrap();
        assert_eq!(reading::count_open_requests(&mut tx, network).await.unwrap(), 1);
        let uid = first.study_instance_uid.clone();
        let open = reading::find_open_request_of_study(&mut tx, network, &hospital.site, &uid).await.unwrap();
        assert_eq!(open.map(|found| found.id), Some(first.id.clone()));
        first.closed_at_ms = Some(NOW_MS + 10);
        first.state = "cancelled".to_owned();
        first.case_code_until_ms = Some(NOW_MS + 1000);
        reading::save_reading_request(&mut tx, &scope, 1, &first).await.unwrap();
        assert_eq!(reading::count_open_requests(&mut tx, network).await.unwrap(), 0);
        let held = reading::list_held_case_codes(&mut tx, network, None, NOW_MS + 999).await.unwrap();
        assert_eq!(held, ["4711"]);
        let held = reading::list_held_case_codes(&mut tx, network, None, NOW_MS + 1000).await.unwrap();
        assert!(held.is_empty());
        let none = reading::find_open_request_of_study(&mut tx, network, &hospital.site, &uid).await.unwrap();
        assert_eq!(none, None);
        let latest = reading::find_latest_request_of_study(&mut tx, network, &hospital.site, &uid).await.unwrap();
        assert_eq!(latest.map(|found| found.id), Some(first.id.clone()));
        reading::open_reading_request(&mut tx, &scope, &request(&hospital, 2, "4711")).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Whoever saves over an old version is told so, and nothing is written.
    async fn the_second_of_two_changes_is_stale(db: &Db) {
        let hospital = Hospital::new(db).await;
        let scope = hospital.scope_of(&hospital.centre);
        let mut tx = db.write().await.unwrap();
        let mut one = request(&hospital, 1, "4711");
        reading::open_reading_request(&mut tx, &hospital.network_scope(), &one).await.unwrap();
        let mut other = one.clone();
        one.state = "claimed".to_owned();
        one.claim_reader_id = Some(hospital.reader.as_str().to_owned());
        one.claimed_at_ms = Some(NOW_MS);
        one.claim_lease_until_ms = Some(NOW_MS + 100);
        assert_eq!(reading::save_reading_request(&mut tx, &scope, 1, &one).await.unwrap(), 2);
        other.state = "cancelled".to_owned();
        let late = reading::save_reading_request(&mut tx, &scope, 1, &other).await;
        assert!(matches!(late, Err(StoreError::Stale)), "{late:?}");
        let foreign = hospital.scope_of(&hospital.other_site);
        let hidden = reading::save_reading_request(&mut tx, &foreign, 2, &other).await;
        assert!(matches!(hidden, Err(StoreError::NotFound)), "{hidden:?}");

        reading::extend_claim(&mut tx, &scope, &one.id, &hospital.reader, NOW_MS + 500).await.unwrap();
        let stranger: UserId = hospital.referrer.clone();
        let not_mine = reading::extend_claim(&mut tx, &scope, &one.id, &stranger, NOW_MS + 900).await;
        assert!(matches!(not_mine, Err(StoreError::Stale)));
        let found = reading::get_reading_request(&mut tx, &scope, &one.id).await.unwrap();
        assert_eq!((found.version, found.state.as_str()), (2, "claimed"));
        assert_eq!(found.claim_lease_until_ms, Some(NOW_MS + 500));
        assert_eq!(found.claim_reader().unwrap(), Some(hospital.reader.clone()));
    }

    /// Events are numbered in order and the database refuses to change them.
    async fn events_are_numbered_and_kept(db: &Db) {
        let hospital = Hospital::new(db).await;
        let scope = hospital.network_scope();
        let mut tx = db.write().await.unwrap();
        let new = request(&hospital, 1, "4711");
        reading::open_reading_request(&mut tx, &scope, &new).await.unwrap();
        for (kind, seq) in [("opened", 1), ("claimed", 2)] {
            let event = ReadingEvent {
                seq: 0,
                kind: kind.to_owned(),
                at_ms: NOW_MS,
                actor_id: Some(hospital.reader.as_str().to_owned()),
                actor_name: Some("reader".to_owned()),
                actor_role: Some("reader".to_owned()),
                actor_site_id: Some(hospital.centre.as_str().to_owned()),
                detail: "{}".to_owned(),
            };
            assert_eq!(reading::append_reading_event(&mut tx, &scope, &new.id, &event).await.unwrap(), seq);
        }
        let own = hospital.scope_of(&hospital.site);
        let kinds = |events: Vec<ReadingEvent>| events.into_iter().map(|event| event.kind).collect::<Vec<_>>();
        let seen = reading::list_reading_events(&mut tx, &own, &new.id).await.unwrap();
        assert_eq!(kinds(seen), ["opened", "claimed"]);
        let foreign = hospital.scope_of(&hospital.other_site);
        assert!(reading::list_reading_events(&mut tx, &foreign, &new.id).await.unwrap().is_empty());
    }

    /// A draft is saved over the version its writer has seen, or not at all.
    async fn drafts_never_overwrite_what_was_not_seen(db: &Db) {
        let hospital = Hospital::new(db).await;
        let scope = hospital.scope_of(&hospital.centre);
        let mut tx = db.write().await.unwrap();
        let new = request(&hospital, 1, "4711");
        reading::open_reading_request(&mut tx, &hospital.network_scope(), &new).await.unwrap();
        assert_eq!(reading::get_draft(&mut tx, &scope, &new.id).await.unwrap(), None);
        let draft = |body: &str| Draft {
            version: 0,
            body: body.to_owned(),
            author_id: hospital.reader.clone(),
            saved_at_ms: NOW_MS,
        };
        assert_eq!(reading::save_draft(&mut tx, &scope, &new.id, 0, &draft("1")).await.unwrap(), 1);
        assert_eq!(reading::save_draft(&mut tx, &scope, &new.id, 1, &draft("2")).await.unwrap(), 2);
        for base in [0, 1, 7] {
            let stale = reading::save_draft(&mut tx, &scope, &new.id, base, &draft("3")).await;
            assert!(matches!(stale, Err(StoreError::Stale)), "{base}");
        }
        let kept = reading::get_draft(&mut tx, &scope, &new.id).await.unwrap().unwrap();
        assert_eq!((kept.version, kept.body.as_str()), (2, "2"));
        let foreign = hospital.scope_of(&hospital.other_site);
        assert_eq!(reading::get_draft(&mut tx, &foreign, &new.id).await.unwrap(), None);
        let refused = reading::save_draft(&mut tx, &foreign, &new.id, 2, &draft("4")).await;
        assert!(matches!(refused, Err(StoreError::NotFound)));
    }

    /// A row that a release without search keys has written is found after the next start.
    async fn rows_without_a_search_key_get_one(db: &Db) {
        let hospital = Hospital::new(db).await;
        let scope = hospital.network_scope();
        let mut tx = db.write().await.unwrap();
        reading::open_reading_request(&mut tx, &scope, &request(&hospital, 1, "1001")).await.unwrap();
        for text in ["update studies set search_key = null", "update sites set search_key = null"] {
            match &mut tx {
                Tx::Sqlite(tx) => sqlx::query(text).execute(&mut **tx).await.map(|_| ()).unwrap(),
                Tx::Postgres(tx) => sqlx::query(text).execute(&mut **tx).await.map(|_| ()).unwrap(),
            }
        }
        tx.commit().await.unwrap();
        let found = async |text: &str| {
            let mut tx = db.read().await.unwrap();
            let filter = WorklistFilter { words: &search_words(text), ..WorklistFilter::default() };
            worklist::list_worklist(&mut tx, &scope, &filter).await.unwrap().len()
        };
        assert_eq!((found("hanako").await, found("doto").await), (0, 0));
        db.migrate().await.unwrap();
        assert_eq!((found("hanako").await, found("doto").await), (1, 1));
    }

    /// Urgent before routine, long before short waits; filters narrow; another site sees nothing.
    async fn the_worklist_is_sorted_and_filtered(db: &Db) {
        let hospital = Hospital::new(db).await;
        let scope = hospital.network_scope();
        let mut tx = db.write().await.unwrap();
        let plan = [(1, "routine", 0, None), (2, "critical", 5, None), (3, "critical", 1, None), (4, "urgent", 0, Some(9))];
        for (n, urgency, waited, closed) in plan {
            let mut new = request(&hospital, n, &format!("100{n}"));
            new.urgency = urgency.to_owned();
            new.requested_at_ms = NOW_MS - waited;
            new.closed_at_ms = closed.map(|after| NOW_MS + after);
            if n == 3 {
                new.state = "final".to_owned();
            }
            if n != 1 {
                new.study_id = None;
                new.study_instance_uid = format!("1.2.3.{n}");
            }
            reading::open_reading_request(&mut tx, &scope, &new).await.unwrap();
        }
        tx.commit().await.unwrap();

        let mut tx = db.read().await.unwrap();
        let centre = hospital.scope_of(&hospital.centre);
        let mut codes = async |filter: WorklistFilter<'_>| -> Vec<String> {
            let items = worklist::list_worklist(&mut tx, &centre, &filter).await.unwrap();
            items.into_iter().map(|item| item.request.case_code).collect()
        };
        assert_eq!(codes(WorklistFilter::default()).await, ["1002", "1003", "1001"]);
        let all = WorklistFilter { openness: Openness::All, ..WorklistFilter::default() };
        assert_eq!(codes(all).await, ["1002", "1003", "1001", "1004"]);
        let closed = WorklistFilter { openness: Openness::Closed, ..WorklistFilter::default() };
        assert_eq!(codes(closed).await, ["1004"]);
        let reported = WorklistFilter { openness: Openness::Reported, ..WorklistFilter::default() };
        assert_eq!(codes(reported).await, ["1003", "1004"], "a final report counts before it is acknowledged");
        let mut found = async |text: &str| {
            let words = search_words(text);
            codes(WorklistFilter { words: &words, ..WorklistFilter::default() }).await
        };
        assert_eq!(found("1003").await, ["1003"]);
        for text in ["花子", "hanako", "ハナコ", "ﾊﾅｺ", "はなこ", "道東　花子", "HANAKO DOTO", "doutou hanako", "tn1", "ＴＮ－１", "tn-1 花子 doto"] {
            assert_eq!(found(text).await, ["1001"], "{text}");
        }
        assert_eq!(found("どうとう病院").await, [""; 0], "a word stands in one place");
        assert_eq!(found("花子 1003").await, [""; 0], "every word has to be found");
        assert_eq!(found("花子 太郎").await, [""; 0]);
        assert_eq!(codes(WorklistFilter { words: &[], ..WorklistFilter::default() }).await.len(), 3);
        let of_site = |code| WorklistFilter { site_code: Some(code), ..WorklistFilter::default() };
        assert_eq!(codes(of_site("doto")).await.len(), 3);
        assert!(codes(of_site("other")).await.is_empty());

        let foreign = hospital.scope_of(&hospital.other_site);
        let none = worklist::list_worklist(&mut tx, &foreign, &WorklistFilter::default()).await.unwrap();
        assert!(none.is_empty());
        let first: ReadingRequestId = id(0x1000 + 1);
        let item = worklist::get_worklist_item(&mut tx, &centre, &first).await.unwrap();
        assert_eq!((item.requesting_site_code.as_str(), item.reading_site_code.as_str()), ("doto", "centre"));
        assert_eq!(item.study.patient_name_ideographic.as_deref(), Some("道東^花子"));
        let hidden = worklist::get_worklist_item(&mut tx, &foreign, &first).await;
        assert!(matches!(hidden, Err(StoreError::NotFound)));
        let modalities = worklist::list_modalities(&mut tx, &centre, Some(&first)).await.unwrap();
        assert_eq!(modalities, [(hospital.study_id.as_str().to_owned(), "CT".to_owned())]);
        assert!(worklist::list_modalities(&mut tx, &foreign, None).await.unwrap().is_empty());
    }

    /// The study behind a request, and the digests a signature is bound to.
    async fn a_request_knows_its_study(db: &Db) {
        let hospital = Hospital::new(db).await;
        let network = &hospital.network_id;
        let mut tx = db.read().await.unwrap();
        let study = reading::find_study_of_site(&mut tx, network, &hospital.site, hospital.study_uid).await.unwrap();
        let study = study.unwrap();
        assert_eq!(study.id, hospital.study_id);
        let same = reading::get_study_of_request(&mut tx, network, &hospital.study_id).await.unwrap();
        assert_eq!(same, study);
        let none = reading::find_study_of_site(&mut tx, network, &hospital.centre, hospital.study_uid).await.unwrap();
        assert_eq!(none, None);
        let elsewhere = reading::get_study_of_request(&mut tx, &id(99), &hospital.study_id).await;
        assert!(matches!(elsewhere, Err(StoreError::NotFound)));
        let digests = reading::list_instance_digests(&mut tx, network, &hospital.study_id).await.unwrap();
        assert!(digests.is_empty(), "the only instance is still arriving");
        let uids = reading::list_instance_uids(&mut tx, network, &hospital.study_id).await.unwrap();
        assert_eq!(uids, ["1.2.826.0.1.3680043.10.1.1.1"]);
    }
}
