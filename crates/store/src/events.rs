use preloop_types::{AccountId, ApprovalId, WriterId};

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
            let account = words.next()?.parse().ok()?;
            match word {
                "config" => Some(Event::ConfigChanged(account)),
                "keys" => Some(Event::KeysChanged(account)),
                "approval" => Some(Event::ApprovalChanged { account, id: words.next()?.parse().ok()? }),
                _ => None,
            }
        };
        Some(read().unwrap_or(Event::Resync))
    }
}
