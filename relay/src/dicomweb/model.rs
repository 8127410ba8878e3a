//! Rows of the store in the DICOM JSON model (PS3.18 annex F), for search results.

use serde_json::{Map, Value, json};
use tancho_store::instances::{Instance, Series, Study};
use tancho_store::studies::UncertainElements;

use crate::state::AppState;

/// A data set under construction; elements without a value are left out.
#[derive(Debug, Default)]
pub(super) struct Model(Map<String, Value>);

impl Model {
    fn set(&mut self, tag: &str, vr: &str, value: Option<Value>) -> &mut Self {
        if let Some(value) = value.filter(|value| !value.is_null() && value != "") {
            self.0
                .insert(tag.to_owned(), json!({ "vr": vr, "Value": [value] }));
        }
        self
    }

    /// Text of a header. The model has no place for a mark, so what the declared character sets do not explain is
    /// U+FFFD here, as in the metadata.
    fn header_text(
        &mut self,
        tag: &str,
        vr: &str,
        value: Option<&str>,
        uncertain: &UncertainElements,
    ) -> &mut Self {
        self.set(
            tag,
            vr,
            value.map(|value| declared(value, uncertain.holds(tag)).into()),
        )
    }

    fn text(&mut self, tag: &str, vr: &str, value: Option<&str>) -> &mut Self {
        self.set(tag, vr, value.map(Value::from))
    }

    fn number(&mut self, tag: &str, vr: &str, value: Option<i64>) -> &mut Self {
        self.set(tag, vr, value.map(Value::from))
    }

    fn person(&mut self, tag: &str, groups: [&str; 3], uncertain: &UncertainElements) -> &mut Self {
        let keys = ["Alphabetic", "Ideographic", "Phonetic"];
        let name: Map<String, Value> = keys
            .into_iter()
            .zip(groups)
            .filter(|(_, group)| !group.is_empty())
            .map(|(key, group)| (key.to_owned(), declared(group, uncertain.holds(tag)).into()))
            .collect();
        self.set(tag, "PN", (!name.is_empty()).then_some(Value::Object(name)))
    }

    fn finish(&mut self) -> Value {
        Value::Object(std::mem::take(&mut self.0))
    }
}

/// What of a text is certain: letters of the default repertoire are, whatever was declared.
fn declared(text: &str, is_uncertain: bool) -> String {
    if is_uncertain {
        text.replace(|c: char| !c.is_ascii(), "\u{FFFD}")
    } else {
        text.to_owned()
    }
}

/// A study as a search result (PS3.18 table 10.6.3-3).
pub(super) fn study(study: &Study, modalities: &[String]) -> Value {
    let uncertain = &study.uncertain_elements;
    let mut model = Model::default();
    model
        .text("00080005", "CS", Some("ISO_IR 192"))
        .text("00080020", "DA", study.study_date.as_deref())
        .text("00080030", "TM", study.study_time.as_deref())
        .header_text("00080050", "SH", study.accession_number.as_deref(), uncertain)
        .text("00080056", "CS", Some("ONLINE"))
        .header_text("00081030", "LO", study.study_description.as_deref(), uncertain)
        .text(
            "00081190",
            "UR",
            Some(&format!("/dicom-web/studies/{}", study.id)),
        )
        .person(
            "00100010",
            [
                &study.patient_name_alphabetic,
                &study.patient_name_ideographic,
                &study.patient_name_phonetic,
            ],
            uncertain,
        )
        .header_text("00100020", "LO", Some(&study.patient_id), uncertain)
        .header_text("00100021", "LO", study.issuer_of_patient_id.as_deref(), uncertain)
        .text("00100030", "DA", study.patient_birth_date.as_deref())
        .text("00100040", "CS", study.patient_sex.as_deref())
        .text("0020000D", "UI", Some(&study.study_instance_uid))
        .number("00201206", "IS", Some(study.n_series))
        .number("00201208", "IS", Some(study.n_verified));
    if !modalities.is_empty() {
        model
            .0
            .insert("00080061".to_owned(), json!({ "vr": "CS", "Value": modalities }));
    }
    model.finish()
}

/// A series as a search result (PS3.18 table 10.6.3-4).
pub(super) fn series(of: &Study, series: &Series) -> Value {
    let address = format!(
        "/dicom-web/studies/{}/series/{}",
        of.id, series.series_instance_uid
    );
    Model::default()
        .text("00080005", "CS", Some("ISO_IR 192"))
        .text("00080060", "CS", Some(&series.modality))
        .header_text(
            "0008103E",
            "LO",
            series.series_description.as_deref(),
            &series.uncertain_elements,
        )
        .text("00081190", "UR", Some(&address))
        .text("00180015", "CS", series.body_part.as_deref())
        .text("0020000D", "UI", Some(&of.study_instance_uid))
        .text("0020000E", "UI", Some(&series.series_instance_uid))
        .number("00200011", "IS", series.series_number)
        .number("00201209", "IS", Some(series.n_verified))
        .finish()
}

/// An instance as a search result (PS3.18 table 10.6.3-5); also what is left of one whose bytes are damaged.
pub(super) fn instance(instance: &Instance) -> Value {
    let frames = instance.number_of_frames;
    Model::default()
        .text("00080016", "UI", Some(&instance.sop_class_uid))
        .text("00080018", "UI", Some(&instance.sop_instance_uid))
        .text("00080056", "CS", Some("ONLINE"))
        .text("00080060", "CS", Some(&instance.modality))
        .text("00081190", "UR", Some(&instance_address(instance)))
        .text("00083002", "UI", Some(&instance.transfer_syntax_uid))
        .text("0020000D", "UI", Some(&instance.study_instance_uid))
        .text("0020000E", "UI", Some(&instance.series_instance_uid))
        .number("00200013", "IS", instance.instance_number)
        .number("00280008", "IS", Some(frames).filter(|frames| *frames > 1))
        .number("00280010", "US", instance.frame_rows)
        .number("00280011", "US", instance.frame_columns)
        .finish()
}

/// The address that clients reach the relay by, without a slash at its end; empty when only they know it.
pub(super) fn base_url(app: &AppState) -> &str {
    let public_url = app.config.http.public_url.as_deref();
    public_url.unwrap_or_default().trim_end_matches('/')
}

/// Puts the base in front of Retrieve URL, also in the items of Referenced SOP Sequence.
pub(super) fn complete_addresses(model: &mut Value, base: &str) {
    if let Some(Value::String(address)) = model.pointer_mut("/00081190/Value/0") {
        address.insert_str(0, base);
    }
    if let Some(items) = model.pointer_mut("/00081199/Value").and_then(Value::as_array_mut) {
        items.iter_mut().for_each(|item| complete_addresses(item, base));
    }
}

/// Address of an instance, by our study id.
pub(super) fn instance_address(instance: &Instance) -> String {
    format!(
        "/dicom-web/studies/{}/series/{}/instances/{}",
        instance.study_id, instance.series_instance_uid, instance.sop_instance_uid
    )
}
