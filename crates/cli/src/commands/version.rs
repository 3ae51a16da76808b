//! `preloop version`: what is running, here and there.

use preloop_api_types::system;
use serde::Serialize;

use crate::{
    cli::Global,
    client::Client,
    failure::{Exit, Result},
};

/// This program's version.
pub(crate) const OURS: &str = env!("CARGO_PKG_VERSION");

#[derive(Serialize)]
struct Versions {
    client: &'static str,
    url: String,
    /// Absent when the server cannot be reached.
    server: Option<String>,
}

pub(crate) async fn run(global: &Global) -> Result {
    let client = Client::new(global)?;
    let server = match client.get::<system::Version>("/api/v1/version").await {
        Ok(version) => Some(version.server_version),
        Err(failure) if failure.exit == Exit::Unreachable => None,
        Err(failure) => return Err(failure),
    };
    let versions = Versions { client: OURS, url: client.base().to_string(), server };
    let there = versions.server.clone().unwrap_or_else(|| "not reachable".to_owned());
    global
        .printer()
        .one(&versions, &[("Client", versions.client.to_owned()), ("Server", format!("{there} ({})", versions.url))])
}
