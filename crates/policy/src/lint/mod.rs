//! What is odd about a policy that is valid: rules that never decide, rules in each other's way, and
//! calls that would get further than under the policy in force.
//!
//! Every finding is certain of what it says. That a rule is shadowed is proved from the conditions;
//! that a policy is wider is shown by a call that gets further. Neither finds everything there is.

mod implied;
mod widening;
mod witness;

use preloop_types::{Timestamp, config::RuleAction};
use serde::{Deserialize, Serialize};

use crate::{
    check::{self, Finding, Severity, ToolSchema},
    document::{Document, Problem, RuleEntry, Source, ToolEntry},
    engine::on_big_stack,
};

/// A finding, as programs are told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Linted {
    /// Its kind, in one word: `conflict`, `shadowed`, `unreachable`, `never_matches`, `always_fails`,
    /// `never_asked`, `widening`, `argument`, `unknown_tool`.
    pub code: String,
    /// `error` or `warning`.
    pub severity: String,
    /// Where: `$.tools.0.conditions.1`.
    pub path: String,
    /// What.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Where in the text, from 1.
    pub line: Option<usize>,
    /// From 1, in characters.
    pub column: Option<usize>,
}

impl From<Finding> for Linted {
    fn from(finding: Finding) -> Self {
        let Finding { code, severity, problem } = finding;
        let severity = match severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        Self {
            code: code.to_owned(),
            severity: severity.to_owned(),
            path: problem.path,
            message: problem.message,
            help: problem.help,
            line: problem.place.as_ref().map(|place| place.line),
            column: problem.place.map(|place| place.column),
        }
    }
}

/// What a policy is linted against.
#[derive(Debug, Clone, Copy, Default)]
pub struct Against<'a> {
    /// What tools take.
    pub tools: &'a [ToolSchema<'a>],
    /// The policy in force.
    pub active: Option<&'a Document>,
    /// Whether applying removes what the document does not name.
    pub prune: bool,
}

/// Lints `document`, which was read from `source`.
pub fn lint(document: &Document, source: &Source, against: Against<'_>, now: Timestamp) -> Vec<Finding> {
    let mut findings = check::document(document, source, against.tools);
    let mut own = Vec::new();
    for (index, tool) in document.tools.iter().enumerate() {
        own.extend(shadowed(tool, &format!("$.tools.{index}")));
        own.extend(never_asked(tool, &format!("$.tools.{index}")));
    }
    if let Some(active) = against.active {
        own.extend(widening::find(active, document, against.prune, now));
    }
    for finding in &mut own {
        finding.problem = source.locate(finding.problem.clone());
    }
    // What is proved again in another way is said once.
    own.retain(|new| !findings.iter().any(|old| old.code == new.code && old.problem.path == new.problem.path));
    findings.extend(own);
    for finding in &mut findings {
        harden(document, finding);
    }
    findings.sort_by_key(|finding| finding.problem.place.as_ref().map(|place| (place.line, place.column)));
    findings
}

/// A rule that protects nothing because an earlier one lets the calls through is an error: whoever
/// reads the policy believes in it.
fn harden(document: &Document, finding: &mut Finding) {
    if !["shadowed", "unreachable"].contains(&finding.code) {
        return;
    }
    let mut numbers = finding.problem.path.split('.').filter_map(|part| part.parse::<usize>().ok());
    let (Some(tool), Some(at)) = (numbers.next(), numbers.next()) else { return };
    let Some(tool) = document.tools.get(tool) else { return };
    let Some(rule) = tool.conditions.get(at).filter(|rule| rule.action != RuleAction::Allow && !rule.shadow) else {
        return;
    };
    let before = &tool.conditions[..at];
    let lets_through = |earlier: &RuleEntry| earlier.enabled && !earlier.shadow && earlier.action == RuleAction::Allow;
    let hides = |earlier: &&RuleEntry| {
        lets_through(earlier)
            && (earlier.expression.is_none() || earlier.expression == rule.expression || implied::hides(earlier, rule))
    };
    if before.iter().any(|earlier| hides(&earlier)) {
        finding.code = "conflict";
        finding.severity = Severity::Error;
        finding.problem.message += ", and allows what this rule is there to stop";
    }
}

/// Rules whose every call an earlier rule takes.
fn shadowed(tool: &ToolEntry, path: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, rule) in tool.conditions.iter().enumerate().filter(|(_, rule)| rule.enabled) {
        let decides = |earlier: &RuleEntry| earlier.enabled && !earlier.shadow;
        let by = tool.conditions[..at].iter().position(|earlier| decides(earlier) && implied::hides(earlier, rule));
        if let Some(by) = by {
            let message = format!("the rule never decides: rule {} before it matches whenever this one does", by + 1);
            let problem = Problem::new(format!("{path}.conditions.{at}.expression"), message);
            findings.push(Finding { code: "shadowed", severity: Severity::Warning, problem });
        }
    }
    findings
}

/// A workflow that no rule ever leads to.
fn never_asked(tool: &ToolEntry, path: &str) -> Option<Finding> {
    let workflow = tool.approval_workflow.as_ref()?;
    let mut deciding = tool.conditions.iter().filter(|rule| rule.enabled && !rule.shadow).peekable();
    deciding.peek()?;
    if deciding.any(|rule| rule.action == RuleAction::RequireApproval && rule.approval_workflow.is_none()) {
        return None;
    }
    let message = format!("workflow `{workflow}` is never asked: no rule of the tool requires its approval");
    let problem = Problem::new(format!("{path}.approval_workflow"), message)
        .help("calls that no rule matches are allowed; add a last rule without a condition");
    Some(Finding { code: "never_asked", severity: Severity::Warning, problem })
}

/// Runs `work` where conditions may be parsed; nothing if there is no such place.
fn where_parsing<R: Send + Default>(work: impl FnOnce(&crate::engine::BigStack) -> R + Send) -> R {
    on_big_stack(work).unwrap_or_default()
}
