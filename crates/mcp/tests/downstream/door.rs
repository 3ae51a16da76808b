//! What is checked before a message is read.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::app::{App, Fake, call};

fn ping() -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "ping"})
}

async fn status(request: reqwest::RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn every_spelling_of_the_url_is_served_without_a_redirect() {
    let app = App::start().await;
    for path in ["/mcp", "/mcp/", "/mcp/v1", "/mcp/v1/", "/mcp/v1/servers/git", "/mcp/v1/servers/git/"] {
        assert_eq!(status(app.request_to(Method::POST, path).json(&ping())).await, 200, "{path}");
    }
    for (method, expected) in [(Method::OPTIONS, 204), (Method::HEAD, 405), (Method::PUT, 405)] {
        let response = app.request(method).send().await.unwrap();
        assert_eq!(response.status(), expected);
        assert_eq!(response.headers()["allow"], "POST, GET, DELETE, OPTIONS");
    }
    // Without a session there is nothing to listen to and nothing to end.
    assert_eq!(status(app.request(Method::GET)).await, 405);
    assert_eq!(status(app.request(Method::DELETE)).await, 405);
}

#[tokio::test]
async fn the_scope_of_the_url_reaches_the_handler() {
    let app = App::start().await;
    app.request_to(Method::POST, "/mcp/v1/servers/git").json(&call(1, "echo")).send().await.unwrap();
    assert_eq!(format!("{:?}", app.fake.last().scope), "Server(\"git\")");
    app.post(&call(1, "echo")).send().await.unwrap();
    assert_eq!(format!("{:?}", app.fake.last().scope), "All");
}

#[tokio::test]
async fn a_request_without_a_valid_credential_learns_where_to_get_one() {
    let app = App::start().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/mcp/v1", app.base);
    let metadata = format!("{}/.well-known/oauth-protected-resource/mcp/v1", app.base);
    let plain = format!("Bearer resource_metadata=\"{metadata}\", scope=\"mcp:read mcp:write\"");

    let refused = http.post(&url).json(&ping()).send().await.unwrap();
    assert_eq!(refused.status(), 401);
    assert_eq!(refused.headers()["www-authenticate"], plain);
    let body: Value = refused.json().await.unwrap();
    assert_eq!(body["error"]["code"], -32001);
    assert!(body["error"]["message"].as_str().unwrap().starts_with("Authentication required"));

    for method in [Method::POST, Method::GET, Method::DELETE] {
        let refused = http.request(method, &url).bearer_auth("nobody").send().await.unwrap();
        assert_eq!(refused.status(), 401);
        assert_eq!(refused.headers()["www-authenticate"], format!("{plain}, error=\"invalid_token\""));
    }
    let unknown_scheme = http.post(&url).header("authorization", "Basic YW5h").json(&ping());
    assert_eq!(status(unknown_scheme).await, 401);
    let in_query = http.post(format!("{url}?access_token=ana")).json(&ping());
    assert_eq!(status(in_query).await, 401);
    assert_eq!(status(http.post(&url).bearer_auth("broken").json(&ping())).await, 503);
    assert_eq!(Fake::count(&app.fake.calls), 0);
}

#[tokio::test]
async fn the_document_that_a_challenge_names_is_about_that_endpoint() {
    let app = App::start().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for path in ["/mcp/v1", "/mcp", "/mcp/v1/servers/git"] {
        let refused = http.post(format!("{}{path}", app.base)).json(&ping()).send().await.unwrap();
        let challenge = refused.headers()["www-authenticate"].to_str().unwrap().to_owned();
        let place = challenge.split('"').nth(1).unwrap();
        let document: Value = http.get(place).send().await.unwrap().json().await.unwrap();
        assert_eq!(document["resource"], format!("{}{path}", app.base));
        assert_eq!(document["bearer_methods_supported"], json!(["header"]));
        assert_eq!(document["scopes_supported"], json!(["mcp:read", "mcp:write"]));
        assert_eq!(document["authorization_servers"], json!([app.base]));
    }
    let at = |path: &str| http.get(format!("{}/.well-known/oauth-protected-resource{path}", app.base));
    let root: Value = at("").send().await.unwrap().json().await.unwrap();
    assert_eq!(root["resource"], format!("{}/mcp", app.base));
    assert_eq!(status(at("/elsewhere")).await, 404);
    assert_eq!(status(at("").header("host", "evil.example")).await, 403);
}

#[tokio::test]
async fn the_public_url_is_told_in_the_challenge() {
    let app = App::with(|options| options.public_url = Some("https://mcp.example/".parse().unwrap())).await;
    let refused = app.request(Method::POST).header("authorization", "Bearer x").json(&ping()).send().await.unwrap();
    let challenge = refused.headers()["www-authenticate"].to_str().unwrap();
    assert!(challenge.contains("\"https://mcp.example/.well-known/oauth-protected-resource/mcp/v1\""), "{challenge}");
}

#[tokio::test]
async fn a_credential_can_do_what_its_scopes_say() {
    let app = App::start().await;
    let reader = |body: &Value| app.request(Method::POST).headers(bearer("reader")).json(body);
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    assert_eq!(status(reader(&list)).await, 200);

    let refused = reader(&call(7, "echo")).send().await.unwrap();
    assert_eq!(refused.status(), 403);
    let challenge = refused.headers()["www-authenticate"].to_str().unwrap().to_owned();
    assert!(challenge.contains("error=\"insufficient_scope\"") && challenge.contains("scope=\"mcp:write\""));
    assert_eq!(refused.json::<Value>().await.unwrap()["id"], 7);
    assert_eq!(Fake::count(&app.fake.calls), 1);
}

pub(crate) fn bearer(name: &str) -> reqwest::header::HeaderMap {
    let value = format!("Bearer {name}").parse().unwrap();
    reqwest::header::HeaderMap::from_iter([(reqwest::header::AUTHORIZATION, value)])
}

#[tokio::test]
async fn only_known_origins_may_call() {
    let app = App::with(|options| options.origins = vec!["https://inspector.example".to_owned()]).await;
    let from = |origin: &str| status(app.post(&ping()).header("origin", origin));
    assert_eq!(status(app.post(&ping())).await, 200, "programs send no origin");
    assert_eq!(from(&app.base).await, 200);
    assert_eq!(from("https://inspector.example").await, 200);
    assert_eq!(from("https://evil.example").await, 403);
    assert_eq!(from("http://127.0.0.1:1").await, 403, "another port is another origin");
    assert_eq!(from("null").await, 403);
    let twice = app.post(&ping()).header("origin", &app.base).header("origin", "https://evil.example");
    assert_eq!(status(twice).await, 403);
}

#[tokio::test]
async fn a_name_rebound_to_this_server_is_refused() {
    let local = App::start().await;
    let named = |app: &App, host: &str| status(app.post(&ping()).header("host", host));
    assert_eq!(named(&local, "localhost:80").await, 200);
    assert_eq!(named(&local, "[::1]:80").await, 200);
    assert_eq!(named(&local, "evil.example").await, 403);
    assert_eq!(named(&local, "127.0.0.1.evil.example").await, 403);

    let public = App::with(|options| {
        options.loopback = false;
        options.hosts = vec!["mcp.example".to_owned()];
    })
    .await;
    assert_eq!(named(&public, "MCP.example:8443").await, 200);
    assert_eq!(named(&public, "evil.example").await, 403);
    let open = App::with(|options| options.loopback = false).await;
    assert_eq!(named(&open, "anything.example").await, 200);
}

#[tokio::test]
async fn only_json_is_read_and_only_what_a_client_accepts_is_sent() {
    let app = App::start().await;
    let text = app.request(Method::POST).header("content-type", "text/plain").body(ping().to_string());
    assert_eq!(status(text).await, 415);
    let charset = app.request(Method::POST).header("content-type", "application/json; charset=utf-8");
    assert_eq!(status(charset.body(ping().to_string())).await, 200);

    let accepting = |accept: &'static str| {
        let headers = reqwest::header::HeaderMap::from_iter([(
            reqwest::header::ACCEPT,
            reqwest::header::HeaderValue::from_static(accept),
        )]);
        app.post(&ping()).headers(headers)
    };
    assert_eq!(status(accepting("text/html")).await, 406);
    assert_eq!(status(accepting("application/json;q=0")).await, 406);
    for accept in ["*/*", "application/json", "application/*", "text/event-stream, application/json"] {
        let response = accepting(accept).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/json", "{accept}");
    }
    let response = accepting("text/event-stream").send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
}

