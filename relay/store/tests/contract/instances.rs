//! Studies, series and instances read back on both databases.

use tancho_domain::access::{Reach, Scope};
use tancho_domain::dicom::{SeriesInstanceUid, SopInstanceUid, StudyInstanceUid};
use tancho_store::instances::{self, StudyKey};
use tancho_store::reading;
use tancho_store::studies::{Origin, Relation, VerifiedInstance, verify_instance};
use tancho_store::{Db, StoreError};

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
            let listed = instances::list_studies(&mut tx, scope, None, 10, 0).await.unwrap().len();
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
        let other = StudyInstanceUid::parse("1.2.3").unwrap();
        assert!(instances::list_studies(&mut tx, &scope, Some(&other), 10, 0).await.unwrap().is_empty());
        assert!(instances::list_studies(&mut tx, &scope, None, 10, 1).await.unwrap().is_empty());
        assert_eq!(instances::list_series(&mut tx, &scope, study, None).await.unwrap()[0].n_verified, 0);
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
        let blobs = instances::list_expected_blobs(&mut tx, None, 10).await.unwrap();
        assert_eq!((blobs.len(), blobs[0].container_sha256.as_str()), (1, digest.as_str()));
        let after = instances::list_expected_blobs(&mut tx, Some(&blobs[0].instance_id), 10).await.unwrap();
        assert!(after.is_empty());
        let versions = instances::list_versions(&mut tx, &scope, &sop_uid).await.unwrap();
        assert_eq!((versions[0].site_code.as_str(), versions[0].revision), ("doto", 1));
        assert_eq!(versions[0].verified_at_ms, Some(NOW_MS + 1));
    }
}
