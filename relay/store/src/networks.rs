//! Networks: the tenants. Nothing is ever joined across two of them.

use tancho_domain::ids::NetworkId;

use crate::db::Tx;
use crate::error::StoreError;

/// A network of sites.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Network {
    /// Its id.
    #[sqlx(try_from = "String")]
    pub id: NetworkId,
    /// Its name, as typed on the command line and at login.
    pub name: String,
    /// When it was made.
    pub created_at_ms: i64,
}

/// The network called `name`, made now as `fresh_id` when there is none.
pub async fn ensure_network(
    tx: &mut Tx,
    name: &str,
    fresh_id: &NetworkId,
    now_ms: i64,
) -> Result<Network, StoreError> {
    let text =
        "insert into networks (id, name, created_at_ms) values ($1, $2, $3) on conflict (name) do nothing";
    let made = execute!(tx, text, fresh_id.as_str(), name, now_ms)?;
    if made == 1 {
        let text = "insert into audit_heads (network_id, seq, hash) values ($1, $2, $3)";
        execute!(
            tx,
            text,
            fresh_id.as_str(),
            0_i64,
            crate::audit::GENESIS.as_slice()
        )?;
    }
    find_network_by_name(tx, name).await
}

/// The network called `name`.
pub async fn find_network_by_name(tx: &mut Tx, name: &str) -> Result<Network, StoreError> {
    fetch_one!(
        tx,
        Network,
        "select id, name, created_at_ms from networks where name = $1",
        name
    )
}

/// The network with this id.
pub async fn get_network(tx: &mut Tx, id: &NetworkId) -> Result<Network, StoreError> {
    fetch_one!(
        tx,
        Network,
        "select id, name, created_at_ms from networks where id = $1",
        id.as_str()
    )
}

/// Every network, by name; for the jobs of the relay itself and for `audit verify`.
pub async fn list_networks(tx: &mut Tx) -> Result<Vec<Network>, StoreError> {
    fetch_all!(
        tx,
        Network,
        "select id, name, created_at_ms from networks order by name"
    )
}
