//! Every route with every role, with nobody, with a site that has nothing to do with it, and with another network.
//!
//! A route that is not in `access_matrix/routes.txt` fails: say there which line of the access table it asks. Roles
//! come from that table; what is checked here is that every route asks it, and that nothing of a network or a site is
//! reached from outside: it must look as if it did not exist.

use reqwest::{Method, Response, StatusCode};
use serde_json::Value;
use tancho_domain::access::{self, Action, Role};
use tancho_relay::http::openapi;
use tancho_relay::secrets;
use tancho_store::sites::SiteKind;

use crate::harness::hospital::{Hospital, INSTANCE_UID, PATIENT_CANARY, SERIES_UID, STUDY_UID};
use crate::harness::{Person, TestRelay};

const ROUTES: &str = include_str!("access_matrix/routes.txt");

/// A line of [`ROUTES`].
struct Line {
    method: &'static str,
    pattern: &'static str,
    /// `None`: nobody needs to be logged in.
    needs: Option<Action>,
    body: &'static str,
}

fn lines() -> Vec<Line> {
    let lines = ROUTES.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (method, rest) = line.split_once(' ').unwrap();
            let (pattern, rest) = rest.trim_start().split_once(' ').unwrap();
            let (action, body) = rest.trim_start().split_once(' ').unwrap_or((rest.trim(), ""));
            let needs = (action != "-").then(|| {
                let found = Action::all().find(|known| known.as_str() == action);
                found.unwrap_or_else(|| panic!("{action} is not in the access table"))
            });
            Line {
                method,
                pattern,
                needs,
                body: body.trim(),
            }
        })
        .collect()
}

struct Route {
    method: Method,
    /// With real objects of the hospital in place of the parameters.
    path: String,
    /// Names one of the hospital's objects, in its path or its body.
    names_an_object: bool,
    needs: Option<Action>,
    body: String,
    name: String,
}

/// The routes of the API document, each with its line.
fn routes(hospital: &Hospital) -> Vec<Route> {
    let document = openapi::document();
    let lines = lines();
    let mut routes = Vec::new();
    let mut unclassified = Vec::new();
    let mut seen = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let pattern = without_names(path);
            match lines
                .iter()
                .find(|line| line.method == method && line.pattern == pattern)
            {
                Some(line) => routes.push(Route {
                    method: method.to_uppercase().parse().unwrap(),
                    path: filled(path, hospital),
                    // Storing to a study makes or adds to the person's own site's, whoever else has one of that UID.
                    names_an_object: line.needs != Some(Action::StoreInstances)
                        && [path.as_str(), line.body].iter().any(|text| {
                            text.contains("/{") || text.contains("\"STUDY\"") || text.contains("\"REQUEST\"")
                        }),
                    needs: line.needs,
                    body: line
                        .body
                        .replace("STUDY", hospital.study_id.as_str())
                        .replace("REQUEST", hospital.request_id.as_str()),
                    name: format!("{method} {path}"),
                }),
                None => unclassified.push(format!("{method} {path}")),
            }
            seen.push((method.clone(), pattern));
        }
    }
    assert!(
        unclassified.is_empty(),
        "say in routes.txt who may take these: {unclassified:#?}"
    );
    let gone = lines
        .iter()
        .filter(|line| !seen.contains(&(line.method.to_owned(), line.pattern.to_owned())));
    let gone: Vec<_> = gone
        .map(|line| format!("{} {}", line.method, line.pattern))
        .collect();
    assert!(gone.is_empty(), "lines of routes.txt without a route: {gone:#?}");
    routes
}

fn without_names(path: &str) -> String {
    path.split('/')
        .map(|part| if part.starts_with('{') { "{}" } else { part })
        .collect::<Vec<_>>()
        .join("/")
}

/// Puts the hospital's own objects in place of the parameters: which one is said by the part before.
fn filled(path: &str, hospital: &Hospital) -> String {
    let is_dicomweb = path.starts_with("/dicom-web");
    let mut parts: Vec<String> = Vec::new();
    for part in path.split('/') {
        let value = match (part.starts_with('{'), parts.last().map(String::as_str)) {
            (false, _) => part,
            (true, Some("users")) => hospital.user_id.as_str(),
            (true, Some("nodes")) => hospital.node_id.as_str(),
            (true, Some("reading-requests")) => hospital.request_id.as_str(),
            (true, Some("calls")) => hospital.call_id.as_str(),
            (true, Some("reports")) => hospital.report_id.as_str(),
            (true, Some("notifications")) => hospital.notification_id.as_str(),
            (true, Some("studies")) if is_dicomweb => STUDY_UID,
            (true, Some("studies")) => hospital.study_id.as_str(),
            (true, Some("series")) => SERIES_UID,
            (true, Some("instances")) => INSTANCE_UID,
            (true, Some("attempts" | "frames")) => "1",
            (true, Some("bulkdata")) => "00420011",
            (true, before) => panic!("{path}: which object stands after {before:?}?"),
        };
        parts.push(value.to_owned());
    }
    parts.join("/")
}

