//! Against the interpreter: what is answered quickly is what the interpreter answers.

use ::cel::common::types::CelTimestamp;
use preloop_types::Timestamp;
use proptest::{prelude::*, sample::select};

use super::Quick;
use crate::{
    condition::{reading::Root, value},
    engine::{Library, on_big_stack, parse},
    json::Json,
};

const NOW: Timestamp = Timestamp::from_micros(1_795_000_000_000_000);

/// The quick answer, if there is one, and the interpreter's.
fn answers(condition: &str, args: &str) -> (Option<bool>, Result<bool, String>) {
    let (quick, program) = on_big_stack(|stack| {
        let parsed = parse(condition, stack)?;
        Ok::<_, crate::engine::SyntaxError>((Quick::of(&parsed.expression), parsed.compile()?))
    })
    .unwrap()
    .unwrap_or_else(|error| panic!("{condition}: {error:?}"));
    let args = Json::parse(args).unwrap();
    let user = Json::parse(r#"{"username": "ann"}"#).unwrap();

    let variable = |root| match root {
        Root::Args => Some(&args),
        Root::User => Some(&user),
        _ => None,
    };
    let quickly = quick.as_ref().and_then(|quick| quick.matches(&variable, NOW));

    let mut library = Library::default();
    library.add(&program);
    let mut bindings = library.open();
    bindings.bind("args", value(&args));
    bindings.bind("user", value(&user));
    bindings.bind("now", Box::new(CelTimestamp::from(NOW.to_datetime().fixed_offset())));
    (quickly, program.matches(&bindings).map_err(|error| error.0))
}

#[test]
fn most_conditions_need_no_interpreter() {
    let args = r#"{
        "amount": 50, "rate": 1.5, "path": "/srv/data/Report.csv", "tags": ["a", "b"], "note": null, "big": 18446744073709551615,
        "customers": [{"name": "vip-ann", "spent": 20}, {"name": "bob", "spent": 300}], "user": {"id": 7, "e-mail": "a@b.c"}
    }"#;
    for (condition, answer) in [
        ("args.amount > 10 && args.amount <= 50", true),
        ("args.amount * 3 - 1 == 149", true),
        ("args.rate * 2.0 > 2.5", true),
        ("args.amount % 7 == 1 && args.amount / 7 == 7", true),
        ("args.amount > args.user.id", true),
        ("args.big > args.amount", true),
        ("double(args.amount) < 50.5 && int('7') == args.user.id && string(args.amount) == '50'", true),
        ("args.path.startsWith('/srv') && !args.path.endsWith('.key')", true),
        ("args.path.lowerAscii().contains('report')", true),
        ("args.path.matches('^/srv/[a-z]+/')", true),
        ("args.path.split('/')[2] == 'data'", true),
        ("args.path.substring(1, 4) == 'srv' && args.path.indexOf('data') == 5", true),
        ("args.tags.exists(t, t == 'b')", true),
        ("args.tags.exists(t, t == 'x')", false),
        ("args.tags.all(t, size(t) == 1)", true),
        ("args.customers.exists(c, c.name.startsWith('vip-') && c.spent < 100)", true),
        ("args.customers.exists_one(c, c.spent > 100)", true),
        ("args.customers.filter(c, c.spent > 10).size() == 2", true),
        ("args.customers.map(c, c.spent) == [20, 300]", true),
        ("args.customers.all(c, args.tags.exists(t, c.name.contains(t)))", true),
        ("'b' in args.tags && args.amount in [10, 50] && 'id' in args.user", true),
        ("args.user['e-mail'] == 'a@b.c'", true),
        ("has(args.user.id) && !has(args.user.phone)", true),
        ("args.?limit.orValue(5) == 5 && args.?user.?id.hasValue()", true),
        ("args.note == null", true),
        ("args.amount > 100 ? args.missing == 1 : true", true),
        ("user.username == 'ann'", true),
        ("now.getHours() in [0, 1, 2] || now.getFullYear() > 2020", true),
        ("args.tags == ['a', 'b'] && args.user != {}", true),
        // What it does not know does not matter here.
        ("args.amount > 100 && args.path.reverse() == 'x'", false),
        ("type(args.amount) == int || args.amount == 50", true),
    ] {
        let (quickly, interpreted) = answers(condition, args);
        assert_eq!(interpreted, Ok(answer), "{condition}");
        assert!(quickly.is_none_or(|quickly| quickly == answer), "{condition}");
        // An object written out is all that is not known above.
        assert_eq!(quickly.is_none(), condition.contains("{}"), "{condition}");
    }
}

