//! `/scim/v2`: a directory keeps people and teams here as they are there (RFC 7644).
//!
//! Its credential is an API key with the scope `scim`, which does nothing else.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{FromRequestParts, Path, Query},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderValue, StatusCode, header, request::Parts};
use preloop_govern::config::{ConfigError, ProvisionedUser};
use preloop_identity::scim::{self, Filter, PatchRequest, ScimError};
use preloop_types::{Permission, Principal, Scope, Team, TeamId, User, UserId};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{App, caller, error::ApiError};

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/scim/v2/ServiceProviderConfig", get(config))
        .route("/scim/v2/ResourceTypes", get(resource_types))
        .route("/scim/v2/Schemas", get(schemas))
        .route("/scim/v2/Users", get(users).post(create_user))
        .route("/scim/v2/Users/{id}", get(user).put(put_user).patch(patch_user).delete(delete_user))
        .route("/scim/v2/Groups", get(groups).post(create_group))
        .route("/scim/v2/Groups/{id}", get(group).put(put_group).patch(patch_group).delete(delete_group))
}

/// A directory, or a person who looks after how people sign in.
struct Directory {
    who: Arc<Principal>,
    app: App,
}

impl FromRequestParts<App> for Directory {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refused> {
        let who = caller::identify(parts, app).await?;
        let may = who.permissions.contains(Permission::ManageIdentity);
        if !may || !(who.has_scope(Scope::Scim) || who.is_person()) {
            let detail = "this credential does not provision people: make an API key with the scope `scim`, as somebody who may `manage_identity`";
            return Err(Refused::new(StatusCode::FORBIDDEN, None, detail));
        }
        Ok(Self { who, app: app.clone() })
    }
}

/// An answer that a directory understands (RFC 7644, section 3.12).
struct Refused {
    status: StatusCode,
    kind: Option<&'static str>,
    detail: String,
    head: Option<Box<ApiError>>,
}

impl Refused {
    fn new(status: StatusCode, kind: Option<&'static str>, detail: impl Into<String>) -> Self {
        Self { status, kind, detail: detail.into(), head: None }
    }

    fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, None, format!("{what} not found"))
    }
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self { status: error.status(), kind: None, detail: error.message(), head: Some(Box::new(error)) }
    }
}

impl From<ScimError> for Refused {
    fn from(error: ScimError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Some(error.kind()), error.to_string())
    }
}

impl From<ConfigError> for Refused {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::Invalid { .. } => Self::new(StatusCode::BAD_REQUEST, Some("invalidValue"), error.to_string()),
            ConfigError::Refused(detail) if detail.ends_with("already exists") => {
                Self::new(StatusCode::CONFLICT, Some("uniqueness"), detail)
            }
            error => ApiError::from(error).into(),
        }
    }
}

impl From<preloop_store::Error> for Refused {
    fn from(error: preloop_store::Error) -> Self {
        ApiError::from(error).into()
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
            "status": self.status.as_str(), "detail": self.detail,
        });
        if let Some(kind) = self.kind {
            body["scimType"] = json!(kind);
        }
        let mut response = shown(self.status, &body);
        if let Some(head) = self.head {
            // `WWW-Authenticate`, `Retry-After`.
            let mut headers = head.into_response().headers().clone();
            headers.remove(header::CONTENT_TYPE);
            headers.remove(header::CONTENT_LENGTH);
            response.headers_mut().extend(headers);
        }
        response
    }
}

fn shown(status: StatusCode, body: &Value) -> Response {
    let kind = HeaderValue::from_static("application/scim+json");
    (status, [(header::CONTENT_TYPE, kind)], body.to_string()).into_response()
}

fn created(body: &Value) -> Response {
    let mut response = shown(StatusCode::CREATED, body);
    let location = body["meta"]["location"].as_str().and_then(|location| HeaderValue::from_str(location).ok());
    response.headers_mut().extend(location.map(|location| (header::LOCATION, location)));
    response
}

type Answer = Result<Response, Refused>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    filter: Option<String>,
    start_index: Option<usize>,
    count: Option<usize>,
}

const PAGE_MAX: usize = 1_000;

impl Directory {
    fn base(&self) -> String {
        format!("{}/scim/v2", self.app.public_url().as_str().trim_end_matches('/'))
    }

    /// The people the directory sees, and all teams.
    async fn everybody(&self) -> Result<(Vec<User>, Vec<Team>), Refused> {
        let rows = self.app.store().account(self.who.account);
        let given_up = rows.unprovisioned_users().await?;
        let mut users = rows.users().await?;
        users.retain(|user| !given_up.contains(&user.id));
        Ok((users, rows.teams().await?))
    }

    async fn user(&self, id: UserId) -> Result<Value, Refused> {
        let (users, teams) = self.everybody().await?;
        let user = users.iter().find(|user| user.id == id).ok_or_else(|| Refused::not_found("user"))?;
        Ok(scim::user_json(&self.base(), user, &teams))
    }

    async fn team(&self, id: TeamId) -> Result<Value, Refused> {
        let team = self.app.store().account(self.who.account).team(id).await?;
        Ok(scim::group_json(&self.base(), &team.ok_or_else(|| Refused::not_found("group"))?))
    }

    async fn put_user(&self, id: UserId, body: Value) -> Answer {
        let wanted = provisioned(scim::wanted_user(body)?);
        self.app.config().update_provisioned_user(&self.who, id, wanted).await?;
        Ok(shown(StatusCode::OK, &self.user(id).await?))
    }

