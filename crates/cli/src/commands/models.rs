//! `preloop models`: what agents can ask for, and who serves it.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use preloop_api_types::{
    JsonObject, Update,
    ai_models::{AiModel, CreateAiModel, KnownModel, ModelPricing, ModelProvider, ProviderKnob, UpdateAiModel},
};
use preloop_types::Rates;
use serde_json::Value;

use crate::{
    cli::{Global, some_text},
    client::Client,
    failure::Result,
    output::Printer,
    words::{find, from_environment},
};

pub(crate) const MODELS: &str = "/api/v1/ai-models";

#[derive(Subcommand)]
pub(crate) enum Models {
    /// Add a model
    #[command(after_help = "Examples:\n  \
        preloop models add anthropic claude-sonnet-4-5 --key-env ANTHROPIC_API_KEY --default\n  \
        preloop models add openai-compatible qwen3 --alias local --endpoint http://127.0.0.1:8080/v1 --price 0,0")]
    Add(Box<Add>),
    /// List models
    List,
    /// Show a model and what it costs
    Show {
        /// Its alias or id
        #[arg(value_parser = some_text())]
        model: String,
    },
    /// Change a model; what is not named stays
    Update(Box<Change>),
    /// Remove a model with its secrets
    Remove {
        /// Its alias or id
        #[arg(value_parser = some_text())]
        model: String,
    },
    /// List who serves models; with a name, what that one needs and which models are known of it
    Providers {
        /// Its name
        provider: Option<String>,
    },
}

#[derive(Args)]
pub(crate) struct Add {
    /// Who serves it: a name from `preloop models providers`
    #[arg(value_parser = some_text())]
    provider: String,
    /// What the provider calls it
    #[arg(value_parser = some_text())]
    identifier: String,
    /// What agents call it; else `<provider>/<identifier>`
    #[arg(long)]
    alias: Option<String>,
    #[command(flatten)]
    facts: Facts,
}

#[derive(Args)]
pub(crate) struct Change {
    /// Its alias or id
    #[arg(value_parser = some_text())]
    model: String,
    /// Another alias
    #[arg(long)]
    alias: Option<String>,
    /// What the provider calls it
    #[arg(long)]
    identifier: Option<String>,
    /// Let it be used
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Let it not be used
    #[arg(long)]
    disable: bool,
    #[command(flatten)]
    facts: Facts,
}

