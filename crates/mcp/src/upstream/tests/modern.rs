//! Servers of 2026-07-28.

use serde_json::{Value, json};

use super::{
    agent::Agent,
    fake::{Eras, Fake, ODD_RESULT},
    *,
};

#[tokio::test]
async fn p7_a_result_arrives_byte_for_byte() {
    for eras in [Eras::Modern, Eras::Legacy] {
        let (world, fake) = (World::new().await, Fake::start(eras, &["odd"]).await);
        let server = world.serve(&fake).await;
        let result = world.call(&server, "odd", json!({}), &Agent::legacy()).await.unwrap();
        assert_eq!(result.get(), ODD_RESULT);
    }
}

#[tokio::test]
async fn an_error_arrives_as_it_was() {
    let (world, fake) = (World::new().await, Fake::start(Eras::Modern, &["error"]).await);
    let server = world.serve(&fake).await;
    let error = world.call(&server, "error", json!({}), &Agent::modern()).await.unwrap_err();
    let UpstreamError::Rpc(error) = error else { panic!("{error}") };
    assert_eq!((error.code, error.message.as_str()), (-32050, "out of ink"));
    assert_eq!(error.data.unwrap().get(), r#"{"why":1}"#);
}

#[tokio::test]
async fn requests_say_who_we_are_and_repeat_themselves_in_headers() {
    let (world, fake) = (World::new().await, Fake::start(Eras::Modern, &["meta"]).await);
    fake.0.tools.lock().unwrap()[0]["inputSchema"] =
        json!({"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}});
    let server = world.serve(&fake).await;
    let agent = Agent::modern().declaring(json!({"elicitation": {"form": {}}, "sampling": {}, "roots": {}}));
    let text = text_of(&world.call(&server, "meta", json!({"region": "Zürich"}), &agent).await.unwrap());

    let meta: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(meta["io.modelcontextprotocol/clientInfo"]["name"], "preloop");
    assert_eq!(
        meta["io.modelcontextprotocol/clientCapabilities"],
        json!({"elicitation": {"form": {}}}),
        "only what the agent declared and the server's settings allow"
    );
    let (headers, _) = fake.requests("tools/call").pop().unwrap();
    assert_eq!(headers["mcp-protocol-version"], "2026-07-28");
    assert_eq!(headers["mcp-method"], "tools/call");
    assert_eq!(headers["mcp-name"], "meta");
    assert_eq!(headers["mcp-param-region"], "=?base64?WsO8cmljaA==?=");
    assert!(!headers.contains_key("mcp-session-id"));
    assert_eq!(fake.count("initialize"), 0);
}

#[tokio::test]
async fn a_server_that_needs_input_gets_it_from_the_agent_round_by_round() {
    let (world, fake) = (World::new().await, Fake::start(Eras::Modern, &["ask"]).await);
    let server = world.serve(&fake).await;
    for agent in [Agent::modern(), Agent::legacy()] {
        let agent = agent.declaring(json!({"elicitation": {}, "sampling": {}}));
        let text = text_of(&world.call(&server, "ask", json!({}), &agent).await.unwrap());
        let answers: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            answers,
            json!({"again": {"action": "accept", "content": {"name": "Ann"}}}),
            "sampling is not allowed"
        );

        let asked = agent.asked.lock().unwrap();
        assert_eq!(asked.len(), 2);
        assert_eq!(asked[0]["name"].1["message"], "[Server] Who?", "people see who asks");
        assert!(!asked[1].contains_key("forbidden"));
    }
    let ids: Vec<Value> = fake.requests("tools/call").into_iter().map(|(_, body)| body["id"].clone()).collect();
    assert_eq!(ids.len(), 6);
    assert!((1..6).all(|at| !ids[..at].contains(&ids[at])), "each round has an id of its own: {ids:?}");
}

#[tokio::test]
async fn an_agent_that_cannot_be_asked_declines() {
    let (world, fake) = (World::new().await, Fake::start(Eras::Modern, &["ask"]).await);
    let server = world.serve(&fake).await;
    let text = text_of(&world.call(&server, "ask", json!({}), &Agent::modern()).await.unwrap());
    assert_eq!(text, r#"{"again":{"action":"decline"}}"#);
}

#[tokio::test]
async fn a_task_is_followed_to_its_result() {
    let (world, fake) = (World::new().await, Fake::start(Eras::Modern, &["task"]).await);
    *fake.0.capabilities.lock().unwrap() = json!({"tools": {}, "extensions": {"io.modelcontextprotocol/tasks": {}}});
    let server = world.serve(&fake).await;
    let agent = Agent::modern().with_progress("\"p\"");
    assert_eq!(text_of(&world.call(&server, "task", json!({}), &agent).await.unwrap()), "task done");
    assert_eq!(
        agent.told("notifications/progress"),
        [json!({"progressToken": "p", "progress": 1.0, "message": "half way"})].map(|mut told| {
            told["progress"] = json!(1);
            told
        })
    );
    let (headers, _) = fake.requests("tasks/get").pop().unwrap();
    assert_eq!(headers["mcp-name"], "t");
}

#[tokio::test]
async fn a_server_of_both_eras_serves_each_agent_in_its_own() {
    let (world, fake) = (World::new().await, Fake::start(Eras::Both, &["ask"]).await);
    let server = world.serve(&fake).await;
    let capabilities = json!({"elicitation": {}});

    let modern = Agent::modern().declaring(capabilities.clone());
    world.call(&server, "ask", json!({}), &modern).await.unwrap();
    assert_eq!(fake.count("initialize"), 0);

    let legacy = Agent::legacy().declaring(capabilities);
    let text = text_of(&world.call(&server, "ask", json!({}), &legacy).await.unwrap());
    assert_eq!(text, r#"{"action":"accept","content":{"name":"Ann"}}"#);
    assert_eq!(fake.count("initialize"), 1);
}

#[tokio::test]
async fn changes_are_heard_by_subscription() {
    let (world, fake) = (World::new().await, Fake::start(Eras::Modern, &["echo"]).await);
    *fake.0.capabilities.lock().unwrap() =
        json!({"tools": {}, "prompts": {"listChanged": true}, "resources": {"subscribe": true}});
    let server = world.serve(&fake).await;
    let mut events = world.upstreams.events();
    let params = RawValue::from_string(r#"{"uri":"file:///a"}"#.to_owned()).unwrap();
    world
        .upstreams
        .request(&server, &world.who, "resources/subscribe", Some(params.into()), &Agent::modern())
        .await
        .unwrap();
    until("the resource is listened to", async || {
        fake.requests("subscriptions/listen")
            .iter()
            .any(|(_, body)| body["params"]["notifications"]["resourceSubscriptions"] == json!(["file:///a"]))
    })
    .await;
    assert_eq!(fake.count("resources/subscribe"), 0, "there is no such request in this era");

    tokio::time::sleep(Duration::from_millis(50)).await;
    fake.push("notifications/resources/updated", json!({"uri": "file:///a"}));
    fake.push("notifications/prompts/list_changed", json!({}));
    let changes = [events.recv().await.unwrap().change, events.recv().await.unwrap().change];
    assert_eq!(
        changes,
        [
            crate::upstream::UpstreamChange::ResourceUpdated("file:///a".to_owned()),
            crate::upstream::UpstreamChange::Prompts,
        ]
    );
}

#[tokio::test]
async fn other_offers_are_read_once_and_again_when_they_change() {
    let (world, fake) = (World::new().await, Fake::start(Eras::Modern, &["echo"]).await);
    *fake.0.capabilities.lock().unwrap() = json!({"tools": {}, "prompts": {"listChanged": true}, "resources": {}});
    let server = world.serve(&fake).await;
    for _ in 0..3 {
        let offered = world.upstreams.offered(world.account, &server).await.unwrap();
        assert_eq!(offered.resources[0].get(), r#"{"uri":"file:///a","name":"a","x":1.5}"#);
        assert_eq!((offered.templates.len(), offered.prompts.len()), (0, 1));
    }
    assert_eq!(fake.count("prompts/list"), 1);

    until("the subscription is open", async || fake.count("subscriptions/listen") == 1).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut events = world.upstreams.events();
    fake.push("notifications/prompts/list_changed", json!({}));
    events.recv().await.unwrap();
    world.upstreams.offered(world.account, &server).await.unwrap();
    assert_eq!(fake.count("prompts/list"), 2);
}

#[tokio::test]
async fn only_known_requests_are_passed_on() {
    let (world, fake) = (World::new().await, Fake::start(Eras::Modern, &["echo"]).await);
    let server = world.serve(&fake).await;
    for method in ["tools/call", "resources/read", "prompts/get", "initialize", "vendor/anything"] {
        let error = world.upstreams.request(&server, &world.who, method, None, &Agent::modern()).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Rpc(ref error) if error.code == -32601), "{method}: {error}");
        assert_eq!(fake.count(method), 0);
    }
    let error = world.upstreams.request(&server, &world.who, "completion/complete", None, &Agent::modern()).await;
    assert!(matches!(error, Err(UpstreamError::Rpc(_))), "upstream's own error: {error:?}");
}
