//! `cargo xtask test`: install what the tests need, then run every check and test.

use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

use crate::{cargo, env, lint, steps::Steps, target_dir};

/// What was asked for.
#[derive(Default)]
pub(crate) struct Options {
    strict: bool,
    install: bool,
    filters: Vec<String>,
}

impl Options {
    pub(crate) fn parse(args: &[String]) -> Result<Self> {
        let strict = std::env::var("CI").is_ok_and(|ci| ci == "true" || ci == "1");
        let mut options = Self { strict, install: true, filters: Vec::new() };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--strict" => options.strict = true,
                "--no-install" => options.install = false,
                "--" => options.filters.extend(args.by_ref().cloned()),
                other => bail!("unknown argument `{other}`; `cargo xtask help` lists them"),
            }
        }
        Ok(options)
    }
}

pub(crate) fn run(options: &Options) -> ExitCode {
    let mut steps = Steps::new(options.strict);
    if options.install {
        steps.prepare("packages of the system", env::packages::install);
    }
    let python = steps.prepare("Python environment", || env::python::prepare(options.install));
    let node = steps.prepare("npm packages", || env::node::clients(options.install));
    let agents = steps.prepare("coding agents", || env::node::agents(options.install));
    let postgres = steps.prepare("PostgreSQL", env::postgres::Postgres::start);

    lint::checks(&mut steps);

    let equip = |command: &mut Command| {
        // The binary under test; building the tests builds it too.
        command.env("PRELOOP_TEST_BINARY", target_dir().join("debug").join("preloop"));
        if options.strict {
            command.env("PRELOOP_TEST_STRICT", "1");
        }
        if let Some(python) = &python {
            command.env("PRELOOP_TEST_PYTHON", python);
        }
        if let Some(node) = &node {
            command.env("PRELOOP_TEST_NODE_MODULES", node);
        }
        if let Some(agents) = &agents {
            command.env("PRELOOP_TEST_AGENTS", agents);
        }
        if let Some(postgres) = &postgres {
            command.env("TEST_DATABASE_URL", postgres.url());
        }
    };

    let mut tests = if env::finds("cargo-nextest") {
        let mut nextest = cargo(&["nextest", "run", "--workspace", "--no-fail-fast"]);
        nextest.args(&options.filters);
        nextest
    } else {
        let mut test = cargo(&["test", "--workspace", "--no-fail-fast", "--lib", "--bins", "--tests", "--"]);
        test.args(&options.filters);
        test
    };
    equip(&mut tests);
    steps.tests("tests, with real clients", &mut tests);

    if options.filters.is_empty() {
        let mut doc = cargo(&["test", "--workspace", "--no-fail-fast", "--doc"]);
        equip(&mut doc);
        steps.tests("examples in the documentation", &mut doc);
    }
    drop(postgres);
    steps.finish()
}
