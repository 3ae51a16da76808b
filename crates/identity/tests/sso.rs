//! Signing in with an identity somebody has elsewhere: whom to believe, and what becomes of them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use axum::{
    Form, Json, Router,
    extract::State,
    http::HeaderMap,
    routing::{get, post},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use preloop_egress::{Egress, EgressOptions};
use preloop_identity::sso::{Return, SignedIn, Sso, SsoError, SsoOptions};
use preloop_store::{CLIENT_SECRET, Owner, SecretOwner, each_store, testing::TestStore};
use preloop_types::{GroupMapping, IdentityProvider, ProviderId, ProviderKind, Role, Team, TeamId, User, UserId};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

const SECRET: &str = "client secret : of preloop";

/// An `OpenID` provider that says what a test wants it to.
#[derive(Clone)]
struct Idp {
    issuer: String,
    said: Arc<Mutex<Said>>,
}

struct Said {
    /// Put over the claims of an honest token; `null` takes one away.
    claims: Map<String, Value>,
    userinfo: Map<String, Value>,
    header: Option<Header>,
    key: Vec<u8>,
    published: Vec<Vec<u8>>,
    /// What the browser brought to the authorization endpoint.
    asked: HashMap<String, String>,
    hangs: bool,
}

fn new_key() -> Vec<u8> {
    let random = aws_lc_rs::rand::SystemRandom::new();
    EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap().as_ref().to_vec()
}

fn published(key: &[u8]) -> Jwk {
    let mut jwk = Jwk::from_encoding_key(&EncodingKey::from_ec_der(key), Algorithm::ES256).unwrap();
    jwk.common.key_id = Some(name(key));
    jwk
}

fn name(key: &[u8]) -> String {
    BASE64.encode(&Sha256::digest(key)[..6])
}

impl Idp {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let key = new_key();
        let said = Said {
            claims: Map::new(),
            userinfo: Map::new(),
            header: None,
            published: vec![key.clone()],
            key,
            asked: HashMap::new(),
            hangs: false,
        };
        let idp = Self {
            issuer: format!("http://{}/realm", listener.local_addr().unwrap()),
            said: Arc::new(Mutex::new(said)),
        };
        let routes = Router::new()
            .route("/realm/.well-known/openid-configuration", get(Self::discovery))
            .route("/realm/keys", get(Self::keys))
            .route("/realm/token", post(Self::token))
            .route("/realm/me", get(Self::me))
            .with_state(idp.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        idp
    }

    #[expect(clippy::unused_async, reason = "a handler")]
    async fn discovery(State(idp): State<Self>) -> Json<Value> {
        let issuer = &idp.issuer;
        Json(json!({
            "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"), "jwks_uri": format!("{issuer}/keys"),
            "userinfo_endpoint": format!("{issuer}/me"), "authorization_response_iss_parameter_supported": true,
        }))
    }

    #[expect(clippy::unused_async, reason = "a handler")]
    async fn keys(State(idp): State<Self>) -> Json<Value> {
        let keys: Vec<Jwk> = idp.said.lock().unwrap().published.iter().map(|key| published(key)).collect();
        Json(json!({ "keys": keys }))
    }

    async fn token(
        State(idp): State<Self>,
        headers: HeaderMap,
        Form(form): Form<HashMap<String, String>>,
    ) -> (axum::http::StatusCode, Json<Value>) {
        if idp.said.lock().unwrap().hangs {
            std::future::pending::<()>().await;
        }
        let said = idp.said.lock().unwrap();
        let encoded: String = url::form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
        let basic = base64::prelude::BASE64_STANDARD.encode(format!("preloop:{encoded}"));
        let authorized = headers["authorization"].to_str().unwrap() == format!("Basic {basic}");
        let challenge = BASE64.encode(Sha256::digest(&form["code_verifier"]));
        let good = form["code"] == "good" && challenge == said.asked["code_challenge"];
        if !authorized || !good || form["redirect_uri"] != said.asked["redirect_uri"] {
            return (axum::http::StatusCode::BAD_REQUEST, Json(json!({"error": "invalid_grant"})));
        }
        let now = said.asked["now"].parse::<i64>().unwrap();
        let mut claims = json!({
            "iss": idp.issuer, "aud": "preloop", "sub": "u-1", "nonce": said.asked["nonce"], "iat": now,
            "exp": now + 300, "email": "ann@corp.example", "email_verified": true, "preferred_username": "ann",
        });
        for (claim, value) in &said.claims {
            claims[claim] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let header =
            said.header.clone().unwrap_or(Header { kid: Some(name(&said.key)), ..Header::new(Algorithm::ES256) });
        let key = match header.alg {
            Algorithm::HS256 => EncodingKey::from_secret(SECRET.as_bytes()),
            _ => EncodingKey::from_ec_der(&said.key),
        };
        let token = jsonwebtoken::encode(&header, &claims, &key).unwrap();
        (axum::http::StatusCode::OK, Json(json!({"id_token": token, "access_token": "at", "token_type": "Bearer"})))
    }

    #[expect(clippy::unused_async, reason = "a handler")]
    async fn me(State(idp): State<Self>, headers: HeaderMap) -> Json<Value> {
        assert_eq!(headers["authorization"], "Bearer at");
        let mut me = json!({"sub": "u-1"});
        for (claim, value) in &idp.said.lock().unwrap().userinfo {
            me[claim] = value.clone();
        }
        Json(me)
    }

    fn say(&self, change: impl FnOnce(&mut Said)) {
        change(&mut self.said.lock().unwrap());
    }

    fn claim(&self, claim: &str, value: Value) {
        self.say(|said| drop(said.claims.insert(claim.to_owned(), value)));
    }
}