    async fn put_team(&self, id: TeamId, body: Value) -> Answer {
        let wanted = scim::wanted_group(body)?;
        self.app.config().update_provisioned_team(&self.who, id, wanted.name, wanted.members).await?;
        Ok(shown(StatusCode::OK, &self.team(id).await?))
    }
}

fn provisioned(wanted: scim::UserResource) -> ProvisionedUser {
    let scim::UserResource { username, external_id, email, full_name, active } = wanted;
    ProvisionedUser { username, external_id, email, full_name, is_active: active }
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| ScimError::InvalidSyntax(error.to_string()).into())
}

/// An id is a UUID; any other text is nobody's.
fn id<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, Refused> {
    text.parse().map_err(|_| Refused::not_found(what))
}

async fn config(directory: Directory) -> Response {
    shown(StatusCode::OK, &scim::service_provider_config(&directory.base()))
}

async fn resource_types(directory: Directory) -> Response {
    shown(StatusCode::OK, &scim::list_json(&scim::resource_types(&directory.base()), 1, PAGE_MAX))
}

async fn schemas(directory: Directory) -> Response {
    shown(StatusCode::OK, &scim::list_json(&scim::schemas(&directory.base()), 1, PAGE_MAX))
}

async fn users(directory: Directory, Query(asked): Query<Asked>) -> Answer {
    let (mut users, teams) = directory.everybody().await?;
    if let Some(filter) = asked.filter.as_deref().map(Filter::parse).transpose()? {
        let keep: fn(&User) -> Option<String> = match filter.attribute.as_str() {
            "username" => |user| Some(user.username.clone()),
            "externalid" => |user| user.external_id.clone(),
            "emails" | "emails.value" => |user| user.email.clone(),
            "id" => |user| Some(user.id.to_string()),
            "active" => |user| Some(user.is_active.to_string()),
            other => return Err(ScimError::InvalidFilter(other.to_owned()).into()),
        };
        users.retain(|user| filter.matches(keep(user).as_deref()));
    }
    let base = directory.base();
    let all: Vec<_> = users.iter().map(|user| scim::user_json(&base, user, &teams)).collect();
    Ok(page(&all, &asked))
}

async fn groups(directory: Directory, Query(asked): Query<Asked>) -> Answer {
    let (_, mut teams) = directory.everybody().await?;
    if let Some(filter) = asked.filter.as_deref().map(Filter::parse).transpose()? {
        match filter.attribute.as_str() {
            "displayname" => teams.retain(|team| filter.matches(Some(&team.name))),
            "id" => teams.retain(|team| filter.matches(Some(&team.id.to_string()))),
            other => return Err(ScimError::InvalidFilter(other.to_owned()).into()),
        }
    }
    let base = directory.base();
    let all: Vec<_> = teams.iter().map(|team| scim::group_json(&base, team)).collect();
    Ok(page(&all, &asked))
}

fn page(all: &[Value], asked: &Asked) -> Response {
    let count = asked.count.unwrap_or(PAGE_MAX).min(PAGE_MAX);
    shown(StatusCode::OK, &scim::list_json(all, asked.start_index.unwrap_or(1), count))
}

async fn create_user(directory: Directory, body: Bytes) -> Answer {
    let wanted = provisioned(scim::wanted_user(read(&body)?)?);
    let user = directory.app.config().provision_user(&directory.who, wanted).await?;
    Ok(created(&directory.user(user.id).await?))
}

async fn user(directory: Directory, Path(of): Path<String>) -> Answer {
    Ok(shown(StatusCode::OK, &directory.user(id(&of, "user")?).await?))
}

async fn put_user(directory: Directory, Path(of): Path<String>, body: Bytes) -> Answer {
    directory.put_user(id(&of, "user")?, read(&body)?).await
}

async fn patch_user(directory: Directory, Path(of): Path<String>, body: Bytes) -> Answer {
    let of = id(&of, "user")?;
    let before = directory.user(of).await?;
    let mut patched = scim::patch(before.clone(), &read::<PatchRequest>(&body)?)?;
    scim::settle_name(&before, &mut patched);
    directory.put_user(of, patched).await
}

async fn delete_user(directory: Directory, Path(of): Path<String>) -> Result<StatusCode, Refused> {
    directory.app.config().unprovision_user(&directory.who, id(&of, "user")?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn create_group(directory: Directory, body: Bytes) -> Answer {
    let wanted = scim::wanted_group(read(&body)?)?;
    let team = directory.app.config().provision_team(&directory.who, wanted.name, wanted.members).await?;
    Ok(created(&directory.team(team.id).await?))
}

async fn group(directory: Directory, Path(of): Path<String>) -> Answer {
    Ok(shown(StatusCode::OK, &directory.team(id(&of, "group")?).await?))
}

async fn put_group(directory: Directory, Path(of): Path<String>, body: Bytes) -> Answer {
    directory.put_team(id(&of, "group")?, read(&body)?).await
}

async fn patch_group(directory: Directory, Path(of): Path<String>, body: Bytes) -> Answer {
    let of = id(&of, "group")?;
    let patched = scim::patch(directory.team(of).await?, &read::<PatchRequest>(&body)?)?;
    directory.put_team(of, patched).await
}

async fn delete_group(directory: Directory, Path(of): Path<String>) -> Result<StatusCode, Refused> {
    directory.app.config().delete_team(&directory.who, id(&of, "group")?).await?;
    Ok(StatusCode::NO_CONTENT)
}
