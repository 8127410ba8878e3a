//! Invitations, certificates and the deny-list on both databases.

use tancho_domain::ids::NodeId;
use tancho_store::nodes::{self, Enrollment, NewCertificate, NewInvitation, Node, NodeState, Seen};
use tancho_store::sites::SiteKind;
use tancho_store::{Db, StoreError, Tx};

use crate::harness::{NOW_MS, at, network, site, small_network, uuid, whole};

const HOUR_MS: i64 = 3_600_000;

async fn invite(
    db: &Db,
    secret_sha256: &str,
) -> (tancho_store::networks::Network, tancho_store::sites::Site) {
    let (network, centre, _) = small_network(db).await;
    let mut tx = db.write().await.unwrap();
    let id = uuid().to_string();
    let new = NewInvitation {
        id: &id,
        site_id: &centre.id,
        secret_sha256,
        expires_at_ms: NOW_MS + HOUR_MS,
    };
    nodes::create_invitation(&mut tx, &whole(&network), &new, NOW_MS)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    (network, centre)
}

async fn enroll(
    tx: &mut Tx,
    secret: &str,
    key: &str,
    state: NodeState,
    at_ms: i64,
) -> Result<Node, StoreError> {
    let id = NodeId::new(uuid());
    let enrollment = Enrollment {
        secret_sha256: secret,
        public_key_sha256: key,
        new_node_id: &id,
        state,
    };
    let node = nodes::redeem_invitation(tx, &enrollment, at_ms).await?;
    let serial = uuid().simple().to_string();
    let certificate = NewCertificate {
        serial: &serial,
        public_key_sha256: key,
        not_before_ms: at_ms,
        not_after_ms: at_ms + HOUR_MS,
    };
    nodes::record_certificate(tx, &node.id, &certificate, at_ms).await?;
    let found = nodes::find_node_by_certificate(tx, &serial).await?;
    assert_eq!(found.id, node.id);
    Ok(found)
}

