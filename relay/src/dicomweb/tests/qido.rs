//! Searches: every form of matching, the fields of an answer, its part, and its total.

use super::*;

/// A slice of a study, with what searches ask headers for.
struct Sent {
    study: &'static str,
    series: &'static str,
    number: u32,
    patient: (&'static str, &'static str),
    step_id: &'static str,
}

impl Sent {
    fn sop_uid(&self) -> String {
        format!("{}.{}", self.series, self.number)
    }

    fn data_set(&self) -> Vec<u8> {
        let mut writer = ElementWriter::new(&TransferSyntaxUid::parse(syntax::EXPLICIT_LITTLE).unwrap());
        let slice = CtSlice {
            study_instance_uid: self.study.to_owned(),
            series_instance_uid: self.series.to_owned(),
            sop_instance_uid: self.sop_uid(),
            instance_number: self.number,
            patient_id: self.patient.0.to_owned(),
            patient_name: self.patient.1.to_owned(),
            ..CtSlice::default()
        };
        slice.write_head(&mut writer).unwrap();
        writer.begin_sequence(Tag(0x0040, 0x0275)).begin_item();
        writer.ascii(Tag(0x0040, 0x0009), Vr::SH, self.step_id);
        writer.end_item().end_sequence();
        writer.pixels_i16(&slice.samples);
        writer.finish()
    }
}

const YAMADA: (&str, &str) = ("Y-1", "YAMADA^TARO=山田^太郎=ヤマダ^タロウ");
const SUZUKI: (&str, &str) = ("S-1", "SUZUKI^JIRO=鈴木^次郎");

/// Two studies of Yamada, the first with two series; one of Suzuki, the latest.
async fn stored(relay: &Relay) {
    for (study, series, number, patient, step_id) in [
        ("2.25.10", "2.25.10.1", 1, YAMADA, "STEP-1"),
        ("2.25.10", "2.25.10.1", 2, YAMADA, "STEP-1"),
        ("2.25.10", "2.25.10.2", 1, YAMADA, "STEP-2"),
        ("2.25.11", "2.25.11.1", 1, YAMADA, "STEP-3"),
        ("2.25.12", "2.25.12.1", 1, SUZUKI, "STEP-4"),
    ] {
        let sent = Sent {
            study,
            series,
            number,
            patient,
            step_id,
        };
        relay.store(&sent.data_set(), syntax::EXPLICIT_LITTLE, true).await;
    }
}

/// The values of an attribute over all models of an answer, in one order.
fn found(answer: &Answer, tag: &str) -> Vec<String> {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json());
    let models = answer.json();
    let values = models
        .as_array()
        .unwrap()
        .iter()
        .map(|model| &model[tag]["Value"][0]);
    let mut values: Vec<String> = values
        .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        .collect();
    values.sort();
    values
}

#[tokio::test]
async fn studies_are_found_by_every_form_of_matching() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    stored(&relay).await;
    let (all, yamada, none) = (
        &["2.25.10", "2.25.11", "2.25.12"][..],
        &["2.25.10", "2.25.11"][..],
        &[][..],
    );
    let two_series = &["2.25.10"][..];
    let suzuki = &["2.25.12"][..];
    for (query, expected) in [
        ("", all),
        ("PatientName=", all),
        ("PatientName=*", all),
        ("PatientID=Y-1", yamada),
        ("00100020=Y-1", yamada),
        ("PatientID=Y-*", yamada),
        ("PatientID=?-1", all),
        ("PatientID=Y", none),
        ("PatientName=yamada%5Etaro", yamada),
        ("PatientName=%E5%B1%B1%E7%94%B0*", yamada),
        ("PatientName=%E3%82%84%E3%81%BE%E3%81%A0", none),
        (
            "PatientName=%E3%82%84%E3%81%BE%E3%81%A0&fuzzymatching=true",
            yamada,
        ),
        ("PatientName=suzuki*&fuzzymatching=true", suzuki),
        ("PatientName=suzuki%5Etaro&fuzzymatching=true", none),
        ("StudyInstanceUID=2.25.10,2.25.12", &["2.25.10", "2.25.12"]),
        ("StudyInstanceUID=2.25.1", none),
        ("StudyDate=20260123", all),
        ("StudyDate=20260101-20260122", none),
        ("StudyDate=20260123-", all),
        ("StudyTime=02-0214", all),
        ("StudyTime=-01", none),
        ("ModalitiesInStudy=MR,CT", all),
        ("ModalitiesInStudy=MR", none),
        ("Modality=CT", all),
        ("StudyDescription=HEAD*", all),
        ("NumberOfStudyRelatedSeries=2", two_series),
        ("SeriesInstanceUID=2.25.10.2", two_series),
        ("SOPInstanceUID=2.25.12.1.1", suzuki),
        ("SOPInstanceUID=2.25.12.1.1&PatientID=Y-1", none),
        (
            "RequestAttributesSequence.ScheduledProcedureStepID=STEP-4",
            suzuki,
        ),
        ("00400275.00400009=STEP-?", all),
        ("SliceThickness=5.0", all),
        ("SliceThickness=4", none),
        ("PatientBirthDate=19500101&PatientSex=F", all),
        ("AccessionNumber=%22%22&emptyvaluematching=true", all),
        ("PatientID=Y-1%5CS-1&multiplevaluematching=true", all),
    ] {
        let answer = relay.get(&token, &format!("studies?{query}"), &[]).await;
        assert_eq!(found(&answer, "0020000D"), expected, "{query}");
        assert_eq!(
            answer.header("x-total-count"),
            expected.len().to_string(),
            "{query}"
        );
    }
}

