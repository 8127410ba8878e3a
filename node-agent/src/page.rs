//! The technologist's own page: what arrived, how far it is on its way, what waits and why, and the form that
//! asks for a reading. Served by the agent itself, so that it works while the line to the relay is down.
//!
//! `view` says what the page shows, `api` takes the technologist's acts, `guard` decides who may pass.

mod api;
mod assets;
mod guard;
mod health;
mod line;
mod listener;
mod problem;
mod view;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

use crate::clock::Clock;
use crate::deliver::Deliveries;
use crate::dimse::refusals::Refusals;
use crate::link::LinkBoard;
use crate::metrics::Metrics;
use crate::spool::Spool;

pub use guard::Guard;
pub use listener::PagePort;
pub use view::{PageState, StudyView};

/// Most bytes of a request body: a filled form is a few kilobytes.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// Shortest time between two pictures sent to one browser.
const PICTURE_INTERVAL: Duration = Duration::from_millis(250);
/// A picture is sent this often also when nothing changed: what lasts too long becomes a trouble by itself.
const PICTURE_INTERVAL_MAX: Duration = Duration::from_secs(10);
/// Comment line that keeps a silent stream alive through proxies.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What the page needs of the agent.
#[derive(Clone)]
pub struct PageParts {
    /// The spool.
    pub spool: Spool,
    /// The state of the line.
    pub board: LinkBoard,
    /// The clock.
    pub clock: Clock,
    /// Configured application entity title.
    pub ae_title: String,
    /// Where modalities send to.
    pub dimse_address: SocketAddr,
    /// Associations that were not accepted.
    pub refusals: Refusals,
    /// Figures for `/metrics`.
    pub metrics: Metrics,
    /// What is delivered onward.
    pub deliveries: Deliveries,
}

