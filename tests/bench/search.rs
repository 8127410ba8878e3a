//! QIDO-RS over 100,000 studies on each database: the slowest of a hundred answers to each kind of search.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use jiff::ToSpan;
use jiff::civil::date;
use reqwest::blocking::Client;
use sha2::{Digest, Sha256};
use tancho_domain::access::{Reach, Scope};
use tancho_domain::dicom::{
    Priority, SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid,
};
use tancho_domain::ids::{InstanceId, NodeId, SeriesId, StudyId};
use tancho_e2e::hospital::{Network, NetworkPlan, SITES};
use tancho_e2e::phantom::{Phantom, hex};
use tancho_e2e::program::run_command;
use tancho_store::studies::{
    self, ArrivingInstance, InstanceFacts, Origin, Relation, SeriesFacts, StudyFacts, VerifiedInstance,
};
use tancho_store::{Db, networks, nodes, sites};
use uuid::Uuid;

use crate::postgres;
use crate::table::Table;

const STUDIES: u32 = 100_000;
/// Studies written in one transaction.
const BATCH: u32 = 2_000;
/// Answers to each search that are timed, after one that is not; fewer when they take longer than [`TIME_MAX`].
const ANSWERS: usize = 100;
const TIME_MAX: Duration = Duration::from_secs(15);
const TARGET_MS: &str = "50";
/// Names that a file is given; ext4 allows 65,000.
const LINKS_MAX: u32 = 50_000;

const FAMILIES: [(&str, &str, &str); 8] = [
    ("YAMADA", "山田", "ヤマダ"),
    ("SUZUKI", "鈴木", "スズキ"),
    ("TAKAHASHI", "髙橋", "タカハシ"),
    ("SATO", "佐藤", "サトウ"),
    ("ITO", "伊藤", "イトウ"),
    ("WATANABE", "渡邊", "ワタナベ"),
    ("KUSHIRO", "釧路", "クシロ"),
    ("SAITO", "齋藤", "サイトウ"),
];
const GIVEN: [(&str, &str, &str); 5] = [
    ("TARO", "太郎", "タロウ"),
    ("HANAKO", "花子", "ハナコ"),
    ("ICHIRO", "一郎", "イチロウ"),
    ("SETSUKO", "節子", "セツコ"),
    ("KENJI", "健二", "ケンジ"),
];
const MODALITIES: [&str; 4] = ["CT", "CT", "MR", "CR"];

/// What is asked: a name for the table, the address behind `/studies?`, and how many must be found at least.
const SEARCHES: [(&str, &str, usize); 8] = [
    ("newest 50", "limit=50", 50),
    (
        "one day, CT",
        "StudyDate=20250310&ModalitiesInStudy=CT&limit=50",
        10,
    ),
    (
        "a month, MR, third page",
        "StudyDate=20240201-20240229&ModalitiesInStudy=MR&limit=50&offset=100",
        50,
    ),
    ("Patient ID", "PatientID=P0042042", 1),
    ("Accession Number", "AccessionNumber=A0077777", 1),
    (
        "family name in kanji, wildcard",
        "PatientName=*%E9%AB%99%E6%A9%8B*&limit=50",
        50,
    ),
    (
        "name in kana, fuzzy",
        "PatientName=%E3%83%A4%E3%83%9E%E3%83%80&fuzzymatching=true&limit=50",
        50,
    ),
    (
        "name that nobody has, fuzzy",
        "PatientName=ZZYZX&fuzzymatching=true&limit=50",
        0,
    ),
];

