//! How a thought or the signature of a call looks to a [`super::Carrier`], which keeps signatures alone.
//!
//! What the signature belongs to goes with it, as a word before its value.

use crate::ir::{Signature, Thought};

const HIDDEN: &str = "hidden:";
const CALL: &str = "call:";

/// The signature of a thought, with what it needs to become one again; `None` for a thought without.
pub(crate) fn pack(thought: &Thought) -> Option<Signature> {
    let signature = thought.signature.clone()?;
    Some(if thought.redacted { marked(HIDDEN, signature) } else { signature })
}

/// The signature of a tool call, with the call it belongs to.
pub(crate) fn pack_call(call_id: &str, signature: &Signature) -> Signature {
    Signature { item_id: Some(call_id.to_owned()), ..marked(CALL, signature.clone()) }
}

/// What a packed signature was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unpacked {
    /// A thought's.
    Thought {
        /// As the provider wrote it.
        signature: Signature,
        /// Whether the provider hid the text.
        redacted: bool,
    },
    /// A tool call's.
    Call {
        /// Which call's.
        id: String,
        /// As the provider wrote it.
        signature: Signature,
    },
}

/// Undoes [`pack`] and [`pack_call`].
pub(crate) fn unpack(signature: Signature) -> Unpacked {
    if let Some(value) = signature.value.strip_prefix(CALL) {
        let id = signature.item_id.unwrap_or_default();
        return Unpacked::Call {
            id,
            signature: Signature { dialect: signature.dialect, item_id: None, value: value.to_owned() },
        };
    }
    match signature.value.strip_prefix(HIDDEN) {
        Some(value) => {
            Unpacked::Thought { signature: Signature { value: value.to_owned(), ..signature }, redacted: true }
        }
        None => Unpacked::Thought { signature, redacted: false },
    }
}

fn marked(mark: &str, signature: Signature) -> Signature {
    Signature { value: format!("{mark}{}", signature.value), ..signature }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dialect;

    #[test]
    fn what_was_packed_comes_out_again() {
        let signature = Signature { dialect: Dialect::Messages, item_id: None, value: "EqQB".to_owned() };
        for redacted in [false, true] {
            let thought = Thought { signature: Some(signature.clone()), redacted, ..Thought::default() };
            assert_eq!(unpack(pack(&thought).unwrap()), Unpacked::Thought { signature: signature.clone(), redacted });
        }
        assert_eq!(
            unpack(pack_call("call_1", &signature)),
            Unpacked::Call { id: "call_1".to_owned(), signature: signature.clone() }
        );
    }
}
