//! Requests that change something must come from our own page or from no browser at all (cross-site request
//! forgery), and requests to a loopback listener must be meant for it (DNS rebinding).

use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::error::ApiError;
use crate::state::AppState;

/// Refuses requests from other sites' pages and requests meant for another host.
pub async fn check(State(app): State<AppState>, request: Request, next: Next) -> Response {
    if !host_is_ours(request.headers(), request.uri(), &app) {
        let status = StatusCode::MISDIRECTED_REQUEST;
        return ApiError::new(
            status,
            "host_not_ours",
            "this relay is not known under that host name",
        )
        .into_response();
    }
    let reads_only = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if !reads_only && !comes_from_us(request.headers(), request.uri(), &app) {
        let detail = "requests that change something are taken from the relay's own page only";
        return ApiError::new(StatusCode::FORBIDDEN, "cross_origin", detail).into_response();
    }
    next.run(request).await
}

/// Browsers send `Sec-Fetch-Site` or at least `Origin` with every request that changes something; who sends neither
/// is no browser and holds no cookie by accident.
fn comes_from_us(headers: &HeaderMap, uri: &Uri, app: &AppState) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    let Some(origin) = headers.get(ORIGIN) else {
        return true;
    };
    let Some(origin) = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"))
        .map(|(_, host)| host)
    else {
        return false;
    };
    let ours = public_host(app);
    host_of(headers, uri).is_some_and(|host| host.eq_ignore_ascii_case(origin))
        || ours.is_some_and(|ours| ours.eq_ignore_ascii_case(origin))
}

fn host_is_ours(headers: &HeaderMap, uri: &Uri, app: &AppState) -> bool {
    let http = &app.config.http;
    // Behind a proxy or with TLS, the certificate or the proxy decides which names lead here.
    if http.is_secure() {
        return true;
    }
    let Some(host) = host_of(headers, uri) else {
        return false;
    };
    let name = without_port(&host);
    let is_loopback = name.eq_ignore_ascii_case("localhost")
        || name
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback());
    is_loopback || public_host(app).is_some_and(|ours| without_port(ours).eq_ignore_ascii_case(name))
}

fn host_of(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    // HTTP/2 carries the host in the address.
    if let Some(authority) = uri.authority() {
        return Some(authority.as_str().to_owned());
    }
    headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .map(str::to_owned)
}

fn public_host(app: &AppState) -> Option<&str> {
    app.config
        .http
        .public_url
        .as_deref()?
        .split_once("://")
        .map(|(_, host)| host)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}
