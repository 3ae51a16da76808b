//! What conditions read of a call: each variable as JSON, made when the first condition asks, and
//! bound for the interpreter when the first condition that needs it asks.

use std::{borrow::Cow, cell::OnceCell, collections::HashMap};

use ::cel::common::{
    types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelTimestamp, CelUInt},
    value::Val,
};

use preloop_types::Timestamp;

use crate::{
    engine::{Bindings, EvalError, Library},
    json::Json,
    ruleset::Facts,
};

/// A call's variables.
pub(crate) struct Variables<'d> {
    facts: &'d Facts<'d>,
    made: [OnceCell<Result<Json<'d>, String>>; Root::ALL.len()],
}

impl<'d> Variables<'d> {
    pub(crate) fn new(facts: &'d Facts<'d>) -> Self {
        Self { facts, made: Default::default() }
    }

    /// The variable `root`; the arguments may be such that no rule can be evaluated on them.
    fn get(&self, root: Root) -> Result<&Json<'d>, EvalError> {
        let make = || match root {
            Root::Args => Json::parse(self.facts.arguments.get()),
            other => Ok(other.json(self.facts)),
        };
        self.made[root as usize].get_or_init(make).as_ref().map_err(|why| EvalError(why.clone()))
    }
}

/// One decision's view of a call.
pub(crate) struct Reading<'d> {
    variables: &'d Variables<'d>,
    bindings: Bindings<'d>,
    bound: Vec<Root>,
}

impl<'d> Reading<'d> {
    pub(crate) fn new(variables: &'d Variables<'d>, library: &'d Library) -> Self {
        Self { variables, bindings: library.open(), bound: Vec::new() }
    }

    pub(super) fn variable(&self, root: Root) -> Result<&'d Json<'d>, EvalError> {
        self.variables.get(root)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.variables.facts.now
    }

    /// The interpreter's variables, `roots` among them.
    pub(super) fn bindings(&mut self, roots: &[Root]) -> Result<&Bindings<'d>, EvalError> {
        for root in roots {
            if !self.bound.contains(root) {
                let value = match root {
                    Root::Now => Box::new(CelTimestamp::from(self.variables.facts.now.to_datetime().fixed_offset())),
                    other => value(self.variables.get(*other)?),
                };
                self.bindings.bind(root.name(), value);
                self.bound.push(*root);
            }
        }
        Ok(&self.bindings)
    }
}

/// CEL's variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root {
    Args,
    Tool,
    Context,
    User,
    Agent,
    Justification,
    Now,
}

impl Root {
    const ALL: [Root; 7] =
        [Root::Args, Root::Tool, Root::Context, Root::User, Root::Agent, Root::Justification, Root::Now];
    pub(crate) const NAMES: [&str; 7] = ["args", "tool", "context", "user", "agent", "justification", "now"];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|root| root.name() == name)
    }

    pub(crate) const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// The fields of a variable that is an object of known shape.
    pub(crate) const fn fields(self) -> Option<&'static [&'static str]> {
        match self {
            Root::Args | Root::Justification | Root::Now => None,
            Root::Tool => Some(&["name", "exposed", "server", "source"]),
            Root::Context => Some(&[
                "tool_name",
                "user_id",
                "account_id",
                "api_key_id",
                "api_key_name",
                "managed_agent_id",
                "runtime_session_id",
                "client",
                "correlation_id",
            ]),
            Root::User => Some(&["id", "username"]),
            Root::Agent => Some(&["id", "name", "kind", "tags"]),
        }
    }

    /// Its value. Texts that are absent are empty, ids that are absent are null, so that asking
    /// after them is no error. (The time is no JSON; the interpreter has a type for it.)
    fn json<'d>(self, facts: &'d Facts<'d>) -> Json<'d> {
        let (who, tool) = (facts.who, facts.tool);
        let agent = who.agent.as_ref();
        match self {
            Root::Args | Root::Now => Json::Null,
            Root::Tool => object([
                ("name", text(&tool.name)),
                ("exposed", text(&tool.exposed)),
                ("server", text(&tool.server)),
                ("source", text(if tool.server_id.is_some() { "mcp" } else { "builtin" })),
            ]),
            Root::Context => object([
                ("tool_name", text(&tool.exposed)),
                ("user_id", id(Some(who.user))),
                ("account_id", id(Some(who.account))),
                ("api_key_id", id(Some(who.key))),
                ("api_key_name", text(&who.key_name)),
                ("managed_agent_id", id(agent.map(|agent| agent.id))),
                ("runtime_session_id", id(who.session)),
                ("client", text(facts.client.unwrap_or_default())),
                ("correlation_id", id(Some(facts.call))),
            ]),
            Root::User => object([("id", id(Some(who.user))), ("username", text(&who.username))]),
            Root::Agent => object([
                ("id", id(agent.map(|agent| agent.id))),
                ("name", text(agent.map_or("", |agent| &agent.name))),
                ("kind", text(agent.map_or("", |agent| &agent.kind))),
                ("tags", Json::List(agent.map_or(&[][..], |agent| &agent.tags).iter().map(|tag| text(tag)).collect())),
            ]),
            Root::Justification => text(facts.justification.unwrap_or_default()),
        }
    }
}

fn text(text: &str) -> Json<'_> {
    Json::String(Cow::Borrowed(text))
}

fn id<'d>(id: Option<impl ToString>) -> Json<'d> {
    id.map_or(Json::Null, |id| Json::String(Cow::Owned(id.to_string())))
}

fn object<'d, const N: usize>(members: [(&'static str, Json<'d>); N]) -> Json<'d> {
    let mut members: Vec<_> = members.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect();
    members.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Json::Map(members)
}

/// A JSON value as CEL has it. Numbers without a fraction are `int` (`uint` above its range).
pub(crate) fn value<'d>(json: &'d Json<'d>) -> Box<dyn Val + 'd> {
    match json {
        Json::Null => Box::new(CelNull),
        Json::Bool(truth) => Box::new(CelBool::from(*truth)),
        Json::Int(number) => Box::new(CelInt::from(*number)),
        Json::Uint(number) => Box::new(CelUInt::from(*number)),
        Json::Double(number) => Box::new(CelDouble::from(*number)),
        Json::String(text) => Box::new(CelString::from(&**text)),
        Json::List(items) => Box::new(CelList::from(items.iter().map(value).collect::<Vec<_>>())),
        Json::Map(members) => {
            let members =
                members.iter().map(|(key, member)| (CelMapKey::String(CelString::from(&**key)), value(member)));
            Box::new(CelMap::from(members.collect::<HashMap<_, _>>()))
        }
    }
}
