//! `/api/v1/policies`

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{FromRequest, Multipart, Request},
    response::{IntoResponse, Response},
};
use futures::future::join_all;
use http::{StatusCode, header};
use preloop_api_types::policies::{
    ApplyOptions, DiffOptions, ExportOptions, GeneratePolicy, GeneratePolicyFromAudit, GeneratedPolicy, KeepVersion,
    LintFinding, LintOptions, ListVersions, PolicyChange, PolicyDiff, PolicyError, PolicyImportResult, PolicyLint,
    PolicyReplay, PolicyText, PolicyUpload, PolicyVersion, PolicyVersions, PruneVersions, PrunedVersions,
    ReplayOptions, Rollback, RollbackResult, ValidateOptions, Validation, VersionTag,
};
use preloop_govern::config::{
    Applied, ApplyRequest, ConfigError, GenerateFrom, Generated, LintRequest, PolicyProblem, ReplayRequest,
};
use preloop_policy::{diff::Diff, document, lint::Linted};
use preloop_types::{Principal, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

use super::shape;
use crate::{
    App,
    caller::{Anyone, Caller, ManagePolicies, ViewAuditLogs, ViewPolicies},
    error::{ApiError, ApiResult},
    extract::{Id, Json, OptionalJson, Query, body, limit, parse},
    openapi::guarded,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(guarded!(validate))
        .routes(guarded!(diff))
        .routes(guarded!(apply))
        .routes(guarded!(upload))
        .routes(guarded!(lint))
        .routes(guarded!(replay))
        .routes(guarded!(generate))
        .routes(guarded!(generate_from_audit))
        .routes(guarded!(export))
        .routes(guarded!(schema))
        .routes(guarded!(versions))
        .routes(guarded!(keep_version))
        .routes(guarded!(version))
        .routes(guarded!(rollback))
        .routes(guarded!(tag))
        .routes(guarded!(untag))
        .routes(guarded!(delete_version))
        .routes(guarded!(prune_versions))
}

/// Says what is wrong with a document.
#[utoipa::path(post, path = "/api/v1/policies/validate", tag = "policies", params(ValidateOptions),
    request_body(content((PolicyText = "application/json"), (String = "application/yaml"),
        (PolicyUpload = "multipart/form-data"))),
    responses((status = 200, body = Validation)))]
async fn validate(
    caller: Caller<ViewPolicies>,
    Query(options): Query<ValidateOptions>,
    sent: Sent,
) -> ApiResult<Validation> {
    let references = sent.flag("check_server_references", options.check_server_references).unwrap_or(true);
    let (errors, warnings) = caller.config().validate_policy(caller.who(), &sent.text, references).await?;
    let errors: Vec<_> = errors.into_iter().map(problem).collect();
    Ok(axum::Json(Validation { is_valid: errors.is_empty(), errors, warnings }))
}

/// Says what applying a document would change.
#[utoipa::path(post, path = "/api/v1/policies/diff", tag = "policies", params(DiffOptions),
    request_body(content((PolicyText = "application/json"), (String = "application/yaml"),
        (PolicyUpload = "multipart/form-data"))),
    responses((status = 200, body = PolicyDiff)))]
async fn diff(caller: Caller<ViewPolicies>, Query(options): Query<DiffOptions>, sent: Sent) -> ApiResult<PolicyDiff> {
    let prune = options.prune || sent.flag("prune", None).unwrap_or(false);
    let diff = caller.config().diff_policy(caller.who(), &sent.text, prune).await.map_err(unreadable)?;
    Ok(axum::Json(diff_shown(diff)))
}

/// Applies a document: everything, or nothing where something is wrong.
#[utoipa::path(post, path = "/api/v1/policies/apply", tag = "policies", params(ApplyOptions),
    request_body(content((PolicyText = "application/json"), (String = "application/yaml"),
        (PolicyUpload = "multipart/form-data"))),
    responses((status = 200, body = PolicyImportResult)))]
