//! What a policy's tests have seen of it: each rule, and both sides of every part of its condition.

use ::cel::common::ast::{Expr, IdedExpr, operators};
use preloop_types::config::Language;
use serde::Serialize;

use crate::{
    Facts, Ruleset,
    condition::{self, Condition, Reading, Variables},
    document::{Document, RuleEntry, ToolEntry},
    engine::{BigStack, EvalError, Library, Parsed, on_big_stack},
};

/// What the cases of a test file saw of a policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// Rules that could decide.
    pub rules: usize,
    /// Of those, how many a case reached and saw match.
    pub rules_seen: usize,
    /// Sides (holds, does not hold) of conditions and of their parts.
    pub branches: usize,
    /// Of those, how many a case saw.
    pub branches_seen: usize,
    /// Tool by tool.
    pub tools: Vec<ToolCoverage>,
}

/// What was seen of one tool's rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ToolCoverage {
    /// `server/tool`.
    pub tool: String,
    /// In order; disabled ones are left out.
    pub rules: Vec<RuleCoverage>,
}

/// What was seen of one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleCoverage {
    /// From 1.
    pub rule: u32,
    /// What it does.
    pub action: String,
    /// Its condition.
    pub expression: Option<String>,
    /// In how many cases it matched.
    pub matched: u32,
    /// In how many it was asked and did not.
    pub passed_over: u32,
    /// The parts of its condition, where it has more than one.
    pub branches: Vec<BranchCoverage>,
}

/// What was seen of one part of a condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BranchCoverage {
    /// The part, as it is written.
    pub condition: String,
    /// In how many cases it held.
    pub held: u32,
    /// In how many it did not.
    pub failed: u32,
}

/// Watches cases run.
pub(super) struct Meter {
    tools: Vec<Measured>,
    library: Library,
}

/// One tool's rules with the parts of their conditions.
struct Measured {
    entry: ToolEntry,
    rules: Vec<(RuleCoverage, Option<Logic>)>,
    parts: Vec<Vec<Condition>>,
}

/// How the parts of a condition make the whole.
#[derive(Debug)]
enum Logic {
    Part(usize),
    Not(Box<Logic>),
    And(Box<[Logic; 2]>),
    Or(Box<[Logic; 2]>),
    If(Box<[Logic; 3]>),
}

impl Meter {
    pub(super) fn new(document: &Document) -> Self {
        let measured = on_big_stack(|stack| {
            let mut library = Library::default();
            let tools = document.tools.iter().map(|tool| Measured::new(tool, &mut library, stack)).collect();
            Meter { tools, library }
        });
        // Without a stack nothing compiles, and the cases say so.
        measured.unwrap_or_else(|_| Meter { tools: Vec::new(), library: Library::default() })
    }

    /// Notes what one call sees of its tool's rules.
    pub(super) fn note(&mut self, ruleset: &Ruleset, facts: &Facts<'_>) {
        if !ruleset.visible(facts.who, facts.tool) {
            return;
        }
        let Some(config) = ruleset.config(facts.tool) else { return };
        let is_it = |tool: &&mut Measured| {
            use preloop_types::config::ToolSource;

            use crate::document::ToolOrigin;
            tool.entry.name == config.tool_name
                && match (&tool.entry.source, &config.source) {
                    (ToolOrigin::Builtin, ToolSource::Builtin)
                    | (ToolOrigin::AnyServer, ToolSource::AnyServer)
                    | (ToolOrigin::Agent, ToolSource::Agent) => true,
                    (ToolOrigin::Server(name), ToolSource::Server(id)) => ruleset.is_called(*id, name),
                    _ => false,
                }
        };
        let Some(tool) = self.tools.iter_mut().find(is_it) else { return };
        let variables = Variables::new(facts);
        let mut reading = Reading::new(&variables, &self.library);
        tool.note(&mut reading);
    }

    pub(super) fn coverage(self) -> Coverage {
        let mut coverage = Coverage::default();
        for tool in self.tools.into_iter().filter(|tool| !tool.rules.is_empty()) {
            let rules: Vec<RuleCoverage> = tool.rules.into_iter().map(|(rule, _)| rule).collect();
            for rule in &rules {
                coverage.rules += 1;
                coverage.rules_seen += usize::from(rule.matched > 0);
                let sides = rule.expression.is_some().then_some((rule.matched, rule.passed_over));
                let parts = rule.branches.iter().map(|branch| (branch.held, branch.failed));
                for (yes, no) in sides.into_iter().chain(parts) {
                    coverage.branches += 2;
                    coverage.branches_seen += usize::from(yes > 0) + usize::from(no > 0);
                }
            }
            let (source, name) = (tool.entry.source.as_str(), &tool.entry.name);
            coverage.tools.push(ToolCoverage { tool: format!("{source}/{name}"), rules });
        }
        coverage
    }
}

