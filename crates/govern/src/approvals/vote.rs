use preloop_store::{Approval, ApprovalStatus, Ballot, Event, Tx, VoteOutcome, Voter};
use preloop_types::{AccountId, ApprovalId, EntryKind, Hash, Permission, Principal, StandingGrant, Subject, UserId};
use serde::Serialize;
use serde_json::{Value, value::RawValue};

use super::{
    Allow, Answer, Approvals, Change, Enquiry,
    edit::{self, Edited},
    electorate::Seat,
    question::Answerer,
    standing,
};
use crate::{Error, Result, records};

/// One person's decision.
#[derive(Debug, Clone, Default)]
pub struct Vote {
    /// Approve, or decline.
    pub approve: bool,
    /// Why.
    pub comment: Option<String>,
    /// Hash of what they saw: the vote does not count if the request is something else by now.
    pub shown: Option<Hash>,
    /// What they answer, of a request that is a question.
    pub answer: Option<Answer>,
    /// The arguments they want instead; only with an approval.
    pub edit: Option<Box<RawValue>>,
    /// The same call may be made again without asking; only with an approval.
    pub allow: Option<Allow>,
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
    /// Who was away.
    #[serde(skip_serializing_if = "Option::is_none")]
    on_behalf_of: Option<UserId>,
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
        let approval = self.get(who.account, id).await?;
        deciding_person(who, &approval)?;
        self.cast(approval, &Decider::User { id: who.user, via: "api" }, Subject::from(who), vote).await
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
        let (account, id) = (approval.account, approval.id);
        let extras = self.extras(&approval, decider, &vote).await?;
        let mut ballot = self.ballot(&approval, decider, vote).await?;
        if let Some(edited) = &extras.edited {
            // The vote is about what the voter made of the call.
            ballot.shown = Some(edited.new.shown_hash);
        }
        let cast = ballot.clone();
        let outcome = self
            .governor
            .store()
            .write(account, move |tx| {
                Box::pin(async move {
                    if let Some(edited) = &extras.edited {
                        if !tx.edit_approval(id, &edited.new).await? {
                            return Ok(match tx.approval(id).await? {
                                Some(now) if now.status == ApprovalStatus::Pending => VoteOutcome::Changed(now),
                                Some(now) => VoteOutcome::Closed(now),
                                None => VoteOutcome::NotFound,
                            });
                        }
                        record_edit(tx, &approval, edited, subject, cast.comment.as_deref()).await?;
                    }
                    let outcome = tx.vote(id, &cast).await?;
                    record_vote(tx, id, &cast, subject, &outcome).await?;
                    if let (VoteOutcome::Resolved(now), Some(grant)) = (&outcome, &extras.grant)
                        && now.status == ApprovalStatus::Approved
                    {
                        standing::give(tx, account, subject, grant).await?;
                        let detail = format!("{} more calls until {}", grant.uses_max, grant.expires_at);
                        tx.add_approval_event(id, "standing_grant", Some(&detail), None, subject.user).await?;
                    }
                    Ok(outcome)
                })
            })
            .await?;
        answer(id, &ballot, outcome)
    }

    /// What a vote brings besides a yes: other arguments, a leave for later. Only approvers who are there
    /// themselves give either.
    async fn extras(&self, approval: &Approval, decider: &Decider, vote: &Vote) -> Result<Extras> {
        if vote.edit.is_none() && vote.allow.is_none() {
            return Ok(Extras::default());
        }
        if !vote.approve {
            return Err(Error::Invalid("only an approval changes arguments or allows more calls".to_owned()));
        }
        let Decider::User { id: user, .. } = decider else {
            return Err(Error::Forbidden("this link is nobody's own: it approves or declines, no more".to_owned()));
        };
        let mut extras = Extras::default();
        if let Some(wanted) = &vote.edit {
            self.seat_of(approval, *user).await?;
            extras.edited = self.edited(approval, *user, vote.shown, wanted).await?;
        }
        if let Some(allow) = &vote.allow {
            if extras.edited.is_some() {
                let text = "a changed call cannot be allowed again: the agent would ask for the original".to_owned();
                return Err(Error::Invalid(text));
            }
            if self.seat_of(approval, *user).await? != Seat::Own {
                return Err(Error::Forbidden("only an approver of the workflow allows more calls ahead".to_owned()));
            }
            extras.grant = Some(self.grant_of(approval, *user, allow.clone())?);
        }
        Ok(extras)
    }

    /// The vote as it counts: who may cast it, and in whose place.
    async fn ballot(&self, approval: &Approval, decider: &Decider, vote: Vote) -> Result<Ballot> {
        let (voter, via, seat) = match decider {
            Decider::User { id, via } => (Voter::User(*id), (*via).to_owned(), self.seat_of(approval, *id).await?),
            Decider::Link { recipient } => (Voter::Anonymous, format!("link to {recipient}"), Seat::Own),
        };
        let comment = vote.comment.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        if comment.as_ref().is_some_and(|text| text.len() > COMMENT_MAX) {
            return Err(Error::Invalid(format!("the comment is longer than {COMMENT_MAX} bytes")));
        }
        if approval.require_reason && comment.is_none() {
            return Err(Error::Invalid("this workflow requires a reason: give a comment".to_owned()));
        }
        let answer = if vote.approve {
            self.settled_answer(approval, voter, vote.answer, comment.as_deref()).await?
        } else {
            None
        };
        Ok(Ballot {
            voter,
            on_behalf_of: match seat {
                Seat::InPlaceOf(user) => Some(user),
                Seat::Own | Seat::Override => None,
            },
            overriding: seat == Seat::Override,
            approve: vote.approve,
            comment,
            via,
            shown: vote.shown,
            answer,
        })
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

/// What comes with a vote besides a yes.
#[derive(Default)]
struct Extras {
    edited: Option<Edited>,
    grant: Option<StandingGrant>,
}

impl Approvals<'_> {
    /// The answer as it is kept, of a request that is a question.
    async fn settled_answer(
        &self,
        approval: &Approval,
        voter: Voter,
        given: Option<Answer>,
        comment: Option<&str>,
    ) -> Result<Option<String>> {
        let arguments: Value = serde_json::from_str(approval.arguments()?.get()).unwrap_or_default();
        let Some(question) = Enquiry::of(&approval.tool, &arguments) else {
            return match given {
                Some(_) => Err(Error::Invalid("the request is no question: approve or decline it".to_owned())),
                None => Ok(None),
            };
        };
        let name = match voter {
            Voter::User(id) => self.governor.store().account(approval.account).user(id).await?,
            Voter::Anonymous => None,
        };
        let name = name.map_or_else(|| "whoever held the link".to_owned(), |user| user.username);
        let by = Answerer { name: &name, at: self.governor.now() };
        let settled = question.settle(given.unwrap_or_default(), comment, by).map_err(Error::Form)?;
        Ok(Some(settled.to_string()))
    }
}

