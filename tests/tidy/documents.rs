//! That documents keep their promises: invariants have tests, links lead somewhere.

use crate::tree::{assert_none, files, rust_sources, top};

#[test]
fn every_invariant_of_the_architecture_names_its_test() {
    let architecture = files(|path| path == "relay/ARCHITECTURE.md")
        .pop()
        .expect("relay/ARCHITECTURE.md");
    let text = architecture.text.expect("text");
    let start = text.find("\n## Invariants\n").expect("a section Invariants");
    let section = &text[start + 1..];
    let section = section[3..]
        .find("\n## ")
        .map_or(section, |end| &section[..end + 3]);
    let sources: String = rust_sources("")
        .into_iter()
        .filter_map(|file| file.text)
        .collect();
    let mut found = Vec::new();
    let mut n_invariants = 0;
    for line in section.lines().filter(|line| line.starts_with("- **")) {
        n_invariants += 1;
        let test = line.rsplit('`').nth(1).unwrap_or_default();
        if test.is_empty() || !sources.contains(&format!("fn {test}(")) {
            found.push(line.to_owned());
        }
    }
    assert!(n_invariants > 0, "the section lists invariants");
    assert_none(
        "an invariant ends with the name of the test that checks it",
        &found,
    );
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut found = Vec::new();
    for file in files(|path| path.ends_with(".md")) {
        let folder = top().join(&file.path);
        let folder = folder.parent().expect("a file is in a folder");
        for (number, line) in file.lines() {
            for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let target = target.split('#').next().unwrap_or_default();
                let is_local = !target.is_empty() && !target.contains("://");
                if is_local && !folder.join(target).exists() {
                    found.push(format!("{}:{number}: {target}", file.path));
                }
            }
        }
    }
    assert_none("a link to a file that is not there", &found);
}