async fn apply(
    caller: Caller<ManagePolicies>,
    Query(options): Query<ApplyOptions>,
    sent: Sent,
) -> ApiResult<PolicyImportResult> {
    carry_out(&caller, options, sent).await
}

/// The same as `apply`.
#[utoipa::path(post, path = "/api/v1/policies/upload", tag = "policies", params(ApplyOptions),
    request_body(content((PolicyUpload = "multipart/form-data"), (PolicyText = "application/json"),
        (String = "application/yaml"))),
    responses((status = 200, body = PolicyImportResult)))]
async fn upload(
    caller: Caller<ManagePolicies>,
    Query(options): Query<ApplyOptions>,
    sent: Sent,
) -> ApiResult<PolicyImportResult> {
    carry_out(&caller, options, sent).await
}

/// Says what is odd about a document: rules that never decide, rules in each other's way, calls that
/// would get further than now.
#[utoipa::path(post, path = "/api/v1/policies/lint", tag = "policies", params(LintOptions),
    request_body(content((PolicyText = "application/json"), (String = "application/yaml"),
        (PolicyUpload = "multipart/form-data"))),
    responses((status = 200, body = PolicyLint)))]
async fn lint(caller: Caller<ViewPolicies>, Query(options): Query<LintOptions>, sent: Sent) -> ApiResult<PolicyLint> {
    let request = LintRequest {
        against_active: sent.flag("against_active", options.against_active).unwrap_or(true),
        prune: options.prune || sent.flag("prune", None).unwrap_or(false),
        text: sent.text,
    };
    let findings = caller.config().lint_policy(caller.who(), request).await.map_err(unreadable)?;
    Ok(axum::Json(PolicyLint { findings: findings.into_iter().map(finding).collect() }))
}

/// Decides recorded calls anew, as if a document were applied: which decisions would change, and who
/// would have been asked. Nothing is written.
#[utoipa::path(post, path = "/api/v1/policies/replay", tag = "policies", params(ReplayOptions),
    request_body(content((PolicyText = "application/json"), (String = "application/yaml"),
        (PolicyUpload = "multipart/form-data"))),
    responses((status = 200, body = PolicyReplay)))]
async fn replay(
    caller: Caller<ViewAuditLogs>,
    Query(options): Query<ReplayOptions>,
    sent: Sent,
) -> ApiResult<preloop_policy::replay::Report> {
    let request = ReplayRequest {
        prune: options.prune || sent.flag("prune", None).unwrap_or(false),
        since: options.since.map(Timestamp::from),
        until: options.until.map(Timestamp::from),
        limit: u64::from(limit(options.limit, 100_000, 1_000_000)?),
        text: sent.text,
    };
    Ok(axum::Json(caller.config().replay_policy(caller.who(), request).await.map_err(unreadable)?))
}

/// Has the account's model write a policy. It is valid, and not applied.
#[utoipa::path(post, path = "/api/v1/policies/generate", tag = "policies",
    request_body = GeneratePolicy, responses((status = 200, body = GeneratedPolicy)))]
async fn generate(caller: Caller<ManagePolicies>, Json(body): Json<GeneratePolicy>) -> ApiResult<GeneratedPolicy> {
    let with_current = body.include_current_config.unwrap_or(true);
    written(&caller, GenerateFrom::Prompt { text: body.prompt, with_current }).await
}

/// Has the account's model write a policy that fits recorded calls. It is valid, and not applied.
#[utoipa::path(post, path = "/api/v1/policies/generate-from-audit", tag = "policies",
    request_body = GeneratePolicyFromAudit, responses((status = 200, body = GeneratedPolicy)))]
async fn generate_from_audit(
    caller: Caller<ManagePolicies>,
    OptionalJson(body): OptionalJson<GeneratePolicyFromAudit>,
) -> ApiResult<GeneratedPolicy> {
    let from = match body.audit_logs_json {
        Some(json) => GenerateFrom::Calls(json),
        None => GenerateFrom::Recorded {
            since: body.start_date.map(|text| day("start_date", &text, 0)).transpose()?,
            until: body.end_date.map(|text| day("end_date", &text, 1)).transpose()?,
        },
    };
    written(&caller, from).await
}

