//! Who serves models, and how each of them is asked.
//!
//! A provider is one file and one line in [`ALL`]. Those that speak OpenAI's or Anthropic's API are
//! data for the one adapter in `compatible`; the others implement [`Provider`] themselves. Nothing
//! here does IO but the `authorize` module, which fetches tokens; a provider only says where a
//! request goes, with which headers, and what of the body it wants otherwise.
//!
//! No header of the agent reaches a provider unless it is listed in `headers`: its credential for
//! this gateway, its cookies and hop-by-hop headers never do.

mod authorize;
mod compatible;
mod error;
mod failure;
mod headers;
mod service_account;
mod sigv4;
mod url;

mod alibaba;
mod anthropic;
mod anthropic_compatible;
mod azure;
mod bedrock;
mod cerebras;
mod deepinfra;
mod deepseek;
mod fireworks;
mod google;
mod groq;
mod llamacpp;
mod lmstudio;
mod mistral;
mod moonshot;
mod nvidia;
mod ollama;
mod openai;
mod openai_compatible;
mod openrouter;
mod perplexity;
mod sglang;
mod together;
mod vertex;
mod vllm;
mod xai;
mod zai;

use std::{borrow::Cow, collections::BTreeMap};

use http::{HeaderMap, Uri};
use preloop_dialects::{Dialect, Operation, Quirks};
use preloop_types::Model;
use secrecy::SecretString;

pub use authorize::Authorizer;
pub use error::ProviderError;
pub use failure::{Class, Fault, Retry};
pub use headers::{answer_headers, upstream_id};
pub use service_account::ServiceAccount;
pub use sigv4::Signer;

/// Every provider, by name.
static ALL: &[&dyn Provider] = &[
    &alibaba::ALIBABA,
    &anthropic::ANTHROPIC,
    &anthropic_compatible::ANTHROPIC_COMPATIBLE,
    &azure::Azure,
    &bedrock::Bedrock,
    &cerebras::CEREBRAS,
    &deepinfra::DEEPINFRA,
    &deepseek::DEEPSEEK,
    &fireworks::FIREWORKS,
    &google::Google,
    &groq::GROQ,
    &llamacpp::LLAMACPP,
    &lmstudio::LMSTUDIO,
    &mistral::MISTRAL,
    &moonshot::MOONSHOT,
    &nvidia::NVIDIA,
    &ollama::OLLAMA,
    &openai::OPENAI,
    &openai_compatible::OPENAI_COMPATIBLE,
    &openrouter::OPENROUTER,
    &perplexity::PERPLEXITY,
    &sglang::SGLANG,
    &together::TOGETHER,
    &vertex::Vertex,
    &vllm::VLLM,
    &xai::XAI,
    &zai::ZAI,
];

/// The provider of that name.
pub fn provider(name: &str) -> Option<&'static dyn Provider> {
    ALL.iter().copied().find(|provider| provider.profile().name == name)
}

/// Every provider, in the order of their names.
pub fn all() -> impl Iterator<Item = &'static dyn Provider> {
    ALL.iter().copied()
}

/// Someone who serves models.
pub trait Provider: Sync {
    /// Its facts.
    fn profile(&self) -> &Profile;

    /// The APIs through which `model` does `operation`, the preferred one first; empty where it does
    /// not at all. An agent that speaks one of them is served without translation.
    fn dialects(&self, model: &Model, operation: Operation) -> &'static [Dialect];

    /// Where a request goes, and as what.
    fn request(&self, call: &Outgoing<'_>) -> Result<Upstream, ProviderError>;

    /// How its chat completions deviate from OpenAI's, before a model's own settings.
    fn usual_quirks(&self) -> &Quirks {
        &compatible::NO_QUIRKS
    }
}

/// The facts of a provider.
#[derive(Debug)]
pub struct Profile {
    /// What a model's `provider` says.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// `gen_ai.provider.name` of OpenTelemetry.
    pub telemetry: &'static str,
    /// Where it is reached; a model has to say where that is `None`.
    pub base_url: Option<&'static str>,
    /// The secrets it knows.
    pub secrets: &'static [Knob],
    /// The settings it knows, under `settings.provider`.
    pub settings: &'static [Knob],
}

/// A named secret or setting of a provider.
#[derive(Debug)]
pub struct Knob {
    /// Its name.
    pub name: &'static str,
    /// Whether nothing works without.
    pub required: bool,
    /// What it is.
    pub about: &'static str,
}

impl Knob {
    const fn required(name: &'static str, about: &'static str) -> Self {
        Self { name, required: true, about }
    }

