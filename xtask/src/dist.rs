//! `cargo xtask dist`: the binary as it is shipped.

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};

use crate::{cargo, target_dir};

pub(crate) fn run() -> Result<ExitCode> {
    let built = cargo(&["build", "--profile", "dist", "--locked", "-p", "preloop-cli"])
        .status()
        .context("cannot start cargo")?;
    ensure!(built.success(), "`preloop` does not build");
    let binary = target_dir().join("dist").join(format!("preloop{}", std::env::consts::EXE_SUFFIX));
    let size = std::fs::metadata(&binary).with_context(|| format!("cannot read `{}`", binary.display()))?.len();
    println!("{}: {}.{} MB", binary.display(), size / 1_000_000, size / 100_000 % 10);
    Ok(ExitCode::SUCCESS)
}
