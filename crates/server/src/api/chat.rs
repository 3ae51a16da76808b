//! `/api/v1/chat/…`: clicks on buttons in Slack and Mattermost. Who clicked is vouched for by the chat; the
//! signature is checked before anything else.

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use preloop_notify::{ChatAnswer, ChatError};
use utoipa_axum::router::OpenApiRouter;

use crate::{App, caller::Visitor, error::ApiError, extract::body, openapi::open};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default().routes(open!(slack)).routes(open!(mattermost))
}

/// A click in Slack: the app's interactivity request URL. Signed by Slack.
#[utoipa::path(post, path = "/api/v1/chat/slack", tag = "chat",
    request_body(content = String, content_type = "application/x-www-form-urlencoded"), responses((status = 200)))]
async fn slack(visitor: Visitor, headers: HeaderMap, request: Request) -> Result<Response, ApiError> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (timestamp, signature) = (header("x-slack-request-timestamp"), header("x-slack-signature"));
    let body = body(request, &()).await?;
    answer(visitor.chat().slack(timestamp, signature, &body).await)
}

/// A click in Mattermost. Known by the context that Mattermost keeps with the button.
#[utoipa::path(post, path = "/api/v1/chat/mattermost", tag = "chat",
    request_body(content = String, content_type = "application/json"), responses((status = 200)))]
async fn mattermost(visitor: Visitor, request: Request) -> Result<Response, ApiError> {
    let body = body(request, &()).await?;
    answer(visitor.chat().mattermost(&body).await)
}

fn answer(answer: Result<ChatAnswer, ChatError>) -> Result<Response, ApiError> {
    match answer {
        Ok(ChatAnswer::Taken) => Ok(StatusCode::OK.into_response()),
        Ok(ChatAnswer::Json(said)) => Ok(axum::Json(said).into_response()),
        Err(error) => {
            let status = match &error {
                ChatError::NotSetUp(_) => StatusCode::NOT_FOUND,
                ChatError::Refused(_) => StatusCode::UNAUTHORIZED,
                ChatError::Malformed(_) => StatusCode::BAD_REQUEST,
                ChatError::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            };
            Err(ApiError::new(status, error.to_string()))
        }
    }
}
