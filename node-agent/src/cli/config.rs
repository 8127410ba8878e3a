//! `tancho-agent config`

use clap::Subcommand;

use super::Common;

/// The configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check file and environment without starting anything; every problem is printed.
    Check(Common),
}

/// Exit code 0 only when the agent would start with it.
pub fn run(command: &ConfigCommand) -> anyhow::Result<()> {
    let ConfigCommand::Check(common) = command;
    let config = common.load()?;
    println!("configuration is good; data folder {}", config.data_dir.display());
    if config.data_dir.is_relative() {
        eprintln!(
            "warning: data_dir is relative, so that it means {} here and another folder elsewhere: write a whole path",
            std::path::absolute(&config.data_dir)?.display()
        );
    }
    Ok(())
}
