//! Tests of policies: cases in, a report with coverage out.

use preloop_policy::{
    cases::{self, TestReport},
    document::{Document, Options, read},
};

use crate::world::NOW;

const POLICY: &str = "
metadata: {name: payments}
approval_workflows: [{name: two-eyes}]
tools:
  - name: refund
    source: ledger
    approval_workflow: two-eyes
    conditions:
      - {expression: args.amount <= 20, action: allow, description: small change}
      - expression: args.amount <= 200 && (has(args.ticket) || agent.kind == 'codex')
        action: require_approval
      - {expression: args.amount > 5000, action: require_approval, shadow: true}
      - {action: deny, description: above the agent's limit}
defaults: {unknown_tools: deny}
";

fn document(yaml: &str) -> Document {
    let report = read(yaml, Options::default());
    assert_eq!(report.errors, []);
    report.document.unwrap()
}

fn run(text: &str) -> TestReport {
    cases::run(&document(POLICY), &cases::read(text).unwrap(), NOW).unwrap()
}

#[test]
fn cases_say_what_must_come_of_a_call() {
    let report = run("
servers: [github]
as: {agent: {kind: claude_code}}
cases:
  - {call: ledger/refund, args: {amount: 5}, expect: allow}
  - call: refund
    args: {amount: 50, ticket: T-1}
    expect: {decision: require_approval, workflow: two-eyes, rule: 2}
  - call: ledger/refund
    args: {amount: 50}
    as: {agent: {kind: codex}}
    expect: require_approval
  - call: ledger/refund
    args: {amount: 9000}
    expect: {decision: deny, rule: above the agent, reason: limit, shadow: [3]}
  - {call: github/create_issue, expect: {decision: deny, rule: none}}
  - {call: ledger/refund, args: {amount: 5}, as: {tools: [other]}, expect: deny}
");
    let failures: Vec<_> = report.cases.iter().flat_map(|case| &case.failures).collect();
    assert!(failures.is_empty(), "{failures:#?}");
    assert_eq!((report.passed, report.failed), (6, 0));
}

#[test]
fn what_is_not_as_expected_is_said() {
    let report = run("
cases:
  - name: generous
    call: ledger/refund
    args: {amount: 900}
    expect: {decision: allow, workflow: two-eyes, rule: 1, reason: sure, shadow: [3]}
  - {call: legder/refund, expect: deny}
");
    assert_eq!((report.passed, report.failed), (0, 2));
    assert_eq!(
        report.cases[0].failures,
        [
            "expected `allow`, got `deny`: above the agent's limit",
            "expected workflow `two-eyes` to be asked; nobody is asked",
            "expected rule 1 to decide; rule 4 did",
            "expected the reason to say `sure`; it is `above the agent's limit`",
            "expected the rules [3] in shadow mode to match; [] do",
        ]
    );
    assert_eq!(report.cases[1].failures, ["there is no server `legder`; did you mean `ledger`?"]);
    assert_eq!((report.cases[0].line, report.cases[1].line), (Some(3), Some(7)));
    let xml = report.to_junit("payments \"x\"");
    assert!(xml.contains("<testsuite name=\"payments &quot;x&quot;\" tests=\"2\" failures=\"2\">"), "{xml}");
    assert!(xml.contains("expected rule 1 to decide; rule 4 did"), "{xml}");
}

#[test]
fn coverage_counts_rules_and_both_sides_of_each_part_of_a_condition() {
    let report = run("
cases:
  - {call: ledger/refund, args: {amount: 5}, expect: allow}
  - {call: ledger/refund, args: {amount: 50, ticket: T-1}, expect: require_approval}
");
    let refund = &report.coverage.tools[0];
    assert_eq!(refund.tool, "ledger/refund");
    let seen: Vec<_> = refund.rules.iter().map(|rule| (rule.rule, rule.matched, rule.passed_over)).collect();
    assert_eq!(seen, [(1, 1, 1), (2, 1, 0), (3, 0, 0), (4, 0, 0)]);
    let parts: Vec<_> =
        refund.rules[1].branches.iter().map(|part| (part.condition.as_str(), part.held, part.failed)).collect();
    assert_eq!(parts, [("args.amount <= 200", 1, 0), ("has(args.ticket)", 1, 0), ("agent.kind == 'codex'", 0, 0)]);
    assert_eq!((report.coverage.rules, report.coverage.rules_seen), (4, 2));
    // Three conditions and three parts, two sides each.
    assert_eq!((report.coverage.branches, report.coverage.branches_seen), (12, 5));
}

#[test]
fn everything_wrong_with_a_test_file_is_said_with_its_place() {
    let wrong = "
cases:
  - {call: pay, args: [1], expect: maybe}
  - {cal: pay, expect: {decision: deny, rul: 1}}
  - {call: pay, at: yesterday}
";
    let problems = cases::read(wrong).unwrap_err();
    let said: String = problems.iter().map(|problem| problem.render("t.yaml")).collect();
    for part in [
        "t.yaml:3:17: expected a mapping, found a list",
        "`expect` is one of `allow`, `deny`, `require_approval`, `ask`, not `maybe`",
        "unknown key `cal`",
        "did you mean `call`?",
        "unknown key `rul`",
        "`yesterday` is not a time",
        "`expect` is missing",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    assert!(cases::read("cases: []").is_err());
}
