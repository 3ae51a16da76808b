//! From a client's registration to its tokens; and what becomes of everything that is forged, replayed,
//! late, or another's.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::HashMap, time::Duration};

use preloop_egress::{Egress, EgressOptions};
use preloop_identity::oauth::{
    AuthorizeParams, DeviceRequest, ErrorCode, OAuth, OAuthError, Presented, RevokeRequest, TokenRequest,
};
use preloop_store::{Owner, each_store, testing::TestStore};
use preloop_types::{Audience, CredentialKind, Hash, KeyId, PermissionSet, Principal, Scope, UserId};
use serde_json::{Value, json};
use url::Url;

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const REDIRECT: &str = "http://127.0.0.1/callback";

/// An authorization server with one person.
struct World {
    store: TestStore,
    oauth: OAuth,
    owner: Owner,
    base: Url,
}

impl World {
    async fn new(store: TestStore) -> Self {
        let owner = store.owner("ann").await;
        let oauth = OAuth::new((*store).clone(), &Egress::new(EgressOptions::default()), false);
        Self { store, oauth, owner, base: "https://preloop.example".parse().unwrap() }
    }

    fn person(&self, owner: Owner) -> Principal {
        Principal {
            account: owner.account,
            user: owner.user,
            username: "ann".to_owned(),
            key: KeyId::new(self.store.now()),
            key_name: "browser".to_owned(),
            credential: CredentialKind::Login,
            scopes: vec![Scope::Admin],
            permissions: PermissionSet::ALL,
            audience: Audience::Everything,
            impersonator: None,
            agent: None,
            session: None,
            allowed_tools: None,
            allowed_servers: None,
        }
    }

    async fn register(&self, metadata: Value) -> Result<Value, OAuthError> {
        self.oauth.register(serde_json::from_value(metadata).unwrap()).await.map(|registered| registered.to_json())
    }

    /// A registered client's id.
    async fn client(&self) -> String {
        let client = self.register(json!({"client_name": "Desk", "redirect_uris": [REDIRECT]})).await.unwrap();
        client["client_id"].as_str().unwrap().to_owned()
    }

    /// What the browser brings back after the person consented.
    async fn answer(&self, params: &AuthorizeParams) -> HashMap<String, String> {
        let asked = self.oauth.asked(&self.base, params).await.unwrap();
        let to = self.oauth.consent(&self.person(self.owner), asked, None).await.unwrap();
        assert!(to.as_str().starts_with("http://127.0.0.1"), "{to}");
        to.query_pairs().into_owned().collect()
    }

    async fn code(&self, client: &str) -> String {
        self.answer(&asking(client)).await["code"].clone()
    }

    async fn token(&self, client: Option<&str>, request: Value) -> Result<Value, OAuthError> {
        let request: TokenRequest = serde_json::from_value(request).unwrap();
        let client = Presented { id: client.map(str::to_owned), secret: None };
        self.oauth.token(&self.base, &client, request).await.map(|given| given.to_json())
    }

    async fn exchange(&self, client: &str, code: &str) -> Result<Value, OAuthError> {
        self.token(Some(client), exchange(code)).await
    }

    async fn refresh(&self, client: &str, token: &Value) -> Result<Value, OAuthError> {
        self.token(Some(client), json!({"grant_type": "refresh_token", "refresh_token": token})).await
    }

    async fn tokens(&self, client: &str) -> Value {
        let code = self.code(client).await;
        self.exchange(client, &code).await.unwrap()
    }

    /// Whether an access token lets anybody in.
    async fn works(&self, access: &Value) -> bool {
        let found = self.store.find_key(&Hash::of(access.as_str().unwrap())).await.unwrap();
        found.is_some_and(|found| found.key.expires_at.is_some_and(|end| end > self.store.now()))
    }

    fn later(&self, by: Duration) {
        self.store.clock().advance(by);
    }
}

