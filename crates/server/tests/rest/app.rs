//! The harness: a server in this process on a free port, with a fresh store.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use preloop_bench::mock::{Mock, Options};
use preloop_govern::{Admission, config::MintedKey};
use preloop_server::{FirstOwner, Server, ServerOptions};
use preloop_store::{KeyRow, NewKey, NewOwner, testing};
use preloop_types::{CallId, CredentialKind, KeyId, Role, Scope, Timestamp, ToolCall, User, UserId, WriterId};
use reqwest::{Method, RequestBuilder, StatusCode, header::HeaderMap};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json, value::to_raw_value};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const KEY: &str = "the-owners-key-of-every-test";
const INSTANCE_KEY: &str = "an instance key for tests";

/// A running server and its owner.
pub(crate) struct App {
    pub(crate) url: String,
    pub(crate) server: preloop_server::App,
    pub(crate) owner: Person,
    pub(crate) mock: Mock,
    shutdown: CancellationToken,
    _database: Database,
}

/// What a store lies in; gone when dropped.
enum Database {
    Sqlite { _folder: TempDir },
    Postgres { _store: Box<testing::TestStore> },
}

/// Somebody with a credential.
#[derive(Clone)]
pub(crate) struct Person {
    url: String,
    pub(crate) key: String,
    http: reqwest::Client,
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl App {
    /// One server per kind of store.
    pub(crate) async fn each() -> Vec<App> {
        let mut apps = vec![App::start().await];
        if let Some(store) = testing::fresh_postgres().await {
            let url = store.url().to_owned();
            apps.push(App::on(url, Database::Postgres { _store: Box::new(store) }, |_| {}).await);
        }
        apps
    }

    /// A server on SQLite.
    pub(crate) async fn start() -> App {
        App::with(|_| {}).await
    }

    /// A server on SQLite with other options.
    pub(crate) async fn with(change: impl FnOnce(&mut ServerOptions)) -> App {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("preloop.db").display());
        App::on(url, Database::Sqlite { _folder: folder }, change).await
    }

    async fn on(database_url: String, database: Database, change: impl FnOnce(&mut ServerOptions)) -> App {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let writer = WriterId::new(Timestamp::from_micros(1));
        let instance_key = if matches!(database, Database::Postgres { .. }) {
            SecretString::from(String::from_utf8(testing::INSTANCE_KEY.to_vec()).unwrap())
        } else {
            SecretString::from(INSTANCE_KEY)
        };
        let mut options = ServerOptions {
            allow_private_network: true,
            allow_stdio: true,
            password_cost: preloop_server::PasswordCost::LOWEST,
            owner: FirstOwner {
                username: "ann".to_owned(),
                email: Some("ann@example.org".to_owned()),
                key: Some(SecretString::from(KEY)),
            },
            ..ServerOptions::new(listen, database_url, instance_key, writer)
        };
        change(&mut options);
        let server = Server::start(options).await.unwrap();
        let (url, app) = (format!("http://{}", server.address()), server.app().clone());
        let shutdown = CancellationToken::new();
        tokio::spawn(server.run(shutdown.clone()));
        let owner = Person::new(&url, KEY);
        let mock = Mock::start(Options::default()).await.unwrap();
        App { url, server: app, owner, mock, shutdown, _database: database }
    }

    /// Somebody without a credential.
    pub(crate) fn nobody(&self) -> Person {
        Person::new(&self.url, "")
    }

    /// Somebody with this credential.
    pub(crate) fn with_key(&self, key: &str) -> Person {
        Person::new(&self.url, key)
    }

    /// A new agent.
    pub(crate) async fn agent(&self) -> Person {
        let made = self.owner.post("/api/v1/auth/api-keys", json!({"name": "agent"})).await.created();
        Person::new(&self.url, made["key"].as_str().unwrap())
    }

    /// The owner of another account.
    pub(crate) async fn stranger(&self) -> Person {
        let key = MintedKey::new();
        let owner = NewOwner {
            username: "eve".to_owned(),
            email: None,
            full_name: None,
            key: Some(NewKey {
                name: "owner".to_owned(),
                hash: key.hash,
                prefix: key.prefix.clone(),
                scopes: vec![Scope::Admin],
            }),
        };
        self.server.store().create_account(owner).await.unwrap();
        Person::new(&self.url, key.secret.expose_secret())
    }

