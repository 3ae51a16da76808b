//! A client that knows nothing but this server's URL comes to act for a person; and everything that
//! must not come of that.

use std::collections::HashMap;

use axum::{Json, Router, routing::get};
use preloop_identity::{Client, tokens::Lifetimes};
use preloop_types::{Hash, Timestamp};
use reqwest::{Method, RequestBuilder, Url};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::app::{App, Person, Reply};

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const REDIRECT: &str = "http://127.0.0.1:51000/callback";
const MCP: &str = "/mcp/v1";

/// A browser in which somebody may be signed in.
pub(crate) struct Browser {
    person: Person,
    cookies: HashMap<String, String>,
}

impl Browser {
    fn new(app: &App) -> Self {
        Self { person: app.nobody(), cookies: HashMap::new() }
    }

    /// The browser of whoever has this key.
    pub(crate) async fn of(app: &App, key: &str) -> Self {
        let who = app.server.governor().identify(key).await.unwrap();
        let client = Client { name: "Firefox".to_owned(), address: [127, 0, 0, 1].into() };
        let signed_in =
            app.server.identity().sign_in_as(who.account, who.user, &client, "password", Lifetimes::BROWSER).await;
        let mut browser = Self::new(app);
        browser.cookies.insert("preloop".to_owned(), signed_in.unwrap().access.expose_secret().to_owned());
        browser
    }

    async fn send(&mut self, request: RequestBuilder) -> Reply {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let reply = self.person.send(request.header("cookie", cookies.join("; "))).await;
        for line in reply.headers.get_all("set-cookie") {
            let (name, value) = line.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        reply
    }

    pub(crate) async fn get(&mut self, path: &str) -> Reply {
        self.send(self.person.request(Method::GET, path)).await
    }

    async fn post(&mut self, path: &str, fields: &[(String, String)]) -> Reply {
        self.send(self.person.request(Method::POST, path).form(fields)).await
    }

    /// Answers the form on a page.
    pub(crate) async fn answer(&mut self, page: &Reply, path: &str, decision: &str) -> Reply {
        let mut fields = hidden_fields(&page.text);
        fields.push(("decision".to_owned(), decision.to_owned()));
        self.post(path, &fields).await
    }

    /// Where the browser goes after the person allowed a request.
    async fn consents(&mut self, query: &[(&str, &str)]) -> HashMap<String, String> {
        let page = self.get(&authorize(query)).await;
        assert_eq!(page.status, 200, "{}", page.text);
        came_back(&self.answer(&page, "/oauth/authorize", "allow").await)
    }
}

/// The hidden fields of a page's form.
fn hidden_fields(html: &str) -> Vec<(String, String)> {
    let fields = html.split("<input type=\"hidden\" name=\"").skip(1);
    let field = |rest: &str| {
        let (name, rest) = rest.split_once("\" value=\"").unwrap();
        let value = rest.split_once('"').unwrap().0;
        let value = value.replace("&#x2f;", "/").replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">");
        (name.to_owned(), value.replace("&#x27;", "'").replace("&amp;", "&"))
    };
    fields.map(field).collect()
}

fn authorize(query: &[(&str, &str)]) -> String {
    let url = Url::parse_with_params("http://x/oauth/authorize", query).unwrap();
    format!("{}?{}", url.path(), url.query().unwrap())
}

/// A request for consent, as a client makes it.
fn asking<'a>(client: &'a str, resource: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", REDIRECT),
        ("state", "s&<t>"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("scope", "mcp:read mcp:write"),
        ("resource", resource),
    ]
}

/// What the browser was sent back to the client with.
#[track_caller]
fn came_back(reply: &Reply) -> HashMap<String, String> {
    assert_eq!(reply.status, 303, "{}", reply.text);
    let to: Url = reply.headers["location"].to_str().unwrap().parse().unwrap();
    assert!(to.as_str().starts_with("http://127.0.0.1:"), "{to}");
    to.query_pairs().into_owned().collect()
}

async fn register(app: &App, metadata: Value) -> Reply {
    app.nobody().post("/oauth/register", metadata).await
}

async fn client(app: &App) -> String {
    let metadata = json!({"client_name": "Desk <b>", "redirect_uris": ["http://127.0.0.1/callback"]});
    register(app, metadata).await.created()["client_id"].as_str().unwrap().to_owned()
}

async fn form(app: &App, path: &str, fields: &[(&str, &str)]) -> Reply {
    let nobody = app.nobody();
    nobody.send(nobody.request(Method::POST, path).form(fields)).await
}

