//! The relay's side: a few workers kept warm, each asked for one frame at a time, ended when they exceed their time, and
//! replaced when they are gone.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{io, path::Path};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use serde::de::DeserializeOwned;
use tancho_domain::dicom::TransferSyntaxUid;
use tancho_domain::ids::NetworkId;
use tancho_imaging::codec::{DecodedFrame, FrameJob};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Semaphore;

use super::marks::Marks;
use super::protocol::{self, Answer, Ask, LENGTH_BYTES, Ready};
use crate::config::DecodingConfig;
use crate::metrics::Metrics;

/// Time for a worker to be ready. Long, for a machine that is busy: nothing but the start depends on it.
const START_MAX: Duration = Duration::from_secs(30);
/// Rate at which an upload is read at least, in bytes per second; a slower one has taken too long.
const SCAN_BYTES_PER_SECOND_LEAST: u64 = 4 << 20;
/// Time for a worker to end whose pipes are closed: then how it ended says whose fault it was.
const END_MAX: Duration = Duration::from_secs(5);
/// Longest wait for a worker's turn, after which the client is told to come again.
const TURN_MAX: Duration = Duration::from_secs(60);
/// Bytes of samples that are read at once.
const PIECE_BYTES: usize = 1 << 20;

/// What is decoded, for the log and for the marks.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Whose it is.
    pub network_id: NetworkId,
    /// The instance's id.
    pub instance_id: String,
    /// Digest of its container, in hexadecimal.
    pub container_sha256: String,
}

/// Why there is no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeFault {
    /// The codestream is not decodable.
    Refused,
    /// The worker died of it or was ended for exceeding a limit.
    Died,
    /// It ended two workers and is not tried any more.
    Marked,
    /// There is no worker, by no fault of the object.
    Unavailable,
}

impl DecodeFault {
    /// Stable, for metrics and answers.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Refused => "not_decodable",
            Self::Died => "decoder_failed",
            Self::Marked => "decoder_fails_on_it",
            Self::Unavailable => "decoder_unavailable",
        }
    }
}

/// How frames came out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

/// The workers of a relay.
#[derive(Debug)]
pub struct Decoders {
    config: DecodingConfig,
    /// One permit for each worker.
    turns: Arc<Semaphore>,
    idle: Mutex<Vec<Worker>>,
    marks: Marks,
    outcomes: Family<OutcomeLabels, Counter>,
    starts: Counter,
}

/// A worker that waits for a job.
#[derive(Debug)]
struct Worker {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    /// Whose bytes it has read: what took a worker over must not see another network's, nor answer for them.
    network_id: Option<NetworkId>,
}

/// How a worker ended.
struct End {
    how: String,
    /// Whether what it decoded is the reason, and not somebody who ended it from outside.
    is_objects: bool,
}

impl Decoders {
    /// Workers are started by [`Self::warm`], or when they are needed.
    ///
    /// # Errors
    /// When the marks in the data folder cannot be read.
    pub fn open(config: &DecodingConfig, data_dir: &Path, metrics: &Metrics) -> io::Result<Self> {
        let decoders = Self {
            turns: Arc::new(Semaphore::new(config.workers)),
            config: config.clone(),
            idle: Mutex::default(),
            marks: Marks::open(data_dir)?,
            outcomes: Family::default(),
            starts: Counter::default(),
        };
        metrics.register(|registry| {
            registry.register(
                "decoded_frames",
                "Frames that were to be decoded, by what came of them",
                decoders.outcomes.clone(),
            );
            registry.register(
                "decode_workers_started",
                "Worker processes started",
                decoders.starts.clone(),
            );
        });
        Ok(decoders)
    }

    /// Starts workers, so that the first answers do not wait for them.
    pub async fn warm(&self) {
        let n_idle = self.idle_process_ids().len();
        for _ in n_idle..self.config.workers {
            match self.start().await {
                Ok(worker) => self.put_back(worker),
                Err(error) => {
                    tracing::error!(alarm = "decoder_unavailable", %error, "a decoding worker did not start");
                    return;
                }
            }
        }
    }

