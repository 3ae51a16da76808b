//! The official MCP conformance suite, against Preloop, with a server of every fixture behind it.
//!
//! The suite can send no credentials, so a loopback proxy adds the agent's. Which scenarios are
//! scored is the suite's own word: `--requirements` freezes them at the revision's release.

use std::{fmt::Write, net::SocketAddr, process::Stdio};

use preloop_bench::proxy::{Proxy, Target};
use preloop_e2e::{App, Clients, node, python_and_node};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// The requirement sets and how many scenarios each scores.
const REVISIONS: [(&str, usize); 2] = [("2025-11-25", 30), ("2026-07-28", 37)];

#[tokio::test]
async fn every_scored_scenario_passes_through_the_firewall() {
    let Some(clients) = python_and_node("the conformance suite") else { return };
    let (_upstream, addr) = fixtures(&clients).await;
    let app = App::start().await;
    let url = format!("http://{addr}/mcp");
    let slug = app.add_server(json!({ "name": "conformance", "url": url })).await;
    let key = app.owner().create_key(json!({})).await;
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {key}")).unwrap());
    let path = Some(format!("/mcp/v1/servers/{slug}"));
    let proxy = Proxy::start(0, Target { addr: app.addr(), path, headers }).await.unwrap();

    let failures = run_suites(&clients, &proxy).await;

    assert!(failures.is_empty(), "{failures}\nserver log:\n{}", app.log());
}

/// The control: what fails here is the fault of the fixtures, not of Preloop.
#[tokio::test]
async fn every_scored_scenario_passes_without_the_firewall() {
    let Some(clients) = python_and_node("the conformance suite") else { return };
    let (_upstream, addr) = fixtures(&clients).await;
    let proxy = Proxy::start(0, Target { addr, path: None, headers: HeaderMap::new() }).await.unwrap();

    let failures = run_suites(&clients, &proxy).await;

    assert!(failures.is_empty(), "{failures}");
}

/// Runs both requirement sets and says what went wrong.
async fn run_suites(clients: &Clients, proxy: &Proxy) -> String {
    let mut failures = String::new();
    for (revision, scored) in REVISIONS {
        let verdict = run_suite(clients, &format!("http://{}/mcp", proxy.addr()), revision).await;
        println!("{revision}: {} of {scored} scored scenarios; unscored: {:?}", verdict.passed.len(), verdict.unscored);
        if verdict.passed.len() != scored || !verdict.failed.is_empty() {
            let _ = writeln!(failures, "{revision}: failed {:?}\n{}", verdict.failed, verdict.log);
        }
    }
    failures
}

/// Starts the server with every fixture the suite asks for, and says where it listens.
async fn fixtures(clients: &Clients) -> (Child, SocketAddr) {
    let mut child = Command::new(&clients.python)
        .arg(Clients::script("conformance_server.py"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().expect("the server prints its port");
    let port: u16 = line.strip_prefix("PORT=").unwrap().parse().unwrap();
    (child, SocketAddr::from(([127, 0, 0, 1], port)))
}

/// What the suite said.
#[derive(Default)]
struct Verdict {
    passed: Vec<String>,
    failed: Vec<String>,
    /// Scenarios beyond the requirements, with a mark: extensions and such.
    unscored: Vec<String>,
    log: String,
}

async fn run_suite(clients: &Clients, url: &str, revision: &str) -> Verdict {
    let results = tempfile::tempdir().unwrap();
    let output = Command::new(node(&clients.node_folder))
        .arg(clients.module("@modelcontextprotocol/conformance/dist/index.js"))
        .args(["server", "--url", url, "--requirements", revision, "--output-dir"])
        .arg(results.path())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let log = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    read_summary(log)
}

/// Reads the suite's summary: a line `✓ name: n passed, m failed` for each scenario, then the names
/// of those that are not scored, indented.
fn read_summary(log: String) -> Verdict {
    let mut verdict = Verdict::default();
    let summary = log.split_once("=== SUMMARY ===").map(|(_, summary)| summary).unwrap_or_default();
    for line in summary.lines() {
        if let Some(unscored) = line.strip_prefix("  ") {
            let name = unscored.split_whitespace().nth(1).unwrap_or_default();
            verdict.passed.retain(|passed| passed != name);
            verdict.failed.retain(|failed| failed != name);
            verdict.unscored.push(unscored.to_owned());
        } else if let Some((mark, rest)) = line.split_once(' ')
            && let Some((name, _)) = rest.split_once(':')
        {
            match mark {
                "✓" => verdict.passed.push(name.to_owned()),
                "✗" => verdict.failed.push(name.to_owned()),
                _ => {}
            }
        }
    }
    verdict.log = log;
    verdict
}
