//! The OHIF viewer as an optional page: whose it is, what is given, and that no other address changes.

use std::fs;
use std::path::Path;

use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response, StatusCode};
use tancho_domain::access::Role;
use tancho_relay::config::OhifConfig;
use tancho_store::sites::SiteKind;

use crate::harness::{TestRelay, problem_code};

const PAGE: &str = "<html><script>window.PUBLIC_URL=\"/\"</script><script defer src=\"/app.bundle.0123456789abcdef.js\"></script></html>";
/// Digest of `window.PUBLIC_URL="/"`.
const SCRIPT_DIGEST: &str = "'sha256-iDPt/Ua3DNNwIdzDqulCGYDYPv58ixnA75eez8NxOJg='";
const BUNDLE: &str = "app.bundle.0123456789abcdef.js";

/// A folder like OHIF's, with what must not be given beside it.
fn install(folder: &Path) -> OhifConfig {
    let dir = folder.join("dist");
    fs::create_dir_all(dir.join("assets/images")).unwrap();
    fs::write(dir.join("index.html"), PAGE).unwrap();
    fs::write(dir.join(BUNDLE), "plain();").unwrap();
    fs::write(dir.join(format!("{BUNDLE}.gz")), "packed").unwrap();
    fs::write(dir.join("app.bundle.css"), "a{}").unwrap();
    fs::write(dir.join("0ddf166f7a343eda.wasm"), "\0asm").unwrap();
    fs::write(dir.join("assets/images/CT-Bone.png"), "png").unwrap();
    fs::write(dir.join("sw.js"), "worker").unwrap();
    fs::write(dir.join("init-service-worker.js"), "register()").unwrap();
    fs::write(dir.join("silent-refresh.html"), "<script>evil()</script>").unwrap();
    fs::write(dir.join("app-config.js"), "theirs").unwrap();
    fs::write(folder.join("secret.js"), "secret").unwrap();
    std::os::unix::fs::symlink(folder.join("secret.js"), dir.join("link.js")).unwrap();
    std::os::unix::fs::symlink(folder, dir.join("up")).unwrap();
    OhifConfig { dir }
}

async fn get(relay: &TestRelay, path: &str, token: Option<&str>, gzip: bool) -> Response {
    let client = Client::builder().redirect(Policy::none()).build().unwrap();
    let mut request = client.get(relay.url(path));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if gzip {
        request = request.header("accept-encoding", "gzip");
    }
    request.send().await.unwrap()
}

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn ohif_is_given_as_installed_to_who_may_see_images() {
    let folder = tempfile::tempdir().unwrap();
    let ohif = install(folder.path());
    let relay = TestRelay::start_with(|config| config.ohif = Some(ohif)).await;
    let reader = relay.someone(Role::Reader).await;
    let token = Some(reader.token.as_str());

    for path in ["/ohif", "/ohif/", "/ohif/?patientName=x"] {
        let answer = get(&relay, path, token, false).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{path}");
        assert_eq!(header(&answer, "location"), "/", "{path}");
    }
    for path in ["/ohif/viewer?StudyInstanceUIDs=1.2.3", "/ohif/viewer/dicomweb"] {
        let answer = get(&relay, path, token, false).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let policy = header(&answer, "content-security-policy").to_owned();
        for part in [
            "default-src 'none'",
            SCRIPT_DIGEST,
            "connect-src 'self' data: blob:",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(part), "{part}: {policy}");
        }
        assert!(!policy.contains("http") && !policy.contains('*'), "{policy}");
        let scripts = policy
            .split(';')
            .find(|part| part.contains("script-src"))
            .unwrap();
        assert!(
            !scripts.contains("unsafe-inline") && !scripts.contains("'unsafe-eval'"),
            "{policy}"
        );
        assert_eq!(header(&answer, "cross-origin-opener-policy"), "same-origin");
        assert_eq!(header(&answer, "cross-origin-embedder-policy"), "require-corp");
        assert_eq!(answer.text().await.unwrap(), PAGE);
    }
    for (path, kind, body) in [
        ("/app.bundle.0123456789abcdef.js", "text/javascript", "plain();"),
        (
            "/ohif/app.bundle.0123456789abcdef.js",
            "text/javascript",
            "plain();",
        ),
        ("/app.bundle.css", "text/css", "a{}"),
        ("/0ddf166f7a343eda.wasm", "application/wasm", "\0asm"),
        ("/assets/images/CT-Bone.png", "image/png", "png"),
        ("/init-service-worker.js", "text/javascript", ""),
    ] {
        let answer = get(&relay, path, token, false).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert_eq!(header(&answer, "content-type"), kind, "{path}");
        let cache = if path.contains("0123456789abcdef") || path.contains("0ddf166f") {
            "private, max-age=31536000, immutable"
        } else {
            "private, no-cache"
        };
        assert_eq!(header(&answer, "cache-control"), cache, "{path}");
        assert_eq!(answer.text().await.unwrap(), body, "{path}");
    }
    let packed = get(&relay, "/app.bundle.0123456789abcdef.js", token, true).await;
    assert_eq!(header(&packed, "content-encoding"), "gzip");
    let config = get(&relay, "/app-config.js", token, false)
        .await
        .text()
        .await
        .unwrap();
    assert!(
        config.contains("/dicom-web")
            && config.contains("showStudyList: false")
            && !config.contains("theirs"),
        "{config}"
    );
    relay.stop().await;
}

