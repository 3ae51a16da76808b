//! The common shapes of CEL conditions, answered without the interpreter.
//!
//! Comparing one value with a constant, text predicates, membership, sizes, `has`, and their
//! `&&`, `||`, `!`. It gives exactly the interpreter's answer or none: whatever could be an error
//! (a missing argument, a type that does not fit) is left to the interpreter.

use std::cmp::Ordering;

use ::cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};

use super::{
    reading::Root,
    simple::{Literal, Operator, order_mixed},
};
use crate::{
    engine::{EvalError, Pattern},
    json::Json,
};

#[derive(Debug)]
pub(crate) enum Quick {
    Constant(bool),
    /// A test of the value at a path.
    Test {
        path: Path,
        test: Test,
    },
    Has(Path),
    Not(Box<Quick>),
    And(Box<Quick>, Box<Quick>),
    Or(Box<Quick>, Box<Quick>),
}

#[derive(Debug)]
pub(crate) struct Path {
    root: Root,
    names: Vec<String>,
}

#[derive(Debug)]
pub(crate) enum Test {
    Compare(Operator, Literal),
    /// `value in [...]`
    OneOf(Vec<Literal>),
    /// `constant in value`
    Holds(Literal),
    /// `size(value)` compares so with the number.
    Size(Operator, i64),
    StartsWith(String),
    EndsWith(String),
    Contains(String),
    Matches(Box<Pattern>),
}

impl Quick {
    /// The quick form of `root`, if it has one.
    pub(crate) fn of(root: &IdedExpr) -> Option<Self> {
        match &root.expr {
            Expr::Literal(LiteralValue::Boolean(answer)) => Some(Quick::Constant(*answer.inner())),
            Expr::Select(select) if select.test => {
                let mut path = path(&select.operand)?;
                path.names.push(select.field.clone());
                Some(Quick::Has(path))
            }
            Expr::Call(call) => Self::of_call(call),
            _ => None,
        }
    }

    fn of_call(call: &CallExpr) -> Option<Self> {
        let both = |left, right| Some((Box::new(Self::of(left)?), Box::new(Self::of(right)?)));
        match (call.func_name.as_str(), call.target.as_deref(), call.args.as_slice()) {
            (operators::LOGICAL_NOT, None, [operand]) => Some(Quick::Not(Box::new(Self::of(operand)?))),
            (operators::LOGICAL_AND, None, [left, right]) => both(left, right).map(|(a, b)| Quick::And(a, b)),
            (operators::LOGICAL_OR, None, [left, right]) => both(left, right).map(|(a, b)| Quick::Or(a, b)),
            (operators::IN, None, [left, right]) => {
                if let Some(value) = constant(left) {
                    return Some(Quick::Test { path: path(right)?, test: Test::Holds(value) });
                }
                let Expr::List(list) = &right.expr else { return None };
                let values = list.elements.iter().map(constant).collect::<Option<_>>()?;
                let plain = list.optional_indices.is_empty();
                plain.then_some(Quick::Test { path: path(left)?, test: Test::OneOf(values) })
            }
            (name, None, [left, right]) => {
                let operator = operator(name)?;
                Self::comparison(left, operator, right).or_else(|| Self::comparison(right, mirrored(operator), left))
            }
            (name, Some(target), [argument]) => {
                let Literal::String(text) = constant(argument)? else { return None };
                let test = match name {
                    "startsWith" => Test::StartsWith(text),
                    "endsWith" => Test::EndsWith(text),
                    "contains" => Test::Contains(text),
                    "matches" => Test::Matches(Box::new(Pattern::compile(&text).ok()?)),
                    _ => return None,
                };
                Some(Quick::Test { path: path(target)?, test })
            }
            _ => None,
        }
    }

    fn comparison(subject: &IdedExpr, operator: Operator, value: &IdedExpr) -> Option<Self> {
        let value = constant(value)?;
        if let Some(path) = path(subject) {
            return Some(Quick::Test { path, test: Test::Compare(operator, value) });
        }
        let Expr::Call(call) = &subject.expr else { return None };
        let (("size", Some(measured), []) | ("size", None, [measured])) =
            (call.func_name.as_str(), call.target.as_deref(), call.args.as_slice())
        else {
            return None;
        };
        let Literal::Int(number) = value else { return None };
        Some(Quick::Test { path: path(measured)?, test: Test::Size(operator, number) })
    }

    /// The answer, unless only the interpreter can tell. Fails as `variable` does.
    pub(crate) fn matches<'d, V>(&self, variable: &V) -> Result<Option<bool>, EvalError>
    where
        V: Fn(Root) -> Result<&'d Json<'d>, EvalError>,
    {
        Ok(match self {
            Quick::Constant(answer) => Some(*answer),
            Quick::Has(path) => {
                let Some((last, parents)) = path.names.split_last() else { return Ok(None) };
                match variable(path.root)?.at(parents) {
                    Some(holder @ Json::Map(_)) => Some(holder.get(last).is_some()),
                    _ => None,
                }
            }
            Quick::Test { path, test } => variable(path.root)?.at(&path.names).and_then(|found| test.holds(found)),
            Quick::Not(operand) => operand.matches(variable)?.map(|answer| !answer),
            // An error beside `false` is absorbed in CEL, on either side.
            Quick::And(left, right) => match left.matches(variable)? {
                Some(false) => Some(false),
                Some(true) => right.matches(variable)?,
                None => right.matches(variable)?.filter(|answer| !answer),
            },
            Quick::Or(left, right) => match left.matches(variable)? {
                Some(true) => Some(true),
                Some(false) => right.matches(variable)?,
                None => right.matches(variable)?.filter(|answer| *answer),
            },
        })
    }
}

