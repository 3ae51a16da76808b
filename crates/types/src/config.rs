//! What an account has configured: servers, tools, rules, workflows, defaults.
//!
//! These are the rows as the store keeps them and the policy compiles them. None holds a secret:
//! secrets are sealed apart and named here by key only.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    AgentId, Guardrails, Hash, KeyId, ModelPattern, NativeApprovals, RateLimit, Reviewer, RuleId, ServerId, TeamId,
    Timestamp, ToolConfigId, ToolId, UserId, WorkflowId,
};

/// An upstream MCP server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// Its id.
    pub id: ServerId,
    /// Immutable, unique in the account, `[a-z0-9-]{1,24}`; derived from the first name.
    pub slug: String,
    /// Display name, unique in the account.
    pub name: String,
    /// How it is reached.
    pub transport: Transport,
    /// How we prove who we are to it.
    pub auth: Auth,
    /// Knobs.
    pub settings: ServerSettings,
    /// Whether it may be used.
    pub status: ServerStatus,
    /// When its tools were last listed.
    pub last_scan_at: Option<Timestamp>,
    /// Why the last scan or call failed.
    pub last_error: Option<String>,
    /// What it said of itself.
    pub facts: Option<ServerFacts>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When its configuration last changed.
    pub updated_at: Timestamp,
}

/// How an upstream server is reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "transport", rename_all = "snake_case")]
pub enum Transport {
    /// Streamable HTTP, either protocol era.
    StreamableHttp {
        /// The endpoint.
        url: String,
    },
    /// HTTP+SSE as of 2024-11-05.
    Sse {
        /// The event stream's URL.
        url: String,
    },
    /// A child process speaking newline-delimited JSON.
    Stdio {
        /// The program; looked up on `PATH`, never given to a shell.
        command: String,
        /// Its arguments.
        args: Vec<String>,
        /// Where it runs; the data directory when absent.
        cwd: Option<String>,
        /// Names of the environment variables it gets. Their values are secrets of the server,
        /// under `env.<NAME>`.
        env: Vec<String>,
    },
}

impl Transport {
    /// `streamable_http`, `sse` or `stdio`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Transport::StreamableHttp { .. } => "streamable_http",
            Transport::Sse { .. } => "sse",
            Transport::Stdio { .. } => "stdio",
        }
    }

    /// The URL, or the command line for people.
    pub fn target(&self) -> String {
        match self {
            Transport::StreamableHttp { url } | Transport::Sse { url } => url.clone(),
            Transport::Stdio { command, args, .. } => {
                std::iter::once(command).chain(args).map(String::as_str).collect::<Vec<_>>().join(" ")
            }
        }
    }
}

/// How we prove who we are to an upstream server. Values are secrets of the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "auth_type", rename_all = "snake_case")]
pub enum Auth {
    /// Not at all.
    None,
    /// `Authorization: Bearer <secret token>`.
    Bearer,
    /// One header whose value is the secret `api_key`.
    ApiKey {
        /// The header's name; `X-API-Key` by default.
        header: String,
    },
    /// Several headers, the value of each the secret `header.<name>`.
    Header {
        /// The headers' names.
        names: Vec<String>,
    },
    /// OAuth 2.1 with a person's consent; tokens are the secrets `access_token`, `refresh_token`.
    #[serde(rename = "oauth")]
    OAuth(OAuthSettings),
}

/// What is known of an upstream's authorization server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OAuthSettings {
    /// A client registered beforehand; otherwise one is registered dynamically.
    pub client_id: Option<String>,
    /// Scopes to ask for; those the server names when empty.
    pub scopes: Vec<String>,
    /// Whose tokens these are; tokens of another issuer are never sent.
    pub issuer: Option<String>,
    /// When the access token ends.
    pub expires_at: Option<Timestamp>,
}

words! {
    /// Whether a server may be used.
    ServerStatus {
        /// In use.
        Active = "active",
        /// The last scan or call failed; still tried.
        Error = "error",
        /// Switched off by a person.
        Disabled = "disabled",
        /// OAuth consent is missing or was lost.
        NeedsAuth = "needs_auth",
    }
}

