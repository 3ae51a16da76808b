//! Renewing a sign-in, safely across the processes that share its credentials file: a refresh token
//! works once, and one that comes back ends the sign-in.

use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;
use url::Url;

use crate::{
    credentials::{Locked, Login},
    failure::{Exit, Failure, Result},
};

/// What the server knows this program as.
pub(crate) const CLIENT_ID: &str = "preloop-cli";

/// Tokens, as the server gives them.
#[derive(Deserialize)]
pub(crate) struct Tokens {
    access_token: String,
    refresh_token: String,
    expires_in: u64,
}

impl From<Tokens> for Login {
    fn from(tokens: Tokens) -> Self {
        Login::new(tokens.access_token, tokens.refresh_token, Duration::from_secs(tokens.expires_in))
    }
}

/// The access token that stands in for `stale`; `None` if the sign-in is over. The file is held while the
/// server is asked, so of processes that come at once one asks and the others find its answer.
pub(crate) async fn renewed(http: &reqwest::Client, base: &Url, stale: &str) -> Result<Option<String>> {
    let mut kept = tokio::task::spawn_blocking(Locked::take)
        .await
        .map_err(|error| Failure::new(Exit::Failure, format!("the credentials file could not be read: {error}")))??;
    let Some(login) = kept.credentials.of(base).and_then(|credential| credential.login.clone()) else {
        return Ok(None);
    };
    if login.access != stale {
        return Ok(Some(login.access));
    }
    let form = [("grant_type", "refresh_token"), ("refresh_token", &login.refresh), ("client_id", CLIENT_ID)];
    let url = format!("{}/oauth/token", base.as_str().trim_end_matches('/'));
    let unreachable = |error: reqwest::Error| {
        let why = error.without_url();
        Failure::new(Exit::Unreachable, format!("the sign-in at `{base}` could not be renewed: {why}"))
            .help("nothing is lost; try again")
    };
    let answer = http.post(url).form(&form).send().await.map_err(unreachable)?;
    match answer.status() {
        StatusCode::OK => {
            let login = Login::from(answer.json::<Tokens>().await.map_err(unreachable)?);
            let access = login.access.clone();
            kept.credentials.change(base, |credential| credential.login = Some(login));
            kept.write()?;
            Ok(Some(access))
        }
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED => Ok(None),
        status => Err(Failure::new(Exit::Unreachable, format!("the server at `{base}` answered {status}"))
            .help("nothing is lost; try again")),
    }
}

/// As [`renewed`], for those who cannot wait for a future.
pub(crate) fn renewed_blocking(http: &reqwest::Client, base: &Url, stale: &str) -> std::io::Result<String> {
    let renewed = std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let renewed = runtime.block_on(renewed(http, base, stale));
            renewed.map_err(|failure| std::io::Error::other(failure.to_string()))
        });
        asked.join().unwrap_or_else(|_| Err(std::io::Error::other("the sign-in could not be renewed")))
    });
    let over = || std::io::Error::other(format!("you are not signed in to `{base}` any more; run `preloop login`"));
    renewed?.ok_or_else(over)
}