pub fn measure(folder: &Path) -> anyhow::Result<Table> {
    let mut table = Table::new(
        "QIDO-RS: studies, of 100,000",
        &["search", "database", "found", "median ms", "p99 ms", "target ms"],
    );
    for database in ["SQLite", "PostgreSQL"] {
        let mut plan = NetworkPlan::in_folder(&folder.join(format!("search-{database}")), 1);
        if database == "PostgreSQL" {
            plan.relay.database = Some(postgres::fresh_database_url().context("PostgreSQL is switched off")?);
        }
        let file = plan.relay.data_dir.join("tancho.sqlite");
        let url = plan
            .relay
            .database
            .clone()
            .unwrap_or_else(|| format!("sqlite:{}", file.display()));
        fs::create_dir_all(&plan.folder)?;
        let place = plan.folder.clone();
        let blobs = plan.relay.data_dir.join("blobs");
        let mut network = Network::start(plan)?;
        let image = Phantom::stroke("search")
            .with_slices(1)
            .write(&place.join("image"))?;
        let mut send = network.nodes[0].command(&["send", "--wait", "--json"]);
        run_command(send.arg(&image.folder), None)?;
        network.relay.stop()?;
        let began = Instant::now();
        tokio::runtime::Runtime::new()?.block_on(fill(&url))?;
        give_images(&blobs)?;
        println!(
            "{STUDIES} studies in {database}: {:.0} s",
            began.elapsed().as_secs_f64()
        );
        network.relay.start()?;
        let token = network.relay.token("technologist")?;
        for (name, query, n_least) in SEARCHES {
            let address = format!("{}/dicom-web/studies?{query}", network.relay.url());
            let (n_found, times) = times_of(&address, &token)?;
            ensure!(
                n_found >= n_least,
                "{name}: {n_found} found, at least {n_least} expected"
            );
            table.row(vec![
                name.to_owned(),
                database.to_owned(),
                n_found.to_string(),
                format!("{:.1}", times[times.len() / 2]),
                format!("{:.1}", times[(times.len() * 99).div_ceil(100) - 1]),
                TARGET_MS.to_owned(),
            ]);
        }
        network.stop()?;
    }
    table.note(
        "One client, one request after another, answers read to their end; newest first. 100 answers a search, or as many as \
         come in 15 s, one more before them untimed.",
    );
    Ok(table)
}

/// How many were found, and the milliseconds of each answer, sorted.
fn times_of(address: &str, token: &str) -> anyhow::Result<(usize, Vec<f64>)> {
    let client = Client::builder().timeout(None).build()?;
    let mut n_found = 0;
    let mut times = Vec::with_capacity(ANSWERS);
    let started = Instant::now();
    for answer in 0..=ANSWERS {
        if started.elapsed() > TIME_MAX && answer > 1 {
            break;
        }
        let began = Instant::now();
        let response = client
            .get(address)
            .bearer_auth(token)
            .header("Accept", "application/dicom+json")
            .send()?
            .error_for_status()?;
        let body = response.bytes()?;
        let ms = began.elapsed().as_secs_f64() * 1e3;
        match answer {
            0 if body.is_empty() => {}
            0 => n_found = serde_json::from_slice::<Vec<serde_json::Value>>(&body)?.len(),
            _ => times.push(ms),
        }
    }
    times.sort_by(f64::total_cmp);
    Ok((n_found, times))
}

/// The studies of ten years at the first site, as their images would have made them.
async fn fill(url: &str) -> anyhow::Result<()> {
    let db = Db::open(url).await?;
    let now_ms = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let mut tx = db.write().await?;
    let network = networks::list_networks(&mut tx).await?.remove(0);
    let scope = Scope {
        network_id: network.id.clone(),
        reach: Reach::Network,
    };
    let site = sites::find_site_by_code(&mut tx, &scope, SITES[0].code).await?;
    let node_id = NodeId::new(Uuid::now_v7());
    let node_id = nodes::ensure_upload_node(&mut tx, &scope, &site.id, &node_id, now_ms).await?;
    tx.commit().await?;
    let origin = Origin {
        network_id: network.id,
        site_id: site.id,
        node_id,
    };
    for first in (0..STUDIES).step_by(BATCH as usize) {
        let mut tx = db.write().await?;
        for n in first..first + BATCH {
            add(&mut tx, &origin, n, now_ms).await?;
        }
        tx.commit().await?;
    }
    db.close().await;
    Ok(())
}

/// Digest of the container of study `n`.
fn container_of(n: u32) -> String {
    hex(&Sha256::digest(n.to_be_bytes()))
}

