//! `/api/v1/tools`

use preloop_api_types::{Page, tools::Tool};
use preloop_govern::Snapshot;
use preloop_mcp::firewall::builtin_tools;
use preloop_types::{
    ToolRef,
    config::{PinState, RuleAction, ServerStatus, ToolConfig},
};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;

use super::shape;
use crate::{
    App,
    caller::{Caller, ViewTools},
    error::ApiError,
    extract::{Listed, Query},
    openapi::guarded,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default().routes(guarded!(list))
}

/// Every tool, built in or of an upstream server, with what is configured for it.
#[utoipa::path(get, path = "/api/v1/tools", tag = "tools", params(Page), responses((status = 200, body = Vec<Tool>)))]
async fn list(caller: Caller<ViewTools>, Query(page): Query<Page>) -> Result<Listed<Tool>, ApiError> {
    let snapshot = caller.governor().snapshot(caller.who().account).await?;
    let builtin = builtin_tools().map(|(reference, definition)| builtin(&snapshot, &reference, definition));
    let upstream = snapshot.tools.values().map(|tool| upstream(&snapshot, tool));
    Listed::page(builtin.chain(upstream).collect(), &page)
}

/// What is shown of a tool's definition.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Definition {
    pub(super) description: Option<String>,
    pub(super) input_schema: Option<Value>,
}

fn builtin(snapshot: &Snapshot, reference: &ToolRef, definition: Value) -> Tool {
    let definition: Definition = serde_json::from_value(definition).unwrap_or_default();
    let config = snapshot.ruleset.config(reference);
    shown(definition, config, reference, Source { kind: "builtin", id: None, name: "Preloop", pin: None, usable: true })
}

fn upstream(snapshot: &Snapshot, tool: &preloop_govern::CatalogueTool) -> Tool {
    let definition: Definition = serde_json::from_str(tool.tool.definition.0.get()).unwrap_or_default();
    let config = snapshot.ruleset.config(&tool.reference);
    let source = Source {
        kind: "mcp",
        id: Some(tool.server.id.0),
        name: &tool.server.name,
        pin: Some(tool.tool.pin),
        usable: tool.is_pinned() && tool.server.status != ServerStatus::Disabled,
    };
    shown(definition, config, &tool.reference, source)
}

#[derive(Clone, Copy)]
struct Source<'a> {
    kind: &'a str,
    id: Option<preloop_api_types::Uuid>,
    name: &'a str,
    pin: Option<PinState>,
    usable: bool,
}

fn shown(definition: Definition, config: Option<&ToolConfig>, reference: &ToolRef, source: Source<'_>) -> Tool {
    let unsupported = match source.pin {
        _ if source.usable => None,
        Some(PinState::Drifted) => Some("its definition changed; accept the change first"),
        Some(PinState::Quarantined) => Some("its definition looks like an attack; accept it first"),
        _ => Some("its server is switched off"),
    };
    let asks = |config: &ToolConfig| {
        let asking =
            |rule: &preloop_types::config::AccessRule| rule.is_enabled && rule.action == RuleAction::RequireApproval;
        config.rules.iter().any(asking)
    };
    Tool {
        name: reference.exposed.to_string(),
        upstream_name: reference.name.to_string(),
        description: config
            .and_then(|config| config.description.clone())
            .or(definition.description)
            .unwrap_or_default(),
        source: source.kind.to_owned(),
        source_id: source.id,
        source_name: source.name.to_owned(),
        schema: definition.input_schema.unwrap_or_else(|| json!({"type": "object"})),
        is_enabled: config.is_none_or(|config| config.is_enabled),
        requires_tracker: false,
        required_tracker_types: Vec::new(),
        is_supported: unsupported.is_none(),
        unsupported_reason: unsupported.map(str::to_owned),
        approval_workflow_id: config.and_then(|config| config.workflow).map(|id| id.0),
        config_id: config.map(|config| config.id.0),
        has_approval_condition: config.is_some_and(asks),
        access_rules: config.map(shape::rule_summaries).unwrap_or_default(),
        justification_mode: config.and_then(|config| config.justification),
        pin: source.pin,
    }
}
