//! The npm packages of the end-to-end tests, exactly as their lock file says.

use std::{path::PathBuf, process::Command};

use anyhow::Context;

use crate::{root, steps::Missing};

use super::{Made, finds, must};

/// A folder that holds `node_modules` with the packages of `tests/clients/package-lock.json`.
pub(crate) fn prepare(install: bool) -> Result<PathBuf, Missing> {
    let files = ["package.json", "package-lock.json"].map(|name| root().join("tests/clients").join(name));
    let made = Made::new("node", &[&files[0], &files[1]])?;
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
