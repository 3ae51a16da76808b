//! What applying a document would change.

use serde::Serialize;
use serde_json::Value;

use crate::{
    document::{Document, ServerEntry, ToolEntry, WorkflowEntry},
    export::drop_nothings,
};

/// The changes that lead from one document to another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diff {
    /// In the order of the document.
    pub changes: Vec<Change>,
    /// Paths of what the new document does not name; they stay, unless what is not named is
    /// removed.
    pub kept: Vec<String>,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// What changes: `$.tools[name=pay]`.
    pub path: String,
    /// How.
    pub operation: Operation,
    /// As it was; secrets by presence only.
    pub old_value: Option<Value>,
    /// As it will be; secrets by presence only.
    pub new_value: Option<Value>,
}

/// How something changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// It is new.
    Add,
    /// It goes.
    Remove,
    /// It becomes something else.
    Modify,
}

impl Operation {
    /// `add`, `remove` or `modify`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Operation::Add => "add",
            Operation::Remove => "remove",
            Operation::Modify => "modify",
        }
    }
}

impl Diff {
    /// What applying `wanted` to an account that is `current` does. Applying adds and changes;
    /// with `prune` it also removes what `wanted` does not name.
    pub fn between(current: &Document, wanted: &Document, prune: bool) -> Self {
        let wanted = wanted.onto(current);
        let mut diff = Self { changes: Vec::new(), kept: Vec::new() };
        let sections = [
            ("mcp_servers", entries(&current.mcp_servers), entries(&wanted.mcp_servers)),
            ("approval_workflows", entries(&current.approval_workflows), entries(&wanted.approval_workflows)),
            ("tools", entries(&current.tools), entries(&wanted.tools)),
        ];
        for (section, old, new) in sections {
            diff.section(section, &old, &new, prune);
        }
        let defaults = |document: &Document| document.defaults.clone().unwrap_or_default().to_json();
        diff.compare("$.defaults".to_owned(), Some(defaults(current)), Some(defaults(&wanted)));
        diff
    }

    fn section(&mut self, section: &str, old: &[(String, Value)], new: &[(String, Value)], prune: bool) {
        let find = |entries: &[(String, Value)], key: &str| {
            entries.iter().find(|(other, _)| other == key).map(|(_, value)| value.clone())
        };
        for (key, value) in new {
            self.compare(format!("$.{section}[{key}]"), find(old, key), Some(value.clone()));
        }
        for (key, value) in old.iter().filter(|(key, _)| find(new, key).is_none()) {
            let path = format!("$.{section}[{key}]");
            if prune {
                self.compare(path, Some(value.clone()), None);
            } else {
                self.kept.push(path);
            }
        }
    }

    fn compare(&mut self, path: String, old: Option<Value>, new: Option<Value>) {
        let operation = match (&old, &new) {
            (None, _) => Operation::Add,
            (_, None) => Operation::Remove,
            (Some(old), Some(new)) if old == new => return,
            _ => Operation::Modify,
        };
        self.changes.push(Change { path, operation, old_value: old, new_value: new });
    }

    /// `2 addition(s), 1 modification(s)`, or `No changes`.
    pub fn summary(&self) -> String {
        let count = |operation| self.changes.iter().filter(|change| change.operation == operation).count();
        let parts = [
            (count(Operation::Add), "addition"),
            (count(Operation::Remove), "removal"),
            (count(Operation::Modify), "modification"),
        ];
        let said: Vec<_> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}(s)")).collect();
        if said.is_empty() { "No changes".to_owned() } else { said.join(", ") }
    }
}

/// One entry of a section: what identifies it, and what it says.
trait Entry {
    fn key(&self) -> String;
    fn value(&self) -> Value;
}

impl Entry for ServerEntry {
    fn key(&self) -> String {
        format!("name={}", self.name)
    }
    fn value(&self) -> Value {
        self.to_json()
    }
}

