//! What a modern server may answer instead of a result: that it needs input, or that it will take
//! a while. Callers only ever see what comes out in the end.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use preloop_types::{KeyId, config::Server};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::protocol::{AskError, Client, Era, InputRequest, RpcError};
use crate::splice::{self, Members};

use super::{
    UpstreamError,
    exchange::Exchange,
    gate,
    http::result_of,
    params::Ask,
    peer::{Peer, Side},
};

/// Rounds of questions one request may take.
pub(super) const ROUNDS_MAX: u32 = 8;
const POLL_DEFAULT: Duration = Duration::from_secs(1);
const POLL_MIN: Duration = Duration::from_millis(50);
const POLL_MAX: Duration = Duration::from_secs(30);

/// A result, before it is known to be final.
pub(super) enum Turn {
    Complete,
    InputRequired { requests: BTreeMap<String, InputRequest>, state: Option<Arc<RawValue>> },
    Task(Task),
}

/// A task that stands in for a result.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Task {
    #[serde(rename = "taskId")]
    id: String,
    status: String,
    status_message: Option<String>,
    /// Named so in the extension …
    poll_interval_ms: Option<u64>,
    /// … and so in 2025-11-25.
    poll_interval: Option<u64>,
}

#[derive(Deserialize)]
struct Peek<'a> {
    #[serde(borrow, rename = "resultType")]
    kind: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, rename = "inputRequests")]
    requests: Option<&'a RawValue>,
    #[serde(borrow, rename = "requestState")]
    state: Option<&'a RawValue>,
}

/// Tells what a modern server answered.
pub(super) fn turn(result: &RawValue) -> Result<Turn, UpstreamError> {
    let odd = |error: serde_json::Error| UpstreamError::Protocol(format!("the result: {error}"));
    let peek: Peek<'_> = serde_json::from_str(result.get()).map_err(odd)?;
    match peek.kind.as_deref() {
        None | Some("complete") => Ok(Turn::Complete),
        Some("input_required") => {
            Ok(Turn::InputRequired { requests: requests(peek.requests)?, state: peek.state.map(own) })
        }
        Some("task") => Ok(Turn::Task(serde_json::from_str(result.get()).map_err(odd)?)),
        Some(other) => Err(UpstreamError::Protocol(format!("a result of unknown type `{other}`"))),
    }
}

fn requests(raw: Option<&RawValue>) -> Result<BTreeMap<String, InputRequest>, UpstreamError> {
    #[derive(Deserialize)]
    struct One<'a> {
        method: String,
        #[serde(borrow)]
        params: Option<&'a RawValue>,
    }
    let Some(raw) = raw.filter(|raw| raw.get() != "null") else { return Ok(BTreeMap::new()) };
    let all: BTreeMap<String, One<'_>> = serde_json::from_str(raw.get())
        .map_err(|error| UpstreamError::Protocol(format!("`inputRequests`: {error}")))?;
    Ok(all
        .into_iter()
        .map(|(key, one)| (key, InputRequest { method: one.method, params: one.params.map(own) }))
        .collect())
}

fn own(raw: &RawValue) -> Arc<RawValue> {
    Arc::from(raw.to_owned())
}

/// Puts a server's questions to the agent: `inputResponses` as the server wants them. What the
/// agent may not be asked is declined here; what it does not answer is left out.
pub(super) async fn answers(
    server: &Server,
    client: &dyn Client,
    requests: BTreeMap<String, InputRequest>,
) -> Result<Arc<RawValue>, UpstreamError> {
    let mut out = String::from("{");
    let mut open = BTreeMap::new();
    let had_some = !requests.is_empty();
    for (key, InputRequest { method, params }) in requests {
        match gate::admit(server, client, &method, params) {
            Ok(params) => drop(open.insert(key, InputRequest { method, params })),
            Err(Ok(answer)) => splice::append(&mut out, &key, answer.get()),
            Err(Err(_)) => {}
        }
    }
    // A round without questions is put to the agent as well: it shows that the server waits.
    if !open.is_empty() || !had_some {
        let methods: Vec<(String, String)> =
            open.iter().map(|(key, request)| (key.clone(), request.method.clone())).collect();
        let answers = match client.ask(open).await {
            Ok(answers) => answers,
            Err(AskError::Unsupported(_)) => {
                methods.into_iter().map(|(key, method)| (key, gate::decline(&method))).collect()
            }
            Err(AskError::Gone) => return Err(UpstreamError::Cancelled),
        };
        for (key, answer) in answers {
            if let Ok(answer) = answer {
                splice::append(&mut out, &key, answer.get());
            }
        }
    }
    out.push('}');
    Ok(splice::raw(out))
}