async fn written(caller: &Caller<ManagePolicies>, from: GenerateFrom) -> ApiResult<GeneratedPolicy> {
    let Generated { yaml, warnings } = caller.config().generate_policy(caller.models(), caller.who(), from).await?;
    Ok(axum::Json(GeneratedPolicy { yaml, warnings }))
}

/// A time, or the start of a day so many days later.
fn day(field: &str, text: &str, later: i64) -> Result<Timestamp, ApiError> {
    const DAY_MICROS: i64 = 86_400_000_000;
    let read = |text: String| serde_json::from_value::<Timestamp>(Value::String(text)).ok();
    let of_day = || read(format!("{text}T00:00:00Z")).map(|at| at.micros() + later * DAY_MICROS);
    let found = read(text.to_owned()).or_else(|| of_day().map(Timestamp::from_micros));
    found.ok_or_else(|| ApiError::bad_request(format!("`{field}` is neither a time nor a day: `{text}`")))
}

/// The account's configuration as a document. Applying it changes nothing; secrets are not part of it.
#[utoipa::path(get, path = "/api/v1/policies/export", tag = "policies", params(ExportOptions),
    responses((status = 200, content((Value = "application/x-yaml"), (Value = "application/json")))))]
async fn export(caller: Caller<ViewPolicies>, Query(options): Query<ExportOptions>) -> Result<Response, ApiError> {
    let name = options.policy_name.as_deref().unwrap_or("Exported Policy");
    if name.trim().is_empty() || name.chars().count() > 200 || name.chars().any(char::is_control) {
        return Err(ApiError::field("query", "policy_name", "is empty, too long or not one line", "value_error"));
    }
    let with_servers = options.include_mcp_servers.unwrap_or(true);
    let document = caller.config().export_policy(caller.who(), name, with_servers).await?;
    let (kind, disposition, text) = match options.format.as_deref().unwrap_or("yaml") {
        "yaml" => ("application/x-yaml", "attachment; filename=\"policy.yaml\"", document.to_yaml(None)),
        "json" => ("application/json", "attachment; filename=\"policy.json\"", pretty(&document.to_json())),
        other => {
            let message = format!("`{other}` is not one of `yaml`, `json`");
            return Err(ApiError::field("query", "format", message, "value_error"));
        }
    };
    Ok(([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, disposition)], text).into_response())
}

/// The JSON Schema of documents, for editors.
#[utoipa::path(get, path = "/api/v1/policies/schema", tag = "policies", responses((status = 200, body = Object)))]
async fn schema(_caller: Caller<Anyone>) -> axum::Json<Value> {
    axum::Json(document::schema())
}

/// The policy as it was after each apply, newest first.
#[utoipa::path(get, path = "/api/v1/policies/versions", tag = "policies", params(ListVersions),
    responses((status = 200, body = PolicyVersions)))]
async fn versions(caller: Caller<ViewPolicies>, Query(query): Query<ListVersions>) -> ApiResult<PolicyVersions> {
    let limit = limit(query.limit, 100, 1_000)? as usize;
    let all = caller.config().policy_versions(caller.who()).await?;
    let total = u32::try_from(all.len()).unwrap_or(u32::MAX);
    let page = all.into_iter().skip(query.offset.unwrap_or(0) as usize).take(limit);
    let mut versions: Vec<PolicyVersion> = page.map(version_shown).collect();
    if query.include_snapshots {
        for version in &mut versions {
            let whole = caller.config().policy_version(caller.who(), version.id).await?;
            version.policy = Some(whole.yaml);
        }
    }
    Ok(axum::Json(PolicyVersions { versions, total }))
}