    /// Process ids of the workers that wait, for tests that end them.
    #[must_use]
    pub fn idle_process_ids(&self) -> Vec<u32> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.iter().filter_map(|worker| worker.child.id()).collect()
    }

    /// Has a frame decoded.
    ///
    /// # Errors
    /// When there is none; the caller's answer fails, nothing else.
    pub async fn decode(
        &self,
        of: &Subject,
        job: &FrameJob,
        codestream: &[u8],
    ) -> Result<DecodedFrame, DecodeFault> {
        let outcome = self.try_decode(of, job, codestream).await;
        let label = outcome.as_ref().err().map_or("decoded", |fault| fault.code());
        self.outcomes
            .get_or_create(&OutcomeLabels { outcome: label })
            .inc();
        outcome
    }

    async fn try_decode(
        &self,
        of: &Subject,
        job: &FrameJob,
        codestream: &[u8],
    ) -> Result<DecodedFrame, DecodeFault> {
        let still_allowed = || match self.marks.is_marked(&of.container_sha256) {
            true => Err(DecodeFault::Marked),
            false => Ok(()),
        };
        still_allowed()?;
        let turn = tokio::time::timeout(TURN_MAX, self.turns.acquire()).await;
        let _turn = turn.ok().and_then(Result::ok).ok_or(DecodeFault::Unavailable)?;
        // While this one waited, others of the object may have ended their workers.
        still_allowed()?;
        let began = Instant::now();
        let mut worker = self.worker(&of.network_id).await.map_err(|error| {
            tracing::error!(alarm = "decoder_unavailable", %error, "a decoding worker did not start");
            DecodeFault::Unavailable
        })?;
        let wall = Duration::from_secs(self.config.wall_seconds_max);
        let (fault, end) = match tokio::time::timeout(wall, worker.ask(job, codestream)).await {
            Ok(Ok(Ok(frame))) => {
                self.put_back(worker);
                self.marks.note_success(&of.container_sha256);
                return Ok(frame);
            }
            Ok(Ok(Err(reason))) => {
                self.put_back(worker);
                tracing::info!(instance.id = %of.instance_id, reason, "a frame is not decodable");
                return Err(DecodeFault::Refused);
            }
            Ok(Err(error)) => (error.to_string(), worker.ended().await),
            Err(_) => ("it took too long".to_owned(), worker.end().await),
        };
        let is_marked = end.is_objects && self.marks.note_death(&of.container_sha256, began);
        tracing::error!(alarm = "decoder_failed", instance.id = %of.instance_id, fault, ended = end.how,
            is_objects = end.is_objects, is_marked, "decoding an object ended its worker");
        Err(if is_marked {
            DecodeFault::Marked
        } else {
            DecodeFault::Died
        })
    }

    /// Has a worker go through a data set of `len` bytes, so that the relay then reads only what it reads without harm.
    ///
    /// # Errors
    /// [`DecodeFault::Refused`] when the scanner refuses it, which the caller will find as well; else the data set ended the
    /// worker, or there is none.
    pub async fn scan(
        &self,
        network_id: &NetworkId,
        transfer_syntax: &TransferSyntaxUid,
        data_set: &mut (impl AsyncRead + Unpin),
        len: u64,
    ) -> Result<(), DecodeFault> {
        // Not of the turns of frames: a large upload does not hold up pictures, and the caller has turns of its own.
        let mut worker = self.worker(network_id).await.map_err(|error| {
            tracing::error!(alarm = "decoder_unavailable", %error, "a decoding worker did not start");
            DecodeFault::Unavailable
        })?;
        let wall = Duration::from_secs(self.config.wall_seconds_max + len / SCAN_BYTES_PER_SECOND_LEAST);
        let fault = match tokio::time::timeout(wall, worker.scan(transfer_syntax, data_set, len)).await {
            Ok(Ok(scanned)) => {
                self.put_back(worker);
                return scanned;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it took too long".to_owned(),
        };
        let end = worker.end().await;
        tracing::error!(
            alarm = "decoder_failed",
            fault,
            ended = end.how,
            "reading an upload ended its worker"
        );
        Err(DecodeFault::Died)
    }

    /// A worker of this network that waits, or one that has served nobody yet.
    async fn worker(&self, network_id: &NetworkId) -> io::Result<Worker> {
        loop {
            let (waiting, displaced) = self.take_idle(network_id);
            // Its place is needed.
            drop(displaced);
            let Some(mut worker) = waiting else {
                let mut worker = self.start().await?;
                worker.network_id = Some(network_id.clone());
                return Ok(worker);
            };
            // One that ended while it waited says nothing about the next object.
            if worker.child.try_wait()?.is_none() {
                worker.network_id = Some(network_id.clone());
                return Ok(worker);
            }
            tracing::warn!("a decoding worker ended while it waited");
        }
    }

    /// The waiting worker to use, and one of another network that must go for a new one when there is none.
    fn take_idle(&self, network_id: &NetworkId) -> (Option<Worker>, Option<Worker>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let of_network = |worker: &Worker| worker.network_id.as_ref() == Some(network_id);
        let found = idle
            .iter()
            .rposition(of_network)
            .or_else(|| idle.iter().rposition(|worker| worker.network_id.is_none()));
        match found {
            Some(at) => (Some(idle.remove(at)), None),
            None => (None, (!idle.is_empty()).then(|| idle.remove(0))),
        }
    }

    fn put_back(&self, worker: Worker) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // One more than there are turns served an upload, and ends.
        if idle.len() < self.config.workers {
            idle.push(worker);
        }
    }

    async fn start(&self) -> io::Result<Worker> {
        let mut child = Command::new(&self.config.program)
            .arg("worker")
            .arg(format!("--memory-bytes-max={}", self.config.memory_bytes_max))
            .arg(format!("--cpu-seconds-max={}", self.config.cpu_seconds_max))
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            // Ctrl-C is for the relay, which lets running answers end.
            .process_group(0)
            .spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (input, output) = pipes.ok_or(io::ErrorKind::BrokenPipe)?;
        let mut worker = Worker {
            child,
            input,
            output,
            network_id: None,
        };
        let ready: Ready = tokio::time::timeout(START_MAX, worker.hear()).await??;
        self.starts.inc();
        if !ready.is_confined {
            tracing::warn!("decoding workers keep their rights: this system has no filter of system calls");
        }
        Ok(worker)
    }
}