/// Knobs of a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a permission of its own, spelled like this in the API")]
pub struct ServerSettings {
    /// How exposed tool names are made.
    pub prefix: PrefixMode,
    /// What a changed tool definition leads to.
    pub pin: PinMode,
    /// Longest wait for a connection, in milliseconds.
    pub connect_ms: u64,
    /// Longest wait for a call's result, in milliseconds.
    pub call_ms: u64,
    /// Calls in flight at once.
    pub max_concurrency: u32,
    /// Largest result, in bytes.
    pub max_response_bytes: u64,
    /// Believe the server's `readOnlyHint` and `idempotentHint`.
    pub trusted_annotations: bool,
    /// Let the server ask the agent's model for completions.
    pub allow_sampling: bool,
    /// Let the server ask the agent's user for input.
    pub allow_elicitation: bool,
    /// Let the server see the client's roots.
    pub allow_roots: bool,
    /// Let the server's URL resolve to private, loopback and link-local addresses.
    pub allow_private_network: bool,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            prefix: PrefixMode::Auto,
            pin: PinMode::Block,
            connect_ms: 5_000,
            call_ms: 300_000,
            max_concurrency: 256,
            max_response_bytes: 2 * 1024 * 1024,
            trusted_annotations: false,
            allow_sampling: false,
            allow_elicitation: true,
            allow_roots: false,
            allow_private_network: false,
        }
    }
}

words! {
    /// How exposed tool names are made.
    PrefixMode {
        /// The bare name if free in the account, else `{slug}__{name}`.
        Auto = "auto",
        /// Always `{slug}__{name}`.
        Always = "always",
        /// The bare name; a clash fails the scan.
        Never = "never",
    }
}

words! {
    /// What a changed tool definition leads to.
    PinMode {
        /// The new definition is taken without a word.
        Off = "off",
        /// The new definition is taken and reported.
        Warn = "warn",
        /// The tool is hidden and refused until a person accepts the change.
        Block = "block",
    }
}

/// What a server said of itself when last connected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerFacts {
    /// The protocol version in use.
    pub protocol_version: String,
    /// `serverInfo`, as it came.
    pub server_info: RawJson,
    /// `capabilities`, as they came.
    pub capabilities: RawJson,
    /// `instructions`.
    pub instructions: Option<String>,
}

/// JSON kept as it came; compares by spelling.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RawJson(pub Box<RawValue>);

impl PartialEq for RawJson {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

/// A tool of an upstream server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// Its id.
    pub id: ToolId,
    /// Its server.
    pub server_id: ServerId,
    /// The name the server gives it.
    pub upstream_name: String,
    /// The name agents call it by: unique in the account, fixed when first seen.
    pub exposed_name: String,
    /// The pinned definition, exactly as the server sent it (name, description, schemas, …).
    pub definition: RawJson,
    /// Hash of the pinned definition's canonical form.
    pub pinned_hash: Hash,
    /// The newest definition's hash; differs from `pinned_hash` while drifted.
    pub definition_hash: Hash,
    /// The newest definition, while it differs from the pinned one.
    pub drifted_definition: Option<RawJson>,
    /// Whether it may be used.
    pub pin: PinState,
    /// When it was first seen.
    pub discovered_at: Timestamp,
    /// When a scan last saw it.
    pub last_seen_at: Timestamp,
    /// When a scan found it gone; hidden since.
    pub removed_at: Option<Timestamp>,
}

words! {
    /// Whether a tool is what it was.
    PinState {
        /// As first seen or last accepted.
        Pinned = "pinned",
        /// Changed since; hidden until a person accepts it.
        Drifted = "drifted",
        /// The definition itself looks like an attack; hidden until a person accepts it.
        Quarantined = "quarantined",
    }
}

/// The configuration of one tool. Matches (`source`, `tool_name`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolConfig {
    /// Its id.
    pub id: ToolConfigId,
    /// The tool's upstream name.
    pub tool_name: String,
    /// Whose tool.
    pub source: ToolSource,
    /// Hidden and refused when false.
    pub is_enabled: bool,
    /// Who decides when a rule asks; the account's default workflow when absent.
    pub workflow: Option<WorkflowId>,
    /// Whether agents may or must give a reason.
    pub justification: Option<Justification>,
    /// Shown to agents instead of the tool's own description.
    pub description: Option<String>,
    /// Free JSON, kept as it came.
    pub custom_config: Option<RawJson>,
    /// In order; the first that matches decides.
    pub rules: Vec<AccessRule>,
}

