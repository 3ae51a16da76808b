//! Where Gemini keeps what proves its thinking, and where agents of its dialect keep that of other models.
//!
//! Google signs parts: a call, or a text. The signature of a call is the call's. That of a text becomes a
//! thought without words behind the text; its `item_id` says whether the text had words.
//!
//! Agents of this dialect drop thoughts from their history but keep signatures of calls. So the thoughts of
//! other models ride, whole, in the signature of the call that follows them.

use serde_json::{Value, json};

use crate::{
    Dialect,
    ir::{Part, Request, Signature, Thought},
    translate::{BadRequest, Carrier, Unpacked, pack, pack_call, unpack},
};

/// The `item_id` of a signature that came with a text that has words.
pub(super) const ON_TEXT: &str = "text";

/// The `item_id` of a signature that holds thoughts of other models.
const THOUGHTS: &str = "thoughts";

/// What Google takes in place of a signature, for calls that another model made.
pub(super) const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// Whether the agent asked to see the thinking.
pub(super) fn shown(request: &Request) -> bool {
    request.reasoning.as_ref().is_some_and(|wanted| wanted.summary.is_some() && wanted.budget != Some(0))
}

/// The signature of a part for the agent: thoughts before it, and its own.
pub(super) fn sealed(thoughts: &[Thought], call: Option<(&str, &Signature)>, carrier: &dyn Carrier) -> Option<String> {
    let thought = |thought: &Thought| {
        let signature = pack(thought);
        json!({ "text": thought.text, "signature": signature.as_ref().map(written) })
    };
    let call = call.map(|(id, signature)| written(&pack_call(id, signature)));
    if thoughts.is_empty() && call.is_none() {
        return None;
    }
    let value = json!({ "thoughts": thoughts.iter().map(thought).collect::<Vec<_>>(), "call": call });
    let packed = Signature { dialect: Dialect::Gemini, item_id: Some(THOUGHTS.to_owned()), value: value.to_string() };
    Some(carrier.seal(&packed))
}

/// What [`sealed`] packed, or Google's own signature.
#[derive(Debug)]
pub(super) enum Opened {
    /// As Google wrote it.
    Own(Signature),
    /// Other models' thoughts, and the signature of the call they came with.
    Packed(Vec<Part>, Option<Signature>),
}

pub(super) fn opened(text: String, carrier: &dyn Carrier) -> Result<Opened, BadRequest> {
    let Some(signature) = carrier.open(&text)? else {
        return Ok(Opened::Own(Signature { dialect: Dialect::Gemini, item_id: None, value: text }));
    };
    if signature.item_id.as_deref() != Some(THOUGHTS) {
        return Ok(Opened::Own(signature));
    }
    let value: Value = serde_json::from_str(&signature.value).unwrap_or_default();
    let thoughts = value["thoughts"].as_array().into_iter().flatten().map(|thought| {
        let (signature, redacted) = match read(&thought["signature"]).map(unpack) {
            Some(Unpacked::Thought { signature, redacted }) => (Some(signature), redacted),
            _ => (None, false),
        };
        let text = thought["text"].as_str().unwrap_or_default().to_owned();
        Part::Reasoning(Thought { text, signature, redacted })
    });
    let call = match read(&value["call"]).map(unpack) {
        Some(Unpacked::Call { signature, .. }) => Some(signature),
        _ => None,
    };
    Ok(Opened::Packed(thoughts.collect(), call))
}

fn written(signature: &Signature) -> Value {
    json!({ "dialect": signature.dialect, "item": signature.item_id, "value": signature.value })
}

fn read(written: &Value) -> Option<Signature> {
    Some(Signature {
        dialect: serde_json::from_value(written["dialect"].clone()).ok()?,
        item_id: written["item"].as_str().map(str::to_owned),
        value: written["value"].as_str()?.to_owned(),
    })
}
