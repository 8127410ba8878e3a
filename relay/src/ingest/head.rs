//! From the first bytes of a container to the rows that let lists show the instance while the rest arrives.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use tancho_domain::ids::{InstanceId, NetworkId, SeriesId, StudyId};
use tancho_imaging::container::{Container, ContainerError, ContainerHeader};
use tancho_imaging::element::Tag;
use tancho_imaging::limits::ScanLimits;
use tancho_imaging::scan::{HeadScan, InstanceIdentity};
use tancho_store::studies::{
    self, ArrivedInstance, ArrivingInstance, InstanceFacts, Origin, SeriesFacts, StudyFacts,
};
use tancho_store::{StoreError, Tx};
use tancho_wire::transfer::OfferedInstance;

use super::dictionaries::{Dictionaries, HeadDigest};
use crate::secrets;

/// Texts of the study and its patient: Accession Number, Institution Name, Study Description, Patient's Name, Patient
/// ID, Issuer of Patient ID.
const STUDY_TEXTS: [Tag; 6] = [
    Tag(0x0008, 0x0050),
    Tag(0x0008, 0x0080),
    Tag(0x0008, 0x1030),
    Tag(0x0010, 0x0010),
    Tag(0x0010, 0x0020),
    Tag(0x0010, 0x0021),
];
/// Texts of the series: Manufacturer, Station Name, Series Description.
const SERIES_TEXTS: [Tag; 3] = [Tag(0x0008, 0x0070), Tag(0x0008, 0x1010), Tag(0x0008, 0x103E)];

/// What a head says.
#[derive(Debug, Clone)]
pub struct Head {
    identity: InstanceIdentity,
    study: StudyFacts,
    series: SeriesFacts,
    instance: InstanceFacts,
    /// The digest by which other heads name it as their dictionary.
    pub serves_as: Option<HeadDigest>,
}

/// Why a head cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HeadFault {
    /// The container or the data set in it is not one, or breaks a limit; the code says which.
    #[error("head unreadable: {0}")]
    Unreadable(&'static str),
    /// The head names other identifiers or digests than the offer.
    #[error("the offer contradicts the head")]
    Contradicts,
    /// It is coded with the head of another instance, which is not at hand.
    #[error("the head needs that of another instance")]
    NeedsDictionary(HeadDigest),
    /// The disk failed.
    #[error("reading a partial file failed")]
    Io(#[from] io::Error),
}

impl HeadFault {
    /// Stable code for the refusal.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(code) => code,
            Self::Contradicts => "offer_contradicts_head",
            Self::NeedsDictionary(_) => "dictionary_missing",
            Self::Io(_) => "io_failed",
        }
    }
}

/// Whether enough is there to read the head now: containers without a head section are read when they are whole.
#[derive(Debug)]
pub enum HeadRead {
    /// Read.
    Head(Box<Head>),
    /// Only the whole container can tell.
    NeedsWhole,
    /// The head of another instance must come first.
    NeedsDictionary(HeadDigest),
}

/// Where heads belong, and those at hand.
#[derive(Debug, Clone)]
pub struct Heads {
    /// The tenant.
    pub network_id: NetworkId,
    /// Heads that others are coded with.
    pub dictionaries: Arc<Dictionaries>,
}

/// Reads the head of a part of which the first `head_end` bytes are there. Blocks on the disk.
pub fn read_head(path: &Path, offered: &OfferedInstance, heads: &Heads) -> Result<HeadRead, HeadFault> {
    let view = PartView {
        file: File::open(path)?,
        len: offered.item.container_len,
        at: 0,
    };
    let container = Container::open(view).map_err(fault)?;
    check_header(container.header(), offered)?;
    if !container.header().has_head() {
        return Ok(HeadRead::NeedsWhole);
    }
    match read_identity(container, offered, heads) {
        Err(HeadFault::NeedsDictionary(sha256)) => Ok(HeadRead::NeedsDictionary(sha256)),
        read => read.map(HeadRead::Head),
    }
}

/// Reads the head of a part that is whole. Blocks on the disk.
pub fn read_head_of_whole(
    whole: File,
    offered: &OfferedInstance,
    heads: &Heads,
) -> Result<Box<Head>, HeadFault> {
    let container = Container::open(whole).map_err(fault)?;
    check_header(container.header(), offered)?;
    read_identity(container, offered, heads)
}

fn fault(error: ContainerError) -> HeadFault {
    match error {
        ContainerError::Io(error) => HeadFault::Io(error),
        ContainerError::DictionaryMissing(sha256) => HeadFault::NeedsDictionary(sha256),
        other => HeadFault::Unreadable(other.code()),
    }
}

fn check_header(header: &ContainerHeader, offered: &OfferedInstance) -> Result<(), HeadFault> {
    let item = &offered.item;
    let same = header.original_sha256 == item.original_sha256.0
        && header.original_len == item.original_len
        && header.head_end() == item.head_end
        && header.sop_instance_uid == item.sop_instance_uid
        && header.study_instance_uid == offered.study_instance_uid
        && header.series_instance_uid == offered.series_instance_uid
        && header.sop_class_uid == offered.sop_class_uid
        && header.transfer_syntax == offered.transfer_syntax_uid;
    if same { Ok(()) } else { Err(HeadFault::Contradicts) }
}