/// The page with its API, below `/`.
pub fn router(parts: PageParts, guard: Guard) -> Router {
    Router::new()
        .route("/", get(assets::index))
        .route("/{name}", get(assets::named))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route("/api/state", get(api::state))
        .route("/api/events", get(api::events))
        .route("/api/line", get(line::line))
        .route("/api/requests", post(api::send_request))
        .route("/api/studies/priority", post(api::set_priority))
        .route("/api/studies/close", post(api::close_study))
        .route("/api/held/release", post(api::release_held))
        .route("/api/held/dismiss", post(api::dismiss_held))
        .route("/api/quarantine/dismiss", post(api::dismiss_quarantine))
        .route("/api/quarantine/release", post(api::release_quarantine))
        .route("/api/quarantine/file", post(api::download_quarantine))
        .route("/api/deliveries/retry", post(api::retry_deliveries))
        .route("/api/deliveries/dismiss", post(api::dismiss_deliveries))
        .with_state(parts)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(axum::middleware::from_fn_with_state(guard, guard::guard))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use tower::ServiceExt as _;

    use super::*;
    use crate::spool::SpoolOptions;

    async fn page(folder: &std::path::Path) -> Router {
        let (clock, _) = Clock::manual(1_700_000_000_000);
        let (spool, _workers) = Spool::open(SpoolOptions::new(folder), clock.clone())
            .await
            .unwrap();
        let board = LinkBoard::new(clock.clone());
        let parts = PageParts {
            metrics: Metrics::new(spool.clone(), board.clone(), None),
            deliveries: Deliveries::open(folder, Default::default(), &spool, clock.clone()).unwrap(),
            spool,
            board,
            refusals: Refusals::new(clock.clone()),
            clock,
            ae_title: "TANCHO".to_owned(),
            dimse_address: ([127, 0, 0, 1], 11112).into(),
        };
        router(parts, Guard::new(None))
    }

    async fn answer(router: &Router, request: Request<Body>) -> (StatusCode, serde_json::Value) {
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        assert!(response.headers().contains_key("content-security-policy"));
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (
            status,
            serde_json::from_slice(&bytes).unwrap_or(serde_json::Value::Null),
        )
    }

    fn post(path: &str, body: &str) -> Request<Body> {
        Request::post(path)
            .header("host", "127.0.0.1:8081")
            .header("content-type", "application/json")
            .body(Body::from(body.to_owned()))
            .unwrap()
    }

    #[tokio::test]
    async fn the_empty_node_is_shown_as_such() {
        let folder = tempfile::tempdir().unwrap();
        let router = page(folder.path()).await;
        let get = |path: &str| {
            Request::get(path)
                .header("host", "localhost")
                .body(Body::empty())
                .unwrap()
        };
        let (status, state) = answer(&router, get("/api/state")).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(state["studies"], serde_json::json!([]));
        assert_eq!(state["ae_title_stat"], "TANCHO_STAT");
        assert_eq!(state["link"]["state"], "connecting");
        assert_eq!(state["troubles"], serde_json::json!([]));
        let (status, line) = answer(&router, get("/api/line?span=6h")).await;
        assert_eq!(
            (status, &line["window_ms"]),
            (StatusCode::OK, &serde_json::json!(21_600_000))
        );
        for wrong in ["/api/line", "/api/line?span=7h", "/api/line?span=1h&node=x"] {
            let (status, problem) = answer(&router, get(wrong)).await;
            assert_eq!(
                (status, problem["code"].as_str()),
                (StatusCode::UNPROCESSABLE_ENTITY, Some("span_invalid")),
                "{wrong}"
            );
        }
        assert_eq!(answer(&router, get("/")).await.0, StatusCode::OK);
        assert_eq!(answer(&router, get("/missing.js")).await.0, StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn acts_on_a_study_that_is_not_here_and_bad_forms_are_refused_with_a_code() {
        let folder = tempfile::tempdir().unwrap();
        let router = page(folder.path()).await;
        let (status, problem) = answer(
            &router,
            post("/api/studies/close", r#"{"study_instance_uid":"1.2.3"}"#),
        )
        .await;
        assert_eq!(
            (status, problem["code"].as_str()),
            (StatusCode::NOT_FOUND, Some("study_not_found"))
        );
        for act in ["retry", "dismiss"] {
            let path = format!("/api/deliveries/{act}");
            let (status, problem) = answer(&router, post(&path, r#"{"destination":"pacs"}"#)).await;
            assert_eq!(
                (status, problem["code"].as_str()),
                (StatusCode::NOT_FOUND, Some("destination_not_found"))
            );
        }
        let form = |urgency: &str, number: &str| {
            format!(
                r#"{{"command_id":"00000000-0000-7000-8000-000000000001","study_instance_uid":"1.2.3","urgency":"{urgency}",
                "clinical_context":{{}},"callback_number":"{number}","callback_person":null,"responsible_physician":null}}"#
            )
        };
        let (status, problem) = answer(&router, post("/api/requests", &form("soon", "0154-22-1111"))).await;
        assert_eq!(
            (status, problem["code"].as_str()),
            (StatusCode::UNPROCESSABLE_ENTITY, Some("urgency_invalid"))
        );
        let (_, problem) = answer(&router, post("/api/requests", &form("critical", "none"))).await;
        assert_eq!(problem["code"], "callback_number_invalid");
        let long = |field: &str, length: usize| {
            let text = "道".repeat(length);
            let context = if field == "clinical_context" {
                text.as_str()
            } else {
                ""
            };
            let name = |of: &str| if field == of { text.as_str() } else { "" };
            serde_json::json!({
                "command_id": "00000000-0000-7000-8000-000000000002", "study_instance_uid": "1.2.3",
                "urgency": "routine", "callback_number": "0154-22-1111",
                "clinical_context": { "clinical_question": context },
                "callback_person": name("callback_person"),
                "responsible_physician": name("responsible_physician"),
            })
            .to_string()
        };
        for (field, length) in [
            ("callback_person", 86),
            ("responsible_physician", 86),
            ("clinical_context", 21_840),
        ] {
            let (status, problem) = answer(&router, post("/api/requests", &long(field, length))).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{field}");
            assert_eq!(problem["code"], format!("{field}_too_long"));
        }
        let (status, _) = answer(&router, post("/api/requests", &long("callback_person", 85))).await;
        assert_eq!(status, StatusCode::ACCEPTED);
        let (status, problem) = answer(&router, post("/api/requests", "{\"patient\":\"DOTO\"}")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(!problem.to_string().contains("DOTO"));
    }

    #[tokio::test]
    async fn a_foreign_page_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let router = page(folder.path()).await;
        let mut request = post("/api/studies/close", r#"{"study_instance_uid":"1.2.3"}"#);
        request
            .headers_mut()
            .insert("origin", "http://evil.example".parse().unwrap());
        assert_eq!(answer(&router, request).await.0, StatusCode::FORBIDDEN);
    }
}
