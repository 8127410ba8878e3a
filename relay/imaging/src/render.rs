//! From stored samples to a picture of eight bits (PS3.3 sections C.11.1, C.11.2 and C.7.6.3.1.2), for thumbnails and for
//! programs that show no DICOM. A diagnosis is made on the samples, never on this.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use crate::container::FrameGeometry;
use crate::element::Tag;

const PHOTOMETRIC_INTERPRETATION: Tag = Tag(0x0028, 0x0004);
const PIXEL_PADDING_VALUE: Tag = Tag(0x0028, 0x0120);
const PIXEL_PADDING_RANGE_LIMIT: Tag = Tag(0x0028, 0x0121);
const WINDOW_CENTER: Tag = Tag(0x0028, 0x1050);
const WINDOW_WIDTH: Tag = Tag(0x0028, 0x1051);
const RESCALE_INTERCEPT: Tag = Tag(0x0028, 0x1052);
const RESCALE_SLOPE: Tag = Tag(0x0028, 0x1053);
const RESCALE_TYPE: Tag = Tag(0x0028, 0x1054);
const WINDOW_EXPLANATION: Tag = Tag(0x0028, 0x1055);
const VOI_LUT_FUNCTION: Tag = Tag(0x0028, 0x1056);
const MODALITY_LUT_SEQUENCE: Tag = Tag(0x0028, 0x3000);
const SHARED_GROUPS: Tag = Tag(0x5200, 0x9229);
const PER_FRAME_GROUPS: Tag = Tag(0x5200, 0x9230);

/// How a window maps values to greys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Function {
    /// LINEAR.
    #[default]
    Linear,
    /// LINEAR_EXACT.
    LinearExact,
    /// SIGMOID.
    Sigmoid,
}

/// The values that are spread over the greys.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Window Center, in the unit after rescaling.
    pub center: f64,
    /// Window Width, above 0; at least 1 for LINEAR.
    pub width: f64,
    /// VOI LUT Function.
    pub function: Function,
}

impl Window {
    /// The grey of a value, 0 to 1.
    #[must_use]
    pub fn grey(&self, value: f64) -> f64 {
        let Self {
            center,
            width,
            function,
        } = *self;
        let grey = match function {
            Function::Linear if width <= 1.0 => f64::from(u8::from(value > center - 0.5)),
            Function::Linear => (value - (center - 0.5)) / (width - 1.0) + 0.5,
            Function::LinearExact => (value - center) / width + 0.5,
            Function::Sigmoid => 1.0 / (1.0 + (-4.0 * (value - center) / width).exp()),
        };
        grey.clamp(0.0, 1.0)
    }
}

/// What the header says about showing a frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    slope: f64,
    intercept: f64,
    padding: Option<(i32, i32)>,
    is_inverted: bool,
    is_ybr: bool,
    is_hounsfield: bool,
    palette: Option<Palette>,
    windows: Vec<NamedWindow>,
}

/// The colours of samples that are indices (PS3.3 section C.7.6.3.1.5).
#[derive(Debug, Clone, PartialEq)]
struct Palette {
    /// The sample of the first colour; lower ones have it too.
    first: i32,
    /// Red, green and blue; higher samples have the last.
    colours: Vec<[u8; 3]>,
}

impl Palette {
    fn of(model: &Value) -> Option<Self> {
        let channels = [0, 1, 2].map(|channel| Self::channel(model, channel));
        let [Some((first, red)), Some((_, green)), Some((_, blue))] = &channels else {
            return None;
        };
        let is_one = channels
            .iter()
            .flatten()
            .all(|(from, values)| from == first && values.len() == red.len());
        let colours = red.iter().zip(green).zip(blue);
        is_one.then(|| Self {
            first: *first,
            colours: colours
                .map(|((red, green), blue)| [*red, *green, *blue])
                .collect(),
        })
    }