/// That an approver changed the arguments, in the journal and in the request's history.
async fn record_edit(
    tx: &mut Tx<'_>,
    before: &Approval,
    edited: &Edited,
    subject: Subject,
    comment: Option<&str>,
) -> preloop_store::Result<()> {
    let record = edit::Record {
        approval: before.id,
        by: edited.new.by,
        from: before.edit.map_or(before.args_hash, |edit| edit.args_hash),
        to: edited.new.args_hash,
        changes: edited.changes.iter().map(Change::to_json).collect(),
        comment,
    };
    tx.record(records::approval(EntryKind::ApprovalEdited, subject, before, &record));
    let paths: Vec<&str> = edited.changes.iter().map(|change| change.path.as_str()).collect();
    let detail = format!("changed: {}", paths.join(", "));
    tx.add_approval_event(before.id, "arguments_edited", Some(&detail), comment, subject.user).await
}

/// That this credential may decide on this request: a person's, with the permission, not used in somebody
/// else's place, and not the one that asks.
pub(super) fn deciding_person(who: &Principal, approval: &Approval) -> Result<()> {
    let is_persons = who.is_person() || who.is_device();
    let refused = if !who.may(Permission::DecideApprovals) || !is_persons {
        "this credential may not decide approvals"
    } else if who.impersonator.is_some() {
        "nobody decides in somebody else's name: end the impersonation first"
    } else if approval.requester.key == who.key {
        "the credential that asked may not decide: use another way, such as the link in your mail"
    } else {
        return Ok(());
    };
    Err(Error::Forbidden(refused.to_owned()))
}

