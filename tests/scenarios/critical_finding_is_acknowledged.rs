//! The clinical loop: a red finding reaches a doctor by voice, is signed, mailed without patient data, read and
//! acknowledged, and every fact is visible to the reader with name and time.

use serde_json::{Value, json};
use tancho_e2e::hospital::{Network, PASSWORD, assert_all_stored};
use tancho_e2e::people::Session;
use tancho_e2e::phantom::{Phantom, PhantomStudy};
use tancho_e2e::wait::until;

use reqwest::Method;

/// The request of a stroke pushed to the title for stat, claimed by `reader`.
struct Case {
    network: Network,
    study: PhantomStudy,
    reader: Session,
    referrer: Session,
    /// `/api/v1/reading-requests/{id}`.
    path: String,
}

impl Case {
    fn claimed(seed: &str) -> Self {
        let mut network = Network::temporary(1, true);
        let folder = tempfile::tempdir().unwrap();
        let study = Phantom::stroke(seed)
            .with_slices(4)
            .write(&folder.path().join("study"))
            .unwrap();
        let mut modality = network.node().modality();
        modality.called_ae_title = "TANCHO_STAT".to_owned();
        assert_all_stored(&modality.send(&[&study.folder]).unwrap(), 4);
        let request = network.wait_for_study(&study.study_instance_uid, 4);
        let (reader, referrer) = (network.session("reader"), network.session("referrer"));
        let path = format!("/api/v1/reading-requests/{}", request["id"].as_str().unwrap());
        until("the study is closed", || {
            (reader.get(&path).unwrap()["arrival"]["closed"] == true).then_some(())
        });
        reader.post(&format!("{path}/claim"), &json!({})).unwrap();
        Self {
            network,
            study,
            reader,
            referrer,
            path,
        }
    }

    fn complete_context(&self) {
        let detail = self.referrer.get(&self.path).unwrap();
        assert_eq!(detail["clinical_context_complete"], false);
        self.referrer
            .patch(&format!("{}/clinical-context", self.path), &clinical_context())
            .unwrap();
        let detail = self.reader.get(&self.path).unwrap();
        assert_eq!(
            detail["clinical_context_complete"], true,
            "missing: {}",
            detail["missing_context"]
        );
    }

    fn save_draft(&self) -> Value {
        let detail = self.reader.get(&self.path).unwrap();
        let base = detail["draft"]["version"].clone();
        let image = &self.study.files[self.study.files.len() / 2];
        let body = report_body(&self.study.series_instance_uid, &image.sop_instance_uid);
        self.reader
            .put(
                &format!("{}/draft", self.path),
                &json!({ "base_version": base, "body": body }),
            )
            .unwrap()
    }

    fn call_with_read_back(&self) -> Value {
        let call = self
            .reader
            .post(
                &format!("{}/calls", self.path),
                &json!({ "direction": "reader_to_referrer", "callee_role": "attending" }),
            )
            .unwrap();
        let call_path = format!("/api/v1/calls/{}", call["id"].as_str().unwrap());
        self.reader
            .post(
                &format!("{call_path}/attempts"),
                &json!({ "number_dialed": "0153-00-1111", "channel": "landline", "callee_role": "attending",
                         "callee_name": "北 健二" }),
            )
            .unwrap();
        let call = self
            .reader
            .post(
                &format!("{call_path}/attempts/1/end"),
                &json!({ "outcome": "connected" }),
            )
            .unwrap();
        self.reader
            .put(
                &format!("{call_path}/conversation"),
                &json!({ "base_version": call["version"], "conversation": conversation() }),
            )
            .unwrap();
        self.reader
            .post(&format!("{call_path}/close"), &json!({}))
            .unwrap()
    }
}

