//! What the demo says in the terminal.

use std::io::IsTerminal;
use std::path::Path;

use tancho_e2e::hospital::{Network, PASSWORD, PEOPLE, SITES};
use tancho_e2e::program::built_program;

use crate::Sent;

fn bold(text: &str) -> String {
    if std::io::stdout().is_terminal() {
        format!("\x1b[1m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

fn heading(text: &str) {
    println!("\n{}", bold(text));
}

pub fn starting(folder: &Path, reused: bool) {
    heading("Tancho demo");
    let folder = folder.display();
    if reused {
        println!("  going on with what is in {folder} (make demo after `rm -r {folder}` starts anew)");
    } else {
        println!("  making a small network in {folder}");
    }
}

pub fn places(network: &Network) {
    heading("Where");
    println!(
        "  {:<34} {}",
        "readers and referring physicians",
        bold(&network.relay.url())
    );
    for (node, site) in network.nodes.iter().zip(SITES) {
        println!(
            "  {:<34} {}",
            format!("technologist at {}", site.code),
            bold(&node.url())
        );
        println!(
            "  {:<34} {}, AE titles TANCHO and TANCHO_STAT",
            "  its DICOM port", node.plan.dimse
        );
    }
    if let Some(mail) = &network.mail {
        println!("  {:<34} {}", "mail that was sent", mail.file.display());
    }
    heading(&format!("Who (the password of all is {PASSWORD})"));
    for person in &PEOPLE {
        println!("  {:<14} {:<13} at {}", person.login, person.role, person.site);
    }
}

pub fn sent(all: &[Sent]) {
    heading("Sent by C-STORE");
    for sent in all {
        let stored = sent.answers.iter().filter(|answer| answer.is_success()).count();
        println!(
            "  {}: {stored} of {} images stored in {:.1} s",
            sent.what,
            sent.answers.len(),
            sent.took.as_secs_f64()
        );
        for refused in sent.answers.iter().filter(|answer| !answer.is_success()) {
            let status = refused
                .status
                .map_or("no answer".to_owned(), |status| format!("status {status:04X}"));
            println!("    {}: {status}", refused.path.display());
        }
    }
}

/// Every command can be typed as it is printed, from any folder, while the demo runs.
pub fn things_to_try(network: &Network, sent: &[Sent]) {
    let [first, ..] = network.nodes.as_slice() else {
        return;
    };
    let port = first.plan.dimse.port();
    heading("Try");
    println!("  1. Log in as reader, claim the red request, scroll, measure, press ? for all keys.");
    println!("  2. Start the call with one key, write down what was told and read back, then the findings.");
    println!("  3. Try to sign as final before the read-back: the page says what is missing.");
    println!(
        "  4. Log in as referrer in another browser, read the report and acknowledge it; watch the reader's page."
    );
    println!(
        "  5. Fill in the reading request on the technologist's page: {}",
        first.url()
    );
    println!(
        "  6. Send your own like a scanner (storescu of DCMTK; compressed: also -xs or -xv), or by the agent:"
    );
    command(&format!("storescu --call TANCHO_STAT 127.0.0.1 {port} FILE..."));
    let agent = quoted(&built_program("tancho-agent"));
    let agent_data = quoted(&first.plan.data_dir);
    command(&format!("{agent} send --data-dir {agent_data} FILE..."));
    println!("  7. See what the agent holds, sends and waits for:");
    command(&format!("{agent} status --data-dir {agent_data}"));
    if let Some(uid) = stored_uid(sent) {
        println!("  8. Get an image back as a file that DICOM programs open:");
        command(&format!(
            "{} export --data-dir {} --form dicom --out image.dcm --sop-instance-uid {uid}",
            quoted(&built_program("tancho-relay")),
            quoted(&network.relay.plan.data_dir)
        ));
    }
    println!("\n  Ctrl-C stops everything.");
}

/// An image of what was just sent.
fn stored_uid(sent: &[Sent]) -> Option<&str> {
    sent.iter()
        .flat_map(|sent| &sent.answers)
        .filter(|answer| answer.is_success())
        .find_map(|answer| answer.sop_instance_uid.as_deref())
}

fn command(line: &str) {
    println!("       {line}");
}

/// As a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "/._-+".contains(character);
    if text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

pub fn stopping() {
    println!("\n  stopping ...");
}

pub fn stopped(folder: &Path) {
    println!("  stopped; everything is still in {}", folder.display());
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_path_with_spaces_and_quotes_reaches_the_program_whole() {
        for path in [
            "/srv/target/debug/tancho-agent",
            "/srv/it's here/demo data",
            "/a$HOME/`id`",
        ] {
            let script = format!("printf %s {}", quoted(Path::new(path)));
            let printed = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(printed.stdout).unwrap(), path);
        }
    }
}
