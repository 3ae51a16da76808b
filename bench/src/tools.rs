//! What the tool firewall costs.

use std::{path::Path, time::Duration};

use preloop_bench::{
    http::Error,
    load::Pace,
    mock::{Mock, Options},
};

use crate::{
    CLOSED, OPEN, bare_proxy_before,
    preloop::Preloop,
    report::Report,
    scenario::{Measured, Scenario},
};

pub(crate) async fn measure(binary: &Path, folder: &Path) -> Result<Report, Error> {
    let mock = Mock::start(Options { record: false, ..Options::default() }).await?;
    let mut report = Report::default();
    let (proxy, proxy_addr) = bare_proxy_before(mock.addr(), folder).await?;

    report.size("binary", std::fs::metadata(binary)?.len());
    let mut server = Preloop::start(binary, folder).await?;
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
