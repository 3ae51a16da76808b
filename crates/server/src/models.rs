//! What the floors below have to know of the model gateway.

use std::sync::Arc;

use async_trait::async_trait;
use preloop_egress::Egress;
use preloop_gateway::{
    Gateway,
    providers::{self, ProviderError},
};
use preloop_govern::{
    Models, NoAnswer, Question, Reply,
    config::{ConfigError, ModelCheck},
};
use preloop_types::Principal;

/// Models for our own parts, through our own gateway.
pub(crate) struct OwnModels(pub(crate) Gateway);

#[async_trait]
impl Models for OwnModels {
    async fn ask(&self, who: Arc<Principal>, question: Question) -> Result<Reply, NoAnswer> {
        self.0.ask(who, question).await
    }
}

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
