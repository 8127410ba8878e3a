//! Reads typed values out of a TOML table and collects everything that is wrong with it.
//!
//! A value remembers where it came from (file or environment variable), so that a problem can say file, key,
//! what was expected and what was found. Keys nobody asked for are problems too.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use toml::{Table, Value};

/// Prefix of environment overrides: `TANCHO_HTTP__LISTEN`.
const ENVIRONMENT_PREFIX: &str = "TANCHO_";

/// Top-level keys that may be set as `TANCHO_KEY`; other variables without `__` are not ours to judge.
const TOP_LEVEL_KEYS: [&str; 1] = ["data_dir"];

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// File or environment variable.
    pub origin: String,
    /// Dotted key.
    pub key: String,
    /// What was expected and what was found.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.origin, self.key, self.message)
    }
}

/// Everything that is wrong, at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors(pub Vec<Problem>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} problem(s) in the configuration", self.0.len())?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// What was typed, and the problems found so far.
#[derive(Debug)]
pub struct Source {
    file: String,
    table: Table,
    from_environment: BTreeMap<String, String>,
    problems: Vec<Problem>,
}

/// One section of it. Each read takes the key out, so that what is left over is unknown.
#[derive(Debug)]
pub struct Section<'s> {
    source: &'s mut Source,
    path: Vec<String>,
}

impl Source {
    /// Parses `file`; without one everything has its default.
    #[must_use]
    pub fn new(file: Option<&Path>) -> Self {
        let name = file.map_or_else(|| "defaults".to_owned(), |file| file.display().to_string());
        let mut source = Self {
            file: name,
            table: Table::new(),
            from_environment: BTreeMap::new(),
            problems: Vec::new(),
        };
        let Some(file) = file else { return source };
        match std::fs::read_to_string(file) {
            Ok(text) => match text.parse::<Table>() {
                Ok(table) => source.table = table,
                Err(error) => source.problem("(file)", format!("TOML expected: {}", error.message())),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let message = "cannot be read: there is no such file; name yours with --config, or begin with the \
                               example deploy/relay.toml";
                source.problem("(file)", message.to_owned());
            }
            Err(error) => source.problem("(file)", format!("cannot be read: {}", error.kind())),
        }
        source
    }

    /// Takes over `TANCHO_SECTION__KEY` and `TANCHO_SECTION__SUB__KEY`, and the few top-level keys.
    pub fn override_from(&mut self, environment: impl IntoIterator<Item = (String, String)>) {
        for (name, text) in environment {
            let Some(rest) = name.strip_prefix(ENVIRONMENT_PREFIX) else {
                continue;
            };
            let path: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
            if path.len() == 1 && !TOP_LEVEL_KEYS.contains(&path[0].as_str()) {
                continue;
            }
            if self.set(&path, Value::String(text)) {
                self.from_environment.insert(path.join("."), name);
            } else {
                let message = "a section expected here, the file has a value".to_owned();
                self.problems.push(Problem {
                    origin: name,
                    key: path.join("."),
                    message,
                });
            }
        }
    }

    fn set(&mut self, path: &[String], value: Value) -> bool {
        let (last, sections) = path.split_last().expect("a split text has at least one part");
        let mut table = &mut self.table;
        for section in sections {
            match table
                .entry(section.clone())
                .or_insert_with(|| Value::Table(Table::new()))
            {
                Value::Table(inner) => table = inner,
                _ => return false,
            }
        }
        table.insert(last.clone(), value);
        true
    }

    /// The keys outside every section.
    pub fn root(&mut self) -> Section<'_> {
        Section {
            source: self,
            path: Vec::new(),
        }
    }

    /// A section by its dotted name.
    pub fn section(&mut self, name: &str) -> Section<'_> {
        Section {
            path: name.split('.').map(str::to_owned).collect(),
            source: self,
        }
    }

    /// Ends the reading: whatever nobody took is unknown.
    pub fn finish(mut self) -> Result<(), ConfigErrors> {
        let mut left = Vec::new();
        leaves(&self.table, "", &mut left);
        for key in left {
            self.problem(&key, "unknown key".to_owned());
        }
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(ConfigErrors(self.problems))
        }
    }

    fn problem(&mut self, key: &str, message: String) {
        let origin = self.from_environment.get(key).unwrap_or(&self.file).clone();
        self.problems.push(Problem {
            origin,
            key: key.to_owned(),
            message,
        });
    }
}

fn leaves(table: &Table, prefix: &str, into: &mut Vec<String>) {
    for (key, value) in table {
        let key = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        match value {
            Value::Table(inner) => leaves(inner, &key, into),
            _ => into.push(key),
        }
    }
}

