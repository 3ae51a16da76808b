//! How a command ends when it does not succeed: a text for people and a stable exit code.

use std::fmt;

/// The exit codes that scripts may rely on; `docs/cli.md` documents them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Something went wrong that has no code of its own.
    Failure = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Not signed in, or not permitted.
    Forbidden = 3,
    /// What was named does not exist.
    NotFound = 4,
    /// The state does not allow it: decided already, name taken.
    Conflict = 5,
    /// The server cannot be reached.
    Unreachable = 6,
    /// A policy is invalid, or a journal does not verify.
    Invalid = 7,
}

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// Who, what and why.
    pub(crate) message: String,
    /// What now.
    pub(crate) help: Option<String>,
}

/// A command's result.
pub(crate) type Result<T = ()> = std::result::Result<T, Failure>;

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), help: None }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Adds what the reader can do about it.
    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Exit::Failure, format!("{error:#}"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(Exit::Failure, error.to_string())
    }
}
