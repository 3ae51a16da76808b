//! What `initialize` and `server/discover` promise: what visible servers have and we can relay.

use std::sync::Arc;

use preloop_types::{PROMPTS_GET, Principal, RESOURCES_READ};
use serde_json::{Map, Value, json};

use super::{Firewall, route, tasks};
use crate::{
    downstream::{EndpointScope, Offer},
    protocol::{Era, RpcError, Version},
};

impl Firewall {
    pub(super) async fn offer(
        &self,
        who: &Arc<Principal>,
        scope: &EndpointScope,
        version: Version,
    ) -> Result<Offer, RpcError> {
        let snapshot = self.snapshot(who).await?;
        let servers: Vec<_> = [RESOURCES_READ, PROMPTS_GET]
            .into_iter()
            .flat_map(|method| {
                route::servers(&snapshot, who, scope, method).into_iter().map(move |server| (method, server))
            })
            .collect();
        let mut capabilities = Map::from_iter([("tools".to_owned(), json!({"listChanged": true}))]);
        for (method, server) in &servers {
            let Some(facts) = &server.facts else { continue };
            let offered: Map<String, Value> = serde_json::from_str(facts.capabilities.0.get()).unwrap_or_default();
            for group in ["resources", "prompts", "completions", "logging"] {
                let Some(theirs) = offered.get(group) else { continue };
                if (group == "resources" && *method != RESOURCES_READ) || (group == "prompts" && *method != PROMPTS_GET)
                {
                    continue;
                }
                let ours = capabilities.entry(group).or_insert_with(|| json!({}));
                match group {
                    "resources" => {
                        ours["listChanged"] = json!(true);
                        if theirs.get("subscribe") == Some(&Value::Bool(true)) {
                            ours["subscribe"] = json!(true);
                        }
                    }
                    "prompts" => ours["listChanged"] = json!(true),
                    _ => {}
                }
            }
        }
        if version.era() == Era::Modern {
            capabilities.insert("extensions".to_owned(), json!({tasks::EXTENSION: {}}));
        }
        let instructions = match (scope, servers.first()) {
            (EndpointScope::Server(_), Some((_, only))) => {
                only.facts.as_ref().and_then(|facts| facts.instructions.clone())
            }
            _ => Some(INSTRUCTIONS.to_owned()),
        };
        Ok(Offer { capabilities, instructions })
    }
}

const INSTRUCTIONS: &str = "Tools here are governed: a call may be denied, may ask for a `justification`, or may wait for \
                            a person. A result with status `pending_approval` is not an error: poll \
                            `get_approval_status` with its request_id. A denial is a decision: do not look for a way \
                            around it.";
