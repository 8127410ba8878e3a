//! Finds the shared test data and takes files apart the way the product does.

use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tancho_domain::dicom::TransferSyntaxUid;
use tancho_imaging::part10;

/// Folder of the shared data: `TANCHO_TEST_DATA`, else beside the workspace; `None` when it is not there.
pub fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("TANCHO_TEST_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    if folder.join("README.md").is_file() {
        return Some(folder);
    }
    println!("skipped: no shared test data (set TANCHO_TEST_DATA)");
    None
}

/// Every file below the named folders, in name order.
pub fn files(root: &Path, folders: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in folders {
        for entry in std::fs::read_dir(root.join(folder))
            .into_iter()
            .flatten()
            .flatten()
        {
            let path = entry.path();
            if path.is_file() && path.extension().is_none_or(|ext| ext != "json") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A data set cut out of its file.
pub struct DataSet {
    pub transfer_syntax: TransferSyntaxUid,
    pub bytes: Vec<u8>,
    pub sha256: [u8; 32],
}

/// The data set of a file, or the code of the refusal.
pub fn data_set(path: &Path) -> Result<DataSet, &'static str> {
    let mut file = Cursor::new(std::fs::read(path).unwrap());
    let meta = part10::split(&mut file).map_err(|error| error.code())?;
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(meta.data_set_offset)).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    let sha256 = Sha256::digest(&bytes).into();
    Ok(DataSet {
        transfer_syntax: meta.transfer_syntax,
        bytes,
        sha256,
    })
}

pub fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}
