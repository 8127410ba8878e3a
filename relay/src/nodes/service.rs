//! Who becomes a node, stays one, and stops being one.

use sha2::{Digest as _, Sha256};
use tancho_domain::access::Scope;
use tancho_domain::ids::{NodeId, SiteId};
use tancho_store::audit::{self, Actor, Entry};
use tancho_store::nodes::{self as store, Enrollment, NewCertificate, NewInvitation, Node, NodeState};
use tancho_store::{StoreError, Tx};
use tancho_wire::close::CloseCode;
use tancho_wire::enrollment::EnrollmentCode;
use tancho_wire::frame::{
    CertificateIssued, CertificateRefused, EnrollAccepted, EnrollRefused, EnrollRequest,
};
use tancho_wire::limits::{INVITATION_MS_MAX, NODE_CERTIFICATE_MS};

use super::authority::{Authority, CertificateLife, CheckedRequest, IssuedCertificate, hex, serial_of};
use super::dto::{self, NodeList};
use crate::secrets;
use crate::state::AppState;

/// Time between two new certificates of one node, in milliseconds.
const RENEWAL_MS_MIN: i64 = 3_600_000;
/// The shortest life of a code that makes sense.
pub const INVITATION_MS_MIN: i64 = 60_000;

/// A one-time code, shown once.
#[derive(Debug, Clone)]
pub struct Invitation {
    /// Id for the audit trail; says nothing about the code.
    pub id: String,
    /// What the technician types at the node.
    pub code: String,
    /// From this instant it is worthless.
    pub expires_at_ms: i64,
}

/// Invites one node to a site. `ttl_ms` is brought into its limits: one minute to 24 hours.
pub async fn invite_node(
    tx: &mut Tx,
    authority: &Authority,
    scope: &Scope,
    site_id: &SiteId,
    by: Invite,
    now_ms: i64,
) -> Result<Invitation, StoreError> {
    let mut secret = [0; 16];
    getrandom::fill(&mut secret).expect("the operating system gives random bytes");
    let ca_fingerprint = EnrollmentCode::fingerprint(authority.certificate());
    let invitation = Invitation {
        id: secrets::new_uuid().to_string(),
        code: EnrollmentCode {
            secret,
            ca_fingerprint,
        }
        .to_text(),
        expires_at_ms: now_ms + by.ttl_ms.clamp(INVITATION_MS_MIN, INVITATION_MS_MAX),
    };
    let new = NewInvitation {
        id: &invitation.id,
        site_id,
        secret_sha256: &digest_of_secret(&secret),
        expires_at_ms: invitation.expires_at_ms,
    };
    store::create_invitation(tx, scope, &new, now_ms).await?;
    let detail =
        serde_json::json!({ "site_id": site_id.as_str(), "expires_at_ms": invitation.expires_at_ms });
    let entry = Entry::by(by.actor, "invite_node", "node_invitation", &invitation.id).with_detail(detail);
    audit::append(tx, &scope.network_id, entry, now_ms).await?;
    Ok(invitation)
}

/// Who invites, and for how long the code is good.
#[derive(Debug, Clone)]
pub struct Invite {
    /// For the audit trail.
    pub actor: Actor,
    /// Life of the code in milliseconds.
    pub ttl_ms: i64,
}

fn digest_of_secret(secret: &[u8; 16]) -> String {
    hex(&Sha256::digest(secret))
}

