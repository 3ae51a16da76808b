//! `cargo xtask bench`: what Preloop costs, next to what any server in the path costs.
//!
//! The server has core 0, the load and the mock share core 1. Every figure of Preloop stands beside
//! the same load sent straight to the mock and through a bare reverse proxy in the same run, because
//! the ratios carry over to another machine and the absolute figures do not.

mod preloop;
mod report;
mod scenario;

use std::{path::PathBuf, time::Duration};

use hyper::HeaderMap;
use preloop_bench::{
    http::Error,
    load::Pace,
    mock::{self, Mock},
    process::{Process, free_port, pin_self, pinning, preloop_binary},
    provider::{Options, Provider},
    proxy::{Proxy, Target},
};

use crate::{
    preloop::Preloop,
    report::Report,
    scenario::{Measured, Scenario},
};

const SERVER_CORE: u32 = 0;
const LOAD_CORE: u32 = 1;
const CLOSED: Pace = Pace { warm_up: Duration::from_millis(500), measured: Duration::from_secs(3), rate: None };
const OPEN: Pace = Pace { warm_up: Duration::from_millis(500), measured: Duration::from_secs(4), rate: Some(2_000) };

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let role = arguments.first().map(String::as_str);
    // One thread and a short event interval: a task that is due now must not wait for sixty others.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().event_interval(7).build()?;
    match role {
        Some("bare-proxy") => return runtime.block_on(bare_proxy(&arguments)),
        Some("provider") => return runtime.block_on(provider()),
        _ => {}
    }
    let binary = preloop_binary(true)?;
    if std::thread::available_parallelism()?.get() < 2 || !pinning() {
        println!("note: fewer than two cores or no `taskset`; server and load share what there is");
    }
    pin_self(LOAD_CORE);
    runtime.block_on(bench(binary))
}

/// The comparison: this program again, as a process of its own, forwarding and nothing else.
async fn bare_proxy(arguments: &[String]) -> Result<(), Error> {
    let [_, port, upstream] = arguments else { return Err("usage: bare-proxy PORT UPSTREAM".into()) };
    let target = Target { addr: upstream.parse()?, path: None, headers: HeaderMap::new() };
    let _proxy = Proxy::start(port.parse()?, target).await?;
    std::future::pending().await
}

/// The scripted provider alone, for trying things out; its address is printed.
async fn provider() -> Result<(), Error> {
    let provider = Provider::start(Options::default()).await?;
    println!("{}", provider.url());
    std::future::pending().await
}

async fn bench(binary: PathBuf) -> Result<(), Error> {
    let folder = std::env::temp_dir().join(format!("preloop-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let outcome = measure(binary, &folder).await;
    let _ = std::fs::remove_dir_all(&folder);
    outcome.map(|report| println!("{report}"))
}

async fn measure(binary: PathBuf, folder: &std::path::Path) -> Result<Report, Error> {
    let mock = Mock::start(mock::Options { record: false, ..mock::Options::default() }).await?;
    let mut report = Report::default();

    let port = free_port()?;
    let this = std::env::current_exe()?;
    let command =
        [&this.to_string_lossy(), "bare-proxy", &port.to_string(), &mock.addr().to_string()].map(str::to_owned);
    let command = command.each_ref().map(String::as_str);
    let mut proxy = Process::start(Some(SERVER_CORE), &command, &[], &folder.join("proxy.log"))?;
    let proxy_addr = ([127, 0, 0, 1], port).into();
    proxy.ready(proxy_addr, Duration::from_secs(10)).await?;

    report.size("binary", std::fs::metadata(&binary)?.len());
    let mut server = Preloop::start(&binary, folder).await?;
    server.set_up(&mock).await?;
    report.duration("ready after exec, new database", server.ready());
    server.restart().await?;
    report.duration("ready after exec, existing database", server.ready());
    tokio::time::sleep(Duration::from_secs(1)).await;
    report.size("resident memory, idle", server.process().resident()?);

    let direct = Scenario::call("direct to the mock", mock.addr(), "/mcp/50", "tool_000", 16).legacy();
    let bare = Scenario::call("bare reverse proxy", proxy_addr, "/mcp/50", "tool_000", 16).legacy();
    let through = |name, tool, connections| {
        Scenario::call(name, server.addr(), "/mcp/v1", tool, connections).authorized(server.key())
    };
    let allow = through("Preloop, allow, journal on", "tool_000", 16).legacy();
    let rules = through("Preloop, 100 rules, the last matches", "tool_001", 16).legacy();
    let modern = through("Preloop, allow, 2026-07-28", "tool_000", 16).modern();
    let single = through("Preloop, allow, 1 connection", "tool_000", 1).legacy();
    let many = through("Preloop, allow, 64 connections", "tool_000", 64).legacy();

    report.heading("closed loop, 16 connections");
    let base = direct.run(CLOSED, None).await?;
    report.calls(&base, None, None);
    let floor = bare.run(CLOSED, Some(&proxy)).await?;
    report.calls(&floor, Some(&base), None);
    for scenario in [&allow, &rules, &modern, &single, &many] {
        let before = server.journal().await?;
        let measured = scenario.run(CLOSED, Some(server.process())).await?;
        let commits = server.journal().await?.since(before, CLOSED.warm_up + CLOSED.measured);
        report.calls(&measured, Some(&base), commits);
    }
    report.size("resident memory, after the load", server.process().resident()?);

    report.heading("open loop, 2,000 calls/s over 16 connections");
    let base = direct.run(OPEN, None).await?;
    report.calls(&base, None, None);
    for (scenario, process) in [(&bare, &proxy), (&allow, server.process()), (&rules, server.process())] {
        report.calls(&scenario.run(OPEN, Some(process)).await?, Some(&base), None);
    }

    report.heading("tools/list, closed loop, 1 connection");
    for (name, slug) in [("50 tools", "fifty"), ("500 tools", "many")] {
        let path = format!("/mcp/v1/servers/{slug}");
        let list = Scenario::list(name, server.addr(), &path).authorized(server.key()).legacy();
        let pace = Pace { measured: Duration::from_secs(2), ..CLOSED };
        let measured: Measured = list.run(pace, Some(server.process())).await?;
        report.calls(&measured, None, None);
    }
    server.stop().await?;
    Ok(report)
}
