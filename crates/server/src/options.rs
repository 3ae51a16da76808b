use std::{fmt, net::SocketAddr, path::PathBuf, sync::Arc};

use ipnet::IpNet;
use preloop_identity::PasswordCost;
use preloop_notify::{ChatSettings, PushProxySettings, SmtpSettings};
use preloop_store::{Clock, SystemClock};
use preloop_telemetry::OtlpOptions;
use preloop_types::{IdentityProvider, WriterId};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::ServeError;

/// How to run an instance.
#[derive(Clone)]
pub struct ServerOptions {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// `sqlite:///path/to/file.db` or `postgres://…`.
    pub database_url: String,
    /// Seals secrets and signs the journal (`SECRET_KEY`).
    pub instance_key: SecretString,
    /// This process's name in every journal; the same across its restarts.
    pub writer: WriterId,
    /// Where programs run as MCP servers start, unless they say otherwise.
    pub data_dir: PathBuf,
    /// Where people and agents reach this server; goes into links. `http://` and the address it
    /// listens on when absent.
    pub public_url: Option<Url>,
    /// Further host names to answer to.
    pub allowed_hosts: Vec<String>,
    /// Web pages that may call: `https://inspector.example`.
    pub allowed_origins: Vec<String>,
    /// Reverse proxies whose `X-Forwarded-For` is believed: who called them is who guesses keys.
    pub trusted_proxies: Vec<IpNet>,
    /// Servers and webhooks may be on private networks and on this machine.
    pub allow_private_network: bool,
    /// MCP servers may be programs that this machine runs.
    pub allow_stdio: bool,
    /// Environment variables that a policy document may read, besides `PRELOOP_POLICY_*`.
    pub policy_env: Vec<String>,
    /// Where spans of calls are sent; nowhere when absent.
    pub otlp: Option<OtlpOptions>,
    /// What Prometheus shows to read `/metrics`; without it only this machine may.
    pub metrics_token: Option<SecretString>,
    /// Hands mails out.
    pub smtp: Option<SmtpSettings>,
    /// Anybody may make an account of their own.
    pub registration: bool,
    /// Identity providers where anybody may sign in, with our secrets there.
    pub sign_in_providers: Vec<(IdentityProvider, SecretString)>,
    /// How much work a password's hash is.
    pub password_cost: PasswordCost,
    /// Chats whose buttons and people can be told.
    pub chat: ChatSettings,
    /// Hands messages to phones.
    pub push_proxy: Option<PushProxySettings>,
    /// Who the first account belongs to.
    pub owner: FirstOwner,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
}

/// Who the first account belongs to. Matters only when there is none yet.
#[derive(Clone)]
pub struct FirstOwner {
    /// Their name.
    pub username: String,
    /// Where approval requests are sent.
    pub email: Option<String>,
    /// Their first API key; one is made when absent.
    pub key: Option<SecretString>,
}

impl ServerOptions {
    /// The least an instance needs; everything else is closed.
    pub fn new(listen: SocketAddr, database_url: String, instance_key: SecretString, writer: WriterId) -> Self {
        Self {
            listen,
            database_url,
            instance_key,
            writer,
            data_dir: PathBuf::from("."),
            public_url: None,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            allow_private_network: false,
            allow_stdio: false,
            policy_env: Vec::new(),
            otlp: None,
            metrics_token: None,
            smtp: None,
            registration: false,
            sign_in_providers: Vec::new(),
            password_cost: PasswordCost::STANDARD,
            chat: ChatSettings::default(),
            push_proxy: None,
            owner: FirstOwner { username: "owner".to_owned(), email: None, key: None },
            clock: Arc::new(SystemClock),
        }
    }

    /// What may go wrong with these settings, for the log.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.listen.ip().is_loopback() && self.public_url.is_none() && self.allowed_hosts.is_empty() {
            warnings.push(format!(
                "listening on {} without a public URL or allowed hosts: requests for any host name are answered, so a \
                 web page whose name is pointed at this address can reach it, and links lead to this machine only; set \
                 `--public-url`",
                self.listen
            ));
        }
        warnings
    }

    pub(crate) fn check(&self) -> Result<(), ServeError> {
        if self.instance_key.expose_secret().len() < 16 {
            return Err(ServeError::Options("the instance key is shorter than 16 characters".into()));
        }
        let key = self.owner.key.as_ref().map(ExposeSecret::expose_secret);
        if key.is_some_and(|key| key.len() < 20 || !key.bytes().all(|b| b.is_ascii_graphic())) {
            return Err(ServeError::Options(
                "the first API key must be at least 20 visible ASCII characters; `openssl rand -hex 32` makes one"
                    .into(),
            ));
        }
        Ok(())
    }
}

impl fmt::Debug for ServerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerOptions")
            .field("listen", &self.listen)
            .field("public_url", &self.public_url)
            .field("allow_private_network", &self.allow_private_network)
            .field("allow_stdio", &self.allow_stdio)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use preloop_types::{Timestamp, WriterId};

    use super::ServerOptions;

    #[test]
    fn an_open_address_without_a_name_is_warned_about() {
        let options = |listen: &str| {
            let writer = WriterId::new(Timestamp::from_micros(1));
            ServerOptions::new(listen.parse().unwrap(), "sqlite://x".to_owned(), "key".into(), writer)
        };
        assert!(options("127.0.0.1:1").warnings().is_empty() && options("[::1]:1").warnings().is_empty());
        let open = options("0.0.0.0:1");
        assert!(open.warnings()[0].contains("0.0.0.0:1"), "{:?}", open.warnings());
        let named = ServerOptions { public_url: "https://preloop.example".parse().ok(), ..open.clone() };
        assert!(named.warnings().is_empty());
        assert!(ServerOptions { allowed_hosts: vec!["preloop.example".to_owned()], ..open }.warnings().is_empty());
    }
}
