//! Second factors: authenticator apps, recovery codes, passkeys.

use preloop_types::{AccountId, Hash, PasskeyId, Timestamp, UserId};
use uuid::Uuid;

use crate::{
    Error, Result, Store, Tx, View,
    db::{at, execute, fetch_all, fetch_optional, found, row},
};

/// A person's authenticator app.
#[derive(Clone)]
pub struct Totp {
    /// The shared secret.
    pub secret: Vec<u8>,
    /// When its first code was seen; it does not count before.
    pub confirmed_at: Option<Timestamp>,
    /// The last step whose code was taken.
    pub last_step: i64,
}

/// A public key whose private half an authenticator holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passkey {
    /// Its id here.
    pub id: PasskeyId,
    /// Whose.
    pub user: UserId,
    /// What its owner calls it.
    pub name: String,
    /// Its id at the authenticator.
    pub credential_id: Vec<u8>,
    /// How it signs (COSE).
    pub algorithm: i64,
    /// The public key.
    pub public_key: Vec<u8>,
    /// How often it signed, by its own account; 0 where it does not count.
    pub sign_count: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last signed somebody in.
    pub last_used_at: Option<Timestamp>,
}

row! {
    struct TotpRow { secret: Vec<u8>, confirmed_at: Option<i64>, last_step: i64 }
}

row! {
    struct PasskeyRow {
        id: Uuid, user_id: Uuid, name: String, credential_id: Vec<u8>, algorithm: i64, public_key: Vec<u8>,
        sign_count: i64, created_at: i64, last_used_at: Option<i64>,
    }
}

impl PasskeyRow {
    fn into_passkey(self) -> Result<Passkey> {
        let count = u32::try_from(self.sign_count);
        Ok(Passkey {
            id: PasskeyId(self.id),
            user: UserId(self.user_id),
            name: self.name,
            credential_id: self.credential_id,
            algorithm: self.algorithm,
            public_key: self.public_key,
            sign_count: count.map_err(|_| Error::Damaged("a passkey's counter".to_owned()))?,
            created_at: at(self.created_at),
            last_used_at: self.last_used_at.map(at),
        })
    }
}

fn context(user: UserId) -> String {
    format!("totp/{user}")
}

impl Store {
    /// The account of a passkey. Unscoped: a credential comes before the account is known.
    pub async fn account_of_passkey(&self, credential_id: &[u8]) -> Result<Option<AccountId>> {
        let mut reader = self.reader().await?;
        let mut conn = reader.conn();
        let sql = "SELECT account_id FROM passkeys WHERE credential_id = $1";
        Ok(fetch_optional!(conn, (Uuid,), sql, credential_id)?.map(|(id,)| AccountId(id)))
    }
}

impl View<'_> {
    /// A person's authenticator app, confirmed or not.
    pub async fn totp(&mut self, user: UserId) -> Result<Option<Totp>> {
        let account = self.account().0;
        let sql = "SELECT secret, confirmed_at, last_step FROM totp WHERE account_id = $1 AND user_id = $2";
        let Some(row) = fetch_optional!(self.conn, TotpRow, sql, account, user.0)? else { return Ok(None) };
        let secret = self.sealer().await?.open(&context(user), &row.secret)?;
        Ok(Some(Totp { secret, confirmed_at: row.confirmed_at.map(at), last_step: row.last_step }))
    }

    /// How many recovery codes a person has left.
    pub async fn recovery_codes_left(&mut self, user: UserId) -> Result<usize> {
        let account = self.account().0;
        let sql = "SELECT hash FROM recovery_codes WHERE account_id = $1 AND user_id = $2 AND used_at IS NULL";
        Ok(fetch_all!(self.conn, (Vec<u8>,), sql, account, user.0)?.len())
    }

    /// A person's passkeys, oldest first.
    pub async fn passkeys(&mut self, user: UserId) -> Result<Vec<Passkey>> {
        let account = self.account().0;
        let sql = "SELECT * FROM passkeys WHERE account_id = $1 AND user_id = $2 ORDER BY id";
        let rows = fetch_all!(self.conn, PasskeyRow, sql, account, user.0)?;
        rows.into_iter().map(PasskeyRow::into_passkey).collect()
    }

    /// The passkey that an authenticator calls `credential_id`.
    pub async fn passkey(&mut self, credential_id: Vec<u8>) -> Result<Option<Passkey>> {
        let account = self.account().0;
        let sql = "SELECT * FROM passkeys WHERE account_id = $1 AND credential_id = $2";
        let row = fetch_optional!(self.conn, PasskeyRow, sql, account, credential_id)?;
        row.map(PasskeyRow::into_passkey).transpose()
    }
}

