//! The decision: which of an account's rules speaks about a call, and what it says.

use preloop_types::{
    Decision, DecisionSource, RuleRef, Shadow, ToolRef, Verdict, WorkflowId,
    config::{AccessRule, RuleAction, ToolConfig},
};

use crate::{
    condition::{Reading, Variables},
    engine::EvalError,
    ruleset::{CompiledRule, Facts, Ruleset, is_asking_tool},
};

/// What one scope says, before a workflow is found for it.
#[derive(Clone, Copy)]
struct Finding<'r> {
    action: RuleAction,
    source: DecisionSource,
    rule: Option<&'r CompiledRule>,
    reason: &'static str,
}

/// A rule that could not be evaluated.
struct Failure<'r> {
    rule: &'r CompiledRule,
    error: EvalError,
}

impl Ruleset {
    /// Decides one call: a pure function of the configuration and the facts.
    ///
    /// The account's rules and those of each narrower scope (managed agent, API key) are tried in
    /// their order, first match wins; of what the scopes say the most restrictive holds, except
    /// that a narrower scope has its way against a rule marked overridable. Whatever goes wrong
    /// denies. A rule in shadow mode decides nothing: what it would have done is in the decision.
    pub fn decide(&self, facts: &Facts<'_>) -> Decision {
        if let Some(reason) = self.hidden_because(facts.who, facts.tool) {
            return deny(DecisionSource::Disabled, None, reason.to_owned());
        }
        let variables = Variables::new(facts);
        let mut asking = Asking { reading: Reading::new(&variables, &self.library), shadows: Vec::new() };
        let decision = match self.find(facts, &mut asking) {
            Ok(finding) => self.conclude(facts.tool, finding),
            Err(Failure { rule, error }) => {
                let reason = format!("rule evaluation error: {error} (failing closed)");
                deny(DecisionSource::RuleEvaluationError, Some(rule), reason)
            }
        };
        Decision { shadows: asking.shadows, ..decision }
    }

    /// What becomes of a built-in tool that no configuration speaks about: it reaches nothing, and is
    /// there for whoever may connect at all.
    pub fn built_in(&self, tool: &ToolRef) -> Option<Decision> {
        let unspoken = tool.server_id.is_none() && !tool.is_native() && self.config(tool).is_none();
        unspoken.then(|| Decision {
            verdict: Verdict::Allow,
            rule: None,
            source: DecisionSource::AccountDefault,
            reason: "built-in tool".to_owned(),
            shadows: Vec::new(),
        })
    }

