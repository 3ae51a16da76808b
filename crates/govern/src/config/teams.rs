//! Teams: who is asked together, and has roles together.

use preloop_store::Tx;
use preloop_types::{Principal, Team, TeamId, UserId};
use serde::Serialize;

use super::{
    Config, ConfigError, Patch, Result, limits,
    record::{Actor, What},
    roles,
};

/// A team to be made.
#[derive(Debug, Clone, Default)]
pub struct NewTeam {
    /// Unique in the account.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
}

/// What to change about a team.
#[derive(Debug, Clone, Default)]
pub struct TeamChange {
    /// Unique in the account.
    pub name: Option<String>,
    /// What it is for.
    pub description: Patch<String>,
}

#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    description: &'a Option<String>,
}

impl<'a> From<&'a Team> for Shown<'a> {
    fn from(team: &'a Team) -> Self {
        Shown { name: &team.name, description: &team.description }
    }
}

#[derive(Serialize)]
struct Member<'a> {
    user: UserId,
    username: &'a str,
}

impl Config {
    /// Makes a team without members.
    pub async fn create_team(&self, who: &Principal, new: NewTeam) -> Result<Team> {
        let by = Actor::from(who);
        let name = limits::name("name", &new.name)?;
        let description = description(new.description)?;
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let teams = tx.teams().await?;
                limits::room("teams", teams.len(), limits::TEAMS_MAX)?;
                unique(&teams, None, &name)?;
                let now = tx.now();
                let id = TeamId::new(now);
                let team = Team { id, name, description, members: Vec::new(), created_at: now, updated_at: now };
                tx.insert_team(&team).await?;
                by.changed(tx, What::Team, (id.0, &team.name), None::<&Shown<'_>>, Some(&Shown::from(&team)));
                Ok(team)
            })
        })
        .await
    }

    /// Changes a team's name or description.
    pub async fn update_team(&self, who: &Principal, id: TeamId, change: TeamChange) -> Result<Team> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let teams = tx.teams().await?;
                let old = teams.iter().find(|team| team.id == id).ok_or(ConfigError::NotFound("team"))?;
                let mut new = old.clone();
                if let Some(name) = change.name {
                    new.name = limits::name("name", &name)?;
                    unique(&teams, Some(id), &new.name)?;
                }
                if let Some(text) = change.description {
                    new.description = description(text)?;
                }
                if new != *old {
                    new.updated_at = tx.now();
                    tx.update_team(&new).await?;
                    by.changed(tx, What::Team, (id.0, &new.name), Some(&Shown::from(old)), Some(&Shown::from(&new)));
                }
                Ok(new)
            })
        })
        .await
    }

    /// Removes a team, and with it the roles it gave. Not while a workflow asks it.
    pub async fn delete_team(&self, who: &Principal, id: TeamId) -> Result<()> {
        let (by, who) = (Actor::from(who), who.clone());
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let team = tx.team(id).await?.ok_or(ConfigError::NotFound("team"))?;
                roles::covers_team(tx, &who, &team).await?;
                tx.delete_team(id).await?;
                roles::an_owner_stays(tx).await?;
                by.changed(tx, What::Team, (id.0, &team.name), Some(&Shown::from(&team)), None::<&Shown<'_>>);
                Ok(())
            })
        })
        .await
    }

    /// Puts a person in a team. Being in it already changes nothing.
    pub async fn add_team_member(&self, who: &Principal, id: TeamId, user: UserId) -> Result<()> {
        let (by, who) = (Actor::from(who), who.clone());
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let (team, username) = both(tx, id, user).await?;
                roles::covers_team(tx, &who, &team).await?;
                join(tx, by, &team, (user, &username), Some(who.user)).await
            })
        })
        .await
    }

    /// Takes a person out of a team.
    pub async fn remove_team_member(&self, who: &Principal, id: TeamId, user: UserId) -> Result<()> {
        let (by, who) = (Actor::from(who), who.clone());
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let (team, username) = both(tx, id, user).await?;
                roles::covers_team(tx, &who, &team).await?;
                leave(tx, by, &team, (user, &username)).await?;
                roles::an_owner_stays(tx).await
            })
        })
        .await
    }
}

/// Puts a person in a team, at the word of `added_by` or of a directory.
pub(super) async fn join(
    tx: &mut Tx<'_>,
    by: Actor,
    team: &Team,
    (user, username): (UserId, &str),
    added_by: Option<UserId>,
) -> Result<()> {
    if tx.add_team_member(team.id, user, added_by).await? {
        let member = Member { user, username };
        by.changed(tx, What::TeamMember, (team.id.0, &team.name), None::<&Member<'_>>, Some(&member));
    }
    Ok(())
}

/// Takes a person out of a team.
pub(super) async fn leave(tx: &mut Tx<'_>, by: Actor, team: &Team, (user, username): (UserId, &str)) -> Result<()> {
    if !tx.remove_team_member(team.id, user).await? {
        return Err(ConfigError::NotFound("member of this team"));
    }
    let member = Member { user, username };
    by.changed(tx, What::TeamMember, (team.id.0, &team.name), Some(&member), None::<&Member<'_>>);
    Ok(())
}

async fn both(tx: &mut Tx<'_>, team: TeamId, user: UserId) -> Result<(Team, String)> {
    let team = tx.team(team).await?.ok_or(ConfigError::NotFound("team"))?;
    let user = tx.user(user).await?.ok_or(ConfigError::NotFound("user"))?;
    Ok((team, user.username))
}

fn unique(teams: &[Team], but: Option<TeamId>, name: &str) -> Result<()> {
    if teams.iter().any(|team| Some(team.id) != but && team.name == name) {
        return Err(ConfigError::Refused(format!("a team named `{name}` already exists")));
    }
    Ok(())
}

fn description(text: Option<String>) -> Result<Option<String>> {
    let text = text.filter(|text| !text.trim().is_empty());
    text.map(|text| limits::text("description", &text, limits::TEXT_MAX)).transpose()
}
