//! Conditions against what their tools take, before any call is made.
//!
//! A condition that reads an argument its tool does not have, compares it with what it never
//! holds, or can never match is a mistake that evaluation would hide: as a denial of every call,
//! or as a rule that silently protects nothing.

mod schema;
pub(crate) mod uses;

use preloop_types::{
    PROMPTS_GET, RESOURCES_READ,
    config::{Language, ToolConfig},
};
use serde_json::{Value, json, value::RawValue};

use self::{
    schema::{Lookup, Shape},
    uses::{Use, Wants, uses_of},
};
use crate::{
    condition::{
        self,
        simple::{Literal, Operator, Simple},
    },
    document::{Document, Problem, RuleEntry, Source, ToolOrigin},
    engine::{BigStack, Library, on_big_stack},
    suggest::nearest,
};

/// What a tool takes.
#[derive(Debug, Clone, Copy)]
pub struct ToolSchema<'a> {
    /// Its server's name; `builtin` for a built-in tool.
    pub server: &'a str,
    /// The name the server gives it.
    pub name: &'a str,
    /// Its input schema.
    pub schema: &'a RawValue,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its kind, in one word: `unreachable`, `shadowed`, `never_matches`, `always_fails`, `argument`,
    /// `unknown_tool`.
    pub code: &'static str,
    /// Whether the condition cannot be meant so, or only looks odd.
    pub severity: Severity,
    /// What and where.
    pub problem: Problem,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It would deny every call, or never do what it says.
    Error,
    /// Worth a look.
    Warning,
}

/// Checks every condition of a document. `source` is the text it was read from.
pub fn document(document: &Document, source: &Source, tools: &[ToolSchema<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, tool) in document.tools.iter().enumerate() {
        let path = format!("$.tools.{index}");
        let matching = tools.iter().filter(|schema| {
            schema.name == tool.name
                && match &tool.source {
                    ToolOrigin::Builtin => schema.server == "builtin",
                    ToolOrigin::AnyServer => schema.server != "builtin",
                    ToolOrigin::Server(name) => schema.server == name,
                    // What agents' own tools take is not known here.
                    ToolOrigin::Agent => false,
                }
        });
        let schemas: Vec<Value> = match read_schema(&tool.name) {
            Some(schema) if tool.source != ToolOrigin::Builtin => vec![schema],
            _ => matching.filter_map(|tool| serde_json::from_str(tool.schema.get()).ok()).collect(),
        };
        if schemas.is_empty()
            && let ToolOrigin::Server(server) = &tool.source
        {
            findings.extend(unknown_tool(&tool.name, server, &format!("{path}.name"), tools));
        }
        // The shorthand `condition` comes last; it has no other place.
        let place = |at: usize| format!("{path}.conditions.{at}.expression");
        findings.extend(rules(&tool.name, &tool.conditions, &schemas, place));
    }
    findings
        .into_iter()
        .map(|Found { code, severity, problem, within }| {
            let place = within.and_then(|(text, span)| source.place_in(&problem.path, &text, span));
            let problem = Problem { place, ..problem };
            Finding { code, severity, problem: source.locate(problem) }
        })
        .collect()
}

/// Checks the rules of one configuration. Paths are `$.rules.0.expression`.
pub fn config(config: &ToolConfig, schema: Option<&RawValue>) -> Vec<Finding> {
    let entries: Vec<RuleEntry> = config
        .rules
        .iter()
        .map(|rule| RuleEntry {
            expression: rule.expression.clone(),
            action: rule.action,
            language: rule.language,
            description: None,
            approval_workflow: None,
            enabled: rule.is_enabled,
            overridable: rule.overridable,
            shadow: rule.shadow,
        })
        .collect();
    let of_tool = || schema.and_then(|schema| serde_json::from_str(schema.get()).ok());
    let schemas: Vec<Value> = read_schema(&config.tool_name).or_else(of_tool).into_iter().collect();
    let found = rules(&config.tool_name, &entries, &schemas, |at| format!("$.rules.{at}.expression"));
    found.into_iter().map(|Found { code, severity, problem, .. }| Finding { code, severity, problem }).collect()
}

/// What the arguments are of a method that is governed like a tool.
fn read_schema(name: &str) -> Option<Value> {
    let properties = match name {
        RESOURCES_READ => json!({"uri": {"type": "string"}}),
        PROMPTS_GET => json!({"name": {"type": "string"}, "arguments": {"type": "object"}}),
        _ => return None,
    };
    Some(json!({"type": "object", "properties": properties}))
}

/// Why `expression` cannot be a condition in `language`, if so.
pub fn syntax(expression: &str, language: Language) -> Result<(), Problem> {
    let compiled = on_big_stack(|stack| {
        condition::Condition::compile(Some(expression), language, &mut Library::default(), stack).map(drop)
    });
    match compiled {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Problem::new("$.expression", error.message)),
        Err(why) => Err(Problem::new("$.expression", why)),
    }
}

