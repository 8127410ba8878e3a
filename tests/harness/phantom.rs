//! A head CT that no patient ever had: skull, scalp, brain, ventricles and, if wanted, a left putaminal haemorrhage
//! with oedema and midline shift, written as the DICOM files a scanner in Japan would send.
//!
//! The same options give the same bytes on every run. Names are invented and carry the alphabetic, ideographic and
//! phonetic groups in ISO 2022 IR 87 (PS3.5 annex H). `anatomy` says what is where, `dataset` writes the elements.

mod anatomy;
mod dataset;
pub mod names;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

pub use dataset::CT_IMAGE_STORAGE;

/// Rows and columns of every slice.
pub const MATRIX: usize = 512;
/// Pixel pitch in mm, rows and columns alike: a field of view of 230 mm.
pub const PIXEL_SPACING_MM: f64 = 0.449_219;
/// Distance of neighbouring slices in mm, equal to their thickness.
pub const SLICE_SPACING_MM: f64 = 4.0;
/// Slices of the whole head.
pub const SLICES_WHOLE_HEAD: usize = 40;
/// Most slices of a thin series of the whole head: half a millimetre each.
pub const THIN_SLICES_MAX: usize = 320;
/// Volume of the haemorrhage in mL by the ellipsoid formula; the rim is irregular, so a reader measures about this.
pub const LESION_VOLUME_ML: f64 = 31.8;

/// What is to be written. [`Phantom::stroke`] and [`Phantom::normal`] fill in a patient.
#[derive(Clone, Debug)]
pub struct Phantom {
    /// All UIDs come from this word, so two studies differ when it differs.
    pub seed: String,
    /// Number of slices, at most what the whole head has, centred on the basal ganglia.
    pub slices: usize,
    /// Distance of neighbouring slices in mm, equal to their thickness.
    pub slice_spacing_mm: f64,
    /// Whether the left putaminal haemorrhage is there.
    pub haemorrhage: bool,
    /// Patient's Name with its three groups, as UTF-8; written in ISO 2022 IR 87.
    pub patient_name: String,
    /// Patient ID at the sending site.
    pub patient_id: String,
    /// `YYYYMMDD`.
    pub birth_date: String,
    /// `M`, `F` or `O`.
    pub sex: String,
    /// Accession Number.
    pub accession_number: String,
    /// Institution Name, may be Japanese.
    pub institution: String,
    /// Study, series and acquisition date, `YYYYMMDD`.
    pub study_date: String,
    /// Study time, `HHMMSS`.
    pub study_time: String,
    /// Text as bytes in place of the texts above: for character sets, and for what scanners do wrong with them.
    pub raw_text: Option<RawText>,
}

/// Header text as bytes. Elements of the phantom that would need another character set are left out beside it.
#[derive(Clone, Debug)]
pub struct RawText {
    /// Specific Character Set as declared; empty declares nothing.
    pub character_sets: &'static str,
    /// Patient's Name.
    pub patient_name: Vec<u8>,
    /// Study Description.
    pub study_description: Vec<u8>,
    /// Series Description.
    pub series_description: Vec<u8>,
}

/// One file on disk.
#[derive(Clone, Debug)]
pub struct PhantomFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its SOP Instance UID.
    pub sop_instance_uid: String,
    /// SHA-256 of the data set, that is of the bytes after group 0002, in lower-case hexadecimal.
    pub data_set_sha256: String,
    /// Length of the data set in bytes.
    pub data_set_len: u64,
}

/// What was written.
#[derive(Clone, Debug)]
pub struct PhantomStudy {
    /// Its Study Instance UID.
    pub study_instance_uid: String,
    /// Its one Series Instance UID.
    pub series_instance_uid: String,
    /// The folder that holds nothing but the files.
    pub folder: PathBuf,
    /// One file a slice, from the skull base upwards.
    pub files: Vec<PhantomFile>,
}

impl Phantom {
    /// The patient of the walkthrough: a left putaminal haemorrhage of about 32 mL.
    pub fn stroke(seed: &str) -> Self {
        Self {
            seed: seed.to_owned(),
            slices: SLICES_WHOLE_HEAD,
            slice_spacing_mm: SLICE_SPACING_MM,
            haemorrhage: true,
            patient_name: "DOTO^HANAKO=道東^花子=ドウトウ^ハナコ".to_owned(),
            patient_id: "TN-000417".to_owned(),
            birth_date: "19480305".to_owned(),
            sex: "F".to_owned(),
            accession_number: "A2600117".to_owned(),
            institution: "道東診療所".to_owned(),
            study_date: "20260123".to_owned(),
            study_time: "021405".to_owned(),
            raw_text: None,
        }
    }

    /// Another patient, without the haemorrhage.
    pub fn normal(seed: &str) -> Self {
        Self {
            haemorrhage: false,
            patient_name: "SHIRETOKO^ICHIRO=知床^一郎=シレトコ^イチロウ".to_owned(),
            patient_id: "TN-000532".to_owned(),
            birth_date: "19710822".to_owned(),
            sex: "M".to_owned(),
            accession_number: "A2600118".to_owned(),
            institution: "北浜クリニック".to_owned(),
            study_time: "094210".to_owned(),
            ..Self::stroke(seed)
        }
    }

