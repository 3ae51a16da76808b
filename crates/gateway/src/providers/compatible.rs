//! The adapter of every provider that speaks OpenAI's or Anthropic's API: they differ in facts, and
//! facts are data.

use std::sync::LazyLock;

use http::{HeaderName, HeaderValue, header::AUTHORIZATION};
use preloop_dialects::{Dialect, Operation, Quirks};
use preloop_types::{Model, ResponsesApi};

use super::{
    BodyEdits, Credential, Delivery, Outgoing, Profile, Provider, ProviderError, Upstream, headers, merged, setting,
    url,
};

/// A provider as data.
pub(super) struct Compatible {
    pub(super) profile: Profile,
    /// How its secret `api_key` is shown.
    pub(super) key: Key,
    /// The APIs it answers in, the preferred one first.
    pub(super) generate: &'static [Dialect],
    /// Models (told by their identifier) that answer in one API only.
    pub(super) only: fn(&str) -> Option<&'static [Dialect]>,
    /// Whether it has embeddings.
    pub(super) embeddings: bool,
    /// Where it speaks Messages, if that is not under its base URL.
    pub(super) messages_base: Option<&'static str>,
    /// Headers it wants: name, and the setting that holds the value.
    pub(super) headers: &'static [(&'static str, &'static str)],
    /// Members its chat completions want: name, and JSON.
    pub(super) members: &'static [(&'static str, &'static str)],
    /// How its chat completions deviate.
    pub(super) quirks: &'static LazyLock<Quirks>,
}

/// How a key is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// As a bearer token.
    Bearer,
    /// As a bearer token, if there is one.
    OptionalBearer,
    /// In Anthropic's header `x-api-key`; or as a bearer token, if the secret is `auth_token`.
    Anthropic,
}

pub(super) const API_KEY: super::Knob = super::Knob::required("api_key", "the key of the provider's account");
pub(super) const OPTIONAL_KEY: super::Knob = super::Knob::optional("api_key", "the key, if the server wants one");
pub(super) const MESSAGES_ENDPOINT: super::Knob =
    super::Knob::optional("messages_endpoint", "where it speaks Anthropic's API, when the endpoint is not its own");

pub(super) const KEY_HEADER: super::Knob =
    super::Knob::optional("key_header", "the header that takes the key as it is, where it is not a bearer token");
pub(super) const ANTHROPIC_KEYS: &[super::Knob] = &[
    super::Knob::optional("api_key", "the key, sent as `x-api-key`"),
    super::Knob::optional("auth_token", "a token, sent as a bearer token instead of a key"),
];

pub(super) const CHAT: &[Dialect] = &[Dialect::Chat];
pub(super) const MESSAGES: &[Dialect] = &[Dialect::Messages];
pub(super) const RESPONSES: &[Dialect] = &[Dialect::Responses];
pub(super) const CHAT_RESPONSES: &[Dialect] = &[Dialect::Chat, Dialect::Responses];
pub(super) const CHAT_MESSAGES: &[Dialect] = &[Dialect::Chat, Dialect::Messages];

const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");
const ANTHROPIC_VERSION_DEFAULT: HeaderValue = HeaderValue::from_static("2023-06-01");
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// OpenAI's own behaviour.
pub(super) static NO_QUIRKS: LazyLock<Quirks> = LazyLock::new(Quirks::default);

impl Compatible {
    /// A provider of chat completions with a key, and nothing else to say.
    pub(super) const fn chat(profile: Profile, quirks: &'static LazyLock<Quirks>) -> Self {
        Self {
            profile,
            key: Key::Bearer,
            generate: CHAT,
            only: |_| None,
            embeddings: false,
            messages_base: None,
            headers: &[],
            members: &[],
            quirks,
        }
    }

