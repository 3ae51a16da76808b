use preloop_types::{
    RuleId, ServerId, ToolConfigId, WorkflowId,
    config::{AccessRule, Justification, Language, RuleAction, ToolConfig, ToolSource},
};
use uuid::Uuid;

use crate::{
    Error, Result, Tx, View,
    db::{execute, fetch_all, fetch_optional, found, opt_from_json, row, word},
};

row! {
    struct ConfigRow {
        id: Uuid, tool_name: String, source: String, is_enabled: bool, workflow_id: Option<Uuid>,
        justification: Option<String>, description: Option<String>, custom_config: Option<String>,
    }
}

row! {
    struct RuleRow {
        id: Uuid, tool_config_id: Uuid, action: String, expression: Option<String>, language: String,
        description: Option<String>, is_enabled: bool, workflow_id: Option<Uuid>, overridable: bool,
        shadow: bool,
    }
}

impl ConfigRow {
    fn into_config(self) -> Result<ToolConfig> {
        Ok(ToolConfig {
            id: ToolConfigId(self.id),
            tool_name: self.tool_name,
            source: word(parse_source, &self.source)?,
            is_enabled: self.is_enabled,
            workflow: self.workflow_id.map(WorkflowId),
            justification: self.justification.as_deref().map(|text| word(Justification::parse, text)).transpose()?,
            description: self.description,
            custom_config: opt_from_json(self.custom_config.as_deref())?,
            rules: Vec::new(),
        })
    }
}

impl RuleRow {
    fn into_rule(self) -> Result<AccessRule> {
        Ok(AccessRule {
            id: RuleId(self.id),
            action: word(RuleAction::parse, &self.action)?,
            expression: self.expression,
            language: word(Language::parse, &self.language)?,
            description: self.description,
            is_enabled: self.is_enabled,
            workflow: self.workflow_id.map(WorkflowId),
            overridable: self.overridable,
            shadow: self.shadow,
        })
    }
}

fn source(source: &ToolSource) -> String {
    match source {
        ToolSource::Builtin => "builtin".to_owned(),
        ToolSource::AnyServer => "any_server".to_owned(),
        ToolSource::Agent => "agent".to_owned(),
        ToolSource::Server(id) => id.to_string(),
    }
}

fn parse_source(text: &str) -> Option<ToolSource> {
    match text {
        "builtin" => Some(ToolSource::Builtin),
        "any_server" => Some(ToolSource::AnyServer),
        "agent" => Some(ToolSource::Agent),
        id => id.parse().ok().map(|id: ServerId| ToolSource::Server(id)),
    }
}

impl View<'_> {
    /// Every tool configuration with its rules in order.
    pub async fn tool_configs(&mut self) -> Result<Vec<ToolConfig>> {
        let account = self.account().0;
        let sql = "SELECT * FROM tool_configs WHERE account_id = $1 ORDER BY tool_name, source";
        let configs = fetch_all!(self.conn, ConfigRow, sql, account)?;
        let sql = "SELECT * FROM access_rules WHERE account_id = $1 ORDER BY tool_config_id, priority";
        with_rules(configs, fetch_all!(self.conn, RuleRow, sql, account)?)
    }

    /// One tool configuration.
    pub async fn tool_config(&mut self, id: ToolConfigId) -> Result<Option<ToolConfig>> {
        let account = self.account().0;
        let sql = "SELECT * FROM tool_configs WHERE account_id = $1 AND id = $2";
        let Some(config) = fetch_optional!(self.conn, ConfigRow, sql, account, id.0)? else { return Ok(None) };
        let sql = "SELECT * FROM access_rules WHERE account_id = $1 AND tool_config_id = $2 ORDER BY priority";
        let rules = fetch_all!(self.conn, RuleRow, sql, account, id.0)?;
        Ok(with_rules(vec![config], rules)?.pop())
    }
}

fn with_rules(configs: Vec<ConfigRow>, rules: Vec<RuleRow>) -> Result<Vec<ToolConfig>> {
    let mut configs: Vec<ToolConfig> = configs.into_iter().map(ConfigRow::into_config).collect::<Result<_>>()?;
    let places: std::collections::HashMap<Uuid, usize> =
        configs.iter().enumerate().map(|(place, config)| (config.id.0, place)).collect();
    for rule in rules {
        if let Some(&place) = places.get(&rule.tool_config_id) {
            configs[place].rules.push(rule.into_rule()?);
        }
    }
    Ok(configs)
}

impl Tx<'_> {
    /// Adds a configuration with its rules.
    pub async fn insert_tool_config(&mut self, config: &ToolConfig) -> Result<()> {
        let sql = "INSERT INTO tool_configs (account_id, id, tool_name, source, is_enabled, workflow_id, \
                   justification, description, custom_config) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        self.put_tool_config(sql, config).await?;
        self.insert_rules(config).await
    }

    /// Replaces a configuration and its rules.
    pub async fn update_tool_config(&mut self, config: &ToolConfig) -> Result<()> {
        let account = self.account().0;
        let sql = "UPDATE tool_configs SET tool_name = $3, source = $4, is_enabled = $5, workflow_id = $6, \
                   justification = $7, description = $8, custom_config = $9 WHERE account_id = $1 AND id = $2";
        found(self.put_tool_config(sql, config).await?)?;
        let sql = "DELETE FROM access_rules WHERE account_id = $1 AND tool_config_id = $2";
        execute!(self.conn, sql, account, config.id.0)?;
        self.insert_rules(config).await
    }

    /// Removes a configuration and its rules.
    pub async fn delete_tool_config(&mut self, id: ToolConfigId) -> Result<()> {
        self.config_changed();
        let account = self.account().0;
        found(execute!(self.conn, "DELETE FROM tool_configs WHERE account_id = $1 AND id = $2", account, id.0)?)
    }

    async fn put_tool_config(&mut self, sql: &'static str, config: &ToolConfig) -> Result<u64> {
        self.config_changed();
        let account = self.account().0;
        if let ToolSource::Server(id) = config.source {
            self.server(id).await?.ok_or(Error::NotFound)?;
        }
        execute!(
            self.conn,
            sql,
            account,
            config.id.0,
            &config.tool_name[..],
            source(&config.source),
            config.is_enabled,
            config.workflow.map(|id| id.0),
            config.justification.map(Justification::as_str),
            config.description.as_deref(),
            config.custom_config.as_ref().map(|json| json.0.get())
        )
    }

    async fn insert_rules(&mut self, config: &ToolConfig) -> Result<()> {
        let account = self.account().0;
        let sql = "INSERT INTO access_rules (account_id, id, tool_config_id, priority, action, expression, language, \
                   description, is_enabled, workflow_id, overridable, shadow) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
        for (priority, rule) in (0_i64..).zip(&config.rules) {
            execute!(
                self.conn,
                sql,
                account,
                rule.id.0,
                config.id.0,
                priority,
                rule.action.as_str(),
                rule.expression.as_deref(),
                rule.language.as_str(),
                rule.description.as_deref(),
                rule.is_enabled,
                rule.workflow.map(|id| id.0),
                rule.overridable,
                rule.shadow
            )?;
        }
        Ok(())
    }
}
