//! `/api/v1/mcp-servers/{id}/oauth/…`: a person's consent to an upstream that wants OAuth.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use preloop_api_types::mcp_servers::{OAuthCallback, OAuthConsent};
use preloop_mcp::upstream::OAuthClient;
use preloop_types::{ServerId, Subject, config::Auth};
use serde_json::{Value, json};
use url::Url;
use utoipa_axum::router::OpenApiRouter;

use super::mcp_servers::{find, first_scan};
use crate::{
    App,
    caller::{Caller, EditMcpServers, Visitor},
    error::{ApiError, ApiResult, upstream},
    extract::{Id, Query},
    openapi::{guarded, open},
    page,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(guarded!(begin))
        .routes(guarded!(redirect))
        .routes(open!(callback))
        .routes(open!(client_metadata))
        .route("/mcp-servers/oauth/callback", axum::routing::get(callback))
}

const CALLBACK: &str = "/api/v1/mcp-servers/oauth/callback";
const CLIENT: &str = "/api/v1/mcp-servers/oauth/client-metadata";

/// Begins a consent: answers with the page to open in a browser.
#[utoipa::path(post, path = "/api/v1/mcp-servers/{id}/oauth/authorize", tag = "mcp-servers",
    responses((status = 200, body = OAuthConsent)))]
async fn begin(caller: Caller<EditMcpServers>, Id(id): Id<ServerId>) -> ApiResult<OAuthConsent> {
    let url = consent_url(&caller, id).await?;
    Ok(axum::Json(OAuthConsent { authorization_url: url.into() }))
}

/// The same, as a redirect, for clients that can send a credential with a navigation.
#[utoipa::path(get, path = "/api/v1/mcp-servers/{id}/oauth/authorize", tag = "mcp-servers",
    responses((status = 302, description = "To the upstream authorization server")))]
async fn redirect(caller: Caller<EditMcpServers>, Id(id): Id<ServerId>) -> Result<Response, ApiError> {
    let url = consent_url(&caller, id).await?;
    let location = HeaderValue::try_from(url.as_str());
    let location =
        location.map_err(|_| ApiError::new(StatusCode::BAD_GATEWAY, "The consent page has no usable URL"))?;
    Ok((StatusCode::FOUND, [(header::LOCATION, location)]).into_response())
}

/// Where the upstream authorization server sends the browser back to.
#[utoipa::path(get, path = "/api/v1/mcp-servers/oauth/callback", tag = "mcp-servers", params(OAuthCallback),
    responses((status = 200, body = String, content_type = "text/html"),
        (status = 400, body = String, content_type = "text/html")))]
async fn callback(visitor: Visitor, query: Result<Query<OAuthCallback>, ApiError>) -> Response {
    let Ok(Query(answer)) = query else {
        return page::message(StatusCode::BAD_REQUEST, "The answer cannot be read", "Begin the consent again.");
    };
    if let Some(error) = &answer.error {
        let text = answer.error_description.as_deref().unwrap_or(error);
        return page::message(StatusCode::BAD_REQUEST, "Consent was not given", text);
    }
    let (Some(code), Some(state)) = (&answer.code, &answer.state) else {
        return page::message(StatusCode::BAD_REQUEST, "The answer is not complete", "Begin the consent again.");
    };
    match visitor.mcp().upstreams().finish_oauth(code, state, answer.iss.as_deref()).await {
        Ok((account, id)) => {
            if let Ok(server) = find(&visitor, account, id).await
                && let Err(error) = first_scan(&visitor, account, server).await
            {
                tracing::warn!(server = %id, ?error, "the first scan after consent failed");
            }
            page::message(StatusCode::OK, "Connected", "You can close this window.")
        }
        Err(error) => page::message(StatusCode::BAD_REQUEST, "Not connected", &error.to_string()),
    }
}

/// Who this instance is to authorization servers that take the URL of this document for a client's id.
#[utoipa::path(get, path = "/api/v1/mcp-servers/oauth/client-metadata", tag = "mcp-servers",
    responses((status = 200, body = Object)))]
async fn client_metadata(visitor: Visitor) -> Result<axum::Json<Value>, ApiError> {
    let us = ourselves(&visitor)?;
    Ok(axum::Json(json!({
        "client_id": us.metadata,
        "client_name": "Preloop",
        "client_uri": visitor.public_url(),
        "redirect_uris": [us.redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    })))
}

fn ourselves(app: &App) -> Result<OAuthClient, ApiError> {
    let base = app.public_url().as_str().trim_end_matches('/');
    let at = |path: &str| {
        Url::parse(&format!("{base}{path}")).map_err(|_| ApiError::bad_request("the public URL is unusable"))
    };
    Ok(OAuthClient { redirect_uri: at(CALLBACK)?, metadata: Some(at(CLIENT)?) })
}

async fn consent_url(caller: &Caller<EditMcpServers>, id: ServerId) -> Result<Url, ApiError> {
    let who = caller.who();
    let server = find(caller, who.account, id).await?;
    if !matches!(server.auth, Auth::OAuth(_)) {
        return Err(ApiError::bad_request("the server's auth_type is not `oauth`"));
    }
    let us = ourselves(caller)?;
    let begun = caller.mcp().upstreams().begin_oauth(who.account, &server, &us, Subject::from(&**who)).await;
    begun.map_err(|error| upstream(&error))
}
