//! `/api/v1/mcp-servers`

use std::{collections::BTreeMap, sync::Arc};

use http::StatusCode;
use preloop_api_types::{
    JsonObject, Message, Page,
    mcp_servers::{
        AcceptTool, CreateMcpServer, McpServer, McpTool, Redacted, ScanResult, ServerSettings, ToolDiff, ToolFinding,
        UpdateMcpServer,
    },
};
use preloop_govern::config::ServerChange;
use preloop_mcp::catalogue::ScanReport;
use preloop_store::Finding;
use preloop_types::{
    AccountId, Hash, ServerId, Subject, ToolId,
    config::{self, Auth, OAuthSettings, RawJson, Server, ServerStatus, Tool, Transport},
};
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;

use super::{shape, tools::Definition};
use crate::{
    App,
    caller::{Caller, CreateMcpServers, DeleteMcpServers, EditMcpServers, ManageMcpServers, ViewMcpServers},
    error::{ApiError, ApiResult, upstream},
    extract::{Id, Json, Listed, OptionalJson, Query, created},
    openapi::guarded,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(guarded!(list))
        .routes(guarded!(create))
        .routes(guarded!(get))
        .routes(guarded!(update))
        .routes(guarded!(delete))
        .routes(guarded!(scan))
        .routes(guarded!(tools))
        .routes(guarded!(diff))
        .routes(guarded!(accept))
}

/// The account's MCP servers, by name.
#[utoipa::path(get, path = "/api/v1/mcp-servers", tag = "mcp-servers", params(Page),
    responses((status = 200, body = Vec<McpServer>)))]
async fn list(caller: Caller<ViewMcpServers>, Query(page): Query<Page>) -> Result<Listed<McpServer>, ApiError> {
    let account = caller.who().account;
    let servers = caller.store().account(account).servers().await?;
    Ok(Listed::page(servers, &page)?.map(|server| shown(account, &server)))
}

/// Adds an MCP server and lists its tools at once. A server that cannot be reached is added all the
/// same, with status `error`.
#[utoipa::path(post, path = "/api/v1/mcp-servers", tag = "mcp-servers",
    responses((status = 201, body = McpServer)))]
async fn create(
    caller: Caller<CreateMcpServers>,
    Json(body): Json<CreateMcpServer>,
) -> Result<(StatusCode, axum::Json<McpServer>), ApiError> {
    let change = ServerChange {
        name: Some(body.name),
        transport: Some(body.transport),
        url: body.url,
        command: body.command,
        args: Some(body.args),
        cwd: Some(body.cwd),
        env: Some(body.env),
        auth_type: Some(body.auth_type),
        auth_config: body.auth_config,
        settings: settings(&body.settings),
        disabled: body.status.map(|status| status == ServerStatus::Disabled),
    };
    let server = caller.config().create_server(caller.who(), change).await?;
    let server = first_scan(&caller, caller.who().account, server).await?;
    Ok(created(shown(caller.who().account, &server)))
}

/// One MCP server.
#[utoipa::path(get, path = "/api/v1/mcp-servers/{id}", tag = "mcp-servers",
    responses((status = 200, body = McpServer)))]
async fn get(caller: Caller<ViewMcpServers>, Id(id): Id<ServerId>) -> ApiResult<McpServer> {
    let account = caller.who().account;
    Ok(axum::Json(shown(account, &find(&caller, account, id).await?)))
}

/// Changes an MCP server; its tools are listed anew if it may be another one now.
#[utoipa::path(put, path = "/api/v1/mcp-servers/{id}", tag = "mcp-servers",
    responses((status = 200, body = McpServer)))]