/// What the referring physician fills in: every required field of the clinical context.
fn clinical_context() -> Value {
    json!({
        "request_template": "ich", "clinical_question": "右片麻痺と意識障害。出血の有無と手術適応について。",
        "age_years": 78, "sex": "female", "onset_kind": "witnessed", "onset_dt": "2026-01-23T01:10:00+09:00",
        "door_dt": "2026-01-23T01:52:00+09:00", "scan_dt": "2026-01-23T02:14:05+09:00",
        "jcs": "II-20", "gcs_e": "2", "gcs_v": "2", "gcs_m": "5",
        "pupil_right_size_mm": 3.0, "pupil_right_light_reflex": "brisk",
        "pupil_left_size_mm": 3.0, "pupil_left_light_reflex": "brisk",
        "sbp": 196, "dbp": 104, "deficits": ["hemiparesis_right", "aphasia"],
        "antithrombotics": [{ "class": "none" }],
        "labs": { "inr": 1.0, "platelets": 210.0, "not_done": ["aptt"] },
        "local_capability": ["observation_24h"]
    })
}

fn report_body(series_instance_uid: &str, sop_instance_uid: &str) -> Value {
    json!({
        "image_quality": "good", "limits": ["diagnostic_monitor"],
        "finding_blocks": [{ "template": "ich@1.0.0", "in": {
            "location": ["putamen"], "side": "left", "a_mm": 50.0, "b_mm": 32.0, "c_mm": 38.0,
            "ivh": "absent", "surrounding_oedema": "mild", "expansion_signs": ["none"],
            "sah_component": "absent", "sdh_component": "absent", "secondary_cause": ["none"],
            "mass": { "mls_mm": 6.0, "mls_to": "right", "cisterns": "compressed", "herniation": ["subfalcine"],
                      "hydrocephalus": "absent" } } }],
        "findings_text": "左被殻に高吸収域を認める。", "impression_text": "左被殻出血。",
        "recommendation_text": "降圧、転院を勧める。", "criticality": "crit_red",
        "disposition": [{ "code": "transfer_requested", "urgency": "now", "candidate_facilities": "読影センター",
                          "mode": "ambulance", "fallback_mode": "doctor_heli" }],
        "key_images": [{ "sop_instance_uid": sop_instance_uid, "series_instance_uid": series_instance_uid, "frame": 1,
                         "caption": "血腫最大断面", "window_center": 40.0, "window_width": 80.0,
                         "annotations": [{ "kind": "length", "points": [[280.0, 220.0], [391.0, 220.0]], "mm": 49.9 }] }],
        "prior_study_uids": []
    })
}

fn conversation() -> Value {
    json!({
        "parties": [
            { "name": "読影 一", "facility": "読影センター", "role": "reader" },
            { "name": "北 健二", "facility": "道東診療所", "role": "attending", "number": "0153-00-1111" }
        ],
        "identity_confirmed": "registered_number",
        "patient_identified_by": ["name", "birth_date"],
        "state_told": { "jcs": "II-20", "sbp": 196, "dbp": 104 },
        "state_assessed_at_ms": 1_769_102_000_000_i64,
        "images_not_viewed_reason": "相手施設に画面なし",
        "findings_conveyed": "左被殻出血 30 mL、正中偏位 6 mm",
        "agreed_plan": "降圧 SBP 140 以下、救急車で転院",
        "readback_text": "左被殻 30、正中偏位 6、降圧、転院", "readback_ok": true
    })
}

