//! From a path to an answer.

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Instant,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    Method, Request, Response,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
    http::request::Parts,
};
use serde_json::{Value, json};

use super::{
    Api, End, Exchange, Shared, THOUGHT, Tokens,
    answer::{answer as scripted, signature as signed_by},
    api::{self, Frames},
    ask::Ask,
    behaviour::{Behaviour, Writes},
    canned, lock,
    play::{Watch, play},
    signature,
};
use crate::http::{Body, Error, full};

/// What a path asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// An answer; the model and the streaming where the path has them.
    Generate {
        api: Api,
        model: Option<String>,
        stream: Option<bool>,
        sse: bool,
    },
    Embed {
        api: Api,
        model: Option<String>,
        batch: bool,
    },
    Count {
        api: Api,
        model: Option<String>,
    },
    Models {
        api: Api,
        model: Option<String>,
    },
    /// A stored response: the sub-routes that only a native provider has.
    Stored,
    /// An OAuth token for a service account.
    Token,
    /// Whether anyone is there.
    Hello,
    Nothing,
}

impl Route {
    pub(super) fn of(head: &Parts) -> Self {
        let path = head.uri.path().trim_end_matches('/');
        let query = head.uri.query().unwrap_or_default();
        let sse = query.contains("alt=sse");
        let named = |text: &str| Some(text.replace("%2F", "/").replace("%3A", ":"));
        let generate = |api, model, stream, sse| Route::Generate { api, model, stream, sse };
        let last = path.rsplit('/').next().unwrap_or_default();
        if let Some((_, model)) = path.split_once("/models/")
            && let Some((model, verb)) = model.rsplit_once(':')
        {
            let (api, model) = (Api::Gemini, named(model));
            return match verb {
                "generateContent" => generate(api, model, Some(false), false),
                "streamGenerateContent" => generate(api, model, Some(true), sse),
                "rawPredict" => generate(Api::Messages, model, Some(false), true),
                "streamRawPredict" => generate(Api::Messages, model, Some(true), true),
                "countTokens" => Route::Count { api, model },
                "embedContent" => Route::Embed { api, model, batch: false },
                "batchEmbedContents" => Route::Embed { api, model, batch: true },
                _ => Route::Nothing,
            };
        }
        if let Some((_, rest)) = path.split_once("/model/")
            && let Some((model, verb)) = rest.rsplit_once('/')
        {
            return match verb {
                "converse" => generate(Api::Converse, named(model), Some(false), false),
                "converse-stream" => generate(Api::Converse, named(model), Some(true), false),
                "invoke" => Route::Embed { api: Api::Converse, model: named(model), batch: false },
                _ => Route::Nothing,
            };
        }
        // Azure has the deployment in the path.
        let deployment = path.split_once("/deployments/").and_then(|(_, rest)| rest.split_once('/'));
        let deployment = deployment.and_then(|(name, _)| named(name));
        let listing = || {
            if head.headers.contains_key("x-goog-api-key") || path.contains("/v1beta") {
                Api::Gemini
            } else if head.headers.contains_key("anthropic-version") || path.contains("/anthropic") {
                Api::Messages
            } else {
                Api::Chat
            }
        };
        match (&head.method, last) {
            (&Method::POST, "completions") => generate(Api::Chat, deployment, None, true),
            (&Method::POST, "responses") => generate(Api::Responses, deployment, None, true),
            (&Method::POST, "messages") => generate(Api::Messages, None, None, true),
            (&Method::POST, "count_tokens") => Route::Count { api: Api::Messages, model: None },
            (&Method::POST, "embeddings") => Route::Embed { api: Api::Chat, model: deployment, batch: false },
            (&Method::POST, "token") => Route::Token,
            (&Method::GET, "models") => Route::Models { api: listing(), model: None },
            _ if path.contains("/responses/") => Route::Stored,
            (&Method::GET, _) if path.contains("/models/") => {
                let model = path.split_once("/models/").and_then(|(_, model)| named(model));
                Route::Models { api: listing(), model }
            }
            (&Method::HEAD | &Method::GET, "" | "hello" | "health") => Route::Hello,
            _ => Route::Nothing,
        }
    }