async fn update(
    caller: Caller<EditMcpServers>,
    Id(id): Id<ServerId>,
    Json(body): Json<UpdateMcpServer>,
) -> ApiResult<McpServer> {
    let change = ServerChange {
        name: body.name,
        transport: body.transport,
        url: body.url,
        command: body.command,
        args: body.args,
        cwd: body.cwd.patch(),
        env: body.env,
        auth_type: body.auth_type,
        auth_config: body.auth_config,
        settings: body.settings.as_ref().map(settings).unwrap_or_default(),
        disabled: body.status.map(|status| status == ServerStatus::Disabled),
    };
    let saved = caller.config().update_server(caller.who(), id, change).await?;
    let mut server = saved.server;
    if saved.changed {
        caller.mcp().upstreams().forget(id);
    }
    if saved.rescan {
        server = first_scan(&caller, caller.who().account, server).await?;
    }
    Ok(axum::Json(shown(caller.who().account, &server)))
}

/// Removes an MCP server with its tools and their configurations.
#[utoipa::path(delete, path = "/api/v1/mcp-servers/{id}", tag = "mcp-servers",
    responses((status = 200, body = Message)))]
async fn delete(caller: Caller<DeleteMcpServers>, Id(id): Id<ServerId>) -> ApiResult<Message> {
    caller.config().delete_server(caller.who(), id).await?;
    caller.mcp().upstreams().forget(id);
    Ok(axum::Json(Message { message: "MCP server deleted".to_owned() }))
}

/// Lists a server's tools anew: pins new ones, finds changed ones.
#[utoipa::path(post, path = "/api/v1/mcp-servers/{id}/scan", tag = "mcp-servers",
    responses((status = 200, body = ScanResult)))]
async fn scan(caller: Caller<ManageMcpServers>, Id(id): Id<ServerId>) -> ApiResult<ScanResult> {
    let account = caller.who().account;
    let server = find(&caller, account, id).await?;
    match server.status {
        ServerStatus::Disabled => return Err(ApiError::bad_request("the server is disabled; enable it first")),
        ServerStatus::NeedsAuth if matches!(server.auth, Auth::OAuth(_)) => {
            return Err(ApiError::bad_request("the server is not connected yet; give OAuth consent first"));
        }
        _ => {}
    }
    let report = caller.mcp().upstreams().scan(account, &Arc::new(server)).await.map_err(|error| upstream(&error))?;
    let server = find(&caller, account, id).await?;
    Ok(axum::Json(ScanResult {
        server: shown(account, &server),
        tools: tools_of(&caller, account, id).await?,
        warnings: warnings(&report),
        added: report.added,
        changed: [report.drifted, report.repinned].concat(),
        removed: report.removed,
    }))
}

/// What a person should look at after a scan.
fn warnings(report: &ScanReport) -> Vec<String> {
    let drifted = report.drifted.iter().map(|tool| format!("tool `{tool}` changed and is blocked until you accept it"));
    let quarantined = report
        .quarantined
        .iter()
        .map(|tool| format!("the definition of tool `{tool}` looks like an attack; it is blocked until you accept it"));
    let dropped = report.dropped.iter().map(|(tool, why)| format!("tool `{tool}` cannot be offered: {why}"));
    drifted.chain(quarantined).chain(dropped).collect()
}

/// A server's tools as it defines them, removed ones too.
#[utoipa::path(get, path = "/api/v1/mcp-servers/{id}/tools", tag = "mcp-servers", params(Page),
    responses((status = 200, body = Vec<McpTool>)))]
async fn tools(
    caller: Caller<ViewMcpServers>,
    Id(id): Id<ServerId>,
    Query(page): Query<Page>,
) -> Result<Listed<McpTool>, ApiError> {
    let account = caller.who().account;
    find(&caller, account, id).await?;
    Listed::page(tools_of(&caller, account, id).await?, &page)
}

/// How a tool's definition changed since it was pinned.
#[utoipa::path(get, path = "/api/v1/mcp-servers/{id}/tools/{tool_id}/diff", tag = "mcp-servers",
    responses((status = 200, body = ToolDiff)))]
