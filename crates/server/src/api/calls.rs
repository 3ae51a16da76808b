//! Model calls as the journal tells of them.

use preloop_api_types::usage::{SearchUsage, TokenUsage, UsageItem, UsagePage};
use preloop_store::{AccountStore, Record, RecordFilter};
use preloop_types::{AgentId, EntryKind, KeyId, NanoUsd, SessionId, Tokens, text};
use serde::Deserialize;

use super::shape;
use crate::error::ApiError;

/// Records that end a call.
const ENDS: &[EntryKind] = &[EntryKind::ModelOutcome, EntryKind::ModelRefused];
/// Records read at a time.
const PAGE: u32 = 1_000;
/// Pages read before a search gives back what it has.
const PAGES_MAX: usize = 20;
const EXCERPT_BYTES: usize = 300;

/// What these records say of a call, whichever of them says it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    status: Option<String>,
    http_status: Option<u16>,
    model: Option<String>,
    provider: Option<String>,
    requested: Option<String>,
    dialect: Option<String>,
    operation: Option<String>,
    streamed: Option<bool>,
    client: Option<String>,
    key: Option<String>,
    duration_us: Option<u64>,
    ttfb_us: Option<u64>,
    tokens: Option<Tokens>,
    usage_source: Option<String>,
    cost: Option<NanoUsd>,
    cost_source: Option<String>,
    upstream_model: Option<String>,
    stop: Option<String>,
    error_code: Option<String>,
    error: Option<String>,
    code: Option<String>,
    reason: Option<String>,
}

/// The calls that were asked for, with what their intents say of them.
pub(super) async fn search(rows: &AccountStore, query: SearchUsage, wanted: usize) -> Result<UsagePage, ApiError> {
    let mut items = Vec::new();
    let mut filter = filter(&query, ENDS)?;
    let pages = if query.query.is_some() { 1 } else { PAGES_MAX };
    let mut next = None;
    'pages: for _ in 0..pages {
        let page = rows.records(filter.clone()).await?;
        let whole = page.len() < PAGE as usize;
        for record in page {
            filter.after = Some(record.cursor());
            next = filter.after.map(|place| place.to_string());
            let Some(item) = item(&record).filter(|item| matches(item, &record, &query)) else { continue };
            let conversation = conversation(rows, &record).await?;
            if let Some(text) = &query.query
                && !holds(record.body.get(), text)
                && !conversation.as_ref().is_some_and(|conversation| holds(conversation, text))
            {
                continue;
            }
            items.push(with_intent(rows, item, conversation).await?);
            if items.len() == wanted {
                break 'pages;
            }
        }
        if whole {
            next = None;
            break;
        }
    }
    Ok(UsagePage { items, next })
}

/// The newest thousand records of these kinds as calls, as far as they say it themselves.
pub(super) async fn newest(
    rows: &AccountStore,
    query: &SearchUsage,
    kinds: &[EntryKind],
) -> Result<Vec<UsageItem>, ApiError> {
    let records = rows.records(filter(query, kinds)?).await?;
    Ok(records.iter().filter_map(item).collect())
}

fn filter(query: &SearchUsage, kinds: &[EntryKind]) -> Result<RecordFilter, ApiError> {
    let after = query.after.as_deref().map(str::parse).transpose();
    let after = after
        .map_err(|error: preloop_store::Error| ApiError::field("query", "after", error.to_string(), "value_error"))?;
    Ok(RecordFilter {
        kinds: kinds.to_vec(),
        session: query.runtime_session_id.map(SessionId),
        since: query.start_date.map(Into::into),
        until: query.end_date.map(Into::into),
        after,
        limit: PAGE,
        ..RecordFilter::default()
    })
}

fn matches(item: &UsageItem, record: &Record, query: &SearchUsage) -> bool {
    fn is<T: PartialEq>(wanted: Option<&T>, have: Option<&T>) -> bool {
        wanted.is_none() || wanted == have
    }
    is(query.model_alias.as_ref(), item.model_alias.as_ref())
        && is(query.provider_name.as_ref(), item.provider_name.as_ref())
        && is(query.outcome.as_ref(), Some(&item.outcome))
        && is(query.api_key_id.map(KeyId).as_ref(), record.subject.key.as_ref())
        && is(query.managed_agent_id.map(AgentId).as_ref(), record.subject.agent.as_ref())
}

