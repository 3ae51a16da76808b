//! Counting tokens where the provider of a model cannot.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use preloop_dialects::Dialect;
use preloop_govern::Snapshot;
use preloop_types::Model;
use serde_json::json;

use super::Asked;
use crate::{failure::Failure, providers};

/// Bytes of a request that make one token, about.
const BYTES_PER_TOKEN: u64 = 4;
/// Tokens of one image, about.
const IMAGE_TOKENS: u64 = 1500;

/// An estimate, where the model's provider counts in another dialect or not at all; `None` where it
/// counts itself. Nothing leaves this process, so there is nothing to record.
pub(super) fn counted_here(
    asked: &Asked<'_>,
    model: &Arc<Model>,
    snapshot: &Snapshot,
) -> Result<Option<Response>, Failure> {
    let provider = providers::provider(&model.provider);
    if provider.is_some_and(|provider| provider.dialects(model, asked.operation).contains(&asked.ask.dialect)) {
        return Ok(None);
    }
    if let Some(scope) = snapshot.forbidden_by(&asked.who, model, asked.model()) {
        let why = format!("model `{}` is not among the models this {scope} may use", model.alias);
        return Err(Failure::new(403, "model_not_allowed", why));
    }
    let tokens = asked.facts.text_bytes.div_ceil(BYTES_PER_TOKEN) + u64::from(asked.facts.images) * IMAGE_TOKENS;
    let counted = match asked.ask.dialect {
        Dialect::Gemini => json!({ "totalTokens": tokens }),
        _ => json!({ "input_tokens": tokens }),
    };
    let kind = [(header::CONTENT_TYPE, "application/json")];
    Ok(Some((StatusCode::OK, kind, counted.to_string()).into_response()))
}
