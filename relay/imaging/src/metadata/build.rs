//! Builds the JSON object with an explicit stack, one element at a time.

use base64::Engine as _;
use serde_json::{Map, Number, Value, json};

use super::{MetadataOptions, append_fragment};
use crate::element::{Tag, Vr};
use crate::elements::{Visitor, pixel_data};
use crate::scan::ScanError;
use crate::text::{self, CharacterSets};
use crate::walk::{AnyWalker, Element, Event, inflate_error};

/// Where the walk is: sequences with the item each is at.
#[derive(Debug, Default)]
pub(super) struct Place(Vec<(Tag, usize)>);

impl Place {
    pub(super) fn enter(&mut self, sequence: Tag) {
        self.0.push((sequence, 0));
    }

    pub(super) fn next_item(&mut self) {
        if let Some((_, item)) = self.0.last_mut() {
            *item += 1;
        }
    }

    pub(super) fn leave(&mut self) {
        self.0.pop();
    }

    pub(super) fn path_of(&self, tag: Tag) -> String {
        let mut path = String::new();
        for (sequence, item) in &self.0 {
            path.push_str(&format!("{}.{item}.", sequence.to_hex()));
        }
        path + &tag.to_hex()
    }
}

/// One data set or item under construction.
#[derive(Debug)]
struct Level {
    object: Map<String, Value>,
    sets: CharacterSets,
    /// Items of the sequences open in it, innermost last.
    sequences: Vec<(Tag, Vec<Value>)>,
}

pub(super) struct Builder<'a> {
    options: &'a MetadataOptions,
    place: Place,
    levels: Vec<Level>,
    /// Compressed value that is not the object's frames, while the walk is in it; `None` inside when it is too long.
    fragments: Option<(Element, Option<Vec<u8>>)>,
    /// Bytes of values that are carried inline.
    inline_bytes: u64,
}

impl Visitor for Builder<'_> {
    fn step(&mut self, walker: &mut AnyWalker<'_>, event: Event) -> Result<bool, ScanError> {
        if let Some(pixels) = pixel_data(event) {
            self.left_out(pixels);
            return Ok(true);
        }
        match event {
            Event::Element(element) if self.wants_value(element) => {
                self.inline_bytes += element.len.unwrap_or(0);
                if self.inline_bytes > self.options.limits.max_head_bytes {
                    return Err(ScanError::ValueTooLong(element.tag));
                }
                let value = walker.read_value(u64::MAX).map_err(inflate_error)?;
                if element.tag == Tag::PIXEL_REPRESENTATION && element.depth == 0 {
                    walker.set_signed(value.contains(&1));
                }
                self.element(element, &value);
            }
            Event::Element(element) => self.left_out(element),
            Event::SequenceStart(element) => self.sequence_start(element.tag),
            Event::ItemStart => self.item_start(),
            Event::ItemEnd => self.item_end(),
            Event::SequenceEnd => self.sequence_end(),
            Event::FragmentsStart(element) => self.fragments = Some((element, Some(Vec::new()))),
            Event::Fragment { len, .. } => {
                if let Some((_, fragments)) = &mut self.fragments
                    && let Some(bytes) = fragments
                {
                    if bytes.len() as u64 + len > self.options.inline_bytes_max {
                        *fragments = None;
                    } else {
                        append_fragment(walker, bytes, len)?;
                    }
                }
            }
            Event::FragmentsEnd => match self.fragments.take() {
                Some((element, Some(bytes))) => self.element(element, &bytes),
                Some((element, None)) => self.left_out(element),
                None => {}
            },
            Event::PixelDataHeader(_) | Event::End => {}
        }
        Ok(true)
    }
}

impl<'a> Builder<'a> {
    pub(super) fn new(options: &'a MetadataOptions) -> Self {
        let top = Level {
            object: Map::new(),
            sets: CharacterSets::default(),
            sequences: Vec::new(),
        };
        Self {
            options,
            place: Place::default(),
            levels: vec![top],
            fragments: None,
            inline_bytes: 0,
        }
    }

    pub(super) fn finish(mut self) -> Value {
        // A head that was cut inside a sequence leaves levels open; the outermost is the answer.
        self.levels.truncate(1);
        Value::Object(self.levels.pop().map(|level| level.object).unwrap_or_default())
    }

    /// Whether the value is carried inline.
    fn wants_value(&self, element: Element) -> bool {
        !element.vr.is_bulk()
            || element
                .len
                .is_some_and(|len| len <= self.options.inline_bytes_max)
    }

    /// Names a value that is not carried inline.
    fn left_out(&mut self, element: Element) {
        if let Some(base) = &self.options.bulk_data_base_url {
            let address = format!("{base}/bulkdata/{}", self.place.path_of(element.tag));
            self.insert(
                element.tag,
                json!({ "vr": element.vr.as_str(), "BulkDataURI": address }),
            );
        }
    }