fn asking(client: &str) -> AuthorizeParams {
    let text = |text: &str| Some(text.to_owned());
    AuthorizeParams {
        response_type: text("code"),
        client_id: text(client),
        redirect_uri: text("http://127.0.0.1:51000/callback"),
        state: text("s t&a"),
        code_challenge: text(CHALLENGE),
        code_challenge_method: text("S256"),
        resource: text("https://preloop.example/mcp/v1"),
        ..AuthorizeParams::default()
    }
}

fn exchange(code: &str) -> Value {
    json!({
        "grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER,
        "redirect_uri": "http://127.0.0.1:51000/callback", "resource": "https://preloop.example/mcp",
    })
}

#[track_caller]
fn fails(answer: Result<Value, OAuthError>, code: ErrorCode) {
    assert_eq!(answer.map_err(|error| error.code), Err(code));
}

each_store! {
    async fn a_client_that_registers_gets_tokens_for_what_was_consented_to(store) {
        let world = World::new(store).await;
        let client = world.client().await;
        let answer = world.answer(&asking(&client)).await;
        assert_eq!((answer["state"].as_str(), answer["iss"].as_str()), ("s t&a", "https://preloop.example"));

        let tokens = world.exchange(&client, &answer["code"]).await.unwrap();
        assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("Bearer"), &json!(3600)));
        assert_eq!(tokens["scope"], "mcp:read mcp:write");
        let found = world.store.find_key(&Hash::of(tokens["access_token"].as_str().unwrap())).await.unwrap().unwrap();
        assert_eq!((found.key.kind, found.audience, found.key.user), (CredentialKind::OAuth, Audience::Mcp, world.owner.user));
        assert!(!found.key.scopes.contains(&Scope::Admin));

        let next = world.refresh(&client, &tokens["refresh_token"]).await.unwrap();
        assert!(world.works(&next["access_token"]).await);
        world.later(Duration::from_hours(1));
        assert!(!world.works(&next["access_token"]).await);
        assert!(world.refresh(&client, &next["refresh_token"]).await.is_ok());
    }

    async fn a_code_works_once_and_a_replay_ends_what_it_gave(store) {
        let world = World::new(store).await;
        let client = world.client().await;
        let code = world.code(&client).await;
        let tokens = world.exchange(&client, &code).await.unwrap();
        assert!(world.works(&tokens["access_token"]).await);
        fails(world.exchange(&client, &code).await, ErrorCode::InvalidGrant);
        assert!(!world.works(&tokens["access_token"]).await);
        fails(world.refresh(&client, &tokens["refresh_token"]).await, ErrorCode::InvalidGrant);
    }

    async fn of_many_exchanges_of_one_code_at_most_one_lasts(store) {
        let world = World::new(store).await;
        let client = world.client().await;
        let code = world.code(&client).await;
        let (a, b, c) = tokio::join!(
            world.exchange(&client, &code), world.exchange(&client, &code), world.exchange(&client, &code));
        let given: Vec<_> = [a, b, c].into_iter().flatten().collect();
        assert_eq!(given.len(), 1);
        assert!(!world.works(&given[0]["access_token"]).await, "it was used again");
    }

    async fn a_code_is_bound_to_its_client_its_redirect_uri_its_secret_and_its_time(store) {
        let world = World::new(store).await;
        let (client, other) = (world.client().await, world.client().await);
        let code = world.code(&client).await;
        let but = |name: &str, value: Value| { let mut sent = exchange(&code); sent[name] = value; sent };

        fails(world.token(Some(&client), but("code", json!("plc_forged"))).await, ErrorCode::InvalidGrant);
        fails(world.exchange(&other, &code).await, ErrorCode::InvalidGrant);
        fails(world.exchange("plc_client_unknown", &code).await, ErrorCode::InvalidClient);
        fails(world.token(Some(&client), but("redirect_uri", json!(REDIRECT))).await, ErrorCode::InvalidGrant);
        fails(world.token(Some(&client), but("code_verifier", json!(null))).await, ErrorCode::InvalidRequest);
        fails(world.token(Some(&client), but("code_verifier", json!(CHALLENGE))).await, ErrorCode::InvalidGrant);
        let elsewhere = json!("https://evil.example/mcp");
        fails(world.token(Some(&client), but("resource", elsewhere)).await, ErrorCode::InvalidTarget);
        let wider = json!("https://preloop.example/");
        fails(world.token(Some(&client), but("resource", wider)).await, ErrorCode::InvalidTarget);

        world.later(Duration::from_secs(301));
        fails(world.exchange(&client, &code).await, ErrorCode::InvalidGrant);
    }

    async fn a_client_may_leave_out_what_the_code_says(store) {
        let world = World::new(store).await;
        let client = world.client().await;
        let code = world.code(&client).await;
        let sent = json!({"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER});
        assert!(world.token(None, sent).await.is_ok());
    }

    async fn a_stolen_refresh_token_ends_everything(store) {
        let world = World::new(store).await;
        let (client, other) = (world.client().await, world.client().await);
        let first = world.tokens(&client).await;
        fails(world.refresh(&other, &first["refresh_token"]).await, ErrorCode::InvalidGrant);
        let second = world.refresh(&client, &first["refresh_token"]).await.unwrap();
        world.later(Duration::from_mins(1));
        fails(world.refresh(&client, &first["refresh_token"]).await, ErrorCode::InvalidGrant);
        assert!(!world.works(&second["access_token"]).await);
        fails(world.refresh(&client, &second["refresh_token"]).await, ErrorCode::InvalidGrant);
        // An access token is no refresh token.
        let tokens = world.tokens(&client).await;
        fails(world.refresh(&client, &tokens["access_token"]).await, ErrorCode::InvalidGrant);
    }

    async fn of_refreshes_at_once_one_succeeds(store) {
        let world = World::new(store).await;
        let client = world.client().await;
        let token = world.tokens(&client).await["refresh_token"].clone();
        let (a, b, c) = tokio::join!(
            world.refresh(&client, &token), world.refresh(&client, &token), world.refresh(&client, &token));
        let given: Vec<_> = [a, b, c].into_iter().flatten().collect();
        assert_eq!(given.len(), 1);
        assert!(world.works(&given[0]["access_token"]).await, "a race is not a theft");
    }

    async fn a_refresh_narrows_and_never_widens(store) {
        let world = World::new(store).await;
        let client = world.client().await;
        let token = world.tokens(&client).await["refresh_token"].clone();
        let with = |name: &str, value: &str| {
            json!({"grant_type": "refresh_token", "refresh_token": token, (name): value})
        };
        fails(world.token(Some(&client), with("scope", "mcp:read admin")).await, ErrorCode::InvalidScope);
        let elsewhere = with("resource", "https://preloop.example/mcp/v1/servers/git");
        fails(world.token(Some(&client), elsewhere).await, ErrorCode::InvalidTarget);
        let narrowed = world.token(Some(&client), with("scope", "mcp:read")).await.unwrap();
        assert_eq!(narrowed["scope"], "mcp:read");
    }

    async fn a_token_can_be_given_back_by_its_client_only(store) {
        let world = World::new(store).await;
        let (client, other) = (world.client().await, world.client().await);
        let tokens = world.tokens(&client).await;
        let revoke = async |client: Option<&str>, token: &Value| {
            let request: RevokeRequest = serde_json::from_value(json!({"token": token})).unwrap();
            world.oauth.revoke(&Presented { id: client.map(str::to_owned), secret: None }, request).await
        };
        assert_eq!(revoke(Some(&other), &tokens["access_token"]).await.unwrap_err().code, ErrorCode::UnauthorizedClient);
        assert!(world.works(&tokens["access_token"]).await);
        revoke(Some(&client), &tokens["refresh_token"]).await.unwrap();
        assert!(!world.works(&tokens["access_token"]).await);
        revoke(Some(&client), &tokens["refresh_token"]).await.unwrap();
        revoke(None, &json!("plo_never_given_out")).await.unwrap();
    }

    async fn a_client_with_a_secret_has_to_prove_it(store) {
        let world = World::new(store).await;
        let metadata = json!({"redirect_uris": [REDIRECT], "token_endpoint_auth_method": "client_secret_post"});
        let registered = world.register(metadata).await.unwrap();
        let id = registered["client_id"].as_str().unwrap();
        let code = world.code(id).await;
        let exchange = async |secret: Option<&str>| {
            let client = Presented { id: Some(id.to_owned()), secret: secret.map(|secret| secret.to_owned().into()) };
            let request: TokenRequest = serde_json::from_value(exchange(&code)).unwrap();
            world.oauth.token(&world.base, &client, request).await.map(|given| given.to_json())
        };
        fails(exchange(None).await, ErrorCode::InvalidClient);
        fails(exchange(Some("pls_wrong")).await, ErrorCode::InvalidClient);
        assert!(exchange(registered["client_secret"].as_str()).await.is_ok());
    }

    async fn what_a_client_may_not_be(store) {
        let world = World::new(store).await;
        for (metadata, code) in [
            (json!({}), ErrorCode::InvalidRedirectUri),
            (json!({"redirect_uris": []}), ErrorCode::InvalidRedirectUri),
            (json!({"redirect_uris": [REDIRECT, "javascript:alert(1)"]}), ErrorCode::InvalidRedirectUri),
            (json!({"redirect_uris": vec![REDIRECT; 21]}), ErrorCode::InvalidRedirectUri),
            (json!({"redirect_uris": [REDIRECT], "grant_types": ["client_credentials"]}), ErrorCode::InvalidClientMetadata),
            (json!({"redirect_uris": [REDIRECT], "response_types": ["token"]}), ErrorCode::InvalidClientMetadata),
            (json!({"redirect_uris": [REDIRECT], "token_endpoint_auth_method": "private_key_jwt"}),
                ErrorCode::InvalidClientMetadata),
        ] {
            fails(world.register(metadata).await, code);
        }
        let hostile = json!({"redirect_uris": [REDIRECT], "client_name": "Desk\u{202e}\r\n<b>", "client_uri": "javascript:1"});
        let registered = world.register(hostile).await.unwrap();
        assert_eq!(registered["client_name"], "Desk\u{fffd}\u{fffd} <b>");
        assert!(registered.get("client_uri").is_none() && registered.get("client_secret").is_none());
    }

    async fn clients_nobody_consents_to_are_forgotten(store) {
        let world = World::new(store).await;
        let (unused, used) = (world.client().await, world.client().await);
        world.tokens(&used).await;
        world.later(Duration::from_hours(25));
        world.client().await;
        assert_eq!(world.oauth.client(&unused).await.unwrap_err().code, ErrorCode::InvalidClient);
        assert!(world.oauth.client(&used).await.is_ok());
    }

    async fn requests_nobody_is_asked_about(store) {
        type Change = fn(&mut AuthorizeParams);
        let world = World::new(store).await;
        let client = world.client().await;
        let refused: [(Change, ErrorCode, bool); 12] = [
            (|params| params.client_id = None, ErrorCode::InvalidRequest, false),
            (|params| params.client_id = Some("nobody".to_owned()), ErrorCode::InvalidClient, false),
            (|params| params.redirect_uri = Some("http://127.0.0.1/other".to_owned()), ErrorCode::InvalidRequest, false),
            (|params| params.redirect_uri = Some("https://evil.example/callback".to_owned()), ErrorCode::InvalidRequest, false),
            (|params| params.response_type = Some("token".to_owned()), ErrorCode::UnsupportedResponseType, true),
            (|params| params.response_mode = Some("fragment".to_owned()), ErrorCode::InvalidRequest, true),
            (|params| params.code_challenge = None, ErrorCode::InvalidRequest, true),
            (|params| params.code_challenge_method = Some("plain".to_owned()), ErrorCode::InvalidRequest, true),
            (|params| params.code_challenge_method = None, ErrorCode::InvalidRequest, true),
            (|params| params.scope = Some("admin".to_owned()), ErrorCode::InvalidScope, true),
            (|params| params.resource = Some("https://other.example/mcp".to_owned()), ErrorCode::InvalidTarget, true),
            (|params| params.state = Some("s".repeat(5_000)), ErrorCode::InvalidRequest, true),
        ];
        for (change, code, has_a_way_back) in refused {
            let mut params = asking(&client);
            change(&mut params);
            let refused = world.oauth.asked(&world.base, &params).await.unwrap_err();
            assert_eq!((refused.error.code, refused.back.is_some()), (code, has_a_way_back), "{params:?}");
            if let Some(back) = refused.back {
                let answer: HashMap<_, _> = back.query_pairs().into_owned().collect();
                assert_eq!((&answer["error"][..], &answer["iss"][..]), (code.as_str(), "https://preloop.example"));
            }
        }
    }

    async fn only_the_person_consents(store) {
        let world = World::new(store).await;
        let client = world.client().await;
        let person = world.person(world.owner);
        let agent = Principal { scopes: Scope::AGENT.to_vec(), ..person.clone() };
        let stand_in = Principal { impersonator: Some(UserId::new(world.store.now())), ..person };
        for who in [agent, stand_in] {
            let asked = world.oauth.asked(&world.base, &asking(&client)).await.unwrap();
            assert_eq!(world.oauth.consent(&who, asked, None).await.unwrap_err().code, ErrorCode::AccessDenied);
        }
    }

    async fn the_command_line_waits_for_its_person(store) {
        let world = World::new(store).await;
        let ours = || DeviceRequest { client_id: Some("preloop-cli".to_owned()), device_name: Some("lap\ttop".to_owned()) };
        let begin = async || world.oauth.begin_device(&world.base, ours(), None).await.unwrap().to_json();
        let poll = async |begun: &Value| {
            let request = json!({"grant_type": "urn:ietf:params:oauth:grant-type:device_code",
                "device_code": begun["device_code"]});
            world.token(Some("preloop-cli"), request).await
        };
        let person = world.person(world.owner);

        let begun = begin().await;
        assert_eq!(begun["verification_uri"], "https://preloop.example/device");
        fails(poll(&begun).await, ErrorCode::AuthorizationPending);
        fails(poll(&begun).await, ErrorCode::SlowDown);
        world.later(Duration::from_secs(10));
        let device = world.oauth.waiting_device(begun["user_code"].as_str().unwrap()).await.unwrap().unwrap();
        assert_eq!(device.client, "preloop on lap top");
        assert!(world.oauth.answer_device(&person, &device, true).await.unwrap());
        assert!(!world.oauth.answer_device(&person, &device, false).await.unwrap(), "it was answered");
        let tokens = poll(&begun).await.unwrap();
        let found = world.store.find_key(&Hash::of(tokens["access_token"].as_str().unwrap())).await.unwrap().unwrap();
        assert_eq!((found.key.kind, found.audience), (CredentialKind::Login, Audience::Everything));
        assert!(found.key.scopes.contains(&Scope::Admin));
        world.later(Duration::from_secs(10));
        fails(poll(&begun).await, ErrorCode::InvalidGrant);
        assert!(world.refresh("preloop-cli", &tokens["refresh_token"]).await.is_ok());

        let declined = begin().await;
        let device = world.oauth.waiting_device(declined["user_code"].as_str().unwrap()).await.unwrap().unwrap();
        assert!(world.oauth.answer_device(&person, &device, false).await.unwrap());
        fails(poll(&declined).await, ErrorCode::AccessDenied);

        let late = begin().await;
        world.later(Duration::from_mins(10));
        assert!(world.oauth.waiting_device(late["user_code"].as_str().unwrap()).await.unwrap().is_none());
        fails(poll(&late).await, ErrorCode::ExpiredToken);

        let other = DeviceRequest { client_id: Some(world.client().await), device_name: None };
        let refused = world.oauth.begin_device(&world.base, other, None).await.map(|begun| begun.to_json());
        fails(refused, ErrorCode::UnauthorizedClient);
    }
}