/// Keeps the configuration as it is now as a version.
#[utoipa::path(post, path = "/api/v1/policies/versions", tag = "policies",
    request_body = KeepVersion, responses((status = 201, body = PolicyVersion)))]
async fn keep_version(
    caller: Caller<ManagePolicies>,
    OptionalJson(body): OptionalJson<KeepVersion>,
) -> Result<(StatusCode, axum::Json<PolicyVersion>), ApiError> {
    let version = caller.config().keep_policy_version(caller.who(), body.description, body.tag).await?;
    let policy = Some(version.yaml.clone());
    Ok((StatusCode::CREATED, axum::Json(PolicyVersion { policy, ..version_shown(version) })))
}

/// One version with its document.
#[utoipa::path(get, path = "/api/v1/policies/versions/{id}", tag = "policies",
    responses((status = 200, body = PolicyVersion)))]
async fn version(caller: Caller<ViewPolicies>, Id(id): Id<Uuid>) -> ApiResult<PolicyVersion> {
    let version = caller.config().policy_version(caller.who(), id).await?;
    let policy = Some(version.yaml.clone());
    Ok(axum::Json(PolicyVersion { policy, ..version_shown(version) }))
}

/// Goes back to a version: what it does not name is removed, secrets stay as they are.
#[utoipa::path(post, path = "/api/v1/policies/versions/{id}/rollback", tag = "policies",
    request_body = Rollback, responses((status = 200, body = RollbackResult)))]
async fn rollback(
    caller: Caller<ManagePolicies>,
    Id(id): Id<Uuid>,
    OptionalJson(body): OptionalJson<Rollback>,
) -> ApiResult<RollbackResult> {
    let (diff, applied) = match caller.config().rollback_policy(caller.who(), id, body.preview_only).await {
        Ok(done) => done,
        Err(error @ (ConfigError::NotFound(_) | ConfigError::Store(_))) => return Err(error.into()),
        Err(error) => {
            let error = Some(ApiError::from(error).message());
            return Ok(axum::Json(RollbackResult { success: false, diff: None, error }));
        }
    };
    if let Some(applied) = &applied {
        settle(&caller, caller.who(), applied).await;
    }
    Ok(axum::Json(RollbackResult { success: true, diff: Some(diff_shown(diff)), error: None }))
}

/// Gives a version a name, by which people find it again. It moves here from a version that has it.
#[utoipa::path(put, path = "/api/v1/policies/versions/{id}/tag", tag = "policies",
    responses((status = 200, body = PolicyVersion)))]
async fn tag(
    caller: Caller<ManagePolicies>,
    Id(id): Id<Uuid>,
    Json(body): Json<VersionTag>,
) -> ApiResult<PolicyVersion> {
    let version = caller.config().tag_policy_version(caller.who(), id, Some(body.tag)).await?;
    Ok(axum::Json(version_shown(version)))
}

/// Takes a version's name away.
#[utoipa::path(delete, path = "/api/v1/policies/versions/{id}/tag", tag = "policies",
    responses((status = 200, body = PolicyVersion)))]
async fn untag(caller: Caller<ManagePolicies>, Id(id): Id<Uuid>) -> ApiResult<PolicyVersion> {
    let version = caller.config().tag_policy_version(caller.who(), id, None).await?;
    Ok(axum::Json(version_shown(version)))
}