    /// The first sample and the values of one colour, of eight bits.
    fn channel(model: &Value, channel: u16) -> Option<(i32, Vec<u8>)> {
        let descriptor = &model[Tag(0x0028, 0x1101 + channel).to_hex()]["Value"];
        let number = |at: usize| descriptor[at].as_i64();
        let (stated, first, bits) = (number(0)?, number(1)?, number(2)?);
        // What a short value cannot say.
        let n_values = if stated == 0 {
            1 << 16
        } else {
            usize::try_from(stated).ok()?
        };
        let data = model[Tag(0x0028, 0x1201 + channel).to_hex()]["InlineBinary"].as_str()?;
        let data = BASE64.decode(data).ok()?;
        let words = data
            .chunks_exact(2)
            .map(|word| u16::from_le_bytes([word[0], word[1]]));
        let values: Vec<u8> = match bits {
            // Two in a word, or one.
            8 if data.len() == n_values + n_values % 2 => data[..n_values].to_vec(),
            8 if data.len() == 2 * n_values => words.map(|word| word as u8).collect(),
            16 if data.len() == 2 * n_values => words.map(|word| (word >> 8) as u8).collect(),
            _ => return None,
        };
        Some((i32::try_from(first).ok()?, values))
    }

    fn colour(&self, sample: i32) -> [u8; 3] {
        let at = usize::try_from(sample.saturating_sub(self.first)).unwrap_or(0);
        self.colours[at.min(self.colours.len() - 1)]
    }
}

/// A window of the header.
#[derive(Debug, Clone, PartialEq)]
struct NamedWindow {
    /// Its place among the values, from 1.
    number: usize,
    explanation: String,
    window: Window,
}

/// Why a frame is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// Its colours or greys need what is not read here; a wrong picture is worse than none.
    #[error("photometric interpretation or lookup table is not supported")]
    NotSupported,
    /// The frame does not have the length its header says.
    #[error("frame and header contradict each other")]
    Contradiction,
}

impl Look {
    /// Of frame `number` (from 1) of an object, from its DICOM JSON model.
    ///
    /// # Errors
    /// When the frame cannot be shown as it is meant.
    pub fn of(model: &Value, number: u32) -> Result<Self, RenderError> {
        let photometric = text(model, PHOTOMETRIC_INTERPRETATION);
        let (is_inverted, is_ybr) = match photometric.as_str() {
            "MONOCHROME1" => (true, false),
            // Reversible colours are back in red, green and blue when they are decoded.
            "MONOCHROME2" | "RGB" | "YBR_RCT" => (false, false),
            "YBR_FULL" => (false, true),
            "PALETTE COLOR" => (false, false),
            _ => return Err(RenderError::NotSupported),
        };
        let palette = match photometric.as_str() {
            "PALETTE COLOR" => Some(Palette::of(model).ok_or(RenderError::NotSupported)?),
            _ => None,
        };
        let of_frame = |tag| attribute(model, number, tag);
        if of_frame(MODALITY_LUT_SEQUENCE).is_some() {
            return Err(RenderError::NotSupported);
        }
        let values = |tag| -> &[Value] {
            let values = of_frame(tag).and_then(|model| model["Value"].as_array());
            values.map(Vec::as_slice).unwrap_or_default()
        };
        let first = |tag| values(tag).first().and_then(Value::as_f64);
        // What cannot be read is not the same as what is not there: the values would be other ones.
        let rescale = |tag| match values(tag) {
            [] | [Value::Null] => Ok(None),
            [value] => value.as_f64().map(Some).ok_or(RenderError::NotSupported),
            _ => Err(RenderError::NotSupported),
        };
        let (slope, intercept) = (rescale(RESCALE_SLOPE)?, rescale(RESCALE_INTERCEPT)?);
        if slope == Some(0.0) {
            return Err(RenderError::NotSupported);
        }
        let is_type_hounsfield = match values(RESCALE_TYPE) {
            [] | [Value::Null] => true,
            values => values.len() == 1 && values[0].as_str() == Some("HU"),
        };
        let function = match text(of_group(model, number, VOI_LUT_FUNCTION), VOI_LUT_FUNCTION).as_str() {
            "LINEAR_EXACT" => Function::LinearExact,
            "SIGMOID" => Function::Sigmoid,
            _ => Function::Linear,
        };
        let explanations = values(WINDOW_EXPLANATION);
        let windows = values(WINDOW_CENTER).iter().zip(values(WINDOW_WIDTH)).enumerate();
        // A value without its other half leaves its place empty.
        let windows = windows.filter_map(|(at, (center, width))| {
            let explanation = explanations.get(at).and_then(Value::as_str);
            Some(NamedWindow {
                number: at + 1,
                explanation: explanation.unwrap_or_default().to_owned(),
                window: Window {
                    center: center.as_f64()?,
                    width: width.as_f64().filter(|width| *width > 0.0)?,
                    function,
                },
            })
        });
        let padding = first(PIXEL_PADDING_VALUE).map(|padding| {
            let limit = first(PIXEL_PADDING_RANGE_LIMIT).unwrap_or(padding);
            (padding.min(limit) as i32, padding.max(limit) as i32)
        });
        Ok(Self {
            slope: slope.unwrap_or(1.0),
            intercept: intercept.unwrap_or(0.0),
            padding,
            is_inverted,
            is_ybr,
            is_hounsfield: slope.is_some() && intercept.is_some() && is_type_hounsfield,
            palette,
            windows: windows.collect(),
        })
    }

