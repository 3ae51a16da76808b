//! Evaluating a [`Node`]. Everywhere `None` means: ask the interpreter.

use std::{borrow::Cow, rc::Rc};

use chrono::{Datelike, Timelike};
use preloop_types::Timestamp;

use super::{
    Arithmetic, ClockPart, Convert, Node, Quantifier, Reshape, TextTest,
    value::{Value, View, Work, equal, order},
};
use crate::{
    condition::{reading::Root, simple::Operator},
    json::Json,
};

/// What an expression can see.
pub(super) struct Scope<'e, 's> {
    variable: &'s dyn Fn(Root) -> Option<&'e Json<'e>>,
    now: Timestamp,
    work: &'s Work,
    local: Option<&'s Local<'e, 's>>,
}

/// A loop's variable, and those of the loops around it.
struct Local<'e, 's> {
    value: Value<'e>,
    outer: Option<&'s Local<'e, 's>>,
}

impl<'e, 's> Scope<'e, 's> {
    pub(super) fn new(variable: &'s dyn Fn(Root) -> Option<&'e Json<'e>>, now: Timestamp, work: &'s Work) -> Self {
        Self { variable, now, work, local: None }
    }

    fn local(&self, depth: usize) -> Option<&Value<'e>> {
        let mut local = self.local?;
        for _ in 0..depth {
            local = local.outer?;
        }
        Some(&local.value)
    }

    /// Runs `body` for each item of `range` until it breaks off. An object's items are its keys.
    fn each(&self, range: &Value<'e>, mut body: impl FnMut(&Scope<'e, '_>) -> Option<Step>) -> Option<()> {
        let mut turn = |value: Value<'e>| {
            self.work.pay(1)?;
            let local = Local { value, outer: self.local };
            body(&Scope { local: Some(&local), ..*self })
        };
        if let Value::Json(Json::Map(members)) = range {
            for (key, _) in members {
                if turn(Value::Text(Cow::Borrowed(key)))? == Step::Stop {
                    break;
                }
            }
            return Some(());
        }
        for at in 0..range.len()? {
            if turn(range.item(at)?)? == Step::Stop {
                break;
            }
        }
        Some(())
    }
}

#[derive(PartialEq)]
enum Step {
    Next,
    Stop,
}

/// What `node` says, if that is a bool.
pub(super) fn test<'e>(node: &'e Node, scope: &Scope<'e, '_>) -> Option<bool> {
    match node {
        Node::Constant(Json::Bool(answer)) => Some(*answer),
        Node::Not(operand) => test(operand, scope).map(|answer| !answer),
        // An error beside `false` is absorbed in CEL, on either side.
        Node::And(operands) => match test(&operands[0], scope) {
            Some(false) => Some(false),
            Some(true) => test(&operands[1], scope),
            None => test(&operands[1], scope).filter(|answer| !answer),
        },
        Node::Or(operands) => match test(&operands[0], scope) {
            Some(true) => Some(true),
            Some(false) => test(&operands[1], scope),
            None => test(&operands[1], scope).filter(|answer| *answer),
        },
        Node::Conditional(parts) => test(if test(&parts[0], scope)? { &parts[1] } else { &parts[2] }, scope),
        Node::Has(holder, name) => read(holder, scope, |holder| match holder {
            View::Map(_) => Some(holder.get(name).is_some()),
            _ => None,
        }),
        Node::HasValue(operand) => Some(matches!(optional(operand, scope)?, Optional::Holds(_))),
        Node::Compare(operator, operands) => compare(*operator, operands, scope),
        Node::In(operands) => is_in(operands, scope),
        Node::TextTest(kind, operands) => read(&operands[0], scope, |text| {
            read(&operands[1], scope, |part| {
                let (text, part) = (text.text()?, part.text()?);
                scope.work.pay_for(text)?;
                Some(match kind {
                    TextTest::StartsWith => text.starts_with(part),
                    TextTest::EndsWith => text.ends_with(part),
                    TextTest::Contains => text.contains(part),
                })
            })
        }),
        Node::Matches(text, pattern) => read(text, scope, |text| {
            let text = text.text()?;
            // The slowest engine reads some eight bytes while others read 64.
            scope.work.pay(text.len() / 8)?;
            pattern.is_match_within_budget(text)
        }),
        Node::Quantify(quantifier, parts) => quantify(*quantifier, &parts[0], &parts[1], scope),
        other => match value_of(other, scope)?.view() {
            View::Bool(answer) => Some(answer),
            _ => None,
        },
    }
}

