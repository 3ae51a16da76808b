//! Decisions against an evaluator that could not be simpler.

use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::world::World;

/// What a condition compares.
#[derive(Debug, Clone)]
enum Test {
    Compare(&'static str, &'static str, Value),
    Has(&'static str),
    StartsWith(&'static str, String),
    In(&'static str, Vec<Value>),
    /// `size` of a text.
    Size(&'static str, &'static str, i64),
    Matches(&'static str, String),
    /// Whether the caller is called so.
    User(String),
    Not(Box<Test>),
    And(Box<Test>, Box<Test>),
    Or(Box<Test>, Box<Test>),
}

const FIELDS: [&str; 3] = ["a", "b", "c"];

impl Test {
    fn cel(&self) -> String {
        match self {
            Test::Compare(field, operator, value) => format!("args.{field} {operator} {value}"),
            Test::Has(field) => format!("has(args.{field})"),
            Test::StartsWith(field, text) => format!("args.{field}.startsWith({text:?})"),
            Test::In(field, values) => format!("args.{field} in {}", Value::from(values.clone())),
            Test::Size(field, operator, size) => format!("size(args.{field}) {operator} {size}"),
            Test::Matches(field, pattern) => format!("args.{field}.matches({pattern:?})"),
            Test::User(name) => format!("user.username == {name:?}"),
            Test::Not(test) => format!("!({})", test.cel()),
            Test::And(a, b) => format!("({}) && ({})", a.cel(), b.cel()),
            Test::Or(a, b) => format!("({}) || ({})", a.cel(), b.cel()),
        }
    }

    /// CEL by the book, on what JSON has.
    fn eval(&self, args: &Value) -> Result<bool, ()> {
        let field = |name: &str| args.get(name).ok_or(());
        match self {
            Test::Has(name) => Ok(args.get(name).is_some()),
            Test::Compare(name, operator, value) => {
                let found = field(name)?;
                match *operator {
                    "==" => Ok(equal(found, value)),
                    "!=" => Ok(!equal(found, value)),
                    _ => {
                        let ordering = match (found, value) {
                            (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()).ok_or(())?,
                            (Value::String(a), Value::String(b)) => a.cmp(b),
                            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
                            _ => return Err(()),
                        };
                        Ok(match *operator {
                            "<" => ordering.is_lt(),
                            "<=" => ordering.is_le(),
                            ">" => ordering.is_gt(),
                            _ => ordering.is_ge(),
                        })
                    }
                }
            }
            Test::StartsWith(name, text) => field(name)?.as_str().map(|found| found.starts_with(text)).ok_or(()),
            Test::In(name, values) => {
                let found = field(name)?;
                Ok(values.iter().any(|value| equal(found, value)))
            }
            Test::Size(name, operator, size) => {
                let found = field(name)?.as_str().ok_or(())?.chars().count();
                let ordering = i64::try_from(found).unwrap().cmp(size);
                Ok(if *operator == ">" { ordering.is_gt() } else { ordering.is_eq() })
            }
            Test::Matches(name, pattern) => {
                // Patterns here are one letter, repeated or not.
                field(name)?.as_str().map(|found| found.contains(pattern.trim_end_matches('+'))).ok_or(())
            }
            Test::User(name) => Ok(name == "ann"),
            Test::Not(test) => test.eval(args).map(|answer| !answer),
            Test::And(a, b) => match (a.eval(args), b.eval(args)) {
                (Ok(false), _) | (_, Ok(false)) => Ok(false),
                (Ok(true), Ok(true)) => Ok(true),
                _ => Err(()),
            },
            Test::Or(a, b) => match (a.eval(args), b.eval(args)) {
                (Ok(true), _) | (_, Ok(true)) => Ok(true),
                (Ok(false), Ok(false)) => Ok(false),
                _ => Err(()),
            },
        }
    }
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-3_i64..4).prop_map(Value::from),
        (-3_i64..4).prop_map(|n| {
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let half = n as f64 + 0.5;
            json!(half)
        }),
        Just(json!(2.0)),
        prop_oneof![Just("x"), Just("xy"), Just(""), Just("2")].prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ]
}

fn tests() -> impl Strategy<Value = Test> {
    let field = || prop::sample::select(&FIELDS[..]);
    let operator = prop::sample::select(&["==", "!=", "<", "<=", ">", ">="][..]);
    let leaf = prop_oneof![
        4 => (field(), operator, values()).prop_map(|(field, operator, value)| Test::Compare(field, operator, value)),
        1 => field().prop_map(Test::Has),
        1 => (field(), "[xy]{0,2}").prop_map(|(field, text)| Test::StartsWith(field, text)),
        1 => (field(), prop::sample::select(&[">", "=="][..]), 0_i64..3)
            .prop_map(|(field, operator, size)| Test::Size(field, operator, size)),
        1 => (field(), "[xy][+]?").prop_map(|(field, pattern)| Test::Matches(field, pattern)),
        1 => prop_oneof![Just("ann"), Just("bob")].prop_map(|name| Test::User(name.to_owned())),
        1 => (field(), prop::collection::vec(values(), 0..4)).prop_map(|(field, values)| Test::In(field, values)),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|test| Test::Not(Box::new(test))),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Test::And(Box::new(a), Box::new(b))),
            (inner.clone(), inner).prop_map(|(a, b)| Test::Or(Box::new(a), Box::new(b))),
        ]
    })
}

fn arguments() -> impl Strategy<Value = Value> {
    let member = || prop::option::of(values());
    [member(), member(), member()].prop_map(|members| {
        let members = FIELDS.iter().zip(members).filter_map(|(name, value)| Some(((*name).to_owned(), value?)));
        Value::Object(members.collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// First match wins, an error denies, no match allows; whether a condition is answered by the
    /// interpreter or without it makes no difference.
    #[test]
    fn decide_agrees_with_the_naive_evaluator(
        rules in prop::collection::vec((tests(), prop::sample::select(&["allow", "deny"][..]), any::<bool>()), 1..6),
        args in arguments(),
    ) {
        let mut yaml = "tools:\n  - name: pay\n    source: bank\n    conditions:\n".to_owned();
        let mut expected = None;
        for (index, (test, action, interpreted)) in rules.iter().enumerate() {
            // A function the short cut does not know sends the whole condition to the interpreter.
            let cel = if *interpreted { format!("dyn({})", test.cel()) } else { test.cel() };
            let cel = Value::from(cel);
            let _ = writeln!(
                yaml,
                "      - {{expression: {cel}, action: {action}, condition_type: cel, description: rule {index}}}"
            );
            if expected.is_none() {
                expected = match test.eval(&args) {
                    Ok(true) => Some(format!("{action} (tool_access_rule): rule {index}")),
                    Ok(false) => None,
                    Err(()) => Some("deny (rule_evaluation_error)".to_owned()),
                };
            }
        }
        let expected = expected.unwrap_or_else(|| "allow (account_default)".to_owned());
        let decided = World::new(&yaml).decide(&format!("pay {args}"));
        prop_assert!(decided.starts_with(&expected), "{decided}, not {expected}\n{yaml}{args}");
    }
}
