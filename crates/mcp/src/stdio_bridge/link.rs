//! The HTTP side: sends messages, reads answers, keeps the session.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use eventsource_stream::Eventsource as _;
use futures::StreamExt as _;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use reqwest::Method;
use serde_json::value::RawValue;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    BridgeOptions,
    mirror::{Annotations, mirrored, stated_version},
};
use crate::{
    downstream::on_one_line,
    protocol::{self, Envelope, Id, Message, Notification, Request, RpcError, error, headers},
};

/// What the server end is told when nothing answers there.
const UNREACHABLE: i64 = -32000;
/// How often a stream that broke off is resumed before its request is given up.
const RESUMES: u32 = 8;

/// The connection to the endpoint.
pub(super) struct Link {
    options: BridgeOptions,
    http: reqwest::Client,
    /// Lines for the client.
    out: mpsc::Sender<String>,
    session: Mutex<Session>,
    /// Held while a new session is opened in place of one that is gone.
    renewing: tokio::sync::Mutex<()>,
    annotations: Mutex<Annotations>,
    credential: Mutex<Option<HeaderValue>>,
    stop: CancellationToken,
}

#[derive(Default, Clone)]
struct Session {
    id: Option<String>,
    version: Option<String>,
    /// The client's `initialize`, to be repeated when the server forgot it.
    hello: Option<Request>,
    /// Ends the listening stream of this session.
    listening: Option<CancellationToken>,
}

/// Why a request has no answer.
enum Failure {
    /// Nothing reached the server.
    Unreachable(String),
    /// It was reached and then lost.
    Lost(String),
}

