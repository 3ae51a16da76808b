//! Clients known by a document at a URL, which is their id: nothing is registered, and who they are is
//! who answers for that host.
//!
//! The document is fetched on a person's request only, through the egress guard, without redirects,
//! within a few seconds and kilobytes, and remembered for some minutes.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use preloop_egress::{Egress, Policy, ReadError, is_loopback, read_capped};
use preloop_types::Timestamp;
use serde::Deserialize;
use url::Url;

use super::{Client, ClientKind, client::shown_name, redirect_uri};

/// Longest time a document may take.
const FETCH_WITHIN: Duration = Duration::from_secs(5);
/// Largest document.
const BYTES_MAX: usize = 16 * 1024;
/// How long a document is believed.
const BELIEVED_FOR: Duration = Duration::from_mins(10);
/// Most documents remembered.
const REMEMBERED_MAX: usize = 256;

/// Why a client is not known by its document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// It could not be fetched.
    #[error("{0}")]
    Unreachable(String),
    /// It is not what it has to be.
    #[error("{0}")]
    Invalid(String),
}

/// Documents, fetched and remembered.
pub struct Documents {
    egress: Egress,
    policy: Policy,
    remembered: Mutex<HashMap<String, (Client, Timestamp)>>,
}

/// What a document has to say.
#[derive(Deserialize)]
struct Document {
    client_id: String,
    client_name: Option<String>,
    redirect_uris: Vec<String>,
    token_endpoint_auth_method: Option<String>,
    client_secret: Option<serde::de::IgnoredAny>,
}

impl Documents {
    pub(super) fn new(egress: Egress, policy: Policy) -> Self {
        Self { egress, policy, remembered: Mutex::default() }
    }

    /// The client whose id is `id`.
    pub(super) async fn client(&self, id: &str, now: Timestamp) -> Result<Client, DocumentError> {
        let url = check_id(id, self.policy.allow_private)?;
        if let Some(client) = self.remembered(id, now) {
            return Ok(client);
        }
        let client = read(id, &url, &self.fetch(url.clone()).await?)?;
        self.remember(client.clone(), now);
        Ok(client)
    }

    fn remembered(&self, id: &str, now: Timestamp) -> Option<Client> {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let (client, since) = remembered.get(id)?;
        (now.since(*since) < BELIEVED_FOR).then(|| client.clone())
    }

    fn remember(&self, client: Client, now: Timestamp) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= REMEMBERED_MAX {
            remembered.retain(|_, (_, since)| now.since(*since) < BELIEVED_FOR);
            if remembered.len() >= REMEMBERED_MAX {
                remembered.clear();
            }
        }
        remembered.insert(client.id.clone(), (client, now));
    }

    async fn fetch(&self, url: Url) -> Result<Bytes, DocumentError> {
        let shown = url.to_string();
        let unreachable = |why: String| DocumentError::Unreachable(format!("cannot read `{shown}`: {why}"));
        let client = self.egress.client(self.policy).map_err(|error| unreachable(error.to_string()))?;
        let request = client.get(url).map_err(|refused| DocumentError::Invalid(refused.to_string()))?;
        let fetched = tokio::time::timeout(FETCH_WITHIN, async {
            let response = request.header("accept", "application/json").send().await;
            let response = response.map_err(|error| {
                let refused = preloop_egress::refusal(&error).map(ToString::to_string);
                // What else goes wrong on the way is the network's business, not the asker's.
                refused.map_or_else(|| unreachable("it does not answer".to_owned()), DocumentError::Invalid)
            })?;
            if response.status() != 200 {
                return Err(unreachable(format!("it answers {}", response.status().as_u16())));
            }
            read_capped(response, BYTES_MAX).await.map_err(|error| match error {
                ReadError::Broken(_) => unreachable("it breaks off".to_owned()),
                ReadError::TooLarge(_) => DocumentError::Invalid(format!("`{shown}` is {error}")),
            })
        });
        fetched.await.unwrap_or_else(|_| Err(unreachable("it takes too long".to_owned())))
    }
}

