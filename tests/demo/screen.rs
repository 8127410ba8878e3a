//! What the demo says in the terminal.

use std::io::IsTerminal;
use std::path::Path;

use tancho_e2e::hospital::{Network, PASSWORD, PEOPLE, SITES};

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

pub fn things_to_try(network: &Network) {
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
    println!("  6. Send your own: storescu --call TANCHO_STAT 127.0.0.1 {port} FILE...");
    println!(
        "  7. Get an original back: tancho-relay export --sop-instance-uid UID --out FILE --data-dir {}",
        network.relay.plan.data_dir.display()
    );
    println!("\n  Ctrl-C stops everything.");
}

pub fn stopping() {
    println!("\n  stopping ...");
}

pub fn stopped(folder: &Path) {
    println!("  stopped; everything is still in {}", folder.display());
}
