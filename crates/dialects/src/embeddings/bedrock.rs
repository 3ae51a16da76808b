//! Bodies of `InvokeModel`: Amazon's Titan and Cohere's Embed.

use serde_json::{Value, json};

use super::{Ask, Vectors, vector};
use crate::{ir::Unsupported, translate::gaps::Gaps};

pub(super) fn encode_request(ask: &Ask, model: &str, gaps: &mut Gaps) -> Result<Value, Unsupported> {
    if ask.user.is_some() {
        gaps.warn("`user` was left out: Bedrock has no place for it");
    }
    if model.contains("cohere.embed") { Ok(cohere(ask, model)) } else { titan(ask, gaps) }
}

fn titan(ask: &Ask, gaps: &mut Gaps) -> Result<Value, Unsupported> {
    let [text] = ask.texts.as_slice() else {
        let why = "this model takes one text at a time".to_owned();
        return Err(Unsupported { field: "input".to_owned(), why });
    };
    if ask.task.is_some() {
        gaps.warn("`taskType` was left out: this model has no such setting");
    }
    let mut body = json!({ "inputText": text });
    if let Some(dimensions) = ask.dimensions {
        body["dimensions"] = dimensions.into();
    }
    Ok(body)
}

/// Cohere wants to know what the vectors are for; most are stored to be found.
fn cohere(ask: &Ask, model: &str) -> Value {
    let purpose = match ask.task.as_deref() {
        Some("RETRIEVAL_QUERY" | "QUESTION_ANSWERING" | "CODE_RETRIEVAL_QUERY") => "search_query",
        Some("CLASSIFICATION") => "classification",
        Some("CLUSTERING" | "SEMANTIC_SIMILARITY") => "clustering",
        _ => "search_document",
    };
    let mut body = json!({ "texts": ask.texts, "input_type": purpose });
    if let Some(dimensions) = ask.dimensions {
        body["output_dimension"] = dimensions.into();
    }
    if model.contains("embed-v4") {
        body["embedding_types"] = json!(["float"]);
    }
    body
}

pub(super) fn decode_response(body: &Value) -> Option<Vectors> {
    let tokens = body["inputTextTokenCount"].as_u64();
    if body["embedding"].is_array() {
        return Some(Vectors { vectors: vec![vector(&body["embedding"])?], tokens });
    }
    let rows = body["embeddings"].as_array().or_else(|| body["embeddings"]["float"].as_array())?;
    Some(Vectors { vectors: rows.iter().map(vector).collect::<Option<_>>()?, tokens })
}
