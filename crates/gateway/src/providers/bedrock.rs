use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use preloop_dialects::{Dialect, Operation};
use preloop_types::Model;

use super::{
    BodyEdits, Credential, Delivery, Knob, Outgoing, Profile, Provider, ProviderError, Signer, Upstream, headers, url,
};

/// Amazon Bedrock, in its Converse API. A streamed answer comes in Amazon's binary frames, whatever is
/// asked for.
pub(super) struct Bedrock;

static PROFILE: Profile = Profile {
    name: "bedrock",
    title: "Amazon Bedrock",
    telemetry: "aws.bedrock",
    base_url: None,
    secrets: &[
        Knob::optional("api_key", "a Bedrock API key, instead of an access key"),
        Knob::optional("access_key_id", "the access key"),
        Knob::optional("secret_access_key", "its secret"),
        Knob::optional("session_token", "its session, where it is a temporary one"),
    ],
    settings: &[
        Knob::optional("region", "`us-east-1` when absent"),
        Knob::optional("base_model", "the model behind an ARN, for prices and limits"),
    ],
};

/// What stands for itself in a path (RFC 3986, unreserved). An identifier is one segment here, even
/// an ARN with slashes.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Provider for Bedrock {
    fn profile(&self) -> &Profile {
        &PROFILE
    }

    fn dialects(&self, _: &Model, operation: Operation) -> &'static [Dialect] {
        match operation {
            Operation::Generate | Operation::Embed => &[Dialect::Converse],
            Operation::CountTokens => &[],
        }
    }

    fn request(&self, call: &Outgoing<'_>) -> Result<Upstream, ProviderError> {
        let region = url::word(call.model, "region")?.unwrap_or("us-east-1");
        let base = match call.model.endpoint {
            Some(_) => url::base(call.model, &PROFILE)?.to_owned(),
            None => format!("https://bedrock-runtime.{region}.amazonaws.com"),
        };
        let identifier = utf8_percent_encode(url::segments(&call.model.identifier)?, SEGMENT);
        let method = match (call.operation, call.delivery) {
            // Vectors have no API common to all makers of models.
            (Operation::Embed, _) => "invoke",
            (_, Delivery::Whole) => "converse",
            (_, Delivery::Events | Delivery::Array) => "converse-stream",
        };
        let uri = url::uri(format!("{base}/model/{identifier}/{method}"))?;
        let mut headers = headers::request(call);
        let credential = match headers::given(call.secrets, "api_key") {
            Some(key) => {
                headers.insert(http::header::AUTHORIZATION, headers::secret("api_key", "Bearer ", key)?);
                Credential::InHeaders
            }
            None => Credential::Signature(signer(call, region)?),
        };
        Ok(Upstream { uri, headers, edits: BodyEdits::default(), credential })
    }
}

fn signer(call: &Outgoing<'_>, region: &str) -> Result<Signer, ProviderError> {
    let needed = |name| {
        let missing = ProviderError::MissingSecret { provider: PROFILE.name, name };
        headers::given(call.secrets, name).ok_or(missing)
    };
    Ok(Signer::new(
        needed("access_key_id")?,
        needed("secret_access_key")?,
        headers::given(call.secrets, "session_token"),
        region,
        "bedrock",
    ))
}
