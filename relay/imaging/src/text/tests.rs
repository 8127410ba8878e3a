//! The worked examples of PS3.5 and of Japanese practice, the usual faults, and properties.

use proptest::prelude::*;

use super::*;

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn sets(terms: &str) -> CharacterSets {
    CharacterSets::parse(terms.as_bytes())
}

const DOTO: &str = "444f544f5e48414e414b4f3d1b2442463b456c1b28425e1b244232563b521b28423d1b2442254925262548\
                    25261b28425e1b2442254f254a25331b2842";

#[track_caller]
fn reads(terms: &str, vr: Vr, bytes: &str, expected: &str) {
    let text = decode(&hex(bytes), vr, &sets(terms));
    assert_eq!((text.text.as_str(), text.uncertain), (expected, false));
}

#[track_caller]
fn reads_with_mark(terms: &str, vr: Vr, bytes: &str, expected: &str) {
    let text = decode(&hex(bytes), vr, &sets(terms));
    assert_eq!((text.text.as_str(), text.uncertain), (expected, true));
}

#[test]
fn japanese_names_have_three_groups() {
    let name = decode_person_name(&hex(DOTO), &sets("\\ISO 2022 IR 87"));
    assert_eq!(name.alphabetic, "DOTO^HANAKO");
    assert_eq!(name.ideographic, "道東^花子");
    assert_eq!(name.phonetic, "ドウトウ^ハナコ");
    assert!(!name.uncertain);
    let text = "DOTO^HANAKO=道東^花子=ドウトウ^ハナコ";
    assert_eq!(
        encode(text, Vr::PN, &sets("\\ISO 2022 IR 87")).unwrap(),
        hex(DOTO)
    );
    assert_eq!(
        encode(text, Vr::PN, &sets("ISO_IR 192")).unwrap(),
        text.as_bytes()
    );
}

#[test]
fn examples_of_the_standard() {
    // PS3.5 H.3.1 and H.3.2, I.2, J.3, K.2.
    reads(
        "\\ISO 2022 IR 87",
        Vr::PN,
        "59616d6164615e5461726f753d1b24423b3345441b28425e1b244242404f3a1b28423d1b24422464245e24401b28425e1b24\
         42243f246d24261b2842",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
    );
    reads(
        "ISO 2022 IR 13\\ISO 2022 IR 87",
        Vr::PN,
        "d4cfc0de5ec0dbb33d1b24423b3345441b284a5e1b244242404f3a1b284a3d1b24422464245e24401b284a5e1b2442243f24\
         6d24261b284a",
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    );
    reads(
        "\\ISO 2022 IR 149",
        Vr::PN,
        "486f6e675e47696c646f6e673d1b242943fbf35e1b242943d1ced4d73d1b242943c8ab5e1b242943b1e6b5bf",
        "Hong^Gildong=洪^吉洞=홍^길동",
    );
    reads(
        "GB18030",
        Vr::PN,
        "57616e675e5869616f446f6e673dcdf55ed0a1b6ab3d",
        "Wang^XiaoDong=王^小东=",
    );
    reads(
        "\\ISO 2022 IR 58",
        Vr::PN,
        "5a68616e675e5869616f446f6e673d1b242941d5c55e1b242941d0a1b6ab3d",
        "Zhang^XiaoDong=张^小东=",
    );
    reads(
        "\\ISO 2022 IR 87\\ISO 2022 IR 159",
        Vr::PN,
        "4d6f72695e4f756761693d1b24423f391b28425e1b2428446c3f1b244233301b2842",
        "Mori^Ougai=森^鷗外",
    );
    reads("ISO_IR 100", Vr::PN, "4dfc6c6c65725e4af67267", "Müller^Jörg");
    reads("ISO_IR 148", Vr::LO, "dd7a6d6972", "İzmir");
    reads("ISO_IR 166", Vr::LO, "a1d2c3", "การ");
}

#[test]
fn two_byte_text_is_not_split_on_bytes_equal_to_delimiters() {
    let bytes = "5345505e583d1b2442305e303d305c1b28425e1b244242401b28423d";
    reads("\\ISO 2022 IR 87", Vr::PN, bytes, "SEP^X=緯綾移^太=");
    let values = decode_values(
        &hex("1b2442305c1b28425c1b2442305e1b2842"),
        Vr::LO,
        &sets("\\ISO 2022 IR 87"),
    );
    assert_eq!(values.values, ["移", "緯"]);
}