async fn exchange(app: &App, client: &str, code: &str) -> Reply {
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("code_verifier", VERIFIER),
        ("client_id", client),
        ("redirect_uri", REDIRECT),
    ];
    form(app, "/oauth/token", &fields).await
}

/// Tokens for a part of this server, to which the owner consented.
async fn tokens(app: &App, client: &str, part: &str) -> Value {
    let mut browser = Browser::of(app, &app.owner.key).await;
    let back = browser.consents(&asking(client, &format!("{}{part}", app.url))).await;
    exchange(app, client, &back["code"]).await.ok()
}

/// The status of a handshake with an MCP endpoint.
async fn handshake(app: &App, path: &str, token: &Value) -> u16 {
    let agent = app.with_key(token.as_str().unwrap());
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
    let request = agent.request(Method::POST, path).header("accept", "application/json, text/event-stream");
    agent.send(request.json(&hello)).await.status.as_u16()
}

#[tokio::test]
async fn a_client_that_knows_only_the_url_comes_to_act_for_a_person() {
    for app in App::each().await {
        let nobody = app.nobody();
        let challenge = nobody.post(MCP, json!({})).await.headers["www-authenticate"].to_str().unwrap().to_owned();
        let place = challenge.split('"').nth(1).unwrap().strip_prefix(&app.url).unwrap().to_owned();
        let resource = nobody.get(&place).await.ok();
        assert_eq!(resource["authorization_servers"], json!([app.url]));
        let server = nobody.get("/.well-known/oauth-authorization-server").await.ok();
        assert_eq!(server["issuer"], resource["authorization_servers"][0]);
        assert_eq!(server["code_challenge_methods_supported"], json!(["S256"]));

        let client = client(&app).await;
        let query = asking(&client, resource["resource"].as_str().unwrap());
        let first = Browser::new(&app).get(&authorize(&query)).await;
        assert_eq!(first.status, 303, "{}", first.text);
        let sign_in = first.headers["location"].to_str().unwrap();
        assert!(sign_in.starts_with("/sign-in?next=%2Foauth%2Fauthorize"), "{sign_in}");

        let mut browser = Browser::of(&app, &app.owner.key).await;
        let page = browser.get(&authorize(&query)).await;
        assert!(page.text.contains("“Desk &lt;b&gt;” wants to act for you"), "{}", page.text);
        assert!(page.text.contains("a program on this computer") && page.text.contains("<strong>ann</strong>"));
        assert!(page.text.contains("Call those tools in your name"));
        let back = came_back(&browser.answer(&page, "/oauth/authorize", "allow").await);
        assert_eq!((&back["state"], &back["iss"]), (&"s&<t>".to_owned(), &app.url));

        let reply = exchange(&app, &client, &back["code"]).await;
        assert_eq!(reply.headers["cache-control"], "no-store");
        let tokens = reply.ok();
        let access = &tokens["access_token"];
        assert_eq!(handshake(&app, MCP, access).await, 200);
        assert_eq!(handshake(&app, "/mcp", access).await, 200);

        let revoke = [("token", tokens["refresh_token"].as_str().unwrap()), ("client_id", &client[..])];
        assert_eq!(form(&app, "/oauth/revoke", &revoke).await.status, 200);
        assert_eq!(handshake(&app, MCP, access).await, 401);
    }
}

#[tokio::test]
async fn a_token_is_refused_wherever_it_was_not_given_out_for() {
    let app = App::start().await;
    app.add_mock().await;
    let client = client(&app).await;
    let everywhere = tokens(&app, &client, MCP).await["access_token"].clone();
    let narrow = tokens(&app, &client, "/mcp/v1/servers/mock").await["access_token"].clone();
    assert_eq!(handshake(&app, "/mcp/v1/servers/mock", &narrow).await, 200);
    assert_eq!(handshake(&app, "/mcp/v1/servers/mock", &everywhere).await, 200);
    for path in [MCP, "/mcp", "/mcp/v1/servers/other"] {
        assert_eq!(handshake(&app, path, &narrow).await, 401, "{path}");
    }
    for token in [&narrow, &everywhere] {
        let agent = app.with_key(token.as_str().unwrap());
        for path in ["/api/v1/tools", "/api/v1/auth/users/me", "/api/v1/auth/api-keys", "/openai/v1/models"] {
            assert_eq!(agent.get(path).await.status, 401, "{path}");
        }
    }
}

