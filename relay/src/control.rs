//! The command line speaks to a running relay over a Unix socket in the data folder, open to this account alone.
//!
//! One request a connection: a JSON line, answered by a JSON line and, for exports, the bytes of a file. When no
//! relay runs, the command opens the store itself, under the data folder's lock, and does the same. A new command
//! adds a variant to [`Request`] and a line to [`carry_out`].

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tancho_domain::access::{Reach, Scope};
use tancho_domain::ids::NetworkId;
use tancho_store::{StoreError, Tx, networks};

use crate::cli;
use crate::error::ApiError;
use crate::secrets;
use crate::state::AppState;

#[cfg(unix)]
pub mod socket;

/// What the command line can ask.
#[derive(Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Request {
    /// `site add`
    SiteAdd(cli::site::AddRequest),
    /// `site list`
    SiteList(ListRequest),
    /// `node invite`
    NodeInvite(cli::node::InviteRequest),
    /// `node list`
    NodeList(ListRequest),
    /// `user add`
    UserAdd(cli::user::AddRequest),
    /// `user list`
    UserList(ListRequest),
    /// `token create`
    TokenCreate(cli::token::CreateRequest),
    /// `token list`
    TokenList(cli::token::ListRequest),
    /// `token revoke`
    TokenRevoke(cli::token::RevokeRequest),
    /// `audit verify`
    AuditVerify(cli::audit::VerifyRequest),
    /// `export`
    Export(cli::export::ExportRequest),
    /// `blobs verify`
    BlobsVerify(cli::blobs::VerifyRequest),
}

/// Everything of one kind in a network.
#[derive(Serialize, Deserialize)]
pub struct ListRequest {
    /// The network's name.
    pub network: String,
}

/// What comes back.
#[derive(Debug)]
pub struct Reply {
    /// JSON, printed as it is with `--json`.
    pub value: Value,
    /// A file whose bytes follow.
    pub file: Option<tokio::fs::File>,
}

impl Reply {
    /// A reply without a file.
    pub fn of(value: impl Serialize) -> anyhow::Result<Self> {
        Ok(Self {
            value: serde_json::to_value(value)?,
            file: None,
        })
    }
}

/// Why a command was refused: a stable code and a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail} ({code})")]
pub struct Refusal {
    /// The codes of the HTTP API.
    pub code: String,
    /// A sentence a person can act on.
    pub detail: String,
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        let detail = match error.cause {
            Some(cause) => format!("{}: {cause}", error.detail),
            None => error.detail,
        };
        Self {
            code: error.code.into_owned(),
            detail,
        }
    }
}

impl From<anyhow::Error> for Refusal {
    fn from(error: anyhow::Error) -> Self {
        Self {
            code: "failed".to_owned(),
            detail: format!("{error:#}"),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        ApiError::from(error).into()
    }
}

/// Does what was asked; the same in a running relay and beside a stopped one.
pub async fn carry_out(app: &AppState, request: Request) -> Result<Reply, Refusal> {
    match request {
        Request::SiteAdd(request) => cli::site::add(app, request).await,
        Request::SiteList(request) => cli::site::list(app, &request).await,
        Request::NodeInvite(request) => cli::node::invite(app, request).await,
        Request::NodeList(request) => cli::node::list(app, &request).await,
        Request::UserAdd(request) => cli::user::add(app, request).await,
        Request::UserList(request) => cli::user::list(app, &request).await,
        Request::TokenCreate(request) => cli::token::create(app, request).await,
        Request::TokenList(request) => cli::token::list(app, &request).await,
        Request::TokenRevoke(request) => cli::token::revoke(app, &request).await,
        Request::AuditVerify(request) => cli::audit::verify(app, request).await,
        Request::Export(request) => cli::export::export(app, request).await,
        Request::BlobsVerify(request) => cli::blobs::verify(app, request).await,
    }
}

/// The whole network called `name`, made on first use.
pub async fn network_scope(app: &AppState, name: &str) -> Result<Scope, Refusal> {
    let mut tx = app.db.read().await?;
    let network_id = match networks::find_network_by_name(&mut tx, name).await {
        Ok(network) => network.id,
        Err(StoreError::NotFound) => {
            drop(tx);
            crate::sites::service::check_name(name)?;
            let mut tx = app.db.write().await?;
            let fresh_id = NetworkId::new(secrets::new_uuid());
            let network = networks::ensure_network(&mut tx, name, &fresh_id, app.now_ms()).await?;
            tx.commit().await?;
            network.id
        }
        Err(other) => return Err(other.into()),
    };
    Ok(Scope {
        network_id,
        reach: Reach::Network,
    })
}

/// The whole network called `name`; refused when there is none, so that looking makes nothing.
pub async fn known_network_scope(tx: &mut Tx, name: &str) -> Result<Scope, Refusal> {
    match networks::find_network_by_name(tx, name).await {
        Ok(network) => Ok(Scope {
            network_id: network.id,
            reach: Reach::Network,
        }),
        Err(StoreError::NotFound) => {
            let known = networks::list_networks(tx).await?;
            let names: Vec<&str> = known.iter().map(|network| network.name.as_str()).collect();
            let known = match names.is_empty() {
                true => "none yet; the first `site add` makes one".to_owned(),
                false => names.join(", "),
            };
            Err(Refusal {
                code: "network_not_found".to_owned(),
                detail: format!("no network is called {name}; there are: {known}"),
            })
        }
        Err(other) => Err(other.into()),
    }
}

/// Where the socket of a data folder is.
#[must_use]
pub fn socket_path(data_dir: &Path) -> PathBuf {
    data_dir.join("control.sock")
}

/// Asks the running relay, or does it here when none runs. Only a first site may make the data folder: anything else in
/// a folder that is not there is a folder misnamed.
pub async fn ask(common: &cli::Common, request: Request) -> anyhow::Result<Reply> {
    let config = common.load_config()?;
    #[cfg(unix)]
    if let Some(stream) = socket::connect(&socket_path(&config.data_dir)).await? {
        return socket::ask(stream, &request).await;
    }
    if !matches!(request, Request::SiteAdd(_)) {
        config.demand_data_dir()?;
    }
    let app = AppState::open(config, std::sync::Arc::new(crate::clock::SystemClock)).await?;
    let reply = carry_out(&app, request).await;
    app.db.close().await;
    reply.context("refused")
}
