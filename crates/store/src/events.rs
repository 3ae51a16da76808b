use preloop_types::{AccountId, ApprovalId, BudgetId, SessionId, WriterId};

/// Something was committed that others hold a copy of or wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Servers, tools, rules, workflows or defaults changed.
    ConfigChanged(AccountId),
    /// API keys or users changed.
    KeysChanged(AccountId),
    /// A request was made, voted on, resolved, claimed or finished.
    ApprovalChanged {
        /// Whose.
        account: AccountId,
        /// Which.
        id: ApprovalId,
    },
    /// A node needs more of a budget than is left to lease: give back what you do not use.
    BudgetWanted {
        /// Whose.
        account: AccountId,
        /// Which.
        id: BudgetId,
    },
    /// A limit of a budget was reached, for the first time in its window.
    BudgetReached {
        /// Whose.
        account: AccountId,
        /// Which.
        id: BudgetId,
    },
    /// A run of an agent ended, or whoever ran it may begin another.
    SessionEnded {
        /// Whose.
        account: AccountId,
        /// Which.
        id: SessionId,
    },
    /// Something that is no request waits in the outbox.
    OutboxFilled,
    /// Messages of other nodes may have been lost: read again whatever you hold or wait for. Treat
    /// a lagged receiver the same way.
    Resync,
}

impl Event {
    /// Where nodes tell each other.
    pub(crate) const CHANNEL: &'static str = "preloop_events";

    /// How one node tells another: ids only, and who tells.
    pub(crate) fn to_message(self, from: WriterId) -> String {
        match self {
            Event::ConfigChanged(account) => format!("{from} config {account}"),
            Event::KeysChanged(account) => format!("{from} keys {account}"),
            Event::ApprovalChanged { account, id } => format!("{from} approval {account} {id}"),
            Event::BudgetWanted { account, id } => format!("{from} budget_wanted {account} {id}"),
            Event::BudgetReached { account, id } => format!("{from} budget_reached {account} {id}"),
            Event::SessionEnded { account, id } => format!("{from} session_ended {account} {id}"),
            Event::OutboxFilled => format!("{from} outbox"),
            Event::Resync => format!("{from} resync"),
        }
    }

    /// Reads another node's message; `None` for one's own. One that cannot be read, from a newer
    /// version say, asks to look at everything.
    pub(crate) fn from_message(message: &str, me: WriterId) -> Option<Self> {
        let mut words = message.split(' ');
        if words.next()?.parse() == Ok(me) {
            return None;
        }
        let mut read = || {
            let word = words.next()?;
            if word == "outbox" {
                return Some(Event::OutboxFilled);
            }
            let account = words.next()?.parse().ok()?;
            match word {
                "config" => Some(Event::ConfigChanged(account)),
                "keys" => Some(Event::KeysChanged(account)),
                "approval" => Some(Event::ApprovalChanged { account, id: words.next()?.parse().ok()? }),
                "budget_wanted" => Some(Event::BudgetWanted { account, id: words.next()?.parse().ok()? }),
                "budget_reached" => Some(Event::BudgetReached { account, id: words.next()?.parse().ok()? }),
                "session_ended" => Some(Event::SessionEnded { account, id: words.next()?.parse().ok()? }),
                _ => None,
            }
        };
        Some(read().unwrap_or(Event::Resync))
    }
}
