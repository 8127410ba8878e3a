//! An agent inside the test, with everything on free ports in a temporary folder.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tancho_agent::clock::Clock;
use tancho_agent::config::{self, Config};
use tancho_agent::spool::object_file::{DataSet, ObjectHeader};
use tancho_agent::spool::{OutboundObject, Spool};
use tancho_agent::{Agent, StartError};
use tancho_domain::dicom::TransferSyntaxUid;
use tancho_imaging::container::{Container, Dictionary};
use tancho_imaging::synthetic::CtSlice;
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub const EXPLICIT_LE: &str = "1.2.840.10008.1.2.1";
pub const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
/// How long an awaited event may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// The page is looked at again after this time when nothing was announced.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A configuration on free ports, without reserve on the disk.
pub fn config(data_dir: &Path) -> Config {
    let environment = [
        ("TANCHO_DIMSE__LISTEN", "127.0.0.1:0"),
        ("TANCHO_PAGE__LISTEN", "127.0.0.1:0"),
        ("TANCHO_SPOOL__RESERVE_BYTES", "0"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    config::load(None, environment, Some(data_dir)).unwrap()
}

/// A running agent; it stops when dropped.
pub struct TestAgent {
    runtime: Runtime,
    agent: Option<Agent>,
    pub dimse: SocketAddr,
    pub page: SocketAddr,
    pub folder: Option<TempDir>,
    pub data_dir: PathBuf,
}

impl TestAgent {
    /// In a new folder.
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// In a new folder, with a changed configuration.
    pub fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut agent = Self::start_in(folder.path(), change).unwrap();
        agent.folder = Some(folder);
        agent
    }

    /// In a folder of the test.
    pub fn start_in(data_dir: &Path, change: impl FnOnce(&mut Config)) -> Result<Self, StartError> {
        let runtime = Runtime::new().unwrap();
        let mut config = config(data_dir);
        change(&mut config);
        let agent = runtime.block_on(Agent::start(config, Clock::system()))?;
        let dimse = agent.dimse_address().unwrap();
        let page = agent.page_address().unwrap();
        Ok(Self {
            runtime,
            agent: Some(agent),
            dimse,
            page,
            folder: None,
            data_dir: data_dir.to_owned(),
        })
    }

    pub fn spool(&self) -> &Spool {
        &self.agent.as_ref().unwrap().spool
    }

    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Waits for the spool to change until `found` finds something.
    pub fn until<T>(&self, what: &str, mut found: impl FnMut(&Spool) -> Option<T>) -> T {
        let spool = self.spool();
        self.block_on(async {
            let mut changes = spool.subscribe();
            let waiting = async {
                loop {
                    changes.mark_unchanged();
                    if let Some(value) = found(spool) {
                        return value;
                    }
                    changes.changed().await.unwrap();
                }
            };
            tokio::time::timeout(PATIENCE, waiting)
                .await
                .unwrap_or_else(|_| panic!("waited in vain: {what}"))
        })
    }

    /// Waits until `found` finds something on the page.
    pub fn until_page<T>(&self, what: &str, mut found: impl FnMut(&Value) -> Option<T>) -> T {
        let board = &self.agent.as_ref().unwrap().board;
        let deadline = Instant::now() + PATIENCE;
        let mut changes = board.subscribe();
        loop {
            if let Some(value) = found(&self.state()) {
                return value;
            }
            assert!(Instant::now() < deadline, "waited in vain: {what}");
            // Time itself changes the page, too.
            self.block_on(async { tokio::time::timeout(LOOK_AGAIN, changes.changed()).await })
                .ok();
        }
    }

    /// Waits until `n` objects are ready for the line.
    pub fn outbound(&self, n: usize) -> Vec<OutboundObject> {
        self.until(&format!("{n} objects for the line"), |spool| {
            Some(spool.outbound()).filter(|all| all.len() == n)
        })
    }

    /// Heads in the line that others may be coded with.
    fn heads(&self) -> Vec<Dictionary> {
        let mut heads = Vec::new();
        for object in self.spool().outbound() {
            let file = self.block_on(self.spool().container_file(&object.object_id));
            let mut container = Container::open(file.unwrap()).unwrap();
            if container.header().is_dictionary {
                heads.extend(Dictionary::new(container.head_bytes(u64::MAX).unwrap()));
            }
        }
        heads
    }

    /// The data set that an object's container gives back.
    pub fn rebuilt(&self, object: &OutboundObject) -> Vec<u8> {
        let file = self
            .block_on(self.spool().container_file(&object.object_id))
            .unwrap();
        let mut bytes = Vec::new();
        let heads = self.heads();
        let of = |sha256: &[u8; 32]| heads.iter().find(|head| head.sha256() == sha256).cloned();
        let head = Container::open(file.try_clone().unwrap())
            .unwrap()
            .header()
            .dictionary_sha256
            .and_then(|sha256| of(&sha256));
        let container = Container::open(file).unwrap();
        let mut container = container.with_dictionaries(move |_| Ok(head.clone()));
        container.rebuild(&mut bytes).unwrap();
        assert_eq!(<[u8; 32]>::from(Sha256::digest(&bytes)), object.original_sha256);
        bytes
    }

    /// What the page answers to a GET: status and body.
    pub fn get(&self, path: &str) -> (u16, String) {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        ))
    }

    /// What the page answers to a POST from a page of `origin`: status and body.
    pub fn post(&self, path: &str, origin: &str, body: &Value) -> (u16, String) {
        let body = body.to_string();
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: {origin}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ))
    }

    /// The page's picture of the node.
    pub fn state(&self) -> Value {
        serde_json::from_str(&self.get("/api/state").1).unwrap()
    }

    fn ask(&self, request: &str) -> (u16, String) {
        let (head, body) = self.ask_for_bytes(request);
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, String::from_utf8(body).unwrap())
    }

    /// Like [`TestAgent::post`], with the answer's head in place of its status, and bytes.
    pub fn download(&self, path: &str, body: &Value) -> (String, Vec<u8>) {
        let body = body.to_string();
        self.ask_for_bytes(&format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ))
    }

    fn ask_for_bytes(&self, request: &str) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(self.page).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        (head, answer.split_off(end + 4))
    }

    /// Every object file with its header, quarantine excepted.
    pub fn object_files(&self) -> Vec<PathBuf> {
        let objects = self.data_dir.join("spool/objects");
        let mut files = Vec::new();
        for folder in std::fs::read_dir(objects).unwrap() {
            files.extend(
                std::fs::read_dir(folder.unwrap().path())
                    .unwrap()
                    .map(|file| file.unwrap().path()),
            );
        }
        files.sort();
        files
    }

    /// Names of the files in a folder of the spool.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.data_dir.join("spool").join(folder)).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    /// Stops in order and waits for it.
    pub fn stop(&mut self) {
        if let Some(agent) = self.agent.take() {
            self.runtime.block_on(agent.stop());
        }
    }
}

