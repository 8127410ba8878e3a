//! Random secrets, their digests, and passwords.
//!
//! A secret is shown once and stored as SHA-256; a password is stored as argon2id with the parameters of its day.

use std::sync::OnceLock;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

/// Shortest password that is taken, in characters.
pub const PASSWORD_CHARS_MIN: usize = 8;
/// Longest password that is hashed, in bytes: hashing must not become a way to keep the processor busy.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// Hashes computed at once; each takes 19 MiB and a core.
const HASHES_AT_ONCE_MAX: usize = 2;
static HASHING: Semaphore = Semaphore::const_new(HASHES_AT_ONCE_MAX);

/// A random 256-bit secret as text, and its digest. The text goes to its owner, the digest into the store.
#[must_use]
pub fn new_secret() -> (String, [u8; 32]) {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    let text = URL_SAFE_NO_PAD.encode(bytes);
    let digest = digest_of(&text);
    (text, digest)
}

/// The digest under which a secret is stored.
#[must_use]
pub fn digest_of(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// A new id, in the order of time.
#[must_use]
pub fn new_uuid() -> uuid::Uuid {
    uuid::Uuid::now_v7()
}

/// Why a password is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a password of {PASSWORD_CHARS_MIN} characters to {PASSWORD_BYTES_MAX} bytes expected")]
pub struct UnfitPassword;

/// Hashes a password with argon2id. Waits for its turn: few are computed at once.
pub async fn hash_password(password: String) -> Result<String, UnfitPassword> {
    if password.chars().count() < PASSWORD_CHARS_MIN || password.len() > PASSWORD_BYTES_MAX {
        return Err(UnfitPassword);
    }
    let _turn = HASHING.acquire().await.expect("the semaphore is never closed");
    tokio::task::spawn_blocking(move || hash_now(&password))
        .await
        .map_err(|_| UnfitPassword)
}

/// Whether `password` is the one behind `hash`. Without a hash it does the same work and says no, so that the time
/// does not tell whether a login exists.
pub async fn verify_password(password: String, hash: Option<String>) -> bool {
    let password = if password.len() > PASSWORD_BYTES_MAX {
        String::new()
    } else {
        password
    };
    let _turn = HASHING.acquire().await.expect("the semaphore is never closed");
    let verified = tokio::task::spawn_blocking(move || {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| nobody().to_owned());
        let matches = PasswordHash::new(&hash)
            .is_ok_and(|parsed| argon2id().verify_password(password.as_bytes(), &parsed).is_ok());
        known && matches
    });
    verified.await.unwrap_or(false)
}

/// OWASP's first choice for argon2id: 19 MiB, two passes, one lane.
fn argon2id() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
}

fn hash_now(password: &str) -> String {
    argon2id()
        .hash_password(password.as_bytes())
        .expect("argon2id takes any password of bounded length")
        .to_string()
}

/// The hash that stands in for logins that do not exist.
fn nobody() -> &'static str {
    static NOBODY: OnceLock<String> = OnceLock::new();
    NOBODY.get_or_init(|| hash_now("no login has this password"))
}