#[test]
fn red_finding_travels_by_voice_and_comes_back_acknowledged() {
    let case = Case::claimed("clinical loop");
    case.complete_context();
    let saved = case.save_draft();
    let evaluation = &saved["evaluation"];
    let volume = &evaluation["blocks"][0]["calc"]["volume_ml"]["value"];
    assert_eq!(volume, &json!(30.4), "50 x 32 x 38 / 2 mm3: {evaluation}");
    assert_eq!(evaluation["can_sign"]["final"]["ok"], false);
    assert_eq!(evaluation["can_sign"]["preliminary"]["ok"], true, "{evaluation}");

    // Without a conversation that was read back, a red finding cannot be made final.
    let sign = |status: &str| {
        let version = case.reader.get(&case.path).unwrap()["draft"]["version"].clone();
        let body = json!({ "status": status, "draft_version": version, "password": PASSWORD });
        case.reader
            .try_send(Method::POST, &format!("{}/sign", case.path), &body)
            .unwrap()
    };
    let refused = sign("final");
    assert!(refused.status.is_client_error(), "{}", refused.body);
    let blocker = evaluation["can_sign"]["final"]["blockers"][0]["code"]
        .as_str()
        .unwrap();
    assert!(
        blocker.contains("read_back") || blocker.contains("readback") || blocker.contains("call"),
        "{blocker}"
    );

    let call = case.call_with_read_back();
    assert_eq!(call["state"], "closed");
    let signed = sign("final");
    assert_eq!(signed.status, 201, "{}", signed.body);
    let report_id = signed.body["report_id"].as_str().unwrap().to_owned();
    assert_eq!(signed.body["version"], 1);
    assert_eq!(signed.body["images_at_signing"]["verified"], 4);

    // The mail names the case by its code and nothing else of the patient.
    let mail = until("the mail to the referring physician", || {
        let messages = case.network.mail.as_ref().unwrap().messages();
        messages
            .into_iter()
            .find(|mail| mail["to"][0] == "referrer@doto.example")
    });
    let case_code = case.reader.get(&case.path).unwrap()["case_code"]
        .as_str()
        .unwrap()
        .to_owned();
    let text = format!("{} {} {}", mail["subject"], mail["text"], mail["raw"]);
    assert!(text.contains(&case_code), "{text}");
    for secret in [
        "DOTO^HANAKO",
        "道東",
        "花子",
        "ドウトウ",
        "TN-000417",
        "19480305",
        "1948",
        "A2600117",
        "被殻",
        "出血",
    ] {
        assert!(!text.contains(secret), "the mail holds {secret}");
    }

    // Delivered, read, acknowledged: three facts with name and time.
    let notice = until("the notice in the application", || {
        let notices = case.referrer.items("/api/v1/notifications").unwrap();
        notices
            .into_iter()
            .find(|notice| notice["kind"] == "report_signed")
    });
    case.referrer
        .post(
            &format!("/api/v1/notifications/{}/read", notice["id"].as_str().unwrap()),
            &json!({}),
        )
        .unwrap();
    let report = case
        .referrer
        .get(&format!("/api/v1/reports/{report_id}"))
        .unwrap();
    let version = &report["versions"][0];
    assert_eq!(version["body"]["key_images"][0]["caption"], "血腫最大断面");
    assert_eq!(version["calls"][0], call["id"]);
    case.referrer
        .post(
            &format!("/api/v1/reports/{report_id}/acknowledgements"),
            &json!({ "version": 1, "action_taken": "transfer", "comment": "搬送手配中" }),
        )
        .unwrap();

    let seen = case.reader.get(&case.path).unwrap();
    assert!(seen["acknowledged_at_ms"].as_i64().is_some(), "{seen}");
    let notices = seen["notices"].as_array().unwrap();
    let notice = notices
        .iter()
        .find(|notice| notice["kind"] == "report_signed")
        .unwrap();
    for fact in ["delivered_at_ms", "read_at_ms", "acknowledged_at_ms"] {
        assert!(notice[fact].as_i64().is_some(), "{fact}: {notice}");
    }
    assert_eq!(notice["recipient"]["name"], "北 健二");
}

#[test]
fn a_signed_version_never_changes() {
    let case = Case::claimed("immutable");
    case.complete_context();
    case.save_draft();
    case.call_with_read_back();
    let version = case.reader.get(&case.path).unwrap()["draft"]["version"].clone();
    let body = json!({ "status": "final", "draft_version": version, "password": PASSWORD });
    let signed = case.reader.post(&format!("{}/sign", case.path), &body).unwrap();
    let report_path = format!("/api/v1/reports/{}", signed["report_id"].as_str().unwrap());

    case.reader
        .post(
            &format!("{report_path}/addenda"),
            &json!({ "text": "計測値を訂正する。", "password": PASSWORD }),
        )
        .unwrap();
    let report = case.reader.get(&report_path).unwrap();
    let versions = report["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 2);
    let first = versions.iter().find(|version| version["version"] == 1).unwrap();
    assert_eq!(
        first["body"], signed["body"],
        "the signed text is as it was signed"
    );
    assert_eq!(first["signed_at_ms"], signed["signed_at_ms"]);
    let second = versions.iter().find(|version| version["version"] == 2).unwrap();
    assert_eq!(second["text_of_addendum"], "計測値を訂正する。");
}
