//! Standing grants: "approve, and allow the same for an hour, at most five times".
//!
//! A grant is never wider than what its giver could have decided call by call: it holds for one agent or key, one
//! tool as it was defined, one workflow whose only needed approval the giver may give, and within bounds that its row
//! keeps. What the policy denies stays denied; where nothing is left of it, people are asked again.

use std::{sync::Arc, time::Duration};

use preloop_policy::{Facts, check};
use preloop_store::{Approval, Event, Tx};
use preloop_types::{
    AccountId, Amount, ApprovalId, Decision, Entry, EntryKind, GrantedArguments, KeyId, Permission, Principal,
    SpendLimit, StandingGrant, StandingGrantId, Subject, ToolCall, ToolRef, UserId, WorkflowId,
    config::{Language, SubjectRef},
};
use serde::Serialize;
use serde_json::{Value, value::to_raw_value};

use super::{Approvals, electorate::Electorate};
use crate::{
    Admission, Error, Governor, Permit, Result, Snapshot,
    governor::unavailable,
    permit::Granted,
    records::{self, Basis},
};

/// Longest and shortest life of a grant.
const LIVES: (Duration, Duration) = (Duration::from_mins(1), Duration::from_hours(30 * 24));
/// Most calls of one grant.
const USES_MAX: u32 = 1_000;
/// Longest text.
const TEXT_BYTES_MAX: usize = 1_000;

/// The bounds of a grant.
#[derive(Debug, Clone)]
pub struct Allow {
    /// How long it holds.
    pub lasts: Duration,
    /// How many calls.
    pub times: u32,
    /// How much they may come to in all.
    pub spend: Option<SpendLimit>,
}

/// A grant made by hand.
#[derive(Debug, Clone)]
pub struct NewStandingGrant {
    /// Whose calls.
    pub subject: SubjectRef,
    /// Of which tool, by the name agents call it.
    pub tool: String,
    /// With which arguments: a CEL condition on `args`.
    pub condition: String,
    /// Its bounds.
    pub allow: Allow,
    /// Why.
    pub reason: Option<String>,
}