#[tokio::test]
async fn a_token_acts_for_its_person_and_never_administers() {
    let app = App::start().await;
    let stranger = app.stranger().await;
    let client = client(&app).await;
    let mut browser = Browser::of(&app, &stranger.key).await;
    let query: Vec<_> = asking(&client, "").into_iter().filter(|(name, _)| *name != "scope").collect();
    let whole = [&query[..], &[("scope", "mcp:read gateway:invoke")]].concat();
    let back = browser.consents(&whole).await;
    let token = exchange(&app, &client, &back["code"]).await.ok()["access_token"].clone();
    let who = app.server.governor().identify(token.as_str().unwrap()).await.unwrap();
    assert_eq!(who.username, "eve");
    assert!(!who.is_person());
    let agent = app.with_key(token.as_str().unwrap());
    assert_eq!(agent.get("/api/v1/mcp-servers").await.status, 403);
    assert_eq!(agent.post("/api/v1/auth/api-keys", json!({"name": "more"})).await.status, 403);
    let admin = [&query[..], &[("scope", "admin")]].concat();
    assert_eq!(browser.get(&authorize(&admin)).await.status, 400);

    let (account, user) = (who.account, who.user);
    let gone = app.server.store().write(account, move |tx| {
        Box::pin(async move {
            let mut person = tx.user(user).await?.unwrap();
            person.is_active = false;
            tx.update_user(&person).await
        })
    });
    gone.await.unwrap();
    for _ in 0..100 {
        if handshake(&app, MCP, &token).await == 401 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the token of a person who left still works");
}

#[tokio::test]
async fn consent_cannot_be_framed_forged_or_guessed() {
    let app = App::start().await;
    let client = client(&app).await;
    let url = authorize(&asking(&client, &format!("{}{MCP}", app.url)));
    let mut browser = Browser::of(&app, &app.owner.key).await;
    let page = browser.get(&url).await;
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(policy.contains("form-action 'self' http://127.0.0.1:51000;"), "{policy}");
    assert_eq!(
        (&page.headers["x-frame-options"], &page.headers["cache-control"]),
        (&"DENY".parse().unwrap(), &"no-store".parse().unwrap())
    );

    let mut fields = hidden_fields(&page.text);
    fields.push(("decision".to_owned(), "allow".to_owned()));
    let foreign = browser.person.request(Method::POST, "/oauth/authorize").form(&fields);
    assert_eq!(browser.send(foreign.header("origin", "https://evil.example")).await.status, 403);
    let cross = browser.person.request(Method::POST, "/oauth/authorize").form(&fields);
    assert_eq!(browser.send(cross.header("sec-fetch-site", "cross-site")).await.status, 403);
    let without: Vec<_> = fields.iter().filter(|(name, _)| name != "csrf").cloned().collect();
    assert_eq!(browser.post("/oauth/authorize", &without).await.status, 403);
    // Another person's form.
    let mut eve = Browser::of(&app, &app.stranger().await.key).await;
    eve.get(&url).await;
    assert_eq!(eve.post("/oauth/authorize", &fields).await.status, 403);
    // Without an answer nothing is decided; declining says so, and by whom.
    assert_eq!(browser.answer(&page, "/oauth/authorize", "").await.status, 200);
    let back = came_back(&browser.answer(&page, "/oauth/authorize", "decline").await);
    assert_eq!((&back["error"][..], &back["iss"], &back["state"][..]), ("access_denied", &app.url, "s&<t>"));
    assert!(!back.contains_key("code"));
}

#[tokio::test]
async fn a_request_that_is_wrong_ends_here_and_not_where_it_points() {
    let app = App::start().await;
    let client = client(&app).await;
    let resource = format!("{}{MCP}", app.url);
    let mut browser = Browser::of(&app, &app.owner.key).await;
    for (name, value) in [
        ("client_id", "nobody"),
        ("redirect_uri", "https://evil.example/callback"),
        ("redirect_uri", "http://127.0.0.1:51000/callback/../other"),
        ("redirect_uri", "http://127.0.0.1:51000@evil.example/callback"),
        ("redirect_uri", "javascript:alert(1)"),
        ("response_type", "token"),
        ("code_challenge", ""),
        ("code_challenge_method", "plain"),
        ("scope", "admin"),
        ("resource", "https://evil.example/mcp"),
        ("client_id", "<script>alert(1)</script>"),
    ] {
        let mut query = asking(&client, &resource);
        query.retain(|(given, _)| *given != name);
        query.push((name, value));
        let page = browser.get(&authorize(&query)).await;
        assert_eq!(page.status, 400, "{name}={value}: {}", page.text);
        assert!(page.headers.get("location").is_none() && !page.text.contains("<script>"), "{name}={value}");
    }
    let twice = [&asking(&client, &resource)[..], &[("redirect_uri", "https://evil.example/")]].concat();
    assert_eq!(browser.get(&authorize(&twice)).await.status, 400);
    let twice = [("grant_type", "authorization_code"), ("code", "a"), ("code", "b")];
    let refused = form(&app, "/oauth/token", &twice).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["error"]), (400, &json!("invalid_request")));
}

