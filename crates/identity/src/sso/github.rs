//! GitHub's OAuth: no ID token, so its API is asked who came.

use preloop_types::IdentityProvider;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, de::DeserializeOwned};
use url::Url;

use super::{Attempt, Identified, Sso, SsoError, unavailable};
use crate::fetch::{self, FetchError};

/// Most organizations or teams that are asked for.
const PAGE: &str = "per_page=100";

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: SecretString,
}

#[derive(Deserialize)]
struct User {
    id: u64,
    login: String,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Mail {
    #[serde(rename = "email")]
    address: String,
    primary: bool,
    verified: bool,
}

#[derive(Deserialize)]
struct Organization {
    login: String,
}

#[derive(Deserialize)]
struct Team {
    slug: String,
    organization: Organization,
}

impl Sso {
    pub(super) fn github_authorize(&self, provider: &IdentityProvider, attempt: &Attempt) -> Result<Url, SsoError> {
        let mut url = page(provider, "login/oauth/authorize")?;
        url.query_pairs_mut()
            .append_pair("client_id", &provider.client_id)
            .append_pair("redirect_uri", &self.callback(provider))
            .append_pair("scope", &provider.scopes.join(" "))
            .append_pair("state", &attempt.state())
            .append_pair("code_challenge", &attempt.challenge())
            .append_pair("code_challenge_method", "S256");
        Ok(url)
    }

    pub(super) async fn github_identify(
        &self,
        provider: &IdentityProvider,
        secret: &SecretString,
        attempt: &Attempt,
        code: &str,
    ) -> Result<Identified, SsoError> {
        const WHAT: &str = "token endpoint";
        let request = self.client(provider)?.post(page(provider, "login/oauth/access_token")?);
        let request = request.map_err(|refused| unavailable(provider, FetchError::refused(WHAT, &refused)))?;
        let (callback, verifier) = (self.callback(provider), attempt.verifier());
        let form = [
            ("client_id", provider.client_id.as_str()),
            ("client_secret", secret.expose_secret()),
            ("code", code),
            ("redirect_uri", &callback),
            ("code_verifier", &verifier),
        ];
        let request = request.header(reqwest::header::ACCEPT, "application/json").form(&form);
        let answer: TokenAnswer = fetch::json(request, WHAT).await.map_err(|error| unavailable(provider, error))?;
        let token = &answer.access_token;

        let user: User = self.github_get(provider, token, "user").await?;
        let emails: Vec<Mail> = self.github_get(provider, token, &format!("user/emails?{PAGE}")).await?;
        let mail = emails.into_iter().find(|mail| mail.primary);
        let mut groups = Vec::new();
        if !provider.groups.is_empty() {
            let organizations: Vec<Organization> =
                self.github_get(provider, token, &format!("user/orgs?{PAGE}")).await?;
            groups.extend(organizations.into_iter().map(|organization| organization.login));
            let teams: Vec<Team> = self.github_get(provider, token, &format!("user/teams?{PAGE}")).await?;
            groups.extend(teams.into_iter().map(|team| format!("{}/{}", team.organization.login, team.slug)));
        }
        Ok(Identified {
            subject: user.id.to_string(),
            username: Some(user.login),
            email_verified: mail.as_ref().is_some_and(|mail| mail.verified),
            email: mail.map(|mail| mail.address),
            full_name: user.name,
            groups,
        })
    }

    async fn github_get<T: DeserializeOwned>(
        &self,
        provider: &IdentityProvider,
        token: &SecretString,
        path: &str,
    ) -> Result<T, SsoError> {
        const WHAT: &str = "user information";
        let request = self.client(provider)?.get(api(provider, path)?);
        let request = request.map_err(|refused| unavailable(provider, FetchError::refused(WHAT, &refused)))?;
        let request = request.bearer_auth(token.expose_secret()).header("x-github-api-version", "2022-11-28");
        let request = request.header(reqwest::header::ACCEPT, "application/vnd.github+json");
        fetch::json(request, WHAT).await.map_err(|error| unavailable(provider, error))
    }
}

fn page(provider: &IdentityProvider, path: &str) -> Result<Url, SsoError> {
    address(provider, &format!("{}/{path}", provider.issuer.trim_end_matches('/')))
}

/// The API has a host of its own at github.com, and a path on an Enterprise Server.
fn api(provider: &IdentityProvider, path: &str) -> Result<Url, SsoError> {
    match provider.issuer.trim_end_matches('/') {
        "https://github.com" => address(provider, &format!("https://api.github.com/{path}")),
        own => address(provider, &format!("{own}/api/v3/{path}")),
    }
}

fn address(provider: &IdentityProvider, url: &str) -> Result<Url, SsoError> {
    Url::parse(url).map_err(|error| unavailable(provider, FetchError::new("address", error.to_string())))
}