#[derive(Serialize)]
struct Body<'a> {
    action: &'static str,
    grant: StandingGrantId,
    tool: &'a str,
    server: &'a str,
    uses_max: u32,
    expires_at: preloop_types::Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spend: Option<&'a SpendLimit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<ApprovalId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl Approvals<'_> {
    /// Lets a call through on a standing grant, if one covers it and has room; recorded with its intent.
    pub(crate) async fn on_standing_grant(
        &self,
        who: &Arc<Principal>,
        call: &ToolCall,
        decision: &Decision,
        snapshot: &Snapshot,
        workflow: WorkflowId,
    ) -> Option<Admission> {
        let facts = Facts {
            who,
            tool: &call.tool,
            arguments: &call.arguments,
            justification: call.justification.as_deref(),
            client: call.client.as_deref(),
            call: call.id,
            now: self.governor.now(),
            discovered_at: None,
        };
        let covering = snapshot.standing.covering(&facts, workflow);
        if covering.is_empty() {
            return None;
        }
        let workflow = snapshot.workflows.get(&workflow)?;
        let electorate = Electorate::of(snapshot, workflow, who, decision);
        let arguments: Value = serde_json::from_str(call.arguments.get()).ok()?;
        for grant in covering {
            let may_still = workflow.approvals_required <= 1 && electorate.approvers.contains(&grant.user);
            let amount = grant.spend.as_ref().map_or(Some(Amount::default()), |spend| spend.of(&arguments));
            let (true, Some(amount)) = (may_still, amount) else { continue };
            let (id, basis) = (grant.id, Basis::Standing(grant.id));
            let intent = records::decided(EntryKind::CallIntent, who, call, decision, snapshot.version, basis);
            let used = self.governor.store().write(who.account, move |tx| {
                Box::pin(async move {
                    let used = tx.use_standing_grant(id, amount).await?;
                    if used {
                        tx.record(intent);
                    }
                    Ok(used)
                })
            });
            match used.await {
                Ok(true) => {
                    return Some(Admission::Granted(Permit::new(Granted {
                        governor: Governor::clone(self.governor),
                        who: who.clone(),
                        server: call.tool.server_id.and_then(|id| snapshot.servers.get(&id).cloned()),
                        call: call.clone(),
                        claim: None,
                        answer: None,
                        started: std::time::Instant::now(),
                    })));
                }
                Ok(false) => {}
                Err(error) => return Some(Admission::Refused(unavailable(call.id, &error.into()))),
            }
        }
        None
    }

    /// Every standing grant of an account, oldest first; those that are over too if `all`.
    pub async fn standing_grants(&self, account: AccountId, all: bool) -> Result<Vec<StandingGrant>> {
        let live_at = if all { None } else { Some(self.governor.now()) };
        Ok(self.governor.store().account(account).standing_grants(live_at).await?)
    }

    /// Gives a leave by hand.
    pub async fn give_standing_grant(&self, who: &Principal, new: NewStandingGrant) -> Result<StandingGrant> {
        if !who.may(Permission::DecideApprovals) || !who.is_person() || who.impersonator.is_some() {
            return Err(Error::Forbidden("this credential may not decide approvals".to_owned()));
        }
        let snapshot = self.governor.snapshot(who.account).await?;
        let tool = snapshot
            .tools
            .get(&new.tool)
            .map(|tool| tool.reference.clone())
            .ok_or_else(|| Error::Invalid(format!("there is no tool `{}`", new.tool)))?;
        check::syntax(&new.condition, Language::Cel).map_err(|problem| Error::Invalid(problem.message))?;
        let caller = self.subject(who.account, new.subject).await?;
        let call = ToolCall {
            id: preloop_types::CallId::new(self.governor.now()),
            tool: tool.clone(),
            arguments: Arc::from(to_raw_value(&serde_json::json!({})).unwrap_or_default()),
            justification: None,
            client: None,
        };
        // Which workflow such calls go through is the policy's to say, and may depend on the arguments: the one that
        // the tool's rules name. A call that goes through another is asked about as ever.
        let decision = snapshot.decide(&caller, &call, self.governor.now());
        let workflow = snapshot.asked_through(&tool, &decision).ok_or_else(|| {
            Error::Invalid(format!("no rule asks anybody about tool `{}`, so there is nothing to grant", new.tool))
        })?;
        let electorate = Electorate::of(&snapshot, workflow, &caller, &decision);
        may_grant(workflow.approvals_required, &workflow.name, &electorate.approvers, who)?;
        let arguments = GrantedArguments::Where(new.condition);
        let grant = self.grant(who.user, workflow.id, new.subject, tool, arguments, new.allow, new.reason, None)?;
        self.put_grant(Subject::from(who), who.account, grant).await
    }

    /// The leave that an approver gives together with an approval: for the same call, again.
    pub(super) fn grant_of(&self, approval: &Approval, user: UserId, allow: Allow) -> Result<StandingGrant> {
        if approval.approvals_required > 1 {
            return Err(too_many_needed(&approval.workflow_name, approval.approvals_required));
        }
        let subject = match approval.requester.agent {
            Some(agent) => SubjectRef::Agent(agent),
            None => SubjectRef::Key(approval.requester.key),
        };
        if let Some(spend) = &allow.spend {
            let arguments: Value = serde_json::from_str(approval.arguments()?.get()).unwrap_or_default();
            if spend.of(&arguments).is_none() {
                return Err(Error::Invalid(format!("the call has no amount in argument `{}`", spend.argument)));
            }
        }
        let same = GrantedArguments::Same(approval.args_hash);
        self.grant(user, approval.workflow, subject, approval.tool.clone(), same, allow, None, Some(approval.id))
    }

    #[expect(clippy::too_many_arguments, reason = "the row's own columns")]
    fn grant(
        &self,
        user: UserId,
        workflow: WorkflowId,
        subject: SubjectRef,
        tool: ToolRef,
        arguments: GrantedArguments,
        allow: Allow,
        reason: Option<String>,
        approval: Option<ApprovalId>,
    ) -> Result<StandingGrant> {
        let now = self.governor.now();
        if allow.lasts < LIVES.0 || allow.lasts > LIVES.1 {
            return Err(Error::Invalid("a standing grant lasts between a minute and 30 days".to_owned()));
        }
        if allow.times == 0 || allow.times > USES_MAX {
            return Err(Error::Invalid(format!("a standing grant is for 1 to {USES_MAX} calls")));
        }
        if reason.as_ref().is_some_and(|text| text.len() > TEXT_BYTES_MAX) {
            return Err(Error::Invalid(format!("the reason is longer than {TEXT_BYTES_MAX} bytes")));
        }
        Ok(StandingGrant {
            id: StandingGrantId::new(now),
            user,
            workflow,
            subject,
            tool: ToolRef { id: None, ..tool },
            arguments,
            uses_max: allow.times,
            uses: 0,
            spend: allow.spend,
            spent: Amount::default(),
            reason,
            approval,
            created_at: now,
            expires_at: now + allow.lasts,
            last_used_at: None,
            revoked_at: None,
            revoked_by: None,
        })
    }

    async fn put_grant(&self, subject: Subject, account: AccountId, grant: StandingGrant) -> Result<StandingGrant> {
        let row = grant.clone();
        self.governor
            .store()
            .write(account, move |tx| Box::pin(async move { give(tx, account, subject, &row).await }))
            .await?;
        Ok(grant)
    }

    /// Takes a leave back; an error if it is over.
    pub async fn revoke_standing_grant(&self, who: &Principal, id: StandingGrantId) -> Result<StandingGrant> {
        let rows = self.governor.store().account(who.account);
        let found = rows.standing_grant(id).await?;
        let grant = found.ok_or_else(|| Error::NotFound(format!("standing grant `{id}`")))?;
        let (account, user, row, subject) = (who.account, who.user, grant, Subject::from(who));
        let revoked = self.governor.store().write(account, move |tx| {
            Box::pin(async move {
                let revoked = tx.revoke_standing_grant(id, user).await?;
                if revoked {
                    tx.record(changed(account, subject, "revoked", &row));
                }
                Ok(revoked)
            })
        });
        if !revoked.await? {
            return Err(Error::Conflict("the standing grant is over already".to_owned()));
        }
        rows.standing_grant(id).await?.ok_or_else(|| Error::NotFound(format!("standing grant `{id}`")))
    }

    /// Who a grant is for, as calls of theirs would come.
    async fn subject(&self, account: AccountId, subject: SubjectRef) -> Result<Principal> {
        let rows = self.governor.store().account(account);
        let key: Option<KeyId> = match subject {
            SubjectRef::Key(id) => Some(id),
            SubjectRef::Agent(id) => {
                let keys = rows.keys().await?;
                keys.into_iter().find(|key| key.agent.as_ref().is_some_and(|of| of.id == id)).map(|key| key.id)
            }
        };
        let found = match key {
            Some(key) => rows.credential(key).await?,
            None => None,
        };
        let who = found.and_then(|found| crate::identify::active(found, self.governor.now()).ok());
        who.ok_or_else(|| Error::Invalid("there is no such agent or key, or it is not active".to_owned()))
    }
}

