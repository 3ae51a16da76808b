//! The compiled form of an account's configuration.

use std::collections::HashMap;

use preloop_types::{
    CallId, Principal, RuleId, ServerId, Timestamp, ToolRef, WorkflowId,
    config::{
        AccessRule, Defaults, RuleAction, Server, ServerStatus, SubjectGovernance, SubjectRef, ToolConfig, ToolSource,
        Workflow,
    },
};
use serde_json::value::RawValue;

use crate::{
    condition::Condition,
    engine::{BigStack, Library, on_big_stack},
};

/// The configuration a [`Ruleset`] is compiled from.
#[derive(Debug, Clone, Copy)]
pub struct RulesetInput<'a> {
    /// Names this state of the configuration; bound to approvals.
    pub version: u64,
    /// The account's servers.
    pub servers: &'a [Server],
    /// The account's tool configurations with their rules.
    pub configs: &'a [ToolConfig],
    /// The account's workflows that are not deleted.
    pub workflows: &'a [Workflow],
    /// The account's defaults.
    pub defaults: &'a Defaults,
    /// Rules and switches of managed agents and API keys.
    pub governance: &'a [(SubjectRef, SubjectGovernance)],
}

/// What is known of one call when it is decided.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Who calls.
    pub who: &'a Principal,
    /// Which tool.
    pub tool: &'a ToolRef,
    /// With which arguments: a JSON object, without an injected justification.
    pub arguments: &'a RawValue,
    /// The reason the agent gave.
    pub justification: Option<&'a str>,
    /// What the client says of itself: `name/version`. Not trusted.
    pub client: Option<&'a str>,
    /// Joins every record about this call.
    pub call: CallId,
    /// When it is decided.
    pub now: Timestamp,
    /// When the tool was first seen; `None` for built-in tools.
    pub discovered_at: Option<Timestamp>,
}

/// A rule that does not compile. Calls that reach it are denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleProblem {
    /// The rule; scoped rules have none of their own in the account.
    pub rule: RuleId,
    /// Where the rule stands, for people: ``tool `pay`, rule 2``.
    pub place: String,
    /// What is wrong with it.
    pub message: String,
}

/// An account's configuration, compiled once and immutable. Decisions are taken by
/// [`Ruleset::decide`] and by nothing else.
#[derive(Debug)]
pub struct Ruleset {
    version: u64,
    /// By whose tool, then by the tool's upstream name.
    tools: HashMap<ToolSource, HashMap<String, CompiledTool>>,
    subjects: HashMap<SubjectRef, CompiledSubject>,
    servers: HashMap<ServerId, ServerNames>,
    pub(crate) workflows: Workflows,
    pub(crate) defaults: Defaults,
    pub(crate) library: Library,
    problems: Vec<RuleProblem>,
}

#[derive(Debug)]
struct CompiledTool {
    config: ToolConfig,
    rules: Vec<CompiledRule>,
}

#[derive(Debug, Default)]
struct CompiledSubject {
    rules: HashMap<String, Vec<CompiledRule>>,
    switches: HashMap<String, bool>,
}

#[derive(Debug)]
struct ServerNames {
    name: String,
    slug: String,
    is_disabled: bool,
}

/// One enabled rule, ready to be asked.
#[derive(Debug)]
pub(crate) struct CompiledRule {
    pub(crate) rule: AccessRule,
    /// Its place among the tool's rules, disabled ones counted.
    pub(crate) priority: u32,
    pub(crate) condition: Condition,
}

/// The account's workflows, as far as a decision needs them.
#[derive(Debug)]
pub(crate) struct Workflows {
    pub(crate) known: Vec<WorkflowId>,
    pub(crate) default: Option<WorkflowId>,
}

/// Built-in tools that ask people or answer what people decided. They act on nothing, and an
/// agent that may call any tool needs them, so a server allow list and `unknown_tools` do not
/// concern them.
const ASKING_TOOLS: [&str; 3] = ["request_approval", "ask_user", "get_approval_status"];

/// Why a credential that is bound to some tools may not call another.
pub(crate) const NOT_AVAILABLE: &str = "the tool is not available to this credential";

