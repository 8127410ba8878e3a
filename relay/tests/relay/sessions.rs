//! Logging in, staying logged in, and being logged out.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tancho_domain::access::Role;
use tancho_store::Db;

use crate::harness::{NOW_MS, PASSWORD, TestRelay, problem_code};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_session_says_who_is_logged_in_and_what_they_may_do() {
    let relay = TestRelay::start().await;
    let person = relay.someone(Role::Reader).await;
    let answer = relay.log_in("hanako", PASSWORD).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let session: Value = answer.json().await.unwrap();
    assert_eq!(session["user"]["id"], person.id.as_str());
    assert_eq!(session["user"]["role"], "reader");
    assert_eq!(session["user"]["site"]["code"], "CENTRE");
    assert_eq!(session["user"]["site"]["kind"], "both");
    assert_eq!(session["network"]["name"], "default");
    assert_eq!(session["server_time_ms"], NOW_MS);
    assert_eq!(session["expires_at_ms"], NOW_MS + 12 * 60 * 60 * 1000);
    let permissions = session["permissions"].as_array().unwrap();
    assert!(permissions.contains(&json!("sign_report")) && !permissions.contains(&json!("manage_users")));
    relay.stop().await;
}

#[tokio::test]
async fn flt_102_the_cookie_is_out_of_reach_of_scripts_and_other_sites() {
    let relay = TestRelay::start().await;
    relay.someone(Role::Reader).await;
    let answer = relay.log_in("hanako", PASSWORD).await;
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(
        cookie.starts_with("tancho=") && !cookie.contains("Secure"),
        "{cookie}"
    );
    for flag in ["Path=/", "HttpOnly", "SameSite=Strict"] {
        assert!(cookie.contains(flag), "{cookie}");
    }
    let relay = relay.restart_with(|config| config.http.behind_proxy = true).await;
    let answer = relay.log_in("hanako", PASSWORD).await;
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(
        cookie.starts_with("__Host-tancho=") && cookie.contains("; Secure"),
        "{cookie}"
    );
    assert!(answer.headers().contains_key("strict-transport-security"));
    relay.stop().await;
}

#[tokio::test]
async fn flt_098_unknown_logins_and_wrong_passwords_look_the_same() {
    let relay = TestRelay::start().await;
    relay.someone(Role::Reader).await;
    let mut answers = Vec::new();
    for (login, password) in [("hanako", "wrong password"), ("nobody", PASSWORD), ("hanako", "")] {
        let answer = relay.log_in(login, password).await;
        assert!(answer.headers().get("set-cookie").is_none());
        answers.push(problem_code(answer, StatusCode::UNAUTHORIZED).await);
    }
    assert_eq!(answers, ["login_refused", "login_refused", "login_refused"]);
    let form = json!({ "network": "elsewhere", "login": "hanako", "password": PASSWORD });
    let answer = relay
        .request(Method::POST, "/api/v1/session")
        .json(&form)
        .send()
        .await
        .unwrap();
    assert_eq!(
        problem_code(answer, StatusCode::UNAUTHORIZED).await,
        "login_refused"
    );
    relay.stop().await;
}

#[tokio::test]
async fn flt_098_five_wrong_attempts_close_an_account_for_a_quarter_of_an_hour() {
    let relay = TestRelay::start().await;
    relay.someone(Role::Reader).await;
    for login in ["hanako", "nobody"] {
        for _ in 0..5 {
            assert_eq!(
                relay.log_in(login, "wrong password").await.status(),
                StatusCode::UNAUTHORIZED
            );
        }
        let answer = relay.log_in(login, PASSWORD).await;
        let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((899..=901).contains(&wait), "{wait}");
        assert_eq!(
            problem_code(answer, StatusCode::TOO_MANY_REQUESTS).await,
            "too_many_attempts"
        );
    }
    relay.advance(15 * MINUTE);
    assert_eq!(relay.log_in("hanako", PASSWORD).await.status(), StatusCode::OK);
    relay.stop().await;
}

async fn log_in_from(relay: &TestRelay, address: &str, login: &str, password: &str) -> StatusCode {
    let form = json!({ "login": login, "password": password });
    let request = relay.request(Method::POST, "/api/v1/session").json(&form);
    let answer = request.header("X-Forwarded-For", address).send().await.unwrap();
    answer.status()
}

