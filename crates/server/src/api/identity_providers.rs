//! `/api/v1/identity-providers`

use http::StatusCode;
use preloop_api_types::{
    Page,
    identity_providers::{
        CreateIdentityProvider, GroupMapping, IdentityProvider, SignInProvider, UpdateIdentityProvider,
    },
};
use preloop_govern::config::ProviderChange;
use preloop_types::{self as types, ProviderId, TeamId};
use secrecy::SecretString;
use utoipa_axum::router::OpenApiRouter;

use super::shape;
use crate::{
    App,
    caller::{Caller, ManageIdentity, Visitor},
    error::{ApiError, ApiResult},
    extract::{Id, Json, Listed, Query, created},
    openapi::{guarded, open},
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(open!(sign_in_providers))
        .routes(guarded!(list))
        .routes(guarded!(create))
        .routes(guarded!(get))
        .routes(guarded!(update))
        .routes(guarded!(delete))
}

/// Where anybody may sign in with an identity they have elsewhere.
#[utoipa::path(get, path = "/api/v1/auth/oauth/providers", tag = "identity-providers",
    responses((status = 200, body = Vec<SignInProvider>)))]
async fn sign_in_providers(visitor: Visitor) -> ApiResult<Vec<SignInProvider>> {
    let base = visitor.public_url().as_str().trim_end_matches('/').to_owned();
    let shown = |provider: types::IdentityProvider| SignInProvider {
        authorize_url: format!("{base}/api/v1/auth/oauth/{}/authorize", provider.slug),
        slug: provider.slug,
        name: provider.name,
        kind: provider.kind,
    };
    let providers = visitor.sso().providers().await.map_err(|error| {
        tracing::warn!(%error, "the identity providers cannot be read");
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "the identity providers cannot be read now")
    })?;
    Ok(axum::Json(providers.into_iter().map(shown).collect()))
}

/// The account's identity providers, by name.
#[utoipa::path(get, path = "/api/v1/identity-providers", tag = "identity-providers", params(Page),
    responses((status = 200, body = Vec<IdentityProvider>)))]
async fn list(caller: Caller<ManageIdentity>, Query(page): Query<Page>) -> Result<Listed<IdentityProvider>, ApiError> {
    let providers = caller.store().account(caller.who().account).identity_providers().await?;
    Ok(Listed::page(providers, &page)?.map(|provider| shown(&caller, provider)))
}

/// Adds an identity provider. Its secret is sealed and never shown again.
#[utoipa::path(post, path = "/api/v1/identity-providers", tag = "identity-providers",
    responses((status = 201, body = IdentityProvider)))]
async fn create(
    caller: Caller<ManageIdentity>,
    Json(body): Json<CreateIdentityProvider>,
) -> Result<(StatusCode, axum::Json<IdentityProvider>), ApiError> {
    let change = ProviderChange {
        slug: Some(body.slug),
        name: body.name,
        kind: body.kind,
        issuer: body.issuer,
        client_id: Some(body.client_id),
        client_secret: Some(SecretString::from(body.client_secret)),
        scopes: body.scopes,
        groups_claim: body.groups_claim,
        groups: Some(mappings(body.groups)),
        default_role: Some(body.default_role),
        allowed_domains: Some(body.allowed_domains),
        create_users: body.create_users,
        is_enabled: body.is_enabled,
        allow_private_network: body.allow_private_network,
    };
    let provider = caller.config().create_identity_provider(caller.who(), change).await?;
    Ok(created(shown(&caller, provider)))
}

/// One identity provider.
#[utoipa::path(get, path = "/api/v1/identity-providers/{id}", tag = "identity-providers",
    responses((status = 200, body = IdentityProvider)))]
async fn get(caller: Caller<ManageIdentity>, Id(id): Id<ProviderId>) -> ApiResult<IdentityProvider> {
    let provider = caller.store().account(caller.who().account).identity_provider(id).await?;
    Ok(axum::Json(shown(&caller, provider.ok_or_else(|| ApiError::not_found("identity provider"))?)))
}

/// Changes an identity provider; its slug and kind stay.
#[utoipa::path(put, path = "/api/v1/identity-providers/{id}", tag = "identity-providers",
    responses((status = 200, body = IdentityProvider)))]
async fn update(
    caller: Caller<ManageIdentity>,
    Id(id): Id<ProviderId>,
    Json(body): Json<UpdateIdentityProvider>,
) -> ApiResult<IdentityProvider> {
    let change = ProviderChange {
        slug: None,
        name: body.name,
        kind: None,
        issuer: body.issuer,
        client_id: body.client_id,
        client_secret: body.client_secret.map(SecretString::from),
        scopes: body.scopes,
        groups_claim: body.groups_claim,
        groups: body.groups.map(mappings),
        default_role: body.default_role.patch(),
        allowed_domains: body.allowed_domains,
        create_users: body.create_users,
        is_enabled: body.is_enabled,
        allow_private_network: body.allow_private_network,
    };
    let provider = caller.config().update_identity_provider(caller.who(), id, change).await?;
    Ok(axum::Json(shown(&caller, provider)))
}

/// Removes an identity provider. Its people stay, and have to be let in some other way.
#[utoipa::path(delete, path = "/api/v1/identity-providers/{id}", tag = "identity-providers",
    responses((status = 204)))]
async fn delete(caller: Caller<ManageIdentity>, Id(id): Id<ProviderId>) -> Result<StatusCode, ApiError> {
    caller.config().delete_identity_provider(caller.who(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn mappings(groups: Vec<GroupMapping>) -> Vec<types::GroupMapping> {
    let mapping =
        |GroupMapping { group, role, team_id }| types::GroupMapping { group, role, team: team_id.map(TeamId) };
    groups.into_iter().map(mapping).collect()
}

fn shown(app: &App, provider: types::IdentityProvider) -> IdentityProvider {
    let mapping =
        |types::GroupMapping { group, role, team }| GroupMapping { group, role, team_id: team.map(|id| id.0) };
    IdentityProvider {
        redirect_uri: app.sso().callback(&provider),
        id: provider.id.0,
        slug: provider.slug,
        name: provider.name,
        kind: provider.kind,
        issuer: provider.issuer,
        client_id: provider.client_id,
        has_client_secret: true,
        scopes: provider.scopes,
        groups_claim: provider.groups_claim,
        groups: provider.groups.into_iter().map(mapping).collect(),
        default_role: provider.default_role,
        allowed_domains: provider.allowed_domains,
        create_users: provider.create_users,
        is_enabled: provider.is_enabled,
        allow_private_network: provider.allow_private_network,
        created_at: shape::at(provider.created_at),
        updated_at: shape::at(provider.updated_at),
    }
}
