//! What comes of a call.

use preloop_types::config::ServerStatus;

use crate::world::World;

/// Each case: what the policy says, a call, the decision.
fn check(cases: &[(&str, &str, &str)]) {
    for (yaml, call, decision) in cases {
        assert_eq!(World::new(yaml).decide(call), *decision, "{yaml}\n{call}");
    }
}

const PAY: &str = "
tools:
  - name: pay
    source: bank
    approval_workflow: people
    conditions:
      - {expression: args.amount <= 20, action: allow, description: small change}
      - {expression: 'has(args.ticket) && args.amount <= 200', action: require_approval}
      - {expression: args.amount > 200, action: deny, description: above the limit, condition_type: simple}
";

#[test]
fn the_first_rule_that_matches_decides() {
    check(&[
        (PAY, r#"pay {"amount": 5}"#, "allow (tool_access_rule): small change"),
        (
            PAY,
            r#"pay {"amount": 100, "ticket": "T1"}"#,
            "ask people (tool_access_rule): has(args.ticket) && args.amount <= 200",
        ),
        (PAY, r#"pay {"amount": 100}"#, "allow (account_default): no rules matched (default allow)"),
        (PAY, r#"pay {"amount": 900}"#, "deny (tool_access_rule): above the limit"),
        // A number sent as a text evades no rule.
        (PAY, r#"pay {"amount": "900"}"#, "deny (tool_access_rule): above the limit"),
    ]);
}

#[test]
fn a_tool_without_rules_follows_its_configuration_or_the_defaults() {
    check(&[
        ("tools: []", "pay", "allow (account_default): no tool configuration found"),
        ("defaults: {unknown_tools: deny}", "pay", "deny (account_default): tools without a configuration are denied"),
        (
            "defaults: {unknown_tools: require_approval, default_approval_workflow: people}",
            "pay",
            "ask people (account_default): tools without a configuration require approval",
        ),
        (
            "defaults: {require_approval_for_new_tools: true, default_approval_workflow: people}",
            "pay",
            "ask people (account_default): the tool is new; new tools require approval until they are configured",
        ),
        (
            "defaults: {require_approval_for_new_tools: true}\ntools: [{name: pay, source: bank}]",
            "pay",
            "allow (account_default): no access rules defined",
        ),
        (
            "tools: [{name: pay, source: bank, approval_workflow: people}]",
            "pay",
            "ask people (tool_default_workflow): the tool has an approval workflow and no rules",
        ),
        ("tools: [{name: pay, source: bank, enabled: false}]", "pay", "deny (disabled): the tool is disabled"),
        // A tool by which an agent asks people stays usable.
        (
            "defaults: {unknown_tools: deny}",
            "builtin/get_approval_status",
            "allow (account_default): the tool asks people and does nothing else",
        ),
        (
            "defaults: {unknown_tools: deny}",
            "builtin/create_issue",
            "deny (account_default): tools without a configuration are denied",
        ),
    ]);
}

#[test]
fn a_configuration_belongs_to_one_server_or_to_all() {
    let both = "
tools:
  - {name: read, source: mcp, conditions: [{action: deny, description: nobody reads}]}
  - {name: read, source: files, conditions: [{action: allow, description: files may}]}
";
    check(&[
        (both, "files/read", "allow (tool_access_rule): files may"),
        (both, "bank/read", "deny (tool_access_rule): nobody reads"),
        (both, "builtin/read", "allow (account_default): no tool configuration found"),
    ]);
}

#[test]
fn any_evaluation_error_denies() {
    let rule = |expression: &str| {
        format!(
            "tools: [{{name: pay, source: bank, conditions: [{{expression: {expression:?}, action: allow, \
             condition_type: cel}}]}}]"
        )
    };
    for (expression, call, error) in [
        ("args.amount < 5", "pay {}", "no such key: `amount`"),
        (
            "args.amount < 5",
            r#"pay {"amount": "4"}"#,
            "found no matching overload for '_<_' applied to '(string, int)'",
        ),
        ("args.name", r#"pay {"name": "x"}"#, "the expression is a string, not a bool"),
        ("10 / args.n > 1", r#"pay {"n": 0}"#, "division by zero"),
        (
            "args.amount < 5",
            r#"pay {"amount": 99999999999999999999}"#,
            "arguments cannot be read: a number is beyond 64 bits and cannot be compared exactly",
        ),
        ("args.a == 1", r#"pay {"a": 1, "a": 2}"#, "arguments cannot be read: key `a` appears twice"),
    ] {
        assert_eq!(
            World::new(&rule(expression)).decide(call),
            format!("deny (rule_evaluation_error): rule evaluation error: {error} (failing closed)"),
            "{expression} {call}"
        );
    }
}

#[test]
fn a_rule_that_does_not_compile_denies_and_is_named() {
    let mut world = World::new("tools: [{name: pay, source: bank, conditions: [{expression: 'true', action: allow}]}]");
    world.configs[0].rules[0].expression = Some("args.amount >".to_owned());
    let ruleset = world.ruleset();
    assert_eq!(ruleset.problems()[0].place, "tool `pay`, rule 1");
    assert!(world.decide("pay").starts_with("deny (rule_evaluation_error)"));
}

#[test]
fn conditions_see_the_caller_the_tool_and_the_time() {
    for expression in [
        "user.username == 'ann'",
        "agent.kind == 'claude_code' && 'prod' in agent.tags && agent.name == 'coder'",
        "tool.name == 'pay' && tool.server == 'bank' && tool.source == 'mcp' && tool.exposed == 'bank__pay'",
        "context.tool_name == 'bank__pay' && context.client.startsWith('test/')",
        "context.user_id == user.id && context.managed_agent_id == agent.id && context.runtime_session_id == null",
        "context.api_key_name == 'laptop' && size(context.correlation_id) == 36",
        "justification == 'because'",
        "now > timestamp('2026-01-01T00:00:00Z') && now.getFullYear() == 2026",
    ] {
        let yaml = format!(
            "tools: [{{name: pay, source: bank, conditions: [{{expression: {expression:?}, action: deny, description: \
             yes}}]}}]"
        );
        assert_eq!(World::new(&yaml).with_agent().decide("pay"), "deny (tool_access_rule): yes", "{expression}");
    }
    let yaml = "tools: [{name: pay, source: bank, conditions: [{expression: \"agent.kind == 'x'\", action: deny}]}]";
    // Asking after the agent of a caller that has none is no error.
    assert_eq!(World::new(yaml).decide("pay"), "allow (account_default): no rules matched (default allow)");
}

#[test]
fn a_workflow_is_found_or_the_call_is_denied() {
    let asks = "tools: [{name: pay, source: bank, conditions: [{action: require_approval}]}]";
    let none = "deny (no_workflow): approval is required, but the account has no approval workflow; configure one";
    check(&[
        (asks, "pay", none),
        (
            "approval_workflows: [{name: boss, is_default: true}]\n\
             tools: [{name: pay, source: bank, conditions: [{action: require_approval}]}]",
            "pay",
            "ask boss (tool_access_rule): the rule matches every call",
        ),
        (
            "approval_workflows: [{name: boss, is_default: true}, {name: own}]\n\
             tools: [{name: pay, source: bank, approval_workflow: people, conditions: \
             [{action: require_approval, approval_workflow: own, description: why}]}]",
            "pay",
            "ask own (tool_access_rule): why",
        ),
    ]);
    // One that is gone is not replaced by one with other approvers.
    let mut world = World::new(PAY);
    world.workflows.clear();
    let decision = world.decide(r#"pay {"amount": 100, "ticket": "T1"}"#);
    assert!(decision.starts_with("deny (no_workflow): approval is required, but approval workflow"), "{decision}");
}

#[test]
fn narrower_scopes_only_narrow() {
    let account = |action: &str| {
        format!(
            "approval_workflows: [{{name: boss, is_default: true}}]\n\
             tools: [{{name: pay, source: bank, conditions: [{{action: {action}, description: account}}]}}]"
        )
    };
    let ask = "ask boss (tool_access_rule): account";
    for (of_account, of_agent, of_key, decision) in [
        ("allow", "allow", "deny", "deny (subject_scoped_rule): key says deny"),
        ("allow", "deny", "allow", "deny (subject_scoped_rule): agent says deny"),
        ("allow", "require_approval", "allow", "ask boss (subject_scoped_rule): agent says require_approval"),
        ("deny", "allow", "allow", "deny (tool_access_rule): account"),
        ("require_approval", "allow", "allow", ask),
        ("require_approval", "require_approval", "allow", ask),
        ("require_approval", "deny", "allow", "deny (subject_scoped_rule): agent says deny"),
        ("allow", "allow", "allow", "allow (subject_scoped_rule): key says allow"),
    ] {
        let world = World::new(&account(of_account))
            .with_agent()
            .scoped("agent", &format!("pay: {of_agent}"))
            .scoped("key", &format!("pay: {of_key}"));
        assert_eq!(world.decide("pay"), decision, "{of_account} {of_agent} {of_key}");
    }
}

#[test]
fn a_narrower_scope_has_its_way_against_an_overridable_rule() {
    let yaml = "tools: [{name: pay, source: bank, conditions: [{action: deny, overridable: true}]}]";
    let world = World::new(yaml).with_agent().scoped("agent", "pay: allow args.amount < 5");
    assert_eq!(world.decide(r#"pay {"amount": 1}"#), "allow (subject_scoped_rule): agent says allow");
    assert_eq!(world.decide(r#"pay {"amount": 9}"#), "deny (tool_access_rule): the rule matches every call");
}

#[test]
fn a_scope_without_a_match_leaves_the_decision_to_the_next() {
    let world =
        World::new(PAY).with_agent().scoped("key", "pay: deny args.amount == 7").scoped("agent", "pay: allow false");
    assert_eq!(world.decide(r#"pay {"amount": 900}"#), "deny (tool_access_rule): above the limit");
    assert_eq!(world.decide(r#"pay {"amount": 7}"#), "deny (subject_scoped_rule): key says deny");
    // Rules by exposed name are the same tool's rules.
    let world = World::new("tools: []").scoped("key", "bank__pay: deny");
    assert_eq!(world.decide("pay"), "deny (subject_scoped_rule): key says deny");
    // An error in any scope denies.
    let world = World::new("tools: []").scoped("key", "pay: allow args.x > 1");
    assert!(world.decide("pay").starts_with("deny (rule_evaluation_error)"));
}

#[test]
fn what_is_not_visible_is_denied() {
    let not_available = "deny (disabled): the tool is not available to this credential";
    let switched_off = "deny (disabled): the tool is disabled by agent or API key configuration";
    let mut world = World::new("tools: []").with_agent();
    for (tools, servers, decision) in [
        (None, None, "allow (account_default): no tool configuration found"),
        (Some(vec!["bank__pay"]), None, "allow (account_default): no tool configuration found"),
        // Only the name agents call it by: another server's tool may have the same upstream name.
        (Some(vec!["pay"]), None, not_available),
        (Some(vec![]), None, not_available),
        (None, Some(vec!["bank"]), "allow (account_default): no tool configuration found"),
        (None, Some(vec!["files"]), not_available),
    ] {
        let texts = |list: Option<Vec<&str>>| list.map(|list| list.into_iter().map(str::to_owned).collect());
        (world.who.allowed_tools, world.who.allowed_servers) = (texts(tools), texts(servers));
        assert_eq!(world.decide("pay"), decision);
        assert_eq!(world.ruleset().visible(&world.who, &world.tool("pay")), decision.starts_with("allow"));
    }

    assert_eq!(World::new("tools: []").switched("key", "bank__pay", false).decide("pay"), switched_off);
    assert_eq!(World::new("tools: []").with_agent().switched("agent", "pay", false).decide("pay"), switched_off);
    let on_again = World::new("tools: []").with_agent().switched("agent", "pay", false).switched("key", "pay", true);
    assert_eq!(on_again.decide("pay"), "allow (account_default): no tool configuration found");

    let mut world = World::new("tools: []");
    world.servers[0].status = ServerStatus::Disabled;
    assert_eq!(world.decide("pay"), "deny (disabled): the tool's server is not in use");
}
