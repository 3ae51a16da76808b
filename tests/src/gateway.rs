//! A server in front of a scripted provider, and what passes between an agent and it.

use std::time::Duration;

use preloop_bench::provider::{Api, Exchange, Options, Provider};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::{App, Setup, eventually, owner::http_client};

/// The credential that Preloop has for the provider, and no agent ever sees.
pub const PROVIDER_KEY: &str = "sk-canary-5f0f7c1e9d";

/// Who serves a model: one provider of the product for each API of the mock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family(pub Api);

impl Family {
    /// All of them.
    pub const ALL: [Family; 5] =
        [Family(Api::Chat), Family(Api::Responses), Family(Api::Messages), Family(Api::Gemini), Family(Api::Converse)];

    /// A word for aliases.
    pub const fn name(self) -> &'static str {
        match self.0 {
            Api::Chat => "chat",
            Api::Responses => "responses",
            Api::Messages => "messages",
            Api::Gemini => "gemini",
            Api::Converse => "converse",
        }
    }

    const fn provider(self) -> &'static str {
        match self.0 {
            Api::Chat => "openai-compatible",
            Api::Responses => "openai",
            Api::Messages => "anthropic",
            Api::Gemini => "google",
            Api::Converse => "bedrock",
        }
    }

    /// The provider's name of a model that behaves as `words` say.
    pub fn identifier(self, words: &str) -> String {
        // By this name the product knows that a model has no chat completions.
        let base = if self.0 == Api::Responses { "mock-codex" } else { "mock" };
        if words.is_empty() { base.to_owned() } else { format!("{base}--{words}") }
    }

    /// What agents call it.
    pub fn alias(self, words: &str) -> String {
        format!("{}.{}", self.name(), self.identifier(words))
    }
}

/// A server, a provider behind it and an agent's key.
pub struct Gateway {
    /// The server.
    pub app: App,
    /// The provider.
    pub provider: Provider,
    /// The agent's credential.
    pub key: String,
    http: Client,
}

impl Gateway {
    /// Starts both. The provider wants [`PROVIDER_KEY`].
    pub async fn start() -> Self {
        Self::start_with(Setup::default(), Self::locked(Options::default())).await
    }

    /// A provider that wants [`PROVIDER_KEY`].
    pub fn locked(options: Options) -> Options {
        Options { key: Some(PROVIDER_KEY.to_owned()), ..options }
    }

    /// Starts both as asked.
    pub async fn start_with(setup: Setup, options: Options) -> Self {
        let provider = Provider::start(options).await.unwrap();
        let app = App::start_with(setup).await;
        let key = app.owner().create_key(json!({})).await;
        Self { app, provider, key, http: http_client() }
    }

    /// Adds a model that `family` serves and that behaves as `words` say; gives its alias.
    pub async fn serve(&self, family: Family, words: &str) -> String {
        self.serve_with(family, words, json!({})).await
    }

    /// The same, with more members of the model.
    pub async fn serve_with(&self, family: Family, words: &str, more: Value) -> String {
        let mut model = json!({
            "alias": family.alias(words),
            "provider": family.provider(),
            "identifier": family.identifier(words),
            "endpoint": self.provider.base(family.0),
            "credentials": { "api_key": PROVIDER_KEY },
        });
        model.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.add(model).await
    }

    /// Adds a model as `body` has it; gives its alias.
    pub async fn add(&self, body: Value) -> String {
        let added = self.app.owner().post("/api/v1/ai-models", body).await;
        added["alias"].as_str().unwrap().to_owned()
    }

    /// The base URL of `api` as its official SDK takes it.
    pub fn sdk_base(&self, api: Api) -> String {
        sdk_base(&self.app.url(), api)
    }

    /// A request to `api` as an agent sends it.
    pub fn request(&self, ask: &Ask) -> RequestBuilder {
        let request = self.http.post(format!("{}{}", self.app.url(), ask.path));
        let request = request.header("content-type", "application/json").body(ask.body.clone());
        match ask.api {
            Api::Messages => request.header("x-api-key", &self.key).header("anthropic-version", "2023-06-01"),
            Api::Gemini => request.header("x-goog-api-key", &self.key),
            _ => request.bearer_auth(&self.key),
        }
    }

    /// Sends it.
    pub async fn send(&self, ask: &Ask) -> Response {
        self.request(ask).send().await.unwrap()
    }

    /// Sends it and gives the status and the whole body.
    pub async fn ask(&self, ask: &Ask) -> (u16, Vec<u8>) {
        let response = self.send(ask).await;
        (response.status().as_u16(), response.bytes().await.unwrap().to_vec())
    }

    /// The journal's records of `kind`, oldest first.
    pub async fn records(&self, kind: &str) -> Vec<Value> {
        let export = self.app.owner().export().await;
        let records = export.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        records.filter(|record| record["kind"] == kind).collect()
    }

