use serde_json::{Value, json};

use super::{Ask, Vectors, vector};
use crate::translate::{
    BadRequest,
    fields::{Object, bad},
};

/// Reads a body of `embedContent`, or of `batchEmbedContents`.
pub(super) fn decode_request(body: &[u8]) -> Result<Ask, BadRequest> {
    let mut body = Object::parse(body)?.or_snake();
    let single = !body.has("requests");
    let requests = if single { vec![body] } else { body.objects("requests")? };
    let mut ask = Ask { single, ..Ask::default() };
    for (index, mut request) in requests.into_iter().enumerate() {
        let model = request.text("model")?.unwrap_or_default();
        let (task, dimensions) = (request.text("taskType")?, request.count("outputDimensionality")?);
        if index == 0 {
            (ask.model, ask.task, ask.dimensions) = (model, task, dimensions);
        } else if (ask.task.as_ref(), ask.dimensions) != (task.as_ref(), dimensions) || ask.model != model {
            return Err(bad(request.here().to_owned(), "asks for other vectors than the first request"));
        }
        // A hint where the text is from.
        request.take("title");
        let mut content = request.object("content")?.ok_or_else(|| request.bad("content", "is missing"))?;
        let mut text = String::new();
        for mut part in content.objects("parts")? {
            text.push_str(&part.need_text("text")?);
        }
        ask.texts.push(text);
        if let Some((field, _)) = request.rest().into_iter().next() {
            return Err(bad(field, "is known only to Google's own models"));
        }
    }
    Ok(ask)
}

pub(super) fn encode_request(ask: &Ask, model: &str) -> Value {
    let name = if model.starts_with("models/") { model.to_owned() } else { format!("models/{model}") };
    let request = |text: &String| {
        let mut request = json!({ "model": name, "content": { "parts": [{ "text": text }] } });
        if let Some(task) = &ask.task {
            request["taskType"] = task.as_str().into();
        }
        if let Some(dimensions) = ask.dimensions {
            request["outputDimensionality"] = dimensions.into();
        }
        request
    };
    json!({ "requests": ask.texts.iter().map(request).collect::<Vec<_>>() })
}

pub(super) fn decode_response(body: &Value) -> Option<Vectors> {
    let rows = match body["embeddings"].as_array() {
        Some(rows) => rows.iter().map(|row| vector(&row["values"])).collect::<Option<Vec<_>>>()?,
        None => vec![vector(&body["embedding"]["values"])?],
    };
    Some(Vectors { vectors: rows, tokens: body["usageMetadata"]["promptTokenCount"].as_u64() })
}

pub(super) fn encode_response(vectors: &Vectors, ask: &Ask) -> Value {
    let row = |vector: &Vec<f64>| json!({ "values": vector });
    let mut body = match vectors.vectors.as_slice() {
        [vector] if ask.single => json!({ "embedding": row(vector) }),
        vectors => json!({ "embeddings": vectors.iter().map(row).collect::<Vec<_>>() }),
    };
    if let Some(tokens) = vectors.tokens {
        body["usageMetadata"] = json!({ "promptTokenCount": tokens });
    }
    body
}
