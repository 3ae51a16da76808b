//! HTTP: REST, the approval page, the MCP endpoint; wires the other crates together.
//!
//! [`serve`] runs an instance; [`App`] is one assembled and not yet listening, for tests. A REST
//! endpoint is one function in `api`: it takes a `Caller` whose type names the permission
//! it needs, calls one function of the domain, and shapes the reply. The OpenAPI document is made
//! from the same functions.

mod api;
mod app;
mod caller;
mod error;
mod extract;
mod layers;
mod local;
mod mcp;
mod metrics;
mod models;
mod oauth;
mod openapi;
mod options;
mod page;
mod scim;
mod serve;
mod superuser;
mod throttle;

pub use app::{App, Welcome};
pub use error::ServeError;
pub use local::LocalDatabase;
pub use openapi::document;
pub use options::{FirstOwner, ServerOptions};
pub use preloop_identity::{PasswordCost, sso::known as known_providers};
pub use preloop_notify::{ChatSettings, MattermostSettings, PushProxySettings, SlackSettings, SmtpSettings, SmtpTls};
pub use preloop_telemetry::{OtlpError, OtlpOptions};
pub use serve::{Server, serve};
pub use superuser::set_superuser;
