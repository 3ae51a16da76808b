//! The official CEL conformance cases, as `docs/conformance.md` reports them.

#![allow(clippy::unwrap_used, reason = "tests")]

#[allow(dead_code, reason = "as a program it has a `main`")]
#[path = "../../examples/cel_eval.rs"]
mod cel_eval;

use std::{
    env,
    fmt::Write as _,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

/// Needs Node.js and the npm packages of the end-to-end tests, which `cargo xtask test` provides.
#[test]
fn the_official_cases_pass_except_the_known_misses() {
    let Some(packages) = env::var_os("PRELOOP_TEST_NODE_MODULES") else {
        assert!(env::var_os("PRELOOP_TEST_STRICT").is_none(), "`PRELOOP_TEST_NODE_MODULES` is not set");
        eprintln!("skipped: `cargo xtask test` installs what this test needs");
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cel/conformance.mjs");
    let node = |mode: &str| {
        let mut command = Command::new("node");
        command.arg(&script).arg(mode).env("NODE_DIR", &packages).stdout(Stdio::piped());
        command
    };

    let cases = node("cases").output().unwrap();
    assert!(cases.status.success());
    let mut answers = String::new();
    for case in String::from_utf8(cases.stdout).unwrap().lines() {
        writeln!(answers, "{}", cel_eval::answer(case)).unwrap();
    }

    let mut check = node("check").stdin(Stdio::piped()).spawn().unwrap();
    check.stdin.take().unwrap().write_all(answers.as_bytes()).unwrap();
    let check = check.wait_with_output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
}
