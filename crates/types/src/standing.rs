//! Leaves to make a call again without asking.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{ApprovalId, Hash, StandingGrantId, Timestamp, ToolRef, UserId, WorkflowId, config::SubjectRef};

/// A leave that an approver gave to one agent or key: calls of one tool that it covers are carried out
/// without asking anybody, within its bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct StandingGrant {
    /// Its id.
    pub id: StandingGrantId,
    /// Who gave it. It holds only as long as they could decide such a call alone.
    pub user: UserId,
    /// The workflow through which such calls are asked about.
    pub workflow: WorkflowId,
    /// Whose calls.
    pub subject: SubjectRef,
    /// Of which tool, as it was defined then.
    pub tool: ToolRef,
    /// With which arguments.
    pub arguments: GrantedArguments,
    /// How many calls.
    pub uses_max: u32,
    /// How many there were.
    pub uses: u32,
    /// How much they may come to.
    pub spend: Option<SpendLimit>,
    /// What they came to.
    pub spent: Amount,
    /// Why it was given.
    pub reason: Option<String>,
    /// The request it came from.
    pub approval: Option<ApprovalId>,
    /// When it was given.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it last let a call through.
    pub last_used_at: Option<Timestamp>,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
    /// By whom.
    pub revoked_by: Option<UserId>,
}

impl StandingGrant {
    /// Whether it can still let a call through at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at > now && self.uses < self.uses_max
    }

    /// Whether it is about this tool, as it is defined now.
    pub fn is_about(&self, tool: &ToolRef) -> bool {
        self.tool.server_id == tool.server_id && self.tool.name == tool.name && self.tool.definition == tool.definition
    }
}

/// Which arguments a standing grant covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantedArguments {
    /// Exactly those with this hash of their canonical form.
    Same(Hash),
    /// Those a CEL condition holds for.
    Where(String),
}

/// How much the calls of a standing grant may come to in all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpendLimit {
    /// The argument that says how much one call comes to: a name, or names with dots between.
    pub argument: String,
    /// The most they may come to.
    pub max: Amount,
}

impl SpendLimit {
    /// What a call with these arguments comes to; `None` if they do not say so in a number of zero or more.
    pub fn of(&self, arguments: &Value) -> Option<Amount> {
        let found = self.argument.split('.').try_fold(arguments, |value, name| value.get(name))?;
        match found {
            Value::Number(number) => Amount::parse(&number.to_string()),
            Value::String(text) => Amount::parse(text),
            _ => None,
        }
    }
}

/// A quantity of whatever an argument counts, in millionths; never a float.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Amount(pub i64);

impl Amount {
    const UNIT: i64 = 1_000_000;

    /// Reads a decimal number of zero or more. One that is finer than a millionth is rounded up, so that what is
    /// counted is never less than what was asked for.
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || (text.contains('.') && fraction.is_empty()) {
            return None;
        }
        let kept = &fraction[..fraction.len().min(6)];
        let rest = &fraction[kept.len()..];
        let millionths: i64 = format!("{kept:0<6}").parse().ok()?;
        let rounded = i64::from(rest.bytes().any(|byte| byte != b'0'));
        let whole: i64 = whole.parse().ok()?;
        whole.checked_mul(Self::UNIT)?.checked_add(millionths)?.checked_add(rounded).map(Self)
    }
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, fraction) = (self.0 / Self::UNIT, self.0 % Self::UNIT);
        let text = format!("{whole}.{fraction:06}");
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_and_never_less_than_what_was_asked_for() {
        for (text, millionths) in
            [("0", 0), ("5", 5_000_000), ("0.1", 100_000), ("12.345678", 12_345_678), ("0.0000001", 1)]
        {
            assert_eq!(Amount::parse(text), Some(Amount(millionths)), "{text}");
        }
        for text in ["", "-1", "1e3", "1.", ".5", "0x10", "9999999999999999999", "1,5", " 1"] {
            assert_eq!(Amount::parse(text), None, "{text}");
        }
        assert_eq!(Amount(1_500_000).to_string(), "1.5");
        assert_eq!(Amount(5_000_000).to_string(), "5");
    }
}
