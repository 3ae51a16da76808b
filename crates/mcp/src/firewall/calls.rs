//! `tools/call`: the governed call, from the name an agent gives to the result it gets.

use std::{borrow::Cow, sync::Arc};

use preloop_govern::{Admission, CatalogueTool, Permit, Refusal, RefusalKind, SessionRefused, Snapshot};
use preloop_types::{CallId, Hash, Principal, ToolCall, ToolRef, config::Justification};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Asked, Firewall, builtin, client_name, replies, replies::Shape, results, route};
use crate::splice;
use crate::{
    protocol::{Client, Era, RpcError, error},
    upstream::UpstreamError,
};

/// `params` of `tools/call`.
#[derive(Deserialize)]
struct CallParams<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow, rename = "_meta")]
    meta: Option<&'a RawValue>,
}

/// A call before it is a [`ToolCall`]: it has a name only its caller vouches for.
pub(super) struct Attempt<'a> {
    pub(super) who: &'a Arc<Principal>,
    pub(super) client: &'a dyn Client,
    pub(super) shape: Shape,
    pub(super) name: &'a str,
    pub(super) arguments: Arc<RawValue>,
    pub(super) meta: Option<&'a RawValue>,
}

impl Firewall {
    pub(super) async fn call_tool(&self, asked: &Asked<'_>) -> Result<Arc<RawValue>, RpcError> {
        let params: CallParams<'_> = asked.params("`params` must hold the tool's `name`")?;
        let arguments = match params.arguments {
            None => splice::raw("{}"),
            Some(arguments) if arguments.get().starts_with('{') => Arc::from(arguments.to_owned()),
            Some(_) => return Err(RpcError::new(error::INVALID_PARAMS, "`arguments` must be an object")),
        };
        let attempt = Attempt {
            who: asked.who,
            client: asked.client,
            shape: Shape::Call,
            name: &params.name,
            arguments,
            meta: params.meta,
        };
        if let Some(why) = asked.barred {
            return self.refuse_barred(&attempt, unknown(&params.name), why).await;
        }
        let snapshot = self.snapshot(asked.who).await?;
        match route::tool(&snapshot, asked.who, asked.scope, &params.name) {
            Some(tool) => self.call_upstream(attempt, &snapshot, tool).await,
            None if builtin::is(&params.name) => Box::pin(self.call_builtin(attempt)).await,
            None => self.not_available(&attempt).await,
        }
    }

    async fn call_upstream(
        &self,
        attempt: Attempt<'_>,
        snapshot: &Snapshot,
        tool: &CatalogueTool,
    ) -> Result<Arc<RawValue>, RpcError> {
        let who = attempt.who;
        let mut call = attempt.on(tool.reference.clone(), CallId::new(self.governor.now()));
        if !tool.is_pinned() {
            let message = format!(
                "The definition of tool '{}' is not the one that was reviewed. It stays blocked until an administrator \
                 accepts the change (`preloop tools accept {}`)",
                attempt.name, tool.reference.exposed
            );
            return self.refuse(&attempt, &call, RefusalKind::ToolDefinitionChanged, message).await;
        }
        let schema = self.schemas.of(tool);
        if attempt.client.version().era() == Era::Modern
            && let Some(what) = schema.mismatch(&call.arguments, attempt.client.param_headers())
        {
            return Err(RpcError::new(error::HEADER_MISMATCH, format!("header mismatch: {what}")));
        }
        if let Some(mode) = snapshot.ruleset.config(&tool.reference).and_then(|config| config.justification) {
            match schema.take_reason(call.arguments.clone()) {
                Ok((arguments, reason)) => (call.arguments, call.justification) = (arguments, reason),
                Err(message) => return self.refuse(&attempt, &call, RefusalKind::InvalidArguments, message).await,
            }
            if mode == Justification::Required && call.justification.is_none() {
                let message = format!(
                    "Tool '{}' requires a '{}' parameter that says why the call is needed. Repeat the call with a \
                     non-empty one",
                    attempt.name,
                    schema.reason_parameter()
                );
                return self.refuse(&attempt, &call, RefusalKind::JustificationRequired, message).await;
            }
        }
        if let Some(misfit) = schema.misfit(&call.arguments) {
            let message = format!("The arguments do not fit tool '{}': {misfit}", attempt.name);
            return self.refuse(&attempt, &call, RefusalKind::InvalidArguments, message).await;
        }
        let admission = self.governor.admit(who, call).await;
        self.conclude(attempt, admission).await
    }

