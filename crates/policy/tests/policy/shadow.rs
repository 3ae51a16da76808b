//! Rules in shadow mode.

use preloop_types::config::RuleAction;

use crate::world::World;

const SHADOWED: &str = "
tools:
  - name: pay
    source: bank
    approval_workflow: people
    conditions:
      - {expression: args.amount > 100, action: deny, shadow: true}
      - {expression: args.amount > 10, action: require_approval}
      - {expression: args.amount < 5, action: deny, shadow: true}
";

#[test]
fn a_rule_in_shadow_mode_is_recorded_and_decides_nothing() {
    let world = World::new(SHADOWED);
    let shadows = |call: &str| {
        let decision = world.decision(call);
        let shadows = decision.shadows.iter().map(|shadow| (shadow.rule.priority, shadow.action));
        (decision.verdict.as_str(), shadows.collect::<Vec<_>>())
    };
    assert_eq!(shadows(r#"pay {"amount": 500}"#), ("require_approval", vec![(0, RuleAction::Deny)]));
    assert_eq!(shadows(r#"pay {"amount": 50}"#), ("require_approval", vec![]));
    // Rules behind the one that decides are not asked, in shadow mode or not.
    assert_eq!(shadows(r#"pay {"amount": 1}"#), ("allow", vec![(2, RuleAction::Deny)]));
}

#[test]
fn a_rule_in_shadow_mode_that_fails_is_recorded_and_denies_nothing() {
    let world = World::new(
        "tools: [{name: pay, source: bank, conditions: [{expression: 'args.nope > 1 && true', action: deny, shadow: true}]}]",
    );
    let decision = world.decision("pay");
    assert_eq!(decision.verdict.as_str(), "allow");
    assert!(decision.shadows[0].error.as_deref().is_some_and(|why| why.contains("nope")), "{decision:?}");
}

#[test]
fn a_tool_that_has_only_rules_in_shadow_mode_is_decided_as_one_without_rules() {
    let yaml =
        "tools: [{name: pay, source: bank, approval_workflow: people, conditions: [{action: allow, shadow: true}]}]";
    let decided = World::new(yaml).decide("pay");
    assert_eq!(decided, "ask people (tool_default_workflow): the tool has an approval workflow and no rules");
}

#[test]
fn a_scoped_rule_in_shadow_mode_narrows_nothing() {
    let mut world = World::new("tools: []").scoped("key", "pay: deny");
    world.governance[0].1.tool_rules.get_mut("pay").unwrap()[0].shadow = true;
    let decision = world.decision("pay");
    assert_eq!((decision.verdict.as_str(), decision.shadows.len()), ("allow", 1));
}
