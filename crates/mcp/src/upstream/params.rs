//! Composes what is sent: the agent's params as they came, with `_meta` made ours.

use std::{borrow::Cow, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::value::RawValue;

use crate::splice::{self, Members};
use crate::{
    catalogue::HeaderParam,
    protocol::{Era, LogLevel, Version, headers, meta},
};

/// A request of the agent, before it is fitted to one connection.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    pub(super) method: &'a str,
    body: Body<'a>,
    meta: Option<&'a RawValue>,
    /// Members added by us: `task`, `inputResponses`, `requestState`.
    pub(super) extra: Vec<(&'static str, Arc<RawValue>)>,
}

#[derive(Debug)]
enum Body<'a> {
    Tool { name: &'a str, arguments: &'a RawValue },
    Other(Vec<(Cow<'a, str>, &'a RawValue)>),
}

/// What a request carries about the connection it goes out on.
#[derive(Debug)]
pub(super) struct Leg<'a> {
    pub(super) version: Version,
    /// Under which upstream shall report progress.
    pub(super) progress: Option<u64>,
    /// The client capabilities shown (modern era).
    pub(super) capabilities: &'a str,
    pub(super) log_level: Option<LogLevel>,
}

impl<'a> Ask<'a> {
    pub(super) fn tool(name: &'a str, arguments: &'a RawValue, meta: Option<&'a RawValue>) -> Self {
        Self { method: "tools/call", body: Body::Tool { name, arguments }, meta, extra: Vec::new() }
    }

    /// Any other request; `None` when its params are not an object.
    pub(super) fn other(method: &'a str, params: Option<&'a RawValue>) -> Option<Self> {
        let mut members = match params {
            Some(params) => Members::of(params)?.0,
            None => Vec::new(),
        };
        let meta = members.iter().position(|(name, _)| name == "_meta").map(|at| members.remove(at).1);
        Some(Self { method, body: Body::Other(members), meta, extra: Vec::new() })
    }

    /// The same with this `_meta` of the agent's.
    pub(super) fn with_meta(self, meta: Option<&'a RawValue>) -> Self {
        Self { meta, ..self }
    }

    /// The params for one connection.
    pub(super) fn params(&self, leg: &Leg<'_>) -> String {
        let size = match &self.body {
            Body::Tool { arguments, .. } => arguments.get().len(),
            Body::Other(members) => members.iter().map(|(name, value)| name.len() + value.get().len() + 4).sum(),
        };
        let mut out = String::with_capacity(size + 384 + leg.capabilities.len());
        out.push('{');
        match &self.body {
            Body::Tool { name, arguments } => {
                out.push_str("\"name\":");
                splice::string(&mut out, name);
                splice::append(&mut out, "arguments", arguments.get());
            }
            Body::Other(members) => {
                for (name, value) in members {
                    splice::append(&mut out, name, value.get());
                }
            }
        }
        for (name, value) in &self.extra {
            splice::append(&mut out, name, value.get());
        }
        self.write_meta(&mut out, leg);
        out.push('}');
        out
    }

    fn write_meta(&self, out: &mut String, leg: &Leg<'_>) {
        let before = out.len();
        out.push_str(if out.ends_with('{') { "\"_meta\":{" } else { ",\"_meta\":{" });
        let empty = out.len();
        if let Some(Members(theirs)) = self.meta.and_then(Members::of) {
            for (name, value) in theirs.iter().filter(|(name, _)| passes(name)) {
                splice::append(out, name, value.get());
            }
        }
        if let Some(token) = leg.progress {
            splice::append(out, "progressToken", &token.to_string());
        }
        if leg.version.era() == Era::Modern {
            out.push_str(if out.len() == empty { "" } else { "," });
            out.push_str(concat!(
                "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",",
                "\"io.modelcontextprotocol/clientInfo\":{\"name\":\"preloop\",\"version\":\"",
                env!("CARGO_PKG_VERSION"),
                "\"},\"io.modelcontextprotocol/clientCapabilities\":"
            ));
            out.push_str(leg.capabilities);
            if let Some(level) = leg.log_level {
                splice::append(out, meta::LOG_LEVEL, &format!("\"{}\"", level.as_str()));
            }
        }
        if out.len() == empty {
            out.truncate(before);
        } else {
            out.push('}');
        }
    }

    /// The headers a modern request repeats its body in. They are computed from what is sent,
    /// never taken from the agent.
    pub(super) fn mirrored(&self, params: &[HeaderParam]) -> HeaderMap {
        let mut mirrored = HeaderMap::with_capacity(4 + params.len());
        mirrored.insert(HeaderName::from_static(headers::METHOD), headers::encode(self.method));
        let name = match &self.body {
            Body::Tool { name, .. } => Some(headers::encode(name)),
            Body::Other(members) => named_by(self.method).and_then(|member| {
                let value = members.iter().find(|(name, _)| name == member)?.1;
                serde_json::from_str::<Cow<'_, str>>(value.get()).ok().map(|text| headers::encode(&text))
            }),
        };
        if let Some(name) = name {
            mirrored.insert(HeaderName::from_static(headers::NAME), name);
        }
        if let Body::Tool { arguments, .. } = &self.body {
            for param in params {
                if let Some(value) = argument(arguments, &param.path) {
                    mirrored.insert(param.header.clone(), value);
                }
            }
        }
        mirrored
    }
}

