//! The configuration: one TOML file, environment overrides, one struct per subsystem.
//!
//! Reading collects every problem (unknown key, bad value, missing or exposed secret) instead of stopping at the
//! first; nothing opens a port before the list is empty. A new subsystem adds a file under `config/`, a field
//! below and a line in `Config::read`; `deploy/relay.toml` names every key and a test parses it.

pub mod source;
pub mod http;
pub mod quic;
pub mod database;
pub mod smtp;
pub mod requests;
pub mod turnaround;
pub mod nodes;
pub mod jobs;
pub mod blobs;
pub mod decoding;
pub mod ohif;

use std::path::{Path, PathBuf};

use source::Source;

pub use blobs::BlobsConfig;
pub use database::DatabaseConfig;
pub use decoding::DecodingConfig;
pub use http::HttpConfig;
pub use jobs::JobsConfig;
pub use nodes::NodesConfig;
pub use ohif::OhifConfig;
pub use quic::QuicConfig;
pub use requests::RequestsConfig;
pub use smtp::{MailTls, SmtpConfig};
pub use source::{ConfigErrors, Problem};
pub use turnaround::{Targets, TurnaroundConfig};

/// Data folder when nothing says otherwise, relative to the working folder.
pub const DATA_DIR_DEFAULT: &str = "tancho-data";

/// Everything the relay is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the database, the instance files and the control socket live.
    pub data_dir: PathBuf,
    /// The pages and the API.
    pub http: HttpConfig,
    /// The listeners for node agents.
    pub quic: QuicConfig,
    /// Which store.
    pub database: DatabaseConfig,
    /// The mail server; without one no mail is sent.
    pub smtp: Option<SmtpConfig>,
    /// Rules for reading requests.
    pub requests: RequestsConfig,
    /// Due times by urgency.
    pub turnaround: TurnaroundConfig,
    /// Node agents.
    pub nodes: NodesConfig,
    /// The outbox.
    pub jobs: JobsConfig,
    /// Instance containers at rest.
    pub blobs: BlobsConfig,
    /// The processes that decode what peers sent.
    pub decoding: DecodingConfig,
    /// The OHIF viewer; without it there is no such page.
    pub ohif: Option<OhifConfig>,
}

impl Config {
    /// Reads the file (if any) and the overrides among `environment`; `data_dir` from the command line wins.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        data_dir: Option<&Path>,
    ) -> Result<Self, ConfigErrors> {
        let mut source = Source::new(file);
        source.override_from(environment);
        let config = Self::read(&mut source, data_dir);
        source.finish()?;
        Ok(config)
    }

    /// For a command that has nothing to do where no relay ever ran.
    ///
    /// # Errors
    /// When the data folder is not there.
    pub fn demand_data_dir(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.data_dir.is_dir(),
            "there is no data folder {}: name the relay's with --data-dir, or its configuration file with --config",
            self.data_dir.display()
        );
        Ok(())
    }

    fn read(source: &mut Source, data_dir: Option<&Path>) -> Self {
        let from_file = source.root().path("data_dir");
        let data_dir = data_dir
            .map(Path::to_path_buf)
            .or(from_file)
            .unwrap_or_else(|| DATA_DIR_DEFAULT.into());
        Self {
            http: HttpConfig::read(&mut source.section("http")),
            quic: QuicConfig::read(&mut source.section("quic")),
            database: DatabaseConfig::read(&mut source.section("database"), &data_dir),
            smtp: SmtpConfig::read(&mut source.section("smtp")),
            requests: RequestsConfig::read(&mut source.section("requests")),
            turnaround: TurnaroundConfig::read(source),
            nodes: NodesConfig::read(&mut source.section("nodes")),
            jobs: JobsConfig::read(&mut source.section("jobs")),
            blobs: BlobsConfig::read(&mut source.section("blobs")),
            decoding: DecodingConfig::read(&mut source.section("decoding")),
            ohif: OhifConfig::read(&mut source.section("ohif")),
            data_dir,
        }
    }

    /// Defaults with every listener on a free loopback port and everything under `data_dir`; for tests in process.
    #[must_use]
    pub fn on_free_ports(data_dir: &Path) -> Self {
        let environment = [
            ("TANCHO_HTTP__LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            ("TANCHO_QUIC__LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
        ];
        let mut config = Self::load(None, environment, Some(data_dir))
            .unwrap_or_else(|errors| panic!("the defaults are valid: {errors}"));
        // The program of a test is no relay; the relay is built beside the folder of tests.
        let own = std::env::current_exe().unwrap_or_default();
        if let Some(built) = own.parent().and_then(Path::parent) {
            config.decoding.program = built.join("tancho-relay");
        }
        config
    }
}
