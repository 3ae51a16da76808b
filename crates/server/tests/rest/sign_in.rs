//! Signing in over REST, and everything that must not let anybody in.

use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{App, Person, Reply};

pub(crate) const PASSWORD: &str = "correct horse";
const TOKEN: &str = "/api/v1/auth/token/json";

pub(crate) async fn with_password(app: &App) {
    app.server.identity().force_password("ann", &PASSWORD.to_owned().into()).await.unwrap();
}

async fn sign_in(app: &App, password: &str) -> Reply {
    app.nobody().post(TOKEN, json!({"username": "ann", "password": password})).await
}

async fn signed_in(app: &App) -> (Person, Value) {
    let token = sign_in(app, PASSWORD).await.ok();
    (app.with_key(token["access_token"].as_str().unwrap()), token)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {value}"))
}

#[tokio::test]
async fn a_person_signs_in_acts_and_signs_out() {
    for app in App::each().await {
        with_password(&app).await;
        let (ann, token) = signed_in(&app).await;
        assert_eq!((text(&token, "token_type"), token["expires_in"].as_u64()), ("bearer", Some(900)));
        assert_eq!(ann.get("/api/v1/auth/users/me").await.ok()["username"], "ann");
        // As an owner may.
        ann.get("/api/v1/audit-logs").await.ok();

        let form = [("grant_type", "password"), ("username", "ANN"), ("password", PASSWORD)];
        let nobody = app.nobody();
        let other = nobody.send(nobody.request(Method::POST, "/api/v1/auth/token").form(&form)).await.ok();
        let other = app.with_key(text(&other, "access_token"));
        let json = json!({"username": "ann", "password": PASSWORD});
        nobody.post("/api/v1/auth/token", json).await.ok();

        let sessions = ann.get("/api/v1/auth/sessions").await.ok();
        let sessions = sessions.as_array().unwrap();
        assert_eq!(sessions.len(), 3, "{sessions:?}");
        assert_eq!(sessions.iter().filter(|session| session["current"] == true).count(), 1);
        assert!(sessions.iter().all(|session| session["address"] == "127.0.0.1"));
        ann.post("/api/v1/auth/logout", json!({})).await.no_content();
        ann.get("/api/v1/auth/users/me").await.fails(401);
        let refresh = json!({"refresh_token": token["refresh_token"]});
        nobody.post("/api/v1/auth/refresh", refresh).await.fails(401);

        let one = other.get("/api/v1/auth/sessions").await.ok();
        let one = one.as_array().unwrap().iter().find(|session| session["current"] == false).unwrap().clone();
        other.delete(&format!("/api/v1/auth/sessions/{}", text(&one, "id"))).await.no_content();
        assert_eq!(other.post("/api/v1/auth/sessions/revoke-all", json!({})).await.ok()["revoked"], 1);
        other.get("/api/v1/auth/users/me").await.fails(401);
        // API keys are not sign-ins.
        app.owner.get("/api/v1/auth/users/me").await.ok();
        app.owner.post("/api/v1/auth/logout", json!({})).await.fails(400);
    }
}

#[tokio::test]
async fn a_wrong_name_is_told_like_a_wrong_password() {
    let app = App::start().await;
    // Without a password nobody signs in.
    let none = sign_in(&app, PASSWORD).await.fails(401);
    with_password(&app).await;
    assert_eq!(sign_in(&app, "wrong horse").await.fails(401), none);
    let unknown = app.nobody().post(TOKEN, json!({"username": "nobody", "password": PASSWORD})).await;
    assert_eq!(unknown.headers["www-authenticate"], "Bearer");
    assert_eq!(unknown.fails(401), none);
    app.nobody().post(TOKEN, json!({"username": "ann"})).await.fails(422);

    let records = app.owner.get("/api/v1/audit-logs").await.text;
    assert!(records.contains("auth.sign_in_failed") && !records.contains("horse"), "{records}");
}

