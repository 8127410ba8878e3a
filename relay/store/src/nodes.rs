//! Nodes (the agents at the sites), their invitations and their certificates.
//!
//! Who a node is follows from its certificate's serial number and this table alone: the network and the site are
//! never taken from a message. The functions that a connecting node triggers have no scope yet, they find it.

use tancho_domain::access::{Reach, Scope};
use tancho_domain::ids::{NetworkId, NodeId, SiteId};

use crate::db::Tx;
use crate::error::StoreError;

/// Whether a node may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// Enrolled, waits for an administrator.
    Pending,
    /// May connect.
    Active,
    /// On the deny-list.
    Denied,
}

impl NodeState {
    /// The stable text form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Denied => "denied",
        }
    }
}

impl TryFrom<String> for NodeState {
    type Error = StoreError;

    fn try_from(text: String) -> Result<Self, StoreError> {
        [Self::Pending, Self::Active, Self::Denied]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| StoreError::Corrupt("node state".to_owned()))
    }
}

/// A node as administrators see it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Node {
    /// Its id, also the subject of its certificates.
    #[sqlx(try_from = "String")]
    pub id: NodeId,
    /// The tenant.
    #[sqlx(try_from = "String")]
    pub network_id: NetworkId,
    /// The site it stands at.
    #[sqlx(try_from = "String")]
    pub site_id: SiteId,
    /// Short code of that site.
    pub site_code: String,
    /// Name of that site.
    pub site_name: String,
    /// Whether it may connect.
    #[sqlx(try_from = "String")]
    pub state: NodeState,
    /// When it was enrolled.
    pub enrolled_at_ms: i64,
    /// When it was put on the deny-list.
    pub denied_at_ms: Option<i64>,
    /// When it last said something.
    pub last_seen_at_ms: Option<i64>,
    /// From where.
    pub last_address: Option<String>,
    /// Name and version of its program.
    pub agent_version: Option<String>,
    /// Random id of its last start.
    pub boot_id: Option<String>,
    /// Its clock minus ours.
    pub clock_offset_ms: Option<i64>,
    /// End of its newest certificate.
    pub certificate_not_after_ms: Option<i64>,
}

/// An invitation to enrol one node at one site.
#[derive(Debug, Clone)]
pub struct NewInvitation<'a> {
    /// Id made at the edge.
    pub id: &'a str,
    /// Site the node will belong to.
    pub site_id: &'a SiteId,
    /// SHA-256 of the secret, lower-case hexadecimal; the secret itself is never stored.
    pub secret_sha256: &'a str,
    /// From this instant the code is worthless.
    pub expires_at_ms: i64,
}

/// Stores an invitation.
pub async fn create_invitation(
    tx: &mut Tx,
    scope: &Scope,
    new: &NewInvitation<'_>,
    now_ms: i64,
) -> Result<(), StoreError> {
    execute!(
        tx,
        "insert into node_invitations (id, network_id, site_id, secret_sha256, created_at_ms, expires_at_ms) \
         values ($1, $2, $3, $4, $5, $6)",
        new.id,
        scope.network_id.as_str(),
        new.site_id.as_str(),
        new.secret_sha256,
        now_ms,
        new.expires_at_ms
    )?;
    Ok(())
}

/// Whether there is an invitation with this secret that has not run out, used or not.
pub async fn is_invitation_good(tx: &mut Tx, secret_sha256: &str, now_ms: i64) -> Result<bool, StoreError> {
    let text = "select id from node_invitations where secret_sha256 = $1 and expires_at_ms > $2";
    Ok(fetch_optional!(tx, (String,), text, secret_sha256, now_ms)?.is_some())
}

/// A node that shows the secret of an invitation.
#[derive(Debug, Clone)]
pub struct Enrollment<'a> {
    /// SHA-256 of the secret it showed.
    pub secret_sha256: &'a str,
    /// SHA-256 of the public key it wants certified.
    pub public_key_sha256: &'a str,
    /// Id for the node if the invitation is good.
    pub new_node_id: &'a NodeId,
    /// State the node starts in.
    pub state: NodeState,
}

/// Uses up an invitation and makes the node. `NotFound` when the secret is wrong, late, or used by another key: the
/// three look the same to the one who tries. The same key again within the invitation's life gets the same node,
/// so that a lost answer does not strand a site.
pub async fn redeem_invitation(
    tx: &mut Tx,
    enrollment: &Enrollment<'_>,
    now_ms: i64,
) -> Result<Node, StoreError> {
    let found = fetch_optional!(
        tx,
        (String, String, Option<String>),
        "select network_id, site_id, node_id from node_invitations where secret_sha256 = $1 and expires_at_ms > $2",
        enrollment.secret_sha256,
        now_ms
    )?;
    let (network_id, site_id, used_by) = found.ok_or(StoreError::NotFound)?;
    if let Some(node_id) = used_by {
        let (n_same,) = fetch_one!(
            tx,
            (i64,),
            "select count(*) from node_certificates where node_id = $1 and public_key_sha256 = $2",
            node_id.as_str(),
            enrollment.public_key_sha256
        )?;
        if n_same == 0 {
            return Err(StoreError::NotFound);
        }
        return find_node(tx, &NodeId::parse(&node_id)?).await;
    }
    execute!(
        tx,
        "insert into nodes (id, network_id, site_id, state, enrolled_at_ms) values ($1, $2, $3, $4, $5)",
        enrollment.new_node_id.as_str(),
        network_id.as_str(),
        site_id.as_str(),
        enrollment.state.as_str(),
        now_ms
    )?;
    let used = execute!(
        tx,
        "update node_invitations set used_at_ms = $2, node_id = $3 where secret_sha256 = $1 and used_at_ms is null",
        enrollment.secret_sha256,
        now_ms,
        enrollment.new_node_id.as_str()
    )?;
    if used != 1 {
        return Err(StoreError::Stale);
    }
    find_node(tx, enrollment.new_node_id).await
}

