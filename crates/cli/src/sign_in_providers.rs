//! Where everybody may sign in besides here: known to the whole instance, from the environment.

use clap::Args;
use preloop_server::{IdentityProvider, known_providers};
use secrecy::SecretString;

/// Client ids and secrets, as other software of this kind names them.
#[derive(Args, Clone)]
#[command(next_help_heading = "Sign-in through others")]
pub(crate) struct SignInProviders {
    /// Let people sign in with Google; register `<public URL>/api/v1/auth/oauth/google/callback` there
    #[arg(long, env = "GOOGLE_OAUTH_CLIENT_ID", requires = "google_oauth_client_secret")]
    google_oauth_client_id: Option<String>,
    /// Its secret. Better in the environment than on the command line
    #[arg(long, env = "GOOGLE_OAUTH_CLIENT_SECRET", hide_env_values = true)]
    google_oauth_client_secret: Option<SecretString>,
    /// Let people sign in with GitLab; register `<public URL>/api/v1/auth/oauth/gitlab/callback` there
    #[arg(long, env = "GITLAB_OAUTH_CLIENT_ID", requires = "gitlab_oauth_client_secret")]
    gitlab_oauth_client_id: Option<String>,
    /// Its secret
    #[arg(long, env = "GITLAB_OAUTH_CLIENT_SECRET", hide_env_values = true)]
    gitlab_oauth_client_secret: Option<SecretString>,
    /// A GitLab of one's own
    #[arg(long, env = "GITLAB_OAUTH_BASE_URL", default_value = "https://gitlab.com")]
    gitlab_oauth_base_url: String,
    /// Let people sign in with GitHub; register `<public URL>/api/v1/auth/oauth/github/callback` there
    #[arg(long, env = "GITHUB_APP_CLIENT_ID", requires = "github_app_client_secret")]
    github_app_client_id: Option<String>,
    /// Its secret
    #[arg(long, env = "GITHUB_APP_CLIENT_SECRET", hide_env_values = true)]
    github_app_client_secret: Option<SecretString>,
    /// A GitHub Enterprise Server
    #[arg(long, env = "GITHUB_BASE_URL", default_value = "https://github.com")]
    github_base_url: String,
}

impl SignInProviders {
    /// Those whose id and secret are given.
    pub(crate) fn configured(self) -> Vec<(IdentityProvider, SecretString)> {
        let google = self.google_oauth_client_id.map(known_providers::google).zip(self.google_oauth_client_secret);
        let gitlab = self.gitlab_oauth_client_id.map(|id| known_providers::gitlab(id, &self.gitlab_oauth_base_url));
        let github = self.github_app_client_id.map(|id| known_providers::github(id, &self.github_base_url));
        let others = [gitlab.zip(self.gitlab_oauth_client_secret), github.zip(self.github_app_client_secret)];
        google.into_iter().chain(others.into_iter().flatten()).collect()
    }
}
