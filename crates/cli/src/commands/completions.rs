//! `preloop completions`: scripts that complete this program's commands in a shell.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;

#[derive(Args)]
pub(crate) struct Completions {
    /// For which shell
    shell: Shell,
}

pub(crate) fn run(command: &Completions) {
    clap_complete::generate(command.shell, &mut Cli::command(), "preloop", &mut std::io::stdout());
}