impl Ruleset {
    /// Compiles every rule. Never fails: a rule that does not compile denies the calls that
    /// reach it and is named by [`Ruleset::problems`].
    pub fn compile(input: &RulesetInput<'_>) -> Ruleset {
        let mut compiled = on_big_stack(|stack| Compiler::new(Some(stack)).compile(input));
        if let Err(why) = &compiled {
            // Without a stack to compile on every rule with an expression denies.
            compiled = Ok(Compiler::broken(why.clone()).compile(input));
        }
        compiled.unwrap_or_else(|why| Compiler::broken(why).compile(input))
    }

    /// The version it was compiled from.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Rules that do not compile.
    pub fn problems(&self) -> &[RuleProblem] {
        &self.problems
    }

    /// The configuration that applies to `tool`: that of its own server before that of any
    /// server.
    pub fn config(&self, tool: &ToolRef) -> Option<&ToolConfig> {
        self.tool(tool).map(|tool| &tool.config)
    }

    /// Whether `who` may see `tool` at all: not disabled, not switched off for the subject, inside
    /// the credential's allow lists, its server known and in use. [`Ruleset::decide`] denies
    /// what is not visible.
    pub fn visible(&self, who: &Principal, tool: &ToolRef) -> bool {
        self.hidden_because(who, tool).is_none()
    }

    /// Why `who` may not see `tool`, if so.
    pub(crate) fn hidden_because(&self, who: &Principal, tool: &ToolRef) -> Option<&'static str> {
        // A credential's lists name what it may reach through us; its agent's own tools are not reached.
        let native = tool.is_native();
        if !native
            && who.allowed_tools.as_ref().is_some_and(|allowed| !allowed.iter().any(|name| **name == *tool.exposed))
        {
            return Some(NOT_AVAILABLE);
        }
        if let Some(allowed) = &who.allowed_servers
            && !native
            && !is_asking_tool(tool)
            && !allowed.iter().any(|name| self.is_server(tool, name))
        {
            return Some(NOT_AVAILABLE);
        }
        if tool.server_id.is_some_and(|id| self.servers.get(&id).is_none_or(|server| server.is_disabled)) {
            return Some("the tool's server is not in use");
        }
        if self.config(tool).is_some_and(|config| !config.is_enabled) {
            return Some("the tool is disabled");
        }
        if self.switch(who, tool) == Some(false) {
            return Some("the tool is disabled by agent or API key configuration");
        }
        None
    }

    /// Whether the server `id` has this name or slug.
    pub(crate) fn is_called(&self, id: ServerId, name: &str) -> bool {
        self.servers.get(&id).is_some_and(|server| server.name == name || server.slug == name)
    }

    fn is_server(&self, tool: &ToolRef, name: &str) -> bool {
        match tool.server_id {
            None => name == "builtin",
            Some(id) => self.is_called(id, name),
        }
    }

    /// The narrowest switch set for `tool`, by exposed name before upstream name.
    fn switch(&self, who: &Principal, tool: &ToolRef) -> Option<bool> {
        self.subjects(who).find_map(|subject| {
            subject.switches.get(&*tool.exposed).or_else(|| subject.switches.get(&*tool.name)).copied()
        })
    }

    /// The scopes narrower than the account, narrowest first: API key, then managed agent.
    fn subjects(&self, who: &Principal) -> impl DoubleEndedIterator<Item = &CompiledSubject> {
        let agent = who.agent.as_ref().map(|agent| SubjectRef::Agent(agent.id));
        [Some(SubjectRef::Key(who.key)), agent].into_iter().flatten().filter_map(|subject| self.subjects.get(&subject))
    }

    /// The rules for `tool` of each scope narrower than the account, widest first.
    pub(crate) fn scoped_rules(
        &self,
        who: &Principal,
        tool: &ToolRef,
    ) -> impl Iterator<Item = impl Iterator<Item = &CompiledRule>> {
        self.subjects(who).rev().map(move |subject| {
            let upstream = if tool.name == tool.exposed { None } else { subject.rules.get(&*tool.name) };
            subject.rules.get(&*tool.exposed).into_iter().chain(upstream).flatten()
        })
    }

    /// The account's enabled rules for `tool`, if it has a configuration.
    pub(crate) fn account_rules(&self, tool: &ToolRef) -> Option<(&ToolConfig, &[CompiledRule])> {
        self.tool(tool).map(|tool| (&tool.config, tool.rules.as_slice()))
    }

    fn tool(&self, tool: &ToolRef) -> Option<&CompiledTool> {
        let named = |source: &ToolSource| self.tools.get(source)?.get(&*tool.name);
        match tool.server_id {
            None if tool.is_native() => named(&ToolSource::Agent),
            None => named(&ToolSource::Builtin),
            Some(id) => named(&ToolSource::Server(id)).or_else(|| named(&ToolSource::AnyServer)),
        }
    }
}

