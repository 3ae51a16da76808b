//! Calls that could tell two policies apart: arguments made of the values that the policies'
//! conditions compare with, and of those just beside them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{
    check::uses::{Segment, Wants, uses_of},
    condition::simple::Literal,
    document::RuleEntry,
    engine::BigStack,
};

/// Most calls tried for one tool.
const CALLS_MAX: usize = 4_096;
/// Most values tried for one argument.
const VALUES_MAX: usize = 24;

/// Arguments to try on a tool with these rules. The first is no arguments at all.
pub(super) fn arguments<'r>(rules: impl Iterator<Item = &'r RuleEntry>, stack: &BigStack) -> Vec<Value> {
    let mut values: BTreeMap<Vec<Step>, Vec<Value>> = BTreeMap::new();
    for rule in rules {
        let Some(expression) = &rule.expression else { continue };
        let texts = texts_in(expression);
        for used in uses_of(expression, rule.language, stack) {
            let path: Vec<Step> = used.path.iter().map(Step::from).collect();
            let of_path = values.entry(path).or_default();
            match &used.wants {
                Wants::Comparison(_, value) => of_path.extend(around(value)),
                Wants::Text(_) => of_path.push(json!("other")),
                Wants::Nothing => of_path.extend([json!("other"), json!(1)]),
            }
            if !matches!(used.wants, Wants::Comparison(_, Literal::Int(_) | Literal::Double(_))) {
                of_path.extend(texts.iter().map(|text| json!(text)));
            }
        }
    }
    let mut choices: Vec<(Vec<Step>, Vec<Value>)> = values.into_iter().collect();
    for (_, values) in &mut choices {
        let mut distinct: Vec<Value> = Vec::new();
        for value in values.drain(..) {
            if !distinct.contains(&value) {
                distinct.push(value);
            }
        }
        distinct.truncate(VALUES_MAX);
        *values = distinct;
    }
    combine(&choices)
}

/// A step down, as an object key; an item of a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Field(String),
    Item,
}

impl From<&Segment> for Step {
    fn from(segment: &Segment) -> Self {
        segment.field().map_or(Step::Item, |name| Step::Field(name.to_owned()))
    }
}

/// A constant and its neighbours.
fn around(value: &Literal) -> Vec<Value> {
    match value {
        Literal::Null => vec![Value::Null, json!("other")],
        Literal::Bool(_) => vec![json!(true), json!(false)],
        Literal::Int(number) => [Some(*number), number.checked_sub(1), number.checked_add(1)]
            .into_iter()
            .flatten()
            .map(Value::from)
            .collect(),
        Literal::Double(number) => [*number, number - 1.0, number + 1.0].into_iter().map(Value::from).collect(),
        Literal::String(text) => vec![json!(text), json!("other")],
    }
}

/// The quoted texts of an expression.
fn texts_in(expression: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let mut rest = expression;
    while let Some(start) = rest.find(['"', '\'']) {
        let quote = &rest[start..=start];
        let Some(length) = rest[start + 1..].find(quote) else { break };
        texts.push(rest[start + 1..start + 1 + length].to_owned());
        rest = &rest[start + length + 2..];
    }
    texts
}

/// Every combination of the choices, each absent too; where those are too many, an even spread.
fn combine(choices: &[(Vec<Step>, Vec<Value>)]) -> Vec<Value> {
    let all = choices.iter().fold(1_u128, |all, (_, values)| all.saturating_mul(values.len() as u128 + 1));
    let tried = all.min(CALLS_MAX as u128);
    // Steps of a size without common factors reach every part of the space.
    let stride = if all > tried { (all / tried) | 1 } else { 1 };
    (0..tried)
        .map(|at| {
            let mut left = (at * stride) % all;
            let mut arguments = Value::Object(Map::new());
            for (path, values) in choices {
                let count = values.len() as u128 + 1;
                let choice = usize::try_from(left % count).unwrap_or(0);
                left /= count;
                if let Some(value) = choice.checked_sub(1).and_then(|at| values.get(at)) {
                    put(&mut arguments, path, value.clone());
                }
            }
            arguments
        })
        .collect()
}

/// Puts `value` at `path`, making what leads there; leaves what is there of another shape.
fn put(holder: &mut Value, path: &[Step], value: Value) {
    let Some((step, rest)) = path.split_first() else {
        *holder = value;
        return;
    };
    match step {
        Step::Field(name) => {
            if holder.is_null() {
                *holder = json!({});
            }
            if let Value::Object(members) = holder {
                put(members.entry(name.clone()).or_insert(Value::Null), rest, value);
            }
        }
        Step::Item => {
            if holder.is_null() {
                *holder = json!([null]);
            }
            if let Value::Array(items) = holder
                && let Some(first) = items.first_mut()
            {
                put(first, rest, value);
            }
        }
    }
}
