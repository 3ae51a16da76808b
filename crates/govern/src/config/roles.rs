//! Giving and taking roles. Nobody hands out, or takes away, more than they have.

use preloop_store::{GrantedRole, Tx};
use preloop_types::{Principal, Role, Team, TeamId, User, UserId};
use serde::Serialize;
use uuid::Uuid;

use super::{
    Config, ConfigError, Result,
    people::covered,
    record::{Actor, What},
};

#[derive(Serialize)]
struct Shown<'a> {
    role: &'a str,
}

impl Shown<'static> {
    fn of(role: Role) -> Self {
        Self { role: role.as_str() }
    }
}

impl Config {
    /// Gives a person a role; all of theirs then. Having it already changes nothing.
    pub async fn grant_user_role(&self, who: &Principal, id: UserId, role: Uuid) -> Result<Vec<GrantedRole>> {
        let (by, who) = (Actor::from(who), who.clone());
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let user = tx.user(id).await?.ok_or(ConfigError::NotFound("user"))?;
                let role = known(role)?;
                handed(&who, role)?;
                grant_to_user(tx, by, &user, role).await?;
                Ok(tx.user_roles(id).await?)
            })
        })
        .await
    }

    /// Takes a role from a person; those that are left.
    pub async fn revoke_user_role(&self, who: &Principal, id: UserId, role: Uuid) -> Result<Vec<GrantedRole>> {
        let (by, who) = (Actor::from(who), who.clone());
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let user = tx.user(id).await?.ok_or(ConfigError::NotFound("user"))?;
                let role = known(role)?;
                handed(&who, role)?;
                if !tx.revoke_user_role(id, role).await? {
                    return Err(ConfigError::NotFound("role of this user"));
                }
                an_owner_stays(tx).await?;
                let what = (id.0, &user.username[..]);
                by.changed(tx, What::UserRole, what, Some(&Shown::of(role)), None::<&Shown<'_>>);
                Ok(tx.user_roles(id).await?)
            })
        })
        .await
    }

    /// Gives a team's members a role; all of the team's then.
    pub async fn grant_team_role(&self, who: &Principal, id: TeamId, role: Uuid) -> Result<Vec<GrantedRole>> {
        let (by, who) = (Actor::from(who), who.clone());
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let team = tx.team(id).await?.ok_or(ConfigError::NotFound("team"))?;
                let role = known(role)?;
                handed(&who, role)?;
                if tx.grant_team_role(id, role, Some(who.user)).await? {
                    let what = (id.0, &team.name[..]);
                    by.changed(tx, What::TeamRole, what, None::<&Shown<'_>>, Some(&Shown::of(role)));
                }
                Ok(tx.team_roles(id).await?)
            })
        })
        .await
    }

    /// Takes a role from a team's members; those that are left.
    pub async fn revoke_team_role(&self, who: &Principal, id: TeamId, role: Uuid) -> Result<Vec<GrantedRole>> {
        let (by, who) = (Actor::from(who), who.clone());
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let team = tx.team(id).await?.ok_or(ConfigError::NotFound("team"))?;
                let role = known(role)?;
                handed(&who, role)?;
                if !tx.revoke_team_role(id, role).await? {
                    return Err(ConfigError::NotFound("role of this team"));
                }
                an_owner_stays(tx).await?;
                let what = (id.0, &team.name[..]);
                by.changed(tx, What::TeamRole, what, Some(&Shown::of(role)), None::<&Shown<'_>>);
                Ok(tx.team_roles(id).await?)
            })
        })
        .await
    }
}

/// Gives a role the caller was found to be able to give.
pub(super) async fn grant_to_user(tx: &mut Tx<'_>, by: Actor, user: &User, role: Role) -> Result<()> {
    if tx.grant_user_role(user.id, role, by.subject.user).await? {
        let what = (user.id.0, &user.username[..]);
        by.changed(tx, What::UserRole, what, None::<&Shown<'_>>, Some(&Shown::of(role)));
    }
    Ok(())
}

/// These roles, if the caller may hand them out.
pub(super) fn handed_out(who: &Principal, ids: &[Uuid]) -> Result<Vec<Role>> {
    let mut roles = Vec::new();
    for id in ids {
        let role = known(*id)?;
        handed(who, role)?;
        if !roles.contains(&role) {
            roles.push(role);
        }
    }
    Ok(roles)
}

/// Being in a team, or in it no more, is worth its roles.
pub(super) async fn covers_team(tx: &mut Tx<'_>, who: &Principal, team: &Team) -> Result<()> {
    for granted in tx.team_roles(team.id).await? {
        handed(who, granted.role)?;
    }
    Ok(())
}

fn known(id: Uuid) -> Result<Role> {
    Role::from_id(id).ok_or(ConfigError::NotFound("role"))
}

fn handed(who: &Principal, role: Role) -> Result<()> {
    covered(who, role.permissions(), &format!("role `{}` allows more than you may", role.as_str()))
}

/// The last thing every change does that could leave the account to nobody.
pub(super) async fn an_owner_stays(tx: &mut Tx<'_>) -> Result<()> {
    match tx.active_owners().await? {
        0 => Err(ConfigError::Refused(
            "the account would be left without an active owner; make somebody else its owner first".to_owned(),
        )),
        _ => Ok(()),
    }
}
