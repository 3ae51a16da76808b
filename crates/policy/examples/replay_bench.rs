//! How long it takes to decide 100,000 recorded calls anew, from memory and from an export's lines.
//!
//! `cargo run --release -p preloop-policy --example replay_bench`

use std::{borrow::Cow, time::Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use preloop_policy::{
    Sandbox,
    document::{Options, read},
    replay::{self, Directory, Record},
};
use preloop_types::{CallId, EntryKind, Subject, Timestamp};
use serde_json::json;

const NOW: Timestamp = Timestamp::from_micros(1_795_000_000_000_000);
const CALLS: usize = 100_000;

fn main() -> Result<(), String> {
    // Ten tools, ten rules each, simple and CEL.
    let rules: Vec<String> = (0..10)
        .map(|n| {
            let action = ["deny", "require_approval", "allow"][n % 3];
            format!(
                "      - {{expression: \"args.amount > {} && args.path.startsWith('/srv/{n}')\", action: {action}}}\n",
                1_000 - n * 100
            )
        })
        .collect();
    let rules = rules.concat();
    let tools: Vec<String> = (0..10)
        .map(|n| format!("  - name: tool{n}\n    source: bank\n    approval_workflow: w\n    conditions:\n{rules}"))
        .collect();
    let yaml = format!("metadata: {{name: bench}}\napproval_workflows: [{{name: w}}]\ntools:\n{}", tools.concat());
    let document = read(&yaml, Options::default()).document.ok_or("the policy is not valid")?;
    let sandbox = Sandbox::of(&document, &[], NOW).map_err(|problems| format!("{problems:?}"))?;

    let bodies: Vec<(String, Vec<u8>)> = (0..CALLS)
        .map(|n| {
            let tool = format!("tool{}", n % 10);
            let body = json!({"server": "bank", "tool": tool, "exposed": tool, "definition": "0".repeat(64),
                "client": "agent/1.0", "key": "laptop", "decision": "allow", "source": "account_default",
                "reason": "no rules matched (default allow)", "policy": 1});
            let arguments = json!({"amount": n % 1_100, "path": format!("/srv/{}/report.csv", n % 12),
                "note": "lorem ipsum ".repeat(20)});
            (body.to_string(), json!({"arguments": arguments}).to_string().into_bytes())
        })
        .collect();
    let records: Vec<Record<'_>> = bodies
        .iter()
        .map(|(body, payload)| Record {
            kind: EntryKind::CallIntent,
            call: CallId::new(NOW),
            at: NOW,
            subject: Subject::default(),
            body: Cow::Borrowed(body),
            payload: Some(Cow::Borrowed(payload)),
        })
        .collect();
    let start = Instant::now();
    let report = replay::run(&sandbox, &Directory::default(), &records, replay::CHANGES_MAX);
    println!("{CALLS} calls from memory: {:.2} s, {} would change", start.elapsed().as_secs_f64(), report.changed);

    let header = json!({"type": "header", "account": CallId::new(NOW)}).to_string();
    let lines: Vec<String> = records
        .iter()
        .zip(&bodies)
        .map(|(record, (body, payload))| {
            format!(
                r#"{{"type":"record","chain":"{0}","seq":1,"at":"{1}","kind":"call.intent","call":"{0}","subject":{{}},"body":{body},"payload":"{2}"}}"#,
                record.call,
                record.at,
                STANDARD.encode(payload)
            )
        })
        .collect();
    let start = Instant::now();
    let export = replay::read_export(std::iter::once(header.as_str()).chain(lines.iter().map(String::as_str)))?;
    let found = export.replay(&document, NOW).map_err(|problems| format!("{problems:?}"))?;
    let seconds = start.elapsed().as_secs_f64();
    println!("{CALLS} calls from an export: {seconds:.2} s, {} would change", found.report.changed);
    Ok(())
}
