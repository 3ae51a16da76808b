//! `/api/v1/audit-logs` and its alias `/api/v1/audit`

use std::time::Duration;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use futures::StreamExt;
use http::header;
use preloop_api_types::audit::{
    AuditRecord, ExportAudit, FirstBreak, JournalProgress, ListAudit, ProvenRecord, VerifyResult,
};
use preloop_store::{ExportOptions, Record, RecordCursor, RecordFilter};
use preloop_types::{CallId, EntryKind, redact};
use utoipa_axum::router::OpenApiRouter;

use super::shape;
use crate::{
    App,
    caller::{Caller, ViewAuditLogs},
    error::{ApiError, ApiResult},
    extract::{Query, limit},
    openapi::guarded,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(guarded!(list))
        .routes(guarded!(export))
        .routes(guarded!(verify))
        .routes(guarded!(progress))
        .routes(guarded!(get))
        .route("/api/v1/audit", axum::routing::get(list))
        .route("/api/v1/audit/export", axum::routing::get(export))
        .route("/api/v1/audit/verify", axum::routing::get(verify))
        .route("/api/v1/audit/{id}", axum::routing::get(get))
}

/// Records of the journal, newest first. Continue with `after` = the last `id` of the page.
#[utoipa::path(get, path = "/api/v1/audit-logs", tag = "audit", params(ListAudit),
    responses((status = 200, body = Vec<AuditRecord>)))]
async fn list(caller: Caller<ViewAuditLogs>, Query(query): Query<ListAudit>) -> ApiResult<Vec<AuditRecord>> {
    let filter = RecordFilter {
        kinds: kinds(query.action.as_deref())?,
        call: query.correlation_id.map(CallId),
        since: query.start_date.map(Into::into),
        until: query.end_date.map(Into::into),
        after: query.after.as_deref().map(|after| cursor("query", "after", after)).transpose()?,
        limit: limit(query.limit, 100, 1_000)?,
        ..RecordFilter::default()
    };
    let records = caller.store().account(caller.who().account).records(filter).await?;
    Ok(axum::Json(records.iter().map(shown).collect()))
}

/// The journal as lines of JSON that `preloop audit verify` checks without this server.
#[utoipa::path(get, path = "/api/v1/audit-logs/export", tag = "audit", params(ExportAudit),
    responses((status = 200, body = String, content_type = "application/x-ndjson")))]
async fn export(caller: Caller<ViewAuditLogs>, Query(query): Query<ExportAudit>) -> Response {
    let options = ExportOptions {
        since: query.start_date.map(Into::into),
        until: query.end_date.map(Into::into),
        payloads: query.payloads,
    };
    let lines = caller.store().account(caller.who().account).export(options);
    // An error in the middle breaks the answer off, so that nobody takes a part for the whole.
    let lines = lines.inspect(|line| {
        if let Err(error) = line {
            tracing::error!(%error, "an export of the journal broke off");
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"audit.jsonl\""),
    ];
    (headers, Body::from_stream(lines)).into_response()
}

/// Checks every hash, link and signature of the journal where it lies.
#[utoipa::path(get, path = "/api/v1/audit-logs/verify", tag = "audit",
    responses((status = 200, body = VerifyResult)))]
async fn verify(caller: Caller<ViewAuditLogs>) -> ApiResult<VerifyResult> {
    let report = caller.store().account(caller.who().account).verify_journal().await?;
    Ok(axum::Json(VerifyResult {
        status: if report.ok { "ok" } else { "broken" }.to_owned(),
        chains: report.chains,
        checked_rows: report.records,
        checked_checkpoints: report.checkpoints,
        checked_payloads: report.payloads,
        unsealed_rows: report.unsealed,
        public_key: report.public_key,
        first_break: report.broken.map(|broken| FirstBreak {
            chain: broken.chain.map(|chain| chain.0),
            seq: broken.seq,
            what: broken.what,
        }),
    }))
}

/// How much this process has written: many records to a commit is how one sync carries many calls.
#[utoipa::path(get, path = "/api/v1/audit-logs/progress", tag = "audit",
    responses((status = 200, body = JournalProgress)))]
async fn progress(caller: Caller<ViewAuditLogs>) -> ApiResult<JournalProgress> {
    let stats = caller.store().journal_stats();
    Ok(axum::Json(JournalProgress { commits: stats.commits, records: stats.records }))
}

/// One record with what is kept beside it and the proof that it is in the journal.
#[utoipa::path(get, path = "/api/v1/audit-logs/{id}", tag = "audit", params(("id" = String, Path)),
    responses((status = 200, body = ProvenRecord)))]
async fn get(
    caller: Caller<ViewAuditLogs>,
    axum::extract::Path(id): axum::extract::Path<String>,
) -> ApiResult<ProvenRecord> {
    let journal = caller.store().account(caller.who().account);
    let place = cursor("path", "id", &id)?;
    let at_that_time = RecordFilter {
        since: Some(place.at),
        until: Some(place.at + Duration::from_micros(1)),
        limit: 1_000,
        ..RecordFilter::default()
    };
    let records = journal.records(at_that_time).await?;
    let record = records.into_iter().find(|record| record.cursor() == place);
    let record = record.ok_or_else(|| ApiError::not_found("audit record"))?;
    let payload = journal.record_payload(place.chain, place.seq).await?;
    let payload = payload.and_then(|bytes| serde_json::from_slice(&bytes).ok()).map(|mut payload| {
        redact::redact(&mut payload);
        payload
    });
    let proof = journal.inclusion(place.chain, place.seq).await?;
    let proof = proof.and_then(|proof| serde_json::to_value(proof).ok());
    Ok(axum::Json(ProvenRecord { record: shown(&record), payload, proof }))
}

fn kinds(words: Option<&str>) -> Result<Vec<EntryKind>, ApiError> {
    let words = words.unwrap_or_default().split(',').map(str::trim).filter(|word| !word.is_empty());
    let kind = |word| {
        EntryKind::parse(word).ok_or_else(|| {
            let known: Vec<_> = EntryKind::ALL.iter().map(|kind| format!("`{}`", kind.as_str())).collect();
            let message = format!("`{word}` is not one of {}", known.join(", "));
            ApiError::field("query", "action", message, "value_error")
        })
    };
    words.map(kind).collect()
}

fn cursor(place: &str, field: &str, text: &str) -> Result<RecordCursor, ApiError> {
    text.parse().map_err(|error: preloop_store::Error| ApiError::field(place, field, error.to_string(), "value_error"))
}

fn shown(record: &Record) -> AuditRecord {
    let subject = &record.subject;
    AuditRecord {
        id: record.cursor().to_string(),
        chain: record.chain.0,
        seq: record.seq,
        timestamp: shape::at(record.at),
        action: record.kind.as_str().to_owned(),
        correlation_id: record.call.map(|call| call.0),
        user_id: subject.user.map(|user| user.0),
        impersonator_user_id: subject.impersonator.map(|user| user.0),
        api_key_id: subject.key.map(|key| key.0),
        managed_agent_id: subject.agent.map(|agent| agent.0),
        runtime_session_id: subject.session.map(|session| session.0),
        details: serde_json::from_str(record.body.get()).unwrap_or_default(),
        has_payload: record.has_payload,
        payload_hash: record.payload_hash.map(|hash| hash.to_string()),
        prev_hash: record.prev_hash.to_string(),
        row_hash: record.row_hash.to_string(),
    }
}
