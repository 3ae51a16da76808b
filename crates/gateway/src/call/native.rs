//! What only a provider's own Responses API has: stored answers, read, cancelled and deleted by their id.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use axum::response::Response;
use preloop_dialects::{Dialect, Operation, scan::Facts};
use preloop_types::{AccountId, CostBound, Exposure, Model, ModelCall, ModelId, NanoUsd, Principal, config::Capture};

use super::{Asked, Received, Stake, signals, unavailable};
use crate::{Gateway, failure::Failure, providers, serve::InPath};

/// Answers whose model is remembered.
const REMEMBERED_MAX: usize = 20_000;

/// Which model gave an answer. In memory: after a restart it is guessed where only one model could have.
#[derive(Default)]
pub(crate) struct Natives(Mutex<Remembered>);

#[derive(Default)]
struct Remembered {
    models: HashMap<(AccountId, String), ModelId>,
    oldest_first: VecDeque<(AccountId, String)>,
}

impl Natives {
    /// Notes that `model` gave the answer `id`.
    pub(crate) fn remember(&self, account: AccountId, id: &str, model: ModelId) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (account, id.to_owned());
        if known.models.insert(place.clone(), model).is_none() {
            known.oldest_first.push_back(place);
        }
        if known.oldest_first.len() > REMEMBERED_MAX
            && let Some(oldest) = known.oldest_first.pop_front()
        {
            known.models.remove(&oldest);
        }
    }

    fn model_of(&self, account: AccountId, id: &str) -> Option<ModelId> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.models.get(&(account, id.to_owned())).copied()
    }
}

impl Gateway {
    /// Carries out a call of a provider's own part of the Responses API: free of charge, on the record.
    pub(crate) async fn native_call(
        &self,
        who: Arc<Principal>,
        received: Received<'_>,
        rest: &str,
    ) -> Result<Response, Failure> {
        if rest == "compact" {
            let in_path = InPath { method: Some(rest.to_owned()), ..InPath::default() };
            return self.model_call(who, received, Operation::Generate, &in_path).await;
        }
        let Received { id, ask, method, headers, body } = received;
        let snapshot = self.governor().snapshot(who.account).await.map_err(|error| unavailable(&error))?;
        let answer = rest.split('/').next().unwrap_or_default();
        let speaks = |model: &&Arc<Model>| {
            let provider = providers::provider(&model.provider);
            model.enabled
                && provider
                    .is_some_and(|provider| provider.dialects(model, Operation::Generate).contains(&Dialect::Responses))
        };
        let model = if let Some(known) = self.natives().model_of(who.account, answer) {
            snapshot.models.iter().find(|model| model.id == known)
        } else {
            let mut able = snapshot.models.iter().filter(speaks);
            able.next().filter(|_| able.next().is_none())
        };
        let Some(model) = model else {
            let why = format!("no model of this account is known to have given the answer `{answer}`");
            return Err(Failure::new(404, "response_not_found", why));
        };
        let client = signals::client(headers).map(Arc::from);
        let in_path = InPath { method: Some(rest.to_owned()), ..InPath::default() };
        let asked = Asked {
            id,
            who,
            ask,
            operation: Operation::Generate,
            in_path: &in_path,
            method,
            headers,
            client,
            body,
            facts: Facts::default(),
            guard: None,
            capture: Capture::Off,
            added: None,
        };
        let stake = Stake { price: None, exposure: Some(Exposure::default()), bound: CostBound::AtMost(NanoUsd::ZERO) };
        let call = ModelCall { operation: "native", ..asked.call(model, &stake) };
        self.admitted(&asked, std::slice::from_ref(model), call, stake, &snapshot).await
    }
}
