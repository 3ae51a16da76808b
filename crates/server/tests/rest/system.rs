//! Health, the document, and what every answer has in common.

use reqwest::Method;
use serde_json::json;

use crate::app::App;

#[tokio::test]
async fn it_says_how_it_is() {
    for app in App::each().await {
        let nobody = app.nobody();
        let health = nobody.get("/api/v1/health").await.ok();
        assert_eq!((&health["status"], &health["database"]), (&json!("healthy"), &json!("writable")));
        assert_eq!(nobody.get("/health").await.ok()["status"], "healthy");
        let pong = nobody.get("/api/v1/ping").await.ok();
        assert!(pong["timestamp"].as_str().unwrap().ends_with('Z'), "{pong}");
        nobody.get("/api/v1/version").await.ok();
        assert_eq!(nobody.get("/api/v1/features").await.ok()["features"]["registration"], false);

        app.server.store().close().await;
        let health = nobody.get("/api/v1/health").await;
        assert_eq!(health.status, 503, "{}", health.text);
    }
}

#[tokio::test]
async fn the_document_is_served_under_its_usual_names() {
    let app = App::start().await;
    let nobody = app.nobody();
    let document = nobody.get("/openapi.json").await.ok();
    assert_eq!(document["openapi"], "3.1.0");
    for path in ["/api/v1/openapi.json", "/api/v1/spec"] {
        assert_eq!(nobody.get(path).await.ok(), document);
    }
    let mut ids: Vec<_> = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|item| item.as_object().unwrap().values())
        .map(|operation| operation["operationId"].as_str().unwrap())
        .collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all);
    let text = document.to_string();
    for name in text.split("#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(document["components"]["schemas"].get(name).is_some(), "`{name}` is not defined");
    }
    let docs = nobody.get("/docs/").await;
    assert!(docs.status == 200 && docs.text.contains("swagger"), "{} {}", docs.status, docs.text);
}

