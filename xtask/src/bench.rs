//! `cargo xtask bench`: speed and size, as ratios within one run.

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};

use crate::cargo;

pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let built = cargo(&["build", "--release", "-p", "preloop-cli"]).status().context("cannot start cargo")?;
    ensure!(built.success(), "`preloop` does not build");
    let ran =
        cargo(&["run", "--release", "-p", "preloop-bench", "--"]).args(args).status().context("cannot start cargo")?;
    Ok(if ran.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
