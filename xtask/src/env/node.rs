//! The npm packages of the end-to-end tests, exactly as their files say.

use std::{path::PathBuf, process::Command};

use anyhow::Context;

use crate::{root, steps::Missing};

use super::{Made, finds, must};

/// A folder that holds `node_modules` with the packages of `tests/clients`.
pub(crate) fn clients(install: bool) -> Result<PathBuf, Missing> {
    prepare("node", "tests/clients", &["package.json", "package-lock.json"], "ci", install)
}

/// The same for `tests/agents`: the coding agents, 1.2 GB of them. They bring everything with them but
/// programs for one platform each, which not every registry has for all platforms: so there is no lock
/// file, only exact versions.
pub(crate) fn agents(install: bool) -> Result<PathBuf, Missing> {
    prepare("agents", "tests/agents", &["package.json"], "install", install)
}

fn prepare(name: &str, from: &str, files: &[&str], how: &str, install: bool) -> Result<PathBuf, Missing> {
    let files: Vec<PathBuf> = files.iter().map(|file| root().join(from).join(file)).collect();
    let made = Made::new(name, &files.iter().map(PathBuf::as_path).collect::<Vec<_>>())?;
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
    must(Command::new("npm").args([how, "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&made.folder))?;
    made.finish()?;
    Ok(made.folder)
}
