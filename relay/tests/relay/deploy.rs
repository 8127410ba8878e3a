//! The example configuration is true: it parses, and it names every key.

use std::path::{Path, PathBuf};

use tancho_relay::config::Config;

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .join("deploy/relay.toml")
}

/// Lines such as `# key = value` are keys that are off; a sentence has no ` = `.
fn with_every_key(text: &str) -> String {
    text.lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(key) if key.contains(" = ") || key.starts_with('[') => key,
            _ => line,
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_example_parses_as_it_is() {
    let config = Config::load(Some(&example()), [], None).unwrap_or_else(|errors| panic!("{errors}"));
    let default = Config::load(None, [], Some(&config.data_dir)).unwrap();
    assert_eq!(config.http.listen, default.http.listen);
    assert_eq!(config.quic.listen, default.quic.listen);
    assert_eq!(config.turnaround, default.turnaround);
}

#[test]
fn the_example_names_only_keys_that_exist() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("relay.toml");
    std::fs::write(
        &file,
        with_every_key(&std::fs::read_to_string(example()).unwrap()),
    )
    .unwrap();
    let problems = match Config::load(Some(&file), [], None) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.0,
    };
    let unknown: Vec<_> = problems
        .iter()
        .filter(|problem| problem.message == "unknown key")
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    // The files and the folder it points to are not here; nothing else may be wrong.
    for problem in &problems {
        let is_away = problem.key.ends_with("_file") || problem.key == "ohif.dir";
        assert!(is_away, "{problem}");
    }
}

/// Every key that the code asks for, found in its own sources.
#[test]
fn the_example_names_every_key() {
    let text = std::fs::read_to_string(example()).unwrap();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config");
    let mut n_keys = 0;
    for entry in std::fs::read_dir(sources).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().is_some_and(|name| name == "source.rs") {
            continue;
        }
        let source: String = std::fs::read_to_string(&path)
            .unwrap()
            .split_whitespace()
            .collect();
        for start in [
            "text(\"",
            "parsed(\"",
            "integer(\"",
            "flag(\"",
            "path(\"",
            "word(\"",
            "list(\"",
            "secret_file(\"",
            "texts(\"",
            "minutes(\"",
        ] {
            for rest in source
                .split(&format!(".{start}"))
                .skip(1)
                .chain(source.split(&format!(":{start}")).skip(1))
            {
                let key = rest.split('"').next().unwrap();
                n_keys += 1;
                assert!(
                    text.contains(&format!("{key} = ")) || text.contains(&format!("{key}]]")),
                    "{key} of {}",
                    path.display()
                );
            }
        }
    }
    assert!(n_keys > 20, "{n_keys} keys found");
}
