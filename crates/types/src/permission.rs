//! What people may do.

use std::fmt;

macro_rules! permissions {
    ($(#[doc = $doc:literal] $variant:ident = $name:literal)*) => {
        /// One thing a person may be allowed to do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Permission {
            $(#[doc = $doc] $variant,)*
        }

        impl Permission {
            /// Every permission.
            pub const ALL: &'static [Permission] = &[$(Permission::$variant,)*];

            /// The name used in roles, errors and the OpenAPI document.
            pub const fn name(self) -> &'static str {
                match self { $(Permission::$variant => $name,)* }
            }

            /// What it allows, for people.
            pub const fn description(self) -> &'static str {
                match self { $(Permission::$variant => $doc.trim_ascii(),)* }
            }
        }
    };
}

permissions! {
    /// Change what holds for the whole account.
    ManageAccount = "manage_account"
    /// Halt agents, and let them go on.
    ManageKillSwitch = "manage_kill_switch"
    /// Close the account.
    CloseAccount = "close_account"
    /// See bills.
    ViewBilling = "view_billing"
    /// Change how bills are paid.
    ManageBilling = "manage_billing"
    /// See people and roles.
    ViewUsers = "view_users"
    /// Invite people.
    InviteUsers = "invite_users"
    /// Add, change and deactivate people.
    ManageUsers = "manage_users"
    /// Give and take roles.
    AssignRoles = "assign_roles"
    /// Change how people sign in: identity providers and provisioning.
    ManageIdentity = "manage_identity"
    /// See teams.
    ViewTeams = "view_teams"
    /// Make teams.
    CreateTeams = "create_teams"
    /// Change teams.
    EditTeams = "edit_teams"
    /// Remove teams.
    DeleteTeams = "delete_teams"
    /// Change who is in a team, and its roles.
    ManageTeams = "manage_teams"
    /// See flows.
    ViewFlows = "view_flows"
    /// Make flows.
    CreateFlows = "create_flows"
    /// Change flows.
    EditFlows = "edit_flows"
    /// Remove flows.
    DeleteFlows = "delete_flows"
    /// Run flows.
    ExecuteFlows = "execute_flows"
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
    /// See trackers.
    ViewTrackers = "view_trackers"
    /// Add trackers.
    CreateTrackers = "create_trackers"
    /// Change trackers.
    EditTrackers = "edit_trackers"
    /// Remove trackers.
    DeleteTrackers = "delete_trackers"
    /// Try out connections to trackers.
    ManageTrackers = "manage_trackers"
    /// Read trackers anew.
    SyncTrackers = "sync_trackers"
    /// See projects.
    ViewProjects = "view_projects"
    /// Add projects.
    CreateProjects = "create_projects"
    /// Change projects.
    EditProjects = "edit_projects"
    /// Remove projects.
    DeleteProjects = "delete_projects"
    /// See organizations.
    ViewOrganizations = "view_organizations"
    /// Add organizations.
    CreateOrganizations = "create_organizations"
    /// Change organizations.
    EditOrganizations = "edit_organizations"
    /// Remove organizations.
    DeleteOrganizations = "delete_organizations"
    /// See issues.
    ViewIssues = "view_issues"
    /// Make issues.
    CreateIssues = "create_issues"
    /// Change issues.
    EditIssues = "edit_issues"
    /// Remove issues.
    DeleteIssues = "delete_issues"
    /// Comment on issues.
    CommentIssues = "comment_issues"
    /// See how issues comply.
    ViewCompliance = "view_compliance"
    /// Check how issues comply.
    RunCompliance = "run_compliance"
    /// Look for duplicates.
    DetectDuplicates = "detect_duplicates"
    /// Find and keep dependencies.
    ManageDependencies = "manage_dependencies"
    /// See models and what they cost.
    ViewAiModels = "view_ai_models"
    /// Add models.
    CreateAiModels = "create_ai_models"
    /// Change models and prices.
    EditAiModels = "edit_ai_models"
    /// Remove models.
    DeleteAiModels = "delete_ai_models"
    /// Call models.
    InvokeModels = "invoke_models"
    /// See usage, cost and budgets.
    ViewCost = "view_cost"
    /// Change budgets.
    ManageBudgets = "manage_budgets"
    /// Bring in usage from elsewhere.
    ImportUsage = "import_usage"
    /// See managed agents and what narrows them.
    ViewAgents = "view_agents"
    /// Change managed agents and what narrows them.
    ManageAgents = "manage_agents"
    /// Send messages to running agents.
    ControlManagedAgent = "control_managed_agent"
    /// See runs of agents and what they did.
    ViewRuntimeSessions = "view_runtime_sessions"
    /// End runs of agents.
    ManageRuntimeSessions = "manage_runtime_sessions"
    /// Read, export and verify the journal.
    ViewAuditLogs = "view_audit_logs"
    /// See how the instance does.
    ViewAdminDashboard = "view_admin_dashboard"
    /// See and revoke other people's API keys.
    ManageApiKeys = "manage_api_keys"
}

/// Some permissions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PermissionSet(u128);

impl PermissionSet {
    /// None.
    pub const NONE: Self = Self(0);
    /// Every one.
    pub const ALL: Self = Self::of(Permission::ALL);

    /// What nobody does in somebody else's place: deciding, calling, and whatever gives access to others.
    pub const IN_PERSON: Self = Self::of(&[
        Permission::CloseAccount,
        Permission::ManageBilling,
        Permission::InviteUsers,
        Permission::ManageUsers,
        Permission::AssignRoles,
        Permission::ManageIdentity,
        Permission::ManageTeams,
        Permission::ExecuteTools,
        Permission::DecideApprovals,
        Permission::InvokeModels,
    ]);

    /// These.
    pub const fn of(permissions: &[Permission]) -> Self {
        let (mut bits, mut i) = (0, 0);
        while i < permissions.len() {
            bits |= 1 << permissions[i] as u32;
            i += 1;
        }
        Self(bits)
    }

    /// Whether `permission` is among them.
    pub const fn contains(self, permission: Permission) -> bool {
        self.0 & (1 << permission as u32) != 0
    }

    /// Whether all of `others` are among them.
    pub const fn covers(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Those in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Each of them, in the order of [`Permission::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.iter().copied().filter(move |permission| self.contains(*permission))
    }
}

impl fmt::Debug for PermissionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Permission::name)).finish()
    }
}
