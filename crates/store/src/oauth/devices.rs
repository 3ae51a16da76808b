use std::time::Duration;

use preloop_types::{AccountId, GrantId, Hash, Timestamp, UserId};
use uuid::Uuid;

use crate::{
    Error, Result, Store, Tx,
    db::{at, execute, fetch_optional, hash, row, unsigned},
};

/// A command line that waits for its person. Neither of its codes is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthDevice {
    /// SHA-256 of the code the command line polls with.
    pub hash: Hash,
    /// SHA-256 of the code the person types.
    pub user_code_hash: Hash,
    /// What it calls itself.
    pub client: String,
    /// Where it asked from.
    pub address: Option<String>,
    /// When it asked.
    pub created_at: Timestamp,
    /// When it is over.
    pub expires_at: Timestamp,
    /// How long it waits between two polls.
    pub interval: Duration,
    /// When it last polled.
    pub polled_at: Option<Timestamp>,
    /// Who answered, and whether with yes.
    pub answer: Option<(AccountId, UserId, bool)>,
    /// What it was exchanged for.
    pub grant: Option<GrantId>,
}

/// What a poll found.
#[expect(clippy::large_enum_variant, reason = "made once a poll, and taken apart at once")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolledDevice {
    /// As it is now.
    Found(OAuthDevice),
    /// It polls faster than it was told to, and has to wait longer from now on.
    TooFast,
    /// There is none.
    Unknown,
}

row! {
    struct DeviceRow {
        hash: Vec<u8>, user_code_hash: Vec<u8>, client: String, address: Option<String>, created_at: i64,
        expires_at: i64, interval_seconds: i64, polled_at: Option<i64>, account_id: Option<Uuid>,
        user_id: Option<Uuid>, approved: Option<bool>, grant_id: Option<Uuid>,
    }
}

impl DeviceRow {
    fn into_device(self) -> Result<OAuthDevice> {
        let answer = match (self.account_id, self.user_id, self.approved) {
            (Some(account), Some(user), Some(approved)) => Some((AccountId(account), UserId(user), approved)),
            (None, None, None) => None,
            _ => return Err(Error::Damaged("half an answer to a command line".to_owned())),
        };
        Ok(OAuthDevice {
            hash: hash(&self.hash)?,
            user_code_hash: hash(&self.user_code_hash)?,
            client: self.client,
            address: self.address,
            created_at: at(self.created_at),
            expires_at: at(self.expires_at),
            interval: Duration::from_secs(unsigned(self.interval_seconds)?),
            polled_at: self.polled_at.map(at),
            answer,
            grant: self.grant_id.map(GrantId),
        })
    }
}

/// A command line that polls faster than it was told to waits this much longer from then on
/// (RFC 8628 section 3.5).
const SLOWER_BY_SECONDS: i64 = 5;

impl Store {
    /// The waiting command line whose person types the code of that hash. Unscoped: it belongs to nobody
    /// yet.
    pub async fn oauth_device(&self, user_code: &Hash) -> Result<Option<OAuthDevice>> {
        let mut reader = self.reader().await?;
        let mut conn = reader.conn();
        let sql = "SELECT * FROM oauth_devices WHERE user_code_hash = $1";
        fetch_optional!(conn, DeviceRow, sql, &user_code.0[..])?.map(DeviceRow::into_device).transpose()
    }

    /// Adds a command line that waits, unless there are `max` of them; those that are over are forgotten.
    pub async fn insert_oauth_device(&self, device: OAuthDevice, max: u32) -> Result<bool> {
        self.write_any(move |tx| {
            Box::pin(async move {
                let now = tx.now().micros();
                execute!(tx.conn, "DELETE FROM oauth_devices WHERE expires_at < $1", now)?;
                let sql = "INSERT INTO oauth_devices (hash, user_code_hash, client, address, created_at, expires_at, \
                           interval_seconds) SELECT $1, $2, $3, $4, $5, $6, $7 \
                           WHERE (SELECT count(*) FROM oauth_devices) < $8";
                let inserted = execute!(
                    tx.conn,
                    sql,
                    &device.hash.0[..],
                    &device.user_code_hash.0[..],
                    &device.client[..],
                    device.address.as_deref(),
                    device.created_at.micros(),
                    device.expires_at.micros(),
                    i64::try_from(device.interval.as_secs()).unwrap_or(i64::MAX),
                    i64::from(max)
                )?;
                Ok(inserted > 0)
            })
        })
        .await
    }

    /// Notes a poll of the command line with the device code of that hash.
    pub async fn poll_oauth_device(&self, code: Hash) -> Result<PolledDevice> {
        self.write_any(move |tx| {
            Box::pin(async move {
                let now = tx.now();
                let sql = "SELECT * FROM oauth_devices WHERE hash = $1";
                let Some(row) = fetch_optional!(tx.conn, DeviceRow, sql, &code.0[..])? else {
                    return Ok(PolledDevice::Unknown);
                };
                let device = row.into_device()?;
                let too_fast = device.polled_at.is_some_and(|last| now.since(last) < device.interval);
                let slower = if too_fast { SLOWER_BY_SECONDS } else { 0 };
                let sql = "UPDATE oauth_devices SET polled_at = $2, interval_seconds = interval_seconds + $3 \
                           WHERE hash = $1";
                execute!(tx.conn, sql, &code.0[..], now.micros(), slower)?;
                Ok(if too_fast { PolledDevice::TooFast } else { PolledDevice::Found(device) })
            })
        })
        .await
    }
}

impl Tx<'_> {
    /// Somebody of this account answers a command line; false if it is over, or was answered.
    pub async fn answer_oauth_device(&mut self, user_code: &Hash, user: UserId, approved: bool) -> Result<bool> {
        self.user(user).await?.ok_or(Error::NotFound)?;
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "UPDATE oauth_devices SET account_id = $2, user_id = $3, approved = $4 \
                   WHERE user_code_hash = $1 AND approved IS NULL AND expires_at > $5";
        Ok(execute!(self.conn, sql, &user_code.0[..], account, user.0, approved, now)? > 0)
    }

    /// Exchanges a device code that somebody of this account approved for `grant`, which need not exist
    /// yet. Of many at once one succeeds.
    pub async fn redeem_oauth_device(&mut self, code: &Hash, grant: GrantId) -> Result<bool> {
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "UPDATE oauth_devices SET grant_id = $3 \
                   WHERE account_id = $1 AND hash = $2 AND approved AND grant_id IS NULL AND expires_at > $4";
        Ok(execute!(self.conn, sql, account, &code.0[..], grant.0, now)? > 0)
    }
}
