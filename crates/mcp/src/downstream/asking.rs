//! Putting requests of an upstream to the agent, as its era allows.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::value::RawValue;
use tokio::sync::oneshot;

use super::{
    exchange::{Exchange, Leg, Outlet, Question},
    outgoing::raw,
    session::Session,
    stream::EventStream,
};
use crate::protocol::{AskError, ClientInfo, Id, InputRequest, InputResponses, Notification, Request};
use crate::splice;

/// Puts `requests` to the agent of `exchange` and waits for the answers.
pub(super) async fn ask(
    exchange: &Exchange,
    requests: BTreeMap<String, InputRequest>,
) -> Result<InputResponses, AskError> {
    let info = crate::protocol::Client::info(exchange);
    if let Some(missing) = requests.values().find_map(|request| missing_capability(info, request)) {
        return Err(AskError::Unsupported(format!("it does not declare `{missing}`")));
    }
    let cancelled = crate::protocol::Client::cancelled(exchange);
    let answers = async {
        match &exchange.leg {
            Leg::Modern { asking, .. } => {
                // One question at a time: the response it ends is the only one there is.
                let _turn = asking.lock().await;
                ask_modern(exchange, requests).await
            }
            Leg::Legacy { session: Some(session), outlet } => ask_legacy(exchange, session, outlet, requests).await,
            Leg::Legacy { session: None, .. } => Err(AskError::Unsupported("it opened no session".to_owned())),
        }
    };
    tokio::select! {
        biased;
        () = cancelled.cancelled() => Err(AskError::Gone),
        answers = tokio::time::timeout(exchange.shared.options.limits.ask_for, answers) => {
            answers.unwrap_or(Err(AskError::Gone))
        }
    }
}

/// The capability `request` needs and the client did not declare.
fn missing_capability(info: &ClientInfo, request: &InputRequest) -> Option<&'static str> {
    let declared = |name: &str| info.capabilities.get(name).filter(|value| !value.is_null());
    match request.method.as_str() {
        "elicitation/create" => {
            let Some(elicitation) = declared("elicitation") else { return Some("elicitation") };
            let mode = request.params.as_ref().and_then(|params| splice::get(params.get(), "mode"));
            let by_url = elicitation.get("url").is_some();
            match mode {
                Some("\"url\"") if !by_url => Some("elicitation.url"),
                // A client that names no mode means forms.
                None | Some("\"form\"") if by_url && elicitation.get("form").is_none() => Some("elicitation.form"),
                _ => None,
            }
        }
        "sampling/createMessage" => declared("sampling").is_none().then_some("sampling"),
        "roots/list" => declared("roots").is_none().then_some("roots"),
        _ => Some("this kind of request"),
    }
}

// === modern: the response ends with the question ===

async fn ask_modern(exchange: &Exchange, requests: BTreeMap<String, InputRequest>) -> Result<InputResponses, AskError> {
    if !matches!(exchange.method.as_str(), "tools/call" | "prompts/get" | "resources/read") {
        return Err(AskError::Unsupported(format!("`{}` cannot be interrupted by a question", exchange.method)));
    }
    let Some(_slot) = exchange.shared.parked_slots.take(exchange.who.key) else {
        return Err(AskError::Unsupported("too many of its requests wait for answers".to_owned()));
    };
    let (answers, answered) = oneshot::channel();
    let _posed = Posed(exchange);
    exchange.pose(Question { requests, answers });
    // The sender is dropped with the ticket, or when the agent goes away.
    answered.await.map_err(|_| AskError::Gone)
}

struct Posed<'a>(&'a Exchange);

impl Drop for Posed<'_> {
    fn drop(&mut self) {
        self.0.unpose();
    }
}

// === legacy: requests of ours, on a stream ===

async fn ask_legacy(
    exchange: &Exchange,
    session: &Arc<Session>,
    outlet: &Outlet,
    requests: BTreeMap<String, InputRequest>,
) -> Result<InputResponses, AskError> {
    let Some(stream) = stream_for_requests(exchange, session, outlet) else {
        return Err(AskError::Unsupported("it reads no stream it could be asked on".to_owned()));
    };
    let mut asked = Asked { session, stream: &stream, numbers: Vec::with_capacity(requests.len()) };
    let mut waiting = Vec::with_capacity(requests.len());
    for (key, request) in requests {
        let (number, answer) = session.ask();
        asked.numbers.push(number);
        let request = Request { id: Id::number(number), method: request.method, params: request.params };
        stream.push(&request.to_json());
        waiting.push((key, answer));
    }
    exchange.nudge();
    let mut answers = InputResponses::new();
    for (key, answer) in waiting {
        match answer.await {
            Ok(answer) => answers.insert(key, answer),
            Err(_) => return Err(AskError::Gone),
        };
    }
    Ok(answers)
}

/// The stream of the call while its agent is there, else one the agent listens on, else the
/// stream of the call in the hope that the agent comes back to it.
fn stream_for_requests(exchange: &Exchange, session: &Session, outlet: &Outlet) -> Option<Arc<EventStream>> {
    let listener = || session.listener().filter(|stream| stream.is_attached());
    match outlet {
        Outlet::Shared(stream) => Some(Arc::clone(stream)),
        Outlet::Own if exchange.has_reader() => exchange.stream(),
        Outlet::Own => listener().or_else(|| exchange.stream()),
        Outlet::Nowhere => listener(),
    }
}

/// Requests of ours that are out. Those nobody waits for any more are cancelled.
struct Asked<'a> {
    session: &'a Session,
    stream: &'a EventStream,
    numbers: Vec<u64>,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        for &number in self.numbers.iter().filter(|&&number| self.session.unask(number)) {
            let params: Arc<RawValue> = raw(&serde_json::json!({"requestId": number}));
            let cancelled = Notification { method: "notifications/cancelled".to_owned(), params: Some(params) };
            self.stream.push(&cancelled.to_json());
        }
    }
}
