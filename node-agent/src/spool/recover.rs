//! Start-up: opens the index, or rebuilds it from the object files when it is missing or damaged, and takes in
//! files that were renamed but not committed when the last run ended.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use tancho_domain::dicom::{AeTitle, StudyInstanceUid};
use tancho_domain::ids::ObjectId;
use tancho_imaging::limits::ScanLimits;
use tancho_imaging::scan;

use super::SpoolError;
use super::index::{self, IndexDb, NewObject, Numbering, QuarantineRow, StudyRow};
use super::layout::{self, Layout};
use super::object_file::{DataSet, ObjectHeader};
use super::outbound::RequestForm;
use super::studies::{ObjectState, StudyLabel};

/// Objects taken into the index per transaction while rebuilding.
const REBUILD_BATCH: usize = 500;

/// Opens the index for writing, whatever state it is in.
pub fn open_index(layout: &Layout, limits: &ScanLimits, now_ms: i64) -> Result<IndexDb, SpoolError> {
    let path = layout.index_file();
    let (db, is_rebuilt) = match index::open_writer(&path) {
        Ok(opened) => opened,
        Err(error) if !error.is_of_the_file() => return Err(error.into()),
        Err(error) => {
            tracing::error!(%error, "the spool's index is damaged; it is kept aside and rebuilt from the files");
            set_aside(layout, now_ms)?;
            index::open_writer(&path)?
        }
    };
    if is_rebuilt {
        remember_delivered(layout, &db)?;
    }
    let folders = layout.object_folders()?;
    let from_folder = if is_rebuilt {
        0
    } else {
        index::newest_folder(&db)?.0
    };
    let mut n_taken_in = 0;
    for folder in folders.into_iter().filter(|folder| *folder >= from_folder) {
        n_taken_in += take_in_folder(layout, limits, &db, folder, now_ms)?;
    }
    if is_rebuilt {
        take_in_quarantine(layout, &db)?;
        take_in_requests(layout, &db)?;
        index::note_taken_in(&db)?;
    }
    if n_taken_in > 0 {
        tracing::warn!(
            n_taken_in,
            rebuilt = is_rebuilt,
            "objects were taken into the index from their files"
        );
    }
    count_withheld(&db, now_ms)?;
    Ok(db)
}

/// Counts again what is withheld of each study: an older version did not count, a rebuilt index has not, and a file may
/// have been found damaged. A study of which nothing else came has its row for this alone.
fn count_withheld(db: &IndexDb, now_ms: i64) -> Result<(), SpoolError> {
    for study in index::list_withholding(db)? {
        let withheld = index::sum_withheld(db, &study)?;
        let mut row = match index::find_study(db, &study)? {
            Some(row) => row,
            None => StudyRow::unseen(&study, now_ms),
        };
        if withheld != row.withheld {
            row.withheld = withheld;
            row.generation += u64::from(row.closed_at_ms.is_some());
            index::put_study(db, &row)?;
        }
    }
    Ok(())
}

/// Takes over from the newest index that was set aside which instances went to the relay and were deleted here.
fn remember_delivered(layout: &Layout, db: &IndexDb) -> Result<(), SpoolError> {
    let mut aside = Vec::new();
    for entry in fs::read_dir(layout.aside())? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if name.starts_with("index-") && name.ends_with(".sqlite3") {
            aside.push(path);
        }
    }
    // Named by the time, in milliseconds of 13 digits.
    let Some(newest) = aside.into_iter().max() else {
        return Ok(());
    };
    match index::take_over_delivered(db, &newest) {
        Ok(n_instances) => tracing::warn!(
            n_instances,
            "deleted instances are remembered from the damaged index"
        ),
        Err(error) => {
            tracing::error!(%error, "the damaged index no longer says which instances were deleted");
        }
    }
    Ok(())
}

