//! What every request to the page must pass: the page's own host, the page's own origin, and the password
//! when the page listens beyond this computer.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::problem::Problem;

const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Who may use the page.
#[derive(Clone)]
pub struct Guard {
    /// SHA-256 of the password; none while the page listens on this computer only.
    password_sha256: Option<Arc<[u8; 32]>>,
}

impl Guard {
    /// A guard; the password is kept as its digest only.
    #[must_use]
    pub fn new(password: Option<&str>) -> Self {
        Self {
            password_sha256: password.map(|text| Arc::new(Sha256::digest(text.as_bytes()).into())),
        }
    }

    fn admits(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let host = headers
            .get(header::HOST)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("");
        match &self.password_sha256 {
            // A name that is not this computer's would let a foreign page reach us by DNS rebinding.
            None if !is_loopback_host(host) => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "host_refused",
                "open the page as http://127.0.0.1 or http://localhost on this computer",
            )),
            None => Ok(()),
            Some(expected) => {
                let given = headers
                    .get(header::AUTHORIZATION)
                    .and_then(|value| value.to_str().ok()?.strip_prefix("Basic "))
                    .and_then(|text| STANDARD.decode(text).ok())
                    .and_then(|pair| {
                        let colon = pair.iter().position(|byte| *byte == b':')?;
                        Some(<[u8; 32]>::from(Sha256::digest(&pair[colon + 1..])))
                    });
                if given.is_some_and(|digest| digest == **expected) {
                    Ok(())
                } else {
                    Err(Problem::new(
                        StatusCode::UNAUTHORIZED,
                        "password_wanted",
                        "the page's password is wanted",
                    ))
                }
            }
        }
    }
}

fn is_loopback_host(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A state change must come from the page itself: browsers say so, scripts send neither header.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let site = headers
        .get("sec-fetch-site")
        .and_then(|value| value.to_str().ok());
    if let Some(site) = site {
        return site == "same-origin";
    }
    match headers.get(header::ORIGIN).and_then(|value| value.to_str().ok()) {
        None => true,
        Some(origin) => {
            let host = headers
                .get(header::HOST)
                .and_then(|value| value.to_str().ok())
                .unwrap_or("");
            origin.split_once("://").is_some_and(|(_, at)| at == host)
        }
    }
}

/// Middleware: refuses what may not pass, and puts the security headers on every answer.
pub async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let refusal = guard.admits(request.headers()).err().or_else(|| {
        let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
        (changes && !is_same_origin(request.headers())).then(|| {
            Problem::new(
                StatusCode::FORBIDDEN,
                "cross_site",
                "a change is taken from the node's own page only",
            )
        })
    });
    let mut response = match refusal {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(CONTENT_SECURITY_POLICY),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    if response.status() == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Basic realm=\"Tancho node\", charset=\"UTF-8\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn without_a_password_only_this_computers_names_are_taken() {
        let guard = Guard::new(None);
        for host in ["127.0.0.1:8081", "localhost", "LOCALHOST:8081", "[::1]:8081"] {
            assert!(guard.admits(&headers(&[("host", host)])).is_ok(), "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example:8081", ""] {
            assert!(guard.admits(&headers(&[("host", host)])).is_err(), "{host}");
        }
    }

    #[test]
    fn with_a_password_every_request_brings_it() {
        let guard = Guard::new(Some("正しい:pass"));
        let basic = |password: &str| format!("Basic {}", STANDARD.encode(format!("node:{password}")));
        assert!(
            guard
                .admits(&headers(&[("authorization", &basic("正しい:pass"))]))
                .is_ok()
        );
        assert!(
            guard
                .admits(&headers(&[("authorization", &basic("wrong"))]))
                .is_err()
        );
        assert!(guard.admits(&headers(&[("host", "localhost")])).is_err());
    }

    #[test]
    fn another_sites_form_is_refused() {
        assert!(is_same_origin(&headers(&[
            ("host", "localhost:8081"),
            ("origin", "http://localhost:8081")
        ])));
        assert!(!is_same_origin(&headers(&[
            ("host", "localhost:8081"),
            ("origin", "http://evil.example")
        ])));
        assert!(!is_same_origin(&headers(&[("sec-fetch-site", "cross-site")])));
        assert!(is_same_origin(&headers(&[])));
    }
}