/// Whose tool a configuration is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "source", content = "server_id")]
pub enum ToolSource {
    /// Built into Preloop.
    Builtin,
    /// Every upstream server's tool of that name.
    AnyServer,
    /// One upstream server's.
    Server(ServerId),
    /// The agents' own: their shells and editors, which they ask about before they use them.
    Agent,
}

words! {
    /// Whether agents give a reason.
    Justification {
        /// They may.
        Optional = "optional",
        /// They must.
        Required = "required",
    }
}

/// One ordered rule of a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AccessRule {
    /// Its id.
    pub id: RuleId,
    /// What happens when it matches.
    pub action: RuleAction,
    /// When it matches; always when absent.
    pub expression: Option<String>,
    /// The expression's language.
    pub language: Language,
    /// Why, for people and agents.
    pub description: Option<String>,
    /// Skipped when false.
    pub is_enabled: bool,
    /// Who decides; the tool's workflow when absent.
    pub workflow: Option<WorkflowId>,
    /// In the account's rules: a narrower scope's `allow` may override this rule.
    pub overridable: bool,
    /// Decides nothing: that it matched is recorded, and the next rule is asked.
    #[serde(default)]
    pub shadow: bool,
}

words! {
    /// What a matching rule does.
    RuleAction {
        /// Carry the call out.
        Allow = "allow",
        /// Refuse it.
        Deny = "deny",
        /// Ask a human.
        RequireApproval = "require_approval",
    }
}

words! {
    /// The language of a condition.
    Language {
        /// One comparison: `args.amount > 5`.
        Simple = "simple",
        /// A CEL expression.
        Cel = "cel",
    }
}

/// Whose rules and switches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "subject_type", content = "subject_id")]
pub enum SubjectRef {
    /// A managed agent's.
    Agent(AgentId),
    /// An API key's; narrower than its agent's.
    Key(KeyId),
}

/// Rules and switches of one managed agent or one API key. They only narrow what the account
/// allows, unless the account's rule is marked overridable.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SubjectGovernance {
    /// Ordered rules by exposed or upstream tool name.
    pub tool_rules: BTreeMap<String, Vec<AccessRule>>,
    /// Switches tools off (or back on, where a wider subject scope switched them off).
    pub tool_enabled_overrides: BTreeMap<String, bool>,
    /// The only models it may use, of those a wider scope allows; any of them when empty.
    pub allowed_models: Vec<ModelPattern>,
    /// Most model calls and tokens in a minute, and model calls at a time.
    pub rate_limit: RateLimit,
    /// Whether its own tools need a person where no rule speaks about them; as the account says when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native_tool_approvals: Option<NativeApprovals>,
    /// Who is asked about its own tools where no rule names anybody; as the account says when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval_workflow: Option<WorkflowId>,
}

/// What happens to tools nothing else speaks about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Defaults {
    /// Tools without a configuration.
    pub unknown_tools: RuleAction,
    /// Tools found after this was set need approval until they are configured.
    pub require_approval_for_new_tools: bool,
    /// Who decides when nothing names a workflow.
    pub default_workflow: Option<WorkflowId>,
    /// When `require_approval_for_new_tools` was switched on.
    pub new_tools_since: Option<Timestamp>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            unknown_tools: RuleAction::Allow,
            require_approval_for_new_tools: false,
            default_workflow: None,
            new_tools_since: None,
        }
    }
}

