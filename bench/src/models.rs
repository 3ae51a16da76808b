//! What the model gateway costs.

use std::{net::SocketAddr, path::Path, time::Duration};

use hyper::header::HeaderValue;
use preloop_bench::{
    http::Error,
    load::{Pace, abort_at_random},
    process::{Process, finds, free_port},
    provider::{Options, Provider},
};

use crate::{
    CLOSED, OPEN, SERVER_CORE, bare_proxy_before,
    preloop::Preloop,
    report::Report,
    scenario::{Measured, Scenario},
};

/// Answers at once, after 50 ms, and as a stream of twenty frames.
const MODELS: [&str; 3] = [INSTANT, SLOW, STREAM];
const INSTANT: &str = "mock";
const SLOW: &str = "mock--wait-50";
const STREAM: &str = "mock--frames-18";
/// Requests of which two in three are given up.
const ABORTED: u64 = 100_000;

/// Something between load and provider, or nothing.
struct Route<'a> {
    name: &'a str,
    addr: SocketAddr,
    key: Option<&'a HeaderValue>,
    process: Option<&'a Process>,
}

/// What is asked, over how many connections.
#[derive(Clone, Copy)]
struct Question {
    model: &'static str,
    bytes: usize,
    stream: bool,
    connections: usize,
}

impl Route<'_> {
    fn scenario(&self, question: Question) -> Scenario {
        let Question { model, bytes, stream, connections } = question;
        let scenario = Scenario::model(self.name, self.addr, model, bytes, stream, connections);
        match self.key {
            Some(key) => scenario.authorized(key),
            None => scenario,
        }
    }
}

pub(crate) async fn measure(binary: &Path, folder: &Path) -> Result<Report, Error> {
    let provider = Provider::start(Options { record: false, ..Options::default() }).await?;
    let mut report = Report::default();
    let (bare, bare_addr) = bare_proxy_before(provider.addr(), folder).await?;
    let nginx = if finds("nginx") { Some(nginx_before(provider.addr(), folder).await?) } else { None };
    let mut server = Preloop::start(binary, folder).await?;
    let key = server.set_up_models(&provider, &MODELS).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    report.size("resident memory, idle", server.process().resident()?);

    let mut routes = vec![
        Route { name: "direct to the provider", addr: provider.addr(), key: None, process: None },
        Route { name: "bare reverse proxy", addr: bare_addr, key: None, process: Some(&bare) },
    ];
    if let Some((process, addr)) = &nginx {
        routes.push(Route { name: "nginx", addr: *addr, key: None, process: Some(process) });
    }
    routes.push(Route {
        name: "Preloop, key, budget, journal on",
        addr: server.addr(),
        key: Some(&key),
        process: Some(server.process()),
    });

    let whole = |model, bytes, connections| Question { model, bytes, stream: false, connections };
    let stream = |connections| Question { model: STREAM, bytes: KIB, stream: true, connections };
    for (title, question) in [
        ("chat, 1 KiB, 16 connections", whole(INSTANT, KIB, 16)),
        ("chat, 1 KiB, 64 connections", whole(INSTANT, KIB, 64)),
        ("chat, 1 KiB, 256 connections", whole(INSTANT, KIB, 256)),
        ("chat, 64 KiB, 16 connections", whole(INSTANT, 64 * KIB, 16)),
        ("chat, 1 MiB, 4 connections", whole(INSTANT, 1024 * KIB, 4)),
        ("chat, 1 KiB, answered after 50 ms, 512 connections", whole(SLOW, KIB, 512)),
        ("streams of 20 frames, 16 connections", stream(16)),
        ("streams of 20 frames, 64 connections", stream(64)),
        ("streams of 20 frames, 512 connections", stream(512)),
    ] {
        report.heading(title);
        compare(&mut report, &routes, question, CLOSED, Some(&server)).await?;
    }
    report.heading("chat, 1 KiB, 2,000/s over 16 connections");
    compare(&mut report, &routes, whole(INSTANT, KIB, 16), OPEN, None).await?;
    report.heading("streams, 200/s over 16 connections");
    compare(&mut report, &routes, stream(16), Pace { rate: Some(200), ..OPEN }, None).await?;

    report.size("resident memory, after the load", server.process().resident()?);
    let churn = Scenario::model("aborts", server.addr(), STREAM, KIB, true, 64).authorized(&key);
    for quarter in 1..=4 {
        let answered = abort_at_random(churn.load(), ABORTED / 4).await;
        if answered == 0 {
            return Err("no stream was answered between the aborted ones".into());
        }
        let after = format!("resident memory, after {} with aborts", quarter * ABORTED / 4);
        report.size(&after, server.process().resident()?);
    }
    server.stop().await?;
    Ok(report)
}

const KIB: usize = 1024;

/// One table: the same question over every route, beside the first of them.
async fn compare(
    report: &mut Report,
    routes: &[Route<'_>],
    question: Question,
    pace: Pace,
    journal: Option<&Preloop>,
) -> Result<(), Error> {
    let mut base: Option<Measured> = None;
    for route in routes {
        let governed = journal.filter(|_| route.key.is_some());
        let before = match governed {
            Some(server) => Some(server.journal().await?),
            None => None,
        };
        let measured = route.scenario(question).run(pace, route.process).await?;
        let commits = match governed.zip(before) {
            Some((server, before)) => server.journal().await?.since(before, pace.warm_up + pace.measured),
            None => None,
        };
        report.calls(&measured, base.as_ref(), commits);
        base.get_or_insert(measured);
    }
    Ok(())
}

/// nginx in front of the provider: one worker, connections kept, nothing buffered.
async fn nginx_before(upstream: SocketAddr, folder: &Path) -> Result<(Process, SocketAddr), Error> {
    let addr = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let at = folder.display();
    let configuration = format!(
        "daemon off; worker_processes 1; pid {at}/nginx.pid; error_log stderr;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; client_max_body_size 64m; client_body_temp_path {at}/body;\n\
         proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fcgi; uwsgi_temp_path {at}/uwsgi;\n\
         scgi_temp_path {at}/scgi; keepalive_requests 1000000;\n\
         upstream provider {{ server {upstream}; keepalive 512; keepalive_requests 1000000; }}\n\
         server {{ listen {addr}; tcp_nodelay on; location / {{ proxy_pass http://provider;\n\
         proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_buffering off;\n\
         client_body_buffer_size 2m; }} }} }}\n"
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, configuration)?;
    let file = file.to_string_lossy();
    let command = ["nginx", "-c", &*file, "-e", "stderr"];
    let mut process = Process::start(Some(SERVER_CORE), &command, &[], &folder.join("nginx.log"))?;
    process.ready(addr, Duration::from_secs(10)).await?;
    Ok((process, addr))
}
