//! One of everything in a network: sites, a node, a study with an instance, a reading request, a call, a report, a
//! notice; stored directly, for tests of who may reach them.

use tancho_domain::access::{Role, Scope};
use tancho_domain::dicom::{
    Priority, SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid,
};
use tancho_domain::ids::{
    CallId, NodeId, NotificationId, ReadingRequestId, ReportId, ReportVersionId, SiteId, StudyId, UserId,
};
use tancho_relay::secrets::new_uuid;
use tancho_store::Tx;
use tancho_store::calls::{self, Call};
use tancho_store::nodes::{self, Enrollment, NewInvitation, NodeState};
use tancho_store::notifications::{self, NewNotification};
use tancho_store::reading::{self, ReadingRequest};
use tancho_store::reports::{self, ReportVersion};
use tancho_store::sites::SiteKind;
use tancho_store::studies::{
    ArrivingInstance, InstanceFacts, Origin, SeriesFacts, StudyFacts, begin_instance,
};

use super::{NOW_MS, Person, TestRelay};

pub const STUDY_UID: &str = "1.2.826.0.1.3680043.10.77.1";
pub const SERIES_UID: &str = "1.2.826.0.1.3680043.10.77.1.1";
pub const INSTANCE_UID: &str = "1.2.826.0.1.3680043.10.77.1.1.1";
/// In the patient's fields; must never reach anyone who may not see the study.
pub const PATIENT_CANARY: &str = "CANARY^HANAKO";

/// What was computed from an empty text, as a signed version keeps it.
const EVALUATION: &str = r#"{"blocks":[],"problems":[],"can_sign":{"preliminary":{"ok":true,"blockers":[]},
    "final":{"ok":true,"blockers":[]}},"narrative":{"ja":"","en":""}}"#;
/// What had arrived when it was signed.
const IMAGES: &str =
    r#"{"received":1,"announced":1,"verified":1,"closed":true,"instance_sha256_digest":"00"}"#;

/// A network with one of everything.
pub struct Hospital {
    pub scope: Scope,
    pub clinic: SiteId,
    pub centre: SiteId,
    pub user_id: UserId,
    pub node_id: NodeId,
    pub study_id: StudyId,
    pub request_id: ReadingRequestId,
    pub call_id: CallId,
    pub report_id: ReportId,
    pub notification_id: NotificationId,
    /// One person of each role, where that role works.
    pub staff: Vec<(Role, Person)>,
    /// One person of each role at a site that has nothing to do with the study.
    pub strangers: Vec<(Role, Person)>,
}

impl Hospital {
    pub async fn new(relay: &TestRelay) -> Self {
        let (scope, clinic) = relay.site("default", "CLINIC", SiteKind::Requesting).await;
        let (_, centre) = relay.site("default", "CENTRE", SiteKind::Reading).await;
        let (_, elsewhere) = relay.site("default", "ELSEWHERE", SiteKind::Both).await;
        let (mut staff, mut strangers) = (Vec::new(), Vec::new());
        for role in Role::ALL {
            let at = if role == Role::Reader { &centre } else { &clinic };
            staff.push((role, relay.person(&scope, at, role.as_str(), role).await));
            let login = format!("{}-elsewhere", role.as_str());
            strangers.push((role, relay.person(&scope, &elsewhere, &login, role).await));
        }
        let of = |wanted: Role| {
            staff
                .iter()
                .find(|(role, _)| *role == wanted)
                .map(|(_, person)| person.id.clone())
        };
        let (reader, referrer) = (of(Role::Reader).unwrap(), of(Role::Referrer).unwrap());
        let hospital = Self {
            user_id: referrer.clone(),
            node_id: NodeId::new(new_uuid()),
            study_id: StudyId::new(new_uuid()),
            request_id: ReadingRequestId::new(new_uuid()),
            call_id: CallId::new(new_uuid()),
            report_id: ReportId::new(new_uuid()),
            notification_id: NotificationId::new(new_uuid()),
            scope,
            clinic,
            centre,
            staff,
            strangers,
        };
        let mut tx = relay.app().db.write().await.unwrap();
        hospital.add_study(&mut tx).await;
        hospital.add_clinical_rows(&mut tx, &reader, &referrer).await;
        tx.commit().await.unwrap();
        hospital
    }

