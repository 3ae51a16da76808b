use preloop_dialects::{Dialect, Operation};
use preloop_types::Model;

use super::{
    BodyEdits, Credential, Delivery, Knob, Outgoing, Profile, Provider, ProviderError, ServiceAccount, Upstream,
    google, headers, url,
};

/// Google Vertex AI: Gemini in its own API, Claude in Anthropic's.
pub(super) struct Vertex;

static PROFILE: Profile = Profile {
    name: "vertex",
    title: "Google Vertex AI",
    telemetry: "gcp.vertex_ai",
    base_url: None,
    secrets: &[
        Knob::optional("service_account", "the JSON key file of a service account"),
        Knob::optional("access_token", "an access token of your own, instead of a service account"),
    ],
    settings: &[
        Knob::optional("project", "the project; the service account's own when absent"),
        Knob::optional("region", "`global` when absent"),
    ],
};

/// Who made a model, as Vertex files it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Publisher {
    Google,
    Anthropic,
}

impl Publisher {
    /// Of an identifier that may name it, with the rest of the identifier.
    fn of(identifier: &str) -> (Self, &str) {
        match identifier.split_once('/') {
            Some(("anthropic", model)) => (Publisher::Anthropic, model),
            Some(("google", model)) => (Publisher::Google, model),
            _ if identifier.starts_with("claude") => (Publisher::Anthropic, identifier),
            _ => (Publisher::Google, identifier),
        }
    }
}

impl Provider for Vertex {
    fn profile(&self) -> &Profile {
        &PROFILE
    }

    fn dialects(&self, model: &Model, operation: Operation) -> &'static [Dialect] {
        match (Publisher::of(&model.identifier).0, operation) {
            (Publisher::Google, Operation::Generate | Operation::CountTokens) => &[Dialect::Gemini],
            (Publisher::Anthropic, Operation::Generate) => &[Dialect::Messages],
            (Publisher::Google, Operation::Embed) | (Publisher::Anthropic, _) => &[],
        }
    }

    fn request(&self, call: &Outgoing<'_>) -> Result<Upstream, ProviderError> {
        let (publisher, model) = Publisher::of(&call.model.identifier);
        let model = url::segments(model)?;
        let region = url::word(call.model, "region")?.unwrap_or("global");
        let mut headers = headers::request(call);
        let (credential, own_project) = credential(call, &mut headers)?;
        let project = match url::word(call.model, "project")? {
            Some(project) => project,
            None => own_project.as_deref().ok_or_else(|| ProviderError::setting("project", "is missing"))?,
        };
        let base = match call.model.endpoint {
            Some(_) => url::base(call.model, &PROFILE)?.to_owned(),
            None if region == "global" => "https://aiplatform.googleapis.com".to_owned(),
            None => format!("https://{region}-aiplatform.googleapis.com"),
        };
        let place = format!("{base}/v1/projects/{project}/locations/{region}/publishers");
        let (uri, edits) = match publisher {
            Publisher::Google => {
                (format!("{place}/google/models/{model}{}", google::method(call)), BodyEdits::default())
            }
            Publisher::Anthropic => {
                // The version is a member of the body here, and the model part of the URL.
                headers.remove("anthropic-version");
                let method = if call.delivery == Delivery::Whole { "rawPredict" } else { "streamRawPredict" };
                let edits = BodyEdits {
                    members: vec![("anthropic_version", r#""vertex-2023-10-16""#)],
                    remove: &["model"],
                    ..BodyEdits::default()
                };
                (format!("{place}/anthropic/models/{model}:{method}"), edits)
            }
        };
        Ok(Upstream { uri: url::uri(uri)?, headers, edits, credential })
    }
}

/// The credential, and the project it belongs to.
fn credential(
    call: &Outgoing<'_>,
    headers: &mut http::HeaderMap,
) -> Result<(Credential, Option<String>), ProviderError> {
    if let Some(token) = headers::given(call.secrets, "access_token") {
        headers.insert(http::header::AUTHORIZATION, headers::secret("access_token", "Bearer ", token)?);
        return Ok((Credential::InHeaders, None));
    }
    let missing = ProviderError::MissingSecret { provider: PROFILE.name, name: "service_account" };
    let account = ServiceAccount::read(headers::given(call.secrets, "service_account").ok_or(missing)?)?;
    let project = account.project().map(str::to_owned);
    Ok((Credential::ServiceAccount(account), project))
}
