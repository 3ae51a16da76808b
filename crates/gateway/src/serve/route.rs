//! From a path to what is asked, in which dialect.

use http::Method;
use preloop_dialects::{Dialect, Operation};

use crate::providers::Delivery;

/// What an agent asks of the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ask {
    /// In which dialect it speaks, errors included.
    pub(crate) dialect: Dialect,
    /// What it wants.
    pub(crate) what: What,
}

/// What an agent wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// A model's work.
    Model(Operation, InPath),
    /// The provider's own part of an API: `responses/{id}`, `responses/compact`, …
    Native(String),
    /// The models it may use.
    Models,
    /// One of them.
    ModelInfo(String),
    /// Whether anybody is there.
    Hello,
}

/// What a path says of a model call; bodies say the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct InPath {
    /// The model, where the dialect names it there.
    pub(crate) model: Option<String>,
    /// How the answer comes, where the dialect says it there.
    pub(crate) delivery: Option<Delivery>,
    /// The dialect's own method, where an operation has several.
    pub(crate) method: Option<String>,
}

impl Ask {
    fn new(dialect: Dialect, what: What) -> Self {
        Self { dialect, what }
    }

    /// Reads method, path and query. The error is the dialect in which to say that there is no such
    /// thing; `anthropic` is whether a bare path is asked for by Anthropic's client.
    pub(crate) fn read(method: &Method, path: &str, query: Option<&str>, anthropic: bool) -> Result<Ask, Dialect> {
        let path = path.trim_matches('/');
        let (family, rest) = path.split_once('/').unwrap_or((path, ""));
        match family {
            "openai" => openai(method, rest.strip_prefix("v1/").unwrap_or(rest)).ok_or(Dialect::Chat),
            "anthropic" => messages(method, rest.strip_prefix("v1/").unwrap_or(rest)).ok_or(Dialect::Messages),
            "gemini" => {
                let rest = rest.strip_prefix("v1beta/").or_else(|| rest.strip_prefix("v1/")).unwrap_or(rest);
                gemini(method, rest, query).ok_or(Dialect::Gemini)
            }
            "v1beta" => gemini(method, rest, query).ok_or(Dialect::Gemini),
            "v1" if anthropic || rest.starts_with("messages") => messages(method, rest).ok_or(Dialect::Messages),
            "v1" => openai(method, rest).ok_or(Dialect::Chat),
            _ => Err(Dialect::Chat),
        }
    }
}

fn openai(method: &Method, rest: &str) -> Option<Ask> {
    let call = |dialect, operation| Some(Ask::new(dialect, What::Model(operation, InPath::default())));
    match (method.as_str(), rest) {
        ("POST", "chat/completions") => call(Dialect::Chat, Operation::Generate),
        ("POST", "responses") => call(Dialect::Responses, Operation::Generate),
        ("POST", "embeddings") => call(Dialect::Chat, Operation::Embed),
        ("GET", "models") => Some(Ask::new(Dialect::Chat, What::Models)),
        ("GET", _) if let Some(model) = rest.strip_prefix("models/") => {
            Some(Ask::new(Dialect::Chat, What::ModelInfo(decoded(model)?)))
        }
        ("GET" | "POST" | "DELETE", _) if let Some(native) = rest.strip_prefix("responses/") => {
            Some(Ask::new(Dialect::Responses, What::Native(native.to_owned())))
        }
        ("GET" | "HEAD", "") => Some(Ask::new(Dialect::Chat, What::Hello)),
        _ => None,
    }
}

fn messages(method: &Method, rest: &str) -> Option<Ask> {
    let ask = |what| Some(Ask::new(Dialect::Messages, what));
    match (method.as_str(), rest) {
        ("POST", "messages") => ask(What::Model(Operation::Generate, InPath::default())),
        ("POST", "messages/count_tokens") => ask(What::Model(Operation::CountTokens, InPath::default())),
        ("GET", "models") => ask(What::Models),
        ("GET", _) if let Some(model) = rest.strip_prefix("models/") => ask(What::ModelInfo(decoded(model)?)),
        ("GET" | "HEAD", "" | "api/hello") => ask(What::Hello),
        _ => None,
    }
}

