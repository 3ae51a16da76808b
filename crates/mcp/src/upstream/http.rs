//! Streamable HTTP towards a server, both eras.

use std::{error::Error as _, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use preloop_egress::{Client, ReadError, refusal};
use serde_json::value::RawValue;
use url::Url;

use crate::protocol::{Envelope, Era, Message, Notification, Response, Version, headers};
use crate::splice;

use super::{
    UpstreamError,
    credential::Credential,
    error::Failure,
    event_stream::{Event, EventStream},
    exchange::Exchange,
    oauth,
    switchboard::{Handset, Switchboard},
};

/// How often a broken stream is resumed without anything new on it.
const RESUMES_MAX: u32 = 10;
/// How long to wait before that, where the server does not say.
const RESUME_AFTER: Duration = Duration::from_millis(500);
/// Longest error body worth reading.
const ERROR_BODY_MAX: usize = 64 * 1024;

/// One endpoint, spoken to in one revision and, in the legacy era, at most one session.
#[derive(Debug)]
pub(super) struct Http {
    client: Client,
    url: Url,
    credential: Arc<Credential>,
    version: Version,
    session: Option<HeaderValue>,
    head: HeaderMap,
    limit: usize,
}

/// A request as it goes on the wire.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) id: u64,
    pub(super) body: String,
    /// Headers of this request alone.
    pub(super) headers: HeaderMap,
}

impl Outgoing {
    pub(super) fn new(id: u64, method: &str, params: &str, headers: HeaderMap) -> Self {
        let mut body = String::with_capacity(params.len() + method.len() + 64);
        body.push_str("{\"jsonrpc\":\"2.0\",\"id\":");
        body.push_str(&id.to_string());
        body.push_str(",\"method\":");
        splice::string(&mut body, method);
        body.push_str(",\"params\":");
        body.push_str(params);
        body.push('}');
        Self { id, body, headers }
    }
}

impl Http {
    pub(super) fn new(client: Client, url: Url, credential: Arc<Credential>, version: Version, limit: usize) -> Self {
        let mut http = Self { client, url, credential, version, session: None, head: HeaderMap::new(), limit };
        http.head.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        http.head.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        http.head
            .insert(HeaderName::from_static(headers::PROTOCOL_VERSION), HeaderValue::from_static(version.as_str()));
        http
    }

    /// The same endpoint once `initialize` has settled revision and session.
    pub(super) fn settled(self, version: Version, session: Option<HeaderValue>) -> Self {
        let mut http = Self::new(self.client, self.url, self.credential, version, self.limit);
        if let Some(session) = &session {
            http.head.insert(HeaderName::from_static(headers::SESSION_ID), session.clone());
        }
        http.session = session;
        http
    }

    pub(super) fn has_session(&self) -> bool {
        self.session.is_some()
    }

    /// Sends a request and waits for its response, relaying what comes beside it.
    pub(super) async fn exchange(
        &self,
        outgoing: Outgoing,
        board: Option<Handset<'_>>,
        exchange: &mut Exchange<'_>,
    ) -> Result<Response, Failure> {
        let id = outgoing.id;
        let response = self.post(outgoing.body, outgoing.headers).await?;
        self.read(id, response, board, exchange).await
    }

    /// Sends `initialize`; also gives the session the server opened.
    pub(super) async fn initialize(
        &self,
        outgoing: Outgoing,
        exchange: &mut Exchange<'_>,
    ) -> Result<(Response, Option<HeaderValue>), Failure> {
        let id = outgoing.id;
        let response = self.post(outgoing.body, outgoing.headers).await?;
        let session = response.headers().get(headers::SESSION_ID).cloned();
        Ok((self.read(id, response, None, exchange).await?, session))
    }

    /// Sends a notification or a response.
    pub(super) async fn tell(&self, body: String) -> Result<(), Failure> {
        self.tell_with(body, HeaderMap::new()).await
    }

    /// Sends a message whose answer does not matter, under headers of its own.
    pub(super) async fn tell_with(&self, body: String, headers: HeaderMap) -> Result<(), Failure> {
        let response = self.post(body, headers).await?;
        if response.status().is_success() { Ok(()) } else { Err(self.refused(response).await) }
    }

    /// Ends the session. The server need not care.
    pub(super) async fn end(&self) {
        if self.session.is_some()
            && let Ok(request) = self.client.request(reqwest::Method::DELETE, self.url.clone())
            && let Ok(head) = self.head().await
        {
            let _ = request.headers(head).send().await;
        }
    }

    /// Opens the stream on which a legacy server sends what belongs to no call; `None` where it
    /// offers none.
    pub(super) async fn listen(&self, after: Option<&str>) -> Result<Option<EventStream>, Failure> {
        let response = self.get(after).await?;
        match response.status() {
            StatusCode::OK if is(&response, "text/event-stream") => Ok(Some(EventStream::new(response, self.limit))),
            StatusCode::OK | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_ACCEPTABLE => Ok(None),
            _ => Err(self.refused(response).await),
        }
    }

