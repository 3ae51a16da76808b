//! What a person is told by: preferences, devices, and the codes that register one.

use std::time::Duration;

use preloop_types::{AccountId, DeviceId, Hash, KeyId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Error, Result, Store, Tx, View,
    db::{at, execute, fetch_all, fetch_optional, found, row},
};

/// Most devices of one person.
const DEVICES_MAX: usize = 20;
/// A code is good for so long.
pub const DEVICE_CODE_TTL: Duration = Duration::from_mins(15);

/// What a person wants to be told by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preferences {
    /// `email` or `mobile_push`; what clients offer first.
    pub preferred_channel: String,
    /// Requests come by mail.
    pub enable_email: bool,
    /// Requests come to the person's devices.
    pub enable_push: bool,
    /// When they were first changed; absent while they are the defaults.
    pub created_at: Option<Timestamp>,
    /// When they last changed.
    pub updated_at: Option<Timestamp>,
}

impl Default for Preferences {
    fn default() -> Self {
        Self {
            preferred_channel: "email".to_owned(),
            enable_email: true,
            enable_push: false,
            created_at: None,
            updated_at: None,
        }
    }
}

/// A phone, browser or topic that one person's notices go to.
#[derive(Clone)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// Whose.
    pub user: UserId,
    /// What carries notices to it: `mobile_push`, `web_push`, `ntfy`.
    pub channel: String,
    /// `ios`, `android`, `web`, `ntfy`.
    pub platform: String,
    /// What its owner calls it.
    pub name: String,
    /// What the channel needs to reach it, as JSON. Sealed in the row.
    pub address: String,
    /// Of what tells it from others: its token, endpoint or topic.
    pub token_hash: Hash,
    /// The API key it decides with.
    pub key: Option<KeyId>,
    /// When it was registered.
    pub created_at: Timestamp,
}

row! {
    struct DeviceRow {
        id: Uuid, user_id: Uuid, channel: String, platform: String, name: String, address: Vec<u8>,
        token_hash: Vec<u8>, key_id: Option<Uuid>, created_at: i64,
    }
}

row! {
    struct PreferencesRow {
        user_id: Uuid, preferred_channel: String, enable_email: bool, enable_push: bool, created_at: i64,
        updated_at: i64,
    }
}

fn context(id: Uuid) -> String {
    format!("device/{id}")
}

impl Store {
    /// Uses a code up: whose it is, once, while it is good. Unscoped: a code comes before the account is known.
    pub async fn use_device_code(&self, code: Hash) -> Result<Option<(AccountId, UserId)>> {
        self.write_any(move |tx| {
            Box::pin(async move {
                let now = tx.now().micros();
                let sql = "UPDATE device_codes SET used_at = $2 WHERE code_hash = $1 AND used_at IS NULL \
                           AND expires_at > $2";
                if execute!(tx.conn, sql, &code.0[..], now)? == 0 {
                    return Ok(None);
                }
                let sql = "SELECT account_id, user_id FROM device_codes WHERE code_hash = $1";
                let row = fetch_optional!(tx.conn, (Uuid, Uuid), sql, &code.0[..])?;
                Ok(row.map(|(account, user)| (AccountId(account), UserId(user))))
            })
        })
        .await
    }
}