async fn diff(caller: Caller<ViewMcpServers>, Id((server, id)): Id<(ServerId, ToolId)>) -> ApiResult<ToolDiff> {
    let tool = find_tool(&caller, caller.who().account, server, id).await?;
    let findings = caller.store().account(caller.who().account).tool_findings(Some(id)).await?;
    let (pinned, current) =
        (value(&tool.definition), value(tool.drifted_definition.as_ref().unwrap_or(&tool.definition)));
    let (old, new) = (pretty(&pinned), pretty(&current));
    let diff = similar::TextDiff::from_lines(&old, &new).unified_diff().header("pinned", "current").to_string();
    Ok(axum::Json(ToolDiff {
        pin: tool.pin,
        pinned_hash: tool.pinned_hash.to_string(),
        definition_hash: tool.definition_hash.to_string(),
        pinned,
        current,
        diff,
        findings: findings.iter().map(finding_shown).collect(),
    }))
}

/// Accepts a tool as it is now: its newest definition is pinned, and the tool may be used again.
#[utoipa::path(post, path = "/api/v1/mcp-servers/{id}/tools/{tool_id}/accept", tag = "mcp-servers",
    request_body = AcceptTool, responses((status = 200, body = McpTool)))]
async fn accept(
    caller: Caller<ManageMcpServers>,
    Id((server, id)): Id<(ServerId, ToolId)>,
    OptionalJson(body): OptionalJson<AcceptTool>,
) -> ApiResult<McpTool> {
    let who = caller.who();
    let tool = find_tool(&caller, who.account, server, id).await?;
    let seen = match &body.definition_hash {
        None => tool.definition_hash,
        Some(text) => text
            .parse::<Hash>()
            .map_err(|_| ApiError::field("body", "definition_hash", "is not a SHA-256 hash in hex", "value_error"))?,
    };
    if seen != tool.definition_hash {
        let detail = format!("The tool has changed again; its definition is `{}` now", tool.definition_hash);
        return Err(ApiError::new(StatusCode::CONFLICT, detail));
    }
    let tool = caller.mcp().upstreams().accept(who.account, id, seen, Subject::from(&**who)).await?;
    let findings = caller.store().account(who.account).tool_findings(Some(id)).await?;
    Ok(axum::Json(tool_shown(tool, &findings)))
}

/// Lists a server's tools for the first time. What goes wrong is kept with the server.
pub(super) async fn first_scan(app: &App, account: AccountId, server: Server) -> Result<Server, ApiError> {
    if !matches!(server.status, ServerStatus::Active | ServerStatus::Error) {
        return Ok(server);
    }
    let id = server.id;
    if let Err(error) = app.mcp().upstreams().scan(account, &Arc::new(server)).await {
        tracing::info!(server = %id, %error, "a server's tools could not be listed");
    }
    find(app, account, id).await
}

pub(super) async fn find(app: &App, account: AccountId, id: ServerId) -> Result<Server, ApiError> {
    let found = app.store().account(account).server(id).await?;
    found.ok_or_else(|| ApiError::not_found("MCP server"))
}

async fn find_tool(app: &App, account: AccountId, server: ServerId, id: ToolId) -> Result<Tool, ApiError> {
    let found = app.store().account(account).tool(id).await?;
    found.filter(|tool| tool.server_id == server).ok_or_else(|| ApiError::not_found("tool"))
}

async fn tools_of(app: &App, account: AccountId, server: ServerId) -> Result<Vec<McpTool>, ApiError> {
    let rows = app.store().account(account);
    let tools = rows.tools().await?;
    let findings = rows.tool_findings(None).await?;
    let ours = tools.into_iter().filter(|tool| tool.server_id == server);
    Ok(ours.map(|tool| tool_shown(tool, &findings)).collect())
}

fn settings(settings: &ServerSettings) -> JsonObject {
    match serde_json::to_value(settings) {
        Ok(Value::Object(members)) => members,
        _ => JsonObject::new(),
    }
}

