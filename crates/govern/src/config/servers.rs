//! Upstream servers.

use std::collections::BTreeMap;

use preloop_store::{SecretOwner, Tx};
use preloop_types::{
    Principal, ServerId,
    config::{Auth, OAuthSettings, Server, ServerSettings, ServerStatus, Transport},
};
use serde_json::Value;

use super::{
    Config, ConfigError, ConfigOptions, JsonObject, Patch, Result, limits,
    record::{Actor, What},
    secrets::Wanted,
};

/// What to change about a server; to make one, what it shall be.
#[derive(Clone, Default)]
pub struct ServerChange {
    /// Display name.
    pub name: Option<String>,
    /// `streamable-http`, `sse` or `stdio`, in any accepted spelling.
    pub transport: Option<String>,
    /// Where it is.
    pub url: Option<String>,
    /// The program.
    pub command: Option<String>,
    /// The program's arguments.
    pub args: Option<Vec<String>>,
    /// Where the program runs.
    pub cwd: Patch<String>,
    /// The program's environment: secrets.
    pub env: Option<BTreeMap<String, Value>>,
    /// `none`, `bearer`, `api_key`, `header` or `oauth`.
    pub auth_type: Option<String>,
    /// What the authentication needs: secrets and a few plain settings.
    pub auth_config: Option<JsonObject>,
    /// Members of [`ServerSettings`] to set; absent and `null` ones stay.
    pub settings: JsonObject,
    /// Switches it off, or on again.
    pub disabled: Option<bool>,
}

/// A server as it was saved.
#[derive(Debug, Clone)]
pub struct SavedServer {
    /// The server.
    pub server: Server,
    /// Whether anything changed.
    pub changed: bool,
    /// Whether its tools must be listed (again), because it may be another server now.
    pub rescan: bool,
    /// Secrets that were to be kept and are not there.
    pub missing: Vec<String>,
}

impl Config {
    /// Adds a server. Nothing is known of its tools until it is scanned.
    pub async fn create_server(&self, who: &Principal, change: ServerChange) -> Result<Server> {
        let by = Actor::from(who);
        let options = self.options.clone();
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let saved = create(tx, by, &options, change).await?;
                complete(&saved)?;
                Ok(saved.server)
            })
        })
        .await
    }

    /// Changes a server.
    pub async fn update_server(&self, who: &Principal, id: ServerId, change: ServerChange) -> Result<SavedServer> {
        let by = Actor::from(who);
        let options = self.options.clone();
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let old = tx.server(id).await?.ok_or(ConfigError::NotFound("MCP server"))?;
                let saved = update(tx, by, &options, &old, change).await?;
                complete(&saved)?;
                Ok(saved)
            })
        })
        .await
    }

    /// Removes a server with its tools and their configurations.
    pub async fn delete_server(&self, who: &Principal, id: ServerId) -> Result<()> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let old = tx.server(id).await?.ok_or(ConfigError::NotFound("MCP server"))?;
                delete(tx, by, &old).await
            })
        })
        .await
    }
}

/// A person who sends a placeholder for a secret means one that is there.
fn complete(saved: &SavedServer) -> Result<()> {
    match saved.missing.first() {
        Some(name) => Err(ConfigError::invalid(
            "auth_config",
            format!("`{name}` is redacted and there is no value to keep; send one"),
        )),
        None => Ok(()),
    }
}

