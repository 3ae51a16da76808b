//! The account's owner, over REST.

use std::sync::atomic::{AtomicU32, Ordering};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::eventually;

/// The owner of the server's account.
#[derive(Debug, Clone)]
pub struct Owner {
    http: reqwest::Client,
    url: String,
    key: String,
}

impl Owner {
    /// Somebody with that credential.
    pub fn new(url: String, key: String) -> Self {
        Self { http: http_client(), url, key }
    }

    /// Sends a request and gives whatever came back; a body that is not JSON as a string.
    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut request = self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Gets what must be there.
    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.send(Method::GET, path, None).await;
        assert!(status.is_success(), "GET {path}: {status} {body:#}");
        body
    }

    /// Posts what must succeed.
    pub async fn post(&self, path: &str, body: Value) -> Value {
        let (status, reply) = self.send(Method::POST, path, Some(body)).await;
        assert!(status.is_success(), "POST {path}: {status} {reply:#}");
        reply
    }

    /// Applies a policy document.
    pub async fn apply(&self, yaml: &str) -> Value {
        let request = self.http.post(format!("{}/api/v1/policies/apply", self.url)).bearer_auth(&self.key);
        let response = request.header("content-type", "application/yaml").body(yaml.to_owned()).send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "apply: {status} {text}\n{yaml}");
        serde_json::from_str(&text).unwrap()
    }

    /// Makes an API key; its name is filled in.
    pub async fn create_key(&self, mut body: Value) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        body["name"] = json!(format!("key {}", NEXT.fetch_add(1, Ordering::Relaxed)));
        self.post("/api/v1/auth/api-keys", body).await["key"].as_str().unwrap().to_owned()
    }

    /// The approval requests that are open.
    pub async fn pending(&self) -> Vec<Value> {
        self.get("/api/v1/approval-requests?status=pending").await.as_array().unwrap().clone()
    }

    /// Waits until exactly one approval request is open, and gives its id.
    pub async fn one_pending(&self) -> String {
        let id = eventually("an open approval request", || async {
            self.pending().await.first().map(|request| request["id"].as_str().unwrap().to_owned())
        });
        let id = id.await;
        assert_eq!(self.pending().await.len(), 1);
        id
    }

    /// Tries to decide a request: `approve` or `decline`.
    pub async fn decide(&self, id: &str, how: &str, comment: &str) -> (StatusCode, Value) {
        let path = format!("/api/v1/approval-requests/{id}/{how}");
        self.send(Method::POST, &path, Some(json!({ "approved": how == "approve", "comment": comment }))).await
    }

    /// Tries to decide a request while the server may be dying; whether it said yes.
    pub async fn try_decide(&self, id: &str, how: &str) -> bool {
        let request = self.http.post(format!("{}/api/v1/approval-requests/{id}/{how}", self.url));
        let body = json!({ "approved": how == "approve" });
        let response = request.bearer_auth(&self.key).json(&body).send().await;
        response.is_ok_and(|response| response.status().is_success())
    }

    /// Approves a request.
    pub async fn approve(&self, id: &str) {
        let (status, body) = self.decide(id, "approve", "go ahead").await;
        assert!(status.is_success(), "approve: {status} {body:#}");
    }

    /// Declines a request.
    pub async fn decline(&self, id: &str, comment: &str) {
        let (status, body) = self.decide(id, "decline", comment).await;
        assert!(status.is_success(), "decline: {status} {body:#}");
    }

    /// One approval request as it is now.
    pub async fn approval(&self, id: &str) -> Value {
        self.get(&format!("/api/v1/approval-requests/{id}")).await
    }

    /// The journal as it is exported, with payloads.
    pub async fn export(&self) -> String {
        let request =
            self.http.get(format!("{}/api/v1/audit-logs/export?payloads=true", self.url)).bearer_auth(&self.key);
        let response = request.send().await.unwrap().error_for_status().unwrap();
        response.text().await.unwrap()
    }
}

/// A client that knows no proxy: everything here is on loopback.
pub(crate) fn http_client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().tcp_nodelay(true).build().unwrap()
}