/// Whoever knows a login name must not be able to keep its owner out.
#[tokio::test]
async fn flt_098_failures_elsewhere_do_not_lock_a_person_out() {
    let relay = TestRelay::start_with(|config| config.http.behind_proxy = true).await;
    let reader = relay.someone(Role::Reader).await;
    let admin = relay
        .person(&reader.scope, &reader.site_id, "admin", Role::Admin)
        .await;
    let home = "198.51.100.7";
    for _ in 0..6 {
        log_in_from(&relay, "203.0.113.1", "hanako", "wrong password").await;
    }
    let locked = log_in_from(&relay, "203.0.113.1", "hanako", PASSWORD).await;
    assert_eq!(
        locked,
        StatusCode::TOO_MANY_REQUESTS,
        "there, even with the password"
    );
    assert_eq!(
        log_in_from(&relay, home, "hanako", PASSWORD).await,
        StatusCode::OK
    );
    // Many addresses together close the account, but not where its owner has been before.
    let Db::Sqlite { writer, .. } = &relay.app().db else {
        panic!("SQLite by default")
    };
    sqlx::query(
        "with recursive n (i) as (select 1 union all select i + 1 from n where i < 20) \
         insert into login_failures (limit_key, attempt_id, failed_at_ms) \
         select f.limit_key, 'elsewhere ' || n.i, f.failed_at_ms from login_failures f, n \
         where f.limit_key not like 'pair:%'",
    )
    .execute(writer)
    .await
    .unwrap();
    let locked = log_in_from(&relay, "192.0.2.1", "hanako", PASSWORD).await;
    assert_eq!(locked, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        log_in_from(&relay, home, "hanako", PASSWORD).await,
        StatusCode::OK
    );
    // Another password opens the account everywhere.
    let path = format!("/api/v1/users/{}/password", reader.id);
    let form = json!({ "password": "another good password" });
    let changed = relay
        .write(&admin, Method::PUT, &path, &form)
        .send()
        .await
        .unwrap();
    assert_eq!(changed.status(), StatusCode::NO_CONTENT);
    let opened = log_in_from(&relay, "192.0.2.1", "hanako", "another good password").await;
    assert_eq!(opened, StatusCode::OK);
    relay.stop().await;
}

#[tokio::test]
async fn flt_098_thirty_wrong_attempts_close_an_address() {
    let relay = TestRelay::start().await;
    relay.someone(Role::Reader).await;
    for n in 0..30 {
        let answer = relay.log_in(&format!("guess{n}"), "wrong password").await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{n}");
    }
    assert_eq!(
        relay.log_in("hanako", PASSWORD).await.status(),
        StatusCode::TOO_MANY_REQUESTS
    );
    relay.stop().await;
}

#[tokio::test]
async fn good_logins_do_not_count_as_attempts() {
    let relay = TestRelay::start().await;
    relay.someone(Role::Reader).await;
    for _ in 0..4 {
        relay.log_in("hanako", "wrong password").await;
    }
    for _ in 0..7 {
        assert_eq!(relay.log_in("hanako", PASSWORD).await.status(), StatusCode::OK);
    }
    relay.stop().await;
}

#[tokio::test]
async fn a_session_that_is_not_used_for_a_quarter_of_an_hour_is_gone() {
    let relay = TestRelay::start().await;
    relay.someone(Role::Reader).await;
    let cookie = relay.cookie("hanako", PASSWORD).await;
    for _ in 0..3 {
        relay.advance(10 * MINUTE);
        assert_eq!(
            relay.get_with_cookie(&cookie, "/api/v1/session").await.status(),
            StatusCode::OK
        );
    }
    relay.advance(16 * MINUTE);
    let answer = relay.get_with_cookie(&cookie, "/api/v1/session").await;
    assert_eq!(
        problem_code(answer, StatusCode::UNAUTHORIZED).await,
        "login_required"
    );
    relay.stop().await;
}

#[tokio::test]
async fn requests_that_the_page_makes_by_itself_do_not_keep_a_session_alive() {
    let relay = TestRelay::start().await;
    relay.someone(Role::Reader).await;
    let cookie = relay.cookie("hanako", PASSWORD).await;
    relay.advance(10 * MINUTE);
    let background = relay
        .request(Method::GET, "/api/v1/session")
        .header("Cookie", &cookie);
    let answer = background.header("Tancho-Background", "1").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    relay.advance(6 * MINUTE);
    assert_eq!(
        relay.get_with_cookie(&cookie, "/api/v1/session").await.status(),
        StatusCode::UNAUTHORIZED
    );
    relay.stop().await;
}

#[tokio::test]
async fn a_session_ends_after_twelve_hours_however_much_it_is_used() {
    let relay = TestRelay::start().await;
    relay.someone(Role::Reader).await;
    let cookie = relay.cookie("hanako", PASSWORD).await;
    for n in 1..72 {
        relay.advance(10 * MINUTE);
        assert_eq!(
            relay.get_with_cookie(&cookie, "/api/v1/session").await.status(),
            StatusCode::OK,
            "{n}"
        );
    }
    relay.advance(10 * MINUTE);
    assert_eq!(
        relay.get_with_cookie(&cookie, "/api/v1/session").await.status(),
        StatusCode::UNAUTHORIZED
    );
    relay.stop().await;
}