pub(super) async fn create(
    tx: &mut Tx<'_>,
    by: Actor,
    options: &ConfigOptions,
    change: ServerChange,
) -> Result<SavedServer> {
    let servers = tx.servers().await?;
    limits::room("MCP servers", servers.len(), limits::SERVERS_MAX)?;
    let name = limits::name("name", change.name.as_deref().unwrap_or_default())?;
    free_name(&servers, &name, None)?;
    let now = tx.now();
    let id = ServerId::new(now);
    let mut wanted = Wanted::default();
    let transport = transport(None, &change, &mut wanted)?;
    let auth = auth(None, &change, &mut wanted)?;
    let secrets = wanted.against(tx, SecretOwner::Server(id), OURS).await?;
    let missing = required(&secrets.missing);
    // Where the operator lets servers be on this machine, a new one may be.
    let defaults = ServerSettings { allow_private_network: options.allow_private_network, ..ServerSettings::default() };
    let server = Server {
        id,
        slug: slug(&servers, &name),
        name,
        transport,
        status: match auth {
            _ if change.disabled == Some(true) => ServerStatus::Disabled,
            Auth::OAuth(_) => ServerStatus::NeedsAuth,
            _ if !missing.is_empty() => ServerStatus::NeedsAuth,
            _ => ServerStatus::Active,
        },
        auth,
        settings: settings(&defaults, &change.settings)?,
        last_scan_at: None,
        last_error: None,
        facts: None,
        created_at: now,
        updated_at: now,
    };
    permitted(options, None, &server)?;
    tx.insert_server(&server).await?;
    secrets.write(tx, SecretOwner::Server(id)).await?;
    by.changed(tx, What::McpServer, (id.0, &server.name), None::<&Server>, Some(&server));
    let rescan = server.status == ServerStatus::Active;
    Ok(SavedServer { server, changed: true, rescan, missing })
}

pub(super) async fn update(
    tx: &mut Tx<'_>,
    by: Actor,
    options: &ConfigOptions,
    old: &Server,
    change: ServerChange,
) -> Result<SavedServer> {
    let owner = SecretOwner::Server(old.id);
    let mut wanted = Wanted::default();
    let mut new = old.clone();
    if let Some(name) = &change.name {
        new.name = limits::name("name", name)?;
        free_name(&tx.servers().await?, &new.name, Some(old.id))?;
    }
    new.transport = transport(Some(&old.transport), &change, &mut wanted)?;
    new.auth = auth(Some(&old.auth), &change, &mut wanted)?;
    new.settings = settings(&old.settings, &change.settings)?;
    let secrets = wanted.against(tx, owner, OURS).await?;
    let missing = required(&secrets.missing);
    let elsewhere = new.transport != old.transport || new.auth != old.auth || !secrets.is_empty();
    let signs_in_anew = matches!(new.auth, Auth::OAuth(_)) && !matches!(old.auth, Auth::OAuth(_));
    new.status = match (change.disabled, old.status) {
        (Some(true), _) | (None, ServerStatus::Disabled) => ServerStatus::Disabled,
        _ if signs_in_anew => ServerStatus::NeedsAuth,
        (Some(false), ServerStatus::Disabled) => ServerStatus::Active,
        _ if elsewhere => ServerStatus::Active,
        (_, status) => status,
    };
    permitted(options, Some(old), &new)?;
    if new == *old && secrets.is_empty() {
        return Ok(SavedServer { server: new, changed: false, rescan: false, missing });
    }
    new.updated_at = tx.now();
    tx.update_server(&new).await?;
    secrets.write(tx, owner).await?;
    by.changed(tx, What::McpServer, (new.id.0, &new.name), Some(old), Some(&new));
    let back = old.status == ServerStatus::Disabled || old.settings.prefix != new.settings.prefix;
    let rescan = (elsewhere || back) && matches!(new.status, ServerStatus::Active | ServerStatus::Error);
    Ok(SavedServer { server: new, changed: true, rescan, missing })
}

/// Of the secrets that are not there, those a server cannot do without.
fn required(missing: &[String]) -> Vec<String> {
    missing.iter().filter(|name| !OPTIONAL.contains(&name.as_str())).cloned().collect()
}

pub(super) async fn delete(tx: &mut Tx<'_>, by: Actor, old: &Server) -> Result<()> {
    tx.delete_server(old.id).await?;
    by.changed(tx, What::McpServer, (old.id.0, &old.name), Some(old), None::<&Server>);
    Ok(())
}

/// Secrets that a change of the configuration may forget, by how their names begin.
const OURS: &[&str] =
    &["token", "api_key", "header.", "client_secret", "access_token", "refresh_token", "oauth.", "env."];