/// Removes a version. The one in force stays.
#[utoipa::path(delete, path = "/api/v1/policies/versions/{id}", tag = "policies", responses((status = 204)))]
async fn delete_version(caller: Caller<ManagePolicies>, Id(id): Id<Uuid>) -> Result<StatusCode, ApiError> {
    caller.config().delete_policy_version(caller.who(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Removes old versions. The one in force stays whatever its age.
#[utoipa::path(post, path = "/api/v1/policies/versions/prune", tag = "policies",
    request_body = PruneVersions, responses((status = 200, body = PrunedVersions)))]
async fn prune_versions(
    caller: Caller<ManagePolicies>,
    OptionalJson(body): OptionalJson<PruneVersions>,
) -> ApiResult<PrunedVersions> {
    let PruneVersions { older_than_days, keep_tagged, keep_count } = body;
    let age = Duration::from_secs(u64::from(older_than_days) * 86_400);
    let deleted_count = caller.config().prune_policy_versions(caller.who(), age, keep_count, keep_tagged).await?;
    Ok(axum::Json(PrunedVersions { deleted_count }))
}

/// A document and what came with it.
struct Sent {
    text: String,
    fields: Vec<(String, String)>,
}

impl Sent {
    /// A switch from the form, else from the query.
    fn flag(&self, name: &str, query: Option<bool>) -> Option<bool> {
        let field = self.fields.iter().find(|(field, _)| field == name);
        field.map(|(_, value)| matches!(value.as_str(), "true" | "1" | "on" | "yes")).or(query)
    }
}

impl<S: Send + Sync> FromRequest<S> for Sent {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if kind == "multipart/form-data" {
            return form(request, state).await;
        }
        let body = body(request, state).await?;
        if kind == "application/json" {
            return json_text(&body);
        }
        Ok(Self { text: utf8(body.to_vec())?, fields: Vec::new() })
    }
}

async fn form<S: Send + Sync>(request: Request, state: &S) -> Result<Sent, ApiError> {
    let broken = |error: &dyn std::fmt::Display| ApiError::bad_request(format!("The form cannot be read: {error}"));
    let mut form = Multipart::from_request(request, state).await.map_err(|error| broken(&error))?;
    let (mut text, mut fields) = (None, Vec::new());
    while let Some(part) = form.next_field().await.map_err(|error| broken(&error))? {
        let name = part.name().unwrap_or_default().to_owned();
        let bytes = part.bytes().await.map_err(|error| broken(&error))?;
        if name == "file" {
            text = Some(utf8(bytes.to_vec())?);
        } else {
            fields.push((name, utf8(bytes.to_vec())?));
        }
    }
    let text = text.ok_or_else(|| ApiError::field("body", "file", "is missing", "missing"))?;
    Ok(Sent { text, fields })
}

/// `{"policy": "…"}`, or the document itself in JSON.
fn json_text(body: &[u8]) -> Result<Sent, ApiError> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Text(PolicyText),
        Document(Value),
    }
    let text = match parse(body)? {
        Either::Text(PolicyText { policy }) => policy,
        Either::Document(Value::Object(_)) => utf8(body.to_vec())?,
        Either::Document(_) => {
            return Err(ApiError::field("body", "policy", "is missing; send the document as a string", "missing"));
        }
    };
    Ok(Sent { text, fields: Vec::new() })
}

fn utf8(bytes: Vec<u8>) -> Result<String, ApiError> {
    String::from_utf8(bytes).map_err(|_| ApiError::bad_request("The document is not UTF-8"))
}

async fn carry_out(
    caller: &Caller<ManagePolicies>,
    options: ApplyOptions,
    sent: Sent,
) -> ApiResult<PolicyImportResult> {
    let flag = |name: &str, query: bool| query || sent.flag(name, None).unwrap_or(false);
    if options.description.as_ref().is_some_and(|text| text.chars().count() > 2_000) {
        return Err(ApiError::field("query", "description", "is longer than 2000 characters", "value_error"));
    }
    let request = ApplyRequest {
        dry_run: flag("dry_run", options.dry_run),
        prune: flag("prune", options.prune),
        skip_missing_servers: flag("skip_missing_servers", options.skip_missing_servers),
        resolve_env: sent.flag("resolve_env", options.resolve_env).unwrap_or(true),
        description: options.description,
        text: sent.text,
    };
    let dry_run = request.dry_run;
    let mut applied = caller.config().apply_policy(caller.who(), request).await.map_err(not_applied)?;
    if !dry_run {
        applied.warnings.extend(settle(caller, caller.who(), &applied).await);
    }
    Ok(axum::Json(PolicyImportResult {
        success: true,
        dry_run,
        policy_name: applied.policy_name,
        mcp_servers_created: applied.servers_created,
        mcp_servers_updated: applied.servers_updated,
        policies_created: applied.workflows_created,
        policies_updated: applied.workflows_updated,
        tools_created: applied.tools_created,
        tools_updated: applied.tools_updated,
        tools_skipped: applied.tools_skipped,
        removed: applied.removed,
        version_number: applied.version.and_then(|number| u32::try_from(number).ok()),
        warnings: applied.warnings,
        errors: Vec::new(),
    }))
}

