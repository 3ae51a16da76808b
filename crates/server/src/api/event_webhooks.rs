//! `/api/v1/event-webhooks`: who is told of what happens.

use http::StatusCode;
use preloop_api_types::{
    Page,
    event_webhooks::{
        CreateEventEndpoint, DeadLetter, EventEndpoint, EventTypeInfo, Replayed, TestEvent, UpdateEventEndpoint,
    },
};
use preloop_govern::config::EndpointChange;
use preloop_store as store;
use preloop_types::{EndpointId, EventType};
use secrecy::ExposeSecret;
use utoipa_axum::router::OpenApiRouter;

use super::shape;
use crate::{
    App,
    caller::{Caller, ManageAccount},
    error::{ApiError, ApiResult},
    extract::{Id, Json, Query, created, limit},
    openapi::guarded,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(guarded!(list))
        .routes(guarded!(create))
        .routes(guarded!(get))
        .routes(guarded!(update))
        .routes(guarded!(delete))
        .routes(guarded!(test))
        .routes(guarded!(catalogue))
        .routes(guarded!(dead_letters))
        .routes(guarded!(replay))
}

/// The account's event webhooks, oldest first.
#[utoipa::path(get, path = "/api/v1/event-webhooks/endpoints", tag = "event-webhooks",
    responses((status = 200, body = Vec<EventEndpoint>)))]
async fn list(caller: Caller<ManageAccount>) -> ApiResult<Vec<EventEndpoint>> {
    let endpoints = caller.store().account(caller.who().account).event_endpoints().await?;
    Ok(axum::Json(endpoints.into_iter().map(shown).collect()))
}

/// Makes an event webhook. The key that signs what it is told is only in this answer.
#[utoipa::path(post, path = "/api/v1/event-webhooks/endpoints", tag = "event-webhooks",
    responses((status = 201, body = EventEndpoint)))]
async fn create(
    caller: Caller<ManageAccount>,
    Json(body): Json<CreateEventEndpoint>,
) -> Result<(StatusCode, axum::Json<EventEndpoint>), ApiError> {
    let change = EndpointChange {
        url: Some(body.url),
        description: Some(body.description),
        event_types: Some(body.event_types),
        is_active: None,
    };
    let (endpoint, secret) = caller.config().create_event_endpoint(caller.who(), change).await?;
    Ok(created(EventEndpoint { secret: Some(secret.expose_secret().to_owned()), ..shown(endpoint) }))
}

/// One event webhook.
#[utoipa::path(get, path = "/api/v1/event-webhooks/endpoints/{id}", tag = "event-webhooks",
    responses((status = 200, body = EventEndpoint)))]
async fn get(caller: Caller<ManageAccount>, Id(id): Id<EndpointId>) -> ApiResult<EventEndpoint> {
    let endpoint = caller.store().account(caller.who().account).event_endpoint(id).await?;
    Ok(axum::Json(shown(endpoint.ok_or_else(|| ApiError::not_found("event webhook"))?)))
}

/// Changes an event webhook, which is then tried at once.
#[utoipa::path(put, path = "/api/v1/event-webhooks/endpoints/{id}", tag = "event-webhooks",
    responses((status = 200, body = EventEndpoint)))]
async fn update(
    caller: Caller<ManageAccount>,
    Id(id): Id<EndpointId>,
    Json(body): Json<UpdateEventEndpoint>,
) -> ApiResult<EventEndpoint> {
    let change = EndpointChange {
        url: body.url,
        description: body.description.patch(),
        event_types: body.event_types,
        is_active: body.is_active,
    };
    Ok(axum::Json(shown(caller.config().update_event_endpoint(caller.who(), id, change).await?)))
}

/// Removes an event webhook, and what waits for it.
#[utoipa::path(delete, path = "/api/v1/event-webhooks/endpoints/{id}", tag = "event-webhooks",
    responses((status = 204)))]
async fn delete(caller: Caller<ManageAccount>, Id(id): Id<EndpointId>) -> Result<StatusCode, ApiError> {
    caller.config().delete_event_endpoint(caller.who(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tells an event webhook that somebody tries it out: an event `webhook.test`.
#[utoipa::path(post, path = "/api/v1/event-webhooks/endpoints/{id}/test", tag = "event-webhooks",
    responses((status = 200, body = TestEvent)))]
async fn test(caller: Caller<ManageAccount>, Id(id): Id<EndpointId>) -> ApiResult<TestEvent> {
    let event_id = caller.config().test_event_endpoint(caller.who(), id).await?;
    Ok(axum::Json(TestEvent { event_id }))
}

/// What an event webhook can be told of.
#[utoipa::path(get, path = "/api/v1/event-webhooks/catalogue", tag = "event-webhooks",
    responses((status = 200, body = Vec<EventTypeInfo>)))]
async fn catalogue(_: Caller<ManageAccount>) -> axum::Json<Vec<EventTypeInfo>> {
    let shown = |event: EventType| EventTypeInfo {
        event_type: event.as_str().to_owned(),
        description: event.description().to_owned(),
        version: "1".to_owned(),
    };
    axum::Json(EventType::catalogue().map(shown).collect())
}

/// Events that no attempt could deliver, newest first.
#[utoipa::path(get, path = "/api/v1/event-webhooks/deliveries/dead-letter", tag = "event-webhooks", params(Page),
    responses((status = 200, body = Vec<DeadLetter>)))]
async fn dead_letters(caller: Caller<ManageAccount>, Query(page): Query<Page>) -> ApiResult<Vec<DeadLetter>> {
    let (skip, limit) = (page.skip.unwrap_or(0), limit(page.limit, 100, 1_000)?);
    let letters = caller.store().account(caller.who().account).dead_letters(skip, limit).await?;
    let shown = |letter: store::DeadLetter| DeadLetter {
        event_id: letter.event,
        event_type: letter.event_type,
        endpoint_id: letter.endpoint.0,
        attempts: letter.attempts,
        error: letter.error,
        occurred_at: shape::at(letter.created_at),
        failed_at: shape::at_opt(letter.finished_at),
    };
    Ok(axum::Json(letters.into_iter().map(shown).collect()))
}

/// Sends an event again to whom it could not be delivered.
#[utoipa::path(post, path = "/api/v1/event-webhooks/deliveries/{id}/replay", tag = "event-webhooks",
    responses((status = 200, body = Replayed)))]
async fn replay(caller: Caller<ManageAccount>, Id(id): Id<EndpointId>) -> ApiResult<Replayed> {
    let deliveries = caller.config().replay_event(caller.who(), id.0).await?;
    Ok(axum::Json(Replayed { event_id: id.0, deliveries }))
}

fn shown(endpoint: store::EventEndpoint) -> EventEndpoint {
    EventEndpoint {
        id: endpoint.id.0,
        url: endpoint.url,
        description: endpoint.description,
        event_types: endpoint.event_types.iter().map(|event| event.as_str().to_owned()).collect(),
        is_active: endpoint.is_active,
        secret: None,
        secret_hint: endpoint.secret_hint,
        consecutive_failures: endpoint.failures,
        paused_until: shape::at_opt(endpoint.paused_until),
        last_error: endpoint.last_error,
        dropped_events: endpoint.dropped,
        created_at: shape::at(endpoint.created_at),
        updated_at: shape::at(endpoint.updated_at),
    }
}
