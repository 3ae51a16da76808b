use preloop_types::{AccountId, IdentityProvider, ProviderId, ProviderKind, Role, TeamId, User, UserId, UserSource};
use secrecy::SecretString;
use uuid::Uuid;

use crate::{
    Error, Result, SecretOwner, Store, Tx, View,
    db::{at, execute, fetch_all, fetch_optional, found, from_json, json, row, word},
};

/// The name of a provider's client secret among its secrets.
pub const CLIENT_SECRET: &str = "client_secret";

row! {
    struct ProviderRow {
        id: Uuid, account_id: Uuid, slug: String, name: String, kind: String, issuer: String, client_id: String,
        scopes: String, groups_claim: String, groups: String, default_role: Option<String>, allowed_domains: String,
        create_users: bool, is_enabled: bool, allow_private_network: bool, created_at: i64, updated_at: i64,
    }
}

impl ProviderRow {
    fn into_provider(self) -> Result<IdentityProvider> {
        Ok(IdentityProvider {
            id: ProviderId(self.id),
            account: Some(AccountId(self.account_id)),
            slug: self.slug,
            name: self.name,
            kind: word(ProviderKind::parse, &self.kind)?,
            issuer: self.issuer,
            client_id: self.client_id,
            scopes: from_json(&self.scopes)?,
            groups_claim: self.groups_claim,
            groups: from_json(&self.groups)?,
            default_role: self.default_role.as_deref().map(|role| word(Role::parse, role)).transpose()?,
            allowed_domains: from_json(&self.allowed_domains)?,
            create_users: self.create_users,
            is_enabled: self.is_enabled,
            allow_private_network: self.allow_private_network,
            created_at: at(self.created_at),
            updated_at: at(self.updated_at),
        })
    }
}

impl Store {
    /// The providers of every account. Unscoped: people choose one before they are known.
    pub async fn identity_providers(&self) -> Result<Vec<IdentityProvider>> {
        let mut reader = self.reader().await?;
        let mut conn = reader.conn();
        let rows = fetch_all!(conn, ProviderRow, "SELECT * FROM identity_providers ORDER BY name, id")?;
        rows.into_iter().map(ProviderRow::into_provider).collect()
    }

    /// The provider of that slug with its client secret. Unscoped like the list.
    pub async fn identity_provider_by_slug(&self, slug: &str) -> Result<Option<(IdentityProvider, SecretString)>> {
        let mut reader = self.reader().await?;
        let mut conn = reader.conn();
        let row = fetch_optional!(conn, ProviderRow, "SELECT * FROM identity_providers WHERE slug = $1", slug)?;
        let Some(row) = row else { return Ok(None) };
        let account = AccountId(row.account_id);
        let provider = row.into_provider()?;
        let mut view = View::new(conn, account, self.vault());
        let secret = view.secrets(SecretOwner::IdentityProvider(provider.id)).await?.remove(CLIENT_SECRET);
        let secret = secret.ok_or_else(|| Error::Damaged("an identity provider without its secret".to_owned()))?;
        Ok(Some((provider, secret)))
    }

    /// The account of a person from elsewhere. Unscoped: they sign in before it is known.
    pub async fn account_of_external(&self, source: UserSource, external: &str) -> Result<Option<AccountId>> {
        let mut reader = self.reader().await?;
        let mut conn = reader.conn();
        let sql = "SELECT account_id FROM users WHERE source = $1 AND external_id = $2 ORDER BY created_at LIMIT 1";
        Ok(fetch_optional!(conn, (Uuid,), sql, source.as_str(), external)?.map(|(id,)| AccountId(id)))
    }
}

