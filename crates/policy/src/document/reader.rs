//! From a text to a document, or to everything that is wrong with it.

use std::collections::{BTreeMap, HashSet};

use preloop_types::config::{Justification, Language, RuleAction};
use serde_json::Value as Json;

use super::{
    fields::{Field, Notes, Object, list},
    model::{
        DefaultsEntry, Document, JsonObject, Metadata, RuleEntry, ServerEntry, ToolEntry, ToolOrigin, VERSION,
        WorkflowEntry,
    },
    names::Known,
    problem::Problem,
    source::Source,
    tree::{self, Node, Value},
};
use crate::{
    condition::{self, simple::Simple},
    engine::{BigStack, SyntaxError, on_big_stack},
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

    // === Servers ===

    fn server(&self, field: &Field<'a>) -> Option<ServerEntry> {
        let known =
            ["name", "url", "transport", "auth_type", "auth_config", "command", "args", "env", "cwd", "settings"];
        let server = Object::of(self.notes, field.path.clone(), field.node, &known)?;
        let transport = server.word(
            "transport",
            &[
                ("streamable-http", "streamable_http"),
                ("http-streaming", "streamable_http"),
                ("streamable_http", "streamable_http"),
                ("sse", "sse"),
                ("stdio", "stdio"),
            ],
            if server.get("command").is_some() { "stdio" } else { "streamable_http" },
        );
        let is_program = transport == "stdio";
        let (needed, idle): (&str, &[&str]) =
            if is_program { ("command", &["url"]) } else { ("url", &["command", "args", "env", "cwd"]) };
        for name in idle.iter().filter(|name| server.says_something(name)) {
            server.error(name, format!("`{name}` has no meaning for a server of transport `{transport}`"));
        }
        let target = server.required(needed).map(|target| self.resolve_text(&server, needed, target));
        let auth = ["none", "bearer", "api_key", "header", "oauth"].map(|word| (word, word));
        let auth_type = server.word("auth_type", &auth, "none");
        let mut auth_config = server.json("auth_config");
        if let Some(config) = &mut auth_config {
            self.resolve_object(&server, "auth_config", config);
        }
        let redacted = auth_config.as_ref().is_some_and(is_redacted);
        if let Some(config) = auth_config.as_ref().filter(|_| !redacted) {
            self.check_auth(&server, auth_type, config);
        }
        let env = server.json("env").map(|mut env| {
            self.resolve_object(&server, "env", &mut env);
            for (name, value) in &env {
                if !value.is_string() && !value.as_object().is_some_and(is_redacted) {
                    server.error(&format!("env.{name}"), "an environment variable is a text");
                }
            }
            env.into_iter().collect::<BTreeMap<_, _>>()
        });
        let settings = server.json("settings").unwrap_or_default();
        if let Err(error) =
            serde_json::from_value::<preloop_types::config::ServerSettings>(Json::Object(settings.clone()))
        {
            server.error("settings", error.to_string());
        }
        let (url, command) = if is_program { (None, target) } else { (target, None) };
        Some(ServerEntry {
            name: server.required("name")?,
            transport: transport.to_owned(),
            url,
            command,
            args: server.texts("args").unwrap_or_default(),
            env,
            cwd: server.text("cwd"),
            auth_type: auth_type.to_owned(),
            auth_config,
            settings,
        })
    }

    /// Keys of `auth_config` by `auth_type`.
    fn check_auth(&self, server: &Object<'a>, auth_type: &str, config: &JsonObject) {
        let (needed, optional): (&[&str], &[&str]) = match auth_type {
            "bearer" => (&["token"], &["access_token"]),
            "api_key" => (&["api_key"], &["key", "key_name", "header"]),
            "oauth" => (&[], &["client_id", "client_secret", "scopes", "issuer", "access_token", "refresh_token"]),
            "header" => return,
            _ => (&[], &[]),
        };
        for name in needed {
            let alias = if *name == "token" { "access_token" } else { "key" };
            if !config.contains_key(*name) && !config.contains_key(alias) {
                server.error("auth_config", format!("`auth_type: {auth_type}` needs `auth_config.{name}`"));
            }
        }
        for name in config.keys() {
            let known: Vec<&str> = needed.iter().chain(optional).copied().collect();
            if !known.contains(&name.as_str()) {
                let path = format!("{}.auth_config.{name}", server.path);
                let mut problem = Problem::new(path, format!("unknown key `{name}` for `auth_type: {auth_type}`"));
                problem.help = nearest(name, known.iter().copied()).map(|near| format!("did you mean `{near}`?"));
                self.notes.error(problem);
            }
        }
    }

    // === Workflows ===

    fn workflow(&self, field: &Field<'a>) -> Option<WorkflowEntry> {
        let known = [
            "name",
            "description",
            "timeout_seconds",
            "timeout",
            "require_reason",
            "is_default",
            "workflow_type",
            "approvals_required",
            "required_approvals",
            "quorum",
            "approver_users",
            "approver_teams",
            "approvers",
            "escalation_users",
            "escalation_teams",
            "escalation_workflow",
            "escalation",
            "channel_configs",
            "approval_type",
            "ai_model",
            "ai_guidelines",
            "ai_context",
            "ai_confidence_threshold",
            "ai_fallback_behavior",
            "async_approval",
        ];
        let workflow = Object::of(self.notes, field.path.clone(), field.node, &known)?;
        self.refuse_unsupported(&workflow);
        let types = ["simple", "multi_stage", "consensus"].map(|word| (word, word));
        let workflow_type = workflow.word("workflow_type", &types, "simple");
        if workflow_type != "simple" {
            let path = format!("{}.workflow_type", workflow.path);
            self.notes.warn(Problem::new(path, format!("`{workflow_type}` is treated as `simple` in this version")));
        }
        let mut channel_configs = workflow.json("channel_configs");
        if let Some(channels) = &mut channel_configs {
            self.resolve_object(&workflow, "channel_configs", channels);
            Self::check_channels(&workflow, channels);
        }
        Some(WorkflowEntry {
            description: workflow.text("description"),
            timeout_seconds: workflow.integer(&["timeout_seconds", "timeout"], 300, 30..=86_400),
            require_reason: workflow.boolean("require_reason", false),
            is_default: workflow.boolean("is_default", false),
            workflow_type: workflow_type.to_owned(),
            approvals_required: workflow.integer(&["approvals_required", "required_approvals", "quorum"], 1, 1..=10),
            approver_users: self.approvers(&workflow, &["approver_users", "approvers"]),
            channel_configs,
            async_approval: workflow.boolean("async_approval", false),
            ..WorkflowEntry::named(workflow.required("name")?)
        })
    }

    /// What would change who decides, and does not yet.
    fn refuse_unsupported(&self, workflow: &Object<'a>) {
        let kinds = ["standard", "ai_driven"].map(|word| (word, word));
        if workflow.word("approval_type", &kinds, "standard") == "ai_driven" {
            workflow.error("approval_type", "`ai_driven` is not supported yet; people decide every request");
        } else {
            for name in ["ai_model", "ai_guidelines", "ai_context", "ai_confidence_threshold", "ai_fallback_behavior"] {
                if workflow.says_something(name) {
                    let path = format!("{}.{name}", workflow.path);
                    self.notes
                        .warn(Problem::new(path, format!("`{name}` has no effect without `approval_type: ai_driven`")));
                }
            }
        }
        if workflow.says_something("approver_teams") {
            workflow
                .error("approver_teams", "`approver_teams` is not supported yet; name the people in `approver_users`");
        }
        for name in ["escalation_users", "escalation_teams", "escalation_workflow"] {
            if workflow.says_something(name) {
                workflow.error(name, format!("`{name}` is not supported yet; a request that nobody decides expires"));
            }
        }
        if let Some(field) = workflow.get("escalation") {
            let enabled = match &field.node.value {
                Value::Map(members) => !members
                    .iter()
                    .any(|(key, value)| key.name == "enabled" && matches!(value.value, Value::Bool(false))),
                Value::Bool(false) => false,
                _ => true,
            };
            if enabled {
                workflow
                    .error("escalation", "`escalation` is not supported yet; a request that nobody decides expires");
            }
        }
    }

    fn approvers(&self, object: &Object<'a>, names: &[&str]) -> Option<Vec<String>> {
        let field = object.get_any(names)?;
        let name = field.path.rsplit('.').next().unwrap_or_default();
        let approvers = object.texts(name)?;
        if let Some(known) = self.options.known {
            for (at, approver) in approvers.iter().enumerate().filter(|(_, name)| !known.users.contains(name)) {
                let path = if matches!(field.node.value, Value::List(_)) {
                    format!("{}.{at}", field.path)
                } else {
                    field.path.clone()
                };
                let mut problem = Problem::new(path, format!("there is no user `{approver}`"));
                problem.value = Some(approver.clone());
                problem.help = Some(match nearest(approver, known.users.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("the users are {}", names_of(&known.users)),
                });
                self.notes.error(problem);
            }
        }
        Some(approvers)
    }

    fn check_channels(workflow: &Object<'a>, channels: &JsonObject) {
        for (name, channel) in channels {
            let path = format!("channel_configs.{name}");
            match name.as_str() {
                "slack" | "mattermost" => {
                    workflow.error(&path, format!("channel `{name}` is not supported yet; use `webhook` or `email`"));
                }
                "webhook" => {
                    if !channel.get("url").is_some_and(Json::is_string) {
                        workflow.error(&path, "a webhook needs a `url`");
                    }
                    for key in channel.as_object().into_iter().flat_map(JsonObject::keys) {
                        if !["url", "headers"].contains(&key.as_str()) {
                            workflow.error(&format!("{path}.{key}"), format!("unknown key `{key}`"));
                        }
                    }
                }
                "email" => {
                    if !channel.as_array().is_some_and(|list| list.iter().all(Json::is_string)) {
                        workflow.error(&path, "`email` is a list of addresses");
                    }
                }
                "elicitation" => {
                    if !channel.is_boolean() {
                        workflow.error(&path, "`elicitation` is `true` or `false`");
                    }
                }
                _ => workflow.error(&path, format!("channel `{name}` is not one of `webhook`, `email`, `elicitation`")),
            }
        }
    }

    // === Tools ===

    fn tool(&self, field: &Field<'a>, names: &Names, implied: &mut Vec<WorkflowEntry>) -> Option<ToolEntry> {
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

    /// The workflow that the shorthand `approvers`, `quorum`, `timeout` of a tool stands for.
    fn implied_workflow(&self, tool: &Object<'a>, name: Option<&str>, has_workflow: bool) -> Option<WorkflowEntry> {
        if tool.says_something("escalation") {
            tool.error("escalation", "`escalation` is not supported yet; a request that nobody decides expires");
        }
        let short: Vec<_> = ["approvers", "quorum", "timeout"].into_iter().filter_map(|key| tool.get(key)).collect();
        let first = short.first()?;
        if has_workflow {
            let message = "the tool has an `approval_workflow`; say this there";
            self.notes.error(Problem::new(&first.path, message));
            return None;
        }
        Some(WorkflowEntry {
            timeout_seconds: tool.integer(&["timeout"], 300, 30..=86_400),
            approvals_required: tool.integer(&["quorum"], 1, 1..=10),
            approver_users: self.approvers(tool, &["approvers"]),
            ..WorkflowEntry::named(format!("{} approval", name?))
        })
    }

    fn origin(&self, tool: &Object<'a>, names: &Names) -> ToolOrigin {
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
            kind @ ("http" | "agent") => {
                tool.error("source", format!("tools of source `{kind}` are not supported yet"));
                ToolOrigin::Builtin
            }
            _ => {
                self.refer(path, "MCP server", &text, &names.servers);
                ToolOrigin::Server(text)
            }
        }
    }

    fn rule(&self, field: &Field<'a>, names: &Names) -> Option<RuleEntry> {
        let known =
            ["expression", "action", "condition_type", "description", "approval_workflow", "enabled", "overridable"];
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
        })
    }

    /// The language of an expression, which must be right in it.
    fn language(&self, path: &str, expression: &str, stated: Option<Language>) -> Language {
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

    // === Variables ===

    fn resolve_object(&self, holder: &Object<'a>, name: &str, object: &mut JsonObject) {
        for (key, value) in object.iter_mut() {
            self.resolve_value(holder, &format!("{name}.{key}"), value);
        }
    }

    fn resolve_value(&self, holder: &Object<'a>, name: &str, value: &mut Json) {
        match value {
            Json::String(text) => *text = self.resolve_text(holder, name, std::mem::take(text)),
            Json::Array(items) => {
                for (at, item) in items.iter_mut().enumerate() {
                    self.resolve_value(holder, &format!("{name}.{at}"), item);
                }
            }
            Json::Object(members) => self.resolve_object(holder, name, members),
            _ => {}
        }
    }

    /// `text` with each `${NAME}` replaced, if variables are to be.
    fn resolve_text(&self, holder: &Object<'a>, name: &str, text: String) -> String {
        let Some(look_up) = self.options.variables else { return text };
        let mut resolved = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            let variable = after.split_once('}').filter(|(variable, _)| is_variable(variable));
            let Some((variable, tail)) = variable else {
                resolved.push_str(before);
                resolved.push_str("${");
                rest = after;
                continue;
            };
            resolved.push_str(before);
            if let Some(value) = look_up(variable) {
                resolved.push_str(&value);
            } else {
                let path = format!("{}.{name}", holder.path);
                let message = format!("`${{{variable}}}` is not set on the server, or policies may not read it");
                self.notes.error(Problem::new(path, message));
            }
            rest = tail;
        }
        resolved + rest
    }
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
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
