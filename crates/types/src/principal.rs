use serde::{Deserialize, Serialize};

use crate::{AccountId, AgentId, Audience, KeyId, Permission, PermissionSet, SessionId, UserId};

/// Who is calling: resolved from a credential once, then carried by everything the call touches.
#[derive(Debug, Clone, PartialEq)]
pub struct Principal {
    /// The tenant.
    pub account: AccountId,
    /// The person the credential belongs to.
    pub user: UserId,
    /// That person's name.
    pub username: String,
    /// The credential.
    pub key: KeyId,
    /// The credential's name.
    pub key_name: String,
    /// What kind of credential it is.
    pub credential: CredentialKind,
    /// What the credential may be used for.
    pub scopes: Vec<Scope>,
    /// What that person's roles allow.
    pub permissions: PermissionSet,
    /// Where the credential may be presented.
    pub audience: Audience,
    /// Who acts in that person's place.
    pub impersonator: Option<UserId>,
    /// The managed agent the credential is bound to.
    pub agent: Option<Agent>,
    /// The agent run the credential is bound to.
    pub session: Option<SessionId>,
    /// The only tools the credential may see; `None` is no restriction, empty is none at all.
    pub allowed_tools: Option<Vec<String>>,
    /// The only servers (by name or slug) whose tools the credential may see.
    pub allowed_servers: Option<Vec<String>>,
}

impl Principal {
    /// Whether the credential carries `scope`.
    pub fn has_scope(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Whether a person acts, not an agent: only people administer, sign in and decide.
    pub fn is_person(&self) -> bool {
        self.has_scope(Scope::Admin) && self.agent.is_none() && self.session.is_none()
    }

    /// Whether a person's device acts, which sees requests and decides them.
    pub fn is_device(&self) -> bool {
        self.has_scope(Scope::Approvals) && self.agent.is_none() && self.session.is_none()
    }

    /// Whether the credential may do what `permission` names: its person's roles allow it, and it was
    /// made for that. An agent's credential never administers.
    pub fn may(&self, permission: Permission) -> bool {
        let carries = self.is_person()
            || match permission {
                Permission::ExecuteTools => self.has_scope(Scope::McpWrite),
                Permission::ViewTools => self.has_scope(Scope::McpRead),
                Permission::InvokeModels => self.has_scope(Scope::GatewayInvoke),
                Permission::ViewApprovals | Permission::DecideApprovals => self.is_device(),
                _ => false,
            };
        carries && self.permissions.contains(permission)
    }
}

words! {
    /// What kind of credential somebody came with.
    CredentialKind {
        /// A key that was made for a program or a person.
        ApiKey = "api_key",
        /// The access token of a person who signed in.
        Login = "login",
        /// The access token of a client that a person consented to.
        OAuth = "oauth",
    }
}

/// A managed agent as rules see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// Its id.
    pub id: AgentId,
    /// Its display name.
    pub name: String,
    /// What kind of agent it is (`claude_code`, `codex`, …).
    pub kind: String,
    /// Free labels.
    pub tags: Vec<String>,
}

/// What a credential may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// List and read tools, resources and prompts.
    #[serde(rename = "mcp:read")]
    McpRead,
    /// Call tools.
    #[serde(rename = "mcp:write")]
    McpWrite,
    /// Call models.
    #[serde(rename = "gateway:invoke")]
    GatewayInvoke,
    /// Everything the key's owner may do. Never given to an agent.
    #[serde(rename = "admin")]
    Admin,
    /// See requests for a decision, and decide them: a person's phone, and nothing else.
    #[serde(rename = "approvals")]
    Approvals,
    /// Hand push messages to this instance's push relay, and nothing else.
    #[serde(rename = "push_proxy")]
    PushProxy,
    /// Keep people and teams as a directory has them, and nothing else.
    #[serde(rename = "scim")]
    Scim,
}

impl Scope {
    /// What a credential may be used for unless its maker says otherwise: all that agents do.
    pub const AGENT: &'static [Scope] = &[Scope::McpRead, Scope::McpWrite, Scope::GatewayInvoke];

    /// The spelling used in JSON, SQL and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scope::McpRead => "mcp:read",
            Scope::McpWrite => "mcp:write",
            Scope::GatewayInvoke => "gateway:invoke",
            Scope::Admin => "admin",
            Scope::Approvals => "approvals",
            Scope::PushProxy => "push_proxy",
            Scope::Scim => "scim",
        }
    }

    /// Reads the spelling of [`Scope::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        let agents = Scope::AGENT.iter().copied();
        let mut all = agents.chain([Scope::Admin, Scope::Approvals, Scope::PushProxy, Scope::Scim]);
        all.find(|scope| scope.as_str() == text)
    }
}
