//! What every answer carries, the embedded page, health, and a handler that panics.

use axum::Router;
use axum::routing::get;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tancho_domain::access::Role;
use tancho_relay::config::http::TlsFiles;
use tancho_relay::http::router;
use tower::ServiceExt;

use crate::harness::{TestRelay, problem_code};

#[tokio::test]
async fn every_answer_carries_the_security_headers_and_is_not_kept() {
    let relay = TestRelay::start().await;
    for path in [
        "/",
        "/api/v1/session",
        "/api/v1/none",
        "/healthz",
        "/assets/none.js",
    ] {
        let answer = relay.request(Method::GET, path).send().await.unwrap();
        let headers = answer.headers();
        let policy = headers["content-security-policy"].to_str().unwrap();
        for part in [
            "default-src 'none'",
            "script-src 'self' 'wasm-unsafe-eval'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe-inline") && !policy.contains("'unsafe-eval'"));
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        assert_eq!(headers["cross-origin-opener-policy"], "same-origin", "{path}");
        assert_eq!(headers["cross-origin-resource-policy"], "same-origin", "{path}");
        let cache = if path == "/" { "no-cache" } else { "no-store" };
        assert_eq!(headers["cache-control"], cache, "{path}");
    }
    relay.stop().await;
}

#[tokio::test]
async fn the_page_is_served_at_every_address_that_is_not_the_apis() {
    let relay = TestRelay::start().await;
    for path in ["/", "/worklist", "/reading/0198a000-0000-7000-8000-000000000001"] {
        let answer = relay.request(Method::GET, path).send().await.unwrap();
        assert_eq!(
            (answer.status(), &answer.headers()["cache-control"]),
            (StatusCode::OK, &"no-cache".parse().unwrap())
        );
        assert!(
            answer.text().await.unwrap().contains("<div id=\"root\">"),
            "{path}"
        );
    }
    for path in [
        "/api/v1/none",
        "/api",
        "/dicom-web/none",
        "/assets/none.wasm",
        "/assets/../Cargo.toml/none",
    ] {
        let answer = relay.request(Method::GET, path).send().await.unwrap();
        let status = answer.status();
        assert!(
            status == StatusCode::NOT_FOUND || path.contains(".."),
            "{path}: {status}"
        );
    }
    relay.stop().await;
}

#[tokio::test]
async fn assets_are_kept_for_ever_and_sent_in_brotli_to_who_takes_it() {
    let relay = TestRelay::start().await;
    let page = relay
        .request(Method::GET, "/")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let script = page
        .split("src=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    let coded = relay
        .request(Method::GET, &script)
        .header("Accept-Encoding", "gzip, br")
        .send()
        .await
        .unwrap();
    assert_eq!(coded.headers()["content-encoding"], "br");
    assert_eq!(
        coded.headers()["cache-control"],
        "public, max-age=31536000, immutable"
    );
    assert_eq!(coded.headers()["vary"], "accept-encoding");
    for accept in ["gzip", "br;q=0", "identity"] {
        let plain = relay
            .request(Method::GET, &script)
            .header("Accept-Encoding", accept)
            .send()
            .await
            .unwrap();
        assert!(plain.headers().get("content-encoding").is_none(), "{accept}");
        assert!(
            plain.headers()["content-type"]
                .to_str()
                .unwrap()
                .starts_with("text/javascript")
        );
    }
    relay.stop().await;
}

#[tokio::test]
async fn flt_112_a_request_head_beyond_its_limit_is_refused() {
    let relay = TestRelay::start().await;
    for (n_bytes, status) in [
        (15_000, StatusCode::OK),
        (17_000, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
    ] {
        let answer = relay
            .request(Method::GET, "/healthz")
            .header("x-filler", "a".repeat(n_bytes))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), status, "{n_bytes}");
    }
    relay.stop().await;
}

#[tokio::test]
async fn flt_115_the_api_documents_need_a_login_and_load_nothing_from_elsewhere() {
    let relay = TestRelay::start().await;
    let person = relay.someone(Role::Technologist).await;
    for path in ["/api/docs", "/api/openapi.json"] {
        let answer = relay.request(Method::GET, path).send().await.unwrap();
        assert_eq!(
            problem_code(answer, StatusCode::UNAUTHORIZED).await,
            "login_required"
        );
    }
    let page = relay.get(&person, "/api/docs").await.text().await.unwrap();
    assert!(page.contains("/api/v1/session") && !page.contains("http://") && !page.contains("https://"));
    let document: Value = relay
        .get(&person, "/api/openapi.json")
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(document, tancho_relay::http::openapi::document());
    relay.stop().await;
}

#[tokio::test]
async fn flt_123_health_and_metrics_are_for_this_machine_alone() {
    let relay = TestRelay::start().await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(
            relay.request(Method::GET, path).send().await.unwrap().status(),
            StatusCode::OK,
            "{path}"
        );
        // A proxy on this machine connects over loopback too, but says for whom.
        let forwarded = relay
            .request(Method::GET, path)
            .header("X-Forwarded-For", "203.0.113.9");
        assert_eq!(
            forwarded.send().await.unwrap().status(),
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    let metrics = relay
        .request(Method::GET, "/metrics")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        metrics
            .contains("tancho_relay_http_answers_total{method=\"GET\",route=\"/healthz\",status=\"200\"} 1")
    );
    relay.stop().await;
}

async fn panics() -> &'static str {
    assert!(std::hint::black_box(false), "name of a patient");
    "unreachable"
}

#[tokio::test]
async fn flt_135_a_handler_that_panics_answers_500_and_says_nothing() {
    let relay = TestRelay::start().await;
    let routes = router::layered(Router::new().route("/panics", get(panics)), relay.app().clone());
    let request = axum::http::Request::get("/panics")
        .header("host", "localhost")
        .body(axum::body::Body::empty())
        .unwrap();
    let answer = routes.oneshot(request).await.unwrap();
    assert_eq!(answer.status().as_u16(), 500);
    let body = axum::body::to_bytes(answer.into_body(), 10_000).await.unwrap();
    let problem: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem["code"], "internal");
    assert!(!problem.to_string().contains("patient"));
    assert_eq!(relay.app().metrics.http_panics.get(), 1);
    relay.stop().await;
}

#[tokio::test]
async fn with_a_certificate_the_page_is_served_over_tls_and_browsers_are_told_to_stay_there() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_rustls::rustls::pki_types::ServerName;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    let folder = tempfile::tempdir().unwrap();
    let files = TlsFiles {
        cert_file: folder.path().join("cert.pem"),
        key_file: folder.path().join("key.pem"),
    };
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&files.cert_file, made.cert.pem()).unwrap();
    std::fs::write(&files.key_file, made.signing_key.serialize_pem()).unwrap();
    let relay = TestRelay::start_with(|config| config.http.tls = Some(files)).await;
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = std::sync::Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let address = relay.url("").replace("http://", "");
    let stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(client));
    let mut stream = connector.connect(name, stream).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(
        answer.contains("strict-transport-security: max-age=31536000; includeSubDomains"),
        "{answer}"
    );
    // Plain HTTP on the same port gets no answer.
    assert!(relay.client.get(relay.url("/")).send().await.is_err());
    relay.stop().await;
}
