//! What an upstream server may ask of the agent and its user.

use std::sync::Arc;

use preloop_types::config::{Server, ServerSettings, Transport};
use serde_json::{Map, Value, value::RawValue};
use url::Url;

use crate::protocol::{Client, RpcError, error::METHOD_NOT_FOUND};

use super::members;

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
        "elicitation/create" => Ok(members::raw(r#"{"action":"decline"}"#)),
        _ => Err(RpcError::new(METHOD_NOT_FOUND, format!("`{method}` is not available"))),
    }
}

/// The capabilities a server is shown: what the agent declared and the server's settings let it
/// use. Tasks are not the agent's to declare: we follow those ourselves.
pub(super) fn capabilities(declared: &Map<String, Value>, settings: &ServerSettings, tasks: bool) -> String {
    let mut shown = Map::new();
    for (name, value) in declared {
        match name.as_str() {
            "elicitation" if !settings.allow_elicitation => {}
            "sampling" if !settings.allow_sampling => {}
            "roots" if !settings.allow_roots => {}
            "tasks" => {}
            // A change of roots is not relayed, so it is not promised.
            "roots" => drop(shown.insert(name.clone(), Value::Object(Map::new()))),
            "extensions" => {
                let mut extensions = value.as_object().cloned().unwrap_or_default();
                extensions.remove(TASKS_EXTENSION);
                if !extensions.is_empty() {
                    shown.insert(name.clone(), Value::Object(extensions));
                }
            }
            _ => drop(shown.insert(name.clone(), value.clone())),
        }
    }
    if tasks && let Value::Object(extensions) = shown.entry("extensions").or_insert_with(|| Value::Object(Map::new())) {
        extensions.insert(TASKS_EXTENSION.to_owned(), Value::Object(Map::new()));
    }
    if shown.is_empty() { "{}".to_owned() } else { Value::Object(shown).to_string() }
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
    members::replace(params, "message", &text).unwrap_or_else(|| Arc::clone(params))
}
