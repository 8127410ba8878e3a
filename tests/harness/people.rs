//! The people of the tests, and what they do over HTTP with a session like a browser's.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::blocking::{Client, RequestBuilder};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

/// Somebody with a login.
#[derive(Clone, Copy, Debug)]
pub struct Person {
    /// Login name.
    pub login: &'static str,
    /// As shown to others.
    pub name: &'static str,
    /// `technologist`, `referrer`, `reader`, `liaison`, `admin` or `auditor`.
    pub role: &'static str,
    /// Code of the site.
    pub site: &'static str,
    /// Where notices go.
    pub email: Option<&'static str>,
    /// Password.
    pub password: &'static str,
}

/// An answer of the relay, good or bad.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: StatusCode,
    /// The body as JSON, or null when it has none.
    pub body: Value,
}

impl Reply {
    /// The stable code of a problem document.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

/// A logged-in person.
#[derive(Clone, Debug)]
pub struct Session {
    base: String,
    client: Client,
    bearer: Option<String>,
}

impl Session {
    /// Logs in with the password.
    pub fn log_in(base: &str, person: &Person) -> anyhow::Result<Self> {
        let session = Self::new(base, None)?;
        session.post(
            "/api/v1/session",
            &json!({ "login": person.login, "password": person.password }),
        )?;
        Ok(session)
    }

    /// Uses a bearer token.
    pub fn with_token(base: &str, token: &str) -> anyhow::Result<Self> {
        Self::new(base, Some(token.to_owned()))
    }

    /// Somebody who has not logged in.
    pub fn anonymous(base: &str) -> anyhow::Result<Self> {
        Self::new(base, None)
    }

    fn new(base: &str, bearer: Option<String>) -> anyhow::Result<Self> {
        let client = Client::builder()
            .cookie_store(true)
            .timeout(Duration::from_secs(30))
            .build()?;
        Ok(Self {
            base: base.to_owned(),
            client,
            bearer,
        })
    }

    /// GET, whatever the answer.
    pub fn try_get(&self, path: &str) -> anyhow::Result<Reply> {
        read(self.request(Method::GET, path))
    }

    /// GET that must succeed.
    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        good(path, self.try_get(path)?)
    }

    /// GET of bytes that must succeed, with the answer's content type.
    pub fn get_bytes(&self, path: &str, accept: &str) -> anyhow::Result<(String, Vec<u8>)> {
        let answer = self
            .request(Method::GET, path)
            .header("Accept", accept)
            .send()?
            .error_for_status()?;
        let kind = answer
            .headers()
            .get("Content-Type")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        Ok((kind.to_owned(), answer.bytes()?.to_vec()))
    }

    /// A write with its own command id, whatever the answer.
    pub fn try_send(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<Reply> {
        self.try_send_as(method, path, body, &Uuid::now_v7().to_string())
    }

    /// A write with a chosen command id: sending the same again must change nothing.
    pub fn try_send_as(
        &self,
        method: Method,
        path: &str,
        body: &Value,
        command: &str,
    ) -> anyhow::Result<Reply> {
        read(
            self.request(method, path)
                .header("Idempotency-Key", command)
                .json(body),
        )
    }

    /// POST that must succeed.
    pub fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        good(path, self.try_send(Method::POST, path, body)?)
    }

    /// PUT that must succeed.
    pub fn put(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        good(path, self.try_send(Method::PUT, path, body)?)
    }

    /// PATCH that must succeed.
    pub fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        good(path, self.try_send(Method::PATCH, path, body)?)
    }

    /// The items of a list.
    pub fn items(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let list = self.get(path)?;
        list["items"]
            .as_array()
            .cloned()
            .with_context(|| format!("{path} gives a list: {list}"))
    }

    /// The items of a DICOMweb search.
    pub fn search(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let reply = read(
            self.request(Method::GET, path)
                .header("Accept", "application/dicom+json"),
        )?;
        if reply.status == StatusCode::NO_CONTENT {
            return Ok(Vec::new());
        }
        let found = good(path, reply)?;
        found
            .as_array()
            .cloned()
            .with_context(|| format!("{path} gives an array: {found}"))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .header("Origin", &self.base);
        match &self.bearer {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

fn read(request: RequestBuilder) -> anyhow::Result<Reply> {
    let answer = request.send()?;
    let status = answer.status();
    let text = answer.text()?;
    let body = if text.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    };
    Ok(Reply { status, body })
}

fn good(path: &str, reply: Reply) -> anyhow::Result<Value> {
    if !reply.status.is_success() {
        bail!("{path} answered {}: {}", reply.status, reply.body);
    }
    Ok(reply.body)
}

/// Logged-in people by login.
pub type Sessions = BTreeMap<&'static str, Session>;
