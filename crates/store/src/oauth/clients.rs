use std::time::Duration;

use preloop_types::{Hash, Timestamp};

use crate::{
    Result, Store, Tx,
    db::{at, execute, fetch_optional, from_json, hash, json, micros, row},
};

/// A client that registered itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthClient {
    /// Its `client_id`.
    pub id: String,
    /// SHA-256 of its secret, if it has one.
    pub secret_hash: Option<Hash>,
    /// `token_endpoint_auth_method`.
    pub auth_method: String,
    /// What it calls itself.
    pub name: Option<String>,
    /// Where people read about it.
    pub uri: Option<String>,
    /// Where it may have browsers sent back to.
    pub redirect_uris: Vec<String>,
    /// When it registered.
    pub created_at: Timestamp,
    /// When somebody last consented to it.
    pub consented_at: Option<Timestamp>,
}

row! {
    struct ClientRow {
        id: String, secret_hash: Option<Vec<u8>>, auth_method: String, name: Option<String>, uri: Option<String>,
        redirect_uris: String, created_at: i64, consented_at: Option<i64>,
    }
}

/// How long a client may take to find somebody who consents.
const UNUSED_FOR: Duration = Duration::from_hours(24);
/// How long a client is kept that nobody consents to any more.
const IDLE_FOR: Duration = Duration::from_hours(24 * 365);

impl Store {
    /// The client of that id. Unscoped: clients come before an account is known.
    pub async fn oauth_client(&self, id: &str) -> Result<Option<OAuthClient>> {
        let mut reader = self.reader().await?;
        let mut conn = reader.conn();
        let Some(row) = fetch_optional!(conn, ClientRow, "SELECT * FROM oauth_clients WHERE id = $1", id)? else {
            return Ok(None);
        };
        Ok(Some(OAuthClient {
            id: row.id,
            secret_hash: row.secret_hash.as_deref().map(hash).transpose()?,
            auth_method: row.auth_method,
            name: row.name,
            uri: row.uri,
            redirect_uris: from_json(&row.redirect_uris)?,
            created_at: at(row.created_at),
            consented_at: row.consented_at.map(at),
        }))
    }

    /// Adds a client, unless there are `max` of them. Those that nobody consented to in a day, or in a
    /// year, are forgotten.
    pub async fn insert_oauth_client(&self, client: OAuthClient, max: u32) -> Result<bool> {
        self.write_any(move |tx| {
            Box::pin(async move {
                let sql = "DELETE FROM oauth_clients WHERE (consented_at IS NULL AND created_at < $1) \
                           OR consented_at < $2";
                let now = tx.now();
                execute!(tx.conn, sql, (now - UNUSED_FOR).micros(), (now - IDLE_FOR).micros())?;
                let sql = "INSERT INTO oauth_clients (id, secret_hash, auth_method, name, uri, redirect_uris, \
                           created_at, consented_at) SELECT $1, $2, $3, $4, $5, $6, $7, $8 \
                           WHERE (SELECT count(*) FROM oauth_clients) < $9";
                let inserted = execute!(
                    tx.conn,
                    sql,
                    &client.id[..],
                    client.secret_hash.map(|hash| hash.0.to_vec()),
                    &client.auth_method[..],
                    client.name.as_deref(),
                    client.uri.as_deref(),
                    json(&client.redirect_uris)?,
                    client.created_at.micros(),
                    micros(client.consented_at),
                    i64::from(max)
                )?;
                Ok(inserted > 0)
            })
        })
        .await
    }
}

impl Tx<'_> {
    /// Notes that somebody consents to a client now. Nothing happens if it is not one that registered.
    pub async fn oauth_client_consented(&mut self, id: &str) -> Result<()> {
        let now = self.now().micros();
        execute!(self.conn, "UPDATE oauth_clients SET consented_at = $2 WHERE id = $1", id, now).map(drop)
    }
}
