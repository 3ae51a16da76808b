//! The REST API: one module per group, one function per endpoint.

mod access_rules;
mod account;
mod agents;
mod ai_models;
mod api_keys;
mod approval_bypasses;
mod approval_links;
mod approval_requests;
mod approval_workflows;
mod audit;
pub(crate) mod auth;
mod budgets;
mod calls;
mod chat;
mod delegations;
mod enrollments;
mod event_webhooks;
mod factors;
mod governance;
mod identity_providers;
mod impersonation;
mod invitations;
mod kill_switch;
mod mcp_oauth;
mod mcp_servers;
mod notification_preferences;
mod passkeys;
mod permission_check;
mod policies;
mod price_overrides;
mod push;
mod runtime_sessions;
mod sessions;
mod shape;
mod standing_grants;
mod system;
mod teams;
mod tool_configurations;
mod tools;
mod usage;
mod users;

use utoipa_axum::router::OpenApiRouter;

pub(crate) use approval_requests::{preview_of, question, shown_arguments};

use crate::App;

/// Every endpoint with its documentation.
pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .merge(identity_providers::router())
        .merge(mcp_servers::router())
        .merge(mcp_oauth::router())
        .merge(tools::router())
        .merge(tool_configurations::router())
        .merge(access_rules::router())
        .merge(approval_workflows::router())
        .merge(approval_requests::router())
        .merge(approval_links::router())
        .merge(standing_grants::router())
        .merge(delegations::router())
        .merge(policies::router())
        .merge(audit::router())
        .merge(api_keys::router())
        .merge(ai_models::router())
        .merge(price_overrides::router())
        .merge(budgets::router())
        .merge(usage::router())
        .merge(runtime_sessions::router())
        .merge(agents::router())
        .merge(enrollments::router())
        .merge(permission_check::router())
        .merge(governance::router())
        .merge(account::router())
        .merge(notification_preferences::router())
        .merge(event_webhooks::router())
        .merge(approval_bypasses::router())
        .merge(chat::router())
        .merge(push::router())
        .merge(auth::router())
        .merge(sessions::router())
        .merge(factors::router())
        .merge(passkeys::router())
        .merge(kill_switch::router())
        .merge(users::router())
        .merge(teams::router())
        .merge(invitations::router())
        .merge(impersonation::router())
        .merge(system::router())
}
