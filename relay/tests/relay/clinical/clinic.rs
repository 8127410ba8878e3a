//! A clinic that sends, a centre that reads, another clinic, and a head CT that arrives.

use std::time::Duration;

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tancho_domain::access::{Role, Scope};
use tancho_domain::dicom::{
    Priority, SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid,
};
use tancho_domain::ids::{InstanceId, NodeId, SeriesId, SiteId, StudyId};
use tancho_relay::config::Config;
use tancho_relay::events::Published;
use tancho_relay::reading::automatic::{ArrivingHead, study_arrived};
use tancho_relay::secrets::new_uuid;
use tancho_store::nodes::{self, Enrollment, NewInvitation, NodeState};
use tancho_store::sites::{NewSite, SiteKind, add_site};
use tancho_store::studies::{
    ArrivingInstance, InstanceFacts, Manifest, Origin, Relation, SeriesFacts, StudyFacts, VerifiedInstance,
    Withheld, begin_instance, record_manifest, verify_instance,
};

use crate::harness::{NOW_MS, PASSWORD, Person, TestRelay};

pub const STUDY_UID: &str = "1.2.826.0.1.3680043.10.88.1";
pub const SERIES_UID: &str = "1.2.826.0.1.3680043.10.88.1.1";
/// Words of the patient and the finding that no mail may hold.
pub const SECRETS: [&str; 8] = [
    "DOTO",
    "HANAKO",
    "道東",
    "花子",
    "TN-000417",
    "1948",
    "被殻",
    "出血",
];

/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Clinic {
    pub relay: TestRelay,
    pub scope: Scope,
    pub site: SiteId,
    pub centre: SiteId,
    pub node: NodeId,
    pub technologist: Person,
    pub referrer: Person,
    pub liaison: Person,
    pub reader: Person,
    pub second_reader: Person,
    pub stranger: Person,
    pub admin: Person,
}

impl Clinic {
    pub async fn new() -> Self {
        Self::with(Some("0153-00-0000"), |_| {}).await
    }

    /// `phone` is the number of the clinic that sends.
    pub async fn with(phone: Option<&str>, change: impl FnOnce(&mut Config)) -> Self {
        let relay = TestRelay::start_with(change).await;
        let (scope, centre) = relay.site("default", "CENTRE", SiteKind::Reading).await;
        let site = add_clinic(&relay, &scope, phone).await;
        let (_, elsewhere) = relay.site("default", "ELSEWHERE", SiteKind::Requesting).await;
        let node = NodeId::new(new_uuid());
        let clinic = Self {
            technologist: relay
                .person(&scope, &site, "technologist", Role::Technologist)
                .await,
            referrer: relay.person(&scope, &site, "referrer", Role::Referrer).await,
            liaison: relay.person(&scope, &site, "liaison", Role::Liaison).await,
            reader: relay.person(&scope, &centre, "reader", Role::Reader).await,
            second_reader: relay.person(&scope, &centre, "reader2", Role::Reader).await,
            stranger: relay.person(&scope, &elsewhere, "stranger", Role::Referrer).await,
            admin: relay.person(&scope, &centre, "admin", Role::Admin).await,
            relay,
            scope,
            site,
            centre,
            node,
        };
        clinic.relay.give_password(&clinic.reader).await;
        clinic.enrol_node().await;
        clinic
    }

