//! What the API says about people.

use serde::{Deserialize, Serialize};
use tancho_store::users as store;
use utoipa::ToSchema;

/// A person with a login.
#[derive(Debug, Serialize, ToSchema)]
pub struct User {
    /// Id.
    pub id: String,
    /// What the person types.
    pub login: String,
    /// Name.
    pub name: String,
    /// `technologist`, `referrer`, `reader`, `liaison`, `admin` or `auditor`.
    pub role: String,
    /// Where the person works.
    pub site_id: String,
    /// Where notices go.
    pub email: Option<String>,
    /// Where the person is reached by phone.
    pub phone: Option<String>,
    /// When the login was made.
    pub created_at_ms: i64,
    /// Since when it is closed.
    pub disabled_at_ms: Option<i64>,
}

impl From<store::User> for User {
    fn from(user: store::User) -> Self {
        Self {
            id: user.id.into(),
            login: user.login,
            name: user.name,
            role: user.role.as_str().to_owned(),
            site_id: user.site_id.into(),
            email: user.email,
            phone: user.phone,
            created_at_ms: user.created_at_ms,
            disabled_at_ms: user.disabled_at_ms,
        }
    }
}

/// Everyone.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserList {
    /// By login.
    pub items: Vec<User>,
}

/// A login to be made.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddUser {
    /// 1 to 64 printable characters without spaces, unique in the network.
    pub login: String,
    /// Name, up to 200 characters.
    pub name: String,
    /// `technologist`, `referrer`, `reader`, `liaison`, `admin` or `auditor`.
    pub role: String,
    /// Code of the site the person works at.
    pub site: String,
    /// First password.
    pub password: String,
    /// Where notices go.
    #[serde(default)]
    pub email: Option<String>,
    /// Where the person is reached by phone.
    #[serde(default)]
    pub phone: Option<String>,
}

/// Another password.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPassword {
    /// The new one.
    pub password: String,
}
