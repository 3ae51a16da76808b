//! The command line: what can be asked for. What each command does is in `commands`.

use clap::{Args, Parser, Subcommand, builder::NonEmptyStringValueParser};
use secrecy::SecretString;
use url::Url;

use crate::{
    client::parse_url,
    commands::{
        agents, approvals, audit, budgets, completions, doctor, gateway, keys, kill_switch, login, mcp, models,
        notifications, policy, prices, serve, sessions, set_password, teams, tools, usage, users,
    },
    output::{Format, Printer},
};

/// Governs what AI agents do: decides, asks a human, carries out and keeps proof.
#[derive(Parser)]
#[command(name = "preloop", version, propagate_version = true, max_term_width = 110)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not signed in or not permitted, 4 not found, \
5 conflict (decided already), 6 server not reachable, 7 invalid policy or broken journal.")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every client command understands.
#[derive(Args)]
#[command(next_help_heading = "Common options")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
pub(crate) struct Global {
    /// The server; else the one in the credentials file, else this machine's at port 8000
    #[arg(long, global = true, env = "PRELOOP_URL", value_parser = url, hide_env_values = true)]
    pub(crate) url: Option<Url>,
    /// The API key; else the one in the credentials file. Better in the environment than on the command line
    #[arg(long, global = true, env = "PRELOOP_TOKEN", value_parser = secret, hide_env_values = true)]
    pub(crate) token: Option<SecretString>,
    /// Send the API key over plain HTTP even to another machine
    #[arg(long, global = true, env = "PRELOOP_INSECURE_HTTP")]
    pub(crate) insecure_http: bool,
    /// Print JSON
    #[arg(long, global = true, conflicts_with = "yaml")]
    json: bool,
    /// Print YAML
    #[arg(long, global = true)]
    yaml: bool,
    /// Print data only, no notes
    #[arg(short, long, global = true)]
    quiet: bool,
}

impl Global {
    pub(crate) fn printer(&self) -> Printer {
        let format = match (self.json, self.yaml) {
            (true, _) => Format::Json,
            (_, true) => Format::Yaml,
            _ => Format::Table,
        };
        Printer { format, quiet: self.quiet }
    }
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run the server
    Serve(Box<serve::Serve>),
    /// Sign in as yourself, with a browser here or anywhere
    Login(login::LogIn),
    /// End the sign-in of this machine
    Logout,
    /// Say who you are to the server
    Whoami,
    /// Upstream MCP servers
    #[command(subcommand)]
    Mcp(mcp::Mcp),
    /// The tools agents are offered
    #[command(args_conflicts_with_subcommands = true)]
    Tools(tools::Tools),
    /// Policies: what is allowed, denied, or put before a human
    #[command(subcommand)]
    Policy(policy::Policy),
    /// Models agents can ask for, and who serves them
    #[command(subcommand)]
    Models(models::Models),
    /// What models cost this account, whatever the catalogue says
    #[command(subcommand)]
    Prices(prices::Prices),
    /// Limits on what model calls may consume
    #[command(subcommand)]
    Budgets(budgets::Budgets),
    /// What model calls consumed and cost
    #[command(alias = "cost", args_conflicts_with_subcommands = true)]
    Usage(Box<usage::Usage>),
    /// Managed agents: who they are, whether they may go on, their credentials
    #[command(subcommand)]
    Agents(agents::Agents),
    /// Runs of agents: what they did, and their end
    #[command(subcommand)]
    Sessions(sessions::Sessions),
    /// What holds for all model traffic
    #[command(subcommand)]
    Gateway(gateway::Gateway),
    /// Requests that wait for a human, and those decided
    #[command(subcommand)]
    Approvals(approvals::Approvals),
    /// What you are told by, and who is told of events
    #[command(subcommand)]
    Notifications(notifications::Notifications),
    /// API keys of agents and people
    #[command(subcommand)]
    Keys(keys::Keys),
    /// People of the account: their roles, and invitations
    #[command(subcommand)]
    Users(users::UsersCommand),
    /// People who are asked together and have roles together
    #[command(subcommand)]
    Teams(teams::TeamsCommand),
    /// Halts agents at once, and lets them go on
    #[command(subcommand)]
    KillSwitch(kill_switch::KillSwitch),
    /// The journal of everything that was decided and done
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Set a person's password, on the server's machine
    SetPassword(set_password::SetPassword),
    /// Look for what is wrong with this installation
    Doctor(doctor::Doctor),
    /// Say what is running, here and there
    Version,
    /// Print a completion script
    Completions(completions::Completions),
}

fn url(text: &str) -> Result<Url, String> {
    parse_url(text).map_err(|failure| failure.message)
}

