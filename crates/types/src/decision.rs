use serde::{Deserialize, Serialize};

use crate::{RuleId, WorkflowId, config::RuleAction};

/// What the policy says about one call, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The answer.
    pub verdict: Verdict,
    /// The rule that gave it; `None` when a default did.
    pub rule: Option<RuleRef>,
    /// What in the configuration gave it.
    pub source: DecisionSource,
    /// One sentence for people and agents: the rule's description, else its expression, else
    /// which default applied.
    pub reason: String,
    /// What rules in shadow mode would have done, in the order they were asked.
    pub shadows: Vec<Shadow>,
}

/// What a rule in shadow mode would have done, had it been enforced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shadow {
    /// The rule.
    #[serde(flatten)]
    pub rule: RuleRef,
    /// What it says; a rule that could not be evaluated would have denied.
    pub action: RuleAction,
    /// Why it could not be evaluated.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// The answer to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Carry it out.
    Allow,
    /// Do not.
    Deny,
    /// A human decides, through this workflow.
    Ask(WorkflowId),
}

impl Verdict {
    /// The spelling used in the journal: `allow`, `deny` or `require_approval`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Verdict::Allow => "allow",
            Verdict::Deny => "deny",
            Verdict::Ask(_) => "require_approval",
        }
    }
}

/// Names the rule behind a decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleRef {
    /// The rule's id; scoped rules have none of their own.
    pub id: Option<RuleId>,
    /// Its place among the tool's rules, from 0.
    pub priority: u32,
    /// Its condition.
    pub expression: Option<String>,
}

/// What in the configuration gave a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionSource {
    /// A rule of the tool in the account.
    ToolAccessRule,
    /// A rule of the managed agent or the API key.
    SubjectScopedRule,
    /// A rule that could not be evaluated.
    RuleEvaluationError,
    /// The tool has a workflow and no rules.
    ToolDefaultWorkflow,
    /// The tool or a subject's override disables it.
    Disabled,
    /// The account's defaults.
    AccountDefault,
    /// A decision asks for a human, but no workflow can be found.
    NoWorkflow,
}