impl Worker {
    /// The frame, or why the codestream has none. An error is the worker's.
    async fn ask(&mut self, job: &FrameJob, codestream: &[u8]) -> io::Result<Result<DecodedFrame, String>> {
        let ask = Ask::Frame {
            job: job.clone(),
            len: codestream.len() as u64,
        };
        self.say(&ask).await?;
        self.input.write_all(codestream).await?;
        self.input.flush().await?;
        let facts = match self.hear().await? {
            Answer::Decoded(facts) => facts,
            Answer::Refused(reason) => return Ok(Err(reason)),
            Answer::Scanned => return Err(io::ErrorKind::InvalidData.into()),
        };
        let len = usize::try_from(job.geometry.frame_len()).map_err(io::Error::other)?;
        let mut samples = Vec::new();
        while samples.len() < len {
            let piece = (len - samples.len()).min(PIECE_BYTES);
            samples.reserve(piece);
            let mut rest = (&mut self.output).take(piece as u64);
            if rest.read_buf(&mut samples).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(Ok(DecodedFrame { samples, facts }))
    }

    /// Whether the scanner took it. An error is the worker's, or that of reading.
    async fn scan(
        &mut self,
        transfer_syntax: &TransferSyntaxUid,
        data_set: &mut (impl AsyncRead + Unpin),
        len: u64,
    ) -> io::Result<Result<(), DecodeFault>> {
        let ask = Ask::Scan {
            transfer_syntax: transfer_syntax.clone(),
            len,
        };
        self.say(&ask).await?;
        if tokio::io::copy(&mut data_set.take(len), &mut self.input).await? != len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.input.flush().await?;
        match self.hear().await? {
            Answer::Scanned => Ok(Ok(())),
            Answer::Refused(_) => Ok(Err(DecodeFault::Refused)),
            Answer::Decoded(_) => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    async fn say(&mut self, ask: &Ask) -> io::Result<()> {
        let message = protocol::message(ask).ok_or(io::ErrorKind::InvalidInput)?;
        self.input.write_all(&message).await
    }

    async fn hear<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        let mut len = [0; LENGTH_BYTES];
        self.output.read_exact(&mut len).await?;
        let len = protocol::length(len).ok_or(io::ErrorKind::InvalidData)?;
        let mut json = vec![0; len];
        self.output.read_exact(&mut json).await?;
        Ok(protocol::content(&json).ok_or(io::ErrorKind::InvalidData)?)
    }

    /// How the process ended that no longer talks. One that does not end is ended: it talks in a way it should not.
    async fn ended(&mut self) -> End {
        match tokio::time::timeout(END_MAX, self.child.wait()).await {
            Ok(Ok(status)) => End {
                how: status.to_string(),
                is_objects: is_by_itself(status),
            },
            Ok(Err(_)) | Err(_) => self.end().await,
        }
    }

    /// Ends the process for what it did.
    async fn end(&mut self) -> End {
        // It may have ended by itself.
        let _ = self.child.start_kill();
        let waited = self.child.wait().await;
        End {
            how: waited.map_or_else(|error| error.to_string(), |status| status.to_string()),
            is_objects: true,
        }
    }
}

/// Whether a process ended by what it did: a fault, a limit of its own, a call that the filter forbids, a panic. Not by a
/// signal that others send: the end of the service, and the system when memory is short, which a worker cannot be the
/// reason of, since its own is limited.
fn is_by_itself(status: std::process::ExitStatus) -> bool {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return ![
            libc::SIGTERM,
            libc::SIGINT,
            libc::SIGHUP,
            libc::SIGQUIT,
            libc::SIGKILL,
        ]
        .contains(&signal);
    }
    !status.success()
}
