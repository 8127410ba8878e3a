//! The rules of making a site.

use tancho_domain::access::Scope;
use tancho_domain::ids::SiteId;
use tancho_store::audit::{self, Actor, Entry};
use tancho_store::sites::{self, NewSite, Site, SiteKind};
use tancho_store::{StoreError, Tx};

use super::dto::AddSite;
use crate::error::ApiError;
use crate::secrets;

/// Longest code.
const CODE_CHARS_MAX: usize = 32;
/// Longest name of anything people read.
pub const NAME_CHARS_MAX: usize = 200;
/// Longest phone number, with its punctuation.
const PHONE_CHARS_MAX: usize = 40;

/// Makes a site, with its audit row.
pub async fn add_site(
    tx: &mut Tx,
    scope: &Scope,
    actor: Actor,
    form: &AddSite,
    now_ms: i64,
) -> Result<Site, ApiError> {
    let kind = check(form)?;
    let id = SiteId::new(secrets::new_uuid());
    let new = NewSite {
        id: &id,
        code: &form.code,
        name: &form.name,
        kind,
        phone: form.phone.as_deref(),
    };
    let site = sites::add_site(tx, scope, &new, now_ms)
        .await
        .map_err(|error| match error {
            StoreError::Conflict => ApiError::conflict("site_code_taken", "another site has this code"),
            other => other.into(),
        })?;
    let entry = Entry::by(actor, "add_site", "site", id.as_str());
    audit::append(tx, &scope.network_id, entry, now_ms).await?;
    Ok(site)
}

fn check(form: &AddSite) -> Result<SiteKind, ApiError> {
    let code_is_fit = (1..=CODE_CHARS_MAX).contains(&form.code.len())
        && form
            .code
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if !code_is_fit {
        let detail = format!("a code of 1 to {CODE_CHARS_MAX} letters, digits, - and _ expected");
        return Err(ApiError::unprocessable("site_code_unfit", detail));
    }
    check_name(&form.name)?;
    if let Some(phone) = &form.phone {
        check_phone(phone)?;
    }
    SiteKind::parse(&form.kind)
        .ok_or_else(|| ApiError::unprocessable("site_kind_unknown", "requesting, reading or both expected"))
}

/// A name of anything people read: not empty, bounded, no control characters.
pub fn check_name(name: &str) -> Result<(), ApiError> {
    let n_chars = name.chars().count();
    if (1..=NAME_CHARS_MAX).contains(&n_chars)
        && !name.trim().is_empty()
        && !name.chars().any(char::is_control)
    {
        return Ok(());
    }
    let detail = format!("a name of 1 to {NAME_CHARS_MAX} printable characters expected");
    Err(ApiError::unprocessable("name_unfit", detail))
}

/// A number a person can dial.
pub fn check_phone(phone: &str) -> Result<(), ApiError> {
    let fits = (1..=PHONE_CHARS_MAX).contains(&phone.chars().count())
        && phone.chars().any(|c| c.is_ascii_digit())
        && phone
            .chars()
            .all(|c| c.is_ascii_digit() || "+-() .,#*x".contains(c));
    if fits {
        Ok(())
    } else {
        Err(ApiError::unprocessable(
            "phone_unfit",
            "a phone number in ASCII digits expected",
        ))
    }
}