#[tokio::test]
async fn ohif_is_given_to_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let ohif = install(folder.path());
    let relay = TestRelay::start_with(|config| config.ohif = Some(ohif)).await;
    let answer = get(&relay, "/ohif/viewer", None, false).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(header(&answer, "location"), "/");
    let (scope, site_id) = relay.site("default", "CENTRE", SiteKind::Both).await;
    for role in [Role::Admin, Role::Auditor, Role::Liaison] {
        let person = relay.person(&scope, &site_id, role.as_str(), role).await;
        for path in ["/ohif/viewer", "/app.bundle.css", "/app-config.js"] {
            let answer = get(&relay, path, Some(&person.token), false).await;
            assert_eq!(
                problem_code(answer, StatusCode::FORBIDDEN).await,
                "role_not_allowed",
                "{role:?} {path}"
            );
        }
    }
    for path in ["/app.bundle.css", "/app-config.js", "/ohif/app.bundle.css"] {
        let answer = get(&relay, path, None, false).await;
        assert_eq!(
            problem_code(answer, StatusCode::UNAUTHORIZED).await,
            "login_required",
            "{path}"
        );
    }
    relay.stop().await;
}

#[tokio::test]
async fn nothing_outside_ohifs_files_is_given_and_no_other_address_changes() {
    let folder = tempfile::tempdir().unwrap();
    let ohif = install(folder.path());
    let with = TestRelay::start_with(|config| config.ohif = Some(ohif)).await;
    let without = TestRelay::start().await;
    let reader_with = with.someone(Role::Reader).await;
    let reader_without = without.someone(Role::Reader).await;

    for path in [
        "/ohif/silent-refresh.html",
        "/ohif/link.js",
        "/ohif/up/secret.js",
        "/ohif/../secret.js",
        "/ohif/sw.js.gz",
        "/ohif/none.js",
    ] {
        let answer = get(&with, path, Some(&reader_with.token), false).await;
        let status = answer.status();
        let body = answer.text().await.unwrap();
        assert!(
            !body.contains("secret") || body.contains("code"),
            "{path}: {body}"
        );
        assert!(
            status == StatusCode::NOT_FOUND || path.contains(".."),
            "{path}: {status}"
        );
    }
    let page = get(&without, "/", None, false).await.text().await.unwrap();
    let script = page.split("src=\"").nth(1).unwrap().split('"').next().unwrap();
    for path in [
        "/",
        "/worklist",
        "/index.html",
        script,
        "/assets/none.js",
        "/api/v1/session",
        "/api/docs",
        "/dicom-web/studies",
        "/healthz",
        "/silent-refresh.html",
    ] {
        let mut answers = Vec::new();
        for (relay, person) in [(&with, &reader_with), (&without, &reader_without)] {
            let answer = get(relay, path, Some(&person.token), false).await;
            let policy = header(&answer, "content-security-policy").to_owned();
            assert!(
                policy.contains("require-trusted-types-for 'script'") && !policy.contains("unsafe-inline"),
                "{path}"
            );
            assert_eq!(header(&answer, "cross-origin-embedder-policy"), "", "{path}");
            answers.push((
                answer.status(),
                policy,
                header(&answer, "content-type").to_owned(),
                header(&answer, "cache-control").to_owned(),
            ));
        }
        assert_eq!(answers[0], answers[1], "{path}");
    }
    // The page learns from the session whether to offer OHIF.
    for (relay, person, installed) in [(&with, &reader_with, true), (&without, &reader_without, false)] {
        let session = get(relay, "/api/v1/session", Some(&person.token), false).await;
        let session: serde_json::Value = session.json().await.unwrap();
        assert_eq!(session["viewers"]["ohif"], installed);
    }
    // Where OHIF is not installed its addresses are the page's own, which knows none of them.
    let answer = get(&without, "/ohif/", None, false).await;
    assert!(answer.text().await.unwrap().contains("<div id=\"root\">"));
    let answer = without.request(Method::POST, "/ohif/").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    with.stop().await;
    without.stop().await;
}
