use preloop_types::{Model, ModelId};
use uuid::Uuid;

use crate::{
    Result, SecretOwner, Tx, View,
    db::{at, execute, fetch_all, fetch_optional, found, from_json, json, opt_from_json, opt_json, row},
};

row! {
    struct ModelRow {
        id: Uuid, alias: String, provider: String, identifier: String, description: Option<String>,
        endpoint: Option<String>, enabled: bool, is_default: bool, tags: String, settings: String,
        pricing: Option<String>, created_at: i64, updated_at: i64,
    }
}

impl ModelRow {
    fn into_model(self) -> Result<Model> {
        Ok(Model {
            id: ModelId(self.id),
            alias: self.alias,
            provider: self.provider,
            identifier: self.identifier,
            description: self.description,
            endpoint: self.endpoint,
            enabled: self.enabled,
            is_default: self.is_default,
            tags: from_json(&self.tags)?,
            settings: from_json(&self.settings)?,
            pricing: opt_from_json(self.pricing.as_deref())?,
            created_at: at(self.created_at),
            updated_at: at(self.updated_at),
        })
    }
}

impl View<'_> {
    /// Every model, by alias.
    pub async fn models(&mut self) -> Result<Vec<Model>> {
        let account = self.account().0;
        let sql = "SELECT * FROM models WHERE account_id = $1 ORDER BY alias";
        fetch_all!(self.conn, ModelRow, sql, account)?.into_iter().map(ModelRow::into_model).collect()
    }

    /// One model.
    pub async fn model(&mut self, id: ModelId) -> Result<Option<Model>> {
        let account = self.account().0;
        let sql = "SELECT * FROM models WHERE account_id = $1 AND id = $2";
        fetch_optional!(self.conn, ModelRow, sql, account, id.0)?.map(ModelRow::into_model).transpose()
    }
}

impl Tx<'_> {
    /// Adds a model. If it is the default, no other is any more.
    pub async fn insert_model(&mut self, model: &Model) -> Result<()> {
        let sql = "INSERT INTO models (account_id, id, alias, provider, identifier, description, endpoint, enabled, \
                   is_default, tags, settings, pricing, created_at, updated_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
        self.put_model(sql, model).await.map(drop)
    }

    /// Replaces a model's row. If it is the default, no other is any more.
    pub async fn update_model(&mut self, model: &Model) -> Result<()> {
        let sql = "UPDATE models SET alias = $3, provider = $4, identifier = $5, description = $6, endpoint = $7, \
                   enabled = $8, is_default = $9, tags = $10, settings = $11, pricing = $12, updated_at = $14 \
                   WHERE account_id = $1 AND id = $2 AND created_at = $13";
        found(self.put_model(sql, model).await?)
    }

    async fn put_model(&mut self, sql: &'static str, model: &Model) -> Result<u64> {
        self.config_changed();
        let account = self.account().0;
        if model.is_default {
            let sql = "UPDATE models SET is_default = $3 WHERE account_id = $1 AND id <> $2 AND is_default";
            execute!(self.conn, sql, account, model.id.0, false)?;
        }
        execute!(
            self.conn,
            sql,
            account,
            model.id.0,
            &model.alias[..],
            &model.provider[..],
            &model.identifier[..],
            model.description.as_deref(),
            model.endpoint.as_deref(),
            model.enabled,
            model.is_default,
            json(&model.tags)?,
            json(&model.settings)?,
            opt_json(model.pricing.as_ref())?,
            model.created_at.micros(),
            model.updated_at.micros()
        )
    }

    /// Removes a model with its secrets.
    pub async fn delete_model(&mut self, id: ModelId) -> Result<()> {
        self.config_changed();
        let account = self.account().0;
        let sql = "DELETE FROM models WHERE account_id = $1 AND id = $2";
        found(execute!(self.conn, sql, account, id.0)?)?;
        self.delete_secrets(SecretOwner::Model(id)).await
    }
}
