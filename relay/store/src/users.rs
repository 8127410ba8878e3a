//! People with a login. A person has one role and one site; who left is disabled, never removed.

use tancho_domain::access::{Reach, Role, Scope};
use tancho_domain::ids::{NetworkId, SiteId, UserId};

use crate::db::Tx;
use crate::error::StoreError;

/// A person with a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The person's id.
    pub id: UserId,
    /// Where the person works.
    pub site_id: SiteId,
    /// What the person types to log in, unique in the network.
    pub login: String,
    /// The person's name.
    pub name: String,
    /// What the person may do.
    pub role: Role,
    /// Where notices without patient data go.
    pub email: Option<String>,
    /// Where the person is reached by phone.
    pub phone: Option<String>,
    /// When the login was made.
    pub created_at_ms: i64,
    /// Since when the login is closed.
    pub disabled_at_ms: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct UserRow {
    #[sqlx(try_from = "String")]
    id: UserId,
    #[sqlx(try_from = "String")]
    site_id: SiteId,
    login: String,
    name: String,
    role: String,
    email: Option<String>,
    phone: Option<String>,
    created_at_ms: i64,
    disabled_at_ms: Option<i64>,
}

impl TryFrom<UserRow> for User {
    type Error = StoreError;

    fn try_from(row: UserRow) -> Result<Self, StoreError> {
        let role = Role::parse(&row.role).ok_or_else(|| StoreError::Corrupt("role".to_owned()))?;
        Ok(Self {
            id: row.id,
            site_id: row.site_id,
            login: row.login,
            name: row.name,
            role,
            email: row.email,
            phone: row.phone,
            created_at_ms: row.created_at_ms,
            disabled_at_ms: row.disabled_at_ms,
        })
    }
}

/// What a new login is made of.
#[derive(Debug, Clone)]
pub struct NewUser<'a> {
    /// Id made at the edge.
    pub id: &'a UserId,
    /// Where the person works; a site of the same network.
    pub site_id: &'a SiteId,
    /// What the person types to log in, unique in the network.
    pub login: &'a str,
    /// The person's name.
    pub name: &'a str,
    /// What the person may do.
    pub role: Role,
    /// Where notices go.
    pub email: Option<&'a str>,
    /// Where the person is reached by phone.
    pub phone: Option<&'a str>,
    /// Argon2id hash in PHC form; without one the person cannot log in by password.
    pub password_hash: Option<&'a str>,
}

/// Adds a login; `Conflict` when it is taken or the site is not of this network.
pub async fn add_user(
    tx: &mut Tx,
    scope: &Scope,
    new: &NewUser<'_>,
    now_ms: i64,
) -> Result<User, StoreError> {
    let row = fetch_one!(
        tx,
        UserRow,
        "insert into users (id, network_id, site_id, login, name, role, email, phone, password_hash, created_at_ms) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
         returning id, site_id, login, name, role, email, phone, created_at_ms, disabled_at_ms",
        new.id.as_str(),
        scope.network_id.as_str(),
        new.site_id.as_str(),
        new.login,
        new.name,
        new.role.as_str(),
        new.email,
        new.phone,
        new.password_hash,
        now_ms
    )?;
    row.try_into()
}

/// The people within reach, by login: everyone in the network, or the people of one's own site.
pub async fn list_users(tx: &mut Tx, scope: &Scope) -> Result<Vec<User>, StoreError> {
    let site_id = match &scope.reach {
        Reach::Network => None,
        Reach::Site(site_id) => Some(site_id.as_str()),
    };
    let rows = fetch_all!(
        tx,
        UserRow,
        "select id, site_id, login, name, role, email, phone, created_at_ms, disabled_at_ms from users \
         where network_id = $1 and ($2 is null or site_id = $2) order by login",
        scope.network_id.as_str(),
        site_id
    )?;
    rows.into_iter().map(User::try_from).collect()
}

/// The open logins of one site with one role, by login; for contacts and recipients of notices. Not narrowed by
/// reach: a reader has to know whom to call at the requesting site.
pub async fn list_users_at_site(
    tx: &mut Tx,
    network_id: &NetworkId,
    site_id: &SiteId,
    role: Role,
) -> Result<Vec<User>, StoreError> {
    let rows = fetch_all!(
        tx,
        UserRow,
        "select id, site_id, login, name, role, email, phone, created_at_ms, disabled_at_ms from users \
         where network_id = $1 and site_id = $2 and role = $3 and disabled_at_ms is null order by login",
        network_id.as_str(),
        site_id.as_str(),
        role.as_str()
    )?;
    rows.into_iter().map(User::try_from).collect()
}

/// One person of the network, for showing a name; not narrowed by reach.
pub async fn get_user(tx: &mut Tx, network_id: &NetworkId, id: &UserId) -> Result<User, StoreError> {
    let row = fetch_one!(
        tx,
        UserRow,
        "select id, site_id, login, name, role, email, phone, created_at_ms, disabled_at_ms from users \
         where network_id = $1 and id = $2",
        network_id.as_str(),
        id.as_str()
    )?;
    row.try_into()
}

/// What login needs of a person.
#[derive(Debug, Clone)]
pub struct LoginRecord {
    /// The person.
    pub user: User,
    /// Argon2id hash in PHC form.
    pub password_hash: Option<String>,
}

/// The person with this login, disabled or not. `NotFound` tells nothing to the outside: the caller answers as to
/// a wrong password, in the same time.
pub async fn find_login(tx: &mut Tx, network_id: &NetworkId, login: &str) -> Result<LoginRecord, StoreError> {
    let row = fetch_one!(
        tx,
        UserRow,
        "select id, site_id, login, name, role, email, phone, created_at_ms, disabled_at_ms from users \
         where network_id = $1 and login = $2",
        network_id.as_str(),
        login
    )?;
    let text = "select password_hash from users where id = $1";
    let (password_hash,) = fetch_one!(tx, (Option<String>,), text, row.id.as_str())?;
    Ok(LoginRecord {
        user: row.try_into()?,
        password_hash,
    })
}

/// Sets another password: every session of the person ends, every token is revoked.
pub async fn set_password(
    tx: &mut Tx,
    scope: &Scope,
    id: &UserId,
    password_hash: &str,
    now_ms: i64,
) -> Result<(), StoreError> {
    let text =
        "update users set password_hash = $3 where network_id = $1 and id = $2 and disabled_at_ms is null";
    if execute!(tx, text, scope.network_id.as_str(), id.as_str(), password_hash)? == 0 {
        return Err(StoreError::NotFound);
    }
    crate::sessions::end_sessions_of_user(tx, scope, id, now_ms).await?;
    crate::tokens::revoke_tokens_of_user(tx, scope, id, now_ms).await
}

/// Closes a login: its sessions end and its tokens are revoked at once. `Stale` when it is closed already.
pub async fn disable_user(tx: &mut Tx, scope: &Scope, id: &UserId, now_ms: i64) -> Result<(), StoreError> {
    get_user(tx, &scope.network_id, id).await?;
    let text =
        "update users set disabled_at_ms = $3 where network_id = $1 and id = $2 and disabled_at_ms is null";
    if execute!(tx, text, scope.network_id.as_str(), id.as_str(), now_ms)? == 0 {
        return Err(StoreError::Stale);
    }
    crate::sessions::end_sessions_of_user(tx, scope, id, now_ms).await?;
    crate::tokens::revoke_tokens_of_user(tx, scope, id, now_ms).await
}