/// Turns the holder of a code into a node. Every reason why a code is not good looks the same from outside.
pub async fn enroll_node(app: &AppState, request: &EnrollRequest) -> Result<EnrollAccepted, EnrollRefused> {
    let checked = Authority::check_request(&request.csr_der).map_err(|_| {
        refused(
            "request_malformed",
            "the certificate signing request is not valid",
        )
    })?;
    let now_ms = app.now_ms();
    let state = if app.config.nodes.require_approval {
        NodeState::Pending
    } else {
        NodeState::Active
    };
    let new_node_id = NodeId::new(secrets::new_uuid());
    let enrolled = async {
        // Guesses cost no turn of the one writer.
        if !store::is_invitation_good(
            &mut app.db.read().await?,
            &digest_of_secret(&request.secret),
            now_ms,
        )
        .await?
        {
            return Err(StoreError::NotFound);
        }
        let mut tx = app.db.write().await?;
        let enrollment = Enrollment {
            secret_sha256: &digest_of_secret(&request.secret),
            public_key_sha256: &checked.public_key_sha256.clone(),
            new_node_id: &new_node_id,
            state,
        };
        let node = store::redeem_invitation(&mut tx, &enrollment, now_ms).await?;
        if node.state == NodeState::Denied {
            return Err(StoreError::NotFound);
        }
        let (issued, is_new) = certify(&mut tx, &app.authority, &node, checked, now_ms).await?;
        if !is_new {
            return Ok((node, issued));
        }
        let detail = serde_json::json!({ "site_id": node.site_id.as_str(), "serial": issued.serial });
        let entry = Entry::by(
            Actor::Node(node.id.to_string()),
            "enroll_node",
            "node",
            node.id.as_str(),
        );
        audit::append(&mut tx, &node.network_id, entry.with_detail(detail), now_ms).await?;
        tx.commit().await?;
        Ok((node, issued))
    };
    match enrolled.await {
        Ok((node, issued)) => {
            tracing::info!(node.id = %node.id, site.id = %node.site_id, "node enrolled");
            Ok(EnrollAccepted {
                node_id: node.id.to_string(),
                site_code: node.site_code,
                site_name: node.site_name,
                chain_der: chain_of(&issued),
                not_after_ms: issued.not_after_ms,
            })
        }
        Err(StoreError::NotFound | StoreError::Stale) => {
            tracing::warn!("an enrolment code was refused");
            Err(refused(
                "enrollment_refused",
                "the enrolment code is wrong, was used, or is too old; ask for a new one",
            ))
        }
        Err(error) => {
            tracing::error!(%error, "enrolment failed");
            Err(refused(
                "unavailable",
                "the relay cannot reach its store right now; try the same code again",
            ))
        }
    }
}

fn refused(code: &str, text: &str) -> EnrollRefused {
    EnrollRefused {
        code: code.to_owned(),
        text: text.to_owned(),
    }
}

fn chain_of(issued: &IssuedCertificate) -> Vec<tancho_wire::frame::DerBytes> {
    issued.chain.iter().map(|der| der.to_vec().into()).collect()
}

/// The certificate of a node's key: the one it has while that is young, else a new one. The second value says which.
/// `Stale` when the node had a new one less than [`RENEWAL_MS_MIN`] ago.
async fn certify(
    tx: &mut Tx,
    authority: &Authority,
    node: &Node,
    checked: CheckedRequest,
    now_ms: i64,
) -> Result<(IssuedCertificate, bool), StoreError> {
    let defect = |error: anyhow::Error| StoreError::Corrupt(error.to_string());
    let good_until_ms = now_ms + NODE_CERTIFICATE_MS / 2;
    let known =
        store::find_certificate_of_key(tx, &node.id, &checked.public_key_sha256, good_until_ms).await?;
    let known =
        known.and_then(|known| CertificateLife::of(&known.serial, known.not_before_ms, known.not_after_ms));
    if let Some(life) = known {
        return Ok((
            authority.certify_node(&node.id, checked, life).map_err(defect)?,
            false,
        ));
    }
    if store::count_renewals(tx, node, now_ms - RENEWAL_MS_MIN, now_ms).await? > 0 {
        return Err(StoreError::Stale);
    }
    let issued = authority
        .certify_node(&node.id, checked, CertificateLife::new(now_ms))
        .map_err(defect)?;
    let new = NewCertificate {
        serial: &issued.serial,
        public_key_sha256: &issued.public_key_sha256,
        not_before_ms: issued.not_before_ms,
        not_after_ms: issued.not_after_ms,
    };
    store::record_certificate(tx, &node.id, &new, now_ms).await?;
    Ok((issued, true))
}