#[test]
fn the_yen_sign_separates_values_only_where_there_are_several() {
    reads("ISO_IR 13", Vr::ST, "313030305c323030307e", "1000¥2000‾");
    let values = decode_values(&hex("313030305c323030307e"), Vr::LO, &sets("ISO_IR 13"));
    assert_eq!(values.values, ["1000", "2000‾"]);
}

#[test]
fn undeclared_bytes_are_readable_but_marked() {
    reads_with_mark(
        "",
        Vr::PN,
        "59616d6164615e5461726f753d8e5293635e91be9859",
        "Yamada^Tarou=山田^太郎",
    );
    reads_with_mark("", Vr::LO, "955c8ea6835c83748367", "表示ソフト");
    reads_with_mark("ISO_IR 13", Vr::PN, "8e5293635e91be9859", "山田^太郎");
    reads_with_mark("ISO 2022 IR 87", Vr::PN, "8e5293635e91be9859", "山田^太郎");
    reads_with_mark("\\ISO 2022 IR 87", Vr::PN, "bbb3c5c45ec2c0cfba", "山田^太郎");
    reads_with_mark("", Vr::PN, "e5b1b1e794b05ee5a4aae9838e", "山田^太郎");
    reads_with_mark("ISO_IR 100", Vr::PN, "e5b1b1e794b05ee5a4aae9838e", "山田^太郎");
    reads_with_mark(
        "\\ISO 2022 IR 87",
        Vr::PN,
        "59616d6164615e5461726f753d1b24423b3345445e1b244242404f3a",
        "Yamada^Tarou=山田^太郎",
    );
    reads_with_mark("ISO_IR 100", Vr::PN, "583d1b24423b3345441b2842", "X=山田");
    reads_with_mark(
        "\\ISO 2022 IR 87",
        Vr::PN,
        "583d1b24427c621b28425e1b24423b521b2842",
        "X=髙^子",
    );
}

#[test]
fn ambiguous_bytes_are_not_guessed() {
    // Half-width katakana in Shift_JIS, kanji in EUC-JP, nothing declared.
    reads_with_mark("", Vr::PN, "d4cfc0de", "\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}");
    reads_with_mark("ISO_IR 192", Vr::LO, "41ff42", "A\u{FFFD}B");
}

#[test]
fn a_forgotten_return_before_what_may_be_a_delimiter_is_marked() {
    // Row 0x5E of the table follows: one kanji, or a circumflex and half of the next.
    reads_with_mark("\\ISO 2022 IR 87", Vr::PN, "1b24423b3345445e42", "山田淆");
    reads("\\ISO 2022 IR 87", Vr::PN, "1b24423b3345445e421b2842", "山田淆");
    // Nothing in it can be a delimiter: readable without doubt.
    reads("\\ISO 2022 IR 87", Vr::PN, "1b24423b334544", "山田");
    reads("\\ISO 2022 IR 87", Vr::ST, "1b24423b3345445e42", "山田淆");
}

#[test]
fn what_has_no_place_for_a_mark_says_only_what_is_declared() {
    let declared = |terms: &str, vr: Vr, bytes: &str| {
        let Values { values, uncertain } = decode_declared(&hex(bytes), vr, &sets(terms));
        (values.join("\\"), uncertain)
    };
    let marked = |text: &str| (text.to_owned(), true);
    // Shift_JIS and UTF-8 that nobody declared, and UTF-8 declared as Latin-1.
    assert_eq!(
        declared("", Vr::PN, "59616d6164615e5461726f753d8e5293635e91be9859"),
        marked("Yamada^Tarou=\u{FFFD}R\u{FFFD}c^\u{FFFD}\u{FFFD}\u{FFFD}Y")
    );
    assert_eq!(
        declared("", Vr::PN, "e5b1b15ee5a4aa"),
        marked("\u{FFFD}\u{FFFD}\u{FFFD}^\u{FFFD}\u{FFFD}\u{FFFD}")
    );
    assert_eq!(declared("ISO_IR 192", Vr::LO, "41ff42"), marked("A\u{FFFD}B"));
    assert_eq!(declared("ISO_IR 192", Vr::LO, "e5b1b1"), ("山".to_owned(), false));
}

#[test]
fn every_byte_of_the_gb_sets_has_its_character() {
    reads(
        "GBK",
        Vr::PN,
        "57616e675e58696f3dcdf55ed0a1b6ab3d",
        "Wang^Xio=王^小东=",
    );
    reads("GB18030", Vr::LO, "9534b235", "𠮷");
}

