//! What a modern request repeats in its headers.

use std::collections::HashMap;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use crate::protocol::{Request, headers, meta};

/// Arguments that tools want repeated, by tool: the path of the argument, the name of its header.
#[derive(Debug, Default)]
pub(super) struct Annotations(HashMap<String, Vec<(Vec<String>, String)>>);

impl Annotations {
    /// Learns them from a page of `tools/list`.
    pub(super) fn learn(&mut self, result: &RawValue) {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Tool {
            name: String,
            #[serde(default)]
            input_schema: Value,
        }
        #[derive(Deserialize)]
        struct Page {
            tools: Vec<Tool>,
        }
        // Most tools have none: a page without the word is not parsed.
        if !result.get().contains(ANNOTATION) {
            return;
        }
        let Ok(page) = serde_json::from_str::<Page>(result.get()) else { return };
        for tool in page.tools {
            let mut found = Vec::new();
            collect(&tool.input_schema, &mut Vec::new(), &mut found);
            self.0.insert(tool.name, found);
        }
    }

    fn of(&self, tool: &str) -> &[(Vec<String>, String)] {
        self.0.get(tool).map_or(&[], Vec::as_slice)
    }
}

const ANNOTATION: &str = "x-mcp-header";

/// Annotations count only where a chain of `properties` leads to them.
fn collect(schema: &Value, path: &mut Vec<String>, found: &mut Vec<(Vec<String>, String)>) {
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        path.push(name.clone());
        if let Some(header) = property.get(ANNOTATION).and_then(Value::as_str) {
            found.push((path.clone(), header.to_owned()));
        }
        collect(property, path, found);
        path.pop();
    }
}

/// The revision a request states in its `_meta`, which only modern ones do.
pub(super) fn stated_version(request: &Request) -> Option<String> {
    let params: Map<String, Value> = serde_json::from_str(request.params.as_ref()?.get()).ok()?;
    params.get("_meta")?.get(meta::PROTOCOL_VERSION)?.as_str().map(str::to_owned)
}

/// The headers of a modern request.
pub(super) fn mirrored(request: &Request, version: &str, annotations: &Annotations) -> HeaderMap {
    let mut mirrored = HeaderMap::new();
    mirrored.insert(headers::PROTOCOL_VERSION, headers::encode(version));
    mirrored.insert(headers::METHOD, headers::encode(&request.method));
    let params = request.params.as_ref().and_then(|params| serde_json::from_str::<Value>(params.get()).ok());
    let params = params.unwrap_or_default();
    let Some(name) = headers::mirrored_member(&request.method).and_then(|member| params.get(member)?.as_str()) else {
        return mirrored;
    };
    mirrored.insert(headers::NAME, headers::encode(name));
    for (path, header) in annotations.of(name) {
        let argument =
            path.iter().try_fold(params.get("arguments").unwrap_or(&Value::Null), |value, key| value.get(key));
        if let (Some(value), Ok(name)) =
            (argument.and_then(spelled), HeaderName::try_from(format!("{}{header}", headers::PARAM_PREFIX)))
        {
            mirrored.insert(name, value);
        }
    }
    mirrored
}

fn spelled(argument: &Value) -> Option<HeaderValue> {
    match argument {
        Value::String(text) => Some(headers::encode(text)),
        Value::Bool(_) | Value::Number(_) => Some(headers::encode(&argument.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