    /// Whether the header says how values become Hounsfield units, and names no other unit (PS3.3 section C.11.1.1.2).
    #[must_use]
    pub fn is_hounsfield(&self) -> bool {
        self.is_hounsfield
    }

    /// The window of the header with this explanation, letters of either case, or this number from 1.
    #[must_use]
    pub fn preset(&self, name: &str) -> Option<Window> {
        let mut windows = self.windows.iter();
        let by_name = windows.find(|one| one.explanation.eq_ignore_ascii_case(name));
        let by_number = || {
            let number = name.parse::<usize>().ok()?;
            self.windows.iter().find(|one| one.number == number)
        };
        by_name.or_else(by_number).map(|one| one.window)
    }
}

/// A picture of eight bits per sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// 1 for greys, 3 for red, green and blue.
    pub channels: u8,
    /// Row by row.
    pub samples: Vec<u8>,
}

/// A part of a picture, in its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// First column.
    pub left: u32,
    /// First row.
    pub top: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// The picture of a native little endian frame; without a window the header's first, else from the darkest to the
/// brightest value.
///
/// # Errors
/// When the frame is not what the geometry says, or its colours are not supported.
pub fn picture(
    frame: &[u8],
    geometry: &FrameGeometry,
    look: &Look,
    window: Option<Window>,
) -> Result<Picture, RenderError> {
    if frame.len() as u64 != geometry.frame_len() {
        return Err(RenderError::Contradiction);
    }
    let mut samples = Vec::new();
    geometry.samples(frame, &mut samples);
    let (width, height) = (u32::from(geometry.columns), u32::from(geometry.rows));
    if geometry.samples_per_pixel == 3 {
        if look.palette.is_some() || geometry.bits_stored != 8 || geometry.is_signed {
            return Err(RenderError::NotSupported);
        }
        let mut colours: Vec<u8> = samples.iter().map(|sample| *sample as u8).collect();
        if look.is_ybr {
            colours.chunks_exact_mut(3).for_each(to_rgb);
        }
        return Ok(Picture {
            width,
            height,
            channels: 3,
            samples: colours,
        });
    }
    if look.is_ybr {
        return Err(RenderError::NotSupported);
    }
    if let Some(palette) = &look.palette {
        return Ok(Picture {
            width,
            height,
            channels: 3,
            samples: samples
                .iter()
                .flat_map(|sample| palette.colour(*sample))
                .collect(),
        });
    }
    let is_padding = |sample: i32| {
        look.padding
            .is_some_and(|(from, to)| (from..=to).contains(&sample))
    };
    let window = window
        .or_else(|| look.windows.first().map(|one| one.window))
        .unwrap_or_else(|| whole_range(&samples, look, is_padding));
    let grey = |sample: i32| {
        if is_padding(sample) {
            return 0;
        }
        let grey = window.grey(f64::from(sample) * look.slope + look.intercept);
        let grey = if look.is_inverted { 1.0 - grey } else { grey };
        (grey * 255.0).round() as u8
    };
    // Each sample has at most 16 bits, so each grey is computed once.
    let lowest = samples.iter().copied().min().unwrap_or(0);
    let highest = samples.iter().copied().max().unwrap_or(0);
    let table: Vec<u8> = (lowest..=highest).map(grey).collect();
    Ok(Picture {
        width,
        height,
        channels: 1,
        samples: samples
            .iter()
            .map(|sample| table[(sample - lowest) as usize])
            .collect(),
    })
}

