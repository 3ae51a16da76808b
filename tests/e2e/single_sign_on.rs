//! An `OpenID` provider that the project did not write signs people in.

use std::{collections::BTreeMap, process::Stdio};

use preloop_bench::process::free_port;
use preloop_e2e::{App, Clients, node, python_and_node};
use regex::Regex;
use reqwest::{Client, Method, RequestBuilder, Response, redirect};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
};
use url::Url;

/// A person's browser: it keeps cookies, and goes where it is sent.
struct Browser {
    http: Client,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    fn new() -> Self {
        let http = Client::builder().redirect(redirect::Policy::none()).no_proxy().build().unwrap();
        Self { http, cookies: BTreeMap::new() }
    }

    async fn send(&mut self, request: RequestBuilder) -> Response {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let response = request.header("cookie", cookies.join("; ")).send().await.unwrap();
        for line in response.headers().get_all("set-cookie") {
            let (name, value) = line.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        response
    }

    /// Where it ends up when it follows every redirection, and what it is shown there.
    async fn go(&mut self, method: Method, url: Url, form: &[(&str, &str)]) -> (Url, u16, String) {
        let (mut method, mut url) = (method, url);
        for _ in 0..10 {
            let mut request = self.http.request(method.clone(), url.clone());
            if method == Method::POST {
                request = request.form(form);
            }
            let response = self.send(request).await;
            let status = response.status();
            let Some(to) = response.headers().get("location").filter(|_| status.is_redirection()) else {
                return (url, status.as_u16(), response.text().await.unwrap());
            };
            (method, url) = (Method::GET, url.join(to.to_str().unwrap()).unwrap());
        }
        panic!("sent in circles: {url}");
    }

    /// Signs in at the provider as `login` and consents, from wherever `start` leads.
    async fn sign_in(&mut self, start: Url, login: &str) -> (Url, u16, String) {
        let mut at = self.go(Method::GET, start, &[]).await;
        let action = Regex::new(r#"action="([^"]+)""#).unwrap();
        while at.0.path().starts_with("/interaction/") {
            let to = at.0.join(&action.captures(&at.2).unwrap()[1]).unwrap();
            let form: &[(&str, &str)] = if at.2.contains(r#"value="login""#) {
                &[("prompt", "login"), ("login", login), ("password", "any")]
            } else {
                &[("prompt", "consent")]
            };
            at = self.go(Method::POST, to, form).await;
        }
        at
    }
}

async fn provider(clients: &Clients, plan: &Value) -> (Child, String) {
    let mut child = Command::new(node(&clients.node_folder))
        .arg(Clients::script("oidc_provider.mjs"))
        .env("PRELOOP_TEST_NODE_MODULES", &clients.node_folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(plan.to_string().as_bytes()).await.unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let issuer = lines.next_line().await.unwrap().unwrap();
    // It says more, and ends if nobody listens.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, issuer)
}

#[tokio::test]
async fn a_provider_of_others_signs_a_person_in_and_a_group_becomes_a_role() {
    let Some(clients) = python_and_node("single sign-on at oidc-provider") else { return };
    let app = App::start().await;
    let people = json!({
        "ann": {"name": "Ann", "preferred_username": "ann", "email": "ann@corp.example", "email_verified": true, "groups": ["staff", "platform"]},
        "eve": {"name": "Eve", "preferred_username": "eve", "email": "eve@evil.example", "email_verified": true, "groups": ["platform"]},
    });
    let port = free_port().unwrap();
    let callback = format!("{}/api/v1/auth/oauth/corp/callback", app.url());
    let client = json!({"client_id": "preloop", "client_secret": "a secret of both", "redirect_uris": [callback]});
    let (_provider, issuer) = provider(&clients, &json!({"port": port, "client": client, "people": people})).await;

    let owner = app.owner();
    let body = json!({
        "slug": "corp", "name": "Corp", "issuer": issuer, "client_id": "preloop", "client_secret": "a secret of both",
        "scopes": ["openid", "profile", "email", "groups"], "groups": [{"group": "platform", "role": "editor"}],
        "allowed_domains": ["corp.example"], "create_users": true, "allow_private_network": true,
    });
    let made = owner.post("/api/v1/identity-providers", body).await;
    assert_eq!(made["redirect_uri"], callback);
    assert!(!made.to_string().contains("a secret of both"));
    let listed = reqwest::get(format!("{}/api/v1/auth/oauth/providers", app.url())).await.unwrap();
    let listed: Value = listed.json().await.unwrap();
    let start: Url = listed[0]["authorize_url"].as_str().unwrap().parse().unwrap();

    let mut ann = Browser::new();
    let (at, status, page) = ann.sign_in(start.clone(), "ann").await;
    assert_eq!((at.as_str(), status), (&*format!("{}/account", app.url()), 200), "{page}");
    assert!(page.contains("ann"), "{page}");
    let users = owner.get("/api/v1/users").await;
    let user = users["users"].as_array().unwrap().iter().find(|user| user["username"] == "ann").unwrap().clone();
    assert_eq!((&user["email"], &user["user_source"]), (&json!("ann@corp.example"), &json!("oidc")));
    let roles = owner.get(&format!("/api/v1/users/{}/roles", user["id"].as_str().unwrap())).await;
    assert!(roles.to_string().contains("editor"), "{roles:#}");

    // The same code or state is of no use to anybody else.
    let mut eve = Browser::new();
    let (at, status, page) = eve.sign_in(start, "eve").await;
    assert_eq!((at.path(), status), ("/api/v1/auth/oauth/corp/callback", 403), "{page}");
    assert!(page.contains("corp.example"), "{page}");
    let stolen = format!("{callback}?code=x&state=y&iss={issuer}");
    let (_, status, page) = Browser::new().go(Method::GET, stolen.parse().unwrap(), &[]).await;
    assert_eq!(status, 400, "{page}");
}
