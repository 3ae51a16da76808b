//! A person's consent to an upstream server that wants OAuth.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{
    Form, Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use crate::app::App;

/// An MCP server that lets in the token `granted`, and its authorization server.
struct Protected {
    url: String,
    forms: Mutex<Vec<HashMap<String, String>>>,
}

impl Protected {
    async fn start() -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let protected = Arc::new(Self { url, forms: Mutex::default() });
        let router = Router::new()
            .route("/mcp", post(serve))
            .route("/.well-known/oauth-protected-resource/mcp", get(resource))
            .route("/.well-known/oauth-authorization-server", get(metadata))
            .route("/register", post(|| async { Json(json!({"client_id": "registered"})) }))
            .route("/token", post(token))
            .with_state(Arc::clone(&protected));
        tokio::spawn(async move { axum::serve(listener, router).await });
        protected
    }
}

async fn serve(headers: HeaderMap, Json(message): Json<Value>) -> Response {
    if headers.get("authorization").is_none_or(|value| value != "Bearer granted") {
        return (StatusCode::UNAUTHORIZED, [("www-authenticate", "Bearer scope=\"files\"")]).into_response();
    }
    let result = match message["method"].as_str().unwrap_or_default() {
        "initialize" => json!({"protocolVersion": "2025-11-25", "serverInfo": {"name": "p", "version": "1"},
            "capabilities": {"tools": {}}}),
        "tools/list" => json!({"tools": [{"name": "peek", "inputSchema": {"type": "object"}}]}),
        method if method.starts_with("notifications/") => return StatusCode::ACCEPTED.into_response(),
        _ => return StatusCode::BAD_REQUEST.into_response(),
    };
    Json(json!({"jsonrpc": "2.0", "id": message["id"], "result": result})).into_response()
}

async fn resource(State(it): State<Arc<Protected>>) -> Json<Value> {
    Json(json!({"resource": format!("{}/mcp", it.url), "authorization_servers": [it.url]}))
}

async fn metadata(State(it): State<Arc<Protected>>) -> Json<Value> {
    let at = |path: &str| format!("{}{path}", it.url);
    Json(json!({"issuer": it.url, "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"),
        "registration_endpoint": at("/register"), "code_challenge_methods_supported": ["S256"]}))
}

async fn token(State(it): State<Arc<Protected>>, Form(form): Form<HashMap<String, String>>) -> Json<Value> {
    it.forms.lock().unwrap().push(form);
    Json(json!({"access_token": "granted", "refresh_token": "later", "token_type": "Bearer", "expires_in": 3600}))
}

#[tokio::test]
async fn a_person_consents_and_the_server_is_connected() {
    let (app, protected) = (App::start().await, Protected::start().await);
    let body = json!({"name": "files", "url": format!("{}/mcp", protected.url), "auth_type": "oauth",
        "settings": {"allow_private_network": true}});
    let server = app.owner.post("/api/v1/mcp-servers", body).await.created();
    assert_eq!(server["status"], "needs_auth", "{server:#}");
    let path = format!("/api/v1/mcp-servers/{}", server["id"].as_str().unwrap());

    app.agent().await.post(&format!("{path}/oauth/authorize"), json!({})).await.fails(403);
    let begun = app.owner.post(&format!("{path}/oauth/authorize"), json!({})).await.ok();
    let consent: reqwest::Url = begun["authorization_url"].as_str().unwrap().parse().unwrap();
    let asked: HashMap<_, _> = consent.query_pairs().into_owned().collect();
    assert!(consent.as_str().starts_with(&format!("{}/authorize?", protected.url)), "{consent}");
    assert_eq!((asked["client_id"].as_str(), asked["scope"].as_str()), ("registered", "files"));
    assert_eq!(asked["redirect_uri"], format!("{}/api/v1/mcp-servers/oauth/callback", app.url));

    // The browser comes back without a credential of ours: the state says whose sign-in it is.
    let back = |query: &str| format!("/api/v1/mcp-servers/oauth/callback?{query}");
    assert_eq!(app.nobody().get(&back("code=c&state=guessed")).await.status, 400);
    let come = app.nobody().get(&back(&format!("code=c0de&state={}", asked["state"]))).await;
    assert!(come.status == 200 && come.text.contains("Connected"), "{} {}", come.status, come.text);
    assert_eq!(protected.forms.lock().unwrap()[0]["code"], "c0de");
    assert_eq!(app.nobody().get(&back(&format!("code=c0de&state={}", asked["state"]))).await.status, 400, "once");

    let now = app.owner.get(&path).await.ok();
    assert_eq!(now["status"], "active", "{now:#}");
    assert!(!now.to_string().contains("granted"), "tokens are never shown");
    let tools = app.owner.get(&format!("{path}/tools")).await.ok();
    assert_eq!(tools[0]["name"], "peek", "{tools:#}");
}

#[tokio::test]
async fn a_consent_that_fails_says_so() {
    let (app, protected) = (App::start().await, Protected::start().await);
    let denied =
        app.nobody().get("/api/v1/mcp-servers/oauth/callback?error=access_denied&error_description=%3Cb%3Eno").await;
    assert!(denied.status == 400 && denied.text.contains("Consent was not given"), "{}", denied.text);
    assert!(!denied.text.contains("<b>"), "what comes from outside is text: {}", denied.text);
    assert_eq!(app.nobody().get("/api/v1/mcp-servers/oauth/callback").await.status, 400);

    let mock = app.add_mock().await;
    let path = format!("/api/v1/mcp-servers/{}/oauth/authorize", mock["id"].as_str().unwrap());
    app.owner.post(&path, json!({})).await.fails(400);

    let body = json!({"name": "files", "url": format!("{}/mcp", protected.url), "auth_type": "oauth",
        "settings": {"allow_private_network": true}});
    let server = app.owner.post("/api/v1/mcp-servers", body).await.created();
    let path = format!("/api/v1/mcp-servers/{}/oauth/authorize", server["id"].as_str().unwrap());
    let redirect = app.owner.get(&path).await;
    assert_eq!(redirect.status, 302);
    assert!(redirect.headers["location"].to_str().unwrap().starts_with(&protected.url));
}

#[tokio::test]
async fn the_instance_describes_itself_to_authorization_servers() {
    let app = App::with(|options| options.public_url = "https://preloop.example/".parse().ok()).await;
    let document = app.nobody().get("/api/v1/mcp-servers/oauth/client-metadata").await.ok();
    assert_eq!(document["client_id"], "https://preloop.example/api/v1/mcp-servers/oauth/client-metadata");
    assert_eq!(document["redirect_uris"], json!(["https://preloop.example/api/v1/mcp-servers/oauth/callback"]));
    assert_eq!(document["token_endpoint_auth_method"], "none");
}
