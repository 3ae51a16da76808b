//! Where everybody may sign in besides here: known to the whole instance, from the environment.

use clap::Args;
use preloop_server::known_providers as known;
use preloop_types::IdentityProvider;
use secrecy::SecretString;

use crate::failure::{Failure, Result};

/// Who we are to identity providers. Their secrets come from the environment only.
#[derive(Args)]
#[command(next_help_heading = "Sign-in through others")]
pub(crate) struct SignInProviders {
    /// Lets people sign in with Google, together with `GOOGLE_OAUTH_CLIENT_SECRET`. Register
    /// `<public URL>/api/v1/auth/oauth/google/callback` there
    #[arg(long, value_name = "ID", env = "GOOGLE_OAUTH_CLIENT_ID")]
    google_oauth_client_id: Option<String>,
    /// The same with GitLab, together with `GITLAB_OAUTH_CLIENT_SECRET`
    #[arg(long, value_name = "ID", env = "GITLAB_OAUTH_CLIENT_ID")]
    gitlab_oauth_client_id: Option<String>,
    /// A GitLab of one's own
    #[arg(long, value_name = "URL", env = "GITLAB_OAUTH_BASE_URL", default_value = "https://gitlab.com")]
    gitlab_oauth_base_url: String,
    /// The same with GitHub, together with `GITHUB_APP_CLIENT_SECRET`
    #[arg(long, value_name = "ID", env = "GITHUB_APP_CLIENT_ID")]
    github_app_client_id: Option<String>,
    /// A GitHub Enterprise Server of one's own
    #[arg(long, value_name = "URL", env = "GITHUB_APP_BASE_URL", default_value = "https://github.com")]
    github_app_base_url: String,
}

/// Variables that hold our secrets at providers.
pub(crate) const SECRETS: [&str; 3] =
    ["GOOGLE_OAUTH_CLIENT_SECRET", "GITLAB_OAUTH_CLIENT_SECRET", "GITHUB_APP_CLIENT_SECRET"];

impl SignInProviders {
    /// Those that are configured, with their secrets as `secret` reads them.
    pub(crate) fn configured(
        &self,
        secret: impl Fn(&str) -> Option<SecretString>,
    ) -> Result<Vec<(IdentityProvider, SecretString)>> {
        let [google, gitlab, github] = SECRETS;
        let id = |id: &Option<String>| id.clone().filter(|id| !id.trim().is_empty());
        let all = [
            (google, id(&self.google_oauth_client_id).map(known::google)),
            (gitlab, id(&self.gitlab_oauth_client_id).map(|id| known::gitlab(id, &self.gitlab_oauth_base_url))),
            (github, id(&self.github_app_client_id).map(|id| known::github(id, &self.github_app_base_url))),
        ];
        let mut configured = Vec::new();
        for (name, provider) in all {
            match (provider, secret(name)) {
                (Some(provider), Some(secret)) => configured.push((provider, secret)),
                (None, None) => {}
                (Some(provider), None) => {
                    return Err(Failure::usage(format!("{} has a client id and `{name}` is not set", provider.name)));
                }
                (None, Some(_)) => return Err(Failure::usage(format!("`{name}` is set without its client id"))),
            }
        }
        Ok(configured)
    }
}
