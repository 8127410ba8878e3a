//! Keeps what the line was like over restarts: one line of JSON for each minute, added at the end of a file in the
//! data folder. The graph is worth no fsync: a line that a power cut tore is forgotten, and so is a whole file that
//! cannot be read.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::LinkBoard;
use super::history::{Bin, COARSE_BINS_MAX, COARSE_STEP_MS};
use crate::clock::Clock;

const FILE: &str = "line-history.jsonl";
/// Lines after which the file is written anew with those that still count.
const LINES_MAX: usize = 2 * COARSE_BINS_MAX;
/// Longest line that is read; ours are shorter.
const LINE_BYTES_MAX: usize = 1_024;
/// How often the time since the last look is counted as connected or not.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The file of the history.
struct Keeper {
    path: PathBuf,
    n_lines: usize,
    /// Start of the newest minute that is written whole.
    written_to_ms: i64,
}

impl Keeper {
    /// Reads what an earlier run kept.
    fn open(data_dir: &Path) -> (Self, Vec<Bin>) {
        let path = data_dir.join(FILE);
        let (bins, n_lines) = read(&path).unwrap_or_default();
        // The newest may have been under way; it is written again when it is over.
        let newest_ms = bins.last().map_or(i64::MIN, |bin| bin.at_ms);
        let written_to_ms = newest_ms.saturating_sub(COARSE_STEP_MS);
        let keeper = Self {
            path,
            n_lines,
            written_to_ms,
        };
        (keeper, bins)
    }

    /// Adds the minutes that are over. `all` is everything that still counts, oldest first.
    fn write(&mut self, all: &[Bin], before_ms: i64) -> io::Result<()> {
        // The clock was set back: what follows comes later in the file and wins.
        self.written_to_ms = self.written_to_ms.min(before_ms - 1);
        let is_new = |bin: &&Bin| bin.at_ms > self.written_to_ms && bin.at_ms < before_ms;
        let new: Vec<Bin> = all.iter().filter(is_new).copied().collect();
        let Some(last) = new.last() else {
            return Ok(());
        };
        if self.n_lines + new.len() > LINES_MAX {
            let fresh = self.path.with_extension("new");
            append(
                &mut File::create(&fresh)?,
                all.iter().filter(|bin| bin.at_ms < before_ms),
            )?;
            fs::rename(&fresh, &self.path)?;
            self.n_lines = all.len();
        } else {
            let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
            append(&mut file, new.iter())?;
            self.n_lines += new.len();
        }
        self.written_to_ms = last.at_ms;
        Ok(())
    }
}

fn append<'a>(file: &mut File, bins: impl Iterator<Item = &'a Bin>) -> io::Result<()> {
    let mut lines = Vec::new();
    for bin in bins {
        // A line begins by ending the one before, which may have been torn.
        lines.push(b'\n');
        serde_json::to_writer(&mut lines, bin)?;
    }
    file.write_all(&lines)
}

/// The bins of a file, oldest first, and how many lines it has. Of two lines about one minute the later one counts.
fn read(path: &Path) -> io::Result<(Vec<Bin>, usize)> {
    let mut reader = BufReader::new(File::open(path)?);
    let (mut bins, mut n_lines, mut line) = (BTreeMap::new(), 0, Vec::new());
    while n_lines < 2 * LINES_MAX {
        line.clear();
        let mut bounded = io::Read::take(&mut reader, LINE_BYTES_MAX as u64);
        if bounded.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        n_lines += 1;
        bins.extend(serde_json::from_slice::<Bin>(&line).map(|bin| (bin.at_ms, bin)));
    }
    Ok((bins.into_values().collect(), n_lines))
}