/// Writes a grant and its record.
pub(super) async fn give(
    tx: &mut Tx<'_>,
    account: AccountId,
    subject: Subject,
    grant: &StandingGrant,
) -> preloop_store::Result<()> {
    tx.insert_standing_grant(grant).await?;
    tx.record(changed(account, subject, "given", grant));
    tx.emit(Event::ConfigChanged(account));
    Ok(())
}

fn may_grant(required: u32, workflow: &str, approvers: &[UserId], who: &Principal) -> Result<()> {
    if required > 1 {
        return Err(too_many_needed(workflow, required));
    }
    if !approvers.contains(&who.user) {
        return Err(Error::Forbidden(format!("`{}` may not decide such calls (workflow `{workflow}`)", who.username)));
    }
    Ok(())
}

fn too_many_needed(workflow: &str, required: u32) -> Error {
    Error::Forbidden(format!("workflow `{workflow}` needs {required} approvals: one person alone allows nothing ahead"))
}

fn changed(account: AccountId, subject: Subject, action: &'static str, grant: &StandingGrant) -> Entry {
    let condition = match &grant.arguments {
        GrantedArguments::Where(text) => Some(text.as_str()),
        GrantedArguments::Same(_) => None,
    };
    let body = Body {
        action,
        grant: grant.id,
        tool: &grant.tool.exposed,
        server: &grant.tool.server,
        uses_max: grant.uses_max,
        expires_at: grant.expires_at,
        condition,
        spend: grant.spend.as_ref(),
        approval: grant.approval,
        reason: grant.reason.as_deref(),
    };
    // Strings and numbers always serialise.
    let body = to_raw_value(&body).unwrap_or_default();
    Entry { account, kind: EntryKind::StandingGrantChanged, call: None, subject, body, payload: None }
}
