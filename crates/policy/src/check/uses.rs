//! The uses a condition makes of its arguments.

use std::collections::HashMap;

use ::cel::common::ast::{Expr, IdedExpr, operators};
use preloop_types::config::Language;

use crate::{
    condition::{
        self,
        quick::constant,
        simple::{Literal, Operator, Simple},
    },
    engine::{BigStack, Parsed, walk::children},
};

/// One use of one argument.
#[derive(Debug)]
pub(crate) struct Use {
    /// Below `args`.
    pub(crate) path: Vec<Segment>,
    pub(crate) wants: Wants,
    /// The characters of the expression that spell it.
    pub(crate) span: Option<(usize, usize)>,
    /// Whether the condition can only match when this use holds.
    decisive: bool,
    /// Whether the condition is nothing but this use.
    pub(crate) is_whole: bool,
}

/// One step down.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Segment {
    Field(String),
    /// Any item of a list.
    Item,
}

impl Segment {
    pub(crate) fn field(&self) -> Option<&str> {
        if let Segment::Field(name) = self { Some(name) } else { None }
    }
}

/// What a use takes for granted.
#[derive(Debug)]
pub(crate) enum Wants {
    Nothing,
    /// A text, for this function.
    Text(String),
    /// Something that compares so with this.
    Comparison(Operator, Literal),
}

/// `args.a.b[]`
pub(crate) fn spell(path: &[Segment]) -> String {
    path.iter().fold("args".to_owned(), |text, segment| match segment {
        Segment::Field(name) => format!("{text}.{name}"),
        Segment::Item => format!("{text}[]"),
    })
}

pub(crate) fn uses_of(expression: &str, language: Language, stack: &BigStack) -> Vec<Use> {
    match language {
        Language::Simple => {
            Simple::parse(expression).ok().and_then(|simple| simple_use(expression, simple)).into_iter().collect()
        }
        Language::Cel => match condition::parse_cel(expression, stack) {
            Ok(parsed) => {
                let mut walk = Walk { parsed: &parsed, uses: Vec::new() };
                walk.node(&parsed.expression, &HashMap::new(), true);
                if let [only] = walk.uses.as_mut_slice() {
                    only.is_whole = is_comparison(&parsed.expression);
                }
                walk.uses
            }
            Err(_) => Vec::new(),
        },
    }
}

fn simple_use(expression: &str, simple: Simple) -> Option<Use> {
    let (path, wants) = match simple {
        Simple::Constant(_) => return None,
        Simple::Compare { path, operator, value } => (path, Wants::Comparison(operator, value)),
        Simple::Contains { path, .. } => (path, Wants::Text("contains".to_owned())),
        Simple::Matches { path, .. } => (path, Wants::Text("matches".to_owned())),
    };
    let start = expression.chars().take_while(|c| c.is_whitespace()).count();
    let prefix = if expression.trim_start().starts_with("args.") { "args.".len() } else { 0 };
    let length = prefix + path.join(".").chars().count();
    let path = path.into_iter().map(Segment::Field).collect();
    Some(Use { path, wants, span: Some((start, start + length)), decisive: true, is_whole: true })
}

/// Loop variables and what they stand for, where known.
type Bound<'e> = HashMap<&'e str, Option<Vec<Segment>>>;

struct Walk<'a> {
    parsed: &'a Parsed,
    uses: Vec<Use>,
}

impl Walk<'_> {
    /// `decisive`: the whole condition can only hold if `node` does.
    fn node<'e>(&mut self, node: &'e IdedExpr, bound: &Bound<'e>, decisive: bool) {
        if let Some(path) = path_of(node, bound) {
            if !path.is_empty() {
                self.note(path, Wants::Nothing, node, decisive);
            }
            return;
        }
        match &node.expr {
            // `has(args.a.b)` tests for `b`; that `a` is there is taken for granted.
            Expr::Select(select) if select.test => {
                if let Some(mut path) = path_of(&select.operand, bound) {
                    path.push(Segment::Field(select.field.clone()));
                    self.note(path, Wants::Nothing, &select.operand, decisive);
                    return;
                }
            }
            Expr::Call(call) => {
                if call.func_name == operators::LOGICAL_AND {
                    call.args.iter().for_each(|arg| self.node(arg, bound, decisive));
                    return;
                }
                if let Some((subject, wants)) = wants_of(call.target.as_deref(), &call.func_name, &call.args)
                    && let Some(path) = path_of(subject, bound)
                    && !path.is_empty()
                {
                    self.note(path, wants, subject, decisive);
                    return;
                }
                if let (operators::IN, [left, right]) = (call.func_name.as_str(), call.args.as_slice())
                    && let (Some(path), Expr::List(list)) = (path_of(left, bound), &right.expr)
                {
                    for value in list.elements.iter().filter_map(constant) {
                        self.note(path.clone(), Wants::Comparison(Operator::Equal, value), left, false);
                    }
                    return;
                }
            }
            Expr::Comprehension(c) => {
                self.node(&c.iter_range, bound, false);
                self.node(&c.accu_init, bound, false);
                let item = path_of(&c.iter_range, bound).map(|mut path| {
                    path.push(Segment::Item);
                    path
                });
                let mut inner = bound.clone();
                inner.insert(&c.iter_var, item);
                inner.insert(&c.accu_var, None);
                for part in [&c.loop_cond, &c.loop_step, &c.result] {
                    self.node(part, &inner, false);
                }
                return;
            }
            _ => {}
        }
        for child in children(&node.expr) {
            self.node(child, bound, false);
        }
    }

    fn note(&mut self, path: Vec<Segment>, wants: Wants, node: &IdedExpr, decisive: bool) {
        let mut first = node;
        while let Expr::Select(select) = &first.expr {
            first = &select.operand;
        }
        let text = spell(&path);
        let span = match self.parsed.span_of(first.id, &text) {
            Some((start, end)) if end - start == text.chars().count() => Some((start, end)),
            _ => self.parsed.span(node.id),
        };
        self.uses.push(Use { path, wants, span, decisive, is_whole: false });
    }
}

