//! Servers that misbehave, and agents that go away.

use std::time::Instant;

use preloop_types::config::ServerStatus;
use serde_json::json;

use super::{
    agent::Agent,
    fake::{Eras, Fake},
    *,
};
use crate::upstream::BreakerState;

#[tokio::test]
async fn each_misbehaviour_ends_in_an_error_that_names_it() {
    let tools = [
        "die",
        "html",
        "not_json",
        "wrong_id",
        "bad_gateway",
        "huge",
        "huge_streamed",
        "flood",
        "trickle",
        "hang",
        "echo",
    ];
    for eras in [Eras::Modern, Eras::Legacy] {
        let (world, fake) = (World::new().await, Fake::start(eras, &tools).await);
        let patient = world
            .serve_with(&fake, |settings| (settings.call_ms, settings.max_response_bytes) = (20_000, 512 << 10))
            .await;
        let impatient = world.serve_with(&fake, |settings| settings.call_ms = 400).await;
        for (tool, kind, sent) in [
            ("die", "connection_lost", true),
            ("html", "protocol", true),
            ("not_json", "protocol", true),
            ("wrong_id", "protocol", true),
            ("bad_gateway", "http_502", true),
            ("huge", "too_large", true),
            ("huge_streamed", "too_large", true),
            ("flood", "protocol", true),
            ("trickle", "timeout", true),
            ("hang", "timeout", true),
        ] {
            let server = if ["trickle", "hang"].contains(&tool) { &impatient } else { &patient };
            let started = Instant::now();
            let error = world.call(server, tool, json!({}), &Agent::modern()).await.unwrap_err();
            assert_eq!((error.kind().as_str(), error.sent()), (kind, sent), "{tool}: {error}");
            assert!(started.elapsed() < Duration::from_secs(15), "{tool} took {:?}", started.elapsed());
            // It did not take the connection with it.
            assert_eq!(world.text(server, "echo", json!({})).await, "{}", "after {tool}");
        }
    }
}

#[tokio::test]
async fn a_result_that_is_too_long_is_shortened() {
    let (world, fake) = (World::new().await, Fake::start(Eras::Modern, &["huge"]).await);
    let server = world.serve_with(&fake, |settings| settings.max_response_bytes = 1 << 20).await;
    let result = world.call(&server, "huge", json!({}), &Agent::modern()).await.unwrap();
    assert!(result.get().len() <= 1 << 20, "{}", result.get().len());
    assert!(text_of(&result).contains("bytes cut by Preloop"));
}

#[tokio::test]
async fn nothing_is_sent_where_nothing_listens() {
    let world = World::new().await;
    let transport = Transport::StreamableHttp { url: "http://127.0.0.1:9/mcp".to_owned() };
    let server = world.server(transport, Auth::None, |_| {}).await;
    let error = world.upstreams.scan(world.account, &server).await.unwrap_err();
    assert_eq!((error.kind().as_str(), error.sent(), error.retryable()), ("connect", false, true));
    let row = world.row(&server).await;
    assert_eq!(row.status, ServerStatus::Error);
    assert!(row.last_error.unwrap().starts_with("cannot connect"));
}

#[tokio::test]
async fn a_private_address_needs_the_leave_of_server_and_instance() {
    let fake = Fake::start(Eras::Modern, &["echo"]).await;
    for (instance, server_allows) in [(false, true), (true, false)] {
        let world = World::with(instance).await;
        let server =
            world.server(fake.transport(), Auth::None, |settings| settings.allow_private_network = server_allows).await;
        let error = world.upstreams.scan(world.account, &server).await.unwrap_err();
        assert_eq!((error.kind().as_str(), error.sent()), ("refused", false));
        assert!(error.to_string().contains("allow_private_network"), "{error}");
    }
    assert_eq!(fake.count("server/discover"), 0);
}

