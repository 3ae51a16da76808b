//! The mock's half of the protocol: envelopes, eras, sessions, streams.

use std::{
    borrow::Cow,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tokio::sync::{mpsc, oneshot};

use super::{
    Call, Eras, Shared, lock,
    tools::{self, End},
};
use crate::http::{Body, Error, full, pieces};

const MODERN: &str = "2026-07-28";
const LEGACY: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
const SESSION: &str = "mcp-session-id";

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(default)]
    params: Value,
    #[serde(default)]
    result: Value,
}

/// One server-sent event that carries `message`.
pub(super) fn event(message: &Value) -> Bytes {
    format!("event: message\ndata: {message}\n\n").into()
}

/// Answers one HTTP request. An error cuts the connection.
pub(super) async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Error> {
    let (head, body) = request.into_parts();
    if head.method == Method::DELETE {
        return Ok(status(StatusCode::OK));
    }
    if head.method != Method::POST {
        return Ok(status(StatusCode::METHOD_NOT_ALLOWED));
    }
    let body = body.collect().await?.to_bytes();
    let Ok(message) = serde_json::from_slice::<Message<'_>>(&body) else {
        return Ok(status(StatusCode::BAD_REQUEST));
    };
    let Some(method) = message.method.as_deref() else {
        take_answer(&shared, &message);
        return Ok(status(StatusCode::ACCEPTED));
    };
    let Some(id) = message.id else { return Ok(status(StatusCode::ACCEPTED)) };

    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let modern = header("mcp-protocol-version") == Some(MODERN);
    let exchange = Exchange { shared: shared.clone(), id: id.get().to_owned(), modern };
    if modern {
        if shared.options.eras == Eras::Legacy {
            return Ok(exchange.error(StatusCode::BAD_REQUEST, -32000, "Bad Request: Server not initialized"));
        }
        let named = matches!(method, "tools/call").then(|| message.params["name"].as_str()).flatten();
        if header("mcp-method") != Some(method) || (named.is_some() && header("mcp-name") != named) {
            return Ok(exchange.error(StatusCode::BAD_REQUEST, -32020, "header mismatch"));
        }
    } else if shared.options.eras == Eras::Modern {
        return Ok(exchange.error(StatusCode::BAD_REQUEST, -32022, "unsupported protocol version"));
    } else if shared.options.sessions
        && method != "initialize"
        && !header(SESSION).is_some_and(|session| lock(&shared.sessions).contains(session))
    {
        return Ok(exchange.error(StatusCode::NOT_FOUND, -32001, "Session not found"));
    }

    let capabilities = json!({ "tools": { "listChanged": false } });
    let info = json!({ "name": "mock", "version": "1.0.0" });
    Ok(match method {
        "initialize" => {
            let wanted = message.params["protocolVersion"].as_str().unwrap_or_default();
            let version = LEGACY.into_iter().find(|known| *known == wanted).unwrap_or("2025-11-25");
            let result = json!({ "protocolVersion": version, "capabilities": capabilities, "serverInfo": info });
            let mut response = exchange.result(result);
            if shared.options.sessions {
                let session = format!("session-{}", shared.next.fetch_add(1, Ordering::Relaxed));
                response.headers_mut().insert(SESSION, session.parse()?);
                lock(&shared.sessions).insert(session);
            }
            response
        }
        "server/discover" if modern => exchange.result(json!({
            "supportedVersions": [MODERN], "capabilities": capabilities, "ttlMs": 0, "cacheScope": "private",
            "_meta": { "io.modelcontextprotocol/serverInfo": info },
        })),
        "ping" => exchange.result(json!({})),
        "tools/list" => {
            let numbered = head.uri.path().rsplit('/').next().and_then(|last| last.parse().ok());
            let tools = numbered.map_or_else(|| lock(&shared.tools).clone(), tools::numbered_tools);
            exchange.result(json!({ "tools": tools, "ttlMs": 0, "cacheScope": "private" }))
        }
        "tools/call" => {
            if shared.options.record {
                lock(&shared.calls).push(Call {
                    tool: message.params["name"].as_str().unwrap_or_default().to_owned(),
                    id: message.params["arguments"]["id"].as_str().map(str::to_owned),
                    arguments: message.params["arguments"].clone(),
                    headers: head.headers.clone(),
                });
            }
            return exchange.call(message.params).await;
        }
        _ => exchange.error(StatusCode::OK, -32601, "method not found"),
    })
}