impl Drop for TestAgent {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The data set of an object file, checked against its header.
pub fn data_set_of(file: &Path) -> Vec<u8> {
    use std::io::{Seek, SeekFrom};
    let mut opened = std::fs::File::open(file).unwrap();
    let header = ObjectHeader::read(&mut opened).unwrap().expect("a good header");
    let mut data = DataSet::new(opened, header.data_len).unwrap();
    assert_eq!(data.sha256().unwrap(), header.data_sha256);
    data.seek(SeekFrom::Start(0)).unwrap();
    let mut bytes = Vec::new();
    data.read_to_end(&mut bytes).unwrap();
    bytes
}

/// A small CT slice: instance `n` of a study.
pub fn slice(study: &str, n: u32) -> (String, Vec<u8>) {
    let slice = CtSlice {
        study_instance_uid: study.to_owned(),
        series_instance_uid: format!("{study}.1"),
        sop_instance_uid: format!("{study}.1.{n}"),
        instance_number: n,
        ..CtSlice::default()
    };
    let data = slice
        .data_set(&TransferSyntaxUid::parse(EXPLICIT_LE).unwrap())
        .unwrap();
    (slice.sop_instance_uid, data)
}

/// A folder of the shared test data; says so when it is not there.
pub fn shared_data(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("TANCHO_TEST_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    );
    let path = root.join(folder);
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: test data folder {folder} is not there");
    None
}

/// DICOM files below a folder, by name.
pub fn dicom_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "dcm"))
        .collect();
    files.sort();
    files
}
