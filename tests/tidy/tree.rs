//! The files of the project: what git tracks and what it would take.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A source or document.
pub struct File {
    /// From the top of the clone, with slashes.
    pub path: String,
    /// Its text; none when it is not text.
    pub text: Option<String>,
}

impl File {
    /// Lines with numbers from 1, empty for a file that is not text.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .as_deref()
            .unwrap_or_default()
            .lines()
            .enumerate()
            .map(|(idx, line)| (idx + 1, line))
    }

    /// Lines of code: without comments, and without the tests at the end of a Rust module.
    pub fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines()
            .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

/// The top of the clone.
pub fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Paths of all files that are tracked, or new and not ignored.
pub fn paths() -> Vec<String> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(top())
        .output()
        .expect("git runs");
    assert!(output.status.success(), "git lists the files");
    let listed = String::from_utf8(output.stdout).expect("UTF-8 file names");
    let mut paths: Vec<String> = listed.split_terminator('\0').map(str::to_owned).collect();
    paths.sort();
    paths.dedup();
    paths.retain(|path| top().join(path).is_file());
    paths
}

/// All files that `wanted` takes by their path.
pub fn files(wanted: impl Fn(&str) -> bool) -> Vec<File> {
    let paths = paths().into_iter().filter(|path| wanted(path));
    paths
        .map(|path| File {
            text: fs::read_to_string(top().join(&path)).ok(),
            path,
        })
        .collect()
}

/// All Rust sources below a folder.
pub fn rust_sources(folder: &str) -> Vec<File> {
    files(|path| path.starts_with(folder) && path.ends_with(".rs"))
}

/// Fails with all findings, one a line.
pub fn assert_none(rule: &str, found: &[String]) {
    assert!(found.is_empty(), "{rule}\n{}", found.join("\n"));
}
