//! Makes bytes and names outlast a power cut: the one place of the agent that asks the disk for it.
//!
//! A success that a modality was told rests on these calls. The features `broken-*` leave one of them out, so that
//! `make sweep` can show that its power cuts find that out; no release build takes them.

use std::fs::File;
use std::io;
use std::path::Path;

#[cfg(all(
    not(debug_assertions),
    any(
        feature = "broken-file-fsync",
        feature = "broken-folder-fsync",
        feature = "broken-receipt-order"
    )
))]
compile_error!("a build that loses acknowledged images on purpose is for tests alone");

/// Answers are given before the commit they rest on; never but in a build that is broken on purpose.
pub const ANSWERS_EARLY: bool = cfg!(feature = "broken-receipt-order");

/// Makes the bytes and the length of a file durable. After an error they must count as lost: another fsync of the same
/// file may succeed over bytes that were never written.
pub fn file(file: &File) -> io::Result<()> {
    if cfg!(feature = "broken-file-fsync") {
        return Ok(());
    }
    file.sync_data()
}

/// Makes the names in a folder durable; file systems of Windows do that by themselves.
pub fn folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        open_folder(&File::open(path)?)
    } else {
        Ok(())
    }
}

/// As [`folder`], for one that is open already.
pub fn open_folder(folder: &File) -> io::Result<()> {
    if cfg!(feature = "broken-folder-fsync") {
        return Ok(());
    }
    folder.sync_all()
}
