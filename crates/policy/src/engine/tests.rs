use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{Library, on_big_stack};
use crate::{condition::parse_cel, json::Json};

/// Compiles `source` and evaluates it on `args`, on this thread, as a decision does.
fn eval(source: &str, args: &str) -> Result<bool, String> {
    let program = on_big_stack(|stack| parse_cel(source, stack)?.compile()).unwrap().map_err(|error| error.message)?;
    let mut library = Library::default();
    library.add(&program);
    let json = Json::parse(args)?;
    let mut bindings = library.open();
    bindings.bind("args", crate::condition::value(&json));
    program.matches(&bindings).map_err(|error| error.0)
}

#[test]
fn a_ruleset_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<crate::Ruleset>();
}

fn ends_quickly(source: &str, args: &str) -> Result<bool, String> {
    let start = Instant::now();
    let answer = eval(source, args);
    let took = start.elapsed();
    // Milliseconds on a quiet machine; what is not bounded takes minutes, or all memory.
    assert!(took < Duration::from_secs(10), "{took:?} for {}", &source[..source.len().min(80)]);
    answer
}

#[test]
fn a_condition_is_a_bool() {
    assert_eq!(eval("args.a > 1 && args.b.startsWith('x')", r#"{"a": 2, "b": "xy"}"#), Ok(true));
    assert_eq!(eval("args.a", r#"{"a": "yes"}"#), Err("the expression is a string, not a bool".to_owned()));
    assert_eq!(eval("args.a > 1", r#"{"b": 2}"#), Err("no such key: `a`".to_owned()));
    assert_eq!(eval("args.a.?b.orValue(3) == 3", r#"{"a": {}}"#), Ok(true));
    assert_eq!(eval("args.l.exists(x, x.matches('^b+$'))", r#"{"l": ["a", "bb"]}"#), Ok(true));
    assert_eq!(eval("args.l.map(x, x + 1).filter(x, x > 2) == [3]", r#"{"l": [1, 2]}"#), Ok(true));
    assert_eq!(eval("args.p.split('/')[0] == 'a'", r#"{"p": "a/b"}"#), Ok(true));
    assert_eq!(eval("math.greatest(args.x, 3) == 3", r#"{"x": 1}"#), Ok(true));
}

#[test]
fn an_error_quotes_no_value() {
    let error = eval("args.token > 5", r#"{"token": "hunter2"}"#).unwrap_err();
    assert!(!error.contains("hunter2"), "{error}");
    let error = eval("int(args.token) > 5", r#"{"token": "hunter2"}"#).unwrap_err();
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn a_spent_budget_is_not_absorbed() {
    let list = format!(r#"{{"l": [{}1]}}"#, "1,".repeat(2_000));
    let answer = ends_quickly("args.l.all(x, args.l.all(y, x == y)) || true", &list);
    assert_eq!(answer, Err("the expression does too much work on these arguments".to_owned()));
}

#[test]
fn hostile_expressions_end_quickly_with_an_error() {
    let nested = |depth: usize| {
        let range = "[1,2,3,4,5,6,7,8,9,10]";
        (0..depth).fold("true".to_owned(), |inner, i| format!("{range}.all(x{i}, {inner})"))
    };
    for source in [
        // Deep nesting, of every kind the grammar has.
        "(".repeat(90) + "true" + &")".repeat(90),
        "[".repeat(90) + &"]".repeat(90),
        "!".repeat(250) + "true",
        format!("args{}", "[0]".repeat(99)),
        format!("args{}", ".b".repeat(199)),
        format!("1{} == 1", "+1".repeat(190)),
        format!("{}1{}", "true?".repeat(60), ":1".repeat(60)),
        format!("{{{}1{}}}", "'a':{".repeat(90), "}".repeat(90)),
        // Long texts.
        "a".repeat(5_000),
        format!("'{}' == ''", "x".repeat(5_000)),
        // Loops.
        nested(4),
        nested(7),
        // Names that are not there.
        "args.a.replace('a', args.b) == ''".to_owned(),
        "'%s'.format([args]) == ''".to_owned(),
        "lists.range(1000000000).size() > 0".to_owned(),
        // Patterns.
        "args.a.matches('(a{1000}){1000}')".to_owned(),
        format!("args.a.matches('{}')", "a".repeat(1_000)),
        "args.a.matches('(unclosed')".to_owned(),
    ] {
        let answer = ends_quickly(&source, r#"{"a": "x", "b": "y"}"#);
        assert!(answer.is_err(), "{answer:?} for {}", &source[..source.len().min(80)]);
    }
}

#[test]
fn hostile_arguments_end_quickly() {
    let big_list = format!("[{}0]", "[1,2,3,4,5,6,7,8,9],".repeat(4_500));
    let long_text = "x".repeat(1_000_000);
    let args = format!(r#"{{"l": {big_list}, "t": "{long_text}", "p": "(x+x+)+y"}}"#);
    let grown = (0..18).fold("args.t".to_owned(), |inner, _| format!("base64.encode(bytes({inner}))"));
    for source in [
        // What is copied or compared in a loop is paid for.
        "args.l.all(x, args.l.all(y, x == y))",
        "args.l.map(x, args.l).size() > 0",
        "args.l.all(x, args.l == args.l)",
        "args.l.all(x, [args.l].all(y, true))",
        "args.l.all(x, {'a': args.l}.size() == 1)",
        "args.l.all(x, args.l[0.5] == 1)",
        "args.l.all(x, !args.t.contains('y'))",
        "args.l.all(x, args.t + 1 == 2)",
        "args.l.exists(x, optional.of(args.l).hasValue() && false)",
        "[1,2,3,4,5].map(a, args.t + args.t).map(b, b + b + b + b).map(c, c + c + c + c).size() > 0",
        "[args.t + args.t].all(a, [a + a].all(b, [b + b].all(c, size(c + c + c + c + c + c) < 0)))",
        "args.t.split('').size() > 0",
        &format!("{grown} == ''"),
        "[args.l, args.l, args.l, args.l, args.l, args.l, args.l, args.l].map(x, [x, x, x, x]).size() == 0",
        // The pattern comes from the agent.
        "args.l.all(x, !args.t.matches(args.p))",
        "args.t.matches(args.p) || args.t.matches(args.p) || args.t.matches(args.p)",
    ] {
        let answer = ends_quickly(source, &args);
        assert!(answer.is_err(), "{answer:?} for {source}");
    }
}

#[test]
fn ordinary_work_is_within_the_budget() {
    let items = (0..5_000).map(|i| format!(r#"{{"price": {i}, "sku": "sku-{i}"}}"#)).collect::<Vec<_>>().join(",");
    let args = format!(r#"{{"items": [{items}], "content": "{}"}}"#, "lorem ipsum ".repeat(80_000));
    assert_eq!(ends_quickly("args.items.all(i, i.price < 5000 && i.sku.startsWith('sku-'))", &args), Ok(true));
    assert_eq!(ends_quickly("args.content.matches('BEGIN (RSA )?PRIVATE KEY')", &args), Ok(false));
}

#[test]
fn what_is_just_within_the_limits_is_parsed_quickly() {
    for source in [
        "(".repeat(40) + "true" + &")".repeat(40),
        "[".repeat(40) + &"]".repeat(40) + " == []",
        "{'a':".repeat(40) + "1" + &"}".repeat(40) + " == {}",
        format!("args{}", ".b".repeat(60)),
        format!("args{}", "['b']".repeat(40)),
        format!("true{}", "&&true".repeat(99)),
        format!("{}1{} == 1", "true?".repeat(60), ":1".repeat(60)),
        format!("{}true", "!(".repeat(39)) + &")".repeat(39),
        format!("args.x in [{}]", vec!["'a'"; 900].join(",")),
        format!("f({}", "a(".repeat(39)) + &")".repeat(40),
        "a<b>c<d>e".repeat(40),
    ] {
        let _ = ends_quickly(&source, "{}");
    }
}

proptest! {
    /// Whatever the text, compiling it ends in an answer: a crash would take this process along.
    #[test]
    fn token_soup_is_survived(tokens in prop::collection::vec(prop::sample::select(TOKENS), 0..120)) {
        let _ = ends_quickly(&tokens.concat(), r#"{"a": [1, {"b": "x"}], "b": "y"}"#);
        let _ = ends_quickly(&tokens.join(" "), r#"{"a": [1, {"b": "x"}], "b": "y"}"#);
    }
}

const TOKENS: &[&str] = &[
    "args",
    "args.a",
    ".b",
    "a",
    "x",
    "1",
    "2.5",
    "1u",
    "'s'",
    "r'\\'",
    "b'x'",
    "\"",
    "'",
    "`",
    "\\",
    "//",
    "\n",
    "true",
    "null",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "?",
    ".",
    ".?",
    "[?",
    "+",
    "-",
    "*",
    "/",
    "%",
    "==",
    "!=",
    "<",
    ">=",
    "&&",
    "||",
    "!",
    " in ",
    "has(",
    "size(",
    ".all(x,",
    ".exists(x,",
    ".map(x,",
    ".filter(x,",
    ".matches(",
    ".contains(",
    ".optMap(x,",
    ".orValue(",
    "optional.of(",
    "timestamp(",
    "duration(",
    "int(",
    "string(",
    "type(",
    "math.greatest(",
];

#[test]
fn what_compiles_can_be_evaluated_on_a_small_stack() {
    let deep = "[".repeat(60) + &"]".repeat(60);
    let source = format!("{}args.a{} == args.b", "[".repeat(30), "]".repeat(30));
    let answer = std::thread::Builder::new()
        .stack_size(512 * 1024)
        .spawn(move || {
            eval(&source, &format!(r#"{{"a": {deep}, "b": {deep}}}"#))?;
            eval(&format!("args.n == 0{}", "+1-1".repeat(29)), r#"{"n": 0}"#)?;
            eval(&format!("{}true", "!".repeat(62)), "{}")
        })
        .unwrap()
        .join()
        .unwrap();
    assert_eq!(answer, Ok(true));
}

#[test]
fn a_mistake_is_explained() {
    for (source, message) in [
        ("args.a.startWith('x')", "there is no function `startWith`; did you mean `startsWith`?"),
        ("args.a &&", "not a CEL expression: Syntax error: mismatched input '<EOF>'"),
        ("args.a.exists(x)", "`exists` is called with the wrong arguments"),
        ("args.a.matches('(')", "not a regular expression: unclosed group"),
    ] {
        assert_eq!(eval(source, "{}"), Err(message.to_owned()), "{source}");
    }
}
