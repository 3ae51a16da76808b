//! The text of a test file: calls, and what must come of each.

use preloop_types::Timestamp;
use serde_json::value::{RawValue, to_raw_value};

use super::{
    fields::{Field, Notes, Object},
    problem::Problem,
    source::Source,
    tree::{self, Value},
};
use crate::{
    cases::{Caller, Case, Cases, Expected, ExpectedRule},
    engine::{BigStack, on_big_stack},
};

/// Reads a test file, or says everything that is wrong with it.
pub fn read_cases(text: &str) -> Result<Cases, Vec<Problem>> {
    on_big_stack(|stack| read_here(text, stack)).unwrap_or_else(|why| Err(vec![Problem::new("$", why)]))
}

fn read_here(text: &str, stack: &BigStack) -> Result<Cases, Vec<Problem>> {
    let root = tree::read(text, stack).map_err(|problem| vec![problem])?;
    let source = Source::new(text, &root);
    let notes = Notes::new(&source, text);
    let cases = Reader { notes: &notes }.file(&root);
    let errors = notes.errors.into_inner();
    match cases {
        Some(cases) if errors.is_empty() => Ok(cases),
        _ => Err(errors),
    }
}

struct Reader<'a> {
    notes: &'a Notes<'a>,
}

const DECISIONS: &[(&str, &str)] =
    &[("allow", "allow"), ("deny", "deny"), ("require_approval", "require_approval"), ("ask", "require_approval")];

impl<'a> Reader<'a> {
    fn file(&self, root: &'a tree::Node) -> Option<Cases> {
        let top = Object::of(self.notes, "$".to_owned(), root, &["policy", "servers", "as", "at", "cases"])?;
        let caller =
            top.get("as").and_then(|field| Self::caller(self.notes, &field, &Caller::default())).unwrap_or_default();
        let at = Self::instant(&top);
        let cases: Vec<Case> = top.items("cases").iter().filter_map(|field| self.case(field, &caller, at)).collect();
        if cases.is_empty() {
            self.notes.error(Problem::new("$.cases", "there are no cases").help("add `cases: [{call: …, expect: …}]`"));
        }
        Some(Cases { policy: top.named("policy"), servers: top.texts("servers").unwrap_or_default(), cases })
    }

    fn case(&self, field: &Field<'a>, caller: &Caller, at: Option<Timestamp>) -> Option<Case> {
        let known = ["name", "call", "args", "as", "at", "justification", "new_tool", "expect"];
        let case = Object::of(self.notes, field.path.clone(), field.node, &known)?;
        let own = case.get("as").and_then(|field| Self::caller(self.notes, &field, caller));
        let arguments = case.json("args").unwrap_or_default();
        let place = self.notes.source.place(&field.path);
        Some(Case {
            name: case.text("name"),
            line: place.map(|place| place.line),
            arguments: to_raw_value(&arguments).unwrap_or_else(|_| RawValue::NULL.to_owned()),
            caller: own.unwrap_or_else(|| caller.clone()),
            at: Self::instant(&case).or(at),
            justification: case.text("justification"),
            new_tool: case.boolean("new_tool", false),
            expected: self.expected(&case)?,
            call: case.required("call")?,
        })
    }

    /// `expect: deny`, or a mapping.
    fn expected(&self, case: &Object<'a>) -> Option<Expected> {
        let Some(field) = case.get("expect") else {
            self.notes.error(Problem::new(&case.path, "`expect` is missing").help("write `expect: allow`"));
            return None;
        };
        if !matches!(field.node.value, Value::Map(_)) {
            let decision = case.word("expect", DECISIONS, "");
            return Some(Expected { decision: (!decision.is_empty()).then_some(decision), ..Expected::default() });
        }
        let known = ["decision", "workflow", "rule", "reason", "shadow"];
        let expect = Object::of(self.notes, field.path.clone(), field.node, &known)?;
        let decision = expect.word("decision", DECISIONS, "");
        let said = known.iter().any(|name| expect.get(name).is_some());
        if !said {
            self.notes.error(Problem::new(&field.path, "nothing is expected"));
        }
        Some(Expected {
            decision: (!decision.is_empty()).then_some(decision),
            workflow: expect.named("workflow"),
            rule: expect.get("rule").map(|field| Self::rule(&expect, &field)),
            reason: expect.named("reason"),
            shadow: expect.get("shadow").map(|_| Self::numbers(&expect, "shadow")),
        })
    }

    /// A rule by its number, its description or its expression; `none`.
    fn rule(expect: &Object<'a>, field: &Field<'a>) -> ExpectedRule {
        match &field.node.value {
            Value::Int(number) => ExpectedRule::Number(u32::try_from(*number).unwrap_or(0)),
            _ => match expect.read_text(field) {
                Some(text) if text == "none" => ExpectedRule::None,
                Some(text) => ExpectedRule::Said(text),
                None => ExpectedRule::None,
            },
        }
    }

    fn numbers(expect: &Object<'a>, name: &str) -> Vec<u32> {
        let number = |field: &Field<'a>| match field.node.value {
            Value::Int(number) => u32::try_from(number).ok(),
            _ => None,
        };
        let items = expect.items(name);
        let numbers: Vec<u32> = items.iter().filter_map(number).collect();
        if numbers.len() < items.len() {
            expect.error(name, format!("`{name}` is a list of numbers of rules, from 1"));
        }
        numbers
    }

    fn instant(object: &Object<'a>) -> Option<Timestamp> {
        let text = object.named("at")?;
        let read = serde_json::from_value(serde_json::Value::String(text.clone())).ok();
        if read.is_none() {
            object.error("at", format!("`{text}` is not a time; write `2026-11-20T18:00:00Z`"));
        }
        read
    }

    /// Who calls; what is not said is as in `otherwise`.
    fn caller(notes: &'a Notes<'a>, field: &Field<'a>, otherwise: &Caller) -> Option<Caller> {
        let known = ["user", "key", "agent", "client", "tools", "servers"];
        let caller = Object::of(notes, field.path.clone(), field.node, &known)?;
        let mut read = otherwise.clone();
        read.user = caller.named("user").unwrap_or(read.user);
        read.key = caller.named("key").unwrap_or(read.key);
        read.client = caller.named("client").or(read.client);
        read.tools = caller.texts("tools").or(read.tools);
        read.servers = caller.texts("servers").or(read.servers);
        if let Some(field) = caller.get("agent") {
            let agent = Object::of(notes, field.path, field.node, &["name", "kind", "tags"])?;
            read.agent_name = agent.named("name").or(read.agent_name).or_else(|| Some("agent".to_owned()));
            read.agent_kind = agent.named("kind").unwrap_or(read.agent_kind);
            read.agent_tags = agent.texts("tags").unwrap_or(read.agent_tags);
        }
        Some(read)
    }
}
