//! Credentials of models, opened, for a short while.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use dashmap::DashMap;
use preloop_store::{SecretOwner, Store};
use preloop_types::{AccountId, Model, ModelId, Timestamp};
use secrecy::ExposeSecret;

use crate::providers::Secrets;

/// How long an opened credential stays in memory. A change of the model opens it anew at once.
const KEPT_FOR: Duration = Duration::from_mins(1);

/// Credentials that were used lately.
#[derive(Default)]
pub(crate) struct OpenSecrets(DashMap<ModelId, Open>);

struct Open {
    secrets: Arc<Secrets>,
    of: Timestamp,
    since: Instant,
}

impl OpenSecrets {
    /// The credentials of `model`.
    pub(crate) async fn of(
        &self,
        store: &Store,
        account: AccountId,
        model: &Model,
    ) -> Result<Arc<Secrets>, preloop_store::Error> {
        if let Some(open) = self.0.get(&model.id)
            && open.of == model.updated_at
            && open.since.elapsed() < KEPT_FOR
        {
            return Ok(open.secrets.clone());
        }
        let secrets = Arc::new(store.account(account).secrets(SecretOwner::Model(model.id)).await?);
        self.0.retain(|_, open| open.since.elapsed() < KEPT_FOR);
        self.0.insert(model.id, Open { secrets: secrets.clone(), of: model.updated_at, since: Instant::now() });
        Ok(secrets)
    }
}

/// A provider's words without the credentials it was asked with: some repeat them in their errors.
pub(crate) fn without(words: Bytes, secrets: &Secrets) -> Bytes {
    /// Shorter ones are found in words that have nothing to do with them.
    const LENGTH_MIN: usize = 8;
    let told = secrets.values().map(ExposeSecret::expose_secret).filter(|secret| secret.len() >= LENGTH_MIN);
    told.fold(words, |words, secret| match std::str::from_utf8(&words) {
        Ok(text) if text.contains(secret) => text.replace(secret, "[redacted]").into(),
        _ => words,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_in_a_providers_own_error_does_not_get_through() {
        let secrets = Secrets::from([("api_key".to_owned(), "sk-0123456789".into())]);
        let said = Bytes::from_static(br#"{"error":"Bearer sk-0123456789 is wrong"}"#);

        assert_eq!(without(said, &secrets), &br#"{"error":"Bearer [redacted] is wrong"}"#[..]);
    }
}
