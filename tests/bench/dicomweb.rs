//! DICOMweb over loopback beside Orthanc's plugin, same series, same client: frames, the metadata of a long series, and one
//! object of 4 GiB, in which the relay's memory must not show.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, ensure};
use reqwest::blocking::{Client, Response};
use tancho_e2e::hospital::{Network, NetworkPlan};
use tancho_e2e::orthanc::Orthanc;
use tancho_e2e::phantom::{Phantom, PhantomFile, PhantomStudy};
use tancho_e2e::program::run_command;

use crate::RUNS;
use crate::table::{Table, median};

/// Slices that are drawn; each is sent under several SOP Instance UIDs.
const SLICES: usize = 250;
const COPIES: usize = 4;
/// Bytes of a frame's samples.
const FRAME_BYTES: usize = 512 * 512 * 2;
/// Frames of the largest object that Pixel Data in one piece can have (PS3.5 section 7.1: lengths of 32 bits).
const LARGEST_FRAMES: usize = 8191;
const PIXEL_DATA: [u8; 8] = [0xE0, 0x7F, 0x10, 0x00, b'O', b'W', 0, 0];
const ROWS: [u8; 6] = [0x28, 0x00, 0x10, 0x00, b'U', b'S'];

/// A DICOMweb server as a client sees it.
struct Server {
    base: String,
    token: Option<String>,
}

impl Server {
    fn get(&self, client: &Client, path: &str, accept: &str) -> anyhow::Result<Response> {
        let mut request = client
            .get(format!("{}{path}", self.base))
            .header("Accept", accept);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        Ok(request.send()?.error_for_status()?)
    }

    /// Bytes of an answer, which is read to its end.
    fn bytes(&self, client: &Client, path: &str, accept: &str) -> anyhow::Result<u64> {
        Ok(io::copy(&mut self.get(client, path, accept)?, &mut io::sink())?)
    }
}

/// The three tables.
pub fn measure(folder: &Path) -> anyhow::Result<Vec<Table>> {
    let series = long_series(&folder.join("long-series"))?;
    let place = folder.join("dicomweb");
    fs::create_dir_all(&place)?;
    let mut network = Network::start(NetworkPlan::in_folder(&place, 1))?;
    send(&network, &series.folder)?;
    let mut orthanc = Orthanc::start_on_the_web(&place.join("orthanc"), "http://127.0.0.1:1", "none")?;
    orthanc.import(series.files.iter().map(|file| file.path.as_path()))?;
    let ours = Server {
        base: format!("{}/dicom-web", network.relay.url()),
        token: Some(network.relay.token("technologist")?),
    };
    let theirs = Server {
        base: format!("http://{}/dicom-web", orthanc.rest),
        token: None,
    };
    let mut tables = vec![
        frames(&series, &ours, &theirs)?,
        metadata(&series, &ours, &theirs)?,
    ];
    orthanc.stop()?;
    tables.push(largest(&series, &ours, &mut network, folder)?);
    network.stop()?;
    Ok(tables)
}

/// A series of 1,000 instances: a thin head, each slice under several SOP Instance UIDs of the same length.
fn long_series(folder: &Path) -> anyhow::Result<PhantomStudy> {
    let mut series = Phantom::stroke("dicomweb").thin(SLICES).write(folder)?;
    let mut copies = Vec::new();
    for file in &series.files {
        let bytes = fs::read(&file.path)?;
        for copy in 1..COPIES {
            let uid = like(&file.sop_instance_uid, 10 + copy);
            let path = folder.join(format!("{uid}.dcm"));
            fs::write(
                &path,
                renamed(&bytes, file.sop_instance_uid.as_bytes(), uid.as_bytes()),
            )?;
            copies.push(PhantomFile {
                path,
                sop_instance_uid: uid,
                ..file.clone()
            });
        }
    }
    series.files.append(&mut copies);
    Ok(series)
}

/// Another UID of the same length.
fn like(uid: &str, two_digits: usize) -> String {
    format!("{}{two_digits}", &uid[..uid.len() - 2])
}

