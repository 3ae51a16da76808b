//! Servers with a handshake: 2024-11-05 to 2025-11-25.

use serde_json::json;

use super::{
    agent::Agent,
    fake::{Eras, Fake},
    *,
};
use crate::protocol::LogLevel;

#[tokio::test]
async fn every_way_to_turn_the_modern_era_down_leads_to_a_handshake() {
    for eras in [Eras::Legacy, Eras::NotInitialized] {
        let (world, fake) = (World::new().await, Fake::start(eras, &["echo"]).await);
        let server = world.serve(&fake).await;
        assert_eq!(world.text(&server, "echo", json!({"a": 1})).await, r#"{"a":1}"#);
        let row = world.row(&server).await;
        assert_eq!(row.facts.unwrap().protocol_version, "2025-11-25");
    }
}

#[tokio::test]
async fn a_server_with_sessions_keeps_one_per_conversation() {
    let (world, fake) = (World::new().await, Fake::start(Eras::Legacy, &["echo"]).await);
    let server = world.serve(&fake).await;
    let (one, two) = (Agent::legacy().in_conversation("1"), Agent::legacy().in_conversation("2"));
    for agent in [&one, &two, &one, &two] {
        world.call(&server, "echo", json!({}), agent).await.unwrap();
    }
    let sessions: Vec<String> = fake
        .requests("tools/call")
        .iter()
        .map(|(headers, _)| headers["mcp-session-id"].to_str().unwrap().to_owned())
        .collect();
    assert!(sessions[0] == sessions[2] && sessions[1] == sessions[3] && sessions[0] != sessions[1], "{sessions:?}");
    assert_eq!(fake.count("initialize"), 3, "ours and two agents'");
}

#[tokio::test]
async fn a_server_without_sessions_is_shared() {
    let (world, fake) = (World::new().await, Fake::start(Eras::Legacy, &["echo"]).await);
    fake.0.sessions.store(false, Ordering::SeqCst);
    let server = world.serve(&fake).await;
    for name in ["1", "2"] {
        world.call(&server, "echo", json!({}), &Agent::legacy().in_conversation(name)).await.unwrap();
    }
    assert_eq!(fake.count("initialize"), 1);
}

#[tokio::test]
async fn a_lost_session_is_opened_anew_and_the_tools_are_looked_at_first() {
    let (world, fake) = (World::new().await, Fake::start(Eras::Legacy, &["echo"]).await);
    let server = world.serve(&fake).await;
    world.text(&server, "echo", json!({})).await;
    fake.forget_sessions();
    assert_eq!(world.text(&server, "echo", json!({"n": 2})).await, r#"{"n":2}"#);
    let seen = fake.0.seen.lock().unwrap();
    let methods: Vec<&str> = seen.iter().filter_map(|(_, body)| body["method"].as_str()).collect();
    let since = methods.iter().rposition(|method| *method == "initialize").unwrap();
    let (list, call) = (
        methods[since..].iter().position(|method| *method == "tools/list"),
        methods[since..].iter().position(|method| *method == "tools/call"),
    );
    assert!(list.is_some() && list < call, "{methods:?}");
}

#[tokio::test]
async fn progress_and_log_messages_are_relayed_while_a_call_runs() {
    for eras in [Eras::Legacy, Eras::Modern] {
        let (world, fake) = (World::new().await, Fake::start(eras, &["streamed"]).await);
        *fake.0.capabilities.lock().unwrap() = json!({"tools": {}, "logging": {}});
        let server = world.serve(&fake).await;
        let mut agent = Agent::legacy().with_progress("\"mine\"");
        agent.log_level = Some(LogLevel::Warning);
        assert_eq!(text_of(&world.call(&server, "streamed", json!({}), &agent).await.unwrap()), "streamed");

        let progress = agent.told("notifications/progress");
        assert_eq!(progress.len(), 2, "forwards only: {progress:?}");
        assert!(progress.iter().all(|told| told["progressToken"] == "mine" && told["vendor"] == json!([1])));
        let logs = agent.told("notifications/message");
        assert_eq!(logs, [json!({"level": "warning", "logger": "srv/core", "data": "warning"})]);
        if eras == Eras::Legacy {
            assert_eq!(fake.requests("logging/setLevel")[0].1["params"], json!({"level": "warning"}));
        }
    }
}

#[tokio::test]
async fn what_a_server_asks_on_the_stream_of_a_call_is_put_to_the_agent() {
    let (world, fake) = (World::new().await, Fake::start(Eras::Legacy, &["ask", "ping"]).await);
    let server = world.serve(&fake).await;
    let able = Agent::legacy().declaring(json!({"elicitation": {}})).in_conversation("able");
    let text = text_of(&world.call(&server, "ask", json!({}), &able).await.unwrap());
    assert_eq!(text, r#"{"action":"accept","content":{"name":"Ann"}}"#);
    assert_eq!(able.asked.lock().unwrap()[0]["request"].0, "elicitation/create");

    let unable = Agent::legacy().in_conversation("unable");
    assert_eq!(text_of(&world.call(&server, "ask", json!({}), &unable).await.unwrap()), r#"{"action":"decline"}"#);
    assert_eq!(text_of(&world.call(&server, "ping", json!({}), &unable).await.unwrap()), "{}");

    let shown: Vec<_> =
        fake.requests("initialize").iter().map(|(_, body)| body["params"]["capabilities"].clone()).collect();
    assert_eq!(shown, [json!({}), json!({"elicitation": {}}), json!({})]);
}

#[tokio::test]
async fn a_server_that_may_not_ask_is_not_shown_that_it_could() {
    let (world, fake) = (World::new().await, Fake::start(Eras::Legacy, &["ask"]).await);
    let server = world.serve_with(&fake, |settings| settings.allow_elicitation = false).await;
    let agent = Agent::legacy().declaring(json!({"elicitation": {}}));
    assert_eq!(text_of(&world.call(&server, "ask", json!({}), &agent).await.unwrap()), r#"{"action":"decline"}"#);
    assert!(agent.asked.lock().unwrap().is_empty());
    assert_eq!(fake.requests("initialize")[1].1["params"]["capabilities"], json!({}));
}

#[tokio::test]
async fn a_stream_that_breaks_is_resumed_where_the_server_allows() {
    let (world, fake) = (World::new().await, Fake::start(Eras::Legacy, &["cut"]).await);
    let server = world.serve(&fake).await;
    assert_eq!(world.text(&server, "cut", json!({})).await, "resumed");
    assert_eq!(fake.count("tools/call"), 1);
}

#[tokio::test]
async fn a_tool_that_must_run_as_a_task_does() {
    let (world, fake) = (World::new().await, Fake::start(Eras::Legacy, &["task"]).await);
    fake.0.tools.lock().unwrap()[0]["execution"] = json!({"taskSupport": "required"});
    let server = world.serve(&fake).await;
    assert_eq!(world.text(&server, "task", json!({})).await, "task done");
    assert_eq!(fake.count("tasks/result"), 1);
}

#[tokio::test]
async fn changes_are_heard_on_the_stream_of_the_session() {
    let (world, fake) = (World::new().await, Fake::start(Eras::Legacy, &["echo"]).await);
    let server = world.serve(&fake).await;
    let mut events = world.upstreams.events();
    let params = || RawValue::from_string(r#"{"uri":"file:///a"}"#.to_owned()).ok().map(Arc::from);
    for agent in ["1", "2"] {
        let agent = Agent::legacy().in_conversation(agent);
        world.upstreams.request(&server, &world.who, "resources/subscribe", params(), &agent).await.unwrap();
    }
    assert_eq!(fake.count("resources/subscribe"), 1, "one subscription serves both");
    until("the stream is open", async || fake.0.push.receiver_count() > 0).await;
    fake.push("notifications/resources/updated", json!({"uri": "file:///a"}));
    assert_eq!(
        events.recv().await.unwrap().change,
        crate::upstream::UpstreamChange::ResourceUpdated("file:///a".to_owned())
    );
    for left in [0, 1] {
        let agent = Agent::legacy();
        world.upstreams.request(&server, &world.who, "resources/unsubscribe", params(), &agent).await.unwrap();
        assert_eq!(fake.count("resources/unsubscribe"), left);
    }
}

#[tokio::test]
async fn the_event_stream_of_2024_is_spoken_where_nothing_else_is() {
    let fake = Fake::start(Eras::EventStream, &["echo"]).await;
    let Transport::StreamableHttp { url } = fake.transport() else { unreachable!() };
    for transport in [Transport::Sse { url: url.clone() }, Transport::StreamableHttp { url }] {
        let world = World::new().await;
        let server = world.server(transport, Auth::None, |_| {}).await;
        world.upstreams.scan(world.account, &server).await.unwrap();
        assert_eq!(world.text(&server, "echo", json!({})).await, "echo");
        assert_eq!(world.row(&server).await.facts.unwrap().protocol_version, "2024-11-05");
    }
}
