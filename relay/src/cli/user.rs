//! `tancho-relay user`

use std::collections::HashMap;
use std::io::Read;

use anyhow::{Context, bail};
use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tancho_store::audit::Actor;
use tancho_store::{sites, users};

use super::Common;
use super::table::{Column, Shown};
use crate::control::{self, ListRequest, Refusal, Reply, Request};
use crate::secrets::PASSWORD_BYTES_MAX;
use crate::state::AppState;
use crate::users::dto::{AddUser, User};
use crate::users::service;

/// People with a login.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Make a login; the password comes on standard input.
    Add {
        /// What the person types.
        #[arg(long)]
        login: String,
        /// Name.
        #[arg(long)]
        name: String,
        /// technologist, referrer, reader, liaison, admin or auditor.
        #[arg(long)]
        role: String,
        /// Code of the site the person works at.
        #[arg(long)]
        site: String,
        /// Where notices go.
        #[arg(long)]
        email: Option<String>,
        /// Where the person is reached by phone.
        #[arg(long)]
        phone: Option<String>,
        /// Read the password from standard input: arguments are visible to every account of the machine.
        #[arg(long, required = true)]
        password_stdin: bool,
        /// What every command takes.
        #[command(flatten)]
        common: Common,
    },
    /// List the people of a network, by login.
    List(Common),
}

/// What `user list` shows.
const COLUMNS: [Column; 7] = [
    ("LOGIN", "login", Shown::Plain),
    ("ROLE", "role", Shown::Plain),
    ("SITE", "site_code", Shown::Plain),
    ("CLOSED", "disabled_at_ms", Shown::Instant),
    ("E-MAIL", "email", Shown::Plain),
    ("PHONE", "phone", Shown::Plain),
    ("NAME", "name", Shown::Plain),
];

/// A person in `user list`.
#[derive(Serialize)]
struct ListedUser {
    #[serde(flatten)]
    user: User,
    /// Code of the site the person works at.
    site_code: String,
}

/// `user add`, as it goes over the socket.
#[derive(Serialize, Deserialize)]
pub struct AddRequest {
    network: String,
    form: AddUser,
}

/// Asks for it.
pub async fn run(command: UserCommand) -> anyhow::Result<()> {
    let (form, common) = match command {
        UserCommand::Add {
            login,
            name,
            role,
            site,
            email,
            phone,
            password_stdin: _,
            common,
        } => {
            let password = read_password()?;
            let form = AddUser {
                login,
                name,
                role,
                site,
                password,
                email,
                phone,
            };
            (form, common)
        }
        UserCommand::List(common) => return common.print_list(Request::UserList, &COLUMNS).await,
    };
    let reply = control::ask(
        &common,
        Request::UserAdd(AddRequest {
            network: common.network.clone(),
            form,
        }),
    )
    .await?;
    common.print(
        &reply.value,
        &format!(
            "user {} made",
            reply.value["user_id"].as_str().unwrap_or_default()
        ),
    )
}

fn read_password() -> anyhow::Result<String> {
    let mut text = String::new();
    let limit = PASSWORD_BYTES_MAX as u64 + 2;
    std::io::stdin()
        .take(limit)
        .read_to_string(&mut text)
        .context("reading the password from standard input")?;
    let password = text.trim_end_matches(['\r', '\n']).to_owned();
    if password.is_empty() {
        bail!("a password on standard input expected");
    }
    Ok(password)
}

/// Does it.
pub async fn add(app: &AppState, request: AddRequest) -> Result<Reply, Refusal> {
    let password_hash = service::hash(&request.form.password).await?;
    let scope = control::network_scope(app, &request.network).await?;
    let mut tx = app.db.write().await?;
    let user = service::add_user(
        &mut tx,
        &scope,
        Actor::Operator,
        &request.form,
        &password_hash,
        app.now_ms(),
    )
    .await?;
    tx.commit().await?;
    Ok(Reply::of(json!({ "user_id": user.id.as_str() }))?)
}

/// Lists them, with those whose login is closed.
pub async fn list(app: &AppState, request: &ListRequest) -> Result<Reply, Refusal> {
    let mut tx = app.db.read().await?;
    let scope = control::known_network_scope(&mut tx, &request.network).await?;
    let codes: HashMap<_, _> = sites::list_sites(&mut tx, &scope)
        .await?
        .into_iter()
        .map(|site| (site.id, site.code))
        .collect();
    let users = users::list_users(&mut tx, &scope).await?;
    let items = users.into_iter().map(|user| ListedUser {
        site_code: codes.get(&user.site_id).cloned().unwrap_or_default(),
        user: user.into(),
    });
    Ok(Reply::of(json!({ "items": items.collect::<Vec<_>>() }))?)
}
