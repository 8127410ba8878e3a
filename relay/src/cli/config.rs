//! `tancho-relay config`

use clap::Subcommand;
use serde_json::json;

use super::Common;

/// The configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check it as `serve` would, without starting.
    Check(Common),
}

/// Does it.
pub fn run(command: &ConfigCommand) -> anyhow::Result<()> {
    let ConfigCommand::Check(common) = command;
    let config = common.load_config()?;
    if let Some(files) = &config.http.tls {
        crate::http::server::tls_acceptor(files)?;
    }
    common.print(&json!({ "ok": true }), "the configuration is good")
}
