//! A relay in this process, people to speak to it as, and a client.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tancho_domain::access::{Reach, Role, Scope};
use tancho_domain::ids::{NetworkId, SessionId, SiteId, UserId};
use tancho_relay::clock::{Clock, ManualClock};
use tancho_relay::config::Config;
use tancho_relay::state::AppState;
use tancho_relay::{Running, secrets};
use tancho_store::Db;
use tancho_store::networks;
use tancho_store::outbox::{self, JobState};
use tancho_store::sites::{self, NewSite, SiteKind};
use tancho_store::tokens::{self, NewToken};
use tancho_store::users::{self, NewUser};

pub mod hospital;

/// An instant for tests, in milliseconds UTC.
pub const NOW_MS: i64 = 1_795_000_000_000;
/// The password of everyone.
pub const PASSWORD: &str = "correct horse battery";

/// A relay in this process.
pub struct TestRelay {
    running: Running,
    pub clock: Arc<ManualClock>,
    pub client: Client,
    folder: tempfile::TempDir,
}

/// Someone with a login and a bearer token.
#[derive(Debug, Clone)]
pub struct Person {
    pub id: UserId,
    pub token: String,
    pub scope: Scope,
    pub site_id: SiteId,
}

impl TestRelay {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), change).await
    }

    async fn start_in(folder: tempfile::TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::on_free_ports(&folder.path().join("data"));
        change(&mut config);
        let clock = Arc::new(ManualClock::at(NOW_MS));
        let running = tancho_relay::run(config, clock.clone() as Arc<dyn Clock>)
            .await
            .unwrap();
        Self {
            running,
            clock,
            client: Client::new(),
            folder,
        }
    }

    pub fn app(&self) -> &AppState {
        &self.running.app
    }

    pub fn data_dir(&self) -> &Path {
        &self.running.app.config.data_dir
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.http)
    }

    /// Where node agents connect.
    pub fn quic(&self) -> std::net::SocketAddr {
        self.running.quic
    }

    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Sets the wall clock, as an operator does.
    pub fn step_clock(&self, by_ms: i64) {
        self.clock.step(by_ms);
    }

    /// Makes a site, and its network when it is the first.
    pub async fn site(&self, network: &str, code: &str, kind: SiteKind) -> (Scope, SiteId) {
        let mut tx = self.app().db.write().await.unwrap();
        let fresh = NetworkId::new(secrets::new_uuid());
        let network = networks::ensure_network(&mut tx, network, &fresh, NOW_MS)
            .await
            .unwrap();
        let scope = Scope {
            network_id: network.id,
            reach: Reach::Network,
        };
        let id = SiteId::new(secrets::new_uuid());
        let new = NewSite {
            id: &id,
            code,
            name: "道東病院",
            kind,
            phone: Some("0153-00-0000"),
        };
        sites::add_site(&mut tx, &scope, &new, NOW_MS).await.unwrap();
        tx.commit().await.unwrap();
        (scope, id)
    }

    /// Makes a login with a token; the password works only after [`TestRelay::give_password`].
    pub async fn person(&self, scope: &Scope, site_id: &SiteId, login: &str, role: Role) -> Person {
        let mut tx = self.app().db.write().await.unwrap();
        let id = UserId::new(secrets::new_uuid());
        let new = NewUser {
            id: &id,
            site_id,
            login,
            name: "佐藤 花子",
            role,
            email: Some("hanako@example.jp"),
            phone: None,
            password_hash: None,
        };
        users::add_user(&mut tx, scope, &new, NOW_MS).await.unwrap();
        let (token, token_hash) = secrets::new_secret();
        let token_id = SessionId::new(secrets::new_uuid());
        let expires_at_ms = NOW_MS + 24 * 60 * 60 * 1000;
        let new = NewToken {
            id: &token_id,
            user_id: &id,
            token_hash,
            expires_at_ms,
        };
        tokens::create_token(&mut tx, scope, &new, NOW_MS).await.unwrap();
        tx.commit().await.unwrap();
        Person {
            id,
            token,
            scope: scope.clone(),
            site_id: site_id.clone(),
        }
    }

    /// Gives the login [`PASSWORD`].
    pub async fn give_password(&self, person: &Person) {
        let hash = secrets::hash_password(PASSWORD.to_owned()).await.unwrap();
        let Db::Sqlite { writer, .. } = &self.app().db else {
            panic!("SQLite by default")
        };
        // A change of the password would end the person's token.
        sqlx::query("update users set password_hash = $1 where id = $2")
            .bind(hash)
            .bind(person.id.as_str())
            .execute(writer)
            .await
            .unwrap();
    }

    /// One network, one site, one person.
    pub async fn someone(&self, role: Role) -> Person {
        let (scope, site_id) = self.site("default", "CENTRE", SiteKind::Both).await;
        let person = self.person(&scope, &site_id, "hanako", role).await;
        self.give_password(&person).await;
        person
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path))
    }

    pub async fn get(&self, person: &Person, path: &str) -> Response {
        self.request(Method::GET, path)
            .bearer_auth(&person.token)
            .send()
            .await
            .unwrap()
    }

    /// A write with a fresh command id.
    pub fn write(&self, person: &Person, method: Method, path: &str, body: &Value) -> RequestBuilder {
        self.request(method, path)
            .bearer_auth(&person.token)
            .header("Idempotency-Key", secrets::new_uuid().to_string())
            .json(body)
    }

    pub async fn log_in(&self, login: &str, password: &str) -> Response {
        let form = serde_json::json!({ "login": login, "password": password });
        self.request(Method::POST, "/api/v1/session")
            .json(&form)
            .send()
            .await
            .unwrap()
    }

    /// Logs in and gives the cookie to send back.
    pub async fn cookie(&self, login: &str, password: &str) -> String {
        let answer = self.log_in(login, password).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    pub async fn get_with_cookie(&self, cookie: &str, path: &str) -> Response {
        self.request(Method::GET, path)
            .header("Cookie", cookie)
            .send()
            .await
            .unwrap()
    }

    pub async fn count_jobs(&self, state: JobState) -> i64 {
        let mut tx = self.app().db.read().await.unwrap();
        outbox::count_jobs(&mut tx, state).await.unwrap()
    }

    /// Stops it. A test that leaves jobs behind fails.
    pub async fn stop(self) {
        let left = self.count_jobs(JobState::Queued).await + self.count_jobs(JobState::Running).await;
        self.running.stop().await;
        drop(self.folder);
        assert_eq!(left, 0, "jobs were left behind");
    }

    /// Stops it; its data stay as long as what is given back.
    pub async fn stop_keeping_data(self) -> tempfile::TempDir {
        self.running.stop().await;
        self.folder
    }

    /// Lets go of a relay whose runtime is gone, as a kill does; its data stay as long as what is given back.
    pub fn killed(self) -> tempfile::TempDir {
        self.folder
    }

    /// Starts on the data of an earlier run, with its address for node agents.
    pub async fn start_again(folder: tempfile::TempDir, quic: std::net::SocketAddr) -> Self {
        Self::start_in(folder, |config| {
            config.quic.listen = quic;
            config.quic.tcp_listen = quic;
        })
        .await
    }

    /// Stops it and starts it again on the same data.
    pub async fn restart_with(self, change: impl FnOnce(&mut Config)) -> Self {
        let now_ms = self.clock.now_ms();
        self.running.stop().await;
        let restarted = Self::start_in(self.folder, change).await;
        restarted.advance(Duration::from_millis(u64::try_from(now_ms - NOW_MS).unwrap()));
        restarted
    }
}

/// The stable code of a problem document, after checking its form.
pub async fn problem_code(answer: Response, status: StatusCode) -> String {
    assert_eq!(answer.status(), status);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let request_id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["status"], status.as_u16());
    assert_eq!(problem["request_id"], request_id.as_str());
    let code = problem["code"].as_str().unwrap().to_owned();
    assert_eq!(problem["type"], format!("urn:tancho:problem:{code}"));
    assert!(
        problem["detail"]
            .as_str()
            .is_some_and(|detail| !detail.is_empty())
    );
    code
}
