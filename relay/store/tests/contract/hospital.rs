//! A small network for the clinical contract tests: a requesting site with a study, another site, a reading centre.

use tancho_domain::access::{Reach, Role, Scope};
use tancho_domain::dicom::{
    Priority, SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid,
};
use tancho_domain::ids::{NetworkId, SiteId, StudyId, UserId};
use tancho_store::reading::ReadingRequest;
use tancho_store::sites::{NewSite, SiteKind, add_site};
use tancho_store::studies::{
    ArrivingInstance, InstanceFacts, Origin, SeriesFacts, StudyFacts, begin_instance,
};
use tancho_store::users::{NewUser, add_user};
use tancho_store::{Db, networks, nodes};
use uuid::Uuid;

/// The time of these tests.
pub const NOW_MS: i64 = 1_769_100_000_000;

/// A recognisable id of any kind.
pub fn id<T: TryFrom<String, Error: std::fmt::Debug>>(n: u128) -> T {
    T::try_from(Uuid::from_u128(n).hyphenated().to_string()).unwrap()
}

/// What the tests refer to.
pub struct Hospital {
    pub network_id: NetworkId,
    pub site: SiteId,
    pub other_site: SiteId,
    pub centre: SiteId,
    pub referrer: UserId,
    pub reader: UserId,
    pub study_id: StudyId,
    pub study_uid: &'static str,
}

impl Hospital {
    /// Makes it in an empty store.
    pub async fn new(db: &Db) -> Self {
        let hospital = Self {
            network_id: id(1),
            site: id(2),
            other_site: id(3),
            centre: id(4),
            referrer: id(5),
            reader: id(6),
            study_id: id(7),
            study_uid: "1.2.826.0.1.3680043.10.1",
        };
        let scope = hospital.network_scope();
        let mut tx = db.write().await.unwrap();
        networks::ensure_network(&mut tx, "hospital tests", &hospital.network_id, NOW_MS)
            .await
            .unwrap();
        for (site, code, kind) in [
            (&hospital.site, "doto", SiteKind::Requesting),
            (&hospital.other_site, "other", SiteKind::Requesting),
            (&hospital.centre, "centre", SiteKind::Reading),
        ] {
            let new = NewSite {
                id: site,
                code,
                name: code,
                kind,
                phone: None,
            };
            add_site(&mut tx, &scope, &new, NOW_MS).await.unwrap();
        }
        for (user, site, login, role) in [
            (&hospital.referrer, &hospital.site, "referrer", Role::Referrer),
            (&hospital.reader, &hospital.centre, "reader", Role::Reader),
        ] {
            let new = NewUser {
                id: user,
                site_id: site,
                login,
                name: login,
                role,
                email: None,
                phone: None,
                password_hash: None,
            };
            add_user(&mut tx, &scope, &new, NOW_MS).await.unwrap();
        }
        hospital.add_study(&mut tx).await;
        tx.commit().await.unwrap();
        hospital
    }

    async fn add_study(&self, tx: &mut tancho_store::Tx) {
        let scope = self.network_scope();
        let secret = "ab".repeat(32);
        let invitation = nodes::NewInvitation {
            id: "invitation",
            site_id: &self.site,
            secret_sha256: &secret,
            expires_at_ms: NOW_MS + 1000,
        };
        nodes::create_invitation(tx, &scope, &invitation, NOW_MS)
            .await
            .unwrap();
        let enrollment = nodes::Enrollment {
            secret_sha256: &secret,
            public_key_sha256: &"cd".repeat(32),
            new_node_id: &id(8),
            state: nodes::NodeState::Active,
        };
        nodes::redeem_invitation(tx, &enrollment, NOW_MS).await.unwrap();
        let origin = Origin {
            network_id: self.network_id.clone(),
            site_id: self.site.clone(),
            node_id: id(8),
        };
        let study = StudyFacts {
            patient_id: "TN-1".to_owned(),
            patient_name_alphabetic: "DOTO^HANAKO".to_owned(),
            patient_name_ideographic: "道東^花子".to_owned(),
            patient_name_phonetic: "ドウトウ^ハナコ".to_owned(),
            study_date: Some("20260112".to_owned()),
            accession_number: Some("A-1".to_owned()),
            ..StudyFacts::default()
        };
        let instance = InstanceFacts {
            sop_instance_uid: SopInstanceUid::parse("1.2.826.0.1.3680043.10.1.1.1").unwrap(),
            sop_class_uid: SopClassUid::parse("1.2.840.10008.5.1.4.1.1.2").unwrap(),
            transfer_syntax_uid: TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap(),
            container_sha256: "11".repeat(32),
            container_len: 100,
            original_sha256: "22".repeat(32),
            original_len: 200,
            calling_ae: "CT1".to_owned(),
            called_ae: "TANCHO".to_owned(),
            instance_number: Some(1),
            number_of_frames: 1,
            frame_rows: Some(512),
            frame_columns: Some(512),
            warnings: String::new(),
            sent_received_at_ms: NOW_MS,
        };
        let arriving = ArrivingInstance {
            study_instance_uid: &StudyInstanceUid::parse(self.study_uid).unwrap(),
            series_instance_uid: &SeriesInstanceUid::parse("1.2.826.0.1.3680043.10.1.1").unwrap(),
            priority: Priority::Stat,
            study: &study,
            series: &SeriesFacts {
                modality: "CT".to_owned(),
                ..SeriesFacts::default()
            },
            instance: &instance,
            new_ids: (self.study_id.clone(), id(9), id(10)),
        };
        begin_instance(tx, &origin, &arriving, NOW_MS).await.unwrap();
    }

    /// The whole network.
    pub fn network_scope(&self) -> Scope {
        Scope {
            network_id: self.network_id.clone(),
            reach: Reach::Network,
        }
    }

    /// One site of it.
    pub fn scope_of(&self, site: &SiteId) -> Scope {
        Scope {
            network_id: self.network_id.clone(),
            reach: Reach::Site(site.clone()),
        }
    }
}

/// A request of the site about its study, at version 1.
pub fn request(hospital: &Hospital, n: u128, case_code: &str) -> ReadingRequest {
    ReadingRequest {
        id: id(0x1000 + n),
        network_id: hospital.network_id.clone(),
        requesting_site_id: hospital.site.clone(),
        reading_site_id: hospital.centre.clone(),
        study_id: Some(hospital.study_id.as_str().to_owned()),
        study_instance_uid: hospital.study_uid.to_owned(),
        version: 1,
        case_code: case_code.to_owned(),
        case_code_until_ms: None,
        state: "readable".to_owned(),
        urgency: "critical".to_owned(),
        origin: "rule".to_owned(),
        requested_at_ms: NOW_MS,
        requested_by_id: None,
        clinical_context: "{}".to_owned(),
        context_completed_at_ms: None,
        callback_number: None,
        callback_person: None,
        responsible_physician: None,
        open_by_ms: None,
        verbal_by_ms: None,
        written_by_ms: None,
        claim_reader_id: None,
        claimed_at_ms: None,
        claim_lease_until_ms: None,
        first_claimed_at_ms: None,
        reason: None,
        state_detail: "{}".to_owned(),
        criticality: None,
        report_id: None,
        report_status: None,
        report_version: None,
        signed_at_ms: None,
        acknowledged_at_ms: None,
        late_images_at_ms: None,
        closed_at_ms: None,
    }
}
