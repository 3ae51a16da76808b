//! `/api/v1/teams`

use http::StatusCode;
use preloop_api_types::{
    Page,
    people::{GrantRole, GrantedRoles},
    teams::{AddMember, ChangeTeam, CreateTeam, Member, Members, Team, Teams},
};
use preloop_govern::config::{NewTeam, TeamChange};
use preloop_store::Membership;
use preloop_types::{self as types, AccountId, TeamId, UserId};
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

use super::{account::user_shown, shape, users::granted};
use crate::{
    App,
    caller::{Caller, CreateTeams, DeleteTeams, EditTeams, ManageTeams, ViewTeams},
    error::{ApiError, ApiResult},
    extract::{Id, Json, Query, Slice, created},
    openapi::guarded,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(guarded!(list))
        .routes(guarded!(create))
        .routes(guarded!(get))
        .routes(guarded!(change))
        .routes(guarded!(delete))
        .routes(guarded!(members))
        .routes(guarded!(add_member))
        .routes(guarded!(remove_member))
        .routes(guarded!(roles_of))
        .routes(guarded!(grant_role))
        .routes(guarded!(revoke_role))
}

/// The account's teams, by name.
#[utoipa::path(get, path = "/api/v1/teams", tag = "teams", params(Page), responses((status = 200, body = Teams)))]
async fn list(caller: Caller<ViewTeams>, Query(page): Query<Page>) -> ApiResult<Teams> {
    let account = caller.who().account;
    let slice = Slice::of(caller.store().account(account).teams().await?, &page)?;
    let Slice { items, total, skip, limit } = slice;
    let teams = items.into_iter().map(|team| shown(account, team)).collect();
    Ok(axum::Json(Teams { teams, total, skip, limit }))
}

/// Makes a team.
#[utoipa::path(post, path = "/api/v1/teams", tag = "teams", responses((status = 201, body = Team)))]
async fn create(
    caller: Caller<CreateTeams>,
    Json(body): Json<CreateTeam>,
) -> Result<(StatusCode, axum::Json<Team>), ApiError> {
    let new = NewTeam { name: body.name, description: body.description };
    let team = caller.config().create_team(caller.who(), new).await?;
    Ok(created(shown(caller.who().account, team)))
}

/// One team.
#[utoipa::path(get, path = "/api/v1/teams/{id}", tag = "teams", responses((status = 200, body = Team)))]
async fn get(caller: Caller<ViewTeams>, Id(id): Id<TeamId>) -> ApiResult<Team> {
    Ok(axum::Json(shown(caller.who().account, find(&caller, id).await?)))
}

/// Changes a team's name or description.
#[utoipa::path(patch, path = "/api/v1/teams/{id}", tag = "teams", responses((status = 200, body = Team)))]
async fn change(caller: Caller<EditTeams>, Id(id): Id<TeamId>, Json(body): Json<ChangeTeam>) -> ApiResult<Team> {
    let change = TeamChange { name: body.name, description: body.description.patch() };
    let team = caller.config().update_team(caller.who(), id, change).await?;
    Ok(axum::Json(shown(caller.who().account, team)))
}

