//! Who decides the requests of a workflow: the part of its change that names people, teams and other
//! workflows.

use std::collections::HashMap;

use preloop_store::Tx;
use preloop_types::{
    Reviewer, TeamId, UserId, WorkflowId,
    config::{RawJson, Workflow, WorkflowSettings},
};

use super::{ConfigError, Patch, Result, limits};
use crate::snapshot::active_people;

/// Longest guidelines and context of a reviewer, in bytes.
const REVIEWER_TEXT_MAX: usize = 16_384;

/// What to change about who decides. `None` leaves it.
#[derive(Debug, Clone, Default)]
pub struct DecidersChange {
    /// Who may decide.
    pub approvers: Option<Vec<UserId>>,
    /// Teams whose members may.
    pub approver_teams: Option<Vec<TeamId>>,
    /// Who is asked too when nobody decided in time.
    pub escalation_users: Option<Vec<UserId>>,
    /// Teams that are.
    pub escalation_teams: Option<Vec<TeamId>>,
    /// Whose people decide when a reviewer that is no person cannot.
    pub escalation_workflow: Patch<WorkflowId>,
    /// Nobody decides on what their own credential asks for.
    pub no_self_approval: Option<bool>,
    /// Neither who owns the credential nor who wrote the rule that asks may decide.
    pub separation_of_duties: Option<bool>,
    /// An approver may change the arguments before approving.
    pub allow_edits: Option<bool>,
    /// A model that looks at requests before people do.
    pub reviewer: Patch<Reviewer>,
}

impl DecidersChange {
    /// Makes the change to `workflow`; everybody it names has to be there.
    pub(super) async fn apply(self, tx: &mut Tx<'_>, workflow: &mut Workflow) -> Result<()> {
        if let Some(wanted) = self.approvers {
            workflow.approvers = users(tx, "approver_user_ids", wanted).await?;
        }
        let settings = &mut workflow.settings;
        if let Some(wanted) = self.approver_teams {
            settings.approver_teams = teams(tx, "approver_team_ids", wanted).await?;
        }
        if let Some(wanted) = self.escalation_users {
            settings.escalation_users = users(tx, "escalation_user_ids", wanted).await?;
        }
        if let Some(wanted) = self.escalation_teams {
            settings.escalation_teams = teams(tx, "escalation_team_ids", wanted).await?;
        }
        if let Some(wanted) = self.escalation_workflow {
            let field = "escalation_workflow_id";
            if wanted == Some(workflow.id) {
                return Err(ConfigError::invalid(field, "is the workflow itself"));
            }
            super::tools::own_workflow(tx, field, wanted).await?;
            settings.escalation_workflow = wanted;
        }
        if let Some(wanted) = self.reviewer {
            settings.reviewer = match wanted {
                None => None,
                // What stays as it is keeps its spelling, and may outlive its model.
                Some(wanted) if settings.reviewer.as_ref().is_some_and(|old| is_same(old, &wanted)) => {
                    settings.reviewer.take()
                }
                Some(wanted) => Some(reviewer(tx, wanted).await?),
            };
        }
        let flags: [(&mut bool, Option<bool>); 3] = [
            (&mut settings.no_self_approval, self.no_self_approval),
            (&mut settings.separation_of_duties, self.separation_of_duties),
            (&mut settings.allow_edits, self.allow_edits),
        ];
        for (flag, wanted) in flags {
            *flag = wanted.unwrap_or(*flag);
        }
        Ok(())
    }
}

/// Whether both say the same, however their context is spelled.
fn is_same(a: &Reviewer, b: &Reviewer) -> bool {
    let context = |reviewer: &Reviewer| {
        let read = |raw: &RawJson| serde_json::from_str::<serde_json::Value>(raw.0.get()).ok();
        reviewer.context.as_ref().and_then(read)
    };
    let rest = |reviewer: &Reviewer| Reviewer { context: None, ..reviewer.clone() };
    rest(a) == rest(b) && context(a) == context(b)
}

/// A reviewer whose model there is.
async fn reviewer(tx: &mut Tx<'_>, wanted: Reviewer) -> Result<Reviewer> {
    let known = tx.models().await?;
    if !known.iter().any(|model| model.alias == wanted.model) {
        return Err(ConfigError::invalid("ai_model", format!("there is no model `{}`", wanted.model)));
    }
    if let Some(guidelines) = &wanted.guidelines {
        limits::text("ai_guidelines", guidelines, REVIEWER_TEXT_MAX)?;
    }
    if wanted.context.as_ref().is_some_and(|context| context.0.get().len() > REVIEWER_TEXT_MAX) {
        return Err(ConfigError::invalid("ai_context", format!("is longer than {REVIEWER_TEXT_MAX} bytes")));
    }
    limits::range("ai_confidence_threshold", wanted.threshold_permille.into(), 0, 1_000)?;
    Ok(wanted)
}

async fn users(tx: &mut Tx<'_>, field: &str, wanted: Vec<UserId>) -> Result<Vec<UserId>> {
    let known: Vec<UserId> = tx.users().await?.into_iter().map(|user| user.id).collect();
    distinct(field, wanted, &known, "user")
}

async fn teams(tx: &mut Tx<'_>, field: &str, wanted: Vec<TeamId>) -> Result<Vec<TeamId>> {
    let known: Vec<TeamId> = tx.teams().await?.into_iter().map(|team| team.id).collect();
    distinct(field, wanted, &known, "team")
}

/// Each once, and only those there are.
fn distinct<Id: Copy + PartialEq + std::fmt::Display>(
    field: &str,
    wanted: Vec<Id>,
    known: &[Id],
    kind: &str,
) -> Result<Vec<Id>> {
    limits::count(field, wanted.len(), limits::ITEMS_MAX)?;
    let mut distinct = Vec::new();
    for id in wanted {
        if !known.contains(&id) {
            return Err(ConfigError::invalid(field, format!("there is no {kind} `{id}`")));
        }
        if !distinct.contains(&id) {
            distinct.push(id);
        }
    }
    Ok(distinct)
}

/// What a person should know before they rely on a workflow.
pub(super) async fn warnings(tx: &mut Tx<'_>, workflow: &Workflow) -> Result<Vec<String>> {
    let known_users: HashMap<_, _> = tx.users().await?.into_iter().map(|user| (user.id, user)).collect();
    let known_teams: HashMap<_, _> = tx.teams().await?.into_iter().map(|team| (team.id, team)).collect();
    let WorkflowSettings { approver_teams, no_self_approval, separation_of_duties, .. } = &workflow.settings;
    let eligible = active_people(&known_users, &known_teams, &workflow.approvers, approver_teams);
    let (name, required) = (&workflow.name, workflow.approvals_required as usize);
    let mut warnings = Vec::new();
    // Where nobody is named, the owner decides.
    let can = eligible.len().max(1);
    if required > can {
        warnings.push(format!(
            "workflow `{name}` needs {required} approvals, but only {can} can approve; name more approvers"
        ));
    } else if (*no_self_approval || *separation_of_duties) && required > can - 1 {
        warnings.push(format!(
            "workflow `{name}` needs {required} approvals; for what an approver's own agent asks, only {} can approve, \
             because nobody decides on their own requests: name more approvers",
            can - 1
        ));
    }
    let empty = |id: &&TeamId| {
        known_teams.get(id).is_some_and(|team| active_people(&known_users, &known_teams, &[], &[team.id]).is_empty())
    };
    for team in approver_teams.iter().filter(empty).filter_map(|id| known_teams.get(id)) {
        warnings.push(format!("workflow `{name}` names the team `{}`, which has no active member", team.name));
    }
    Ok(warnings)
}