/// What can be said when a model is added and when it is changed.
#[derive(Args)]
pub(crate) struct Facts {
    /// The provider's API key is in this environment variable
    #[arg(long, value_name = "VARIABLE")]
    key_env: Option<String>,
    /// Another secret of the provider is in this environment variable (repeatable)
    #[arg(long = "secret", value_name = "NAME=VARIABLE", value_parser = pair)]
    secrets: Vec<(String, String)>,
    /// Another base URL than the provider's own
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// A setting of the provider: `region=eu-central-1` (repeatable)
    #[arg(long = "provider-setting", value_name = "NAME=VALUE", value_parser = pair)]
    provider_settings: Vec<(String, String)>,
    /// A knob: `max_output=8192`, `fallbacks=["slow"]` (repeatable; JSON, else a text)
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    settings: Vec<(String, String)>,
    /// A free label, for lists and budgets (repeatable)
    #[arg(long = "tag", value_name = "LABEL")]
    tags: Vec<String>,
    /// Dollars per million tokens of prompt and of answer: `3,15`
    #[arg(long, value_name = "INPUT,OUTPUT", value_parser = price)]
    price: Option<Rates>,
    /// Used by requests that name no model
    #[arg(long)]
    default: bool,
    /// For people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

pub(crate) async fn run(command: &Models, global: &Global) -> Result {
    let client = Client::new(global)?;
    let printer = global.printer();
    match command {
        Models::Add(model) => add(&client, printer, model).await,
        Models::List => list(&client, printer).await,
        Models::Show { model } => show(&client, printer, model).await,
        Models::Update(change) => update(&client, printer, change).await,
        Models::Remove { model } => remove(&client, printer, model).await,
        Models::Providers { provider: None } => providers(&client, printer).await,
        Models::Providers { provider: Some(name) } => provider(&client, printer, name).await,
    }
}

async fn add(client: &Client, printer: Printer, wanted: &Add) -> Result {
    let facts = &wanted.facts;
    let body = CreateAiModel {
        provider: wanted.provider.clone(),
        identifier: wanted.identifier.clone(),
        alias: wanted.alias.clone(),
        description: facts.description.clone(),
        endpoint: facts.endpoint.clone(),
        is_default: facts.default.then_some(true),
        tags: facts.tags.clone(),
        settings: facts.settings(),
        pricing: facts.price.clone(),
        credentials: facts.credentials()?,
        ..CreateAiModel::default()
    };
    let made: AiModel = client.post(MODELS, &body).await?;
    tell(printer, &made);
    printer.done(&made, &format!("model `{}` is there", made.alias))
}

async fn update(client: &Client, printer: Printer, wanted: &Change) -> Result {
    let facts = &wanted.facts;
    let set = |value: &Option<String>| value.clone().map_or(Update::Keep, Update::Set);
    let body = UpdateAiModel {
        alias: wanted.alias.clone(),
        identifier: wanted.identifier.clone(),
        description: set(&facts.description),
        endpoint: set(&facts.endpoint),
        enabled: (wanted.enable || wanted.disable).then_some(wanted.enable),
        is_default: facts.default.then_some(true),
        tags: (!facts.tags.is_empty()).then(|| facts.tags.clone()),
        settings: facts.settings(),
        pricing: facts.price.clone().map_or(Update::Keep, Update::Set),
        credentials: facts.credentials()?,
        ..UpdateAiModel::default()
    };
    let model = named(client, &wanted.model).await?;
    let path = format!("{MODELS}/{}", model.id);
    let changed: AiModel = client.put(&path, &body).await?;
    tell(printer, &changed);
    printer.done(&changed, &format!("model `{}` is changed", changed.alias))
}

async fn remove(client: &Client, printer: Printer, wanted: &str) -> Result {
    let model = named(client, wanted).await?;
    client.delete(&format!("{MODELS}/{}", model.id)).await?;
    printer.done(&model, &format!("model `{}` is removed", model.alias))
}

async fn list(client: &Client, printer: Printer) -> Result {
    let models: Vec<AiModel> = client.get(MODELS).await?;
    printer.list(
        &models,
        &[
            ("alias", |model| model.alias.clone()),
            ("provider", |model| model.provider.clone()),
            ("identifier", |model| model.identifier.clone()),
            ("state", state),
            ("tags", |model| model.tags.join(", ")),
            ("id", |model| model.id.to_string()),
        ],
        "there are no models; `preloop models add` adds one",
    )
}

async fn show(client: &Client, printer: Printer, wanted: &str) -> Result {
    let model = named(client, wanted).await?;
    let price: ModelPricing = client.get(&format!("{MODELS}/{}/pricing", model.id)).await?;
    let rates = price.rates.as_ref().map(|rates| format!("{} in, {} out", rates.input, rates.output));
    let secrets = model.credentials.iter().map(|(name, secret)| match &secret.last4 {
        Some(last) => format!("{name} (…{last})"),
        None => name.clone(),
    });
    printer.one(
        &model,
        &[
            ("alias", model.alias.clone()),
            ("provider", model.provider.clone()),
            ("identifier", model.identifier.clone()),
            ("state", state(&model)),
            ("description", model.description.clone().unwrap_or_default()),
            ("endpoint", model.endpoint.clone().unwrap_or_default()),
            ("tags", model.tags.join(", ")),
            ("secrets", secrets.collect::<Vec<_>>().join(", ")),
            (
                "settings",
                if model.settings.is_empty() { String::new() } else { Value::from(model.settings.clone()).to_string() },
            ),
            ("$ per million", rates.unwrap_or_default()),
            ("price from", price.cost_source.replace('_', " ")),
            ("context", price.context_window.map(|tokens| tokens.to_string()).unwrap_or_default()),
            ("longest answer", price.max_output.map(|tokens| tokens.to_string()).unwrap_or_default()),
            ("id", model.id.to_string()),
        ],
    )
}

async fn providers(client: &Client, printer: Printer) -> Result {
    let providers: Vec<ModelProvider> = client.get(&format!("{MODELS}/providers")).await?;
    printer.list(
        &providers,
        &[
            ("name", |provider| provider.name.clone()),
            ("title", |provider| provider.title.clone()),
            ("secrets", |provider| knobs(&provider.credentials)),
            ("settings", |provider| knobs(&provider.settings)),
            ("url", |provider| provider.base_url.clone().unwrap_or_else(|| "yours (--endpoint)".to_owned())),
        ],
        "there are no providers",
    )
}

async fn provider(client: &Client, printer: Printer, name: &str) -> Result {
    let known: Vec<KnownModel> = client.get(&format!("{MODELS}/providers/{name}/available-models")).await?;
    printer.list(
        &known,
        &[
            ("identifier", |model| model.identifier.clone()),
            ("$ in", |model| model.rates.input.to_string()),
            ("$ out", |model| model.rates.output.to_string()),
            ("context", |model| model.context_window.map(|tokens| tokens.to_string()).unwrap_or_default()),
            ("longest answer", |model| model.max_output.map(|tokens| tokens.to_string()).unwrap_or_default()),
        ],
        "the catalogue knows no models of this provider; it may serve some all the same",
    )
}

/// The model of that alias or id.
pub(crate) async fn named(client: &Client, wanted: &str) -> Result<AiModel> {
    let models: Vec<AiModel> = client.get(MODELS).await?;
    find("model", &models, wanted, |model| model.id, |model| vec![&model.alias]).cloned()
}

fn state(model: &AiModel) -> String {
    let missing = (!model.missing_credentials.is_empty()).then_some("no credentials");
    let words = [(!model.enabled).then_some("disabled"), missing, model.is_default.then_some("default")];
    let words: Vec<_> = words.into_iter().flatten().collect();
    if words.is_empty() { "ready".to_owned() } else { words.join(", ") }
}

/// Names of what a provider knows; in brackets what it can do without.
fn knobs(knobs: &[ProviderKnob]) -> String {
    let name = |knob: &ProviderKnob| if knob.required { knob.name.clone() } else { format!("[{}]", knob.name) };
    knobs.iter().map(name).collect::<Vec<_>>().join(" ")
}

fn tell(printer: Printer, model: &AiModel) {
    if !model.missing_credentials.is_empty() {
        printer.note(&format!(
            "it cannot be called yet, its provider needs: {}. `preloop models update {} --secret NAME=VARIABLE` sets it",
            model.missing_credentials.join(", "),
            model.alias
        ));
    }
}

impl Facts {
    fn settings(&self) -> JsonObject {
        let value = |text: &String| serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()));
        let mut settings: JsonObject = self.settings.iter().map(|(name, text)| (name.clone(), value(text))).collect();
        if !self.provider_settings.is_empty() {
            let own = self.provider_settings.iter().map(|(name, text)| (name.clone(), Value::from(text.clone())));
            settings.insert("provider".to_owned(), Value::Object(own.collect()));
        }
        settings
    }

    fn credentials(&self) -> Result<BTreeMap<String, Value>> {
        let key = self.key_env.iter().map(|variable| ("api_key", variable));
        let secrets = self.secrets.iter().map(|(name, variable)| (name.as_str(), variable));
        let read =
            |(name, variable): (&str, &String)| Ok((name.to_owned(), Value::String(from_environment(variable)?)));
        key.chain(secrets).map(read).collect()
    }
}

/// Reads `NAME=VALUE`.
pub(crate) fn pair(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not NAME=VALUE")),
    }
}

/// Reads `3,15`: dollars per million tokens of prompt and of answer.
pub(crate) fn price(text: &str) -> std::result::Result<Rates, String> {
    let (input, output) = text.split_once(',').ok_or_else(|| format!("`{text}` is not INPUT,OUTPUT"))?;
    let rate = |text: &str| text.trim().parse().map_err(|error: preloop_types::MoneyError| error.to_string());
    Ok(Rates { input: rate(input)?, output: rate(output)?, ..Rates::default() })
}