    async fn add_study(&self, tx: &mut Tx) {
        let secret = "ab".repeat(32);
        let invitation = NewInvitation {
            id: "invitation",
            site_id: &self.clinic,
            secret_sha256: &secret,
            expires_at_ms: NOW_MS + 1,
        };
        nodes::create_invitation(tx, &self.scope, &invitation, NOW_MS)
            .await
            .unwrap();
        let enrollment = Enrollment {
            secret_sha256: &secret,
            public_key_sha256: &"cd".repeat(32),
            new_node_id: &self.node_id,
            state: NodeState::Active,
        };
        nodes::redeem_invitation(tx, &enrollment, NOW_MS).await.unwrap();
        let origin = Origin {
            network_id: self.scope.network_id.clone(),
            site_id: self.clinic.clone(),
            node_id: self.node_id.clone(),
        };
        let study = StudyFacts {
            patient_id: "CANARY-ID".to_owned(),
            patient_name_alphabetic: PATIENT_CANARY.to_owned(),
            ..StudyFacts::default()
        };
        let instance = InstanceFacts {
            sop_instance_uid: SopInstanceUid::parse(INSTANCE_UID).unwrap(),
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
            study_instance_uid: &StudyInstanceUid::parse(STUDY_UID).unwrap(),
            series_instance_uid: &SeriesInstanceUid::parse(SERIES_UID).unwrap(),
            priority: Priority::Stat,
            study: &study,
            series: &SeriesFacts {
                modality: "CT".to_owned(),
                ..SeriesFacts::default()
            },
            instance: &instance,
            new_ids: (
                self.study_id.clone(),
                tancho_domain::ids::SeriesId::new(new_uuid()),
                tancho_domain::ids::InstanceId::new(new_uuid()),
            ),
        };
        begin_instance(tx, &origin, &arriving, NOW_MS).await.unwrap();
    }

    async fn add_clinical_rows(&self, tx: &mut Tx, reader: &UserId, referrer: &UserId) {
        reading::open_reading_request(tx, &self.scope, &self.request())
            .await
            .unwrap();
        let call = Call {
            id: self.call_id.clone(),
            reading_request_id: self.request_id.clone(),
            version: 1,
            state: "draft".to_owned(),
            direction: "reader_to_referrer".to_owned(),
            callee_role: "attending".to_owned(),
            recorded_by_id: reader.clone(),
            recorded_by_name: "reader".to_owned(),
            recorded_at_ms: NOW_MS,
            started_at_ms: NOW_MS,
            ended_at_ms: None,
            report_version_at_call: None,
            conversation: None,
            escalation: None,
            alternative_delivery: None,
            closed_at_ms: None,
        };
        calls::start_call(tx, &self.scope, &call).await.unwrap();
        let version = ReportVersion {
            id: ReportVersionId::new(new_uuid()),
            report_id: self.report_id.clone(),
            version: 1,
            status: "final".to_owned(),
            signed_at_ms: NOW_MS,
            reader_id: reader.clone(),
            reader_name: "reader".to_owned(),
            criticality: "none".to_owned(),
            body: "{}".to_owned(),
            evaluation: EVALUATION.to_owned(),
            templates: "[]".to_owned(),
            images_at_signing: IMAGES.to_owned(),
            calls: "[]".to_owned(),
            addendum_text: None,
            corrects_fields: "[]".to_owned(),
        };
        reports::add_report_version(tx, &self.scope, &self.request_id, &version)
            .await
            .unwrap();
        let notice = NewNotification {
            id: &self.notification_id,
            kind: "report_signed",
            reading_request_id: &self.request_id,
            report: Some((&self.report_id, 1)),
            case_code: "4711",
            criticality: None,
            recipient_id: referrer,
        };
        notifications::add_notification(tx, &self.scope, &notice, NOW_MS)
            .await
            .unwrap();
    }

    fn request(&self) -> ReadingRequest {
        ReadingRequest {
            id: self.request_id.clone(),
            network_id: self.scope.network_id.clone(),
            requesting_site_id: self.clinic.clone(),
            reading_site_id: self.centre.clone(),
            study_id: Some(self.study_id.as_str().to_owned()),
            study_instance_uid: STUDY_UID.to_owned(),
            version: 1,
            case_code: "4711".to_owned(),
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
}
