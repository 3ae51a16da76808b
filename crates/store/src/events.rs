use preloop_types::{AccountId, ApprovalId};

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