/// A certificate the relay's CA signed.
#[derive(Debug, Clone)]
pub struct NewCertificate<'a> {
    /// Serial number, lower-case hexadecimal.
    pub serial: &'a str,
    /// SHA-256 of the public key.
    pub public_key_sha256: &'a str,
    /// Start of its life.
    pub not_before_ms: i64,
    /// End of its life.
    pub not_after_ms: i64,
}

/// Records a certificate; one that is not recorded is not accepted.
pub async fn record_certificate(
    tx: &mut Tx,
    node_id: &NodeId,
    new: &NewCertificate<'_>,
    now_ms: i64,
) -> Result<(), StoreError> {
    execute!(
        tx,
        "insert into node_certificates (serial, node_id, public_key_sha256, not_before_ms, not_after_ms, issued_at_ms) \
         values ($1, $2, $3, $4, $5, $6)",
        new.serial,
        node_id.as_str(),
        new.public_key_sha256,
        new.not_before_ms,
        new.not_after_ms,
        now_ms
    )?;
    Ok(())
}

/// A certificate that was recorded.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct KnownCertificate {
    /// Serial number, lower-case hexadecimal.
    pub serial: String,
    /// Start of its life.
    pub not_before_ms: i64,
    /// End of its life.
    pub not_after_ms: i64,
}

/// The newest certificate of a node's key that is not revoked and good beyond `good_until_ms`.
pub async fn find_certificate_of_key(
    tx: &mut Tx,
    node_id: &NodeId,
    public_key_sha256: &str,
    good_until_ms: i64,
) -> Result<Option<KnownCertificate>, StoreError> {
    fetch_optional!(
        tx,
        KnownCertificate,
        "select serial, not_before_ms, not_after_ms from node_certificates where node_id = $1 \
         and public_key_sha256 = $2 and revoked_at_ms is null and not_after_ms > $3 \
         order by not_after_ms desc, serial limit 1",
        node_id.as_str(),
        public_key_sha256,
        good_until_ms
    )
}

/// Certificates of a node issued in `since_ms..=now_ms`, without the one it was enrolled with.
pub async fn count_renewals(tx: &mut Tx, node: &Node, since_ms: i64, now_ms: i64) -> Result<i64, StoreError> {
    let (n_issued,) = fetch_one!(
        tx,
        (i64,),
        "select count(*) from node_certificates where node_id = $1 and issued_at_ms between $2 and $3",
        node.id.as_str(),
        since_ms,
        now_ms
    )?;
    let enrolled = (since_ms..=now_ms).contains(&node.enrolled_at_ms);
    Ok(n_issued - i64::from(enrolled))
}

/// The node behind a certificate that has not been revoked; `NotFound` otherwise.
pub async fn find_node_by_certificate(tx: &mut Tx, serial: &str) -> Result<Node, StoreError> {
    let (node_id,) = fetch_one!(
        tx,
        (String,),
        "select node_id from node_certificates where serial = $1 and revoked_at_ms is null",
        serial
    )?;
    find_node(tx, &NodeId::parse(&node_id)?).await
}

/// The columns of [`Node`] with a condition behind them.
macro_rules! select_nodes {
    ($condition:literal) => {
        concat!(
            "select n.id, n.network_id, n.site_id, s.code as site_code, s.name as site_name, n.state, ",
            "n.enrolled_at_ms, n.denied_at_ms, n.last_seen_at_ms, n.last_address, n.agent_version, n.boot_id, ",
            "n.clock_offset_ms, (select max(c.not_after_ms) from node_certificates c where c.node_id = n.id) ",
            "as certificate_not_after_ms from nodes n join sites s on s.id = n.site_id ",
            $condition
        )
    };
}