#[tokio::test]
async fn a_body_must_be_small_shallow_json_rpc() {
    let app = App::start().await;
    let send = |body: String| {
        let request = app.request(Method::POST).header("content-type", "application/json").body(body);
        async move {
            let response = request.send().await.unwrap();
            let status = response.status();
            (status.as_u16(), response.json::<Value>().await.unwrap_or_default()["error"]["code"].clone())
        }
    };
    let with = |text: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo","a":{text}}}}}"#)
    };
    assert_eq!(send(with(&"[".repeat(126))).await.1, -32700, "unclosed, but not too deep");
    let nested = |depth: usize| with(&format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
    assert_eq!(send(nested(126)).await.0, 200);
    assert_eq!(send(nested(127)).await, (400, json!(-32600)));
    assert_eq!(send(with(&"[".repeat(100_000))).await, (400, json!(-32600)));
    assert_eq!(send(with(&format!("\"{}\"", "x".repeat(5 << 20)))).await.0, 413);

    assert_eq!(send("{".to_owned()).await, (400, json!(-32700)));
    assert_eq!(send(String::new()).await, (400, json!(-32700)));
    assert_eq!(send("\"hello\"".to_owned()).await, (400, json!(-32600)));
    assert_eq!(send(r#"{"id":1,"method":"ping"}"#.to_owned()).await, (400, json!(-32600)));
    assert_eq!(send(r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#.to_owned()).await, (400, json!(-32600)));
    let positional = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":[1]}"#;
    assert_eq!(send(positional.to_owned()).await, (200, json!(-32602)));
    let repeated = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","name":"pay"}}"#;
    assert_eq!(send(repeated.to_owned()).await, (200, json!(-32602)));
}

#[tokio::test]
async fn a_body_without_a_length_is_cut_off_too() {
    let app = App::start().await;
    let chunks = (0..100).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1 << 16]));
    let body = reqwest::Body::wrap_stream(futures::stream::iter(chunks));
    let request = app.request(Method::POST).header("content-type", "application/json").body(body);
    // The server may hang up before the client has sent everything.
    if let Ok(response) = request.send().await {
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
}