#[tokio::test]
async fn series_and_instances_are_found_in_one_study_and_in_all() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    stored(&relay).await;
    for (path, tag, expected) in [
        (
            "series",
            "0020000E",
            &["2.25.10.1", "2.25.10.2", "2.25.11.1", "2.25.12.1"][..],
        ),
        (
            "series?PatientID=Y-1&SeriesNumber=1",
            "0020000E",
            &["2.25.10.1", "2.25.10.2", "2.25.11.1"],
        ),
        ("series?InstanceNumber=2", "0020000E", &["2.25.10.1"]),
        ("series?00400275.00400009=STEP-2", "0020000E", &["2.25.10.2"]),
        (
            "studies/2.25.10/series?Modality=CT",
            "0020000E",
            &["2.25.10.1", "2.25.10.2"],
        ),
        ("studies/2.25.10/series?Modality=MR", "0020000E", &[]),
        (
            "instances?SOPInstanceUID=2.25.10.1.2,2.25.11.1.1",
            "00080018",
            &["2.25.10.1.2", "2.25.11.1.1"],
        ),
        ("instances?PatientID=S-1", "00080018", &["2.25.12.1.1"]),
        (
            "studies/2.25.10/instances?InstanceNumber=1",
            "00080018",
            &["2.25.10.1.1", "2.25.10.2.1"],
        ),
        (
            "studies/2.25.10/instances?SeriesInstanceUID=2.25.10.1",
            "00080018",
            &["2.25.10.1.1", "2.25.10.1.2"],
        ),
        (
            "studies/2.25.10/series/2.25.10.1/instances?Rows=8",
            "00080018",
            &["2.25.10.1.1", "2.25.10.1.2"],
        ),
        (
            "studies/2.25.10/series/2.25.10.1/instances?00400275.00400009=STEP-2",
            "00080018",
            &[],
        ),
    ] {
        let answer = relay.get(&token, path, &[]).await;
        assert_eq!(found(&answer, tag), expected, "{path}");
    }
    relay
        .get(&token, "studies/2.25.10/series/2.25.11.1/instances", &[])
        .await
        .refused(StatusCode::NOT_FOUND, "not_found");
}

#[tokio::test]
async fn an_answer_has_the_fields_asked_for_and_its_part_of_the_whole() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    stored(&relay).await;
    let one = |answer: &Answer| answer.json()[0].clone();
    let plain = one(&relay.get(&token, "studies?PatientID=S-1", &[]).await);
    assert_eq!(plain["00201206"]["Value"][0], 1);
    assert_eq!(plain["00080056"]["Value"][0], "ONLINE");
    assert!(plain.get("00080070").is_none() && plain.get("00280010").is_none());
    let path = "studies?PatientID=S-1&includefield=Manufacturer,00180050";
    let more = one(&relay.get(&token, path, &[]).await);
    assert_eq!(more["00080070"]["Value"][0], "Tancho");
    assert_eq!(more["00180050"]["Value"][0], 5.0);
    let all = one(&relay
        .get(&token, "series?PatientID=S-1&includefield=all", &[])
        .await);
    assert_eq!(all["00080070"]["Value"][0], "Tancho");
    assert_eq!(all["00400275"]["Value"][0]["00400009"]["Value"][0], "STEP-4");
    let instance = one(&relay.get(&token, "instances?PatientID=S-1", &[]).await);
    assert_eq!(instance["00280100"]["Value"][0], 16);
    assert!(instance.get("00280030").is_none());
    let all = one(&relay
        .get(&token, "instances?PatientID=S-1&includefield=all", &[])
        .await);
    assert_eq!(all["00280030"]["Value"][0], 0.5);
    assert_eq!(all["00081190"]["Value"], instance["00081190"]["Value"]);
    assert!(all.get("7FE00010").is_none());

    let mut paged = Vec::new();
    for offset in 0..4 {
        let answer = relay
            .get(&token, &format!("studies?limit=1&offset={offset}"), &[])
            .await;
        assert_eq!(answer.header("x-total-count"), "3");
        assert_eq!(answer.header("warning"), "");
        paged.extend(found(&answer, "0020000D"));
    }
    paged.sort();
    assert_eq!(paged, ["2.25.10", "2.25.11", "2.25.12"]);
    let part = relay
        .get(&token, "instances?PatientID=Y-1&limit=2&offset=1", &[])
        .await;
    assert_eq!(found(&part, "00080018").len(), 2);
    assert_eq!(part.header("x-total-count"), "4");
}