fn gemini(method: &Method, rest: &str, query: Option<&str>) -> Option<Ask> {
    let ask = |what| Some(Ask::new(Dialect::Gemini, what));
    let named = rest.strip_prefix("models/");
    match (method.as_str(), named) {
        ("GET", None) if rest == "models" => ask(What::Models),
        ("GET", Some(model)) => ask(What::ModelInfo(decoded(model)?)),
        ("POST", Some(call)) => {
            let (model, method) = call.rsplit_once(':')?;
            let sse = query.is_some_and(|query| query.split('&').any(|pair| pair == "alt=sse"));
            let (operation, delivery) = match method {
                "generateContent" => (Operation::Generate, Delivery::Whole),
                "streamGenerateContent" if sse => (Operation::Generate, Delivery::Events),
                "streamGenerateContent" => (Operation::Generate, Delivery::Array),
                "countTokens" => (Operation::CountTokens, Delivery::Whole),
                "embedContent" | "batchEmbedContents" => (Operation::Embed, Delivery::Whole),
                _ => return None,
            };
            let (model, method) = (Some(decoded(model)?), Some(method.to_owned()));
            ask(What::Model(operation, InPath { model, delivery: Some(delivery), method }))
        }
        ("GET" | "HEAD", None) if rest.is_empty() => ask(What::Hello),
        _ => None,
    }
}

/// A model's name out of a path; `None` if it is not text.
fn decoded(segment: &str) -> Option<String> {
    let name = percent_encoding::percent_decode_str(segment).decode_utf8().ok()?;
    (!name.is_empty()).then(|| name.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, path: &str, query: Option<&str>) -> Result<Ask, Dialect> {
        Ask::read(&Method::from_bytes(method.as_bytes()).unwrap_or_default(), path, query, false)
    }

    fn model(dialect: Dialect, operation: Operation) -> Ask {
        Ask::new(dialect, What::Model(operation, InPath::default()))
    }

    #[test]
    fn agents_find_their_api_under_its_prefix_and_at_the_root() {
        for prefix in ["/openai/v1", "/openai", "/v1"] {
            let chat = read("POST", &format!("{prefix}/chat/completions"), None);
            assert_eq!(chat, Ok(model(Dialect::Chat, Operation::Generate)), "{prefix}");
        }
        for prefix in ["/anthropic/v1", "/anthropic", "/v1"] {
            let count = read("POST", &format!("{prefix}/messages/count_tokens"), Some("beta=true"));
            assert_eq!(count, Ok(model(Dialect::Messages, Operation::CountTokens)), "{prefix}");
        }
        let info = read("GET", "/openai/v1/models/openai/gpt-5", None);
        assert_eq!(info, Ok(Ask::new(Dialect::Chat, What::ModelInfo("openai/gpt-5".to_owned()))));
    }

    #[test]
    fn a_gemini_path_says_model_operation_and_delivery() {
        for (query, delivery) in [(Some("key=k&alt=sse"), Delivery::Events), (None, Delivery::Array)] {
            let path = "/gemini/v1beta/models/google%2Fgemini-3:streamGenerateContent";
            let Ok(Ask { what: What::Model(Operation::Generate, call), .. }) = read("POST", path, query) else {
                panic!("not a call");
            };
            assert_eq!((call.model.as_deref(), call.delivery), (Some("google/gemini-3"), Some(delivery)));
        }
    }

    #[test]
    fn what_there_is_not_is_said_in_the_callers_dialect() {
        assert_eq!(read("POST", "/anthropic/v1/complete", None), Err(Dialect::Messages));
        assert_eq!(read("POST", "/v1beta/models/x:predict", None), Err(Dialect::Gemini));
        assert_eq!(read("DELETE", "/openai/v1/models", None), Err(Dialect::Chat));
    }
}