    const fn optional(name: &'static str, about: &'static str) -> Self {
        Self { name, required: false, about }
    }
}

/// The credentials of a model, by the names its provider defines.
pub type Secrets = BTreeMap<String, SecretString>;

/// A request to be made.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Of which model.
    pub model: &'a Model,
    /// Its credentials.
    pub secrets: &'a Secrets,
    /// In which API, one of [`Provider::dialects`].
    pub dialect: Dialect,
    /// For what.
    pub operation: Operation,
    /// How the answer shall come.
    pub delivery: Delivery,
    /// The agent's own method where an operation has several (`batchEmbedContents`), or what follows
    /// the path of its API (`resp_1/cancel`).
    pub method: Option<&'a str>,
    /// The headers of the agent's request, if it speaks `dialect` itself.
    pub agent_headers: Option<&'a HeaderMap>,
}

/// How an answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// As one document.
    Whole,
    /// As server-sent events.
    Events,
    /// As a JSON array that grows. Only Gemini has it.
    Array,
}

/// A request as a provider wants it, but for the body.
#[derive(Debug)]
pub struct Upstream {
    /// Where to.
    pub uri: Uri,
    /// All headers but `host` and `content-length`.
    pub headers: HeaderMap,
    /// What is different in the body.
    pub edits: BodyEdits,
    /// What is still to be done to be let in.
    pub credential: Credential,
}

/// What a provider wants otherwise in a body that an agent wrote for the same API.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BodyEdits {
    /// The member `model` holds the provider's name of the model.
    pub model: bool,
    /// Usage has to be asked for by `stream_options.include_usage`.
    pub include_usage: bool,
    /// Top-level members to set: name and JSON.
    pub members: Vec<(&'static str, &'static str)>,
    /// Top-level members to leave out.
    pub remove: &'static [&'static str],
}

/// How a request is let in.
#[derive(Debug)]
pub enum Credential {
    /// By the headers it has.
    InHeaders,
    /// By a signature over the whole request.
    Signature(Signer),
    /// By a token to be fetched.
    ServiceAccount(ServiceAccount),
}

/// How the chat completions of `model` deviate from OpenAI's.
pub fn quirks(model: &Model) -> Result<Cow<'static, Quirks>, ProviderError> {
    merged(known(model)?.usual_quirks(), model)
}

fn merged<'a>(usual: &'a Quirks, model: &Model) -> Result<Cow<'a, Quirks>, ProviderError> {
    if model.settings.quirks.is_empty() {
        return Ok(Cow::Borrowed(usual));
    }
    let wrong = |error: serde_json::Error| ProviderError::setting("quirks", format!("cannot be used: {error}"));
    let mut merged = serde_json::to_value(usual).map_err(wrong)?;
    for (name, value) in &model.settings.quirks {
        merged[name] = value.clone();
    }
    Ok(Cow::Owned(serde_json::from_value(merged).map_err(wrong)?))
}

/// Whether `model` can be used as it is configured; for the moment a person saves it. Its endpoint's
/// address is for the egress guard to judge.
pub fn check(model: &Model, secret_names: &[&str]) -> Result<(), ProviderError> {
    let provider = known(model)?;
    let profile = provider.profile();
    quirks(model)?;
    for name in model.settings.provider.keys() {
        if !profile.settings.iter().any(|known| known.name == name) {
            return Err(ProviderError::unknown("setting", profile, name, profile.settings));
        }
    }
    for name in secret_names {
        if !profile.secrets.iter().any(|known| known.name == *name) {
            return Err(ProviderError::unknown("secret", profile, name, profile.secrets));
        }
    }
    // Whatever its credentials are: they may come later, and their absence is told when it matters.
    let secrets = Secrets::new();
    for &dialect in provider.dialects(model, Operation::Generate) {
        let call = Outgoing {
            model,
            secrets: &secrets,
            dialect,
            operation: Operation::Generate,
            delivery: Delivery::Whole,
            method: None,
            agent_headers: None,
        };
        match provider.request(&call) {
            Ok(_) | Err(ProviderError::MissingSecret { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn known(model: &Model) -> Result<&'static dyn Provider, ProviderError> {
    provider(&model.provider).ok_or_else(|| ProviderError::Unknown(model.provider.clone()))
}

/// A provider's own knob of `model`.
fn setting<'a>(model: &'a Model, name: &str) -> Option<&'a str> {
    model.settings.provider.get(name).map(String::as_str).filter(|value| !value.is_empty())
}