    async fn enrol_node(&self) {
        let mut tx = self.relay.app().db.write().await.unwrap();
        let secret = "ab".repeat(32);
        let invitation = NewInvitation {
            id: "invitation",
            site_id: &self.site,
            secret_sha256: &secret,
            expires_at_ms: NOW_MS + 1,
        };
        nodes::create_invitation(&mut tx, &self.scope, &invitation, NOW_MS)
            .await
            .unwrap();
        let enrollment = Enrollment {
            secret_sha256: &secret,
            public_key_sha256: &"cd".repeat(32),
            new_node_id: &self.node,
            state: NodeState::Active,
        };
        nodes::redeem_invitation(&mut tx, &enrollment, NOW_MS)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    pub fn origin(&self) -> Origin {
        Origin {
            network_id: self.scope.network_id.clone(),
            site_id: self.site.clone(),
            node_id: self.node.clone(),
        }
    }

    pub fn instance_uid(n: u8) -> String {
        format!("{SERIES_UID}.{n}")
    }

    /// One instance arrives whole, by the title `called_ae`; the rules are asked as the ingest asks them.
    pub async fn arrive(&self, n: u8, called_ae: &str) {
        let app = self.relay.app();
        let now_ms = app.now_ms();
        let mut tx = app.db.write().await.unwrap();
        let study = StudyFacts {
            patient_id: "TN-000417".to_owned(),
            patient_name_alphabetic: "DOTO^HANAKO".to_owned(),
            patient_name_ideographic: "道東^花子".to_owned(),
            patient_birth_date: Some("19480305".to_owned()),
            patient_sex: Some("F".to_owned()),
            study_date: Some("20260123".to_owned()),
            study_time: Some("021405".to_owned()),
            ..StudyFacts::default()
        };
        let series = SeriesFacts {
            modality: "CT".to_owned(),
            ..SeriesFacts::default()
        };
        let instance = InstanceFacts {
            sop_instance_uid: SopInstanceUid::parse(&Self::instance_uid(n)).unwrap(),
            sop_class_uid: SopClassUid::parse("1.2.840.10008.5.1.4.1.1.2").unwrap(),
            transfer_syntax_uid: TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap(),
            container_sha256: format!("{n:02x}").repeat(32),
            container_len: 100,
            original_sha256: format!("{:02x}", n + 100).repeat(32),
            original_len: 200,
            calling_ae: "CT1".to_owned(),
            called_ae: called_ae.to_owned(),
            instance_number: Some(i64::from(n)),
            number_of_frames: 1,
            frame_rows: Some(512),
            frame_columns: Some(512),
            warnings: String::new(),
            sent_received_at_ms: now_ms,
        };
        let study_uid = StudyInstanceUid::parse(STUDY_UID).unwrap();
        let arriving = ArrivingInstance {
            study_instance_uid: &study_uid,
            series_instance_uid: &SeriesInstanceUid::parse(SERIES_UID).unwrap(),
            priority: Priority::Routine,
            study: &study,
            series: &series,
            instance: &instance,
            new_ids: (
                StudyId::new(new_uuid()),
                SeriesId::new(new_uuid()),
                InstanceId::new(new_uuid()),
            ),
        };
        let origin = self.origin();
        let arrived = begin_instance(&mut tx, &origin, &arriving, now_ms).await.unwrap();
        let head = ArrivingHead {
            network_id: &origin.network_id,
            site_id: &origin.site_id,
            study_id: &arrived.study_id,
            study_instance_uid: &study_uid,
            instance_is_new: arrived.instance_is_new,
            priority: Priority::Routine,
            calling_ae: "CT1",
            called_ae,
            modality: "CT",
            body_part: None,
        };
        let events = study_arrived(app, &mut tx, &head, now_ms).await.unwrap();
        let verified = VerifiedInstance {
            instance_id: &arrived.instance_id,
            relation: Relation::First,
        };
        verify_instance(&mut tx, &origin, &verified, now_ms)
            .await
            .unwrap();
        let manifest = Manifest {
            study_instance_uid: &study_uid,
            priority: Priority::Routine,
            closed: true,
            n_instances: i64::from(n),
            bytes_original: 200 * i64::from(n),
            generation: i64::from(n),
            withheld: &Withheld::default(),
        };
        record_manifest(&mut tx, &origin, &manifest, now_ms)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        events.into_iter().for_each(|event| app.events.publish(event));
    }

    /// A stat study of two images has opened a request; gives its address.
    pub async fn stat_request(&self) -> String {
        self.arrive(1, "TANCHO_STAT").await;
        self.arrive(2, "TANCHO_STAT").await;
        let list = self.get(&self.reader, "/api/v1/reading-requests").await;
        assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list}");
        format!(
            "/api/v1/reading-requests/{}",
            list["items"][0]["id"].as_str().unwrap()
        )
    }

    /// The request above, claimed by the reader.
    pub async fn claimed_request(&self) -> String {
        let path = self.stat_request().await;
        self.post(&self.reader, &format!("{path}/claim"), &json!({}))
            .await;
        path
    }

    /// Saves a text of this criticality over whatever is there; gives the answer.
    pub async fn save_draft(&self, path: &str, criticality: &str) -> Value {
        let base = self.get(&self.reader, path).await["draft"]["version"].clone();
        let form = json!({ "base_version": base, "body": report_body(criticality) });
        self.send(&self.reader, Method::PUT, &format!("{path}/draft"), &form)
            .await
    }

    /// Tries to sign the stored draft.
    pub async fn try_sign(&self, path: &str, status: &str) -> Response {
        let version = self.get(&self.reader, path).await["draft"]["version"].clone();
        let form = json!({ "status": status, "draft_version": version, "password": PASSWORD });
        self.try_send(&self.reader, Method::POST, &format!("{path}/sign"), &form)
            .await
    }

    /// What is said, saved over the record as it is on the relay.
    pub async fn try_save_conversation(&self, person: &Person, call: &Value, said: &Value) -> Response {
        let path = format!("/api/v1/calls/{}/conversation", call["id"].as_str().unwrap());
        let form = json!({ "base_version": call["version"], "conversation": said });
        self.try_send(person, Method::PUT, &path, &form).await
    }

    /// A conversation with read-back, closed; gives the call.
    pub async fn call_with_readback(&self, path: &str) -> Value {
        let form = json!({ "direction": "reader_to_referrer", "callee_role": "attending" });
        let call = self.post(&self.reader, &format!("{path}/calls"), &form).await;
        let call_path = format!("/api/v1/calls/{}", call["id"].as_str().unwrap());
        let dial =
            json!({ "number_dialed": "0153-00-1111", "channel": "landline", "callee_role": "attending" });
        self.post(&self.reader, &format!("{call_path}/attempts"), &dial)
            .await;
        let connected = json!({ "outcome": "connected" });
        let call = self
            .post(&self.reader, &format!("{call_path}/attempts/1/end"), &connected)
            .await;
        good(
            self.try_save_conversation(&self.reader, &call, &conversation())
                .await,
        )
        .await;
        self.post(&self.reader, &format!("{call_path}/close"), &json!({}))
            .await
    }

