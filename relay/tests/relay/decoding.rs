//! Decoding workers: real processes, ended by what they are given and by the test.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tancho_domain::ids::NetworkId;
use tancho_imaging::codec::FrameJob;
use tancho_imaging::container::FrameGeometry;
use tancho_imaging::syntax::Codestream;
use tancho_relay::config::{Config, DecodingConfig};
use tancho_relay::decoding::{DecodeFault, Decoders, Subject};
use tancho_relay::metrics::Metrics;
use tempfile::TempDir;
use uuid::Uuid;

struct Workers {
    decoders: Arc<Decoders>,
    metrics: Metrics,
    config: DecodingConfig,
    folder: TempDir,
}

impl Workers {
    async fn new(change: impl FnOnce(&mut DecodingConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::on_free_ports(folder.path()).decoding;
        assert_eq!(config.program, Path::new(env!("CARGO_BIN_EXE_tancho-relay")));
        config.workers = 1;
        change(&mut config);
        let metrics = Metrics::new();
        let decoders = Arc::new(Decoders::open(&config, folder.path(), &metrics).unwrap());
        decoders.warm().await;
        Self {
            decoders,
            metrics,
            config,
            folder,
        }
    }

    fn process_id(&self) -> u32 {
        let [id] = self.decoders.idle_process_ids()[..] else {
            panic!("one worker waits");
        };
        id
    }

    fn counted(&self, line: &str) -> u64 {
        let text = self.metrics.text();
        let found = text.lines().find_map(|one| one.strip_prefix(line));
        found.map_or(0, |count| count.trim().parse().unwrap())
    }

    fn started(&self) -> u64 {
        self.counted("tancho_relay_decode_workers_started_total")
    }
}

fn subject(name: &str) -> Subject {
    Subject {
        network_id: NetworkId::new(Uuid::from_u128(1)),
        instance_id: name.to_owned(),
        container_sha256: name.to_owned(),
    }
}

/// A frame of `rows` times `columns` bytes.
fn job(family: Codestream, rows: u16, columns: u16) -> FrameJob {
    FrameJob {
        family,
        geometry: FrameGeometry {
            rows,
            columns,
            samples_per_pixel: 1,
            bits_allocated: 8,
            bits_stored: 8,
            high_bit: 7,
            is_signed: false,
            is_planar: false,
        },
        photometric: "MONOCHROME2".to_owned(),
    }
}

/// One byte repeated, as RLE.
fn flat(rows: u16, columns: u16) -> Vec<u8> {
    let mut frame = vec![0; 64];
    frame[0] = 1;
    frame[4] = 64;
    let n_samples = usize::from(rows) * usize::from(columns);
    assert_eq!(n_samples % 128, 0);
    frame.extend([0x81, 7].repeat(n_samples / 128));
    frame
}

/// A JPEG 2000 image that its header divides into millions of parts, all of them there and empty: the decoder takes gigabytes
/// and many seconds for it.
fn divided(side: u16) -> Vec<u8> {
    let mut out = vec![0xFF, 0x4F, 0xFF, 0x51, 0, 41, 0, 0];
    let bytes = u32::from(side).to_be_bytes();
    for value in [bytes, bytes, [0; 4], [0; 4], bytes, bytes, [0; 4], [0; 4]] {
        out.extend(value);
    }
    out.extend([0, 1, 7, 1, 1]);
    // Five decompositions, code blocks of four by four, precincts as small as can be.
    out.extend([0xFF, 0x52, 0, 18, 1, 0, 0, 1, 0, 5, 0, 0, 0, 1]);
    out.extend([0x00, 0x11, 0x11, 0x11, 0x11, 0x11]);
    out.extend([0xFF, 0x5C, 0, 19, 0x40]);
    out.extend([0x40; 16]);
    out.extend([0xFF, 0x90, 0, 10, 0, 0, 0, 0, 0, 0, 0, 1, 0xFF, 0x93]);
    let n_parts: usize = (0..6_u32)
        .map(|halvings| {
            let across = usize::from(side) >> (halvings + u32::from(halvings < 5));
            across * across
        })
        .sum();
    out.extend(vec![0; n_parts]);
    out.extend([0xFF, 0xD9]);
    out
}

fn signal(name: &str, process_id: u32) {
    let sent = Command::new("kill")
        .args([format!("-{name}"), process_id.to_string()])
        .status();
    assert!(sent.unwrap().success());
}

/// A line of what the system knows of a process; `None` when there is none.
fn status(process_id: u32, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{process_id}/status")).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value.map(|value| value.trim().to_owned())
}

/// Address space of a worker that waits, in bytes.
async fn address_space() -> u64 {
    let workers = Workers::new(|_| {}).await;
    let size = status(workers.process_id(), "VmSize:").unwrap();
    size.split(' ').next().unwrap().parse::<u64>().unwrap() << 10
}

#[tokio::test]
async fn flt_023_a_worker_has_nothing_but_its_pipes() {
    let workers = Workers::new(|_| {}).await;
    let process = PathBuf::from(format!("/proc/{}", workers.process_id()));
    let read = |name: &str| std::fs::read_to_string(process.join(name)).unwrap();
    let known = read("status");
    for line in ["Seccomp:\t2", "NoNewPrivs:\t1", "Threads:\t1"] {
        assert!(known.lines().any(|one| one == line), "{line} in {known}");
    }
    let limits = read("limits");
    for (name, limit) in [
        ("Max address space", "2147483648"),
        ("Max core file size", "0"),
        ("Max file size", "0"),
        ("Max open files", "3"),
    ] {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        let values: Vec<&str> = line[name.len()..].split_whitespace().take(2).collect();
        assert_eq!(values, [limit, limit], "{name}");
    }
    // What the program that runs the tests leaves open for everybody is neither the relay's nor a socket.
    let own = workers.folder.path().to_owned();
    for entry in std::fs::read_dir(process.join("fd")).unwrap() {
        let open = std::fs::read_link(entry.unwrap().path()).unwrap();
        let is_socket = open.to_string_lossy().starts_with("socket:");
        assert!(!is_socket && !open.starts_with(&own), "{}", open.display());
    }
    assert_eq!(read("environ"), "");
    assert_eq!(read("oom_score_adj").trim(), "1000");
}

#[tokio::test]
async fn flt_023_a_worker_that_ended_while_it_waited_is_replaced() {
    let workers = Workers::new(|_| {}).await;
    let job = job(Codestream::Rle, 128, 64);
    for _ in 0..3 {
        let process_id = workers.process_id();
        signal("KILL", process_id);
        while status(process_id, "State:").is_some_and(|state| !state.starts_with('Z')) {
            tokio::task::yield_now().await;
        }
        let frame = workers
            .decoders
            .decode(&subject("good"), &job, &flat(128, 64))
            .await;
        assert!(frame.unwrap().samples.iter().all(|sample| *sample == 7));
    }
    assert_eq!(workers.started(), 4);
}

/// Twice a worker is ended in the middle of an object's answer: that object is not tried again, also not by the next relay,
/// and nothing else is harmed.
#[tokio::test]
async fn flt_023_an_object_that_ends_two_workers_is_not_tried_again() {
    let workers = Workers::new(|_| {}).await;
    let (job, bytes) = (job(Codestream::Rle, 4096, 4096), flat(4096, 4096));
    for expected in [DecodeFault::Died, DecodeFault::Marked] {
        let process_id = workers.process_id();
        // It takes nothing, so its pipe is full before the codestream is through.
        signal("STOP", process_id);
        let (decoders, asked, given) = (Arc::clone(&workers.decoders), job.clone(), bytes.clone());
        let answer = tokio::spawn(async move { decoders.decode(&subject("bad"), &asked, &given).await });
        while !workers.decoders.idle_process_ids().is_empty() {
            tokio::task::yield_now().await;
        }
        // As a decoder that finds its memory destroyed ends; the signal waits until the process goes on.
        signal("ABRT", process_id);
        signal("CONT", process_id);
        assert_eq!(answer.await.unwrap(), Err(expected));
        let other = workers.decoders.decode(&subject("good"), &job, &bytes).await;
        assert_eq!(other.unwrap().samples.len(), 4096 * 4096);
    }
    let started = workers.started();
    for _ in 0..20 {
        let again = workers.decoders.decode(&subject("bad"), &job, &bytes).await;
        assert_eq!(again, Err(DecodeFault::Marked));
    }
    assert_eq!(workers.started(), started);
    assert_eq!(
        workers.counted("tancho_relay_decoded_frames_total{outcome=\"decoder_failed\"}"),
        1
    );
    assert_eq!(
        workers.counted("tancho_relay_decoded_frames_total{outcome=\"decoder_fails_on_it\"}"),
        21
    );
    let next = Decoders::open(&workers.config, workers.folder.path(), &Metrics::new()).unwrap();
    let after = next.decode(&subject("bad"), &job, &bytes).await;
    assert_eq!(after, Err(DecodeFault::Marked));
}

/// Whoever ends the service, or the system that is short of memory, says nothing about the object that was decoded.
#[tokio::test]
async fn flt_023_a_worker_that_is_ended_from_outside_costs_its_object_nothing_but_the_answer() {
    let workers = Workers::new(|_| {}).await;
    let (job, bytes) = (job(Codestream::Rle, 4096, 4096), flat(4096, 4096));
    for name in ["KILL", "TERM", "KILL"] {
        let process_id = workers.process_id();
        signal("STOP", process_id);
        let (decoders, asked, given) = (Arc::clone(&workers.decoders), job.clone(), bytes.clone());
        let answer = tokio::spawn(async move { decoders.decode(&subject("innocent"), &asked, &given).await });
        while !workers.decoders.idle_process_ids().is_empty() {
            tokio::task::yield_now().await;
        }
        signal(name, process_id);
        signal("CONT", process_id);
        assert_eq!(answer.await.unwrap(), Err(DecodeFault::Died), "{name}");
        workers.decoders.warm().await;
    }
    let frame = workers.decoders.decode(&subject("innocent"), &job, &bytes).await;
    assert!(frame.is_ok());
}

/// A worker never reads the bytes of two networks: what one object did to it must not reach another tenant's.
#[tokio::test]
async fn a_worker_serves_one_network() {
    let workers = Workers::new(|_| {}).await;
    let job = job(Codestream::Rle, 128, 64);
    let of = |network: u128| Subject {
        network_id: NetworkId::new(Uuid::from_u128(network)),
        ..subject("good")
    };
    let bytes = flat(128, 64);
    let first = workers.process_id();
    assert!(workers.decoders.decode(&of(1), &job, &bytes).await.is_ok());
    assert_eq!(workers.process_id(), first, "the one that was kept warm");
    assert!(workers.decoders.decode(&of(1), &job, &bytes).await.is_ok());
    assert_eq!(workers.process_id(), first);
    assert!(workers.decoders.decode(&of(2), &job, &bytes).await.is_ok());
    assert_ne!(workers.process_id(), first);
}

#[tokio::test]
async fn flt_023_a_worker_that_does_not_answer_in_time_is_ended() {
    let workers = Workers::new(|config| config.wall_seconds_max = 1).await;
    let process_id = workers.process_id();
    signal("STOP", process_id);
    let job = job(Codestream::Rle, 128, 64);
    let begun = Instant::now();
    let answer = workers
        .decoders
        .decode(&subject("slow"), &job, &flat(128, 64))
        .await;
    assert_eq!(answer, Err(DecodeFault::Died));
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(
        status(process_id, "State:"),
        None,
        "it is gone and nothing is left of it"
    );
    let other = workers
        .decoders
        .decode(&subject("other"), &job, &flat(128, 64))
        .await;
    assert!(other.is_ok());
}

/// An image that takes more than memory or time allows.
#[tokio::test]
async fn flt_023_memory_and_processor_time_end_at_their_limits() {
    let (hostile, bytes) = (job(Codestream::Jpeg2000, 4096, 4096), divided(4096));
    let (good, frame) = (job(Codestream::Rle, 4096, 4096), flat(4096, 4096));
    let waiting = address_space().await;
    let small = Workers::new(|config| config.memory_bytes_max = waiting + (128 << 20)).await;
    let large = Workers::new(|config| {
        config.memory_bytes_max = 8 << 30;
        config.cpu_seconds_max = 1;
    })
    .await;
    let answer = small.decoders.decode(&subject("many"), &hostile, &bytes).await;
    assert!(answer.is_err(), "memory");
    let answer = large.decoders.decode(&subject("many"), &hostile, &bytes).await;
    assert_eq!(answer, Err(DecodeFault::Died), "processor time");
    for workers in [small, large] {
        let other = workers.decoders.decode(&subject("good"), &good, &frame).await;
        assert!(other.is_ok());
    }
}

/// The same frame with enough memory and with too little.
#[tokio::test]
async fn flt_023_a_frame_that_needs_more_memory_than_there_is_costs_its_answer() {
    let (job, frame) = (job(Codestream::Rle, 4096, 8192), flat(4096, 8192));
    let waiting = address_space().await;
    for (more, is_enough) in [(48 << 20, true), (24 << 20, false)] {
        let memory_bytes_max = waiting + more;
        let workers = Workers::new(|config| config.memory_bytes_max = memory_bytes_max).await;
        let answer = workers.decoders.decode(&subject("large"), &job, &frame).await;
        let expected = if is_enough { None } else { Some(DecodeFault::Died) };
        assert_eq!(answer.err(), expected, "{more} more");
    }
}

/// Each frame has the processor time for itself.
#[tokio::test]
async fn flt_023_a_worker_that_works_long_is_not_ended_for_it() {
    let workers = Workers::new(|config| config.cpu_seconds_max = 1).await;
    let (job, frame) = (job(Codestream::Rle, 4096, 8192), flat(4096, 8192));
    let process_id = workers.process_id();
    let used = || {
        let text = std::fs::read_to_string(format!("/proc/{process_id}/schedstat")).unwrap();
        let nanoseconds: u64 = text.split(' ').next().unwrap().parse().unwrap();
        Duration::from_nanos(nanoseconds)
    };
    while used() < Duration::from_millis(2500) {
        let answer = workers
            .decoders
            .decode(&subject("many frames"), &job, &frame)
            .await;
        assert!(answer.is_ok());
    }
    assert_eq!(workers.started(), 1);
}
