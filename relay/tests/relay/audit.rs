//! The audit trail over HTTP and from the command line.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tancho_domain::access::Role;
use tancho_relay::jobs::audit_checkpoints;
use tancho_store::Db;

use crate::command_line::tancho_relay;
use crate::harness::{TestRelay, problem_code};

#[tokio::test]
async fn flt_126_a_changed_entry_is_found_and_named() {
    let relay = TestRelay::start().await;
    let admin = relay.someone(Role::Admin).await;
    for code in ["A", "B", "C"] {
        let form = json!({ "code": code, "name": "n" });
        relay
            .write(&admin, Method::POST, "/api/v1/sites", &form)
            .send()
            .await
            .unwrap();
    }
    let verified: Value = relay
        .get(&admin, "/api/v1/audit/verification")
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(
        verified,
        json!({ "intact": true, "n_rows": 3, "broken_at_seq": null })
    );
    let (good, printed) = tancho_relay(relay.data_dir(), &["audit", "verify"], "").await;
    assert!(good && printed.contains("3 entries, intact"), "{printed}");
    let Db::Sqlite { writer, .. } = &relay.app().db else {
        panic!("SQLite by default")
    };
    sqlx::query("drop trigger audit_no_update")
        .execute(writer)
        .await
        .unwrap();
    sqlx::query("update audit set subject_id = 'other' where seq = 2")
        .execute(writer)
        .await
        .unwrap();
    let verified: Value = relay
        .get(&admin, "/api/v1/audit/verification")
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(
        verified,
        json!({ "intact": false, "n_rows": null, "broken_at_seq": 2 })
    );
    let (good, printed) = tancho_relay(relay.data_dir(), &["audit", "verify"], "").await;
    assert!(!good && printed.contains("broken at entry 2"), "{printed}");
    relay.stop().await;
}

/// Whoever writes the database can make a chain that holds in itself, but not one that agrees with the checkpoints.
#[tokio::test]
async fn flt_126_an_end_that_was_cut_off_with_its_head_is_found_by_the_checkpoints() {
    let relay = TestRelay::start().await;
    let admin = relay.someone(Role::Admin).await;
    for code in ["A", "B", "C"] {
        let form = json!({ "code": code, "name": "n" });
        let written = relay.write(&admin, Method::POST, "/api/v1/sites", &form).send();
        assert_eq!(written.await.unwrap().status(), StatusCode::CREATED);
    }
    audit_checkpoints::note(relay.app()).await.unwrap();
    let (good, printed) = tancho_relay(relay.data_dir(), &["audit", "verify"], "").await;
    assert!(
        good && printed.contains("3 entries, intact, 1 checkpoints agree"),
        "{printed}"
    );
    let Db::Sqlite { writer, .. } = &relay.app().db else {
        panic!("SQLite by default")
    };
    for text in [
        "drop trigger audit_no_delete",
        "drop trigger audit_heads_no_update",
        "delete from audit where seq = 3",
        "update audit_heads set seq = 2, hash = (select hash from audit where seq = 2)",
    ] {
        sqlx::query(text).execute(writer).await.unwrap();
    }
    let (good, printed) = tancho_relay(relay.data_dir(), &["audit", "verify"], "").await;
    assert!(!good && printed.contains("broken at entry 3"), "{printed}");
    let verified: Value = relay
        .get(&admin, "/api/v1/audit/verification")
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(verified["broken_at_seq"], 3);
    relay.stop().await;
}

#[tokio::test]
async fn one_chain_is_walked_at_a_time() {
    let relay = TestRelay::start().await;
    let admin = relay.someone(Role::Admin).await;
    let turn = relay.app().audit_walks.acquire().await.unwrap();
    let refused = relay.get(&admin, "/api/v1/audit/verification").await;
    assert_eq!(
        problem_code(refused, StatusCode::TOO_MANY_REQUESTS).await,
        "verification_under_way"
    );
    drop(turn);
    let verified = relay.get(&admin, "/api/v1/audit/verification").await;
    assert_eq!(verified.status(), StatusCode::OK);
    relay.stop().await;
}

#[tokio::test]
async fn the_trail_comes_in_pages_newest_first() {
    let relay = TestRelay::start().await;
    let admin = relay.someone(Role::Admin).await;
    for code in ["A", "B", "C"] {
        let form = json!({ "code": code, "name": "n" });
        relay
            .write(&admin, Method::POST, "/api/v1/sites", &form)
            .send()
            .await
            .unwrap();
    }
    let first: Value = relay
        .get(&admin, "/api/v1/audit?limit=2")
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(
        (&first["items"][0]["seq"], &first["next_before_seq"]),
        (&json!(3), &json!(2))
    );
    assert_eq!(first["items"][0]["actor_id"], admin.id.as_str());
    let second: Value = relay
        .get(&admin, "/api/v1/audit?limit=2&before_seq=2")
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(second["items"].as_array().unwrap().len(), 1);
    assert_eq!(second["next_before_seq"], Value::Null);
    let unknown = relay.get(&admin, "/api/v1/audit?nonsense=1").await;
    assert_eq!(unknown.status(), StatusCode::BAD_REQUEST);
    relay.stop().await;
}