impl View<'_> {
    /// What a person wants to be told by.
    pub async fn preferences(&mut self, user: UserId) -> Result<Preferences> {
        Ok(self
            .all_preferences()
            .await?
            .into_iter()
            .find(|(whose, _)| *whose == user)
            .map(|(_, p)| p)
            .unwrap_or_default())
    }

    /// What people want to be told by, of those who ever said so.
    pub async fn all_preferences(&mut self) -> Result<Vec<(UserId, Preferences)>> {
        let account = self.account().0;
        let sql = "SELECT * FROM notification_preferences WHERE account_id = $1";
        let read = |row: PreferencesRow| {
            let preferences = Preferences {
                preferred_channel: row.preferred_channel,
                enable_email: row.enable_email,
                enable_push: row.enable_push,
                created_at: Some(at(row.created_at)),
                updated_at: Some(at(row.updated_at)),
            };
            (UserId(row.user_id), preferences)
        };
        Ok(fetch_all!(self.conn, PreferencesRow, sql, account)?.into_iter().map(read).collect())
    }

    /// The devices of one person, or of everybody, oldest first.
    pub async fn devices(&mut self, user: Option<UserId>) -> Result<Vec<Device>> {
        let account = self.account().0;
        let sql = "SELECT * FROM devices WHERE account_id = $1 AND ($2 IS NULL OR user_id = $2) \
                   ORDER BY created_at, id";
        let rows = fetch_all!(self.conn, DeviceRow, sql, account, user.map(|id| id.0))?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let sealer = self.sealer().await?;
        let open = |row: DeviceRow| {
            let address = String::from_utf8(sealer.open(&context(row.id), &row.address)?);
            Ok(Device {
                id: DeviceId(row.id),
                user: UserId(row.user_id),
                channel: row.channel,
                platform: row.platform,
                name: row.name,
                address: address.map_err(|_| Error::Unsealable)?,
                token_hash: crate::db::hash(&row.token_hash)?,
                key: row.key_id.map(KeyId),
                created_at: at(row.created_at),
            })
        };
        rows.into_iter().map(open).collect()
    }
}

impl Tx<'_> {
    /// Keeps what a person wants to be told by.
    pub async fn put_preferences(&mut self, user: UserId, preferences: &Preferences) -> Result<()> {
        self.user(user).await?.ok_or(Error::NotFound)?;
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "INSERT INTO notification_preferences (account_id, user_id, preferred_channel, enable_email, \
                   enable_push, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $6) \
                   ON CONFLICT (account_id, user_id) DO UPDATE SET preferred_channel = excluded.preferred_channel, \
                   enable_email = excluded.enable_email, enable_push = excluded.enable_push, \
                   updated_at = excluded.updated_at";
        let Preferences { preferred_channel, enable_email, enable_push, .. } = preferences;
        execute!(self.conn, sql, account, user.0, &preferred_channel[..], *enable_email, *enable_push, now)?;
        Ok(())
    }

    /// Adds a device, or brings the one its owner registered with the same token up to date; the key of
    /// what was there is returned, to be revoked.
    pub async fn put_device(&mut self, device: &Device) -> Result<Option<KeyId>> {
        self.user(device.user).await?.ok_or(Error::NotFound)?;
        let have = self.devices(Some(device.user)).await?;
        let same = |old: &&Device| old.channel == device.channel && old.token_hash == device.token_hash;
        let old = have.iter().find(same);
        if old.is_none() && have.len() >= DEVICES_MAX {
            return Err(Error::Invalid(format!("a person has at most {DEVICES_MAX} devices")));
        }
        if let Some(old) = old {
            self.delete_device(old.id).await?;
        }
        let account = self.account().0;
        let address = self.sealer().await?.seal(&context(device.id.0), device.address.as_bytes());
        let sql = "INSERT INTO devices (account_id, id, user_id, channel, platform, name, address, token_hash, key_id, \
                   created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        execute!(
            self.conn,
            sql,
            account,
            device.id.0,
            device.user.0,
            &device.channel[..],
            &device.platform[..],
            &device.name[..],
            address,
            &device.token_hash.0[..],
            device.key.map(|id| id.0),
            device.created_at.micros()
        )?;
        Ok(old.and_then(|old| old.key))
    }

    /// Removes a device; false if there is none.
    pub async fn delete_device(&mut self, id: DeviceId) -> Result<bool> {
        let account = self.account().0;
        let sql = "DELETE FROM devices WHERE account_id = $1 AND id = $2";
        Ok(execute!(self.conn, sql, account, id.0)? > 0)
    }

    /// Keeps the hash of a code that registers one device of `user`; until when it is good.
    pub async fn insert_device_code(&mut self, user: UserId, code: &Hash) -> Result<Timestamp> {
        self.user(user).await?.ok_or(Error::NotFound)?;
        let (account, now) = (self.account().0, self.now());
        let expires = now + DEVICE_CODE_TTL;
        execute!(self.conn, "DELETE FROM device_codes WHERE expires_at <= $1", now.micros())?;
        let sql = "INSERT INTO device_codes (account_id, code_hash, user_id, expires_at) VALUES ($1, $2, $3, $4)";
        found(execute!(self.conn, sql, account, &code.0[..], user.0, expires.micros())?)?;
        Ok(expires)
    }
}
