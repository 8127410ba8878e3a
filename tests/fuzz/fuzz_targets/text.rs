//! Text in the character sets of DICOM: any bytes under any declaration never panic, nothing that could move the cursor
//! or end a line comes out, and text that came whole is written and read back as it was.
//!
//! A zero byte ends the Specific Character Set; the byte after it chooses the value representation.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tancho_imaging::element::Vr;
use tancho_imaging::text::{CharacterSets, decode, decode_person_name, decode_values, encode};

const REPRESENTATIONS: [&[u8; 2]; 8] = [b"PN", b"LO", b"SH", b"LT", b"ST", b"UT", b"UC", b"CS"];

fuzz_target!(|input: &[u8]| {
    let end = input.iter().position(|byte| *byte == 0).unwrap_or(0);
    let (declared, rest) = input.split_at(end);
    let Some((choice, value)) = rest.get(1..).and_then(<[u8]>::split_first) else {
        return;
    };
    let sets = CharacterSets::parse(declared);
    let vr = Vr(*REPRESENTATIONS[usize::from(*choice) % REPRESENTATIONS.len()]);
    let text = decode(value, vr, &sets);
    let values = decode_values(value, vr, &sets);
    assert_eq!(text.text, values.values.join("\\"));
    let _ = decode_person_name(value, &sets);
    assert!(
        !text.text.contains(['\0', '\u{1b}']),
        "a control character came through"
    );
    if text.uncertain {
        return;
    }
    if let Ok(written) = encode(&text.text, vr, &sets) {
        let back = decode(&written, vr, &sets);
        assert_eq!(back.text, text.text, "{:?} under {:?}", written, sets.terms());
    }
});
