//! `preloop serve`: runs the server.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use anyhow::Context;
use clap::{Args, CommandFactory, ValueEnum};
use etcetera::BaseStrategy;
use ipnet::IpNet;
use preloop_server::{
    ChatSettings, FirstOwner, MattermostSettings, OtlpOptions, PushProxySettings, Server, ServerOptions, SlackSettings,
    SmtpSettings, Welcome,
};
use preloop_store::{Clock, SystemClock};
use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;
use url::Url;

pub(crate) use crate::instance::INSTANCE_KEY;
use crate::{
    cli::{Cli, Global},
    client::parse_url,
    credentials::{self, Credential, Locked},
    failure::{Failure, Result},
    instance::DataDir,
    logging::{self, LogFormat},
    output::{Printer, warn},
    sign_in_providers::{self, SignInProviders},
    signals::asked_to_end,
};

/// Read from the environment only: a command line can be read by others.
const SECRETS: [&str; 9] = [
    "SECRET_KEY",
    "PRELOOP_BOOTSTRAP_KEY",
    "PRELOOP_METRICS_TOKEN",
    "SMTP_PASSWORD",
    "SLACK_SIGNING_SECRET",
    "SLACK_BOT_TOKEN",
    "MATTERMOST_ACTION_SECRET",
    "MATTERMOST_BOT_TOKEN",
    "PUSH_PROXY_API_KEY",
];

/// Read by the programs around this one.
const OTHERS: [&str; 1] = ["PRELOOP_CONFIG_DIR"];

/// Prefixes of variables that are ours, so that one nothing reads is a mistake worth a warning.
const OURS: [&str; 6] = ["PRELOOP_", "SMTP_", "PUSH_PROXY_", "REGISTRATION_", "GOOGLE_OAUTH_", "GITLAB_OAUTH_"];

/// Prefixes of variables with free names: those of policy documents and of the project's tests.
const FREE: [&str; 2] = ["PRELOOP_POLICY_", "PRELOOP_TEST_"];

#[derive(Args)]
#[command(
    after_help = "Secrets are read from the environment only: SECRET_KEY (seals stored credentials; required in \
production, else kept in the data directory), PRELOOP_BOOTSTRAP_KEY (the owner's first API key, else one is made and \
printed once), PRELOOP_METRICS_TOKEN (opens /metrics to other machines), SMTP_PASSWORD, SLACK_SIGNING_SECRET and \
MATTERMOST_ACTION_SECRET (buttons in messages), SLACK_BOT_TOKEN and MATTERMOST_BOT_TOKEN (who clicked), \
PUSH_PROXY_API_KEY. Spans are sent where \
OTEL_EXPORTER_OTLP_ENDPOINT says."
)]
pub(crate) struct Serve {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", env = "PRELOOP_LISTEN", default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// Where the database and the instance's key are kept [default: ~/.local/share/preloop]
    #[arg(long, value_name = "FOLDER", env = "PRELOOP_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// `postgres://…` or `sqlite:///path`; a SQLite file in the data directory when left out
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// The address people and agents reach this server at; goes into links
    #[arg(long, value_name = "URL", env = "PRELOOP_URL", value_parser = public_url)]
    public_url: Option<Url>,
    /// Production wants `SECRET_KEY` and runs no servers as programs unless told to
    #[arg(long, env = "ENVIRONMENT", default_value = "development")]
    environment: Environment,

    /// What is logged: a level, or directives like `info,preloop_mcp=debug`
    #[arg(long, value_name = "LEVEL", env = "LOG_LEVEL", default_value = "info")]
    log_level: String,
    /// How it is logged
    #[arg(long, value_name = "FORMAT", env = "PRELOOP_LOG_FORMAT", default_value = "text")]
    log_format: LogFormat,