/// A vote that counted, in the journal and in the request's history; and the end, if it was that.
async fn record_vote(
    tx: &mut Tx<'_>,
    id: ApprovalId,
    cast: &Ballot,
    subject: Subject,
    outcome: &VoteOutcome,
) -> preloop_store::Result<()> {
    let (now, resolves) = match outcome {
        VoteOutcome::Counted(now) => (now, false),
        VoteOutcome::Resolved(now) => (now, true),
        _ => return Ok(()),
    };
    let voted = Voted {
        approval: id,
        decision: word(cast.approve),
        comment: cast.comment.as_deref(),
        via: &cast.via,
        on_behalf_of: cast.on_behalf_of,
        r#override: cast.overriding,
        shown: now.shown_hash,
    };
    tx.record(records::approval(EntryKind::ApprovalVoted, subject, now, &voted));
    let (comment, user) = (cast.comment.as_deref(), subject.user);
    let detail = match (cast.overriding, cast.on_behalf_of) {
        (true, _) => format!("{} (override)", word(cast.approve)),
        (_, Some(_)) => format!("{} (as a delegate)", word(cast.approve)),
        _ => word(cast.approve).to_owned(),
    };
    tx.add_approval_event(id, "vote_received", Some(&detail), comment, user).await?;
    if resolves {
        tx.record(resolved(now, subject, comment));
        tx.add_approval_event(id, "approval_complete", Some(now.status.as_str()), None, user).await?;
    }
    tx.emit(Event::ApprovalChanged { account: now.account, id });
    Ok(())
}

fn word(approve: bool) -> &'static str {
    if approve { "approve" } else { "decline" }
}

/// What the voter is told. The same person giving the same answer again is not an error: a second
/// click, a second tab.
fn answer(id: ApprovalId, ballot: &Ballot, outcome: VoteOutcome) -> Result<Approval> {
    let conflict = |text: &str| Err(Error::Conflict(text.to_owned()));
    match outcome {
        VoteOutcome::Counted(approval) | VoteOutcome::Resolved(approval) => Ok(approval),
        VoteOutcome::Changed(_) => conflict("the request is not what you saw any more; look at it again"),
        VoteOutcome::AlreadyVoted(approval) | VoteOutcome::Closed(approval) => {
            let earlier = approval.votes.iter().find(|vote| vote.voter == ballot.voter);
            match (earlier, ballot.voter) {
                (Some(vote), Voter::User(_)) if vote.approve == ballot.approve => Ok(approval),
                (Some(_), _) if approval.status == ApprovalStatus::Pending => {
                    conflict("this request has your decision already")
                }
                (None, _) if approval.votes.iter().any(|vote| vote.seat() == ballot.seat()) => conflict(
                    "somebody decided in the same place already: an approver and who stands in for them count once",
                ),
                _ => conflict(&format!("Request already {}", end_of(&approval))),
            }
        }
        VoteOutcome::NotFound => Err(Error::NotFound(format!("approval request `{id}`"))),
    }
}

/// How a request that takes no votes ended; one that is overdue just was not swept yet.
fn end_of(approval: &Approval) -> &'static str {
    match approval.status {
        ApprovalStatus::Pending => ApprovalStatus::Expired.as_str(),
        status => status.as_str(),
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