/// How people are asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workflow {
    /// Its id.
    pub id: WorkflowId,
    /// Unique in the account.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// How long a request stays open, in seconds (30 to 86,400).
    pub timeout_seconds: u32,
    /// Approvers must say why.
    pub require_reason: bool,
    /// Used when nothing names another; at most one in an account.
    pub is_default: bool,
    /// Answer the agent at once and let it poll, instead of holding the call.
    pub async_approval: bool,
    /// Approvals needed (1 to 10).
    pub approvals_required: u32,
    /// Who may decide, besides the teams in `settings`; the account's owner when there is nobody.
    pub approvers: Vec<UserId>,
    /// Who else may decide, who may not, and what happens when nobody does.
    pub settings: WorkflowSettings,
    /// Where else requests are announced.
    pub channels: Channels,
    /// Keys of the policy document that have no behaviour yet, kept for export.
    pub extra: BTreeMap<String, RawJson>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it was deleted; kept for its history.
    pub deleted_at: Option<Timestamp>,
}

/// Who decides beyond the approvers named one by one, and what they may do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkflowSettings {
    /// Teams whose members may decide; who they are is settled when a request is made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub approver_teams: Vec<TeamId>,
    /// People who are asked too when nobody decided in time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub escalation_users: Vec<UserId>,
    /// Teams that are asked too when nobody decided in time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub escalation_teams: Vec<TeamId>,
    /// Which workflow's people decide when a reviewer that is no person cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escalation_workflow: Option<WorkflowId>,
    /// Nobody decides on what their own credential asks for.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_self_approval: bool,
    /// Neither who owns the credential nor who wrote the rule that asks may decide.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub separation_of_duties: bool,
    /// An approver may change the arguments before approving.
    #[serde(skip_serializing_if = "is_true")]
    pub allow_edits: bool,
    /// A model that looks at requests before people do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reviewer: Option<Reviewer>,
}

impl Default for WorkflowSettings {
    fn default() -> Self {
        Self {
            approver_teams: Vec::new(),
            escalation_users: Vec::new(),
            escalation_teams: Vec::new(),
            escalation_workflow: None,
            no_self_approval: false,
            separation_of_duties: false,
            allow_edits: true,
            reviewer: None,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_true(value: &bool) -> bool {
    *value
}

/// Where requests of a workflow are announced, besides the approvers' own channels.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Channels {
    /// A signed POST. Header values are secrets of the workflow, under `webhook.header.<name>`;
    /// the signing key is `webhook.secret`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookChannel>,
    /// Channels of [`crate::SEALED_CHANNELS`] by name, and which of their fields are set; the values are
    /// secrets of the workflow, under `<channel>.<field>`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sealed: BTreeMap<String, Vec<String>>,
    /// E-mail addresses told besides the approvers'.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub email: Vec<String>,
    /// Ask the person at the agent's own client, where the call's owner is an approver. The client
    /// is the agent's process: only for agents that are trusted to ask honestly.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub elicitation: bool,
}

/// A webhook that is told of requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookChannel {
    /// Where to POST.
    pub url: String,
    /// Names of extra headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
}

/// What holds for the model traffic of a whole account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccountModelSettings {
    /// The only models anybody may use; any when empty.
    pub allowed_models: Vec<ModelPattern>,
    /// What becomes of a call without a known price where a hard budget counts dollars.
    pub on_unpriced: OnUnpriced,
    /// What is kept of conversations.
    pub capture: Capture,
    /// A session without a call for so many minutes is over, where nothing but silence tells; 0 is never.
    pub session_idle_minutes: u32,
    /// What is looked for in what agents say to models, and models answer.
    pub guardrails: Guardrails,
}

impl Default for AccountModelSettings {
    fn default() -> Self {
        Self {
            allowed_models: Vec::new(),
            on_unpriced: OnUnpriced::Deny,
            capture: Capture::Off,
            session_idle_minutes: 720,
            guardrails: Guardrails::default(),
        }
    }
}

words! {
    /// What becomes of a call without a known price where a hard budget counts dollars.
    OnUnpriced {
        /// It is served, with a warning: the budget cannot count it.
        Warn = "warn",
        /// It is refused: the budget would not hold.
        Deny = "deny",
    }
}

words! {
    /// What is kept of conversations with models.
    Capture {
        /// Nothing but the ledger's numbers.
        Off = "off",
        /// Names of tools, stop reasons, sizes; no text.
        Metadata = "metadata",
        /// The beginning of what was asked and answered, redacted.
        Preview = "preview",
        /// Whole conversations, redacted.
        Full = "full",
    }
}
