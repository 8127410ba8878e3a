//! The rules of logins.

use tancho_domain::access::{Role, Scope};
use tancho_domain::ids::UserId;
use tancho_store::audit::{self, Actor, Entry};
use tancho_store::users::{self, NewUser, User};
use tancho_store::{StoreError, Tx, networks, sites};

use super::dto::AddUser;
use crate::error::ApiError;
use crate::secrets;
use crate::sessions::limits;
use crate::sites::service::{check_name, check_phone};

/// Longest login.
const LOGIN_CHARS_MAX: usize = 64;

/// Hashes a password outside of any transaction: it takes a tenth of a second and a core.
pub async fn hash(password: &str) -> Result<String, ApiError> {
    secrets::hash_password(password.to_owned())
        .await
        .map_err(|unfit| ApiError::unprocessable("password_unfit", unfit.to_string()))
}

/// Makes a login, with its audit row. `password_hash` comes from [`hash`].
pub async fn add_user(
    tx: &mut Tx,
    scope: &Scope,
    actor: Actor,
    form: &AddUser,
    password_hash: &str,
    now_ms: i64,
) -> Result<User, ApiError> {
    let role = check(form)?;
    let site = sites::find_site_by_code(tx, scope, &form.site)
        .await
        .map_err(|error| match error {
            StoreError::NotFound => ApiError::unprocessable("site_unknown", "no site has this code"),
            other => other.into(),
        })?;
    let id = UserId::new(secrets::new_uuid());
    let new = NewUser {
        id: &id,
        site_id: &site.id,
        login: &form.login,
        name: &form.name,
        role,
        email: form.email.as_deref(),
        phone: form.phone.as_deref(),
        password_hash: Some(password_hash),
    };
    let user = users::add_user(tx, scope, &new, now_ms)
        .await
        .map_err(|error| match error {
            StoreError::Conflict => ApiError::conflict("login_taken", "another person has this login"),
            other => other.into(),
        })?;
    let detail = serde_json::json!({ "role": role.as_str(), "site_id": site.id.as_str() });
    let entry = Entry::by(actor, "add_user", "user", id.as_str()).with_detail(detail);
    audit::append(tx, &scope.network_id, entry, now_ms).await?;
    Ok(user)
}

/// Sets another password: the person's sessions and tokens end, failed logins are forgotten.
pub async fn set_password(
    tx: &mut Tx,
    scope: &Scope,
    actor: Actor,
    id: &UserId,
    password_hash: &str,
    now_ms: i64,
) -> Result<(), ApiError> {
    users::set_password(tx, scope, id, password_hash, now_ms).await?;
    let login = users::get_user(tx, &scope.network_id, id).await?.login;
    let network = networks::get_network(tx, &scope.network_id).await?.name;
    limits::forget_failures(tx, &network, &login).await?;
    audit::append(
        tx,
        &scope.network_id,
        Entry::by(actor, "set_password", "user", id.as_str()),
        now_ms,
    )
    .await?;
    Ok(())
}

/// Closes a login: its sessions and tokens end at once.
pub async fn disable_user(
    tx: &mut Tx,
    scope: &Scope,
    actor: Actor,
    id: &UserId,
    now_ms: i64,
) -> Result<User, ApiError> {
    users::disable_user(tx, scope, id, now_ms)
        .await
        .map_err(|error| match error {
            StoreError::Stale => ApiError::conflict("already_disabled", "this login is closed already"),
            other => other.into(),
        })?;
    audit::append(
        tx,
        &scope.network_id,
        Entry::by(actor, "disable_user", "user", id.as_str()),
        now_ms,
    )
    .await?;
    Ok(users::get_user(tx, &scope.network_id, id).await?)
}

fn check(form: &AddUser) -> Result<Role, ApiError> {
    let login_is_fit = (1..=LOGIN_CHARS_MAX).contains(&form.login.chars().count())
        && !form.login.chars().any(|c| c.is_control() || c.is_whitespace());
    if !login_is_fit {
        let detail =
            format!("a login of 1 to {LOGIN_CHARS_MAX} printable characters without spaces expected");
        return Err(ApiError::unprocessable("login_unfit", detail));
    }
    check_name(&form.name)?;
    if let Some(phone) = &form.phone {
        check_phone(phone)?;
    }
    if form
        .email
        .as_ref()
        .is_some_and(|email| email.parse::<lettre::Address>().is_err())
    {
        return Err(ApiError::unprocessable(
            "email_unfit",
            "an e-mail address expected",
        ));
    }
    Role::parse(&form.role).ok_or_else(|| {
        let roles = Role::ALL.map(Role::as_str).join(", ");
        ApiError::unprocessable("role_unknown", format!("one of {roles} expected"))
    })
}
