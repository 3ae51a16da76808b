use preloop_preview::Level::{Caution, Danger, Low};
use serde_json::json;

use crate::desk::{fact, lines, of, says};

#[test]
fn an_edit_is_a_diff() {
    let said = of(
        "agent",
        "Edit",
        &json!({
            "file_path": "src/main.rs",
            "old_string": "fn main() {\n    let a = 1;\n    run(a);\n}",
            "new_string": "fn main() {\n    let a = 2;\n    run(a);\n    done();\n}",
        }),
    );
    insta::assert_snapshot!(said, @"
    Changes src/main.rs: 2 lines added, 1 removed (risk: caution)
    ! what this tool does is known only from its server and its arguments
    File: src/main.rs

    src/main.rs
      fn main() {
    -     let a = 1;
    +     let a = 2;
          run(a);
    +     done();
      }
    ");
}

#[test]
fn several_edits_are_told_apart() {
    let said = of(
        "agent",
        "MultiEdit",
        &json!({"file_path": "a.txt", "edits": [
            {"old_string": "x", "new_string": "y", "replace_all": true},
            {"oldString": "p", "newString": "q"},
        ]}),
    );
    assert_eq!(lines(&said, "a.txt, everywhere (1 of 2)"), ["- x", "+ y"]);
    assert_eq!(lines(&said, "a.txt (2 of 2)"), ["- p", "+ q"]);
    assert!(says(&said, "replaces every occurrence"));
}

#[test]
fn writing_says_what_is_lost_and_what_the_file_is_for() {
    let said =
        of("agent", "Write", &json!({"file_path": "/w/.git/hooks/pre-commit", "content": "#!/bin/sh\nexit 0\n"}));
    assert_eq!(said.risk, Danger);
    assert!(says(&said, "git runs what is in it") && says(&said, "is replaced"));
    assert_eq!(fact(&said, "Size"), "2 lines, 17 bytes");
    let plain = of("files", "write_file", &json!({"path": "notes.md", "content": "hi"}));
    assert_eq!(plain.risk, Caution);
    assert_eq!(lines(&plain, "notes.md"), ["+ hi"]);
}

#[test]
fn patches_are_read_in_both_forms() {
    let codex = "*** Begin Patch\n*** Update File: a.rs\n@@\n-old\n+new\n*** Delete File: b.rs\n*** End Patch";
    let said = of("agent", "apply_patch", &json!({ "input": codex }));
    assert_eq!(said.risk, Danger);
    assert!(says(&said, "it deletes `b.rs`"));
    assert_eq!(said.headline.as_str(), "Patches 2 files: 1 lines added, 1 removed");

    let unified = "--- a/x.sql\n+++ b/x.sql\n@@ -1,2 +1,2 @@\n--- a comment\n+-- another\n same\n";
    let said = of("repo", "apply_diff", &json!({ "diff": unified }));
    assert_eq!(fact(&said, "The patch changes"), "x.sql", "a removed line that looks like a header is none");
    assert!(lines(&said, "Patch").contains(&"- -- a comment".to_owned()));
}

#[test]
fn reading_is_harmless_unless_it_reads_secrets() {
    assert_eq!(of("agent", "Read", &json!({"file_path": "src/lib.rs"})).risk, Low);
    assert_eq!(of("agent", "Read", &json!({"file_path": "/home/a/.aws/credentials"})).risk, Danger);
    assert_eq!(of("files", "Read", &json!({"file_path": "src/lib.rs"})).risk, Caution, "anybody's `Read` may write");
}

#[test]
fn what_is_too_large_is_counted() {
    let text = "line\n".repeat(5_000);
    let said = of("agent", "Write", &json!({"file_path": "big.txt", "content": text}));
    let section = &said.sections[0];
    assert_eq!(section.lines.len() + section.omitted, 5_000);
    assert!(section.omitted > 0 && !said.complete);
}