fn eval<'e>(node: &'e Node, scope: &Scope<'e, '_>) -> Option<Value<'e>> {
    match node {
        Node::Not(_)
        | Node::And(_)
        | Node::Or(_)
        | Node::Has(..)
        | Node::HasValue(_)
        | Node::Compare(..)
        | Node::In(_)
        | Node::TextTest(..)
        | Node::Matches(..)
        | Node::Quantify(..) => test(node, scope).map(Value::Bool),
        other => value_of(other, scope),
    }
}

/// A node that is not a test.
fn value_of<'e>(node: &'e Node, scope: &Scope<'e, '_>) -> Option<Value<'e>> {
    match node {
        Node::Constant(constant) => Some(Value::Json(constant)),
        Node::Path(root, names) => (scope.variable)(*root)?.at(names).map(Value::Json),
        Node::Local(depth) => {
            let value = scope.local(*depth)?;
            if let Value::Text(Cow::Owned(text)) = value {
                scope.work.pay_for(text)?;
            }
            Some(value.clone())
        }
        Node::Clock(part) => Some(Value::Int(read_clock(*part, scope.now))),
        Node::Select(holder, name) => eval(holder, scope)?.member(name),
        Node::Index(operands) => {
            let (holder, index) = (eval(&operands[0], scope)?, eval(&operands[1], scope)?);
            match index.view() {
                View::Text(name) => holder.member(name),
                View::Int(at) => holder.item(usize::try_from(at).ok()?),
                _ => None,
            }
        }
        Node::OrValue(operands) => {
            // Operands are evaluated before it is known whether they are needed.
            let otherwise = eval(&operands[1], scope)?;
            Some(match optional(&operands[0], scope)? {
                Optional::Holds(value) => value,
                Optional::Empty => otherwise,
            })
        }
        Node::Conditional(parts) => eval(if test(&parts[0], scope)? { &parts[1] } else { &parts[2] }, scope),
        Node::Arithmetic(operator, operands) => read(&operands[0], scope, |left| {
            read(&operands[1], scope, |right| arithmetic(*operator, left, right, scope.work))
        }),
        Node::Negate(operand) => match eval(operand, scope)?.view() {
            View::Int(number) => number.checked_neg().map(Value::Int),
            View::Double(number) => Some(Value::Double(-number)),
            _ => None,
        },
        Node::Size(measured) => {
            let size = read(measured, scope, |measured| match measured {
                View::Text(text) => {
                    scope.work.pay_for(text)?;
                    Some(text.chars().count())
                }
                View::Map(members) => Some(members.len()),
                View::List(items) => Some(items.len()),
                _ => None,
            })?;
            Some(Value::Int(i64::try_from(size).ok()?))
        }
        Node::Reshape(how, text) => {
            let text = eval(text, scope)?.text()?;
            scope.work.pay_for(&text)?;
            Some(Value::Text(reshape(*how, text)))
        }
        Node::Split(operands) => split(operands, scope),
        Node::IndexOf(operands) => {
            let (text, part) = (eval(&operands[0], scope)?.text()?, eval(&operands[1], scope)?.text()?);
            scope.work.pay_for(&text)?;
            let at = text.find(&*part).map(|at| text[..at].chars().count());
            Some(Value::Int(at.map_or(Some(-1), |at| i64::try_from(at).ok())?))
        }
        Node::Substring(text, start, end) => {
            let text = eval(text, scope)?.text()?;
            let position = |node| match eval(node, scope)?.view() {
                View::Int(at) => usize::try_from(at).ok(),
                _ => None,
            };
            let start = position(start)?;
            let end = match end {
                Some(end) => Some(position(end)?),
                None => None,
            };
            scope.work.pay_for(&text)?;
            substring(&text, start, end).map(|part| Value::Text(Cow::Owned(part)))
        }
        Node::Convert(to, operand) => convert(*to, eval(operand, scope)?),
        Node::List(nodes) => {
            scope.work.pay(nodes.len())?;
            let values: Option<Vec<_>> = nodes.iter().map(|node| eval(node, scope)).collect();
            Some(Value::List(Rc::new(values?)))
        }
        Node::Collect { range, keep, value } => collect(range, keep.as_deref(), value, scope),
        // The rest are tests, and optionals, which are no values by themselves.
        _ => None,
    }
}