impl Test {
    fn holds(&self, found: &Json<'_>) -> Option<bool> {
        match (self, found) {
            (Test::Compare(operator, value), _) if operator.is_ordering() => {
                Some(operator.accepts(order(found, value)?))
            }
            (Test::Compare(operator, value), _) => Some(equal(found, value)? == (*operator == Operator::Equal)),
            (Test::OneOf(values), _) => values.iter().try_fold(false, |any, value| Some(any | equal(found, value)?)),
            (Test::Holds(value), Json::List(items)) => {
                items.iter().try_fold(false, |any, item| Some(any | equal(item, value)?))
            }
            (Test::Holds(Literal::String(name)), Json::Map(_)) => Some(found.get(name).is_some()),
            (Test::Size(operator, number), _) => {
                let size = match found {
                    Json::String(text) => text.chars().count(),
                    Json::List(items) => items.len(),
                    Json::Map(members) => members.len(),
                    _ => return None,
                };
                Some(operator.accepts(i64::try_from(size).ok()?.cmp(number)))
            }
            (Test::StartsWith(part), Json::String(text)) => Some(text.starts_with(part.as_str())),
            (Test::EndsWith(part), Json::String(text)) => Some(text.ends_with(part.as_str())),
            (Test::Contains(part), Json::String(text)) => Some(text.contains(part.as_str())),
            (Test::Matches(pattern), Json::String(text)) => pattern.is_match_within_budget(text),
            _ => None,
        }
    }
}

/// CEL's equality where it is plain; `None` leaves it to the interpreter.
fn equal(found: &Json<'_>, value: &Literal) -> Option<bool> {
    Some(match (found, value) {
        (Json::Int(_) | Json::Uint(_) | Json::Double(_), Literal::Int(_) | Literal::Double(_)) => {
            order(found, value)?.is_eq()
        }
        (Json::String(a), Literal::String(b)) => a == b,
        (Json::Bool(a), Literal::Bool(b)) => a == b,
        (Json::Null, Literal::Null) => true,
        (Json::List(_) | Json::Map(_), _) => return None,
        // Values of different types are unequal, not an error.
        _ => false,
    })
}

fn order(found: &Json<'_>, value: &Literal) -> Option<Ordering> {
    match (found, value) {
        (Json::Int(a), Literal::Int(b)) => Some(a.cmp(b)),
        (Json::Uint(_), Literal::Int(_)) => Some(Ordering::Greater),
        (Json::Double(a), Literal::Int(b)) => order_mixed((*b).into(), *a).map(Ordering::reverse),
        (Json::Int(a), Literal::Double(b)) => order_mixed((*a).into(), *b),
        (Json::Uint(a), Literal::Double(b)) => order_mixed((*a).into(), *b),
        (Json::Double(a), Literal::Double(b)) => a.partial_cmp(b),
        (Json::String(a), Literal::String(b)) => Some((**a).cmp(b)),
        _ => None,
    }
}

pub(crate) fn operator(name: &str) -> Option<Operator> {
    Some(match name {
        operators::EQUALS => Operator::Equal,
        operators::NOT_EQUALS => Operator::NotEqual,
        operators::LESS => Operator::Less,
        operators::LESS_EQUALS => Operator::LessEqual,
        operators::GREATER => Operator::Greater,
        operators::GREATER_EQUALS => Operator::GreaterEqual,
        _ => return None,
    })
}

/// The operator with its operands swapped.
pub(crate) fn mirrored(operator: Operator) -> Operator {
    match operator {
        Operator::Less => Operator::Greater,
        Operator::LessEqual => Operator::GreaterEqual,
        Operator::Greater => Operator::Less,
        Operator::GreaterEqual => Operator::LessEqual,
        same => same,
    }
}

/// The variable that `node` reads, and the names it selects below it.
fn path(node: &IdedExpr) -> Option<Path> {
    match &node.expr {
        // The time is no JSON.
        Expr::Ident(name) => {
            Root::named(name).filter(|root| *root != Root::Now).map(|root| Path { root, names: Vec::new() })
        }
        Expr::Select(select) if !select.test => {
            let mut path = path(&select.operand)?;
            path.names.push(select.field.clone());
            Some(path)
        }
        // `args['a-b']`
        Expr::Call(call) if call.func_name == operators::INDEX => {
            let [holder, key] = call.args.as_slice() else { return None };
            let Literal::String(name) = constant(key)? else { return None };
            let mut path = path(holder)?;
            path.names.push(name);
            Some(path)
        }
        _ => None,
    }
}

/// A constant of a type JSON has.
pub(crate) fn constant(node: &IdedExpr) -> Option<Literal> {
    let Expr::Literal(literal) = &node.expr else { return None };
    Some(match literal {
        LiteralValue::Boolean(truth) => Literal::Bool(*truth.inner()),
        LiteralValue::Double(number) => Literal::Double(*number.inner()),
        LiteralValue::Int(number) => Literal::Int(*number.inner()),
        LiteralValue::Null => Literal::Null,
        LiteralValue::String(text) => Literal::String(text.inner().to_owned()),
        LiteralValue::UInt(_) | LiteralValue::Bytes(_) => return None,
    })
}
