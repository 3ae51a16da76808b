//! From a text to a document, or to everything that is wrong with it.

mod servers;
mod tools;
mod variables;
mod workflows;

use std::collections::HashSet;

use preloop_types::config::RuleAction;
use serde_json::Value as Json;

use super::{
    fields::{Field, Notes, Object, list},
    model::{DefaultsEntry, Document, JsonObject, Metadata, RuleEntry, ServerEntry, ToolEntry, VERSION, WorkflowEntry},
    names::Known,
    problem::Problem,
    source::Source,
    tree::{self, Node},
};
use crate::{
    engine::{BigStack, on_big_stack},
    suggest::nearest,
};

/// Finds the value of a variable.
pub type LookUp = dyn Fn(&str) -> Option<String> + Sync;

/// How to read a document.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// Names the account already has. Without them, names that the document does not define are
    /// only warned about.
    pub known: Option<&'a Known>,
    /// Looks up `${NAME}` in servers and channels; `None` for a name that is not set or may not
    /// be read, which is an error. Without a look-up, `${NAME}` stays as it is.
    pub variables: Option<&'a LookUp>,
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("known", &self.known).finish_non_exhaustive()
    }
}

/// What reading a document came to.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The document, if it has no error.
    pub document: Option<Document>,
    /// What is wrong with it.
    pub errors: Vec<Problem>,
    /// What a person should look at.
    pub warnings: Vec<Problem>,
    /// Where everything stands.
    pub source: Source,
}

/// Reads a policy document, YAML or JSON.
pub fn read(text: &str, options: Options<'_>) -> Report {
    on_big_stack(|stack| read_here(text, options, stack))
        .unwrap_or_else(|why| Report { errors: vec![Problem::new("$", why)], ..Report::default() })
}

fn read_here(text: &str, options: Options<'_>, stack: &BigStack) -> Report {
    let root = match tree::read(text, stack) {
        Ok(root) => root,
        Err(problem) => return Report { errors: vec![problem], ..Report::default() },
    };
    let source = Source::new(text, &root);
    let notes = Notes::new(&source, text);
    let document = Reader { notes: &notes, options, stack }.document(&root);
    let (mut errors, warnings) = (notes.errors.into_inner(), notes.warnings.into_inner());
    errors.sort_by_key(|problem| problem.place.as_ref().map(|place| (place.line, place.column)));
    let document = document.filter(|_| errors.is_empty());
    Report { document, errors, warnings, source }
}

struct Reader<'a> {
    notes: &'a Notes<'a>,
    options: Options<'a>,
    stack: &'a BigStack,
}

const TOP: &[&str] =
    &["version", "metadata", "mcp_servers", "approval_workflows", "tools", "defaults", "model_io", "sensitive_data"];
const ACTIONS: &[(&str, RuleAction)] =
    &[("require_approval", RuleAction::RequireApproval), ("deny", RuleAction::Deny), ("allow", RuleAction::Allow)];

impl<'a> Reader<'a> {
    fn document(&self, root: &'a Node) -> Option<Document> {
        let top = Object::of(self.notes, "$".to_owned(), root, TOP)?;
        if let Some(version) = top.text("version").filter(|version| version != VERSION) {
            top.error("version", format!("version `{version}` is not supported; the only one is `{VERSION}`"));
        }
        for name in ["model_io", "sensitive_data"] {
            if top.says_something(name) {
                top.error(name, format!("`{name}` is not supported yet; what it should block would not be blocked"));
            }
        }
        let metadata = self.metadata(&top);
        let mcp_servers: Vec<_> = top.items("mcp_servers").iter().filter_map(|field| self.server(field)).collect();
        let mut approval_workflows: Vec<_> =
            top.items("approval_workflows").iter().filter_map(|field| self.workflow(field)).collect();
        self.refuse_duplicates("mcp_servers", "MCP server", mcp_servers.iter().map(|server| server.name.as_str()));
        self.refuse_duplicates("approval_workflows", "workflow", approval_workflows.iter().map(|w| w.name.as_str()));
        self.refuse_two_defaults(&approval_workflows);

        let names = Names::new(&mcp_servers, &approval_workflows, self.options.known);
        for (at, workflow) in approval_workflows.iter().enumerate() {
            if let Some(name) = &workflow.escalation_workflow {
                let path = format!("$.approval_workflows.{at}.escalation_workflow");
                self.refer(path, "approval workflow", name, &names.workflows);
            }
        }
        let defaults = top.get("defaults").and_then(|field| self.defaults(&field, &names));
        let mut implied = Vec::new();
        let tools: Vec<_> =
            top.items("tools").iter().filter_map(|field| self.tool(field, &names, &mut implied)).collect();
        self.warn_of_nobody_to_ask(&tools, &names, defaults.as_ref());
        let ids = tools.iter().map(|tool| (tool.name.as_str(), tool.source.as_str()));
        self.refuse_duplicate_tools(ids);
        approval_workflows.extend(implied);
        Some(Document { metadata: metadata?, mcp_servers, approval_workflows, tools, defaults })
    }

