//! Recorded calls, decided anew.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use preloop_policy::{
    Sandbox,
    document::{Options, read},
    replay::{self, Directory, Record, Report},
};
use preloop_types::{CallId, EntryKind, Subject};
use serde_json::{Value, json};

use crate::world::NOW;

const POLICY: &str = "
metadata: {name: x}
approval_workflows: [{name: two-eyes, approver_users: [ann, bob]}]
tools:
  - name: pay
    source: bank
    approval_workflow: two-eyes
    conditions:
      - {expression: args.amount > 1000, action: deny, description: above the limit}
      - {expression: args.amount > 100, action: require_approval}
  - {name: look, source: bank, conditions: [{action: allow}]}
";

fn body(tool: &str, facts: &Value) -> String {
    let mut body = json!({"server": "bank", "tool": tool, "exposed": tool, "key": "laptop", "reason": "then"});
    body.as_object_mut().unwrap().extend(facts.as_object().unwrap().clone());
    body.to_string()
}

fn record(kind: EntryKind, tool: &str, facts: &Value, arguments: Option<Value>) -> Record<'static> {
    let payload = arguments.map(|arguments| json!({"arguments": arguments}).to_string().into_bytes());
    Record {
        kind,
        call: CallId::new(NOW),
        at: NOW,
        subject: Subject::default(),
        body: Cow::Owned(body(tool, facts)),
        payload: payload.map(Cow::Owned),
    }
}

fn replay(records: &[Record<'_>]) -> Report {
    let document = read(POLICY, Options::default()).document.unwrap();
    let sandbox = Sandbox::of(&document, &[], NOW).unwrap();
    replay::run(&sandbox, &Directory::default(), records, 1_000)
}

#[test]
fn every_decision_that_would_change_is_counted_and_named() {
    use EntryKind::{ApprovalRequested, CallIntent, CallOutcome, CallRefused};
    let allowed = json!({"decision": "allow", "source": "account_default", "policy": 7});
    let approved = json!({"decision": "allow", "source": "account_default", "policy": 7, "approval": CallId::new(NOW)});
    let denied = json!({"status": "denied", "source": "tool_access_rule", "policy": 7});
    let report = replay(&[
        record(CallIntent, "pay", &allowed, Some(json!({"amount": 5}))),
        record(CallIntent, "pay", &allowed, Some(json!({"amount": 500}))),
        record(CallIntent, "pay", &allowed, Some(json!({"amount": 5000}))),
        record(ApprovalRequested, "pay", &json!({"policy": 7}), Some(json!({"amount": 500}))),
        // The same call, carried out once it was approved, and its end: not decided anew.
        record(CallIntent, "pay", &approved, Some(json!({"amount": 500}))),
        record(CallOutcome, "pay", &json!({}), None),
        record(CallRefused, "pay", &denied, Some(json!({"amount": 50}))),
        record(CallRefused, "pay", &json!({"status": "invalid_arguments"}), Some(json!({}))),
    ]);
    assert_eq!((report.calls, report.unchanged, report.changed), (5, 2, 3));
    assert_eq!((report.loosened, report.tightened), (1, 2));
    assert_eq!(report.left_out.values().sum::<u64>(), 1, "{:?}", report.left_out);
    let pay = &report.tools["bank/pay"];
    assert_eq!((pay.calls, pay.changed, pay.before.allow, pay.after.require_approval), (5, 3, 3, 2));
    let asked = &report.asked["two-eyes"];
    assert_eq!((asked.calls, asked.newly, asked.approvers.join(" ")), (2, 1, "ann bob".to_owned()));
    let changes: Vec<_> =
        report.changes.iter().map(|change| (change.before.as_str(), change.after.as_str(), change.rule)).collect();
    assert_eq!(changes, [("allow", "require_approval", Some(2)), ("allow", "deny", Some(1)), ("deny", "allow", None)]);
}

#[test]
fn a_call_whose_arguments_are_erased_is_decided_only_where_no_rule_asks_for_them() {
    let allowed = json!({"decision": "allow", "source": "account_default", "policy": 7});
    let report = replay(&[
        record(EntryKind::CallIntent, "pay", &allowed, None),
        record(EntryKind::CallIntent, "look", &allowed, None),
    ]);
    assert_eq!((report.calls, report.erased, report.undecidable, report.changed), (2, 2, 1, 0));
    assert_eq!(report.tools["bank/pay"].undecidable, 1);
    assert_eq!(report.tools["bank/look"].after.allow, 1);
}

#[test]
fn an_export_is_replayed_without_a_server() {
    let line = |tool: &str, server: &str, amount: u32| {
        let payload = STANDARD.encode(json!({"arguments": {"amount": amount}}).to_string());
        let body = json!({"server": server, "tool": tool, "exposed": tool, "key": "k", "decision": "allow",
            "source": "account_default", "reason": "then", "policy": 7});
        json!({"type": "record", "chain": CallId::new(NOW), "seq": 1, "at": NOW, "kind": "call.intent",
            "call": CallId::new(NOW), "subject": {}, "body": body, "payload": payload})
        .to_string()
    };
    let text = [
        json!({"type": "header", "account": CallId::new(NOW)}).to_string(),
        line("pay", "bank", 5000),
        line("pay", "elsewhere", 5000),
        json!({"type": "footer"}).to_string(),
    ]
    .join("\n");
    let export = replay::read_export(text.lines()).unwrap();
    let document = read(POLICY, Options::default()).document.unwrap();
    let found = export.replay(&document, NOW).unwrap();
    assert_eq!((found.report.calls, found.report.changed), (2, 1), "{:?}", found.report);
    assert_eq!(found.notes, Vec::<String>::new());
    assert!(replay::read_export("{\"type\":\"record\"}".lines()).is_err());
    assert!(replay::read_export("not json".lines()).is_err());
}
