//! Requests from other sites' pages, and requests meant for another host.

use reqwest::{Method, StatusCode};
use serde_json::json;
use tancho_domain::access::Role;
use tancho_relay::secrets;

use crate::harness::{PASSWORD, TestRelay, problem_code};

#[tokio::test]
async fn flt_103_another_sites_page_cannot_change_anything() {
    let relay = TestRelay::start().await;
    relay.someone(Role::Admin).await;
    let cookie = relay.cookie("hanako", PASSWORD).await;
    let own = relay.url("");
    let from = [
        (vec![("Sec-Fetch-Site", "cross-site")], false),
        (vec![("Sec-Fetch-Site", "same-site")], false),
        (vec![("Origin", "https://evil.example")], false),
        (vec![("Origin", "null")], false),
        (
            vec![("Sec-Fetch-Site", "cross-site"), ("Origin", own.as_str())],
            false,
        ),
        (vec![("Sec-Fetch-Site", "same-origin")], true),
        (vec![("Origin", own.as_str())], true),
        (vec![], true),
    ];
    for (n, (headers, good)) in from.into_iter().enumerate() {
        let site = json!({ "code": format!("S{n}"), "name": "n" });
        let mut request = relay
            .request(Method::POST, "/api/v1/sites")
            .header("Cookie", &cookie)
            .json(&site);
        request = request.header("Idempotency-Key", secrets::new_uuid().to_string());
        for (name, value) in &headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        if good {
            assert_eq!(answer.status(), StatusCode::CREATED, "{headers:?}");
        } else {
            assert_eq!(
                problem_code(answer, StatusCode::FORBIDDEN).await,
                "cross_origin",
                "{headers:?}"
            );
        }
    }
    relay.stop().await;
}

#[tokio::test]
async fn flt_103_logging_in_from_another_sites_page_is_refused_too() {
    let relay = TestRelay::start().await;
    relay.someone(Role::Reader).await;
    let form = json!({ "login": "hanako", "password": PASSWORD });
    let request = relay
        .request(Method::POST, "/api/v1/session")
        .header("Sec-Fetch-Site", "cross-site");
    let answer = request.json(&form).send().await.unwrap();
    assert_eq!(problem_code(answer, StatusCode::FORBIDDEN).await, "cross_origin");
    relay.stop().await;
}

#[tokio::test]
async fn flt_111_a_name_that_was_bent_to_loopback_is_refused() {
    let relay = TestRelay::start().await;
    for (host, status) in [
        ("evil.example", StatusCode::MISDIRECTED_REQUEST),
        ("127.0.0.1.evil.example:80", StatusCode::MISDIRECTED_REQUEST),
        ("localhost:9", StatusCode::OK),
        ("[::1]:80", StatusCode::OK),
    ] {
        let answer = relay
            .request(Method::GET, "/healthz")
            .header("Host", host)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), status, "{host}");
    }
    let relay = relay
        .restart_with(|config| config.http.public_url = Some("http://tancho.example.jp".to_owned()))
        .await;
    let answer = relay
        .request(Method::GET, "/healthz")
        .header("Host", "tancho.example.jp")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    relay.stop().await;
}
