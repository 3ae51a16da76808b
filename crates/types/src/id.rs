use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Timestamp;

/// A text that is not a UUID where an id was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an id (expected a UUID)")]
pub struct IdError(pub String);

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        /// A UUIDv7: sorts by creation time.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A fresh id stamped with `at`.
            pub fn new(at: Timestamp) -> Self {
                Self(uuid_v7(at))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Uuid::parse_str(text).map(Self).map_err(|_| IdError(text.to_owned()))
            }
        }
    )*};
}

ids! {
    /// The tenant. Every row belongs to one.
    AccountId
    /// A person.
    UserId
    /// Some people.
    TeamId
    /// A sign-in, or a person's consent to a client: what access tokens are given out under.
    GrantId
    /// A passkey.
    PasskeyId
    /// An invitation to join an account.
    InvitationId
    /// An API key.
    KeyId
    /// A managed agent.
    AgentId
    /// One onboarding of an agent's installation.
    EnrollmentId
    /// One run of an agent, from its first call to its last.
    SessionId
    /// An upstream MCP server.
    ServerId
    /// A tool of an upstream server.
    ToolId
    /// The configuration of one tool in one account.
    ToolConfigId
    /// One access rule.
    RuleId
    /// An approval workflow.
    WorkflowId
    /// A request for a human decision.
    ApprovalId
    /// A leave to make the same call again without asking.
    StandingGrantId
    /// A time in which somebody else decides in a person's place.
    DelegationId
    /// One governed call; joins every journal record about it.
    CallId
    /// One change of the configuration.
    ChangeId
    /// A model agents can ask for.
    ModelId
    /// An account's own price of some models.
    PriceId
    /// A budget.
    BudgetId
    /// An identity provider.
    ProviderId
    /// A phone, browser or topic that one person's notices go to.
    DeviceId
    /// An event webhook.
    EndpointId
    /// A time in which one person is not told, or not asked.
    BypassId
    /// A process that appends to the journal.
    WriterId
}

fn uuid_v7(at: Timestamp) -> Uuid {
    let millis = u64::try_from(at.micros() / 1000).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid()
}
