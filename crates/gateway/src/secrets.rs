//! Credentials of models, opened, for a short while.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use dashmap::DashMap;
use preloop_store::{SecretOwner, Store};
use preloop_types::{AccountId, Model, ModelId, Timestamp};

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