/// Longest wait for the tools of new servers; they are listed on first use otherwise.
const SCANS_WITHIN: Duration = Duration::from_secs(20);

/// Lets go of servers that changed and lists the tools of those that need it. What goes wrong is
/// kept with the server and returned as a warning.
async fn settle(app: &App, who: &Principal, applied: &Applied) -> Vec<String> {
    let upstreams = app.mcp().upstreams();
    applied.touched.iter().for_each(|server| upstreams.forget(*server));
    let scans = applied.to_scan.iter().map(async |server| {
        let (name, server) = (&server.name, Arc::new(server.clone()));
        let scan = upstreams.scan(who.account, &server);
        match tokio::time::timeout(SCANS_WITHIN, scan).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(format!("server `{name}` is added, but its tools could not be listed: {error}")),
            Err(_) => Some(format!("server `{name}` is added, but did not list its tools in time")),
        }
    });
    join_all(scans).await.into_iter().flatten().collect()
}

/// A document that cannot be read: 400 with everything that is wrong.
fn unreadable(error: ConfigError) -> ApiError {
    match error {
        ConfigError::Policy { errors, warnings } => {
            let errors: Vec<_> = errors.into_iter().map(problem).collect();
            ApiError::object(
                StatusCode::BAD_REQUEST,
                json!({"message": "The policy is not valid", "errors": errors, "warnings": warnings}),
            )
        }
        error => error.into(),
    }
}

/// A document that can be read and not be applied: 422. Nothing was written.
fn not_applied(error: ConfigError) -> ApiError {
    match error {
        ConfigError::Policy { .. } | ConfigError::Store(_) | ConfigError::Forbidden(_) => unreadable(error),
        error => ApiError::object(
            StatusCode::UNPROCESSABLE_ENTITY,
            json!({"message": "Failed to apply policy", "errors": [error.to_string()], "warnings": []}),
        ),
    }
}

fn problem(problem: PolicyProblem) -> PolicyError {
    PolicyError {
        path: problem.path,
        message: problem.message,
        value: None,
        line: problem.line,
        column: problem.column,
        help: problem.help,
    }
}

fn finding(finding: Linted) -> LintFinding {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    LintFinding {
        code: finding.code,
        severity: finding.severity,
        path: finding.path,
        message: finding.message,
        help: finding.help,
        line: finding.line.map(number),
        column: finding.column.map(number),
    }
}

fn diff_shown(diff: Diff) -> PolicyDiff {
    PolicyDiff {
        has_changes: !diff.changes.is_empty(),
        summary: diff.summary(),
        changes: diff
            .changes
            .into_iter()
            .map(|change| PolicyChange {
                path: change.path,
                operation: change.operation.as_str().to_owned(),
                old_value: change.old_value,
                new_value: change.new_value,
            })
            .collect(),
    }
}

fn version_shown(version: preloop_store::PolicyVersion) -> PolicyVersion {
    PolicyVersion {
        id: version.id,
        version_number: u32::try_from(version.number).unwrap_or(u32::MAX),
        tag: version.tag,
        description: version.description,
        is_active: version.active,
        mcp_servers_count: version.counts.servers,
        policies_count: version.counts.workflows,
        tools_count: version.counts.tools,
        created_by_user_id: version.created_by.map(|id| id.0),
        created_at: shape::at(version.created_at),
        policy: None,
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}