    /// What all scopes say together.
    fn find<'r>(&'r self, facts: &Facts<'_>, asking: &mut Asking<'_>) -> Result<Finding<'r>, Failure<'r>> {
        let mut found = self.find_in_account(facts, asking)?;
        for rules in self.scoped_rules(facts.who, facts.tool) {
            if let Some(rule) = asking.first_match(rules)? {
                let scoped = Finding::of(rule, DecisionSource::SubjectScopedRule);
                if found.rule.is_some_and(|rule| rule.rule.overridable) || found.yields_to(&scoped) {
                    found = scoped;
                }
            }
        }
        Ok(found)
    }

    fn find_in_account<'r>(&'r self, facts: &Facts<'_>, asking: &mut Asking<'_>) -> Result<Finding<'r>, Failure<'r>> {
        let by_default =
            |action, reason| Finding { action, source: DecisionSource::AccountDefault, rule: None, reason };
        let Some((config, rules)) = self.account_rules(facts.tool) else {
            return Ok(self.find_unknown(facts, by_default));
        };
        let matched = asking.first_match(rules)?;
        let has_rules = rules.iter().any(|rule| !rule.rule.shadow);
        Ok(match (matched, config.workflow) {
            (Some(rule), _) => Finding::of(rule, DecisionSource::ToolAccessRule),
            (None, _) if has_rules => by_default(RuleAction::Allow, "no rules matched (default allow)"),
            (None, Some(_)) => Finding {
                action: RuleAction::RequireApproval,
                source: DecisionSource::ToolDefaultWorkflow,
                rule: None,
                reason: "the tool has an approval workflow and no rules",
            },
            (None, None) => by_default(RuleAction::Allow, "no access rules defined"),
        })
    }

    /// A tool without a configuration.
    fn find_unknown<'r>(
        &self,
        facts: &Facts<'_>,
        by_default: impl Fn(RuleAction, &'static str) -> Finding<'r>,
    ) -> Finding<'r> {
        if is_asking_tool(facts.tool) {
            return by_default(RuleAction::Allow, "the tool asks people and does nothing else");
        }
        if facts.tool.is_native() {
            // Whoever asked about it has a default of its own for what no rule speaks about.
            return by_default(RuleAction::Allow, "no rule speaks about the agent's own tool");
        }
        // What is not known to be old counts as new.
        let since = |since| facts.discovered_at.is_none_or(|at| at >= since);
        let is_new = self.defaults.require_approval_for_new_tools
            && facts.tool.server_id.is_some()
            && self.defaults.new_tools_since.is_none_or(since);
        match self.defaults.unknown_tools {
            RuleAction::Deny => by_default(RuleAction::Deny, "tools without a configuration are denied"),
            RuleAction::RequireApproval => {
                by_default(RuleAction::RequireApproval, "tools without a configuration require approval")
            }
            RuleAction::Allow if is_new => by_default(
                RuleAction::RequireApproval,
                "the tool is new; new tools require approval until they are configured",
            ),
            RuleAction::Allow => by_default(RuleAction::Allow, "no tool configuration found"),
        }
    }

    /// The decision that `finding` comes to: one that asks needs a workflow to ask through.
    fn conclude(&self, tool: &ToolRef, finding: Finding<'_>) -> Decision {
        let verdict = match finding.action {
            RuleAction::Allow => Verdict::Allow,
            RuleAction::Deny => Verdict::Deny,
            RuleAction::RequireApproval => {
                match self.workflow(finding.rule.map(|rule| &rule.rule), self.config(tool)) {
                    Ok(workflow) => Verdict::Ask(workflow),
                    Err(reason) => return deny(DecisionSource::NoWorkflow, finding.rule, reason),
                }
            }
        };
        let reason = finding.rule.map_or_else(|| finding.reason.to_owned(), reason_of);
        Decision { verdict, rule: finding.rule.map(name), source: finding.source, reason, shadows: Vec::new() }
    }

    /// Who is asked: the rule's workflow, the tool's, the account's default, the one marked
    /// default. One that is named but gone is not replaced by one with other approvers.
    fn workflow(&self, rule: Option<&AccessRule>, config: Option<&ToolConfig>) -> Result<WorkflowId, String> {
        let named = rule
            .and_then(|rule| rule.workflow)
            .or_else(|| config.and_then(|config| config.workflow))
            .or(self.defaults.default_workflow);
        match named.or(self.workflows.default) {
            Some(id) if self.workflows.known.contains(&id) => Ok(id),
            Some(id) => Err(format!("approval is required, but approval workflow `{id}` no longer exists")),
            None => Err("approval is required, but the account has no approval workflow; configure one".to_owned()),
        }
    }
}

impl<'r> Finding<'r> {
    fn of(rule: &'r CompiledRule, source: DecisionSource) -> Self {
        Self { action: rule.action(), source, rule: Some(rule), reason: "" }
    }

    /// Whether a narrower scope's finding takes this one's place: if it is stricter, or if it
    /// names a rule where this one is only a default that allows.
    fn yields_to(&self, narrower: &Finding<'_>) -> bool {
        let strictness = |action| match action {
            RuleAction::Allow => 0,
            RuleAction::RequireApproval => 1,
            RuleAction::Deny => 2,
        };
        let (mine, theirs) = (strictness(self.action), strictness(narrower.action));
        theirs > mine || (theirs == mine && self.action == RuleAction::Allow)
    }
}

/// One decision being taken.
struct Asking<'d> {
    reading: Reading<'d>,
    shadows: Vec<Shadow>,
}

impl Asking<'_> {
    fn first_match<'r>(
        &mut self,
        rules: impl IntoIterator<Item = &'r CompiledRule>,
    ) -> Result<Option<&'r CompiledRule>, Failure<'r>> {
        for rule in rules {
            match rule.condition.matches(&mut self.reading) {
                Ok(false) => {}
                answer if rule.rule.shadow => {
                    let error = answer.err().map(|error| error.0);
                    self.shadows.push(Shadow { rule: name(rule), action: rule.action(), error });
                }
                Ok(true) => return Ok(Some(rule)),
                Err(error) => return Err(Failure { rule, error }),
            }
        }
        Ok(None)
    }
}

fn deny(source: DecisionSource, rule: Option<&CompiledRule>, reason: String) -> Decision {
    Decision { verdict: Verdict::Deny, rule: rule.map(name), source, reason, shadows: Vec::new() }
}

/// The rule's own words, else its condition.
fn reason_of(rule: &CompiledRule) -> String {
    let AccessRule { description, expression, .. } = &rule.rule;
    description.clone().or_else(|| expression.clone()).unwrap_or_else(|| "the rule matches every call".to_owned())
}

fn name(rule: &CompiledRule) -> RuleRef {
    RuleRef { id: Some(rule.rule.id), priority: rule.priority, expression: rule.rule.expression.clone() }
}
