//! The figures: `make bench`. Every ratio is taken against Orthanc or the disk in the same run, on the same files.
//!
//! Prints the tables and writes them into `tests/bench/README.md` between the two marks there, so that the figures
//! in the document are always from a run. `PARTS="intake line first-image search dicomweb"` names some of them; then the
//! document stays as it is.

mod copy;
mod dicomweb;
mod first_image;
mod intake;
mod line;
/// A PostgreSQL server of our own, as the store's tests have it.
#[path = "../../relay/store/tests/contract/harness/postgres.rs"]
#[expect(clippy::unwrap_used, reason = "without the server there is no figure")]
mod postgres;
mod search;
mod table;

use std::fs;
use std::path::Path;

use anyhow::Context;
use tancho_e2e::phantom::Phantom;

use table::Table;

/// Runs of each figure; the median is shown.
const RUNS: usize = 3;
/// Head scans of 40 slices that are sent for the rates.
const STUDIES: usize = 18;

const BEGIN: &str = "<!-- figures: begin -->";
const END: &str = "<!-- figures: end -->";

fn main() -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("tancho-bench-").tempdir()?;
    let input = folder.path().join("input");
    let mut bytes = 0_u64;
    let mut files = Vec::new();
    for n in 0..STUDIES {
        let study = Phantom::stroke(&format!("bench {n}")).write(&input.join(format!("study-{n}")))?;
        for file in study.files {
            bytes += fs::metadata(&file.path)?.len();
            files.push(file.path);
        }
    }
    let series = intake::Series {
        folder: input,
        files,
        bytes,
    };
    println!(
        "{} images, {:.1} MB, {RUNS} runs each, medians\n",
        series.files.len(),
        series.bytes as f64 / 1e6
    );

    let parts = std::env::var("PARTS").ok();
    let is_wanted = |part: &str| {
        parts
            .as_deref()
            .is_none_or(|parts| parts.split_whitespace().any(|one| one == part))
    };
    let mut tables = Vec::new();
    let mut show = |table: Table| {
        println!("{table}");
        tables.push(table);
    };
    if is_wanted("intake") {
        show(intake::measure(&series, folder.path())?);
    }
    if is_wanted("line") {
        show(line::measure(&series, folder.path())?);
    }
    if is_wanted("first-image") {
        show(first_image::measure(folder.path())?);
    }
    if is_wanted("search") {
        show(search::measure(folder.path())?);
    }
    if is_wanted("dicomweb") {
        for table in dicomweb::measure(folder.path())? {
            show(table);
        }
    }
    if parts.is_some() {
        return Ok(());
    }

    let text = tables.iter().map(Table::to_string).collect::<Vec<_>>().join("\n");
    keep(&machine(&series), &text)
}

/// One line on what the figures were measured with.
fn machine(series: &intake::Series) -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or_default();
    let model = model.trim_start_matches(['\t', ' ', ':']);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let today = jiff::Zoned::now().strftime("%Y-%m-%d").to_string();
    format!(
        "Measured on {today}, {cores} cores, {model}; {} images of 512x512, {:.1} MB, {RUNS} runs each, medians.\n",
        series.files.len(),
        series.bytes as f64 / 1e6
    )
}

/// Replaces what stands between the marks of the document.
fn keep(machine: &str, text: &str) -> anyhow::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/README.md");
    let old = fs::read_to_string(&path)?;
    let begin = old.find(BEGIN).context("the document has a begin mark")? + BEGIN.len();
    let end = old.find(END).context("the document has an end mark")?;
    let new = format!("{}\n\n{machine}\n{text}\n{}", &old[..begin], &old[end..]);
    fs::write(&path, new).with_context(|| format!("writing {}", path.display()))
}
