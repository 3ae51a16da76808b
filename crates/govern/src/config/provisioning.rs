//! People and teams as a directory wants them (SCIM).
//!
//! The same rules hold as for people who change people: nobody above whoever made the directory's
//! key is touched, and an owner stays.

use std::collections::BTreeSet;

use preloop_store::Tx;
use preloop_types::{Principal, Team, TeamId, User, UserId, UserSource};

use super::{
    Config, ConfigError, Result, limits,
    people::{Shown, not_above, username},
    record::{Actor, What},
    roles, teams,
};

/// A person as a directory wants them.
#[derive(Debug, Clone, Default)]
pub struct ProvisionedUser {
    /// What they sign in with.
    pub username: String,
    /// What the directory calls them.
    pub external_id: Option<String>,
    /// Where mail goes; the directory vouches for it.
    pub email: Option<String>,
    /// Display name.
    pub full_name: Option<String>,
    /// Whether they may come in.
    pub is_active: bool,
}

/// Longest id a directory has for somebody.
const EXTERNAL_MAX: usize = 255;

impl Config {
    /// Adds a person, or takes up one again that the directory had given up.
    pub async fn provision_user(&self, who: &Principal, wanted: ProvisionedUser) -> Result<User> {
        let (by, who) = (Actor::from(who), who.clone());
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let given_up = tx.unprovisioned_users().await?;
                let users = tx.users().await?;
                let same = users.into_iter().find(|user| user.username.eq_ignore_ascii_case(&wanted.username));
                if let Some(old) = same {
                    if !given_up.contains(&old.id) {
                        return Err(ConfigError::Refused(format!("a user named `{}` already exists", old.username)));
                    }
                    tx.set_unprovisioned(old.id, false).await?;
                    return put(tx, by, &who, old, wanted).await;
                }
                limits::room("people", tx.users().await?.len(), limits::PEOPLE_MAX)?;
                let now = tx.now();
                let blank = User::new(UserId::new(now), username(&wanted.username)?, now);
                let user = User { source: UserSource::Scim, ..changed(blank, wanted)? };
                tx.insert_user(&user).await?;
                by.changed(tx, What::User, (user.id.0, &user.username), None::<&Shown<'_>>, Some(&Shown::from(&user)));
                Ok(user)
            })
        })
        .await
    }

    /// Makes a person what the directory wants. Whoever may no longer come in is out at once.
    pub async fn update_provisioned_user(&self, who: &Principal, id: UserId, wanted: ProvisionedUser) -> Result<User> {
        let (by, who) = (Actor::from(who), who.clone());
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let old = provisioned(tx, id).await?;
                put(tx, by, &who, old, wanted).await
            })
        })
        .await
    }

    /// The directory gives a person up: they are out at once and it does not see them any more. What
    /// they decided stays theirs.
    pub async fn unprovision_user(&self, who: &Principal, id: UserId) -> Result<()> {
        let (by, who) = (Actor::from(who), who.clone());
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let old = provisioned(tx, id).await?;
                let wanted = ProvisionedUser {
                    username: old.username.clone(),
                    external_id: None,
                    email: old.email.clone(),
                    full_name: old.full_name.clone(),
                    is_active: false,
                };
                put(tx, by, &who, old, wanted).await?;
                Ok(tx.set_unprovisioned(id, true).await?)
            })
        })
        .await
    }

    /// Makes a team with these members.
    pub async fn provision_team(&self, who: &Principal, name: String, members: Vec<UserId>) -> Result<Team> {
        let team = self.create_team(who, teams::NewTeam { name, description: None }).await?;
        self.update_provisioned_team(who, team.id, team.name, members).await
    }

    /// Gives a team this name and exactly these members.
    pub async fn update_provisioned_team(
        &self,
        who: &Principal,
        id: TeamId,
        name: String,
        members: Vec<UserId>,
    ) -> Result<Team> {
        let change = teams::TeamChange { name: Some(name), description: None };
        let team = self.update_team(who, id, change).await?;
        let (by, who) = (Actor::from(who), who.clone());
        self.change(who.account, move |tx| {
            Box::pin(async move {
                roles::covers_team(tx, &who, &team).await?;
                let users = tx.users().await?;
                let had: BTreeSet<_> = team.members.iter().copied().collect();
                let wanted: BTreeSet<_> = members.into_iter().collect();
                for id in had.symmetric_difference(&wanted) {
                    let user = users.iter().find(|user| user.id == *id);
                    let user =
                        user.ok_or_else(|| ConfigError::invalid("members", format!("there is no user `{id}`")))?;
                    let member = (*id, &user.username[..]);
                    if wanted.contains(id) {
                        teams::join(tx, by, &team, member, None).await?;
                    } else {
                        teams::leave(tx, by, &team, member).await?;
                    }
                }
                roles::an_owner_stays(tx).await?;
                tx.team(id).await?.ok_or(ConfigError::NotFound("team"))
            })
        })
        .await
    }
}

/// A person the directory sees.
async fn provisioned(tx: &mut Tx<'_>, id: UserId) -> Result<User> {
    let user = tx.user(id).await?.ok_or(ConfigError::NotFound("user"))?;
    if tx.unprovisioned_users().await?.contains(&id) {
        return Err(ConfigError::NotFound("user"));
    }
    Ok(user)
}

async fn put(tx: &mut Tx<'_>, by: Actor, who: &Principal, old: User, wanted: ProvisionedUser) -> Result<User> {
    not_above(tx, who, &old).await?;
    let mut new = changed(old.clone(), wanted)?;
    if new == old {
        return Ok(new);
    }
    new.updated_at = tx.now();
    tx.update_user(&new).await?;
    by.changed(tx, What::User, (new.id.0, &new.username), Some(&Shown::from(&old)), Some(&Shown::from(&new)));
    if old.is_active && !new.is_active {
        if new.id == who.user {
            return Err(ConfigError::Refused(
                "the directory's key belongs to this person; give the directory another key first".to_owned(),
            ));
        }
        tx.end_grants_of(new.id, None, "deactivated").await?;
        roles::an_owner_stays(tx).await?;
    }
    Ok(new)
}

fn changed(mut user: User, wanted: ProvisionedUser) -> Result<User> {
    if user.username != wanted.username {
        user.username = username(&wanted.username)?;
    }
    user.email_verified = wanted.email.is_some();
    user.email = wanted.email.map(|email| limits::email("emails", &email)).transpose()?;
    user.full_name = wanted.full_name.map(|name| limits::named("name", &name, 200)).transpose()?;
    user.is_active = wanted.is_active;
    // Whoever signs in elsewhere is known there by another id.
    if matches!(user.source, UserSource::Local | UserSource::Scim) {
        let external = wanted.external_id.map(|id| limits::named("externalId", &id, EXTERNAL_MAX)).transpose()?;
        user.source = if external.is_some() { UserSource::Scim } else { user.source };
        user.external_id = external;
    }
    Ok(user)
}