    /// From the decision to the answer.
    pub(super) async fn conclude(&self, attempt: Attempt<'_>, admission: Admission) -> Result<Arc<RawValue>, RpcError> {
        match admission {
            Admission::Granted(permit) => self.carry_out(permit, attempt.meta, attempt.client).await,
            // Waiting is rare and its future large.
            Admission::Held(held) => Box::pin(self.wait_for_human(attempt, *held)).await,
            Admission::Refused(refusal) => replies::refused(attempt.shape, attempt.name, &refusal),
        }
    }

    /// Carries a permitted call out, settles the permit, and hands on what came of it: the result
    /// as it came, or upstream's own JSON-RPC error.
    pub(super) async fn carry_out(
        &self,
        permit: Permit,
        meta: Option<&RawValue>,
        client: &dyn Client,
    ) -> Result<Arc<RawValue>, RpcError> {
        let (tool, call) = (permit.call().tool.clone(), permit.call().id);
        let answer = match permit.server() {
            Some(_) if tool.is_read() => self.upstreams.read(&permit, meta, client).await,
            Some(_) => self.upstreams.call_tool(&permit, meta, client).await,
            None => Ok(builtin::approved(&permit)),
        };
        if permit.settle(&results::outcome(&answer)).await.is_err() {
            return replies::unrecorded(&tool, call);
        }
        match answer {
            Ok(result) => Ok(result),
            Err(UpstreamError::Rpc(error)) => Err(error),
            Err(error) => replies::upstream_error(&tool, call, &error),
        }
    }

    /// A tool that is not there, or not for this caller: the same answer for both.
    async fn not_available(&self, attempt: &Attempt<'_>) -> Result<Arc<RawValue>, RpcError> {
        let call = attempt.on(unknown(attempt.name), CallId::new(self.governor.now()));
        let message = format!("Tool '{}' is not available", call.tool.name);
        self.refuse(attempt, &call, RefusalKind::NotAvailable, message).await
    }

    /// The agent's run was ended by a person, or cannot be told.
    pub(super) async fn refuse_barred(
        &self,
        attempt: &Attempt<'_>,
        tool: ToolRef,
        why: &SessionRefused,
    ) -> Result<Arc<RawValue>, RpcError> {
        let call = attempt.on(tool, CallId::new(self.governor.now()));
        self.refuse(attempt, &call, why.into(), why.to_string()).await
    }

    pub(super) async fn refuse(
        &self,
        attempt: &Attempt<'_>,
        call: &ToolCall,
        kind: RefusalKind,
        message: String,
    ) -> Result<Arc<RawValue>, RpcError> {
        let refusal: Refusal = self.governor.refuse(attempt.who, call, kind, message).await;
        replies::refused(attempt.shape, attempt.name, &refusal)
    }
}

impl Attempt<'_> {
    /// The call as the policy sees it.
    pub(super) fn on(&self, tool: ToolRef, id: CallId) -> ToolCall {
        let client = client_name(self.client).map(Into::into);
        ToolCall { id, tool, arguments: self.arguments.clone(), justification: None, client }
    }
}

/// How a name is recorded that no catalogue vouches for: kept short.
fn unknown(name: &str) -> ToolRef {
    let name: Arc<str> = name.chars().take(128).collect::<String>().into();
    ToolRef {
        id: None,
        server_id: None,
        server: "unknown".into(),
        exposed: name.clone(),
        definition: Hash::of([]),
        name,
    }
}
