use serde::{Deserialize, Serialize};

use crate::{Entry, EntryKind};

words! {
    /// What an event webhook can be told of.
    EventType {
        /// A call waits for a human.
        ApprovalCreated = "approval.created",
        /// A request reached its end: approved, declined, expired or cancelled.
        ApprovalDecided = "approval.decided",
        /// A call was refused by a rule or a switch.
        PolicyDenied = "policy.denied",
        /// A run of an agent ended.
        SessionEnded = "session.ended",
        /// More than a budget's soft limit is spent.
        BudgetThreshold = "budget.threshold",
        /// A call was refused because of a budget's hard limit.
        BudgetExceeded = "budget.exceeded",
        /// Somebody tries an endpoint out. Cannot be subscribed to.
        WebhookTest = "webhook.test",
    }
}

/// The part of a refusal's record that says which kind of refusal it was.
#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    status: String,
}

impl EventType {
    /// What webhooks are told when `entry` is recorded.
    pub fn of(entry: &Entry) -> Option<Self> {
        match entry.kind {
            EntryKind::ApprovalRequested => Some(Self::ApprovalCreated),
            EntryKind::ApprovalResolved => Some(Self::ApprovalDecided),
            EntryKind::SessionEnded => Some(Self::SessionEnded),
            EntryKind::BudgetSoftReached => Some(Self::BudgetThreshold),
            EntryKind::BudgetHardReached => Some(Self::BudgetExceeded),
            // Calls are refused for many reasons; only a decision is news.
            EntryKind::CallRefused | EntryKind::ModelRefused => {
                let refusal: Option<Refusal> = serde_json::from_str(entry.body.get()).ok();
                refusal.filter(|refusal| refusal.status == "denied").map(|_| Self::PolicyDenied)
            }
            _ => None,
        }
    }

    /// Those that can be subscribed to.
    pub fn catalogue() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(|event| *event != Self::WebhookTest)
    }

    /// When it is told, for people.
    pub const fn description(self) -> &'static str {
        match self {
            Self::ApprovalCreated => "A call waits for a human decision",
            Self::ApprovalDecided => "A request was approved, declined, cancelled, or expired",
            Self::PolicyDenied => "A call was refused by a rule or a switch",
            Self::SessionEnded => "A run of an agent ended",
            Self::BudgetThreshold => "More than a budget's soft limit is spent",
            Self::BudgetExceeded => "A call was refused because of a budget's hard limit",
            Self::WebhookTest => "Somebody tried the endpoint out",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, value::to_raw_value};

    use super::*;
    use crate::{AccountId, Subject, Timestamp};

    #[test]
    fn a_refusal_is_news_when_it_was_decided() {
        let entry = |kind, body| Entry {
            account: AccountId::new(Timestamp::from_micros(1)),
            kind,
            call: None,
            subject: Subject::default(),
            body: to_raw_value(&body).unwrap(),
            payload: None,
        };
        let of = |kind, body| EventType::of(&entry(kind, body));
        assert_eq!(of(EntryKind::CallRefused, json!({"status": "denied"})), Some(EventType::PolicyDenied));
        assert_eq!(of(EntryKind::CallRefused, json!({"status": "invalid_arguments"})), None);
        assert_eq!(of(EntryKind::CallRefused, json!({})), None);
        assert_eq!(of(EntryKind::ApprovalVoted, json!({})), None);
        assert_eq!(of(EntryKind::ApprovalResolved, json!({})), Some(EventType::ApprovalDecided));
    }
}
