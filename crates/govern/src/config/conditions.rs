//! Conditions are compiled, and compared with what their tool takes, before they are saved.

use std::{ops::Not, sync::Arc};

use preloop_policy::{
    Facts, Ruleset, RulesetInput,
    check::{self, Severity},
    document::Problem,
};
use preloop_store::Tx;
use preloop_types::{
    CallId, DecisionSource, Hash, Principal, RuleId, Timestamp, ToolConfigId, ToolRef,
    config::{AccessRule, Defaults, Language, RuleAction, Tool, ToolConfig, ToolSource},
};
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{ConfigError, JsonObject, Result};

/// Compiles a rule's condition and compares it with the arguments its tool takes. An error says
/// that it can never be evaluated; warnings are for people to look at.
pub(super) async fn check(tx: &mut Tx<'_>, config: &ToolConfig, rule: &AccessRule) -> Result<Vec<String>> {
    compile("condition_expression", rule)?;
    let tools = match config.source {
        ToolSource::Builtin | ToolSource::Agent => Vec::new(),
        ToolSource::AnyServer | ToolSource::Server(_) => tx.tools().await?,
    };
    let tool = tools.iter().find(|tool| {
        tool.upstream_name == config.tool_name
            && tool.removed_at.is_none()
            && matches!(config.source, ToolSource::Server(id) if id != tool.server_id).not()
    });
    let lone = ToolConfig { tool_name: config.tool_name.clone(), ..alone(rule.clone()) };
    let findings = check::config(&lone, tool.and_then(input_schema));
    if let Some(error) = findings.iter().find(|finding| finding.severity == Severity::Error) {
        return Err(ConfigError::invalid("condition_expression", said(&error.problem)));
    }
    Ok(findings.iter().map(|finding| said(&finding.problem)).collect())
}

fn said(problem: &Problem) -> String {
    match &problem.help {
        Some(help) => format!("{}; {help}", problem.message),
        None => problem.message.clone(),
    }
}

/// What a tool takes, as its server says.
pub(super) fn input_schema(tool: &Tool) -> Option<&RawValue> {
    #[derive(Deserialize)]
    struct Definition<'a> {
        #[serde(borrow, rename = "inputSchema")]
        input_schema: Option<&'a RawValue>,
    }
    serde_json::from_str::<Definition<'_>>(tool.definition.0.get()).ok()?.input_schema
}

/// Compiles a rule's condition.
pub(super) fn compile(field: &str, rule: &AccessRule) -> Result<()> {
    let Some(expression) = &rule.expression else { return Ok(()) };
    check::syntax(expression, rule.language).map_err(|problem| ConfigError::invalid(field, said(&problem)))
}

/// What a CEL condition says of sample arguments: the evaluator that decides calls is asked.
pub fn test_condition(
    who: &Principal,
    config: &ToolConfig,
    expression: &str,
    arguments: &JsonObject,
    now: Timestamp,
) -> Result<bool, String> {
    let rule = AccessRule {
        id: RuleId::new(now),
        action: RuleAction::Deny,
        expression: Some(expression.to_owned()),
        language: Language::Cel,
        description: None,
        is_enabled: true,
        workflow: None,
        overridable: false,
        shadow: false,
    };
    let rules = ruleset(&ToolConfig { tool_name: config.tool_name.clone(), ..alone(rule) });
    if let Some(problem) = rules.problems().first() {
        return Err(problem.message.clone());
    }
    let name: Arc<str> = config.tool_name.as_str().into();
    let tool = ToolRef {
        id: None,
        server_id: None,
        server: "builtin".into(),
        name: name.clone(),
        exposed: name,
        definition: Hash::of(""),
    };
    let unrestricted = Principal { allowed_tools: None, allowed_servers: None, ..who.clone() };
    let arguments = to_raw_value(arguments).map_err(|error| error.to_string())?;
    let decision = rules.decide(&Facts {
        who: &unrestricted,
        tool: &tool,
        arguments: &arguments,
        justification: None,
        client: None,
        call: CallId::new(now),
        now,
        discovered_at: None,
    });
    match (decision.source, decision.rule) {
        (DecisionSource::RuleEvaluationError, _) => Err(decision.reason),
        (_, rule) => Ok(rule.is_some()),
    }
}

/// A tool with this rule only.
fn alone(rule: AccessRule) -> ToolConfig {
    ToolConfig {
        id: ToolConfigId(rule.id.0),
        tool_name: "tool".to_owned(),
        source: ToolSource::Builtin,
        is_enabled: true,
        workflow: None,
        justification: None,
        description: None,
        custom_config: None,
        rules: vec![rule],
    }
}

fn ruleset(config: &ToolConfig) -> Ruleset {
    Ruleset::compile(&RulesetInput {
        version: 0,
        servers: &[],
        configs: std::slice::from_ref(config),
        workflows: &[],
        defaults: &Defaults::default(),
        governance: &[],
    })
}