fn whole_range(samples: &[i32], look: &Look, is_padding: impl Fn(i32) -> bool) -> Window {
    let (mut from, mut to) = (f64::INFINITY, f64::NEG_INFINITY);
    for sample in samples.iter().filter(|sample| !is_padding(**sample)) {
        let value = f64::from(*sample) * look.slope + look.intercept;
        from = from.min(value);
        to = to.max(value);
    }
    if from > to {
        (from, to) = (0.0, 0.0);
    }
    Window {
        center: (from + to) / 2.0,
        width: (to - from).max(f64::MIN_POSITIVE),
        function: Function::LinearExact,
    }
}

/// PS3.3 section C.7.6.3.1.2, the inverse of YBR_FULL.
fn to_rgb(pixel: &mut [u8]) {
    let [y, b, r] = [pixel[0], pixel[1], pixel[2]].map(f64::from);
    let (b, r) = (b - 128.0, r - 128.0);
    let colours = [y + 1.402 * r, y - 0.344_136 * b - 0.714_136 * r, y + 1.772 * b];
    for (sample, colour) in pixel.iter_mut().zip(colours) {
        *sample = colour.round().clamp(0.0, 255.0) as u8;
    }
}

impl Picture {
    /// A part of the picture; `None` when it reaches beyond.
    #[must_use]
    pub fn cut(&self, region: Region) -> Option<Self> {
        let Region {
            left,
            top,
            width,
            height,
        } = region;
        let is_within =
            |from: u32, len: u32, all: u32| len > 0 && from.checked_add(len).is_some_and(|end| end <= all);
        if !is_within(left, width, self.width) || !is_within(top, height, self.height) {
            return None;
        }
        let channels = usize::from(self.channels);
        let row_len = self.width as usize * channels;
        let part = left as usize * channels..(left + width) as usize * channels;
        let rows = self
            .samples
            .chunks_exact(row_len)
            .skip(top as usize)
            .take(height as usize);
        Some(Self {
            width,
            height,
            channels: self.channels,
            samples: rows.flat_map(|row| &row[part.clone()]).copied().collect(),
        })
    }

    /// The picture in its proportions, as large as fits; each pixel is the mean of those it stands for.
    #[must_use]
    pub fn fitted(&self, width_max: u32, height_max: u32) -> Self {
        let scale = (f64::from(width_max) / f64::from(self.width))
            .min(f64::from(height_max) / f64::from(self.height));
        let side = |side: u32, max: u32| ((f64::from(side) * scale).round() as u32).clamp(1, max.max(1));
        let (width, height) = (side(self.width, width_max), side(self.height, height_max));
        let channels = usize::from(self.channels);
        let columns: Vec<(usize, usize)> = (0..width).map(|at| span(at, width, self.width)).collect();
        let mut samples = Vec::with_capacity(width as usize * height as usize * channels);
        for row in 0..height {
            let (top, bottom) = span(row, height, self.height);
            for (left, right) in &columns {
                for channel in 0..channels {
                    let mut sum = 0_u64;
                    for y in top..bottom {
                        for x in *left..*right {
                            let at = (y * self.width as usize + x) * channels + channel;
                            sum += u64::from(self.samples[at]);
                        }
                    }
                    let n = ((bottom - top) * (right - left)) as u64;
                    samples.push(((sum + n / 2) / n) as u8);
                }
            }
        }
        Self {
            width,
            height,
            channels: self.channels,
            samples,
        }
    }
}

/// The old pixels that pixel `at` of `new` stands for; at least one.
fn span(at: u32, new: u32, old: u32) -> (usize, usize) {
    let begin = u64::from(at) * u64::from(old) / u64::from(new);
    let end = (u64::from(at) + 1) * u64::from(old) / u64::from(new);
    (begin as usize, end.max(begin + 1) as usize)
}