/// Reads what `node` comes to. Most operands lie in the call or the condition, and are read there.
fn read<'e, R>(node: &'e Node, scope: &Scope<'e, '_>, with: impl FnOnce(View<'_>) -> Option<R>) -> Option<R> {
    match found(node, scope) {
        Some(json) => with(View::of(json)),
        None => with(eval(node, scope)?.view()),
    }
}

fn found<'e>(node: &'e Node, scope: &Scope<'e, '_>) -> Option<&'e Json<'e>> {
    match node {
        Node::Constant(constant) => Some(constant),
        Node::Path(root, names) => (scope.variable)(*root)?.at(names),
        Node::Local(depth) => match scope.local(*depth)? {
            Value::Json(json) => Some(json),
            _ => None,
        },
        Node::Select(holder, name) => found(holder, scope)?.get(name),
        _ => None,
    }
}

fn compare<'e>(operator: Operator, operands: &'e [Node; 2], scope: &Scope<'e, '_>) -> Option<bool> {
    read(&operands[0], scope, |left| {
        read(&operands[1], scope, |right| {
            if operator.is_ordering() {
                return Some(operator.accepts(order(left, right)?));
            }
            Some(equal(left, right, scope.work)? == (operator == Operator::Equal))
        })
    })
}

fn is_in<'e>(operands: &'e [Node; 2], scope: &Scope<'e, '_>) -> Option<bool> {
    read(&operands[0], scope, |value| {
        read(&operands[1], scope, |holder| match (value, holder) {
            (View::Text(name), View::Map(_)) => Some(holder.get(name).is_some()),
            (_, View::List(items)) => {
                scope.work.pay(items.len())?;
                for item in items.views() {
                    if equal(item, value, scope.work)? {
                        return Some(true);
                    }
                }
                Some(false)
            }
            _ => None,
        })
    })
}

/// What an optional comes to.
enum Optional<'e> {
    Holds(Value<'e>),
    Empty,
}

fn optional<'e>(node: &'e Node, scope: &Scope<'e, '_>) -> Option<Optional<'e>> {
    let Node::OptionalSelect(holder, name) = node else { return None };
    let holder = if let Node::OptionalSelect(..) = &**holder {
        match optional(holder, scope)? {
            Optional::Holds(holder) => holder,
            Optional::Empty => return Some(Optional::Empty),
        }
    } else {
        eval(holder, scope)?
    };
    Some(holder.member(name).map_or(Optional::Empty, Optional::Holds))
}

fn quantify<'e>(quantifier: Quantifier, range: &'e Node, body: &'e Node, scope: &Scope<'e, '_>) -> Option<bool> {
    let range = eval(range, scope)?;
    let mut holds = 0_usize;
    let mut fails = 0_usize;
    scope.each(&range, |scope| {
        let answer = test(body, scope)?;
        *(if answer { &mut holds } else { &mut fails }) += 1;
        let decided = match quantifier {
            Quantifier::All => !answer,
            Quantifier::Exists => answer,
            // An error further on would be one, however many hold.
            Quantifier::ExistsOne => false,
        };
        Some(if decided { Step::Stop } else { Step::Next })
    })?;
    Some(match quantifier {
        Quantifier::All => fails == 0,
        Quantifier::Exists => holds > 0,
        Quantifier::ExistsOne => holds == 1,
    })
}

fn collect<'e>(range: &'e Node, keep: Option<&'e Node>, value: &'e Node, scope: &Scope<'e, '_>) -> Option<Value<'e>> {
    let range = eval(range, scope)?;
    // An object's keys have no order to collect them in.
    range.len()?;
    let mut collected = Vec::new();
    scope.each(&range, |scope| {
        if keep.map_or(Some(true), |keep| test(keep, scope))? {
            collected.push(eval(value, scope)?);
        }
        Some(Step::Next)
    })?;
    Some(Value::List(Rc::new(collected)))
}