/// Secrets that need not be there: what a person's OAuth consent gave. They go with OAuth.
const OPTIONAL: &[&str] = &["client_secret", "access_token", "refresh_token", "oauth.grant", "oauth.pending"];

fn free_name(servers: &[Server], name: &str, except: Option<ServerId>) -> Result<()> {
    if servers.iter().any(|server| server.name == name && Some(server.id) != except) {
        return Err(ConfigError::Refused(format!("an MCP server named `{name}` already exists")));
    }
    Ok(())
}

/// A slug made of `name` that no server of the account has.
fn slug(servers: &[Server], name: &str) -> String {
    let words = name.to_lowercase();
    let words: Vec<_> = words.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let base: String = words.join("-").chars().take(SLUG_MAX).collect();
    let base = match base.trim_end_matches('-') {
        "" => "server",
        base => base,
    };
    let taken = |slug: &str| RESERVED_SLUGS.contains(&slug) || servers.iter().any(|server| server.slug == slug);
    std::iter::once(base.to_owned())
        .chain((2..u32::MAX).map(|n| {
            let suffix = format!("-{n}");
            let kept: String = base.chars().take(SLUG_MAX - suffix.len()).collect();
            kept.trim_end_matches('-').to_owned() + &suffix
        }))
        .find(|slug| !taken(slug))
        .unwrap_or_default()
}

const SLUG_MAX: usize = 24;
const RESERVED_SLUGS: &[&str] = &["builtin", "mcp", "http", "agent"];

fn transport(old: Option<&Transport>, change: &ServerChange, secrets: &mut Wanted) -> Result<Transport> {
    let kind = match &change.transport {
        Some(word) => transport_kind(word)?,
        None => old.map_or("streamable_http", Transport::kind),
    };
    if kind == "stdio" {
        return stdio(old, change, secrets);
    }
    let old_url = match old {
        Some(Transport::StreamableHttp { url } | Transport::Sse { url }) => Some(url),
        _ => None,
    };
    let url = change.url.as_ref().or(old_url).ok_or_else(|| ConfigError::invalid("url", "is missing"))?;
    let url = limits::url("url", url)?;
    Ok(if kind == "sse" { Transport::Sse { url } } else { Transport::StreamableHttp { url } })
}

fn transport_kind(word: &str) -> Result<&'static str> {
    match word.replace('_', "-").as_str() {
        "streamable-http" | "http-streaming" | "http" => Ok("streamable_http"),
        "sse" => Ok("sse"),
        "stdio" => Ok("stdio"),
        _ => {
            Err(ConfigError::invalid("transport", format!("`{word}` is not one of `streamable-http`, `sse`, `stdio`")))
        }
    }
}

fn stdio(old: Option<&Transport>, change: &ServerChange, secrets: &mut Wanted) -> Result<Transport> {
    let (old_command, old_args, old_cwd, old_env) = match old {
        Some(Transport::Stdio { command, args, cwd, env }) => {
            (Some(command), args.as_slice(), cwd.as_ref(), env.as_slice())
        }
        _ => (None, &[][..], None, &[][..]),
    };
    let command =
        change.command.as_ref().or(old_command).ok_or_else(|| ConfigError::invalid("command", "is missing"))?;
    let args = change.args.as_deref().unwrap_or(old_args);
    limits::count("args", args.len(), limits::ITEMS_MAX)?;
    let cwd = change.cwd.as_ref().map_or(old_cwd, Option::as_ref);
    let env = match &change.env {
        None => {
            for name in old_env {
                secrets.keep(format!("env.{name}"));
            }
            old_env.to_vec()
        }
        Some(env) => {
            limits::count("env", env.len(), limits::ITEMS_MAX)?;
            for (name, value) in env {
                let plain = !name.is_empty()
                    && name.len() <= limits::NAME_MAX
                    && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                    && !name.starts_with(|c: char| c.is_ascii_digit());
                if !plain {
                    return Err(ConfigError::invalid(
                        "env",
                        format!("`{name}` is not the name of an environment variable"),
                    ));
                }
                secrets.take(&format!("env.{name}"), format!("env.{name}"), value)?;
            }
            env.keys().cloned().collect()
        }
    };
    Ok(Transport::Stdio {
        command: limits::named("command", command, limits::URL_MAX)?,
        args: args.iter().map(|arg| limits::text("args", arg, 4_096)).collect::<Result<_>>()?,
        cwd: cwd.map(|cwd| limits::named("cwd", cwd, limits::URL_MAX)).transpose()?,
        env,
    })
}

