//! What the relay decodes against pydicom with the decoders of other projects: every family of codestream, over the web.

use std::path::{Path, PathBuf};

use tancho_e2e::hospital::Network;
use tancho_e2e::program::{peer_script, peers_python, run};
use tancho_e2e::samples::shared_data;

/// Objects of the shared data that cannot be compared so.
const LEFT_OUT: [&str; 10] = [
    // They name no study, so they are not stored.
    "HTJ2KLossless_08_RGB.dcm",
    "HTJ2K_08_RGB.dcm",
    "JLSL_16_15_1_1F.dcm",
    "JLSL_RGB_ILV2.dcm",
    "JPEGLSNearLossless_16.dcm",
    // The other decoder fails.
    "JPEG2000-embedded-sequence-delimiter.dcm",
    "MR1_JLSL.dcm",
    "MR1_JPLY.dcm",
    // Colours of sixteen bits have no picture.
    "SC_rgb_rle_16bit.dcm",
    // Header and codestream contradict each other on the sign, so it is not decoded.
    "TOSHIBA_J2K_SIZ1_PixRep0.dcm",
];

#[test]
fn decoded_frames_are_those_of_other_decoders() {
    let network = Network::small();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/codecs");
    let mut files = dicom_files(&fixtures);
    assert!(files.len() > 30);
    for folder in ["syntaxes", "compressed-real"] {
        files.extend(shared_data(folder).iter().flat_map(|folder| dicom_files(folder)));
    }
    files.retain(|file| {
        let name = file.file_name().unwrap().to_str().unwrap();
        is_decoded(file) && !LEFT_OUT.contains(&name)
    });
    let token = network.relay.token("technologist").unwrap();
    let mut arguments = vec![peer_script("decoded.py").into_os_string()];
    arguments.extend([network.relay.url().into(), token.into()]);
    arguments.extend(files.into_iter().map(PathBuf::into_os_string));
    run(Path::new(&peers_python()), &arguments, None).unwrap_or_else(|error| panic!("{error:#}"));
}

fn dicom_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "dcm"))
        .collect();
    files.sort();
    files
}

/// Whether the transfer syntax in the file's header is one that is decoded.
fn is_decoded(file: &Path) -> bool {
    let bytes = std::fs::read(file).unwrap();
    let head = &bytes[..bytes.len().min(1024)];
    let at = head.windows(6).position(|window| window == b"\x02\x00\x10\x00UI");
    let Some(at) = at else { return false };
    let len = usize::from(head[at + 6]);
    let uid = String::from_utf8_lossy(&head[at + 8..at + 8 + len]);
    let uid = uid.trim_end_matches('\0');
    let last = uid.strip_prefix("1.2.840.10008.1.2.4.");
    uid == "1.2.840.10008.1.2.5"
        || last.is_some_and(|last| {
            [
                "50", "51", "57", "70", "80", "81", "90", "91", "201", "202", "203",
            ]
            .contains(&last)
        })
}
