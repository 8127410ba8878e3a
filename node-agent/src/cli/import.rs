//! Which files `tancho-agent send` takes, and how one is opened: regular files below what was named, no links
//! followed, each judged alone.

use std::fs::{self, File};
use std::io::{self, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use tancho_imaging::part10;

use crate::control::message::ObjectLine;

/// Most files of one command.
pub const FILES_MAX: usize = 100_000;
/// Deepest folder below the one that was named.
const FOLDER_DEPTH_MAX: usize = 32;

/// A file to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Where it is.
    pub path: PathBuf,
    /// It was named itself, so that it must be DICOM; files found in a folder may be something else.
    pub named: bool,
}

/// Files below the paths, in the order of their names.
pub fn collect(paths: &[PathBuf]) -> anyhow::Result<Vec<Candidate>> {
    let mut found = Vec::new();
    for path in paths {
        // What was named may be a link; what is found below is never followed.
        let kind = fs::metadata(path).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
        if kind.is_dir() {
            walk(path, 0, &mut found)?;
        } else {
            found.push(Candidate {
                path: path.clone(),
                named: true,
            });
        }
    }
    anyhow::ensure!(!found.is_empty(), "no files found");
    Ok(found)
}

fn walk(folder: &Path, depth: usize, found: &mut Vec<Candidate>) -> anyhow::Result<()> {
    anyhow::ensure!(
        depth <= FOLDER_DEPTH_MAX,
        "folders nested deeper than {FOLDER_DEPTH_MAX}: {}",
        folder.display()
    );
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(&entry.path(), depth + 1, found)?;
        } else if kind.is_file() && entry.file_name() != "DICOMDIR" {
            anyhow::ensure!(found.len() < FILES_MAX, "more than {FILES_MAX} files");
            found.push(Candidate {
                path: entry.path(),
                named: false,
            });
        }
    }
    Ok(())
}

/// Opens a file at its data set; the error is a stable code.
pub fn open(path: &Path) -> Result<(ObjectLine, BufReader<File>), String> {
    let failed = |error: io::Error| format!("unreadable: {}", error.kind());
    let mut file = BufReader::with_capacity(256 * 1024, File::open(path).map_err(failed)?);
    let meta = part10::split(&mut file).map_err(|error| error.code().to_owned())?;
    if meta.suspicious_preamble {
        tracing::warn!("a file's preamble begins like a program; only its data set is taken");
    }
    file.seek(SeekFrom::Start(meta.data_set_offset)).map_err(failed)?;
    let announced = meta.sop_class_uid.zip(meta.sop_instance_uid);
    let line = ObjectLine {
        transfer_syntax: meta.transfer_syntax.as_str().to_owned(),
        announced: announced.map(|(class, instance)| (class.into(), instance.into())),
    };
    Ok((line, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn flt_022_links_and_the_directory_file_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        for name in ["a/2.dcm", "a/1.dcm", "DICOMDIR"] {
            fs::write(folder.path().join(name), b"x").unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("a/loop")).unwrap();
        let found = collect(&[folder.path().to_owned()]).unwrap();
        let names: Vec<_> = found
            .iter()
            .map(|file| file.path.strip_prefix(folder.path()).unwrap())
            .collect();
        assert_eq!(names, [Path::new("a/1.dcm"), Path::new("a/2.dcm")]);
        assert!(collect(&[folder.path().join("missing")]).is_err());
    }
}
