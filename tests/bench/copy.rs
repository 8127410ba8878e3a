//! The physical limit: the same files copied with the same promise, one fsync for the file and one for its folder.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use crate::intake::Series;

/// Seconds to copy all files, each durable before the next.
pub fn seconds(series: &Series, folder: &Path) -> anyhow::Result<f64> {
    fs::create_dir_all(folder)?;
    let directory = File::open(folder)?;
    let start = Instant::now();
    for (idx, path) in series.files.iter().enumerate() {
        let bytes = fs::read(path)?;
        let partial = folder.join(format!("{idx}.part"));
        let mut file = File::create(&partial)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&partial, folder.join(format!("{idx}.dcm")))?;
        directory.sync_all()?;
    }
    Ok(start.elapsed().as_secs_f64())
}
