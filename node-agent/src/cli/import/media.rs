//! The directory of a disc (DICOMDIR; PS3.10 section 8, PS3.3 annex F): which files it names, found below its root.
//!
//! A name is only ever a list of components below the root. What would lead out, or over a link, is refused; what is not
//! there is said; the rest goes on.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tancho_imaging::element::Tag;
use tancho_imaging::metadata::{MetadataOptions, dicom_json};
use tancho_imaging::part10;

use super::{FILES_MAX, Found};

/// Name of the directory file; discs are read in either case.
const NAME: &str = "DICOMDIR";
/// Media Storage Directory Storage.
const DIRECTORY_CLASS: &str = "1.2.840.10008.1.3.10";
/// Longest directory. Bytes.
const DIRECTORY_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Most components of a file's name; the standard has eight.
const COMPONENTS_MAX: usize = 16;
/// Longest component; the standard has eight characters.
const COMPONENT_CHARS_MAX: usize = 64;

const RECORDS: Tag = Tag(0x0004, 0x1220);
const FILE_ID: Tag = Tag(0x0004, 0x1500);

/// Whether a name is that of a directory file.
pub(super) fn is_directory_name(name: &OsStr) -> bool {
    name.eq_ignore_ascii_case(NAME)
}

/// The directory file of a folder, when it has one that is a regular file.
pub(super) fn directory_of(folder: &Path) -> anyhow::Result<Option<PathBuf>> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if is_directory_name(&entry.file_name()) && entry.file_type()?.is_file() {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

/// Whether a file that was named is a directory, by its name or by what it says.
pub(super) fn is_directory_file(path: &Path) -> bool {
    if path.file_name().is_some_and(is_directory_name) {
        return true;
    }
    let Ok(file) = File::open(path) else { return false };
    let meta = part10::split(&mut BufReader::new(file));
    meta.is_ok_and(|meta| {
        meta.sop_class_uid
            .is_some_and(|class| class.as_str() == DIRECTORY_CLASS)
    })
}

/// Adds the files that a directory names.
pub(super) fn collect(root: &Path, directory: &Path, found: &mut Found) -> anyhow::Result<()> {
    let names = match read(directory) {
        Ok(names) => names,
        Err(code) => {
            found.refuse(directory.to_owned(), code);
            return Ok(());
        }
    };
    let mut folders = Folders::default();
    for components in names {
        // As it is written in the directory, for whoever reads what is missing.
        let written = root.join(components.join("/").replace(['\0', '\n', '\r'], "?"));
        match folders.find(root, &components) {
            Ok(path) => found.add(path, true)?,
            Err(code) => found.refuse(written, code),
        }
    }
    Ok(())
}

/// The file names in a directory, each as its components; a stable code when it cannot be read.
fn read(directory: &Path) -> Result<Vec<Vec<String>>, &'static str> {
    let malformed = "dicomdir_malformed";
    let file = File::open(directory).map_err(|_| malformed)?;
    if file.metadata().map_err(|_| malformed)?.len() > DIRECTORY_BYTES_MAX {
        return Err("dicomdir_too_large");
    }
    let mut file = BufReader::new(file);
    let meta = part10::split(&mut file).map_err(|_| malformed)?;
    file.seek(SeekFrom::Start(meta.data_set_offset))
        .map_err(|_| malformed)?;
    let mut data_set = Vec::new();
    file.take(DIRECTORY_BYTES_MAX)
        .read_to_end(&mut data_set)
        .map_err(|_| malformed)?;
    let json = dicom_json(&data_set, &meta.transfer_syntax, &MetadataOptions::default());
    let json = json.map_err(|_| malformed)?;
    let records = json[RECORDS.to_hex()]["Value"].as_array();
    let names = records.into_iter().flatten().filter_map(|record| {
        let components = record[FILE_ID.to_hex()]["Value"].as_array()?;
        let components: Vec<String> = components.iter().map(component).collect();
        (!components.is_empty()).then_some(components)
    });
    let names: Vec<Vec<String>> = names.take(FILES_MAX).collect();
    if names.is_empty() {
        Err("dicomdir_empty")
    } else {
        Ok(names)
    }
}

fn component(value: &Value) -> String {
    value.as_str().unwrap_or_default().trim().to_owned()
}

/// Folders that were looked into: their entries by name in lower case.
#[derive(Default)]
struct Folders(HashMap<PathBuf, BTreeMap<String, OsString>>);

