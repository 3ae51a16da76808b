//! From a document to rows.
//!
//! Servers and workflows hold secrets and are checked where they are kept, so their entries are
//! applied by whoever keeps them; once they are, tools and defaults need only their names turned
//! into ids.

use preloop_types::{
    RuleId, Timestamp, ToolConfigId, WorkflowId,
    config::{AccessRule, Defaults, RawJson, ToolConfig, ToolSource},
};

use crate::{
    document::{DefaultsEntry, Document, Problem, RuleEntry, ToolEntry, ToolOrigin},
    export::Rows,
};

/// What applying a document's tools does.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ToolPlan {
    /// One for each tool of the document, in its order, unless its server is missing.
    pub upserts: Vec<Upsert<ToolConfig>>,
    /// Tools of the document whose server the account does not have.
    pub skipped: Vec<Skipped>,
    /// What the document does not name; to be removed only on request.
    pub unnamed: Vec<ToolConfig>,
}

/// A row as it is and as it shall be.
#[derive(Debug, Clone, PartialEq)]
pub struct Upsert<T> {
    /// `None` for a new row.
    pub before: Option<T>,
    /// What to write.
    pub after: T,
}

impl<T: PartialEq> Upsert<T> {
    /// Whether there is anything to write.
    pub fn is_change(&self) -> bool {
        self.before.as_ref() != Some(&self.after)
    }
}

/// A tool that cannot be configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its place in the document: `$.tools.2`.
    pub path: String,
    /// The tool.
    pub tool: String,
    /// The server that is missing.
    pub server: String,
}

impl Document {
    /// The rows its tools become in an account that has `rows` (with the document's servers and
    /// workflows already in them). Fails on names that nothing has.
    pub fn plan_tools(&self, rows: &Rows<'_>, at: Timestamp) -> Result<ToolPlan, Vec<Problem>> {
        let (mut plan, mut problems) = (ToolPlan::default(), Vec::new());
        for (index, tool) in self.tools.iter().enumerate() {
            let path = format!("$.tools.{index}");
            let source = match &tool.source {
                ToolOrigin::Builtin => Some(ToolSource::Builtin),
                ToolOrigin::AnyServer => Some(ToolSource::AnyServer),
                ToolOrigin::Agent => Some(ToolSource::Agent),
                ToolOrigin::Server(name) => rows.server_id(name).map(ToolSource::Server),
            };
            let Some(source) = source else {
                let server = tool.source.as_str().to_owned();
                plan.skipped.push(Skipped { path, tool: tool.name.clone(), server });
                continue;
            };
            let before = rows.configs.iter().find(|config| config.tool_name == tool.name && config.source == source);
            match tool.row(source, before, rows, at, &path) {
                Ok(after) => plan.upserts.push(Upsert { before: before.cloned(), after }),
                Err(problem) => problems.push(problem),
            }
        }
        let named = |config: &ToolConfig| plan.upserts.iter().any(|upsert| upsert.after.id == config.id);
        plan.unnamed = rows.configs.iter().filter(|config| !named(config)).cloned().collect();
        if problems.is_empty() { Ok(plan) } else { Err(problems) }
    }

    /// The defaults it sets, if it has any.
    pub fn plan_defaults(&self, rows: &Rows<'_>, at: Timestamp) -> Result<Option<Upsert<Defaults>>, Problem> {
        let Some(entry) = &self.defaults else { return Ok(None) };
        let DefaultsEntry { unknown_tools, require_approval_for_new_tools, default_approval_workflow, .. } = entry;
        let path = "$.defaults.default_approval_workflow";
        let since = if rows.defaults.require_approval_for_new_tools { rows.defaults.new_tools_since } else { Some(at) };
        let after = Defaults {
            unknown_tools: *unknown_tools,
            require_approval_for_new_tools: *require_approval_for_new_tools,
            default_workflow: workflow(rows, default_approval_workflow.as_deref(), path)?,
            new_tools_since: if *require_approval_for_new_tools { since } else { None },
        };
        Ok(Some(Upsert { before: Some(rows.defaults.clone()), after }))
    }
}

impl ToolEntry {
    fn row(
        &self,
        source: ToolSource,
        before: Option<&ToolConfig>,
        rows: &Rows<'_>,
        at: Timestamp,
        path: &str,
    ) -> Result<ToolConfig, Problem> {
        let old_rules = before.map_or(&[][..], |before| &before.rules);
        let rules = self.conditions.iter().enumerate().map(|(index, rule)| {
            let workflow = workflow(
                rows,
                rule.approval_workflow.as_deref(),
                &format!("{path}.conditions.{index}.approval_workflow"),
            )?;
            Ok(rule.row(old_rules.get(index), workflow, at))
        });
        let custom_config = match &self.custom_config {
            // An unchanged object keeps its spelling.
            Some(given) => match before.and_then(|before| before.custom_config.as_ref()) {
                Some(old) if serde_json::from_str(old.0.get()).ok().as_ref() == Some(given) => Some(old.clone()),
                _ => serde_json::value::to_raw_value(given).ok().map(RawJson),
            },
            None => before.and_then(|before| before.custom_config.clone()),
        };
        Ok(ToolConfig {
            id: before.map_or_else(|| ToolConfigId::new(at), |before| before.id),
            tool_name: self.name.clone(),
            source,
            is_enabled: self.enabled,
            workflow: workflow(rows, self.approval_workflow.as_deref(), &format!("{path}.approval_workflow"))?,
            justification: self.justification,
            description: self.description.clone().or_else(|| before.and_then(|before| before.description.clone())),
            custom_config,
            rules: rules.collect::<Result<_, _>>()?,
        })
    }
}

impl RuleEntry {
    /// The row; the rule in the same place keeps its id, so that what was recorded about it can
    /// still be found.
    fn row(&self, old: Option<&AccessRule>, workflow: Option<WorkflowId>, at: Timestamp) -> AccessRule {
        AccessRule {
            id: old.map_or_else(|| RuleId::new(at), |old| old.id),
            action: self.action,
            expression: self.expression.clone(),
            language: self.language,
            description: self.description.clone(),
            is_enabled: self.enabled,
            workflow,
            overridable: self.overridable,
            shadow: self.shadow,
        }
    }
}

fn workflow(rows: &Rows<'_>, name: Option<&str>, path: &str) -> Result<Option<WorkflowId>, Problem> {
    let Some(name) = name else { return Ok(None) };
    match rows.workflows.iter().find(|workflow| workflow.name == name && workflow.deleted_at.is_none()) {
        Some(workflow) => Ok(Some(workflow.id)),
        None => Err(Problem::new(path, format!("there is no approval workflow `{name}`"))),
    }
}