#[test]
fn what_may_fail_or_take_long_is_left_to_the_interpreter() {
    let long = format!(r#"{{"l": [{}0], "t": "{}"}}"#, "1,".repeat(5_000), "x".repeat(100_000));
    for condition in [
        "args.missing == 1",
        "args.t > 5",
        "args.t",
        "args.l[90000] == 1",
        "9223372036854775807 + args.l[0] > 0",
        "args.l[0] / 0 == 1",
        "args.l.all(x, args.l.all(y, x >= y - 5))",
        "args.l.all(x, args.l == args.l)",
        "args.l.all(x, !args.t.contains('y'))",
        "args.l.all(x, !args.t.matches('y+'))",
        "args.l.map(x, args.t + args.t).size() > 0",
    ] {
        assert_eq!(answers(condition, &long).0, None, "{condition}");
    }
}

fn leaf(kind: Kind) -> BoxedStrategy<String> {
    let of = |texts: &'static [&'static str]| select(texts).prop_map(str::to_owned).boxed();
    match kind {
        Kind::Bool => of(&["true", "false", "has(args.s)", "has(args.o.p)", "args.v == args.w", "'p' in args.o"]),
        Kind::Number => of(&["0", "1", "-1", "2", "2.0", "0.5", "args.n", "args.v", "args.o.p", "now.getHours()", "x"]),
        Kind::Text => of(&["''", "'x'", "'xy'", "' Xy '", "'2'", "args.s", "args.v", "args.?s.orValue('x')", "x"]),
        Kind::List => of(&["[]", "[1, 2.0, 'x']", "['xy', args.s]", "args.l", "args.l2", "x"]),
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Bool,
    Number,
    Text,
    List,
}

/// An expression that should be of `kind`; often enough it is not.
fn expression(kind: Kind, depth: u32) -> BoxedStrategy<String> {
    if depth == 0 {
        return leaf(kind);
    }
    let of = |kind| expression(kind, depth - 1);
    let any = || prop_oneof![of(Kind::Number), of(Kind::Text), of(Kind::List), of(Kind::Bool)];
    let text2 = || (of(Kind::Text), of(Kind::Text));
    let grown = match kind {
        Kind::Bool => prop_oneof![
            (any(), select(&["==", "!="][..]), any()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            (of(Kind::Number), select(&["<", "<=", ">", ">="][..]), of(Kind::Number))
                .prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            (text2(), select(&["<", ">="][..])).prop_map(|((a, b), op)| format!("({a} {op} {b})")),
            (text2(), select(&["startsWith", "endsWith", "contains"][..]))
                .prop_map(|((a, b), test)| format!("({a}).{test}({b})")),
            (of(Kind::Text), select(&["x+", "^x?y$", "2|X"][..]))
                .prop_map(|(text, pattern)| format!("({text}).matches('{pattern}')")),
            (any(), of(Kind::List)).prop_map(|(a, b)| format!("({a} in {b})")),
            (of(Kind::Bool), of(Kind::Bool)).prop_map(|(a, b)| format!("({a} && {b})")),
            (of(Kind::Bool), of(Kind::Bool)).prop_map(|(a, b)| format!("({a} || {b})")),
            of(Kind::Bool).prop_map(|a| format!("!({a})")),
            (of(Kind::Bool), of(Kind::Bool), of(Kind::Bool)).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            (of(Kind::List), select(&["all", "exists", "exists_one"][..]), of(Kind::Bool))
                .prop_map(|(list, quantifier, body)| format!("{list}.{quantifier}(x, {body})")),
            // Something only the interpreter knows.
            of(Kind::Bool).prop_map(|a| format!("dyn({a})")),
        ]
        .boxed(),
        Kind::Number => prop_oneof![
            (of(Kind::Number), select(&["+", "-", "*", "/", "%"][..]), of(Kind::Number))
                .prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            of(Kind::Number).prop_map(|a| format!("-({a})")),
            any().prop_map(|a| format!("size({a})")),
            any().prop_map(|a| format!("int({a})")),
            any().prop_map(|a| format!("double({a})")),
            text2().prop_map(|(a, b)| format!("({a}).indexOf({b})")),
            (of(Kind::List), of(Kind::Number)).prop_map(|(a, b)| format!("{a}[{b}]")),
            (of(Kind::Bool), of(Kind::Number), of(Kind::Number)).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
        ]
        .boxed(),
        Kind::Text => prop_oneof![
            (of(Kind::Text), select(&["lowerAscii", "upperAscii", "trim"][..]))
                .prop_map(|(a, f)| format!("({a}).{f}()")),
            text2().prop_map(|(a, b)| format!("({a} + {b})")),
            (of(Kind::Text), of(Kind::Number)).prop_map(|(a, n)| format!("({a}).substring({n})")),
            (of(Kind::Text), of(Kind::Number), of(Kind::Number))
                .prop_map(|(a, m, n)| format!("({a}).substring({m}, {n})")),
            any().prop_map(|a| format!("string({a})")),
            (of(Kind::List), of(Kind::Number)).prop_map(|(a, b)| format!("{a}[{b}]")),
            of(Kind::Text).prop_map(|a| format!("args.?o.?p.orValue({a})")),
        ]
        .boxed(),
        Kind::List => prop_oneof![
            (of(Kind::List), of(Kind::Bool)).prop_map(|(a, b)| format!("{a}.filter(x, {b})")),
            (of(Kind::List), any()).prop_map(|(a, b)| format!("{a}.map(x, {b})")),
            (of(Kind::List), of(Kind::Bool), any()).prop_map(|(a, b, c)| format!("{a}.map(x, {b}, {c})")),
            (any(), any()).prop_map(|(a, b)| format!("[{a}, {b}]")),
            text2().prop_map(|(a, b)| format!("({a}).split({b})")),
        ]
        .boxed(),
    };
    prop_oneof![1 => leaf(kind), 3 => grown].boxed()
}

fn arguments() -> impl Strategy<Value = String> {
    let value = || {
        select(
            &[
                "0",
                "1",
                "2",
                "-1",
                "2.5",
                "2.0",
                r#""x""#,
                r#""xy""#,
                r#"" Xy ""#,
                r#""2""#,
                "true",
                "null",
                "[1]",
                "{}",
            ][..],
        )
    };
    let list = || prop::collection::vec(value(), 0..4).prop_map(|items| format!("[{}]", items.join(",")));
    (value(), value(), value(), select(&[r#""x""#, r#""Xy""#, r#""""#, "5"][..]), list(), list(), any::<[bool; 5]>())
        .prop_map(|(v, w, p, s, l, l2, there)| {
            let members = [
                format!(r#""v":{v}"#),
                format!(r#""w":{w}"#),
                format!(r#""o":{{"p":{p}}}"#),
                format!(r#""s":{s}"#),
                format!(r#""l2":{l2}"#),
            ];
            let there = members.iter().zip(there).filter_map(|(member, there)| there.then_some(member.as_str()));
            let members: Vec<_> = there.collect();
            format!(r#"{{"n": 2, "l": {l}{}{}}}"#, if members.is_empty() { "" } else { "," }, members.join(","))
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn a_quick_answer_is_the_interpreters(condition in expression(Kind::Bool, 3), args in arguments()) {
        let (quickly, interpreted) = answers(&condition, &args);
        if let Some(quickly) = quickly {
            prop_assert_eq!(Ok(quickly), interpreted, "{} on {}", condition, args);
        }
    }
}
