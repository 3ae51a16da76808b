//! Every developer command in one place.

mod bench;
mod dist;
mod env;
mod lint;
mod steps;
mod test;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Result, bail};

const HELP: &str = "\
usage: cargo xtask <command>

  test [--strict] [--no-install] [-- FILTER…]
                 install what the tests need, then run every check and test
                 --strict      what would be skipped fails (default when CI=true)
                 --no-install  use what is there, install nothing
                 FILTER        only tests whose name contains it
  lint           formatting, Clippy, banned crates, licences, documentation links
  bench [tools|models]
                 the load generator and comparisons (release build)
  dist           the binary as it is shipped, and its size
";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    match command.as_str() {
        "test" => Ok(test::run(&test::Options::parse(&rest)?)),
        "lint" => no_arguments(&rest).map(|()| lint::run()),
        "bench" => bench::run(&rest),
        "dist" => no_arguments(&rest).and_then(|()| dist::run()),
        "" | "help" | "-h" | "--help" => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        other => bail!("unknown command `{other}`\n\n{HELP}"),
    }
}

fn no_arguments(rest: &[String]) -> Result<()> {
    match rest.first() {
        Some(argument) => bail!("unknown argument `{argument}`\n\n{HELP}"),
        None => Ok(()),
    }
}

/// The repository's root.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Where cargo builds; environments of the tests lie there too.
fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// The cargo that runs us, at the repository's root.
fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(args);
    command
}
