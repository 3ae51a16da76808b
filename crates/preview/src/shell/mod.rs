//! Shell commands taken apart, the way bash and its relatives would.
//!
//! Not a grammar: what matters to an approver is which programs run, with which arguments, fed by
//! what and writing where, however deep they are nested; so a script is read into a flat list of
//! commands, and what control structure joins them is left aside. What the reader does not
//! understand is an error that is shown, never a guess.

mod commands;
mod judge;
mod programs;
mod read;
mod words;

pub(crate) use judge::study;
pub(crate) use read::{read, read_argv};

/// A script, or what stands in a substitution.
#[derive(Debug, Default)]
pub(crate) struct Script {
    /// Its commands in order.
    pub(crate) commands: Vec<Command>,
    /// Functions it defines.
    pub(crate) functions: Vec<String>,
    /// Why it could not be read to its end.
    pub(crate) trouble: Option<&'static str>,
}

/// One simple command, or a subshell.
#[derive(Debug)]
pub(crate) struct Command {
    /// What joins it to the one before.
    pub(crate) joint: Joint,
    /// Variables set for it, or for the shell when there are no words.
    pub(crate) assignments: Vec<(String, Word)>,
    /// The program and its arguments.
    pub(crate) words: Vec<Word>,
    /// Where its input and output go.
    pub(crate) redirects: Vec<Redirect>,
    /// What runs inside it: a subshell.
    pub(crate) inner: Vec<Script>,
    /// Whether the words are syntax (`for x in …`) rather than a program.
    pub(crate) syntax: bool,
}

/// What stands between two commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joint {
    First,
    Then,
    And,
    Or,
    Pipe,
    Background,
}

/// A word after quotes are removed.
#[derive(Debug, Default)]
pub(crate) struct Word {
    /// What the program gets, where that is known.
    pub(crate) value: String,
    /// What stood in the script.
    pub(crate) source: String,
    /// The shell computes it: a variable, a substitution, a list in braces.
    pub(crate) computed: bool,
    /// Holds an unquoted `*`, `?` or `[`: it stands for file names.
    pub(crate) pattern: bool,
    /// Nothing in it was quoted or escaped.
    pub(crate) bare: bool,
    /// What runs to compute it.
    pub(crate) scripts: Vec<Script>,
}

/// A redirection.
#[derive(Debug)]
pub(crate) struct Redirect {
    pub(crate) kind: RedirectKind,
    /// The file, the descriptor, or the text.
    pub(crate) target: Word,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RedirectKind {
    Read,
    Write,
    Append,
    /// `2>&1`.
    Descriptor,
    /// Text given in the script itself.
    Text,
}

impl Command {
    fn new(joint: Joint) -> Self {
        Self {
            joint,
            assignments: Vec::new(),
            words: Vec::new(),
            redirects: Vec::new(),
            inner: Vec::new(),
            syntax: false,
        }
    }

    fn is_empty(&self) -> bool {
        self.words.is_empty() && self.assignments.is_empty() && self.redirects.is_empty() && self.inner.is_empty()
    }
}

impl Joint {
    /// How the joint is written.
    pub(crate) const fn sign(self) -> &'static str {
        match self {
            Joint::First => "",
            Joint::Then => "; ",
            Joint::And => "&& ",
            Joint::Or => "|| ",
            Joint::Pipe => "| ",
            Joint::Background => "& ",
        }
    }
}
