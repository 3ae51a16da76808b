//! Reading resources and prompts: a governed call like any other.
//!
//! To policy and records a read is a call of `resources/read` or `prompts/get` of its server, with
//! the request's params as arguments. It may be denied or put before a person, and both the
//! intent and the outcome are recorded. Only what an agent is told differs: JSON-RPC has no tool
//! result here, so a refusal is an error. A read that waits is read again: it joins its request.

use std::sync::Arc;

use preloop_govern::RefusalKind;
use preloop_types::{
    CallId, RESOURCES_READ, ToolRef, Verdict,
    config::{Justification, Server},
};
use serde_json::{json, value::RawValue, value::to_raw_value};

use super::{Asked, Firewall, calls::Attempt, replies::Shape};
use crate::protocol::{RpcError, error};
use crate::splice;

impl Firewall {
    /// Reads what `params` name of `server`, if that is allowed.
    pub(super) async fn read(
        &self,
        asked: &Asked<'_>,
        server: &Server,
        method: &str,
        params: Option<Arc<RawValue>>,
    ) -> Result<Arc<RawValue>, RpcError> {
        let bad = || RpcError::new(error::INVALID_PARAMS, "`params` must be an object");
        let params = params.ok_or_else(bad)?;
        let (arguments, meta) = splice::take(&params, "_meta").ok_or_else(bad)?;
        let attempt = attempt(asked, method, arguments, meta);
        let tool = ToolRef::read(method, server.id, &server.slug);
        if let Some(why) = asked.barred {
            return self.refuse_barred(&attempt, tool, why).await;
        }
        let snapshot = self.snapshot(asked.who).await?;
        let justification = snapshot.ruleset.config(&tool).and_then(|config| config.justification);
        let call = attempt.on(tool, CallId::new(self.governor.now()));
        if justification == Some(Justification::Required) {
            let message =
                format!("`{method}` of server `{}` requires a justification, which a read cannot carry", server.slug);
            return self.refuse(&attempt, &call, RefusalKind::Misconfigured, message).await;
        }
        let admission = self.governor.admit(asked.who, call).await;
        self.conclude(attempt, admission).await
    }

    /// Whether the caller may be told when a resource changes: whoever is denied to read it is not.
    pub(super) async fn may_follow(&self, asked: &Asked<'_>, server: &Server, uri: &str) -> Result<(), RpcError> {
        let arguments = to_raw_value(&json!({"uri": uri})).unwrap_or_default().into();
        let attempt = attempt(asked, RESOURCES_READ, arguments, None);
        let tool = ToolRef::read(RESOURCES_READ, server.id, &server.slug);
        let call = attempt.on(tool, CallId::new(self.governor.now()));
        let decision = self.snapshot(asked.who).await?.decide(asked.who, &call, self.governor.now());
        if decision.verdict == Verdict::Deny {
            self.refuse(&attempt, &call, RefusalKind::Denied, decision.reason).await?;
        }
        Ok(())
    }
}

fn attempt<'a>(
    asked: &Asked<'a>,
    method: &'a str,
    arguments: Arc<RawValue>,
    meta: Option<&'a RawValue>,
) -> Attempt<'a> {
    Attempt { who: asked.who, client: asked.client, shape: Shape::Read, name: method, arguments, meta }
}
