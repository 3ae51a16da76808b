//! Who decides, by name and by team.

use std::collections::HashMap;

use preloop_types::{
    Decision, Team, TeamId, ToolRef, User, UserId, Verdict,
    config::{AccessRule, RuleAction, Workflow},
};

use super::Snapshot;

impl Snapshot {
    /// Everybody active whom a workflow names as an approver, by name or by team, each once; the account's
    /// owner where it names nobody.
    pub fn eligible(&self, workflow: &Workflow) -> Vec<UserId> {
        let named = self.people(&workflow.approvers, &workflow.settings.approver_teams);
        if named.is_empty() { self.owners() } else { named }
    }

    /// Everybody active who is asked too when nobody decided in time.
    pub fn escalation(&self, workflow: &Workflow) -> Vec<UserId> {
        self.people(&workflow.settings.escalation_users, &workflow.settings.escalation_teams)
    }

    /// Who decides where no approver is named: the person the account began with.
    pub fn owners(&self) -> Vec<UserId> {
        let active = self.users.values().filter(|user| user.is_active);
        active.map(|user| (user.created_at, user.id)).min().map(|(_, id)| id).into_iter().collect()
    }

    /// The workflow through which calls of a tool are asked about, where a rule asks at all.
    pub(crate) fn asked_through(&self, tool: &ToolRef, decision: &Decision) -> Option<&Workflow> {
        let id = match decision.verdict {
            Verdict::Ask(id) => id,
            Verdict::Allow | Verdict::Deny => {
                let config = self.ruleset.config(tool)?;
                let asks = |rule: &&AccessRule| rule.is_enabled && rule.action == RuleAction::RequireApproval;
                let marked = || self.workflows.values().find(|workflow| workflow.is_default).map(|marked| marked.id);
                let rule = config.rules.iter().find(asks)?;
                rule.workflow.or(config.workflow).or(self.defaults.default_workflow).or_else(marked)?
            }
        };
        self.workflows.get(&id)
    }

    fn people(&self, users: &[UserId], teams: &[TeamId]) -> Vec<UserId> {
        active_people(&self.users, &self.teams, users, teams)
    }
}

/// The active people among `users` and the members of `teams`, each once.
pub(crate) fn active_people(
    known_users: &HashMap<UserId, User>,
    known_teams: &HashMap<TeamId, Team>,
    users: &[UserId],
    teams: &[TeamId],
) -> Vec<UserId> {
    let members = teams.iter().filter_map(|team| known_teams.get(team)).flat_map(|team| &team.members);
    let mut people: Vec<UserId> = Vec::new();
    for id in users.iter().chain(members) {
        if known_users.get(id).is_some_and(|user| user.is_active) && !people.contains(id) {
            people.push(*id);
        }
    }
    people
}
