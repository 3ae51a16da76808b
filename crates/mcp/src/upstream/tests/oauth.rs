//! Signing in to a server, and staying signed in.

use std::{collections::BTreeMap, sync::Mutex};

use axum::{
    Form, Json, Router,
    extract::State,
    http::StatusCode,
    response::IntoResponse,
    routing::{get, post},
};
use base64::Engine as _;
use preloop_types::{
    Subject,
    config::{OAuthSettings, ServerStatus},
};
use serde_json::json;
use url::Url;

use super::{
    agent::Agent,
    fake::{Eras, Fake},
    *,
};
use crate::upstream::OAuthClient;

/// An authorization server that also tells where it is on behalf of the MCP server.
struct Provider {
    url: String,
    forms: Mutex<Vec<BTreeMap<String, String>>>,
    issued: AtomicU32,
    expires_in: Mutex<u64>,
    pkce: Mutex<bool>,
    reads_client_metadata: Mutex<bool>,
}

impl Provider {
    async fn start() -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let provider = Arc::new(Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            forms: Mutex::default(),
            issued: AtomicU32::new(0),
            expires_in: Mutex::new(3600),
            pkce: Mutex::new(true),
            reads_client_metadata: Mutex::new(false),
        });
        let app = Router::new()
            .route("/.well-known/oauth-authorization-server/as", get(metadata))
            .route("/as/register", post(|| async { Json(json!({"client_id": "dyn-1"})) }))
            .route("/as/token", post(token))
            .with_state(Arc::clone(&provider));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        provider
    }

    fn token(&self) -> String {
        format!("access-{}", self.issued.load(Ordering::SeqCst))
    }

    fn last_form(&self) -> BTreeMap<String, String> {
        self.forms.lock().unwrap().last().cloned().unwrap()
    }
}

async fn metadata(State(provider): State<Arc<Provider>>) -> Json<Value> {
    let at = format!("{}/as", provider.url);
    let methods = if *provider.pkce.lock().unwrap() { json!(["S256"]) } else { json!(["plain"]) };
    Json(json!({
        "issuer": at,
        "authorization_endpoint": format!("{at}/authorize"),
        "token_endpoint": format!("{at}/token"),
        "registration_endpoint": format!("{at}/register"),
        "code_challenge_methods_supported": methods,
        "authorization_response_iss_parameter_supported": true,
        "client_id_metadata_document_supported": *provider.reads_client_metadata.lock().unwrap(),
    }))
}

async fn token(
    State(provider): State<Arc<Provider>>,
    Form(form): Form<BTreeMap<String, String>>,
) -> axum::response::Response {
    let spent = form
        .get("refresh_token")
        .is_some_and(|token| *token != format!("refresh-{}", provider.issued.load(Ordering::SeqCst)));
    provider.forms.lock().unwrap().push(form);
    if spent {
        return (StatusCode::BAD_REQUEST, Json(json!({"error": "invalid_grant"}))).into_response();
    }
    let n = provider.issued.fetch_add(1, Ordering::SeqCst) + 1;
    Json(json!({
        "access_token": format!("access-{n}"),
        "refresh_token": format!("refresh-{n}"),
        "token_type": "Bearer",
        "expires_in": *provider.expires_in.lock().unwrap(),
    }))
    .into_response()
}

struct SignIn {
    world: World,
    fake: Fake,
    provider: Arc<Provider>,
    server: Arc<Server>,
    /// Where our own document lies.
    metadata: Option<String>,
}

impl SignIn {
    async fn new() -> Self {
        let (world, provider) = (World::new().await, Provider::start().await);
        let fake = Fake::start(Eras::Modern, &["echo", "scoped"]).await;
        *fake.0.token.lock().unwrap() = Some("nobody has it".to_owned());
        fake.protected_by(&format!("{}/as", provider.url));
        let server = world.server(fake.transport(), Auth::OAuth(OAuthSettings::default()), |_| {}).await;
        Self { world, fake, provider, server, metadata: None }
    }

    async fn begin(&self) -> Result<BTreeMap<String, String>, UpstreamError> {
        let us = OAuthClient {
            redirect_uri: Url::parse("http://127.0.0.1:8000/oauth/callback").unwrap(),
            metadata: self.metadata.as_deref().map(|text| Url::parse(text).unwrap()),
        };
        let by = Subject::from(&*self.world.who);
        let target = self.world.upstreams.begin_oauth(self.world.account, &self.server, &us, by).await?;
        assert!(target.as_str().starts_with(&format!("{}/as/authorize?", self.provider.url)));
        Ok(target.query_pairs().into_owned().collect())
    }

    async fn finish(&self, state: &str, iss: Option<&str>) -> Result<(), UpstreamError> {
        self.world.upstreams.finish_oauth("the-code", state, iss).await.map(drop)
    }

    fn issuer(&self) -> String {
        format!("{}/as", self.provider.url)
    }

    /// The server accepts the newest token and no other.
    fn trust_newest(&self) {
        *self.fake.0.token.lock().unwrap() = Some(self.provider.token());
    }
}

