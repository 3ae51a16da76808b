//! The npm packages of the end-to-end tests, exactly as their lock files say.

use std::{path::PathBuf, process::Command};

use anyhow::Context;

use crate::{root, steps::Missing};

use super::{Made, finds, must};

/// A folder that holds `node_modules` with the packages of `tests/clients/package-lock.json`.
pub(crate) fn clients(install: bool) -> Result<PathBuf, Missing> {
    prepare("node", "tests/clients", install)
}

/// The same for `tests/agents`: the coding agents, 1.2 GB of them.
pub(crate) fn agents(install: bool) -> Result<PathBuf, Missing> {
    prepare("agents", "tests/agents", install)
}

fn prepare(name: &str, from: &str, install: bool) -> Result<PathBuf, Missing> {
    let files = ["package.json", "package-lock.json"].map(|name| root().join(from).join(name));
    let made = Made::new(name, &[&files[0], &files[1]])?;
    if made.is_current() {
        println!("   {} is current", made.folder.display());
        return Ok(made.folder);
    }
    if !install {
        return Err(Missing::Tool("not made yet; run without `--no-install`".to_owned()));
    }
    if !finds("npm") {
        return Err(Missing::Tool("`npm` was not found; it comes with Node.js".to_owned()));
    }
    made.start_over()?;
    for file in &files {
        let name = file.file_name().unwrap_or_default();
        std::fs::copy(file, made.folder.join(name)).with_context(|| format!("cannot copy `{}`", file.display()))?;
    }
    must(Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&made.folder))?;
    made.finish()?;
    Ok(made.folder)
}
