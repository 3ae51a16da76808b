use std::collections::BTreeMap;

use preloop_types::{ModelId, ProviderId, ServerId, WorkflowId};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::{
    Error, Result, Tx, View,
    db::{execute, fetch_all},
};

/// What a secret belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecretOwner {
    /// An upstream server.
    Server(ServerId),
    /// An approval workflow.
    Workflow(WorkflowId),
    /// A model.
    Model(ModelId),
    /// An identity provider.
    IdentityProvider(ProviderId),
}

impl SecretOwner {
    const fn columns(self) -> (&'static str, Uuid) {
        match self {
            SecretOwner::Server(id) => ("server", id.0),
            SecretOwner::Workflow(id) => ("workflow", id.0),
            SecretOwner::Model(id) => ("model", id.0),
            SecretOwner::IdentityProvider(id) => ("identity_provider", id.0),
        }
    }

    /// What a secret is bound to: moved to another owner or name, it does not open.
    fn context(self, name: &str) -> String {
        let (kind, id) = self.columns();
        format!("secret/{kind}/{id}/{name}")
    }
}

impl View<'_> {
    /// The secrets of one owner, by name.
    pub async fn secrets(&mut self, owner: SecretOwner) -> Result<BTreeMap<String, SecretString>> {
        let (account, (kind, id)) = (self.account().0, owner.columns());
        let sql = "SELECT name, sealed FROM secrets WHERE account_id = $1 AND owner_kind = $2 AND owner_id = $3";
        let rows = fetch_all!(self.conn, (String, Vec<u8>), sql, account, kind, id)?;
        if rows.is_empty() {
            return Ok(BTreeMap::new());
        }
        let sealer = self.sealer().await?;
        let open = |(name, sealed): (String, Vec<u8>)| {
            let plain = String::from_utf8(sealer.open(&owner.context(&name), &sealed)?);
            Ok((name, SecretString::from(plain.map_err(|_| Error::Unsealable)?)))
        };
        rows.into_iter().map(open).collect()
    }

    /// The names of one owner's secrets.
    pub async fn secret_names(&mut self, owner: SecretOwner) -> Result<Vec<String>> {
        let (account, (kind, id)) = (self.account().0, owner.columns());
        let sql = "SELECT name FROM secrets WHERE account_id = $1 AND owner_kind = $2 AND owner_id = $3 ORDER BY name";
        Ok(fetch_all!(self.conn, (String,), sql, account, kind, id)?.into_iter().map(|(name,)| name).collect())
    }
}

impl Tx<'_> {
    /// Keeps a secret, replacing one of that name.
    pub async fn put_secret(&mut self, owner: SecretOwner, name: &str, secret: &SecretString) -> Result<()> {
        self.config_changed();
        let (account, now, (kind, id)) = (self.account().0, self.now().micros(), owner.columns());
        let exists = match owner {
            SecretOwner::Server(id) => self.server(id).await?.is_some(),
            SecretOwner::Workflow(id) => self.workflow(id).await?.is_some(),
            SecretOwner::Model(id) => self.model(id).await?.is_some(),
            SecretOwner::IdentityProvider(id) => self.identity_provider(id).await?.is_some(),
        };
        if !exists {
            return Err(Error::NotFound);
        }
        let sealed = self.sealer().await?.seal(&owner.context(name), secret.expose_secret().as_bytes());
        let sql = "INSERT INTO secrets (account_id, owner_kind, owner_id, name, sealed, updated_at) \
                   VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (account_id, owner_kind, owner_id, name) \
                   DO UPDATE SET sealed = excluded.sealed, updated_at = excluded.updated_at";
        execute!(self.conn, sql, account, kind, id, name, &sealed[..], now)?;
        Ok(())
    }

    /// Forgets a secret; false if there was none.
    pub async fn delete_secret(&mut self, owner: SecretOwner, name: &str) -> Result<bool> {
        self.config_changed();
        let (account, (kind, id)) = (self.account().0, owner.columns());
        let sql = "DELETE FROM secrets WHERE account_id = $1 AND owner_kind = $2 AND owner_id = $3 AND name = $4";
        Ok(execute!(self.conn, sql, account, kind, id, name)? > 0)
    }

    /// Forgets every secret of an owner.
    pub async fn delete_secrets(&mut self, owner: SecretOwner) -> Result<()> {
        self.config_changed();
        let (account, (kind, id)) = (self.account().0, owner.columns());
        let sql = "DELETE FROM secrets WHERE account_id = $1 AND owner_kind = $2 AND owner_id = $3";
        execute!(self.conn, sql, account, kind, id)?;
        Ok(())
    }
}
