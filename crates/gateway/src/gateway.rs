use std::sync::Arc;

use dashmap::DashMap;
use preloop_dialects::translate::Carrier;
use preloop_egress::Egress;
use preloop_govern::{Governor, Snapshot};
use preloop_types::{AccountId, Model, Timestamp};

use crate::{
    cache::Answers,
    call::{Breakers, Client, Natives, policy},
    carrier::{AccountCarrier, Kept},
    failure::Failure,
    guard::Guard,
    providers::{Authorizer, Secrets},
    secrets::OpenSecrets,
};

/// The model gateway. Cheap to clone.
#[derive(Clone)]
pub struct Gateway(Arc<Parts>);

struct Parts {
    governor: Governor,
    /// For endpoints of this network, where the instance allows them, and for all others.
    private: Client,
    public: Client,
    authorizer: Authorizer,
    secrets: OpenSecrets,
    kept: Arc<Kept>,
    breakers: Breakers,
    natives: Arc<Natives>,
    answers: Arc<Answers>,
    guards: DashMap<AccountId, (u64, Option<Arc<Guard>>)>,
}

impl Gateway {
    /// A gateway that governs through `governor` and reaches providers through `egress`. Fails only if
    /// the system's certificate store cannot be read.
    pub fn new(governor: Governor, egress: &Egress) -> Result<Self, String> {
        let client = |allow_private| egress.lean(policy(allow_private)).map_err(|error| error.to_string());
        let public = client(false)?;
        Ok(Self(Arc::new(Parts {
            governor,
            private: client(true)?,
            authorizer: Authorizer::new(public.clone()),
            public,
            secrets: OpenSecrets::default(),
            kept: Arc::default(),
            breakers: Breakers::default(),
            natives: Arc::default(),
            answers: Arc::default(),
            guards: DashMap::new(),
        })))
    }

    pub(crate) fn governor(&self) -> &Governor {
        &self.0.governor
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.governor.now()
    }

    pub(crate) fn breakers(&self) -> &Breakers {
        &self.0.breakers
    }

    pub(crate) fn natives(&self) -> &Arc<Natives> {
        &self.0.natives
    }

    pub(crate) fn answers(&self) -> &Arc<Answers> {
        &self.0.answers
    }

    /// What is looked for in the account's model traffic; `None` is nothing.
    pub(crate) fn guard(&self, account: AccountId, snapshot: &Snapshot) -> Result<Option<Arc<Guard>>, Failure> {
        let guardrails = &snapshot.model_settings.guardrails;
        if guardrails.rules.is_empty() {
            return Ok(None);
        }
        if let Some(compiled) = self.0.guards.get(&account).filter(|compiled| compiled.0 == snapshot.version) {
            return Ok(compiled.1.clone());
        }
        let compiled = Guard::compile(guardrails).map_err(|error| {
            tracing::error!(%error, "an account's guardrails cannot be used");
            Failure::new(403, "content_blocked", "the guardrails of this account cannot be used, so nothing may pass")
        })?;
        let compiled = compiled.map(Arc::new);
        self.0.guards.insert(account, (snapshot.version, compiled.clone()));
        Ok(compiled)
    }

    pub(crate) fn authorizer(&self) -> &Authorizer {
        &self.0.authorizer
    }

    /// The client for a model: only an endpoint a person wrote may lead into this network.
    pub(crate) fn client(&self, model: &Model) -> &Client {
        if model.endpoint.is_some() { &self.0.private } else { &self.0.public }
    }

    pub(crate) async fn secrets(&self, account: AccountId, model: &Model) -> Result<Arc<Secrets>, Failure> {
        self.0.secrets.of(self.0.governor.store(), account, model).await.map_err(|error| {
            tracing::error!(model = %model.alias, %error, "the credentials of a model cannot be opened");
            Failure::new(502, "upstream_credentials_missing", "the credentials of this model cannot be opened")
        })
    }

    pub(crate) async fn carrier(&self, account: AccountId) -> Result<Arc<dyn Carrier>, Failure> {
        let sealer = self.0.governor.store().sealer(account).await.map_err(|error| {
            tracing::error!(%error, "an account's key cannot be opened");
            Failure::new(503, "ledger_unavailable", "Preloop cannot read its keys now, so the call was not sent")
        })?;
        Ok(Arc::new(AccountCarrier::new(account, sealer, self.0.kept.clone())))
    }
}