fn text(model: &Value, tag: Tag) -> String {
    model[tag.to_hex()]["Value"][0]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// An attribute of a frame: of its functional groups, of those all frames share, or of the object.
fn attribute(model: &Value, number: u32, tag: Tag) -> Option<&Value> {
    of_group(model, number, tag).get(tag.to_hex())
}

/// What holds the attribute of a frame.
fn of_group(model: &Value, number: u32, tag: Tag) -> &Value {
    let at = (number.max(1) - 1) as usize;
    let groups = [
        &model[PER_FRAME_GROUPS.to_hex()]["Value"][at],
        &model[SHARED_GROUPS.to_hex()]["Value"][0],
    ];
    let key = tag.to_hex();
    for group in groups {
        let macros = group.as_object().into_iter().flat_map(serde_json::Map::values);
        for item in macros.map(|one| &one["Value"][0]) {
            if item.get(&key).is_some() {
                return item;
            }
        }
    }
    model
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn geometry(samples_per_pixel: u8, bits: u8, is_signed: bool) -> FrameGeometry {
        FrameGeometry {
            rows: 2,
            columns: 2,
            samples_per_pixel,
            bits_allocated: bits,
            bits_stored: bits,
            high_bit: bits - 1,
            is_signed,
            is_planar: false,
        }
    }

    fn grey_model(photometric: &str) -> Value {
        json!({
            "00280004": { "vr": "CS", "Value": [photometric] },
            "00281050": { "vr": "DS", "Value": [40, 600] },
            "00281051": { "vr": "DS", "Value": [80, 2800] },
            "00281052": { "vr": "DS", "Value": [-1000] },
            "00281053": { "vr": "DS", "Value": [1] },
            "00281055": { "vr": "LO", "Value": ["BRAIN", "BONE"] },
        })
    }

    fn frame(samples: [i16; 4]) -> Vec<u8> {
        samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
    }

    #[test]
    fn windows_are_those_of_the_standard() {
        let window = |function| Window {
            center: 2048.0,
            width: 4096.0,
            function,
        };
        // The examples of PS3.3 section C.11.2.1.2.1, as shares of the output range.
        let linear = window(Function::Linear);
        assert_eq!((linear.grey(0.0), linear.grey(4095.0)), (0.0, 1.0));
        assert!((linear.grey(2048.0) - 2048.0 / 4095.0).abs() < 1e-12);
        let one = Window {
            center: 2048.0,
            width: 1.0,
            function: Function::Linear,
        };
        assert_eq!((one.grey(2047.0), one.grey(2048.0)), (0.0, 1.0));
        let exact = window(Function::LinearExact);
        assert_eq!(
            (exact.grey(0.0), exact.grey(2048.0), exact.grey(4096.0)),
            (0.0, 0.5, 1.0)
        );
        let sigmoid = window(Function::Sigmoid);
        assert_eq!(sigmoid.grey(2048.0), 0.5);
        assert!((sigmoid.grey(3072.0) - 1.0 / (1.0 + (-1.0_f64).exp())).abs() < 1e-12);
    }

    #[test]
    fn greys_follow_rescale_window_and_photometric_interpretation() {
        let samples = frame([0, 1000, 1040, 3000]);
        let show = |photometric: &str, window| {
            let look = Look::of(&grey_model(photometric), 1).unwrap();
            picture(&samples, &geometry(1, 16, true), &look, window)
                .unwrap()
                .samples
        };
        assert_eq!(show("MONOCHROME2", None), [0, 0, 129, 255]);
        assert_eq!(show("MONOCHROME1", None), [255, 255, 126, 0]);
        let look = Look::of(&grey_model("MONOCHROME2"), 1).unwrap();
        let bone = look.preset("bone").unwrap();
        assert_eq!((bone.center, bone.width), (600.0, 2800.0));
        assert_eq!(look.preset("2"), Some(bone));
        assert_eq!(
            (look.preset("0"), look.preset("3"), look.preset("LUNG")),
            (None, None, None)
        );
        assert_eq!(show("MONOCHROME2", Some(bone)), [0, 73, 77, 255]);
    }

    #[test]
    fn a_rescale_that_cannot_be_read_is_refused() {
        let with = |tag: &str, value: Value| {
            let mut model = grey_model("MONOCHROME2");
            model[tag]["Value"] = value;
            Look::of(&model, 1)
        };
        for (tag, value) in [
            ("00281052", json!(["-1024,0"])),
            ("00281053", json!(["one"])),
            ("00281053", json!([0])),
            ("00281052", json!([-1024, 0])),
        ] {
            assert_eq!(
                with(tag, value.clone()),
                Err(RenderError::NotSupported),
                "{tag} {value}"
            );
        }
        assert!(Look::of(&grey_model("MONOCHROME2"), 1).unwrap().is_hounsfield());
        for (tag, value, is_hounsfield) in [
            ("00281052", json!([null]), false),
            ("00281053", json!([]), false),
            ("00281054", json!(["HU"]), true),
            ("00281054", json!(["US"]), false),
        ] {
            let look = with(tag, value.clone()).unwrap();
            assert_eq!(look.is_hounsfield(), is_hounsfield, "{tag} {value}");
        }
    }

    #[test]
    fn windows_keep_their_places() {
        let mut model = grey_model("MONOCHROME2");
        model["00281050"]["Value"] = json!([null, 600, "4O", 50]);
        model["00281051"]["Value"] = json!([80, 2800, 90, 350]);
        model["00281055"]["Value"] = json!(["BRAIN", "BONE", null, "SOFT"]);
        let look = Look::of(&model, 1).unwrap();
        let found = |name| look.preset(name).map(|window| (window.center, window.width));
        assert_eq!(found("BONE"), Some((600.0, 2800.0)));
        assert_eq!((found("BRAIN"), found("1"), found("3")), (None, None, None));
        assert_eq!((found("2"), found("soft")), (found("bone"), found("4")));
        assert_eq!(found("4"), Some((50.0, 350.0)));
    }

    #[test]
    fn without_a_window_the_values_fill_the_range_and_padding_is_dark() {
        let model = json!({
            "00280004": { "vr": "CS", "Value": ["MONOCHROME2"] },
            "00280120": { "vr": "SS", "Value": [-2000] },
        });
        let look = Look::of(&model, 1).unwrap();
        let shown = picture(&frame([-2000, 0, 50, 100]), &geometry(1, 16, true), &look, None).unwrap();
        assert_eq!(shown.samples, [0, 0, 128, 255]);
        let flat = picture(&frame([7; 4]), &geometry(1, 16, true), &look, None).unwrap();
        assert_eq!(flat.samples, [128; 4]);
        let short = picture(&[0; 6], &geometry(1, 16, true), &look, None);
        assert_eq!(short, Err(RenderError::Contradiction));
    }

    #[test]
    fn functional_groups_decide_for_their_frame() {
        let group = |center: i32| {
            json!({ "00289132": { "vr": "SQ", "Value": [{
                "00281050": { "vr": "DS", "Value": [center] },
                "00281051": { "vr": "DS", "Value": [10] },
            }] } })
        };
        let model = json!({
            "00280004": { "vr": "CS", "Value": ["MONOCHROME2"] },
            "52009229": { "vr": "SQ", "Value": [{ "00289145": { "vr": "SQ", "Value": [{
                "00281052": { "vr": "DS", "Value": [-5] },
                "00281053": { "vr": "DS", "Value": [2] },
            }] } }] },
            "52009230": { "vr": "SQ", "Value": [group(1), group(2)] },
        });
        let second = Look::of(&model, 2).unwrap();
        assert_eq!((second.slope, second.intercept), (2.0, -5.0));
        assert_eq!(second.windows[0].window.center, 2.0);
        assert_eq!(Look::of(&model, 1).unwrap().windows[0].window.center, 1.0);
    }

    #[test]
    fn colours_are_red_green_and_blue_or_refused() {
        let model = |photometric: &str| json!({ "00280004": { "vr": "CS", "Value": [photometric] } });
        let pixels = [76, 85, 255, 149, 43, 21, 29, 255, 107, 255, 128, 128];
        let ybr = Look::of(&model("YBR_FULL"), 1).unwrap();
        let shown = picture(&pixels, &geometry(3, 8, false), &ybr, None).unwrap();
        assert_eq!(shown.samples, [254, 0, 0, 0, 255, 0, 0, 0, 254, 255, 255, 255]);
        let rgb = Look::of(&model("RGB"), 1).unwrap();
        assert_eq!(
            picture(&pixels, &geometry(3, 8, false), &rgb, None)
                .unwrap()
                .samples,
            pixels
        );
        for refused in ["PALETTE COLOR", "YBR_FULL_422", "HSV", ""] {
            assert_eq!(
                Look::of(&model(refused), 1),
                Err(RenderError::NotSupported),
                "{refused}"
            );
        }
        let lut = json!({
            "00280004": { "vr": "CS", "Value": ["MONOCHROME2"] },
            "00283000": { "vr": "SQ", "Value": [{}] },
        });
        assert_eq!(Look::of(&lut, 1), Err(RenderError::NotSupported));
    }

    #[test]
    fn palettes_give_their_colours_or_nothing() {
        let model = |n: u16, bits: u16, data: [&[u8]; 3]| {
            let mut model = json!({ "00280004": { "vr": "CS", "Value": ["PALETTE COLOR"] } });
            for (channel, data) in data.into_iter().enumerate() {
                model[format!("0028110{}", channel + 1)] = json!({ "vr": "US", "Value": [n, 1, bits] });
                let data = BASE64.encode(data);
                model[format!("0028120{}", channel + 1)] = json!({ "vr": "OW", "InlineBinary": data });
            }
            model
        };
        let shown = |model: &Value| {
            let look = Look::of(model, 1)?;
            picture(&[0, 1, 2, 9], &geometry(1, 8, false), &look, None).map(|picture| picture.samples)
        };
        let expected = [[10, 20, 30], [10, 20, 30], [40, 50, 60], [70, 80, 90]].concat();
        let narrow = model(3, 8, [&[10, 40, 70, 0], &[20, 50, 80, 0], &[30, 60, 90, 0]]);
        assert_eq!(shown(&narrow), Ok(expected.clone()));
        let wide = [
            [0, 10, 0, 40, 0, 70],
            [0, 20, 0, 50, 0, 80],
            [0, 30, 0, 60, 0, 90],
        ];
        let wide = model(3, 16, [&wide[0], &wide[1], &wide[2]]);
        assert_eq!(shown(&wide), Ok(expected));
        let mut other_first = narrow.clone();
        other_first["00281103"]["Value"][1] = json!(0);
        let mut elsewhere = narrow.clone();
        elsewhere["00281202"] = json!({ "vr": "OW", "BulkDataURI": "x" });
        let short = model(4, 16, [&[0; 6]; 3]);
        let three = model(0, 8, [&[0; 3]; 3]);
        for refused in [other_first, elsewhere, short, three] {
            assert_eq!(shown(&refused), Err(RenderError::NotSupported));
        }
    }

    #[test]
    fn parts_and_sizes() {
        let whole = Picture {
            width: 4,
            height: 2,
            channels: 1,
            samples: vec![0, 10, 20, 30, 40, 50, 60, 70],
        };
        let region = |left, top, width, height| Region {
            left,
            top,
            width,
            height,
        };
        assert_eq!(whole.cut(region(1, 1, 2, 1)).unwrap().samples, [50, 60]);
        for beyond in [
            region(3, 0, 2, 1),
            region(0, 2, 1, 1),
            region(0, 0, 0, 1),
            region(u32::MAX, 0, 2, 1),
        ] {
            assert_eq!(whole.cut(beyond), None);
        }
        let half = whole.fitted(2, 2);
        assert_eq!((half.width, half.height, half.samples), (2, 1, vec![25, 45]));
        let double = whole.fitted(8, 8);
        assert_eq!((double.width, double.height), (8, 4));
        assert_eq!(double.samples[..8], [0, 0, 10, 10, 20, 20, 30, 30]);
        let thin = whole.fitted(1, 1);
        assert_eq!((thin.width, thin.height), (1, 1));
    }
}
