//! `tancho-relay migrate`

use std::sync::Arc;

use serde_json::json;

use super::Common;
use crate::clock::SystemClock;
use crate::state::AppState;

/// Opens the store, which brings its schema up to date, and closes it. `serve` does the same when it starts; this is
/// for whoever wants to see it succeed first.
pub async fn run(common: &Common) -> anyhow::Result<()> {
    let config = common.load_config()?;
    config.demand_data_dir()?;
    let app = AppState::open(config, Arc::new(SystemClock)).await?;
    app.db.close().await;
    common.print(&json!({ "ok": true }), "the store is up to date")
}
