//! Patients whose names come in the character sets of Japanese scanners, rightly and wrongly declared.

use super::{Phantom, RawText};

/// A study and how its text has to look.
#[derive(Clone, Debug)]
pub struct Named {
    /// The study, of one slice.
    pub phantom: Phantom,
    /// The three groups of the name as a person reads them.
    pub groups: [&'static str; 3],
    /// Study and series description as a person reads them.
    pub description: &'static str,
    /// Birth year by era.
    pub era: &'static str,
    /// Whether the bytes do not fit the declared set, so that a person sees the mark.
    pub is_uncertain: bool,
}

/// One study for each way of writing.
pub fn studies() -> Vec<Named> {
    let escapes = concat!(
        "Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=",
        "\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B"
    );
    let after_katakana = escapes.replace("Yamada^Tarou", "").replace("\x1b(B", "\x1b(J");
    let katakana = [
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3".as_slice(),
        after_katakana.as_bytes(),
    ]
    .concat();
    let korean =
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf";
    let utf8 = |text: &str| text.as_bytes().to_vec();
    let shift_jis = |text: &str| encoding_rs::SHIFT_JIS.encode(text).0.into_owned();
    let kept = |number, birth_date, era, character_sets, name, described_as, (groups, description)| Named {
        phantom: phantom(number, birth_date, character_sets, name, described_as),
        groups,
        description,
        era,
        is_uncertain: false,
    };
    let marked = |named: Named| Named {
        is_uncertain: true,
        ..named
    };
    vec![
        kept(
            1,
            "19480312",
            "昭和23年",
            "\\ISO 2022 IR 87",
            utf8(escapes),
            utf8("\x1b$BF,It\x1b(B CT"),
            (["Yamada^Tarou", "山田^太郎", "やまだ^たろう"], "頭部 CT"),
        ),
        kept(
            2,
            "19261225",
            "昭和元年",
            "ISO 2022 IR 13\\ISO 2022 IR 87",
            katakana,
            b"\xc4\xb3\xcc\xde".to_vec(),
            (["ﾔﾏﾀﾞ^ﾀﾛｳ", "山田^太郎", "やまだ^たろう"], "ﾄｳﾌﾞ"),
        ),
        kept(
            3,
            "20190501",
            "令和元年",
            "ISO_IR 192",
            utf8("Takahashi^Saki=髙橋^﨑子=たかはし^さきこ"),
            utf8("頭部"),
            (["Takahashi^Saki", "髙橋^﨑子", "たかはし^さきこ"], "頭部"),
        ),
        marked(kept(
            4,
            "19890107",
            "昭和64年",
            "",
            shift_jis("Suzuki^Jiro=鈴木^次郎"),
            shift_jis("表示ソフト"),
            (["Suzuki^Jiro", "鈴木^次郎", ""], "表示ソフト"),
        )),
        marked(kept(
            5,
            "19120730",
            "大正元年",
            "ISO_IR 100",
            utf8("知床^一郎"),
            utf8("HEAD CT"),
            (["知床^一郎", "", ""], "HEAD CT"),
        )),
        kept(
            6,
            "19120729",
            "明治45年",
            "\\ISO 2022 IR 149",
            korean.to_vec(),
            utf8("HEAD CT"),
            (["Hong^Gildong", "洪^吉洞", "홍^길동"], "HEAD CT"),
        ),
    ]
}

fn phantom(
    number: u32,
    birth_date: &str,
    character_sets: &'static str,
    patient_name: Vec<u8>,
    description: Vec<u8>,
) -> Phantom {
    Phantom {
        patient_id: format!("NM-{number}"),
        birth_date: birth_date.to_owned(),
        raw_text: Some(RawText {
            character_sets,
            patient_name,
            study_description: description.clone(),
            series_description: description,
        }),
        ..Phantom::normal(&format!("names {number}")).with_slices(1)
    }
}