impl Entry for WorkflowEntry {
    fn key(&self) -> String {
        format!("name={}", self.name)
    }
    fn value(&self) -> Value {
        self.to_json()
    }
}

impl Entry for ToolEntry {
    fn key(&self) -> String {
        format!("name={},source={}", self.name, self.source.as_str())
    }
    fn value(&self) -> Value {
        self.to_json()
    }
}

fn entries<E: Entry>(entries: &[E]) -> Vec<(String, Value)> {
    let shown = |entry: &E| {
        let mut value = entry.value();
        drop_nothings(&mut value);
        (entry.key(), value)
    };
    entries.iter().map(shown).collect()
}

impl Document {
    /// All that an account that is `current` has once this document is applied to it.
    pub(crate) fn over(&self, current: &Document, prune: bool) -> Document {
        let mut after = self.onto(current);
        if prune {
            return after;
        }
        let mut servers = current.mcp_servers.clone();
        servers.retain(|old| !after.mcp_servers.iter().any(|new| new.name == old.name));
        after.mcp_servers.extend(servers);
        let mut workflows = current.approval_workflows.clone();
        workflows.retain(|old| !after.approval_workflows.iter().any(|new| new.name == old.name));
        let has_default = after.approval_workflows.iter().any(|workflow| workflow.is_default);
        for old in &mut workflows {
            old.is_default &= !has_default;
        }
        after.approval_workflows.extend(workflows);
        let mut tools = current.tools.clone();
        tools.retain(|old| !after.tools.iter().any(|new| new.name == old.name && new.source == old.source));
        after.tools.extend(tools);
        after
    }

    /// This document with what it leaves out, and what stays as it is by the rules of applying,
    /// filled in from `current`.
    fn onto(&self, current: &Document) -> Document {
        let mut wanted = self.clone();
        for server in &mut wanted.mcp_servers {
            if let Some(old) = current.mcp_servers.iter().find(|old| old.name == server.name) {
                server.fill_from(old);
            }
        }
        for workflow in &mut wanted.approval_workflows {
            if let Some(old) = current.approval_workflows.iter().find(|old| old.name == workflow.name) {
                workflow.approver_users = workflow.approver_users.take().or_else(|| old.approver_users.clone());
                workflow.approver_teams = workflow.approver_teams.take().or_else(|| old.approver_teams.clone());
                workflow.escalation_users = workflow.escalation_users.take().or_else(|| old.escalation_users.clone());
                workflow.escalation_teams = workflow.escalation_teams.take().or_else(|| old.escalation_teams.clone());
                workflow.channel_configs = workflow.channel_configs.take().or_else(|| old.channel_configs.clone());
            }
        }
        for tool in &mut wanted.tools {
            if let Some(old) = current.tools.iter().find(|old| old.name == tool.name && old.source == tool.source) {
                tool.description = tool.description.take().or_else(|| old.description.clone());
                tool.custom_config = tool.custom_config.take().or_else(|| old.custom_config.clone());
            }
        }
        wanted.defaults = wanted.defaults.or_else(|| current.defaults.clone());
        wanted
    }
}

impl ServerEntry {
    fn fill_from(&mut self, old: &ServerEntry) {
        let redacted = |config: &crate::document::JsonObject| config.get("redacted") == Some(&Value::Bool(true));
        if self.auth_type == old.auth_type && self.auth_config.as_ref().is_none_or(redacted) {
            self.auth_config.clone_from(&old.auth_config);
        }
        if self.command.is_some() {
            self.env = self.env.take().or_else(|| old.env.clone());
            self.cwd = self.cwd.take().or_else(|| old.cwd.clone());
        }
        for (name, value) in &old.settings {
            self.settings.entry(name.clone()).or_insert_with(|| value.clone());
        }
        // What is set to its default is not shown.
        let default = serde_json::to_value(preloop_types::config::ServerSettings::default()).unwrap_or_default();
        self.settings.retain(|name, value| default.get(name) != Some(value));
        self.settings.sort_keys();
    }
}