    fn element(&mut self, element: Element, value: &[u8]) {
        let tag = element.tag;
        // A private creator is LO whatever it was sent as (PS3.5 section 7.8.1).
        let is_creator = tag.is_private() && matches!(tag.1, 0x0010..=0x00FF) && element.vr == Vr::UN;
        let element = Element {
            vr: if is_creator { Vr::LO } else { element.vr },
            ..element
        };
        if tag.is_group_length() || tag == Tag::TRAILING_PADDING {
            return;
        }
        if tag == Tag::SPECIFIC_CHARACTER_SET {
            self.level().sets = CharacterSets::parse(value);
            // JSON is UTF-8 (PS3.18 section F.2), whatever the object was in.
            self.insert(tag, json!({ "vr": "CS", "Value": ["ISO_IR 192"] }));
            return;
        }
        let mut model = Map::new();
        model.insert("vr".to_owned(), Value::from(element.vr.as_str()));
        if !value.is_empty() {
            if element.vr.is_bulk() {
                let mut bytes = value.to_vec();
                if element.encoding.is_big_endian() {
                    bytes
                        .chunks_exact_mut(element.vr.number_bytes())
                        .for_each(<[u8]>::reverse);
                }
                let text = base64::engine::general_purpose::STANDARD.encode(bytes);
                model.insert("InlineBinary".to_owned(), Value::from(text));
            } else {
                let values = self.values(element, value);
                if values.iter().any(|value| !value.is_null()) {
                    model.insert("Value".to_owned(), Value::from(values));
                }
            }
        }
        self.insert(tag, Value::Object(model));
    }

    fn sequence_start(&mut self, tag: Tag) {
        self.place.enter(tag);
        self.level().sequences.push((tag, Vec::new()));
    }

    fn item_start(&mut self) {
        self.place.next_item();
        // An item without its own character sets has those around it (PS3.3 section C.12.1.1.2).
        let sets = self.level().sets.clone();
        self.levels.push(Level {
            object: Map::new(),
            sets,
            sequences: Vec::new(),
        });
    }

    fn item_end(&mut self) {
        if self.levels.len() < 2 {
            return;
        }
        let item = self.levels.pop().map(|level| level.object).unwrap_or_default();
        if let Some((_, items)) = self.level().sequences.last_mut() {
            items.push(Value::Object(item));
        }
    }

    fn sequence_end(&mut self) {
        self.place.leave();
        if let Some((tag, items)) = self.level().sequences.pop() {
            let model = if items.is_empty() {
                json!({ "vr": "SQ" })
            } else {
                json!({ "vr": "SQ", "Value": items })
            };
            self.insert(tag, model);
        }
    }

    fn level(&mut self) -> &mut Level {
        self.levels.last_mut().expect("the top level stays until the end")
    }

    /// The first of a repeated element counts.
    fn insert(&mut self, tag: Tag, model: Value) {
        self.level().object.entry(tag.to_hex()).or_insert(model);
    }

    fn values(&mut self, element: Element, value: &[u8]) -> Vec<Value> {
        let vr = element.vr;
        match vr {
            Vr::AT | Vr::US | Vr::SS | Vr::UL | Vr::SL | Vr::UV | Vr::SV | Vr::FL | Vr::FD => {
                numbers(vr, value, element.encoding.is_big_endian())
            }
            // The model has no place for a mark, so it says nothing that the declared character sets do not.
            Vr::PN => {
                let decoded = text::decode_declared(value, vr, &self.level().sets);
                decoded.values.iter().map(|value| person_name(value)).collect()
            }
            _ => {
                let decoded = text::decode_declared(value, vr, &self.level().sets);
                decoded
                    .values
                    .into_iter()
                    .map(|value| text_value(vr, &value))
                    .collect()
            }
        }
    }
}

fn text_value(vr: Vr, value: &str) -> Value {
    let value = if vr.is_multi_valued_text() {
        value.trim_start_matches(' ')
    } else {
        value
    };
    if value.is_empty() {
        return Value::Null;
    }
    match vr {
        Vr::IS => value
            .parse::<i64>()
            .map_or_else(|_| Value::from(value), Value::from),
        Vr::DS => {
            let number = value.parse::<f64>().ok().and_then(Number::from_f64);
            number.map_or_else(|| Value::from(value), Value::Number)
        }
        _ => Value::from(value),
    }
}

fn person_name(value: &str) -> Value {
    let name = text::person_name(value, false);
    let mut model = Map::new();
    for (key, group) in [
        ("Alphabetic", name.alphabetic),
        ("Ideographic", name.ideographic),
        ("Phonetic", name.phonetic),
    ] {
        if !group.is_empty() {
            model.insert(key.to_owned(), Value::from(group));
        }
    }
    if model.is_empty() {
        Value::Null
    } else {
        Value::Object(model)
    }
}

fn numbers(vr: Vr, value: &[u8], big_endian: bool) -> Vec<Value> {
    let unit = if vr == Vr::AT { 4 } else { vr.number_bytes() };
    value
        .chunks_exact(unit)
        .map(|bytes| {
            let mut little = [0u8; 8];
            little[..unit].copy_from_slice(bytes);
            if vr == Vr::AT {
                let half = |at: usize| {
                    let pair = [little[at], little[at + 1]];
                    if big_endian {
                        u16::from_be_bytes(pair)
                    } else {
                        u16::from_le_bytes(pair)
                    }
                };
                return Value::from(Tag(half(0), half(2)).to_hex());
            }
            if big_endian {
                little[..unit].reverse();
            }
            let raw = u64::from_le_bytes(little);
            match vr {
                Vr::SS => Value::from(raw as u16 as i16),
                Vr::SL => Value::from(raw as u32 as i32),
                Vr::SV => Value::from(raw as i64),
                Vr::FL => float(f64::from(f32::from_bits(raw as u32))),
                Vr::FD => float(f64::from_bits(raw)),
                _ => Value::from(raw),
            }
        })
        .collect()
}

/// JSON has no NaN and no infinities; they are text (PS3.18 section F.2.3).
fn float(number: f64) -> Value {
    match Number::from_f64(number) {
        Some(number) => Value::Number(number),
        None if number.is_nan() => Value::from("NaN"),
        None if number > 0.0 => Value::from("inf"),
        None => Value::from("-inf"),
    }
}
