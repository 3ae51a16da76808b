//! What a document says, in one normal form whatever spelling it came in.

use std::{collections::BTreeMap, fmt};

use preloop_types::{
    Reviewer,
    config::{Justification, Language, RuleAction},
};
use serde_json::{Map, Value};

/// The only version of the format.
pub const VERSION: &str = "1.0";

/// A JSON object that keeps the order of its members.
pub type JsonObject = Map<String, Value>;

/// An account's configuration, or a part of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// About the document.
    pub metadata: Metadata,
    /// Upstream servers.
    pub mcp_servers: Vec<ServerEntry>,
    /// Approval workflows.
    pub approval_workflows: Vec<WorkflowEntry>,
    /// Tools and their rules.
    pub tools: Vec<ToolEntry>,
    /// What happens to everything else; the account's defaults stay as they are when absent.
    pub defaults: Option<DefaultsEntry>,
}

/// About a document. Applying it changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Who wrote it.
    pub author: Option<String>,
    /// When it was exported.
    pub created_at: Option<String>,
    /// Free labels.
    pub tags: Vec<String>,
}

/// An upstream server.
#[derive(Clone, PartialEq)]
pub struct ServerEntry {
    /// By which it is recognised in the account.
    pub name: String,
    /// `streamable_http`, `sse` or `stdio`.
    pub transport: String,
    /// The endpoint, unless it is a program.
    pub url: Option<String>,
    /// The program.
    pub command: Option<String>,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment: a value, or `{"redacted": true}` for one that stays as it is. Absent keeps
    /// what is there.
    pub env: Option<BTreeMap<String, Value>>,
    /// Where it runs.
    pub cwd: Option<String>,
    /// `none`, `bearer`, `api_key`, `header` or `oauth`.
    pub auth_type: String,
    /// What the authentication needs, with secrets. Absent or `{"redacted": true}` keeps what is
    /// there.
    pub auth_config: Option<JsonObject>,
    /// Knobs that differ from the default.
    pub settings: JsonObject,
}

/// An approval workflow.
#[derive(Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own in a document")]
pub struct WorkflowEntry {
    /// By which it is recognised in the account.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// How long a request stays open.
    pub timeout_seconds: u32,
    /// Approvers must say why.
    pub require_reason: bool,
    /// Used when nothing names another.
    pub is_default: bool,
    /// `simple`; others are kept and treated as simple.
    pub workflow_type: String,
    /// Approvals needed.
    pub approvals_required: u32,
    /// Who may decide, by user name. Absent keeps those there are.
    pub approver_users: Option<Vec<String>>,
    /// Teams whose members may decide, by name. Absent keeps those there are.
    pub approver_teams: Option<Vec<String>>,
    /// Who is asked too when nobody decided in time, by user name. Absent keeps those there are.
    pub escalation_users: Option<Vec<String>>,
    /// Teams that are, by name. Absent keeps those there are.
    pub escalation_teams: Option<Vec<String>>,
    /// Whose people decide when a reviewer that is no person cannot, by name.
    pub escalation_workflow: Option<String>,
    /// Nobody decides on what their own credential asks for.
    pub no_self_approval: bool,
    /// Neither who owns the credential nor who wrote the rule that asks may decide.
    pub separation_of_duties: bool,
    /// An approver may change the arguments before approving.
    pub allow_edits: bool,
    /// Where requests are announced, with secrets. Absent keeps what is there.
    pub channel_configs: Option<JsonObject>,
    /// Answer the agent at once and let it poll.
    pub async_approval: bool,
    /// A model that looks at requests before people do: `approval_type: ai_driven`.
    pub reviewer: Option<Reviewer>,
}

/// One tool and its rules.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolEntry {
    /// The tool's name at its server.
    pub name: String,
    /// Whose tool.
    pub source: ToolOrigin,
    /// Hidden and refused when false.
    pub enabled: bool,
    /// Who decides when a rule asks, by name.
    pub approval_workflow: Option<String>,
    /// Whether agents may or must give a reason.
    pub justification: Option<Justification>,
    /// Shown to agents instead of the tool's own. Absent keeps what is there.
    pub description: Option<String>,
    /// Free JSON. Absent keeps what is there.
    pub custom_config: Option<JsonObject>,
    /// In order; they replace all the tool has.
    pub conditions: Vec<RuleEntry>,
}

/// Whose tool, by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ToolOrigin {
    /// Built into Preloop.
    Builtin,
    /// Every upstream server's tool of that name.
    AnyServer,
    /// One upstream server's.
    Server(String),
    /// The agents' own shells and editors.
    Agent,
}

impl ToolOrigin {
    /// The spelling in a document.
    pub fn as_str(&self) -> &str {
        match self {
            ToolOrigin::Builtin => "builtin",
            ToolOrigin::AnyServer => "mcp",
            ToolOrigin::Agent => "agent",
            ToolOrigin::Server(name) => name,
        }
    }
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleEntry {
    /// When it matches; always when absent.
    pub expression: Option<String>,
    /// What happens when it matches.
    pub action: RuleAction,
    /// The expression's language.
    pub language: Language,
    /// Why, for people and agents.
    pub description: Option<String>,
    /// Who decides, by name; the tool's workflow when absent.
    pub approval_workflow: Option<String>,
    /// Skipped when false.
    pub enabled: bool,
    /// A narrower scope's `allow` may override it.
    pub overridable: bool,
    /// Decides nothing: that it matched is recorded, and the next rule is asked.
    pub shadow: bool,
}

/// What happens to everything the document does not name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultsEntry {
    /// Tools without a configuration.
    pub unknown_tools: RuleAction,
    /// New tools need approval until they are configured.
    pub require_approval_for_new_tools: bool,
    /// Who decides when nothing names a workflow, by name.
    pub default_approval_workflow: Option<String>,
    /// Accepted; changes nothing.
    pub inherit_from_parent: bool,
}

impl Default for DefaultsEntry {
    fn default() -> Self {
        Self {
            unknown_tools: RuleAction::Allow,
            require_approval_for_new_tools: false,
            default_approval_workflow: None,
            inherit_from_parent: true,
        }
    }
}

impl WorkflowEntry {
    /// A workflow with every default.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            description: None,
            timeout_seconds: 300,
            require_reason: false,
            is_default: false,
            workflow_type: "simple".to_owned(),
            approvals_required: 1,
            approver_users: None,
            approver_teams: None,
            escalation_users: None,
            escalation_teams: None,
            escalation_workflow: None,
            no_self_approval: false,
            separation_of_duties: false,
            allow_edits: true,
            channel_configs: None,
            async_approval: false,
            reviewer: None,
        }
    }
}

impl fmt::Debug for ServerEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ServerEntry { name, transport, auth_type, .. } = self;
        write!(f, "ServerEntry({name}, {transport}, auth {auth_type}, …)")
    }
}

impl fmt::Debug for WorkflowEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WorkflowEntry { name, approvals_required, .. } = self;
        write!(f, "WorkflowEntry({name}, {approvals_required} approval(s), …)")
    }
}
