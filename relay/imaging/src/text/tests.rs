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
            "\\ISO 2022 IR 149", "\\ISO 2022 IR 58", "ISO_IR 192", "GB18030", "ISO 2022 IR 100\\ISO 2022 IR 87",
        ]),
    ) {
        for vr in [Vr::PN, Vr::LT] {
            if let Ok(bytes) = encode(&text, vr, &sets(terms)) {
                let back = decode(&bytes, vr, &sets(terms));
                prop_assert_eq!((back.text.as_str(), back.uncertain), (text.as_str(), false));
            }
        }
    }
}