    /// The same head with fewer slices, for tests that only need a study.
    pub fn with_slices(mut self, slices: usize) -> Self {
        assert!(
            (1..=SLICES_WHOLE_HEAD).contains(&slices),
            "between 1 and {SLICES_WHOLE_HEAD} slices"
        );
        self.slices = slices;
        self
    }

    /// The whole head in more and thinner slices, which are noisier, as a scanner makes them at the same dose.
    pub fn thin(mut self, slices: usize) -> Self {
        assert!(
            (SLICES_WHOLE_HEAD..=THIN_SLICES_MAX).contains(&slices),
            "between {SLICES_WHOLE_HEAD} and {THIN_SLICES_MAX} slices"
        );
        self.slices = slices;
        self.slice_spacing_mm = SLICE_SPACING_MM * SLICES_WHOLE_HEAD as f64 / slices as f64;
        self
    }

    /// Its Study Instance UID, known before anything is written.
    pub fn study_instance_uid(&self) -> String {
        self.uid("study")
    }

    /// Writes the study into `folder`, which is made if it is not there.
    pub fn write(&self, folder: &Path) -> io::Result<PhantomStudy> {
        fs::create_dir_all(folder)?;
        // A thin series is always of the whole head.
        let first = SLICES_WHOLE_HEAD.saturating_sub(self.slices) / 2;
        let levels = first..first + self.slices;
        let slices = anatomy::slices(levels, self.slice_spacing_mm, self.haemorrhage);
        let mut files = Vec::with_capacity(slices.len());
        for (idx, pixels) in slices.iter().enumerate() {
            let file = dataset::ct_slice(self, idx, first + idx, pixels);
            let path = folder.join(format!("slice-{:03}.dcm", idx + 1));
            fs::write(&path, &file.bytes)?;
            let data_set = &file.bytes[file.data_set_offset..];
            files.push(PhantomFile {
                path,
                sop_instance_uid: self.uid(&format!("instance/{idx}")),
                data_set_sha256: hex(&Sha256::digest(data_set)),
                data_set_len: data_set.len() as u64,
            });
        }
        Ok(PhantomStudy {
            study_instance_uid: self.study_instance_uid(),
            series_instance_uid: self.uid("series"),
            folder: folder.to_owned(),
            files,
        })
    }

    /// A UID under 2.25 (PS3.5 annex B.2) made from the seed and what it is for.
    fn uid(&self, purpose: &str) -> String {
        let digest = Sha256::digest(format!("tancho phantom/{}/{purpose}", self.seed));
        let mut number = [0_u8; 16];
        number.copy_from_slice(&digest[..16]);
        format!("2.25.{}", u128::from_be_bytes(number))
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_writes_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let phantom = Phantom::stroke("same").with_slices(2);
        let first = phantom.write(&folder.path().join("a")).unwrap();
        let second = phantom.write(&folder.path().join("b")).unwrap();
        let digests = |study: &PhantomStudy| -> Vec<String> {
            study
                .files
                .iter()
                .map(|file| file.data_set_sha256.clone())
                .collect()
        };
        assert_eq!(digests(&first), digests(&second));
        assert_ne!(first.files[0].sop_instance_uid, first.files[1].sop_instance_uid);
        assert!(first.files.iter().all(|file| file.sop_instance_uid.len() <= 64));
    }

    #[test]
    fn a_thin_series_spans_the_same_head() {
        let thin = Phantom::stroke("thin").thin(100);
        assert_eq!((thin.slices, thin.slice_spacing_mm), (100, 1.6));
        let top_of = |slices, spacing| anatomy::z_mm(slices, spacing);
        assert_eq!(top_of(100, 1.6), top_of(SLICES_WHOLE_HEAD, SLICE_SPACING_MM));
    }

    #[test]
    fn haemorrhage_is_dense_on_the_left_and_pushes_the_midline() {
        let with = anatomy::slices(18..19, SLICE_SPACING_MM, true).remove(0);
        let without = anatomy::slices(18..19, SLICE_SPACING_MM, false).remove(0);
        // The patient's left is on the right of the image.
        let at = |pixels: &[i16], x_mm: f64, y_mm: f64| -> f64 {
            let column = (x_mm / PIXEL_SPACING_MM + 255.5).round() as usize;
            let row = (y_mm / PIXEL_SPACING_MM + 255.5).round() as usize;
            let mut sum = 0.0;
            for r in row - 3..=row + 3 {
                for c in column - 3..=column + 3 {
                    sum += f64::from(pixels[r * MATRIX + c]);
                }
            }
            sum / 49.0
        };
        assert!((55.0..80.0).contains(&at(&with, 29.0, -3.0)));
        assert!((25.0..45.0).contains(&at(&without, 29.0, -3.0)));
        assert!((25.0..45.0).contains(&at(&with, -29.0, -3.0)));
    }
}
