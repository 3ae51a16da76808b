//! `subscriptions/listen`: the one long-lived stream of the modern era.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::response::Response;
use bytes::Bytes;
use futures::{Stream, stream::BoxStream};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    endpoint::{Arrival, Shared},
    handler::{Change, Handler, Offer},
    outgoing::{self, raw},
    parking::Slot,
    replies,
    session::Subscriber,
    stream,
};
use crate::protocol::{Id, Notification, Request, RpcError, Version, error, meta};

/// What a client wants to hear of.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct Filter {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tools_list_changed: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    prompts_list_changed: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    resources_list_changed: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resource_subscriptions: Vec<String>,
}

#[derive(Deserialize)]
struct ListenParams {
    notifications: Filter,
}

impl Filter {
    /// The part that can be honoured.
    fn offered(mut self, offer: &Offer) -> Self {
        self.tools_list_changed &= offer.has("tools", "listChanged");
        self.prompts_list_changed &= offer.has("prompts", "listChanged");
        self.resources_list_changed &= offer.has("resources", "listChanged");
        if !offer.has("resources", "subscribe") {
            self.resource_subscriptions.clear();
        }
        self
    }

    fn wants(&self, change: &Change) -> bool {
        match change {
            Change::Tools => self.tools_list_changed,
            Change::Prompts => self.prompts_list_changed,
            Change::Resources => self.resources_list_changed,
            Change::Resource(uri) => self.resource_subscriptions.contains(uri),
        }
    }
}

/// Opens a stream of what the client wants to hear of.
pub(super) async fn open(arrival: &Arrival, request: &Request) -> Result<Response, RpcError> {
    let invalid = |what: String| RpcError::new(error::INVALID_PARAMS, what);
    let params = request.params.as_deref().ok_or_else(|| invalid("`params` is missing".to_owned()))?;
    let wanted: ListenParams =
        serde_json::from_str(params.get()).map_err(|error| invalid(format!("cannot listen: {error}")))?;
    let shared = &arrival.shared;
    if let Err(refusal) = arrival.accept.events() {
        return Ok(refusal.into());
    }
    if wanted.notifications.resource_subscriptions.len() > shared.options.limits.subscriptions {
        return Err(invalid("too many resources are subscribed to".to_owned()));
    }
    let Some(slot) = shared.listen_slots.take(arrival.who.key) else {
        let error = RpcError::new(error::INVALID_REQUEST, "too many streams are open; close one first");
        return Ok(replies::rpc_error(StatusCode::TOO_MANY_REQUESTS, Some(request.id.clone()), error));
    };
    let offer = shared.handler.capabilities(&arrival.who, &arrival.scope, Version::V2026_07_28).await?;
    let mut filter = wanted.notifications.offered(&offer);
    // Changes are followed before resources are watched, so that none falls in between.
    let changes = shared.handler.changes(&arrival.who, &arrival.scope);
    let subscriber = arrival.subscriber();
    let mut watched = Watched { handler: Arc::clone(&shared.handler), subscriber, uris: Vec::new() };
    for uri in std::mem::take(&mut filter.resource_subscriptions) {
        if !watched.uris.contains(&uri) && watched.subscriber.subscribe(&watched.handler, &uri).await.is_ok() {
            watched.uris.push(uri);
        }
    }
    filter.resource_subscriptions.clone_from(&watched.uris);

    let id = request.id.clone();
    let acknowledged = json!({"notifications": filter});
    let greeting = notification(&id, "notifications/subscriptions/acknowledged", acknowledged);
    let farewell = farewell(shared, &id);
    let listening = Listening { greeting: Some(greeting), changes, filter, id, _watched: watched, _slot: slot };
    let options = &shared.options;
    Ok(replies::events(stream::body(listening, &options.limits, &options.shutdown, Some(farewell))))
}

/// An event that names the listen request it belongs to.
fn notification(id: &Id, method: &str, params: Value) -> Bytes {
    let mut params = match params {
        Value::Object(params) => params,
        _ => Map::new(),
    };
    params.insert("_meta".to_owned(), subscription(id));
    let notification = Notification { method: method.to_owned(), params: Some(raw(&params)) };
    stream::frame("", "message", &notification.to_json()).into()
}

fn subscription(id: &Id) -> Value {
    json!({ meta::SUBSCRIPTION_ID: serde_json::from_str::<Value>(id.0.get()).unwrap_or_default() })
}

/// The response that ends a listen request when the server goes away in good order.
fn farewell(shared: &Shared, id: &Id) -> Bytes {
    let outcome = Ok(raw(&json!({"_meta": subscription(id)})));
    let version = Version::V2026_07_28;
    let response = outgoing::response(id, &outcome, version, "subscriptions/listen", &shared.server_info);
    stream::frame("", "message", &response).into()
}

struct Listening {
    greeting: Option<Bytes>,
    changes: BoxStream<'static, Change>,
    filter: Filter,
    id: Id,
    _watched: Watched,
    _slot: Slot,
}

impl Stream for Listening {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(greeting) = self.greeting.take() {
            return Poll::Ready(Some(greeting));
        }
        loop {
            let change = match self.changes.as_mut().poll_next(cx) {
                Poll::Ready(Some(change)) => change,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            };
            if self.filter.wants(&change) {
                let params = match &change {
                    Change::Resource(uri) => json!({"uri": uri}),
                    _ => json!({}),
                };
                return Poll::Ready(Some(notification(&self.id, change.method(), params)));
            }
        }
    }
}

/// Resources a stream watches, for as long as it is open.
struct Watched {
    handler: Arc<dyn Handler>,
    subscriber: Subscriber,
    uris: Vec<String>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        for uri in self.uris.drain(..) {
            self.subscriber.clone().unsubscribe(&self.handler, uri);
        }
    }
}