#[tokio::test]
async fn bad_input_gets_a_clear_answer() {
    let app = App::start().await;
    let owner = &app.owner;
    let raw = async |path: &str, body: &str| {
        let request = owner.request(Method::POST, path).header("content-type", "application/json");
        owner.send(request.body(body.to_owned())).await
    };
    let detail = raw("/api/v1/auth/api-keys", "{\"name\":").await.fails(422);
    assert_eq!(detail[0]["type"], "json_invalid");
    let detail = raw("/api/v1/auth/api-keys", r#"{"name": 5}"#).await.fails(422);
    assert_eq!(detail[0]["loc"], json!(["body", "name"]));
    raw("/api/v1/auth/api-keys", r#"{"name": "a", "unknown": 1}"#).await.created();
    raw("/api/v1/auth/api-keys", &"[".repeat(10_000)).await.fails(422);
    let long = format!(r#"{{"name": "{}"}}"#, "x".repeat(2_000_000));
    assert_eq!(raw("/api/v1/auth/api-keys", &long).await.status, 413);
    owner.get("/api/v1/mcp-servers/not-an-id").await.fails(422);
    owner.get("/api/v1/mcp-servers?limit=0").await.fails(422);
    assert_eq!(owner.get("/api/v1/nothing-here").await.fails(404), "Not Found");
    let wrong = owner.delete("/api/v1/tools").await;
    assert_eq!(wrong.headers["allow"], "GET,HEAD");
    assert_eq!(wrong.fails(405), "Method Not Allowed");
}

#[tokio::test]
async fn answers_are_safe_to_receive() {
    let app = App::with(|options| options.allowed_origins = vec!["https://console.example".to_owned()]).await;
    let reply = app.owner.get("/api/v1/tools").await;
    assert_eq!(reply.headers["x-content-type-options"], "nosniff");
    assert_eq!(reply.headers["cache-control"], "no-store");
    assert!(reply.headers.contains_key("x-request-id"));
    let from = async |origin: &str| {
        let request = app.owner.request(Method::GET, "/api/v1/tools").header("origin", origin);
        app.owner.send(request).await.headers.get("access-control-allow-origin").cloned()
    };
    assert_eq!(from("https://console.example").await.unwrap(), "https://console.example");
    assert_eq!(from("https://evil.example").await, None);
}

#[tokio::test]
async fn guessing_keys_is_slowed_down() {
    let app = App::start().await;
    let mut refused = None;
    for guess in 0..150 {
        let reply = app.with_key(&format!("pl_guess-{guess}")).get("/api/v1/tools").await;
        if reply.status == 429 {
            refused = Some(reply);
            break;
        }
        assert_eq!(reply.status, 401);
    }
    let refused = refused.unwrap();
    assert!(refused.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn behind_a_trusted_proxy_every_client_has_guesses_of_its_own() {
    let app = App::with(|options| options.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()]).await;
    let guess = async |client: &str, key: &str| {
        let somebody = app.with_key(key);
        let request = somebody.request(Method::GET, "/api/v1/tools").header("x-forwarded-for", client);
        somebody.send(request).await.status.as_u16()
    };
    for n in 0..100 {
        // What a client writes in front of its own address makes no other client of it.
        assert_eq!(guess(&format!("198.51.100.{n}, 203.0.113.5, 127.0.0.9"), &format!("pl_guess-{n}")).await, 401);
    }
    assert_eq!(guess("203.0.113.5", "pl_guess-more").await, 429);
    assert_eq!(guess("203.0.113.6", "pl_guess-more").await, 401);

    let direct = App::start().await;
    let somebody = direct.with_key("pl_guess");
    for n in 0..100 {
        let request = direct.with_key(&format!("pl_guess-{n}")).request(Method::GET, "/api/v1/tools");
        somebody.send(request.header("x-forwarded-for", format!("203.0.113.{n}"))).await;
    }
    let last = somebody.request(Method::GET, "/api/v1/tools").header("x-forwarded-for", "203.0.113.200");
    assert_eq!(somebody.send(last).await.status, 429, "nobody is believed unasked");
}

#[tokio::test]
async fn a_configured_page_may_speak_mcp() {
    let page = "https://inspector.example";
    let app = App::with(|options| options.allowed_origins = vec![page.to_owned()]).await;
    let agent = app.agent().await;
    let preflight = async |origin: &str| {
        let request = app.nobody().request(Method::OPTIONS, "/mcp/v1").header("origin", origin);
        let request = request
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,mcp-method,mcp-param-region");
        app.nobody().send(request).await
    };
    let allowed = preflight(page).await;
    assert_eq!(allowed.headers["access-control-allow-origin"], page);
    assert!(allowed.headers["access-control-allow-headers"].to_str().unwrap().contains("mcp-param-region"));
    assert!(!preflight("https://evil.example").await.headers.contains_key("access-control-allow-origin"));

    let hello = async |origin: &str| {
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "page", "version": "1"}});
        let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
        let request = agent.request(Method::POST, "/mcp/v1").header("origin", origin).json(&hello);
        agent.send(request.header("accept", "application/json, text/event-stream")).await
    };
    let answer = hello(page).await;
    assert_eq!((answer.status.as_u16(), &answer.headers["access-control-allow-origin"]), (200, &page.parse().unwrap()));
    let exposed = answer.headers["access-control-expose-headers"].to_str().unwrap();
    assert!(exposed.contains("mcp-session-id"), "{exposed}");
    assert_eq!(hello("https://evil.example").await.status, 403);
}

#[tokio::test]
async fn it_ends_in_order_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let options = || {
        let url = format!("sqlite://{}", folder.path().join("preloop.db").display());
        let writer = preloop_types::WriterId::new(preloop_types::Timestamp::from_micros(1));
        preloop_server::ServerOptions::new(([127, 0, 0, 1], 0).into(), url, "an instance key for tests".into(), writer)
    };
    let mut first_keys = Vec::new();
    for _ in 0..2 {
        let server = preloop_server::Server::start(options()).await.unwrap();
        first_keys.push(server.welcome().is_some());
        let shutdown = tokio_util::sync::CancellationToken::new();
        let running = tokio::spawn(server.run(shutdown.clone()));
        shutdown.cancel();
        running.await.unwrap().unwrap();
    }
    assert_eq!(first_keys, [true, false]);
}

#[tokio::test]
async fn metrics_are_for_this_machine_or_for_whoever_has_the_token() {
    let app = App::start().await;
    let nobody = app.nobody();
    let shown = nobody.get("/metrics").await;
    assert_eq!(shown.status, 200, "{}", shown.text);
    assert!(shown.text.contains("\ngateway_inflight 0\n") && shown.text.contains("journal_records_total"));
    let forwarded = nobody.request(Method::GET, "/metrics").header("x-forwarded-for", "203.0.113.9");
    assert_eq!(nobody.send(forwarded).await.status, 403);

    let app = App::with(|options| options.metrics_token = Some("prometheus-reads".into())).await;
    assert_eq!(app.nobody().get("/metrics").await.status, 401);
    assert_eq!(app.with_key("prometheus-reads").get("/metrics").await.status, 200);
}