impl View<'_> {
    /// The account's identity providers, by name.
    pub async fn identity_providers(&mut self) -> Result<Vec<IdentityProvider>> {
        let account = self.account().0;
        let sql = "SELECT * FROM identity_providers WHERE account_id = $1 ORDER BY name, id";
        fetch_all!(self.conn, ProviderRow, sql, account)?.into_iter().map(ProviderRow::into_provider).collect()
    }

    /// One identity provider.
    pub async fn identity_provider(&mut self, id: ProviderId) -> Result<Option<IdentityProvider>> {
        let account = self.account().0;
        let sql = "SELECT * FROM identity_providers WHERE account_id = $1 AND id = $2";
        fetch_optional!(self.conn, ProviderRow, sql, account, id.0)?.map(ProviderRow::into_provider).transpose()
    }

    /// The person who is known elsewhere by that id.
    pub async fn user_by_external(&mut self, source: UserSource, external: &str) -> Result<Option<User>> {
        let account = self.account().0;
        let sql = "SELECT id FROM users WHERE account_id = $1 AND source = $2 AND external_id = $3";
        match fetch_optional!(self.conn, (Uuid,), sql, account, source.as_str(), external)? {
            Some((id,)) => self.user(UserId(id)).await,
            None => Ok(None),
        }
    }

    /// The people a directory gave up.
    pub async fn unprovisioned_users(&mut self) -> Result<Vec<UserId>> {
        let account = self.account().0;
        let sql = "SELECT id FROM users WHERE account_id = $1 AND unprovisioned_at IS NOT NULL";
        Ok(fetch_all!(self.conn, (Uuid,), sql, account)?.into_iter().map(|(id,)| UserId(id)).collect())
    }

    /// Whether a person is in a team because their provider or directory says so, and nobody here.
    pub async fn is_team_member_by_provider(&mut self, team: TeamId, user: UserId) -> Result<bool> {
        let account = self.account().0;
        let sql = "SELECT added_at FROM team_members \
                   WHERE account_id = $1 AND team_id = $2 AND user_id = $3 AND added_by IS NULL";
        Ok(fetch_optional!(self.conn, (i64,), sql, account, team.0, user.0)?.is_some())
    }
}

impl Tx<'_> {
    /// Adds an identity provider.
    pub async fn insert_identity_provider(&mut self, provider: &IdentityProvider) -> Result<()> {
        let account = self.account().0;
        let sql = "INSERT INTO identity_providers (account_id, id, slug, name, kind, issuer, client_id, scopes, \
                   groups_claim, groups, default_role, allowed_domains, create_users, is_enabled, \
                   allow_private_network, created_at, updated_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $16)";
        execute!(
            self.conn,
            sql,
            account,
            provider.id.0,
            &provider.slug[..],
            &provider.name[..],
            provider.kind.as_str(),
            &provider.issuer[..],
            &provider.client_id[..],
            json(&provider.scopes)?,
            &provider.groups_claim[..],
            json(&provider.groups)?,
            provider.default_role.map(Role::as_str),
            json(&provider.allowed_domains)?,
            provider.create_users,
            provider.is_enabled,
            provider.allow_private_network,
            provider.created_at.micros()
        )?;
        Ok(())
    }

    /// Replaces an identity provider's row; its kind and slug stay.
    pub async fn update_identity_provider(&mut self, provider: &IdentityProvider) -> Result<()> {
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "UPDATE identity_providers SET name = $3, issuer = $4, client_id = $5, scopes = $6, \
                   groups_claim = $7, groups = $8, default_role = $9, allowed_domains = $10, create_users = $11, \
                   is_enabled = $12, allow_private_network = $13, updated_at = $14 \
                   WHERE account_id = $1 AND id = $2";
        found(execute!(
            self.conn,
            sql,
            account,
            provider.id.0,
            &provider.name[..],
            &provider.issuer[..],
            &provider.client_id[..],
            json(&provider.scopes)?,
            &provider.groups_claim[..],
            json(&provider.groups)?,
            provider.default_role.map(Role::as_str),
            json(&provider.allowed_domains)?,
            provider.create_users,
            provider.is_enabled,
            provider.allow_private_network,
            now
        )?)
    }

    /// Removes an identity provider and its secret. Its people stay.
    pub async fn delete_identity_provider(&mut self, id: ProviderId) -> Result<()> {
        let account = self.account().0;
        self.delete_secrets(SecretOwner::IdentityProvider(id)).await?;
        found(execute!(self.conn, "DELETE FROM identity_providers WHERE account_id = $1 AND id = $2", account, id.0)?)
    }

    /// Notes that a directory gave a person up, or took them up again.
    pub async fn set_unprovisioned(&mut self, id: UserId, is_so: bool) -> Result<()> {
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "UPDATE users SET unprovisioned_at = $3 WHERE account_id = $1 AND id = $2";
        found(execute!(self.conn, sql, account, id.0, is_so.then_some(now))?)
    }

    /// Whether anybody in the instance signs in with that name, whatever the case of its letters.
    pub async fn is_username_taken(&mut self, username: &str) -> Result<bool> {
        let sql = "SELECT created_at FROM users WHERE lower(username) = lower($1)";
        Ok(fetch_optional!(self.conn, (i64,), sql, username)?.is_some())
    }
}
