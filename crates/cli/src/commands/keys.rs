//! `preloop keys`: credentials of agents and people.

use std::time::Duration;

use clap::{Args, Subcommand};
use preloop_api_types::{
    Utc,
    api_keys::{ApiKey, CreateApiKey, CreatedApiKey, KeyAgent},
};
use preloop_types::Scope;

use crate::{
    cli::{Global, some_text},
    client::Client,
    failure::Result,
    output::{Format, Printer},
    words::{duration, find, maybe_at},
};

const KEYS: &str = "/api/v1/auth/api-keys";

#[derive(Subcommand)]
pub(crate) enum Keys {
    /// Make an API key; its secret is shown once
    Create(Create),
    /// List API keys
    List,
    /// Revoke an API key: whoever holds it is out at once
    Revoke {
        /// Its name or id
        #[arg(value_parser = some_text())]
        key: String,
    },
}

#[derive(Args)]
pub(crate) struct Create {
    /// Its name, unique among your keys
    #[arg(value_parser = some_text())]
    name: String,
    /// For an agent: may list and call tools and call models, and nothing else (the default)
    #[arg(long, conflicts_with = "admin")]
    agent: bool,
    /// For a person: may do everything you may. Never give it to an agent
    #[arg(long)]
    admin: bool,
    /// When it ends, from now: `90d`, `12h`; never, when left out
    #[arg(long, value_name = "SPAN", value_parser = duration)]
    expires: Option<Duration>,
    /// The only tools it may see (repeatable)
    #[arg(long = "tool", value_name = "NAME")]
    tools: Vec<String>,
    /// The only servers whose tools it may see (repeatable)
    #[arg(long = "server", value_name = "NAME")]
    servers: Vec<String>,
    /// The only models it may use: an alias, a glob or `tag:<label>` (repeatable)
    #[arg(long = "model", value_name = "MODELS")]
    models: Vec<String>,
    /// For a managed agent of this kind: `claude_code`, `codex`, `gemini_cli`, `opencode`, `custom`, …
    #[arg(long = "for", value_name = "KIND", conflicts_with = "admin")]
    kind: Option<String>,
    /// The managed agent's name; the key's own when left out
    #[arg(long = "name", value_name = "NAME", requires = "kind")]
    agent_name: Option<String>,
    /// A label of the managed agent, for rules and budgets: `team=web` (repeatable)
    #[arg(long = "label", value_name = "LABEL", requires = "kind")]
    labels: Vec<String>,
}

pub(crate) async fn run(command: &Keys, global: &Global) -> Result {
    let client = Client::new(global)?;
    let printer = global.printer();
    match command {
        Keys::Create(create) => self::create(&client, printer, create).await,
        Keys::List => list(&client, printer).await,
        Keys::Revoke { key } => revoke(&client, printer, key).await,
    }
}

async fn create(client: &Client, printer: Printer, wanted: &Create) -> Result {
    let scopes: &[Scope] = if wanted.admin { &[Scope::Admin] } else { Scope::AGENT };
    let some = |names: &[String]| (!names.is_empty()).then(|| names.to_vec());
    let body = CreateApiKey {
        name: wanted.name.clone(),
        expires_at: wanted.expires.map(|span| Utc::now() + span),
        scopes: scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
        allowed_tools: some(&wanted.tools),
        allowed_servers: some(&wanted.servers),
        allowed_models: wanted.models.clone(),
        agent: wanted.kind.as_ref().map(|kind| KeyAgent {
            name: wanted.agent_name.clone().unwrap_or_else(|| wanted.name.clone()),
            kind: Some(kind.clone()),
            tags: wanted.labels.clone(),
        }),
    };
    let made: CreatedApiKey = client.post(KEYS, &body).await?;
    if printer.format == Format::Table {
        printer.note(&format!("API key `{}` for {}. It is shown this once:", made.name, whom(&made.scopes)));
        return printer.text(&made.key);
    }
    printer.data(&made)
}

async fn list(client: &Client, printer: Printer) -> Result {
    let keys: Vec<ApiKey> = client.get(KEYS).await?;
    printer.list(
        &keys,
        &[
            ("name", |key| key.name.clone()),
            ("for", |key| whom(&key.scopes).to_owned()),
            ("starts with", |key| key.prefix.clone()),
            ("status", |key| key.activity_status.replace('_', " ")),
            ("expires", |key| maybe_at(key.expires_at)),
            ("last used", |key| maybe_at(key.last_used_at)),
            ("id", |key| key.id.to_string()),
        ],
        "there are no API keys",
    )
}

async fn revoke(client: &Client, printer: Printer, wanted: &str) -> Result {
    let keys: Vec<ApiKey> = client.get(KEYS).await?;
    // A name may be taken again once its key is revoked.
    let keys: Vec<ApiKey> = keys.into_iter().filter(|key| key.revoked_at.is_none()).collect();
    let key = find("API key", &keys, wanted, |key| key.id, |key| vec![&key.name])?;
    client.delete(&format!("{KEYS}/{}", key.id)).await?;
    printer.done(key, &format!("API key `{}` is revoked", key.name))
}

/// Who a key of these scopes is meant for.
pub(crate) fn whom(scopes: &[String]) -> &'static str {
    if scopes.iter().any(|scope| scope == Scope::Admin.as_str()) { "a person" } else { "an agent" }
}