/// Counts the time of the line as connected or not, and keeps each minute when it is over, until the agent stops.
pub async fn keep(board: LinkBoard, data_dir: PathBuf, clock: Clock, stopping: CancellationToken) {
    let opened = tokio::task::spawn_blocking(move || Keeper::open(&data_dir)).await;
    let Ok((mut keeper, bins)) = opened else {
        tracing::error!("what the line was like before could not be read");
        return;
    };
    board.restore(bins);
    let mut kept_to_ms = i64::MIN;
    let mut is_said = false;
    loop {
        let stops = tokio::select! {
            () = stopping.cancelled() => true,
            () = tokio::time::sleep(LOOK_EVERY) => false,
        };
        board.look();
        // At the end also the minute under way is kept; the next run goes on with it.
        let now_ms = clock.now_ms();
        let before_ms = match stops {
            true => now_ms + 1,
            false => now_ms - now_ms.rem_euclid(COARSE_STEP_MS),
        };
        if before_ms == kept_to_ms {
            continue;
        }
        kept_to_ms = before_ms;
        let all = board.minutes_since(now_ms - COARSE_STEP_MS * COARSE_BINS_MAX as i64);
        let writing = tokio::task::spawn_blocking(move || {
            let written = keeper.write(&all, before_ms);
            (keeper, written)
        });
        let Ok((returned, written)) = writing.await else {
            return;
        };
        keeper = returned;
        if let Err(error) = written
            && !std::mem::replace(&mut is_said, true)
        {
            tracing::warn!(%error, "what the line is like could not be kept; only its graph is lost");
        }
        if stops {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_700_000_040_000;

    fn minutes(n: std::ops::Range<i64>) -> Vec<Bin> {
        let bin = |n: i64| Bin {
            at_ms: START + n * COARSE_STEP_MS,
            bytes: n.unsigned_abs(),
            ..Bin::default()
        };
        n.map(bin).collect()
    }

    #[test]
    fn minutes_are_kept_once_each_when_they_are_over() {
        let folder = tempfile::tempdir().unwrap();
        let (mut keeper, bins) = Keeper::open(folder.path());
        assert_eq!(bins, []);
        let end = |n: i64| START + n * COARSE_STEP_MS;
        keeper.write(&minutes(0..3), end(2)).unwrap();
        keeper.write(&minutes(0..3), end(2)).unwrap();
        keeper.write(&minutes(0..4), end(3)).unwrap();
        let (mut keeper, bins) = Keeper::open(folder.path());
        assert_eq!(bins, minutes(0..3));
        // The minute under way was written at a stop and is written again when it is over.
        keeper.write(&minutes(3..4), end(3) + 1).unwrap();
        let (_, bins) = Keeper::open(folder.path());
        assert_eq!(bins, minutes(0..4));
    }

    #[test]
    fn a_torn_line_is_forgotten_and_the_next_one_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (mut keeper, _) = Keeper::open(folder.path());
        keeper.write(&minutes(0..2), i64::MAX).unwrap();
        let path = folder.path().join(FILE);
        let mut bytes = fs::read(&path).unwrap();
        bytes.truncate(bytes.len() - 5);
        fs::write(&path, bytes).unwrap();
        let (mut keeper, bins) = Keeper::open(folder.path());
        assert_eq!(bins, minutes(0..1));
        keeper.write(&minutes(0..3), i64::MAX).unwrap();
        assert_eq!(Keeper::open(folder.path()).1, minutes(0..3));
        fs::write(&path, vec![0xff; 100_000]).unwrap();
        assert_eq!(Keeper::open(folder.path()).1, []);
    }

    #[test]
    fn the_file_does_not_grow_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let (mut keeper, _) = Keeper::open(folder.path());
        let n_minutes = LINES_MAX as i64 + 10;
        for n in 0..n_minutes {
            let all = minutes((n - COARSE_BINS_MAX as i64 + 1).max(0)..n + 1);
            keeper.write(&all, i64::MAX).unwrap();
        }
        let (keeper, bins) = Keeper::open(folder.path());
        assert!(keeper.n_lines <= LINES_MAX, "{}", keeper.n_lines);
        assert_eq!(bins.last(), minutes(n_minutes - 1..n_minutes).last());
    }

    #[tokio::test]
    async fn what_was_measured_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let (clock, _hand) = Clock::manual(START + 1_000);
        let run = |board: &LinkBoard| {
            let stopping = CancellationToken::new();
            stopping.cancel();
            keep(board.clone(), folder.path().to_owned(), clock.clone(), stopping)
        };
        let board = LinkBoard::new(clock.clone());
        board.add_sent(
            &tancho_domain::ids::ObjectId::new(uuid::Uuid::from_u128(1)),
            "1.2",
            700,
        );
        run(&board).await;
        let again = LinkBoard::new(clock.clone());
        run(&again).await;
        assert_eq!(again.minutes_since(0)[0].bytes, 700);
    }
}