struct House {
    store: TestStore,
    owner: Owner,
    idp: Idp,
    sso: Sso,
}

impl House {
    async fn new(store: TestStore, change: impl FnOnce(&mut IdentityProvider)) -> Self {
        let (owner, idp) = (store.owner("boss").await, Idp::start().await);
        let mut provider = IdentityProvider {
            id: ProviderId::new(store.now()),
            account: Some(owner.account),
            slug: "corp".to_owned(),
            name: "Corp".to_owned(),
            kind: ProviderKind::Oidc,
            issuer: idp.issuer.clone(),
            client_id: "preloop".to_owned(),
            scopes: vec!["openid".to_owned(), "email".to_owned()],
            groups_claim: "groups".to_owned(),
            groups: Vec::new(),
            default_role: Some(Role::Viewer),
            allowed_domains: Vec::new(),
            create_users: true,
            is_enabled: true,
            allow_private_network: true,
            created_at: store.now(),
            updated_at: store.now(),
        };
        change(&mut provider);
        let insert = store.write(owner.account, move |tx| {
            Box::pin(async move {
                tx.insert_identity_provider(&provider).await?;
                tx.put_secret(SecretOwner::IdentityProvider(provider.id), CLIENT_SECRET, &SECRET.into()).await
            })
        });
        insert.await.unwrap();
        let egress = Egress::new(EgressOptions { allow_private_network: true, ..EgressOptions::default() });
        let options =
            SsoOptions { public_url: "https://preloop.example".to_owned(), providers: Vec::new(), registration: false };
        let sso = Sso::new((*store).clone(), egress, options);
        Self { store, owner, idp, sso }
    }

    /// A browser goes there; what it has to bring back.
    async fn begin(&self) -> (String, String) {
        let (to, cookie) = self.sso.begin("corp", "/console?x=1").await.unwrap();
        let mut asked: HashMap<_, _> = to.query_pairs().into_owned().collect();
        assert_eq!(to.as_str().split('?').next().unwrap(), format!("{}/authorize", self.idp.issuer));
        assert_eq!(asked["redirect_uri"], "https://preloop.example/api/v1/auth/oauth/corp/callback");
        assert_eq!((&asked["code_challenge_method"][..], &asked["scope"][..]), ("S256", "openid email"));
        asked.insert("now".to_owned(), (self.store.now().micros() / 1_000_000).to_string());
        let state = asked["state"].clone();
        self.idp.say(|said| said.asked = asked);
        (state, cookie)
    }

    async fn sign_in(&self) -> Result<SignedIn, SsoError> {
        let (state, cookie) = self.begin().await;
        let iss = self.idp.issuer.clone();
        let back = Return { code: Some("good"), state: &state, iss: Some(&iss), error: None, cookie: &cookie };
        self.sso.finish("corp", back).await
    }