fn auth(old: Option<&Auth>, change: &ServerChange, secrets: &mut Wanted) -> Result<Auth> {
    let kind = match &change.auth_type {
        Some(kind) => kind.as_str(),
        None => old.map_or("none", auth_kind),
    };
    let same_kind = old.filter(|old| auth_kind(old) == kind);
    let Some(given) = &change.auth_config else {
        if let Some(old) = same_kind {
            keep_all(old, secrets);
            return Ok(old.clone());
        }
        return match kind {
            "none" => Ok(Auth::None),
            "oauth" => Ok(Auth::OAuth(OAuthSettings::default())),
            _ => Err(ConfigError::invalid("auth_config", format!("is missing; `auth_type` is `{kind}`"))),
        };
    };
    if given.get("redacted").and_then(Value::as_bool) == Some(true) {
        return redacted_auth(kind, same_kind, given, secrets);
    }
    match kind {
        "none" => Ok(Auth::None),
        "bearer" => {
            let token = given.get("token").or_else(|| given.get("access_token"));
            let token = token.ok_or_else(|| ConfigError::invalid("auth_config.token", "is missing"))?;
            secrets.take("auth_config.token", "token", token)?;
            Ok(Auth::Bearer)
        }
        "api_key" => {
            let key = given.get("api_key").or_else(|| given.get("key"));
            let key = key.ok_or_else(|| ConfigError::invalid("auth_config.api_key", "is missing"))?;
            secrets.take("auth_config.api_key", "api_key", key)?;
            let header = key_header(same_kind, given)?;
            Ok(Auth::ApiKey { header })
        }
        "header" => {
            let headers = given.get("headers").and_then(Value::as_object).unwrap_or(given);
            limits::count("auth_config.headers", headers.len(), 20)?;
            let mut names = Vec::new();
            for (name, value) in headers {
                let field = format!("auth_config.headers.{name}");
                let name = limits::header_name(&field, name)?;
                secrets.take(&field, format!("header.{name}"), value)?;
                names.push(name);
            }
            if names.is_empty() {
                return Err(ConfigError::invalid("auth_config.headers", "is empty"));
            }
            Ok(Auth::Header { names })
        }
        "oauth" => oauth(same_kind, given, secrets),
        _ => Err(ConfigError::invalid(
            "auth_type",
            format!("`{kind}` is not one of `none`, `bearer`, `api_key`, `header`, `oauth`"),
        )),
    }
}

/// The secrets stay as they are; what is not secret may still be said.
fn redacted_auth(kind: &str, old: Option<&Auth>, given: &JsonObject, secrets: &mut Wanted) -> Result<Auth> {
    let auth = match (kind, old) {
        ("oauth", old) => return oauth(old, given, secrets),
        ("api_key", old) => Auth::ApiKey { header: key_header(old, given)? },
        ("bearer", _) => Auth::Bearer,
        ("header", Some(old)) => old.clone(),
        ("none", _) => Auth::None,
        _ => return Err(ConfigError::invalid("auth_config", "is redacted, so there is no value to use; send one")),
    };
    keep_all(&auth, secrets);
    Ok(auth)
}

fn key_header(old: Option<&Auth>, given: &JsonObject) -> Result<String> {
    let header = ["key_name", "header"].iter().find_map(|name| given.get(*name)?.as_str());
    match (header, old) {
        (Some(header), _) => limits::header_name("auth_config.key_name", header),
        (None, Some(Auth::ApiKey { header })) => Ok(header.clone()),
        (None, _) => Ok("X-API-Key".to_owned()),
    }
}