/// Certifies a new key of a connected node.
pub async fn renew_certificate(
    app: &AppState,
    node: &Node,
    csr_der: &[u8],
) -> Result<CertificateIssued, CertificateRefused> {
    let refused = |code: &str, text: &str| CertificateRefused {
        code: code.to_owned(),
        text: text.to_owned(),
    };
    let checked = Authority::check_request(csr_der).map_err(|_| {
        refused(
            "request_malformed",
            "the certificate signing request is not valid",
        )
    })?;
    let now_ms = app.now_ms();
    let renewed = async {
        let mut tx = app.db.write().await?;
        let scope = Scope {
            network_id: node.network_id.clone(),
            reach: tancho_domain::access::Reach::Network,
        };
        if store::get_node(&mut tx, &scope, &node.id).await?.state != NodeState::Active {
            return Err(StoreError::NotFound);
        }
        let (issued, is_new) = certify(&mut tx, &app.authority, node, checked, now_ms).await?;
        if !is_new {
            return Ok(issued);
        }
        let detail = serde_json::json!({ "serial": issued.serial });
        let entry = Entry::by(
            Actor::Node(node.id.to_string()),
            "renew_node_certificate",
            "node",
            node.id.as_str(),
        );
        audit::append(&mut tx, &node.network_id, entry.with_detail(detail), now_ms).await?;
        tx.commit().await?;
        Ok(issued)
    };
    match renewed.await {
        Ok(issued) => Ok(CertificateIssued {
            chain_der: chain_of(&issued),
            not_after_ms: issued.not_after_ms,
        }),
        Err(StoreError::NotFound) => Err(refused("node_denied", "this node may not have a certificate")),
        Err(StoreError::Stale) => Err(refused(
            "too_soon",
            "the node had a new certificate within the last hour; use it, or ask again later",
        )),
        Err(error) => {
            tracing::error!(%error, node.id = %node.id, "renewing a node's certificate failed");
            Err(refused(
                "unavailable",
                "the relay cannot reach its store right now; it will be tried again",
            ))
        }
    }
}

/// The node behind a client certificate, if it may connect.
pub async fn identify_node(
    app: &AppState,
    certificate: &rustls_pki_types::CertificateDer<'_>,
) -> Result<Node, CloseCode> {
    let serial = serial_of(certificate).ok_or(CloseCode::IDENTITY_REQUIRED)?;
    let found = async { store::find_node_by_certificate(&mut app.db.read().await?, &serial).await };
    match found.await {
        Ok(node) => match node.state {
            NodeState::Active => Ok(node),
            NodeState::Pending => Err(CloseCode::NOT_APPROVED),
            NodeState::Denied => Err(CloseCode::DENIED),
        },
        Err(StoreError::NotFound) => Err(CloseCode::DENIED),
        Err(error) => {
            tracing::error!(%error, "a node could not be looked up");
            Err(CloseCode::INTERNAL)
        }
    }
}

/// The nodes within reach, and which of them are connected.
pub async fn list_nodes(app: &AppState, tx: &mut Tx, scope: &Scope) -> Result<NodeList, StoreError> {
    let nodes = store::list_nodes(tx, scope).await?;
    let items = nodes.into_iter().map(|node| {
        let connected = app.nodes_connected.is_connected(&node.id);
        dto::Node::of(node, connected)
    });
    Ok(NodeList {
        items: items.collect(),
    })
}

/// Lets a node in that waits for approval.
pub async fn approve_node(
    tx: &mut Tx,
    scope: &Scope,
    id: &NodeId,
    actor: Actor,
    now_ms: i64,
) -> Result<(), StoreError> {
    store::approve_node(tx, scope, id).await?;
    audit::append(
        tx,
        &scope.network_id,
        Entry::by(actor, "approve_node", "node", id.as_str()),
        now_ms,
    )
    .await?;
    Ok(())
}

/// Puts a node on the deny-list. The caller cuts its live connections after the commit.
pub async fn deny_node(
    tx: &mut Tx,
    scope: &Scope,
    id: &NodeId,
    actor: Actor,
    now_ms: i64,
) -> Result<(), StoreError> {
    store::deny_node(tx, scope, id, now_ms).await?;
    audit::append(
        tx,
        &scope.network_id,
        Entry::by(actor, "deny_node", "node", id.as_str()),
        now_ms,
    )
    .await?;
    Ok(())
}
