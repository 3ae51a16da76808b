//! Calls that get further under a new policy than under the one in force.

use std::collections::BTreeSet;

use preloop_types::{
    CallId, Decision, Timestamp, ToolRef, Verdict,
    config::{Justification, RuleAction},
};
use serde_json::value::to_raw_value;

use super::{where_parsing, witness};
use crate::{
    Facts, Sandbox,
    check::{Finding, Severity},
    document::{DefaultsEntry, Document, Problem, ToolEntry, ToolOrigin},
    sandbox::anybody,
};

/// What `wanted` lets through that `active` does not.
pub(super) fn find(active: &Document, wanted: &Document, prune: bool, now: Timestamp) -> Vec<Finding> {
    let after = wanted.over(active, prune);
    let mut found = Vec::new();
    let servers = server_names(active, &after);
    if let (Ok(old), Ok(new)) = (Sandbox::of(active, &servers, now), Sandbox::of(&after, &servers, now)) {
        let compare = Comparison { active, after: &after, wanted, old: &old, new: &new, now };
        found.extend(compare.tools(&servers));
    }
    found.extend(defaults(active, &after));
    found.extend(workflows(active, &after, wanted));
    found.extend(settings(active, &after, wanted));
    found
}

fn server_names(active: &Document, after: &Document) -> Vec<String> {
    let mut names: Vec<String> = [active, after]
        .into_iter()
        .flat_map(|document| {
            let of_tools = document.tools.iter().filter_map(|tool| match &tool.source {
                ToolOrigin::Server(name) => Some(name.clone()),
                ToolOrigin::Builtin | ToolOrigin::AnyServer | ToolOrigin::Agent => None,
            });
            document.mcp_servers.iter().map(|server| server.name.clone()).chain(of_tools).collect::<Vec<_>>()
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

struct Comparison<'a> {
    active: &'a Document,
    after: &'a Document,
    wanted: &'a Document,
    old: &'a Sandbox,
    new: &'a Sandbox,
    now: Timestamp,
}

impl Comparison<'_> {
    /// For each tool that either policy configures and each way of getting further, one call that
    /// does.
    fn tools(&self, servers: &[String]) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut seen: Vec<(&str, &str)> = Vec::new();
        for tool in self.active.tools.iter().chain(&self.after.tools) {
            let key = (tool.name.as_str(), tool.source.as_str());
            if seen.contains(&key) {
                continue;
            }
            seen.push(key);
            let name = match &tool.source {
                ToolOrigin::Builtin => format!("builtin/{}", tool.name),
                ToolOrigin::Agent => format!("agent/{}", tool.name),
                ToolOrigin::Server(server) => format!("{server}/{}", tool.name),
                // A server that has no configuration of its own for the tool.
                ToolOrigin::AnyServer => match servers.iter().find(|server| !self.is_configured(server, &tool.name)) {
                    Some(server) => format!("{server}/{}", tool.name),
                    None => continue,
                },
            };
            if let (Ok(old), Ok(new)) = (self.old.tool(&name), self.new.tool(&name)) {
                found.extend(self.tool(tool, &name, &old, &new));
            }
        }
        found
    }

    fn is_configured(&self, server: &str, tool: &str) -> bool {
        let is_it = |entry: &ToolEntry| entry.name == tool && entry.source.as_str() == server;
        self.active.tools.iter().chain(&self.after.tools).any(is_it)
    }

    fn tool(&self, tool: &ToolEntry, name: &str, old: &ToolRef, new: &ToolRef) -> Vec<Finding> {
        let is_it = |other: &&ToolEntry| other.name == tool.name && other.source == tool.source;
        let entries = || self.active.tools.iter().chain(&self.after.tools).filter(is_it);
        let calls = where_parsing(|stack| witness::arguments(entries().flat_map(|tool| &tool.conditions), stack));
        let mut shown = BTreeSet::new();
        let mut found = Vec::new();
        for arguments in calls {
            let (before, after) = (self.ask(self.old, old, &arguments), self.ask(self.new, new, &arguments));
            let (Some(before), Some(after)) = (before, after) else { continue };
            let ways = (before.verdict.as_str(), after.verdict.as_str());
            if strictness(&after.verdict) >= strictness(&before.verdict) || !shown.insert(ways) {
                continue;
            }
            let message = format!(
                "`{name}` with {arguments} {} ({}) and would {}",
                was(&before.verdict),
                before.reason,
                would(&after.verdict)
            );
            let index = self.wanted.tools.iter().position(|other| is_it(&other));
            let path = index.map_or_else(|| "$.tools".to_owned(), |index| format!("$.tools.{index}"));
            found.push(wider(path, message));
        }
        found
    }

    fn ask(&self, sandbox: &Sandbox, tool: &ToolRef, arguments: &serde_json::Value) -> Option<Decision> {
        let arguments = to_raw_value(arguments).ok()?;
        let who = anybody(self.now);
        Some(sandbox.decide(&Facts {
            who: &who,
            tool,
            arguments: &arguments,
            justification: Some("because"),
            client: None,
            call: CallId::new(self.now),
            now: self.now,
            discovered_at: Some(Timestamp::from_micros(0)),
        }))
    }
}