/// Whether `node` compares one thing with a constant.
fn is_comparison(node: &IdedExpr) -> bool {
    match &node.expr {
        Expr::Call(call) => condition::quick::operator(&call.func_name).is_some(),
        _ => false,
    }
}

/// What `function` takes for granted of one of its operands.
fn wants_of<'e>(target: Option<&'e IdedExpr>, function: &str, args: &'e [IdedExpr]) -> Option<(&'e IdedExpr, Wants)> {
    match (target, args) {
        (Some(target), _) if ["startsWith", "endsWith", "contains", "matches"].contains(&function) => {
            // CEL's `contains` is for texts alone; a list has `in`.
            let function = if function == "contains" { "contains()" } else { function };
            Some((target, Wants::Text(function.to_owned())))
        }
        (None, [left, right]) => {
            let operator = condition::quick::operator(function)?;
            match (constant(left), constant(right)) {
                (None, Some(value)) => Some((left, Wants::Comparison(operator, value))),
                (Some(value), None) => Some((right, Wants::Comparison(condition::quick::mirrored(operator), value))),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The path that `node` selects, below `args` or a loop variable that stands for part of it.
fn path_of<'e>(node: &'e IdedExpr, bound: &Bound<'e>) -> Option<Vec<Segment>> {
    match &node.expr {
        Expr::Ident(name) => match bound.get(name.as_str()) {
            Some(path) => path.clone(),
            None => (name == "args").then(Vec::new),
        },
        Expr::Select(select) if !select.test => {
            let mut path = path_of(&select.operand, bound)?;
            path.push(Segment::Field(select.field.clone()));
            Some(path)
        }
        Expr::Call(call) if call.func_name == operators::INDEX => {
            let [holder, key] = call.args.as_slice() else { return None };
            let mut path = path_of(holder, bound)?;
            path.push(match constant(key)? {
                Literal::String(name) => Segment::Field(name),
                Literal::Int(_) => Segment::Item,
                _ => return None,
            });
            Some(path)
        }
        _ => None,
    }
}

/// Two comparisons that must both hold and cannot.
pub(crate) fn contradiction(uses: &[Use]) -> Option<String> {
    let decisive: Vec<_> = uses
        .iter()
        .filter(|used| used.decisive && !used.path.contains(&Segment::Item))
        .filter_map(|used| match &used.wants {
            Wants::Comparison(operator, value) => Some((&used.path, *operator, value)),
            _ => None,
        })
        .collect();
    for (at, (path, operator, value)) in decisive.iter().enumerate() {
        for (_, other_operator, other) in decisive[..at].iter().filter(|(other, ..)| other == path) {
            if !compatible(*operator, value, *other_operator, other) {
                return Some(format!("`{}` cannot satisfy both comparisons", spell(path)));
            }
        }
    }
    None
}

/// Whether some value satisfies both comparisons. Says yes in doubt.
fn compatible(a: Operator, x: &Literal, b: Operator, y: &Literal) -> bool {
    if a == Operator::Equal && b == Operator::Equal {
        return match (number(x), number(y)) {
            (Some(x), Some(y)) => (x - y).abs() < f64::EPSILON,
            _ => x == y,
        };
    }
    let (Some(x), Some(y)) = (number(x), number(y)) else { return true };
    let holds = |operator: Operator, value: f64, bound: f64| {
        value.partial_cmp(&bound).is_some_and(|ordering| operator.accepts(ordering))
    };
    // If any value satisfies both, then one at, beside or between the bounds does.
    let middle = f64::midpoint(x, y);
    [x, y, middle, x - 1.0, x + 1.0, y - 1.0, y + 1.0].iter().any(|value| holds(a, *value, x) && holds(b, *value, y))
}

fn number(value: &Literal) -> Option<f64> {
    match value {
        #[expect(clippy::cast_precision_loss, reason = "in doubt the comparisons count as compatible")]
        Literal::Int(number) => Some(*number as f64),
        Literal::Double(number) => Some(*number),
        _ => None,
    }
}
