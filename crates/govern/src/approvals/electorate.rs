//! Who decides a request. It is settled when the request is made, so that a team that changes meanwhile
//! changes nothing about what is open; and checked when somebody votes.

use preloop_store::{Approval, Excluded, Voter};
use preloop_types::{Decision, DecisionSource, Permission, Principal, UserId, config::Workflow};

use super::Approvals;
use crate::{Error, Result, Snapshot};

/// Those who decide a request, and those who may not.
pub(super) struct Electorate {
    pub(super) approvers: Vec<UserId>,
    pub(super) excluded: Vec<Excluded>,
    pub(super) escalate_to: Vec<UserId>,
}

/// By what right somebody votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seat {
    /// They are an approver.
    Own,
    /// An approver who is away named them.
    InPlaceOf(UserId),
    /// They administer the account; recorded as an override.
    Override,
}

impl Electorate {
    /// Who decides on what `who` asks for through `workflow`.
    pub(super) fn of(snapshot: &Snapshot, workflow: &Workflow, who: &Principal, decision: &Decision) -> Self {
        let excluded = excluded(snapshot, workflow, who, decision);
        let may = |user: &UserId| excluded.iter().all(|other| other.user != *user);
        let mut approvers: Vec<UserId> = snapshot.eligible(workflow).into_iter().filter(may).collect();
        if approvers.is_empty() {
            approvers = snapshot.owners().into_iter().filter(may).collect();
        }
        let escalate_to = snapshot.escalation(workflow).into_iter().filter(may).collect();
        Self { approvers, excluded, escalate_to }
    }

    /// Whether anybody can decide at all.
    pub(super) fn is_empty(&self) -> bool {
        self.approvers.is_empty() && self.escalate_to.is_empty()
    }
}

fn excluded(snapshot: &Snapshot, workflow: &Workflow, who: &Principal, decision: &Decision) -> Vec<Excluded> {
    let settings = &workflow.settings;
    let mut excluded: Vec<Excluded> = Vec::new();
    let mut exclude = |user: UserId, why: &str| {
        if excluded.iter().all(|other| other.user != user) {
            excluded.push(Excluded { user, why: why.to_owned() });
        }
    };
    if settings.no_self_approval || settings.separation_of_duties {
        for user in [Some(who.user), who.impersonator].into_iter().flatten() {
            exclude(user, "it was asked for with their own credential");
        }
    }
    if settings.separation_of_duties {
        let authors = &snapshot.rule_authors;
        let rule = decision.rule.as_ref().and_then(|rule| rule.id);
        let scoped = decision.source == DecisionSource::SubjectScopedRule;
        let agent = who.agent.as_ref().filter(|_| scoped).map(|agent| agent.id.0);
        let written = [rule.map(|id| id.0), agent, scoped.then_some(who.key.0)];
        for author in written.into_iter().flatten().filter_map(|id| authors.get(&id)) {
            exclude(*author, "they wrote the rule that asks");
        }
    }
    excluded
}

impl Approvals<'_> {
    /// By what right a person votes on a request, as things are now; an error if by none.
    pub(super) async fn seat_of(&self, approval: &Approval, id: UserId) -> Result<Seat> {
        let forbidden = |text: String| Err(Error::Forbidden(text));
        let rows = self.governor.store().account(approval.account);
        let user = rows.user(id).await?.ok_or_else(|| Error::Forbidden("you are not known here".to_owned()))?;
        // No longer active, or no longer trusted with it: neither has any permission.
        let permissions = rows.permissions_of(&user).await?;
        if !permissions.contains(Permission::DecideApprovals) {
            return forbidden(format!("`{}` may not decide approvals", user.username));
        }
        if let Some(Excluded { why, .. }) = approval.excluded.iter().find(|other| other.user == id) {
            return forbidden(format!("`{}` may not decide on this request: {why}", user.username));
        }
        if approval.approvers.contains(&id) {
            return Ok(Seat::Own);
        }
        let now = self.governor.now();
        let delegations = rows.delegations(now).await?;
        let away = delegations.iter().filter(|delegation| delegation.delegate == id && delegation.starts_at <= now);
        let away: Vec<UserId> =
            away.map(|delegation| delegation.user).filter(|user| approval.approvers.contains(user)).collect();
        let decided = |user: &&UserId| approval.votes.iter().any(|vote| vote.seat() == Voter::User(**user));
        match away.iter().find(|user| !decided(user)).or(away.first()) {
            Some(user) => Ok(Seat::InPlaceOf(*user)),
            None if permissions.contains(Permission::ManageAccount) => Ok(Seat::Override),
            None => forbidden(format!(
                "`{}` is not an approver of this request (workflow `{}`)",
                user.username, approval.workflow_name
            )),
        }
    }
}
