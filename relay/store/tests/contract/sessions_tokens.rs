//! Sessions, bearer tokens and failed logins.

use tancho_domain::ids::SessionId;
use tancho_store::sessions::{self, NewSession};
use tancho_store::tokens::{self, NewToken};
use tancho_store::{Db, StoreError, users};

use crate::harness::{NOW_MS, principal, small_network, uuid, whole};

const HOUR_MS: i64 = 3_600_000;

on_both_databases! {
    async fn a_session_lives_until_it_idles_or_reaches_its_end(db: &Db) {
        let (network, _, reader) = small_network(db).await;
        let id = SessionId::new(uuid());
        let mut tx = db.write().await.unwrap();
        let new = NewSession { id: &id, user_id: &reader.id, token_hash: [7; 32], expires_at_ms: NOW_MS + HOUR_MS };
        sessions::start_session(&mut tx, &network.id, &new, NOW_MS).await.unwrap();
        let live = sessions::find_live_session(&mut tx, &[7; 32], NOW_MS + 1, NOW_MS).await.unwrap();
        assert_eq!((live.id, live.principal), (id.clone(), principal(&network, &reader)));
        assert_eq!((live.last_used_at_ms, live.expires_at_ms), (NOW_MS, NOW_MS + HOUR_MS));
        let gone = |found: Result<_, StoreError>| matches!(found, Err(StoreError::NotFound));
        assert!(gone(sessions::find_live_session(&mut tx, &[8; 32], NOW_MS + 1, NOW_MS).await));
        // FLT-074: the clock stepped back; a session is not good for longer than it was meant.
        let back_ms = NOW_MS - sessions::CLOCK_SLACK_MS;
        assert!(sessions::find_live_session(&mut tx, &[7; 32], back_ms, back_ms).await.is_ok());
        assert!(gone(sessions::find_live_session(&mut tx, &[7; 32], back_ms - 1, back_ms - 1).await));
        assert!(gone(sessions::find_live_session(&mut tx, &[7; 32], NOW_MS + HOUR_MS, NOW_MS).await));
        assert!(gone(sessions::find_live_session(&mut tx, &[7; 32], NOW_MS + 2, NOW_MS + 1).await));
        sessions::touch_session(&mut tx, &id, NOW_MS + 10).await.unwrap();
        sessions::touch_session(&mut tx, &id, NOW_MS + 5).await.unwrap();
        let live = sessions::find_live_session(&mut tx, &[7; 32], NOW_MS + 11, NOW_MS + 10).await.unwrap();
        assert_eq!(live.last_used_at_ms, NOW_MS + 10);
        sessions::end_session(&mut tx, &id, NOW_MS + 12).await.unwrap();
        assert!(gone(sessions::find_live_session(&mut tx, &[7; 32], NOW_MS + 13, NOW_MS).await));
    }

    async fn closing_a_login_or_changing_its_password_ends_sessions_and_tokens(db: &Db) {
        let (network, _, reader) = small_network(db).await;
        let scope = whole(&network);
        let mut tx = db.write().await.unwrap();
        for hash in [[1; 32], [2; 32]] {
            let id = SessionId::new(uuid());
            let new = NewSession { id: &id, user_id: &reader.id, token_hash: hash, expires_at_ms: NOW_MS + HOUR_MS };
            sessions::start_session(&mut tx, &network.id, &new, NOW_MS).await.unwrap();
        }
        let id = SessionId::new(uuid());
        let new = NewToken { id: &id, user_id: &reader.id, token_hash: [4; 32], expires_at_ms: NOW_MS + HOUR_MS };
        tokens::create_token(&mut tx, &scope, &new, NOW_MS).await.unwrap();
        users::set_password(&mut tx, &scope, &reader.id, "another", NOW_MS + 1).await.unwrap();
        let found = tokens::find_live_token(&mut tx, &[4; 32], NOW_MS + 2).await;
        assert!(matches!(found, Err(StoreError::NotFound)), "{found:?}");
        for hash in [[1; 32], [2; 32]] {
            let found = sessions::find_live_session(&mut tx, &hash, NOW_MS + 2, NOW_MS).await;
            assert!(matches!(found, Err(StoreError::NotFound)), "{found:?}");
        }
        let id = SessionId::new(uuid());
        let new = NewToken { id: &id, user_id: &reader.id, token_hash: [3; 32], expires_at_ms: NOW_MS + HOUR_MS };
        tokens::create_token(&mut tx, &scope, &new, NOW_MS).await.unwrap();
        users::disable_user(&mut tx, &scope, &reader.id, NOW_MS + 3).await.unwrap();
        let found = tokens::find_live_token(&mut tx, &[3; 32], NOW_MS + 4).await;
        assert!(matches!(found, Err(StoreError::NotFound)), "{found:?}");
    }

    async fn a_token_lives_until_its_end_or_its_revocation(db: &Db) {
        let (network, _, reader) = small_network(db).await;
        let scope = whole(&network);
        let mut tx = db.write().await.unwrap();
        let id = SessionId::new(uuid());
        let new = NewToken { id: &id, user_id: &reader.id, token_hash: [3; 32], expires_at_ms: NOW_MS + 10 };
        tokens::create_token(&mut tx, &scope, &new, NOW_MS).await.unwrap();
        let (found, person, expires_at_ms) = tokens::find_live_token(&mut tx, &[3; 32], NOW_MS + 9).await.unwrap();
        assert_eq!((found, person, expires_at_ms), (id.clone(), principal(&network, &reader), NOW_MS + 10));
        assert!(matches!(tokens::find_live_token(&mut tx, &[3; 32], NOW_MS + 10).await, Err(StoreError::NotFound)));
        let other = SessionId::new(uuid());
        let new = NewToken { id: &other, user_id: &reader.id, token_hash: [4; 32], expires_at_ms: NOW_MS + 20 };
        tokens::create_token(&mut tx, &scope, &new, NOW_MS + 1).await.unwrap();
        assert_eq!(tokens::revoke_token(&mut tx, &scope, &id, NOW_MS + 1).await.unwrap(), NOW_MS + 1);
        assert_eq!(tokens::revoke_token(&mut tx, &scope, &id, NOW_MS + 2).await.unwrap(), NOW_MS + 1);
        assert!(matches!(tokens::find_live_token(&mut tx, &[3; 32], NOW_MS + 2).await, Err(StoreError::NotFound)));
        let unknown = tokens::revoke_token(&mut tx, &scope, &SessionId::new(uuid()), NOW_MS).await;
        assert!(matches!(unknown, Err(StoreError::NotFound)));
        let ids = |tokens: Vec<tokens::Token>| tokens.into_iter().map(|token| token.id).collect::<Vec<_>>();
        let all = tokens::list_tokens(&mut tx, &scope, None).await.unwrap();
        assert_eq!((all[1].login.as_str(), all[1].revoked_at_ms), (reader.login.as_str(), Some(NOW_MS + 1)));
        assert_eq!(ids(all), [other.clone(), id]);
        for (at_ms, good) in [(NOW_MS + 19, vec![other]), (NOW_MS + 20, vec![])] {
            assert_eq!(ids(tokens::list_tokens(&mut tx, &scope, Some(at_ms)).await.unwrap()), good);
        }
        let elsewhere = crate::harness::network(&mut tx, "elsewhere").await;
        assert!(tokens::list_tokens(&mut tx, &whole(&elsewhere), None).await.unwrap().is_empty());
    }

    async fn failed_logins_are_counted_in_a_window_and_forgiven(db: &Db) {
        let mut tx = db.write().await.unwrap();
        for at_ms in [NOW_MS, NOW_MS + 1, NOW_MS + 2] {
            sessions::record_login_failure(&mut tx, "one", &format!("attempt at {at_ms}"), at_ms).await.unwrap();
        }
        sessions::record_login_failure(&mut tx, "two", "attempt of two", NOW_MS).await.unwrap();
        let count = sessions::count_login_failures(&mut tx, "one", NOW_MS, NOW_MS + 2).await.unwrap();
        assert_eq!(count, (2, Some(NOW_MS + 1)));
        let stepped_back = sessions::count_login_failures(&mut tx, "one", NOW_MS - HOUR_MS, NOW_MS).await.unwrap();
        assert_eq!(stepped_back, (1, Some(NOW_MS)), "FLT-074: what is in the future locks nobody out");
        sessions::forgive_login_attempt(&mut tx, &format!("attempt at {}", NOW_MS + 1)).await.unwrap();
        assert_eq!(sessions::count_login_failures(&mut tx, "one", 0, NOW_MS + 2).await.unwrap().0, 2);
        sessions::clear_login_failures(&mut tx, "one").await.unwrap();
        assert_eq!(sessions::count_login_failures(&mut tx, "one", 0, NOW_MS + 2).await.unwrap(), (0, None));
        assert_eq!(sessions::remove_old_login_failures(&mut tx, NOW_MS + 1).await.unwrap(), 1);
    }

    async fn an_account_is_opened_with_all_its_attempts_and_no_others(db: &Db) {
        let mut tx = db.write().await.unwrap();
        for (attempt, keys) in [("1", ["account", "pair:a", "address"]), ("2", ["other", "pair:b", "address"])] {
            for key in keys {
                sessions::record_login_failure(&mut tx, key, attempt, NOW_MS).await.unwrap();
            }
        }
        sessions::clear_login_attempts(&mut tx, "account", "pair:").await.unwrap();
        let mut counts = Vec::new();
        for key in ["account", "pair:a", "other", "pair:b", "address"] {
            counts.push(sessions::count_login_failures(&mut tx, key, 0, NOW_MS).await.unwrap().0);
        }
        assert_eq!(counts, [0, 0, 1, 1, 2]);
        sessions::record_login_success(&mut tx, "pair:a", NOW_MS).await.unwrap();
        sessions::record_login_success(&mut tx, "pair:a", NOW_MS + 2).await.unwrap();
        assert!(sessions::has_login_success(&mut tx, "pair:a", NOW_MS + 1).await.unwrap());
        assert!(!sessions::has_login_success(&mut tx, "pair:b", 0).await.unwrap());
        assert_eq!(sessions::remove_old_login_successes(&mut tx, NOW_MS + 3).await.unwrap(), 1);
    }

    async fn sessions_long_past_their_end_are_removed(db: &Db) {
        let (network, _, reader) = small_network(db).await;
        let mut tx = db.write().await.unwrap();
        for (hash, expires_at_ms) in [([1; 32], NOW_MS + 1), ([2; 32], NOW_MS + 100)] {
            let id = SessionId::new(uuid());
            let new = NewSession { id: &id, user_id: &reader.id, token_hash: hash, expires_at_ms };
            sessions::start_session(&mut tx, &network.id, &new, NOW_MS).await.unwrap();
        }
        assert_eq!(sessions::remove_old_sessions(&mut tx, NOW_MS + 50).await.unwrap(), 1);
        assert!(sessions::find_live_session(&mut tx, &[2; 32], NOW_MS + 2, NOW_MS).await.is_ok());
    }
}