#[tokio::test]
async fn errors_of_the_endpoints_are_oauths_own() {
    let app = App::start().await;
    let error = |reply: &Reply| (reply.status.as_u16(), reply.json()["error"].as_str().unwrap().to_owned());
    let refused = form(&app, "/oauth/token", &[("grant_type", "password")]).await;
    assert_eq!(error(&refused), (400, "unsupported_grant_type".to_owned()));
    let refused = exchange(&app, "nobody", "plc_forged").await;
    assert_eq!(error(&refused), (400, "invalid_grant".to_owned()));
    let refused = register(&app, json!({"redirect_uris": ["javascript:alert(1)"]})).await;
    assert_eq!(error(&refused), (400, "invalid_redirect_uri".to_owned()));
    let refused = register(&app, json!({"redirect_uris": "x"})).await;
    assert_eq!(error(&refused), (400, "invalid_client_metadata".to_owned()));

    let metadata = json!({"redirect_uris": [REDIRECT], "token_endpoint_auth_method": "client_secret_basic"});
    let registered = register(&app, metadata).await.created();
    let id = registered["client_id"].as_str().unwrap();
    let mut browser = Browser::of(&app, &app.owner.key).await;
    let code = browser.consents(&asking(id, "")).await["code"].clone();
    let fields = [("grant_type", "authorization_code"), ("code", &code[..]), ("code_verifier", VERIFIER)];
    let with = async |secret: &str| {
        let nobody = app.nobody();
        nobody.send(nobody.request(Method::POST, "/oauth/token").form(&fields).basic_auth(id, Some(secret))).await
    };
    let refused = with("pls_wrong").await;
    assert!(refused.headers.contains_key("www-authenticate"));
    assert_eq!(error(&refused), (401, "invalid_client".to_owned()));
    with(registered["client_secret"].as_str().unwrap()).await.ok();
}

#[tokio::test]
async fn where_clients_look_for_metadata() {
    let app = App::start().await;
    let nobody = app.nobody();
    for name in ["oauth-authorization-server", "openid-configuration"] {
        for path in ["", "/mcp", "/mcp/v1", "/mcp/v1/servers/mock"] {
            assert_eq!(nobody.get(&format!("/.well-known/{name}{path}")).await.ok()["issuer"], app.url);
        }
        assert_eq!(nobody.get(&format!("/.well-known/{name}/elsewhere")).await.status, 404);
        let rebound = nobody.request(Method::GET, &format!("/.well-known/{name}")).header("host", "evil.example");
        assert_eq!(nobody.send(rebound).await.status, 403);
    }
    let app = App::with(|options| options.public_url = Some("https://preloop.example/".parse().unwrap())).await;
    let metadata = app.nobody().get("/.well-known/oauth-authorization-server").await.ok();
    assert_eq!(metadata["issuer"], "https://preloop.example");
    assert_eq!(metadata["token_endpoint"], "https://preloop.example/oauth/token");
}

#[tokio::test]
async fn nobody_fills_the_list_of_clients() {
    let app = App::start().await;
    let mut refused = None;
    for n in 0..70 {
        let reply = register(&app, json!({"redirect_uris": [format!("http://127.0.0.1/{n}")]})).await;
        if reply.status == 429 {
            refused = Some(reply);
            break;
        }
        assert_eq!(reply.status, 201, "{}", reply.text);
    }
    let refused = refused.expect("registrations are limited");
    assert!(refused.headers.contains_key("retry-after"));
    let large = json!({"redirect_uris": [REDIRECT], "client_name": "x".repeat(100_000)});
    assert!(register(&app, large).await.status.is_client_error());
}

