use std::collections::HashMap;

use preloop_types::{Role, Team, TeamId, Timestamp, UserId};
use uuid::Uuid;

use crate::{
    Error, GrantedRole, Result, Tx, View,
    db::{at, execute, fetch_all, found, row},
    users::RoleRow,
};

row! {
    struct TeamRow { id: Uuid, name: String, description: Option<String>, created_at: i64, updated_at: i64 }
}

/// Somebody in a team.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// Who.
    pub user: UserId,
    /// Who put them there.
    pub added_by: Option<UserId>,
    /// When.
    pub added_at: Timestamp,
}

impl View<'_> {
    /// Every team with its members, by name.
    pub async fn teams(&mut self) -> Result<Vec<Team>> {
        let account = self.account().0;
        let sql = "SELECT * FROM teams WHERE account_id = $1 ORDER BY name";
        let rows = fetch_all!(self.conn, TeamRow, sql, account)?;
        let sql = "SELECT team_id, user_id FROM team_members WHERE account_id = $1 ORDER BY added_at, user_id";
        let mut members: HashMap<Uuid, Vec<UserId>> = HashMap::new();
        for (team, user) in fetch_all!(self.conn, (Uuid, Uuid), sql, account)? {
            members.entry(team).or_default().push(UserId(user));
        }
        let team = |row: TeamRow| Team {
            members: members.remove(&row.id).unwrap_or_default(),
            id: TeamId(row.id),
            name: row.name,
            description: row.description,
            created_at: at(row.created_at),
            updated_at: at(row.updated_at),
        };
        Ok(rows.into_iter().map(team).collect())
    }

    /// One team with its members.
    pub async fn team(&mut self, id: TeamId) -> Result<Option<Team>> {
        Ok(self.teams().await?.into_iter().find(|team| team.id == id))
    }

    /// Who is in a team since when, in that order.
    pub async fn team_members(&mut self, id: TeamId) -> Result<Vec<Membership>> {
        let account = self.account().0;
        let sql = "SELECT user_id, added_by, added_at FROM team_members WHERE account_id = $1 AND team_id = $2 \
                   ORDER BY added_at, user_id";
        let rows = fetch_all!(self.conn, (Uuid, Option<Uuid>, i64), sql, account, id.0)?;
        let member = |(user, by, added): (Uuid, Option<Uuid>, i64)| Membership {
            user: UserId(user),
            added_by: by.map(UserId),
            added_at: at(added),
        };
        Ok(rows.into_iter().map(member).collect())
    }

    /// The roles a team gives its members.
    pub async fn team_roles(&mut self, id: TeamId) -> Result<Vec<GrantedRole>> {
        let account = self.account().0;
        let sql = "SELECT role, granted_by, granted_at FROM team_roles WHERE account_id = $1 AND team_id = $2 \
                   ORDER BY granted_at, role";
        fetch_all!(self.conn, RoleRow, sql, account, id.0)?.into_iter().map(RoleRow::into_role).collect()
    }
}

impl Tx<'_> {
    /// Adds a team, without members.
    pub async fn insert_team(&mut self, team: &Team) -> Result<()> {
        self.keys_changed();
        let account = self.account().0;
        let sql = "INSERT INTO teams (account_id, id, name, description, created_at, updated_at) \
                   VALUES ($1, $2, $3, $4, $5, $6)";
        let (created, updated) = (team.created_at.micros(), team.updated_at.micros());
        execute!(self.conn, sql, account, team.id.0, &team.name[..], team.description.as_deref(), created, updated)?;
        Ok(())
    }

    /// Replaces a team's name and description.
    pub async fn update_team(&mut self, team: &Team) -> Result<()> {
        self.keys_changed();
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "UPDATE teams SET name = $3, description = $4, updated_at = $5 WHERE account_id = $1 AND id = $2";
        found(execute!(self.conn, sql, account, team.id.0, &team.name[..], team.description.as_deref(), now)?)
    }

    /// Removes a team.
    pub async fn delete_team(&mut self, id: TeamId) -> Result<()> {
        self.keys_changed();
        let account = self.account().0;
        found(execute!(self.conn, "DELETE FROM teams WHERE account_id = $1 AND id = $2", account, id.0)?)
    }

    /// Puts a person in a team; false if they are in it.
    pub async fn add_team_member(&mut self, team: TeamId, user: UserId, by: Option<UserId>) -> Result<bool> {
        self.keys_changed();
        self.team(team).await?.ok_or(Error::NotFound)?;
        self.user(user).await?.ok_or(Error::NotFound)?;
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "INSERT INTO team_members (account_id, team_id, user_id, added_by, added_at) \
                   VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
        Ok(execute!(self.conn, sql, account, team.0, user.0, by.map(|by| by.0), now)? > 0)
    }

    /// Takes a person out of a team; false if they are not in it.
    pub async fn remove_team_member(&mut self, team: TeamId, user: UserId) -> Result<bool> {
        self.keys_changed();
        let account = self.account().0;
        let sql = "DELETE FROM team_members WHERE account_id = $1 AND team_id = $2 AND user_id = $3";
        Ok(execute!(self.conn, sql, account, team.0, user.0)? > 0)
    }

    /// Gives a team's members a role; false if they have it.
    pub async fn grant_team_role(&mut self, team: TeamId, role: Role, by: Option<UserId>) -> Result<bool> {
        self.keys_changed();
        self.team(team).await?.ok_or(Error::NotFound)?;
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "INSERT INTO team_roles (account_id, team_id, role, granted_by, granted_at) \
                   VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
        Ok(execute!(self.conn, sql, account, team.0, role.as_str(), by.map(|by| by.0), now)? > 0)
    }

    /// Takes a role from a team's members; false if they do not have it.
    pub async fn revoke_team_role(&mut self, team: TeamId, role: Role) -> Result<bool> {
        self.keys_changed();
        let account = self.account().0;
        let sql = "DELETE FROM team_roles WHERE account_id = $1 AND team_id = $2 AND role = $3";
        Ok(execute!(self.conn, sql, account, team.0, role.as_str())? > 0)
    }
}
