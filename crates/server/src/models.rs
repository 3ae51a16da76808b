//! What configuration has to know of the model gateway.

use preloop_egress::Egress;
use preloop_gateway::providers::{self, ProviderError};
use preloop_govern::config::{ConfigError, ModelCheck};

/// A model is saved only if its provider can work with it and requests may go where it says.
pub(crate) fn check(egress: Egress) -> ModelCheck {
    ModelCheck::new(move |model, secrets| {
        let invalid = |field: &str, message: String| ConfigError::Invalid { field: field.to_owned(), message };
        if let Some(endpoint) = &model.endpoint {
            let checked = egress.check_url(endpoint, true);
            checked.map_err(|refused| invalid("endpoint", refused.to_string()))?;
        }
        providers::check(model, secrets).map_err(|error| {
            let field = match &error {
                ProviderError::Unknown(_) => "provider",
                ProviderError::MissingSecret { .. } | ProviderError::BadSecret { .. } => "credentials",
                ProviderError::Identifier(_) => "identifier",
                _ => "settings",
            };
            invalid(field, error.to_string())
        })
    })
}

/// What OpenTelemetry calls a provider.
pub(crate) fn telemetry_name(provider: &str) -> &str {
    providers::provider(provider).map_or(provider, |known| known.profile().telemetry)
}
