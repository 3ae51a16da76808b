//! Somebody else decides in a person's place, for a time.

use preloop_store::{Delegation, Event};
use preloop_types::{AccountId, DelegationId, Entry, EntryKind, Permission, Principal, Subject, Timestamp, UserId};
use serde::Serialize;
use serde_json::value::to_raw_value;

use super::Approvals;
use crate::{Error, Result};

/// Longest delegation.
const LASTS_MAX: std::time::Duration = std::time::Duration::from_hours(366 * 24);

/// A delegation to be made.
#[derive(Debug, Clone)]
pub struct NewDelegation {
    /// Who is away: the caller, unless an administrator makes it for somebody.
    pub user: Option<UserId>,
    /// Who decides meanwhile.
    pub delegate: UserId,
    /// From when; now when absent.
    pub starts_at: Option<Timestamp>,
    /// Until when.
    pub ends_at: Timestamp,
    /// Why.
    pub reason: Option<String>,
}

#[derive(Serialize)]
struct Body<'a> {
    action: &'static str,
    delegation: DelegationId,
    user: UserId,
    delegate: UserId,
    starts_at: Timestamp,
    ends_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl Approvals<'_> {
    /// Delegations that hold or are to come.
    pub async fn delegations(&self, account: AccountId) -> Result<Vec<Delegation>> {
        Ok(self.governor.store().account(account).delegations(self.governor.now()).await?)
    }

    /// Names who decides in a person's place.
    pub async fn delegate(&self, who: &Principal, new: NewDelegation) -> Result<Delegation> {
        let user = own_or_managed(who, new.user.unwrap_or(who.user))?;
        let now = self.governor.now();
        let starts_at = new.starts_at.unwrap_or(now).max(now);
        let refused = if new.delegate == user {
            "nobody stands in for themselves"
        } else if new.ends_at <= starts_at {
            "it has to end after it begins"
        } else if new.ends_at.since(starts_at) > LASTS_MAX {
            "it lasts longer than a year"
        } else {
            ""
        };
        if !refused.is_empty() {
            return Err(Error::Invalid(refused.to_owned()));
        }
        let rows = self.governor.store().account(who.account);
        let Some(delegate) = rows.user(new.delegate).await? else {
            return Err(Error::Invalid(format!("there is no user `{}`", new.delegate)));
        };
        if !rows.permissions_of(&delegate).await?.contains(Permission::DecideApprovals) {
            return Err(Error::Invalid(format!("`{}` may not decide approvals", delegate.username)));
        }
        let delegation = Delegation {
            id: DelegationId::new(now),
            user,
            delegate: new.delegate,
            reason: new.reason,
            starts_at,
            ends_at: new.ends_at,
            created_at: now,
            revoked_at: None,
        };
        let (account, subject, row) = (who.account, Subject::from(who), delegation.clone());
        let insert = self.governor.store().write(account, move |tx| {
            Box::pin(async move {
                tx.insert_delegation(&row).await?;
                tx.record(changed(account, subject, "begun", &row));
                tx.emit(Event::ConfigChanged(account));
                Ok(())
            })
        });
        match insert.await {
            Ok(()) => Ok(delegation),
            Err(preloop_store::Error::Conflict(what)) => Err(Error::Conflict(format!("there is {what} already"))),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends a delegation.
    pub async fn end_delegation(&self, who: &Principal, id: DelegationId) -> Result<Delegation> {
        let rows = self.governor.store().account(who.account);
        let missing = || Error::NotFound(format!("delegation `{id}`"));
        let delegation = rows.delegation(id).await?.ok_or_else(missing)?;
        own_or_managed(who, delegation.user)?;
        let (account, subject, row) = (who.account, Subject::from(who), delegation);
        let ended = self.governor.store().write(account, move |tx| {
            Box::pin(async move {
                let ended = tx.revoke_delegation(id).await?;
                if ended {
                    tx.record(changed(account, subject, "ended", &row));
                }
                Ok(ended)
            })
        });
        if !ended.await? {
            return Err(Error::Conflict("the delegation is over already".to_owned()));
        }
        rows.delegation(id).await?.ok_or_else(missing)
    }
}

/// That `who` may say who decides in `user`'s place: their own, or anybody's for those who manage people.
fn own_or_managed(who: &Principal, user: UserId) -> Result<UserId> {
    let own = who.user == user && who.may(Permission::DecideApprovals);
    if who.is_person() && who.impersonator.is_none() && (own || who.may(Permission::ManageUsers)) {
        return Ok(user);
    }
    Err(Error::Forbidden("only they, and those who manage users, say who decides in a person's place".to_owned()))
}

fn changed(account: AccountId, subject: Subject, action: &'static str, delegation: &Delegation) -> Entry {
    let body = Body {
        action,
        delegation: delegation.id,
        user: delegation.user,
        delegate: delegation.delegate,
        starts_at: delegation.starts_at,
        ends_at: delegation.ends_at,
        reason: delegation.reason.as_deref(),
    };
    // Strings and numbers always serialise.
    let body = to_raw_value(&body).unwrap_or_default();
    Entry { account, kind: EntryKind::DelegationChanged, call: None, subject, body, payload: None }
}
