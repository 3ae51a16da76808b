//! Invitations: somebody joins the account by a link, with roles and teams chosen for them.
//!
//! The link's secret is handed over once, to whoever invites; only its hash is kept.

use std::time::Duration;

use preloop_store::{Invitation, InvitationState, NewOneTime, Tx};
use preloop_types::{Hash, InvitationId, Invited, OneTimePurpose, Principal, Role, TeamId};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use uuid::Uuid;

use super::{
    Config, ConfigError, MintedKey, Result, limits,
    record::{Actor, What},
    roles,
};
use crate::{Alert, Message, Notice, Recipient};

/// How long an invitation can be followed.
const INVITATION: Duration = Duration::from_hours(24 * 7);

/// How an invitation reaches whoever is invited.
#[derive(Debug, Clone)]
pub struct Post {
    /// Where people reach this instance, without a slash at the end.
    pub public_url: String,
    /// Whether mail can be sent.
    pub mail: bool,
}

impl Post {
    /// The link that leads to the page where somebody joins.
    pub fn link(&self, secret: &SecretString) -> String {
        format!("{}/accept-invitation?token={}", self.public_url, secret.expose_secret())
    }
}

/// Somebody to be invited.
#[derive(Debug, Clone, Default)]
pub struct NewInvitation {
    /// Their address.
    pub email: String,
    /// The roles they will have, by id.
    pub roles: Vec<Uuid>,
    /// The teams they will be in.
    pub teams: Vec<TeamId>,
}

#[derive(Serialize)]
struct Shown<'a> {
    email: &'a str,
    roles: Vec<&'static str>,
    teams: &'a [TeamId],
    cancelled: bool,
}

impl<'a> From<&'a Invitation> for Shown<'a> {
    fn from(invitation: &'a Invitation) -> Self {
        Shown {
            email: &invitation.email,
            roles: invitation.roles.iter().copied().map(Role::as_str).collect(),
            teams: &invitation.teams,
            cancelled: invitation.cancelled_at.is_some(),
        }
    }
}