#[tokio::test]
async fn a_person_signs_in_and_the_token_stays_fresh() {
    let it = SignIn::new().await;
    let error = it.world.upstreams.scan(it.world.account, &it.server).await.unwrap_err();
    assert!(matches!(error, UpstreamError::NeedsAuth(_)), "{error}");
    assert_eq!(it.world.row(&it.server).await.status, ServerStatus::NeedsAuth);

    let asked = it.begin().await.unwrap();
    assert_eq!(asked["code_challenge_method"], "S256");
    assert_eq!(asked["client_id"], "dyn-1");
    assert_eq!(asked["scope"], "files", "from the challenge");
    let Transport::StreamableHttp { url } = &it.server.transport else { unreachable!() };
    assert_eq!(asked["resource"], *url);

    it.finish(&asked["state"], Some(&it.issuer())).await.unwrap();
    let form = it.provider.last_form();
    let challenge = preloop_types::Hash::of(&form["code_verifier"]).0;
    assert_eq!(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(challenge), asked["code_challenge"]);
    assert_eq!((form["code"].as_str(), form["resource"].as_str()), ("the-code", url.as_str()));

    it.trust_newest();
    let server = Arc::new(it.world.row(&it.server).await);
    assert_eq!(server.status, ServerStatus::Active);
    it.world.upstreams.scan(it.world.account, &server).await.unwrap();
    assert_eq!(it.world.text(&server, "echo", json!({})).await, "{}");

    // 60 s before its end the token is replaced, once, however many calls find it expiring.
    it.world.store.clock().advance(Duration::from_secs(3600 - 59));
    *it.fake.0.token.lock().unwrap() = Some("access-2".to_owned());
    let (one, two) = (Agent::modern(), Agent::modern());
    let (a, b) =
        tokio::join!(it.world.call(&server, "echo", json!({}), &one), it.world.call(&server, "echo", json!({}), &two));
    assert!(a.is_ok() && b.is_ok());
    assert_eq!(it.provider.last_form()["grant_type"], "refresh_token");
    assert_eq!(it.provider.issued.load(Ordering::SeqCst), 2);

    // A token the server refuses early is replaced too, and the call goes through.
    *it.fake.0.token.lock().unwrap() = Some("access-3".to_owned());
    assert_eq!(it.world.text(&server, "echo", json!({})).await, "{}");

    // It all survives a restart.
    it.world.upstreams.forget(server.id);
    assert_eq!(it.world.text(&server, "echo", json!({})).await, "{}");
    assert_eq!(it.provider.issued.load(Ordering::SeqCst), 3);

    // When the refresh token is refused as well, a person has to sign in again.
    it.provider.issued.store(9, Ordering::SeqCst);
    *it.fake.0.token.lock().unwrap() = Some("gone".to_owned());
    let error = it.world.call(&server, "echo", json!({}), &Agent::modern()).await.unwrap_err();
    assert_eq!((error.kind().as_str(), error.sent()), ("needs_auth", false));
    assert!(!error.to_string().contains("access-") && !error.to_string().contains("refresh-"), "{error}");
}

#[tokio::test]
async fn a_sign_in_works_once_for_ten_minutes_from_whom_it_asked() {
    let it = SignIn::new().await;

    let state = it.begin().await.unwrap()["state"].clone();
    assert!(it.finish(&state, Some("https://evil.example")).await.is_err(), "another issuer");
    assert!(it.finish(&state, Some(&it.issuer())).await.is_err(), "used");

    let state = it.begin().await.unwrap()["state"].clone();
    assert!(it.finish(&state, None).await.is_err(), "an issuer that names itself must");

    let state = it.begin().await.unwrap()["state"].clone();
    it.world.store.clock().advance(Duration::from_secs(601));
    assert!(it.finish(&state, Some(&it.issuer())).await.is_err(), "too old");

    for forged in ["", "a.b.c", &format!("{}.{}.guess", it.world.account, it.server.id)] {
        assert!(it.finish(forged, Some(&it.issuer())).await.is_err(), "{forged:?}");
    }
    assert!(it.provider.forms.lock().unwrap().is_empty(), "no code was ever sent");

    *it.provider.pkce.lock().unwrap() = false;
    assert!(it.begin().await.unwrap_err().to_string().contains("PKCE"));
}

#[tokio::test]
async fn we_are_known_by_our_own_document_where_that_is_understood() {
    let mut it = SignIn::new().await;
    it.metadata = Some("https://preloop.example/client.json".to_owned());
    assert_eq!(it.begin().await.unwrap()["client_id"], "dyn-1", "the provider knows no such documents");
    *it.provider.reads_client_metadata.lock().unwrap() = true;
    assert_eq!(it.begin().await.unwrap()["client_id"], "https://preloop.example/client.json");
    // Nobody out there can read one on this machine.
    it.metadata = Some("http://127.0.0.1:8000/client.json".to_owned());
    assert_eq!(it.begin().await.unwrap()["client_id"], "dyn-1");
}

#[tokio::test]
async fn scopes_that_a_call_lacked_are_asked_for_at_the_next_sign_in() {
    let it = SignIn::new().await;
    let state = it.begin().await.unwrap()["state"].clone();
    it.finish(&state, Some(&it.issuer())).await.unwrap();
    it.trust_newest();
    let server = Arc::new(it.world.row(&it.server).await);
    it.world.upstreams.scan(it.world.account, &server).await.unwrap();

    let error = it.world.call(&server, "scoped", json!({}), &Agent::modern()).await.unwrap_err();
    assert_eq!((error.kind().as_str(), error.sent()), ("insufficient_scope", false));
    assert!(error.to_string().contains("files:write"), "{error}");
    assert_eq!(it.world.row(&server).await.status, ServerStatus::Active, "its other tools still work");
    assert_eq!(it.world.text(&server, "echo", json!({})).await, "{}");

    assert_eq!(it.begin().await.unwrap()["scope"], "files files:write");
}
