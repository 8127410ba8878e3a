//! A PostgreSQL server of our own: made in a temporary folder, reached over a Unix socket, gone with the process.
//!
//! One server serves all tests of a run, each in a database of its own. The server refuses to run as root, so for
//! root it runs as `nobody`. A shell waits for the end of the run (of this process, or of the runner that starts
//! one process a test), however it ends; then it stops the server and removes the folder. `TANCHO_SKIP_POSTGRES=1` skips these tests, and says so;
//! `TANCHO_TEST_POSTGRES_URL` names a server to use instead, whose role may create databases.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use uuid::Uuid;

/// Uid and gid of `nobody` and `nogroup` on Debian.
const NOBODY: u32 = 65_534;
/// Longest wait for the server to take connections.
const START_TIME_MAX: Duration = Duration::from_secs(60);

struct Server {
    bin: PathBuf,
    /// Folder of the socket, or a url of a server that runs already.
    place: Place,
    /// The watching shell; its standard input is the pipe.
    _watch: Option<Child>,
}

enum Place {
    Socket(PathBuf),
    Url(String),
}

/// Makes an empty database and gives its url; `None` when PostgreSQL tests are switched off.
pub fn fresh_database_url() -> Option<String> {
    static SERVER: OnceLock<Server> = OnceLock::new();
    if std::env::var_os("TANCHO_SKIP_POSTGRES").is_some_and(|value| value == "1") {
        eprintln!("SKIPPED: the PostgreSQL half of this test, because TANCHO_SKIP_POSTGRES=1");
        return None;
    }
    let server = SERVER.get_or_init(Server::start);
    Some(server.create_database())
}

impl Server {
    fn start() -> Self {
        let bin = find_programs();
        if let Ok(url) = std::env::var("TANCHO_TEST_POSTGRES_URL") {
            return Self {
                bin,
                place: Place::Url(url),
                _watch: None,
            };
        }
        // cargo-nextest starts one process a test: they share a server that ends with the runner.
        match std::env::var("NEXTEST_RUN_ID") {
            Ok(run) => Self::shared(bin, &std::env::temp_dir().join(format!("tancho-pg-{run}"))),
            Err(_) => {
                let folder = tempfile::Builder::new()
                    .prefix("tancho-pg-")
                    .tempdir()
                    .unwrap()
                    .keep();
                Self::started(bin, &folder, "cat >/dev/null")
            }
        }
    }

    /// The first process of a run starts the server while the others wait for the lock.
    fn shared(bin: PathBuf, folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let lock = File::create(folder.join("lock")).unwrap();
        lock.lock().unwrap();
        let ready = folder.join("ready");
        if ready.exists() {
            return Self {
                bin,
                place: Place::Socket(folder.to_path_buf()),
                _watch: None,
            };
        }
        let runner = std::os::unix::process::parent_id();
        let server = Self::started(
            bin,
            folder,
            &format!("while [ -d /proc/{runner} ]; do sleep 1; done"),
        );
        File::create(ready).unwrap();
        server
    }

    /// `until_end` is shell text that returns when the run has ended.
    fn started(bin: PathBuf, folder: &Path, until_end: &str) -> Self {
        if is_root() {
            std::os::unix::fs::chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).unwrap();
        let made = unprivileged(&bin.join("initdb"))
            .args([
                "--auth=trust",
                "--username=tancho",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                "-D",
            ])
            .arg(folder.join("data"))
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        let script = format!(
            "\"$1/postgres\" -D \"$2/data\" -k \"$2\" -h '' -F -c max_connections=200 >\"$2/log\" 2>&1 </dev/null & \
             server=$!; {until_end}; kill -INT $server; wait $server; rm -rf \"$2\""
        );
        let watch = unprivileged(Path::new("/bin/sh"))
            .args(["-c", script.as_str(), "sh"])
            .args([bin.as_path(), folder])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Its own group: Ctrl-C reaches the run first, and its end tells the shell.
            .process_group(0)
            .spawn()
            .unwrap();
        let server = Self {
            bin,
            place: Place::Socket(folder.to_path_buf()),
            _watch: Some(watch),
        };
        server.wait_until_ready();
        server
    }

    fn wait_until_ready(&self) {
        let Place::Socket(folder) = &self.place else {
            return;
        };
        let started = Instant::now();
        loop {
            // pg_isready waits up to a second for the socket itself.
            let asked = Command::new(self.bin.join("pg_isready"))
                .args(["-q", "-t", "1", "-h"])
                .arg(folder)
                .status();
            if asked.is_ok_and(|status| status.success()) {
                return;
            }
            let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            assert!(
                started.elapsed() < START_TIME_MAX,
                "PostgreSQL did not start: {log}"
            );
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    fn create_database(&self) -> String {
        let name = format!("t{}", Uuid::now_v7().simple());
        let mut psql = Command::new(self.bin.join("psql"));
        match &self.place {
            Place::Socket(folder) => psql
                .arg("-h")
                .arg(folder)
                .args(["-U", "tancho", "-d", "postgres"]),
            Place::Url(url) => psql.args(["-d", url.as_str()]),
        };
        let text = format!("create database {name}");
        let made = psql
            .args(["-q", "-v", "ON_ERROR_STOP=1", "-c", text.as_str()])
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "create database: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        match &self.place {
            Place::Socket(folder) => format!("postgres://tancho@localhost/{name}?host={}", folder.display()),
            Place::Url(url) => {
                let (server, query) = url
                    .split_once('?')
                    .map_or((url.as_str(), ""), |(server, query)| (server, query));
                let server = server.rsplit_once('/').map_or(server, |(server, _)| server);
                format!("{server}/{name}?{query}")
            }
        }
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|about| std::os::unix::fs::MetadataExt::uid(&about) == 0)
}

fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new(program);
    // A folder that `nobody` may stand in.
    command.current_dir("/").env_remove("PGDATA");
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// The server's programs: on the path, or where Debian keeps them, the newest version first.
fn find_programs() -> PathBuf {
    let on_path = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect::<Vec<_>>())
        .unwrap_or_default();
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .collect();
    versions.sort();
    let debian = versions.into_iter().rev().map(|(_, bin)| bin);
    // A link on the path leads to the folder where all of them are.
    let followed = on_path.into_iter().filter_map(|folder| {
        std::fs::canonicalize(folder.join("initdb"))
            .ok()?
            .parent()
            .map(Path::to_path_buf)
    });
    let needed = ["initdb", "postgres", "pg_isready", "psql"];
    followed.chain(debian).find(|bin| needed.iter().all(|program| has(bin, program))).unwrap_or_else(|| {
        panic!(
            "PostgreSQL is needed for the contract tests: apt-get install postgresql, or set TANCHO_SKIP_POSTGRES=1 \
             to leave that half out"
        )
    })
}

fn has(bin: &Path, program: impl AsRef<OsStr>) -> bool {
    bin.join(program.as_ref()).is_file()
}
