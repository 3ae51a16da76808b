//! What conditions read of a call: its arguments, parsed once, and CEL's variables, bound when
//! the first condition that needs them asks.

use std::cell::OnceCell;

use ::cel::common::types::{CelBool, CelDouble, CelInt, CelUInt};
use ::cel::common::{
    types::{CelList, CelMap, CelMapKey, CelNull, CelString, CelTimestamp},
    value::Val,
};
use serde_json::value::RawValue;

use crate::{
    engine::{Bindings, EvalError, Library},
    json::Json,
    ruleset::Facts,
};

/// A call's arguments, parsed when the first condition asks.
pub(crate) struct Arguments<'a> {
    text: &'a str,
    parsed: OnceCell<Result<Json<'a>, String>>,
}

impl<'a> Arguments<'a> {
    pub(crate) fn new(raw: &'a RawValue) -> Self {
        Self { text: raw.get(), parsed: OnceCell::new() }
    }

    fn get(&self) -> Result<&Json<'a>, EvalError> {
        self.parsed.get_or_init(|| Json::parse(self.text)).as_ref().map_err(|why| EvalError(why.clone()))
    }
}

/// One decision's view of a call.
pub(crate) struct Reading<'d> {
    facts: &'d Facts<'d>,
    arguments: &'d Arguments<'d>,
    bindings: Bindings<'d>,
    bound: Vec<Root>,
}

impl<'d> Reading<'d> {
    pub(crate) fn new(facts: &'d Facts<'d>, arguments: &'d Arguments<'d>, library: &'d Library) -> Self {
        Self { facts, arguments, bindings: library.open(), bound: Vec::new() }
    }

    pub(super) fn arguments(&self) -> Result<&'d Json<'d>, EvalError> {
        self.arguments.get()
    }

    /// CEL's variables, `roots` among them.
    pub(super) fn bindings(&mut self, roots: &[Root]) -> Result<&Bindings<'d>, EvalError> {
        for root in roots {
            if !self.bound.contains(root) {
                let value = match root {
                    Root::Args => value(self.arguments.get()?),
                    other => other.value(self.facts),
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
    /// after them is no error.
    fn value<'d>(self, facts: &'d Facts<'d>) -> Box<dyn Val + 'd> {
        let (who, tool) = (facts.who, facts.tool);
        let text = |text: &'d str| -> Box<dyn Val + 'd> { Box::new(CelString::from(text)) };
        let id = |id: Option<String>| -> Box<dyn Val + 'd> {
            id.map_or_else(|| Box::new(CelNull) as Box<dyn Val>, |id| Box::new(CelString::from(id)))
        };
        let agent = who.agent.as_ref();
        match self {
            Root::Args => Box::new(CelNull),
            Root::Tool => object([
                ("name", text(&tool.name)),
                ("exposed", text(&tool.exposed)),
                ("server", text(&tool.server)),
                ("source", text(if tool.server_id.is_some() { "mcp" } else { "builtin" })),
            ]),
            Root::Context => object([
                ("tool_name", text(&tool.exposed)),
                ("user_id", id(Some(who.user.to_string()))),
                ("account_id", id(Some(who.account.to_string()))),
                ("api_key_id", id(Some(who.key.to_string()))),
                ("api_key_name", text(&who.key_name)),
                ("managed_agent_id", id(agent.map(|agent| agent.id.to_string()))),
                ("runtime_session_id", id(who.session.map(|session| session.to_string()))),
                ("client", text(facts.client.unwrap_or_default())),
                ("correlation_id", id(Some(facts.call.to_string()))),
            ]),
            Root::User => object([("id", id(Some(who.user.to_string()))), ("username", text(&who.username))]),
            Root::Agent => object([
                ("id", id(agent.map(|agent| agent.id.to_string()))),
                ("name", text(agent.map_or("", |agent| &agent.name))),
                ("kind", text(agent.map_or("", |agent| &agent.kind))),
                ("tags", list(agent.map_or(&[][..], |agent| &agent.tags).iter().map(|tag| text(tag.as_str())))),
            ]),
            Root::Justification => text(facts.justification.unwrap_or_default()),
            Root::Now => Box::new(CelTimestamp::from(facts.now.to_datetime().fixed_offset())),
        }
    }
}

fn object<'d, const N: usize>(members: [(&'d str, Box<dyn Val + 'd>); N]) -> Box<dyn Val + 'd> {
    let members = members.into_iter().map(|(name, value)| (CelMapKey::String(CelString::from(name)), value));
    Box::new(CelMap::from(members.collect::<std::collections::HashMap<_, _>>()))
}

fn list<'d>(items: impl Iterator<Item = Box<dyn Val + 'd>>) -> Box<dyn Val + 'd> {
    Box::new(CelList::from(items.collect::<Vec<_>>()))
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
        Json::List(items) => list(items.iter().map(value)),
        Json::Map(members) => Box::new(CelMap::from(
            members
                .iter()
                .map(|(key, member)| (CelMapKey::String(CelString::from(&**key)), value(member)))
                .collect::<std::collections::HashMap<_, _>>(),
        )),
    }
}
