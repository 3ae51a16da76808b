//! Who calls a REST endpoint, and that they may.

use std::{
    marker::PhantomData,
    net::{IpAddr, SocketAddr},
    ops::Deref,
    sync::Arc,
};

use axum::extract::{ConnectInfo, FromRequestParts};
use http::{StatusCode, header, request::Parts};
use ipnet::IpNet;
use preloop_govern::{Decider, Error, IdentifyError};
use preloop_store::Approval;
use preloop_types::{ApprovalId, Permission, Principal, Scope, UserId};

use crate::{App, error::ApiError, page::client_name};

/// Who an endpoint lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Whoever has a credential, agents too.
    Anyone,
    /// People, whatever their roles.
    Person,
    /// People themselves, whatever their roles: not somebody who acts in their place. For what outlives
    /// the request, like credentials.
    InPerson,
    /// Instances whose push relay this is, by a key made for that alone.
    PushRelay,
    /// People whose roles allow this.
    Permission(Permission),
    /// Whoever looks after the instance, themselves.
    Superuser,
}

impl Access {
    /// What the OpenAPI document says of it: an extension and its value.
    pub(crate) const fn documented(self) -> (&'static str, &'static str) {
        match self {
            Access::Anyone => ("x-access", "anyone"),
            Access::Person => ("x-access", "person"),
            Access::InPerson => ("x-access", "in_person"),
            Access::PushRelay => ("x-access", "push_relay"),
            Access::Permission(permission) => ("x-permission", permission.name()),
            Access::Superuser => ("x-access", "superuser"),
        }
    }

    /// The one place where it is decided whether a caller gets in.
    async fn check(self, who: &Principal, app: &App) -> Result<(), ApiError> {
        let forbidden = |detail: String| Err(ApiError::new(StatusCode::FORBIDDEN, detail));
        let lacks = |name: &str| forbidden(format!("Insufficient permissions. Required: {name}"));
        match self {
            Access::Anyone => Ok(()),
            Access::PushRelay if who.has_scope(Scope::PushProxy) => Ok(()),
            Access::PushRelay => forbidden("this credential does not have the scope `push_proxy`".to_owned()),
            // An agent's credential may hold `view_tools` towards MCP; the REST API shows rules and
            // approvals, which are its keepers' business.
            Access::Permission(permission) if (who.is_person() || who.is_device()) && who.may(permission) => Ok(()),
            Access::Permission(permission) => lacks(permission.name()),
            _ if !who.is_person() => forbidden("Only people may do this: this is an agent's credential".to_owned()),
            Access::Person => Ok(()),
            Access::InPerson if who.impersonator.is_none() => Ok(()),
            Access::InPerson => {
                forbidden("This is for the person alone: it cannot be done in somebody else's place".to_owned())
            }
            Access::Superuser => {
                let user = app.store().account(who.account).user(who.user).await?;
                match user {
                    Some(user) if user.is_superuser && who.impersonator.is_none() => Ok(()),
                    _ => lacks("superuser"),
                }
            }
        }
    }
}

/// What an endpoint needs of its caller, as a type.
pub(crate) trait Needs: Send + Sync + 'static {
    /// Who is let in.
    const ACCESS: Access;
}

macro_rules! needs {
    ($($name:ident)*) => {$(
        #[doc = concat!("Needs `", stringify!($name), "`.")]
        pub(crate) struct $name;

        impl Needs for $name {
            const ACCESS: Access = Access::Permission(Permission::$name);
        }
    )*};
}

needs! {
    ViewMcpServers CreateMcpServers EditMcpServers DeleteMcpServers ManageMcpServers
    ViewTools ManageTools
    ViewPolicies ManagePolicies
    ViewApprovals DecideApprovals ManageApprovalWorkflows
    ViewAuditLogs
    ManageApiKeys
    ViewAgents ManageAgents
    ViewAiModels CreateAiModels EditAiModels DeleteAiModels
    ViewCost ManageBudgets
    ViewRuntimeSessions ManageRuntimeSessions ExecuteTools
    ManageAccount ManageIdentity ManageKillSwitch
    ViewUsers InviteUsers ManageUsers AssignRoles
    ViewTeams CreateTeams EditTeams DeleteTeams ManageTeams
}

macro_rules! lets_in {
    ($($(#[doc = $doc:literal])* $name:ident)*) => {$(
        $(#[doc = $doc])*
        pub(crate) struct $name;

        impl Needs for $name {
            const ACCESS: Access = Access::$name;
        }
    )*};
}

lets_in! {
    /// Lets in whoever has a credential, agents too.
    Anyone
    /// Lets in people, whatever their roles.
    Person
    /// Lets in people themselves, not whoever acts in their place.
    InPerson
    /// Lets in instances whose push relay this is.
    PushRelay
    /// Lets in whoever looks after the instance.
    Superuser
}

/// A caller whom `P` lets in. A protected endpoint takes one as its first argument;
/// registering it without does not compile.
pub(crate) struct Caller<P> {
    who: Arc<Principal>,
    app: App,
    needs: PhantomData<P>,
}

impl<P> Caller<P> {
    /// Who calls.
    pub(crate) fn who(&self) -> &Arc<Principal> {
        &self.who
    }
}

impl<P> Deref for Caller<P> {
    type Target = App;

    fn deref(&self) -> &App {
        &self.app
    }
}

impl<P: Needs> FromRequestParts<App> for Caller<P> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let who = identify(parts, app).await?;
        P::ACCESS.check(&who, app).await?;
        Ok(Self { who, app: app.clone(), needs: PhantomData })
    }
}

