//! Makes bytes and names outlast a power cut: the one place of the relay that asks the disk for it. The database does
//! so by itself.
//!
//! A receipt rests on these calls. The features `broken-*` leave one of them out, so that `make sweep` can show that its
//! power cuts find that out; no release build takes them.

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

/// Receipts are given before the commit they rest on; never but in a build that is broken on purpose.
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
    if cfg!(feature = "broken-folder-fsync") || !cfg!(unix) {
        return Ok(());
    }
    File::open(path)?.sync_all()
}

/// Ends the process like a kill would, when a test asks for this point by name and pass. Not part of a release build.
pub(crate) fn crash_point(name: &str) {
    #[cfg(debug_assertions)]
    {
        use std::sync::OnceLock;
        use std::sync::atomic::{AtomicI64, Ordering};
        static WANTED: OnceLock<Option<(String, AtomicI64)>> = OnceLock::new();
        let wanted = WANTED.get_or_init(|| {
            let text = std::env::var("TANCHO_CRASH_POINT").ok()?;
            let (point, pass) = text.split_once(':').unwrap_or((&text, "1"));
            Some((point.to_owned(), AtomicI64::new(pass.parse().unwrap_or(1))))
        });
        if let Some((point, passes)) = wanted
            && point == name
            && passes.fetch_sub(1, Ordering::SeqCst) == 1
        {
            std::process::abort();
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}