/// One request being answered.
struct Exchange {
    shared: Arc<Shared>,
    /// Its id as it was spelled.
    id: String,
    modern: bool,
}

impl Exchange {
    async fn call(self, params: Value) -> Result<Response<Body>, Error> {
        let tool = params["name"].as_str().unwrap_or_default().to_owned();
        if tool == "ask" && self.modern {
            return Ok(self.ask_modern(&params));
        }
        let token = params["_meta"].get("progressToken").cloned();
        let streams = self.shared.options.stream || tool == "ask" || (tool == "count" && token.is_some());
        if !streams {
            return match tools::run(&tool, &params["arguments"], None).await {
                End::Result(result) => Ok(self.result(result)),
                End::Error(error) => Ok(json_response(StatusCode::OK, self.envelope("error", &error))),
                End::Bytes(bytes) => Ok(json_response(StatusCode::OK, bytes)),
                End::Cut => Err("cut".into()),
            };
        }
        let (events, body) = pieces();
        tokio::spawn(async move {
            let end = if tool == "ask" {
                End::Result(self.ask_legacy(&events).await)
            } else {
                tools::run(&tool, &params["arguments"], token.as_ref().map(|token| (token, &events))).await
            };
            let last = match end {
                End::Result(result) => self.envelope("result", &self.complete(result)),
                End::Error(error) => self.envelope("error", &error),
                End::Bytes(bytes) => bytes,
                End::Cut => return,
            };
            let _ = events.send(format!("event: message\ndata: {last}\n\n").into()).await;
        });
        Ok(Response::builder().header("content-type", "text/event-stream").body(body)?)
    }

    /// Asks on the stream of the call and waits for the client's answer, which comes as a POST.
    async fn ask_legacy(&self, events: &mpsc::Sender<Bytes>) -> Value {
        let id = format!("question-{}", self.shared.next.fetch_add(1, Ordering::Relaxed));
        let (sender, receiver) = oneshot::channel();
        lock(&self.shared.questions).insert(id.clone(), sender);
        let question = json!({ "jsonrpc": "2.0", "id": id, "method": "elicitation/create", "params": question() });
        let _ = events.send(event(&question)).await;
        match tokio::time::timeout(Duration::from_secs(30), receiver).await {
            Ok(Ok(answer)) => greeting(&answer),
            _ => json!({ "content": [{ "type": "text", "text": "nobody answered" }], "isError": true }),
        }
    }

    /// Ends the round with a question, or the call with the answer to it.
    fn ask_modern(&self, params: &Value) -> Response<Body> {
        if let Some(answer) = params["inputResponses"].get("name") {
            return self.result(greeting(answer));
        }
        let mut params = question();
        params["mode"] = json!("form");
        let asked = json!({ "name": { "method": "elicitation/create", "params": params } });
        let result = json!({ "resultType": "input_required", "inputRequests": asked, "requestState": "asked" });
        json_response(StatusCode::OK, self.envelope("result", &result))
    }

    fn complete(&self, mut result: Value) -> Value {
        if self.modern {
            result["resultType"] = json!("complete");
        }
        result
    }

    fn result(&self, result: Value) -> Response<Body> {
        json_response(StatusCode::OK, self.envelope("result", &self.complete(result)))
    }

    fn error(&self, http: StatusCode, code: i64, message: &str) -> Response<Body> {
        json_response(http, self.envelope("error", &json!({ "code": code, "message": message })))
    }

    fn envelope(&self, member: &str, value: &Value) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":{},"{member}":{value}}}"#, self.id)
    }
}

fn question() -> Value {
    json!({
        "message": "What is your name?",
        "requestedSchema": {
            "type": "object", "properties": { "name": { "type": "string" } }, "required": ["name"],
        },
    })
}

fn greeting(answer: &Value) -> Value {
    let name = answer["content"]["name"].as_str().unwrap_or("stranger");
    json!({ "content": [{ "type": "text", "text": format!("Hello, {name}!") }], "isError": false })
}

fn take_answer(shared: &Shared, message: &Message<'_>) {
    let id = message.id.and_then(|id| serde_json::from_str::<String>(id.get()).ok());
    let waiting = id.and_then(|id| lock(&shared.questions).remove(&id));
    if let Some(waiting) = waiting {
        let _ = waiting.send(message.result.clone());
    }
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(full(""));
    *response.status_mut() = status;
    response
}

fn json_response(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    response
}