#[tokio::test]
async fn a_client_may_be_a_document_at_its_own_url() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let id = format!("http://{}/client.json", listener.local_addr().unwrap());
    let document = json!({"client_id": id, "client_name": "Hosted", "redirect_uris": [REDIRECT]});
    let router = Router::new().route("/client.json", get(async move || Json(document)));
    tokio::spawn(async move { axum::serve(listener, router).await });

    let app = App::start().await;
    let mut browser = Browser::of(&app, &app.owner.key).await;
    let page = browser.get(&authorize(&asking(&id, ""))).await;
    assert!(
        page.text.contains("Hosted") && page.text.contains("published by <strong>127.0.0.1</strong>"),
        "{}",
        page.text
    );
    let back = came_back(&browser.answer(&page, "/oauth/authorize", "allow").await);
    exchange(&app, &id, &back["code"]).await.ok();

    let public = App::with(|options| options.allow_private_network = false).await;
    let mut browser = Browser::of(&public, &public.owner.key).await;
    for refused in [&id[..], "https://169.254.169.254/latest/meta-data", "https://127.0.0.1/client.json"] {
        assert_eq!(browser.get(&authorize(&asking(refused, ""))).await.status, 400, "{refused}");
    }
}

#[tokio::test]
async fn a_person_signs_their_command_line_in() {
    let app = App::start().await;
    let begin = async || form(&app, "/oauth/device_authorization", &[("client_id", "preloop-cli")]).await.ok();
    let poll = async |begun: &Value| {
        let code = begun["device_code"].as_str().unwrap();
        let grant = "urn:ietf:params:oauth:grant-type:device_code";
        form(&app, "/oauth/token", &[("grant_type", grant), ("device_code", code), ("client_id", "preloop-cli")]).await
    };
    let begun = begin().await;
    let page_of = |begun: &Value| begun["verification_uri_complete"].as_str().unwrap().replace(&app.url, "");
    assert_eq!(poll(&begun).await.json()["error"], "authorization_pending");
    assert_eq!(Browser::new(&app).get(&page_of(&begun)).await.status, 303, "to sign in first");

    let mut browser = Browser::of(&app, &app.owner.key).await;
    let empty = browser.get("/device").await;
    assert!(empty.text.contains("preloop login"), "{}", empty.text);
    assert_eq!(browser.get("/device?user_code=BCDF-GHJK").await.status, 404);
    let page = browser.get(&page_of(&begun)).await;
    assert!(page.text.contains(begun["user_code"].as_str().unwrap()) && page.text.contains("everything you may"));
    let forged = [
        ("user_code".to_owned(), begun["user_code"].as_str().unwrap().to_owned()),
        ("decision".to_owned(), "allow".to_owned()),
    ];
    assert_eq!(browser.post("/device", &forged).await.status, 403);
    assert_eq!(browser.answer(&page, "/device", "allow").await.status, 200);
    assert_eq!(browser.answer(&page, "/device", "decline").await.status, 404, "it was answered");

    let declined = begin().await;
    let page = browser.get(&page_of(&declined)).await;
    browser.answer(&page, "/device", "decline").await;
    assert_eq!(poll(&declined).await.json()["error"], "access_denied");

    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    let tokens = poll(&begun).await.ok();
    let me = app.with_key(tokens["access_token"].as_str().unwrap());
    assert_eq!(me.get("/api/v1/auth/users/me").await.ok()["username"], "ann");
    me.get("/api/v1/mcp-servers").await.ok();
    let refresh = [
        ("grant_type", "refresh_token"),
        ("client_id", "preloop-cli"),
        ("refresh_token", tokens["refresh_token"].as_str().unwrap()),
    ];
    form(&app, "/oauth/token", &refresh).await.ok();
}

#[tokio::test]
async fn nothing_secret_of_a_consent_is_stored() {
    let app = App::start().await;
    let client = client(&app).await;
    let tokens = tokens(&app, &client, MCP).await;
    let hash = |name: &str| Hash::of(tokens[name].as_str().unwrap());
    let store = app.server.store();
    let (account, grant) = store.grant_of_token(&hash("refresh_token")).await.unwrap().unwrap();
    let grant = store.account(account).grant(grant).await.unwrap().unwrap();
    assert_eq!((grant.resource.as_deref(), grant.client.as_str()), (Some("/mcp/v1"), "Desk <b>"));
    assert!(grant.expires_at > Timestamp::from_micros(0));
    let records = store.account(account).records(preloop_store::RecordFilter::default()).await.unwrap();
    let journal = format!("{records:?}");
    assert!(journal.contains("Desk <b>"), "consent is on the record");
    for name in ["access_token", "refresh_token"] {
        assert!(!journal.contains(tokens[name].as_str().unwrap()));
    }
}
