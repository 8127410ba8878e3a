//! Studies, series and instances read back on both databases.

use tancho_domain::access::{Reach, Scope};
use tancho_domain::dicom::{SeriesInstanceUid, SopInstanceUid};
use tancho_domain::search_key::search_words;
use tancho_store::instances::{self, StudyFilter, StudyKey};
use tancho_store::reading;
use tancho_store::studies::{Origin, Relation, VerifiedInstance, verify_instance};
use tancho_store::{Db, StoreError, Tx};

use crate::hospital::{Hospital, NOW_MS, id, request};

const SOP_UID: &str = "1.2.826.0.1.3680043.10.1.1.1";
const SERIES_UID: &str = "1.2.826.0.1.3680043.10.1.1";

on_both_databases! {
    /// A study is seen by its site at once, by a reading centre once it is asked, and by nobody else.
    async fn studies_are_within_reach_of_sender_and_reader_only(db: &Db) {
        let hospital = Hospital::new(db).await;
        let key = StudyKey::parse(hospital.study_uid).unwrap();
        let by_id = StudyKey::parse(hospital.study_id.as_str()).unwrap();
        let seen = async |scope: &Scope| {
            let mut tx = db.read().await.unwrap();
            let found = instances::get_study(&mut tx, scope, &key).await;
            let listed = instances::list_studies(&mut tx, scope, &StudyFilter::default(), 10, 0).await.unwrap().len();
            let series = instances::list_series(&mut tx, scope, &hospital.study_id, None).await.unwrap().len();
            let all = instances::list_instances(&mut tx, scope, &hospital.study_id, None, None).await.unwrap().len();
            let sop_uid = SopInstanceUid::parse(SOP_UID).unwrap();
            let versions = instances::list_versions(&mut tx, scope, &sop_uid).await.unwrap().len();
            let modalities = instances::list_modalities(&mut tx, scope, &hospital.study_id).await.unwrap().len();
            let counts = [listed, series, all, versions, modalities];
            match found {
                Ok(study) => {
                    assert_eq!(study, instances::get_study(&mut tx, scope, &by_id).await.unwrap());
                    assert_eq!(study.patient_name_ideographic, "道東^花子");
                    assert_eq!(counts, [1; 5]);
                    true
                }
                Err(StoreError::NotFound) => {
                    assert!(matches!(
                        instances::get_study(&mut tx, scope, &by_id).await,
                        Err(StoreError::NotFound)
                    ));
                    assert_eq!(counts, [0; 5]);
                    false
                }
                Err(other) => panic!("{other}"),
            }
        };
        assert!(seen(&hospital.network_scope()).await);
        assert!(seen(&hospital.scope_of(&hospital.site)).await);
        assert!(!seen(&hospital.scope_of(&hospital.centre)).await);
        let mut tx = db.write().await.unwrap();
        let new = request(&hospital, 1, "4711");
        reading::open_reading_request(&mut tx, &hospital.network_scope(), &new).await.unwrap();
        tx.commit().await.unwrap();
        assert!(seen(&hospital.scope_of(&hospital.centre)).await);
        assert!(!seen(&hospital.scope_of(&hospital.other_site)).await);
        assert!(!seen(&Scope { network_id: id(99), reach: Reach::Network }).await);
    }

    /// Filters narrow, and an instance counts as verified, and its blob as expected, only after its commit.
    async fn instances_are_found_by_uid_and_counted_when_verified(db: &Db) {
        let hospital = Hospital::new(db).await;
        let scope = hospital.network_scope();
        let study = &hospital.study_id;
        let (series_uid, sop_uid) =
            (SeriesInstanceUid::parse(SERIES_UID).unwrap(), SopInstanceUid::parse(SOP_UID).unwrap());
        let digest = "11".repeat(32);
        let mut tx = db.read().await.unwrap();
        let found = instances::list_instances(&mut tx, &scope, study, Some(&series_uid), Some(&sop_uid)).await.unwrap();
        assert_eq!((found.len(), found[0].is_verified(), found[0].modality.as_str()), (1, false, "CT"));
        assert_eq!(found[0].container_sha256, digest);
        let other = SopInstanceUid::parse("1.2.3").unwrap();
        assert!(instances::list_instances(&mut tx, &scope, study, None, Some(&other)).await.unwrap().is_empty());
        let other = SeriesInstanceUid::parse("1.2.3").unwrap();
        assert!(instances::list_series(&mut tx, &scope, study, Some(&other)).await.unwrap().is_empty());
        assert!(instances::list_studies(&mut tx, &scope, &StudyFilter::default(), 10, 1).await.unwrap().is_empty());
        assert_eq!(instances::list_series(&mut tx, &scope, study, None).await.unwrap()[0].n_verified, 0);
        assert!(instances::list_first_instances(&mut tx, &scope, study, None).await.unwrap().is_empty());
        assert!(instances::list_expected_blobs(&mut tx, None, 10).await.unwrap().is_empty());
        assert!(instances::is_blob_expected(&mut tx, &hospital.network_id, &digest).await.unwrap());
        assert!(!instances::is_blob_expected(&mut tx, &id(99), &digest).await.unwrap());
        drop(tx);

        let origin =
            Origin { network_id: hospital.network_id.clone(), site_id: hospital.site.clone(), node_id: id(8) };
        let mut tx = db.write().await.unwrap();
        let verified = VerifiedInstance { instance_id: &found[0].id, relation: Relation::First };
        verify_instance(&mut tx, &origin, &verified, NOW_MS + 1).await.unwrap();
        tx.commit().await.unwrap();

        let mut tx = db.read().await.unwrap();
        assert_eq!(instances::list_series(&mut tx, &scope, study, None).await.unwrap()[0].n_verified, 1);
        let first = instances::list_first_instances(&mut tx, &scope, study, Some(&series_uid)).await.unwrap();
        assert_eq!((first.len(), first[0].sop_instance_uid.as_str()), (1, SOP_UID));
        assert!(instances::list_first_instances(&mut tx, &scope, study, Some(&other)).await.unwrap().is_empty());
        let outside = hospital.scope_of(&hospital.other_site);
        assert!(instances::list_first_instances(&mut tx, &outside, study, None).await.unwrap().is_empty());
        let blobs = instances::list_expected_blobs(&mut tx, None, 10).await.unwrap();
        assert_eq!((blobs.len(), blobs[0].container_sha256.as_str()), (1, digest.as_str()));
        let after = instances::list_expected_blobs(&mut tx, Some(&blobs[0].instance_id), 10).await.unwrap();
        assert!(after.is_empty());
        let versions = instances::list_versions(&mut tx, &scope, &sop_uid).await.unwrap();
        assert_eq!((versions[0].site_code.as_str(), versions[0].revision), ("doto", 1));
        assert_eq!(versions[0].verified_at_ms, Some(NOW_MS + 1));
    }

    /// Every part of a filter narrows by itself.
    async fn studies_are_found_by_what_the_filter_says(db: &Db) {
        let hospital = Hospital::new(db).await;
        let scope = hospital.network_scope();
        let mut tx = db.read().await.unwrap();
        let everything = StudyFilter::default();
        let study = instances::list_studies(&mut tx, &scope, &everything, 10, 0).await.unwrap().remove(0);
        assert_eq!((study.n_series, study.study_date.as_deref()), (1, Some("20260112")));
        let uid = study.study_instance_uid.clone();
        let (uids, other_uids) = (format!("1.2.3,{uid}"), format!("{uid}0,1.2.3"));
        let (patient_id, accession_number) = (study.patient_id.clone(), study.accession_number.clone().unwrap());
        let (found, missing) = (search_words("どうとう はなこ"), search_words("山田"));
        let series = [format!("{SERIES_UID},1.2"), "1.2".to_owned()];
        let instance = [format!("1.2,{SOP_UID}"), "1.2".to_owned()];
        for (filter, is_found) in [
            (StudyFilter { study_instance_uids: Some(&uids), ..everything.clone() }, true),
            (StudyFilter { study_instance_uids: Some(&other_uids), ..everything.clone() }, false),
            (StudyFilter { series_instance_uids: Some(&series[0]), ..everything.clone() }, true),
            (StudyFilter { series_instance_uids: Some(&series[1]), ..everything.clone() }, false),
            (StudyFilter { sop_instance_uids: Some(&instance[0]), ..everything.clone() }, true),
            (StudyFilter { sop_instance_uids: Some(&instance[1]), ..everything.clone() }, false),
            (StudyFilter { patient_id: Some(&patient_id), ..everything.clone() }, true),
            (StudyFilter { patient_id: Some("0"), ..everything.clone() }, false),
            (StudyFilter { accession_number: Some(&accession_number), ..everything.clone() }, true),
            (StudyFilter { accession_number: Some("0"), ..everything.clone() }, false),
            (StudyFilter { study_date_from: Some("20260112"), ..everything.clone() }, true),
            (StudyFilter { study_date_from: Some("20260113"), ..everything.clone() }, false),
            (StudyFilter { study_date_to: Some("20260112"), ..everything.clone() }, true),
            (StudyFilter { study_date_to: Some("20260111"), ..everything.clone() }, false),
            (StudyFilter { words: &found, ..everything.clone() }, true),
            (StudyFilter { words: &missing, ..everything.clone() }, false),
        ] {
            let listed = instances::list_studies(&mut tx, &scope, &filter, 10, 0).await.unwrap();
            assert_eq!(listed.len(), usize::from(is_found), "{filter:?}");
            let count = instances::count_studies(&mut tx, &scope, &filter).await.unwrap();
            assert_eq!(count, i64::from(is_found), "{filter:?}");
        }
        let hundred: Vec<String> = (0..99).map(|n| format!("1.2.{n}")).chain([uid.clone()]).collect();
        let hundred = hundred.join(",");
        let filter = StudyFilter { study_instance_uids: Some(&hundred), ..everything.clone() };
        assert_eq!(instances::count_studies(&mut tx, &scope, &filter).await.unwrap(), 1);
        let outside = hospital.scope_of(&hospital.other_site);
        assert_eq!(instances::count_studies(&mut tx, &outside, &filter).await.unwrap(), 0);
    }

    /// A search that names a study, a series or an instance goes to it by an index and walks no other study.
    async fn a_search_by_uid_alone_walks_no_studies(db: &Db) {
        let hospital = Hospital::new(db).await;
        let scope = hospital.network_scope();
        let everything = StudyFilter::default();
        make_many(db).await;
        for (filter, index) in [
            (StudyFilter { study_instance_uids: Some("1.2,1.3"), ..everything.clone() }, "studies_by_uid"),
            (StudyFilter { series_instance_uids: Some(SERIES_UID), ..everything.clone() }, "series_by_uid"),
            (StudyFilter { series_instance_uids: Some("1.2,1.3"), ..everything.clone() }, "series_by_uid"),
            (StudyFilter { sop_instance_uids: Some(SOP_UID), ..everything.clone() }, "instances_by_sop"),
        ] {
            let mut tx = db.read().await.unwrap();
            let steps = instances::explain_list_studies(&mut tx, &scope, &filter).await.unwrap();
            let plan = steps.join("\n");
            assert!(plan.contains(index), "{filter:?}:\n{plan}");
            let walks = ["SCAN s ", "studies_by_arrival", "Seq Scan on studies s"];
            let is_walk = |step: &String| step.trim() == "SCAN s" || walks.iter().any(|walk| step.contains(walk));
            assert!(!steps.iter().any(is_walk), "{filter:?}:\n{plan}");
        }
        // The check itself: without a UID the studies are walked, in order of arrival.
        let mut tx = db.read().await.unwrap();
        let steps = instances::explain_list_studies(&mut tx, &scope, &everything).await.unwrap().join("\n");
        assert!(["studies_by_arrival", "Seq Scan on studies"].iter().any(|walk| steps.contains(walk)), "{steps}");
    }
}

