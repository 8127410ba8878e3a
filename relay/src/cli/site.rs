//! `tancho-relay site`

use clap::{Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tancho_store::audit::Actor;
use tancho_store::sites;

use super::Common;
use super::table::{Column, Shown};
use crate::control::{self, ListRequest, Refusal, Reply, Request};
use crate::sites::dto::{AddSite, Site, SiteList};
use crate::sites::service;
use crate::state::AppState;

/// Hospitals and reading centres.
#[derive(Debug, Subcommand)]
pub enum SiteCommand {
    /// Make a site.
    Add {
        /// Short code, unique in the network.
        #[arg(long)]
        code: String,
        /// Name.
        #[arg(long)]
        name: String,
        /// What it does.
        #[arg(long, value_enum, default_value = "requesting")]
        kind: Kind,
        /// Call-back number for requests that open by themselves.
        #[arg(long)]
        phone: Option<String>,
        /// What every command takes.
        #[command(flatten)]
        common: Common,
    },
    /// List the sites of a network, by code.
    List(Common),
}

/// What `site list` shows.
const COLUMNS: [Column; 5] = [
    ("CODE", "code", Shown::Plain),
    ("KIND", "kind", Shown::Plain),
    ("PHONE", "phone", Shown::Plain),
    ("MADE", "created_at_ms", Shown::Instant),
    ("NAME", "name", Shown::Plain),
];

/// What a site does.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Kind {
    /// Sends studies.
    Requesting,
    /// Reads.
    Reading,
    /// Both.
    Both,
}

/// `site add`, as it goes over the socket.
#[derive(Serialize, Deserialize)]
pub struct AddRequest {
    network: String,
    form: AddSite,
}

/// Asks for it.
pub async fn run(command: SiteCommand) -> anyhow::Result<()> {
    let (code, name, kind, phone, common) = match command {
        SiteCommand::Add {
            code,
            name,
            kind,
            phone,
            common,
        } => (code, name, kind, phone, common),
        SiteCommand::List(common) => {
            return common.print_list(Request::SiteList, &COLUMNS).await;
        }
    };
    let kind = kind
        .to_possible_value()
        .map(|value| value.get_name().to_owned())
        .unwrap_or_default();
    let form = AddSite {
        code,
        name,
        kind,
        phone,
    };
    let reply = control::ask(
        &common,
        Request::SiteAdd(AddRequest {
            network: common.network.clone(),
            form,
        }),
    )
    .await?;
    common.print(
        &reply.value,
        &format!(
            "site {} made",
            reply.value["site_id"].as_str().unwrap_or_default()
        ),
    )
}

/// Does it.
pub async fn add(app: &AppState, request: AddRequest) -> Result<Reply, Refusal> {
    let scope = control::network_scope(app, &request.network).await?;
    let mut tx = app.db.write().await?;
    let site = service::add_site(&mut tx, &scope, Actor::Operator, &request.form, app.now_ms()).await?;
    tx.commit().await?;
    Ok(Reply::of(json!({ "site_id": site.id.as_str() }))?)
}

/// Lists them.
pub async fn list(app: &AppState, request: &ListRequest) -> Result<Reply, Refusal> {
    let mut tx = app.db.read().await?;
    let scope = control::known_network_scope(&mut tx, &request.network).await?;
    let sites = sites::list_sites(&mut tx, &scope).await?;
    let items = sites.into_iter().map(Site::from).collect();
    Ok(Reply::of(SiteList { items })?)
}
