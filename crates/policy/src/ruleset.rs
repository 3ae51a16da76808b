//! The compiled form of an account's rules, and the only evaluator.

use preloop_types::{
    CallId, Decision, DecisionSource, Principal, Timestamp, ToolRef, Verdict,
    config::{Defaults, Server, SubjectGovernance, SubjectRef, ToolConfig, Workflow},
};
use serde_json::value::RawValue;

/// The configuration a [`Ruleset`] is compiled from.
#[derive(Debug, Clone, Copy)]
pub struct RulesetInput<'a> {
    /// Names this state of the configuration; bound to approvals.
    pub version: u64,
    /// The account's servers.
    pub servers: &'a [Server],
    /// The account's tool configurations with their rules.
    pub configs: &'a [ToolConfig],
    /// The account's workflows that are not deleted.
    pub workflows: &'a [Workflow],
    /// The account's defaults.
    pub defaults: &'a Defaults,
    /// Rules and switches of managed agents and API keys.
    pub governance: &'a [(SubjectRef, SubjectGovernance)],
}

/// What is known of one call when it is decided.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Who calls.
    pub who: &'a Principal,
    /// Which tool.
    pub tool: &'a ToolRef,
    /// With which arguments: a JSON object, without an injected justification.
    pub arguments: &'a RawValue,
    /// The reason the agent gave.
    pub justification: Option<&'a str>,
    /// What the client says of itself: `name/version`. Not trusted.
    pub client: Option<&'a str>,
    /// Joins every record about this call.
    pub call: CallId,
    /// When it is decided.
    pub now: Timestamp,
    /// When the tool was first seen; `None` for built-in tools.
    pub discovered_at: Option<Timestamp>,
}

/// A rule that does not compile; calls that reach it are denied.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleProblem {
    /// Where the rule stands: `tool `pay`, rule 2`.
    pub place: String,
    /// What is wrong with it.
    pub message: String,
}

/// An account's configuration, compiled once and immutable.
#[derive(Debug)]
pub struct Ruleset {
    version: u64,
    configs: Vec<ToolConfig>,
    problems: Vec<RuleProblem>,
}

impl Ruleset {
    /// Compiles every rule. A rule that does not compile denies the calls that reach it and is
    /// named by [`Ruleset::problems`].
    pub fn compile(input: &RulesetInput<'_>) -> Ruleset {
        Ruleset { version: input.version, configs: input.configs.to_vec(), problems: Vec::new() }
    }

    /// Decides one call.
    pub fn decide(&self, facts: &Facts<'_>) -> Decision {
        let _ = (self, facts);
        Decision {
            verdict: Verdict::Deny,
            rule: None,
            source: DecisionSource::RuleEvaluationError,
            reason: "the evaluator is being built".to_owned(),
        }
    }

    /// Whether `who` may see `tool` at all: enabled, not switched off for the subject, inside the
    /// credential's allow lists. A tool that is not visible is denied by [`Ruleset::decide`].
    pub fn visible(&self, who: &Principal, tool: &ToolRef) -> bool {
        let _ = (self, who, tool);
        false
    }

    /// The configuration that applies to `tool`: that of its own server before that of any server.
    pub fn config(&self, tool: &ToolRef) -> Option<&ToolConfig> {
        self.configs.iter().find(|config| config.tool_name == *tool.name)
    }

    /// The version it was compiled from.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Rules that do not compile.
    pub fn problems(&self) -> &[RuleProblem] {
        &self.problems
    }
}
