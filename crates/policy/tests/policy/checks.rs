//! Conditions against what tools take.

use preloop_policy::{
    check::{self, Severity, ToolSchema},
    document::{Options, read},
};
use serde_json::{json, value::to_raw_value};

/// What is found in the conditions of the tool `bash` of the server `box`.
fn findings(conditions: &str) -> String {
    let yaml = format!("metadata: {{name: x}}\ntools:\n  - name: bash\n    source: box\n    conditions:\n{conditions}");
    let report = read(&yaml, Options::default());
    assert_eq!(report.errors, [], "{yaml}");
    let schema = to_raw_value(&json!({
        "type": "object",
        "properties": {
            "command": {"type": "string"},
            "cwd": {"type": ["string", "null"]},
            "timeout": {"type": "integer", "minimum": 0, "maximum": 600},
            "mode": {"enum": ["fast", "safe"]},
            "env": {"type": "object", "additionalProperties": {"type": "string"}},
            "files": {"type": "array", "items": {"$ref": "#/$defs/file"}},
            "target": {"anyOf": [{"$ref": "#/$defs/file"}, {"type": "null"}]},
            "anything": {},
        },
        "$defs": {"file": {"type": "object", "properties": {"path": {"type": "string"}, "size": {"type": "number"}}}},
    }))
    .unwrap();
    let tools = [ToolSchema { server: "box", name: "bash", schema: &schema }];
    let found = check::document(&report.document.unwrap(), &report.source, &tools);
    found
        .iter()
        .map(|finding| {
            let word = if finding.severity == Severity::Error { "" } else { "warning: " };
            format!("{word}{}", finding.problem.render("policy.yaml"))
        })
        .collect()
}

