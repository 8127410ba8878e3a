//! Commands carry an id made where the person acted; repeating one changes nothing and gives the first answer.
//!
//! `begin` first, inside the write that carries the command out, `finish` before its commit: an id that is stored
//! always has its answer, unless the transaction is still open.

use tancho_domain::access::Scope;
use tancho_domain::ids::{CommandId, UserId};

use crate::db::Tx;
use crate::error::{StoreError, one_row};

/// A command as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Made at the edge.
    pub id: CommandId,
    /// Who gives it.
    pub actor_id: UserId,
    /// What it is, the operation id of the route: `claim_reading_request`.
    pub name: String,
    /// SHA-256 of everything it asks for (path and body).
    pub request_hash: [u8; 32],
}

/// What `begin` found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// Never seen: carry it out, then [`finish`].
    New,
    /// Carried out before: give this answer again and write nothing.
    Repeated(Answer),
}

/// The stored answer to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// JSON text.
    pub body: String,
}

/// Takes the command's id. `Conflict` when the id was used by someone else, or for something else.
///
/// On PostgreSQL a second arrival of the same id waits here until the first one's transaction has ended.
pub async fn begin(tx: &mut Tx, scope: &Scope, command: &Command, now_ms: i64) -> Result<Begun, StoreError> {
    let taken = execute!(
        tx,
        "insert into commands (network_id, id, actor_id, name, request_hash, created_at_ms) \
         values ($1, $2, $3, $4, $5, $6) on conflict (network_id, id) do nothing",
        scope.network_id.as_str(),
        command.id.as_str(),
        command.actor_id.as_str(),
        command.name.as_str(),
        command.request_hash.as_slice(),
        now_ms
    )?;
    if taken == 1 {
        return Ok(Begun::New);
    }
    let (actor_id, name, request_hash, status, answer) = fetch_one!(
        tx,
        (String, String, Vec<u8>, Option<i64>, Option<String>),
        "select actor_id, name, request_hash, status, answer from commands where network_id = $1 and id = $2",
        scope.network_id.as_str(),
        command.id.as_str()
    )?;
    let same =
        actor_id == command.actor_id.as_str() && name == command.name && request_hash == command.request_hash;
    match (same, status.and_then(|status| u16::try_from(status).ok()), answer) {
        (true, Some(status), Some(body)) => Ok(Begun::Repeated(Answer { status, body })),
        _ => Err(StoreError::Conflict),
    }
}

/// Stores the answer to a command that `begin` called new in this transaction.
pub async fn finish(tx: &mut Tx, scope: &Scope, id: &CommandId, answer: &Answer) -> Result<(), StoreError> {
    let done = execute!(
        tx,
        "update commands set status = $3, answer = $4 where network_id = $1 and id = $2 and status is null",
        scope.network_id.as_str(),
        id.as_str(),
        i64::from(answer.status),
        answer.body.as_str()
    )?;
    one_row(done, StoreError::Stale)
}

/// Forgets commands given before `before_ms`; a repeat after that is carried out again, and refused by state.
pub async fn remove_old_commands(tx: &mut Tx, before_ms: i64) -> Result<u64, StoreError> {
    execute!(tx, "delete from commands where created_at_ms < $1", before_ms)
}
