//! Recorded calls, decided anew by another policy: which decisions would change, and who would have
//! been asked.
//!
//! What a policy reads of a call is in its record, except what was erased or is not kept there: the
//! arguments of an erased payload, and names that changed since. A call whose arguments are gone is
//! still decided where no rule on its way asks for them; otherwise it is counted, not guessed.

mod export;
mod record;
mod report;

use std::{collections::HashMap, num::NonZero, thread};

use preloop_types::{DecisionSource, ToolRef, Verdict};
use serde_json::value::RawValue;

use self::record::{Call, Reading};
pub use self::{
    export::{Export, Offline, read_export},
    record::{Directory, Record},
    report::{Asked, Change, Report, ToolCounts, Verdicts},
};
use crate::{Facts, Sandbox, ruleset::is_asking_tool};

/// Most changes that are listed one by one unless somebody asks for more; all are counted.
pub const CHANGES_MAX: usize = 1_000;

/// Arguments that no condition can read, in place of erased ones: a rule that needs them fails, and
/// one that does not decides.
const ERASED: &str = r#"{"":0,"":0}"#;

/// Decides `records` anew, on every processor there is. Lists at most `changes_max` changes.
pub fn run(sandbox: &Sandbox, directory: &Directory, records: &[Record<'_>], changes_max: usize) -> Report {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    // Below that a thread costs more than it saves.
    let share = records.len().div_ceil(threads).max(2_000);
    let replay = |records: &[Record<'_>]| {
        let mut replay = Replay::new(sandbox, directory, changes_max);
        for record in records {
            replay.record(record);
        }
        replay.report
    };
    let mut report = Report::default();
    thread::scope(|scope| {
        let parts: Vec<_> = records.chunks(share).map(|records| scope.spawn(move || replay(records))).collect();
        for part in parts {
            match part.join() {
                Ok(part) => report.merge(part, changes_max),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    report
}

struct Replay<'a> {
    sandbox: &'a Sandbox,
    directory: &'a Directory,
    changes_max: usize,
    /// Tools by their server's slug and the name it gives them.
    tools: HashMap<(String, String), Option<ToolRef>>,
    report: Report,
}

impl<'a> Replay<'a> {
    fn new(sandbox: &'a Sandbox, directory: &'a Directory, changes_max: usize) -> Self {
        Self { sandbox, directory, changes_max, tools: HashMap::new(), report: Report::default() }
    }

    fn record(&mut self, record: &Record<'_>) {
        match record.read() {
            Reading::Decided(call) => self.call(record, &call),
            Reading::LeftOut(why) => self.report.leave_out(why),
            Reading::NoCall => {}
        }
    }

    fn call(&mut self, record: &Record<'_>, call: &Call<'_>) {
        let Some(tool) = self.tool(&call.server, &call.tool) else {
            return self.report.leave_out("the tool's server is gone");
        };
        if is_asking_tool(&tool) {
            return self.report.leave_out("the tool only asks people");
        }
        let who = self.directory.principal(&record.subject, &call.key, record.at);
        let erased = RawValue::from_string(ERASED.to_owned()).unwrap_or_default();
        let arguments = call.arguments.as_deref().unwrap_or(&erased);
        let decision = self.sandbox.decide(&Facts {
            who: &who,
            tool: &tool,
            arguments,
            justification: call.justification.as_deref(),
            client: call.client.as_deref(),
            call: record.call,
            now: record.at,
            discovered_at: Some(self.directory.discovered(&call.server, &call.tool).unwrap_or(record.at)),
        });
        let is_erased = call.arguments.is_none();
        let asks = match decision.verdict {
            Verdict::Ask(id) => self.sandbox.asks(id),
            Verdict::Allow | Verdict::Deny => None,
        };
        let undecidable = is_erased && decision.source == DecisionSource::RuleEvaluationError;
        let name = format!("{}/{}", call.server, call.tool);
        self.report.count(name, call.was, (!undecidable).then_some(decision.verdict.as_str()), record.at);
        self.report.erased += u64::from(is_erased);
        if undecidable {
            return;
        }
        if let Some(asks) = asks {
            self.report.ask(asks, call.was);
        }
        if call.was == decision.verdict.as_str() {
            return;
        }
        let change = || Change {
            call: record.call,
            at: record.at,
            tool: format!("{}/{}", call.server, call.tool),
            key: call.key.clone().into_owned(),
            user: Some(who.username.clone()).filter(|name| !name.is_empty()),
            before: call.was.to_owned(),
            before_reason: call.reason.clone().into_owned(),
            after: decision.verdict.as_str().to_owned(),
            after_reason: decision.reason.clone(),
            rule: decision.rule.as_ref().map(|rule| rule.priority + 1),
            workflow: asks.map(|asks| asks.workflow.clone()),
            approvers: asks.map_or_else(Vec::new, |asks| asks.approvers.clone()),
        };
        self.report.change(change, self.changes_max);
    }

    fn tool(&mut self, server: &str, tool: &str) -> Option<ToolRef> {
        let key = (server.to_owned(), tool.to_owned());
        let find = |(server, tool): &(String, String)| match server.as_str() {
            "builtin" => self.sandbox.tool(&format!("builtin/{tool}")).ok(),
            server => self.sandbox.tool_of(server, tool),
        };
        if !self.tools.contains_key(&key) {
            let found = find(&key);
            self.tools.insert(key.clone(), found);
        }
        self.tools.get(&key).cloned().flatten()
    }
}