    /// Waits until every call that was begun has ended, and gives the bodies of the outcomes.
    pub async fn outcomes(&self) -> Vec<Value> {
        eventually("the end of every model call", || async {
            let (begun, ended) = (self.records("model.intent").await, self.records("model.outcome").await);
            (begun.len() == ended.len()).then(|| ended.iter().map(|record| record["body"].clone()).collect())
        })
        .await
    }

    /// Waits until the provider's only exchange with `model` has ended.
    pub async fn ended(&self, model: &str) -> Exchange {
        eventually("the end of the exchange with the provider", || async {
            let exchanges = self.provider.asked_for(model);
            exchanges.into_iter().next_back().filter(|exchange| exchange.end.is_some())
        })
        .await
    }
}

/// The base URL of `api` at `url` as its official SDK takes it.
pub fn sdk_base(url: &str, api: Api) -> String {
    match api {
        Api::Chat | Api::Responses => format!("{url}/openai/v1"),
        Api::Messages => format!("{url}/anthropic"),
        Api::Gemini => format!("{url}/gemini"),
        Api::Converse => format!("{url}/bedrock"),
    }
}

/// What an outcome says the call cost, in nano-dollars.
pub fn cost(outcome: &Value) -> u64 {
    let text = outcome["cost"].as_str().unwrap_or("0");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{fraction:0<9}").parse().unwrap()
}

/// A request, byte for byte.
#[derive(Debug, Clone)]
pub struct Ask {
    /// In which API.
    pub api: Api,
    /// Path and query.
    pub path: String,
    /// The body.
    pub body: String,
}

impl Ask {
    /// A short question to `model`, whose answer may have a thousand tokens.
    pub fn new(api: Api, model: &str, stream: bool) -> Self {
        Self::saying(api, model, stream, "hello")
    }

    /// The same with other words. Members of the body stand in the order in which SDKs write them.
    pub fn saying(api: Api, model: &str, stream: bool, words: &str) -> Self {
        let (path, body) = match api {
            Api::Chat => (
                "/openai/v1/chat/completions".to_owned(),
                json!({
                    "model": model, "messages": [{ "role": "user", "content": words }], "stream": stream,
                    "stream_options": stream.then(|| json!({ "include_usage": true })), "max_completion_tokens": 1000,
                }),
            ),
            Api::Responses => (
                "/openai/v1/responses".to_owned(),
                json!({ "model": model, "input": words, "stream": stream, "store": false, "max_output_tokens": 1000 }),
            ),
            Api::Messages => (
                "/anthropic/v1/messages".to_owned(),
                json!({
                    "model": model, "max_tokens": 1000, "messages": [{ "role": "user", "content": words }],
                    "stream": stream,
                }),
            ),
            Api::Gemini => {
                let verb = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
                let contents = json!([{ "role": "user", "parts": [{ "text": words }] }]);
                let body = json!({ "contents": contents, "generationConfig": { "maxOutputTokens": 1000 } });
                (format!("/gemini/v1beta/models/{model}:{verb}"), body)
            }
            Api::Converse => panic!("no agent speaks Converse"),
        };
        let mut body = body;
        body.as_object_mut().unwrap().retain(|_, member| !member.is_null());
        Self { api, path, body: body.to_string() }
    }

    /// The APIs that agents speak.
    pub const APIS: [Api; 4] = [Api::Chat, Api::Responses, Api::Messages, Api::Gemini];
}

/// The visible text in a whole answer or in the frames of a streamed one, and whether it says that it is
/// complete.
pub fn text_of(api: Api, body: &[u8]) -> (String, bool) {
    let body = String::from_utf8_lossy(body).replace("\r\n", "\n");
    let mut text = String::new();
    let mut complete = body.contains("data: [DONE]");
    let frames = body.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim);
    let streamed = body.contains("data:");
    let whole = (!streamed).then_some(body.as_str());
    for frame in frames.chain(whole).filter_map(|frame| serde_json::from_str::<Value>(frame).ok()) {
        let piece = match api {
            Api::Chat if streamed => &frame["choices"][0]["delta"]["content"],
            Api::Chat => &frame["choices"][0]["message"]["content"],
            Api::Responses if streamed => {
                complete |= frame["type"] == "response.completed";
                if frame["type"] == "response.output_text.delta" { &frame["delta"] } else { &Value::Null }
            }
            Api::Responses => &frame["output"][0]["content"][0]["text"],
            Api::Messages if streamed => {
                complete |= frame["type"] == "message_stop";
                &frame["delta"]["text"]
            }
            Api::Messages => &frame["content"][0]["text"],
            Api::Gemini | Api::Converse => {
                complete |= frame["candidates"][0]["finishReason"].is_string();
                &frame["candidates"][0]["content"]["parts"][0]["text"]
            }
        };
        text += piece.as_str().unwrap_or_default();
    }
    (text, complete || !streamed)
}

/// Reads a stream until `enough` says so, at most ten seconds; whatever came until then.
pub async fn read_until(response: &mut Response, enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut read = Vec::new();
    let reading = async {
        while !enough(&read) {
            match response.chunk().await {
                Ok(Some(chunk)) => read.extend_from_slice(&chunk),
                _ => break,
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(10), reading).await;
    read
}
