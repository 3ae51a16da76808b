//! The virtual environment with the Python clients of the end-to-end tests.

use std::{path::PathBuf, process::Command};

use crate::{root, steps::Missing};

use super::{Made, answer, must};

/// A Python of at least 3.10 that can make virtual environments. `PYTHON` names one.
pub(super) fn interpreter() -> Option<String> {
    let named = std::env::var("PYTHON").ok();
    let usual = ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10"].map(str::to_owned);
    named.into_iter().chain(usual).find(|python| {
        let check = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))";
        answer(Command::new(python).args(["-c", check])).is_some()
    })
}

/// The environment's interpreter, with `tests/clients/requirements.txt` installed.
pub(crate) fn prepare(install: bool) -> Result<PathBuf, Missing> {
    let requirements = root().join("tests/clients/requirements.txt");
    let made = Made::new("python", &[&requirements])?;
    let python = made.folder.join("bin/python");
    if made.is_current() && answer(Command::new(&python).arg("--version")).is_some() {
        println!("   {} is current", made.folder.display());
        return Ok(python);
    }
    if !install {
        return Err(Missing::Tool("not made yet; run without `--no-install`".to_owned()));
    }
    let Some(interpreter) = interpreter() else {
        return Err(Missing::Tool("no Python 3.10 or later with `venv` was found; `PYTHON` may name one".to_owned()));
    };
    made.start_over()?;
    must(Command::new(interpreter).args(["-m", "venv"]).arg(&made.folder))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
    must(Command::new(&python).args(pip).arg(&requirements))?;
    made.finish()?;
    Ok(python)
}
