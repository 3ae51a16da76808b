use preloop_types::{AccountId, Permission, PermissionSet, Role, Timestamp, User, UserId, UserSource};
use uuid::Uuid;

use crate::{
    Result, Store, Tx, View,
    db::{at, execute, fetch_all, fetch_optional, found, micros, row, unsigned, word},
};

row! {
    struct UserRow {
        id: Uuid, username: String, email: Option<String>, email_verified: bool, full_name: Option<String>,
        is_active: bool, is_superuser: bool, source: String, external_id: Option<String>, last_login_at: Option<i64>,
        created_at: i64, updated_at: i64,
    }
}

impl UserRow {
    fn into_user(self) -> Result<User> {
        Ok(User {
            id: UserId(self.id),
            username: self.username,
            email: self.email,
            email_verified: self.email_verified,
            full_name: self.full_name,
            is_active: self.is_active,
            is_superuser: self.is_superuser,
            source: word(UserSource::parse, &self.source)?,
            external_id: self.external_id,
            last_login_at: self.last_login_at.map(at),
            created_at: at(self.created_at),
            updated_at: at(self.updated_at),
        })
    }
}

/// A role somebody was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantedRole {
    /// The role.
    pub role: Role,
    /// Who gave it; nobody where it came with the account.
    pub granted_by: Option<UserId>,
    /// When.
    pub granted_at: Timestamp,
}

row! {
    pub(crate) struct RoleRow { role: String, granted_by: Option<Uuid>, granted_at: i64 }
}

impl RoleRow {
    pub(crate) fn into_role(self) -> Result<GrantedRole> {
        Ok(GrantedRole {
            role: word(Role::parse, &self.role)?,
            granted_by: self.granted_by.map(UserId),
            granted_at: at(self.granted_at),
        })
    }
}

impl Store {
    /// The account of a person. Unscoped: for whoever looks after the instance.
    pub async fn account_of(&self, id: UserId) -> Result<Option<AccountId>> {
        let mut reader = self.reader().await?;
        let mut conn = reader.conn();
        let sql = "SELECT account_id FROM users WHERE id = $1";
        Ok(fetch_optional!(conn, (Uuid,), sql, id.0)?.map(|(account,)| AccountId(account)))
    }
}

impl View<'_> {
    /// Every person, by name.
    pub async fn users(&mut self) -> Result<Vec<User>> {
        let account = self.account().0;
        let sql = "SELECT * FROM users WHERE account_id = $1 ORDER BY username";
        fetch_all!(self.conn, UserRow, sql, account)?.into_iter().map(UserRow::into_user).collect()
    }

    /// One person.
    pub async fn user(&mut self, id: UserId) -> Result<Option<User>> {
        let account = self.account().0;
        let sql = "SELECT * FROM users WHERE account_id = $1 AND id = $2";
        fetch_optional!(self.conn, UserRow, sql, account, id.0)?.map(UserRow::into_user).transpose()
    }

    /// The person the account belongs to.
    pub async fn owner(&mut self) -> Result<Option<User>> {
        let account = self.account().0;
        let sql = "SELECT u.* FROM users u JOIN accounts a ON a.id = u.account_id AND a.owner_id = u.id \
                   WHERE u.account_id = $1";
        fetch_optional!(self.conn, UserRow, sql, account)?.map(UserRow::into_user).transpose()
    }

    /// The roles a person was given directly.
    pub async fn user_roles(&mut self, id: UserId) -> Result<Vec<GrantedRole>> {
        let account = self.account().0;
        let sql = "SELECT role, granted_by, granted_at FROM user_roles WHERE account_id = $1 AND user_id = $2 \
                   ORDER BY granted_at, role";
        fetch_all!(self.conn, RoleRow, sql, account, id.0)?.into_iter().map(RoleRow::into_role).collect()
    }

    /// What a person may do: the union of their roles and their teams'. Nothing while they are inactive;
    /// everything in their own account where they look after the instance.
    pub async fn permissions_of(&mut self, user: &User) -> Result<PermissionSet> {
        if !user.is_active {
            return Ok(PermissionSet::NONE);
        }
        if user.is_superuser {
            return Ok(PermissionSet::of(Permission::ALL));
        }
        let account = self.account().0;
        let sql = "SELECT role FROM user_roles WHERE account_id = $1 AND user_id = $2 UNION \
                   SELECT r.role FROM team_roles r JOIN team_members m ON m.account_id = r.account_id \
                   AND m.team_id = r.team_id WHERE r.account_id = $1 AND m.user_id = $2";
        let mut permissions = PermissionSet::NONE;
        for (role,) in fetch_all!(self.conn, (String,), sql, account, user.id.0)? {
            permissions = permissions.union(word(Role::parse, &role)?.permissions());
        }
        Ok(permissions)
    }
}

