//! `completion/complete`: asked of the server the reference leads to.

use std::{borrow::Cow, sync::Arc};

use preloop_types::{RESOURCES_READ, config::Server};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{Asked, Firewall, route};
use crate::protocol::{RpcError, error};
use crate::splice;

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
    pub(super) async fn complete(&self, asked: &Asked<'_>) -> Result<Arc<RawValue>, RpcError> {
        let missing = "`params.ref` must name a prompt or a resource template";
        let bad = || RpcError::new(error::INVALID_PARAMS, missing);
        let given: CompleteParams<'_> = asked.params(missing)?;
        let reference: Reference<'_> = serde_json::from_str(given.reference.get()).map_err(|_| bad())?;
        let (server, member, value) = match (&reference.name, &reference.uri) {
            (Some(name), _) => {
                let (server, name) = self.prompt(asked, name).await?;
                (server, "name", name)
            }
            (None, Some(uri)) => {
                let (server, uri) = self.template(asked, uri).await?;
                (server, "uri", uri)
            }
            (None, None) => return Err(bad()),
        };
        let reference = splice::replace(given.reference, member, &json!(value).to_string()).ok_or_else(bad)?;
        let params = asked.params.and_then(|params| splice::replace(params, "ref", reference.get()));
        self.pass(asked, &server, "completion/complete", params).await
    }

    async fn template(&self, asked: &Asked<'_>, uri: &str) -> Result<(Arc<Server>, String), RpcError> {
        let servers = self.servers(asked, RESOURCES_READ).await?;
        match (route::split_uri(&servers, asked.scope, uri), servers.as_slice()) {
            (Some((server, rest)), _) => Ok((server, rest.to_owned())),
            (None, [only]) => Ok((only.clone(), uri.to_owned())),
            _ => Err(RpcError::new(error::INVALID_PARAMS, format!("unknown resource template `{uri}`"))),
        }
    }
}
