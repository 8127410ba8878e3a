//! `[database]`: which store.

use std::path::Path;

use super::source::Section;

/// Name of the SQLite file in the data folder.
pub const SQLITE_FILE: &str = "tancho.sqlite";

/// Which store.
#[derive(Clone)]
pub struct DatabaseConfig {
    /// `sqlite:PATH` or `postgres://...`; may carry a password, so it is never printed.
    pub url: String,
}

impl std::fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatabaseConfig").finish_non_exhaustive()
    }
}

impl DatabaseConfig {
    pub(super) fn read(section: &mut Section<'_>, data_dir: &Path) -> Self {
        let typed = section.text("url");
        let from_file = section.secret_file("url_file");
        if typed.is_some() && from_file.is_some() {
            section.problem(
                "url_file",
                "only one of database.url and database.url_file may be set",
            );
        }
        let url = typed
            .or(from_file)
            .unwrap_or_else(|| format!("sqlite:{}", data_dir.join(SQLITE_FILE).display()));
        if !["sqlite:", "postgres://", "postgresql://"]
            .iter()
            .any(|scheme| url.starts_with(scheme))
        {
            section.problem("url", "sqlite:PATH or postgres://... expected");
        }
        Self { url }
    }
}
