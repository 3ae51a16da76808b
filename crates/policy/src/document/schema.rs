//! The document's JSON Schema, for editors and for people.

use preloop_types::config::ServerSettings;
use serde_json::{Map, Value, json};

/// JSON Schema (draft 7) of the policy document, aliases left out.
pub fn schema() -> Value {
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Preloop policy",
        "type": "object",
        "additionalProperties": false,
        "required": ["metadata"],
        "properties": {
            "version": {"const": "1.0", "default": "1.0"},
            "metadata": object(&["name"], json!({
                "name": text("What the policy is called"),
                "description": text("What it is for"),
                "author": text("Who wrote it"),
                "created_at": text("When it was exported; changes nothing"),
                "tags": texts("Free labels"),
            })),
            "mcp_servers": list(server()),
            "approval_workflows": list(workflow()),
            "tools": list(tool()),
            "defaults": object(&[], json!({
                "unknown_tools": action("What happens to tools the policy does not name", "allow"),
                "require_approval_for_new_tools":
                    flag("Tools found from now on need approval until they are configured", false),
                "default_approval_workflow": text("Who decides when nothing names a workflow"),
                "inherit_from_parent": flag("Accepted; changes nothing", true),
            })),
        },
    })
}

fn server() -> Value {
    object(
        &["name"],
        json!({
            "name": text("By which the server is recognised"),
            "url": text("Its endpoint; `${NAME}` is replaced by a variable the operator allows"),
            "transport": {"enum": ["streamable-http", "http-streaming", "sse", "stdio"], "default": "streamable-http"},
            "command": text("The program, for transport `stdio`"),
            "args": texts("The program's arguments"),
            "env": {"type": "object", "description": "The program's environment"},
            "cwd": text("Where the program runs"),
            "auth_type": {"enum": ["none", "bearer", "api_key", "header", "oauth"], "default": "none"},
            "auth_config": {
                "type": "object",
                "description": "`{token}`, `{api_key, key_name}`, `{headers}` or `{client_id, client_secret, scopes}` by \
                    `auth_type`; `{redacted: true}` leaves it as it is",
            },
            "settings": settings(),
        }),
    )
}

/// The knobs of a server, with the types of their defaults.
fn settings() -> Value {
    let Ok(Value::Object(defaults)) = serde_json::to_value(ServerSettings::default()) else { return json!({}) };
    let properties: Map<_, _> = defaults
        .into_iter()
        .map(|(name, default)| {
            let kind = match default {
                Value::Bool(_) => "boolean",
                Value::Number(_) => "integer",
                _ => "string",
            };
            (name, json!({"type": kind, "default": default}))
        })
        .collect();
    json!({"type": "object", "additionalProperties": false, "properties": properties})
}

fn workflow() -> Value {
    object(
        &["name"],
        json!({
            "name": text("By which the workflow is recognised"),
            "description": text("For people"),
            "timeout_seconds": integer("How long a request stays open", 300, 30, 86_400),
            "require_reason": flag("Approvers must say why", false),
            "is_default": flag("Used when nothing names another", false),
            "workflow_type": {"enum": ["simple", "multi_stage", "consensus"], "default": "simple"},
            "approvals_required": integer("Approvals needed", 1, 1, 10),
            "approver_users": texts("Who may decide, by user name; the account's owner when empty"),
            "approver_teams": texts("Teams whose members may decide"),
            "escalation_users": texts("Who is asked too when nobody decided in time, by user name"),
            "escalation_teams": texts("Teams that are asked too when nobody decided in time"),
            "escalation_workflow": text("Whose people decide when a reviewer that is no person cannot"),
            "no_self_approval": flag("Nobody decides on what their own credential asks for", false),
            "separation_of_duties": flag("Neither who owns the credential nor who wrote the rule may decide", false),
            "allow_edits": flag("An approver may change the arguments before approving", true),
            "channel_configs": object(&[], json!({
                "webhook": object(&["url"], json!({"url": text("Where to POST"), "headers": {"type": "object"}})),
                "slack": object(&["webhook_url"], json!({"webhook_url": secret("An incoming webhook of Slack")})),
                "mattermost": object(&["webhook_url"], json!({"webhook_url": secret("An incoming webhook of Mattermost")})),
                "ntfy": object(&["url"], json!({"url": secret("The topic's address"), "token": secret("Its access token")})),
                "email": texts("Addresses told besides the approvers'"),
                "elicitation": flag("Ask the person at the agent's own client", false),
            })),
            "approval_type": {"enum": ["standard", "ai_driven"], "default": "standard"},
            "ai_model": text("The model that looks at requests first, for `ai_driven`"),
            "ai_guidelines": text("By what it decides"),
            "ai_context": {"type": "object", "description": "Facts it is told"},
            "ai_confidence_threshold": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.8},
            "ai_fallback_behavior": {"enum": ["escalate", "approve", "deny"], "default": "escalate"},
            "async_approval": flag("Answer the agent at once and let it poll", false),
        }),
    )
}

fn tool() -> Value {
    object(
        &["name"],
        json!({
            "name": text("The tool's name at its server"),
            "source": {"type": "string", "default": "builtin", "description": "`builtin`, `mcp` for any server, `agent` for the agents' own tools, or a server's name"},
            "enabled": flag("Hidden and refused when false", true),
            "approval_workflow": text("Who decides when a condition asks"),
            "justification": {"enum": ["optional", "required", null], "default": null},
            "description": text("Shown to agents instead of the tool's own"),
            "custom_config": {"type": "object"},
            "conditions": list(object(&[], json!({
                "expression": text("When it matches; always when absent"),
                "action": action("What happens then", "require_approval"),
                "condition_type": {"enum": ["simple", "cel"], "description": "Found by reading the expression when absent"},
                "description": text("Why; agents see it as the reason of a denial"),
                "approval_workflow": text("Who decides; the tool's workflow when absent"),
                "enabled": flag("Skipped when false", true),
                "overridable": flag("A narrower scope's `allow` may override it", false),
                "shadow": flag("Only recorded, not enforced", false),
            }))),
        }),
    )
}

fn object(required: &[&str], properties: Value) -> Value {
    let mut object = json!({"type": "object", "additionalProperties": false});
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object["properties"] = properties;
    object
}

fn list(items: Value) -> Value {
    let mut list = json!({"type": "array"});
    list["items"] = items;
    list
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

/// A text that exports show as `{"redacted": true}`.
fn secret(description: &str) -> Value {
    json!({"type": ["string", "object"], "description": description})
}

fn texts(description: &str) -> Value {
    json!({"type": "array", "items": {"type": "string"}, "description": description})
}

fn flag(description: &str, default: bool) -> Value {
    json!({"type": "boolean", "default": default, "description": description})
}

fn integer(description: &str, default: u32, minimum: u32, maximum: u32) -> Value {
    json!({"type": "integer", "default": default, "minimum": minimum, "maximum": maximum, "description": description})
}

fn action(description: &str, default: &str) -> Value {
    json!({"enum": ["allow", "deny", "require_approval"], "default": default, "description": description})
}