fn secret(text: &str) -> Result<SecretString, String> {
    match text.trim() {
        "" => Err("it is empty".to_owned()),
        text => Ok(SecretString::from(text.to_owned())),
    }
}

/// For arguments that must not be empty.
pub(crate) fn some_text() -> NonEmptyStringValueParser {
    NonEmptyStringValueParser::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_can_be_given() {
        let lines = [
            "serve --listen 127.0.0.1:0 --allow-stdio --allow-private-network false --smtp-tls none",
            "serve --registration",
            "set-password ann --data-dir /tmp/preloop",
            "mcp add files --env A=b --cwd /tmp -- npx -y server /srv",
            "mcp add web https://example.com/mcp --bearer-env TOKEN --pin warn --allow-sampling",
            "mcp bridge --server files",
            "tools",
            "tools --server files --json",
            "tools call write_file --args {}",
            "tools accept write_file --hash 00",
            "policy apply policy.yaml --dry-run --prune",
            "policy validate -r policies - --yaml",
            "policy test policies --min-coverage 80 --junit report.xml",
            "policy lint policy.yaml --against old.yaml --strict",
            "policy replay policy.yaml --since 7d --fail-on loosened",
            "policy replay - --export journal.jsonl",
            "policy generate careful -o policy.yaml --no-context",
            "policy generate --from-audit-logs --start-date 2026-11-01",
            "policy rollback v3 --preview",
            "policy keep --tag audited",
            "approvals list --status all",
            "approvals approve latest --comment fine",
            "approvals watch --tool pay --bell --desktop --exec ./told.sh",
            "notifications show",
            "notifications set --email false --push true --preferred mobile_push",
            "notifications devices add",
            "notifications devices add-ntfy https://ntfy.sh/x --token-env T",
            "notifications devices remove phone",
            "notifications mute --minutes 30 --reason meeting",
            "notifications unmute",
            "notifications link-chat a.b",
            "notifications webhooks add https://grc.example/in --event approval.decided",
            "notifications webhooks test https://grc.example/in",
            "notifications dead-letter",
            "notifications replay 0192a1b0-0000-7000-8000-000000000001",
            "notifications test",
            "keys create laptop --expires 90d --tool a --tool b -q",
            "keys create claude --for claude_code --name Claude --label team=web --model anthropic/*",
            "models add anthropic claude-x --key-env KEY --default --price 3,15 --set max_output=8192",
            "models update fast --disable --provider-setting region=eu-central-1",
            "models providers openai",
            "prices add openai/* --discount 20",
            "prices repair --since 30d --model openai/* --dry-run",
            "budgets add --of session --each --hard 5 --period all_time",
            "budgets add --of team --id 0190 --hard 20",
            "budgets update 0190 --hard none",
            "usage --since 7d --by session",
            "usage calls hello --limit 5 --json",
            "cost health",
            "agents list --kind codex --label team=web --status suspended",
            "agents show Claude",
            "agents suspend Claude --reason enough",
            "agents resume Claude",
            "agents decommission Claude",
            "agents credentials create Claude laptop --days 30",
            "agents credentials revoke Claude laptop",
            "sessions list --active",
            "sessions end 0190 --block --reason enough",
            "sessions token codex run-1 --minutes 60",
            "gateway off",
            "gateway set --allow tag:cheap --unpriced warn",
            "users list --json",
            "users invite eve@example.org --role viewer --role analyst",
            "users grant eve editor",
            "users superuser ann --no-more --data-dir /srv/preloop",
            "teams create finance --description Payments",
            "teams add finance eve",
            "teams grant finance executor",
            "kill-switch activate tools gateway --reason leak",
            "kill-switch deactivate gateway",
            "audit list --since 2h --kind call.intent",
            "audit verify export.jsonl",
            "doctor --url http://127.0.0.1:1 --token secret",
            "completions zsh",
            "login --no-browser --url https://preloop.example",
            "logout",
            "whoami --json",
        ];
        for line in lines {
            let parsed = Cli::try_parse_from(std::iter::once("preloop").chain(line.split(' ')));
            assert!(parsed.is_ok(), "{line}: {}", parsed.err().map(|error| error.to_string()).unwrap_or_default());
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for line in [
            "mcp add x",
            "mcp add x http://a -- b",
            "tools --json --yaml",
            "keys create a --agent --admin",
            "budgets add",
            "prices add x",
            "prices repair",
            "frob",
        ] {
            assert!(Cli::try_parse_from(std::iter::once("preloop").chain(line.split(' '))).is_err(), "{line}");
        }
    }
}