    /// Further host names to answer to
    #[arg(long = "allowed-host", value_name = "NAME", env = "PRELOOP_ALLOWED_HOSTS", value_delimiter = ',')]
    allowed_hosts: Vec<String>,
    /// Further web pages that may call: `https://inspector.example`
    #[arg(long = "allowed-origin", value_name = "ORIGIN", env = "PRELOOP_ALLOWED_ORIGINS", value_delimiter = ',')]
    allowed_origins: Vec<String>,
    /// Reverse proxies whose `X-Forwarded-For` is believed, as addresses or networks: `10.0.0.0/8`
    #[arg(long = "trusted-proxy", value_name = "NETWORK", env = "PRELOOP_TRUSTED_PROXIES", value_delimiter = ',', value_parser = network)]
    trusted_proxies: Vec<IpNet>,
    /// Whether servers and webhooks may be on this machine or a private network [default: not in production]
    #[arg(long, value_name = "BOOL", env = "PRELOOP_ALLOW_PRIVATE_NETWORK", num_args = 0..=1, default_missing_value = "true")]
    allow_private_network: Option<bool>,
    /// Whether MCP servers may be programs that this machine runs [default: not in production]
    #[arg(long, value_name = "BOOL", env = "PRELOOP_ALLOW_STDIO", num_args = 0..=1, default_missing_value = "true")]
    allow_stdio: Option<bool>,
    /// Environment variables that a policy document may read as `${NAME}`, besides `PRELOOP_POLICY_*`
    #[arg(long = "policy-env", value_name = "NAME", env = "PRELOOP_POLICY_ENV", value_delimiter = ',')]
    policy_env: Vec<String>,

    /// The name of the first account's owner; matters on the first start only
    #[arg(long, value_name = "NAME", env = "PRELOOP_OWNER", default_value = "owner")]
    owner: String,
    /// Where the owner's approval mails go; matters on the first start only
    #[arg(long, value_name = "ADDRESS", env = "PRELOOP_OWNER_EMAIL")]
    owner_email: Option<String>,

    /// Whether anybody may make an account of their own [default: nobody]
    #[arg(long, value_name = "BOOL", env = "REGISTRATION_ENABLED", num_args = 0..=1, default_value = "false", default_missing_value = "true")]
    registration: bool,

    #[command(flatten)]
    smtp: Smtp,

    /// The Mattermost server whose messages have buttons
    #[arg(long, value_name = "URL", env = "MATTERMOST_URL", value_parser = public_url, help_heading = "Chats and phones")]
    mattermost_url: Option<Url>,
    /// The relay that hands messages to phones
    #[arg(long, value_name = "URL", env = "PUSH_PROXY_URL", value_parser = public_url, help_heading = "Chats and phones")]
    push_proxy_url: Option<Url>,
    #[command(flatten)]
    providers: SignInProviders,
}