fn holds(text: &str, wanted: &str) -> bool {
    text.to_lowercase().contains(&wanted.to_lowercase())
}

/// What was captured of the conversation. Redacted before it was kept.
async fn conversation(rows: &AccountStore, record: &Record) -> Result<Option<String>, ApiError> {
    if !record.has_payload {
        return Ok(None);
    }
    let payload = rows.record_payload(record.chain, record.seq).await?;
    Ok(payload.and_then(|bytes| String::from_utf8(bytes).ok()))
}

async fn with_intent(
    rows: &AccountStore,
    item: UsageItem,
    conversation: Option<String>,
) -> Result<UsageItem, ApiError> {
    let filter = RecordFilter {
        kinds: vec![EntryKind::ModelIntent, EntryKind::ModelRepriced],
        call: Some(preloop_types::CallId(item.api_usage_id)),
        ..RecordFilter::default()
    };
    let records = rows.records(filter).await?;
    let newest = |kind| records.iter().find(|record| record.kind == kind);
    let said = |record: &Record| serde_json::from_str::<Body>(record.body.get()).unwrap_or_default();
    let intent = newest(EntryKind::ModelIntent).map(said).unwrap_or_default();
    // A price that was repaired later is what the call costs; the record of its end says what it was.
    let item = match newest(EntryKind::ModelRepriced).map(said) {
        None => item,
        Some(corrected) => UsageItem {
            estimated_cost: corrected.cost.map(shape::dollars),
            cost_usd: corrected.cost.map(|cost| cost.to_string()),
            cost_source: corrected.cost_source,
            ..item
        },
    };
    Ok(UsageItem {
        dialect: item.dialect.or(intent.dialect),
        operation: item.operation.or(intent.operation),
        streamed: item.streamed.or(intent.streamed),
        requested_model: item.requested_model.or(intent.requested),
        client: item.client.or(intent.client),
        api_key_name: item.api_key_name.or(intent.key),
        excerpt: conversation.map(|text| text::shortened(&text, EXCERPT_BYTES).into_owned()),
        ..item
    })
}

/// A call by the record that ended it.
fn item(record: &Record) -> Option<UsageItem> {
    let body: Body = serde_json::from_str(record.body.get()).ok()?;
    let subject = &record.subject;
    let millis = |micros: u64| micros / 1_000;
    Some(UsageItem {
        api_usage_id: record.call?.0,
        record_id: record.cursor().to_string(),
        timestamp: shape::at(record.at),
        outcome: body.status.unwrap_or_default(),
        status_code: body.http_status.filter(|status| *status != 0),
        dialect: body.dialect,
        operation: body.operation,
        streamed: body.streamed,
        model_alias: body.model,
        requested_model: body.requested,
        upstream_model: body.upstream_model,
        provider_name: body.provider,
        client: body.client,
        api_key_id: subject.key.map(|id| id.0),
        api_key_name: body.key,
        managed_agent_id: subject.agent.map(|id| id.0),
        runtime_session_id: subject.session.map(|id| id.0),
        token_usage: body.tokens.map(|tokens| TokenUsage {
            prompt_tokens: tokens.prompt(),
            completion_tokens: tokens.completion(),
            total_tokens: tokens.total(),
            cache_read_tokens: tokens.cache_read,
            cache_creation_tokens: tokens.cache_write_5m + tokens.cache_write_1h,
            reasoning_tokens: tokens.reasoning,
        }),
        usage_source: body.usage_source,
        estimated_cost: body.cost.map(shape::dollars),
        cost_usd: body.cost.map(|cost| cost.to_string()),
        cost_source: body.cost_source,
        duration_ms: body.duration_us.map(millis),
        ttfb_ms: body.ttfb_us.map(millis),
        finish_reason: body.stop,
        error_code: body.error_code.or(body.code),
        error: body.error.or(body.reason),
        excerpt: None,
    })
}
