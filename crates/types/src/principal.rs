use serde::{Deserialize, Serialize};

use crate::{AccountId, AgentId, KeyId, SessionId, UserId};

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
    /// What the credential may do.
    pub scopes: Vec<Scope>,
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

    /// Whether the credential may do what `permission` names. A person's credential holds every
    /// permission of its owner; an agent's holds those of its scopes and never administration.
    pub fn may(&self, permission: Permission) -> bool {
        match permission {
            Permission::ExecuteTools => self.has_scope(Scope::Admin) || self.has_scope(Scope::McpWrite),
            Permission::ViewTools => self.has_scope(Scope::Admin) || self.has_scope(Scope::McpRead),
            Permission::InvokeModels => self.has_scope(Scope::Admin) || self.has_scope(Scope::GatewayInvoke),
            _ => self.has_scope(Scope::Admin),
        }
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
        }
    }

    /// Reads the spelling of [`Scope::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Scope::McpRead, Scope::McpWrite, Scope::GatewayInvoke, Scope::Admin];
        all.into_iter().find(|scope| scope.as_str() == text)
    }
}

macro_rules! permissions {
    ($($(#[$doc:meta])* $variant:ident = $name:literal)*) => {
        /// One thing a person may be allowed to do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Permission {
            $($(#[$doc])* $variant,)*
        }

        impl Permission {
            /// Every permission.
            pub const ALL: &'static [Permission] = &[$(Permission::$variant,)*];

            /// The name used in roles, errors and the OpenAPI document.
            pub const fn name(self) -> &'static str {
                match self { $(Permission::$variant => $name,)* }
            }
        }
    };
}

permissions! {
    /// See upstream servers.
    ViewMcpServers = "view_mcp_servers"
    /// Add upstream servers.
    CreateMcpServers = "create_mcp_servers"
    /// Change upstream servers.
    EditMcpServers = "edit_mcp_servers"
    /// Remove upstream servers.
    DeleteMcpServers = "delete_mcp_servers"
    /// Scan upstream servers and accept changed tools.
    ManageMcpServers = "manage_mcp_servers"
    /// See tools and their rules.
    ViewTools = "view_tools"
    /// Change tools and their rules.
    ManageTools = "manage_tools"
    /// Call tools.
    ExecuteTools = "execute_tools"
    /// Read, validate, diff and export policies.
    ViewPolicies = "view_policies"
    /// Apply policies.
    ManagePolicies = "manage_policies"
    /// See approval requests and workflows.
    ViewApprovals = "view_approvals"
    /// Approve and decline.
    DecideApprovals = "decide_approvals"
    /// Change approval workflows.
    ManageApprovalWorkflows = "manage_approval_workflows"
    /// Read, export and verify the journal.
    ViewAuditLogs = "view_audit_logs"
    /// Create and revoke API keys.
    ManageApiKeys = "manage_api_keys"
    /// Call models.
    InvokeModels = "invoke_models"
    /// See models and what they cost.
    ViewAiModels = "view_ai_models"
    /// Add models.
    CreateAiModels = "create_ai_models"
    /// Change models and prices.
    EditAiModels = "edit_ai_models"
    /// Remove models.
    DeleteAiModels = "delete_ai_models"
    /// See usage, cost and budgets.
    ViewCost = "view_cost"
    /// Change budgets.
    ManageBudgets = "manage_budgets"
    /// See runs of agents and what they did.
    ViewRuntimeSessions = "view_runtime_sessions"
    /// End runs of agents.
    ManageRuntimeSessions = "manage_runtime_sessions"
    /// See managed agents and what narrows them.
    ViewAgents = "view_agents"
    /// Change what narrows managed agents.
    ManageAgents = "manage_agents"
    /// Change what holds for the whole account, the kill switch included.
    ManageAccount = "manage_account"
}
