use preloop_store::{Approval, ApprovalStatus, Event, VoteOutcome, Voter};
use preloop_types::{AccountId, ApprovalId, EntryKind, Hash, Permission, Principal, Subject, UserId};
use serde::Serialize;

use super::Approvals;
use crate::{Error, Result, records};

/// One person's decision.
#[derive(Debug, Clone)]
pub struct Vote {
    /// Approve, or decline.
    pub approve: bool,
    /// Why.
    pub comment: Option<String>,
}

/// Who decides.
#[derive(Debug, Clone)]
pub enum Decider {
    /// A person.
    User {
        /// Who.
        id: UserId,
        /// How they came: `api`, `link` or `elicitation`.
        via: &'static str,
    },
    /// Somebody who holds a link sent to an address that is no user's.
    Link {
        /// Where the link was sent.
        recipient: String,
    },
}

/// Longest comment, in bytes.
const COMMENT_MAX: usize = 4_096;

#[derive(Serialize)]
struct Voted<'a> {
    approval: ApprovalId,
    decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'a str>,
    via: &'a str,
    /// The decider is not on the workflow's list.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    r#override: bool,
    /// Hash of what the decider was shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    shown: Option<Hash>,
}

#[derive(Serialize)]
struct Resolved<'a> {
    approval: ApprovalId,
    status: &'static str,
    tool: &'a str,
    server: &'a str,
    workflow: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl Approvals<'_> {
    /// Records the caller's decision on a request.
    pub async fn decide(&self, who: &Principal, id: ApprovalId, vote: Vote) -> Result<Approval> {
        if !who.may(Permission::DecideApprovals) {
            return Err(Error::Forbidden("this credential may not decide approvals".to_owned()));
        }
        let approval = self.get(who.account, id).await?;
        let subject = Subject::from(who);
        self.cast(approval, &Decider::User { id: who.user, via: "api" }, subject, vote).await
    }

    /// Records the decision the owner of the calling credential gave at the agent's client. Only
    /// for workflows that allow it, and only where the owner is an approver.
    pub async fn decide_at_client(&self, who: &Principal, approval: Approval, vote: Vote) -> Result<Approval> {
        if approval.requester.key != who.key || !approval.approvers.contains(&who.user) {
            return Err(Error::Forbidden("only an approver may decide at the agent's client".to_owned()));
        }
        self.cast(approval, &Decider::User { id: who.user, via: "elicitation" }, Subject::from(who), vote).await
    }

    /// Records the decision a person gave in a chat that vouches for who they are; `via` names it. Only
    /// approvers may: nobody overrides the list with a click.
    pub async fn decide_in_chat(
        &self,
        approval: Approval,
        user: UserId,
        via: &'static str,
        vote: Vote,
    ) -> Result<Approval> {
        let snapshot = self.governor.snapshot(approval.account).await?;
        let active = snapshot.users.get(&user).is_some_and(|user| user.is_active);
        if !active || !approval.approvers.contains(&user) {
            return Err(Error::Forbidden("you are not among the approvers of this request".to_owned()));
        }
        let subject = Subject { user: Some(user), ..Subject::default() };
        self.cast(approval, &Decider::User { id: user, via }, subject, vote).await
    }

    /// Records the decision of whoever holds a link.
    pub async fn decide_by_token(&self, id: ApprovalId, token: &str, vote: Vote) -> Result<Approval> {
        let (approval, decider) = self.by_token(id, token).await?;
        let user = match &decider {
            Decider::User { id, .. } => Some(*id),
            Decider::Link { .. } => None,
        };
        self.cast(approval, &decider, Subject { user, ..Subject::default() }, vote).await
    }

    async fn cast(&self, approval: Approval, decider: &Decider, subject: Subject, vote: Vote) -> Result<Approval> {
        let comment = vote.comment.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        if comment.as_ref().is_some_and(|text| text.len() > COMMENT_MAX) {
            return Err(Error::Invalid(format!("the comment is longer than {COMMENT_MAX} bytes")));
        }
        if approval.require_reason && comment.is_none() {
            return Err(Error::Invalid("this workflow requires a reason: give a comment".to_owned()));
        }
        let ballot = ballot(decider, vote.approve, comment);
        let overriding = matches!(ballot.voter, Voter::User(user) if !approval.approvers.contains(&user));
        let (account, id, cast) = (approval.account, approval.id, ballot.clone());
        let outcome = self
            .governor
            .store()
            .write(account, move |tx| {
                Box::pin(async move {
                    let outcome = tx.vote(id, cast.voter, cast.approve, cast.comment.as_deref(), &cast.via).await?;
                    let (now, resolves) = match &outcome {
                        VoteOutcome::Counted(now) => (now, false),
                        VoteOutcome::Resolved(now) => (now, true),
                        _ => return Ok(outcome),
                    };
                    let voted = Voted {
                        approval: id,
                        decision: word(cast.approve),
                        comment: cast.comment.as_deref(),
                        via: &cast.via,
                        r#override: overriding,
                        shown: now.shown_hash,
                    };
                    tx.record(records::approval(EntryKind::ApprovalVoted, subject, now, &voted));
                    let (comment, user) = (cast.comment.as_deref(), subject.user);
                    tx.add_approval_event(id, "vote_received", Some(word(cast.approve)), comment, user).await?;
                    if resolves {
                        tx.record(resolved(now, subject, comment));
                        tx.add_approval_event(id, "approval_complete", Some(now.status.as_str()), None, user).await?;
                    }
                    tx.emit(Event::ApprovalChanged { account, id });
                    Ok(outcome)
                })
            })
            .await?;
        answer(id, &ballot, outcome)
    }

    /// Withdraws a pending request; false if it is not pending (any more).
    pub async fn cancel(&self, account: AccountId, subject: Subject, id: ApprovalId, reason: &str) -> Result<bool> {
        let reason = reason.to_owned();
        let cancelled = self
            .governor
            .store()
            .write(account, move |tx| {
                Box::pin(async move {
                    if !tx.cancel_approval(id, Some(&reason)).await? {
                        return Ok(false);
                    }
                    if let Some(now) = tx.approval(id).await? {
                        tx.record(resolved(&now, subject, Some(&reason)));
                    }
                    tx.add_approval_event(id, "cancelled", Some(&reason), None, subject.user).await?;
                    tx.emit(Event::ApprovalChanged { account, id });
                    Ok(true)
                })
            })
            .await?;
        Ok(cancelled)
    }
}

