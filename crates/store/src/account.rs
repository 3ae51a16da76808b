use std::collections::{BTreeMap, HashMap};

use preloop_types::{
    AccountId, AgentId, ApprovalId, Budget, BudgetId, BypassId, DelegationId, EndpointId, GrantId, Halt, Hash,
    IdentityProvider, InvitationId, KeyId, Model, ModelId, NativeApprovals, OneTimePurpose, PermissionSet, PriceId,
    PriceOverride, ProviderId, ServerId, SessionId, StandingGrant, StandingGrantId, Team, TeamId, Timestamp,
    ToolConfigId, ToolId, ToolRef, User, UserId, WorkflowId, WriterId,
    config::{AccountModelSettings, Defaults, Server, SubjectGovernance, SubjectRef, Tool, ToolConfig, Workflow},
};
use secrecy::SecretString;
use uuid::Uuid;

use crate::{
    AccountInfo, AgentRow, Approval, ApprovalEvent, ApprovalFilter, BudgetWindow, Bypass, ChatLink, DeadLetter,
    DecidedCall, DecidedPlace, Delegation, Device, EnrollmentRow, Error, EventEndpoint, Finding, FoundKey, Grant,
    GrantedRole, Invitation, KeyRow, Membership, OAuthCode, Passkey, PolicyVersion, Preferences, Record, RecordFilter,
    Reminder, Result, Review, RuntimeSession, Sealer, SecretOwner, SessionFilter, Store, ToolVersion, Totp, UsageBy,
    UsageFilter, UsageRow, UsageSums,
    db::{Conn, fetch_optional},
    proof,
    seal::Vault,
};

/// The data of one account (P9): every query it makes carries the account, so that another tenant's
/// id answers like one that does not exist.
#[derive(Clone)]
pub struct AccountStore {
    store: Store,
    account: AccountId,
}

/// One account's data over one connection: the reads that [`AccountStore`] and [`crate::Tx`] share.
pub struct View<'c> {
    pub(crate) conn: Conn<'c>,
    account: AccountId,
    vault: &'c Vault,
}

impl<'c> View<'c> {
    pub(crate) fn new(conn: Conn<'c>, account: AccountId, vault: &'c Vault) -> Self {
        Self { conn, account, vault }
    }

    /// Whose data.
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// What seals this account's secrets.
    pub(crate) async fn sealer(&mut self) -> Result<Sealer> {
        self.sealer_of(self.account).await
    }

    pub(crate) async fn sealer_of(&mut self, account: AccountId) -> Result<Sealer> {
        if let Some(sealer) = self.vault.opened(account) {
            return Ok(sealer);
        }
        let sql = "SELECT data_key FROM accounts WHERE id = $1";
        let row = fetch_optional!(self.conn, (Vec<u8>,), sql, account.0)?;
        let (wrapped,) = row.ok_or(Error::NotFound)?;
        self.vault.open_account_key(account, &wrapped)
    }

    pub(crate) fn vault(&self) -> &'c Vault {
        self.vault
    }
}

/// Gives [`AccountStore`] the reads of [`View`], each over a connection of its own.
macro_rules! reads {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*) -> $out:ty;)*) => {
        impl AccountStore {
            $($(#[$doc])*
            pub async fn $name(&self, $($arg: $type),*) -> Result<$out> {
                let mut reader = self.store.reader().await?;
                View::new(reader.conn(), self.account, self.store.vault()).$name($($arg),*).await
            })*
        }
    };
}