impl Folders {
    /// The regular file with these components below `root`; a stable code when there is none or it may not be.
    fn find(&mut self, root: &Path, components: &[String]) -> Result<PathBuf, &'static str> {
        let is_plain = |part: &String| {
            !part.is_empty()
                && part.chars().count() <= COMPONENT_CHARS_MAX
                && !matches!(part.as_str(), "." | "..")
                && !part.contains(['/', '\\', ':'])
                && !part.chars().any(char::is_control)
        };
        if components.len() > COMPONENTS_MAX || !components.iter().all(is_plain) {
            return Err("dicomdir_leads_out");
        }
        let mut path = root.to_owned();
        for (at, part) in components.iter().enumerate() {
            let name = self.name_in(&path, part).ok_or("dicomdir_file_missing")?;
            path.push(name);
            let kind = fs::symlink_metadata(&path).map_err(|_| "dicomdir_file_missing")?;
            if kind.is_symlink() {
                return Err("dicomdir_leads_out");
            }
            let is_last = at + 1 == components.len();
            if (is_last && !kind.is_file()) || (!is_last && !kind.is_dir()) {
                return Err("dicomdir_file_missing");
            }
        }
        Ok(path)
    }

    /// The real name of an entry: discs are often shown in lower case, or with the version number of ISO 9660.
    fn name_in(&mut self, folder: &Path, wanted: &str) -> Option<OsString> {
        if !self.0.contains_key(folder) {
            let entries = fs::read_dir(folder).ok()?.take(FILES_MAX).flatten();
            let names = entries.map(|entry| {
                let name = entry.file_name();
                let key = name.to_string_lossy().to_ascii_lowercase();
                (key.trim_end_matches(";1").trim_end_matches('.').to_owned(), name)
            });
            self.0.insert(folder.to_owned(), names.collect());
        }
        self.0.get(folder)?.get(&wanted.to_ascii_lowercase()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use tancho_domain::dicom::{SopClassUid, SopInstanceUid, TransferSyntaxUid};
    use tancho_imaging::element::Vr;
    use tancho_imaging::synthetic::{ElementWriter, part10_file};

    use super::*;
    use crate::cli::import;

    const EXPLICIT_LE: &str = "1.2.840.10008.1.2.1";

    /// A directory that names these files.
    fn directory(names: &[&str]) -> Vec<u8> {
        let syntax = TransferSyntaxUid::parse(EXPLICIT_LE).unwrap();
        let mut writer = ElementWriter::new(&syntax);
        writer.begin_sequence(RECORDS);
        for name in names {
            writer
                .begin_item()
                .ascii(Tag(0x0004, 0x1430), Vr::CS, "IMAGE")
                .ascii(FILE_ID, Vr::CS, name)
                .end_item();
        }
        // A patient has no file.
        writer
            .begin_item()
            .ascii(Tag(0x0004, 0x1430), Vr::CS, "PATIENT")
            .end_item();
        writer.end_sequence();
        part10_file(
            &syntax,
            &SopClassUid::parse(DIRECTORY_CLASS).unwrap(),
            &SopInstanceUid::parse("2.25.1").unwrap(),
            &writer.finish(),
        )
    }

    fn names(found: &Found, root: &Path) -> Vec<String> {
        let below = |path: &Path| path.strip_prefix(root).unwrap().display().to_string();
        found.files.iter().map(|file| below(&file.path)).collect()
    }

    #[test]
    fn what_a_directory_names_is_taken_and_what_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("images/s1")).unwrap();
        for name in ["images/s1/i1", "images/s1/I2.;1", "readme.txt"] {
            fs::write(root.join(name), b"x").unwrap();
        }
        fs::write(
            root.join("DICOMDIR"),
            directory(&["IMAGES\\S1\\I1", "IMAGES\\S1\\I2", "IMAGES\\S1\\I3"]),
        )
        .unwrap();
        let found = import::collect(&[root.join("DICOMDIR")]).unwrap();
        assert_eq!(names(&found, root), ["images/s1/i1", "images/s1/I2.;1"]);
        assert!(found.files.iter().all(|file| file.named));
        let missing = (root.join("IMAGES/S1/I3"), "dicomdir_file_missing".to_owned());
        assert_eq!(found.refused, [missing]);
        // The whole disc: each file once, and what the directory does not name, too.
        let found = import::collect(&[root.to_owned()]).unwrap();
        assert_eq!(
            names(&found, root),
            ["images/s1/i1", "images/s1/I2.;1", "readme.txt"]
        );
        assert_eq!(found.files.iter().filter(|file| file.named).count(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn flt_022_a_directory_never_leads_out_of_its_disc() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("disc");
        fs::create_dir_all(root.join("a")).unwrap();
        fs::write(folder.path().join("secret"), b"x").unwrap();
        std::os::unix::fs::symlink(folder.path(), root.join("LINK")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("secret"), root.join("FILE")).unwrap();
        let outside = [
            "..\\SECRET",
            "LINK\\SECRET",
            "FILE",
            "A\\..\\..\\SECRET",
            "/etc/passwd",
            "C:\\X",
            ".\\X",
        ];
        fs::write(root.join("DICOMDIR"), directory(&outside)).unwrap();
        let found = import::collect(&[root.join("DICOMDIR")]).unwrap();
        assert!(found.files.is_empty());
        assert_eq!(found.refused.len(), outside.len());
        assert!(
            found.refused.iter().all(|(_, code)| code == "dicomdir_leads_out"),
            "{:?}",
            found.refused
        );
        // A folder is no file, and an empty name none at all.
        fs::write(root.join("DICOMDIR"), directory(&["A", "A\\\\X"])).unwrap();
        let found = import::collect(&[root.join("DICOMDIR")]).unwrap();
        let codes: Vec<&str> = found.refused.iter().map(|(_, code)| code.as_str()).collect();
        assert_eq!(codes, ["dicomdir_file_missing", "dicomdir_leads_out"]);
    }

    #[test]
    fn flt_022_a_directory_that_cannot_be_read_does_not_keep_the_disc_from_being_read() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::write(root.join("1.dcm"), b"x").unwrap();
        for (bytes, code) in [
            (b"no directory".to_vec(), "dicomdir_malformed"),
            (directory(&[]), "dicomdir_empty"),
            (directory(&["A"])[..300].to_vec(), "dicomdir_malformed"),
        ] {
            fs::write(root.join("DICOMDIR"), bytes).unwrap();
            let found = import::collect(&[root.to_owned()]).unwrap();
            assert_eq!(names(&found, root), ["1.dcm"], "{code}");
            assert_eq!(found.refused, [(root.join("DICOMDIR"), code.to_owned())]);
        }
        let long = File::create(root.join("DICOMDIR")).unwrap();
        long.set_len(DIRECTORY_BYTES_MAX + 1).unwrap();
        let found = import::collect(&[root.to_owned()]).unwrap();
        assert_eq!(found.refused[0].1, "dicomdir_too_large");
    }
}