impl Tx<'_> {
    /// Adds a person.
    pub async fn insert_user(&mut self, user: &User) -> Result<()> {
        self.keys_changed();
        let account = self.account().0;
        let sql = "INSERT INTO users (account_id, id, username, email, email_verified, full_name, is_active, \
                   is_superuser, source, external_id, last_login_at, created_at, updated_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
        execute!(
            self.conn,
            sql,
            account,
            user.id.0,
            &user.username[..],
            user.email.as_deref(),
            user.email_verified,
            user.full_name.as_deref(),
            user.is_active,
            user.is_superuser,
            user.source.as_str(),
            user.external_id.as_deref(),
            micros(user.last_login_at),
            user.created_at.micros(),
            user.updated_at.micros()
        )?;
        Ok(())
    }

    /// Replaces a person's row.
    pub async fn update_user(&mut self, user: &User) -> Result<()> {
        self.keys_changed();
        let (account, now) = (self.account().0, self.now());
        let sql = "UPDATE users SET username = $3, email = $4, email_verified = $5, full_name = $6, is_active = $7, \
                   is_superuser = $8, source = $9, external_id = $10, updated_at = $11 \
                   WHERE account_id = $1 AND id = $2";
        found(execute!(
            self.conn,
            sql,
            account,
            user.id.0,
            &user.username[..],
            user.email.as_deref(),
            user.email_verified,
            user.full_name.as_deref(),
            user.is_active,
            user.is_superuser,
            user.source.as_str(),
            user.external_id.as_deref(),
            now.micros()
        )?)
    }

    /// Says whether a person looks after the whole instance.
    pub async fn set_superuser(&mut self, id: UserId, is_superuser: bool) -> Result<()> {
        self.keys_changed();
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "UPDATE users SET is_superuser = $3, updated_at = $4 WHERE account_id = $1 AND id = $2";
        found(execute!(self.conn, sql, account, id.0, is_superuser, now)?)
    }

    /// Notes that a person signed in.
    pub async fn signed_in(&mut self, id: UserId) -> Result<()> {
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "UPDATE users SET last_login_at = $3 WHERE account_id = $1 AND id = $2";
        found(execute!(self.conn, sql, account, id.0, now)?)
    }

    /// Gives a person a role; false if they have it.
    pub async fn grant_user_role(&mut self, id: UserId, role: Role, by: Option<UserId>) -> Result<bool> {
        self.keys_changed();
        self.user(id).await?.ok_or(crate::Error::NotFound)?;
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "INSERT INTO user_roles (account_id, user_id, role, granted_by, granted_at) \
                   VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
        Ok(execute!(self.conn, sql, account, id.0, role.as_str(), by.map(|by| by.0), now)? > 0)
    }

    /// How many active people are owners, by a role of their own or of a team. Who asks next, on any node,
    /// sees what this work did.
    pub async fn active_owners(&mut self) -> Result<u64> {
        let account = self.account().0;
        execute!(self.conn, "UPDATE accounts SET owner_id = owner_id WHERE id = $1", account)?;
        let sql = "SELECT COUNT(*) FROM users u WHERE u.account_id = $1 AND u.is_active AND ( \
                   EXISTS (SELECT 1 FROM user_roles r WHERE r.account_id = u.account_id AND r.user_id = u.id \
                   AND r.role = 'owner') OR EXISTS (SELECT 1 FROM team_members m JOIN team_roles r \
                   ON r.account_id = m.account_id AND r.team_id = m.team_id WHERE m.account_id = u.account_id \
                   AND m.user_id = u.id AND r.role = 'owner'))";
        let count = fetch_optional!(self.conn, (i64,), sql, account)?;
        unsigned(count.map_or(0, |(count,)| count))
    }

    /// Takes a role from a person; false if they do not have it.
    pub async fn revoke_user_role(&mut self, id: UserId, role: Role) -> Result<bool> {
        self.keys_changed();
        let account = self.account().0;
        let sql = "DELETE FROM user_roles WHERE account_id = $1 AND user_id = $2 AND role = $3";
        Ok(execute!(self.conn, sql, account, id.0, role.as_str())? > 0)
    }
}
