//! Commands: each is carried out once.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tancho_domain::access::Role;
use tancho_relay::secrets;

use crate::harness::{TestRelay, problem_code};

#[tokio::test]
async fn flt_077_pressing_twice_does_it_once_and_gives_the_same_answer() {
    let relay = TestRelay::start().await;
    let admin = relay.someone(Role::Admin).await;
    let key = secrets::new_uuid().to_string();
    let send = |body: Value| {
        let request = relay
            .request(Method::POST, "/api/v1/sites")
            .bearer_auth(&admin.token);
        request.header("Idempotency-Key", &key).json(&body).send()
    };
    let form = json!({ "code": "NORTH", "name": "北病院", "phone": "03-1111-2222" });
    let first: Value = send(form.clone()).await.unwrap().json().await.unwrap();
    let again = send(form).await.unwrap();
    assert_eq!(again.status(), StatusCode::CREATED);
    assert_eq!(again.json::<Value>().await.unwrap(), first);
    let other = send(json!({ "code": "SOUTH", "name": "n" })).await.unwrap();
    assert_eq!(
        problem_code(other, StatusCode::CONFLICT).await,
        "idempotency_key_reused"
    );
    let sites: Value = relay.get(&admin, "/api/v1/sites").await.json().await.unwrap();
    assert_eq!(sites["items"].as_array().unwrap().len(), 2);
    let audit: Value = relay.get(&admin, "/api/v1/audit").await.json().await.unwrap();
    assert_eq!(audit["items"].as_array().unwrap().len(), 1);
    relay.stop().await;
}

#[tokio::test]
async fn many_at_once_with_one_key_do_it_once() {
    let relay = TestRelay::start().await;
    let admin = relay.someone(Role::Admin).await;
    let key = secrets::new_uuid().to_string();
    let sends = (0..8).map(|_| {
        let request = relay
            .request(Method::POST, "/api/v1/sites")
            .bearer_auth(&admin.token);
        request
            .header("Idempotency-Key", &key)
            .json(&json!({ "code": "NORTH", "name": "北病院" }))
            .send()
    });
    for answer in futures_util::future::join_all(sends).await {
        assert_eq!(answer.unwrap().status(), StatusCode::CREATED);
    }
    relay.stop().await;
}

#[tokio::test]
async fn writes_without_a_key_or_with_a_malformed_body_are_refused_with_a_code() {
    let relay = TestRelay::start().await;
    let admin = relay.someone(Role::Admin).await;
    let request = || {
        relay
            .request(Method::POST, "/api/v1/sites")
            .bearer_auth(&admin.token)
    };
    let keyed = || request().header("Idempotency-Key", secrets::new_uuid().to_string());
    let json_text = |text: &'static str| keyed().header("Content-Type", "application/json").body(text);
    let cases = [
        (
            request().json(&json!({})),
            StatusCode::BAD_REQUEST,
            "idempotency_key_missing",
        ),
        (
            request().header("Idempotency-Key", "1").json(&json!({})),
            StatusCode::BAD_REQUEST,
            "idempotency_key_malformed",
        ),
        (json_text("{"), StatusCode::BAD_REQUEST, "body_malformed"),
        (json_text("{}"), StatusCode::BAD_REQUEST, "body_malformed"),
        (
            json_text("{\"code\":\"A\",\"name\":\"n\",\"extra\":1}"),
            StatusCode::BAD_REQUEST,
            "body_malformed",
        ),
        (
            keyed().body("code=A"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "json_expected",
        ),
        (
            keyed().json(&json!({ "code": "a b", "name": "n" })),
            StatusCode::UNPROCESSABLE_ENTITY,
            "site_code_unfit",
        ),
        (
            keyed().json(&json!({ "code": "A", "name": " " })),
            StatusCode::UNPROCESSABLE_ENTITY,
            "name_unfit",
        ),
        (
            keyed().json(&json!({ "code": "CENTRE", "name": "n" })),
            StatusCode::CONFLICT,
            "site_code_taken",
        ),
    ];
    for (request, status, code) in cases {
        let answer = request.send().await.unwrap();
        assert_eq!(problem_code(answer, status).await, code);
    }
    relay.stop().await;
}

#[tokio::test]
async fn a_body_of_one_mebibyte_is_taken_and_one_byte_more_is_not() {
    let relay = TestRelay::start().await;
    let admin = relay.someone(Role::Admin).await;
    let body_of = |n_bytes: usize| {
        let frame = "{\"code\":\"A\",\"name\":\"\"}".len();
        format!("{{\"code\":\"A\",\"name\":\"{}\"}}", "n".repeat(n_bytes - frame))
    };
    for (n_bytes, status) in [
        (1 << 20, StatusCode::UNPROCESSABLE_ENTITY),
        ((1 << 20) + 1, StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let request = relay.write(&admin, Method::POST, "/api/v1/sites", &json!({}));
        let answer = request.body(body_of(n_bytes)).send().await.unwrap();
        assert_eq!(answer.status(), status, "{n_bytes}");
    }
    relay.stop().await;
}

#[tokio::test]
async fn a_refused_command_may_be_repeated_once_its_reason_is_gone() {
    let relay = TestRelay::start().await;
    let admin = relay.someone(Role::Admin).await;
    let key = secrets::new_uuid().to_string();
    let send = || {
        let form = json!({
            "login": "taro", "name": "太郎", "role": "reader", "site": "NORTH", "password": "long enough"
        });
        let request = relay
            .request(Method::POST, "/api/v1/users")
            .bearer_auth(&admin.token);
        request.header("Idempotency-Key", &key).json(&form).send()
    };
    let refused = send().await.unwrap();
    assert_eq!(
        problem_code(refused, StatusCode::UNPROCESSABLE_ENTITY).await,
        "site_unknown"
    );
    let site = json!({ "code": "NORTH", "name": "北病院" });
    relay
        .write(&admin, Method::POST, "/api/v1/sites", &site)
        .send()
        .await
        .unwrap();
    assert_eq!(send().await.unwrap().status(), StatusCode::CREATED);
    relay.stop().await;
}

#[tokio::test]
async fn another_password_ends_the_old_sessions() {
    let relay = TestRelay::start().await;
    let reader = relay.someone(Role::Reader).await;
    let admin = relay
        .person(&reader.scope, &reader.site_id, "admin", Role::Admin)
        .await;
    let cookie = relay.cookie("hanako", crate::harness::PASSWORD).await;
    let path = format!("/api/v1/users/{}/password", reader.id);
    let short = relay
        .write(&admin, Method::PUT, &path, &json!({ "password": "short" }))
        .send()
        .await
        .unwrap();
    assert_eq!(
        problem_code(short, StatusCode::UNPROCESSABLE_ENTITY).await,
        "password_unfit"
    );
    let form = json!({ "password": "another one, longer" });
    let answer = relay
        .write(&admin, Method::PUT, &path, &form)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    assert_eq!(
        relay.get_with_cookie(&cookie, "/api/v1/session").await.status(),
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        relay.log_in("hanako", "another one, longer").await.status(),
        StatusCode::OK
    );
    relay.stop().await;
}
