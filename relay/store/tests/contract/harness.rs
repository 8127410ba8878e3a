//! Runs one test body on both databases, and makes the rows that most tests start from.

use tancho_domain::access::{Principal, Reach, Role, Scope};
use tancho_domain::ids::{NetworkId, SiteId, UserId};
use tancho_store::networks::{self, Network};
use tancho_store::sites::{self, NewSite, Site, SiteKind};
use tancho_store::users::{self, NewUser, User};
use tancho_store::{Db, Tx};
use uuid::Uuid;

pub mod postgres;

/// An instant for tests, in milliseconds UTC; nothing depends on the day.
pub const NOW_MS: i64 = 1_795_000_000_000;

/// An empty, migrated store and what keeps it alive.
pub struct Store {
    pub db: Db,
    _folder: Option<tempfile::TempDir>,
}

pub async fn sqlite_store() -> Store {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(&format!(
        "sqlite:{}",
        folder.path().join("store.sqlite").display()
    ))
    .await
    .unwrap();
    db.migrate().await.unwrap();
    Store {
        db,
        _folder: Some(folder),
    }
}

/// `None` when PostgreSQL tests are switched off.
pub async fn postgres_store() -> Option<Store> {
    let url = postgres::fresh_database_url()?;
    let db = Db::open(&url).await.unwrap();
    db.migrate().await.unwrap();
    Some(Store { db, _folder: None })
}

/// Turns `async fn name(db: &Db) { ... }` into two tests, `name::sqlite` and `name::postgres`.
macro_rules! on_both_databases {
    ($($(#[$about:meta])* async fn $name:ident($db:ident: $store:ty) $body:block)*) => {$(
        $(#[$about])*
        mod $name {
            use super::*;

            async fn body($db: $store) $body

            #[tokio::test]
            async fn sqlite() {
                let store = $crate::harness::sqlite_store().await;
                body(&store.db).await;
                store.db.close().await;
            }

            #[tokio::test]
            async fn postgres() {
                if let Some(store) = $crate::harness::postgres_store().await {
                    body(&store.db).await;
                    store.db.close().await;
                }
            }
        }
    )*};
}

/// A new id; tests never compare ids with fixed values.
pub fn uuid() -> Uuid {
    Uuid::now_v7()
}

/// Sees the whole network.
pub fn whole(network: &Network) -> Scope {
    Scope {
        network_id: network.id.clone(),
        reach: Reach::Network,
    }
}

/// Sees what concerns one site.
#[allow(dead_code, reason = "the slices' own contract tests use it")]
pub fn at(network: &Network, site: &Site) -> Scope {
    Scope {
        network_id: network.id.clone(),
        reach: Reach::Site(site.id.clone()),
    }
}

pub async fn network(tx: &mut Tx, name: &str) -> Network {
    networks::ensure_network(tx, name, &NetworkId::new(uuid()), NOW_MS)
        .await
        .unwrap()
}

pub async fn site(tx: &mut Tx, network: &Network, code: &str, kind: SiteKind) -> Site {
    let id = SiteId::new(uuid());
    let new = NewSite {
        id: &id,
        code,
        name: "病院",
        kind,
        phone: Some("03-0000-0000"),
    };
    sites::add_site(tx, &whole(network), &new, NOW_MS).await.unwrap()
}

pub async fn user(tx: &mut Tx, network: &Network, site: &Site, login: &str, role: Role) -> User {
    let id = UserId::new(uuid());
    let new = NewUser {
        id: &id,
        site_id: &site.id,
        login,
        name: "山田 太郎",
        role,
        email: Some("a@example.jp"),
        phone: None,
        password_hash: Some("$argon2id$..."),
    };
    users::add_user(tx, &whole(network), &new, NOW_MS).await.unwrap()
}

/// A network with one site and one reader, committed.
pub async fn small_network(db: &Db) -> (Network, Site, User) {
    let mut tx = db.write().await.unwrap();
    let network = network(&mut tx, "default").await;
    let site = site(&mut tx, &network, "CENTRE", SiteKind::Both).await;
    let user = user(&mut tx, &network, &site, "reader", Role::Reader).await;
    tx.commit().await.unwrap();
    (network, site, user)
}

pub fn principal(network: &Network, user: &User) -> Principal {
    Principal {
        network_id: network.id.clone(),
        user_id: user.id.clone(),
        role: user.role,
        site_id: user.site_id.clone(),
    }
}