    /// Opens the stream of a modern `subscriptions/listen`.
    pub(super) async fn subscribe(&self, outgoing: Outgoing) -> Result<Option<EventStream>, Failure> {
        let response = self.post(outgoing.body, outgoing.headers).await?;
        match response.status() {
            StatusCode::OK if is(&response, "text/event-stream") => Ok(Some(EventStream::new(response, self.limit))),
            StatusCode::OK => Ok(None),
            _ => Err(self.refused(response).await),
        }
    }

    async fn head(&self) -> Result<HeaderMap, UpstreamError> {
        let mut head = self.head.clone();
        for (name, value) in self.credential.headers().await?.iter() {
            head.insert(name.clone(), value.clone());
        }
        Ok(head)
    }

    async fn post(&self, body: String, headers: HeaderMap) -> Result<reqwest::Response, Failure> {
        let mut head = self.head().await?;
        head.extend(headers);
        let request = self.client.post(self.url.clone()).map_err(UpstreamError::from)?;
        Ok(request.headers(head).body(body).send().await.map_err(|error| send_error(&error))?)
    }

    async fn get(&self, after: Option<&str>) -> Result<reqwest::Response, Failure> {
        let mut head = self.head().await?;
        head.remove(header::CONTENT_TYPE);
        head.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Some(after) = after.and_then(|id| HeaderValue::from_str(id).ok()) {
            head.insert(HeaderName::from_static(headers::LAST_EVENT_ID), after);
        }
        let request = self.client.get(self.url.clone()).map_err(UpstreamError::from)?;
        Ok(request.headers(head).send().await.map_err(|error| send_error(&error))?)
    }

    async fn read(
        &self,
        id: u64,
        response: reqwest::Response,
        board: Option<Handset<'_>>,
        exchange: &mut Exchange<'_>,
    ) -> Result<Response, Failure> {
        if response.status() != StatusCode::OK {
            return match Box::pin(self.refused(response)).await {
                Failure::Error(UpstreamError::Rpc(error)) => Ok(Response { id: None, result: Err(error) }),
                failure => Err(failure),
            };
        }
        if is(&response, "application/json") {
            let body = read_capped(response, self.limit).await?;
            return match parse(&body)? {
                Message::Response(response) if answers(&response, id) => Ok(response),
                _ => Err(UpstreamError::Protocol("the answer is not the response to the request".to_owned()).into()),
            };
        }
        if is(&response, "text/event-stream") {
            return Box::pin(self.follow(id, response, board, exchange)).await;
        }
        let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
        Err(UpstreamError::Protocol(format!("the answer is `{kind}`, not JSON or an event stream")).into())
    }

    /// Reads the stream a response comes on to its end, resuming it where the server allows.
    async fn follow(
        &self,
        id: u64,
        response: reqwest::Response,
        board: Option<Handset<'_>>,
        exchange: &mut Exchange<'_>,
    ) -> Result<Response, Failure> {
        let mut events = EventStream::new(response, self.limit);
        let mut place = Place::default();
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                answer = exchange.answer() => {
                    self.tell(answer.to_json()).await?;
                    continue;
                }
                message = from_board(board.as_ref()) => {
                    self.take(message, id, exchange).await?;
                    continue;
                }
            };
            match event {
                Ok(Some(event)) => {
                    place.passed(&event);
                    if event.data.is_empty() {
                        continue;
                    }
                    if let Some(response) = self.take(parse(event.data.as_bytes())?, id, exchange).await? {
                        return Ok(response);
                    }
                }
                Err(error @ (UpstreamError::TooLarge(_) | UpstreamError::Protocol(_))) => return Err(error.into()),
                Ok(None) | Err(_) => events = self.resume(&mut place).await?,
            }
        }
    }

    async fn take(&self, message: Message, id: u64, exchange: &mut Exchange<'_>) -> Result<Option<Response>, Failure> {
        match message {
            Message::Response(response) if answers(&response, id) => return Ok(Some(response)),
            Message::Response(_) => {}
            Message::Notification(notification) => exchange.notified(&notification)?,
            Message::Request(request) => {
                if let Some(answer) = exchange.requested(request)? {
                    self.tell(answer.to_json()).await?;
                }
            }
        }
        Ok(None)
    }

    async fn resume(&self, place: &mut Place) -> Result<EventStream, Failure> {
        let broken = || UpstreamError::Broken { why: "the stream ended before the answer".to_owned(), sent: true };
        let Some(last) = place.last.clone().filter(|_| self.version.era() == Era::Legacy) else {
            return Err(broken().into());
        };
        while place.resumes < RESUMES_MAX {
            place.resumes += 1;
            tokio::time::sleep(place.retry.unwrap_or(RESUME_AFTER).min(Duration::from_secs(30))).await;
            match self.listen(Some(&last)).await {
                Ok(Some(events)) => return Ok(events),
                Err(Failure::Error(UpstreamError::Connect(_) | UpstreamError::Broken { .. })) => {}
                Ok(None) | Err(_) => break,
            }
        }
        Err(broken().into())
    }

    /// What a status other than 200 means.
    async fn refused(&self, response: reqwest::Response) -> Failure {
        let status = response.status();
        if status == StatusCode::UNAUTHORIZED {
            return Failure::Unauthorized;
        }
        if status == StatusCode::NOT_FOUND && self.session.is_some() {
            return Failure::SessionGone;
        }
        if status == StatusCode::FORBIDDEN
            && let Some(scopes) = oauth::wanted_scopes(response.headers())
        {
            return Failure::Error(UpstreamError::InsufficientScope(scopes));
        }
        let body = read_capped(response, ERROR_BODY_MAX).await.unwrap_or_default();
        match parse(&body) {
            Ok(Message::Response(Response { result: Err(error), .. })) => {
                // Some servers say 400 where 404 is meant.
                if status == StatusCode::BAD_REQUEST
                    && self.session.is_some()
                    && error.message.to_ascii_lowercase().contains("session")
                {
                    return Failure::SessionGone;
                }
                Failure::Error(UpstreamError::Rpc(error))
            }
            _ => Failure::Error(UpstreamError::Http(status.as_u16())),
        }
    }
}