fn value(raw: &RawJson) -> Value {
    serde_json::from_str(raw.0.get()).unwrap_or_default()
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

fn finding_shown(finding: &Finding) -> ToolFinding {
    ToolFinding { kind: finding.kind.clone(), severity: finding.severity.clone(), detail: finding.detail.clone() }
}

fn tool_shown(tool: Tool, findings: &[Finding]) -> McpTool {
    let definition: Definition = serde_json::from_str(tool.definition.0.get()).unwrap_or_default();
    McpTool {
        id: tool.id.0,
        mcp_server_id: tool.server_id.0,
        name: tool.upstream_name,
        exposed_name: tool.exposed_name,
        description: definition.description,
        input_schema: definition.input_schema.unwrap_or_else(|| json!({"type": "object"})),
        pin: tool.pin,
        pinned_hash: tool.pinned_hash.to_string(),
        definition_hash: tool.definition_hash.to_string(),
        findings: findings.iter().filter(|finding| finding.tool == tool.id).map(finding_shown).collect(),
        discovered_at: shape::at(tool.discovered_at),
        created_at: shape::at(tool.discovered_at),
        updated_at: shape::at(tool.last_seen_at),
        removed_at: shape::at_opt(tool.removed_at),
    }
}

fn shown(account: AccountId, server: &Server) -> McpServer {
    let (mut url, mut command, mut args, mut env, mut cwd) = (None, None, Vec::new(), BTreeMap::new(), None);
    match &server.transport {
        Transport::StreamableHttp { url: at } | Transport::Sse { url: at } => url = Some(at.clone()),
        Transport::Stdio { command: program, args: given, cwd: at, env: names } => {
            command = Some(program.clone());
            args.clone_from(given);
            cwd.clone_from(at);
            env = names.iter().map(|name| (name.clone(), Redacted::SET)).collect();
        }
    }
    let (auth_type, auth_config) = auth_shown(&server.auth);
    let facts = server.facts.as_ref();
    McpServer {
        id: server.id.0,
        account_id: account.0,
        name: server.name.clone(),
        slug: server.slug.clone(),
        transport: server.transport.kind().replace('_', "-"),
        url,
        command,
        args,
        env,
        cwd,
        auth_type: auth_type.to_owned(),
        auth_config,
        settings: settings_shown(&server.settings),
        status: server.status,
        last_scan_at: shape::at_opt(server.last_scan_at),
        last_error: server.last_error.clone(),
        protocol_version: facts.map(|facts| facts.protocol_version.clone()),
        server_info: facts.map(|facts| value(&facts.server_info)),
        capabilities: facts.map(|facts| value(&facts.capabilities)),
        instructions: facts.and_then(|facts| facts.instructions.clone()),
        created_at: shape::at(server.created_at),
        updated_at: shape::at(server.updated_at),
    }
}

fn auth_shown(auth: &Auth) -> (&'static str, Option<JsonObject>) {
    let redacted = json!({"redacted": true});
    let (kind, config) = match auth {
        Auth::None => return ("none", None),
        Auth::Bearer => ("bearer", json!({"token": redacted})),
        Auth::ApiKey { header } => ("api_key", json!({"api_key": redacted, "key_name": header})),
        Auth::Header { names } => {
            let headers: JsonObject = names.iter().map(|name| (name.clone(), redacted.clone())).collect();
            ("header", json!({"headers": headers}))
        }
        Auth::OAuth(OAuthSettings { client_id, scopes, issuer, expires_at }) => {
            ("oauth", json!({"client_id": client_id, "scopes": scopes, "issuer": issuer, "expires_at": expires_at}))
        }
    };
    match config {
        Value::Object(members) => (kind, Some(members)),
        _ => (kind, None),
    }
}

fn settings_shown(settings: &config::ServerSettings) -> ServerSettings {
    ServerSettings {
        prefix: Some(settings.prefix),
        pin: Some(settings.pin),
        connect_ms: Some(settings.connect_ms),
        call_ms: Some(settings.call_ms),
        max_concurrency: Some(settings.max_concurrency),
        max_response_bytes: Some(settings.max_response_bytes),
        trusted_annotations: Some(settings.trusted_annotations),
        allow_sampling: Some(settings.allow_sampling),
        allow_elicitation: Some(settings.allow_elicitation),
        allow_roots: Some(settings.allow_roots),
        allow_private_network: Some(settings.allow_private_network),
    }
}