impl Config {
    /// Invites somebody. They get no more than the caller may give.
    pub async fn invite(&self, who: &Principal, new: NewInvitation, post: Post) -> Result<(Invitation, SecretString)> {
        let (by, caller) = (Actor::from(who), who.clone());
        let email = limits::email("email", &new.email)?;
        let roles = roles::handed_out(who, &new.roles)?;
        let secret = MintedKey::with_prefix("plt_").secret;
        let token = Hash::of(secret.expose_secret());
        let link = post.link(&secret);
        let invitation = self
            .change(who.account, move |tx| {
                Box::pin(async move {
                    let now = tx.now();
                    let all = tx.invitations().await?;
                    let open = all.iter().filter(|invitation| invitation.state(now) == InvitationState::Pending);
                    limits::room("open invitations", open.count(), limits::INVITATIONS_MAX)?;
                    let same = |address: &str| address.eq_ignore_ascii_case(&email);
                    if tx.users().await?.iter().any(|user| user.email.as_deref().is_some_and(same)) {
                        return Err(ConfigError::Refused(format!(
                            "`{email}` belongs to a user of this account already"
                        )));
                    }
                    for invitation in &all {
                        if invitation.state(now) == InvitationState::Pending && same(&invitation.email) {
                            let message = format!("`{email}` is invited already; resend or cancel that invitation");
                            return Err(ConfigError::Refused(message));
                        }
                    }
                    for team in &new.teams {
                        let team = tx.team(*team).await?.ok_or(ConfigError::NotFound("team"))?;
                        roles::covers_team(tx, &caller, &team).await?;
                    }
                    let invitation = Invitation {
                        id: InvitationId::new(now),
                        email,
                        roles,
                        teams: new.teams,
                        invited_by: caller.user,
                        token,
                        expires_at: now + INVITATION,
                        accepted_at: None,
                        accepted_by: None,
                        cancelled_at: None,
                        created_at: now,
                        updated_at: now,
                    };
                    tx.insert_invitation(&invitation).await?;
                    send(tx, &invitation, &caller.username, &post, &link).await?;
                    let (what, shown) = ((invitation.id.0, &invitation.email[..]), Shown::from(&invitation));
                    by.changed(tx, What::Invitation, what, None::<&Shown<'_>>, Some(&shown));
                    Ok(invitation)
                })
            })
            .await?;
        Ok((invitation, secret))
    }

    /// Makes a new link for an invitation that was not followed; the one before leads nowhere then.
    pub async fn renew_invitation(
        &self,
        who: &Principal,
        id: InvitationId,
        post: Post,
    ) -> Result<(Invitation, SecretString)> {
        let (by, who) = (Actor::from(who), who.clone());
        let secret = MintedKey::with_prefix("plt_").secret;
        let token = Hash::of(secret.expose_secret());
        let link = post.link(&secret);
        let renewed = self.change(who.account, move |tx| {
            Box::pin(async move {
                let now = tx.now();
                let old = tx.invitation(id).await?.ok_or(ConfigError::NotFound("invitation"))?;
                open(&old, old.state(now))?;
                // As if invited anew: by whoever can still give that much.
                let ids: Vec<Uuid> = old.roles.iter().copied().map(Role::id).collect();
                roles::handed_out(&who, &ids)?;
                let new = Invitation { token, expires_at: now + INVITATION, updated_at: now, ..old.clone() };
                tx.update_invitation(&new).await?;
                send(tx, &new, &who.username, &post, &link).await?;
                let what = (id.0, &new.email[..]);
                by.changed(tx, What::Invitation, what, Some(&Shown::from(&old)), Some(&Shown::from(&new)));
                Ok(new)
            })
        });
        Ok((renewed.await?, secret))
    }

    /// Withdraws an invitation that was not followed.
    pub async fn cancel_invitation(&self, who: &Principal, id: InvitationId) -> Result<()> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let now = tx.now();
                let old = tx.invitation(id).await?.ok_or(ConfigError::NotFound("invitation"))?;
                if old.state(now) == InvitationState::Cancelled {
                    return Ok(());
                }
                open(&old, old.state(now))?;
                let new = Invitation { cancelled_at: Some(now), ..old.clone() };
                tx.update_invitation(&new).await?;
                let what = (id.0, &new.email[..]);
                by.changed(tx, What::Invitation, what, Some(&Shown::from(&old)), None::<&Shown<'_>>);
                Ok(())
            })
        })
        .await
    }
}

/// The link works from here on, and is mailed where mail can be sent.
async fn send(tx: &mut Tx<'_>, invitation: &Invitation, by: &str, post: &Post, link: &str) -> Result<()> {
    let invited = Invited {
        invitation: invitation.id,
        by: invitation.invited_by,
        roles: invitation.roles.clone(),
        teams: invitation.teams.clone(),
    };
    tx.insert_one_time(&NewOneTime {
        hash: invitation.token,
        purpose: OneTimePurpose::Invitation,
        user: None,
        email: Some(invitation.email.clone()),
        data: Some(serde_json::to_string(&invited).unwrap_or_default()),
        expires_at: invitation.expires_at,
    })
    .await?;
    if post.mail {
        let alert = Alert {
            subject: "You are invited to Preloop".to_owned(),
            text: format!(
                "{by} invites you to an account on Preloop at {}.\n\nTo join, choose a name and a password here:\n{link}\n\n\
                 The link works once, until {}. If you expected no invitation, do nothing.",
                post.public_url, invitation.expires_at
            ),
        };
        let to = Recipient::email(invitation.email.clone(), None);
        tx.enqueue(&Notice { to, what: Message::Alert(alert) }.delivery(tx.now())).await?;
    }
    Ok(())
}

fn open(invitation: &Invitation, state: InvitationState) -> Result<()> {
    match state {
        InvitationState::Pending | InvitationState::Expired => Ok(()),
        InvitationState::Accepted | InvitationState::Cancelled => {
            Err(ConfigError::Refused(format!("the invitation of `{}` is already {}", invitation.email, state.as_str())))
        }
    }
}
