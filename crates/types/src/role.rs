//! The roles people and teams have. They are the same in every account and cannot be changed.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Permission, PermissionSet};

words! {
    /// What somebody is to an account. Roles add up.
    Role {
        /// May everything.
        Owner = "owner",
        /// May everything but close the account and manage its bills.
        Admin = "admin",
        /// Builds: tools, policies, workflows, servers, models, flows.
        Editor = "editor",
        /// Uses what others built: runs, calls, decides.
        Executor = "executor",
        /// Looks after trackers and their issues.
        TrackerManager = "tracker_manager",
        /// Reads, and studies cost, audit and issues.
        Analyst = "analyst",
        /// Reads.
        Viewer = "viewer",
    }
}

impl Role {
    /// The role's id, the same everywhere and for ever.
    pub const fn id(self) -> Uuid {
        // A UUIDv8: its digits are ours to choose.
        Uuid::from_u128(0x7072_656c_6f6f_8000_8000_726f_6c65_0000 + self as u128)
    }

    /// The role of that id.
    pub fn from_id(id: Uuid) -> Option<Self> {
        Self::ALL.iter().copied().find(|role| role.id() == id)
    }

    /// What it is for.
    pub const fn description(self) -> &'static str {
        match self {
            Role::Owner => "May everything",
            Role::Admin => "May everything but close the account and manage its bills",
            Role::Editor => "Builds: tools, policies, workflows, servers, models, flows",
            Role::Executor => "Uses what others built: runs flows, calls tools and models, decides",
            Role::TrackerManager => "Looks after trackers and their issues",
            Role::Analyst => "Reads, and studies cost, audit and issues",
            Role::Viewer => "Reads",
        }
    }

    /// What it allows.
    pub const fn permissions(self) -> PermissionSet {
        use Permission as P;
        match self {
            Role::Owner => PermissionSet::ALL,
            Role::Admin => PermissionSet::ALL.without(PermissionSet::of(&[P::CloseAccount, P::ManageBilling])),
            Role::Editor => READ_CORE.union(PermissionSet::of(&[
                P::CreateFlows,
                P::EditFlows,
                P::DeleteFlows,
                P::ExecuteFlows,
                P::ManageTools,
                P::ExecuteTools,
                P::ManagePolicies,
                P::DecideApprovals,
                P::ManageApprovalWorkflows,
                P::CreateMcpServers,
                P::EditMcpServers,
                P::DeleteMcpServers,
                P::ManageMcpServers,
                P::CreateTrackers,
                P::EditTrackers,
                P::DeleteTrackers,
                P::ManageTrackers,
                P::SyncTrackers,
                P::CreateProjects,
                P::EditProjects,
                P::DeleteProjects,
                P::CreateOrganizations,
                P::EditOrganizations,
                P::DeleteOrganizations,
                P::CreateIssues,
                P::EditIssues,
                P::DeleteIssues,
                P::CommentIssues,
                P::RunCompliance,
                P::DetectDuplicates,
                P::ManageDependencies,
                P::CreateAiModels,
                P::EditAiModels,
                P::DeleteAiModels,
                P::InvokeModels,
                P::ViewCost,
                P::ManageAgents,
                P::ControlManagedAgent,
                P::ManageRuntimeSessions,
            ])),
            Role::Executor => PermissionSet::of(&[
                P::ViewFlows,
                P::ViewTools,
                P::ViewPolicies,
                P::ViewApprovals,
                P::ViewMcpServers,
                P::ViewTrackers,
                P::ViewProjects,
                P::ViewOrganizations,
                P::ViewIssues,
                P::ViewAiModels,
                P::ViewCost,
                P::ViewAgents,
                P::ViewRuntimeSessions,
                P::ExecuteFlows,
                P::ExecuteTools,
                P::InvokeModels,
                P::DecideApprovals,
                P::CreateIssues,
                P::CommentIssues,
                P::ControlManagedAgent,
            ]),
            Role::TrackerManager => PermissionSet::of(&[
                P::ViewTrackers,
                P::CreateTrackers,
                P::EditTrackers,
                P::DeleteTrackers,
                P::ManageTrackers,
                P::SyncTrackers,
                P::ViewProjects,
                P::CreateProjects,
                P::EditProjects,
                P::DeleteProjects,
                P::ViewOrganizations,
                P::CreateOrganizations,
                P::EditOrganizations,
                P::DeleteOrganizations,
                P::ViewIssues,
                P::CreateIssues,
                P::EditIssues,
                P::CommentIssues,
            ]),
            Role::Analyst => READ_CORE.union(PermissionSet::of(&[
                P::ViewCost,
                P::ViewAuditLogs,
                P::RunCompliance,
                P::DetectDuplicates,
                P::ManageDependencies,
            ])),
            Role::Viewer => READ_CORE.without(PermissionSet::of(&[P::ViewUsers, P::ViewTeams, P::ViewApprovals])),
        }
    }
}

/// What everybody reads who reads at all.
const READ_CORE: PermissionSet = PermissionSet::of(&[
    Permission::ViewUsers,
    Permission::ViewTeams,
    Permission::ViewFlows,
    Permission::ViewTools,
    Permission::ViewPolicies,
    Permission::ViewApprovals,
    Permission::ViewMcpServers,
    Permission::ViewTrackers,
    Permission::ViewProjects,
    Permission::ViewOrganizations,
    Permission::ViewIssues,
    Permission::ViewCompliance,
    Permission::ViewAiModels,
    Permission::ViewAgents,
    Permission::ViewRuntimeSessions,
]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wider_role_allows_what_a_narrower_one_does() {
        for (wide, narrow) in [
            (Role::Owner, Role::Admin),
            (Role::Admin, Role::Editor),
            (Role::Editor, Role::Executor),
            (Role::Editor, Role::TrackerManager),
            (Role::Editor, Role::Viewer),
            (Role::Analyst, Role::Viewer),
        ] {
            assert!(wide.permissions().covers(narrow.permissions()), "{wide:?} {narrow:?}");
        }
        assert!(!Role::Admin.permissions().contains(Permission::CloseAccount));
        assert!(!Role::Editor.permissions().contains(Permission::ManageUsers));
        assert!(!Role::Viewer.permissions().contains(Permission::ExecuteTools));
    }

    #[test]
    fn ids_lead_back_to_their_roles() {
        for role in Role::ALL {
            assert_eq!((Role::from_id(role.id()), Role::parse(role.as_str())), (Some(*role), Some(*role)));
        }
        assert_eq!(Role::from_id(Uuid::nil()), None);
    }
}