/// Follows a task to its end and gives the result it stood in for.
pub(super) async fn follow(
    peer: &Peer,
    side: Side<'_>,
    mut task: Task,
    client: &dyn Client,
    who: Option<KeyId>,
) -> Result<Arc<RawValue>, UpstreamError> {
    let mut abandon = Abandon { peer, side, id: Some(task.id.clone()) };
    let mut progress = Exchange::new(client, side.server, side.changes, 0);
    let mut said = None;
    let mut answered: Vec<String> = Vec::new();
    let result = loop {
        if task.status_message != said {
            said.clone_from(&task.status_message);
            progress.tick(said.as_deref());
        }
        let named = splice::raw(serde_json::json!({ "taskId": task.id }).to_string());
        if let Some(end) = end(peer, side, &task, &named, client, who).await? {
            break end;
        }
        let pause = task.poll_interval_ms.or(task.poll_interval).map_or(POLL_DEFAULT, Duration::from_millis);
        tokio::time::sleep(pause.clamp(POLL_MIN, POLL_MAX)).await;
        let state = request(peer, side, "tasks/get", &named, client, who).await?;
        task = serde_json::from_str(state.get())
            .map_err(|error| UpstreamError::Protocol(format!("the answer to `tasks/get`: {error}")))?;
        if peer.version.era() == Era::Modern {
            match task.status.as_str() {
                "input_required" => update(peer, side, &task, &state, &mut answered, client, who).await?,
                "completed" => break inlined(&state, "result")?,
                "failed" => {
                    let error: RpcError = serde_json::from_str(inlined(&state, "error")?.get())
                        .map_err(|error| UpstreamError::Protocol(format!("a failed task: {error}")))?;
                    abandon.id = None;
                    return Err(UpstreamError::Rpc(error));
                }
                _ => {}
            }
        }
    };
    abandon.id = None;
    Ok(result)
}

/// The result of a task that is over. In the legacy era it is fetched, and so are questions, which
/// come on the stream of that request.
async fn end(
    peer: &Peer,
    side: Side<'_>,
    task: &Task,
    named: &Arc<RawValue>,
    client: &dyn Client,
    who: Option<KeyId>,
) -> Result<Option<Arc<RawValue>>, UpstreamError> {
    match (task.status.as_str(), peer.version.era()) {
        ("completed" | "failed" | "input_required", Era::Legacy) => {
            request(peer, side, "tasks/result", named, client, who).await.map(Some)
        }
        ("cancelled", _) => Err(UpstreamError::Rpc(RpcError::new(
            crate::protocol::error::INTERNAL_ERROR,
            task.status_message.clone().unwrap_or_else(|| "the server cancelled the task".to_owned()),
        ))),
        ("working" | "completed" | "failed" | "input_required", _) => Ok(None),
        (status, _) => Err(UpstreamError::Protocol(format!("a task of unknown status `{status}`"))),
    }
}

async fn update(
    peer: &Peer,
    side: Side<'_>,
    task: &Task,
    state: &RawValue,
    answered: &mut Vec<String>,
    client: &dyn Client,
    who: Option<KeyId>,
) -> Result<(), UpstreamError> {
    let mut open = requests(Members::of(state).and_then(|members| members.get("inputRequests")))?;
    open.retain(|key, _| !answered.contains(key));
    if open.is_empty() {
        return Ok(());
    }
    if answered.len() + open.len() > 64 {
        return Err(UpstreamError::Protocol("a task asks too many questions".to_owned()));
    }
    answered.extend(open.keys().cloned());
    let responses = answers(side.server, client, open).await?;
    let mut params = String::from("{");
    splice::append(&mut params, "taskId", &serde_json::Value::from(task.id.as_str()).to_string());
    splice::append(&mut params, "inputResponses", responses.get());
    params.push('}');
    request(peer, side, "tasks/update", &splice::raw(params), client, who).await?;
    Ok(())
}

fn inlined(state: &RawValue, member: &str) -> Result<Arc<RawValue>, UpstreamError> {
    Members::of(state)
        .and_then(|members| members.get(member))
        .map(own)
        .ok_or_else(|| UpstreamError::Protocol(format!("a task that is over, without its `{member}`")))
}

async fn request(
    peer: &Peer,
    side: Side<'_>,
    method: &str,
    params: &Arc<RawValue>,
    client: &dyn Client,
    who: Option<KeyId>,
) -> Result<Arc<RawValue>, UpstreamError> {
    let ask = Ask::other(method, Some(params)).ok_or_else(|| UpstreamError::Config("params".to_owned()))?;
    result_of(peer.send(side, &ask, &[], client, who).await?)
}

/// Cancels a task nobody waits for any more.
struct Abandon<'a> {
    peer: &'a Peer,
    side: Side<'a>,
    id: Option<String>,
}

impl Drop for Abandon<'_> {
    fn drop(&mut self) {
        if let Some(task) = self.id.take() {
            self.peer.cancel_task(self.side.ids.fetch_add(1, Ordering::Relaxed), &task);
        }
    }
}