/// Moves the index away.
fn set_aside(layout: &Layout, now_ms: i64) -> io::Result<()> {
    let path = layout.index_file();
    for suffix in ["", "-wal", "-shm"] {
        let mut from = path.clone().into_os_string();
        from.push(suffix);
        let to = layout.aside().join(format!("index-{now_ms}.sqlite3{suffix}"));
        match fs::rename(PathBuf::from(from), to) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn take_in_folder(
    layout: &Layout,
    limits: &ScanLimits,
    db: &IndexDb,
    folder: i64,
    now_ms: i64,
) -> Result<u64, SpoolError> {
    let mut ids = Layout::object_ids(&layout.object_folder(folder))?;
    // Version 7 identifiers sort by the time they were made, so revisions keep their order.
    ids.sort();
    let mut n_taken_in = 0;
    for chunk in ids.chunks(REBUILD_BATCH) {
        let mut damaged = Vec::new();
        index::begin(db)?;
        for object_id in chunk {
            if index::has_object(db, object_id)? {
                continue;
            }
            let path = layout.object_file(folder, object_id);
            let described = match File::open(&path) {
                Err(error) if layout::is_out_of_handles(&error) => return Err(error.into()),
                opened => opened
                    .map_err(SpoolError::from)
                    .and_then(|file| describe(file, object_id, limits)),
            };
            let described = match described {
                Ok(Some(described)) => Ok(described),
                Ok(None) => Err("damaged_in_spool"),
                Err(error) => {
                    tracing::error!(object.id = %object_id, %error, "a spool file cannot be read");
                    Err("unreadable_in_spool")
                }
            };
            match described {
                Ok((object, label)) => {
                    let (study, sop) = (
                        object.study_instance_uid.as_str(),
                        object.sop_instance_uid.as_str(),
                    );
                    let delivered = index::number_after_delivered(db, study, sop, &object.original_sha256)?;
                    let numbering = delivered.unwrap_or(Numbering::Above(0));
                    if index::insert_object(db, &object, folder, numbering)?.is_some() {
                        ensure_study(db, &object, label, now_ms)?;
                        n_taken_in += 1;
                    } else if let Err(error) = fs::remove_file(&path) {
                        tracing::warn!(object.id = %object_id, %error, "a second copy of an object stays in the spool");
                    }
                }
                Err(reason) => {
                    list_damaged(db, &path, object_id, reason)?;
                    damaged.push((path, object_id));
                }
            }
        }
        index::commit(db)?;
        // Not before they are on the list: a file that no list names would be forgotten.
        for (path, object_id) in damaged {
            if let Err(error) = fs::rename(path, layout.quarantine_file(object_id)) {
                tracing::error!(object.id = %object_id, %error, "the file stays where it is; it is looked at again at the next start");
            }
        }
    }
    Ok(n_taken_in)
}

/// Reads an object file as intake would have described it; `None` when its header or digest is broken.
fn describe(
    mut file: File,
    object_id: &ObjectId,
    limits: &ScanLimits,
) -> Result<Option<(NewObject, StudyLabel)>, SpoolError> {
    let Some(header) = ObjectHeader::read(&mut file)? else {
        return Ok(None);
    };
    let mut data = DataSet::new(file, header.data_len)?;
    if &header.object_id != object_id || data.sha256()? != header.data_sha256 {
        return Ok(None);
    }
    let texts = (
        header.transfer_syntax.clone().try_into(),
        AeTitle::parse(&header.calling_ae),
        AeTitle::parse(&header.called_ae),
    );
    let (Ok(transfer_syntax), Ok(calling_ae), Ok(called_ae)) = texts else {
        return Ok(None);
    };
    let scan = match scan::scan(&mut BufReader::new(data), &transfer_syntax, limits) {
        Ok(scan) => scan,
        Err(scan::ScanError::Io(error)) => return Err(error.into()),
        Err(_) => return Ok(None),
    };
    let warnings: Vec<&str> = scan.warnings.iter().map(scan::ScanWarning::code).collect();
    let object = NewObject {
        object_id: header.object_id,
        study_instance_uid: scan.identity.study_instance_uid.clone(),
        series_instance_uid: scan.identity.series_instance_uid.clone(),
        sop_instance_uid: scan.identity.sop_instance_uid.clone(),
        sop_class_uid: scan.identity.sop_class_uid.clone(),
        transfer_syntax,
        calling_ae,
        called_ae,
        priority: header.priority,
        received_at_ms: header.received_at_ms,
        original_len: header.data_len,
        original_sha256: header.data_sha256,
        warnings: warnings.join(","),
        state: ObjectState::Stored,
        reason: None,
        held_patient: None,
    };
    let label = StudyLabel::of(&scan.identity, &object.calling_ae);
    Ok(Some((object, label)))
}

fn ensure_study(db: &IndexDb, object: &NewObject, label: StudyLabel, now_ms: i64) -> Result<(), SpoolError> {
    let study = object.study_instance_uid.as_str();
    let known = index::find_study(db, study)?;
    let row = match known {
        Some(mut row) => {
            if row.label.patient.contradicts(&label.patient) {
                index::set_held(db, &object.object_id, &label.patient.to_json()?)?;
            }
            match row.is_unseen() {
                true => row.label = label,
                false => drop(row.label.add(&label)),
            }
            row.priority = row.priority.min(object.priority);
            row.generation += u64::from(row.closed_at_ms.take().is_some());
            row
        }
        None => StudyRow {
            study_instance_uid: study.to_owned(),
            label,
            priority: object.priority,
            ..StudyRow::unseen(study, now_ms)
        },
    };
    Ok(index::put_study(db, &row)?)
}

fn list_damaged(db: &IndexDb, path: &Path, object_id: &ObjectId, reason: &str) -> Result<(), SpoolError> {
    tracing::error!(object.id = %object_id, reason,
        "a spool file cannot be used; send the study again from the modality");
    let header = read_header(path);
    let row = QuarantineRow {
        object_id: object_id.clone(),
        reason: reason.to_owned(),
        received_at_ms: header.as_ref().map_or(0, |header| header.received_at_ms),
        calling_ae: header
            .as_ref()
            .map_or(String::new(), |header| header.calling_ae.clone()),
        data_len: fs::symlink_metadata(path).map_or(0, |metadata| metadata.len()),
        study_instance_uid: header.as_ref().and_then(study_of),
        sop_instance_uid: header.map_or(String::new(), |header| header.sop_instance_uid),
    };
    Ok(index::insert_quarantine(db, &row)?)
}

/// The header of a file that may be damaged or on a bad sector.
fn read_header(path: &Path) -> Option<ObjectHeader> {
    File::open(path)
        .ok()
        .and_then(|mut file| ObjectHeader::read(&mut file).ok())
        .flatten()
}

/// Why a file is in quarantine. An object that was held and then dismissed has no reason in its header.
fn reason_of(header: &ObjectHeader) -> String {
    match header.reason.as_str() {
        "" => "patient_differs".to_owned(),
        reason => reason.to_owned(),
    }
}

/// The study a quarantined file belongs to, as far as its header knows.
fn study_of(header: &ObjectHeader) -> Option<String> {
    Some(header.study_instance_uid.clone()).filter(|study| !study.is_empty())
}

fn take_in_quarantine(layout: &Layout, db: &IndexDb) -> Result<(), SpoolError> {
    for object_id in Layout::object_ids(&layout.quarantine())? {
        let header = read_header(&layout.quarantine_file(&object_id));
        let row = QuarantineRow {
            object_id,
            reason: header.as_ref().map_or("damaged_in_spool".to_owned(), reason_of),
            received_at_ms: header.as_ref().map_or(0, |header| header.received_at_ms),
            calling_ae: header
                .as_ref()
                .map_or(String::new(), |header| header.calling_ae.clone()),
            data_len: header.as_ref().map_or(0, |header| header.data_len),
            study_instance_uid: header.as_ref().and_then(study_of),
            sop_instance_uid: header.map_or(String::new(), |header| header.sop_instance_uid),
        };
        index::insert_quarantine(db, &row)?;
    }
    Ok(())
}

fn take_in_requests(layout: &Layout, db: &IndexDb) -> Result<(), SpoolError> {
    for entry in fs::read_dir(layout.requests())? {
        let path = entry?.path();
        let form: Option<RequestForm> = fs::read(&path)
            .ok()
            .and_then(|json| serde_json::from_slice(&json).ok());
        let Some(form) = form else {
            tracing::error!("a reading request form in the spool is damaged and was left where it is");
            continue;
        };
        let json = serde_json::to_string(&form).map_err(|error| SpoolError::Index(error.to_string()))?;
        let study = StudyInstanceUid::as_str(&form.study_instance_uid);
        index::insert_request(db, &form.command_id, study, &json, form.created_at_ms)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_cannot_be_opened_stays_and_one_that_is_none_is_kept_aside() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::open(folder.path()).unwrap();
        let open = || open_index(&layout, &ScanLimits::default(), 5);
        fs::create_dir(layout.index_file()).unwrap();
        assert!(open().is_err());
        assert!(layout.index_file().is_dir());
        fs::remove_dir(layout.index_file()).unwrap();
        fs::write(layout.index_file(), "no database, but a text that is long enough").unwrap();
        assert!(open().is_ok());
        assert!(layout.aside().join("index-5.sqlite3").is_file());
    }

    #[test]
    fn flt_029_a_rebuild_that_was_interrupted_begins_again() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::open(folder.path()).unwrap();
        let open = || open_index(&layout, &ScanLimits::default(), 5).unwrap();
        let object_id = ObjectId::new(uuid::Uuid::from_u128(7));
        fs::write(layout.quarantine_file(&object_id), "what came").unwrap();
        // The tables are there, and nothing of the folders is in them yet.
        let (db, must_rebuild) = index::open_writer(&layout.index_file()).unwrap();
        assert!(must_rebuild);
        index::close(db);
        let db = open();
        assert_eq!(index::list_quarantine(&db, 9).unwrap().len(), 1);
        index::dismiss_quarantine(&db, &object_id, 6).unwrap();
        index::close(db);
        let (db, must_rebuild) = index::open_writer(&layout.index_file()).unwrap();
        assert!(!must_rebuild);
        index::close(db);
        assert!(index::list_quarantine(&open(), 9).unwrap().is_empty());
    }
}