/// The server that approval mails are handed to.
#[derive(Args)]
#[command(next_help_heading = "Mail")]
struct Smtp {
    /// Its name; without one no mail is sent
    #[arg(long = "smtp-host", value_name = "NAME", env = "SMTP_HOST")]
    host: Option<String>,
    /// Its port [default: 587, with `tls` 465, with `none` 25]
    #[arg(long = "smtp-port", value_name = "PORT", env = "SMTP_PORT")]
    port: Option<u16>,
    /// Who to sign in as; the password is `SMTP_PASSWORD`
    #[arg(long = "smtp-username", value_name = "NAME", env = "SMTP_USERNAME")]
    username: Option<String>,
    /// The sender: `Preloop <preloop@example.com>`
    #[arg(long = "smtp-from", value_name = "ADDRESS", env = "SMTP_FROM")]
    from: Option<String>,
    /// How the connection is protected
    #[arg(long = "smtp-tls", value_name = "KIND", env = "SMTP_TLS", default_value = "starttls", value_parser = ["starttls", "tls", "none"])]
    tls: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Environment {
    Development,
    Production,
}

pub(crate) async fn run(command: &Serve, global: &Global) -> Result {
    logging::start(&command.log_level, command.log_format)?;
    for name in unread_variables() {
        tracing::warn!("nothing reads the environment variable `{name}`; is it mistyped?");
    }
    let data = DataDir::take(&command.data_dir.clone().map_or_else(default_data_dir, Ok)?)?;
    let shutdown = CancellationToken::new();
    let server = Server::start(command.options(&data)?).await.context("the server cannot start")?;
    command.welcome(&server, global.printer())?;
    tokio::spawn(wait_for_signal(shutdown.clone()));
    server.run(shutdown).await.context("the server stopped")?;
    tracing::info!("stopped");
    Ok(())
}

impl Serve {
    fn options(&self, data: &DataDir) -> Result<ServerOptions> {
        let production = self.environment == Environment::Production;
        let key = data.instance_key(instance_secret().as_ref(), production)?;
        let writer = data.writer(SystemClock.now())?;
        let database = self.database_url.clone().unwrap_or_else(|| data.sqlite_url());
        Ok(ServerOptions {
            data_dir: data.path.clone(),
            public_url: self.public_url.clone(),
            allowed_hosts: self.allowed_hosts.clone(),
            allowed_origins: self.allowed_origins.clone(),
            trusted_proxies: self.trusted_proxies.clone(),
            allow_private_network: self.allow_private_network.unwrap_or(!production),
            allow_stdio: self.allow_stdio.unwrap_or(!production),
            policy_env: self.policy_env.clone(),
            otlp: OtlpOptions::from_env(|name| std::env::var(name).ok())
                .map_err(|error| Failure::usage(error.to_string()))?,
            metrics_token: secret("PRELOOP_METRICS_TOKEN"),
            smtp: self.smtp.settings()?,
            chat: self.chat(),
            push_proxy: self.push_proxy()?,
            sign_in_providers: self.providers.configured(secret)?,
            registration: self.registration,
            owner: FirstOwner {
                username: self.owner.clone(),
                email: self.owner_email.clone(),
                key: secret("PRELOOP_BOOTSTRAP_KEY"),
            },
            ..ServerOptions::new(self.listen, database, key, writer)
        })
    }

    fn chat(&self) -> ChatSettings {
        ChatSettings {
            slack: SlackSettings {
                signing_secret: secret("SLACK_SIGNING_SECRET"),
                bot_token: secret("SLACK_BOT_TOKEN"),
                ..SlackSettings::default()
            },
            mattermost: MattermostSettings {
                url: self.mattermost_url.clone(),
                action_secret: secret("MATTERMOST_ACTION_SECRET"),
                bot_token: secret("MATTERMOST_BOT_TOKEN"),
            },
        }
    }

    fn push_proxy(&self) -> Result<Option<PushProxySettings>> {
        match (self.push_proxy_url.clone(), secret("PUSH_PROXY_API_KEY")) {
            (Some(url), Some(api_key)) => Ok(Some(PushProxySettings { url, api_key })),
            (None, None) => Ok(None),
            _ => Err(Failure::usage("PUSH_PROXY_URL and PUSH_PROXY_API_KEY go together; one of them is missing")),
        }
    }

