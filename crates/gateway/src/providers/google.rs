use http::HeaderName;
use preloop_dialects::{Dialect, Operation};
use preloop_types::Model;

use super::{
    BodyEdits, Credential, Delivery, Knob, Outgoing, Profile, Provider, ProviderError, Upstream, headers, url,
};

/// Google AI Studio, in Gemini's own API.
pub(super) struct Google;

static PROFILE: Profile = Profile {
    name: "google",
    title: "Google AI Studio",
    telemetry: "gcp.gemini",
    base_url: Some("https://generativelanguage.googleapis.com/v1beta"),
    secrets: &[Knob::required("api_key", "the key of the Google AI Studio project")],
    settings: &[],
};

const X_GOOG_API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");

impl Provider for Google {
    fn profile(&self) -> &Profile {
        &PROFILE
    }

    fn dialects(&self, _: &Model, _: Operation) -> &'static [Dialect] {
        &[Dialect::Gemini]
    }

    fn request(&self, call: &Outgoing<'_>) -> Result<Upstream, ProviderError> {
        let missing = ProviderError::MissingSecret { provider: PROFILE.name, name: "api_key" };
        let key = headers::given(call.secrets, "api_key").ok_or(missing)?;
        let base = url::base(call.model, &PROFILE)?;
        let identifier = url::segments(&call.model.identifier)?;
        // Tuned models are a collection of their own; everything else is a model.
        let collection = if identifier.contains('/') { "/" } else { "/models/" };
        let uri = url::uri([base, collection, identifier, method(call)].concat())?;
        let mut headers = headers::request(call);
        headers.insert(X_GOOG_API_KEY, headers::secret("api_key", "", key)?);
        let edits = BodyEdits::default();
        Ok(Upstream { uri, headers, edits, credential: Credential::InHeaders })
    }
}

/// What stands behind a model's name in a URL of Gemini's API.
pub(super) fn method(call: &Outgoing<'_>) -> &'static str {
    match (call.operation, call.delivery, call.method) {
        (Operation::Generate, Delivery::Whole, _) => ":generateContent",
        (Operation::Generate, Delivery::Events, _) => ":streamGenerateContent?alt=sse",
        (Operation::Generate, Delivery::Array, _) => ":streamGenerateContent",
        (Operation::CountTokens, ..) => ":countTokens",
        (Operation::Embed, _, Some("embedContent")) => ":embedContent",
        // Also the form into which requests of other dialects are translated.
        (Operation::Embed, ..) => ":batchEmbedContents",
    }
}
