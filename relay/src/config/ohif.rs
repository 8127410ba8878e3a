//! `[ohif]`: the OHIF viewer as an optional page.

use std::path::PathBuf;

use super::source::Section;

/// The installed OHIF viewer.
#[derive(Debug, Clone)]
pub struct OhifConfig {
    /// The folder with its `index.html`: `dist` of the npm package `@ohif/app`.
    pub dir: PathBuf,
}

impl OhifConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let dir = section.path("dir")?;
        if !dir.join("index.html").is_file() {
            section.problem(
                "dir",
                format!("{}: a folder with OHIF's index.html expected", dir.display()),
            );
            return None;
        }
        Some(Self { dir })
    }
}
