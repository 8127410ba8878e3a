//! Studies as they arrive, on both databases.

use std::sync::LazyLock;

use tancho_domain::access::{Reach, Scope};
use tancho_domain::dicom::{
    Priority, SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid,
};
use tancho_domain::ids::{InstanceId, NodeId, SeriesId, StudyId};
use tancho_store::instances::StudyFilter;
use tancho_store::nodes::{self, Enrollment, NewInvitation, NodeState};
use tancho_store::sites::SiteKind;
use tancho_store::studies::{
    self, ArrivedInstance, ArrivingInstance, InstanceFacts, InstanceState, Manifest, Origin, Relation,
    SeriesFacts, StudyArrival, StudyFacts, UncertainElements, VerifiedInstance, Withheld, WithholdingStudy,
};
use tancho_store::{Db, StoreError, Tx, instances, reading};

use crate::harness::{NOW_MS, network, site, uuid, whole};

async fn origin(tx: &mut Tx, network_name: &str, site_code: &str) -> Origin {
    let network = network(tx, network_name).await;
    let site = site(tx, &network, site_code, SiteKind::Requesting).await;
    let (id, secret) = (uuid().to_string(), uuid().to_string());
    let new = NewInvitation {
        id: &id,
        site_id: &site.id,
        secret_sha256: &secret,
        expires_at_ms: NOW_MS + 1,
    };
    nodes::create_invitation(tx, &whole(&network), &new, NOW_MS)
        .await
        .unwrap();
    let node_id = NodeId::new(uuid());
    let enrollment = Enrollment {
        secret_sha256: &secret,
        public_key_sha256: "k",
        new_node_id: &node_id,
        state: NodeState::Active,
    };
    let node = nodes::redeem_invitation(tx, &enrollment, NOW_MS).await.unwrap();
    Origin {
        network_id: network.id,
        site_id: site.id,
        node_id: node.id,
    }
}

fn study_uid() -> StudyInstanceUid {
    StudyInstanceUid::parse("1.2.3").unwrap()
}

fn patient(id: &str) -> StudyFacts {
    StudyFacts {
        patient_id: id.to_owned(),
        patient_name_alphabetic: "DOTO^HANAKO".to_owned(),
        patient_birth_date: Some("19400101".to_owned()),
        ..StudyFacts::default()
    }
}

/// The head of `container`, an object with SOP Instance UID `1.9.<sop>`.
async fn arrive(
    tx: &mut Tx,
    origin: &Origin,
    patient: &StudyFacts,
    sop: u32,
    container: &str,
) -> ArrivedInstance {
    let series = SeriesInstanceUid::parse("1.2.3.4").unwrap();
    let facts = SeriesFacts {
        modality: "CT".to_owned(),
        ..SeriesFacts::default()
    };
    arrive_in(tx, origin, patient, (sop, container), (&series, &facts)).await
}

async fn arrive_in(
    tx: &mut Tx,
    origin: &Origin,
    patient: &StudyFacts,
    (sop, container): (u32, &str),
    (series_instance_uid, series): (&SeriesInstanceUid, &SeriesFacts),
) -> ArrivedInstance {
    let instance = InstanceFacts {
        sop_instance_uid: SopInstanceUid::parse(&format!("1.9.{sop}")).unwrap(),
        sop_class_uid: SopClassUid::parse("1.2.840.10008.5.1.4.1.1.2").unwrap(),
        transfer_syntax_uid: TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap(),
        container_sha256: container.to_owned(),
        container_len: 10,
        original_sha256: format!("original of {container}"),
        original_len: 100,
        calling_ae: "CT1".to_owned(),
        called_ae: "TANCHO".to_owned(),
        instance_number: Some(i64::from(sop)),
        number_of_frames: 1,
        frame_rows: Some(512),
        frame_columns: Some(512),
        warnings: String::new(),
        sent_received_at_ms: NOW_MS,
    };
    let arriving = ArrivingInstance {
        study_instance_uid: &study_uid(),
        series_instance_uid,
        priority: Priority::Routine,
        study: patient,
        series,
        instance: &instance,
        new_ids: (
            StudyId::new(uuid()),
            SeriesId::new(uuid()),
            InstanceId::new(uuid()),
        ),
    };
    studies::begin_instance(tx, origin, &arriving, NOW_MS)
        .await
        .unwrap()
}

