//! Models.

use std::collections::BTreeMap;

use preloop_store::{SecretOwner, Tx};
use preloop_types::{Model, ModelId, ModelSettings, Principal, Rates};
use serde_json::Value;

use super::{
    Config, ConfigError, ConfigOptions, JsonObject, Patch, Result, limits,
    record::{Actor, What},
    secrets::{Wanted, is_redacted},
};

/// What to change about a model; to make one, what it shall be.
#[derive(Clone, Default)]
pub struct ModelChange {
    /// What agents call it; `<provider>/<identifier>` when a new model has none.
    pub alias: Option<String>,
    /// Who serves it.
    pub provider: Option<String>,
    /// What the provider calls it.
    pub identifier: Option<String>,
    /// For people.
    pub description: Patch<String>,
    /// Another base URL than the provider's own.
    pub endpoint: Patch<String>,
    /// Whether it may be used.
    pub enabled: Option<bool>,
    /// Used by requests that name no model; takes it from the one that was.
    pub is_default: Option<bool>,
    /// Free labels.
    pub tags: Option<Vec<String>>,
    /// Members of [`ModelSettings`] to set, or with `null` to reset; absent ones stay.
    pub settings: JsonObject,
    /// What it costs.
    pub pricing: Patch<Rates>,
    /// Secrets by name: a text (or a JSON document) to set, `null` to forget, a placeholder or absence
    /// to keep.
    pub credentials: BTreeMap<String, Value>,
}

impl Config {
    /// Adds a model.
    pub async fn create_model(&self, who: &Principal, change: ModelChange) -> Result<Model> {
        let by = Actor::from(who);
        let options = self.options.clone();
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let models = tx.models().await?;
                limits::room("models", models.len(), limits::MODELS_MAX)?;
                let now = tx.now();
                let blank = Model {
                    id: ModelId::new(now),
                    alias: String::new(),
                    provider: String::new(),
                    identifier: String::new(),
                    description: None,
                    endpoint: None,
                    enabled: true,
                    is_default: false,
                    tags: Vec::new(),
                    settings: ModelSettings::default(),
                    pricing: None,
                    created_at: now,
                    updated_at: now,
                };
                save(tx, by, &options, None, blank, change, &models).await
            })
        })
        .await
    }

    /// Changes a model.
    pub async fn update_model(&self, who: &Principal, id: ModelId, change: ModelChange) -> Result<Model> {
        let by = Actor::from(who);
        let options = self.options.clone();
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let models = tx.models().await?;
                let old = models.iter().find(|model| model.id == id).ok_or(ConfigError::NotFound("model"))?;
                save(tx, by, &options, Some(old), old.clone(), change, &models).await
            })
        })
        .await
    }

    /// Removes a model with its secrets. Refused while another one leads to it.
    pub async fn delete_model(&self, who: &Principal, id: ModelId) -> Result<()> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let models = tx.models().await?;
                let old = models.iter().find(|model| model.id == id).ok_or(ConfigError::NotFound("model"))?;
                not_led_to(&models, old)?;
                tx.delete_model(id).await?;
                by.changed(tx, What::AiModel, (id.0, &old.alias), Some(old), None::<&Model>);
                Ok(())
            })
        })
        .await
    }
}

async fn save(
    tx: &mut Tx<'_>,
    by: Actor,
    options: &ConfigOptions,
    old: Option<&Model>,
    mut model: Model,
    change: ModelChange,
    models: &[Model],
) -> Result<Model> {
    if let Some(provider) = &change.provider {
        model.provider = limits::name("provider", provider)?;
    }
    if let Some(identifier) = &change.identifier {
        model.identifier = limits::model_name("identifier", identifier)?;
    }
    for (field, value) in [("provider", &model.provider), ("identifier", &model.identifier)] {
        if value.is_empty() {
            return Err(ConfigError::invalid(field, "is missing"));
        }
    }
    match &change.alias {
        Some(alias) => model.alias = limits::model_name("alias", alias)?,
        None if old.is_none() => model.alias = format!("{}/{}", model.provider, model.identifier),
        None => {}
    }
    if let Some(old) = old.filter(|old| old.alias != model.alias) {
        not_led_to(models, old)?;
    }
    if models.iter().any(|other| other.alias == model.alias && other.id != model.id) {
        return Err(ConfigError::Refused(format!("a model with alias `{}` already exists", model.alias)));
    }
    if let Some(description) = change.description {
        let checked = description.map(|text| limits::text("description", &text, limits::TEXT_MAX)).transpose()?;
        model.description = checked.filter(|text| !text.is_empty());
    }
    if let Some(endpoint) = change.endpoint {
        model.endpoint = endpoint.map(|url| limits::url("endpoint", &url)).transpose()?;
    }
    if let Some(tags) = change.tags {
        limits::count("tags", tags.len(), limits::ITEMS_MAX)?;
        model.tags = tags.iter().map(|tag| limits::name("tags", tag)).collect::<Result<_>>()?;
    }
    if let Some(rates) = change.pricing {
        model.pricing = rates.map(|rates| limits::rates("pricing", rates)).transpose()?;
    }
    model.enabled = change.enabled.unwrap_or(model.enabled);
    model.is_default = change.is_default.unwrap_or(model.is_default);
    model.settings = settings(&model.settings, &change.settings)?;
    leads_somewhere(&model, models)?;

    let owner = SecretOwner::Model(model.id);
    // Another provider has no use for the secrets of this one, and should not get them.
    let same_provider = old.is_some_and(|old| old.provider == model.provider);
    let have = if same_provider { tx.secret_names(owner).await? } else { Vec::new() };
    let (wanted, names) = credentials(change.credentials, have)?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    options.model_check.check(&model, &names)?;
    let secrets = wanted.against(tx, owner, &[""]).await?;
    if let Some(name) = secrets.missing.first() {
        let message = format!("`{name}` is redacted and there is no value to keep; send one");
        return Err(ConfigError::invalid("credentials", message));
    }
    if old == Some(&model) && secrets.is_empty() {
        return Ok(model);
    }
    model.updated_at = tx.now();
    match old {
        None => tx.insert_model(&model).await?,
        Some(_) => tx.update_model(&model).await?,
    }
    secrets.write(tx, owner).await?;
    by.changed(tx, What::AiModel, (model.id.0, &model.alias), old, Some(&model));
    Ok(model)
}

