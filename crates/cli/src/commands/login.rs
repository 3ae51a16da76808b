//! `preloop login`, `logout` and `whoami`: being a person on the command line, not a key.

use std::{process::Stdio, time::Duration};

use clap::Args;
use preloop_api_types::account::User;
use reqwest::{Response, StatusCode};
use serde::{Deserialize, Serialize};

use crate::{
    cli::Global,
    client::Client,
    credentials::{Credential, Locked, Login},
    failure::{Exit, Failure, Result},
    session::{CLIENT_ID, Tokens},
};

const ME: &str = "/api/v1/auth/users/me";
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

#[derive(Args)]
pub(crate) struct LogIn {
    /// Only print the page's address: on a machine without a browser, or from another one
    #[arg(long)]
    no_browser: bool,
}

/// What to show the person, and how to wait for them.
#[derive(Deserialize)]
struct Waiting {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: Option<String>,
    expires_in: u64,
    #[serde(default = "five")]
    interval: u64,
}

fn five() -> u64 {
    5
}

/// An error in OAuth's words.
#[derive(Deserialize)]
struct Refused {
    error: String,
    error_description: Option<String>,
}

/// Who one is, and where.
#[derive(Serialize)]
struct Who {
    server: String,
    username: String,
    email: Option<String>,
    credential: &'static str,
}

pub(crate) async fn log_in(command: &LogIn, global: &Global) -> Result {
    let client = Client::nobody(global)?;
    let waiting = begin(&client).await?;
    let page = waiting.verification_uri_complete.as_deref().unwrap_or(&waiting.verification_uri);
    eprintln!("Open this page, signed in as yourself:\n\n  {page}\n");
    eprintln!("It must show the code {}. Allow it there; this waits.", waiting.user_code);
    if !command.no_browser {
        open(page);
    }
    let login = wait(&client, &waiting).await?;
    let mut kept = Locked::take()?;
    kept.credentials.change(client.server(), |credential| credential.login = Some(login));
    kept.write()?;
    drop(kept);
    who_am_i(global).await
}

async fn begin(client: &Client) -> Result<Waiting> {
    let name = machine();
    let mut form = vec![("client_id", CLIENT_ID)];
    form.extend(name.as_deref().map(|name| ("device_name", name)));
    let answer = client.form("/oauth/device_authorization", &form).await?;
    if answer.status().is_success() {
        return answer.json().await.map_err(|error| client.broken(error));
    }
    if answer.status() == StatusCode::NOT_FOUND {
        return Err(Failure::new(Exit::NotFound, format!("nobody can sign in at `{}`", client.base()))
            .help("is this a Preloop server of the same version? `preloop version` tells"));
    }
    let refused = said(answer).await;
    Err(Failure::new(Exit::Failure, refused.error_description.unwrap_or(refused.error)))
}

/// Asks until the person answered.
async fn wait(client: &Client, waiting: &Waiting) -> Result<Login> {
    let form = [("grant_type", DEVICE_CODE), ("device_code", &waiting.device_code), ("client_id", CLIENT_ID)];
    let mut interval = Duration::from_secs(waiting.interval.max(1));
    let late = tokio::time::Instant::now() + Duration::from_secs(waiting.expires_in);
    while tokio::time::Instant::now() < late {
        tokio::time::sleep(interval).await;
        let answer = match client.form("/oauth/token", &form).await {
            Ok(answer) if answer.status().is_success() => {
                let tokens = answer.json::<Tokens>().await.map_err(|error| client.broken(error))?;
                return Ok(tokens.into());
            }
            Ok(answer) => said(answer).await,
            // The network may come back before the code is over.
            Err(failure) if failure.exit == Exit::Unreachable => continue,
            Err(failure) => return Err(failure),
        };
        match answer.error.as_str() {
            "authorization_pending" | "temporarily_unavailable" => {}
            "slow_down" => interval += Duration::from_secs(5),
            "access_denied" => return Err(Failure::new(Exit::Forbidden, "the sign-in was declined")),
            "expired_token" => break,
            other => {
                let why = answer.error_description.as_deref().unwrap_or(other);
                return Err(Failure::new(Exit::Forbidden, format!("the sign-in failed: {why}")));
            }
        }
    }
    Err(Failure::new(Exit::Forbidden, "nobody answered in time").help("run `preloop login` again"))
}

/// The error an answer tells.
async fn said(answer: Response) -> Refused {
    let status = answer.status();
    let body = answer.text().await.unwrap_or_default();
    let unclear = || Refused { error: format!("the server answered {status}"), error_description: None };
    serde_json::from_str(&body).unwrap_or_else(|_| unclear())
}

pub(crate) async fn log_out(global: &Global) -> Result {
    let client = Client::nobody(global)?;
    let mut kept = Locked::take()?;
    let Some(login) = kept.credentials.of(client.server()).and_then(|credential| credential.login.clone()) else {
        return Err(Failure::new(Exit::NotFound, format!("nobody is signed in to `{}` here", client.base()))
            .help("API keys are ended with `preloop keys revoke`"));
    };
    let told = client.form("/oauth/revoke", &[("token", &login.refresh), ("client_id", CLIENT_ID)]).await;
    kept.credentials.change(client.server(), |credential| credential.login = None);
    kept.write()?;
    match told {
        Ok(answer) if answer.status().is_success() => {
            global.printer().note(&format!("signed out of {}", client.base()));
            Ok(())
        }
        Ok(answer) => Err(not_told(&format!("it answered {}", answer.status()))),
        Err(failure) => Err(not_told(&failure.message)),
    }
}

fn not_told(why: &str) -> Failure {
    Failure::new(Exit::Unreachable, format!("signed out on this machine, but the server does not know: {why}"))
        .help("the sign-in ends by itself within 30 days; end it sooner among your sessions")
}

pub(crate) async fn who_am_i(global: &Global) -> Result {
    let client = Client::new(global)?;
    let me: User = client.get(ME).await?;
    let kept = Locked::take()?;
    let login = kept.credentials.of(client.server()).is_some_and(|Credential { login, .. }| login.is_some());
    let who = Who {
        server: client.base().to_owned(),
        username: me.username,
        email: me.email,
        credential: if global.token.is_none() && login { "sign-in" } else { "API key" },
    };
    global.printer().one(
        &who,
        &[
            ("Server", who.server.clone()),
            ("Name", who.username.clone()),
            ("E-mail", who.email.clone().unwrap_or_default()),
            ("With", who.credential.to_owned()),
        ],
    )
}

/// What this machine is called, for the person who is asked.
fn machine() -> Option<String> {
    let named = std::env::var("HOSTNAME").or_else(|_| std::env::var("COMPUTERNAME")).ok();
    let name = named.or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok())?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// Opens a page in the person's browser. Where that does not work, its address is on the screen.
fn open(page: &str) {
    let mut command = if cfg!(target_os = "macos") {
        std::process::Command::new("open")
    } else if cfg!(windows) {
        let mut command = std::process::Command::new("rundll32");
        command.arg("url.dll,FileProtocolHandler");
        command
    } else {
        std::process::Command::new("xdg-open")
    };
    // Only what the server we were told to trust calls a web page.
    if page.starts_with("https://") || page.starts_with("http://") {
        let _ = command.arg(page).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    }
}