async fn send(relay: &TestRelay, person: Option<&Person>, route: &Route) -> Response {
    let mut request = relay.request(route.method.clone(), &route.path);
    if let Some(person) = person {
        request = request.bearer_auth(&person.token);
    }
    if route.method != Method::GET {
        request = request.header("Idempotency-Key", secrets::new_uuid().to_string());
        request = request
            .header("Content-Type", "application/json")
            .body(route.body.clone());
    }
    request.send().await.unwrap()
}

fn allowed(route: &Route, role: Role) -> bool {
    route.needs.is_none_or(|action| access::allows(role, action))
}

#[tokio::test]
async fn without_a_login_every_route_asks_for_one() {
    let relay = TestRelay::start().await;
    let hospital = Hospital::new(&relay).await;
    for route in routes(&hospital) {
        let answer = send(&relay, None, &route).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{}", route.name);
        let problem: Value = answer.json().await.unwrap();
        let code = if route.needs.is_none() {
            "login_refused"
        } else {
            "login_required"
        };
        assert_eq!(problem["code"], code, "{}", route.name);
    }
    relay.stop().await;
}

#[tokio::test]
async fn flt_105_every_role_is_refused_what_the_access_table_does_not_allow() {
    let relay = TestRelay::start().await;
    let hospital = Hospital::new(&relay).await;
    for route in routes(&hospital) {
        for (role, person) in &hospital.staff {
            if !allowed(&route, *role) {
                let answer = send(&relay, Some(person), &route).await;
                assert_eq!(
                    answer.status(),
                    StatusCode::FORBIDDEN,
                    "{} as {role:?}",
                    route.name
                );
            }
        }
    }
    relay.stop().await;
}

/// Otherwise the tests of what is not reached would prove nothing.
#[tokio::test]
async fn what_the_access_table_allows_is_reached_at_ones_own_site() {
    let relay = TestRelay::start().await;
    let hospital = Hospital::new(&relay).await;
    for route in routes(&hospital) {
        // The instance has no bytes yet: retrieving it is tested where there are some.
        let retrieves = route.path.starts_with("/dicom-web/") || route.path.ends_with("/preview");
        if route.method != Method::GET || retrieves {
            continue;
        }
        for (role, person) in &hospital.staff {
            if allowed(&route, *role) {
                let status = send(&relay, Some(person), &route).await.status();
                assert_eq!(status, StatusCode::OK, "{} as {role:?}", route.name);
            }
        }
    }
    relay.stop().await;
}

#[tokio::test]
async fn flt_104_another_network_reaches_nothing() {
    let relay = TestRelay::start().await;
    let hospital = Hospital::new(&relay).await;
    let (scope, site_id) = relay.site("other", "CLINIC", SiteKind::Both).await;
    let mut people = Vec::new();
    for role in Role::ALL {
        people.push((role, relay.person(&scope, &site_id, role.as_str(), role).await));
    }
    let mut canaries = clinical_canaries(&hospital);
    canaries.extend([
        hospital.clinic.as_str().to_owned(),
        hospital.centre.as_str().to_owned(),
        hospital.user_id.as_str().to_owned(),
        hospital.node_id.as_str().to_owned(),
        hospital.scope.network_id.as_str().to_owned(),
    ]);
    for route in routes(&hospital) {
        for (role, person) in &people {
            must_not_reach(&relay, &route, *role, person, &canaries).await;
        }
    }
    relay.stop().await;
}

#[tokio::test]
async fn flt_104_another_site_of_the_network_reaches_nothing_clinical() {
    let relay = TestRelay::start().await;
    let hospital = Hospital::new(&relay).await;
    let canaries = clinical_canaries(&hospital);
    for route in routes(&hospital) {
        for (role, person) in &hospital.strangers {
            // Administrators and auditors work for the whole network.
            if !matches!(role, Role::Admin | Role::Auditor) {
                must_not_reach(&relay, &route, *role, person, &canaries).await;
            }
        }
    }
    relay.stop().await;
}

fn clinical_canaries(hospital: &Hospital) -> Vec<String> {
    vec![
        hospital.study_id.as_str().to_owned(),
        hospital.request_id.as_str().to_owned(),
        hospital.call_id.as_str().to_owned(),
        hospital.report_id.as_str().to_owned(),
        hospital.notification_id.as_str().to_owned(),
        STUDY_UID.to_owned(),
        PATIENT_CANARY.to_owned(),
    ]
}

/// With the id of a thing outside of reach: refused by role, or as if it did not exist. Without one: nothing of it.
async fn must_not_reach(relay: &TestRelay, route: &Route, role: Role, person: &Person, canaries: &[String]) {
    let answer = send(relay, Some(person), route).await;
    let status = answer.status();
    let case = format!("{} as {role:?}: {status}", route.name);
    assert!(!status.is_server_error(), "{case}");
    if !allowed(route, role) {
        assert_eq!(status, StatusCode::FORBIDDEN, "{case}");
    } else if route.names_an_object {
        assert_eq!(status, StatusCode::NOT_FOUND, "{case}");
    }
    // The live line never ends by itself; what it carries is tested with it.
    if status.is_success() && route.path == "/api/v1/events" {
        return;
    }
    let text = answer.text().await.unwrap();
    for canary in canaries {
        let echoed = route.path.contains(canary.as_str()) && status == StatusCode::NOT_FOUND;
        assert!(echoed || !text.contains(canary.as_str()), "{case} tells {canary}");
    }
}