on_both_databases! {
    /// FLT-093: single use, bound to a site, worthless after its time; a lost answer does not strand the same key.
    async fn flt_093_a_code_makes_one_node_of_its_own_site(db: &Db) {
        let (network, centre) = invite(db, "s1").await;
        let mut tx = db.write().await.unwrap();
        for (secret, at_ms) in [("s2", NOW_MS), ("s1", NOW_MS + HOUR_MS)] {
            let refused = enroll(&mut tx, secret, "k1", NodeState::Active, at_ms).await;
            assert!(matches!(refused, Err(StoreError::NotFound)), "{refused:?}");
        }
        let node = enroll(&mut tx, "s1", "k1", NodeState::Active, NOW_MS).await.unwrap();
        assert_eq!((&node.network_id, &node.site_id), (&network.id, &centre.id));
        assert_eq!(node.certificate_not_after_ms, Some(NOW_MS + HOUR_MS));
        let again = enroll(&mut tx, "s1", "k1", NodeState::Active, NOW_MS + 1).await.unwrap();
        assert_eq!(again.id, node.id);
        let stolen = enroll(&mut tx, "s1", "k2", NodeState::Active, NOW_MS + 1).await;
        assert!(matches!(stolen, Err(StoreError::NotFound)), "{stolen:?}");
        assert_eq!(nodes::list_nodes(&mut tx, &whole(&network)).await.unwrap().len(), 1);
    }

    async fn a_denied_node_loses_its_certificates(db: &Db) {
        let (network_, centre) = invite(db, "s1").await;
        let scope = whole(&network_);
        let mut tx = db.write().await.unwrap();
        let node = enroll(&mut tx, "s1", "k1", NodeState::Pending, NOW_MS).await.unwrap();
        assert_eq!(node.state, NodeState::Pending);
        nodes::approve_node(&mut tx, &scope, &node.id).await.unwrap();
        assert!(matches!(nodes::approve_node(&mut tx, &scope, &node.id).await, Err(StoreError::Stale)));
        let seen = Seen { address: "192.0.2.1:5", agent_version: "a", boot_id: "b", clock_offset_ms: Some(7) };
        nodes::record_node_seen(&mut tx, &node.id, &seen, NOW_MS + 5).await.unwrap();
        let without_offset = Seen { clock_offset_ms: None, ..seen };
        nodes::record_node_seen(&mut tx, &node.id, &without_offset, NOW_MS + 6).await.unwrap();
        assert!(nodes::list_silent_nodes(&mut tx, NOW_MS + 6).await.unwrap().is_empty());
        let silent = nodes::list_silent_nodes(&mut tx, NOW_MS + 7).await.unwrap();
        assert_eq!(silent, std::slice::from_ref(&node.id));
        let known = nodes::get_node(&mut tx, &scope, &node.id).await.unwrap();
        assert_eq!((known.last_seen_at_ms, known.clock_offset_ms), (Some(NOW_MS + 6), Some(7)));

        let other = network(&mut tx, "other").await;
        let elsewhere = site(&mut tx, &network_, "ELSE", SiteKind::Requesting).await;
        for foreign in [whole(&other), at(&network_, &elsewhere)] {
            assert!(matches!(nodes::get_node(&mut tx, &foreign, &node.id).await, Err(StoreError::NotFound)));
            assert!(nodes::list_nodes(&mut tx, &foreign).await.unwrap().is_empty());
            let denied = nodes::deny_node(&mut tx, &foreign, &node.id, NOW_MS).await;
            assert!(matches!(denied, Err(StoreError::NotFound)));
        }
        assert_eq!(nodes::list_nodes(&mut tx, &at(&network_, &centre)).await.unwrap().len(), 1);

        assert!(nodes::list_denied_nodes(&mut tx).await.unwrap().is_empty());
        nodes::deny_node(&mut tx, &scope, &node.id, NOW_MS + 9).await.unwrap();
        nodes::deny_node(&mut tx, &scope, &node.id, NOW_MS + 99).await.unwrap();
        assert_eq!(nodes::list_denied_nodes(&mut tx).await.unwrap(), std::slice::from_ref(&node.id));
        let known = nodes::get_node(&mut tx, &scope, &node.id).await.unwrap();
        assert_eq!((known.state, known.denied_at_ms), (NodeState::Denied, Some(NOW_MS + 9)));
        assert!(matches!(nodes::find_node_by_certificate(&mut tx, "unknown").await, Err(StoreError::NotFound)));
    }

    async fn a_revoked_certificate_finds_nobody(db: &Db) {
        let (network, _) = invite(db, "s1").await;
        let mut tx = db.write().await.unwrap();
        let node = enroll(&mut tx, "s1", "k1", NodeState::Active, NOW_MS).await.unwrap();
        let new = NewCertificate { serial: "77", public_key_sha256: "k3", not_before_ms: 0, not_after_ms: 1 };
        nodes::record_certificate(&mut tx, &node.id, &new, NOW_MS).await.unwrap();
        assert!(nodes::find_node_by_certificate(&mut tx, "77").await.is_ok());
        nodes::deny_node(&mut tx, &whole(&network), &node.id, NOW_MS).await.unwrap();
        assert!(matches!(nodes::find_node_by_certificate(&mut tx, "77").await, Err(StoreError::NotFound)));
    }

    /// A site has one place for what people store; it is no node that anybody sees or that may connect.
    async fn a_site_has_one_place_for_uploads(db: &Db) {
        let (network, centre, _) = small_network(db).await;
        let scope = whole(&network);
        let mut tx = db.write().await.unwrap();
        let other = site(&mut tx, &network, "OTHER", SiteKind::Both).await;
        let (first, second) = (NodeId::new(uuid()), NodeId::new(uuid()));
        let made = nodes::ensure_upload_node(&mut tx, &scope, &centre.id, &first, NOW_MS).await.unwrap();
        assert_eq!(made, first);
        let again = nodes::ensure_upload_node(&mut tx, &scope, &centre.id, &second, NOW_MS).await.unwrap();
        assert_eq!(again, first);
        let of_other = nodes::ensure_upload_node(&mut tx, &scope, &other.id, &second, NOW_MS).await.unwrap();
        assert_eq!(of_other, second);
        assert!(nodes::list_nodes(&mut tx, &scope).await.unwrap().is_empty());
        assert!(matches!(nodes::get_node(&mut tx, &scope, &first).await, Err(StoreError::NotFound)));
        assert!(nodes::list_denied_nodes(&mut tx).await.unwrap().is_empty());
        let reach = tancho_domain::access::Scope {
            reach: tancho_domain::access::Reach::Site(other.id.clone()),
            ..scope.clone()
        };
        let refused = nodes::ensure_upload_node(&mut tx, &reach, &centre.id, &NodeId::new(uuid()), NOW_MS).await;
        assert!(matches!(refused, Err(StoreError::NotFound)));
    }
}