    fn api(&self) -> Api {
        match self {
            Route::Generate { api, .. }
            | Route::Embed { api, .. }
            | Route::Count { api, .. }
            | Route::Models { api, .. } => *api,
            Route::Stored => Api::Responses,
            Route::Token | Route::Hello | Route::Nothing => Api::Chat,
        }
    }
}

/// Answers one HTTP request. An error cuts the connection.
pub(super) async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Error> {
    let (head, body) = request.into_parts();
    if !shared.options.record {
        return canned::answer(&shared, &head, body).await;
    }
    let n = shared.next.fetch_add(1, Ordering::Relaxed);
    let exchange = Arc::new(Mutex::new(Exchange {
        n,
        method: head.method.clone(),
        path: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        headers: head.headers.clone(),
        body: Bytes::new(),
        model: String::new(),
        at: Instant::now(),
        status: None,
        refused: None,
        sent: Vec::new(),
        frames: 0,
        frames_in_all: 0,
        tokens: None,
        end: None,
    }));
    lock(&shared.exchanges).push(exchange.clone());
    let watch = Watch::new(exchange);
    let body = body.collect().await?.to_bytes();
    watch.note(|exchange| exchange.body = body.clone());
    let route = Route::of(&head);
    let call = Call { shared, n, api: route.api(), watch };
    let response = call.answer(&head, route, &body).await?;
    Ok(response)
}

/// One request being answered.
struct Call {
    shared: Arc<Shared>,
    n: u64,
    api: Api,
    watch: Watch,
}