/// The node that stands for what people store at a site over DICOMweb, made when there is none. No certificate is ever
/// made for it, and no list of nodes shows it.
pub async fn ensure_upload_node(
    tx: &mut Tx,
    scope: &Scope,
    site_id: &SiteId,
    new_id: &NodeId,
    now_ms: i64,
) -> Result<NodeId, StoreError> {
    execute!(
        tx,
        "insert into nodes (id, network_id, site_id, state, enrolled_at_ms, denied_at_ms, kind) \
         select $1, t.network_id, t.id, 'denied', $4, $4, 'upload' from sites t where t.network_id = $2 and t.id = $3 \
         and ($5 is null or t.id = $5) on conflict do nothing",
        new_id.as_str(),
        scope.network_id.as_str(),
        site_id.as_str(),
        now_ms,
        site_of(scope)
    )?;
    let (id,) = fetch_one!(
        tx,
        (String,),
        "select id from nodes where network_id = $1 and site_id = $2 and ($3 is null or site_id = $3) \
         and kind = 'upload'",
        scope.network_id.as_str(),
        site_id.as_str(),
        site_of(scope)
    )?;
    Ok(NodeId::parse(&id)?)
}

async fn find_node(tx: &mut Tx, id: &NodeId) -> Result<Node, StoreError> {
    fetch_one!(tx, Node, select_nodes!("where n.id = $1"), id.as_str())
}

/// One node within reach.
pub async fn get_node(tx: &mut Tx, scope: &Scope, id: &NodeId) -> Result<Node, StoreError> {
    fetch_one!(
        tx,
        Node,
        select_nodes!(
            "where n.kind = 'agent' and n.network_id = $1 and ($2 is null or n.site_id = $2) and n.id = $3"
        ),
        scope.network_id.as_str(),
        site_of(scope),
        id.as_str()
    )
}

/// The nodes within reach, oldest first.
pub async fn list_nodes(tx: &mut Tx, scope: &Scope) -> Result<Vec<Node>, StoreError> {
    fetch_all!(
        tx,
        Node,
        select_nodes!(
            "where n.kind = 'agent' and n.network_id = $1 and ($2 is null or n.site_id = $2) order by n.id"
        ),
        scope.network_id.as_str(),
        site_of(scope)
    )
}

fn site_of(scope: &Scope) -> Option<&str> {
    match &scope.reach {
        Reach::Network => None,
        Reach::Site(site_id) => Some(site_id.as_str()),
    }
}

/// What a node said about itself at its last sign of life.
#[derive(Debug, Clone)]
pub struct Seen<'a> {
    /// Where it came from.
    pub address: &'a str,
    /// Name and version of its program.
    pub agent_version: &'a str,
    /// Random id of its start.
    pub boot_id: &'a str,
    /// Its clock minus ours, when it has been measured.
    pub clock_offset_ms: Option<i64>,
}

/// Records a sign of life.
pub async fn record_node_seen(
    tx: &mut Tx,
    id: &NodeId,
    seen: &Seen<'_>,
    now_ms: i64,
) -> Result<(), StoreError> {
    execute!(
        tx,
        "update nodes set last_seen_at_ms = $2, last_address = $3, agent_version = $4, boot_id = $5, \
         clock_offset_ms = coalesce($6, clock_offset_ms) where id = $1",
        id.as_str(),
        now_ms,
        seen.address,
        seen.agent_version,
        seen.boot_id,
        seen.clock_offset_ms
    )?;
    Ok(())
}

/// Lets a waiting node in. `Stale` when it does not wait.
pub async fn approve_node(tx: &mut Tx, scope: &Scope, id: &NodeId) -> Result<(), StoreError> {
    get_node(tx, scope, id).await?;
    let text = "update nodes set state = 'active' where id = $1 and state = 'pending'";
    match execute!(tx, text, id.as_str())? {
        1 => Ok(()),
        _ => Err(StoreError::Stale),
    }
}

/// Puts a node on the deny-list and revokes its certificates; again changes nothing.
pub async fn deny_node(tx: &mut Tx, scope: &Scope, id: &NodeId, now_ms: i64) -> Result<(), StoreError> {
    get_node(tx, scope, id).await?;
    execute!(
        tx,
        "update nodes set state = 'denied', denied_at_ms = coalesce(denied_at_ms, $2) where id = $1",
        id.as_str(),
        now_ms
    )?;
    execute!(
        tx,
        "update node_certificates set revoked_at_ms = $2 where node_id = $1 and revoked_at_ms is null",
        id.as_str(),
        now_ms
    )?;
    Ok(())
}

/// Ids of the nodes on the deny-list, over all networks: what live connections are checked against.
pub async fn list_denied_nodes(tx: &mut Tx) -> Result<Vec<NodeId>, StoreError> {
    let rows = fetch_all!(
        tx,
        (String,),
        "select id from nodes where kind = 'agent' and state = 'denied'"
    )?;
    rows.into_iter()
        .map(|(id,)| NodeId::parse(&id).map_err(StoreError::from))
        .collect()
}

/// Ids of the active nodes that have been heard once and not since `before_ms`, over all networks.
pub async fn list_silent_nodes(tx: &mut Tx, before_ms: i64) -> Result<Vec<NodeId>, StoreError> {
    let text = "select id from nodes where state = 'active' and last_seen_at_ms < $1 order by id";
    let rows = fetch_all!(tx, (String,), text, before_ms)?;
    rows.into_iter()
        .map(|(id,)| NodeId::parse(&id).map_err(StoreError::from))
        .collect()
}
