//! `completion/complete`: asked of the server the reference leads to.

use std::{borrow::Cow, sync::Arc};

use preloop_types::Principal;
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{Firewall, route};
use crate::{
    downstream::EndpointScope,
    protocol::{Client, RpcError, error},
    upstream::members,
};

#[derive(Deserialize)]
struct CompleteParams<'a> {
    #[serde(borrow, rename = "ref")]
    reference: &'a RawValue,
}

#[derive(Deserialize)]
struct Reference<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    uri: Option<Cow<'a, str>>,
}

impl Firewall {
    pub(super) async fn complete(
        &self,
        who: &Arc<Principal>,
        scope: &EndpointScope,
        params: Option<&Arc<RawValue>>,
        client: &dyn Client,
    ) -> Result<Arc<RawValue>, RpcError> {
        let bad = || RpcError::new(error::INVALID_PARAMS, "`params.ref` must name a prompt or a resource template");
        let params = params.ok_or_else(bad)?;
        let given: CompleteParams<'_> = serde_json::from_str(params.get()).map_err(|_| bad())?;
        let reference: Reference<'_> = serde_json::from_str(given.reference.get()).map_err(|_| bad())?;
        let (server, member, value) = if let Some(name) = &reference.name {
            let (server, name) = self.prompt(who, scope, name).await?;
            (server, "name", name)
        } else {
            let uri = reference.uri.as_deref().ok_or_else(bad)?;
            let snapshot = self.snapshot(who).await?;
            let servers = route::servers(&snapshot, who, scope);
            let (server, uri) = match (route::split_uri(&servers, uri), servers.as_slice()) {
                (Some((server, rest)), _) if *scope == EndpointScope::All => (server, rest),
                (_, [only]) => (only.clone(), uri),
                _ => return Err(RpcError::new(error::INVALID_PARAMS, format!("unknown resource template `{uri}`"))),
            };
            (server, "uri", uri.to_owned())
        };
        let reference = members::replace(given.reference, member, &json!(value).to_string()).ok_or_else(bad)?;
        let params = members::replace(params, "ref", reference.get());
        self.pass(&server, who, "completion/complete", params, client).await
    }
}
