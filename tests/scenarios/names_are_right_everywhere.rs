//! A name looks the same at the scanner's node, in the worklist and to other programs; what is not certain says so;
//! and a patient is found by every way of writing the name.

use std::path::Path;

use serde_json::{Value, json};
use tancho_e2e::hospital::{Network, assert_all_stored};
use tancho_e2e::people::Session;
use tancho_e2e::phantom::PhantomStudy;
use tancho_e2e::phantom::names::{self, Named};

fn groups(name: &Value) -> [&str; 3] {
    ["alphabetic", "ideographic", "phonetic"].map(|group| name[group].as_str().unwrap_or_default())
}

/// Groups of a DICOM JSON name.
fn model_groups(model: &Value) -> [&str; 3] {
    let name = &model["00100010"]["Value"][0];
    ["Alphabetic", "Ideographic", "Phonetic"].map(|group| name[group].as_str().unwrap_or_default())
}

/// The answers to other programs: they have no place for a mark, so an uncertain text is not passed off as a certain
/// one.
fn assert_models(reader: &Session, named: &Named, study: &PhantomStudy) {
    let uid = &study.study_instance_uid;
    let found = reader
        .search(&format!("/dicom-web/studies?StudyInstanceUID={uid}"))
        .unwrap();
    let metadata = reader
        .search(&format!("/dicom-web/studies/{uid}/metadata"))
        .unwrap();
    for model in [&found[0], &metadata[0]] {
        if named.is_uncertain {
            let text = model["00100010"].to_string();
            assert!(text.contains('\u{FFFD}'), "{text}");
            for kanji in ['鈴', '知'] {
                assert!(!text.contains(kanji), "{text}");
            }
        } else {
            assert_eq!(model_groups(model), named.groups);
            assert_eq!(model["00081030"]["Value"][0], named.description);
        }
    }
}

#[test]
fn flt_014_names_are_right_everywhere_and_found_by_every_writing() {
    let mut network = Network::small();
    let folder = tempfile::tempdir().unwrap();
    let names = names::studies();
    let studies: Vec<PhantomStudy> = names
        .iter()
        .map(|named| {
            let folder = folder.path().join(&named.phantom.patient_id);
            named.phantom.write(&folder).unwrap()
        })
        .collect();
    let mut modality = network.node().modality();
    modality.called_ae_title = "TANCHO_STAT".to_owned();
    modality.raw = true;
    let files: Vec<&Path> = studies.iter().map(|study| study.folder.as_path()).collect();
    assert_all_stored(&modality.send(&files).unwrap(), names.len());

    let reader = network.session("reader");
    for (named, study) in names.iter().zip(&studies) {
        let request = network.wait_for_study(&study.study_instance_uid, 1);
        let patient = &request["patient"];
        assert_eq!(groups(&patient["name"]), named.groups);
        assert_eq!(patient["name_uncertain"], named.is_uncertain, "{patient}");
        assert_eq!(patient["birth_date_era"], named.era);
        assert_eq!(request["study"]["description"], named.description);
        let uncertain = |code: &str| request["warnings"].as_array().unwrap().contains(&json!(code));
        assert_eq!(uncertain("name_uncertain"), named.is_uncertain);
        let has_uncertain_text = named.description == "表示ソフト";
        assert_eq!(uncertain("text_uncertain"), has_uncertain_text);
        assert_eq!(request["study"]["description_uncertain"], has_uncertain_text);
        assert_models(&reader, named, study);
        network.assert_byte_exact(study);
    }

    let node = Session::anonymous(&network.node().url()).unwrap();
    let state = node.get("/api/state").unwrap();
    for named in &names {
        let shown = state["studies"].as_array().unwrap().iter();
        let mut shown = shown.filter(|study| study["patient_id"] == named.phantom.patient_id);
        let study = shown.next().unwrap();
        assert_eq!(groups(&study["patient_name"]), named.groups);
        assert_eq!(study["name_uncertain"], named.is_uncertain);
        assert_eq!(study["birth_date_era"], named.era);
    }
    let mut declared: Vec<(&str, Option<u64>)> = state["uncertain_texts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["declared"].as_str().unwrap(), one["n_studies"].as_u64()))
        .collect();
    declared.sort_unstable();
    assert_eq!(declared, [("", Some(1)), ("ISO_IR 100", Some(1))]);

    let found = |text: &str| -> Vec<String> {
        let list = reader
            .post("/api/v1/reading-requests/search", &json!({ "q": text }))
            .unwrap();
        let mut found: Vec<String> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["patient"]["patient_id"].as_str().unwrap().to_owned())
            .collect();
        found.sort_unstable();
        found
    };
    for text in [
        "山田",
        "山田 太郎",
        "やまだ",
        "ヤマダ",
        "ﾔﾏﾀﾞ",
        "YAMADA TARO",
        "Yamada^Tarou",
        "yamada tarō",
    ] {
        assert_eq!(found(text), ["NM-1", "NM-2"], "{text}");
    }
    for (text, id) in [
        ("高橋", "NM-3"),
        ("takahasi", "NM-3"),
        ("すずき", "NM-4"),
        ("鈴木", "NM-4"),
        ("知床", "NM-5"),
        ("홍길동", "NM-6"),
        ("nm-6", "NM-6"),
    ] {
        assert_eq!(found(text), [id], "{text}");
    }
    assert_eq!(found("佐藤"), [""; 0]);

    // What was searched for is in no log.
    let logs = [network.relay.log(), network.node().log()];
    for log in logs {
        let text = std::fs::read_to_string(&log).unwrap();
        for secret in ["山田", "YAMADA", "yamada", "鈴木", "NM-4", "知床"] {
            assert!(!text.contains(secret), "{secret} in {}", log.display());
        }
    }
}
