//! Prompts: listed together under qualified names, rendered where they live.

use std::{borrow::Cow, sync::Arc};

use preloop_types::{PROMPTS_GET, config::Server};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Asked, Firewall,
    resources::{is_called, rename},
    route,
};
use crate::protocol::{RpcError, error};

#[derive(Deserialize)]
struct NameParams<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

impl Firewall {
    pub(super) async fn list_prompts(&self, asked: &Asked<'_>) -> Result<Arc<RawValue>, RpcError> {
        let renamed = |server: &Server, item: &RawValue| {
            rename(item, "name", |name| route::exposed_name(asked.scope, server, name))
        };
        self.list_offered(asked, PROMPTS_GET, "prompts", |all| &all.prompts, renamed).await
    }

    pub(super) async fn get_prompt(&self, asked: &Asked<'_>) -> Result<Arc<RawValue>, RpcError> {
        let NameParams { name } = asked.params("`params` must hold the prompt's `name`")?;
        let (server, name) = self.prompt(asked, &name).await?;
        self.read(asked, &server, PROMPTS_GET, asked.params_with("name", &name)).await
    }

    /// Where a prompt's name leads. A bare name leads to the server that has it, if only one does.
    pub(super) async fn prompt(&self, asked: &Asked<'_>, name: &str) -> Result<(Arc<Server>, String), RpcError> {
        let servers = self.servers(asked, PROMPTS_GET).await?;
        if let Some((server, rest)) = route::split_name(&servers, asked.scope, name) {
            return Ok((server, rest.to_owned()));
        }
        if let [only] = servers.as_slice() {
            return Ok((only.clone(), name.to_owned()));
        }
        let mut found = Vec::new();
        for server in servers {
            let Ok(offered) = self.upstreams.offered(asked.who.account, &server).await else { continue };
            if offered.prompts.iter().any(|item| is_called(item, "name", name)) {
                found.push(server);
            }
        }
        match found.as_slice() {
            [only] => Ok((only.clone(), name.to_owned())),
            _ => Err(RpcError::new(error::INVALID_PARAMS, format!("unknown prompt `{name}`"))),
        }
    }
}