pub(crate) async fn identify(parts: &Parts, app: &App) -> Result<Arc<Principal>, ApiError> {
    let credential = bearer(parts).ok_or_else(|| ApiError::unauthorized("Not authenticated"))?;
    let (address, now) = (address(parts, &app.options().trusted_proxies), app.store().now());
    app.throttle().check(address, now).map_err(ApiError::too_many)?;
    app.governor().identify(credential).await.map_err(|error| match error {
        IdentifyError::Unavailable(error) => error.into(),
        IdentifyError::AgentHalted(why) => ApiError::unauthorized(&why),
        IdentifyError::Unknown | IdentifyError::Expired => {
            app.throttle().wrong(address, credential, now);
            ApiError::unauthorized("Could not validate credentials")
        }
    })
}

/// The credential in `Authorization: Bearer …`, or in `X-API-Key`, as push relays are used to it.
fn bearer(parts: &Parts) -> Option<&str> {
    let Some(value) = parts.headers.get(header::AUTHORIZATION) else {
        let key = parts.headers.get("x-api-key")?.to_str().ok()?.trim();
        return Some(key).filter(|key| !key.is_empty());
    };
    let value = value.to_str().ok()?;
    let (scheme, credential) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| credential.trim()).filter(|credential| !credential.is_empty())
}

/// Where the request comes from. A trusted proxy says so in `X-Forwarded-For`, to whose end every
/// proxy adds whom it heard it from: the last address that is no trusted proxy's counts, because
/// anyone can write what stands before it.
pub(crate) fn address(parts: &Parts, trusted: &[IpNet]) -> IpAddr {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map_or(IpAddr::from([0, 0, 0, 0]), |ConnectInfo(peer)| peer.ip().to_canonical());
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    if !is_trusted(&peer) {
        return peer;
    }
    let said = parts.headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let hops: Vec<&str> = said.flat_map(|value| value.split(',')).collect();
    let mut nearest_first = hops.iter().rev().map_while(|hop| hop.trim().parse::<IpAddr>().ok());
    nearest_first.find(|hop| !is_trusted(hop)).unwrap_or(peer)
}

/// Notes in a request's history that somebody looked at it. Nothing depends on it.
pub(crate) async fn note_viewed(app: &App, approval: &Approval, by: Option<UserId>, via: &'static str) {
    if let Err(error) = app.governor().approvals().viewed(approval, by, via).await {
        tracing::warn!(approval = %approval.id, %error, "that a request was viewed could not be noted");
    }
}

/// Anybody, with or without a credential.
pub(crate) struct Visitor {
    app: App,
    address: IpAddr,
}

impl Visitor {
    /// Where they are.
    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    /// The request a link leads to. Wrong tokens count as guesses.
    pub(crate) async fn approval(&self, id: ApprovalId, token: &str) -> Result<Approval, ApiError> {
        let now = self.store().now();
        self.throttle().check(self.address, now).map_err(ApiError::too_many)?;
        match self.governor().approvals().by_token(id, token).await {
            Ok((approval, decider)) => {
                let user = match decider {
                    Decider::User { id, .. } => Some(id),
                    Decider::Link { .. } => None,
                };
                note_viewed(self, &approval, user, "link").await;
                Ok(approval)
            }
            Err(Error::NotFound(_)) => {
                self.throttle().wrong(self.address, token, now);
                Err(Self::no_such_link())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Refuses whoever tried too many tokens that nobody was given.
    pub(crate) fn slowed(&self) -> Result<(), ApiError> {
        self.throttle().check(self.address, self.store().now()).map_err(ApiError::too_many)
    }

    /// Notes a token that nobody was given.
    pub(crate) fn wrong(&self, token: &str) {
        self.throttle().wrong(self.address, token, self.store().now());
    }

    /// What came of a token; one that nobody was given is noted.
    pub(crate) fn guessed<T>(&self, token: &str, came: Result<T, preloop_identity::Error>) -> Result<T, ApiError> {
        if matches!(came, Err(preloop_identity::Error::InvalidToken)) {
            self.wrong(token);
        }
        Ok(came?)
    }

    /// One answer for everything that may be wrong with a link.
    pub(crate) fn no_such_link() -> ApiError {
        ApiError::not_found("approval request")
    }
}

impl Deref for Visitor {
    type Target = App;

    fn deref(&self) -> &App {
        &self.app
    }
}

impl FromRequestParts<App> for Visitor {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        Ok(Self { app: app.clone(), address: address(parts, &app.options().trusted_proxies) })
    }
}

/// What a request was made with, and from where.
pub(crate) struct Via(pub(crate) preloop_identity::Client);

impl FromRequestParts<App> for Via {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        let agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        let address = address(parts, &app.options().trusted_proxies);
        Ok(Self(preloop_identity::Client { name: client_name(agent), address }))
    }
}
