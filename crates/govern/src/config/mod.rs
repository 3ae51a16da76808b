//! The only way configuration changes.
//!
//! Every change is checked whole, then written in one transaction together with the journal record
//! that says who changed what from what to what, then announced. Values of secrets go to sealed
//! secrets and are never part of a row, a record or an answer.

mod account;
mod agents;
mod budgets;
mod bypasses;
mod conditions;
mod deciders;
mod defaults;
mod devices;
mod error;
mod event_webhooks;
mod governance;
mod identity_providers;
mod impersonation;
mod invitations;
mod keys;
mod kill_switch;
mod limits;
mod model_check;
mod model_settings;
mod models;
mod people;
mod policies;
mod prices;
mod provisioning;
mod record;
pub(crate) mod repair;
mod roles;
mod rules;
mod secrets;
mod servers;
mod session_tokens;
mod teams;
mod tools;
mod users;
mod workflows;

use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use preloop_store::{Store, Tx};
use preloop_types::AccountId;

pub use agents::{AgentChange, EnrollmentChange, Lifecycle, NewCredential, NewEnrollment};
pub use budgets::{BudgetChange, NewBudget};
pub use bypasses::NewBypass;
pub use conditions::test_condition;
pub use deciders::DecidersChange;
pub use defaults::DefaultsChange;
pub use devices::{DeviceCode, NewDevice, PreferencesChange};
pub use error::{ConfigError, PolicyProblem};
pub use event_webhooks::EndpointChange;
pub use identity_providers::ProviderChange;
pub use impersonation::{IMPERSONATION, Impersonation};
pub use invitations::{NewInvitation, Post};
pub use keys::{MintedKey, NewAgent, NewApiKey};
pub use model_check::ModelCheck;
pub use model_settings::ModelSettingsChange;
pub use models::ModelChange;
pub use people::{NewUser, PersonChange};
pub use policies::{Applied, ApplyRequest, EnvAllowList, GenerateFrom, Generated, LintRequest, ReplayRequest};
pub use prices::PriceChange;
pub use provisioning::ProvisionedUser;
pub use repair::{Pricer, Repair, RepairAsk};
pub use rules::{NewRule, RuleChange, SavedRule};
pub use secrets::is_redacted;
pub use servers::{SavedServer, ServerChange};
pub use session_tokens::{NewSessionToken, SessionToken};
pub use teams::{NewTeam, TeamChange};
pub use tools::{NewToolConfig, ToolConfigChange};
pub use users::UserChange;
pub use workflows::{SavedWorkflow, WorkflowChange};

/// A result of this module.
pub type Result<T, E = ConfigError> = std::result::Result<T, E>;

/// A change of an optional field: `None` leaves it, `Some(None)` clears it.
pub type Patch<T> = Option<Option<T>>;

/// A JSON object.
pub type JsonObject = serde_json::Map<String, serde_json::Value>;

/// What may be configured on this instance.
#[derive(Debug, Clone, Default)]
pub struct ConfigOptions {
    /// Servers may be programs that this machine runs.
    pub allow_stdio: bool,
    /// Servers may be switched to reach private and loopback addresses.
    pub allow_private_network: bool,
    /// Which environment variables a policy document may read.
    pub policy_env: EnvAllowList,
    /// Which models can be used.
    pub model_check: ModelCheck,
}

/// Changes the configuration of accounts. Cheap to clone.
#[derive(Clone)]
pub struct Config {
    store: Store,
    options: Arc<ConfigOptions>,
}

impl Config {
    /// Changes what is in `store`.
    pub fn new(store: Store, options: ConfigOptions) -> Self {
        Self { store, options: Arc::new(options) }
    }

    /// Runs one change in one transaction. An error writes nothing.
    async fn change<T: Send + 'static>(
        &self,
        account: AccountId,
        work: impl for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T>> + Send + 'static,
    ) -> Result<T> {
        // The store's writer knows only its own errors; ours leaves the transaction through here.
        let refused = Arc::new(Mutex::new(None));
        let refusal = refused.clone();
        let written = self
            .store
            .write(account, move |tx| {
                Box::pin(async move {
                    work(tx).await.map_err(|error| match error {
                        ConfigError::Store(error) => error,
                        refused => {
                            *refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(refused);
                            preloop_store::Error::Aborted("the change was refused")
                        }
                    })
                })
            })
            .await;
        let refused = refused.lock().unwrap_or_else(PoisonError::into_inner).take();
        written.map_err(|error| refused.unwrap_or_else(|| error.into()))
    }
}
