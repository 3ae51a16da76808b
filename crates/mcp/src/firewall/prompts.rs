//! Prompts: listed together under qualified names, rendered where they live.

use std::{borrow::Cow, sync::Arc};

use preloop_types::{Principal, config::Server};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{Firewall, resources::is_called, route};
use crate::{
    downstream::EndpointScope,
    protocol::{Client, RpcError, error},
    upstream::{
        UpstreamError,
        members::{self, Members},
    },
};

#[derive(Deserialize)]
struct NameParams<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

impl Firewall {
    pub(super) async fn list_prompts(
        &self,
        who: &Arc<Principal>,
        scope: &EndpointScope,
        params: Option<&Arc<RawValue>>,
    ) -> Result<Arc<RawValue>, RpcError> {
        let rename = |server: &Server, item: &RawValue| {
            let name = Members::of(item).and_then(|members| members.get("name").map(RawValue::get).map(str::to_owned));
            let name: String = name.and_then(|raw| serde_json::from_str(&raw).ok()).unwrap_or_default();
            let exposed = json!(route::exposed_name(scope, server, &name)).to_string();
            members::replace(item, "name", &exposed).map_or_else(|| item.get().to_owned(), |item| item.get().to_owned())
        };
        self.list_offered(who, scope, params, (|all| &all.prompts, "prompts"), rename).await
    }

    pub(super) async fn get_prompt(
        &self,
        who: &Arc<Principal>,
        scope: &EndpointScope,
        params: Option<&Arc<RawValue>>,
        client: &dyn Client,
    ) -> Result<Arc<RawValue>, RpcError> {
        let given: NameParams<'_> = params
            .and_then(|params| serde_json::from_str(params.get()).ok())
            .ok_or_else(|| RpcError::new(error::INVALID_PARAMS, "`params.name` is missing"))?;
        let (server, name) = self.prompt(who, scope, &given.name).await?;
        let params = params.and_then(|params| members::replace(params, "name", &json!(name).to_string()));
        self.pass(&server, who, "prompts/get", params, client).await
    }

    /// Where a prompt's name leads. A bare name leads to the server that has it, if only one does.
    pub(super) async fn prompt(
        &self,
        who: &Arc<Principal>,
        scope: &EndpointScope,
        name: &str,
    ) -> Result<(Arc<Server>, String), RpcError> {
        let snapshot = self.snapshot(who).await?;
        let servers = route::servers(&snapshot, who, scope);
        if *scope == EndpointScope::All
            && let Some((server, rest)) = route::split_name(&servers, name)
        {
            return Ok((server, rest.to_owned()));
        }
        if let [only] = servers.as_slice() {
            return Ok((only.clone(), name.to_owned()));
        }
        let mut found = Vec::new();
        for server in &servers {
            let Ok(offered) = self.upstreams.offered(who.account, server).await else { continue };
            if offered.prompts.iter().any(|item| is_called(item, "name", name)) {
                found.push(server.clone());
            }
        }
        match found.as_slice() {
            [only] => Ok((only.clone(), name.to_owned())),
            _ => Err(RpcError::new(error::INVALID_PARAMS, format!("unknown prompt `{name}`"))),
        }
    }

    /// Hands a request that has no effect to its server, and the answer back as it came.
    pub(super) async fn pass(
        &self,
        server: &Arc<Server>,
        who: &Arc<Principal>,
        method: &str,
        params: Option<Arc<RawValue>>,
        client: &dyn Client,
    ) -> Result<Arc<RawValue>, RpcError> {
        self.upstreams.request(server, who, method, params, client).await.map_err(|failure| match failure {
            UpstreamError::Rpc(error) => error,
            failure => {
                let facts = json!({"server": server.slug, "kind": failure.kind(), "retryable": failure.retryable()});
                RpcError::new(error::INTERNAL_ERROR, format!("server `{}`: {failure}", server.slug)).with_data(&facts)
            }
        })
    }
}