#[tokio::test]
async fn a_failing_server_is_left_alone_until_a_person_wants_it_tried() {
    let (world, fake) = (World::new().await, Fake::start(Eras::Modern, &["bad_gateway", "echo"]).await);
    let server = world.serve(&fake).await;
    for _ in 0..5 {
        world.call(&server, "bad_gateway", json!({}), &Agent::modern()).await.unwrap_err();
    }
    let error = world.call(&server, "echo", json!({}), &Agent::modern()).await.unwrap_err();
    assert_eq!((error.kind().as_str(), error.sent()), ("circuit_open", false));
    assert_eq!(fake.count("tools/call"), 5);
    let health = world.upstreams.health(server.id).unwrap();
    assert_eq!((health.breaker, health.failures), (BreakerState::Open, 5));
    assert_eq!(health.last_error.as_deref(), Some("HTTP status 502"));

    world.upstreams.scan(world.account, &server).await.unwrap();
    assert_eq!(world.text(&server, "echo", json!({})).await, "{}");
    let health = world.upstreams.health(server.id).unwrap();
    assert_eq!(health.protocol_versions, ["2026-07-28"]);
    assert!(health.p50.is_some() && health.last_ok_at.is_some());
}

#[tokio::test]
async fn errors_of_a_tool_do_not_count_against_its_server() {
    let (world, fake) = (World::new().await, Fake::start(Eras::Modern, &["error"]).await);
    let server = world.serve(&fake).await;
    for _ in 0..8 {
        let error = world.call(&server, "error", json!({}), &Agent::modern()).await.unwrap_err();
        assert_eq!(error.kind(), "error");
    }
}

#[tokio::test]
async fn a_call_the_agent_gives_up_is_cancelled_upstream() {
    let (world, fake) = (World::new().await, Fake::start(Eras::Legacy, &["hang"]).await);
    let server = world.serve(&fake).await;
    let agent = Agent::legacy();
    let (cancel, seen) = (agent.cancel.clone(), async {
        until("the call arrives", async || fake.count("tools/call") == 1).await;
    });
    let (outcome, ()) = tokio::join!(world.call(&server, "hang", json!({}), &agent), async {
        seen.await;
        cancel.cancel();
    });
    assert!(matches!(outcome, Err(UpstreamError::Cancelled)));
    until("the cancellation arrives", async || fake.count("notifications/cancelled") == 1).await;
    let call = fake.requests("tools/call")[0].1["id"].clone();
    assert_eq!(fake.requests("notifications/cancelled")[0].1["params"]["requestId"], call);
}

#[tokio::test]
async fn capacity_is_kept() {
    let (world, fake) = (World::new().await, Fake::start(Eras::Modern, &["hang", "echo"]).await);
    let server = world.serve_with(&fake, |settings| settings.max_concurrency = 1).await;
    let agents = [Agent::modern(), Agent::modern()];
    let calls = agents.each_ref().map(|agent| world.call(&server, "hang", json!({}), agent));
    let both = futures::future::join_all(calls);
    assert!(tokio::time::timeout(Duration::from_millis(300), both).await.is_err());
    assert_eq!(fake.count("tools/call"), 1, "the other waits for its turn");
    assert_eq!(world.text(&server, "echo", json!({})).await, "{}", "given up, both leave room");
}

#[tokio::test]
async fn secrets_of_the_agent_stay_with_us_and_ours_reach_the_server() {
    let (world, fake) = (World::new().await, Fake::start(Eras::Modern, &["echo"]).await);
    *fake.0.token.lock().unwrap() = Some("s3cret".to_owned());
    let server = world.server(fake.transport(), Auth::Bearer, |_| {}).await;

    let error = world.upstreams.scan(world.account, &server).await.unwrap_err();
    assert!(matches!(error, UpstreamError::NeedsAuth(_)), "{error}");
    assert_eq!(world.row(&server).await.status, ServerStatus::NeedsAuth);

    world.secret(&server, "token", "wrong").await;
    world.upstreams.forget(server.id);
    let error = world.upstreams.scan(world.account, &server).await.unwrap_err();
    assert!(matches!(error, UpstreamError::NeedsAuth(_)) && !error.to_string().contains("wrong"), "{error}");

    // A secret replaced while the server refuses the old one is used at once.
    world.secret(&server, "token", "s3cret").await;
    world.upstreams.scan(world.account, &server).await.unwrap();
    assert_eq!(world.row(&server).await.status, ServerStatus::Active);
    assert_eq!(world.text(&server, "echo", json!({})).await, "{}");
}