/// PostgreSQL chooses by numbers: of a table with few rows it reads all. SQLite goes by the indexes alone.
async fn make_many(db: &Db) {
    let mut tx = db.write().await.unwrap();
    if let Tx::Postgres(tx) = &mut tx {
        for (table, changed) in [
            ("studies", "'id', 'x' || n, 'study_instance_uid', '2.25.' || n"),
            (
                "series",
                "'id', 'y' || n, 'study_id', 'x' || n, 'series_instance_uid', '2.26.' || n",
            ),
            (
                "instances",
                "'id', 'z' || n, 'study_id', 'x' || n, 'series_id', 'y' || n, 'sop_instance_uid', '2.27.' || n, \
                 'container_sha256', 'c' || n",
            ),
        ] {
            let copy = format!(
                "insert into {table} select (jsonb_populate_record(null::{table}, first.row || jsonb_build_object({changed}))).* \
                 from (select to_jsonb(t) as row from {table} t limit 1) first, generate_series(1, 200) n"
            );
            sqlx::query(sqlx::AssertSqlSafe(copy))
                .execute(&mut **tx)
                .await
                .unwrap();
        }
        sqlx::query("analyze").execute(&mut **tx).await.unwrap();
        // As if there were a million of each, which it would take minutes to make.
        let many =
            "update pg_class set reltuples = 1000000 where relname in ('studies', 'series', 'instances')";
        sqlx::query(many).execute(&mut **tx).await.unwrap();
    }
    tx.commit().await.unwrap();
}