/// What the secrets shall be, and the names of those that there will be.
fn credentials(given: BTreeMap<String, Value>, have: Vec<String>) -> Result<(Wanted, Vec<String>)> {
    limits::count("credentials", given.len(), limits::ITEMS_MAX)?;
    let mut wanted = Wanted::default();
    let mut names: Vec<String> = have.into_iter().filter(|name| !given.contains_key(name)).collect();
    for name in &names {
        wanted.keep(name);
    }
    for (name, value) in given {
        if value.is_null() {
            continue;
        }
        wanted.take(&format!("credentials.{name}"), &name, &on_one_line(value))?;
        names.push(limits::name("credentials", &name)?);
    }
    Ok((wanted, names))
}

/// A JSON document (a service account's key) as a text without line breaks; anything else as it is.
fn on_one_line(value: Value) -> Value {
    match &value {
        Value::Object(_) if !is_redacted(&value) => Value::String(value.to_string()),
        Value::String(text) if text.trim_start().starts_with('{') => {
            serde_json::from_str::<Value>(text).map_or(value, |document| Value::String(document.to_string()))
        }
        _ => value,
    }
}

fn settings(old: &ModelSettings, change: &JsonObject) -> Result<ModelSettings> {
    let mut merged = match serde_json::to_value(old).unwrap_or_default() {
        Value::Object(members) => members,
        _ => JsonObject::new(),
    };
    for (name, value) in change {
        match value {
            Value::Null => drop(merged.remove(name)),
            value => drop(merged.insert(name.clone(), value.clone())),
        }
    }
    if serde_json::to_string(&merged).map_or(0, |text| text.len()) > limits::JSON_BYTES_MAX {
        return Err(ConfigError::invalid("settings", format!("is larger than {} bytes", limits::JSON_BYTES_MAX)));
    }
    let settings: ModelSettings = serde_json::from_value(Value::Object(merged))
        .map_err(|error| ConfigError::invalid("settings", error.to_string()))?;
    let at_least_one = |field: &str, value: Option<u64>| {
        value.map_or(Ok(()), |value| limits::range(&format!("settings.{field}"), value, 1, 1 << 40))
    };
    at_least_one("context_window", settings.context_window)?;
    at_least_one("max_output", settings.max_output)?;
    at_least_one("cache_seconds", settings.cache_seconds.map(u64::from))?;
    limits::range("settings.drain_seconds", settings.drain_seconds.unwrap_or_default().into(), 0, DRAIN_SECONDS_MAX)?;
    limits::rate("settings.rate_limit", settings.rate_limit)?;
    Ok(settings)
}

/// Longest time an answer nobody waits for is read.
const DRAIN_SECONDS_MAX: u64 = 300;

/// What `model` leads to (fallbacks, targets) is there, and never in a circle.
fn leads_somewhere(model: &Model, models: &[Model]) -> Result<()> {
    limits::count("settings.fallbacks", model.settings.fallbacks.len(), limits::ITEMS_MAX)?;
    limits::count("settings.targets", model.settings.targets.len(), limits::ITEMS_MAX)?;
    let known = |field: &str, alias: &str| {
        if alias == model.alias {
            return Err(ConfigError::invalid(field, format!("`{alias}` is this model itself")));
        }
        let found = models.iter().find(|other| other.alias == alias && other.id != model.id);
        found.ok_or_else(|| ConfigError::invalid(field, format!("there is no model with alias `{alias}`")))
    };
    for alias in &model.settings.fallbacks {
        known("settings.fallbacks", alias)?;
    }
    for target in &model.settings.targets {
        let other = known("settings.targets", &target.model)?;
        if !other.settings.targets.is_empty() {
            let message = format!("`{}` has targets of its own; name those instead", target.model);
            return Err(ConfigError::invalid("settings.targets", message));
        }
        limits::range("settings.targets.weight", target.weight.into(), 1, 1_000_000)?;
    }
    let has_targets = !model.settings.targets.is_empty();
    match models.iter().find(|other| other.settings.targets.iter().any(|target| target.model == model.alias)) {
        Some(other) if has_targets => Err(ConfigError::invalid(
            "settings.targets",
            format!("this model is itself a target of `{}`, which cannot lead on", other.alias),
        )),
        _ => Ok(()),
    }
}

/// No other model leads to this one's alias.
fn not_led_to(models: &[Model], model: &Model) -> Result<()> {
    let leads = |other: &&Model| {
        let settings = &other.settings;
        other.id != model.id
            && (settings.fallbacks.contains(&model.alias)
                || settings.targets.iter().any(|target| target.model == model.alias))
    };
    match models.iter().find(leads) {
        Some(other) => Err(ConfigError::Refused(format!(
            "model `{}` leads to `{}` as a fallback or target; change it first",
            other.alias, model.alias
        ))),
        None => Ok(()),
    }
}