#[tokio::test]
async fn flt_101_logging_out_ends_the_session_and_clears_the_browser() {
    let relay = TestRelay::start().await;
    relay.someone(Role::Reader).await;
    let cookie = relay.cookie("hanako", PASSWORD).await;
    let answer = relay
        .request(Method::DELETE, "/api/v1/session")
        .header("Cookie", &cookie)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    assert_eq!(
        answer.headers()["clear-site-data"],
        "\"cache\", \"cookies\", \"storage\""
    );
    assert!(
        answer.headers()["set-cookie"]
            .to_str()
            .unwrap()
            .contains("Max-Age=0")
    );
    assert_eq!(
        relay.get_with_cookie(&cookie, "/api/v1/session").await.status(),
        StatusCode::UNAUTHORIZED
    );
    relay.stop().await;
}

#[tokio::test]
async fn flt_101_logging_in_again_makes_a_new_session_and_ends_the_old_one() {
    let relay = TestRelay::start().await;
    relay.someone(Role::Reader).await;
    let old = relay.cookie("hanako", PASSWORD).await;
    let form = json!({ "login": "hanako", "password": PASSWORD });
    let again = relay
        .request(Method::POST, "/api/v1/session")
        .header("Cookie", &old)
        .json(&form)
        .send()
        .await
        .unwrap();
    let new = again.headers()["set-cookie"]
        .to_str()
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    assert_ne!(old, new);
    assert_eq!(
        relay.get_with_cookie(&old, "/api/v1/session").await.status(),
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        relay.get_with_cookie(&new, "/api/v1/session").await.status(),
        StatusCode::OK
    );
    relay.stop().await;
}

#[tokio::test]
async fn flt_101_closing_a_login_ends_its_sessions_and_tokens_at_once() {
    let relay = TestRelay::start().await;
    let reader = relay.someone(Role::Reader).await;
    let admin = relay
        .person(&reader.scope, &reader.site_id, "admin", Role::Admin)
        .await;
    let cookie = relay.cookie("hanako", PASSWORD).await;
    let path = format!("/api/v1/users/{}/disable", reader.id);
    let answer = relay
        .write(&admin, Method::POST, &path, &json!({}))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(
        relay.get_with_cookie(&cookie, "/api/v1/session").await.status(),
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        relay.get(&reader, "/api/v1/session").await.status(),
        StatusCode::UNAUTHORIZED
    );
    let answer = relay.log_in("hanako", PASSWORD).await;
    assert_eq!(
        problem_code(answer, StatusCode::UNAUTHORIZED).await,
        "login_refused"
    );
    relay.stop().await;
}

#[tokio::test]
async fn a_bearer_token_ends_at_its_time() {
    let relay = TestRelay::start().await;
    let reader = relay.someone(Role::Reader).await;
    assert_eq!(
        relay.get(&reader, "/api/v1/session").await.status(),
        StatusCode::OK
    );
    relay.advance(24 * 60 * MINUTE);
    assert_eq!(
        relay.get(&reader, "/api/v1/session").await.status(),
        StatusCode::UNAUTHORIZED
    );
    relay.stop().await;
}

#[tokio::test]
async fn logins_good_and_refused_are_in_the_audit_trail_without_what_was_typed() {
    let relay = TestRelay::start().await;
    let reader = relay.someone(Role::Reader).await;
    let auditor = relay
        .person(&reader.scope, &reader.site_id, "auditor", Role::Auditor)
        .await;
    relay.log_in("hanako", "wrong password").await;
    relay.log_in("my-secret-in-the-wrong-field", "x").await;
    relay.log_in("hanako", PASSWORD).await;
    let page: Value = relay.get(&auditor, "/api/v1/audit").await.json().await.unwrap();
    let items = page["items"].as_array().unwrap();
    let outcomes: Vec<_> = items
        .iter()
        .map(|item| (&item["action"], &item["outcome"]))
        .collect();
    let log_in = json!("log_in");
    let expected = [
        (&log_in, &json!("done")),
        (&log_in, &json!("refused")),
        (&log_in, &json!("refused")),
    ];
    assert_eq!(outcomes, expected);
    assert!(!page.to_string().contains("wrong-field"));
    assert_eq!(items[2]["subject_id"], reader.id.as_str());
    relay.stop().await;
}
