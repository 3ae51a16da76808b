//! Ids of tool calls, where a provider is choosy or sends none.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Which ids a provider takes. A request holds calls and results together, so an id that is not taken
/// is replaced in both alike and nothing has to be mapped back.
#[derive(Debug, Clone, Copy)]
pub(crate) enum IdRule {
    /// Letters, digits, `_` and `-`, at most this many.
    Plain(usize),
    /// Anything, at most this many.
    AtMost(usize),
    /// Exactly this many letters and digits.
    Exactly(usize),
}

impl IdRule {
    /// The id as the provider takes it.
    pub(crate) fn apply(self, id: &str) -> Cow<'_, str> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let (fits, length) = match self {
            IdRule::Plain(most) => (id.len() <= most && id.bytes().all(plain), most.min(29)),
            IdRule::AtMost(most) => (id.len() <= most, most.min(29)),
            IdRule::Exactly(length) => {
                (id.len() == length && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), length)
            }
        };
        if fits && !id.is_empty() {
            return Cow::Borrowed(id);
        }
        let prefix = if matches!(self, IdRule::Exactly(_)) || length < 10 { "" } else { "call_" };
        Cow::Owned(format!("{prefix}{}", letters(&[id.as_bytes()], length - prefix.len())))
    }
}

/// An id for the `index`-th call of an answer whose provider sent none: the same whenever it is asked for.
pub(crate) fn made_up_id(answer: &str, index: usize, tool: &str) -> String {
    format!("call_{}", letters(&[answer.as_bytes(), &index.to_be_bytes(), tool.as_bytes()], 24))
}

/// Letters and digits that stand for a text too long to be sent.
pub(crate) fn short_hash(text: &str) -> String {
    letters(&[text.as_bytes()], 32)
}

/// `length` letters and digits that stand for `parts`.
pub(super) fn letters(parts: &[&[u8]], length: usize) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    digest.iter().cycle().take(length).map(|byte| char::from(LETTERS[usize::from(*byte) % 62])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_a_provider_takes_stay() {
        assert_eq!(IdRule::Plain(40).apply("call_abc"), "call_abc");
        assert_eq!(IdRule::AtMost(40).apply("functions.x:0"), "functions.x:0");
        assert_eq!(IdRule::Exactly(9).apply("a1b2c3d4e"), "a1b2c3d4e");
    }

    #[test]
    fn others_are_replaced_by_the_same_id_each_time() {
        for rule in [IdRule::Plain(40), IdRule::AtMost(4), IdRule::Exactly(9)] {
            let id = rule.apply("functions.x:0");
            assert_eq!(id, rule.apply("functions.x:0"));
            assert_ne!(id, rule.apply("functions.x:1"));
            assert_eq!(rule.apply(&id), id, "what was replaced fits");
        }
    }
}
