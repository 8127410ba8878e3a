//! `[nodes]`: node agents.

use super::source::Section;

/// Node agents.
#[derive(Debug, Clone, Copy)]
pub struct NodesConfig {
    /// An enrolled node may send only after an administrator has let it in.
    pub require_approval: bool,
}

impl NodesConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            require_approval: section.flag("require_approval").unwrap_or(false),
        }
    }
}