impl Tx<'_> {
    /// Gives a person an authenticator app that is yet to be confirmed; false if a confirmed one is there.
    pub async fn put_totp(&mut self, user: UserId, secret: &[u8]) -> Result<bool> {
        let (account, now) = (self.account().0, self.now().micros());
        let sealed = self.sealer().await?.seal(&context(user), secret);
        let sql = "INSERT INTO totp (account_id, user_id, secret, created_at) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (account_id, user_id) DO UPDATE SET secret = excluded.secret, \
                   created_at = excluded.created_at, last_step = 0 WHERE totp.confirmed_at IS NULL";
        Ok(execute!(self.conn, sql, account, user.0, sealed, now)? > 0)
    }

    /// Takes the code of `step`; false if that step or a later one was taken before.
    pub async fn use_totp_step(&mut self, user: UserId, step: i64) -> Result<bool> {
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "UPDATE totp SET last_step = $3, confirmed_at = COALESCE(confirmed_at, $4) \
                   WHERE account_id = $1 AND user_id = $2 AND last_step < $3";
        Ok(execute!(self.conn, sql, account, user.0, step, now)? > 0)
    }

    /// Takes a person's authenticator app away; false if there is none.
    pub async fn delete_totp(&mut self, user: UserId) -> Result<bool> {
        let account = self.account().0;
        let sql = "DELETE FROM totp WHERE account_id = $1 AND user_id = $2";
        Ok(execute!(self.conn, sql, account, user.0)? > 0)
    }

    /// Replaces a person's recovery codes.
    pub async fn put_recovery_codes(&mut self, user: UserId, hashes: &[Hash]) -> Result<()> {
        let account = self.account().0;
        let sql = "DELETE FROM recovery_codes WHERE account_id = $1 AND user_id = $2";
        execute!(self.conn, sql, account, user.0)?;
        for hash in hashes {
            let sql = "INSERT INTO recovery_codes (account_id, user_id, hash) VALUES ($1, $2, $3)";
            execute!(self.conn, sql, account, user.0, &hash.0[..])?;
        }
        Ok(())
    }

    /// Uses a recovery code up; false if it is not one or was used.
    pub async fn use_recovery_code(&mut self, user: UserId, hash: &Hash) -> Result<bool> {
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "UPDATE recovery_codes SET used_at = $4 \
                   WHERE account_id = $1 AND user_id = $2 AND hash = $3 AND used_at IS NULL";
        Ok(execute!(self.conn, sql, account, user.0, &hash.0[..], now)? > 0)
    }

    /// Adds a passkey.
    pub async fn insert_passkey(&mut self, passkey: &Passkey) -> Result<()> {
        let account = self.account().0;
        let sql = "INSERT INTO passkeys (account_id, id, user_id, name, credential_id, algorithm, public_key, \
                   sign_count, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        execute!(
            self.conn,
            sql,
            account,
            passkey.id.0,
            passkey.user.0,
            &passkey.name[..],
            &passkey.credential_id[..],
            passkey.algorithm,
            &passkey.public_key[..],
            i64::from(passkey.sign_count),
            passkey.created_at.micros()
        )?;
        Ok(())
    }

    /// Notes that a passkey signed; false if it counts its signatures and `count` is not a later one: there
    /// are two of it then.
    pub async fn use_passkey(&mut self, id: PasskeyId, count: u32) -> Result<bool> {
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "UPDATE passkeys SET sign_count = $3, last_used_at = $4 WHERE account_id = $1 AND id = $2 \
                   AND (sign_count < $3 OR (sign_count = 0 AND $3 = 0))";
        Ok(execute!(self.conn, sql, account, id.0, i64::from(count), now)? > 0)
    }

    /// Takes a passkey of a person away.
    pub async fn delete_passkey(&mut self, user: UserId, id: PasskeyId) -> Result<()> {
        let account = self.account().0;
        let sql = "DELETE FROM passkeys WHERE account_id = $1 AND user_id = $2 AND id = $3";
        found(execute!(self.conn, sql, account, user.0, id.0)?)
    }
}
