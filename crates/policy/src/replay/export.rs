//! A journal's export as the source of recorded calls.
//!
//! Reading is not verifying: whoever wants to know that the file is what the server wrote verifies it.

use std::{borrow::Cow, collections::BTreeSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use preloop_types::{AccountId, CallId, EntryKind, Subject, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{CHANGES_MAX, Directory, Record, Report, run};
use crate::{
    Sandbox,
    document::{Document, Problem},
};

/// The calls of an export.
#[derive(Debug)]
pub struct Export {
    directory: Directory,
    records: Vec<Record<'static>>,
    /// Servers that records name, by slug.
    servers: BTreeSet<String>,
    /// Calls of which the export holds no payload.
    without_payload: usize,
}

/// What a replay of an export found.
#[derive(Debug)]
pub struct Offline {
    /// What would be decided otherwise.
    pub report: Report,
    /// What a person should know of it.
    pub notes: Vec<String>,
}

#[derive(Deserialize)]
struct Line<'a> {
    r#type: Cow<'a, str>,
    #[serde(default)]
    account: Option<AccountId>,
    #[serde(default)]
    kind: Option<Cow<'a, str>>,
    #[serde(default)]
    call: Option<CallId>,
    #[serde(default)]
    at: Option<Timestamp>,
    #[serde(default)]
    subject: Subject,
    #[serde(borrow, default)]
    body: Option<&'a RawValue>,
    #[serde(borrow, default)]
    payload: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow, default)]
    server: Option<Cow<'a, str>>,
}

/// Reads the lines of an export. Fails on what is none.
pub fn read_export<'l>(lines: impl Iterator<Item = &'l str>) -> Result<Export, String> {
    let mut export =
        Export { directory: Directory::default(), records: Vec::new(), servers: BTreeSet::new(), without_payload: 0 };
    for (number, text) in (1..).zip(lines).filter(|(_, text)| !text.trim().is_empty()) {
        let line: Line<'_> = serde_json::from_str(text)
            .map_err(|error| format!("line {number} is not one of a journal's export: {error}"))?;
        match &*line.r#type {
            "header" => export.directory.account = line.account,
            "record" => export.take(line),
            _ => {}
        }
    }
    if export.directory.account.is_none() {
        return Err("this is not a journal's export: it has no header".to_owned());
    }
    Ok(export)
}

impl Export {
    fn take(&mut self, line: Line<'_>) {
        const DECISIONS: [EntryKind; 3] = [EntryKind::CallIntent, EntryKind::CallRefused, EntryKind::ApprovalRequested];
        let kind = line.kind.as_deref().and_then(EntryKind::parse).filter(|kind| DECISIONS.contains(kind));
        let (Some(kind), Some(call), Some(at), Some(body)) = (kind, line.call, line.at, line.body) else { return };
        let named = serde_json::from_str::<Named<'_>>(body.get()).ok().and_then(|named| named.server);
        if let Some(server) = named.filter(|server| !self.servers.contains(&**server)) {
            self.servers.insert(server.into_owned());
        }
        let payload = line.payload.and_then(|text| STANDARD.decode(text.as_bytes()).ok());
        self.without_payload += usize::from(payload.is_none());
        self.records.push(Record {
            kind,
            call,
            at,
            subject: line.subject,
            body: Cow::Owned(body.get().to_owned()),
            payload: payload.map(Cow::Owned),
        });
    }

    /// Decides its calls anew, by nothing but `document`.
    pub fn replay(&self, document: &Document, at: Timestamp) -> Result<Offline, Vec<Problem>> {
        let alone = Sandbox::of(document, &[], at)?;
        let strange = |server: &&String| server.as_str() != "builtin" && alone.tool_of(server, "any").is_none();
        let strangers: Vec<String> = self.servers.iter().filter(strange).cloned().collect();
        let sandbox = Sandbox::of(document, &strangers, at)?;
        let report = run(&sandbox, &self.directory, &self.records, CHANGES_MAX);
        Ok(Offline { notes: self.notes(document, &report), report })
    }

    fn notes(&self, document: &Document, report: &Report) -> Vec<String> {
        let mut notes = Vec::new();
        if self.without_payload > 0 && self.without_payload == self.records.len() {
            notes.push("the export holds no arguments; `preloop audit export --payloads` writes them".to_owned());
        } else if report.erased > 0 {
            notes.push(format!("the arguments of {} calls are erased", report.erased));
        }
        let reads = |name: &str| {
            let conditions = document.tools.iter().flat_map(|tool| &tool.conditions);
            let mut expressions = conditions.filter_map(|rule| rule.expression.as_deref());
            expressions.any(|text| text.contains(name))
        };
        for name in ["user.username", "agent.name", "agent.kind", "agent.tags"] {
            if reads(name) {
                notes.push(format!("an export does not tell `{name}`; conditions that read it see nothing"));
            }
        }
        notes
    }
}
