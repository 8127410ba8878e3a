//! Rows of the technologist's reading requests and the relay's answers.

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;
use tancho_domain::ids::CommandId;

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
pub async fn insert_request(
    db: &mut SqliteConnection,
    command_id: &CommandId,
    study: &str,
    form: &str,
    created_at_ms: i64,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "insert into requests (command_id, study_instance_uid, form, created_at_ms) values ($1, $2, $3, $4)
         on conflict do nothing",
    )
    .bind(command_id.as_str())
    .bind(study)
    .bind(form)
    .bind(created_at_ms)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Records the relay's answer to a form.
pub async fn set_request_result(
    db: &mut SqliteConnection,
    command_id: &CommandId,
    result: &str,
    answered_at_ms: i64,
) -> sqlx::Result<bool> {
    let done = sqlx::query("update requests set result = $2, answered_at_ms = $3 where command_id = $1")
        .bind(command_id.as_str())
        .bind(result)
        .bind(answered_at_ms)
        .execute(db)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// All request forms, oldest first.
pub async fn list_requests(db: &mut SqliteConnection) -> sqlx::Result<Vec<RequestRow>> {
    let rows =
        sqlx::query("select form, result, answered_at_ms from requests order by created_at_ms, command_id")
            .fetch_all(db)
            .await?;
    rows.iter()
        .map(|row| {
            Ok(RequestRow {
                form: row.try_get(0)?,
                result: row.try_get(1)?,
                answered_at_ms: row.try_get(2)?,
            })
        })
        .collect()
}