fn arithmetic<'e>(operator: Arithmetic, left: View<'_>, right: View<'_>, work: &Work) -> Option<Value<'e>> {
    match (left, right) {
        (View::Int(a), View::Int(b)) => match operator {
            Arithmetic::Add => a.checked_add(b),
            Arithmetic::Subtract => a.checked_sub(b),
            Arithmetic::Multiply => a.checked_mul(b),
            Arithmetic::Divide => a.checked_div(b),
            Arithmetic::Remainder => a.checked_rem(b),
        }
        .map(Value::Int),
        (View::Double(a), View::Double(b)) => match operator {
            Arithmetic::Add => Some(a + b),
            Arithmetic::Subtract => Some(a - b),
            Arithmetic::Multiply => Some(a * b),
            Arithmetic::Divide => Some(a / b),
            Arithmetic::Remainder => None,
        }
        .map(Value::Double),
        (View::Text(a), View::Text(b)) if matches!(operator, Arithmetic::Add) => {
            work.pay((a.len() + b.len()) / 64)?;
            Some(Value::Text(Cow::Owned(format!("{a}{b}"))))
        }
        _ => None,
    }
}

fn reshape(how: Reshape, text: Cow<'_, str>) -> Cow<'_, str> {
    match (how, text) {
        (Reshape::Lower, text) if !text.bytes().any(|byte| byte.is_ascii_uppercase()) => text,
        (Reshape::Upper, text) if !text.bytes().any(|byte| byte.is_ascii_lowercase()) => text,
        (Reshape::Lower, text) => Cow::Owned(text.to_ascii_lowercase()),
        (Reshape::Upper, text) => Cow::Owned(text.to_ascii_uppercase()),
        (Reshape::Trim, Cow::Borrowed(text)) => Cow::Borrowed(text.trim()),
        (Reshape::Trim, Cow::Owned(text)) => Cow::Owned(text.trim().to_owned()),
    }
}

fn split<'e>(operands: &'e [Node; 2], scope: &Scope<'e, '_>) -> Option<Value<'e>> {
    let (text, separator) = (eval(&operands[0], scope)?.text()?, eval(&operands[1], scope)?.text()?);
    // Every byte may become a value.
    scope.work.pay(text.len())?;
    if separator.is_empty() {
        return None;
    }
    let parts: Vec<_> = match text {
        Cow::Borrowed(text) => text.split(&*separator).map(|part| Value::Text(Cow::Borrowed(part))).collect(),
        Cow::Owned(text) => text.split(&*separator).map(|part| Value::Text(Cow::Owned(part.to_owned()))).collect(),
    };
    Some(Value::List(Rc::new(parts)))
}

/// The characters from `start` up to `end`; none if they are not all there.
fn substring(text: &str, start: usize, end: Option<usize>) -> Option<String> {
    let length = text.chars().count();
    let end = end.unwrap_or(length);
    (start <= end && end <= length).then(|| text.chars().skip(start).take(end - start).collect())
}

fn convert(to: Convert, value: Value<'_>) -> Option<Value<'_>> {
    Some(match (to, value.view()) {
        (Convert::Int, View::Int(number)) => Value::Int(number),
        (Convert::Int, View::Text(text)) => Value::Int(text.parse().ok()?),
        (Convert::Double, View::Double(number)) => Value::Double(number),
        #[expect(clippy::cast_precision_loss, reason = "what CEL's `double` does")]
        (Convert::Double, View::Int(number)) => Value::Double(number as f64),
        (Convert::Double, View::Text(text)) => Value::Double(text.parse().ok()?),
        (Convert::String, View::Int(number)) => Value::Text(Cow::Owned(number.to_string())),
        (Convert::String, View::Text(_)) => value,
        _ => return None,
    })
}

fn read_clock(part: ClockPart, now: Timestamp) -> i64 {
    let now = now.to_datetime();
    match part {
        ClockPart::Year => i64::from(now.year()),
        ClockPart::Month => i64::from(now.month0()),
        ClockPart::Date => i64::from(now.day()),
        ClockPart::DayOfMonth => i64::from(now.day0()),
        ClockPart::DayOfWeek => i64::from(now.weekday().num_days_from_sunday()),
        ClockPart::Hours => i64::from(now.hour()),
        ClockPart::Minutes => i64::from(now.minute()),
        ClockPart::Seconds => i64::from(now.second()),
    }
}
