//! Invitations to join an account. The secret in the link is never stored.

use preloop_types::{Hash, InvitationId, Role, TeamId, Timestamp, UserId};
use uuid::Uuid;

use crate::{
    Result, Tx, View,
    db::{at, execute, fetch_all, fetch_optional, found, from_json, hash, json, micros, row},
};

/// An invitation to join an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Its id.
    pub id: InvitationId,
    /// Who is invited.
    pub email: String,
    /// The roles they will have.
    pub roles: Vec<Role>,
    /// The teams they will be in.
    pub teams: Vec<TeamId>,
    /// Who invited them.
    pub invited_by: UserId,
    /// SHA-256 of the secret in the link.
    pub token: Hash,
    /// When the link ends.
    pub expires_at: Timestamp,
    /// When it was followed.
    pub accepted_at: Option<Timestamp>,
    /// Who they became.
    pub accepted_by: Option<UserId>,
    /// When it was withdrawn.
    pub cancelled_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last sent.
    pub updated_at: Timestamp,
}

/// Where an invitation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvitationState {
    /// It can be followed.
    Pending,
    /// It was.
    Accepted,
    /// It was not in time.
    Expired,
    /// It was withdrawn.
    Cancelled,
}

impl InvitationState {
    /// The spelling in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            InvitationState::Pending => "pending",
            InvitationState::Accepted => "accepted",
            InvitationState::Expired => "expired",
            InvitationState::Cancelled => "cancelled",
        }
    }
}

impl Invitation {
    /// Where it stands at `now`.
    pub fn state(&self, now: Timestamp) -> InvitationState {
        match (self.accepted_at, self.cancelled_at) {
            (Some(_), _) => InvitationState::Accepted,
            (None, Some(_)) => InvitationState::Cancelled,
            (None, None) if self.expires_at <= now => InvitationState::Expired,
            (None, None) => InvitationState::Pending,
        }
    }
}

row! {
    struct InvitationRow {
        id: Uuid, email: String, roles: String, teams: String, invited_by: Uuid, token_hash: Vec<u8>, expires_at: i64,
        accepted_at: Option<i64>, accepted_by: Option<Uuid>, cancelled_at: Option<i64>, created_at: i64,
        updated_at: i64,
    }
}

impl InvitationRow {
    fn into_invitation(self) -> Result<Invitation> {
        Ok(Invitation {
            id: InvitationId(self.id),
            email: self.email,
            roles: from_json(&self.roles)?,
            teams: from_json(&self.teams)?,
            invited_by: UserId(self.invited_by),
            token: hash(&self.token_hash)?,
            expires_at: at(self.expires_at),
            accepted_at: self.accepted_at.map(at),
            accepted_by: self.accepted_by.map(UserId),
            cancelled_at: self.cancelled_at.map(at),
            created_at: at(self.created_at),
            updated_at: at(self.updated_at),
        })
    }
}

impl View<'_> {
    /// Invitations, newest first.
    pub async fn invitations(&mut self) -> Result<Vec<Invitation>> {
        let account = self.account().0;
        let sql = "SELECT * FROM invitations WHERE account_id = $1 ORDER BY created_at DESC, id DESC";
        fetch_all!(self.conn, InvitationRow, sql, account)?.into_iter().map(InvitationRow::into_invitation).collect()
    }

    /// One invitation.
    pub async fn invitation(&mut self, id: InvitationId) -> Result<Option<Invitation>> {
        let account = self.account().0;
        let sql = "SELECT * FROM invitations WHERE account_id = $1 AND id = $2";
        fetch_optional!(self.conn, InvitationRow, sql, account, id.0)?.map(InvitationRow::into_invitation).transpose()
    }
}

impl Tx<'_> {
    /// Adds an invitation.
    pub async fn insert_invitation(&mut self, new: &Invitation) -> Result<()> {
        let account = self.account().0;
        let sql = "INSERT INTO invitations (account_id, id, email, roles, teams, invited_by, token_hash, expires_at, \
                   created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        execute!(
            self.conn,
            sql,
            account,
            new.id.0,
            &new.email[..],
            json(&new.roles)?,
            json(&new.teams)?,
            new.invited_by.0,
            &new.token.0[..],
            new.expires_at.micros(),
            new.created_at.micros(),
            new.updated_at.micros()
        )?;
        Ok(())
    }

    /// Replaces an invitation's link and what became of it.
    pub async fn update_invitation(&mut self, invitation: &Invitation) -> Result<()> {
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "UPDATE invitations SET token_hash = $3, expires_at = $4, cancelled_at = $5, updated_at = $6 \
                   WHERE account_id = $1 AND id = $2";
        let (token, expires) = (&invitation.token.0[..], invitation.expires_at.micros());
        let cancelled = micros(invitation.cancelled_at);
        found(execute!(self.conn, sql, account, invitation.id.0, token, expires, cancelled, now)?)
    }

    /// Notes that a person followed an invitation's link; false if it was withdrawn, or another link was made
    /// since. An invitation that is not kept here is the link alone.
    pub async fn follow_invitation(&mut self, id: InvitationId, token: &Hash, user: UserId) -> Result<bool> {
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "UPDATE invitations SET accepted_at = $4, accepted_by = $5, updated_at = $4 WHERE account_id = $1 \
                   AND id = $2 AND token_hash = $3 AND accepted_at IS NULL AND cancelled_at IS NULL";
        let followed = execute!(self.conn, sql, account, id.0, &token.0[..], now, user.0)? > 0;
        Ok(followed || self.invitation(id).await?.is_none())
    }
}
