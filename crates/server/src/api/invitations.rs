//! `/api/v1/invitations`

use http::StatusCode;
use preloop_api_types::{
    Page,
    people::{Invitation, Invitations, Invite, ListInvitations, SentInvitation},
};
use preloop_govern::config::{NewInvitation, Post};
use preloop_store as store;
use preloop_types::{AccountId, InvitationId, TeamId, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use utoipa_axum::router::OpenApiRouter;

use super::shape;
use crate::{
    App,
    caller::{Caller, InviteUsers, ViewUsers},
    error::{ApiError, ApiResult},
    extract::{Id, Json, Query, Slice, created},
    openapi::guarded,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(guarded!(list))
        .routes(guarded!(invite))
        .routes(guarded!(get))
        .routes(guarded!(resend))
        .routes(guarded!(cancel))
}

/// Invitations, newest first.
#[utoipa::path(get, path = "/api/v1/invitations", tag = "invitations", params(ListInvitations),
    responses((status = 200, body = Invitations)))]
async fn list(caller: Caller<ViewUsers>, Query(query): Query<ListInvitations>) -> ApiResult<Invitations> {
    let (account, now) = (caller.who().account, caller.store().now());
    let mut all = caller.store().account(account).invitations().await?;
    if let Some(status) = &query.status {
        if !["pending", "accepted", "expired", "cancelled"].contains(&&status[..]) {
            let message = format!("`{status}` is not one of `pending`, `accepted`, `expired`, `cancelled`");
            return Err(ApiError::field("query", "status", message, "value_error"));
        }
        all.retain(|invitation| invitation.state(now).as_str() == status);
    }
    let Slice { items, total, skip, limit } = Slice::of(all, &Page { limit: query.limit, skip: query.skip })?;
    let invitations = items.into_iter().map(|invitation| shown(account, invitation, now)).collect();
    Ok(axum::Json(Invitations { invitations, total, skip, limit }))
}

/// Invites somebody by mail, with roles and teams that allow no more than the caller may. The link is in
/// this answer, too, for whoever cannot be reached by mail.
#[utoipa::path(post, path = "/api/v1/invitations", tag = "invitations",
    responses((status = 201, body = SentInvitation)))]
async fn invite(
    caller: Caller<InviteUsers>,
    Json(body): Json<Invite>,
) -> Result<(StatusCode, axum::Json<SentInvitation>), ApiError> {
    let teams = body.team_ids.into_iter().map(TeamId).collect();
    let new = NewInvitation { email: body.email, roles: body.role_ids, teams };
    let post = post(&caller);
    let (invitation, secret) = caller.config().invite(caller.who(), new, post.clone()).await?;
    Ok(created(sent(&caller, invitation, &secret, &post)))
}

/// One invitation.
#[utoipa::path(get, path = "/api/v1/invitations/{id}", tag = "invitations",
    responses((status = 200, body = Invitation)))]
async fn get(caller: Caller<ViewUsers>, Id(id): Id<InvitationId>) -> ApiResult<Invitation> {
    let account = caller.who().account;
    let found = caller.store().account(account).invitation(id).await?;
    let found = found.ok_or_else(|| ApiError::not_found("invitation"))?;
    Ok(axum::Json(shown(account, found, caller.store().now())))
}

/// Sends an invitation that was not accepted anew; the link before leads nowhere then.
#[utoipa::path(post, path = "/api/v1/invitations/{id}/resend", tag = "invitations",
    responses((status = 200, body = SentInvitation)))]
async fn resend(caller: Caller<InviteUsers>, Id(id): Id<InvitationId>) -> ApiResult<SentInvitation> {
    let post = post(&caller);
    let (invitation, secret) = caller.config().renew_invitation(caller.who(), id, post.clone()).await?;
    Ok(axum::Json(sent(&caller, invitation, &secret, &post)))
}

/// Withdraws an invitation that was not accepted.
#[utoipa::path(delete, path = "/api/v1/invitations/{id}", tag = "invitations", responses((status = 204)))]
async fn cancel(caller: Caller<InviteUsers>, Id(id): Id<InvitationId>) -> Result<StatusCode, ApiError> {
    caller.config().cancel_invitation(caller.who(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn post(app: &App) -> Post {
    let public_url = app.public_url().as_str().trim_end_matches('/').to_owned();
    Post { public_url, mail: app.options().smtp.is_some() }
}

fn sent(
    caller: &Caller<InviteUsers>,
    invitation: store::Invitation,
    secret: &SecretString,
    post: &Post,
) -> SentInvitation {
    SentInvitation {
        invitation: shown(caller.who().account, invitation, caller.store().now()),
        token: secret.expose_secret().to_owned(),
        accept_url: post.link(secret),
        mailed: post.mail,
    }
}

fn shown(account: AccountId, invitation: store::Invitation, now: Timestamp) -> Invitation {
    Invitation {
        id: invitation.id.0,
        account_id: account.0,
        role_ids: invitation.roles.iter().map(|role| role.id()).collect(),
        team_ids: invitation.teams.iter().map(|team| team.0).collect(),
        invited_by_user_id: invitation.invited_by.0,
        status: invitation.state(now).as_str().to_owned(),
        email: invitation.email,
        expires_at: shape::at(invitation.expires_at),
        accepted_at: shape::at_opt(invitation.accepted_at),
        created_at: shape::at(invitation.created_at),
        updated_at: shape::at(invitation.updated_at),
    }
}
