//! Vectors of texts, between the APIs that make them.
//!
//! Agents ask in OpenAI's form ([`Dialect::Chat`]) or in Gemini's. On Bedrock ([`Dialect::Converse`]) each
//! maker of models has a form of its own, taken by the model's name.

mod bedrock;
mod gemini;
mod openai;
#[cfg(test)]
mod tests;

use crate::{
    Dialect,
    ir::Unsupported,
    translate::{BadAnswer, BadRequest, Target, gaps::Gaps},
};

/// What an agent wants vectors of.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ask {
    /// The model as the agent named it; empty where the URL names it.
    pub model: String,
    /// The texts.
    pub texts: Vec<String>,
    /// Whether the agent asked for one text by itself, which changes the form of Gemini's answer.
    pub single: bool,
    /// How long the vectors should be.
    pub dimensions: Option<u64>,
    /// Whether the agent takes vectors as base64 of 32-bit floats, lowest byte first.
    pub base64: bool,
    /// What the vectors are for, in Gemini's words (`RETRIEVAL_QUERY`).
    pub task: Option<String>,
    /// The agent's own stable name for its user.
    pub user: Option<String>,
}

/// Vectors, in the order of the texts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Vectors {
    /// One for each text.
    pub vectors: Vec<Vec<f64>>,
    /// How many tokens the texts have, where the provider says it.
    pub tokens: Option<u64>,
}

/// Reads an agent's request.
pub fn decode_request(dialect: Dialect, body: &[u8]) -> Result<Ask, BadRequest> {
    match dialect {
        Dialect::Chat => openai::decode_request(body),
        Dialect::Gemini => gemini::decode_request(body),
        Dialect::Responses | Dialect::Messages | Dialect::Converse => {
            Err(BadRequest { field: None, why: "this API has no embeddings".to_owned() })
        }
    }
}

/// Writes a request to a provider, with warnings. Gemini's is one for `batchEmbedContents`.
pub fn encode_request(dialect: Dialect, ask: &Ask, target: &Target<'_>) -> Result<(Vec<u8>, Vec<String>), Unsupported> {
    let mut gaps = Gaps::new(target);
    let body = match dialect {
        Dialect::Chat => openai::encode_request(ask, target.model, &mut gaps),
        Dialect::Gemini => gemini::encode_request(ask, target.model),
        Dialect::Converse => bedrock::encode_request(ask, target.model, &mut gaps)?,
        Dialect::Responses | Dialect::Messages => {
            let why = "this provider has no embeddings".to_owned();
            return Err(Unsupported { field: "input".to_owned(), why });
        }
    };
    Ok((body.to_string().into_bytes(), gaps.into_warnings()))
}

/// Reads a provider's answer to `ask`.
pub fn decode_response(dialect: Dialect, body: &[u8], ask: &Ask) -> Result<Vectors, BadAnswer> {
    let body = serde_json::from_slice(body).map_err(|error| BadAnswer(format!("it is not JSON: {error}")))?;
    let vectors = match dialect {
        Dialect::Chat => openai::decode_response(&body),
        Dialect::Gemini => gemini::decode_response(&body),
        Dialect::Converse => bedrock::decode_response(&body),
        Dialect::Responses | Dialect::Messages => None,
    };
    let vectors = vectors.ok_or_else(|| BadAnswer("it holds no vectors".to_owned()))?;
    let (found, asked) = (vectors.vectors.len(), ask.texts.len());
    if found != asked {
        return Err(BadAnswer(format!("it holds {found} vectors for {asked} texts")));
    }
    Ok(vectors)
}

/// Writes an answer to an agent, which called the model `model`.
pub fn encode_response(dialect: Dialect, vectors: &Vectors, ask: &Ask, model: &str) -> Vec<u8> {
    let body = match dialect {
        Dialect::Gemini => gemini::encode_response(vectors, ask),
        // The others ask for none.
        Dialect::Chat | Dialect::Responses | Dialect::Messages | Dialect::Converse => {
            openai::encode_response(vectors, ask, model)
        }
    };
    body.to_string().into_bytes()
}

/// A list of numbers.
fn vector(value: &serde_json::Value) -> Option<Vec<f64>> {
    value.as_array()?.iter().map(serde_json::Value::as_f64).collect()
}
