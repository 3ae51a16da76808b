//! What is odd about policies that are valid.

use preloop_policy::{
    check::Severity,
    document::{Options, read},
    lint::{Against, lint},
};

use crate::world::NOW;

/// Each finding: its code, `!` for an error, the place and the message.
fn findings(yaml: &str, active: Option<&str>) -> Vec<String> {
    let with_name = |yaml: &str| format!("metadata: {{name: x}}\n{yaml}");
    let report = read(&with_name(yaml), Options::default());
    assert_eq!(report.errors, [], "{yaml}");
    let active = active.map(|yaml| read(&with_name(yaml), Options::default()).document.unwrap());
    let against = Against { active: active.as_ref(), ..Against::default() };
    let findings = lint(&report.document.unwrap(), &report.source, against, NOW);
    let shown = |finding: &preloop_policy::check::Finding| {
        let mark = if finding.severity == Severity::Error { "!" } else { "" };
        format!("{}{mark} {}: {}", finding.code, finding.problem.path, finding.problem.message)
    };
    findings.iter().map(shown).collect()
}

fn rules(rules: &str) -> String {
    format!("tools:\n  - name: pay\n    source: bank\n    conditions:\n{rules}")
}

#[test]
fn a_rule_whose_every_call_an_earlier_one_takes_is_found() {
    let shadowed = |first: &str, second: &str| {
        let yaml = rules(&format!(
            "      - {{expression: {first:?}, action: deny}}\n      - {{expression: {second:?}, action: deny}}\n"
        ));
        findings(&yaml, None).iter().any(|finding| finding.starts_with("shadowed"))
    };
    for (first, second) in [
        ("args.amount > 10", "args.amount > 10"),
        ("args.amount > 10", "args.amount >= 11"),
        ("args.amount > 10", "args.amount == 12.5"),
        ("args.amount > 10", "args.amount > 100 && args.currency == 'EUR'"),
        ("args.amount > 10 || args.urgent == true", "args.urgent == true"),
        ("args.amount != 5", "args.amount == 6"),
        ("has(args.x) && args.amount < 5", "args.amount < 4 && has( args.x )"),
        ("args.a == 'x' || args.a == 'y'", "args.a == 'y' && args.amount > 5"),
    ] {
        assert!(shadowed(first, second), "{first} / {second}");
    }
    for (first, second) in [
        ("args.amount > 10", "args.amount >= 10"),
        ("args.amount > 10 && args.currency == 'EUR'", "args.amount > 100"),
        ("args.amount > 10", "args.total > 100"),
        ("args.urgent == true", "args.amount > 10 || args.urgent == true"),
        ("args.a == 'x'", "args.a != 'y'"),
        ("args.a.b == 'x'", "args.a == 'x'"),
        ("!(args.amount > 10)", "args.amount > 10"),
        ("args.items.exists(i, i > 10)", "args.items.exists(i, i > 20)"),
    ] {
        assert!(!shadowed(first, second), "{first} / {second}");
    }
}

#[test]
fn a_denial_behind_an_allow_that_takes_its_calls_is_an_error() {
    let yaml = rules(
        "      - {expression: args.amount > 10, action: allow}\n      - {expression: args.amount > 100, action: deny}\n",
    );
    assert_eq!(
        findings(&yaml, None),
        [
            "conflict! $.tools.0.conditions.1.expression: the rule never decides: rule 1 before it matches whenever this \
          one does, and allows what this rule is there to stop"
        ]
    );
    let yaml = rules("      - {action: allow}\n      - {expression: args.amount > 100, action: deny}\n");
    assert!(findings(&yaml, None)[0].starts_with("conflict! $.tools.0.conditions.1.expression: the rule is never"));
    // A rule in shadow mode takes nothing away.
    let yaml = rules("      - {action: allow, shadow: true}\n      - {expression: args.amount > 100, action: deny}\n");
    assert_eq!(findings(&yaml, None), Vec::<String>::new());
}

#[test]
fn a_workflow_that_no_rule_leads_to_is_found() {
    let yaml = "approval_workflows: [{name: people}]\ntools:\n  - name: pay\n    source: bank\n    \
                approval_workflow: people\n    conditions: [{expression: args.amount > 5, action: deny}]\n";
    let found = findings(yaml, None);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("never_asked $.tools.0.approval_workflow"), "{found:?}");
}

#[test]
fn a_policy_that_lets_more_through_is_shown_by_a_call_that_gets_further() {
    let limit = |amount: u32| {
        rules(&format!("      - {{expression: args.amount > {amount}, action: deny, description: above the limit}}\n"))
    };
    let wider = findings(&limit(500), Some(&limit(200)));
    assert_eq!(wider.len(), 1, "{wider:?}");
    assert!(wider[0].contains("`bank/pay` with {\"amount\":"), "{wider:?}");
    assert!(wider[0].ends_with("is denied (above the limit) and would be carried out"), "{wider:?}");
    assert_eq!(findings(&limit(100), Some(&limit(200))), Vec::<String>::new());
    assert_eq!(findings(&limit(200), Some(&limit(200))), Vec::<String>::new());
    // What the document does not name stays as it is.
    assert_eq!(findings("tools: []", Some(&limit(200))), Vec::<String>::new());
    // Enforcing less is letting more through.
    let shadow = limit(200).replace("action: deny", "action: deny, shadow: true");
    assert_eq!(findings(&shadow, Some(&limit(200))).len(), 1);
}

#[test]
fn weaker_workflows_defaults_and_settings_are_found() {
    let strict = "
approval_workflows: [{name: people, approvals_required: 2, require_reason: true, approver_users: [ann]}]
tools:
  - {name: pay, source: bank, enabled: false}
  - {name: refund, source: bank, justification: required, conditions: [{expression: args.a > 1, action: deny}]}
defaults: {unknown_tools: deny}
";
    let weak = "
approval_workflows: [{name: people, approver_users: [ann, bob]}]
tools:
  - {name: pay, source: bank}
  - {name: refund, source: bank, conditions: [{expression: args.a > 1, action: deny, overridable: true}]}
defaults: {unknown_tools: require_approval}
";
    let found = findings(weak, Some(strict)).join("\n");
    for part in [
        "workflow `people` needs 1 approval(s) instead of 2",
        "approvers of `people` no longer say why",
        "`bob` may decide requests of `people`, too",
        "`bank/pay` with {} is denied (the tool is disabled) and would be carried out",
        "agents no longer say why they call `bank/refund`",
        "can now be overridden",
        "tools without a configuration: `deny` becomes `require_approval`",
    ] {
        assert!(found.contains(part), "{part}\n{found}");
    }
    assert_eq!(findings(strict, Some(weak)), Vec::<String>::new());
}
