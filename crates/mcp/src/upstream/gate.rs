//! What an upstream server may ask of the agent and its user.

use std::sync::Arc;

use preloop_types::config::{Server, ServerSettings, Transport};
use serde_json::{Map, Value, value::RawValue};
use url::Url;

use crate::protocol::{Client, RpcError, error::METHOD_NOT_FOUND};
use crate::splice;

/// Extension under which a modern server answers with a task.
pub(super) const TASKS_EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// The answer to a request: to the server where it was declined, from the agent otherwise.
pub(super) type Answer = Result<Arc<RawValue>, RpcError>;

/// Decides on one request of `server` to the agent: its params as they may be relayed, or the
/// answer that declines it.
pub(super) fn admit(
    server: &Server,
    client: &dyn Client,
    method: &str,
    params: Option<Arc<RawValue>>,
) -> Result<Option<Arc<RawValue>>, Answer> {
    let declared = &client.info().capabilities;
    match method {
        "elicitation/create" if server.settings.allow_elicitation => {
            let Some(capability) = declared.get("elicitation") else { return Err(decline(method)) };
            let params = params.ok_or_else(|| decline(method))?;
            let form = Elicitation::read(&params).ok_or_else(|| decline(method))?;
            if form.mode.as_deref() == Some("url") && !(capability.get("url").is_some() && form.leads_to(server)) {
                return Err(decline(method));
            }
            Ok(Some(label(&params, &form.message, server)))
        }
        "sampling/createMessage" if server.settings.allow_sampling && declared.contains_key("sampling") => Ok(params),
        "roots/list" if server.settings.allow_roots && declared.contains_key("roots") => Ok(params),
        _ => Err(decline(method)),
    }
}

/// The answer that lets the server go on without the agent.
pub(super) fn decline(method: &str) -> Answer {
    match method {
        "elicitation/create" => Ok(splice::raw(r#"{"action":"decline"}"#)),
        _ => Err(RpcError::new(METHOD_NOT_FOUND, format!("`{method}` is not available"))),
    }
}

/// The capabilities a server is shown: what the agent declared and the server's settings let it
/// use. Tasks are not the agent's to declare: we follow those ourselves. JSON text, written on
/// every modern request.
pub(super) fn capabilities(declared: &Map<String, Value>, settings: &ServerSettings, tasks: bool) -> String {
    let mut shown = String::from("{");
    for (name, value) in declared {
        match name.as_str() {
            "elicitation" if !settings.allow_elicitation => {}
            "sampling" if !settings.allow_sampling => {}
            "roots" if !settings.allow_roots => {}
            "tasks" | "extensions" => {}
            // A change of roots is not relayed, so it is not promised.
            "roots" => splice::append(&mut shown, name, "{}"),
            _ => splice::append(&mut shown, name, &value.to_string()),
        }
    }
    let theirs = declared.get("extensions").and_then(Value::as_object);
    let mut extensions = String::from("{");
    for (name, value) in theirs.into_iter().flatten().filter(|(name, _)| *name != TASKS_EXTENSION) {
        splice::append(&mut extensions, name, &value.to_string());
    }
    if tasks {
        splice::append(&mut extensions, TASKS_EXTENSION, "{}");
    }
    if extensions.len() > 1 {
        extensions.push('}');
        splice::append(&mut shown, "extensions", &extensions);
    }
    shown.push('}');
    shown
}

/// What a connection shared by several agents declares: all the settings allow. Whether the agent
/// at hand can be asked is seen when it is asked.
pub(super) fn shared_capabilities(settings: &ServerSettings) -> Map<String, Value> {
    let mut all = Map::new();
    if settings.allow_elicitation {
        all.insert("elicitation".to_owned(), Value::Object(Map::new()));
    }
    if settings.allow_sampling {
        all.insert("sampling".to_owned(), Value::Object(Map::new()));
    }
    if settings.allow_roots {
        all.insert("roots".to_owned(), Value::Object(Map::new()));
    }
    all
}

#[derive(serde::Deserialize)]
struct Elicitation {
    mode: Option<String>,
    #[serde(default)]
    message: String,
    url: Option<String>,
}

impl Elicitation {
    fn read(params: &RawValue) -> Option<Self> {
        serde_json::from_str(params.get()).ok()
    }

    /// A page is only opened where the server itself lives: anywhere else could be phishing.
    fn leads_to(&self, server: &Server) -> bool {
        let home = match &server.transport {
            Transport::StreamableHttp { url } | Transport::Sse { url } => Url::parse(url).ok(),
            Transport::Stdio { .. } => None,
        };
        let target = self.url.as_deref().and_then(|url| Url::parse(url).ok());
        matches!((home, target), (Some(home), Some(target)) if home.origin() == target.origin())
    }
}

/// Says in the message who asks, so that one server cannot pose as another.
fn label(params: &Arc<RawValue>, message: &str, server: &Server) -> Arc<RawValue> {
    let text = Value::String(format!("[{}] {message}", server.name)).to_string();
    splice::replace(params, "message", &text).unwrap_or_else(|| Arc::clone(params))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_server_is_shown_what_it_may_use() {
        let declared = json!({
            "elicitation": {"form": {}}, "sampling": {}, "roots": {"listChanged": true}, "tasks": {"list": {}},
            "experimental": {"x": 1},
            "extensions": {"io.modelcontextprotocol/tasks": {}, "io.modelcontextprotocol/ui": {"a": [1]}},
        });
        let declared = declared.as_object().unwrap();
        let mut settings = ServerSettings::default();
        assert_eq!(
            capabilities(declared, &settings, false),
            r#"{"elicitation":{"form":{}},"experimental":{"x":1},"extensions":{"io.modelcontextprotocol/ui":{"a":[1]}}}"#
        );
        (settings.allow_elicitation, settings.allow_sampling, settings.allow_roots) = (false, true, true);
        assert_eq!(
            capabilities(declared, &settings, true),
            r#"{"sampling":{},"roots":{},"experimental":{"x":1},"extensions":{"io.modelcontextprotocol/ui":{"a":[1]},"io.modelcontextprotocol/tasks":{}}}"#
        );
        assert_eq!(capabilities(&Map::new(), &settings, false), "{}");
    }
}
