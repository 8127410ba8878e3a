//! The live line: who hears what, and resuming without a gap.

use std::time::Duration;

use futures_util::StreamExt;
use reqwest::{Method, Response, StatusCode};
use serde_json::json;
use tancho_domain::access::Role;
use tancho_domain::ids::SiteId;
use tancho_relay::events::{Audience, Event};
use tancho_store::sites::SiteKind;

use crate::harness::{PASSWORD, Person, TestRelay};

/// Longest wait for a line that must come.
const PATIENCE: Duration = Duration::from_secs(20);

struct Line {
    bytes: futures_util::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    text: String,
}

impl Line {
    fn of(answer: Response) -> Self {
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        Self {
            bytes: answer.bytes_stream().boxed(),
            text: String::new(),
        }
    }

    /// Name, id and data of the next event; `None` when the line has ended.
    async fn next(&mut self) -> Option<(String, String, String)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let line = event.lines().find_map(|line| line.strip_prefix(name));
                    line.map(|value| value.trim_start_matches(": ").to_owned())
                        .unwrap_or_default()
                };
                let found = (field("event"), field("id"), field("data"));
                self.text = rest.to_owned();
                if found.0.is_empty() {
                    continue;
                }
                return Some(found);
            }
            let bytes = tokio::time::timeout(PATIENCE, self.bytes.next())
                .await
                .expect("an event in time")?;
            self.text.push_str(std::str::from_utf8(&bytes.ok()?).unwrap());
        }
    }
}

async fn follow(relay: &TestRelay, person: &Person, last_event_id: Option<&str>) -> Line {
    let mut request = relay
        .request(Method::GET, "/api/v1/events")
        .bearer_auth(&person.token);
    if let Some(id) = last_event_id {
        request = request.header("Last-Event-ID", id);
    }
    Line::of(request.send().await.unwrap())
}

fn publish(relay: &TestRelay, person: &Person, sites: &[&SiteId], n: u32) {
    relay.app().events.publish(Event {
        network_id: person.scope.network_id.clone(),
        audience: Audience::Sites(sites.iter().map(|site| (*site).clone()).collect()),
        name: "worklist",
        data: json!({ "n": n }),
    });
}

#[tokio::test]
async fn events_reach_who_may_see_them() {
    let relay = TestRelay::start().await;
    let reader = relay.someone(Role::Reader).await;
    let (scope, clinic) = relay.site("default", "CLINIC", SiteKind::Requesting).await;
    let referrer = relay.person(&scope, &clinic, "referrer", Role::Referrer).await;
    let mut reading = follow(&relay, &reader, None).await;
    let mut referring = follow(&relay, &referrer, None).await;
    assert_eq!(reading.next().await.unwrap().0, "hello");
    assert_eq!(referring.next().await.unwrap().0, "hello");
    publish(&relay, &reader, &[&reader.site_id], 1);
    publish(&relay, &reader, &[&reader.site_id, &clinic], 2);
    let data = |event: Option<(String, String, String)>| event.unwrap().2;
    assert_eq!(data(reading.next().await), "{\"n\":1}");
    assert_eq!(data(reading.next().await), "{\"n\":2}");
    assert_eq!(data(referring.next().await), "{\"n\":2}");
    relay.stop().await;
}

#[tokio::test]
async fn a_page_that_was_cut_off_resumes_without_a_gap() {
    let relay = TestRelay::start().await;
    let reader = relay.someone(Role::Reader).await;
    let mut line = follow(&relay, &reader, None).await;
    let (_, hello, _) = line.next().await.unwrap();
    publish(&relay, &reader, &[&reader.site_id], 1);
    let (_, first, _) = line.next().await.unwrap();
    drop(line);
    publish(&relay, &reader, &[&reader.site_id], 2);
    publish(&relay, &reader, &[&reader.site_id], 3);
    for (last_seen, expected) in [
        (&first, vec!["{\"n\":2}", "{\"n\":3}"]),
        (&hello, vec!["{\"n\":1}", "{\"n\":2}", "{\"n\":3}"]),
    ] {
        let mut line = follow(&relay, &reader, Some(last_seen)).await;
        let mut got = Vec::new();
        loop {
            let (name, _, data) = line.next().await.unwrap();
            if name == "hello" {
                break;
            }
            got.push(data);
        }
        assert_eq!(got, expected);
    }
    relay.stop().await;
}

#[tokio::test]
async fn a_page_of_an_earlier_run_is_told_to_start_over() {
    let relay = TestRelay::start().await;
    let reader = relay.someone(Role::Reader).await;
    let mut line = follow(&relay, &reader, Some("0123-5")).await;
    let names = [line.next().await.unwrap().0, line.next().await.unwrap().0];
    assert_eq!(names, ["hello", "reset"]);
    relay.stop().await;
}

#[tokio::test]
async fn the_line_ends_with_the_session() {
    let relay = TestRelay::start().await;
    relay.someone(Role::Reader).await;
    let cookie = relay.cookie("hanako", PASSWORD).await;
    let mut line = Line::of(relay.get_with_cookie(&cookie, "/api/v1/events").await);
    assert_eq!(line.next().await.unwrap().0, "hello");
    relay
        .request(Method::DELETE, "/api/v1/session")
        .header("Cookie", &cookie)
        .send()
        .await
        .unwrap();
    relay.advance(Duration::from_secs(15));
    assert_eq!(line.next().await, None);
    relay.stop().await;
}

/// A browser opens the line again by itself, also behind a locked screen in front of an empty chair.
#[tokio::test]
async fn opening_the_line_again_and_again_does_not_keep_a_session_alive() {
    let relay = TestRelay::start().await;
    relay.someone(Role::Reader).await;
    let cookie = relay.cookie("hanako", PASSWORD).await;
    for _ in 0..14 {
        relay.advance(Duration::from_secs(60));
        let mut line = Line::of(relay.get_with_cookie(&cookie, "/api/v1/events").await);
        assert_eq!(line.next().await.unwrap().0, "hello");
    }
    let mut last = Line::of(relay.get_with_cookie(&cookie, "/api/v1/events").await);
    assert_eq!(last.next().await.unwrap().0, "hello");
    relay.advance(Duration::from_secs(2 * 60));
    assert_eq!(
        last.next().await,
        None,
        "the line ends when the session has stood idle"
    );
    for path in ["/api/v1/events", "/api/v1/session"] {
        let answer = relay.get_with_cookie(&cookie, path).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    relay.stop().await;
}

#[tokio::test]
async fn auditors_have_no_live_line_and_stopping_the_relay_ends_everyones() {
    let relay = TestRelay::start().await;
    let reader = relay.someone(Role::Reader).await;
    let auditor = relay
        .person(&reader.scope, &reader.site_id, "auditor", Role::Auditor)
        .await;
    assert_eq!(
        relay.get(&auditor, "/api/v1/events").await.status(),
        StatusCode::FORBIDDEN
    );
    let mut line = follow(&relay, &reader, None).await;
    line.next().await.unwrap();
    relay.stop().await;
    assert_eq!(line.next().await, None);
}
