//! A webhook that keeps what it is told and answers as it is told.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU16, Ordering},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
};
use serde_json::Value;

/// One POST as it came.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Told {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// The webhook's server.
pub(crate) struct Receiver {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

struct Shared {
    told: Mutex<Vec<Told>>,
    status: AtomicU16,
    answer: Mutex<String>,
}

impl Receiver {
    /// Answers every POST with `status`.
    pub(crate) async fn start(status: u16) -> Self {
        let shared =
            Arc::new(Shared { told: Mutex::default(), status: AtomicU16::new(status), answer: Mutex::default() });
        let router = Router::new().fallback(keep).with_state(Arc::clone(&shared));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, shared }
    }

    pub(crate) fn answer_with(&self, status: u16) {
        self.shared.status.store(status, Ordering::Relaxed);
    }

    /// Answers every request with this text.
    pub(crate) fn say(&self, text: &str) {
        text.clone_into(&mut self.shared.answer.lock().unwrap());
    }

    /// Where it listens, without a path.
    pub(crate) fn origin(&self) -> &str {
        self.url.strip_suffix("/hook").unwrap()
    }

    pub(crate) fn told(&self) -> Vec<Told> {
        self.shared.told.lock().unwrap().clone()
    }
}

async fn keep(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    shared.told.lock().unwrap().push(Told { path: uri.to_string(), headers, body });
    let answer = shared.answer.lock().unwrap().clone();
    (StatusCode::from_u16(shared.status.load(Ordering::Relaxed)).unwrap(), answer)
}