async fn verify(tx: &mut Tx, origin: &Origin, id: &InstanceId, relation: Relation) -> Result<(), StoreError> {
    let verified = VerifiedInstance {
        instance_id: id,
        relation,
    };
    studies::verify_instance(tx, origin, &verified, NOW_MS + 10).await
}

async fn arrival(tx: &mut Tx, origin: &Origin) -> StudyArrival {
    studies::get_study_arrival(tx, origin, &study_uid())
        .await
        .unwrap()
}

static NONE_WITHHELD: LazyLock<Withheld> = LazyLock::new(Withheld::default);

fn manifest(uid: &StudyInstanceUid, n_instances: i64, closed: bool, generation: i64) -> Manifest<'_> {
    Manifest {
        study_instance_uid: uid,
        priority: Priority::Stat,
        closed,
        n_instances,
        bytes_original: n_instances * 100,
        generation,
        withheld: &NONE_WITHHELD,
    }
}

on_both_databases! {
    async fn a_study_fills_from_its_heads_and_counts_what_is_whole(db: &Db) {
        let mut tx = db.write().await.unwrap();
        let origin = origin(&mut tx, "default", "S1").await;
        let missing = studies::get_study_arrival(&mut tx, &origin, &study_uid()).await;
        assert!(matches!(missing, Err(StoreError::NotFound)));
        let first = arrive(&mut tx, &origin, &patient("P1"), 1, "c1").await;
        assert!(first.study_is_new && first.instance_is_new && first.revision == 1 && !first.held);
        let second = arrive(&mut tx, &origin, &patient("P1"), 2, "c2").await;
        assert!(!second.study_is_new && second.study_id == first.study_id);
        let again = arrive(&mut tx, &origin, &patient("P1"), 1, "c1").await;
        assert_eq!((again.instance_id, again.instance_is_new), (first.instance_id.clone(), false));
        let counts = arrival(&mut tx, &origin).await;
        assert_eq!((counts.n_received, counts.n_verified), (2, 0));
        let known = studies::find_by_container(&mut tx, &origin, "c1").await.unwrap().unwrap();
        assert_eq!((known.state, known.verified_at_ms), (InstanceState::Arriving, None));

        verify(&mut tx, &origin, &first.instance_id, Relation::First).await.unwrap();
        let twice = verify(&mut tx, &origin, &first.instance_id, Relation::First).await;
        assert!(matches!(twice, Err(StoreError::Stale)));
        let counts = arrival(&mut tx, &origin).await;
        assert_eq!((counts.n_received, counts.n_verified, counts.conflict_at_ms), (2, 1, None));
        let known = studies::find_by_container(&mut tx, &origin, "c1").await.unwrap().unwrap();
        assert_eq!((known.state, known.verified_at_ms), (InstanceState::Verified, Some(NOW_MS + 10)));
        let found = studies::find_instance_of_site(&mut tx, &origin.site_id, "c1").await.unwrap();
        assert_eq!(found, Some((origin.network_id.clone(), Some(NOW_MS + 10))));
        let uid = studies::get_study_uid(&mut tx, &origin, first.study_id.as_str()).await.unwrap();
        assert_eq!(uid, study_uid());
        let progress =
            studies::get_study_progress(&mut tx, &origin.network_id, &first.study_id).await.unwrap();
        assert_eq!((progress.arrival, progress.sites), (counts, vec![origin.site_id.clone()]));
    }

    /// FLT-006: one UID from two sites makes two unrelated objects.
    async fn flt_006_two_sites_never_share_a_study(db: &Db) {
        let mut tx = db.write().await.unwrap();
        let (a, b) = (origin(&mut tx, "default", "A").await, origin(&mut tx, "default", "B").await);
        let c = origin(&mut tx, "other network", "A").await;
        let mut ids = Vec::new();
        for origin in [&a, &b, &c] {
            let arrived = arrive(&mut tx, origin, &patient("P1"), 1, "c1").await;
            assert_eq!(arrived.revision, 1);
            ids.push(arrived.study_id);
        }
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 3);
        let foreign = studies::find_by_container(&mut tx, &a, "c1").await.unwrap().unwrap();
        let refused = verify(&mut tx, &b, &foreign.id, Relation::First).await;
        assert!(matches!(refused, Err(StoreError::Stale)));
        assert!(studies::get_study_uid(&mut tx, &b, foreign.study_id.as_str()).await.is_err());
    }

    async fn what_stays_at_the_site_is_known_with_its_reasons(db: &Db) {
        let mut tx = db.write().await.unwrap();
        let origin = origin(&mut tx, "default", "S1").await;
        let uid = study_uid();
        let withheld = Withheld::new(vec![("patient_differs".to_owned(), 2), ("unusable".to_owned(), 1)]);
        let kept_back = Manifest { withheld: &withheld, ..manifest(&uid, 1, true, 1) };
        assert_eq!(studies::record_manifest(&mut tx, &origin, &kept_back, NOW_MS).await.unwrap(), None);
        let scope = Scope { network_id: origin.network_id.clone(), reach: Reach::Network };
        let listed = studies::list_withholding_studies(&mut tx, &scope).await.unwrap();
        let about = |study: &WithholdingStudy| (study.site_code.clone(), study.withheld.clone(), study.n_verified);
        assert_eq!(listed.iter().map(about).collect::<Vec<_>>(), [("S1".to_owned(), withheld.clone(), 0)]);
        let id = arrive(&mut tx, &origin, &patient("P1"), 1, "c1").await.study_id;
        assert_eq!(arrival(&mut tx, &origin).await.withheld, withheld, "the manifest came before the first head");
        assert_eq!(withheld.n_instances(), 3);
        let again = studies::record_manifest(&mut tx, &origin, &kept_back, NOW_MS).await.unwrap();
        assert_eq!(again, None, "nothing new");
        let study = reading::get_study_of_request(&mut tx, &origin.network_id, &id).await.unwrap();
        assert_eq!(study.withheld, withheld);
        let key = instances::StudyKey::Id(id.clone());
        assert_eq!(instances::get_study(&mut tx, &scope, &key).await.unwrap().withheld, withheld);
        let other = self::origin(&mut tx, "default", "S2").await;
        for (reach, n_listed) in [(origin.site_id.clone(), 1), (other.site_id, 0)] {
            let scope = Scope { network_id: origin.network_id.clone(), reach: Reach::Site(reach) };
            let listed = studies::list_withholding_studies(&mut tx, &scope).await.unwrap();
            assert_eq!(listed.len(), n_listed, "{scope:?}");
        }
        let released = manifest(&uid, 1, true, 1);
        assert_eq!(studies::record_manifest(&mut tx, &origin, &released, NOW_MS).await.unwrap(), Some(id));
        assert!(arrival(&mut tx, &origin).await.withheld.reasons().is_empty());
        assert!(studies::list_withholding_studies(&mut tx, &scope).await.unwrap().is_empty());
    }

    async fn an_original_is_found_whatever_its_container(db: &Db) {
        let mut tx = db.write().await.unwrap();
        let origin = origin(&mut tx, "default", "S1").await;
        let other = self::origin(&mut tx, "default", "S2").await;
        let first = arrive(&mut tx, &origin, &patient("P1"), 1, "c1").await;
        let uid = |n: u32| SopInstanceUid::parse(&format!("1.9.{n}")).unwrap();
        let original = "original of c1";
        assert!(studies::find_by_original(&mut tx, &origin, &uid(1), original).await.unwrap().is_none(), "not whole");
        verify(&mut tx, &origin, &first.instance_id, Relation::First).await.unwrap();
        let known = studies::find_by_original(&mut tx, &origin, &uid(1), original).await.unwrap().unwrap();
        assert_eq!((known.id, known.container_sha256.as_str()), (first.instance_id, "c1"));
        for (origin, uid, original) in
            [(&origin, uid(2), original), (&origin, uid(1), "another"), (&other, uid(1), original)]
        {
            assert!(studies::find_by_original(&mut tx, origin, &uid, original).await.unwrap().is_none());
        }
    }

    async fn the_containers_of_a_series_come_in_the_order_of_their_heads(db: &Db) {
        let mut tx = db.write().await.unwrap();
        let origin = origin(&mut tx, "default", "S1").await;
        let first = arrive(&mut tx, &origin, &patient("P1"), 1, "c1").await;
        arrive(&mut tx, &origin, &patient("P1"), 1, "c2").await;
        arrive(&mut tx, &origin, &patient("P2"), 2, "c3").await;
        verify(&mut tx, &origin, &first.instance_id, Relation::First).await.unwrap();
        let other = self::origin(&mut tx, "default", "S2").await;
        arrive(&mut tx, &other, &patient("P1"), 1, "c4").await;
        let series = |uid| SeriesInstanceUid::parse(uid).unwrap();
        let (mine, none) = (series("1.2.3.4"), series("1.2.3.5"));
        let study = study_uid();
        let mut listed = studies::list_containers_of_series(&mut tx, &origin, (&study, &mine), 10).await.unwrap();
        listed.sort();
        assert_eq!(listed, ["c1", "c2", "c3"]);
        let one = studies::list_containers_of_series(&mut tx, &origin, (&study, &mine), 1).await.unwrap();
        assert_eq!(one.len(), 1);
        let of_none = studies::list_containers_of_series(&mut tx, &origin, (&study, &none), 10).await.unwrap();
        assert!(of_none.is_empty());
    }

    /// FLT-005: other bytes under one SOP Instance UID are kept beside the first, and the study is marked.
    async fn flt_005_other_bytes_are_another_revision(db: &Db) {
        let mut tx = db.write().await.unwrap();
        let origin = origin(&mut tx, "default", "S1").await;
        let first = arrive(&mut tx, &origin, &patient("P1"), 1, "c1").await;
        let uid = SopInstanceUid::parse("1.9.1").unwrap();
        assert!(studies::find_first_revision(&mut tx, &origin, &uid).await.unwrap().is_none(), "not whole yet");
        verify(&mut tx, &origin, &first.instance_id, Relation::First).await.unwrap();
        let reencoded = arrive(&mut tx, &origin, &patient("P1"), 1, "c2").await;
        let other = arrive(&mut tx, &origin, &patient("P1"), 1, "c3").await;
        assert_eq!((reencoded.revision, other.revision), (2, 3));
        let known = studies::find_first_revision(&mut tx, &origin, &uid).await.unwrap().unwrap();
        assert_eq!(known.container_sha256, "c1");
        verify(&mut tx, &origin, &reencoded.instance_id, Relation::Reencoding).await.unwrap();
        assert_eq!(arrival(&mut tx, &origin).await.conflict_at_ms, None);
        verify(&mut tx, &origin, &other.instance_id, Relation::Conflict).await.unwrap();
        let counts = arrival(&mut tx, &origin).await;
        assert_eq!((counts.n_received, counts.n_verified, counts.conflict_at_ms), (1, 1, Some(NOW_MS + 10)));
    }

    /// Which texts are uncertain is kept with the study they are of, and with the series.
    async fn uncertain_texts_are_remembered(db: &Db) {
        let mut tx = db.write().await.unwrap();
        let origin = origin(&mut tx, "default", "doto").await;
        let patient = StudyFacts { uncertain_elements: "00081030,00100010".to_owned(), ..patient("P1") };
        let arrived = arrive(&mut tx, &origin, &patient, 1, "aa").await;
        let scope = Scope { network_id: origin.network_id.clone(), reach: Reach::Network };
        let study = instances::get_study(&mut tx, &scope, &instances::StudyKey::Id(arrived.study_id.clone())).await.unwrap();
        let marks = |elements: &UncertainElements| {
            [UncertainElements::PATIENT_NAME, UncertainElements::STUDY_DESCRIPTION, UncertainElements::PATIENT_ID]
                .map(|element| elements.holds(element))
        };
        assert_eq!(marks(&study.uncertain_elements), [true, true, false]);
        assert!(study.uncertain_elements.holds_other_than_name());
        let name_only = UncertainElements::from("00100010".to_owned());
        assert!(!name_only.holds_other_than_name() && !UncertainElements::default().holds_other_than_name());
        let series = instances::list_series(&mut tx, &scope, &arrived.study_id, None).await.unwrap();
        assert!(!series[0].uncertain_elements.holds(UncertainElements::SERIES_DESCRIPTION));
    }

    /// FLT-005: another patient under one study is held aside, visible as a mark only.
    async fn flt_005_another_patient_is_held_aside(db: &Db) {
        let mut tx = db.write().await.unwrap();
        let origin = origin(&mut tx, "default", "S1").await;
        arrive(&mut tx, &origin, &patient("P1"), 1, "c1").await;
        let without_date = StudyFacts { patient_birth_date: None, ..patient("P1") };
        assert!(!arrive(&mut tx, &origin, &without_date, 2, "c2").await.held, "an absent date says nothing");
        let other_date = StudyFacts { patient_birth_date: Some("19410101".to_owned()), ..patient("P1") };
        assert!(arrive(&mut tx, &origin, &other_date, 3, "c3").await.held);
        let held = arrive(&mut tx, &origin, &patient("P2"), 4, "c4").await;
        assert!(held.held);
        verify(&mut tx, &origin, &held.instance_id, Relation::First).await.unwrap();
        let known = studies::find_by_container(&mut tx, &origin, "c4").await.unwrap().unwrap();
        assert_eq!((known.state, known.verified_at_ms), (InstanceState::Held, Some(NOW_MS + 10)));
        let counts = arrival(&mut tx, &origin).await;
        assert_eq!((counts.n_received, counts.n_verified, counts.held_at_ms), (2, 0, Some(NOW_MS)));
    }

    /// FLT-005: a series of which every instance is held aside shows neither itself nor its modality.
    async fn a_series_of_another_patient_is_not_shown(db: &Db) {
        let mut tx = db.write().await.unwrap();
        let origin = origin(&mut tx, "default", "S1").await;
        let arrived = arrive(&mut tx, &origin, &patient("P1"), 1, "d1").await;
        let other_series = SeriesInstanceUid::parse("1.2.3.5").unwrap();
        let facts = SeriesFacts { modality: "MR".to_owned(), ..SeriesFacts::default() };
        assert!(arrive_in(&mut tx, &origin, &patient("P2"), (2, "d2"), (&other_series, &facts)).await.held);
        let scope = Scope { network_id: origin.network_id.clone(), reach: Reach::Network };
        let of_study = &arrived.study_id;
        let series = instances::list_series(&mut tx, &scope, of_study, None).await.unwrap();
        let uids: Vec<&str> = series.iter().map(|series| series.series_instance_uid.as_str()).collect();
        assert_eq!(uids, ["1.2.3.4"]);
        assert!(instances::list_series(&mut tx, &scope, of_study, Some(&other_series)).await.unwrap().is_empty());
        assert_eq!(instances::list_modalities(&mut tx, &scope, of_study).await.unwrap(), ["CT"]);
        let listed = async |tx: &mut Tx, uid| {
            let filter = StudyFilter { series_instance_uids: Some(uid), ..StudyFilter::default() };
            instances::list_studies(tx, &scope, &filter, 10, 0).await.unwrap()
        };
        assert_eq!(listed(&mut tx, "1.2.3.4").await[0].n_series, 1);
        assert!(listed(&mut tx, "1.2.3.5").await.is_empty());
    }

    /// INV-3: a Study Instance UID alone does not make two heads one patient's.
    async fn heads_without_a_patient_id_are_held_when_name_or_sex_differ(db: &Db) {
        let mut tx = db.write().await.unwrap();
        let origin = origin(&mut tx, "default", "S1").await;
        let unknown = StudyFacts { patient_sex: Some("F".to_owned()), patient_birth_date: None, ..patient("") };
        arrive(&mut tx, &origin, &unknown, 1, "c1").await;
        let other_name = StudyFacts { patient_name_alphabetic: "DOTO^TARO".to_owned(), ..unknown.clone() };
        assert!(arrive(&mut tx, &origin, &other_name, 2, "c2").await.held);
        let no_name = StudyFacts { patient_name_alphabetic: String::new(), ..unknown.clone() };
        assert!(arrive(&mut tx, &origin, &no_name, 3, "c3").await.held);
        let other_sex = StudyFacts { patient_sex: Some("M".to_owned()), ..unknown.clone() };
        assert!(arrive(&mut tx, &origin, &other_sex, 4, "c4").await.held);
        let padded = StudyFacts {
            patient_name_alphabetic: "DOTO^HANAKO^^".to_owned(),
            patient_name_ideographic: "道東^花子".to_owned(),
            patient_sex: None,
            ..unknown.clone()
        };
        assert!(!arrive(&mut tx, &origin, &padded, 5, "c5").await.held, "the same name with one more group");
        assert_eq!(arrival(&mut tx, &origin).await.n_received, 2);
    }

    /// What the first head left out is taken from the first one that has it, so that a third one is compared with it.
    async fn a_patient_is_known_by_the_first_head_that_says_so(db: &Db) {
        let mut tx = db.write().await.unwrap();
        let origin = origin(&mut tx, "default", "S1").await;
        let bare = StudyFacts { patient_birth_date: None, ..patient("P1") };
        arrive(&mut tx, &origin, &bare, 1, "c1").await;
        let full = StudyFacts { issuer_of_patient_id: Some("A".to_owned()), ..patient("P1") };
        assert!(!arrive(&mut tx, &origin, &full, 2, "c2").await.held);
        let other_date = StudyFacts { patient_birth_date: Some("19410101".to_owned()), ..patient("P1") };
        assert!(arrive(&mut tx, &origin, &other_date, 3, "c3").await.held);
        let other_issuer = StudyFacts { issuer_of_patient_id: Some("B".to_owned()), ..bare.clone() };
        assert!(arrive(&mut tx, &origin, &other_issuer, 4, "c4").await.held);
        assert!(!arrive(&mut tx, &origin, &bare, 5, "c5").await.held);
    }

    async fn a_manifest_may_come_before_the_first_head_and_an_old_one_changes_nothing(db: &Db) {
        let mut tx = db.write().await.unwrap();
        let origin = origin(&mut tx, "default", "S1").await;
        let uid = study_uid();
        let record = async |tx: &mut Tx, manifest: Manifest<'_>, at_ms| {
            studies::record_manifest(tx, &origin, &manifest, at_ms).await.unwrap()
        };
        assert_eq!(record(&mut tx, manifest(&uid, 3, false, 1), NOW_MS).await, None, "no study yet");
        let first = arrive(&mut tx, &origin, &patient("P1"), 1, "c1").await;
        assert_eq!(arrival(&mut tx, &origin).await.announced_instances, Some(3));
        let id = Some(first.study_id);
        assert_eq!(record(&mut tx, manifest(&uid, 3, true, 1), NOW_MS + 1).await, id);
        assert_eq!(record(&mut tx, manifest(&uid, 3, true, 1), NOW_MS + 2).await, None, "the same again");
        assert_eq!(arrival(&mut tx, &origin).await.closed_at_ms, Some(NOW_MS + 1));
        assert_eq!(record(&mut tx, manifest(&uid, 4, false, 2), NOW_MS + 3).await, id, "a late instance reopens");
        assert_eq!(arrival(&mut tx, &origin).await.closed_at_ms, None);
        assert_eq!(record(&mut tx, manifest(&uid, 3, true, 1), NOW_MS + 4).await, None, "old news");
        assert_eq!(record(&mut tx, manifest(&uid, 4, true, 2), NOW_MS + 5).await, id);
        assert_eq!(record(&mut tx, manifest(&uid, 5, true, 2), NOW_MS + 6).await, id);
        let counts = arrival(&mut tx, &origin).await;
        assert_eq!((counts.announced_instances, counts.announced_generation), (Some(5), 2));
        assert_eq!(counts.closed_at_ms, Some(NOW_MS + 5), "closed since the first time it was said");
    }

    async fn late_images_of_a_study_the_site_has_forgotten_do_not_make_it_complete(db: &Db) {
        let mut tx = db.write().await.unwrap();
        let origin = origin(&mut tx, "default", "S1").await;
        let uid = study_uid();
        for n in 1..=3 {
            let id = arrive(&mut tx, &origin, &patient("P1"), n, &format!("c{n}")).await.instance_id;
            verify(&mut tx, &origin, &id, Relation::First).await.unwrap();
        }
        studies::record_manifest(&mut tx, &origin, &manifest(&uid, 3, true, 1), NOW_MS).await.unwrap();
        assert_eq!(arrival(&mut tx, &origin).await.announced_instances, Some(3));
        // The agent deleted the study after its retention; then one more slice came to it.
        let late = manifest(&uid, 1, true, NOW_MS);
        assert!(studies::record_manifest(&mut tx, &origin, &late, NOW_MS + 1).await.unwrap().is_some());
        let counts = arrival(&mut tx, &origin).await;
        assert_eq!((counts.announced_instances, counts.announced_generation), (None, NOW_MS));
        assert_eq!((counts.n_received, counts.n_verified), (3, 3));
        // The whole study was sent again.
        let again = manifest(&uid, 4, true, NOW_MS);
        studies::record_manifest(&mut tx, &origin, &again, NOW_MS + 2).await.unwrap();
        assert_eq!(arrival(&mut tx, &origin).await.announced_instances, Some(4));
    }

    /// What has a receipt is shown, whatever becomes of the head that came first.
    async fn a_whole_revision_takes_the_place_of_a_first_one_that_is_not_shown(db: &Db) {
        let mut tx = db.write().await.unwrap();
        let origin = origin(&mut tx, "default", "S1").await;
        let cut = arrive(&mut tx, &origin, &patient("P1"), 1, "cut").await;
        let whole = arrive(&mut tx, &origin, &patient("P1"), 1, "whole").await;
        verify(&mut tx, &origin, &whole.instance_id, Relation::Conflict).await.unwrap();
        let standing = async |tx: &mut Tx, container: &str| {
            let known = studies::find_by_container(tx, &origin, container).await.unwrap().unwrap();
            (known.revision, known.state)
        };
        assert_eq!(standing(&mut tx, "whole").await, (1, InstanceState::Verified));
        assert_eq!(standing(&mut tx, "cut").await, (2, InstanceState::Arriving));
        let counts = arrival(&mut tx, &origin).await;
        assert_eq!((counts.n_received, counts.n_verified, counts.conflict_at_ms), (1, 1, None));
        let scope = Scope { network_id: origin.network_id.clone(), reach: Reach::Network };
        let digests = reading::list_instance_digests(&mut tx, &origin.network_id, &whole.study_id).await.unwrap();
        assert_eq!(digests.len(), 1, "what is signed is bound to it");
        let shown = instances::list_instances(&mut tx, &scope, &whole.study_id, None, None).await.unwrap();
        assert_eq!((shown.len(), shown[0].container_sha256.as_str()), (1, "whole"));

        // The session that compared before the exchange says "first".
        verify(&mut tx, &origin, &cut.instance_id, Relation::First).await.unwrap();
        assert_eq!(standing(&mut tx, "cut").await, (2, InstanceState::Verified));
        let counts = arrival(&mut tx, &origin).await;
        assert_eq!((counts.n_received, counts.n_verified, counts.conflict_at_ms), (1, 1, Some(NOW_MS + 10)));

        let held = arrive(&mut tx, &origin, &patient("P2"), 2, "held").await;
        verify(&mut tx, &origin, &held.instance_id, Relation::First).await.unwrap();
        let right = arrive(&mut tx, &origin, &patient("P1"), 2, "right").await;
        verify(&mut tx, &origin, &right.instance_id, Relation::Conflict).await.unwrap();
        assert_eq!(standing(&mut tx, "right").await, (1, InstanceState::Verified));
        assert_eq!(standing(&mut tx, "held").await, (2, InstanceState::Held));
        let counts = arrival(&mut tx, &origin).await;
        assert_eq!((counts.n_received, counts.n_verified), (2, 2));
    }

    async fn a_withdrawn_head_leaves_no_trace_and_the_next_revision_takes_its_place(db: &Db) {
        let mut tx = db.write().await.unwrap();
        let origin = origin(&mut tx, "default", "S1").await;
        let first = arrive(&mut tx, &origin, &patient("P1"), 1, "c1").await;
        let second = arrive(&mut tx, &origin, &patient("P1"), 1, "c2").await;
        verify(&mut tx, &origin, &second.instance_id, Relation::Conflict).await.unwrap();
        studies::withdraw_instance(&mut tx, &origin, &first.instance_id).await.unwrap();
        let counts = arrival(&mut tx, &origin).await;
        assert_eq!((counts.n_received, counts.n_verified), (1, 1));
        let promoted = studies::find_by_container(&mut tx, &origin, "c2").await.unwrap().unwrap();
        assert_eq!((promoted.revision, promoted.state), (1, InstanceState::Verified));
        let whole = studies::withdraw_instance(&mut tx, &origin, &second.instance_id).await;
        assert!(matches!(whole, Err(StoreError::Stale)), "what is whole is never withdrawn");
        let alone = arrive(&mut tx, &origin, &patient("P1"), 7, "c7").await;
        studies::withdraw_instance(&mut tx, &origin, &alone.instance_id).await.unwrap();
        assert_eq!(arrival(&mut tx, &origin).await.n_received, 1);
    }
}
