use http::HeaderName;
use preloop_dialects::{Dialect, Operation};
use preloop_types::Model;

use super::{
    BodyEdits, Credential, Delivery, Knob, Outgoing, Profile, Provider, ProviderError, Upstream,
    compatible::{CHAT, CHAT_RESPONSES, RESPONSES},
    headers,
    openai::responses_only,
    quirks, setting, url,
};

/// Azure OpenAI. A model's identifier is the name of its deployment.
pub(super) struct Azure;

static PROFILE: Profile = Profile {
    name: "azure",
    title: "Azure OpenAI",
    telemetry: "azure.ai.openai",
    base_url: None,
    secrets: &[
        Knob::optional("api_key", "a key of the resource"),
        Knob::optional("access_token", "a token of Entra ID, instead of a key"),
    ],
    settings: &[
        Knob::optional("api_version", "`v1` (as when absent), `preview`, `latest`, or a date like `2024-10-21`"),
        Knob::optional("base_model", "the model that is deployed, for prices and limits"),
    ],
};

const API_KEY: HeaderName = HeaderName::from_static("api-key");

/// Which of Azure's two APIs is spoken.
enum Version<'a> {
    /// OpenAI's own paths.
    One(&'a str),
    /// A path for each deployment.
    Dated(&'a str),
}

fn version(model: &Model) -> Result<Version<'_>, ProviderError> {
    match url::word(model, "api_version")?.unwrap_or("v1") {
        version @ ("v1" | "preview" | "latest") => Ok(Version::One(version)),
        date => Ok(Version::Dated(date)),
    }
}

/// The root of a resource, of whatever URL was pasted.
fn root(model: &Model) -> Result<&str, ProviderError> {
    let pasted = url::base(model, &PROFILE)?;
    Ok(pasted.split_once("/openai").map_or(pasted, |(root, _)| root).trim_end_matches('/'))
}

impl Provider for Azure {
    fn profile(&self) -> &Profile {
        &PROFILE
    }

    fn dialects(&self, model: &Model, operation: Operation) -> &'static [Dialect] {
        let dated = matches!(version(model), Ok(Version::Dated(_)));
        let deployed = setting(model, "base_model").unwrap_or(&model.identifier);
        match operation {
            Operation::Generate if dated => CHAT,
            Operation::Generate if responses_only(deployed) => RESPONSES,
            Operation::Generate => CHAT_RESPONSES,
            Operation::Embed => CHAT,
            Operation::CountTokens => &[],
        }
    }

    fn request(&self, call: &Outgoing<'_>) -> Result<Upstream, ProviderError> {
        let path = match (call.dialect, call.operation) {
            (Dialect::Chat, Operation::Generate) => "chat/completions",
            (Dialect::Chat, Operation::Embed) => "embeddings",
            (Dialect::Responses, Operation::Generate) => "responses",
            (dialect, operation) => {
                let what = format!("{} of {}", operation.as_str(), dialect.as_str());
                return Err(ProviderError::Unsupported { provider: PROFILE.name, what });
            }
        };
        let below = call.method.map(url::segments).transpose()?.map(|below| format!("/{below}")).unwrap_or_default();
        let root = root(call.model)?;
        let deployment = url::segments(&call.model.identifier)?;
        let uri = match version(call.model)? {
            Version::One("v1") => format!("{root}/openai/v1/{path}{below}"),
            Version::One(version) => format!("{root}/openai/v1/{path}{below}?api-version={version}"),
            Version::Dated(date) => format!("{root}/openai/deployments/{deployment}/{path}{below}?api-version={date}"),
        };
        let mut headers = headers::request(call);
        let (token, key) = (headers::given(call.secrets, "access_token"), headers::given(call.secrets, "api_key"));
        match (token, key) {
            (Some(token), _) => {
                headers.insert(http::header::AUTHORIZATION, headers::secret("access_token", "Bearer ", token)?)
            }
            (None, Some(key)) => headers.insert(API_KEY, headers::secret("api_key", "", key)?),
            (None, None) => return Err(ProviderError::MissingSecret { provider: PROFILE.name, name: "api_key" }),
        };
        let streams_chat = path == "chat/completions" && call.delivery == Delivery::Events;
        let include_usage = streams_chat && quirks(call.model)?.stream_usage;
        let edits = BodyEdits { model: true, include_usage, ..BodyEdits::default() };
        Ok(Upstream { uri: url::uri(uri)?, headers, edits, credential: Credential::InHeaders })
    }
}