/// A vote, ready to be cast.
#[derive(Clone)]
struct Ballot {
    voter: Voter,
    approve: bool,
    comment: Option<String>,
    via: String,
}

fn ballot(decider: &Decider, approve: bool, comment: Option<String>) -> Ballot {
    let (voter, via) = match decider {
        Decider::User { id, via } => (Voter::User(*id), (*via).to_owned()),
        Decider::Link { recipient } => (Voter::Anonymous, format!("link to {recipient}")),
    };
    Ballot { voter, approve, comment, via }
}

fn word(approve: bool) -> &'static str {
    if approve { "approve" } else { "decline" }
}

/// What the voter is told. The same person giving the same answer again is not an error: a second
/// click, a second tab.
fn answer(id: ApprovalId, ballot: &Ballot, outcome: VoteOutcome) -> Result<Approval> {
    match outcome {
        VoteOutcome::Counted(approval) | VoteOutcome::Resolved(approval) => Ok(approval),
        VoteOutcome::AlreadyVoted(approval) | VoteOutcome::Closed(approval) => {
            let earlier = approval.votes.iter().find(|vote| vote.voter == ballot.voter);
            match (earlier, ballot.voter) {
                (Some(vote), Voter::User(_)) if vote.approve == ballot.approve => Ok(approval),
                (Some(_), _) if approval.status == ApprovalStatus::Pending => {
                    Err(Error::Conflict("this request has your decision already".to_owned()))
                }
                _ => Err(Error::Conflict(format!("Request already {}", approval.status.as_str()))),
            }
        }
        VoteOutcome::NotFound => Err(Error::NotFound(format!("approval request `{id}`"))),
    }
}

/// The record of a request's end.
pub(super) fn resolved(approval: &Approval, subject: Subject, reason: Option<&str>) -> preloop_types::Entry {
    let body = Resolved {
        approval: approval.id,
        status: approval.status.as_str(),
        tool: &approval.tool.exposed,
        server: &approval.tool.server,
        workflow: &approval.workflow_name,
        reason,
    };
    records::approval(EntryKind::ApprovalResolved, subject, approval, &body)
}
