//! The proof that a call was decided and recorded. Whoever reaches an upstream tool holds one.

use std::{sync::Arc, time::Instant};

use preloop_types::{ApprovalId, CallOutcome, OutcomeStatus, Principal, ToolCall, config::Server};

use serde_json::Value;

use crate::{Governor, Result, records};

/// One call that may be carried out, once. Only this crate makes one, and only after the intent is
/// durable. Dropped without [`Permit::settle`], it is settled as `unknown`.
#[must_use = "a permit is settled with the call's outcome"]
pub struct Permit {
    granted: Option<Granted>,
}

pub(crate) struct Granted {
    pub(crate) governor: Governor,
    pub(crate) who: Arc<Principal>,
    pub(crate) call: ToolCall,
    pub(crate) server: Option<Arc<Server>>,
    pub(crate) claim: Option<Claimed>,
    /// What a person answered, of a request that is a question.
    pub(crate) answer: Option<Value>,
    pub(crate) started: Instant,
}

/// The one execution of an approved request.
#[derive(Clone, Copy)]
pub(crate) struct Claimed {
    pub(crate) request: ApprovalId,
    pub(crate) attempt: u32,
}

impl Permit {
    pub(crate) fn new(granted: Granted) -> Self {
        Self { granted: Some(granted) }
    }

    /// The call, with exactly the arguments that were decided.
    pub fn call(&self) -> &ToolCall {
        &self.granted().call
    }

    /// Where it goes; `None` for a built-in tool.
    pub fn server(&self) -> Option<&Arc<Server>> {
        self.granted().server.as_ref()
    }

    /// What a person answered, where an agent asked.
    pub fn answer(&self) -> Option<&Value> {
        self.granted().answer.as_ref()
    }

    /// The request that was approved, where people were asked.
    pub fn request(&self) -> Option<ApprovalId> {
        self.granted().claim.map(|claim| claim.request)
    }

    /// On whose behalf.
    pub fn principal(&self) -> &Arc<Principal> {
        &self.granted().who
    }

    /// Records how the call ended. The record is durable within milliseconds; that of an approved
    /// request's one execution when this returns.
    pub async fn settle(mut self, outcome: &CallOutcome) -> Result<()> {
        match self.granted.take() {
            Some(granted) => granted.settle(outcome).await,
            None => Ok(()),
        }
    }

    #[expect(clippy::expect_used, reason = "only `settle` and `drop` empty a permit, and both consume it")]
    fn granted(&self) -> &Granted {
        self.granted.as_ref().expect("a permit is full until it is consumed")
    }
}

impl Granted {
    async fn settle(self, outcome: &CallOutcome) -> Result<()> {
        let took = self.started.elapsed();
        self.governor.inner().observe(|observer| observer.tool_settled(&self.who, &self.call, outcome, took));
        let duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let request = self.claim.map(|claim| claim.request);
        let record = records::outcome(&self.who, &self.call, outcome, duration_us, request);
        match self.claim {
            None => self.governor.store().append_later(record).await.map_err(Into::into),
            Some(claim) => self.governor.finish_claim(claim, outcome, record).await,
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(granted) = self.granted.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let unknown = CallOutcome {
                status: OutcomeStatus::Unknown,
                payload: None,
                error: Some("the call was given up before its outcome was known".to_owned()),
            };
            let call = granted.call.id;
            if let Err(error) = granted.settle(&unknown).await {
                // The intent without an outcome says `unknown` by itself.
                tracing::error!(%call, %error, "the outcome of an abandoned call could not be recorded");
            }
        });
    }
}