fn oauth(old: Option<&Auth>, given: &JsonObject, secrets: &mut Wanted) -> Result<Auth> {
    let mut oauth = match old {
        Some(Auth::OAuth(oauth)) => oauth.clone(),
        _ => OAuthSettings::default(),
    };
    for name in OPTIONAL {
        secrets.keep(*name);
    }
    if let Some(id) = given.get("client_id").and_then(Value::as_str) {
        oauth.client_id = Some(limits::named("auth_config.client_id", id, 500)?);
    }
    if let Some(secret) = given.get("client_secret") {
        secrets.take("auth_config.client_secret", "client_secret", secret)?;
    }
    let scopes = match given.get("scopes").or_else(|| given.get("scope")) {
        Some(Value::String(scopes)) => Some(scopes.split_whitespace().map(str::to_owned).collect::<Vec<_>>()),
        Some(Value::Array(scopes)) => Some(scopes.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
        _ => None,
    };
    if let Some(scopes) = scopes {
        limits::count("auth_config.scopes", scopes.len(), limits::ITEMS_MAX)?;
        oauth.scopes = scopes.iter().map(|s| limits::named("auth_config.scopes", s, 200)).collect::<Result<_>>()?;
    }
    Ok(Auth::OAuth(oauth))
}

fn keep_all(auth: &Auth, secrets: &mut Wanted) {
    match auth {
        Auth::None => {}
        Auth::Bearer => secrets.keep("token"),
        Auth::ApiKey { .. } => secrets.keep("api_key"),
        Auth::Header { names } => names.iter().for_each(|name| secrets.keep(format!("header.{name}"))),
        Auth::OAuth(_) => OPTIONAL.iter().for_each(|name| secrets.keep(*name)),
    }
}

/// The spelling of an authentication in JSON and YAML.
fn auth_kind(auth: &Auth) -> &'static str {
    match auth {
        Auth::None => "none",
        Auth::Bearer => "bearer",
        Auth::ApiKey { .. } => "api_key",
        Auth::Header { .. } => "header",
        Auth::OAuth(_) => "oauth",
    }
}

fn settings(old: &ServerSettings, change: &JsonObject) -> Result<ServerSettings> {
    let mut merged = serde_json::to_value(old).unwrap_or_default();
    if let Value::Object(merged) = &mut merged {
        merged.extend(change.iter().filter(|(_, value)| !value.is_null()).map(|(k, v)| (k.clone(), v.clone())));
    }
    let settings: ServerSettings =
        serde_json::from_value(merged).map_err(|error| ConfigError::invalid("settings", error.to_string()))?;
    limits::range("settings.connect_ms", settings.connect_ms, 100, 60_000)?;
    limits::range("settings.call_ms", settings.call_ms, 1_000, 86_400_000)?;
    limits::range("settings.max_concurrency", settings.max_concurrency.into(), 1, 10_000)?;
    limits::range("settings.max_response_bytes", settings.max_response_bytes, 1_024, 64 * 1_024 * 1_024)?;
    Ok(settings)
}

/// What only some instances allow. What is there already may stay.
fn permitted(options: &ConfigOptions, old: Option<&Server>, new: &Server) -> Result<()> {
    let stdio = matches!(new.transport, Transport::Stdio { .. });
    if stdio && !options.allow_stdio && old.is_none_or(|old| old.transport != new.transport) {
        return Err(ConfigError::Forbidden(
            "this instance does not run programs as MCP servers; the operator allows it with `--allow-stdio`".into(),
        ));
    }
    let private = new.settings.allow_private_network && old.is_none_or(|old| !old.settings.allow_private_network);
    if private && !options.allow_private_network {
        return Err(ConfigError::Forbidden(
            "this instance does not let MCP servers be on private networks; the operator allows it with \
             `--allow-private-network`"
                .into(),
        ));
    }
    Ok(())
}
