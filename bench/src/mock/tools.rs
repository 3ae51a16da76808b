//! What the mock offers and what each tool does.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// The mock's tools: name and what a call does. All take `id` and `text`.
pub const TOOLS: &[(&str, &str)] = &[
    ("echo", "Gives its arguments back."),
    ("pay", "Stands for anything that must not happen twice."),
    ("slow", "Answers after `ms` milliseconds."),
    ("fail", "Answers with `isError`."),
    ("refuse", "Answers with a JSON-RPC error."),
    ("die", "Cuts the connection without an answer."),
    ("hang", "Never answers."),
    ("flood", "Answers with `bytes` bytes of text."),
    ("garble", "Answers with something that is not JSON."),
    ("rich", "Answers with every kind of content, and with members nobody has heard of."),
    ("count", "Reports progress three times before it answers."),
    ("ask", "Asks the user's name before it answers."),
];

/// The definitions of [`TOOLS`].
pub(super) fn definitions() -> Vec<Value> {
    TOOLS.iter().map(|(name, description)| definition(name, description)).collect()
}

/// `count` definitions named `tool_000`, `tool_001`, ...; each behaves like `echo`.
pub fn numbered_tools(count: usize) -> Vec<Value> {
    let describe = |n| format!("Mock tool number {n}: gives its arguments back.");
    (0..count).map(|n| definition(&format!("tool_{n:03}"), &describe(n))).collect()
}

fn definition(name: &str, description: &str) -> Value {
    json!({
        "name": name,
        "description": description,
        "inputSchema": {
            "type": "object",
            "properties": {
                "id": { "type": "string", "description": "tells calls apart" },
                "text": { "type": "string", "description": "text to give back" },
                "amount": { "type": "number" },
                "ms": { "type": "integer" },
                "bytes": { "type": "integer" },
            },
        },
    })
}

/// How a call ends.
pub(super) enum End {
    /// With a result.
    Result(Value),
    /// With a JSON-RPC error.
    Error(Value),
    /// With these bytes for a body.
    Bytes(String),
    /// With a broken connection.
    Cut,
}

/// Carries a call out. `events` is there for calls that are answered as a stream.
pub(super) async fn run(tool: &str, arguments: &Value, progress: Option<(&Value, &mpsc::Sender<Bytes>)>) -> End {
    match tool {
        "slow" => {
            tokio::time::sleep(Duration::from_millis(arguments["ms"].as_u64().unwrap_or(100))).await;
            End::Result(echo(arguments))
        }
        "fail" => End::Result(json!({ "content": [text("it did not work")], "isError": true })),
        "refuse" => End::Error(json!({ "code": -32050, "message": "not today", "data": { "hint": "tomorrow" } })),
        "die" => End::Cut,
        "hang" => std::future::pending().await,
        "flood" => {
            let size = arguments["bytes"].as_u64().unwrap_or(1 << 20);
            End::Result(json!({ "content": [text(&"x".repeat(usize::try_from(size).unwrap_or(usize::MAX)))] }))
        }
        "garble" => End::Bytes("{\"jsonrpc\":\"2.0\",\"result\":{\"content\":[".to_owned()),
        "rich" => End::Result(rich()),
        "count" => {
            if let Some((token, events)) = progress {
                for done in [0, 50, 100] {
                    let params = json!({ "progressToken": token, "progress": done, "total": 100 });
                    let event = json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params });
                    let _ = events.send(super::reply::event(&event)).await;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            End::Result(echo(arguments))
        }
        _ => End::Result(echo(arguments)),
    }
}

fn text(words: &str) -> Value {
    json!({ "type": "text", "text": words })
}

fn echo(arguments: &Value) -> Value {
    json!({ "content": [text(&arguments.to_string())], "structuredContent": { "echo": arguments }, "isError": false })
}

/// A result in which any reading and writing again would show: unknown members, odd numbers, an
/// unknown content type.
fn rich() -> Value {
    json!({
        "content": [
            text("naïve — text"),
            { "type": "image", "data": "iVBORw0KGgo=", "mimeType": "image/png", "x-vendor": 1 },
            { "type": "audio", "data": "UklGRg==", "mimeType": "audio/wav" },
            { "type": "resource_link", "uri": "file:///a.txt", "name": "a", "annotations": { "priority": 0.5 } },
            { "type": "resource", "resource": { "uri": "test://r", "mimeType": "text/plain", "text": "r" } },
            { "type": "hologram", "beam": [1, 2.50, 1e3, null] },
        ],
        "structuredContent": { "big": 18_446_744_073_709_551_615_u64, "nested": { "a": [true, null] } },
        "isError": false,
        "_meta": { "example.com/trace": "t-1" },
        "x-unknown": { "kept": true },
    })
}
