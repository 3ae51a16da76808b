//! Responses as each era wants them.

use std::sync::Arc;

use serde_json::value::RawValue;

use crate::protocol::{Era, Id, Response, RpcError, Version, error, meta};
use crate::splice;

/// How a request ended.
pub(super) type Outcome = Result<Arc<RawValue>, RpcError>;

/// How long a modern client may trust a list, in milliseconds: what a principal may see can
/// change at any time, and clients that listen are told.
const TTL_MAX_MS: u64 = 60_000;

/// A result of ours.
pub(super) fn raw(value: &impl serde::Serialize) -> Arc<RawValue> {
    // Plain JSON values always serialise.
    Arc::from(serde_json::value::to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned()))
}

/// The response message to a request of `method` made in `version`.
pub(super) fn response(id: &Id, outcome: &Outcome, version: Version, method: &str, server_info: &str) -> String {
    let result = match outcome {
        Err(error) => {
            return Response { id: Some(id.clone()), result: Err(for_era(error, version.era())) }.to_json();
        }
        Ok(result) => result.get(),
    };
    let mut out = String::with_capacity(result.len() + 256);
    out.push_str(r#"{"jsonrpc":"2.0","id":"#);
    out.push_str(id.0.get());
    out.push_str(r#","result":"#);
    match version.era() {
        Era::Modern => push_modern(&mut out, result, method, server_info),
        Era::Legacy if result.contains("\"resultType\"") => out.push_str(&splice::without(result, is_modern_only)),
        Era::Legacy => out.push_str(result),
    }
    out.push('}');
    out
}

/// Members that a result has in the modern era only.
fn is_modern_only(key: &str) -> bool {
    matches!(key, "resultType" | "ttlMs" | "cacheScope")
}

/// Methods whose results carry cache hints.
fn is_cacheable(method: &str) -> bool {
    matches!(
        method,
        "server/discover"
            | "tools/list"
            | "prompts/list"
            | "resources/list"
            | "resources/templates/list"
            | "resources/read"
    )
}

/// Adds what the modern era demands of every result, leaving the rest as it came.
fn push_modern(out: &mut String, result: &str, method: &str, server_info: &str) {
    let Some(members) = splice::spans(result) else {
        out.push_str(result);
        return;
    };
    let (mut result_type, mut ttl, mut scope, mut result_meta) = (None, None, None, None);
    for member in members {
        match &*member.name(result) {
            "resultType" => result_type = Some(member.value),
            "ttlMs" => ttl = Some(member.value),
            "cacheScope" => scope = Some(member.value),
            "_meta" => result_meta = Some(member.value),
            _ => {}
        }
    }
    let meta_now = match &result_meta {
        None => Some(format!("{{\"{}\":{server_info}}}", meta::SERVER_INFO)),
        Some(at) if splice::get(&result[at.clone()], meta::SERVER_INFO).is_none() => {
            Some(splice::set(&result[at.clone()], meta::SERVER_INFO, server_info))
        }
        Some(_) => None,
    };
    let ttl_now = ttl.as_ref().map(|at| result[at.clone()].parse::<u64>().unwrap_or(0).min(TTL_MAX_MS));
    let ttl_text = ttl_now.unwrap_or(if method == "resources/read" { 0 } else { TTL_MAX_MS }).to_string();

    // Members that exist are replaced where they are, from the back; the others go in front.
    let mut front = Vec::new();
    let mut replaced = Vec::new();
    let mut set = |key: &'static str, at: Option<std::ops::Range<usize>>, value: &'_ str| match at {
        Some(at) => replaced.push((at, value.to_owned())),
        None => front.push((key, value.to_owned())),
    };
    if result_type.is_none() {
        set("resultType", None, "\"complete\"");
    }
    if is_cacheable(method) {
        set("ttlMs", ttl, &ttl_text);
        set("cacheScope", scope, "\"private\"");
    }
    if let Some(value) = meta_now {
        set("_meta", result_meta, &value);
    }
    let front: Vec<_> = front.iter().map(|(key, value)| (*key, value.as_str())).collect();
    if replaced.is_empty() {
        splice::push_front(out, result, &front);
        return;
    }
    replaced.sort_by_key(|(at, _)| std::cmp::Reverse(at.start));
    let mut text = result.to_owned();
    for (at, value) in replaced {
        text.replace_range(at, &value);
    }
    splice::push_front(out, &text, &front);
}

/// A missing resource has another code in each era.
fn for_era(error: &RpcError, era: Era) -> RpcError {
    let mut error = error.clone();
    if era == Era::Modern && error.code == error::RESOURCE_NOT_FOUND {
        error.code = error::INVALID_PARAMS;
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = r#"{"name":"p"}"#;

    fn sent(result: &str, version: Version, method: &str) -> String {
        let outcome = Ok(Arc::from(RawValue::from_string(result.to_owned()).unwrap()));
        let text = response(&Id::number(1), &outcome, version, method, SERVER);
        splice::get(&text, "result").unwrap().to_owned()
    }

    #[test]
    fn modern_results_gain_what_they_lack_and_keep_the_rest() {
        let call = |result: &str| sent(result, Version::V2026_07_28, "tools/call");
        let list = |result: &str| sent(result, Version::V2026_07_28, "tools/list");
        let info = r#""_meta":{"io.modelcontextprotocol/serverInfo":{"name":"p"}}"#;

        assert_eq!(
            call(r#"{"content":[ 1.0e3 ]}"#),
            format!(r#"{{"resultType":"complete",{info},"content":[ 1.0e3 ]}}"#)
        );
        assert_eq!(
            call(r#"{"x":1,"resultType":"task","_meta":{"k":1}}"#),
            r#"{"x":1,"resultType":"task","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"p"},"k":1}}"#
        );
        assert_eq!(
            list(r#"{"tools":[]}"#),
            format!(r#"{{"resultType":"complete","ttlMs":60000,"cacheScope":"private",{info},"tools":[]}}"#)
        );
        assert_eq!(
            list(r#"{"cacheScope":"public","tools":[],"ttlMs":300000}"#),
            format!(r#"{{"resultType":"complete",{info},"cacheScope":"private","tools":[],"ttlMs":60000}}"#)
        );
    }

    #[test]
    fn legacy_results_lose_modern_members_and_only_those() {
        let legacy = |result: &str| sent(result, Version::V2025_06_18, "tools/list");
        assert_eq!(
            legacy(r#"{"resultType":"complete","tools":[],"ttlMs":1,"cacheScope":"public","x":2}"#),
            r#"{"tools":[],"x":2}"#
        );
        assert_eq!(legacy(r#"{"tools":[],"ttlMs":1}"#), r#"{"tools":[],"ttlMs":1}"#, "not a modern result");
    }

    #[test]
    fn a_missing_resource_has_the_code_of_its_era() {
        let outcome = Err(RpcError::new(error::RESOURCE_NOT_FOUND, "no such resource"));
        for (version, code) in [(Version::V2025_11_25, "-32002"), (Version::V2026_07_28, "-32602")] {
            assert!(response(&Id::number(1), &outcome, version, "resources/read", SERVER).contains(code));
        }
    }
}
