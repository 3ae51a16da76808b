//! One instance, assembled.

use std::{sync::Arc, time::Duration};

use preloop_egress::{Egress, EgressOptions};
use preloop_gateway::Gateway;
use preloop_govern::{
    Governor, GovernorOptions, Models,
    config::{Config, ConfigOptions, EnvAllowList, MintedKey},
};
use preloop_identity::{
    Identity,
    oauth::OAuth,
    sso::{Sso, SsoOptions},
};
use preloop_notify::{ChatDesk, Courier, PushRelay, SettingsError, WebPushKeys};
use preloop_store::{Keys, NewKey, NewOwner, Owner, Store, StoreOptions};
use preloop_telemetry::Telemetry;
use preloop_types::{AccountId, Scope};
use secrecy::{ExposeSecret, SecretString};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{ServeError, ServerOptions, mcp::Mcp, models, oauth::AuthorizationServer, throttle::Throttle};

/// One instance: what every request handler works with. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

struct Parts {
    options: ServerOptions,
    public_url: Url,
    store: Store,
    governor: Governor,
    config: Config,
    identity: Identity,
    sso: Sso,
    authorization: AuthorizationServer,
    mcp: Mcp,
    gateway: Gateway,
    models: Arc<dyn Models>,
    courier: Courier,
    chat: ChatDesk,
    push_relay: Option<PushRelay>,
    web_push: WebPushKeys,
    telemetry: Arc<Telemetry>,
    throttle: Throttle,
    shutdown: CancellationToken,
}

/// What the first owner is shown, once.
pub struct Welcome {
    /// Their API key.
    pub key: SecretString,
    /// Where they choose a password.
    pub set_up_link: SecretString,
}

/// How long an approved call may wait to be carried out.
const APPROVED_TTL: Duration = Duration::from_hours(1);
/// How long a claimed call may run before it counts as lost.
const CLAIM_LEASE: Duration = Duration::from_mins(10);