/// Lets every study's container be that of the one image that was sent: answers have attributes from headers too.
fn give_images(blobs: &Path) -> anyhow::Result<()> {
    let sent = find_file(blobs)?.context("the image that was sent")?;
    let ending = sent
        .extension()
        .and_then(OsStr::to_str)
        .context("a name with an ending")?;
    let network = sent
        .parent()
        .and_then(Path::parent)
        .context("the network's folder")?;
    let mut source = sent.clone();
    for n in 0..STUDIES {
        let name = container_of(n);
        let folder = network.join(&name[..2]);
        fs::create_dir_all(&folder)?;
        let file = folder.join(format!("{name}.{ending}"));
        // A file has only so many names.
        if n % LINKS_MAX == 0 {
            fs::copy(&sent, &file)?;
            source = file;
        } else {
            fs::hard_link(&source, &file)?;
        }
    }
    Ok(())
}

fn find_file(folder: &Path) -> anyhow::Result<Option<PathBuf>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let found = if path.is_dir() {
            find_file(&path)?
        } else {
            Some(path)
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

async fn add(tx: &mut tancho_store::Tx, origin: &Origin, n: u32, now_ms: i64) -> anyhow::Result<()> {
    let family = FAMILIES[n as usize % FAMILIES.len()];
    let given = GIVEN[n as usize / FAMILIES.len() % GIVEN.len()];
    // Some 27 studies a day over ten years, not in their order.
    let days = i64::from(n.wrapping_mul(2_654_435_761) % 3_652);
    let day = date(2016, 1, 1).checked_add(days.days())?;
    let study = StudyFacts {
        patient_id: format!("P{:07}", n / 2),
        patient_name_alphabetic: format!("{}^{}", family.0, given.0),
        patient_name_ideographic: format!("{}^{}", family.1, given.1),
        patient_name_phonetic: format!("{}^{}", family.2, given.2),
        patient_birth_date: Some(format!("19{:02}0515", n % 90 + 10)),
        patient_sex: Some(["F", "M"][n as usize % 2].to_owned()),
        study_date: Some(day.strftime("%Y%m%d").to_string()),
        study_time: Some(format!("{:02}{:02}00", n % 24, n % 60)),
        accession_number: Some(format!("A{n:07}")),
        study_description: Some("頭部単純CT".to_owned()),
        ..StudyFacts::default()
    };
    let series = SeriesFacts {
        modality: MODALITIES[n as usize / 3 % MODALITIES.len()].to_owned(),
        series_number: Some(1),
        ..SeriesFacts::default()
    };
    let instance = InstanceFacts {
        sop_instance_uid: SopInstanceUid::parse(&format!("2.25.77.{n}.1.1"))?,
        sop_class_uid: SopClassUid::parse("1.2.840.10008.5.1.4.1.1.2")?,
        transfer_syntax_uid: TransferSyntaxUid::parse("1.2.840.10008.1.2.1")?,
        container_sha256: container_of(n),
        container_len: 1,
        original_sha256: format!("{n:064x}"),
        original_len: 1,
        calling_ae: "CT01".to_owned(),
        called_ae: "TANCHO".to_owned(),
        instance_number: Some(1),
        number_of_frames: 1,
        frame_rows: Some(512),
        frame_columns: Some(512),
        warnings: String::new(),
        sent_received_at_ms: now_ms,
    };
    let arriving = ArrivingInstance {
        study_instance_uid: &StudyInstanceUid::parse(&format!("2.25.77.{n}"))?,
        series_instance_uid: &SeriesInstanceUid::parse(&format!("2.25.77.{n}.1"))?,
        priority: Priority::Routine,
        study: &study,
        series: &series,
        instance: &instance,
        new_ids: (
            StudyId::new(Uuid::now_v7()),
            SeriesId::new(Uuid::now_v7()),
            InstanceId::new(Uuid::now_v7()),
        ),
    };
    let arrived = studies::begin_instance(tx, origin, &arriving, now_ms).await?;
    let verified = VerifiedInstance {
        instance_id: &arrived.instance_id,
        relation: Relation::First,
    };
    studies::verify_instance(tx, origin, &verified, now_ms).await?;
    Ok(())
}
