//! `/api/v1/users` and `/api/v1/roles`: people of the account, and what they may

use http::StatusCode;
use preloop_api_types::{
    Page,
    account::User,
    people::{ChangeUser, CreateUser, GrantRole, GrantedRole, GrantedRoles, Permission, Role, Roles, Users},
};
use preloop_govern::config::{NewUser, PersonChange};
use preloop_store as store;
use preloop_types::{self as types, UserId};
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

use super::{account::user_shown, shape};
use crate::{
    App,
    caller::{AssignRoles, Caller, ManageUsers, ViewUsers},
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
        .routes(guarded!(deactivate))
        .routes(guarded!(activate))
        .routes(guarded!(roles_of))
        .routes(guarded!(grant_role))
        .routes(guarded!(revoke_role))
        .routes(guarded!(roles))
}

/// The account's people, by name.
#[utoipa::path(get, path = "/api/v1/users", tag = "users", params(Page), responses((status = 200, body = Users)))]
async fn list(caller: Caller<ViewUsers>, Query(page): Query<Page>) -> ApiResult<Users> {
    let account = caller.who().account;
    let slice = Slice::of(caller.store().account(account).users().await?, &page)?;
    let Slice { items, total, skip, limit } = slice;
    let users = items.into_iter().map(|user| user_shown(account, user)).collect();
    Ok(axum::Json(Users { users, total, skip, limit }))
}

/// Adds a person with a first password. They may nothing until they have a role.
#[utoipa::path(post, path = "/api/v1/users", tag = "users", responses((status = 201, body = User)))]
async fn create(
    caller: Caller<ManageUsers>,
    Json(body): Json<CreateUser>,
) -> Result<(StatusCode, axum::Json<User>), ApiError> {
    let password = caller.identity().new_password(&body.username, &body.password.into()).await?;
    let new = NewUser {
        username: body.username,
        email: Some(body.email),
        full_name: body.full_name,
        password_hash: Some(password),
        roles: body.role_ids,
        is_inactive: body.is_active == Some(false),
    };
    let user = caller.config().create_user(caller.who(), new).await?;
    Ok(created(user_shown(caller.who().account, user)))
}

/// One person.
#[utoipa::path(get, path = "/api/v1/users/{id}", tag = "users", responses((status = 200, body = User)))]
async fn get(caller: Caller<ViewUsers>, Id(id): Id<UserId>) -> ApiResult<User> {
    Ok(axum::Json(user_shown(caller.who().account, find(&caller, id).await?)))
}

/// Changes a person who may do no more than the caller.
#[utoipa::path(patch, path = "/api/v1/users/{id}", tag = "users", responses((status = 200, body = User)))]
async fn change(caller: Caller<ManageUsers>, Id(id): Id<UserId>, Json(body): Json<ChangeUser>) -> ApiResult<User> {
    let change =
        PersonChange { full_name: body.full_name.patch(), email: body.email.patch(), is_active: body.is_active };
    changed(&caller, id, change).await
}

/// Keeps a person out: their sessions end at once, and their keys do nothing until they are activated.
#[utoipa::path(post, path = "/api/v1/users/{id}/deactivate", tag = "users", responses((status = 200, body = User)))]
async fn deactivate(caller: Caller<ManageUsers>, Id(id): Id<UserId>) -> ApiResult<User> {
    changed(&caller, id, PersonChange { is_active: Some(false), ..PersonChange::default() }).await
}

/// Lets a person in again.
#[utoipa::path(post, path = "/api/v1/users/{id}/activate", tag = "users", responses((status = 200, body = User)))]
async fn activate(caller: Caller<ManageUsers>, Id(id): Id<UserId>) -> ApiResult<User> {
    changed(&caller, id, PersonChange { is_active: Some(true), ..PersonChange::default() }).await
}

async fn changed(caller: &Caller<ManageUsers>, id: UserId, change: PersonChange) -> ApiResult<User> {
    let user = caller.config().update_user(caller.who(), id, change).await?;
    Ok(axum::Json(user_shown(caller.who().account, user)))
}

/// The roles a person was given; those of their teams come on top.
#[utoipa::path(get, path = "/api/v1/users/{id}/roles", tag = "users", responses((status = 200, body = GrantedRoles)))]
async fn roles_of(caller: Caller<ViewUsers>, Id(id): Id<UserId>) -> ApiResult<GrantedRoles> {
    find(&caller, id).await?;
    let roles = caller.store().account(caller.who().account).user_roles(id).await?;
    Ok(axum::Json(granted(roles)))
}

/// Gives a person a role that allows no more than the caller may. It holds from their next request on.
#[utoipa::path(post, path = "/api/v1/users/{id}/roles", tag = "users", responses((status = 200, body = GrantedRoles)))]
async fn grant_role(
    caller: Caller<AssignRoles>,
    Id(id): Id<UserId>,
    Json(body): Json<GrantRole>,
) -> ApiResult<GrantedRoles> {
    Ok(axum::Json(granted(caller.config().grant_user_role(caller.who(), id, body.role_id).await?)))
}

/// Takes a role from a person. It holds from their next request on.
#[utoipa::path(delete, path = "/api/v1/users/{id}/roles/{role_id}", tag = "users",
    responses((status = 200, body = GrantedRoles)))]
async fn revoke_role(caller: Caller<AssignRoles>, Id((id, role)): Id<(UserId, Uuid)>) -> ApiResult<GrantedRoles> {
    Ok(axum::Json(granted(caller.config().revoke_user_role(caller.who(), id, role).await?)))
}

/// Every role with what it allows. They are the same in every account and cannot be changed.
#[utoipa::path(get, path = "/api/v1/roles", tag = "users", responses((status = 200, body = Roles)))]
async fn roles(_: Caller<ViewUsers>) -> axum::Json<Roles> {
    let permission = |permission: types::Permission| Permission {
        id: permission.name().to_owned(),
        name: permission.name().to_owned(),
        description: permission.description().to_owned(),
    };
    let role = |role: &types::Role| Role {
        id: role.id(),
        name: role.as_str().to_owned(),
        description: role.description().to_owned(),
        is_system_role: true,
        permissions: role.permissions().iter().map(permission).collect(),
    };
    let roles: Vec<Role> = types::Role::ALL.iter().map(role).collect();
    axum::Json(Roles { total: roles.len() as u64, roles })
}

async fn find<P>(caller: &Caller<P>, id: UserId) -> Result<types::User, ApiError> {
    let user = caller.store().account(caller.who().account).user(id).await?;
    user.ok_or_else(|| ApiError::not_found("user"))
}

pub(super) fn granted(roles: Vec<store::GrantedRole>) -> GrantedRoles {
    let role = |granted: store::GrantedRole| GrantedRole {
        id: granted.role.id(),
        name: granted.role.as_str().to_owned(),
        description: granted.role.description().to_owned(),
        granted_by: granted.granted_by.map(|id| id.0),
        granted_at: shape::at(granted.granted_at),
    };
    GrantedRoles { total: roles.len() as u64, roles: roles.into_iter().map(role).collect() }
}