/// Removes a team and the roles it gave.
#[utoipa::path(delete, path = "/api/v1/teams/{id}", tag = "teams", responses((status = 204)))]
async fn delete(caller: Caller<DeleteTeams>, Id(id): Id<TeamId>) -> Result<StatusCode, ApiError> {
    caller.config().delete_team(caller.who(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who is in a team, those who joined first first.
#[utoipa::path(get, path = "/api/v1/teams/{id}/members", tag = "teams", params(Page),
    responses((status = 200, body = Members)))]
async fn members(caller: Caller<ViewTeams>, Id(id): Id<TeamId>, Query(page): Query<Page>) -> ApiResult<Members> {
    find(&caller, id).await?;
    let account = caller.who().account;
    let rows = caller.store().account(account);
    let (people, all) = (rows.users().await?, rows.team_members(id).await?);
    let Slice { items, total, skip, limit } = Slice::of(all, &page)?;
    let member = |membership: Membership| {
        let user = people.iter().find(|user| user.id == membership.user).cloned();
        Member {
            id: membership.user.0,
            team_id: id.0,
            user_id: membership.user.0,
            joined_at: shape::at(membership.added_at),
            user: user.map(|user| user_shown(account, user)),
        }
    };
    Ok(axum::Json(Members { members: items.into_iter().map(member).collect(), total, skip, limit }))
}

/// Puts a person in a team. They have the team's roles from their next request on, which therefore may
/// allow no more than the caller may.
#[utoipa::path(post, path = "/api/v1/teams/{id}/members", tag = "teams", responses((status = 201, body = Member)))]
async fn add_member(
    caller: Caller<ManageTeams>,
    Id(id): Id<TeamId>,
    Json(body): Json<AddMember>,
) -> Result<(StatusCode, axum::Json<Member>), ApiError> {
    let user = UserId(body.user_id);
    caller.config().add_team_member(caller.who(), id, user).await?;
    let account = caller.who().account;
    let rows = caller.store().account(account);
    let joined = rows.team_members(id).await?.into_iter().find(|membership| membership.user == user);
    let joined = joined.ok_or_else(|| ApiError::not_found("member of this team"))?;
    Ok(created(Member {
        id: user.0,
        team_id: id.0,
        user_id: user.0,
        joined_at: shape::at(joined.added_at),
        user: rows.user(user).await?.map(|user| user_shown(account, user)),
    }))
}

/// Takes a person out of a team.
#[utoipa::path(delete, path = "/api/v1/teams/{id}/members/{user_id}", tag = "teams", responses((status = 204)))]
async fn remove_member(
    caller: Caller<ManageTeams>,
    Id((id, user)): Id<(TeamId, UserId)>,
) -> Result<StatusCode, ApiError> {
    caller.config().remove_team_member(caller.who(), id, user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The roles a team gives its members.
#[utoipa::path(get, path = "/api/v1/teams/{id}/roles", tag = "teams", responses((status = 200, body = GrantedRoles)))]
async fn roles_of(caller: Caller<ViewTeams>, Id(id): Id<TeamId>) -> ApiResult<GrantedRoles> {
    find(&caller, id).await?;
    let roles = caller.store().account(caller.who().account).team_roles(id).await?;
    Ok(axum::Json(granted(roles)))
}

/// Gives a team's members a role that allows no more than the caller may.
#[utoipa::path(post, path = "/api/v1/teams/{id}/roles", tag = "teams", responses((status = 200, body = GrantedRoles)))]
async fn grant_role(
    caller: Caller<ManageTeams>,
    Id(id): Id<TeamId>,
    Json(body): Json<GrantRole>,
) -> ApiResult<GrantedRoles> {
    Ok(axum::Json(granted(caller.config().grant_team_role(caller.who(), id, body.role_id).await?)))
}

/// Takes a role from a team's members.
#[utoipa::path(delete, path = "/api/v1/teams/{id}/roles/{role_id}", tag = "teams",
    responses((status = 200, body = GrantedRoles)))]
async fn revoke_role(caller: Caller<ManageTeams>, Id((id, role)): Id<(TeamId, Uuid)>) -> ApiResult<GrantedRoles> {
    Ok(axum::Json(granted(caller.config().revoke_team_role(caller.who(), id, role).await?)))
}

async fn find<P>(caller: &Caller<P>, id: TeamId) -> Result<types::Team, ApiError> {
    let team = caller.store().account(caller.who().account).team(id).await?;
    team.ok_or_else(|| ApiError::not_found("team"))
}

fn shown(account: AccountId, team: types::Team) -> Team {
    Team {
        id: team.id.0,
        account_id: account.0,
        name: team.name,
        description: team.description,
        member_count: team.members.len() as u64,
        created_at: shape::at(team.created_at),
        updated_at: shape::at(team.updated_at),
    }
}
