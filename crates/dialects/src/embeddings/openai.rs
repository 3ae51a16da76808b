use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Ask, Vectors, vector};
use crate::translate::{
    BadRequest,
    fields::{Object, bad},
    gaps::Gaps,
};

pub(super) fn decode_request(body: &[u8]) -> Result<Ask, BadRequest> {
    let mut body = Object::parse(body)?;
    let input = body.take("input").ok_or_else(|| body.bad("input", "is missing"))?;
    let (texts, single) = match input {
        Value::String(text) => (vec![text], true),
        Value::Array(list) => (texts(list)?, false),
        _ => return Err(body.bad("input", "is not a string or a list of strings")),
    };
    let base64 = match body.text("encoding_format")?.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => return Err(body.bad("encoding_format", "is not `float` or `base64`")),
    };
    let ask = Ask {
        model: body.text("model")?.unwrap_or_default(),
        texts,
        single,
        dimensions: body.count("dimensions")?,
        base64,
        task: None,
        user: body.text("user")?,
    };
    match body.rest().into_iter().next() {
        Some((field, _)) => Err(bad(field, "is known only to models that speak OpenAI's own API")),
        None => Ok(ask),
    }
}

fn texts(list: Vec<Value>) -> Result<Vec<String>, BadRequest> {
    let text = |(index, value)| match value {
        Value::String(text) => Ok(text),
        _ => Err(bad(format!("input[{index}]"), "is no text; tokens can be sent only to OpenAI's own models")),
    };
    list.into_iter().enumerate().map(text).collect()
}

pub(super) fn encode_request(ask: &Ask, model: &str, gaps: &mut Gaps) -> Value {
    let mut body = json!({ "model": model, "input": ask.texts, "encoding_format": "float" });
    if let Some(dimensions) = ask.dimensions {
        body["dimensions"] = dimensions.into();
    }
    if let Some(user) = &ask.user {
        body["user"] = user.as_str().into();
    }
    if ask.task.is_some() {
        gaps.warn("`taskType` was left out: this model has no such setting");
    }
    body
}

pub(super) fn decode_response(body: &Value) -> Option<Vectors> {
    let mut rows: Vec<(u64, Vec<f64>)> = Vec::new();
    for (at, row) in (0..).zip(body["data"].as_array()?) {
        let embedding = &row["embedding"];
        let vector = embedding.as_str().map_or_else(|| vector(embedding), unpacked)?;
        rows.push((row["index"].as_u64().unwrap_or(at), vector));
    }
    rows.sort_by_key(|(index, _)| *index);
    let vectors = rows.into_iter().map(|(_, vector)| vector).collect();
    Some(Vectors { vectors, tokens: body["usage"]["prompt_tokens"].as_u64() })
}

pub(super) fn encode_response(vectors: &Vectors, ask: &Ask, model: &str) -> Value {
    let rows = vectors.vectors.iter().enumerate().map(|(index, vector)| {
        let embedding: Value = if ask.base64 { packed(vector).into() } else { vector.clone().into() };
        json!({ "object": "embedding", "index": index, "embedding": embedding })
    });
    let tokens = vectors.tokens.unwrap_or_default();
    json!({
        "object": "list",
        "data": rows.collect::<Vec<_>>(),
        "model": model,
        "usage": { "prompt_tokens": tokens, "total_tokens": tokens },
    })
}

#[expect(clippy::cast_possible_truncation, reason = "the format has 32 bits for a number")]
fn packed(vector: &[f64]) -> String {
    STANDARD.encode(vector.iter().flat_map(|number| (*number as f32).to_le_bytes()).collect::<Vec<u8>>())
}

/// Some servers send base64 unasked.
fn unpacked(text: &str) -> Option<Vec<f64>> {
    let bytes = STANDARD.decode(text).ok()?;
    let (numbers, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| numbers.iter().map(|number| f64::from(f32::from_le_bytes(*number))).collect())
}
