//! `[decoding]`: the processes that decode what peers sent.

use std::path::PathBuf;

use super::source::Section;

/// Workers by default.
const WORKERS_DEFAULT: i64 = 2;
/// Memory of one worker by default: 2 GiB.
const MEMORY_BYTES_MAX_DEFAULT: i64 = 2 << 30;
/// Least memory of one worker: the program itself and a small frame.
const MEMORY_BYTES_LEAST: i64 = 256 << 20;
/// Processor time of one frame by default, in seconds.
const CPU_SECONDS_MAX_DEFAULT: i64 = 20;
/// Time of one frame by default, in seconds; more than its processor time, for a machine that is busy.
const WALL_SECONDS_MAX_DEFAULT: i64 = 60;

/// The processes that decode what peers sent.
#[derive(Debug, Clone)]
pub struct DecodingConfig {
    /// Processes, which is also how many frames are decoded at once.
    pub workers: usize,
    /// Address space of one process, in bytes; one that needs more ends.
    pub memory_bytes_max: u64,
    /// Processor time that one frame may take, in seconds.
    pub cpu_seconds_max: u64,
    /// Time that one frame may take, in seconds.
    pub wall_seconds_max: u64,
    /// The program that is started as worker: this one.
    pub program: PathBuf,
}

impl DecodingConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let workers = section.integer("workers", 1..=64).unwrap_or(WORKERS_DEFAULT);
        let memory = section
            .integer("memory_bytes_max", MEMORY_BYTES_LEAST..=1 << 40)
            .unwrap_or(MEMORY_BYTES_MAX_DEFAULT);
        let cpu_seconds = section
            .integer("cpu_seconds_max", 1..=3600)
            .unwrap_or(CPU_SECONDS_MAX_DEFAULT);
        let wall_seconds = section
            .integer("wall_seconds_max", 1..=3600)
            .unwrap_or(WALL_SECONDS_MAX_DEFAULT);
        Self {
            workers: usize::try_from(workers).unwrap_or(1),
            memory_bytes_max: memory.unsigned_abs(),
            cpu_seconds_max: cpu_seconds.unsigned_abs(),
            wall_seconds_max: wall_seconds.unsigned_abs(),
            program: own_program(),
        }
    }
}

/// This program, also when its file has been replaced by another version since.
#[cfg(target_os = "linux")]
fn own_program() -> PathBuf {
    "/proc/self/exe".into()
}

#[cfg(not(target_os = "linux"))]
fn own_program() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| "tancho-relay".into())
}
