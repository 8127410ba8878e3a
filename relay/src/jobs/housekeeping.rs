//! Forgets what no longer matters: sessions past their end, old failed logins, answers to old commands. Makes search
//! keys that are missing.

use std::time::Duration;

use tancho_store::{StoreError, commands, search_keys, sessions};

use crate::http::caller::millis;
use crate::sessions::limits as sessions_limits;
use crate::state::AppState;

/// How often.
const EVERY: Duration = Duration::from_secs(60 * 60);
/// Sessions stay this long after their end, for questions about who was logged in.
const SESSIONS_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Failed logins stay a day; only the last quarter of an hour counts.
const FAILURES_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// A command may be repeated for this long, which covers a site that was cut off for two weeks.
const COMMANDS_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Runs until the relay stops.
pub async fn run(app: AppState) {
    loop {
        if let Err(error) = tidy_up(&app).await {
            tracing::warn!(error = %error, "old rows could not be removed");
        }
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = app.clock.sleep(EVERY) => {}
        }
    }
}

async fn tidy_up(app: &AppState) -> Result<(), StoreError> {
    let now_ms = app.now_ms();
    let mut tx = app.db.write().await?;
    let n_sessions = sessions::remove_old_sessions(&mut tx, now_ms - millis(SESSIONS_KEPT)).await?;
    let n_failures = sessions::remove_old_login_failures(&mut tx, now_ms - millis(FAILURES_KEPT)).await?;
    let known_ms = millis(sessions_limits::KNOWN_FOR);
    sessions::remove_old_login_successes(&mut tx, now_ms - known_ms).await?;
    let n_commands = commands::remove_old_commands(&mut tx, now_ms - millis(COMMANDS_KEPT)).await?;
    tx.commit().await?;
    tracing::debug!(n_sessions, n_failures, n_commands, "old rows removed");
    // A relay of the release before, on the same store, writes studies without one.
    search_keys::fill_in(&app.db).await
}