#[test]
fn single_byte_sets_extend_each_other_by_escapes() {
    // French, then Cyrillic, then Greek by escapes into the upper half; a delimiter brings the first back.
    reads(
        "ISO 2022 IR 100\\ISO 2022 IR 144\\ISO 2022 IR 126",
        Vr::PN,
        "427563 5e 4ae972f46d65 3d 1b2d4c bbeeda65 3d 1b2d46 c4e9ef"
            .replace(' ', "")
            .as_str(),
        "Buc^Jérôme=Люкe=Διο",
    );
    reads(
        "ISO 2022 IR 100\\ISO 2022 IR 144",
        Vr::LO,
        "1b2d4cbbee5ce9",
        "Лю\\é",
    );
}

#[test]
fn controls_never_reach_a_row_or_a_log() {
    reads_with_mark("", Vr::LO, "41004210", "A\u{FFFD}B\u{FFFD}");
    reads_with_mark("", Vr::PN, "411b5b33316d", "A\u{FFFD}[31m");
}

#[test]
fn unknown_terms_are_remembered() {
    assert!(sets("shift_jis").has_unknown_term());
    assert!(sets(&"ISO 2022 IR 87\\".repeat(100)).has_unknown_term());
    assert!(!sets("ISO-2022-IR-87").has_unknown_term());
    assert!(!sets("").has_unknown_term());
}

proptest! {
    #[test]
    fn never_panics(bytes: Vec<u8>, terms in "(ISO (2022 IR|_IR) (6|13|87|159|149|58|100|192)|GB18030|GBK|\\\\){0,4}") {
        for vr in [Vr::PN, Vr::LO, Vr::LT, Vr::CS, Vr::UI] {
            let _ = decode_values(&bytes, vr, &sets(&terms));
        }
        let _ = decode_person_name(&bytes, &sets(&terms));
        let _ = CharacterSets::parse(&bytes);
    }

    #[test]
    fn what_is_encoded_is_decoded(
        text in "([a-zA-Z ぁ-んァ-ヶ一-龠ー〜−、。^=]|[가-힣]|[ｱ-ﾝ]){0,24}[a-z]",
        terms in prop::sample::select(vec![
            "\\ISO 2022 IR 87", "\\ISO 2022 IR 87\\ISO 2022 IR 159", "ISO 2022 IR 13\\ISO 2022 IR 87",
            "\\ISO 2022 IR 149", "\\ISO 2022 IR 58", "ISO_IR 192", "GB18030", "GBK", "ISO 2022 IR 100\\ISO 2022 IR 87",
            "ISO 2022 IR 13\\ISO 2022 IR 87\\ISO 2022 IR 159\\ISO 2022 IR 149\\ISO 2022 IR 58",
        ]),
    ) {
        for vr in [Vr::PN, Vr::LT] {
            if let Ok(bytes) = encode(&text, vr, &sets(terms)) {
                let back = decode(&bytes, vr, &sets(terms));
                prop_assert_eq!((back.text.as_str(), back.uncertain), (text.as_str(), false));
            }
        }
    }

    /// Every set with the text it is for, alone and reached by an escape from another.
    #[test]
    fn every_single_byte_set_is_written_and_read(
        (number, text) in single_byte_text(),
        vr in prop::sample::select(vec![Vr::PN, Vr::LO, Vr::LT]),
    ) {
        for terms in [format!("ISO_IR {number}"), format!("ISO 2022 IR 100\\ISO 2022 IR {number}"), format!("\\ISO 2022 IR {number}")] {
            let bytes = encode(&text, vr, &sets(&terms)).unwrap();
            let back = decode(&bytes, vr, &sets(&terms));
            prop_assert_eq!((back.text.as_str(), back.uncertain), (text.as_str(), false), "{}", terms);
        }
    }
}

/// A single-byte set's number and some text of its repertoire that is not UTF-8 by chance.
fn single_byte_text() -> impl Strategy<Value = (u16, String)> {
    let numbers = vec![13u16, 100, 101, 109, 110, 126, 127, 138, 144, 148, 166, 203];
    prop::sample::select(numbers).prop_flat_map(|number| {
        let set = Charset::of_term(&format!("ISO_IR {number}")).unwrap();
        let upper: Vec<char> = (0xA1..=0xFF).filter_map(|byte| set.upper(byte)).collect();
        let parts = prop::collection::vec(
            (
                prop::sample::select(vec!["", "^", "=", "a", "Z^", "9 b"]),
                prop::sample::select(upper),
            ),
            1..8,
        );
        (Just(number), parts).prop_map(|(number, parts)| {
            let text: String = parts
                .into_iter()
                .map(|(before, c)| format!("{before}{c}x"))
                .collect();
            (number, text)
        })
    })
}
