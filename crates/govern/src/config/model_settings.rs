//! What holds for all model traffic of an account.

use preloop_types::{
    Guardrails, ModelPattern, Principal,
    config::{AccountModelSettings, Capture, OnUnpriced},
};

use super::{
    Config, Result, limits,
    record::{Actor, What},
};

/// What to change about an account's model traffic.
#[derive(Debug, Clone, Default)]
pub struct ModelSettingsChange {
    /// The only models anybody may use; any when empty.
    pub allowed_models: Option<Vec<String>>,
    /// What becomes of a call without a known price where a hard budget counts dollars.
    pub on_unpriced: Option<OnUnpriced>,
    /// What is kept of conversations.
    pub capture: Option<Capture>,
    /// Minutes of silence after which a session is over; 0 is never.
    pub session_idle_minutes: Option<u32>,
    /// What is looked for in model traffic. Whether its patterns can be used is for the caller to know.
    pub guardrails: Option<Guardrails>,
}

impl Config {
    /// Changes what holds for all model traffic.
    pub async fn update_model_settings(
        &self,
        who: &Principal,
        change: ModelSettingsChange,
    ) -> Result<AccountModelSettings> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let old = tx.model_settings().await?;
                let mut new = old.clone();
                if let Some(models) = change.allowed_models {
                    new.allowed_models = models.into_iter().map(ModelPattern).collect();
                    limits::model_patterns("allowed_models", &new.allowed_models)?;
                }
                new.on_unpriced = change.on_unpriced.unwrap_or(new.on_unpriced);
                new.capture = change.capture.unwrap_or(new.capture);
                new.guardrails = change.guardrails.unwrap_or(new.guardrails);
                new.session_idle_minutes = change.session_idle_minutes.unwrap_or(new.session_idle_minutes);
                if new != old {
                    tx.put_model_settings(&new).await?;
                    let id = by.account.0;
                    by.changed(tx, What::ModelSettings, (id, "model settings"), Some(&old), Some(&new));
                }
                Ok(new)
            })
        })
        .await
    }
}
