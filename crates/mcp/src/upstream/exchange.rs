use std::{collections::BTreeMap, sync::Arc};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use preloop_types::config::Server;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::protocol::{
    AskError, Client, Id, InputRequest, LogLevel, Notification, Request, Response, RpcError,
    error::{INTERNAL_ERROR, METHOD_NOT_FOUND},
};
use crate::splice;

use super::{UpstreamError, changes::Changes, gate};

/// Most messages a server may send beside one answer.
const MESSAGES_MAX: u32 = 10_000;

/// One request in flight, as seen from the agent: what upstream sends beside the answer is
/// relayed here, and what it asks is put to the agent.
pub(super) struct Exchange<'a> {
    client: &'a dyn Client,
    server: &'a Server,
    changes: &'a Changes,
    /// The progress token upstream was given.
    progress: u64,
    reported: f64,
    messages: u32,
    asked: Option<FuturesUnordered<BoxFuture<'a, Response>>>,
}

#[derive(Deserialize)]
struct Progress<'a> {
    #[serde(borrow, rename = "progressToken")]
    token: &'a RawValue,
    progress: f64,
}

#[derive(Deserialize)]
struct Log<'a> {
    #[serde(borrow)]
    level: std::borrow::Cow<'a, str>,
    logger: Option<std::borrow::Cow<'a, str>>,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(client: &'a dyn Client, server: &'a Server, changes: &'a Changes, progress: u64) -> Self {
        Self { client, server, changes, progress, reported: f64::NEG_INFINITY, messages: 0, asked: None }
    }

    /// Upstream sent a notification.
    pub(super) fn notified(&mut self, notification: &Notification) -> Result<(), UpstreamError> {
        self.count()?;
        match notification.method.as_str() {
            "notifications/progress" => self.progress(notification.params.as_deref()),
            "notifications/message" => self.log(notification.params.as_ref()),
            _ => self.changes.notified(notification),
        }
        Ok(())
    }

    /// Upstream sent a request. The answer comes at once, or later from [`Exchange::answer`].
    pub(super) fn requested(&mut self, request: Request) -> Result<Option<Response>, UpstreamError> {
        self.count()?;
        let Request { id, method, params } = request;
        if method == "ping" {
            return Ok(Some(Response { id: Some(id), result: Ok(splice::raw("{}")) }));
        }
        match gate::admit(self.server, self.client, &method, params) {
            Err(answer) => Ok(Some(Response { id: Some(id), result: answer })),
            Ok(params) => {
                let asking = Box::pin(ask(self.client, id, InputRequest { method, params }));
                self.asked.get_or_insert_with(FuturesUnordered::new).push(asking);
                Ok(None)
            }
        }
    }

    /// The next answer of the agent to something upstream asked; waits for ever when nothing was.
    pub(super) async fn answer(&mut self) -> Response {
        match self.asked.as_mut().filter(|asked| !asked.is_empty()) {
            Some(asked) => match asked.next().await {
                Some(response) => response,
                None => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }

    /// Reports that something still moves, where upstream itself reports nothing.
    pub(super) fn tick(&mut self, message: Option<&str>) {
        let next = if self.reported.is_finite() { self.reported.floor() + 1.0 } else { 1.0 };
        let Some(token) = self.client.progress_token() else { return };
        self.reported = next;
        let mut params = format!("{{\"progressToken\":{},\"progress\":{next}", token.get());
        if let Some(message) = message {
            splice::append(&mut params, "message", &serde_json::Value::from(message).to_string());
        }
        params.push('}');
        self.client.notify("notifications/progress", Some(splice::raw(params)));
    }

    fn count(&mut self) -> Result<(), UpstreamError> {
        self.messages += 1;
        if self.messages > MESSAGES_MAX {
            return Err(UpstreamError::Protocol(format!("more than {MESSAGES_MAX} messages for one request")));
        }
        Ok(())
    }

    /// Passes progress on under the agent's token; what does not move forward is dropped.
    fn progress(&mut self, params: Option<&RawValue>) {
        let (Some(params), Some(token)) = (params, self.client.progress_token()) else { return };
        let Ok(progress) = serde_json::from_str::<Progress<'_>>(params.get()) else { return };
        let ours = progress.token.get().trim_matches('"').parse() == Ok(self.progress);
        if !ours || progress.progress.partial_cmp(&self.reported) != Some(std::cmp::Ordering::Greater) {
            return;
        }
        self.reported = progress.progress;
        self.client.notify("notifications/progress", splice::replace(params, "progressToken", token.get()));
    }

    /// Passes a log message on, named after its server, if the agent wants messages that mild.
    fn log(&self, params: Option<&Arc<RawValue>>) {
        let Some(params) = params else { return };
        let Ok(log) = serde_json::from_str::<Log<'_>>(params.get()) else { return };
        let level = LogLevel::parse(&log.level).unwrap_or(LogLevel::Info);
        if self.client.log_level().is_some_and(|least| level < least) {
            return;
        }
        let logger = match log.logger {
            Some(logger) => format!("{}/{logger}", self.server.slug),
            None => self.server.slug.clone(),
        };
        let logger = serde_json::Value::from(logger).to_string();
        self.client.notify("notifications/message", splice::replace(params, "logger", &logger));
    }
}

async fn ask(client: &dyn Client, id: Id, request: InputRequest) -> Response {
    const KEY: &str = "request";
    let method = request.method.clone();
    let result = match client.ask(BTreeMap::from([(KEY.to_owned(), request)])).await {
        Ok(mut answers) => answers.remove(KEY).unwrap_or_else(|| gate::decline(&method)),
        Err(AskError::Unsupported(_)) => gate::decline(&method),
        Err(AskError::Gone) => Err(RpcError::new(INTERNAL_ERROR, "the client did not answer")),
    };
    Response { id: Some(id), result }
}

/// The answer to a request that belongs to no call of ours.
pub(super) fn unrelated(request: Request) -> Response {
    let result = match request.method.as_str() {
        "ping" => Ok(splice::raw("{}")),
        "elicitation/create" => gate::decline(&request.method),
        method => Err(RpcError::new(METHOD_NOT_FOUND, format!("`{method}` is not available"))),
    };
    Response { id: Some(request.id), result }
}