    /// Where `dialect` is spoken.
    fn base<'a>(&self, model: &'a Model, dialect: Dialect) -> Result<&'a str, ProviderError> {
        match (dialect, self.messages_base) {
            (Dialect::Messages, Some(usual)) => match setting(model, MESSAGES_ENDPOINT.name) {
                Some(given) => url::checked_base(MESSAGES_ENDPOINT.name, given),
                None => Ok(usual),
            },
            _ => url::base(model, &self.profile),
        }
    }

    fn show_key(&self, call: &Outgoing<'_>) -> Result<Option<(HeaderName, HeaderValue)>, ProviderError> {
        let key = headers::given(call.secrets, API_KEY.name);
        let token = headers::given(call.secrets, "auth_token").filter(|_| self.key == Key::Anthropic);
        let own = setting(call.model, KEY_HEADER.name);
        let (name, before, secret) = match (self.key, key, token) {
            (_, _, Some(token)) => (AUTHORIZATION, "Bearer ", token),
            (_, Some(key), _) if own.is_some() => (header_name(own)?, "", key),
            (Key::Anthropic, Some(key), _) => (X_API_KEY, "", key),
            (Key::Bearer | Key::OptionalBearer, Some(key), _) => (AUTHORIZATION, "Bearer ", key),
            (Key::OptionalBearer, None, _) => return Ok(None),
            (Key::Bearer | Key::Anthropic, None, None) => {
                return Err(ProviderError::MissingSecret { provider: self.profile.name, name: API_KEY.name });
            }
        };
        Ok(Some((name, headers::secret(API_KEY.name, before, secret)?)))
    }

    fn path(&self, call: &Outgoing<'_>) -> Result<&'static str, ProviderError> {
        match (call.dialect, call.operation) {
            (Dialect::Chat, Operation::Generate) => Ok("/chat/completions"),
            (Dialect::Chat, Operation::Embed) => Ok("/embeddings"),
            (Dialect::Responses, Operation::Generate) => Ok("/responses"),
            (Dialect::Messages, Operation::Generate) => Ok("/messages"),
            (Dialect::Messages, Operation::CountTokens) => Ok("/messages/count_tokens"),
            (dialect, operation) => Err(ProviderError::Unsupported {
                provider: self.profile.name,
                what: format!("{} of {}", operation.as_str(), dialect.as_str()),
            }),
        }
    }
}

impl Provider for Compatible {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn dialects(&self, model: &Model, operation: Operation) -> &'static [Dialect] {
        let messages_moved = model.endpoint.is_some() && setting(model, MESSAGES_ENDPOINT.name).is_none();
        let generate = match (self.generate, model.settings.responses_api) {
            (dialects, ResponsesApi::Native) if dialects.contains(&Dialect::Chat) => CHAT_RESPONSES,
            (dialects, ResponsesApi::Transcode) if dialects.contains(&Dialect::Responses) => CHAT,
            (dialects, ResponsesApi::Auto) => (self.only)(&model.identifier).unwrap_or(dialects),
            (dialects, _) => dialects,
        };
        let generate = if generate == CHAT_MESSAGES && messages_moved { CHAT } else { generate };
        match operation {
            Operation::Generate => generate,
            Operation::Embed if self.embeddings => CHAT,
            Operation::CountTokens if generate == MESSAGES => MESSAGES,
            Operation::Embed | Operation::CountTokens => &[],
        }
    }

    fn request(&self, call: &Outgoing<'_>) -> Result<Upstream, ProviderError> {
        let base = self.base(call.model, call.dialect)?;
        let path = self.path(call)?;
        let uri = match call.method {
            None => url::uri([base, path].concat())?,
            Some(below) => url::uri([base, path, "/", url::segments(below)?].concat())?,
        };
        let mut headers = headers::request(call);
        if call.dialect == Dialect::Messages && !headers.contains_key(&ANTHROPIC_VERSION) {
            headers.insert(ANTHROPIC_VERSION, ANTHROPIC_VERSION_DEFAULT);
        }
        for &(name, from) in self.headers {
            if let Some(value) = setting(call.model, from) {
                let unusable = |_| ProviderError::setting(from, "holds characters that no header may hold");
                headers.insert(name, HeaderValue::from_str(value).map_err(unusable)?);
            }
        }
        if let Some((name, value)) = self.show_key(call)? {
            headers.insert(name, value);
        }
        let chat = call.dialect == Dialect::Chat && call.operation == Operation::Generate;
        let edits = BodyEdits {
            model: true,
            include_usage: chat && call.delivery == Delivery::Events && merged(self.quirks, call.model)?.stream_usage,
            members: if chat { self.members.to_vec() } else { Vec::new() },
            remove: &[],
        };
        Ok(Upstream { uri, headers, edits, credential: Credential::InHeaders })
    }

    fn usual_quirks(&self) -> &Quirks {
        self.quirks
    }
}

fn header_name(given: Option<&str>) -> Result<HeaderName, ProviderError> {
    let name = given.and_then(|name| HeaderName::try_from(name).ok());
    name.ok_or_else(|| ProviderError::setting(KEY_HEADER.name, "is not the name of a header"))
}
