//! Servers that are child processes.

use serde_json::{Value, json};

use super::{agent::Agent, *};

async fn python(world: &World) -> Arc<Server> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/stdio_server.py");
    let transport = Transport::Stdio {
        command: "python3".to_owned(),
        args: vec!["-u".to_owned(), script.to_owned()],
        cwd: None,
        env: vec!["TOKEN".to_owned()],
    };
    let server = world.server(transport, Auth::None, |settings| settings.call_ms = 5_000).await;
    world.secret(&server, "env.TOKEN", "from the vault").await;
    world.upstreams.scan(world.account, &server).await.unwrap();
    server
}

/// Whether a process exists and is not a zombie.
fn is_alive(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z')))
}

fn exists(pid: &str) -> bool {
    std::path::Path::new("/proc").join(pid).exists()
}

#[tokio::test]
async fn a_child_is_started_once_with_a_clean_environment() {
    let world = World::new().await;
    let server = python(&world).await;
    let pid = world.text(&server, "pid", json!({})).await;
    let env: Value = serde_json::from_str(&world.text(&server, "env", json!({})).await).unwrap();
    assert_eq!(env["TOKEN"], "from the vault");
    assert!(env.get("PATH").is_some() && env.get("CARGO_MANIFEST_DIR").is_none(), "{env}");
    assert_eq!(world.text(&server, "pid", json!({})).await, pid);
    assert_eq!(world.row(&server).await.facts.unwrap().protocol_version, "2025-06-18");
    let stderr = world.upstreams.health(server.id).unwrap().stderr.unwrap();
    assert!(stderr.contains("a banner that is not JSON"), "{stderr}");
    world.upstreams.shutdown().await;
    assert!(!exists(&pid), "neither process nor zombie is left");
}

#[tokio::test]
async fn calls_that_come_first_together_share_one_child() {
    let world = World::new().await;
    let server = python(&world).await;
    world.upstreams.forget(server.id);
    let agents: Vec<Agent> = (0..8).map(|_| Agent::legacy()).collect();
    let calls = agents.iter().map(|agent| world.call(&server, "pid", json!({}), agent));
    let pids: Vec<String> =
        futures::future::join_all(calls).await.into_iter().map(|result| text_of(&result.unwrap())).collect();
    assert!(pids.iter().all(|pid| *pid == pids[0]), "{pids:?}");
    world.upstreams.shutdown().await;
}

#[tokio::test]
async fn a_child_that_ends_mid_call_is_started_again() {
    let world = World::new().await;
    let server = python(&world).await;
    let before = world.text(&server, "pid", json!({})).await;
    let error = world.call(&server, "exit", json!({}), &Agent::legacy()).await.unwrap_err();
    assert_eq!((error.kind().as_str(), error.sent()), ("connection_lost", true));
    assert!(error.to_string().contains("exit status: 3"), "{error}");
    assert_ne!(world.text(&server, "pid", json!({})).await, before);
    let stderr = world.upstreams.health(server.id).unwrap().stderr.unwrap();
    assert!(stderr.contains("goodbye") && !stderr.contains("ghp_"), "{stderr}");
    until("the first is reaped", async || !exists(&before)).await;
    world.upstreams.shutdown().await;
}

#[tokio::test]
async fn what_a_child_started_ends_with_it() {
    let world = World::new().await;
    let server = python(&world).await;
    let (child, grandchild) =
        (world.text(&server, "pid", json!({})).await, world.text(&server, "spawn", json!({})).await);
    assert!(is_alive(&child) && is_alive(&grandchild));
    world.upstreams.forget(server.id);
    until("the child is gone", async || !exists(&child)).await;
    until("the grandchild, which ignores SIGTERM, is gone", async || !is_alive(&grandchild)).await;
}

#[tokio::test]
async fn questions_and_progress_travel_over_the_pipe() {
    let world = World::new().await;
    let server = python(&world).await;
    let agent = Agent::legacy().declaring(json!({"elicitation": {}})).with_progress("7");
    let text = text_of(&world.call(&server, "ask", json!({}), &agent).await.unwrap());
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["content"]["name"], "Ann");
    world.call(&server, "progress", json!({}), &agent).await.unwrap();
    let steps: Vec<Value> = agent.told("notifications/progress").iter().map(|told| told["progress"].clone()).collect();
    assert_eq!(steps, [1, 2, 3]);
    world.upstreams.shutdown().await;
}

#[tokio::test]
async fn an_answer_that_is_too_long_fails_its_own_call_only() {
    let world = World::new().await;
    let server = python(&world).await;
    let (one, two) = (Agent::legacy(), Agent::legacy());
    let (huge, fine) = tokio::join!(
        world.call(&server, "huge", json!({"size": 9_000_000}), &one),
        world.call(&server, "echo", json!({"x": 1}), &two)
    );
    assert_eq!(huge.unwrap_err().kind(), "too_large");
    assert!(fine.is_ok());
    world.upstreams.shutdown().await;
}

#[tokio::test]
async fn a_call_given_up_is_cancelled_at_the_child() {
    let world = World::new().await;
    let server = python(&world).await;
    let agent = Agent::legacy();
    let cancel = agent.cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        cancel.cancel();
    });
    let error = world.call(&server, "hang", json!({}), &agent).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Cancelled));
    until("the child was told", async || {
        world.upstreams.health(server.id).unwrap().stderr.is_some_and(|stderr| stderr.contains("cancelled"))
    })
    .await;
    world.upstreams.shutdown().await;
}

#[tokio::test]
async fn a_program_that_never_says_anything_is_given_up() {
    // REST answers within a minute: connecting and listing must both be over by then.
    assert!(UpstreamOptions::default().list_wait * 2 < Duration::from_mins(1));
    let options = UpstreamOptions { list_wait: Duration::from_millis(300), ..UpstreamOptions::default() };
    let world = World::with_options(true, options).await;
    let transport =
        Transport::Stdio { command: "sleep".to_owned(), args: vec!["600".to_owned()], cwd: None, env: Vec::new() };
    let server = world.server(transport, Auth::None, |_| {}).await;
    let started = std::time::Instant::now();
    let error = world.upstreams.scan(world.account, &server).await.unwrap_err();
    assert_eq!(error.kind(), "timeout", "{error}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(world.row(&server).await.status, ServerStatus::Error);
    world.upstreams.shutdown().await;
}

#[tokio::test]
async fn a_command_that_does_not_exist_says_what_to_do() {
    let world = World::new().await;
    let transport =
        Transport::Stdio { command: "no-such-command-7".to_owned(), args: Vec::new(), cwd: None, env: Vec::new() };
    let server = world.server(transport, Auth::None, |_| {}).await;
    let error = world.upstreams.scan(world.account, &server).await.unwrap_err();
    assert_eq!(error.kind(), "connect");
    assert!(error.to_string().contains("`no-such-command-7` was not found: install it"), "{error}");
}