impl Link {
    pub(super) fn new(
        options: BridgeOptions,
        out: mpsc::Sender<String>,
        stop: CancellationToken,
    ) -> reqwest::Result<Self> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .connect_timeout(options.connect_timeout)
            .build()?;
        Ok(Self {
            options,
            http,
            out,
            session: Mutex::default(),
            renewing: tokio::sync::Mutex::default(),
            annotations: Mutex::default(),
            credential: Mutex::default(),
            stop,
        })
    }

    pub(super) async fn say(&self, line: &str) {
        // The writer outlives the link.
        let _ = self.out.send(on_one_line(line).into_owned()).await;
    }

    async fn say_error(&self, id: Id, error: RpcError) {
        self.say(&protocol::Response { id: Some(id), result: Err(error) }.to_json()).await;
    }

    fn session(&self) -> Session {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change_session<T>(&self, change: impl FnOnce(&mut Session) -> T) -> T {
        change(&mut self.session.lock().unwrap_or_else(PoisonError::into_inner))
    }

    // === messages of the client ===

    /// Carries one request and says its answer.
    pub(super) async fn request(self: &Arc<Self>, request: Request) {
        let initializing = request.method == "initialize";
        let body = request.to_json();
        let own = match stated_version(&request) {
            Some(version) => {
                let annotations = self.annotations.lock().unwrap_or_else(PoisonError::into_inner);
                Some(mirrored(&request, &version, &annotations))
            }
            None => None,
        };
        if initializing {
            self.change_session(|session| *session = Session { hello: Some(request.clone()), ..Session::default() });
        }
        let sent = self.post(&body, own.as_ref(), initializing).await;
        let answered = match sent {
            Ok(response) => self.answer(&request, response, own.is_some()).await,
            Err(failure) => Err(failure),
        };
        if let Err(Failure::Unreachable(why) | Failure::Lost(why)) = answered {
            tracing::warn!(method = request.method, why, "a request has no answer");
            self.say_error(request.id, RpcError::new(UNREACHABLE, why)).await;
        }
    }

    /// Carries a notification or an answer, or a whole batch.
    pub(super) async fn pass(self: &Arc<Self>, body: &str) {
        let response = match self.post(body, None, false).await {
            Ok(response) => response,
            Err(Failure::Unreachable(why) | Failure::Lost(why)) => {
                tracing::warn!(why, "a message was not delivered");
                return;
            }
        };
        if response.status() == StatusCode::OK
            && let Ok(text) = response.text().await
            && !text.is_empty()
        {
            self.say(&text).await;
        }
    }

    /// The client is ready: from now on it is told what the server has to say by itself.
    pub(super) fn listen(self: &Arc<Self>) {
        let listening = self.stop.child_token();
        let session = self.change_session(|session| {
            if let Some(before) = session.listening.replace(listening.clone()) {
                before.cancel();
            }
            session.id.is_some()
        });
        if session {
            let link = Arc::clone(self);
            tokio::spawn(async move { listening.run_until_cancelled(link.keep_listening()).await });
        }
    }

    /// Ends the session, if there is one.
    pub(super) async fn close(&self) {
        let session = self.session();
        if session.id.is_some()
            && let Ok(request) = self.prepare(Method::DELETE, &session, None)
        {
            let _ = tokio::time::timeout(Duration::from_secs(2), request.send()).await;
        }
    }

    // === HTTP ===

    fn prepare(
        &self,
        method: Method,
        session: &Session,
        own: Option<&HeaderMap>,
    ) -> Result<reqwest::RequestBuilder, Failure> {
        let mut request = self
            .http
            .request(method, self.options.url.clone())
            .headers(self.options.headers.clone())
            .header(header::ACCEPT, "application/json, text/event-stream")
            .header(header::AUTHORIZATION, self.credential(false)?);
        if let Some(own) = own {
            return Ok(request.headers(own.clone()));
        }
        if let Some(id) = &session.id {
            request = request.header(headers::SESSION_ID, id);
        }
        if let Some(version) = &session.version {
            request = request.header(headers::PROTOCOL_VERSION, version);
        }
        Ok(request)
    }

    /// The `Authorization` header; `fresh` reads the credential again.
    fn credential(&self, fresh: bool) -> Result<HeaderValue, Failure> {
        let mut known = self.credential.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(known), false) = (&*known, fresh) {
            return Ok(known.clone());
        }
        let unreadable = |why: String| Failure::Unreachable(format!("the credential cannot be read: {why}"));
        let text = (self.options.credential)().map_err(|error| unreadable(error.to_string()))?;
        let mut value = HeaderValue::try_from(format!("Bearer {}", text.trim()))
            .map_err(|_| unreadable("it holds characters a header cannot carry".to_owned()))?;
        value.set_sensitive(true);
        Ok(known.insert(value).clone())
    }

    /// Posts a message. Waits for a server that is not there yet, reads a rotated credential,
    /// opens a new session for one that is gone.
    async fn post(
        self: &Arc<Self>,
        body: &str,
        own: Option<&HeaderMap>,
        initializing: bool,
    ) -> Result<reqwest::Response, Failure> {
        let deadline = Instant::now() + self.options.connect_timeout;
        let (mut reread, mut renewed) = (false, false);
        loop {
            let session = if initializing { Session::default() } else { self.session() };
            let request = self
                .prepare(Method::POST, &session, own)?
                .header(header::CONTENT_TYPE, "application/json")
                .body(body.to_owned());
            let response = match request.send().await {
                Ok(response) => response,
                // Nothing was sent, so nothing can happen twice.
                Err(error) if error.is_connect() && Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(250)).await;
                    continue;
                }
                Err(error) if error.is_connect() => {
                    return Err(Failure::Unreachable(format!("nothing answers at {}", self.options.url)));
                }
                Err(error) => return Err(Failure::Lost(format!("the connection broke off: {}", plain(&error)))),
            };
            match response.status() {
                StatusCode::UNAUTHORIZED if !reread => {
                    reread = true;
                    self.credential(true)?;
                }
                StatusCode::NOT_FOUND if own.is_none() && session.id.is_some() && !renewed => {
                    renewed = true;
                    self.renew(session.id.as_deref()).await?;
                }
                _ => return Ok(response),
            }
        }
    }

    /// Opens a new session in place of `gone`, unless somebody else just did.
    async fn renew(self: &Arc<Self>, gone: Option<&str>) -> Result<(), Failure> {
        let _turn = self.renewing.lock().await;
        let session = self.session();
        let Some(hello) = session.hello.filter(|_| session.id.as_deref() == gone) else { return Ok(()) };
        tracing::info!("the session is gone; initializing again");
        // Boxed: this is reached from `post`.
        let response = Box::pin(self.post(&hello.to_json(), None, true)).await?;
        self.adopt(&response);
        let answer = response.bytes().await.map_err(|error| Failure::Lost(plain(&error)))?;
        if let Ok(Message::Response(protocol::Response { result: Ok(result), .. })) = Envelope::parse(&answer) {
            self.agreed(&result);
        }
        let notification = |method: &str| Notification { method: method.to_owned(), params: None }.to_json();
        let session = self.session();
        let initialized = self.prepare(Method::POST, &session, None)?;
        let initialized = initialized.header(header::CONTENT_TYPE, "application/json");
        let _ = initialized.body(notification("notifications/initialized")).send().await;
        self.listen();
        self.say(&notification("notifications/tools/list_changed")).await;
        Ok(())
    }

    /// Notes the session a response opens.
    fn adopt(&self, response: &reqwest::Response) {
        let id = response.headers().get(headers::SESSION_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
        self.change_session(|session| session.id = id);
    }

    /// Notes the revision an `initialize` settled on.
    fn agreed(&self, result: &RawValue) {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Agreed {
            protocol_version: String,
        }
        if let Ok(agreed) = serde_json::from_str::<Agreed>(result.get()) {
            self.change_session(|session| session.version = Some(agreed.protocol_version));
        }
    }

    // === answers ===

    async fn answer(
        self: &Arc<Self>,
        request: &Request,
        response: reqwest::Response,
        modern: bool,
    ) -> Result<(), Failure> {
        if request.method == "initialize" && response.status().is_success() {
            self.adopt(&response);
        }
        let media_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if media_type.is_some_and(|media_type| media_type.starts_with("text/event-stream")) {
            return self.follow(request, response, modern).await;
        }
        let status = response.status();
        let body = response.bytes().await.map_err(|error| Failure::Lost(plain(&error)))?;
        match Envelope::parse(&body) {
            Ok(Message::Response(answer)) if answer.id.as_ref() == Some(&request.id) => {
                self.seen(request, &answer);
                self.say(&String::from_utf8_lossy(&body)).await;
            }
            // Refused before the request was understood: the client still waits under its id.
            Ok(Message::Response(protocol::Response { result: Err(error), .. })) => {
                self.say_error(request.id.clone(), explained(status, error)).await;
            }
            _ => {
                let what = format!("{} answered with status {status}", self.options.url);
                self.say_error(request.id.clone(), explained(status, RpcError::new(UNREACHABLE, what))).await;
            }
        }
        Ok(())
    }

    /// Takes note of an answer on its way.
    fn seen(&self, request: &Request, answer: &protocol::Response) {
        let Ok(result) = &answer.result else { return };
        match request.method.as_str() {
            "initialize" => self.agreed(result),
            "tools/list" => self.annotations.lock().unwrap_or_else(PoisonError::into_inner).learn(result),
            _ => {}
        }
    }

    /// Says the events of a request until its answer; resumes a legacy stream that breaks off.
    async fn follow(
        self: &Arc<Self>,
        request: &Request,
        mut response: reqwest::Response,
        modern: bool,
    ) -> Result<(), Failure> {
        let mut resumable = Resumable::default();
        for _ in 0..=RESUMES {
            let mut events = response.bytes_stream().eventsource();
            while let Some(Ok(event)) = events.next().await {
                let progressed = resumable.note(&event);
                if event.data.is_empty() {
                    continue;
                }
                let answer = match Envelope::parse(event.data.as_bytes()) {
                    Ok(Message::Response(answer)) if answer.id.as_ref() == Some(&request.id) => Some(answer),
                    Ok(_) => None,
                    Err(_) => continue,
                };
                if progressed {
                    self.say(&event.data).await;
                }
                if let Some(answer) = answer {
                    self.seen(request, &answer);
                    return Ok(());
                }
            }
            if modern {
                break;
            }
            let Some(next) = self.resume(&resumable).await else { break };
            response = next;
        }
        Err(Failure::Lost("the stream ended without an answer".to_owned()))
    }

    async fn resume(&self, from: &Resumable) -> Option<reqwest::Response> {
        let last = from.last.as_deref()?;
        tokio::time::sleep(from.retry).await;
        let request = self.prepare(Method::GET, &self.session(), None).ok()?;
        let response = request.header(headers::LAST_EVENT_ID, last).send().await.ok()?;
        response.status().is_success().then_some(response)
    }

    /// Reads what the server says by itself, for as long as it lets us.
    async fn keep_listening(self: Arc<Self>) {
        let mut resumable = Resumable::default();
        let mut pause = Duration::from_secs(1);
        loop {
            let session = self.session();
            let Ok(mut request) = self.prepare(Method::GET, &session, None) else { return };
            if let Some(last) = &resumable.last {
                request = request.header(headers::LAST_EVENT_ID, last);
            }
            match request.send().await {
                Ok(response) if response.status().is_success() => {
                    pause = Duration::from_secs(1);
                    let mut events = response.bytes_stream().eventsource();
                    while let Some(Ok(event)) = events.next().await {
                        if resumable.note(&event) && !event.data.is_empty() {
                            self.say(&event.data).await;
                        }
                    }
                }
                Ok(response) if response.status() == StatusCode::NOT_FOUND => {
                    // Begins a listening stream of its own.
                    let link = Arc::clone(&self);
                    tokio::spawn(async move { link.renew(session.id.as_deref()).await });
                    return;
                }
                // It offers no such stream, or not to us.
                Ok(response) if response.status().is_client_error() => return,
                Ok(_) | Err(_) => {}
            }
            tokio::time::sleep(pause.max(resumable.retry)).await;
            pause = (pause * 2).min(Duration::from_mins(1));
        }
    }
}

/// How to go on with a stream that broke off.
struct Resumable {
    last: Option<String>,
    retry: Duration,
}

impl Default for Resumable {
    fn default() -> Self {
        Self { last: None, retry: Duration::from_secs(1) }
    }
}

impl Resumable {
    /// Notes an event. Says whether it is a new one.
    fn note(&mut self, event: &eventsource_stream::Event) -> bool {
        if let Some(retry) = event.retry {
            self.retry = retry;
        }
        if event.id.is_empty() {
            return true;
        }
        let new = self.last.as_deref() != Some(event.id.as_str());
        self.last = Some(event.id.clone());
        new
    }
}

/// Adds what to do about an error the person at the client can do something about.
fn explained(status: StatusCode, error: RpcError) -> RpcError {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            RpcError { message: format!("{}; check it with `preloop agents validate`", error.message), ..error }
        }
        _ if error.code == 0 => RpcError { code: error::INTERNAL_ERROR, ..error },
        _ => error,
    }
}

/// The innermost reason, without the URL.
fn plain(error: &reqwest::Error) -> String {
    let mut reason: &dyn std::error::Error = error;
    while let Some(inner) = reason.source() {
        reason = inner;
    }
    reason.to_string()
}
