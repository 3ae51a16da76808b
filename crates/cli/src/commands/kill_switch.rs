//! `preloop kill-switch`: halts agents at once.

use clap::{Args, Subcommand, ValueEnum};
use preloop_api_types::kill_switch::{HaltedScope, KillSwitch as Status, PressKillSwitch};

use crate::{
    cli::Global,
    client::Client,
    failure::Result,
    output::{Format, Printer},
    words::at,
};

const PATH: &str = "/api/v1/account/kill-switch";

#[derive(Subcommand)]
pub(crate) enum KillSwitch {
    /// Show what is halted, by whom and since when
    Status,
    /// Halt agents at once: model calls, tool calls and flows, unless you name some
    Activate(Activate),
    /// Let agents go on; name what
    Deactivate(Deactivate),
}

#[derive(Args)]
pub(crate) struct Activate {
    /// What to halt (repeatable); everything, when left out
    #[arg(value_enum)]
    scopes: Vec<Scope>,
    /// Why, for people and for the agents that meet it
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

#[derive(Args)]
pub(crate) struct Deactivate {
    /// What goes on (repeatable)
    #[arg(value_enum, required = true)]
    scopes: Vec<Scope>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// What can be halted.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Scope {
    /// New model calls
    Gateway,
    /// Tool calls and reads
    Tools,
    /// Runs of flows
    Flows,
}

impl Scope {
    const fn word(self) -> &'static str {
        match self {
            Scope::Gateway => "gateway",
            Scope::Tools => "tools",
            Scope::Flows => "flows",
        }
    }
}

pub(crate) async fn run(command: &KillSwitch, global: &Global) -> Result {
    let client = Client::new(global)?;
    let printer = global.printer();
    let status: Status = match command {
        KillSwitch::Status => client.get(&format!("{PATH}/status")).await?,
        KillSwitch::Activate(Activate { scopes, reason }) => {
            client.post(&format!("{PATH}/activate"), &pressed(scopes, reason.as_ref())).await?
        }
        KillSwitch::Deactivate(Deactivate { scopes, reason }) => {
            client.post(&format!("{PATH}/deactivate"), &pressed(scopes, reason.as_ref())).await?
        }
    };
    show(printer, &status)
}

fn pressed(scopes: &[Scope], reason: Option<&String>) -> PressKillSwitch {
    let words = scopes.iter().map(|scope| scope.word().to_owned()).collect::<Vec<_>>();
    PressKillSwitch { scopes: (!words.is_empty()).then_some(words), reason: reason.cloned() }
}

fn show(printer: Printer, status: &Status) -> Result {
    if printer.format != Format::Table {
        return printer.data(status);
    }
    printer.list(
        &status.scopes,
        &[
            ("halted", |halted: &HaltedScope| halted.scope.clone()),
            ("since", |halted| at(halted.activated_at)),
            ("by", |halted| halted.activated_by_username.clone()),
            ("why", |halted| halted.reason.clone().unwrap_or_default()),
        ],
        "nothing is halted",
    )
}
