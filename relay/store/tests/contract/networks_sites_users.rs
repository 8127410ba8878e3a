//! Networks, their sites and their people.

use tancho_domain::access::Role;
use tancho_domain::ids::{NetworkId, SiteId, UserId};
use tancho_store::sites::{NewSite, SiteKind};
use tancho_store::users::NewUser;
use tancho_store::{Db, StoreError, networks, sites, users};

use crate::harness::{NOW_MS, at, network, site, small_network, user, uuid, whole};

on_both_databases! {
    async fn a_network_is_made_once_whoever_asks(db: &Db) {
        let mut tx = db.write().await.unwrap();
        let first = network(&mut tx, "north").await;
        let again = networks::ensure_network(&mut tx, "north", &NetworkId::new(uuid()), NOW_MS + 1).await.unwrap();
        assert_eq!(first, again);
        network(&mut tx, "east").await;
        tx.commit().await.unwrap();
        let mut tx = db.read().await.unwrap();
        let names: Vec<_> = networks::list_networks(&mut tx).await.unwrap().into_iter().map(|one| one.name).collect();
        assert_eq!(names, ["east", "north"]);
        assert_eq!(networks::get_network(&mut tx, &first.id).await.unwrap(), first);
        assert!(matches!(networks::find_network_by_name(&mut tx, "west").await, Err(StoreError::NotFound)));
    }

    async fn a_site_is_found_in_its_own_network_only(db: &Db) {
        let mut tx = db.write().await.unwrap();
        let north = network(&mut tx, "north").await;
        let south = network(&mut tx, "south").await;
        let centre = site(&mut tx, &north, "CENTRE", SiteKind::Reading).await;
        let twin = site(&mut tx, &south, "CENTRE", SiteKind::Requesting).await;
        assert_eq!(sites::get_site(&mut tx, &whole(&north), &centre.id).await.unwrap(), centre);
        assert_eq!(sites::find_site_by_code(&mut tx, &whole(&south), "CENTRE").await.unwrap(), twin);
        assert!(matches!(sites::get_site(&mut tx, &whole(&south), &centre.id).await, Err(StoreError::NotFound)));
        assert_eq!(sites::list_sites(&mut tx, &whole(&north)).await.unwrap(), [centre]);
    }

    async fn a_taken_site_code_is_a_conflict(db: &Db) {
        let (network, _, _) = small_network(db).await;
        let mut tx = db.write().await.unwrap();
        let id = SiteId::new(uuid());
        let new = NewSite { id: &id, code: "CENTRE", name: "other", kind: SiteKind::Both, phone: None };
        let refused = sites::add_site(&mut tx, &whole(&network), &new, NOW_MS).await;
        assert!(matches!(refused, Err(StoreError::Conflict)), "{refused:?}");
    }

    async fn people_keep_every_field(db: &Db) {
        let (network, site, reader) = small_network(db).await;
        let mut tx = db.read().await.unwrap();
        let found = users::get_user(&mut tx, &network.id, &reader.id).await.unwrap();
        assert_eq!(found, reader);
        assert_eq!((found.role, found.site_id.clone()), (Role::Reader, site.id.clone()));
        assert_eq!((found.name.as_str(), found.email.as_deref()), ("山田 太郎", Some("a@example.jp")));
        let record = users::find_login(&mut tx, &network.id, "reader").await.unwrap();
        assert_eq!((record.user, record.password_hash.as_deref()), (reader, Some("$argon2id$...")));
        assert!(matches!(users::find_login(&mut tx, &network.id, "Reader").await, Err(StoreError::NotFound)));
    }

    async fn people_are_listed_within_reach_and_found_at_a_site_by_role(db: &Db) {
        let (network, centre, reader) = small_network(db).await;
        let mut tx = db.write().await.unwrap();
        let clinic = site(&mut tx, &network, "CLINIC", SiteKind::Requesting).await;
        let referrer = user(&mut tx, &network, &clinic, "referrer", Role::Referrer).await;
        let logins = |people: Vec<users::User>| people.into_iter().map(|one| one.login).collect::<Vec<_>>();
        assert_eq!(logins(users::list_users(&mut tx, &whole(&network)).await.unwrap()), ["reader", "referrer"]);
        assert_eq!(logins(users::list_users(&mut tx, &at(&network, &clinic)).await.unwrap()), ["referrer"]);
        let at_clinic = users::list_users_at_site(&mut tx, &network.id, &clinic.id, Role::Referrer).await.unwrap();
        assert_eq!(at_clinic, std::slice::from_ref(&referrer));
        users::disable_user(&mut tx, &whole(&network), &referrer.id, NOW_MS).await.unwrap();
        let open = users::list_users_at_site(&mut tx, &network.id, &clinic.id, Role::Referrer).await.unwrap();
        assert_eq!(open, []);
        let other = users::list_users_at_site(&mut tx, &network.id, &centre.id, Role::Referrer).await.unwrap();
        assert_eq!(other, []);
        assert_eq!(reader.disabled_at_ms, None);
    }

    async fn a_login_is_unique_in_its_network_and_its_site_is_of_the_same_network(db: &Db) {
        let (north, centre, _) = small_network(db).await;
        let mut tx = db.write().await.unwrap();
        let south = network(&mut tx, "south").await;
        tx.commit().await.unwrap();
        for (scope, login) in [(whole(&north), "reader"), (whole(&south), "someone")] {
            let mut tx = db.write().await.unwrap();
            let id = UserId::new(uuid());
            let new = NewUser {
                id: &id, site_id: &centre.id, login, name: "n", role: Role::Reader,
                email: None, phone: None, password_hash: None,
            };
            let refused = users::add_user(&mut tx, &scope, &new, NOW_MS).await;
            assert!(matches!(refused, Err(StoreError::Conflict)), "{login}: {refused:?}");
        }
    }

    async fn closing_a_login_twice_is_stale_and_elsewhere_not_found(db: &Db) {
        let (network_, _, reader) = small_network(db).await;
        let mut tx = db.write().await.unwrap();
        let other = network(&mut tx, "other").await;
        users::disable_user(&mut tx, &whole(&network_), &reader.id, NOW_MS + 5).await.unwrap();
        let found = users::get_user(&mut tx, &network_.id, &reader.id).await.unwrap();
        assert_eq!(found.disabled_at_ms, Some(NOW_MS + 5));
        let again = users::disable_user(&mut tx, &whole(&network_), &reader.id, NOW_MS + 6).await;
        assert!(matches!(again, Err(StoreError::Stale)), "{again:?}");
        let elsewhere = users::disable_user(&mut tx, &whole(&other), &reader.id, NOW_MS).await;
        assert!(matches!(elsewhere, Err(StoreError::NotFound)), "{elsewhere:?}");
        let password = users::set_password(&mut tx, &whole(&network_), &reader.id, "h", NOW_MS).await;
        assert!(matches!(password, Err(StoreError::NotFound)), "{password:?}");
    }
}
