//! The common shapes of CEL conditions, answered without the interpreter.
//!
//! Comparing one argument with a constant, text predicates, membership in a constant list,
//! `has`, and their `&&`, `||`, `!`. It gives exactly the interpreter's answer or none: whatever
//! could be an error (a missing argument, a type that does not fit) is left to the interpreter.

use std::cmp::Ordering;

use ::cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};

use super::simple::{Literal, Operator, order_mixed};
use crate::json::Json;

#[derive(Debug)]
pub(crate) enum Quick {
    Constant(bool),
    Has { path: Vec<String> },
    Compare { path: Vec<String>, operator: Operator, value: Literal },
    In { path: Vec<String>, values: Vec<Literal> },
    Text { path: Vec<String>, predicate: Predicate, value: String },
    Not(Box<Quick>),
    And(Box<Quick>, Box<Quick>),
    Or(Box<Quick>, Box<Quick>),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Predicate {
    StartsWith,
    EndsWith,
    Contains,
}

impl Quick {
    /// The quick form of `root`, if it has one.
    pub(crate) fn of(root: &IdedExpr) -> Option<Self> {
        match &root.expr {
            Expr::Literal(LiteralValue::Boolean(answer)) => Some(Quick::Constant(*answer.inner())),
            Expr::Select(select) if select.test => {
                let mut path = args_path(&select.operand)?;
                path.push(select.field.clone());
                Some(Quick::Has { path })
            }
            Expr::Call(call) => Self::of_call(call),
            _ => None,
        }
    }

    fn of_call(call: &CallExpr) -> Option<Self> {
        match (call.func_name.as_str(), call.target.as_deref(), call.args.as_slice()) {
            (operators::LOGICAL_NOT, None, [operand]) => Some(Quick::Not(Box::new(Self::of(operand)?))),
            (operators::LOGICAL_AND, None, [left, right]) => {
                Some(Quick::And(Box::new(Self::of(left)?), Box::new(Self::of(right)?)))
            }
            (operators::LOGICAL_OR, None, [left, right]) => {
                Some(Quick::Or(Box::new(Self::of(left)?), Box::new(Self::of(right)?)))
            }
            (operators::IN, None, [left, right]) => {
                let Expr::List(list) = &right.expr else { return None };
                if !list.optional_indices.is_empty() {
                    return None;
                }
                let values = list.elements.iter().map(constant).collect::<Option<_>>()?;
                Some(Quick::In { path: args_path(left)?, values })
            }
            (name, None, [left, right]) => {
                let operator = operator(name)?;
                if let (Some(path), Some(value)) = (args_path(left), constant(right)) {
                    return Some(Quick::Compare { path, operator, value });
                }
                let (value, path) = (constant(left)?, args_path(right)?);
                Some(Quick::Compare { path, operator: mirrored(operator), value })
            }
            (name, Some(target), [argument]) => {
                let predicate = match name {
                    "startsWith" => Predicate::StartsWith,
                    "endsWith" => Predicate::EndsWith,
                    "contains" => Predicate::Contains,
                    _ => return None,
                };
                let Literal::String(value) = constant(argument)? else { return None };
                Some(Quick::Text { path: args_path(target)?, predicate, value })
            }
            _ => None,
        }
    }

    /// The answer, unless only the interpreter can tell.
    pub(crate) fn matches(&self, args: &Json<'_>) -> Option<bool> {
        match self {
            Quick::Constant(answer) => Some(*answer),
            Quick::Has { path } => {
                let (last, parents) = path.split_last()?;
                match args.at(parents)? {
                    holder @ Json::Map(_) => Some(holder.get(last).is_some()),
                    _ => None,
                }
            }
            Quick::Compare { path, operator, value } => {
                let found = args.at(path)?;
                if operator.is_ordering() {
                    Some(operator.accepts(order(found, value)?))
                } else {
                    Some(equal(found, value)? == (*operator == Operator::Equal))
                }
            }
            Quick::In { path, values } => {
                let found = args.at(path)?;
                values.iter().try_fold(false, |any, value| Some(any | equal(found, value)?))
            }
            Quick::Text { path, predicate, value } => {
                let Json::String(text) = args.at(path)? else { return None };
                Some(match predicate {
                    Predicate::StartsWith => text.starts_with(value.as_str()),
                    Predicate::EndsWith => text.ends_with(value.as_str()),
                    Predicate::Contains => text.contains(value.as_str()),
                })
            }
            Quick::Not(operand) => operand.matches(args).map(|answer| !answer),
            // An error beside `false` is absorbed in CEL, on either side.
            Quick::And(left, right) => match left.matches(args) {
                Some(false) => Some(false),
                Some(true) => right.matches(args),
                None => right.matches(args).filter(|answer| !answer),
            },
            Quick::Or(left, right) => match left.matches(args) {
                Some(true) => Some(true),
                Some(false) => right.matches(args),
                None => right.matches(args).filter(|answer| *answer),
            },
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

/// The names below `args` that `node` selects.
pub(crate) fn args_path(node: &IdedExpr) -> Option<Vec<String>> {
    match &node.expr {
        Expr::Ident(name) => (name == "args").then(Vec::new),
        Expr::Select(select) if !select.test => {
            let mut path = args_path(&select.operand)?;
            path.push(select.field.clone());
            Some(path)
        }
        // `args['a-b']`
        Expr::Call(call) if call.func_name == operators::INDEX => {
            let [holder, key] = call.args.as_slice() else { return None };
            let Literal::String(name) = constant(key)? else { return None };
            let mut path = args_path(holder)?;
            path.push(name);
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