impl Section<'_> {
    fn dotted(&self, key: &str) -> String {
        self.path
            .iter()
            .map(String::as_str)
            .chain([key])
            .collect::<Vec<_>>()
            .join(".")
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        let mut table = &mut self.source.table;
        for section in &self.path {
            table = table.get_mut(section)?.as_table_mut()?;
        }
        table.remove(key)
    }

    /// Whether this key is set and not read yet.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.table().is_some_and(|table| table.contains_key(key))
    }

    /// Whether anything at all is set in this section.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.table().is_some_and(|table| !table.is_empty())
    }

    fn table(&self) -> Option<&Table> {
        self.path.iter().try_fold(&self.source.table, |table, section| {
            table.get(section).and_then(Value::as_table)
        })
    }

    /// Notes a problem with a key of this section.
    pub fn problem(&mut self, key: &str, message: impl Into<String>) {
        let key = self.dotted(key);
        self.source.problem(&key, message.into());
    }

    /// A text.
    pub fn text(&mut self, key: &str) -> Option<String> {
        match self.take(key)? {
            Value::String(text) if !text.trim().is_empty() => Some(text),
            Value::String(_) => self.wrong(key, "a text", "an empty one"),
            other => self.wrong(key, "a text", other.type_str()),
        }
    }

    /// Anything that is written as a text: an address, a url.
    pub fn parsed<T: FromStr>(&mut self, key: &str, expected: &str) -> Option<T> {
        let text = self.text(key)?;
        text.parse()
            .ok()
            .or_else(|| self.wrong(key, expected, &format!("{text:?}")))
    }

    /// A whole number within bounds.
    pub fn integer(&mut self, key: &str, bounds: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let expected = format!("a whole number from {} to {}", bounds.start(), bounds.end());
        let number = match self.take(key)? {
            Value::Integer(number) => number,
            Value::String(text) => match text.parse() {
                Ok(number) => number,
                Err(_) => return self.wrong(key, &expected, &format!("{text:?}")),
            },
            other => return self.wrong(key, &expected, other.type_str()),
        };
        if bounds.contains(&number) {
            Some(number)
        } else {
            self.wrong(key, &expected, &number.to_string())
        }
    }

    /// `true` or `false`.
    pub fn flag(&mut self, key: &str) -> Option<bool> {
        match self.take(key)? {
            Value::Boolean(flag) => Some(flag),
            Value::String(text) => text
                .parse()
                .ok()
                .or_else(|| self.wrong(key, "true or false", &format!("{text:?}"))),
            other => self.wrong(key, "true or false", other.type_str()),
        }
    }

    /// A path.
    pub fn path(&mut self, key: &str) -> Option<PathBuf> {
        self.text(key).map(PathBuf::from)
    }

    /// One of a few words.
    pub fn word<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let expected = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        words
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, value)| *value)
            .or_else(|| self.wrong(key, &format!("one of {expected}"), &format!("{text:?}")))
    }

    /// A list of tables, each read by `read`; unknown keys inside them are problems too.
    pub fn list<T>(&mut self, key: &str, mut read: impl FnMut(&mut Section<'_>) -> Option<T>) -> Vec<T> {
        let Some(value) = self.take(key) else {
            return Vec::new();
        };
        let Value::Array(items) = value else {
            self.wrong::<()>(key, "a list of tables", value.type_str());
            return Vec::new();
        };
        let mut list = Vec::new();
        for (idx, item) in items.into_iter().enumerate() {
            let place = format!("{key}[{idx}]");
            match item {
                Value::Table(table) => {
                    let mut path = self.path.clone();
                    path.push(place);
                    // Put under its own name, so that what is left over is reported with its position.
                    self.source.set(&path, Value::Table(table));
                    list.extend(read(&mut Section {
                        source: self.source,
                        path,
                    }));
                }
                other => {
                    self.wrong::<()>(&place, "a table", other.type_str());
                }
            }
        }
        list
    }

    /// A list of texts; a comma-separated text does as well, for the environment.
    pub fn texts(&mut self, key: &str) -> Option<Vec<String>> {
        match self.take(key)? {
            Value::String(text) => Some(text.split(',').map(|part| part.trim().to_owned()).collect()),
            Value::Array(items) => {
                let n_items = items.len();
                let texts: Vec<String> = items
                    .into_iter()
                    .filter_map(|item| item.as_str().map(str::to_owned))
                    .collect();
                if texts.len() == n_items {
                    Some(texts)
                } else {
                    self.wrong(key, "a list of texts", "other values")
                }
            }
            other => self.wrong(key, "a list of texts", other.type_str()),
        }
    }

    /// The content of the file a key names, without the line end; it must not be readable by everyone.
    pub fn secret_file(&mut self, key: &str) -> Option<String> {
        let file = self.path(key)?;
        if let Err(reason) = check_not_exposed(&file) {
            self.problem(key, reason);
            return None;
        }
        match std::fs::read_to_string(&file) {
            Ok(text) => Some(text.trim_end_matches(['\r', '\n']).to_owned()),
            Err(error) => {
                self.problem(
                    key,
                    format!("{}: cannot be read: {}", file.display(), error.kind()),
                );
                None
            }
        }
    }

    fn wrong<T>(&mut self, key: &str, expected: &str, found: &str) -> Option<T> {
        self.problem(key, format!("{expected} expected, found {found}"));
        None
    }
}

/// Whether a secret file is there and not open to every account of the machine.
pub fn check_not_exposed(file: &Path) -> Result<(), String> {
    let about = std::fs::metadata(file).map_err(|error| format!("{}: {}", file.display(), error.kind()))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if about.permissions().mode() & 0o007 != 0 {
            return Err(format!(
                "{}: every account of the machine can open it; chmod o-rwx",
                file.display()
            ));
        }
    }
    if about.is_file() {
        Ok(())
    } else {
        Err(format!("{}: a file expected", file.display()))
    }
}
