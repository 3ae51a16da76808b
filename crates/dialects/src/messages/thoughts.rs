//! Thinking, as agents see it.
//!
//! An agent that asked to see it gets it as it comes. From another it is kept away, unless a tool call
//! follows: then the provider may demand it back, and only the agent can bring it.

use serde_json::{Value, json};

use crate::{
    Dialect,
    ir::{Request, Signature, Thought, ToolCall},
    translate::{Carrier, IdRule, pack, pack_call},
};

/// Ids of tool calls, as Anthropic's own clients know them.
pub(super) const IDS: IdRule = IdRule::Plain(128);

/// Whether the agent asked to see the thinking.
pub(super) fn shown(request: &Request) -> bool {
    request.reasoning.as_ref().is_some_and(|wanted| wanted.summary.is_some() && wanted.budget != Some(0))
}

/// What the agent gives back for a thought's signature; empty if it has none.
pub(super) fn sealed(thought: &Thought, carrier: &dyn Carrier) -> String {
    match &thought.signature {
        Some(own) if own.dialect == Dialect::Messages => own.value.clone(),
        _ => pack(thought).map(|packed| carrier.seal(&packed)).unwrap_or_default(),
    }
}

/// The block of a whole thought; `None` for one that holds nothing.
pub(super) fn block(thought: &Thought, carrier: &dyn Carrier) -> Option<Value> {
    let signature = sealed(thought, carrier);
    if thought.redacted && !signature.is_empty() {
        return Some(json!({ "type": "redacted_thinking", "data": signature }));
    }
    if thought.text.is_empty() && signature.is_empty() {
        return None;
    }
    Some(json!({ "type": "thinking", "thinking": thought.text, "signature": signature }))
}

/// The block that carries the signature of a call.
pub(super) fn call_block(call: &ToolCall, carrier: &dyn Carrier) -> Option<Value> {
    let signature = call.signature.as_ref()?;
    Some(signature_block(&call.id, signature, carrier))
}

/// The same, from its pieces.
pub(super) fn signature_block(call_id: &str, signature: &Signature, carrier: &dyn Carrier) -> Value {
    let packed = pack_call(&IDS.apply(call_id), signature);
    json!({ "type": "thinking", "thinking": "", "signature": carrier.seal(&packed) })
}
