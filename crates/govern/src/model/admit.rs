//! From a model call to a permit, or to the reason there is none.

use std::{sync::Arc, time::Instant};

use preloop_store::LedgerLine;
use preloop_types::{CallId, HaltScope, Model, ModelCall, Principal, SessionId};
use serde_json::json;

use super::{ModelAdmission, ModelPermit, ModelRefusal, ModelRefusalKind, Refused, Stops, permit::Granted, records};
use crate::{Error, Governor, Snapshot, governor::halted, sessions::Stop};

/// A request that never became a [`ModelCall`], as far as it is known.
#[derive(Debug, Clone)]
pub struct ModelAttempt {
    /// Joins every record about it.
    pub id: CallId,
    /// The API the agent speaks.
    pub dialect: &'static str,
    /// What it asks of that API.
    pub operation: &'static str,
    /// What the agent called the model.
    pub requested: Option<Arc<str>>,
    /// The model that was meant.
    pub model: Option<Arc<Model>>,
    /// The agent run it belongs to.
    pub session: Option<SessionId>,
    /// What the client says of itself.
    pub client: Option<Arc<str>>,
}

impl From<&ModelCall> for ModelAttempt {
    fn from(call: &ModelCall) -> Self {
        Self {
            id: call.id,
            dialect: call.dialect,
            operation: call.operation,
            requested: Some(call.requested.clone()),
            model: Some(call.model.clone()),
            session: call.session,
            client: call.client.clone(),
        }
    }
}

impl Governor {
    /// Decides a model call. `Granted` means: allowed, what it may consume is reserved, and its intent is
    /// durable.
    pub async fn admit_model(&self, who: &Arc<Principal>, call: ModelCall) -> ModelAdmission {
        let attempt = ModelAttempt::from(&call);
        match self.grant_model(who, call).await {
            Ok(permit) => ModelAdmission::Granted(permit),
            Err(refused) => ModelAdmission::Refused(self.refuse_model(who, &attempt, refused.of(attempt.id)).await),
        }
    }

    /// Records that a model call was refused, and hands the refusal on. For those that were refused
    /// before [`Governor::admit_model`] could be asked.
    pub async fn refuse_model(&self, who: &Principal, attempt: &ModelAttempt, refusal: ModelRefusal) -> ModelRefusal {
        let refusal = self.record_model_refusal(who, attempt, refusal).await;
        self.inner().observe(|observer| observer.model_refused(who, attempt, &refusal));
        refusal
    }

    async fn record_model_refusal(
        &self,
        who: &Principal,
        attempt: &ModelAttempt,
        refusal: ModelRefusal,
    ) -> ModelRefusal {
        if refusal.kind == ModelRefusalKind::Unavailable {
            return refusal;
        }
        let (entry, line) = records::refused(who, attempt, &refusal);
        match self.write_refusal(entry, line).await {
            Ok(()) => refusal,
            Err(error) => unavailable(&error).of(refusal.call),
        }
    }

    async fn grant_model(&self, who: &Arc<Principal>, call: ModelCall) -> Result<ModelPermit, Refused> {
        let traffic = self.inner().traffic.stop_of(who.account);
        let snapshot = self.snapshot(who.account).await.map_err(|error| unavailable(&error))?;
        if let Some(halt) = snapshot.halted(HaltScope::Gateway) {
            return Err(Refused::new(ModelRefusalKind::AccountHalted, halted(halt)));
        }
        let session = match call.session {
            None => Stop::default(),
            Some(session) => self.inner().sessions.stop_of(session, self.now()).ok_or_else(session_ended)?,
        };
        allowed(who, &call, &snapshot)?;
        let limits = self.inner().limits.enter(who, &call, &snapshot, self.now())?;
        let reservation = self.inner().budgets.reserve(self, who, &call, &snapshot).await?;
        // From here on dropping the permit settles it: the intent may become durable at any time.
        let mut permit = ModelPermit::new(Granted {
            governor: self.clone(),
            who: who.clone(),
            reservation,
            limits,
            stops: Stops { session, traffic },
            started: Instant::now(),
            is_durable: false,
            in_flight: self.inner().in_flight.clone(),
            call,
        });
        let (entry, line) = {
            let granted = permit.granted();
            let (call, reservation) = (&granted.call, &granted.reservation);
            let entry = records::intent(who, call, reservation, snapshot.version);
            (entry, LedgerLine { reserved_by: reservation.life(), ..LedgerLine::default() })
        };
        match self.store().append_with(entry, line).await {
            Ok(_) => {
                permit.is_durable();
                Ok(permit)
            }
            Err(error) => {
                permit.never_sent(&error);
                Err(unavailable(&error.into()))
            }
        }
    }
}

/// Whether the lists of allowed models let `who` use the call's model.
pub(super) fn allowed(who: &Principal, call: &ModelCall, snapshot: &Snapshot) -> Result<(), Refused> {
    if !call.model.enabled {
        let message = format!("model `{}` is switched off", call.model.alias);
        return Err(Refused::new(ModelRefusalKind::ModelDisabled, message));
    }
    let Some(scope) = snapshot.forbidden_by(who, &call.model, Some(&call.requested)) else { return Ok(()) };
    let message = format!("model `{}` is not among the models this {scope} may use", call.model.alias);
    let data = json!({ "scope": scope, "model": call.model.alias });
    Err(Refused { data, ..Refused::new(ModelRefusalKind::ModelNotAllowed, message) })
}

fn session_ended() -> Refused {
    Refused::new(
        ModelRefusalKind::SessionEnded,
        "this agent session was ended by a person; a new one has to be started".to_owned(),
    )
}

pub(super) fn unavailable(error: &Error) -> Refused {
    tracing::error!(%error, "a model call was refused because it cannot be governed now");
    Refused::new(
        ModelRefusalKind::Unavailable,
        format!("Preloop cannot decide or record this call now, so it was not sent: {error}"),
    )
}
