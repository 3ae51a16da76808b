//! The OAuth clients of the official MCP SDKs, with nothing but an endpoint's URL, and a person who
//! consents in a browser.

use std::{path::PathBuf, process::Stdio};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::Command,
};

use crate::{app::App, authorization::Browser};

/// The programs: what runs them, their file, their argument.
fn programs() -> Option<Vec<(PathBuf, &'static str, &'static str)>> {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let (Some(python), Some(folder)) = (named("PRELOOP_TEST_PYTHON"), named("PRELOOP_TEST_NODE_MODULES")) else {
        let missing = "the SDKs' OAuth clients need PRELOOP_TEST_PYTHON and PRELOOP_TEST_NODE_MODULES";
        assert!(std::env::var_os("PRELOOP_TEST_STRICT").is_none_or(|strict| strict != "1"), "{missing}");
        eprintln!("SKIPPED: {missing}; `cargo xtask test` sets them");
        return None;
    };
    let packaged = folder.join("node_modules/.bin/node");
    let node = if packaged.exists() { packaged } else { "node".into() };
    Some(vec![
        (python, "oauth_client.py", ""),
        (node.clone(), "oauth_client.mjs", "sdk-1"),
        (node, "oauth_client.mjs", "sdk-2"),
    ])
}

/// Runs a client; its person allows what it asks for. What it says at the end.
async fn connect(app: &App, (program, script, argument): (PathBuf, &str, &str), url: &str) -> Value {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients").join(script);
    let mut child = Command::new(program)
        .arg(script)
        .arg(argument)
        .env("NO_PROXY", "127.0.0.1,localhost")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = async || serde_json::from_str::<Value>(&output.next_line().await.unwrap().unwrap()).unwrap();
    input.write_all(format!("{url}\n").as_bytes()).await.unwrap();

    let page = said().await["open"].as_str().unwrap().strip_prefix(&app.url).unwrap().to_owned();
    let mut browser = Browser::of(app, &app.owner.key).await;
    let shown = browser.get(&page).await;
    assert!(shown.text.contains("SDK” wants to act for you"), "{}", shown.text);
    let allowed = browser.answer(&shown, "/oauth/authorize", "allow").await;
    let back = allowed.headers["location"].to_str().unwrap();
    input.write_all(format!("{back}\n").as_bytes()).await.unwrap();
    said().await
}

#[tokio::test]
async fn the_sdks_own_clients_connect_with_nothing_but_the_url() {
    let Some(programs) = programs() else { return };
    let app = App::start().await;
    app.add_mock().await;
    for program in programs {
        for path in ["/mcp", "/mcp/v1", "/mcp/v1/servers/mock"] {
            let said = connect(&app, program.clone(), &format!("{}{path}", app.url)).await;
            let names = said["tools"].as_array().unwrap();
            assert!(names.iter().any(|name| name == "echo"), "{said:#}");
            assert_eq!(said["tools"], said["again"]);
            let tokens = said["tokens"].as_array().unwrap();
            assert_eq!(tokens.len(), 2, "given once and renewed once: {said:#}");
            assert_ne!(tokens[0]["refresh_token"], tokens[1]["refresh_token"]);
            assert_eq!(tokens[1]["scope"], "mcp:read mcp:write");
        }
    }
}

/// The official conformance suite's scenarios for authorization servers.
#[tokio::test]
async fn the_conformance_suites_authorization_scenarios_pass() {
    let Some(programs) = programs() else { return };
    let (node, ..) = programs.last().unwrap();
    let folder = PathBuf::from(std::env::var_os("PRELOOP_TEST_NODE_MODULES").unwrap());
    let suite = folder.join("node_modules/@modelcontextprotocol/conformance/dist/index.js");
    let app = App::start().await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let metadata = serde_json::json!({"redirect_uris": [format!("http://127.0.0.1:{port}/callback")]});
    let client = app.nobody().post("/oauth/register", metadata).await.created();
    let mut suite = Command::new(node)
        .arg(&suite)
        .args(["authorization", "--url", &app.url, "--port", &port.to_string()])
        .args(["--client-id", client["client_id"].as_str().unwrap()])
        .args(["--resource", &format!("{}/mcp/v1", app.url)])
        .env("NO_PROXY", "127.0.0.1,localhost")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut output = BufReader::new(suite.stdout.take().unwrap()).lines();
    let (mut said, mut asked) = (String::new(), 0);
    while let Some(line) = output.next_line().await.unwrap() {
        if let Some(page) = line.trim().strip_prefix(&app.url).filter(|page| page.starts_with("/oauth/authorize")) {
            let mut browser = Browser::of(&app, &app.owner.key).await;
            let shown = browser.get(page).await;
            let allowed = browser.answer(&shown, "/oauth/authorize", "allow").await;
            let back = allowed.headers["location"].to_str().unwrap().to_owned();
            let http = reqwest::Client::builder().no_proxy().build().unwrap();
            http.get(back).send().await.unwrap();
            asked += 1;
        }
        said.push_str(&line);
        said.push('\n');
    }
    assert!(suite.wait().await.unwrap().success() && asked == 1, "{said}");
    for scenario in ["authorization-server-metadata-endpoint", "authorization-code-grant"] {
        assert!(said.contains(&format!("=== Running scenario: {scenario}")), "{said}");
    }
    assert!(!said.contains("SKIPPED") && !said.contains("FAILURE"), "{said}");
}