/// A finding whose place in the text is still to be found: these characters of this expression.
struct Found {
    code: &'static str,
    severity: Severity,
    problem: Problem,
    within: Option<(String, (usize, usize))>,
}

impl Found {
    fn new(code: &'static str, severity: Severity, path: &str, message: String) -> Self {
        Self { code, severity, problem: Problem::new(path, message), within: None }
    }
}

fn unknown_tool(tool: &str, server: &str, path: &str, tools: &[ToolSchema<'_>]) -> Option<Found> {
    let offered: Vec<_> = tools.iter().filter(|schema| schema.server == server).map(|schema| schema.name).collect();
    if offered.is_empty() {
        return None;
    }
    let message = format!("server `{server}` offers no tool `{tool}`");
    let mut found = Found::new("unknown_tool", Severity::Warning, path, message);
    found.problem.help = nearest(tool, offered).map(|near| format!("did you mean `{near}`?"));
    Some(found)
}

/// Checks the rules of one tool.
fn rules(tool: &str, rules: &[RuleEntry], schemas: &[Value], path: impl Fn(usize) -> String + Sync) -> Vec<Found> {
    let checked = on_big_stack(|stack| {
        let mut found = Vec::new();
        // The first rule that leaves nothing to those after it; one in shadow mode leaves everything.
        let mut decided_by: Option<usize> = None;
        for (at, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.enabled) {
            if let Some(earlier) = decided_by {
                let message = format!("the rule is never reached: rule {} before it matches every call", earlier + 1);
                found.push(Found::new("unreachable", Severity::Warning, &path(at), message));
                continue;
            }
            let Some(expression) = &rule.expression else {
                decided_by = (!rule.shadow).then_some(at);
                continue;
            };
            let is_twin = |other: &RuleEntry| other.enabled && !other.shadow && other.expression == rule.expression;
            if let Some(twin) = rules[..at].iter().position(is_twin) {
                let message = format!("the rule never matches: rule {} before it has the same condition", twin + 1);
                found.push(Found::new("shadowed", Severity::Warning, &path(at), message));
            }
            match constant(expression, rule.language, stack) {
                Some(Ok(true)) => decided_by = (!rule.shadow).then_some(at),
                Some(Ok(false)) => {
                    let message = "the condition is always false: the rule never matches".to_owned();
                    found.push(Found::new("never_matches", Severity::Warning, &path(at), message));
                }
                Some(Err(why)) => {
                    let message = format!("the condition always fails, which denies the call: {why}");
                    found.push(Found::new("always_fails", Severity::Error, &path(at), message));
                }
                None => found.extend(condition(tool, expression, rule.language, schemas, &path(at), stack)),
            }
        }
        found
    });
    checked.unwrap_or_default()
}

/// The answer of a condition that reads nothing.
fn constant(expression: &str, language: Language, stack: &BigStack) -> Option<Result<bool, String>> {
    if language == Language::Simple {
        return Simple::parse(expression).ok()?.constant().map(Ok);
    }
    let program = condition::parse_cel(expression, stack).ok()?.compile().ok()?;
    if !program.variables().is_empty() {
        return None;
    }
    let mut library = Library::default();
    library.add(&program);
    Some(program.matches(&library.open()).map_err(|error| error.0))
}

fn condition(
    tool: &str,
    expression: &str,
    language: Language,
    schemas: &[Value],
    path: &str,
    stack: &BigStack,
) -> Vec<Found> {
    let uses = uses_of(expression, language, stack);
    let mut found = Vec::new();
    if let Some(contradiction) = uses::contradiction(&uses) {
        let message = format!("the condition can never match: {contradiction}");
        found.push(Found::new("never_matches", Severity::Warning, path, message));
    }
    if schemas.is_empty() {
        return found;
    }
    let root = Shape::of(schemas);
    for used in &uses {
        if let Some((severity, message, help)) = judge(tool, used, &root, language) {
            let mut problem = Problem::new(path, message);
            problem.help = help;
            let within = used.span.map(|span| (expression.to_owned(), span));
            found.push(Found { code: "argument", severity, problem, within });
        }
    }
    found
}

type Judgement = (Severity, String, Option<String>);

/// What is wrong with one use of an argument.
fn judge(tool: &str, used: &Use, root: &Shape<'_>, language: Language) -> Option<Judgement> {
    let mut shape = root.clone();
    for (depth, segment) in used.path.iter().enumerate() {
        shape = match shape.step(segment) {
            Lookup::Found(shape) => shape,
            Lookup::Anything => return None,
            Lookup::Missing(known) => {
                let (holder, name) = (uses::spell(&used.path[..depth]), uses::spell(&used.path[..=depth]));
                let message = format!("condition reads `{name}`, but tool `{tool}` has no such argument");
                let near = segment.field().and_then(|field| nearest(field, known.iter().copied()));
                let help = match near {
                    Some(near) => Some(format!("did you mean `{holder}.{near}`?")),
                    None if known.is_empty() => None,
                    None => Some(format!("`{holder}` has {}", quoted(known.iter().take(12)))),
                };
                return Some((Severity::Error, message, help));
            }
        };
    }
    let name = uses::spell(&used.path);
    match &used.wants {
        Wants::Nothing => None,
        Wants::Text(function) => {
            let fits = shape.may_be("string") || (function == "contains" && shape.may_be("array"));
            (!fits).then(|| {
                let message =
                    format!("condition asks `{function}` of `{name}`, but tool `{tool}` takes {}", shape.describe());
                (Severity::Error, message, None)
            })
        }
        Wants::Comparison(operator, value) => compare(tool, &name, &shape, *operator, value, language),
    }
}

fn compare(
    tool: &str,
    name: &str,
    shape: &Shape<'_>,
    operator: Operator,
    value: &Literal,
    language: Language,
) -> Option<Judgement> {
    let (kind, types): (_, &[&str]) = match value {
        // In the simple language this asks whether the argument is missing.
        Literal::Null if language == Language::Simple => return None,
        Literal::Null => ("null", &["null"]),
        Literal::Bool(_) => ("a boolean", &["boolean"]),
        Literal::Int(_) | Literal::Double(_) => ("a number", &["number", "integer"]),
        Literal::String(_) => ("a text", &["string"]),
    };
    // The simple language orders numbers written as texts.
    let lenient = language == Language::Simple && operator.is_ordering();
    let fits = types.iter().any(|kind| shape.may_be(kind))
        || (lenient && ["string", "number", "integer"].iter().any(|kind| shape.may_be(kind)));
    if !fits {
        let message = format!("condition compares `{name}` with {kind}, but tool `{tool}` takes {}", shape.describe());
        return Some((Severity::Error, message, None));
    }
    if operator == Operator::Equal || operator == Operator::NotEqual {
        let values = shape.values()?;
        if values.iter().any(|allowed| is_same(allowed, value)) {
            return None;
        }
        let message = format!("`{name}` is never {}: tool `{tool}` takes {}", show(value), list(&values));
        let near = match value {
            Literal::String(text) => nearest(text, values.iter().filter_map(|value| value.as_str())),
            _ => None,
        };
        return Some((Severity::Warning, message, near.map(|near| format!("did you mean `{near}`?"))));
    }
    let number = match value {
        #[expect(clippy::cast_precision_loss, reason = "only compared with a schema's bounds")]
        Literal::Int(number) => *number as f64,
        Literal::Double(number) => *number,
        _ => return None,
    };
    let (lowest, highest) = shape.bounds();
    let never = match operator {
        Operator::Greater => highest.is_some_and(|highest| highest <= number),
        Operator::GreaterEqual => highest.is_some_and(|highest| highest < number),
        Operator::Less => lowest.is_some_and(|lowest| lowest >= number),
        Operator::LessEqual => lowest.is_some_and(|lowest| lowest > number),
        _ => false,
    };
    never.then(|| {
        let bound = |bound: Option<f64>, word: &str| bound.map(|bound| format!("{word} {bound}"));
        let bounds: Vec<_> = [bound(lowest, "at least"), bound(highest, "at most")].into_iter().flatten().collect();
        let message =
            format!("the comparison of `{name}` can never hold: tool `{tool}` takes {}", bounds.join(" and "));
        (Severity::Warning, message, None)
    })
}

fn is_same(allowed: &Value, value: &Literal) -> bool {
    match value {
        Literal::Null => allowed.is_null(),
        Literal::Bool(truth) => allowed.as_bool() == Some(*truth),
        Literal::Int(number) => allowed.as_i64() == Some(*number),
        Literal::Double(number) => allowed.as_f64() == Some(*number),
        Literal::String(text) => allowed.as_str() == Some(text),
    }
}

fn show(value: &Literal) -> String {
    match value {
        Literal::Null => "`null`".to_owned(),
        Literal::Bool(truth) => format!("`{truth}`"),
        Literal::Int(number) => format!("`{number}`"),
        Literal::Double(number) => format!("`{number}`"),
        Literal::String(text) => format!("`{text}`"),
    }
}

fn list(values: &[&Value]) -> String {
    quoted(values.iter().take(12).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
}

fn quoted<T: std::fmt::Display>(words: impl IntoIterator<Item = T>) -> String {
    words.into_iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}