/// The URL that `id` is. It has to have a path, so that a host that hosts many names one of them.
fn check_id(id: &str, allow_private: bool) -> Result<Url, DocumentError> {
    let refuse = |why: &str| Err(DocumentError::Invalid(format!("client id `{}` {why}", id.escape_debug())));
    if id.len() > 2048 || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return refuse("is not a URL");
    }
    let Ok(url) = Url::parse(id) else { return refuse("is not a URL") };
    if id.contains('#') || !url.username().is_empty() || url.password().is_some() {
        return refuse("holds a fragment, a user or a password");
    }
    if url.path() == "/" || id.split('/').any(|segment| matches!(segment, "." | "..")) {
        return refuse("has no path of its own");
    }
    if url.scheme() != "https" && !(allow_private && is_loopback(&url)) {
        return refuse("does not begin with `https://`");
    }
    Ok(url)
}

/// The client that a document at `id` describes.
fn read(id: &str, url: &Url, document: &[u8]) -> Result<Client, DocumentError> {
    let refuse = |why: &str| Err(DocumentError::Invalid(format!("the document at `{id}` {why}")));
    let Ok(document) = serde_json::from_slice::<Document>(document) else {
        return refuse("is not a client's metadata with `client_id` and `redirect_uris`");
    };
    if document.client_id != id {
        return refuse("is about another client");
    }
    if document.client_secret.is_some() {
        return refuse("holds a secret");
    }
    if document.token_endpoint_auth_method.is_some_and(|method| method != "none") {
        return refuse("asks for a way to prove itself other than `none`");
    }
    if document.redirect_uris.is_empty() {
        return refuse("names no redirect URI");
    }
    for uri in &document.redirect_uris {
        redirect_uri::check(uri).map_err(DocumentError::Invalid)?;
    }
    Ok(Client {
        id: id.to_owned(),
        kind: ClientKind::Document { host: url.host_str().unwrap_or_default().to_owned() },
        name: document.client_name.as_deref().and_then(shown_name),
        redirect_uris: document.redirect_uris,
        secret_hash: None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "https://app.example/oauth/client.json";

    #[test]
    fn an_id_is_an_https_url_with_a_path() {
        assert!(check_id(ID, false).is_ok());
        assert!(check_id("http://127.0.0.1:8080/client.json", true).is_ok());
        for bad in [
            "https://app.example",
            "https://app.example/",
            "https://app.example/a/../client.json",
            "https://ann@app.example/client.json",
            "https://app.example/client.json#x",
            "http://app.example/client.json",
            "http://127.0.0.1:8080/client.json",
        ] {
            assert!(check_id(bad, false).is_err(), "{bad}");
        }
        assert!(check_id("http://app.example/client.json", true).is_err());
    }

    #[test]
    fn a_document_speaks_for_its_own_url_and_holds_no_secret() {
        let read = |document: serde_json::Value| read(ID, &ID.parse().unwrap(), document.to_string().as_bytes());
        let good = json!({"client_id": ID, "client_name": "App", "redirect_uris": ["http://127.0.0.1/cb"], "more": 1});
        let client = read(good.clone()).unwrap();
        assert_eq!(
            (client.name.as_deref(), client.kind),
            (Some("App"), ClientKind::Document { host: "app.example".to_owned() })
        );

        for (member, value) in [
            ("client_id", json!("https://app.example/oauth/other.json")),
            ("client_id", json!(null)),
            ("redirect_uris", json!([])),
            ("redirect_uris", json!(["javascript:alert(1)"])),
            ("client_secret", json!("hunter2")),
            ("token_endpoint_auth_method", json!("client_secret_basic")),
            ("token_endpoint_auth_method", json!("private_key_jwt")),
        ] {
            let mut bad = good.clone();
            bad[member] = value;
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn documents_are_not_fetched_from_where_nobody_should_reach() {
        let documents = Documents::new(Egress::new(preloop_egress::EgressOptions::default()), Policy::default());
        for id in ["https://169.254.169.254/latest/meta-data", "https://10.0.0.1/client.json", "https://localhost/c"] {
            let refused = documents.client(id, Timestamp::from_micros(0)).await;
            assert!(
                matches!(&refused, Err(DocumentError::Invalid(why)) if why.contains("private")),
                "{id}: {refused:?}"
            );
        }
    }
}