/// The bytes with each `from` replaced by `to`, which is as long.
fn renamed(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut renamed = bytes.to_vec();
    let mut at = 0;
    while let Some(found) = find(&renamed[at..], from) {
        renamed[at + found..at + found + from.len()].copy_from_slice(to);
        at += found + from.len();
    }
    renamed
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn send(network: &Network, path: &Path) -> anyhow::Result<()> {
    let mut command = network.nodes[0].command(&["send", "--wait", "--json"]);
    run_command(command.arg(path), None).map(drop)
}

fn frames(series: &PhantomStudy, ours: &Server, theirs: &Server) -> anyhow::Result<Table> {
    let mut table = Table::new(
        "WADO-RS: each frame of 1,000 images",
        &[
            "asked for",
            "connections",
            "relay images/s",
            "MB/s of samples",
            "Orthanc images/s",
            "MB/s of samples",
            "ratio",
        ],
    );
    let any = "multipart/related; type=\"application/octet-stream\"; transfer-syntax=*";
    let explicit =
        "multipart/related; type=\"application/octet-stream\"; transfer-syntax=1.2.840.10008.1.2.1";
    for (name, accept) in [("as stored", any), ("Explicit VR Little Endian", explicit)] {
        for connections in [1, 4] {
            let (mut our_runs, mut their_runs) = (Vec::new(), Vec::new());
            for _ in 0..RUNS {
                our_runs.push(all_frames(series, ours, accept, connections)?);
                their_runs.push(all_frames(series, theirs, accept, connections)?);
            }
            let (our_s, their_s) = (median(our_runs), median(their_runs));
            let images = series.files.len() as f64;
            let rate = |seconds: f64| format!("{:.0}", images / seconds);
            let samples = |seconds: f64| format!("{:.0}", images * FRAME_BYTES as f64 / seconds / 1e6);
            table.row(vec![
                name.to_owned(),
                connections.to_string(),
                rate(our_s),
                samples(our_s),
                rate(their_s),
                samples(their_s),
                format!("{:.1}", their_s / our_s),
            ]);
        }
    }
    table.note(
        "One request a frame, as viewers ask; the target is 3. As stored, the relay sends HTJ2K and Orthanc the samples \
         themselves, so the relay's frames are about a quarter as long; MB/s are of the samples that the client has then. \
         The relay checks who asks and writes its audit of each; Orthanc here asks nobody for a login.",
    );
    Ok(table)
}

/// Seconds for every frame, shared out over connections.
fn all_frames(
    series: &PhantomStudy,
    server: &Server,
    accept: &str,
    connections: usize,
) -> anyhow::Result<f64> {
    let share = series.files.len().div_ceil(connections);
    let start = Instant::now();
    std::thread::scope(|scope| {
        let jobs: Vec<_> = series
            .files
            .chunks(share)
            .map(|files| {
                scope.spawn(move || -> anyhow::Result<()> {
                    let client = client()?;
                    for file in files {
                        let path =
                            format!("{}/instances/{}/frames/1", path_of(series), file.sop_instance_uid);
                        ensure!(server.bytes(&client, &path, accept)? > 0, "an empty answer");
                    }
                    Ok(())
                })
            })
            .collect();
        for job in jobs {
            job.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        anyhow::Ok(())
    })?;
    Ok(start.elapsed().as_secs_f64())
}

fn metadata(series: &PhantomStudy, ours: &Server, theirs: &Server) -> anyhow::Result<Table> {
    let mut table = Table::new(
        "WADO-RS: metadata of a series of 1,000 instances",
        &["server", "first ms", "again ms", "target ms", "MB"],
    );
    let client = client()?;
    let path = format!("{}/metadata", path_of(series));
    for (name, server, target) in [("relay", ours, "150"), ("Orthanc", theirs, "")] {
        let mut times = Vec::new();
        let mut bytes = 0;
        for _ in 0..=RUNS {
            let start = Instant::now();
            bytes = server.bytes(&client, &path, "application/dicom+json")?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        let first = times.remove(0);
        table.row(vec![
            name.to_owned(),
            format!("{first:.0}"),
            format!("{:.0}", median(times)),
            target.to_owned(),
            format!("{:.1}", bytes as f64 / 1e6),
        ]);
    }
    table.note("Not compressed on the way. Orthanc with full metadata, as the relay's.");
    Ok(table)
}

/// One object of 4 GiB in, and out again as its client would take it.
fn largest(
    series: &PhantomStudy,
    ours: &Server,
    network: &mut Network,
    folder: &Path,
) -> anyhow::Result<Table> {
    let uid = like(&series.files[0].sop_instance_uid, 99);
    let file = multi_frame(&series.files[..SLICES], &folder.join("largest"), &uid)?;
    let size = fs::metadata(&file)?.len();
    let start = Instant::now();
    send(network, &file)?;
    let sent_s = start.elapsed().as_secs_f64();
    fs::remove_file(&file)?;
    let peak = |network: &mut Network| -> anyhow::Result<f64> {
        let program = network.relay.program().context("the relay runs")?;
        Ok(program.peak_memory_kib().context("its memory is known")? as f64 / 1024.0)
    };
    let before = peak(network)?;
    let path = format!("{}/instances/{uid}", path_of(series));
    let start = Instant::now();
    let mut answer = ours.get(
        &client()?,
        &path,
        "multipart/related; type=\"application/dicom\"; transfer-syntax=*",
    )?;
    let mut n_read = 0_u64;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match answer.read(&mut buffer)? {
            0 => break,
            n => n_read += n as u64,
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    ensure!(n_read >= size - 1024, "{n_read} bytes came of {size}");
    let mut table = Table::new(
        "WADO-RS: one object of 4 GiB",
        &[
            "GiB",
            "frames",
            "sent in s",
            "retrieved in s",
            "MB/s",
            "relay peak MiB before",
            "after",
        ],
    );
    table.row(vec![
        format!("{:.2}", size as f64 / f64::from(1 << 30)),
        LARGEST_FRAMES.to_string(),
        format!("{sent_s:.0}"),
        format!("{seconds:.0}"),
        format!("{:.0}", n_read as f64 / seconds / 1e6),
        format!("{before:.0}"),
        format!("{:.0}", peak(network)?),
    ]);
    table.note("Peak memory is VmHWM; the promise is under 256 MiB. Each frame is decoded on the way out.");
    Ok(table)
}

/// One object out of slices, written frame by frame.
fn multi_frame(slices: &[PhantomFile], folder: &Path, uid: &str) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let first = &slices[0];
    let bytes = fs::read(&first.path)?;
    let pixels_at = find(&bytes, &PIXEL_DATA).context("a slice has Pixel Data")?;
    let rows_at = find(&bytes, &ROWS).context("a slice has Rows")?;
    let mut frames = format!("{LARGEST_FRAMES}");
    frames.extend((frames.len() % 2 == 1).then_some(' '));
    let mut n_frames = vec![0x28, 0x00, 0x08, 0x00, b'I', b'S'];
    n_frames.extend_from_slice(&u16::try_from(frames.len())?.to_le_bytes());
    n_frames.extend_from_slice(frames.as_bytes());

    let path = folder.join("largest.dcm");
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&path)?);
    let head = [&bytes[..rows_at], &n_frames, &bytes[rows_at..pixels_at]].concat();
    file.write_all(&renamed(&head, first.sop_instance_uid.as_bytes(), uid.as_bytes()))?;
    file.write_all(&PIXEL_DATA)?;
    file.write_all(&u32::try_from(LARGEST_FRAMES * FRAME_BYTES)?.to_le_bytes())?;
    let drawn: Vec<Vec<u8>> = slices
        .iter()
        .take(16)
        .map(|slice| fs::read(&slice.path))
        .collect::<io::Result<_>>()?;
    for idx in 0..LARGEST_FRAMES {
        let slice = &drawn[idx % drawn.len()];
        let at = find(slice, &PIXEL_DATA).context("a slice has Pixel Data")? + PIXEL_DATA.len() + 4;
        file.write_all(slice.get(at..at + FRAME_BYTES).context("a whole slice")?)?;
    }
    file.into_inner()?.sync_all()?;
    Ok(path)
}

fn path_of(series: &PhantomStudy) -> String {
    format!(
        "/studies/{}/series/{}",
        series.study_instance_uid, series.series_instance_uid
    )
}

fn client() -> anyhow::Result<Client> {
    Ok(Client::builder().timeout(None).build()?)
}