impl Call {
    async fn answer(self, head: &Parts, route: Route, body: &Bytes) -> Result<Response<Body>, Error> {
        if route == Route::Hello {
            return self.json(200, &json!({ "ok": true }));
        }
        if route == Route::Token {
            let token = self.shared.options.key.clone().unwrap_or_else(|| "mock-token".to_owned());
            let body = json!({ "access_token": token, "token_type": "Bearer", "expires_in": 3600 });
            return self.json(200, &body);
        }
        if let Some(key) = &self.shared.options.key
            && !credential(head).contains(key)
        {
            return self.refuse(401, "the credential is wrong");
        }
        if let Err(why) = signature::check(head, body) {
            return self.refuse(403, &why);
        }
        let parsed: Result<Value, _> = if body.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(body) };
        let parsed = match parsed {
            Ok(parsed) => parsed,
            Err(error) => return self.refuse(400, &format!("the body is not JSON: {error}")),
        };
        match route {
            Route::Generate { api, model, stream, sse } => {
                let ask = Ask::read(api, model.as_deref(), stream, &parsed);
                self.generate(head, &ask, sse).await
            }
            Route::Embed { api, model, batch } => {
                let ask = Ask::read(api, model.as_deref(), Some(false), &parsed);
                self.embed(head, &ask, batch).await
            }
            Route::Count { api, model } => {
                let ask = Ask::read(api, model.as_deref(), Some(false), &parsed);
                self.watch.note(|exchange| exchange.model.clone_from(&ask.model));
                let tokens = self.behaviour(head, &ask.model).tokens.prompt();
                let member = if api == Api::Gemini { "totalTokens" } else { "input_tokens" };
                self.json(200, &json!({ member: tokens }))
            }
            Route::Models { api, model } => self.models(api, model),
            Route::Stored => {
                let id = head.uri.path().split("/responses/").nth(1).unwrap_or_default();
                let deleted = head.method == Method::DELETE;
                let body = json!({ "id": id, "object": "response", "status": "completed", "deleted": deleted });
                self.json(200, &body)
            }
            Route::Token | Route::Hello | Route::Nothing => {
                self.refuse(404, &format!("there is nothing at `{}`", head.uri.path()))
            }
        }
    }

    /// How `model` behaves this time.
    fn behaviour(&self, head: &Parts, model: &str) -> Behaviour {
        let header = head.headers.get("x-mock").and_then(|words| words.to_str().ok());
        let given = lock(&self.shared.behaviours).get(model).cloned();
        let behaviour = given.unwrap_or_else(|| Behaviour::read(header.unwrap_or(model)));
        let mut asked = lock(&self.shared.asked);
        let times = asked.entry(model.to_owned()).or_default();
        *times += 1;
        if behaviour.first.is_some_and(|first| *times > first) { behaviour.recovered() } else { behaviour }
    }

    async fn generate(self, head: &Parts, ask: &Ask, sse: bool) -> Result<Response<Body>, Error> {
        self.watch.note(|exchange| exchange.model.clone_from(&ask.model));
        let behaviour = self.behaviour(head, &ask.model);
        if behaviour.silent {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(behaviour.wait).await;
        if let Some(response) = self.misbehave(head, &behaviour)? {
            return Ok(response);
        }
        if let Err(why) = self.check_thoughts(&behaviour, ask) {
            return self.refuse(400, &why);
        }
        let answer = scripted(self.n, &self.shared.options.script, &behaviour, ask);
        if behaviour.think {
            lock(&self.shared.signed).insert(signed_by(self.n), THOUGHT.to_owned());
        }
        let mut frames = if ask.stream {
            api::frames(self.api, &answer, ask, sse)
        } else {
            Frames { list: vec![api::whole(self.api, &answer).to_string().into()], ending: 0 }
        };
        if behaviour.crlf && ask.stream && self.api != Api::Converse {
            let crlf = |frame: &Bytes| String::from_utf8_lossy(frame).replace('\n', "\r\n").into();
            frames.list = frames.list.iter().map(crlf).collect();
        }
        let kind = match (behaviour.wrong_type, ask.stream, self.api) {
            (true, ..) => "text/plain",
            (false, true, Api::Converse) => "application/vnd.amazon.eventstream",
            (false, true, Api::Gemini) if !sse => "application/json",
            (false, true, _) => "text/event-stream",
            (false, false, _) => "application/json",
        };
        self.watch.note(|exchange| {
            exchange.status = Some(200);
            exchange.tokens = Some(answer.tokens);
            exchange.frames_in_all = frames.list.len();
        });
        // Whole and well: one body of known length.
        let steady = behaviour.cut.is_none() && behaviour.hang.is_none() && behaviour.writes == Writes::Frames;
        let body = if !ask.stream
            && steady
            && let Some(whole) = frames.list.pop()
        {
            self.watch.note(|exchange| {
                exchange.frames = 1;
                exchange.sent = whole.to_vec();
            });
            self.watch.end(End::Whole);
            full(whole)
        } else {
            play(frames, &behaviour, api::error_frame(self.api, "the mock was told to fail here"), self.watch)
        };
        response(200, kind, self.n, body)
    }

    /// What goes wrong before there is an answer.
    fn misbehave(&self, head: &Parts, behaviour: &Behaviour) -> Result<Option<Response<Body>>, Error> {
        let leaked = if behaviour.leak { credential(head) } else { String::new() };
        let message = &format!("the mock was told to refuse {leaked}");
        let seen = |status: Option<u16>| if behaviour.ok { 200 } else { status.unwrap_or(502) };
        let mut answer = if behaviour.html {
            let page = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>";
            let status = seen(behaviour.status);
            self.done(status);
            response(status, "text/html", self.n, full(page))?
        } else if let Some(status) = behaviour.status {
            let body = api::error(self.api, status, message, self.n).to_string();
            self.done(seen(Some(status)));
            let mut answer = response(seen(Some(status)), "application/json", self.n, full(body))?;
            if self.api == Api::Converse {
                let kind = HeaderValue::from_static(api::exception(status));
                answer.headers_mut().insert("x-amzn-errortype", kind);
            }
            answer
        } else {
            return Ok(None);
        };
        if let Some(seconds) = behaviour.retry_after {
            answer.headers_mut().insert("retry-after", seconds.into());
        }
        Ok(Some(answer))
    }

    /// Reasoning that signed a tool turn must come back as it was.
    fn check_thoughts(&self, behaviour: &Behaviour, ask: &Ask) -> Result<(), String> {
        let Some(thoughts) = ask.thoughts.as_ref().filter(|_| behaviour.think) else { return Ok(()) };
        if self.api == Api::Chat {
            let came_back = thoughts.iter().any(|thought| thought.text == THOUGHT);
            return if came_back || !behaviour.echo {
                Ok(())
            } else {
                Err("The `reasoning_content` in the thinking mode must be passed back to the API.".to_owned())
            };
        }
        if thoughts.is_empty() {
            return Err("a final assistant message with tool calls must start with its signed reasoning".to_owned());
        }
        let signed = lock(&self.shared.signed);
        for thought in thoughts {
            // Google's own SDK sends them back in the alphabet for URLs.
            match signed.get(&thought.signature.replace('-', "+").replace('_', "/")) {
                None => return Err(format!("invalid signature `{}` in reasoning", thought.signature)),
                // Gemini's signatures stand alone.
                Some(text) if self.api != Api::Gemini && *text != thought.text => {
                    return Err(format!("reasoning was changed: `{}`", thought.text));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    async fn embed(self, head: &Parts, ask: &Ask, batch: bool) -> Result<Response<Body>, Error> {
        self.watch.note(|exchange| exchange.model.clone_from(&ask.model));
        let behaviour = self.behaviour(head, &ask.model);
        tokio::time::sleep(behaviour.wait).await;
        if let Some(response) = self.misbehave(head, &behaviour)? {
            return Ok(response);
        }
        let vector = [0.1_f32, -0.2, 0.3];
        let tokens = Tokens { input: behaviour.tokens.input, ..Tokens::default() };
        self.watch.note(|exchange| exchange.tokens = Some(tokens));
        let count = tokens.input;
        let body = match self.api {
            Api::Gemini if batch => json!({ "embeddings": vec![json!({ "values": vector }); ask.vectors] }),
            Api::Gemini => json!({ "embedding": { "values": vector } }),
            Api::Converse => json!({ "embedding": vector, "inputTextTokenCount": count }),
            _ => {
                let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
                let coded = if ask.base64 { json!(STANDARD.encode(bytes)) } else { json!(vector) };
                let embedding = |n: usize| json!({ "object": "embedding", "index": n, "embedding": coded });
                let data: Vec<Value> = (0..ask.vectors).map(embedding).collect();
                let usage = json!({ "prompt_tokens": count, "total_tokens": count });
                json!({ "object": "list", "data": data, "model": ask.model, "usage": usage })
            }
        };
        self.json(200, &body)
    }

    fn models(self, api: Api, model: Option<String>) -> Result<Response<Body>, Error> {
        let ids = &self.shared.options.models;
        let described = |id: &str| match api {
            Api::Messages => {
                json!({ "type": "model", "id": id, "display_name": id, "created_at": "2026-01-01T00:00:00Z" })
            }
            Api::Gemini => json!({
                "name": format!("models/{id}"), "displayName": id, "inputTokenLimit": 100_000, "outputTokenLimit": 8_192,
                "supportedGenerationMethods": ["generateContent", "countTokens"],
            }),
            _ => json!({ "id": id, "object": "model", "created": 1_767_225_600, "owned_by": "mock" }),
        };
        if let Some(id) = model {
            return if ids.contains(&id) {
                self.json(200, &described(&id))
            } else {
                self.refuse(404, &format!("there is no model `{id}`"))
            };
        }
        let list: Vec<Value> = ids.iter().map(|id| described(id)).collect();
        let body = match api {
            Api::Messages => {
                json!({ "data": list, "has_more": false, "first_id": ids.first(), "last_id": ids.last() })
            }
            Api::Gemini => json!({ "models": list }),
            _ => json!({ "object": "list", "data": list }),
        };
        self.json(200, &body)
    }

    fn done(&self, status: u16) {
        self.watch.note(|exchange| exchange.status = Some(status));
        self.watch.end(End::Whole);
    }

    fn json(self, status: u16, body: &Value) -> Result<Response<Body>, Error> {
        self.done(status);
        response(status, "application/json", self.n, full(body.to_string()))
    }

    /// Refuses what the script did not expect.
    fn refuse(self, status: u16, why: &str) -> Result<Response<Body>, Error> {
        self.watch.note(|exchange| exchange.refused = Some(why.to_owned()));
        let body = api::error(self.api, status, why, self.n);
        self.json(status, &body)
    }
}

/// Wherever a caller may put its credential.
fn credential(head: &Parts) -> String {
    let names = ["authorization", "x-api-key", "x-goog-api-key", "api-key"];
    let headers = names.iter().filter_map(|name| head.headers.get(*name)?.to_str().ok());
    headers.chain(head.uri.query()).collect::<Vec<_>>().join(" ")
}

fn response(status: u16, kind: &str, n: u64, body: Body) -> Result<Response<Body>, Error> {
    let id = format!("req_mock{n}");
    let mut response = Response::builder().status(status).header(CONTENT_TYPE, kind).body(body)?;
    for name in ["x-request-id", "request-id"] {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_str(&id)?);
    }
    Ok(response)
}
