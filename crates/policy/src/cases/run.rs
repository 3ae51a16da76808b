//! Running the cases of a test file against a policy.

use preloop_types::{Agent, AgentId, CallId, Decision, Principal, Timestamp, ToolRef, Verdict};

use super::{Caller, Case, CaseResult, Cases, Expected, ExpectedRule, TestReport, coverage::Meter};
use crate::{
    Facts, Sandbox,
    document::{Document, Problem},
    sandbox::anybody,
};

/// Runs `cases` against `document` at `now`. Fails on a policy that cannot be compiled into rules.
pub fn run(document: &Document, cases: &Cases, now: Timestamp) -> Result<TestReport, Vec<Problem>> {
    let sandbox = Sandbox::of(document, &cases.servers, now)?;
    let mut meter = Meter::new(document);
    let results: Vec<CaseResult> = cases.cases.iter().map(|case| run_one(&sandbox, &mut meter, case, now)).collect();
    let failed = results.iter().filter(|result| !result.passed).count();
    Ok(TestReport { passed: results.len() - failed, failed, cases: results, coverage: meter.coverage() })
}

fn run_one(sandbox: &Sandbox, meter: &mut Meter, case: &Case, now: Timestamp) -> CaseResult {
    let name = case.name.clone().unwrap_or_else(|| {
        let expected = case.expected.decision.unwrap_or("as expected");
        format!("{} {}: {expected}", case.call, case.arguments)
    });
    let result = CaseResult {
        name,
        line: case.line,
        call: case.call.clone(),
        passed: false,
        failures: Vec::new(),
        decision: String::new(),
        workflow: None,
        rule: None,
        reason: String::new(),
    };
    let tool = match sandbox.tool(&case.call) {
        Ok(tool) => tool,
        Err(why) => return CaseResult { failures: vec![why], ..result },
    };
    let (at, who) = (case.at.unwrap_or(now), principal(&case.caller, now));
    let facts = Facts {
        who: &who,
        tool: &tool,
        arguments: &case.arguments,
        justification: case.justification.as_deref(),
        client: case.caller.client.as_deref(),
        call: CallId::new(at),
        now: at,
        discovered_at: (!case.new_tool).then_some(Timestamp::from_micros(0)),
    };
    let decision = sandbox.decide(&facts);
    meter.note(sandbox.ruleset(), &facts);
    let workflow = match decision.verdict {
        Verdict::Ask(id) => sandbox.asks(id).map(|asks| asks.workflow.clone()),
        Verdict::Allow | Verdict::Deny => None,
    };
    let failures = failures(&case.expected, &decision, workflow.as_deref(), sandbox, &tool);
    CaseResult {
        passed: failures.is_empty(),
        failures,
        decision: decision.verdict.as_str().to_owned(),
        workflow,
        rule: decision.rule.as_ref().map(|rule| rule.priority + 1),
        reason: decision.reason,
        ..result
    }
}

/// Everything that is not as expected.
fn failures(
    expected: &Expected,
    decision: &Decision,
    workflow: Option<&str>,
    sandbox: &Sandbox,
    tool: &ToolRef,
) -> Vec<String> {
    let mut failures = Vec::new();
    if let Some(wanted) = expected.decision
        && wanted != decision.verdict.as_str()
    {
        failures.push(format!("expected `{wanted}`, got `{}`: {}", decision.verdict.as_str(), decision.reason));
    }
    if let Some(wanted) = &expected.workflow
        && workflow != Some(wanted)
    {
        let got = workflow.map_or_else(|| "nobody is asked".to_owned(), |name| format!("`{name}` is"));
        failures.push(format!("expected workflow `{wanted}` to be asked; {got}"));
    }
    let number = decision.rule.as_ref().map(|rule| rule.priority + 1);
    let got = || number.map_or_else(|| "none did".to_owned(), |number| format!("rule {number} did"));
    match &expected.rule {
        Some(ExpectedRule::None) if number.is_some() => {
            failures.push(format!("expected no rule to decide; {}", got()));
        }
        Some(ExpectedRule::Number(wanted)) if number != Some(*wanted) => {
            failures.push(format!("expected rule {wanted} to decide; {}", got()));
        }
        Some(ExpectedRule::Said(text)) => {
            let config = sandbox.ruleset().config(tool);
            let rule = number.and_then(|number| config?.rules.get(number as usize - 1));
            let says = |rule: &preloop_types::config::AccessRule| {
                [&rule.description, &rule.expression].into_iter().flatten().any(|said| said.contains(text.as_str()))
            };
            if !rule.is_some_and(says) {
                failures.push(format!("expected the rule that says `{text}` to decide; {}", got()));
            }
        }
        _ => {}
    }
    if let Some(part) = &expected.reason
        && !decision.reason.contains(part.as_str())
    {
        failures.push(format!("expected the reason to say `{part}`; it is `{}`", decision.reason));
    }
    let shadows: Vec<u32> = decision.shadows.iter().map(|shadow| shadow.rule.priority + 1).collect();
    if let Some(wanted) = &expected.shadow
        && *wanted != shadows
    {
        failures.push(format!("expected the rules {wanted:?} in shadow mode to match; {shadows:?} do"));
    }
    failures
}

fn principal(caller: &Caller, at: Timestamp) -> Principal {
    let agent = caller.agent_name.as_ref().map(|name| Agent {
        id: AgentId::new(at),
        name: name.clone(),
        kind: caller.agent_kind.clone(),
        tags: caller.agent_tags.clone(),
    });
    Principal {
        username: caller.user.clone(),
        key_name: caller.key.clone(),
        agent,
        allowed_tools: caller.tools.clone(),
        allowed_servers: caller.servers.clone(),
        ..anybody(at)
    }
}
