//! Calls one tool the way an agent does: over MCP, in the stateless revision of 2026-07-28.

use std::{pin::pin, time::Duration};

use eventsource_stream::Eventsource;
use futures::TryStreamExt;
use preloop_mcp::protocol::{Version, headers, meta};
use reqwest::{Method, Response, header};
use serde_json::{Value, json};

use crate::{
    client::Client,
    failure::{Exit, Failure, Result},
};

/// What this client calls itself.
pub(crate) const CLIENT: &str = "preloop-cli";

const ENDPOINT: &str = "/mcp/v1";

/// Longest time a call may take, waiting for people included.
const PATIENCE: Duration = Duration::from_hours(24);

/// Calls a tool and gives its result. `told` hears of progress on the way.
pub(crate) async fn call_tool(client: &Client, tool: &str, arguments: &Value, told: impl Fn(&str)) -> Result<Value> {
    let message = json!({
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {
            "name": tool,
            "arguments": arguments,
            "_meta": {
                meta::PROTOCOL_VERSION: Version::V2026_07_28.as_str(),
                meta::CLIENT_INFO: { "name": CLIENT, "version": env!("CARGO_PKG_VERSION") },
                meta::CLIENT_CAPABILITIES: {},
                "progressToken": 1,
            },
        },
    });
    let request = client
        .request(Method::POST, ENDPOINT)?
        .header(header::ACCEPT, "application/json, text/event-stream")
        .header(headers::PROTOCOL_VERSION, Version::V2026_07_28.as_str())
        .header(headers::METHOD, "tools/call")
        .header(headers::NAME, headers::encode(tool))
        .timeout(PATIENCE)
        .json(&message);
    let response = client.send(request).await?;
    let mut answer = read(client, response, told).await?;
    if let Some(error) = answer.get("error") {
        let why = error["message"].as_str().unwrap_or("it did not say why");
        return Err(Failure::new(Exit::Failure, format!("`{tool}` was answered with an error: {why}")));
    }
    Ok(answer["result"].take())
}

/// The response: the body, or the one at the end of an event stream.
async fn read(client: &Client, response: Response, told: impl Fn(&str)) -> Result<Value> {
    let kind = response.headers().get(header::CONTENT_TYPE);
    if !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
        return response.json().await.map_err(|error| client.broken(error));
    }
    let broken = || Failure::new(Exit::Unreachable, "the server's answer broke off");
    let mut events = pin!(response.bytes_stream().eventsource());
    while let Some(event) = events.try_next().await.map_err(|_| broken())? {
        let Ok(message) = serde_json::from_str::<Value>(&event.data) else { continue };
        match message["method"].as_str() {
            None => return Ok(message),
            Some("notifications/progress") => message["params"]["message"].as_str().into_iter().for_each(&told),
            Some(_) => {}
        }
    }
    Err(broken())
}
