//! The `preloop` binary: `serve` runs the server, every other command is a client of its REST API.
//!
//! `cli` says what can be asked for, `commands` does it, `failure` says how it may end.

mod agent;
mod cli;
mod client;
mod commands;
mod credentials;
mod download;
mod failure;
mod instance;
mod logging;
mod output;
mod session;
mod sign_in_providers;
mod signals;
mod words;

use std::process::ExitCode;

use clap::Parser;
use preloop_types::text::printable;

use crate::{
    cli::{Cli, Command},
    commands::{
        agents, approvals, audit, budgets, completions, doctor, gateway, keys, kill_switch, login, mcp, models,
        notifications, policy, prices, serve, sessions, set_password, teams, tools, usage, users, version,
    },
    failure::Result,
};

fn main() -> ExitCode {
    // Fails only if one is installed already, and nothing ran before this.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {}", printable(&failure.to_string()));
            ExitCode::from(failure.exit as u8)
        }
    }
}

fn run(cli: Cli) -> Result {
    let Cli { global, command } = cli;
    let mut runtime = match &command {
        // One worker per core that this process may use.
        Command::Serve(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = runtime.enable_all().build()?;
    let done = runtime.block_on(async {
        match &command {
            Command::Serve(command) => serve::run(command, &global).await,
            Command::Login(command) => login::log_in(command, &global).await,
            Command::Logout => login::log_out(&global).await,
            Command::Whoami => login::who_am_i(&global).await,
            Command::Mcp(command) => mcp::run(command, &global).await,
            Command::Tools(command) => tools::run(command, &global).await,
            Command::Policy(command) => policy::run(command, &global).await,
            Command::Approvals(command) => approvals::run(command, &global).await,
            Command::Models(command) => models::run(command, &global).await,
            Command::Prices(command) => prices::run(command, &global).await,
            Command::Budgets(command) => budgets::run(command, &global).await,
            Command::Usage(command) => usage::run(command, &global).await,
            Command::Agents(command) => agents::run(command, &global).await,
            Command::Sessions(command) => sessions::run(command, &global).await,
            Command::SetPassword(command) => set_password::run(command, &global).await,
            Command::Gateway(command) => gateway::run(command, &global).await,
            Command::Notifications(command) => notifications::run(command, &global).await,
            Command::Keys(command) => keys::run(command, &global).await,
            Command::Users(command) => users::run(command, &global).await,
            Command::Teams(command) => teams::run(command, &global).await,
            Command::KillSwitch(command) => kill_switch::run(command, &global).await,
            Command::Audit(command) => audit::run(command, &global).await,
            Command::Doctor(command) => doctor::run(command, &global).await,
            Command::Version => version::run(&global).await,
            Command::Completions(command) => {
                completions::run(command);
                Ok(())
            }
        }
    });
    // Not waiting: a read of the standard input cannot be called off.
    runtime.shutdown_background();
    done
}
