//! Rows of the technologist's reading requests and the relay's answers.

use rusqlite::params;
use tancho_domain::ids::CommandId;

use super::{IndexDb, IndexResult, execute, list};

/// A request form's row.
#[derive(Debug, Clone)]
pub struct RequestRow {
    /// The form as JSON.
    pub form: String,
    /// The relay's answer as JSON.
    pub result: Option<String>,
    /// When it came.
    pub answered_at_ms: Option<i64>,
}

/// Adds a request form; the same command again changes nothing. Gives whether it is new.
pub fn insert_request(
    db: &IndexDb,
    command_id: &CommandId,
    study: &str,
    form: &str,
    created_at_ms: i64,
) -> IndexResult<bool> {
    let done = execute(
        db,
        "insert into requests (command_id, study_instance_uid, form, created_at_ms) values (?1, ?2, ?3, ?4)
         on conflict do nothing",
        params![command_id.as_str(), study, form, created_at_ms],
    )?;
    Ok(done == 1)
}

/// Records the relay's answer to a form.
pub fn set_request_result(
    db: &IndexDb,
    command_id: &CommandId,
    result: &str,
    answered_at_ms: i64,
) -> IndexResult<bool> {
    let done = execute(
        db,
        "update requests set result = ?2, answered_at_ms = ?3 where command_id = ?1",
        params![command_id.as_str(), result, answered_at_ms],
    )?;
    Ok(done == 1)
}

/// All request forms, oldest first.
pub fn list_requests(db: &IndexDb) -> IndexResult<Vec<RequestRow>> {
    list(
        db,
        "select form, result, answered_at_ms from requests order by created_at_ms, command_id",
        [],
        |row| {
            Ok(RequestRow {
                form: row.get(0)?,
                result: row.get(1)?,
                answered_at_ms: row.get(2)?,
            })
        },
    )
}