    async fn user(&self, id: UserId) -> User {
        self.store.account(self.owner.account).user(id).await.unwrap().unwrap()
    }

    async fn roles(&self, id: UserId) -> Vec<Role> {
        let granted = self.store.account(self.owner.account).user_roles(id).await.unwrap();
        granted.into_iter().map(|granted| granted.role).collect()
    }
}

fn why(outcome: Result<SignedIn, SsoError>) -> String {
    outcome.map(|who| format!("{who:?}")).unwrap_err().to_string()
}

each_store! {
    async fn somebody_new_is_let_in_once_and_known_ever_after(store) {
        let house = House::new(store, |_| {}).await;
        let first = house.sign_in().await.unwrap();
        assert_eq!((first.account, &first.next[..]), (house.owner.account, "/console?x=1"));
        let user = house.user(first.user).await;
        assert_eq!((&user.username[..], user.email.as_deref(), user.email_verified), ("ann", Some("ann@corp.example"), true));
        assert_eq!(house.roles(first.user).await, [Role::Viewer]);

        // Another name and address, the same person.
        house.idp.claim("preferred_username", json!("anna"));
        house.idp.claim("email", json!("anna@corp.example"));
        assert_eq!(house.sign_in().await.unwrap().user, first.user);
        // Another person of the same name.
        house.idp.claim("sub", json!("u-2"));
        house.idp.claim("preferred_username", json!("ann"));
        house.idp.say(|said| drop(said.userinfo.insert("sub".to_owned(), json!("u-2"))));
        let second = house.sign_in().await.unwrap();
        assert_eq!(house.user(second.user).await.username, "ann-2");
    }

    async fn groups_lead_to_roles_and_teams_and_leaving_them_takes_them(store) {
        let team = Team {
            id: TeamId::new(store.now()), name: "finance".to_owned(), description: None, members: Vec::new(),
            created_at: store.now(), updated_at: store.now(),
        };
        let id = team.id;
        let house = House::new(store, |provider| {
            "realm_access.groups".clone_into(&mut provider.groups_claim);
            let mapping = |group: &str, role, team| GroupMapping { group: group.to_owned(), role, team };
            provider.groups = vec![mapping("/admins", Some(Role::Admin), None), mapping("/fin", Some(Role::Executor), Some(id))];
        }).await;
        house.store.write(house.owner.account, move |tx| Box::pin(async move { tx.insert_team(&team).await })).await.unwrap();
        let members = async || house.store.account(house.owner.account).team(id).await.unwrap().unwrap().members;

        house.idp.claim("realm_access", json!({"groups": ["/ADMINS", "/fin", "/unknown"]}));
        let user = house.sign_in().await.unwrap().user;
        assert_eq!(house.roles(user).await, [Role::Admin, Role::Executor, Role::Viewer]);
        assert_eq!(members().await, [user]);

        // What a person gave stays whatever the provider says.
        let by = house.owner.user;
        let account = house.owner.account;
        house.store.write(account, move |tx| Box::pin(async move { tx.grant_user_role(user, Role::Analyst, Some(by)).await })).await.unwrap();
        house.idp.claim("realm_access", json!({"groups": []}));
        house.sign_in().await.unwrap();
        assert_eq!(house.roles(user).await, [Role::Analyst, Role::Viewer]);
        assert!(members().await.is_empty());
    }

    async fn who_is_not_to_be_let_in_is_not(store) {
        let house = House::new(store, |provider| {
            provider.create_users = false;
            provider.allowed_domains = vec!["corp.example".to_owned()];
        }).await;
        assert!(why(house.sign_in().await).contains("nobody here is known as `ann@corp.example`"));
        house.idp.claim("email_verified", json!(false));
        assert!(why(house.sign_in().await).contains("verified address in `corp.example`"));
        house.idp.claim("email_verified", json!(true));
        house.idp.claim("email", json!("ann@corp.example.evil.example"));
        assert!(why(house.sign_in().await).contains("verified address"));

        // Somebody who was invited under that address, which the provider vouches for.
        let (account, now) = (house.owner.account, house.store.now());
        let invited = User { email: Some("Ann@corp.example".to_owned()), ..User::new(UserId::new(now), "ann.m", now) };
        let id = invited.id;
        house.store.write(account, move |tx| Box::pin(async move { tx.insert_user(&invited).await })).await.unwrap();
        house.idp.claim("email", json!("ann@corp.example"));
        assert_eq!(house.sign_in().await.unwrap().user, id);

        let mut gone = house.user(id).await;
        gone.is_active = false;
        house.store.write(account, move |tx| Box::pin(async move { tx.update_user(&gone).await })).await.unwrap();
        assert!(why(house.sign_in().await).contains("deactivated"));
    }

    async fn a_token_that_proves_nothing_lets_nobody_in(store) {
        let house = House::new(store, |_| {}).await;
        let now = house.store.now().micros() / 1_000_000;
        for (claim, lie, told) in [
            ("iss", json!("https://evil.example"), "`iss`"),
            ("aud", json!("another client"), "`aud`"),
            ("aud", json!(["preloop", "another"]), "`azp`"),
            ("azp", json!("another"), "`azp`"),
            ("nonce", json!("replayed"), "`nonce`"),
            ("nonce", Value::Null, "`nonce`"),
            ("exp", json!(now - 121), "too old"),
            ("exp", Value::Null, "`exp`"),
            ("iat", json!(now + 600), "not valid yet"),
            ("sub", json!("u-9"), "somebody else"),
            ("sub", Value::Null, "somebody else"),
        ] {
            house.idp.claim(claim, lie);
            let told_now = why(house.sign_in().await);
            assert!(told_now.contains(told), "{claim}: {told_now}");
            house.idp.say(|said| said.claims.clear());
        }
        let key = name(&house.idp.said.lock().unwrap().key);
        // Signed with what we know ourselves, and with a key nobody published.
        house.idp.say(|said| said.header = Some(Header { kid: Some(key), ..Header::new(Algorithm::HS256) }));
        assert!(why(house.sign_in().await).contains("proves nothing"));
        house.idp.say(|said| { said.header = None; said.key = new_key(); });
        assert!(why(house.sign_in().await).contains("does not publish"));
        assert_eq!(house.store.account(house.owner.account).users().await.unwrap().len(), 1);

        // A provider that changed its keys is believed again.
        house.idp.say(|said| said.published.push(said.key.clone()));
        house.store.clock().advance(Duration::from_mins(2));
        house.sign_in().await.unwrap();
    }

    async fn only_the_browser_that_began_comes_back_from_where_it_went(store) {
        let house = House::new(store, |_| {}).await;
        let (state, cookie) = house.begin().await;
        let iss = house.idp.issuer.clone();
        let good = Return { code: Some("good"), state: &state, iss: Some(&iss), error: None, cookie: &cookie };
        let back = async |back: Return<'_>| why(house.sso.finish("corp", back).await);
        assert!(back(Return { cookie: "", ..good.clone() }).await.contains("not begun in this browser"));
        assert!(back(Return { state: "x", ..good.clone() }).await.contains("not begun in this browser"));
        assert!(back(Return { iss: Some("https://evil.example"), ..good.clone() }).await.contains("another issuer"));
        assert!(back(Return { iss: None, ..good.clone() }).await.contains("does not name its issuer"));
        assert!(back(Return { error: Some("access_denied\n<b>"), ..good.clone() }).await.ends_with("access_denied<b>"));
        assert!(back(Return { code: Some("stolen"), ..good.clone() }).await.contains("invalid_grant"));
        assert!(matches!(house.sso.finish("other", good.clone()).await, Err(SsoError::NoProvider(_))));
        house.store.clock().advance(Duration::from_mins(10));
        assert!(back(good).await.contains("ten minutes"));
    }
}

#[tokio::test]
async fn a_provider_that_hangs_is_given_up() {
    let house = House::new(preloop_store::testing::fresh_sqlite().await, |_| {}).await;
    house.begin().await;
    house.idp.say(|said| said.hangs = true);
    let told = tokio::time::timeout(Duration::from_secs(30), house.sign_in()).await.unwrap();
    assert!(why(told).contains("no answer in time"));
}

#[tokio::test]
async fn a_provider_on_a_private_network_needs_permission() {
    let house =
        House::new(preloop_store::testing::fresh_sqlite().await, |provider| provider.allow_private_network = false)
            .await;
    let told = house.sso.begin("corp", "/").await.unwrap_err().to_string();
    assert!(told.contains("Corp cannot be asked now"), "{told}");
}
