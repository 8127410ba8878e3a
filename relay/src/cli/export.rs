//! `tancho-relay export`: an instance out of the blob store, as it was received.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tancho_domain::access::{Reach, Scope};
use tancho_domain::dicom::SopInstanceUid;
use tancho_imaging::part10;
use tancho_store::audit::{self, Actor, Entry};
use tancho_store::instances::{self, StoredVersion};
use tancho_store::{StoreError, networks};
use tokio::io::AsyncSeekExt;

use super::Common;
use crate::blobs::{BlobError, hex, parse_hex};
use crate::control::{self, Refusal, Reply, Request};
use crate::durable;
use crate::state::AppState;

/// Write an instance back into a file, proved against its digest.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Which instance.
    #[arg(long, value_name = "UID")]
    pub sop_instance_uid: String,
    /// Where to; a file that is there is replaced once the new one is whole.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// What to write.
    #[arg(long, value_enum, default_value = "original")]
    pub form: Form,
    /// Code of the site it came from, when two sites sent the same UID.
    #[arg(long)]
    pub site: Option<String>,
    /// Which version; 1 is the one shown.
    #[arg(long, default_value_t = 1)]
    pub revision: i64,
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// The bare data set, byte for byte as it was sent; no DICOM file.
    Original,
    /// A DICOM file: preamble and file meta information made here, then the same bytes.
    Dicom,
}

impl Form {
    fn describe(self) -> &'static str {
        match self {
            Self::Original => {
                "this is the bare data set, byte for byte as it was sent; for a file that DICOM programs open: --form dicom"
            }
            Self::Dicom => {
                "this is a DICOM file: preamble and file meta information made here, then the data set byte for byte as \
                 it was sent"
            }
        }
    }
}

/// `export`, as it goes over the socket.
#[derive(Serialize, Deserialize)]
pub struct ExportRequest {
    network: String,
    sop_instance_uid: String,
    form: Form,
    site: Option<String>,
    revision: i64,
}

/// Asks for it and writes the file.
pub async fn run(args: ExportArgs) -> anyhow::Result<()> {
    let request = ExportRequest {
        network: args.common.network.clone(),
        sop_instance_uid: args.sop_instance_uid,
        form: args.form,
        site: args.site,
        revision: args.revision,
    };
    let reply = control::ask(&args.common, Request::Export(request)).await?;
    let file = reply.file.context("the relay sent no file")?.into_std().await;
    let out = args.out.clone();
    tokio::task::spawn_blocking(move || write_out(file, &out)).await??;
    let sentence = format!("{} bytes written to {}", reply.value["bytes"], args.out.display());
    args.common.print(&reply.value, &sentence)?;
    eprintln!("{}", args.form.describe());
    Ok(())
}

/// Copies beside the target, makes it durable, and only then gives it the target's name.
fn write_out(mut file: std::fs::File, out: &Path) -> anyhow::Result<()> {
    let folder = out
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut beside = tempfile::NamedTempFile::new_in(folder)
        .with_context(|| format!("writing into {}", folder.display()))?;
    std::io::copy(&mut file, &mut beside)?;
    beside.flush()?;
    durable::file(beside.as_file())?;
    beside
        .persist(out)
        .with_context(|| format!("writing {}", out.display()))?;
    Ok(())
}

/// Does it: finds the version, rebuilds it into an unnamed file of the data folder, and writes that down.
pub async fn export(app: &AppState, request: ExportRequest) -> Result<Reply, Refusal> {
    let uid = SopInstanceUid::parse(&request.sop_instance_uid).map_err(|_| {
        refusal(
            "uid_malformed",
            "a SOP Instance UID expected: digits and full stops",
        )
    })?;
    let mut tx = app.db.read().await?;
    let network = match networks::find_network_by_name(&mut tx, &request.network).await {
        Err(StoreError::NotFound) => return Err(refusal("network_not_found", "no network of this name")),
        other => other?,
    };
    let scope = Scope {
        network_id: network.id,
        reach: Reach::Network,
    };
    let versions = instances::list_versions(&mut tx, &scope, &uid).await?;
    drop(tx);
    let version = choose(versions, &request)?;
    let digest =
        parse_hex(&version.container_sha256).ok_or_else(|| refusal("failed", "the store names no blob"))?;

    let (blobs, network_id, form) = (app.blobs.clone(), scope.network_id.clone(), request.form);
    let scratch = app.config.data_dir.clone();
    let rebuilt = tokio::task::spawn_blocking(move || -> Result<_, BlobError> {
        let mut container = blobs.container(&network_id, &digest)?;
        let mut file = tempfile::tempfile_in(scratch)?;
        let header = container.header().clone();
        if form == Form::Dicom {
            let front = part10::header(
                &header.transfer_syntax,
                &header.sop_class_uid,
                &header.sop_instance_uid,
            );
            file.write_all(&front)?;
        }
        container.rebuild(&mut file)?;
        Ok((file, header))
    });
    let (file, header) = rebuilt
        .await
        .map_err(|error| refusal("failed", error.to_string()))?
        .map_err(|error| refusal("instance_damaged", error.to_string()))?;
    let mut file = tokio::fs::File::from_std(file);
    let bytes = file.stream_position().await.map_err(anyhow::Error::from)?;
    file.rewind().await.map_err(anyhow::Error::from)?;

    let entry = Entry::by(
        Actor::Operator,
        "export_instance",
        "instance",
        version.id.as_str(),
    );
    let mut tx = app.db.write().await?;
    audit::append(&mut tx, &scope.network_id, entry, app.now_ms()).await?;
    tx.commit().await?;
    Ok(Reply {
        value: json!({
            "sop_instance_uid": uid.as_str(),
            "site": version.site_code,
            "revision": version.revision,
            "transfer_syntax": header.transfer_syntax.as_str(),
            "original_sha256": hex(&header.original_sha256),
            "original_bytes": header.original_len,
            "bytes": bytes,
        }),
        file: Some(file),
    })
}

/// The one version that was asked for.
fn choose(versions: Vec<StoredVersion>, request: &ExportRequest) -> Result<StoredVersion, Refusal> {
    let mut fitting: Vec<StoredVersion> = versions
        .into_iter()
        .filter(|version| version.revision == request.revision)
        .filter(|version| {
            request
                .site
                .as_ref()
                .is_none_or(|site| *site == version.site_code)
        })
        .collect();
    match (fitting.pop(), fitting.pop()) {
        (Some(version), None) if version.verified_at_ms.is_some() => Ok(version),
        (Some(_), None) => Err(refusal("instance_arriving", "it has not fully arrived yet")),
        (Some(_), Some(_)) => Err(refusal(
            "instance_ambiguous",
            "two sites sent this UID: name the site with --site",
        )),
        (None, _) => Err(refusal("instance_not_found", "no such instance in this network")),
    }
}

fn refusal(code: &str, detail: impl Into<String>) -> Refusal {
    Refusal {
        code: code.to_owned(),
        detail: detail.into(),
    }
}