/// Whether `tool` is one by which an agent asks people.
pub(crate) fn is_asking_tool(tool: &ToolRef) -> bool {
    tool.server_id.is_none() && !tool.is_native() && ASKING_TOOLS.contains(&&*tool.name)
}

struct Compiler<'s> {
    stack: Option<&'s BigStack>,
    why_not: String,
    library: Library,
    problems: Vec<RuleProblem>,
}

impl<'s> Compiler<'s> {
    fn new(stack: Option<&'s BigStack>) -> Self {
        Self { stack, why_not: String::new(), library: Library::default(), problems: Vec::new() }
    }

    /// One that compiles nothing, because of `why`.
    fn broken(why: String) -> Self {
        Self { why_not: why, ..Self::new(None) }
    }

    fn compile(mut self, input: &RulesetInput<'_>) -> Ruleset {
        let mut tools: HashMap<ToolSource, HashMap<String, CompiledTool>> = HashMap::new();
        for config in input.configs {
            let rules = self.rules(&config.rules, &format!("tool `{}`", config.tool_name));
            let compiled = CompiledTool { config: config.clone(), rules };
            tools.entry(config.source.clone()).or_default().insert(config.tool_name.clone(), compiled);
        }
        let mut subjects = HashMap::new();
        for (subject, governance) in input.governance {
            let whose = match subject {
                SubjectRef::Agent(id) => format!("agent {id}"),
                SubjectRef::Key(id) => format!("API key {id}"),
            };
            let rules = governance
                .tool_rules
                .iter()
                .map(|(tool, rules)| (tool.clone(), self.rules(rules, &format!("{whose}, tool `{tool}`"))));
            let compiled = CompiledSubject {
                rules: rules.collect(),
                switches: governance.tool_enabled_overrides.clone().into_iter().collect(),
            };
            subjects.insert(*subject, compiled);
        }
        let servers = input.servers.iter().map(|server| {
            let names = ServerNames {
                name: server.name.clone(),
                slug: server.slug.clone(),
                is_disabled: server.status == ServerStatus::Disabled,
            };
            (server.id, names)
        });
        let live = || input.workflows.iter().filter(|workflow| workflow.deleted_at.is_none());
        Ruleset {
            version: input.version,
            tools,
            subjects,
            servers: servers.collect(),
            workflows: Workflows {
                known: live().map(|workflow| workflow.id).collect(),
                default: live().find(|workflow| workflow.is_default).map(|workflow| workflow.id),
            },
            defaults: input.defaults.clone(),
            library: self.library,
            problems: self.problems,
        }
    }

    fn rules(&mut self, rules: &[AccessRule], place: &str) -> Vec<CompiledRule> {
        let numbered = (0..).zip(rules).filter(|(_, rule)| rule.is_enabled);
        numbered.map(|(priority, rule)| self.rule(rule, priority, place)).collect()
    }

    fn rule(&mut self, rule: &AccessRule, priority: u32, place: &str) -> CompiledRule {
        let condition = match (self.stack, &rule.expression) {
            (None, Some(_)) => Err(self.why_not.clone()),
            (None, None) => Ok(Condition::Always),
            (Some(stack), expression) => {
                Condition::compile(expression.as_deref(), rule.language, &mut self.library, stack)
                    .map_err(|error| error.message)
            }
        };
        let condition = condition.unwrap_or_else(|message| {
            let place = format!("{place}, rule {}", priority + 1);
            self.problems.push(RuleProblem { rule: rule.id, place, message: message.clone() });
            Condition::Broken(message)
        });
        CompiledRule { rule: rule.clone(), priority, condition }
    }
}

impl CompiledRule {
    pub(crate) const fn action(&self) -> RuleAction {
        self.rule.action
    }
}