fn wider(path: String, message: String) -> Finding {
    Finding { code: "widening", severity: Severity::Warning, problem: Problem::new(path, message) }
}

fn strictness(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Allow => 0,
        Verdict::Ask(_) => 1,
        Verdict::Deny => 2,
    }
}

fn was(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "is carried out",
        Verdict::Ask(_) => "needs approval",
        Verdict::Deny => "is denied",
    }
}

fn would(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "be carried out",
        Verdict::Ask(_) => "only need approval",
        Verdict::Deny => "be denied",
    }
}

fn defaults(active: &Document, after: &Document) -> Vec<Finding> {
    let strict = |action: RuleAction| match action {
        RuleAction::Allow => 0,
        RuleAction::RequireApproval => 1,
        RuleAction::Deny => 2,
    };
    let of = |document: &Document| document.defaults.clone().unwrap_or_default();
    let (before, after): (DefaultsEntry, DefaultsEntry) = (of(active), of(after));
    let mut found = Vec::new();
    if strict(after.unknown_tools) < strict(before.unknown_tools) {
        let (old, new) = (before.unknown_tools.as_str(), after.unknown_tools.as_str());
        let message = format!("tools without a configuration: `{old}` becomes `{new}`");
        found.push(wider("$.defaults.unknown_tools".to_owned(), message));
    }
    if before.require_approval_for_new_tools && !after.require_approval_for_new_tools {
        let message = "new tools no longer need approval".to_owned();
        found.push(wider("$.defaults.require_approval_for_new_tools".to_owned(), message));
    }
    found
}

/// Workflows of which less is demanded, or that more people may decide.
fn workflows(active: &Document, after: &Document, wanted: &Document) -> Vec<Finding> {
    let mut found = Vec::new();
    for old in &active.approval_workflows {
        let Some(new) = after.approval_workflows.iter().find(|new| new.name == old.name) else { continue };
        let index = wanted.approval_workflows.iter().position(|entry| entry.name == old.name);
        let path = |key: &str| match index {
            Some(index) => format!("$.approval_workflows.{index}.{key}"),
            None => "$.approval_workflows".to_owned(),
        };
        let name = &old.name;
        if new.approvals_required < old.approvals_required {
            let (before, now) = (old.approvals_required, new.approvals_required);
            let message = format!("workflow `{name}` needs {now} approval(s) instead of {before}");
            found.push(wider(path("approvals_required"), message));
        }
        if old.require_reason && !new.require_reason {
            found.push(wider(path("require_reason"), format!("approvers of `{name}` no longer say why")));
        }
        if let (Some(before), Some(now)) = (&old.approver_users, &new.approver_users) {
            let more: Vec<&str> = now.iter().filter(|user| !before.contains(user)).map(String::as_str).collect();
            if !more.is_empty() {
                let message = format!("`{}` may decide requests of `{name}`, too", more.join("`, `"));
                found.push(wider(path("approver_users"), message));
            }
        }
    }
    found
}

/// Rules that narrower scopes may now override, and reasons agents need no longer give.
fn settings(active: &Document, after: &Document, wanted: &Document) -> Vec<Finding> {
    let mut found = Vec::new();
    for old in &active.tools {
        let is_it = |new: &&ToolEntry| new.name == old.name && new.source == old.source;
        let Some(new) = after.tools.iter().find(is_it) else { continue };
        let index = wanted.tools.iter().position(|entry| is_it(&entry));
        let path = index.map_or_else(|| "$.tools".to_owned(), |index| format!("$.tools.{index}"));
        let name = format!("{}/{}", old.source.as_str(), old.name);
        if old.justification == Some(Justification::Required) && new.justification != old.justification {
            found.push(wider(path.clone(), format!("agents no longer say why they call `{name}`")));
        }
        for rule in new.conditions.iter().filter(|rule| rule.enabled && rule.overridable) {
            let same = |other: &&crate::document::RuleEntry| other.expression == rule.expression && other.enabled;
            let before = old.conditions.iter().find(same);
            if rule.action != RuleAction::Allow && before.is_some_and(|before| !before.overridable) {
                let condition = rule.expression.as_deref().unwrap_or("every call");
                let message =
                    format!("the rule on {condition} of `{name}` can now be overridden by agents' and keys' rules");
                found.push(wider(path.clone(), message));
            }
        }
    }
    found
}
