//! Thinking in chat completions, which has no word for it.
//!
//! Providers put it into `reasoning_content` or `reasoning`, with what they demand back in
//! `reasoning_details`; agents may return either, or neither. What an agent forgets, the carrier
//! remembers under the id of the call the thinking led to.

use serde_json::{Value, json};

use crate::{
    Dialect,
    ir::{Part, Signature, Thought, ToolCall},
    translate::{BadRequest, Carrier, Unpacked, fields::Object, fields::bad, pack, pack_call, unpack},
};

/// The fields a provider or an agent may have used.
pub(super) const TEXT_FIELDS: [&str; 2] = ["reasoning_content", "reasoning"];

/// Thinking of one message, as an agent returned it: parts before the calls, and signatures of calls.
#[derive(Debug, Default)]
pub(super) struct Returned {
    pub(super) thoughts: Vec<Thought>,
    pub(super) calls: Vec<(String, Signature)>,
}

/// Takes thinking out of an assistant's message.
pub(super) fn returned(message: &mut Object, carrier: &dyn Carrier) -> Result<Returned, BadRequest> {
    let mut text = String::new();
    for field in TEXT_FIELDS {
        let found = message.text(field)?.unwrap_or_default();
        if text.is_empty() {
            text = found;
        }
    }
    let mut returned = Returned::default();
    let mut foreign = Vec::new();
    let path = message.path("reasoning_details");
    for (index, detail) in message.list("reasoning_details")?.into_iter().enumerate() {
        let envelope = detail.get("signature").or_else(|| detail.get("data")).and_then(Value::as_str);
        let opened = match envelope {
            Some(envelope) => {
                carrier.open(envelope).map_err(|error| bad(format!("{path}[{index}]"), &error.why))?.map(unpack)
            }
            None => None,
        };
        match opened {
            Some(Unpacked::Thought { signature, redacted }) => {
                let text = detail.get("text").and_then(Value::as_str).unwrap_or_default().to_owned();
                returned.thoughts.push(Thought { text, signature: Some(signature), redacted });
            }
            Some(Unpacked::Call { id, signature }) => returned.calls.push((id, signature)),
            None => foreign.push(detail),
        }
    }
    if !foreign.is_empty() || (returned.thoughts.is_empty() && !text.is_empty()) {
        let signature = Some(details_signature(foreign));
        returned.thoughts.insert(0, Thought { text, signature, redacted: false });
    }
    Ok(returned)
}

/// `reasoning_details`, as a signature of this dialect. Thinking without any is signed too: most agents
/// only return thinking that is.
pub(super) fn details_signature(details: Vec<Value>) -> Signature {
    let value = if details.is_empty() { String::new() } else { Value::Array(details).to_string() };
    Signature { dialect: Dialect::Chat, item_id: None, value }
}

/// The details inside a signature of this dialect.
pub(super) fn details_of(signature: &Signature) -> Vec<Value> {
    serde_json::from_str(&signature.value).unwrap_or_default()
}

/// The text inside a detail that has one.
pub(super) fn detail_text(detail: &Value) -> Option<&str> {
    detail.get("text").or_else(|| detail.get("summary")).and_then(Value::as_str)
}

/// How one thought's signature is shown to an agent. `index` counts the details of the answer.
pub(super) fn shown(thought: &Thought, index: usize, carrier: &dyn Carrier) -> Vec<Value> {
    let Some(signature) = &thought.signature else { return Vec::new() };
    if signature.dialect == Dialect::Chat {
        return details_of(signature);
    }
    let Some(sealed) = pack(thought).map(|packed| carrier.seal(&packed)) else { return Vec::new() };
    vec![if thought.text.is_empty() {
        json!({"type": "reasoning.encrypted", "data": sealed, "format": "preloop-v1", "index": index})
    } else {
        json!({"type": "reasoning.text", "text": thought.text, "signature": sealed, "format": "preloop-v1", "index": index})
    }]
}

/// How the signature of a call is shown to an agent.
pub(super) fn shown_call(call_id: &str, signature: &Signature, index: usize, carrier: &dyn Carrier) -> Value {
    let sealed = carrier.seal(&pack_call(call_id, signature));
    json!({"type": "reasoning.encrypted", "data": sealed, "id": call_id, "format": "preloop-v1", "index": index})
}

/// Keeps the thinking that led to a call.
pub(super) fn remember(call_id: &str, thoughts: &[Thought], carrier: &dyn Carrier) {
    for (n, thought) in thoughts.iter().enumerate() {
        carrier.remember(&slot(call_id, n), &thought.text, pack(thought).as_ref());
    }
}

/// Keeps the signature of a call.
pub(super) fn remember_call(call_id: &str, signature: &Signature, carrier: &dyn Carrier) {
    carrier.remember(&own_slot(call_id), "", Some(&pack_call(call_id, signature)));
}

/// Puts back what an agent did not return with its calls.
pub(super) fn recall(returned: &mut Returned, calls: &mut [ToolCall], carrier: &dyn Carrier) {
    let proven = |thought: &Thought| thought.signature.as_ref().is_some_and(|signature| !signature.value.is_empty());
    let signed = returned.thoughts.iter().any(proven);
    if let Some(first) = calls.first()
        && !signed
    {
        let kept: Vec<Thought> = (0..).map_while(|n| carrier.recall(&slot(&first.id, n))).map(thought).collect();
        if !kept.is_empty() {
            returned.thoughts = kept;
        }
    }
    for call in calls {
        let shown = returned.calls.iter().find(|(id, _)| *id == call.id).map(|(_, signature)| signature.clone());
        call.signature = shown.or_else(|| {
            let (_, packed) = carrier.recall(&own_slot(&call.id))?;
            match unpack(packed?) {
                Unpacked::Call { signature, .. } | Unpacked::Thought { signature, .. } => Some(signature),
            }
        });
    }
}

/// The thoughts as parts.
pub(super) fn parts(thoughts: Vec<Thought>) -> impl Iterator<Item = Part> {
    thoughts.into_iter().map(Part::Reasoning)
}

fn thought((text, packed): (String, Option<Signature>)) -> Thought {
    match packed.map(unpack) {
        Some(Unpacked::Thought { signature, redacted }) => Thought { text, signature: Some(signature), redacted },
        Some(Unpacked::Call { .. }) | None => Thought { text, signature: None, redacted: false },
    }
}

/// Where the `n`-th thought before a call is kept.
fn slot(call_id: &str, n: usize) -> String {
    if n == 0 { call_id.to_owned() } else { format!("{call_id}#{n}") }
}

/// Where a call's own signature is kept.
fn own_slot(call_id: &str) -> String {
    format!("{call_id}#call")
}