impl App {
    /// Opens the store, makes the first account if there is none, and wires everything together.
    /// Returns what the owner is to be shown once, if that was made now.
    pub async fn open(options: ServerOptions, public_url: Url) -> Result<(Self, Option<Welcome>), ServeError> {
        options.check()?;
        let store = Store::open(StoreOptions {
            url: options.database_url.clone(),
            keys: Keys::derive(options.instance_key.expose_secret().as_bytes()),
            writer: options.writer,
            clock: options.clock.clone(),
        })
        .await?;
        let first = bootstrap(&store, &options).await?;
        let governor = Governor::new(
            store.clone(),
            GovernorOptions {
                writer: options.writer,
                public_url: public_url.as_str().trim_end_matches('/').to_owned(),
                email: options.smtp.is_some(),
                approved_ttl: APPROVED_TTL,
                claim_lease: CLAIM_LEASE,
            },
        );
        let egress = Egress::new(EgressOptions {
            allow_private_network: options.allow_private_network,
            ..EgressOptions::default()
        });
        let config = Config::new(
            store.clone(),
            ConfigOptions {
                allow_stdio: options.allow_stdio,
                allow_private_network: options.allow_private_network,
                policy_env: EnvAllowList { names: options.policy_env.clone() },
                model_check: models::check(egress.clone()),
            },
        );
        let sso = Sso::new(
            store.clone(),
            egress.clone(),
            SsoOptions {
                public_url: public_url.as_str().trim_end_matches('/').to_owned(),
                providers: options.sign_in_providers.clone(),
                registration: options.registration,
            },
        );
        let identity = Identity::with(
            store.clone(),
            preloop_identity::Options {
                public_url: public_url.as_str().trim_end_matches('/').to_owned(),
                mail: options.smtp.is_some(),
                registration: options.registration,
                password_cost: options.password_cost.clone(),
            },
        );
        let oauth = OAuth::new(store.clone(), &egress, options.allow_private_network);
        let unusable = |error: SettingsError| ServeError::Notify(error.to_string());
        let web_push = WebPushKeys::derive(options.instance_key.expose_secret().as_bytes()).map_err(unusable)?;
        let channels = preloop_notify::Settings {
            smtp: options.smtp.clone(),
            chat: options.chat.clone(),
            push_proxy: options.push_proxy.clone(),
            web_push: Some(web_push.clone()),
            public_url: public_url.as_str().trim_end_matches('/').to_owned(),
        };
        let courier = Courier::new(store.clone(), &egress, &channels).map_err(unusable)?;
        let chat = ChatDesk::new(governor.clone(), &egress, options.chat.clone()).map_err(unusable)?;
        let relay = options.push_proxy.clone().map(|proxy| PushRelay::open(&egress, proxy));
        let push_relay = relay.transpose().map_err(unusable)?;
        let welcome = match first {
            Some((owner, key)) => {
                let set_up_link = identity.set_up_link(owner.account, owner.user).await;
                let set_up_link = set_up_link.map_err(|error| ServeError::Identity(error.to_string()))?;
                Some(Welcome { key, set_up_link })
            }
            None => None,
        };
        let shutdown = CancellationToken::new();
        let mcp = Mcp::new(&governor, &egress, &options, &public_url, &shutdown);
        let gateway = Gateway::new(governor.clone(), &egress).map_err(ServeError::Gateway)?;
        let own_models: Arc<dyn Models> = Arc::new(models::OwnModels(gateway.clone()));
        governor.set_models(Arc::downgrade(&own_models));
        let telemetry = Telemetry::new(options.otlp.clone(), models::telemetry_name)?;
        governor.set_observer(telemetry.clone());
        let throttle = Throttle::default();
        let parts = Parts {
            options,
            public_url,
            store,
            governor,
            config,
            identity,
            sso,
            authorization: AuthorizationServer::new(oauth),
            mcp,
            gateway,
            models: own_models,
            courier,
            chat,
            push_relay,
            web_push,
            telemetry,
            throttle,
            shutdown,
        };
        Ok((Self(Arc::new(parts)), welcome))
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Decides calls.
    pub fn governor(&self) -> &Governor {
        &self.0.governor
    }

    /// Changes configuration.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// People, and how they prove who they are.
    pub fn identity(&self) -> &Identity {
        &self.0.identity
    }

    /// Signing in with an identity somebody has elsewhere.
    pub(crate) fn sso(&self) -> &Sso {
        &self.0.sso
    }

    /// Lets clients ask people for access.
    pub(crate) fn authorization(&self) -> &AuthorizationServer {
        &self.0.authorization
    }

    /// Where people and agents reach this instance.
    pub fn public_url(&self) -> &Url {
        &self.0.public_url
    }

    pub(crate) fn options(&self) -> &ServerOptions {
        &self.0.options
    }

    pub(crate) fn mcp(&self) -> &Mcp {
        &self.0.mcp
    }

    pub(crate) fn gateway(&self) -> &Gateway {
        &self.0.gateway
    }

    /// Models for our own parts.
    pub(crate) fn models(&self) -> &dyn Models {
        &*self.0.models
    }

    /// Takes clicks in chats.
    pub(crate) fn chat(&self) -> &ChatDesk {
        &self.0.chat
    }

    /// Hands messages to phones, where there is something that does.
    pub(crate) fn push_relay(&self) -> Option<&PushRelay> {
        self.0.push_relay.as_ref()
    }

    /// Who sends to browsers.
    pub(crate) fn web_push(&self) -> &WebPushKeys {
        &self.0.web_push
    }

    pub(crate) fn telemetry(&self) -> &Telemetry {
        &self.0.telemetry
    }

    pub(crate) fn throttle(&self) -> &Throttle {
        &self.0.throttle
    }

    /// Whether a record could be written now; if not, why, without details of the machine.
    pub(crate) async fn check_store(&self) -> Result<(), &'static str> {
        let nobody = AccountId(uuid::Uuid::nil());
        let write = self.store().write(nobody, |_| Box::pin(async { Ok(()) }));
        match tokio::time::timeout(Duration::from_secs(2), write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(preloop_store::Error::Full)) => Err("full"),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the store is not writable");
                Err("not writable")
            }
            Err(_) => Err("too slow"),
        }
    }

    /// Starts what runs beside requests: keeping memory in step with the store, expiring and
    /// carrying out approvals, delivering notices, sending spans.
    pub(crate) fn spawn_workers(&self, workers: &mut JoinSet<()>) {
        let (governor, courier, shutdown) = (self.governor().clone(), self.0.courier.clone(), self.0.shutdown.clone());
        workers.spawn({
            let shutdown = shutdown.clone();
            async move { governor.run(shutdown).await }
        });
        let telemetry = self.0.telemetry.clone();
        workers.spawn({
            let shutdown = shutdown.clone();
            async move { telemetry.run(shutdown).await }
        });
        workers.spawn(async move { courier.run(shutdown.cancelled_owned()).await });
    }

    /// Ends streams and workers.
    pub(crate) fn begin_shutdown(&self) {
        self.0.shutdown.cancel();
    }

    /// Ends upstream connections and programs, writes what is queued, closes the database.
    pub(crate) async fn close(&self) {
        self.0.mcp.shutdown().await;
        self.0.store.close().await;
    }
}

/// The first account, where it was made now with a key that is made now, too.
async fn bootstrap(store: &Store, options: &ServerOptions) -> Result<Option<(Owner, SecretString)>, ServeError> {
    if !store.accounts().await?.is_empty() {
        return Ok(None);
    }
    let given = options.owner.key.clone();
    let key = given.clone().map_or_else(MintedKey::new, MintedKey::preset);
    let owner = NewOwner {
        username: options.owner.username.clone(),
        email: options.owner.email.clone(),
        full_name: None,
        key: Some(NewKey {
            name: "owner".to_owned(),
            hash: key.hash,
            prefix: key.prefix.clone(),
            scopes: vec![Scope::Admin, Scope::McpRead, Scope::McpWrite, Scope::GatewayInvoke],
        }),
    };
    let made = store.bootstrap(owner).await?;
    Ok(made.filter(|_| given.is_none()).map(|owner| (owner, key.secret)))
}
