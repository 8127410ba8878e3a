//! The ways one name is written and typed.

use proptest::prelude::*;

use super::*;

/// As the store compares.
fn finds(key: &str, search: &str) -> bool {
    let words = search_words(search);
    !words.is_empty()
        && words.iter().all(|word| {
            key.contains(&word.written) || word.spoken.as_ref().is_some_and(|spoken| key.contains(spoken))
        })
}

const YAMADA: [&str; 3] = ["YAMADA^TARO", "山田^太郎", "やまだ^たろう"];

#[test]
fn one_name_is_found_by_every_way_of_writing_it() {
    let keys = [
        patient_key(YAMADA, &["JP-001"]),
        patient_key(["Yamada^Tarou", "山田^太郎", "ヤマダ^タロウ"], &["JP-001"]),
        patient_key(["ﾔﾏﾀﾞ^ﾀﾛｳ", "山田^太郎", "やまだ^たろう"], &["JP-001"]),
        patient_key(["YAMADA^TAROH", "山田^太郎", ""], &["JP-001"]),
    ];
    for key in &keys {
        for search in [
            "YAMADA TARO",
            "Yamada^Tarou",
            "yamada tarō",
            "ＹＡＭＡＤＡ",
            "taro yamada",
            "yamadataro",
            "山田",
            "山田 太郎",
            "山田　太郎",
            "山田太郎",
            "ﾔﾏﾀﾞ",
            "ヤマダ",
            "やまだ",
            "やまだ　タロー",
            "jp-001",
            "JP001",
            "001",
        ] {
            assert!(finds(key, search), "{search} in {key}");
        }
        for search in ["山口", "佐藤", "yamato", "やまぐち", "山田 次郎", "JP-002"] {
            assert!(!finds(key, search), "{search} in {key}");
        }
    }
}

#[test]
fn the_single_byte_and_the_phonetic_group_both_count() {
    assert!(finds(&patient_key(["SATO^HANAKO", "", ""], &[]), "さとう"));
    assert!(finds(
        &patient_key(["", "佐藤^花子", "サトウ^ハナコ"], &[]),
        "sato hanako"
    ));
    assert!(finds(&patient_key(["ｻﾄｳ^ﾊﾅｺ", "", ""], &[]), "satou"));
    // A family name in kanji, a given name in kana.
    assert!(finds(&patient_key(["", "北海^はなこ", ""], &[]), "hanako"));
}

#[test]
fn hepburn_kunrei_and_long_vowels_are_one_sound() {
    let same: [&[&str]; 25] = [
        &["しまだ", "SHIMADA", "SIMADA"],
        &["ちば", "CHIBA", "TIBA"],
        &["つちや", "TSUCHIYA", "TUTIYA"],
        &["ふじい", "FUJII", "HUZII", "FUJI"],
        &["じゅんいち", "JUN'ICHI", "JUNICHI", "JYUNICHI", "ZYUNITI"],
        &["おおの", "OHNO", "ONO", "OONO", "Ōno", "Ôno", "オーノ"],
        &["おおた", "OHTA", "OTA", "OOTA"],
        &["おおいし", "OHISHI", "OISHI", "OOISI"],
        &["おおはし", "OHASHI", "OOHASHI"],
        &["おおや", "OHYA", "OYA"],
        &["いとう", "ITO", "ITOH", "ITOU", "ITŌ"],
        &["ゆうき", "YUUKI", "YUKI", "YŪKI"],
        &["しょうへい", "SHOHEI", "SHOUHEI", "SYOUHEI", "SYOHEI"],
        &["りゅういち", "RYUICHI", "RYUUICHI", "RYUITI"],
        &["はっとり", "HATTORI"],
        &["えっちゅう", "ETCHU", "ECCHU", "ETTYU"],
        &["ほんま", "HONMA", "HOMMA"],
        &["しんばし", "SHINBASHI", "SHIMBASHI"],
        &["かづこ", "KAZUKO", "KADZUKO", "KADUKO"],
        &["かをる", "KAORU", "KAWORU"],
        &["いのうえ", "INOUE"],
        &["ジェーン", "JEN", "ZYEN"],
        &["ファン", "FAN"],
        &["ティナ", "TINA"],
        &["みすゞ", "みすず", "MISUZU"],
    ];
    for spellings in same {
        for written_as in spellings {
            let key = patient_key([written_as, "", ""], &[]);
            for search in spellings {
                assert!(finds(&key, search), "{search} finds {written_as}: {key}");
            }
        }
    }
    for (key, search) in [("SHIMADA", "chimada"), ("ほんだ", "homma"), ("TANAKA", "tanabe")] {
        assert!(!finds(&patient_key([key, "", ""], &[]), search), "{search}");
    }
}

#[test]
fn forms_of_one_kanji_are_found_by_each_other() {
    for (one, other) in [
        ("髙橋^﨑子", "高橋"),
        ("高橋^崎子", "髙橋﨑子"),
        ("渡邉^真", "渡辺"),
        ("渡邊^眞", "渡邉真"),
        ("齋藤", "斉藤"),
        ("𠮷野", "吉野"),
        ("葛\u{E0100}城", "葛城"),
        ("\u{FA19}田", "神田"),
    ] {
        assert!(
            finds(&patient_key(["", one, ""], &[]), other),
            "{other} finds {one}"
        );
    }
}

#[test]
fn other_writings_are_found_too() {
    assert!(finds(&patient_key(["Müller^Jörg", "", ""], &[]), "muller"));
    assert!(finds(
        &patient_key(["Hong^Gildong", "洪^吉洞", "홍^길동"], &[]),
        "홍길동"
    ));
    assert!(finds(
        &patient_key(["Wang^XiaoDong", "王^小东", ""], &[]),
        "王小东"
    ));
    assert!(finds(&text_key("根室市立病院"), "根室"));
}

#[test]
fn signs_are_no_words_and_keys_hold_letters_and_digits_only() {
    assert_eq!(search_words(" ・-%_ '"), []);
    let key = patient_key(["A%B_C\\D^'!", "", ""], &["%_", "J P"]);
    assert!(key.chars().all(|c| c.is_alphanumeric() || c == ' '), "{key}");
    assert_eq!(format!("{:?}", search_words("山田")), "[SearchWord(redacted)]");
}

#[test]
fn the_table_of_kanji_names_each_form_once() {
    let mut seen = std::collections::BTreeSet::new();
    for (usual, others) in kanji::FORMS {
        for form in others.chars() {
            assert_ne!(*usual, form);
            assert!(seen.insert(form), "{form} twice");
            assert_eq!(kanji::usual_form(form), *usual);
        }
        assert_eq!(kanji::usual_form(*usual), *usual, "{usual} is a form of another");
    }
}

proptest! {
    #[test]
    fn a_name_is_found_by_its_own_components(
        name in "([A-Za-z]{1,8}|[ぁ-ん]{1,6}|[ァ-ヶー]{1,6}|[ｦ-ﾟ]{1,6}|[一-龠]{1,3})\\^([A-Za-z]{1,8}|[ぁ-ん]{1,6}|[一-龠]{1,3})",
    ) {
        let key = patient_key([&name, "", ""], &[]);
        for component in name.split('^').filter(|component| !search_words(component).is_empty()) {
            prop_assert!(finds(&key, component), "{component} in {key}");
        }
    }

    #[test]
    fn nothing_makes_it_panic(text in "\\PC{0,40}") {
        let words = search_words(&text);
        let key = patient_key([&text, &text, &text], &[&text]);
        for word in words {
            prop_assert!(key.contains(&word.written), "{} in {key}", word.written);
        }
    }
}
