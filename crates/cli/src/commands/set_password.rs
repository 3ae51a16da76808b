//! `preloop set-password`: the way back in for whoever holds the server's machine.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use preloop_server::LocalDatabase;
use preloop_store::{Clock, SystemClock};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::serve::{default_data_dir, secret};
use crate::{
    cli::{Global, some_text},
    client::parse_url,
    failure::Result,
    instance::DataDir,
};

#[derive(Args)]
#[command(
    after_help = "Works on the database itself: on SQLite stop `preloop serve` first. With PostgreSQL set DATABASE_URL \
and SECRET_KEY as for the server, and another data directory than a server that is running."
)]
pub(crate) struct SetPassword {
    /// Whose
    #[arg(value_name = "USERNAME", value_parser = some_text())]
    username: String,
    /// Read the new password from standard input, instead of printing a link with which it is chosen
    #[arg(long)]
    stdin: bool,
    /// Where the database and the instance's key are kept [default: ~/.local/share/preloop]
    #[arg(long, value_name = "FOLDER", env = "PRELOOP_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// `postgres://…` or `sqlite:///path`; a SQLite file in the data directory when left out
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
}

pub(crate) async fn run(command: &SetPassword, global: &Global) -> Result {
    let data = DataDir::take(&command.data_dir.clone().map_or_else(default_data_dir, Ok)?)?;
    let given = secret("SECRET_KEY");
    let database = LocalDatabase {
        database_url: command.database_url.clone().unwrap_or_else(|| data.sqlite_url()),
        instance_key: data.instance_key(given.as_ref(), false)?,
        writer: data.writer(SystemClock.now())?,
        public_url: public_url(global)?,
    };
    let password = if command.stdin {
        Some(SecretString::from(std::io::read_to_string(std::io::stdin())?.trim_end_matches(['\r', '\n']).to_owned()))
    } else {
        None
    };
    let link = database.set_password(&command.username, password.as_ref()).await;
    let link = link.context("the password cannot be set")?;
    let printer = global.printer();
    match link {
        Some(link) => printer.text(&format!(
            "With the server running, `{}` chooses a password here within 24 hours. The link works once.\n\n  {}\n",
            command.username,
            link.expose_secret()
        )),
        None => printer.say(&format!("The password of `{}` is set; they are signed out everywhere.", command.username)),
    }
}

fn public_url(global: &Global) -> Result<Url> {
    global.url.clone().map_or_else(|| parse_url("http://localhost:8000"), Ok)
}