#[tokio::test]
async fn a_deactivated_person_is_not_let_in_and_out_at_once() {
    let app = App::start().await;
    with_password(&app).await;
    let (ann, token) = signed_in(&app).await;
    let found = app.server.store().find_sign_in("ann").await.unwrap().unwrap();
    let user = preloop_types::User { is_active: false, ..found.user };
    let write = app.server.store().write(found.account, |tx| Box::pin(async move { tx.update_user(&user).await }));
    write.await.unwrap();
    for _ in 0..50 {
        if ann.get("/api/v1/auth/users/me").await.status == 401 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    ann.get("/api/v1/auth/users/me").await.fails(401);
    sign_in(&app, PASSWORD).await.fails(401);
    app.nobody().post("/api/v1/auth/refresh", json!({"refresh_token": token["refresh_token"]})).await.fails(401);
}

#[tokio::test]
async fn tokens_are_good_for_one_thing_only() {
    let app = App::start().await;
    with_password(&app).await;
    let (ann, token) = signed_in(&app).await;
    // Row 26 of the known defects: a refresh token as an access token, and the other way round.
    app.with_key(text(&token, "refresh_token")).get("/api/v1/auth/users/me").await.fails(401);
    let nobody = app.nobody();
    nobody.post("/api/v1/auth/refresh", json!({"refresh_token": token["access_token"]})).await.fails(401);
    nobody.post("/api/v1/auth/refresh", json!({"refresh_token": app.owner.key})).await.fails(401);
    for path in ["verify-email", "reset-password", "accept-invitation", "token/mfa"] {
        let body = json!({"token": token["refresh_token"], "mfa_token": token["refresh_token"], "code": "123456",
            "username": "eve", "password": PASSWORD, "new_password": PASSWORD});
        let reply = nobody.post(&format!("/api/v1/auth/{path}"), body).await;
        assert!([400, 401].contains(&reply.status.as_u16()), "{path}: {} {}", reply.status, reply.text);
    }
    let next = nobody.post("/api/v1/auth/refresh", json!({"refresh_token": token["refresh_token"]})).await.ok();
    app.with_key(text(&next, "access_token")).get("/api/v1/auth/users/me").await.ok();
    // Another tenant's session answers like a missing one.
    let session = ann.get("/api/v1/auth/sessions").await.ok()[0]["id"].clone();
    let stranger = app.stranger().await;
    stranger.delete(&format!("/api/v1/auth/sessions/{}", session.as_str().unwrap())).await.fails(404);
}

#[tokio::test]
async fn guessing_is_slowed_down_and_says_for_how_long() {
    let app = App::start().await;
    with_password(&app).await;
    for _ in 0..10 {
        sign_in(&app, "wrong horse").await.fails(401);
    }
    let refused = sign_in(&app, PASSWORD).await;
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((800..=900).contains(&wait), "{wait}");
    refused.fails(429);
    // The API key goes on.
    app.owner.get("/api/v1/auth/users/me").await.ok();
}

#[tokio::test]
async fn registration_is_closed_unless_it_is_opened() {
    let eve = json!({"username": "eve", "email": "eve@example.org", "password": PASSWORD, "full_name": "Eve"});
    let app = App::start().await;
    let why = app.nobody().post("/api/v1/auth/register", eve.clone()).await.fails(403);
    assert!(why.as_str().unwrap().contains("switched off"), "{why}");

    let app = App::with(|options| options.registration = true).await;
    let made = app.nobody().post("/api/v1/auth/register", eve.clone()).await.created();
    let shown = json!({"username": "eve", "email": "eve@example.org", "full_name": "Eve", "email_verified": false,
        "is_superuser": false});
    assert_eq!(made, shown);
    app.nobody().post("/api/v1/auth/register", eve).await.fails(400);
    for (name, value) in [("username", "e e"), ("username", "ab"), ("email", "nowhere"), ("password", "short")] {
        let mut body = json!({"username": "mallory", "email": "m@example.org", "password": PASSWORD});
        body[name] = json!(value);
        let detail = app.nobody().post("/api/v1/auth/register", body).await.fails(422);
        assert_eq!(detail[0]["loc"], json!(["body", name]), "{detail}");
    }
    let token = app.nobody().post(TOKEN, json!({"username": "Eve", "password": PASSWORD})).await.ok();
    let eve = app.with_key(text(&token, "access_token"));
    // An account of her own, with its default workflow, and nothing of anybody else's.
    let workflows = eve.get("/api/v1/approval-workflows").await.ok();
    assert_eq!((workflows.as_array().unwrap().len(), &workflows[0]["is_default"]), (1, &json!(true)));
    let ours = app.owner.get("/api/v1/auth/users/me").await.ok()["account_id"].clone();
    assert_ne!(eve.get("/api/v1/auth/users/me").await.ok()["account_id"], ours);
}

#[tokio::test]
async fn changing_the_password_ends_the_other_sign_ins() {
    let app = App::start().await;
    with_password(&app).await;
    let ((ann, _), (other, _)) = (signed_in(&app).await, signed_in(&app).await);
    let path = "/api/v1/auth/users/me/password";
    ann.put(path, json!({"current_password": "wrong horse", "new_password": "better horse"})).await.fails(400);
    ann.put(path, json!({"current_password": PASSWORD, "new_password": "short"})).await.fails(422);
    ann.put(path, json!({"current_password": PASSWORD, "new_password": "better horse"})).await.no_content();
    ann.get("/api/v1/auth/users/me").await.ok();
    other.get("/api/v1/auth/users/me").await.fails(401);
    sign_in(&app, PASSWORD).await.fails(401);
    sign_in(&app, "better horse").await.ok();
}

#[tokio::test]
async fn a_forgotten_password_is_answered_alike_for_everybody() {
    let app = App::start().await;
    let mut answers = Vec::new();
    for email in ["ann@example.org", "nobody@example.org"] {
        answers.push(app.nobody().post("/api/v1/auth/forgot-password", json!({"email": email})).await.ok());
    }
    assert_eq!(answers[0], answers[1]);
    assert!(text(&answers[0], "message").contains("sends no mail"), "{answers:?}");
    for _ in 0..20 {
        app.nobody().post("/api/v1/auth/forgot-password", json!({"email": "ann@example.org"})).await;
    }
    app.nobody().post("/api/v1/auth/forgot-password", json!({"email": "ann@example.org"})).await.fails(429);
}
