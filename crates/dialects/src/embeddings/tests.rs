use serde_json::{Value, json};

use super::{Ask, decode_request, decode_response, encode_request, encode_response};
use crate::{Dialect, Quirks, translate::Target};

fn ask(dialect: Dialect, body: &Value) -> Ask {
    decode_request(dialect, body.to_string().as_bytes()).unwrap()
}

fn written(dialect: Dialect, ask: &Ask, model: &str) -> Result<Value, String> {
    let quirks = Quirks::default();
    let target = Target { model, max_output: None, quirks: &quirks, drop_unsupported: false };
    let (body, _) = encode_request(dialect, ask, &target).map_err(|refused| refused.to_string())?;
    Ok(serde_json::from_slice(&body).unwrap())
}

/// What the agent gets for what the provider answered.
fn answered(agent: Dialect, provider: Dialect, ask: &Ask, answer: &Value) -> Result<Value, String> {
    let vectors = decode_response(provider, answer.to_string().as_bytes(), ask).map_err(|bad| bad.to_string())?;
    Ok(serde_json::from_slice(&encode_response(agent, &vectors, ask, "m")).unwrap())
}

#[test]
fn an_openai_agent_reaches_google() {
    let ask = ask(Dialect::Chat, &json!({"model": "m", "input": ["a", "b"], "dimensions": 2}));

    let request =
        |text| json!({"model": "models/g", "content": {"parts": [{"text": text}]}, "outputDimensionality": 2});
    assert_eq!(written(Dialect::Gemini, &ask, "g").unwrap(), json!({"requests": [request("a"), request("b")]}));
    let answer = json!({"embeddings": [{"values": [0.25, -1.0]}, {"values": [1e-3, 0.0]}]});
    assert_eq!(
        answered(Dialect::Chat, Dialect::Gemini, &ask, &answer).unwrap(),
        json!({
            "object": "list", "model": "m",
            "data": [
                {"object": "embedding", "index": 0, "embedding": [0.25, -1.0]},
                {"object": "embedding", "index": 1, "embedding": [1e-3, 0.0]}],
            "usage": {"prompt_tokens": 0, "total_tokens": 0}
        })
    );
}

#[test]
fn vectors_are_packed_where_the_agent_wants_that() {
    let ask = ask(Dialect::Chat, &json!({"input": "a", "encoding_format": "base64"}));

    let answer = json!({"embedding": [1.0, -2.5], "inputTextTokenCount": 3});
    let packed = answered(Dialect::Chat, Dialect::Converse, &ask, &answer).unwrap();

    assert_eq!(packed["data"][0]["embedding"], "AACAPwAAIMA=");
    assert_eq!(packed["usage"]["prompt_tokens"], 3);
    let unpacked = decode_response(Dialect::Chat, packed.to_string().as_bytes(), &ask).unwrap();
    assert_eq!(unpacked.vectors, [[1.0, -2.5]]);
}

#[test]
fn a_gemini_agent_reaches_openai() {
    let one = ask(Dialect::Gemini, &json!({"content": {"parts": [{"text": "a"}]}, "taskType": "CLUSTERING"}));
    let two = ask(
        Dialect::Gemini,
        &json!({"requests": [
        {"model": "models/m", "content": {"parts": [{"text": "a"}]}},
        {"model": "models/m", "content": {"parts": [{"text": "b"}]}}]}),
    );

    let body = written(Dialect::Chat, &two, "o").unwrap();
    assert_eq!(body, json!({"model": "o", "input": ["a", "b"], "encoding_format": "float"}));
    let row = |index, vector: [f64; 1]| json!({"index": index, "embedding": vector});
    let single = answered(Dialect::Gemini, Dialect::Chat, &one, &json!({"data": [row(0, [1.0])]})).unwrap();
    assert_eq!(single, json!({"embedding": {"values": [1.0]}}));
    let data = json!({"data": [row(1, [2.0]), row(0, [1.0])], "usage": {"prompt_tokens": 2}});
    assert_eq!(
        answered(Dialect::Gemini, Dialect::Chat, &two, &data).unwrap(),
        json!({"embeddings": [{"values": [1.0]}, {"values": [2.0]}], "usageMetadata": {"promptTokenCount": 2}})
    );
}

#[test]
fn bedrock_has_a_form_for_each_maker() {
    let one = Ask { texts: vec!["a".to_owned()], dimensions: Some(256), ..Ask::default() };
    let two = Ask { texts: vec!["a".to_owned(), "b".to_owned()], ..Ask::default() };

    let titan = written(Dialect::Converse, &one, "amazon.titan-embed-text-v2:0").unwrap();
    assert_eq!(titan, json!({"inputText": "a", "dimensions": 256}));
    let refused = written(Dialect::Converse, &two, "amazon.titan-embed-text-v2:0").unwrap_err();
    assert_eq!(refused, "`input` cannot be sent to this model: this model takes one text at a time");
    let cohere = written(Dialect::Converse, &two, "cohere.embed-english-v3").unwrap();
    assert_eq!(cohere, json!({"texts": ["a", "b"], "input_type": "search_document"}));
    let answer = json!({"embeddings": {"float": [[1.0], [2.0]]}});
    assert!(answered(Dialect::Chat, Dialect::Converse, &two, &answer).is_ok());
}

#[test]
fn a_vector_too_few_is_no_answer() {
    let two = Ask { texts: vec!["a".to_owned(), "b".to_owned()], ..Ask::default() };
    let answer = json!({"embeddings": [{"values": [1.0]}]});
    let error = answered(Dialect::Chat, Dialect::Gemini, &two, &answer).unwrap_err();
    assert_eq!(error, "the provider's answer cannot be read: it holds 1 vectors for 2 texts");
}

#[test]
fn tokens_and_unknown_fields_are_refused_by_name() {
    let refused = |body: Value| decode_request(Dialect::Chat, body.to_string().as_bytes()).unwrap_err().field.unwrap();
    assert_eq!(refused(json!({"input": [[1, 2]]})), "input[0]");
    assert_eq!(refused(json!({"input": "a", "truncate": "END"})), "truncate");
    assert_eq!(refused(json!({})), "input");
}