/// Task requests are routed by their task, so that they reach the replica that holds it.
fn named_by(method: &str) -> Option<&'static str> {
    match method {
        "tasks/get" | "tasks/update" | "tasks/cancel" => Some("taskId"),
        _ => headers::mirrored_member(method),
    }
}

/// Whether a `_meta` member of the agent goes on. What describes the agent's own connection
/// stays; trace context and vendor keys pass.
fn passes(name: &str) -> bool {
    name != "progressToken" && !name.starts_with("io.modelcontextprotocol/")
}

fn argument(arguments: &RawValue, path: &[String]) -> Option<HeaderValue> {
    let mut value = arguments;
    for name in path {
        value = Members::of(value)?.get(name)?;
    }
    match value.get().as_bytes().first()? {
        b'"' => Some(headers::encode(&serde_json::from_str::<Cow<'_, str>>(value.get()).ok()?)),
        b'n' | b'{' | b'[' => None,
        _ => Some(headers::encode(value.get())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEGACY: Leg<'_> = Leg { version: Version::V2025_11_25, progress: None, capabilities: "{}", log_level: None };

    #[test]
    fn meta_of_the_agents_connection_stays_and_the_rest_passes() {
        let meta = splice::raw(
            r#"{"progressToken":"theirs","traceparent":"00-ab","vendor/x":{"y": 1},"io.modelcontextprotocol/clientInfo":{}}"#,
        );
        let arguments = splice::raw(r#"{"a": 1.0}"#);
        let ask = Ask::tool("say \"hi\"", &arguments, Some(&meta));
        assert_eq!(
            ask.params(&LEGACY),
            r#"{"name":"say \"hi\"","arguments":{"a": 1.0},"_meta":{"traceparent":"00-ab","vendor/x":{"y": 1}}}"#
        );
        let modern = Leg {
            version: Version::V2026_07_28,
            progress: Some(7),
            capabilities: r#"{"elicitation":{}}"#,
            log_level: Some(LogLevel::Info),
        };
        let sent: serde_json::Value = serde_json::from_str(&ask.params(&modern)).unwrap();
        assert_eq!(sent["_meta"]["progressToken"], 7);
        assert_eq!(sent["_meta"]["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
        assert_eq!(sent["_meta"]["io.modelcontextprotocol/clientCapabilities"], serde_json::json!({"elicitation": {}}));
        assert_eq!(sent["_meta"]["io.modelcontextprotocol/logLevel"], "info");
        assert_eq!(sent["_meta"]["io.modelcontextprotocol/clientInfo"]["name"], "preloop");
    }

    #[test]
    fn empty_params_stay_empty() {
        assert_eq!(Ask::other("tools/list", None).unwrap().params(&LEGACY), "{}");
        let cursor = splice::raw(r#"{"cursor":"x","_meta":{"progressToken":1}}"#);
        assert_eq!(Ask::other("tools/list", Some(&cursor)).unwrap().params(&LEGACY), r#"{"cursor":"x"}"#);
        assert!(Ask::other("tools/list", Some(&splice::raw("[1]"))).is_none());
    }

    #[test]
    fn annotated_arguments_are_mirrored() {
        let param = |path: &[&str], header: &'static str| HeaderParam {
            path: path.iter().map(ToString::to_string).collect(),
            header: HeaderName::from_static(header),
        };
        let arguments = splice::raw(r#"{"region":"Zürich","opts":{"dry":true,"n":3},"gone":null,"list":[]}"#);
        let mirrored = Ask::tool("deploy", &arguments, None).mirrored(&[
            param(&["region"], "mcp-param-region"),
            param(&["opts", "dry"], "mcp-param-dry"),
            param(&["opts", "n"], "mcp-param-n"),
            param(&["gone"], "mcp-param-gone"),
            param(&["list"], "mcp-param-list"),
            param(&["absent"], "mcp-param-absent"),
        ]);
        assert_eq!(mirrored["mcp-method"], "tools/call");
        assert_eq!(mirrored["mcp-name"], "deploy");
        assert_eq!(mirrored["mcp-param-region"], "=?base64?WsO8cmljaA==?=");
        assert_eq!(mirrored["mcp-param-dry"], "true");
        assert_eq!(mirrored["mcp-param-n"], "3");
        assert_eq!(mirrored.len(), 5);
    }
}