fn read_identity<R: Read + Seek>(
    container: Container<R>,
    offered: &OfferedInstance,
    heads: &Heads,
) -> Result<Box<Head>, HeadFault> {
    let mut container = heads.dictionaries.resolve(&heads.network_id, container);
    let served = heads
        .dictionaries
        .note_head(&heads.network_id, &mut container)
        .map_err(fault)?;
    let scan = container
        .scan_identity(&ScanLimits::default())
        .map_err(fault)?
        .map_err(|error| HeadFault::Unreadable(error.code()))?;
    let identity = &scan.identity;
    let same = identity.sop_instance_uid == offered.item.sop_instance_uid
        && identity.study_instance_uid == offered.study_instance_uid
        && identity.series_instance_uid == offered.series_instance_uid
        && identity.sop_class_uid == offered.sop_class_uid;
    if !same {
        return Err(HeadFault::Contradicts);
    }
    let frame_count = container.frame_count();
    Ok(Box::new(Head {
        serves_as: served,
        ..facts(scan, offered, frame_count)
    }))
}

/// `frame_count` is that of the container: the header of a hostile object claims any number.
fn facts(scan: HeadScan, offered: &OfferedInstance, frame_count: u32) -> Head {
    let HeadScan {
        identity,
        pixels,
        warnings,
    } = scan;
    let name = identity.patient_name.clone().unwrap_or_default();
    let study = StudyFacts {
        patient_id: identity.patient_id.clone().unwrap_or_default(),
        issuer_of_patient_id: identity.issuer_of_patient_id.clone(),
        patient_name_alphabetic: name.alphabetic,
        patient_name_ideographic: name.ideographic,
        patient_name_phonetic: name.phonetic,
        patient_name_uncertain: name.uncertain,
        patient_birth_date: identity.birth_date.as_deref().and_then(plain_date),
        patient_sex: identity.sex.clone(),
        study_date: identity.study_date.as_deref().and_then(plain_date),
        study_time: identity.study_time.clone(),
        accession_number: identity.accession_number.clone(),
        study_description: identity.study_description.clone(),
        institution: identity.institution.clone(),
        uncertain_elements: identity.uncertain_of(&STUDY_TEXTS),
    };
    let series = SeriesFacts {
        modality: identity.modality.clone().unwrap_or_default(),
        series_number: identity.series_number,
        series_description: identity.series_description.clone(),
        body_part: identity.body_part.clone(),
        station_name: identity.station_name.clone(),
        manufacturer: identity.manufacturer.clone(),
        uncertain_elements: identity.uncertain_of(&SERIES_TEXTS),
    };
    let mut codes: Vec<&str> = warnings.iter().map(|warning| warning.code()).collect();
    codes.sort_unstable();
    codes.dedup();
    let item = &offered.item;
    let instance = InstanceFacts {
        sop_instance_uid: item.sop_instance_uid.clone(),
        sop_class_uid: offered.sop_class_uid.clone(),
        transfer_syntax_uid: offered.transfer_syntax_uid.clone(),
        container_sha256: item.container_sha256.hex(),
        container_len: signed(item.container_len),
        original_sha256: item.original_sha256.hex(),
        original_len: signed(item.original_len),
        calling_ae: offered.calling_ae.clone(),
        called_ae: offered.called_ae.clone(),
        instance_number: identity.instance_number,
        number_of_frames: i64::from(frame_count),
        frame_rows: pixels.as_ref().map(|pixels| i64::from(pixels.rows)),
        frame_columns: pixels.as_ref().map(|pixels| i64::from(pixels.columns)),
        warnings: codes.join(","),
        sent_received_at_ms: item.received_at_ms,
    };
    Head {
        identity,
        study,
        series,
        instance,
        serves_as: None,
    }
}

/// Eight digits, also from the old form with full stops (PS3.5 section 6.2, VR DA); anything else is not a date.
fn plain_date(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|character| *character != '.').collect();
    (digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(digits)
}

fn signed(len: u64) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}

impl Head {
    /// Modality and body part, for the rules that open a request by themselves.
    #[must_use]
    pub fn series(&self) -> &SeriesFacts {
        &self.series
    }

    /// Writes the rows; the same head again changes nothing.
    pub async fn begin(
        &self,
        tx: &mut Tx,
        origin: &Origin,
        offered: &OfferedInstance,
        now_ms: i64,
    ) -> Result<ArrivedInstance, StoreError> {
        let arriving = ArrivingInstance {
            study_instance_uid: &self.identity.study_instance_uid,
            series_instance_uid: &self.identity.series_instance_uid,
            priority: offered.priority,
            study: &self.study,
            series: &self.series,
            instance: &self.instance,
            new_ids: (
                StudyId::new(secrets::new_uuid()),
                SeriesId::new(secrets::new_uuid()),
                InstanceId::new(secrets::new_uuid()),
            ),
        };
        studies::begin_instance(tx, origin, &arriving, now_ms).await
    }
}

/// A part as if it had its full length: what has not come reads as the end of the file.
struct PartView {
    file: File,
    len: u64,
    at: u64,
}

impl Read for PartView {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read(out)?;
        self.at += got as u64;
        Ok(got)
    }
}

impl Seek for PartView {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(delta) => self.len.checked_add_signed(delta),
            SeekFrom::Current(delta) => self.at.checked_add_signed(delta),
        };
        let target = target.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        self.at = self.file.seek(SeekFrom::Start(target))?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_eight_digits_or_nothing() {
        assert_eq!(plain_date("19561103"), Some("19561103".to_owned()));
        assert_eq!(plain_date("1956.11.03"), Some("19561103".to_owned()));
        for bad in [
            "",
            "1956",
            "1956110",
            "1956-11-03",
            "１９５６１１０３",
            "195611031",
        ] {
            assert_eq!(plain_date(bad), None, "{bad}");
        }
    }
}
