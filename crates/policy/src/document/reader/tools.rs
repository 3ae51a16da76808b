//! The section `tools`.

use preloop_types::config::{Justification, Language, RuleAction};

use super::{
    super::{
        fields::{Field, Object},
        model::{RuleEntry, ToolEntry, ToolOrigin, WorkflowEntry},
        problem::Problem,
    },
    ACTIONS, Names, Reader,
};
use crate::{
    condition::{self, simple::Simple},
    engine::SyntaxError,
};

impl<'a> Reader<'a> {
    pub(super) fn tool(&self, field: &Field<'a>, names: &Names, implied: &mut Vec<WorkflowEntry>) -> Option<ToolEntry> {
        let known = [
            "name",
            "tool",
            "source",
            "enabled",
            "approval_workflow",
            "justification",
            "description",
            "custom_config",
            "conditions",
            "condition",
            "approvers",
            "quorum",
            "timeout",
            "escalation",
        ];
        let tool = Object::of(self.notes, field.path.clone(), field.node, &known)?;
        let name = match tool.get_any(&["name", "tool"]) {
            Some(_) => tool.named("name").or_else(|| tool.named("tool")),
            None => tool.required("name"),
        };
        let approval_workflow = tool.named("approval_workflow");
        if let Some(workflow) = &approval_workflow {
            self.refer(format!("{}.approval_workflow", tool.path), "approval workflow", workflow, &names.workflows);
        }
        let implied_workflow = self.implied_workflow(&tool, name.as_deref(), approval_workflow.is_some());
        let mut conditions: Vec<_> =
            tool.items("conditions").iter().filter_map(|field| self.rule(field, names)).collect();
        if tool.get("condition").is_some()
            && let Some(expression) = tool.named("condition")
        {
            let language = self.language(&format!("{}.condition", tool.path), &expression, None);
            conditions.push(RuleEntry {
                expression: Some(expression),
                action: RuleAction::RequireApproval,
                language,
                description: None,
                approval_workflow: None,
                enabled: true,
                overridable: false,
                shadow: false,
            });
        }
        let modes = [("optional", Some(Justification::Optional)), ("required", Some(Justification::Required))];
        let entry = ToolEntry {
            name: name?,
            source: self.origin(&tool, names),
            enabled: tool.boolean("enabled", true),
            approval_workflow: approval_workflow.or_else(|| implied_workflow.as_ref().map(|w| w.name.clone())),
            justification: tool.word("justification", &modes, None),
            description: tool.text("description"),
            custom_config: tool.json("custom_config"),
            conditions,
        };
        implied.extend(implied_workflow);
        Some(entry)
    }

    /// The workflow that the shorthand `approvers`, `quorum`, `timeout`, `escalation` of a tool stands for.
    pub(super) fn implied_workflow(
        &self,
        tool: &Object<'a>,
        name: Option<&str>,
        has_workflow: bool,
    ) -> Option<WorkflowEntry> {
        let short: Vec<_> =
            ["approvers", "quorum", "timeout", "escalation"].into_iter().filter_map(|key| tool.get(key)).collect();
        let first = short.first()?;
        if has_workflow {
            let message = "the tool has an `approval_workflow`; say this there";
            self.notes.error(Problem::new(&first.path, message));
            return None;
        }
        Some(WorkflowEntry {
            timeout_seconds: tool.integer(&["timeout"], 300, 30..=86_400),
            approvals_required: tool.integer(&["quorum"], 1, 1..=10),
            approver_users: self.users(tool, &["approvers"]),
            escalation_users: self.escalate_to(tool),
            ..WorkflowEntry::named(format!("{} approval", name?))
        })
    }

    pub(super) fn origin(&self, tool: &Object<'a>, names: &Names) -> ToolOrigin {
        let Some(text) = tool.named("source") else { return ToolOrigin::Builtin };
        if let Some(server) = names.servers.iter().find(|server| server.eq_ignore_ascii_case(&text)) {
            return ToolOrigin::Server(server.clone());
        }
        let path = format!("{}.source", tool.path);
        match text.to_lowercase().as_str() {
            "builtin" | "preloop_builtin" => ToolOrigin::Builtin,
            "mcp" => {
                let message = "`mcp` stands for every server's tool of this name; name the server to mean one";
                self.notes.warn(Problem::new(path, message));
                ToolOrigin::AnyServer
            }
            "agent" => ToolOrigin::Agent,
            "http" => {
                tool.error("source", "tools of source `http` are not supported yet");
                ToolOrigin::Builtin
            }
            _ => {
                self.refer(path, "MCP server", &text, &names.servers);
                ToolOrigin::Server(text)
            }
        }
    }

    pub(super) fn rule(&self, field: &Field<'a>, names: &Names) -> Option<RuleEntry> {
        let known = [
            "expression",
            "action",
            "condition_type",
            "description",
            "approval_workflow",
            "enabled",
            "overridable",
            "shadow",
        ];
        let rule = Object::of(self.notes, field.path.clone(), field.node, &known)?;
        let expression = match rule.get("expression") {
            Some(_) => rule.named("expression"),
            None => None,
        };
        let stated =
            rule.word("condition_type", &[("simple", Some(Language::Simple)), ("cel", Some(Language::Cel))], None);
        let action = rule.word("action", ACTIONS, RuleAction::RequireApproval);
        let language = match &expression {
            Some(expression) => self.language(&format!("{}.expression", rule.path), expression, stated),
            None => stated.unwrap_or(Language::Simple),
        };
        let approval_workflow = rule.named("approval_workflow");
        if let Some(workflow) = &approval_workflow {
            self.refer(format!("{}.approval_workflow", rule.path), "approval workflow", workflow, &names.workflows);
        }
        Some(RuleEntry {
            expression,
            action,
            language,
            description: rule.text("description"),
            approval_workflow,
            enabled: rule.boolean("enabled", true),
            overridable: rule.boolean("overridable", false),
            shadow: rule.boolean("shadow", false),
        })
    }

    /// The language of an expression, which must be right in it.
    pub(super) fn language(&self, path: &str, expression: &str, stated: Option<Language>) -> Language {
        let cel = || condition::parse_cel(expression, self.stack).and_then(|parsed| parsed.compile());
        let language = stated.unwrap_or_else(|| condition::infer_language(expression));
        let wrong = match language {
            Language::Cel => cel().err(),
            Language::Simple => match Simple::parse(expression) {
                Ok(_) => None,
                // Other systems take CEL under the name of the simple language; so do we, aloud.
                Err(_) if cel().is_ok() => {
                    let message = "this is CEL, not a simple condition; it is taken as CEL";
                    self.notes.warn(Problem::new(path, message).help("write `condition_type: cel`"));
                    return Language::Cel;
                }
                Err(error) => Some(error),
            },
        };
        if let Some(SyntaxError { message, span }) = wrong {
            let mut problem = Problem::new(path, message);
            problem.place = span.and_then(|span| self.notes.source.place_in(path, expression, span));
            problem.value = Some(expression.to_owned());
            self.notes.error(problem);
        }
        language
    }
}
