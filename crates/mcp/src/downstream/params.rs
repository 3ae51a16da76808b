use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::protocol::{RpcError, error, meta::RequestMeta};

/// The members of `params` the endpoint itself looks at, undecoded.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Params<'a> {
    #[serde(borrow, rename = "_meta")]
    meta: Option<RequestMeta<'a>>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    uri: Option<&'a RawValue>,
    #[serde(borrow)]
    level: Option<&'a RawValue>,
    #[serde(borrow, rename = "requestId")]
    pub(super) request_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "inputResponses")]
    pub(super) input_responses: Option<&'a RawValue>,
    #[serde(borrow, rename = "requestState")]
    request_state: Option<&'a RawValue>,
}

impl<'a> Params<'a> {
    /// Reads them. MCP has no positional params, and a repeated member is refused: readers
    /// disagree on which one counts.
    pub(super) fn of(params: Option<&'a RawValue>) -> Result<Self, RpcError> {
        let Some(params) = params else { return Ok(Self::default()) };
        if !params.get().starts_with('{') {
            return Err(RpcError::new(error::INVALID_PARAMS, "`params` must be an object"));
        }
        serde_json::from_str(params.get())
            .map_err(|error| RpcError::new(error::INVALID_PARAMS, format!("`params` cannot be read: {error}")))
    }

    pub(super) fn meta(&self) -> Option<&RequestMeta<'a>> {
        self.meta.as_ref()
    }

    /// The member a request may repeat in `Mcp-Name`.
    pub(super) fn mirrored(&self, member: &str) -> Option<Cow<'a, str>> {
        text(if member == "uri" { self.uri } else { self.name })
    }

    pub(super) fn uri(&self) -> Option<Cow<'a, str>> {
        text(self.uri)
    }

    pub(super) fn level(&self) -> Option<Cow<'a, str>> {
        text(self.level)
    }

    pub(super) fn request_state(&self) -> Option<Cow<'a, str>> {
        text(self.request_state)
    }
}

/// What a JSON string says; `None` for any other JSON.
pub(super) fn text(raw: Option<&RawValue>) -> Option<Cow<'_, str>> {
    let inner = raw?.get().strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(raw?.get()).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}
