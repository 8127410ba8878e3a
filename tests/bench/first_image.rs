//! From the first C-STORE success to the first image drawn in a browser that waits on the worklist.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use serde_json::Value;
use tancho_e2e::hospital::{Network, NetworkPlan, PASSWORD};
use tancho_e2e::phantom::Phantom;

use crate::RUNS;
use crate::table::{Table, median};

const TARGET_SECONDS: f64 = 1.5;

/// One row, the median of the runs.
pub fn measure(folder: &Path) -> anyhow::Result<Table> {
    let runs: anyhow::Result<Vec<f64>> = (0..RUNS).map(|run| seconds(folder, run)).collect();
    let mut runs = runs?;
    runs.sort_by(f64::total_cmp);
    let all = runs
        .iter()
        .map(|run| format!("{run:.2}"))
        .collect::<Vec<_>>()
        .join(", ");
    let mut table = Table::new(
        "From the first C-STORE success to the first image drawn",
        &["median s", "runs s", "target s"],
    );
    table.row(vec![
        format!("{:.2}", median(runs)),
        all,
        format!("{TARGET_SECONDS}"),
    ]);
    table.note(
        "The reader is logged in and looks at the worklist in headless Chromium without a GPU, the viewer loaded meanwhile; the test opens the \
         request as soon as its row is there. One clock: both ends run on this machine.",
    );
    Ok(table)
}

fn seconds(folder: &Path, run: usize) -> anyhow::Result<f64> {
    let place = folder.join(format!("first-image-{run}"));
    std::fs::create_dir_all(&place)?;
    let study = Phantom::stroke(&format!("first image {run}")).write(&place.join("study"))?;
    let mut network = Network::start(NetworkPlan::in_folder(&place, 1))?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/first_image.mjs");
    let mut browser = Command::new("node")
        .arg(script)
        .args([&network.relay.url(), "reader", PASSWORD])
        .stdout(Stdio::piped())
        .spawn()
        .context("starting the browser")?;
    let mut lines = BufReader::new(browser.stdout.take().context("an output")?).lines();
    let waiting = lines.next().context("the browser says that it waits")??;
    ensure!(waiting == "waiting", "the browser said: {waiting}");

    let mut modality = network.nodes[0].modality();
    modality.called_ae_title = "TANCHO_STAT".to_owned();
    let mut sending = modality.start_sending(&[&study.folder])?;
    let first = sending.next().context("an answer")?;
    let stored = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as f64;
    ensure!(first.is_success(), "the first image was stored");
    let rest = std::thread::spawn(move || sending.count());
    let drawn: Value = serde_json::from_str(&lines.next().context("the browser says when it drew")??)?;
    let drawn = drawn["drawn_at_ms"].as_f64().context("drawn_at_ms")?;
    let _ = rest.join();
    browser.wait()?;
    network.stop()?;
    std::fs::remove_dir_all(&place)?;
    Ok((drawn - stored) / 1e3)
}
