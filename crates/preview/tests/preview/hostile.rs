//! Whatever an agent sends: nothing panics, nothing takes long, nothing grows without bound, nothing
//! secret or invisible is shown.

use std::time::{Duration, Instant};

use preloop_preview::{Call, Level, Preview, Text, preview};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::desk::{bash, of};

const SECRET: &str = "sk-abcdefghijklmnopqrstuvwxyz0123";

fn bounded(said: &Preview) {
    let lines: usize = said.sections.iter().map(|section| section.lines.len()).sum();
    assert!(lines <= 600 && said.findings.len() <= 24 && said.facts.len() <= 32);
    let texts = said.sections.iter().flat_map(|section| &section.lines).map(|line| &line.text);
    let texts = texts.chain(said.findings.iter().map(|finding| &finding.text)).chain([&said.headline]);
    for text in texts.chain(said.facts.iter().flat_map(|fact| [&fact.name, &fact.value])) {
        assert!(text.as_str().len() <= Text::BYTES_MAX + 3, "{text:?}");
        assert!(!text.as_str().contains(|c: char| c.is_control() || c == '\u{202e}'), "{text:?}");
    }
    assert!(!said.to_json().contains(SECRET), "{said}");
}

fn shellish() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("$(".to_owned()),
        Just("$((".to_owned()),
        Just("))".to_owned()),
        Just(")".to_owned()),
        Just("(".to_owned()),
        Just("${".to_owned()),
        Just("}".to_owned()),
        Just("`".to_owned()),
        Just("\"".to_owned()),
        Just("'".to_owned()),
        Just("\\".to_owned()),
        Just("<<EOF\n".to_owned()),
        Just("EOF\n".to_owned()),
        Just("|".to_owned()),
        Just("&&".to_owned()),
        Just(">".to_owned()),
        Just("<(".to_owned()),
        Just("case x in ".to_owned()),
        Just("esac".to_owned()),
        Just("[[ ".to_owned()),
        Just("$'".to_owned()),
        Just("\\x".to_owned()),
        Just("sh -c ".to_owned()),
        Just("find . -exec ".to_owned()),
        Just("a=(".to_owned()),
        Just("/*".to_owned()),
        Just("*/".to_owned()),
        Just("$$".to_owned()),
        Just("SELECT ".to_owned()),
        Just(" FROM ".to_owned()),
        Just("--".to_owned()),
        Just(";".to_owned()),
        Just("\n".to_owned()),
        Just("http://".to_owned()),
        Just("*** Begin Patch\n".to_owned()),
        Just("@@ -1,9 +1,9 @@\n".to_owned()),
        Just("+++ ".to_owned()),
        Just(format!(" {SECRET} ")),
        Just("\u{202e}é漢🎉".to_owned()),
        "[ -~]{0,12}",
        "\\PC{0,6}",
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn arguments() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        shellish().prop_map(Value::from),
    ];
    let names = prop::sample::select(vec![
        "command",
        "sql",
        "query",
        "to",
        "bcc",
        "amount",
        "currency",
        "url",
        "file_path",
        "old_string",
        "new_string",
        "edits",
        "content",
        "patch",
        "api_key",
        "x",
    ]);
    leaf.prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::hash_map(names.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, ..ProptestConfig::default() })]

    #[test]
    fn any_command_is_survived(command in shellish()) {
        bounded(&bash(&command));
    }

    #[test]
    fn any_arguments_are_survived(
        arguments in arguments(), earlier in arguments(),
        tool in prop::sample::select(vec!["Bash", "Edit", "Write", "query", "send_email", "pay", "apply_patch", "Read"]),
        server in prop::sample::select(vec!["agent", "builtin", "x"]),
    ) {
        let (arguments, earlier) = (arguments.to_string(), earlier.to_string());
        let at = preloop_types::Timestamp::from_micros(0);
        let earlier = Some(preloop_preview::Earlier { arguments: &earlier, at });
        bounded(&preview(&Call { tool, server, arguments: &arguments, floor: Level::Low, earlier }));
    }

    #[test]
    fn any_text_is_survived(text in "\\PC{0,200}") {
        let said = preview(&Call { tool: "t", server: "s", arguments: &text, floor: Level::Low, earlier: None });
        bounded(&said);
    }

    /// Whatever stands around it, a deletion on a line of its own is seen, or the reader says that it
    /// could not read everything.
    #[test]
    fn a_deletion_is_never_overlooked(before in shellish(), after in shellish()) {
        let said = bash(&format!("{before}\nrm -rf /srv\n{after}"));
        let seen = said.findings.iter().any(|finding| finding.text.as_str().contains("`rm` deletes"));
        let text = said.sections.iter().flat_map(|section| &section.lines).any(|line| line.text.as_str().contains("rm -rf /srv"));
        prop_assert!(seen || !said.complete || text || said.risk > Level::Low, "{said}");
    }
}

#[test]
fn the_worst_shapes_take_no_time() {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(20_000), close.repeat(20_000));
    let commands = [
        deep("$((", "))"),
        deep("$(", ")"),
        deep("(", ")"),
        deep("${x:-", "}"),
        deep("\"$(", ")\""),
        "`\\`".repeat(20_000),
        "a://".repeat(100_000),
        "sk-".repeat(200_000),
        "sh -c '".repeat(9_000),
        "<<A ".repeat(10_000),
        "a=(".repeat(10_000),
        "$((1+".repeat(10_000) + "'",
        "a;".repeat(30_000),
        "case x in ".repeat(5_000),
    ];
    let numbered =
        |name: &str, count: usize| (0..count).map(|n| name.to_owned() + &n.to_string() + "\n").collect::<String>();
    let (old, new) = (numbered("a", 20_000), numbered("b", 20_000));
    let half = (numbered("a", 700), numbered("b", 700));
    let started = Instant::now();
    for command in &commands {
        bounded(&bash(command));
        bounded(&of("db", "query", &json!({ "sql": command })));
    }
    bounded(&of("agent", "Edit", &json!({"file_path": "x", "old_string": old, "new_string": new})));
    bounded(&of("agent", "Edit", &json!({"file_path": "x", "old_string": half.0, "new_string": half.1})));
    let nested = format!("{}1{}", "[".repeat(50_000), "]".repeat(50_000));
    let said = preview(&Call { tool: "t", server: "s", arguments: &nested, floor: Level::Low, earlier: None });
    assert_eq!((said.risk, said.complete), (Level::Danger, false));
    // In a build without optimisation on a busy machine; each is a few milliseconds otherwise.
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn arguments_too_large_to_be_read_are_dangerous() {
    let said = of("s", "t", &json!({"text": "x".repeat(2 * 1024 * 1024)}));
    assert_eq!((said.risk, said.complete), (Level::Danger, false));
    bounded(&said);
}
