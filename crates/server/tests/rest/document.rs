//! The OpenAPI document, walked: every operation, with bodies it could be called with.

use reqwest::Method;
use serde_json::{Map, Value, json};

/// One operation of the document.
pub(crate) struct Operation {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// `public`, `anyone`, `person`, `in_person`, `superuser`, or the permission it needs.
    pub(crate) needs: Needs,
    /// The least body it accepts, ids in it being nobody's.
    pub(crate) body: Value,
}

/// Who an operation lets in, as it declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Everybody.
    Public,
    /// The kind of caller.
    Access(String),
    /// The permission.
    Permission(String),
}

/// An id that nothing has.
pub(crate) const NOTHING: &str = "00000000-0000-7000-8000-000000000000";

/// Every operation.
pub(crate) fn operations() -> Vec<Operation> {
    let document = serde_json::to_value(preloop_server::document()).unwrap();
    let schemas = &document["components"]["schemas"];
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let word = |name: &str| operation[name].as_str().map(str::to_owned);
            let needs = match (operation["x-public"] == "true", word("x-access"), word("x-permission")) {
                (true, None, None) => Needs::Public,
                (false, Some(access), None) => Needs::Access(access),
                (false, None, Some(permission)) => Needs::Permission(permission),
                other => panic!("{method} {path} declares {other:?}"),
            };
            let content = &operation["requestBody"]["content"]["application/json"]["schema"];
            let body = if content.is_null() { json!({}) } else { least(content, schemas, 0) };
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            all.push(Operation { method, path: path.clone(), needs, body });
        }
    }
    assert!(all.len() > 50, "{}", all.len());
    all
}

impl Operation {
    /// The path with this id wherever one goes.
    pub(crate) fn at(&self, id: &str) -> String {
        let fill = |segment: &str| if segment.starts_with('{') { id.to_owned() } else { segment.to_owned() };
        self.path.split('/').map(fill).collect::<Vec<_>>().join("/")
    }

    /// Whether the path has a place for an id.
    pub(crate) fn takes_id(&self) -> bool {
        self.path.contains("{id}") || self.path.contains("_id}")
    }
}

/// The least value that a schema allows.
fn least(schema: &Value, all: &Value, depth: u8) -> Value {
    if depth > 8 {
        return Value::Null;
    }
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return least(&all[name], all, depth + 1);
    }
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    for one_of in ["oneOf", "anyOf"] {
        if let Some(first) = schema[one_of].as_array().and_then(|all| all.iter().find(|it| it["type"] != "null")) {
            return least(first, all, depth + 1);
        }
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let parts = parts.iter().filter_map(|part| least(part, all, depth + 1).as_object().cloned());
        return Value::Object(parts.flatten().collect());
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().find(|kind| *kind != "null").cloned().unwrap_or_default(),
        kind => kind.clone(),
    };
    match (kind.as_str().unwrap_or("object"), schema["format"].as_str()) {
        ("string", Some("uuid")) => json!(NOTHING),
        ("string", Some("date-time")) => json!("2099-01-01T00:00:00Z"),
        ("string", Some("email")) => json!("nobody@example.org"),
        ("string", _) => json!("something"),
        ("integer" | "number", _) => schema.get("minimum").cloned().unwrap_or(json!(1)),
        ("boolean", _) => json!(false),
        ("array", _) => json!([]),
        _ => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let member = |name: &str| (name.to_owned(), least(&schema["properties"][name], all, depth + 1));
            Value::Object(required.map(member).collect::<Map<_, _>>())
        }
    }
}