    /// Shows the owner's first key the one time it can be shown, and says where the server is.
    fn welcome(&self, server: &Server, printer: Printer) -> Result {
        let local = local_url(server.address())?;
        let url = self.public_url.clone().unwrap_or_else(|| local.clone());
        tracing::info!(listen = %server.address(), %url, "ready");
        if let Some(Welcome { key, set_up_link }) = server.welcome() {
            printer.text(&format!(
                "The owner's API key, shown this once. It may do everything: never give it to an agent.\n\n  {}\n",
                key.expose_secret()
            ))?;
            printer.text(&format!(
                "To sign in in a browser as `{}`, choose a password here within 24 hours. The link works once; later, \
                 `preloop set-password` does the same.\n\n  {}\n",
                self.owner,
                set_up_link.expose_secret()
            ))?;
            let addresses = if local == url { vec![local] } else { vec![local, url.clone()] };
            match keep(&addresses, key) {
                Ok(path) => printer.say(&format!("Commands on this machine find it in `{path}`."))?,
                Err(error) => warn(&format!("the key was not kept for commands on this machine: {error:#}")),
            }
        }
        printer.say(&format!("Preloop is ready at {}", url.as_str().trim_end_matches('/')))
    }
}

impl Smtp {
    fn settings(&self) -> Result<Option<SmtpSettings>> {
        let Some(host) = &self.host else { return Ok(None) };
        let Some(from) = &self.from else {
            return Err(Failure::usage("SMTP_HOST is set and SMTP_FROM is not: who sends the mails?")
                .help("for example `SMTP_FROM='Preloop <preloop@example.com>'`"));
        };
        let password = secret("SMTP_PASSWORD");
        if self.username.is_some() != password.is_some() {
            return Err(Failure::usage("SMTP_USERNAME and SMTP_PASSWORD go together; one of them is missing"));
        }
        Ok(Some(SmtpSettings {
            host: host.clone(),
            port: self.port,
            username: self.username.clone(),
            password,
            from: from.clone(),
            tls: self.tls.parse().map_err(|error: String| Failure::usage(error))?,
        }))
    }
}

/// The instance's key, where it is not kept in the data directory.
pub(crate) fn instance_secret() -> Option<SecretString> {
    secret("SECRET_KEY")
}

/// A secret of the environment; an empty one is none.
pub(crate) fn secret(name: &str) -> Option<SecretString> {
    let value = std::env::var(name).ok()?;
    Some(value.trim()).filter(|value| !value.is_empty()).map(|value| SecretString::from(value.to_owned()))
}

/// Writes the owner's key where commands on this machine look for it. What is kept for other
/// servers stays.
fn keep(urls: &[Url], key: &SecretString) -> anyhow::Result<String> {
    let mut kept = Locked::take()?;
    let credentials = &mut kept.credentials;
    for url in urls {
        if credentials.of(url).is_some() {
            tracing::warn!(%url, "the credential kept for this address was another server's and is replaced");
        }
        credentials.keep(url, Credential { token: Some(key.expose_secret().to_owned()), login: None });
    }
    kept.write()?;
    Ok(credentials::path()?.display().to_string())
}

/// How this machine reaches the listener.
fn local_url(address: SocketAddr) -> Result<Url> {
    let host = match address.ip() {
        ip if ip.is_unspecified() => "127.0.0.1".to_owned(),
        ip if ip.is_ipv6() => format!("[{ip}]"),
        ip => ip.to_string(),
    };
    parse_url(&format!("http://{host}:{}", address.port()))
}

/// Ends the server on SIGTERM or SIGINT; a second signal ends the process at once.
async fn wait_for_signal(shutdown: CancellationToken) {
    asked_to_end().await;
    tracing::info!("stopping; once more stops at once");
    shutdown.cancel();
    asked_to_end().await;
    std::process::exit(130);
}

/// Where data goes when nothing says otherwise.
pub(crate) fn default_data_dir() -> Result<PathBuf> {
    let home = etcetera::choose_base_strategy().map_err(|error| {
        Failure::usage(format!("your home folder is not known: {error}")).help("name a folder with `--data-dir`")
    })?;
    Ok(home.data_dir().join("preloop"))
}

fn public_url(text: &str) -> std::result::Result<Url, String> {
    parse_url(text).map_err(|failure| failure.message)
}

/// An address alone is a network of one.
fn network(text: &str) -> std::result::Result<IpNet, String> {
    let parsed = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    parsed.map_err(|_| "not an address or network, such as `10.0.0.7` or `10.0.0.0/8`".to_owned())
}

/// Variables of ours that nothing reads, most likely mistyped.
fn unread_variables() -> Vec<String> {
    let mut command = Cli::command();
    command.build();
    let mut read: BTreeSet<String> =
        SECRETS.iter().chain(&sign_in_providers::SECRETS).chain(&OTHERS).map(|name| (*name).to_owned()).collect();
    let mut commands = vec![&command];
    while let Some(command) = commands.pop() {
        read.extend(command.get_arguments().filter_map(|arg| Some(arg.get_env()?.to_str()?.to_owned())));
        commands.extend(command.get_subcommands());
    }
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    names
        .filter(|name| OURS.iter().any(|prefix| name.starts_with(prefix)))
        .filter(|name| !FREE.iter().any(|prefix| name.starts_with(prefix)))
        .filter(|name| !read.contains(name))
        .collect()
}