reads! {
    /// Every server, by name.
    servers() -> Vec<Server>;
    /// One server.
    server(id: ServerId) -> Option<Server>;
    /// The secrets of one owner, by name.
    secrets(owner: SecretOwner) -> BTreeMap<String, SecretString>;
    /// The names of one owner's secrets.
    secret_names(owner: SecretOwner) -> Vec<String>;
    /// Every tool, removed ones too, by exposed name.
    tools() -> Vec<Tool>;
    /// One tool.
    tool(id: ToolId) -> Option<Tool>;
    /// The definitions a tool has had, newest first.
    tool_versions(id: ToolId) -> Vec<ToolVersion>;
    /// Findings about one tool, or all.
    tool_findings(tool: Option<ToolId>) -> Vec<Finding>;
    /// Every tool configuration with its rules in order.
    tool_configs() -> Vec<ToolConfig>;
    /// One tool configuration.
    tool_config(id: ToolConfigId) -> Option<ToolConfig>;
    /// What happens to tools nothing else speaks about.
    defaults() -> Defaults;
    /// Rules and switches of agents and keys.
    subject_governance() -> Vec<(SubjectRef, SubjectGovernance)>;
    /// What people know of the account.
    info() -> AccountInfo;
    /// What is halted, by scope.
    halts() -> Vec<Halt>;
    /// What holds for all model traffic of the account.
    model_settings() -> AccountModelSettings;
    /// Every model, by alias.
    models() -> Vec<Model>;
    /// One model.
    model(id: ModelId) -> Option<Model>;
    /// The account's own prices, oldest first.
    price_overrides() -> Vec<PriceOverride>;
    /// One of them.
    price_override(id: PriceId) -> Option<PriceOverride>;
    /// Every budget, oldest first.
    budgets() -> Vec<Budget>;
    /// One budget.
    budget(id: BudgetId) -> Option<Budget>;
    /// Every workflow that is not deleted, by name.
    workflows() -> Vec<Workflow>;
    /// One workflow, deleted or not.
    workflow(id: WorkflowId) -> Option<Workflow>;
    /// What a person wants to be told by.
    preferences(user: UserId) -> Preferences;
    /// What people want to be told by, of those who ever said so.
    all_preferences() -> Vec<(UserId, Preferences)>;
    /// The devices of one person, or of everybody, oldest first.
    devices(user: Option<UserId>) -> Vec<Device>;
    /// Who people are in chats; of one person, or of everybody.
    chat_links(user: Option<UserId>) -> Vec<ChatLink>;
    /// Who somebody in a chat is here.
    chat_link(provider: String, team: String, chat_user: String) -> Option<ChatLink>;
    /// Bypasses that hold at `now`, oldest first.
    active_bypasses(now: Timestamp) -> Vec<Bypass>;
    /// One bypass, over or not.
    bypass(id: BypassId) -> Option<Bypass>;
    /// Every event webhook, oldest first.
    event_endpoints() -> Vec<EventEndpoint>;
    /// One event webhook.
    event_endpoint(id: EndpointId) -> Option<EventEndpoint>;
    /// The key that signs what an event webhook is told.
    event_endpoint_secret(id: EndpointId) -> Option<SecretString>;
    /// Events that no attempt could deliver, newest first.
    dead_letters(skip: u32, limit: u32) -> Vec<DeadLetter>;
    /// Every person.
    users() -> Vec<User>;
    /// One person.
    user(id: UserId) -> Option<User>;
    /// The person the account belongs to.
    owner() -> Option<User>;
    /// The roles a person was given directly.
    user_roles(id: UserId) -> Vec<GrantedRole>;
    /// What a person may do.
    permissions_of(user: &User) -> PermissionSet;
    /// Every team with its members, by name.
    teams() -> Vec<Team>;
    /// One team with its members.
    team(id: TeamId) -> Option<Team>;
    /// Who is in a team since when, in that order.
    team_members(id: TeamId) -> Vec<Membership>;
    /// The roles a team gives its members.
    team_roles(id: TeamId) -> Vec<GrantedRole>;
    /// Invitations, newest first.
    invitations() -> Vec<Invitation>;
    /// One invitation.
    invitation(id: InvitationId) -> Option<Invitation>;
    /// The people a directory gave up.
    unprovisioned_users() -> Vec<UserId>;
    /// The account's identity providers, by name.
    identity_providers() -> Vec<IdentityProvider>;
    /// One identity provider.
    identity_provider(id: ProviderId) -> Option<IdentityProvider>;
    /// One grant.
    grant(id: GrantId) -> Option<Grant>;
    /// The open grants of a person, those used last first.
    grants_of(user: UserId, now: Timestamp) -> Vec<Grant>;
    /// Every managed agent, by name.
    agents() -> Vec<AgentRow>;
    /// One managed agent.
    agent(id: AgentId) -> Option<AgentRow>;
    /// The onboardings of an agent, newest first.
    enrollments(agent: AgentId) -> Vec<EnrollmentRow>;
    /// Whether agents' own tools need a person where no rule speaks about them.
    native_tool_approvals() -> NativeApprovals;
    /// An authorization code, used and expired ones too.
    oauth_code(hash: &Hash) -> Option<OAuthCode>;
    /// Where a person's sign-ins since `since` came from.
    grant_addresses(user: UserId, since: Timestamp) -> Vec<String>;
    /// The hash of a person's password, where they have one.
    password_hash(id: UserId) -> Option<String>;
    /// When a person was given tokens for `purpose` since `since`, oldest first.
    one_times_since(user: UserId, purpose: OneTimePurpose, since: Timestamp) -> Vec<Timestamp>;
    /// A person's authenticator app, confirmed or not.
    totp(user: UserId) -> Option<Totp>;
    /// How many recovery codes a person has left.
    recovery_codes_left(user: UserId) -> usize;
    /// A person's passkeys, oldest first.
    passkeys(user: UserId) -> Vec<Passkey>;
    /// The passkey that an authenticator calls `credential_id`.
    passkey(credential_id: Vec<u8>) -> Option<Passkey>;
    /// Every key, newest first, revoked ones too; no access tokens.
    keys() -> Vec<KeyRow>;
    /// One key.
    key(id: KeyId) -> Option<KeyRow>;
    /// The credential known by that id, a key or a grant, with its owner.
    credential(id: KeyId) -> Option<FoundKey>;
    /// Who last wrote each rule, and the rules of each agent and key, by their ids.
    rule_authors() -> HashMap<Uuid, UserId>;
    /// Delegations that are not over at `now`.
    delegations(now: Timestamp) -> Vec<Delegation>;
    /// One delegation, over or not.
    delegation(id: DelegationId) -> Option<Delegation>;
    /// Standing grants, oldest first: those that are not over at `live_at`, or all.
    standing_grants(live_at: Option<Timestamp>) -> Vec<StandingGrant>;
    /// One standing grant, over or not.
    standing_grant(id: StandingGrantId) -> Option<StandingGrant>;
    /// The call of this tool that was approved last.
    last_approved(tool: ToolRef) -> Option<Approval>;
    /// One request for a human decision.
    approval(id: ApprovalId) -> Option<Approval>;
    /// Requests, newest first.
    approvals(filter: ApprovalFilter) -> Vec<Approval>;
    /// What nobody decided in its first window and others can be asked about.
    approvals_to_escalate(now: Timestamp) -> Vec<Approval>;
    /// Requests that people are to be reminded of, and which reminder that is.
    approvals_to_remind_of(now: Timestamp) -> Vec<(Approval, Reminder)>;
    /// A request's history, oldest first.
    approval_events(id: ApprovalId) -> Vec<ApprovalEvent>;
    /// What a model made of a request.
    review(id: ApprovalId) -> Option<Review>;
    /// What models made of requests from `first` to `last`.
    reviews(first: ApprovalId, last: ApprovalId) -> Vec<Review>;
    /// What became of the webhooks of requests from `first` to `last`, oldest first.
    webhook_events(first: ApprovalId, last: ApprovalId) -> Vec<(ApprovalId, ApprovalEvent)>;
    /// Every policy version, newest first, without the documents.
    policy_versions() -> Vec<PolicyVersion>;
    /// One policy version with its document.
    policy_version(id: Uuid) -> Option<PolicyVersion>;
    /// What model calls consumed, in all.
    usage_total(filter: UsageFilter) -> UsageSums;
    /// What model calls consumed, by hour or day in their order, by anything else with the dearest first.
    usage(filter: UsageFilter, by: UsageBy) -> Vec<UsageRow>;
    /// Windows of budgets that are not over at `now`; of one budget, or all.
    budget_windows(budget: Option<BudgetId>, now: Timestamp) -> Vec<BudgetWindow>;
    /// Runs of agents, those that were active last first.
    runtime_sessions(filter: SessionFilter) -> Vec<RuntimeSession>;
    /// The open run of an identity, unless its principal may not have one.
    session_of(identity: String, principal: String) -> Option<RuntimeSession>;
    /// One run of an agent.
    runtime_session(id: SessionId) -> Option<RuntimeSession>;
    /// One page of the journal.
    records(filter: RecordFilter) -> Vec<Record>;
    /// Calls decided from `since` until just before `until`, newest first, those after `after`.
    decided_calls(since: Timestamp, until: Timestamp, after: Option<DecidedPlace>, limit: u32) -> Vec<DecidedCall>;
    /// The payload of one record, opened and checked; `None` if there is none (any more).
    record_payload(chain: WriterId, seq: u64) -> Option<Vec<u8>>;
    /// The signed checkpoints, by chain and number.
    checkpoints() -> Vec<proof::Checkpoint>;
    /// The proof that one record is under a signed checkpoint; `None` if there is no such record or it
    /// is not under a checkpoint yet.
    inclusion(chain: WriterId, seq: u64) -> Option<proof::Inclusion>;
}

impl AccountStore {
    pub(crate) fn new(store: Store, account: AccountId) -> Self {
        Self { store, account }
    }

    /// Whose data.
    pub fn id(&self) -> AccountId {
        self.account
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }
}