/// Where a resumable stream was left.
#[derive(Debug, Default)]
struct Place {
    last: Option<String>,
    retry: Option<Duration>,
    resumes: u32,
}

impl Place {
    fn passed(&mut self, event: &Event) {
        if event.id.is_some() {
            self.last.clone_from(&event.id);
        }
        if event.retry.is_some() {
            self.retry = event.retry;
        }
        if !event.data.is_empty() {
            self.resumes = 0;
        }
    }
}

/// Reads a stream to its end, handing everything on it to the switchboard.
pub(super) async fn drain(
    http: &Http,
    mut events: EventStream,
    board: &Switchboard,
    last: &mut Option<String>,
) -> Result<(), Failure> {
    while let Some(event) = events.next().await? {
        if event.id.is_some() {
            last.clone_from(&event.id);
        }
        if event.data.is_empty() {
            continue;
        }
        if let Some(answer) = board.route(parse(event.data.as_bytes())?) {
            http.tell(answer.to_json()).await?;
        }
    }
    Ok(())
}

/// `notifications/cancelled` for one of our requests.
pub(super) fn cancellation(id: u64) -> String {
    let params = splice::raw(format!("{{\"requestId\":{id}}}"));
    Notification { method: "notifications/cancelled".to_owned(), params: Some(params) }.to_json()
}

pub(super) fn parse(text: &[u8]) -> Result<Message, UpstreamError> {
    Envelope::parse(text).map_err(|error| UpstreamError::Protocol(error.message))
}

/// The result of a response as it came, or its error.
pub(super) fn result_of(response: Response) -> Result<Arc<RawValue>, UpstreamError> {
    response.result.map_err(UpstreamError::Rpc)
}

/// What went wrong, without the URL, which may hold what is nobody's business.
pub(super) fn describe(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut next: Option<&(dyn std::error::Error + 'static)> = error.source();
    while let Some(error) = next {
        text = error.to_string();
        next = error.source();
    }
    if text.is_empty() { "the request failed".to_owned() } else { text }
}

pub(super) fn send_error(error: &reqwest::Error) -> UpstreamError {
    if let Some(refused) = refusal(error) {
        UpstreamError::Refused(refused.clone())
    } else if error.is_connect() {
        UpstreamError::Connect(describe(error))
    } else {
        UpstreamError::Broken { why: describe(error), sent: !error.is_builder() }
    }
}

pub(super) async fn read_capped(response: reqwest::Response, limit: usize) -> Result<Bytes, UpstreamError> {
    preloop_egress::read_capped(response, limit).await.map_err(|error| match error {
        ReadError::TooLarge(limit) => UpstreamError::TooLarge(limit as u64),
        ReadError::Broken(error) => UpstreamError::Broken { why: describe(&error), sent: true },
    })
}

fn answers(response: &Response, id: u64) -> bool {
    match &response.id {
        Some(given) => given.0.get().trim_matches('"').parse() == Ok(id),
        // An error about a request the server could not read.
        None => response.result.is_err(),
    }
}

fn is(response: &reqwest::Response, kind: &str) -> bool {
    let given = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    given.split(';').next().is_some_and(|given| given.trim().eq_ignore_ascii_case(kind))
}

async fn from_board(board: Option<&Handset<'_>>) -> Message {
    match board {
        Some(handset) => handset.inbox.take().await,
        None => std::future::pending().await,
    }
}