    fn metadata(&self, top: &Object<'a>) -> Option<Metadata> {
        let Some(field) = top.get("metadata") else {
            self.notes.error(
                Problem::new("$", "`metadata` is missing").help("add `metadata: { name: what-this-policy-is-for }`"),
            );
            return None;
        };
        let known = ["name", "description", "author", "created_at", "tags"];
        let metadata = Object::of(self.notes, field.path, field.node, &known)?;
        Some(Metadata {
            name: metadata.required("name")?,
            description: metadata.text("description"),
            author: metadata.text("author"),
            created_at: metadata.text("created_at"),
            tags: metadata.texts("tags").unwrap_or_default(),
        })
    }

    // === Defaults ===

    fn defaults(&self, field: &Field<'a>, names: &Names) -> Option<DefaultsEntry> {
        let known =
            ["unknown_tools", "require_approval_for_new_tools", "default_approval_workflow", "inherit_from_parent"];
        let defaults = Object::of(self.notes, field.path.clone(), field.node, &known)?;
        let default_approval_workflow = defaults.named("default_approval_workflow");
        if let Some(workflow) = &default_approval_workflow {
            let path = format!("{}.default_approval_workflow", defaults.path);
            self.refer(path, "approval workflow", workflow, &names.workflows);
        }
        Some(DefaultsEntry {
            unknown_tools: defaults.word("unknown_tools", ACTIONS, RuleAction::Allow),
            require_approval_for_new_tools: defaults.boolean("require_approval_for_new_tools", false),
            default_approval_workflow,
            inherit_from_parent: defaults.boolean("inherit_from_parent", true),
        })
    }

    // === Names ===

    /// Notes a name that nothing has.
    fn refer(&self, path: String, what: &str, name: &str, have: &[String]) {
        if have.iter().any(|known| known == name) {
            return;
        }
        let mut problem = Problem::new(path, format!("there is no {what} `{name}`"));
        problem.value = Some(name.to_owned());
        problem.help = match nearest(name, have.iter().map(String::as_str)) {
            Some(near) => Some(format!("did you mean `{near}`?")),
            None if have.is_empty() => Some(format!("there are no {what}s")),
            None => Some(format!("the {what}s are {}", names_of(have))),
        };
        if self.options.known.is_some() {
            self.notes.error(problem);
        } else {
            problem.message = format!("{} in this document; the account must have it", problem.message);
            self.notes.warn(problem);
        }
    }

    fn refuse_duplicates<'n>(&self, section: &str, what: &str, names: impl Iterator<Item = &'n str>) {
        let mut seen = HashSet::new();
        for (at, name) in names.enumerate() {
            if !seen.insert(name) {
                let path = format!("$.{section}.{at}.name");
                self.notes.error(Problem::new(path, format!("there are two {what}s called `{name}`")));
            }
        }
    }

    fn refuse_duplicate_tools<'n>(&self, tools: impl Iterator<Item = (&'n str, &'n str)>) {
        let mut seen = HashSet::new();
        for (at, (name, source)) in tools.enumerate() {
            if !seen.insert((name, source)) {
                let message = format!("tool `{name}` of `{source}` is there twice; put its conditions together");
                self.notes.error(Problem::new(format!("$.tools.{at}"), message));
            }
        }
    }

    fn refuse_two_defaults(&self, workflows: &[WorkflowEntry]) {
        for (at, _) in workflows.iter().enumerate().filter(|(_, workflow)| workflow.is_default).skip(1) {
            let path = format!("$.approval_workflows.{at}.is_default");
            self.notes.error(Problem::new(path, "only one workflow can be the default"));
        }
    }

    fn warn_of_nobody_to_ask(&self, tools: &[ToolEntry], names: &Names, defaults: Option<&DefaultsEntry>) {
        if names.has_default || defaults.is_some_and(|defaults| defaults.default_approval_workflow.is_some()) {
            return;
        }
        for (at, tool) in tools.iter().enumerate().filter(|(_, tool)| tool.approval_workflow.is_none()) {
            let asks = |rule: &RuleEntry| {
                rule.enabled && rule.action == RuleAction::RequireApproval && rule.approval_workflow.is_none()
            };
            if tool.conditions.iter().any(asks) {
                let message = format!(
                    "tool `{}` requires approval, but no approval workflow is named for it and none is the default",
                    tool.name
                );
                self.notes.warn(Problem::new(format!("$.tools.{at}"), message));
            }
        }
    }
}

/// Whether `object` stands in place of secrets that stay as they are.
pub(super) fn is_redacted(object: &JsonObject) -> bool {
    object.get("redacted").and_then(Json::as_bool) == Some(true)
}

fn names_of(names: &[String]) -> String {
    list(&names.iter().take(20).map(String::as_str).collect::<Vec<_>>())
}

/// Names that references may use.
struct Names {
    servers: Vec<String>,
    workflows: Vec<String>,
    has_default: bool,
}

impl Names {
    fn new(servers: &[ServerEntry], workflows: &[WorkflowEntry], known: Option<&Known>) -> Self {
        let none = Known { has_default_workflow: false, ..Known::default() };
        let known = known.unwrap_or(&none);
        Self {
            servers: servers.iter().map(|server| &server.name).chain(&known.servers).cloned().collect(),
            workflows: workflows.iter().map(|workflow| &workflow.name).chain(&known.workflows).cloned().collect(),
            has_default: known.has_default_workflow || workflows.iter().any(|workflow| workflow.is_default),
        }
    }
}
