//! The shared folder of real and hostile DICOM files, which is not part of the clone.

use std::env;
use std::path::{Path, PathBuf};

/// A folder of the shared test data, or none when it is not on this machine; then the reason is printed.
///
/// `TANCHO_TEST_DATA` names the folder; else it is looked for beside the clone, in `shared/data`.
pub fn shared_data(name: &str) -> Option<PathBuf> {
    let root = env::var_os("TANCHO_TEST_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    );
    let folder = root.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: the shared test data has no {name} here (set TANCHO_TEST_DATA)");
    None
}

/// The data set of a Part 10 file: what follows group 0002.
///
/// # Panics
/// When the file is not one, or cannot be read.
pub fn data_set_of(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).expect("a readable file");
    data_set(&bytes).to_vec()
}

/// The data set of the bytes of a Part 10 file.
///
/// # Panics
/// When it is not one.
pub fn data_set(file: &[u8]) -> &[u8] {
    assert_eq!(&file[128..132], b"DICM", "a Part 10 file");
    // Group 0002 starts with its own length (PS3.10 7.1), a UL of four bytes.
    assert_eq!(&file[132..140], [2, 0, 0, 0, b'U', b'L', 4, 0], "a group length");
    let length = u32::from_le_bytes([file[140], file[141], file[142], file[143]]) as usize;
    &file[144 + length..]
}
