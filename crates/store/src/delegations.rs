//! Times in which somebody else decides in a person's place.

use preloop_types::{DelegationId, Timestamp, UserId};
use uuid::Uuid;

use crate::{
    Error, Result, Tx, View,
    db::{at, execute, fetch_all, fetch_optional, row},
};

/// A time in which `delegate` may decide in `user`'s place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegation {
    /// Its id.
    pub id: DelegationId,
    /// Who is away.
    pub user: UserId,
    /// Who decides meanwhile.
    pub delegate: UserId,
    /// Why.
    pub reason: Option<String>,
    /// From when.
    pub starts_at: Timestamp,
    /// Until when.
    pub ends_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was ended by hand.
    pub revoked_at: Option<Timestamp>,
}

row! {
    struct DelegationRow {
        id: Uuid, user_id: Uuid, delegate_id: Uuid, reason: Option<String>, starts_at: i64, ends_at: i64,
        created_at: i64, revoked_at: Option<i64>,
    }
}

impl DelegationRow {
    fn into_delegation(self) -> Delegation {
        Delegation {
            id: DelegationId(self.id),
            user: UserId(self.user_id),
            delegate: UserId(self.delegate_id),
            reason: self.reason,
            starts_at: at(self.starts_at),
            ends_at: at(self.ends_at),
            created_at: at(self.created_at),
            revoked_at: self.revoked_at.map(at),
        }
    }
}

impl View<'_> {
    /// Delegations that are not over at `now`, those to come too, in the order they begin.
    pub async fn delegations(&mut self, now: Timestamp) -> Result<Vec<Delegation>> {
        let account = self.account().0;
        let sql = "SELECT * FROM delegations WHERE account_id = $1 AND ends_at > $2 AND revoked_at IS NULL \
                   ORDER BY starts_at, id";
        let rows = fetch_all!(self.conn, DelegationRow, sql, account, now.micros())?;
        Ok(rows.into_iter().map(DelegationRow::into_delegation).collect())
    }

    /// One delegation, over or not.
    pub async fn delegation(&mut self, id: DelegationId) -> Result<Option<Delegation>> {
        let account = self.account().0;
        let sql = "SELECT * FROM delegations WHERE account_id = $1 AND id = $2";
        Ok(fetch_optional!(self.conn, DelegationRow, sql, account, id.0)?.map(DelegationRow::into_delegation))
    }
}

impl Tx<'_> {
    /// Begins a delegation. A person has one at a time.
    pub async fn insert_delegation(&mut self, new: &Delegation) -> Result<()> {
        self.user(new.user).await?.ok_or(Error::NotFound)?;
        self.user(new.delegate).await?.ok_or(Error::NotFound)?;
        let (account, now) = (self.account().0, self.now());
        let overlaps = |other: &Delegation| {
            other.user == new.user && other.starts_at < new.ends_at && new.starts_at < other.ends_at
        };
        if self.delegations(now).await?.iter().any(overlaps) {
            return Err(Error::Conflict("a delegation for that time".to_owned()));
        }
        let sql = "INSERT INTO delegations (account_id, id, user_id, delegate_id, reason, starts_at, ends_at, \
                   created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        execute!(
            self.conn,
            sql,
            account,
            new.id.0,
            new.user.0,
            new.delegate.0,
            new.reason.as_deref(),
            new.starts_at.micros(),
            new.ends_at.micros(),
            new.created_at.micros()
        )?;
        Ok(())
    }

    /// Ends a delegation that holds or is to come; false if it is over.
    pub async fn revoke_delegation(&mut self, id: DelegationId) -> Result<bool> {
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "UPDATE delegations SET revoked_at = $3 \
                   WHERE account_id = $1 AND id = $2 AND revoked_at IS NULL AND ends_at > $3";
        Ok(execute!(self.conn, sql, account, id.0, now)? > 0)
    }
}