    /// Somebody else of the owner's account with these roles; their key is named after them.
    pub(crate) async fn colleague(&self, username: &'static str, roles: &'static [Role]) -> Person {
        let store = self.server.store();
        let account = store.accounts().await.unwrap()[0];
        let minted = MintedKey::new();
        let (hash, prefix) = (minted.hash, minted.prefix.clone());
        let work = store.write(account, move |tx| {
            Box::pin(async move {
                let now = tx.now();
                let user = User::new(UserId::new(now), username, now);
                tx.insert_user(&user).await?;
                for role in roles {
                    tx.grant_user_role(user.id, *role, None).await?;
                }
                let key = KeyRow {
                    id: KeyId::new(now),
                    account,
                    user: user.id,
                    kind: CredentialKind::ApiKey,
                    grant: None,
                    impersonator: None,
                    name: username.to_owned(),
                    hash,
                    prefix,
                    scopes: vec![Scope::Admin],
                    agent: None,
                    session: None,
                    allowed_tools: None,
                    allowed_servers: None,
                    expires_at: None,
                    last_used_at: None,
                    revoked_at: None,
                    created_at: now,
                };
                tx.insert_key(&key).await
            })
        });
        work.await.unwrap();
        Person::new(&self.url, minted.secret.expose_secret())
    }

    /// Takes roles from somebody and gives them others.
    pub(crate) async fn change_roles(&self, who: &Person, take: &'static [Role], give: &'static [Role]) {
        let who = self.server.governor().identify(&who.key).await.unwrap();
        let work = self.server.store().write(who.account, move |tx| {
            Box::pin(async move {
                for role in take {
                    tx.revoke_user_role(who.user, *role).await?;
                }
                for role in give {
                    tx.grant_user_role(who.user, *role, None).await?;
                }
                Ok(())
            })
        });
        work.await.unwrap();
    }

    /// Adds the mock as MCP server `mock`.
    pub(crate) async fn add_mock(&self) -> Value {
        let body = json!({"name": "mock", "url": self.mock.url(), "settings": {"allow_private_network": true}});
        let server = self.owner.post("/api/v1/mcp-servers", body).await.created();
        assert_eq!(server["status"], "active", "{server:#}");
        server
    }

    /// An agent calls `tool` of the mock; the id of the request that makes.
    pub(crate) async fn held(&self, agent: &Person, tool: &str, arguments: Value, why: Option<&str>) -> String {
        let governor = self.server.governor();
        let who = governor.identify(&agent.key).await.unwrap();
        let snapshot = governor.snapshot(who.account).await.unwrap();
        let call = ToolCall {
            id: CallId::new(governor.now()),
            tool: snapshot.tools[tool].reference.clone(),
            arguments: Arc::from(to_raw_value(&arguments).unwrap()),
            justification: why.map(str::to_owned),
            client: Some("test/1".into()),
        };
        match governor.admit(&who, call).await {
            Admission::Held(held) => held.approval.id.to_string(),
            Admission::Granted(_) => panic!("`{tool}` was allowed"),
            Admission::Refused(refusal) => panic!("`{tool}` was refused: {}", refusal.message),
        }
    }

    /// Waits until an approval request is open: its id.
    pub(crate) async fn one_pending(&self) -> String {
        for _ in 0..500 {
            let open = self.owner.get("/api/v1/approval-requests?status=pending").await.ok();
            if let Some(request) = open.as_array().unwrap().first() {
                return request["id"].as_str().unwrap().to_owned();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no request was made");
    }

    /// An account in which `pay` of the mock needs a human, and an agent.
    pub(crate) async fn with_held_payments(&self) -> Person {
        self.add_mock().await;
        let policy = json!({
            "metadata": {"name": "payments"},
            "tools": [{"name": "pay", "source": "mock", "conditions": [{"action": "require_approval",
                "description": "Payments are reviewed"}]}],
        });
        self.owner.post("/api/v1/policies/apply", policy).await.ok();
        self.agent().await
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Person {
    fn new(url: &str, key: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { url: url.to_owned(), key: key.to_owned(), http }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        if self.key.is_empty() { request } else { request.bearer_auth(&self.key) }
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Reply {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Reply { status, headers, text: response.text().await.unwrap() }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(self.request(Method::POST, path).json(&body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Reply {
        self.send(self.request(Method::PUT, path).json(&body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// Posts a policy document as YAML.
    pub(crate) async fn yaml(&self, path: &str, document: &str) -> Reply {
        let request = self.request(Method::POST, path).header("content-type", "application/yaml");
        self.send(request.body(document.to_owned())).await
    }
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    /// The body of a 200.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        self.json()
    }

    /// The body of a 201.
    #[track_caller]
    pub(crate) fn created(self) -> Value {
        assert_eq!(self.status, StatusCode::CREATED, "{}", self.text);
        self.json()
    }

    /// A 204.
    #[track_caller]
    pub(crate) fn no_content(self) {
        assert_eq!(self.status, StatusCode::NO_CONTENT, "{}", self.text);
    }

    /// The `detail` of a failure with this status.
    #[track_caller]
    pub(crate) fn fails(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self.json()["detail"].take()
    }
}
