//! Which files `tancho-agent send` takes, and how one is opened: regular files below what was named, no links
//! followed, each judged alone. `media` adds what the directory of a disc says.

mod media;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use tancho_imaging::limits::ScanLimits;
use tancho_imaging::part10;

use crate::control::message::ObjectLine;

/// Most files of one command.
pub const FILES_MAX: usize = 100_000;
/// Deepest folder below the one that was named.
const FOLDER_DEPTH_MAX: usize = 32;
/// Longest front of a file beyond the largest object. Bytes.
const FRONT_BYTES_MAX: u64 = 1024 * 1024;

/// A file to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Where it is.
    pub path: PathBuf,
    /// It was named itself, or by the directory of a disc, so that it must be DICOM; files found in a folder may be
    /// something else.
    pub named: bool,
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Files to send, each once.
    pub files: Vec<Candidate>,
    /// What was named and cannot be sent, with a stable code.
    pub refused: Vec<(PathBuf, String)>,
    /// Where each file is in the list.
    seen: HashMap<PathBuf, usize>,
}

impl Found {
    fn add(&mut self, path: PathBuf, named: bool) -> anyhow::Result<()> {
        if let Some(at) = self.seen.get(&path) {
            self.files[*at].named |= named;
            return Ok(());
        }
        anyhow::ensure!(self.files.len() < FILES_MAX, "more than {FILES_MAX} files");
        self.seen.insert(path.clone(), self.files.len());
        self.files.push(Candidate { path, named });
        Ok(())
    }

    fn refuse(&mut self, path: PathBuf, code: &str) {
        if self.refused.len() < FILES_MAX {
            self.refused.push((path, code.to_owned()));
        }
    }
}

/// Files below the paths, in the order of their names; and with a disc's directory, what that names.
pub fn collect(paths: &[PathBuf]) -> anyhow::Result<Found> {
    let mut found = Found::default();
    for path in paths {
        // What was named may be a link; what is found below is never followed.
        let kind = fs::metadata(path).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
        if kind.is_dir() {
            if let Some(directory) = media::directory_of(path)? {
                media::collect(path, &directory, &mut found)?;
            }
            walk(path, 0, &mut found)?;
        } else if !kind.is_file() {
            found.refuse(path.clone(), "not_a_regular_file");
        } else if media::is_directory_file(path) {
            let root = path.parent().filter(|root| !root.as_os_str().is_empty());
            media::collect(root.unwrap_or(Path::new(".")), path, &mut found)?;
        } else {
            found.add(path.clone(), true)?;
        }
    }
    anyhow::ensure!(
        !found.files.is_empty() || !found.refused.is_empty(),
        "no files found"
    );
    Ok(found)
}

fn walk(folder: &Path, depth: usize, found: &mut Found) -> anyhow::Result<()> {
    anyhow::ensure!(
        depth <= FOLDER_DEPTH_MAX,
        "folders nested deeper than {FOLDER_DEPTH_MAX}: {}",
        folder.display()
    );
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        anyhow::ensure!(
            entries.len() < FILES_MAX,
            "more than {FILES_MAX} entries in {}",
            folder.display()
        );
        entries.push(entry?);
    }
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(&entry.path(), depth + 1, found)?;
        } else if kind.is_file() && !media::is_directory_name(&entry.file_name()) {
            found.add(entry.path(), false)?;
        }
    }
    Ok(())
}

/// A file at its data set.
pub struct Opened {
    /// What is said of it to the agent.
    pub line: ObjectLine,
    /// Its bytes from there on.
    pub data: BufReader<File>,
    /// Its preamble begins like a program; of such a file only the data set is taken, and the preamble of what is written
    /// from it is zero.
    pub has_program: bool,
}

/// Opens a file at its data set; the error is a stable code.
pub fn open(path: &Path) -> Result<Opened, String> {
    let failed = |error: io::Error| format!("unreadable: {}", error.kind());
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.len() > ScanLimits::default().max_object_bytes + FRONT_BYTES_MAX {
        return Err("object_too_large".to_owned());
    }
    let mut data = BufReader::with_capacity(256 * 1024, file);
    let meta = part10::split(&mut data).map_err(|error| error.code().to_owned())?;
    data.seek(SeekFrom::Start(meta.data_set_offset)).map_err(failed)?;
    let announced = meta.sop_class_uid.zip(meta.sop_instance_uid);
    let line = ObjectLine {
        transfer_syntax: meta.transfer_syntax.as_str().to_owned(),
        announced: announced.map(|(class, instance)| (class.into(), instance.into())),
    };
    Ok(Opened {
        line,
        data,
        has_program: meta.suspicious_preamble,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn flt_022_links_and_the_directory_file_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        for name in ["a/2.dcm", "a/1.dcm", "a/DICOMDIR"] {
            fs::write(folder.path().join(name), b"x").unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("a/loop")).unwrap();
        let found = collect(&[folder.path().to_owned()]).unwrap();
        let names: Vec<_> = found
            .files
            .iter()
            .map(|file| file.path.strip_prefix(folder.path()).unwrap())
            .collect();
        assert_eq!(names, [Path::new("a/1.dcm"), Path::new("a/2.dcm")]);
        assert!(collect(&[folder.path().join("missing")]).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn flt_022_a_device_is_refused_before_it_is_opened() {
        let found = collect(&[PathBuf::from("/dev/null")]).unwrap();
        assert_eq!(
            found.refused,
            [(PathBuf::from("/dev/null"), "not_a_regular_file".to_owned())]
        );
    }

    #[test]
    fn flt_022_a_file_longer_than_any_object_is_refused_without_reading_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long.dcm");
        let max = ScanLimits::default().max_object_bytes + FRONT_BYTES_MAX;
        // A hole in the file: it takes no room on the disk.
        File::create(&path).unwrap().set_len(max + 1).unwrap();
        assert_eq!(open(&path).err().unwrap(), "object_too_large");
        File::create(&path).unwrap().set_len(max).unwrap();
        assert_eq!(open(&path).err().unwrap(), "not_dicom");
    }
}
