//! Where an image lies in the patient, and when it was made: what a scanner has to say for measuring, for stacking slices
//! and for telling whether its clock is right (PS3.3 sections C.7.6.1, C.7.6.2 and C.8.2.1).

use crate::element::Tag;

const IMAGE_TYPE: Tag = Tag(0x0008, 0x0008);
const CONTENT_DATE: Tag = Tag(0x0008, 0x0023);
const CONTENT_TIME: Tag = Tag(0x0008, 0x0033);
const GANTRY_TILT: Tag = Tag(0x0018, 0x1120);
const IMAGER_PIXEL_SPACING: Tag = Tag(0x0018, 0x1164);
const IMAGE_POSITION: Tag = Tag(0x0020, 0x0032);
const IMAGE_ORIENTATION: Tag = Tag(0x0020, 0x0037);
const PIXEL_SPACING: Tag = Tag(0x0028, 0x0030);
/// Longest value that is read: six numbers of 16 characters with their separators.
pub(super) const VALUE_BYTES_MAX: u64 = 128;

/// What the top level of a data set says; `None` where it says nothing, or nothing that makes sense. Multi-frame objects
/// of the enhanced kind say it of each frame, deeper down, and not here.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Placement {
    /// Image Type (0008,0008) calls it a localizer.
    pub is_localizer: bool,
    /// Pixel Spacing (0028,0030) in mm: between rows, between columns.
    pub pixel_spacing_mm: Option<[f64; 2]>,
    /// Imager Pixel Spacing (0018,1164) in mm: at the detector.
    pub imager_pixel_spacing_mm: Option<[f64; 2]>,
    /// Gantry/Detector Tilt (0018,1120) in degrees.
    pub gantry_tilt_degrees: Option<f64>,
    /// Image Position (Patient) (0020,0032) in mm.
    pub position_mm: Option<[f64; 3]>,
    /// Image Orientation (Patient) (0020,0037): directions of a row and of a column.
    pub orientation: Option<[f64; 6]>,
    /// Content Date (0008,0023), as sent.
    pub content_date: Option<String>,
    /// Content Time (0008,0033), as sent.
    pub content_time: Option<String>,
}

impl Placement {
    pub(super) fn wants(tag: Tag) -> bool {
        matches!(
            tag,
            IMAGE_TYPE
                | CONTENT_DATE
                | CONTENT_TIME
                | GANTRY_TILT
                | IMAGER_PIXEL_SPACING
                | IMAGE_POSITION
                | IMAGE_ORIENTATION
                | PIXEL_SPACING
        )
    }

    /// Takes a value; the first of a repeated element stays.
    pub(super) fn set(&mut self, tag: Tag, value: &[u8]) {
        let text = String::from_utf8_lossy(value);
        let text = text.trim_matches(['\0', ' ']);
        let told = || (!text.is_empty()).then(|| text.to_owned());
        let positive = |spacing: &[f64; 2]| spacing.iter().all(|mm| *mm > 0.0);
        match tag {
            IMAGE_TYPE => self.is_localizer |= text.split('\\').any(|word| word.trim() == "LOCALIZER"),
            CONTENT_DATE => self.content_date = self.content_date.take().or_else(told),
            CONTENT_TIME => self.content_time = self.content_time.take().or_else(told),
            GANTRY_TILT => self.gantry_tilt_degrees = self.gantry_tilt_degrees.or(numbers(text).map(|[n]| n)),
            PIXEL_SPACING => self.pixel_spacing_mm = self.pixel_spacing_mm.or(numbers(text).filter(positive)),
            IMAGER_PIXEL_SPACING => {
                self.imager_pixel_spacing_mm =
                    self.imager_pixel_spacing_mm.or(numbers(text).filter(positive));
            }
            IMAGE_POSITION => self.position_mm = self.position_mm.or(numbers(text)),
            IMAGE_ORIENTATION => self.orientation = self.orientation.or(numbers(text)),
            _ => {}
        }
    }

    /// The unit vector at right angles to the image; `None` when its directions are no two directions.
    #[must_use]
    pub fn normal(&self) -> Option<[f64; 3]> {
        let [a, b, c, d, e, f] = self.orientation?;
        let cross = [b * f - c * e, c * d - a * f, a * e - b * d];
        let length = cross.iter().map(|part| part * part).sum::<f64>().sqrt();
        (length > 0.5 && length.is_finite()).then(|| cross.map(|part| part / length))
    }

    /// How far along its normal the image lies, in mm.
    #[must_use]
    pub fn along_normal_mm(&self) -> Option<f64> {
        let (normal, position) = (self.normal()?, self.position_mm?);
        Some(normal.iter().zip(position).map(|(one, other)| one * other).sum())
    }
}

/// So many finite numbers separated by backslashes.
fn numbers<const N: usize>(text: &str) -> Option<[f64; N]> {
    let mut found = [0.0; N];
    let mut parts = text.split('\\');
    for number in &mut found {
        *number = parts
            .next()?
            .trim()
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite())?;
    }
    parts.next().is_none().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(values: &[(Tag, &[u8])]) -> Placement {
        let mut placement = Placement::default();
        for (tag, value) in values {
            assert!(Placement::wants(*tag));
            placement.set(*tag, value);
        }
        placement
    }

    #[test]
    fn an_image_is_placed_by_its_own_normal() {
        let tilted = placed(&[
            (IMAGE_POSITION, b"-125\\-123.5\\60.5 "),
            (IMAGE_ORIENTATION, b"1\\0\\0\\0\\0.8\\-0.6"),
            (GANTRY_TILT, b"-20"),
            (PIXEL_SPACING, b"0.5\\0.5\0"),
        ]);
        assert_eq!(tilted.normal(), Some([0.0, 0.6, 0.8]));
        let along = tilted.along_normal_mm().unwrap();
        assert!((along - (-123.5 * 0.6 + 60.5 * 0.8)).abs() < 1e-9, "{along}");
        assert_eq!(
            (tilted.gantry_tilt_degrees, tilted.pixel_spacing_mm),
            (Some(-20.0), Some([0.5, 0.5]))
        );
    }

    #[test]
    fn what_makes_no_sense_says_nothing() {
        let odd = placed(&[
            (PIXEL_SPACING, b"0\\0"),
            (IMAGER_PIXEL_SPACING, b"0.1"),
            (IMAGE_POSITION, b"1\\2"),
            (IMAGE_ORIENTATION, b"1\\0\\0\\1\\0\\0"),
            (GANTRY_TILT, b"1e999"),
            (CONTENT_DATE, b"  "),
        ]);
        assert_eq!(odd.normal(), None);
        let nothing = Placement {
            orientation: Some([1.0, 0.0, 0.0, 1.0, 0.0, 0.0]),
            ..Placement::default()
        };
        assert_eq!(odd, nothing);
        let first = placed(&[
            (PIXEL_SPACING, b"1\\1"),
            (PIXEL_SPACING, b"2\\2"),
            (IMAGE_TYPE, b"ORIGINAL\\PRIMARY\\LOCALIZER "),
        ]);
        assert_eq!(
            (first.pixel_spacing_mm, first.is_localizer),
            (Some([1.0, 1.0]), true)
        );
    }
}