    /// A final report of this criticality is signed; gives the version.
    pub async fn signed_report(&self, path: &str, criticality: &str) -> Value {
        self.save_draft(path, criticality).await;
        if criticality == "crit_red" {
            self.call_with_readback(path).await;
        }
        good(self.try_sign(path, "final").await).await
    }

    pub async fn get(&self, person: &Person, path: &str) -> Value {
        good(self.relay.get(person, path).await).await
    }

    pub async fn post(&self, person: &Person, path: &str, form: &Value) -> Value {
        self.send(person, Method::POST, path, form).await
    }

    pub async fn send(&self, person: &Person, method: Method, path: &str, form: &Value) -> Value {
        good(self.try_send(person, method, path, form).await).await
    }

    pub async fn try_send(&self, person: &Person, method: Method, path: &str, form: &Value) -> Response {
        self.relay.write(person, method, path, form).send().await.unwrap()
    }

    /// Waits, by the live events and never by the clock, until `ready` gives something.
    pub async fn until<T>(&self, what: &str, ready: impl AsyncFn() -> Option<T>) -> T {
        let mut live = self.relay.app().events.follow(None).live;
        let waiting = async {
            loop {
                if let Some(found) = ready().await {
                    return found;
                }
                let _: std::sync::Arc<Published> = live.recv().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .unwrap_or_else(|_| panic!("in time: {what}"))
    }
}

async fn add_clinic(relay: &TestRelay, scope: &Scope, phone: Option<&str>) -> SiteId {
    let id = SiteId::new(new_uuid());
    let new = NewSite {
        id: &id,
        code: "CLINIC",
        name: "道東診療所",
        kind: SiteKind::Requesting,
        phone,
    };
    let mut tx = relay.app().db.write().await.unwrap();
    add_site(&mut tx, scope, &new, NOW_MS).await.unwrap();
    tx.commit().await.unwrap();
    id
}

/// The body of an answer that must be good.
pub async fn good(answer: Response) -> Value {
    let status = answer.status();
    let body: Value = answer.json().await.unwrap();
    assert!(status.is_success(), "{status}: {body}");
    body
}

/// The body of a refusal.
pub async fn refused(answer: Response, status: StatusCode, code: &str) -> Value {
    let found = answer.status();
    let body: Value = answer.json().await.unwrap();
    assert_eq!((found, body["code"].as_str()), (status, Some(code)), "{body}");
    body
}

pub fn report_body(criticality: &str) -> Value {
    json!({
        "image_quality": "good", "limits": ["diagnostic_monitor"],
        "finding_blocks": [{ "template": "ich@1.0.0", "in": {
            "location": ["putamen"], "side": "left", "a_mm": 50.0, "b_mm": 32.0, "c_mm": 38.0,
            "ivh": "absent", "surrounding_oedema": "mild", "expansion_signs": ["none"],
            "sah_component": "absent", "sdh_component": "absent", "secondary_cause": ["none"],
            "mass": { "mls_mm": 6.0, "mls_to": "right", "cisterns": "compressed", "herniation": ["subfalcine"],
                      "hydrocephalus": "absent" } } }],
        "findings_text": "左被殻に高吸収域を認める。", "impression_text": "左被殻出血。",
        "recommendation_text": "降圧、転院を勧める。", "criticality": criticality,
        "disposition": [{ "code": "transfer_requested", "urgency": "now", "candidate_facilities": "読影センター",
                          "mode": "ambulance", "fallback_mode": "doctor_heli" }],
        "key_images": [{ "sop_instance_uid": Clinic::instance_uid(1), "series_instance_uid": SERIES_UID, "frame": 1,
                         "caption": "血腫最大断面", "window_center": 40.0, "window_width": 80.0,
                         "annotations": [{ "kind": "length", "points": [[280.0, 220.0], [391.0, 220.0]], "mm": 49.9 }] }],
        "prior_study_uids": []
    })
}

pub fn conversation() -> Value {
    json!({
        "parties": [
            { "name": "読影 一", "facility": "読影センター", "role": "reader" },
            { "name": "北 健二", "facility": "診療所", "role": "attending", "number": "0153-00-1111" }
        ],
        "identity_confirmed": "registered_number",
        "patient_identified_by": ["name", "birth_date"],
        "state_told": { "jcs": "II-20", "sbp": 196, "dbp": 104 },
        "state_assessed_at_ms": NOW_MS - 60_000,
        "images_not_viewed_reason": "相手施設に画面なし",
        "findings_conveyed": "左被殻出血 30 mL、正中偏位 6 mm",
        "agreed_plan": "降圧 SBP 140 以下、救急車で転院",
        "readback_text": "左被殻 30、正中偏位 6、降圧、転院", "readback_ok": true
    })
}