#[test]
fn an_argument_that_is_not_there_is_reported() {
    insta::assert_snapshot!(findings(
        r#"      - expression: "args.comand.contains('deploy')"
      - {expression: has(args.comand) && args.command == 'x', condition_type: cel}
      - expression: 'args.files.exists(f, f.pth == "x")'
      - {expression: args.target.sze > 5, condition_type: cel}
      - expression: shell == 'zsh'
"#), @r#"
    policy.yaml:6:22: condition reads `args.comand`, but tool `bash` has no such argument
        6 |       - expression: "args.comand.contains('deploy')"
          |                      ^^^^^^^^^^^
       help: did you mean `args.command`?
    policy.yaml:7:26: condition reads `args.comand`, but tool `bash` has no such argument
        7 |       - {expression: has(args.comand) && args.command == 'x', condition_type: cel}
          |                          ^^^^^^^^^^^
       help: did you mean `args.command`?
    policy.yaml:8:44: condition reads `args.files[].pth`, but tool `bash` has no such argument
        8 |       - expression: 'args.files.exists(f, f.pth == "x")'
          |                                            ^
       help: did you mean `args.files[].path`?
    policy.yaml:9:22: condition reads `args.target.sze`, but tool `bash` has no such argument
        9 |       - {expression: args.target.sze > 5, condition_type: cel}
          |                      ^^^^^^^^^^^^^^^
       help: did you mean `args.target.size`?
    policy.yaml:10:21: condition reads `args.shell`, but tool `bash` has no such argument
       10 |       - expression: shell == 'zsh'
          |                     ^^^^^
       help: `args` has `command`, `cwd`, `timeout`, `mode`, `env`, `files`, `target`, `anything`
    "#);
}

#[test]
fn a_comparison_with_the_wrong_type_is_reported() {
    insta::assert_snapshot!(findings(
        r#"      - {expression: args.command > 5, condition_type: cel}
      - {expression: args.timeout == '5'}
      - {expression: 'args.timeout.startsWith("5")'}
      - {expression: args.files == true}
      - {expression: 'args.files.contains("x")', condition_type: cel}
"#), @r#"
    policy.yaml:6:22: condition compares `args.command` with a number, but tool `bash` takes a text
        6 |       - {expression: args.command > 5, condition_type: cel}
          |                      ^^^^^^^^^^^^
    policy.yaml:7:22: condition compares `args.timeout` with a text, but tool `bash` takes an integer
        7 |       - {expression: args.timeout == '5'}
          |                      ^^^^^^^^^^^^
    policy.yaml:8:23: condition asks `startsWith` of `args.timeout`, but tool `bash` takes an integer
        8 |       - {expression: 'args.timeout.startsWith("5")'}
          |                       ^^^^^^^^^^^^
    policy.yaml:9:22: condition compares `args.files` with a boolean, but tool `bash` takes a list
        9 |       - {expression: args.files == true}
          |                      ^^^^^^^^^^
    policy.yaml:10:23: condition asks `contains()` of `args.files`, but tool `bash` takes a list
       10 |       - {expression: 'args.files.contains("x")', condition_type: cel}
          |                       ^^^^^^^^^^
    "#);
}

#[test]
fn a_condition_that_can_never_match_is_reported() {
    insta::assert_snapshot!(findings(
        r#"      - {expression: args.mode == 'fats'}
      - {expression: args.timeout > 600}
      - {expression: args.timeout > 10 && args.timeout < 5}
      - {expression: args.command == 'a' && args.command == 'b'}
      - {expression: 1 > 2, condition_type: cel}
      - {expression: 1 / 0 > 2, condition_type: cel}
      - {expression: args.command == 'a' && args.command == 'b'}
      - {expression: 'true'}
      - {expression: args.command == 'x'}
"#), @r#"
    warning: policy.yaml:6:22: `args.mode` is never `fats`: tool `bash` takes `fast`, `safe`
        6 |       - {expression: args.mode == 'fats'}
          |                      ^^^^^^^^^
       help: did you mean `fast`?
    warning: policy.yaml:7:22: the comparison of `args.timeout` can never hold: tool `bash` takes at least 0 and at most 600
        7 |       - {expression: args.timeout > 600}
          |                      ^^^^^^^^^^^^
    warning: policy.yaml:8:22: the condition can never match: `args.timeout` cannot satisfy both comparisons
        8 |       - {expression: args.timeout > 10 && args.timeout < 5}
          |                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    warning: policy.yaml:9:22: the condition can never match: `args.command` cannot satisfy both comparisons
        9 |       - {expression: args.command == 'a' && args.command == 'b'}
          |                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    warning: policy.yaml:10:22: the condition is always false: the rule never matches
       10 |       - {expression: 1 > 2, condition_type: cel}
          |                      ^^^^^
    policy.yaml:11:22: the condition always fails, which denies the call: division by zero
       11 |       - {expression: 1 / 0 > 2, condition_type: cel}
          |                      ^^^^^^^^^
    warning: policy.yaml:12:22: the rule never matches: rule 4 before it has the same condition
       12 |       - {expression: args.command == 'a' && args.command == 'b'}
          |                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    warning: policy.yaml:12:22: the condition can never match: `args.command` cannot satisfy both comparisons
       12 |       - {expression: args.command == 'a' && args.command == 'b'}
          |                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    warning: policy.yaml:14:22: the rule is never reached: rule 8 before it matches every call
       14 |       - {expression: args.command == 'x'}
          |                      ^^^^^^^^^^^^^^^^^^^
    "#);
}

#[test]
fn what_the_schema_allows_passes() {
    let found = findings(
        r#"      - expression: |
          args.command.startsWith('ls') && args.timeout <= 600 && args.mode in ['fast', 'safe']
      - expression: |
          args.env.PATH == 'x' && args.env['a-b'] == 'y'
      - expression: |
          args.anything.at.all == 5
      - expression: |
          args.cwd == null || args.cwd.startsWith('/')
      - expression: |
          args.files.all(f, f.size < 5.5 && f.path.endsWith(".md")) && args.files[0].path != ""
      - expression: |
          args.target != null && args.target.path == 'x'
      - expression: |
          args.timeout > 10 && args.timeout < 50
      - expression: |
          timeout > 5
      - expression: |
          has(args.cwd) || size(args) > 3
"#,
    );
    assert_eq!(found, "");
}

#[test]
fn a_tool_the_server_does_not_offer_is_reported() {
    let schema = to_raw_value(&json!({"type": "object"})).unwrap();
    let report = read("metadata: {name: x}\ntools: [{name: bahs, source: box}]", Options::default());
    let tools = [ToolSchema { server: "box", name: "bash", schema: &schema }];
    let found = check::document(&report.document.unwrap(), &report.source, &tools);
    insta::assert_snapshot!(found[0].problem.render("policy.yaml"), @r#"
    policy.yaml:2:16: server `box` offers no tool `bahs`
        2 | tools: [{name: bahs, source: box}]
          |                ^^^^
       help: did you mean `bash`?
    "#);
}