impl Measured {
    fn new(tool: &ToolEntry, library: &mut Library, stack: &BigStack) -> Self {
        let mut measured = Self { entry: tool.clone(), rules: Vec::new(), parts: Vec::new() };
        for (number, rule) in (1..).zip(&tool.conditions).filter(|(_, rule)| rule.enabled) {
            let mut parts = Parts { parsed: None, conditions: Vec::new(), texts: Vec::new() };
            let logic = parts.split(rule, library, stack);
            let texts = if parts.texts.len() > 1 { parts.texts } else { Vec::new() };
            let coverage = RuleCoverage {
                rule: number,
                action: rule.action.as_str().to_owned(),
                expression: rule.expression.clone(),
                matched: 0,
                passed_over: 0,
                branches: texts.into_iter().map(|condition| BranchCoverage { condition, held: 0, failed: 0 }).collect(),
            };
            measured.rules.push((coverage, logic));
            measured.parts.push(parts.conditions);
        }
        measured
    }

    /// Asks the rules as a decision does: in order, until one that is enforced matches or fails.
    fn note(&mut self, reading: &mut Reading<'_>) {
        let entries: Vec<&RuleEntry> = self.entry.conditions.iter().filter(|rule| rule.enabled).collect();
        for (at, (coverage, logic)) in self.rules.iter_mut().enumerate() {
            let answer = match logic {
                None => Ok(true),
                Some(logic) => logic.ask(&self.parts[at], &mut coverage.branches, reading),
            };
            match answer {
                Ok(true) => coverage.matched += 1,
                Ok(false) => coverage.passed_over += 1,
                Err(_) => {}
            }
            if answer != Ok(false) && !entries[at].shadow {
                return;
            }
        }
    }
}

/// Takes conditions apart at their logical operators.
struct Parts {
    parsed: Option<Parsed>,
    conditions: Vec<Condition>,
    texts: Vec<String>,
}

impl Parts {
    /// `None` for a rule without a condition.
    fn split(&mut self, rule: &RuleEntry, library: &mut Library, stack: &BigStack) -> Option<Logic> {
        let text = rule.expression.as_deref()?;
        if rule.language == Language::Cel
            && let Ok(parsed) = condition::parse_cel(text, stack)
        {
            let root = parsed.expression.clone();
            self.parsed = Some(parsed);
            return Some(self.node(&root, library));
        }
        let compiled = Condition::compile(Some(text), rule.language, library, stack);
        let condition = compiled.unwrap_or_else(|error| Condition::Broken(error.message));
        Some(self.add(condition, text.to_owned()))
    }

    fn node(&mut self, node: &IdedExpr, library: &mut Library) -> Logic {
        if let Expr::Call(call) = &node.expr {
            match (call.func_name.as_str(), call.args.as_slice()) {
                (operators::LOGICAL_NOT, [one]) => return Logic::Not(Box::new(self.node(one, library))),
                (operators::LOGICAL_AND, [a, b]) => {
                    return Logic::And(Box::new([self.node(a, library), self.node(b, library)]));
                }
                (operators::LOGICAL_OR, [a, b]) => {
                    return Logic::Or(Box::new([self.node(a, library), self.node(b, library)]));
                }
                (operators::CONDITIONAL, [test, yes, no]) => {
                    let parts = [self.node(test, library), self.node(yes, library), self.node(no, library)];
                    return Logic::If(Box::new(parts));
                }
                _ => {}
            }
        }
        let Some(parsed) = &self.parsed else { return self.add(Condition::Always, String::new()) };
        let condition = Condition::of_parsed(&Parsed::part(node), library);
        let text = parsed.text_of(node);
        self.add(condition.unwrap_or_else(|error| Condition::Broken(error.message)), text)
    }

    fn add(&mut self, condition: Condition, text: String) -> Logic {
        self.conditions.push(condition);
        self.texts.push(text);
        Logic::Part(self.conditions.len() - 1)
    }
}

impl Logic {
    /// The whole condition's answer, noting those of the parts that are needed for it. An error on
    /// one side of `&&` or `||` gives way to an answer on the other, as CEL has it.
    fn ask(
        &self,
        parts: &[Condition],
        seen: &mut [BranchCoverage],
        reading: &mut Reading<'_>,
    ) -> Result<bool, EvalError> {
        match self {
            Logic::Part(at) => {
                let answer = parts[*at].matches(reading)?;
                if let Some(seen) = seen.get_mut(*at) {
                    *(if answer { &mut seen.held } else { &mut seen.failed }) += 1;
                }
                Ok(answer)
            }
            Logic::Not(one) => one.ask(parts, seen, reading).map(|answer| !answer),
            Logic::And(both) => Self::either(both, false, parts, seen, reading),
            Logic::Or(both) => Self::either(both, true, parts, seen, reading),
            Logic::If(three) => {
                let [test, yes, no] = &**three;
                let taken = if test.ask(parts, seen, reading)? { yes } else { no };
                taken.ask(parts, seen, reading)
            }
        }
    }

    /// `settles` on either side is the answer.
    fn either(
        both: &[Logic; 2],
        settles: bool,
        parts: &[Condition],
        seen: &mut [BranchCoverage],
        reading: &mut Reading<'_>,
    ) -> Result<bool, EvalError> {
        let first = both[0].ask(parts, seen, reading);
        if first == Ok(settles) {
            return first;
        }
        match both[1].ask(parts, seen, reading) {
            Ok(answer) if answer == settles => Ok(settles),
            second => first.and(second),
        }
    }
}
