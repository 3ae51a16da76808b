//! What is wrong with a document.

use preloop_policy::{
    check,
    document::{Known, Options, read},
};
use preloop_types::config::Language;

fn errors(yaml: &str) -> String {
    let known = Known {
        servers: vec!["bank".to_owned()],
        workflows: vec!["people".to_owned()],
        users: vec!["ann".to_owned(), "bob".to_owned()],
        has_default_workflow: false,
        ..Known::default()
    };
    let report = read(yaml, Options { known: Some(&known), variables: None });
    assert_eq!(report.document.is_some(), report.errors.is_empty());
    report.errors.iter().map(|error| error.render("policy.yaml")).collect()
}

fn warnings(yaml: &str) -> String {
    let report = read(yaml, Options::default());
    assert_eq!(report.errors, [], "{yaml}");
    report.warnings.iter().map(|warning| warning.render("policy.yaml")).collect()
}

#[test]
fn every_mistake_is_reported_at_once() {
    let yaml = r#"version: "1.1"
metadata: {name: x, colour: red}
mcp_servers:
  - {name: a, url: https://a.example, auth_type: bearer}
  - {name: a, url: https://b.example, transport: http}
approval_workflows:
  - {name: w, timeout_seconds: 5, required_approvals: 99, approver_users: [anne]}
  - {name: w, is_default: maybe}
tools:
  - name: pay
    sorce: bank
    approval_workflow: peopel
    conditions:
      - expresion: args.amount > 5
        action: block
      - expression: "args.comand.startWith('deploy')"
      - expression: "  "
      - {expression: amount > 5, condition_type: cel}
  - {name: wire, source: bnak}
  - {name: wire, source: bnak}
defaults: {unknown_tools: never, default_approval_workflow: w2}
"#;
    insta::assert_snapshot!(errors(yaml), @r#"
    policy.yaml:1:10: version `1.1` is not supported; the only one is `1.0`
        1 | version: "1.1"
          |          ^^^^^
    policy.yaml:2:21: unknown key `colour`
        2 | metadata: {name: x, colour: red}
          |                     ^^^^^^
       help: the keys here are `name`, `description`, `author`, `created_at`, `tags`
    policy.yaml:5:12: there are two MCP servers called `a`
        5 |   - {name: a, url: https://b.example, transport: http}
          |            ^
    policy.yaml:5:50: `transport` is one of `streamable-http`, `http-streaming`, `streamable_http`, `sse`, `stdio`, not `http`
        5 |   - {name: a, url: https://b.example, transport: http}
          |                                                  ^^^^
    policy.yaml:7:32: `timeout_seconds` is a whole number from 30 to 86400
        7 |   - {name: w, timeout_seconds: 5, required_approvals: 99, approver_users: [anne]}
          |                                ^
    policy.yaml:7:55: `approvals_required` is a whole number from 1 to 10
        7 |   - {name: w, timeout_seconds: 5, required_approvals: 99, approver_users: [anne]}
          |                                                       ^^
    policy.yaml:7:76: there is no user `anne`
        7 |   - {name: w, timeout_seconds: 5, required_approvals: 99, approver_users: [anne]}
          |                                                                            ^^^^
       help: did you mean `ann`?
    policy.yaml:8:12: there are two workflows called `w`
        8 |   - {name: w, is_default: maybe}
          |            ^
    policy.yaml:8:27: expected `true` or `false`, found a text
        8 |   - {name: w, is_default: maybe}
          |                           ^^^^^
    policy.yaml:11:5: unknown key `sorce`
       11 |     sorce: bank
          |     ^^^^^
       help: did you mean `source`?
    policy.yaml:12:24: there is no approval workflow `peopel`
       12 |     approval_workflow: peopel
          |                        ^^^^^^
       help: did you mean `people`?
    policy.yaml:14:9: unknown key `expresion`
       14 |       - expresion: args.amount > 5
          |         ^^^^^^^^^
       help: did you mean `expression`?
    policy.yaml:15:17: `action` is one of `require_approval`, `deny`, `allow`, not `block`
       15 |         action: block
          |                 ^^^^^
    policy.yaml:16:34: there is no function `startWith`; did you mean `startsWith`?
       16 |       - expression: "args.comand.startWith('deploy')"
          |                                  ^^^^^^^^^
    policy.yaml:17:21: `expression` is empty
       17 |       - expression: "  "
          |                     ^^^^
    policy.yaml:18:22: `amount` is not known here; did you mean `args.amount`?
       18 |       - {expression: amount > 5, condition_type: cel}
          |                      ^^^^^^
    policy.yaml:19:26: there is no MCP server `bnak`
       19 |   - {name: wire, source: bnak}
          |                          ^^^^
       help: did you mean `bank`?
    policy.yaml:20:5: tool `wire` of `bnak` is there twice; put its conditions together
       20 |   - {name: wire, source: bnak}
          |     ^
    policy.yaml:20:26: there is no MCP server `bnak`
       20 |   - {name: wire, source: bnak}
          |                          ^^^^
       help: did you mean `bank`?
    policy.yaml:21:27: `unknown_tools` is one of `require_approval`, `deny`, `allow`, not `never`
       21 | defaults: {unknown_tools: never, default_approval_workflow: w2}
          |                           ^^^^^
    policy.yaml:21:61: there is no approval workflow `w2`
       21 | defaults: {unknown_tools: never, default_approval_workflow: w2}
          |                                                             ^^
       help: did you mean `w`?
    "#);
}

#[test]
fn a_document_that_is_no_yaml_is_located() {
    insta::assert_snapshot!(errors("metadata: {name: x\ntools: ["), @r#"
    policy.yaml:2:6: invalid YAML at line 2, column 6: while parsing a flow mapping, did not find expected ',' or '}'
        2 | tools: [
          |      ^
    "#);
    insta::assert_snapshot!(errors("metadata: {name: x}\nmetadata: {name: y}"), @r#"
    policy.yaml:2:1: invalid YAML at line 2, column 1: duplicate mapping key: metadata
        2 | metadata: {name: y}
          | ^
    "#);
    insta::assert_snapshot!(errors("# nothing\n"), @r#"policy.yaml: $: empty policy document"#);
    insta::assert_snapshot!(errors("tools: []"), @r#"
    policy.yaml:1:1: `metadata` is missing
        1 | tools: []
          | ^
       help: add `metadata: { name: what-this-policy-is-for }`
    "#);
}

#[test]
fn what_would_not_be_enforced_is_refused() {
    let yaml = "
metadata: {name: x}
model_io: [{id: injection}]
sensitive_data: {rules: []}
tools: [{name: t, source: http}]
";
    insta::assert_snapshot!(errors(yaml), @r#"
    policy.yaml:3:1: `model_io` is not supported yet; what it should block would not be blocked
        3 | model_io: [{id: injection}]
          | ^^^^^^^^
    policy.yaml:4:1: `sensitive_data` is not supported yet; what it should block would not be blocked
        4 | sensitive_data: {rules: []}
          | ^^^^^^^^^^^^^^
    policy.yaml:5:27: tools of source `http` are not supported yet
        5 | tools: [{name: t, source: http}]
          |                           ^^^^
    "#);
}

#[test]
fn a_reviewer_needs_a_model_and_a_threshold_from_0_to_1() {
    let said = |yaml: &str| errors(&format!("metadata: {{name: x}}\napproval_workflows:\n  - {yaml}"));
    let without = said("{name: w, approval_type: ai_driven}");
    assert!(without.contains("`approval_type: ai_driven` needs an `ai_model`"), "{without}");
    let wrong = said(
        "{name: w, approval_type: ai_driven, ai_model: m, ai_confidence_threshold: 80, ai_fallback_behavior: hope}",
    );
    assert!(wrong.contains("`ai_confidence_threshold` is a number from 0 to 1"), "{wrong}");
    assert!(wrong.contains("`ai_fallback_behavior` is one of `escalate`, `approve`, `deny`, not `hope`"), "{wrong}");
}

#[test]
fn shorthand_is_understood() {
    let yaml = "
metadata: {name: short}
tools:
  - tool: pay
    source: bank
    condition: args.amount > 1000
    approvers: [bob]
    quorum: 2
    timeout: 600
";
    let report = read(yaml, Options::default());
    let document = report.document.unwrap();
    let workflow = &document.approval_workflows[0];
    assert_eq!(
        (workflow.name.as_str(), workflow.approvals_required, workflow.timeout_seconds),
        ("pay approval", 2, 600)
    );
    assert_eq!(workflow.approver_users.as_deref(), Some(&["bob".to_owned()][..]));
    assert_eq!(document.tools[0].approval_workflow.as_deref(), Some("pay approval"));
    assert_eq!(document.tools[0].conditions[0].expression.as_deref(), Some("args.amount > 1000"));
}

#[test]
fn what_a_person_should_look_at_is_a_warning() {
    let yaml = "
metadata: {name: x}
approval_workflows: [{name: w, workflow_type: consensus, ai_model: m}]
tools:
  - {name: a, source: mcp, conditions: [{expression: args.x > 1}]}
  - {name: b, source: elsewhere, approval_workflow: unheard}
  - {name: c, conditions: [{expression: 'args.x > 1 && args.y', action: deny, condition_type: simple}]}
";
    insta::assert_snapshot!(warnings(yaml), @r#"
    policy.yaml:3:68: `ai_model` has no effect without `approval_type: ai_driven`
        3 | approval_workflows: [{name: w, workflow_type: consensus, ai_model: m}]
          |                                                                    ^
    policy.yaml:3:47: `consensus` is treated as `simple` in this version
        3 | approval_workflows: [{name: w, workflow_type: consensus, ai_model: m}]
          |                                               ^^^^^^^^^
    policy.yaml:5:23: `mcp` stands for every server's tool of this name; name the server to mean one
        5 |   - {name: a, source: mcp, conditions: [{expression: args.x > 1}]}
          |                       ^^^
    policy.yaml:6:53: there is no approval workflow `unheard` in this document; the account must have it
        6 |   - {name: b, source: elsewhere, approval_workflow: unheard}
          |                                                     ^^^^^^^
       help: the approval workflows are `w`
    policy.yaml:6:23: there is no MCP server `elsewhere` in this document; the account must have it
        6 |   - {name: b, source: elsewhere, approval_workflow: unheard}
          |                       ^^^^^^^^^
       help: there are no MCP servers
    policy.yaml:7:41: this is CEL, not a simple condition; it is taken as CEL
        7 |   - {name: c, conditions: [{expression: 'args.x > 1 && args.y', action: deny, condition_type: simple}]}
          |                                         ^^^^^^^^^^^^^^^^^^^^^^
       help: write `condition_type: cel`
    policy.yaml:5:5: tool `a` requires approval, but no approval workflow is named for it and none is the default
        5 |   - {name: a, source: mcp, conditions: [{expression: args.x > 1}]}
          |     ^
    "#);
}

#[test]
fn variables_are_read_from_where_the_caller_says() {
    let yaml = "
metadata: {name: x}
mcp_servers:
  - {name: a, url: 'https://${HOST}/mcp', auth_type: bearer, auth_config: {token: '${TOKEN}'}}
  - {name: b, url: 'https://${SECRET_KEY}.example'}
";
    let look_up = |name: &str| match name {
        "HOST" => Some("a.example".to_owned()),
        "TOKEN" => Some("s3cret".to_owned()),
        _ => None,
    };
    let report = read(yaml, Options { known: None, variables: Some(&look_up) });
    let errors: String = report.errors.iter().map(|error| error.render("policy.yaml")).collect();
    insta::assert_snapshot!(errors, @r#"
    policy.yaml:5:20: `${SECRET_KEY}` is not set on the server, or policies may not read it
        5 |   - {name: b, url: 'https://${SECRET_KEY}.example'}
          |                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    "#);
    let report = read(&yaml.replace("${SECRET_KEY}", "b"), Options { known: None, variables: Some(&look_up) });
    let document = report.document.unwrap();
    assert_eq!(document.mcp_servers[0].url.as_deref(), Some("https://a.example/mcp"));
    assert!(!format!("{document:?}").contains("s3cret"));
}

/// The blocks of the guide that are in `language`.
fn guide(language: &str) -> Vec<&'static str> {
    let guide = include_str!("../../../../docs/policy.md");
    let opening = format!("```{language}\n");
    guide.split(&opening).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn the_examples_of_the_guide_are_right() {
    let known = Known { users: vec!["ann".to_owned(), "bob".to_owned()], ..Known::default() };
    // The others are parts of one.
    let whole: Vec<_> = guide("yaml").into_iter().filter(|document| document.starts_with("version")).collect();
    assert!(!whole.is_empty());
    for document in whole {
        let report = read(document, Options { known: Some(&known), variables: None });
        assert_eq!((report.errors, report.warnings), (Vec::new(), Vec::new()), "{document}");
    }

    let conditions = guide("cel");
    assert_eq!(conditions.len(), 1);
    for condition in conditions[0].lines() {
        assert_eq!(check::syntax(condition, Language::Cel), Ok(()), "{condition}");
    }
}

#[test]
fn json_is_yaml() {
    let json = r#"{"version": "1.0", "metadata": {"name": "x"}, "tools": [{"name": "pay", "source": "bank"}]}"#;
    assert_eq!(errors(json), "");
}