#[tokio::test]
async fn pages_and_totals_agree_however_the_studies_are_found() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    stored(&relay).await;
    for (query, total) in [
        ("", 3),
        ("PatientID=Y-1", 2),
        ("PatientID=&PatientID=Y-1", 2),
        ("StudyDate=20260123", 3),
        ("StudyInstanceUID=2.25.11,2.25.12", 2),
        ("PatientID=Y-*", 2),
        ("00400275.00400009=STEP-*", 3),
    ] {
        let mut paged = Vec::new();
        for offset in 0..=total {
            let path = format!("studies?{query}&limit=1&offset={offset}");
            let answer = relay.get(&token, &path, &[]).await;
            assert_eq!(answer.header("x-total-count"), total.to_string(), "{path}");
            paged.extend(found(&answer, "0020000D"));
        }
        paged.sort();
        paged.dedup();
        assert_eq!(paged.len(), total, "{query}");
    }
}

#[tokio::test]
async fn a_search_that_ends_at_its_limit_says_so() {
    let mut relay = Relay::new().await;
    let token = relay.referrer().await;
    stored(&relay).await;
    let (roomy, ended) = (1 << 20, "299 tancho \"The search ended");
    let paged = "299 tancho \"There are 4 additional results";
    for (n_studies, n_headers, answer_bytes, path, n_found, total, warning) in [
        (2, 9, roomy, "studies?PatientID=*-1", 2, "", ended),
        (3, 9, roomy, "studies?PatientID=*-1", 3, "3", ""),
        (9, 2, roomy, "studies?SliceThickness=5", 2, "", ended),
        (9, 3, roomy, "studies?SliceThickness=5", 3, "3", ""),
        // What the store finds alone has no limit.
        (1, 1, roomy, "studies", 3, "3", ""),
        (1, 1, roomy, "studies?PatientID=Y-1", 2, "2", ""),
        (9, 9, 1, "instances", 1, "5", paged),
        (9, 9, 1, "instances?offset=4", 1, "5", ""),
    ] {
        relay.router = Router::new();
        relay.app.dicomweb_mut().search_limits = Limits {
            n_studies,
            n_headers,
            answer_bytes,
        };
        relay.router = router::build(relay.app.clone());
        let answer = relay.get(&token, path, &[]).await;
        assert_eq!(found(&answer, "0020000D").len(), n_found, "{path}");
        assert_eq!(answer.header("x-total-count"), total, "{path}");
        assert!(answer.header("warning").starts_with(warning), "{path}");
        assert_eq!(answer.header("warning").is_empty(), warning.is_empty(), "{path}");
    }
}

#[tokio::test]
async fn a_search_that_reads_headers_is_a_view() {
    let relay = Relay::new().await;
    let token = relay.referrer().await;
    stored(&relay).await;
    for path in [
        "studies",
        "series?PatientID=Y-1",
        "studies/2.25.10/instances?includefield=PatientName,Rows",
        "studies?PatientID=nobody&includefield=all",
    ] {
        relay.get(&token, path, &[]).await;
        assert_eq!(relay.recorded_views().await, 0, "{path}");
    }
    for (path, n_views) in [
        ("studies?PatientID=Y-1&includefield=Manufacturer", 2),
        ("instances?PatientID=Y-1&includefield=all", 2),
        ("series?00400275.00400009=STEP-4", 3),
    ] {
        relay.get(&token, path, &[]).await;
        assert_eq!(relay.recorded_views().await, n_views, "{path}");
    }
}

#[tokio::test]
async fn a_search_finds_only_what_is_within_reach() {
    let relay = Relay::new().await;
    stored(&relay).await;
    let reader = relay.login(&relay.centre.clone(), Role::Reader).await;
    for path in [
        "studies",
        "series",
        "instances",
        "studies?PatientID=Y-1",
        "studies?PatientName=yamada&fuzzymatching=true",
        "instances?SOPInstanceUID=2.25.12.1.1",
        "series?00400275.00400009=STEP-2",
    ] {
        let answer = relay.get(&reader, path, &[]).await;
        assert_eq!(
            (answer.json(), answer.header("x-total-count")),
            (Value::Array(Vec::new()), "0"),
            "{path}"
        );
    }
    for path in ["studies/2.25.10/series", "studies/2.25.10/instances"] {
        relay
            .get(&reader, path, &[])
            .await
            .refused(StatusCode::NOT_FOUND, "not_found");
    }
}
