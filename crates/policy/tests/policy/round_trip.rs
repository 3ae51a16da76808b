//! Export and apply.

use preloop_policy::{
    diff::Diff,
    document::{Document, Options, read},
};

use crate::world::{NOW, World, slow_server};

const EVERYTHING: &str = r#"
mcp_servers:
  - name: ledger
    url: https://ledger.example/mcp
    auth_type: bearer
    auth_config: {token: s3cret-token}
  - name: shell
    transport: stdio
    command: shell-server
    args: [--root, /srv]
    env: {API_TOKEN: s3cret-env}
approval_workflows:
  - name: two-eyes
    description: Two people from finance
    timeout_seconds: 900
    approvals_required: 2
    approver_users: [bob]
    require_reason: true
    is_default: true
    workflow_type: consensus
    channel_configs:
      webhook: {url: https://grc.example/in, headers: {X-Team: s3cret-header}}
      slack: {webhook_url: https://hooks.slack.example/s3cret-path}
      email: [risk@example.org]
  - {name: poll-me, async_approval: true, timeout_seconds: 3600}
  - name: robot-first
    approval_type: ai_driven
    ai_model: judge
    ai_guidelines: Approve what quotes a ticket.
    ai_context: {max_refund: 200.5, empty: null, list: []}
    ai_confidence_threshold: 0.85
    ai_fallback_behavior: deny
    escalation_workflow: two-eyes
tools:
  - name: refund
    source: ledger
    approval_workflow: two-eyes
    justification: required
    description: "Refunds, with care: 100%"
    custom_config: {note: null, list: [1, 2.50, "true"]}
    conditions:
      - {expression: "has(args.customers) && args.customers.exists(c, c.startsWith('vip-'))", action: deny, description: VIP refunds go through the desk}
      - {expression: args.amount <= 20, action: allow, overridable: true}
      - {expression: args.amount <= 30, action: allow, condition_type: cel}
      - {expression: "true", action: require_approval, approval_workflow: poll-me, enabled: false}
      - {action: require_approval}
  - {name: close_books, source: mcp, enabled: false}
  - {name: create_issue, source: builtin, justification: optional, conditions: [{expression: 'args.priority == "critical"'}]}
defaults:
  unknown_tools: require_approval
  require_approval_for_new_tools: true
  default_approval_workflow: two-eyes
"#;

#[test]
fn an_export_applies_without_a_change() {
    let mut world = World::new(EVERYTHING);
    world.servers[0].settings = slow_server();
    let exported = Document::from_rows(&world.rows(), "backup", NOW);
    let text = exported.to_yaml(Some("acme"));
    assert!(!text.contains("s3cret"), "{text}");

    let report = read(&text, Options { known: Some(&world.known()), variables: None });
    let errors: Vec<_> = report.errors.iter().map(|error| error.render("policy.yaml")).collect();
    let again = report.document.unwrap_or_else(|| panic!("{}\n{text}", errors.join("")));
    assert_eq!(Diff::between(&exported, &again, true).summary(), "No changes", "{text}");

    let (servers, workflows) = (world.servers.clone(), world.workflows.clone());
    let (configs, defaults) = (world.configs.clone(), world.defaults.clone());
    world.apply_document(&again);
    assert_eq!(world.servers, servers);
    assert_eq!(world.workflows, workflows);
    assert_eq!(world.configs, configs);
    assert_eq!(world.defaults, defaults);
    assert_eq!(Document::from_rows(&world.rows(), "backup", NOW).to_yaml(Some("acme")), text);
}

#[test]
fn an_export_reads_well() {
    let mut world = World::empty();
    world.apply(
        "
metadata: {name: small}
mcp_servers: [{name: bank, url: https://bank.example, auth_type: api_key, auth_config: {api_key: s3cret}}]
approval_workflows: [{name: people, approver_users: [bob]}]
tools:
  - {name: pay, source: bank, approval_workflow: people, conditions: [{expression: args.amount > 5, description: 'yes'}]}
",
    );
    insta::assert_snapshot!(Document::from_rows(&world.rows(), "Exported Policy", NOW).to_yaml(Some("acme")), @r#"
    # Exported Policy
    # Exported at 2026-11-18T11:06:40.000000Z
    # Account: acme
    # Secrets are not part of an export: `redacted: true` leaves them as they are.
    version: "1.0"
    metadata:
      name: Exported Policy
      description: Exported from current configuration
      created_at: "2026-11-18T11:06:40.000000Z"
    mcp_servers:
    - name: bank
      url: https://bank.example
      transport: streamable-http
      auth_type: api_key
      auth_config:
        key_name: X-API-Key
        redacted: true
    approval_workflows:
    - name: people
      timeout_seconds: 300
      require_reason: false
      is_default: false
      approvals_required: 1
      approver_users:
      - bob
      async_approval: false
    tools:
    - name: pay
      source: bank
      enabled: true
      approval_workflow: people
      conditions:
      - expression: args.amount > 5
        action: require_approval
        description: "yes"
    defaults:
      unknown_tools: allow
      require_approval_for_new_tools: false
      inherit_from_parent: true
    "#);
}

#[test]
fn a_diff_says_what_applying_will_do() {
    let world = World::new(EVERYTHING);
    let current = Document::from_rows(&world.rows(), "now", NOW);
    let wanted = read(
        "
metadata: {name: other}
mcp_servers:
  - {name: ledger, url: https://ledger.example/v2, auth_type: bearer, auth_config: {token: new-secret}}
tools:
  - {name: refund, source: ledger, conditions: [{action: deny}]}
  - {name: pay, source: bank}
",
        Options { known: Some(&world.known()), variables: None },
    );
    let wanted = wanted.document.unwrap();
    let show = |diff: &Diff| {
        let changes = diff.changes.iter().map(|change| {
            let value = |value: &Option<serde_json::Value>| value.as_ref().map_or("-".to_owned(), ToString::to_string);
            format!(
                "{} {}\n  {}\n  {}\n",
                change.operation.as_str(),
                change.path,
                value(&change.old_value),
                value(&change.new_value)
            )
        });
        format!("{}kept: {}\n{}", changes.collect::<String>(), diff.kept.join(" "), diff.summary())
    };
    insta::assert_snapshot!(show(&Diff::between(&current, &wanted, false)), @r#"
    modify $.mcp_servers[name=ledger]
      {"name":"ledger","url":"https://ledger.example/mcp","transport":"streamable-http","auth_type":"bearer","auth_config":{"redacted":true}}
      {"name":"ledger","url":"https://ledger.example/v2","transport":"streamable-http","auth_type":"bearer","auth_config":{"redacted":true}}
    modify $.tools[name=refund,source=ledger]
      {"name":"refund","source":"ledger","enabled":true,"approval_workflow":"two-eyes","justification":"required","description":"Refunds, with care: 100%","custom_config":{"note":null,"list":[1,2.5,"true"]},"conditions":[{"expression":"has(args.customers) && args.customers.exists(c, c.startsWith('vip-'))","action":"deny","description":"VIP refunds go through the desk"},{"expression":"args.amount <= 20","action":"allow","overridable":true},{"expression":"args.amount <= 30","action":"allow","condition_type":"cel"},{"expression":"true","action":"require_approval","approval_workflow":"poll-me","enabled":false},{"action":"require_approval"}]}
      {"name":"refund","source":"ledger","enabled":true,"description":"Refunds, with care: 100%","custom_config":{"note":null,"list":[1,2.5,"true"]},"conditions":[{"action":"deny"}]}
    add $.tools[name=pay,source=bank]
      -
      {"name":"pay","source":"bank","enabled":true}
    kept: $.mcp_servers[name=bank] $.mcp_servers[name=files] $.mcp_servers[name=shell] $.approval_workflows[name=people] $.approval_workflows[name=two-eyes] $.approval_workflows[name=poll-me] $.approval_workflows[name=robot-first] $.tools[name=close_books,source=mcp] $.tools[name=create_issue,source=builtin]
    1 addition(s), 2 modification(s)
    "#);
    assert_eq!(Diff::between(&current, &wanted, true).summary(), "1 addition(s), 9 removal(s), 2 modification(s)");
}

#[test]
fn the_schema_accepts_what_is_exported() {
    let world = World::new(EVERYTHING);
    let schema = jsonschema::validator_for(&preloop_policy::document::schema()).unwrap();
    let exported = Document::from_rows(&world.rows(), "backup", NOW).to_json();
    let errors: Vec<_> =
        schema.iter_errors(&exported).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert_eq!(errors, [] as [String; 0]);
    let typo = serde_json::json!({"metadata": {"name": "x"}, "tools": [{"name": "pay", "conditon": "x"}]});
    assert!(!schema.is_valid(&typo));
}
