//! `cargo xtask bench [tools|models]`: what Preloop costs, next to what any server in the path costs.
//!
//! The server has core 0; the load, the mock and the provider share core 1. Every figure of Preloop
//! stands beside the same load sent straight to the upstream and through a bare reverse proxy in the same
//! run, because the ratios carry over to another machine and the absolute figures do not.

mod models;
mod preloop;
mod report;
mod scenario;
mod tools;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use hyper::HeaderMap;
use preloop_bench::{
    http::Error,
    load::Pace,
    process::{Process, free_port, pin_self, pinning, preloop_binary},
    provider::{Options, Provider},
    proxy::{Proxy, Target},
};

const SERVER_CORE: u32 = 0;
const LOAD_CORE: u32 = 1;
const CLOSED: Pace = Pace { warm_up: Duration::from_millis(500), measured: Duration::from_secs(3), rate: None };
const OPEN: Pace = Pace { warm_up: Duration::from_millis(500), measured: Duration::from_secs(4), rate: Some(2_000) };

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // One thread and a short event interval: a task that is due now must not wait for sixty others.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().event_interval(7).build()?;
    match words.as_slice() {
        ["bare-proxy", port, upstream] => runtime.block_on(bare_proxy(port, upstream)),
        ["provider"] => runtime.block_on(provider()),
        [] => runtime.block_on(bench(true, true)),
        ["tools"] => runtime.block_on(bench(true, false)),
        ["models"] => runtime.block_on(bench(false, true)),
        _ => Err("usage: [tools | models | provider]".into()),
    }
}

/// The comparison: this program again, as a process of its own, forwarding and nothing else.
async fn bare_proxy(port: &str, upstream: &str) -> Result<(), Error> {
    let target = Target { addr: upstream.parse()?, path: None, headers: HeaderMap::new() };
    let _proxy = Proxy::start(port.parse()?, target).await?;
    std::future::pending().await
}

/// Starts [`bare_proxy`] on the server's core.
async fn bare_proxy_before(upstream: SocketAddr, folder: &Path) -> Result<(Process, SocketAddr), Error> {
    let addr = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let this = std::env::current_exe()?;
    let (port, upstream) = (addr.port().to_string(), upstream.to_string());
    let command = [&*this.to_string_lossy(), "bare-proxy", &port, &upstream];
    let mut process = Process::start(Some(SERVER_CORE), &command, &[], &folder.join("proxy.log"))?;
    process.ready(addr, Duration::from_secs(10)).await?;
    Ok((process, addr))
}

/// The scripted provider alone, for trying things out; its address is printed.
async fn provider() -> Result<(), Error> {
    let provider = Provider::start(Options::default()).await?;
    println!("{}", provider.url());
    std::future::pending().await
}

async fn bench(tools: bool, models: bool) -> Result<(), Error> {
    let binary = preloop_binary(true)?;
    if std::thread::available_parallelism()?.get() < 2 || !pinning() {
        println!("note: fewer than two cores or no `taskset`; server and load share what there is");
    }
    pin_self(LOAD_CORE);
    if tools {
        let folder = Scratch::new("tools")?;
        println!("tools\n\n{}", tools::measure(&binary, &folder.0).await?);
    }
    if models {
        let folder = Scratch::new("models")?;
        println!("models\n\n{}", models::measure(&binary, &folder.0).await?);
    }
    Ok(())
}

/// A folder that goes when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Result<Self, Error> {
        let folder = std::env::temp_dir().join(format!("preloop-bench-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
