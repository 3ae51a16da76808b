//! What the tests need beside Rust: where it is found, and how it is installed.

pub(crate) mod node;
pub(crate) mod packages;
pub(crate) mod postgres;
pub(crate) mod python;

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::target_dir;

/// Whether a program is on `PATH`.
pub(crate) fn finds(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// Whether we are root.
fn is_root() -> bool {
    answer(Command::new("id").arg("-u")).is_some_and(|uid| uid == "0")
}

/// What a command prints on its standard output, trimmed; `None` unless it succeeds.
fn answer(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs a command with its output shown.
fn must(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start `{}`", command.get_program().display()))?;
    ensure!(status.success(), "`{}` failed: {status}", command.get_program().display());
    Ok(())
}

/// A folder under the target directory that is made anew whenever the text of its `inputs` changes.
struct Made {
    folder: PathBuf,
    inputs: String,
}

impl Made {
    fn new(name: &str, inputs: &[&Path]) -> Result<Self> {
        let mut text = String::new();
        for path in inputs {
            text += &std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        }
        Ok(Self { folder: target_dir().join("test-env").join(name), inputs: text })
    }

    fn is_current(&self) -> bool {
        std::fs::read_to_string(self.stamp()).is_ok_and(|stamp| stamp == self.inputs)
    }

    fn start_over(&self) -> Result<()> {
        let _ = std::fs::remove_dir_all(&self.folder);
        std::fs::create_dir_all(&self.folder).with_context(|| format!("cannot make `{}`", self.folder.display()))
    }

    /// Written last, so that an interrupted installation is never taken for a whole one.
    fn finish(&self) -> Result<()> {
        std::fs::write(self.stamp(), &self.inputs).context("cannot write the stamp")
    }

    fn stamp(&self) -> PathBuf {
        self.folder.join(".made-from")
    }
}
