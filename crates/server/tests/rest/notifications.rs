//! What people are told by, and who is told of events, over REST.

use hmac::{Hmac, KeyInit, Mac};
use http::{Method, StatusCode};
use preloop_types::Role;
use secrecy::SecretString;
use serde_json::json;
use sha2::Sha256;

use crate::app::App;

const MINE: &str = "/api/v1/notification-preferences/me";
const ENDPOINTS: &str = "/api/v1/event-webhooks/endpoints";
const REQUESTS: &str = "/api/v1/approval-requests";

#[tokio::test]
async fn a_phone_registers_itself_once_and_its_key_decides_and_does_nothing_else() {
    for app in App::each().await {
        let code = app.owner.get(&format!("{MINE}/qr-code")).await.ok();
        assert_eq!(code["expires_in_seconds"], 900);
        let token = code["token"].as_str().unwrap();
        let path = format!("/api/v1/notification-preferences/register-via-token?token={token}");
        // A scanner that follows the link uses nothing up, nor does a device that makes no sense.
        let link = code["qr_data"].as_str().unwrap().split_once("/api/").unwrap().1.to_owned();
        assert_eq!(app.nobody().get(&format!("/api/{link}")).await.status, 200);
        app.nobody().post(&path, json!({"platform": "fridge", "token": "t"})).await.fails(422);

        let phone = json!({"platform": "ios", "token": "apns-1", "device_name": "Ann's phone"});
        let made = app.nobody().post(&path, phone.clone()).await.ok();
        app.nobody().post(&path, phone).await.fails(400);
        let mine = app.owner.get(MINE).await;
        assert!(!mine.text.contains("apns-1"), "{}", mine.text);
        assert_eq!(mine.json()["enable_mobile_push"], true);

        let phone = app.with_key(made["api_key"].as_str().unwrap());
        let agent = app.with_held_payments().await;
        let id = app.held(&agent, "pay", json!({"amount": 1}), None).await;
        assert_eq!(phone.get(REQUESTS).await.ok()[0]["id"], id);
        phone.get(MINE).await.fails(403);
        phone.get("/api/v1/auth/api-keys").await.fails(403);
        let decided = phone.post(&format!("{REQUESTS}/{id}/approve"), json!({})).await.ok();
        assert_eq!(decided["status"], "approved");

        app.owner.delete(&format!("{MINE}/device/apns-1")).await.ok();
        let mut status = StatusCode::OK;
        for _ in 0..100 {
            status = phone.get(REQUESTS).await.status;
            if status == 401 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(status, 401);
        app.owner.delete(&format!("{MINE}/device/apns-1")).await.fails(404);
    }
}

#[tokio::test]
async fn an_agent_cannot_make_itself_an_approver() {
    let app = App::start().await;
    let agent = app.agent().await;
    agent.get(&format!("{MINE}/qr-code")).await.fails(403);
    agent.post(&format!("{MINE}/register-device"), json!({"platform": "ios", "token": "t"})).await.fails(403);
    agent.post(&format!("{MINE}/chat-links"), json!({"code": "a.b"})).await.fails(403);
    agent
        .post("/api/v1/approval-bypasses", json!({"mode": "mute_notifications", "duration_minutes": 5}))
        .await
        .fails(403);
}

#[tokio::test]
async fn preferences_are_the_defaults_until_they_are_changed() {
    for app in App::each().await {
        let mine = app.owner.get(MINE).await.ok();
        assert_eq!((&mine["enable_email"], &mine["enable_mobile_push"]), (&json!(true), &json!(false)));
        let mine = app.owner.put(MINE, json!({"enable_email": false, "preferred_channel": "mobile_push"})).await.ok();
        assert_eq!((&mine["enable_email"], &mine["preferred_channel"]), (&json!(false), &json!("mobile_push")));
        app.owner.put(MINE, json!({"preferred_channel": "pigeon"})).await.fails(422);
        let other = app.colleague("bob", &[Role::Viewer]).await;
        assert_eq!(other.get(MINE).await.ok()["enable_email"], true, "everybody has their own");
    }
}

#[tokio::test]
async fn event_webhooks_show_their_key_once_and_are_the_account_keepers() {
    for app in App::each().await {
        let body = json!({"url": "https://grc.example/in", "event_types": ["approval.decided"]});
        let made = app.owner.post(ENDPOINTS, body.clone()).await.created();
        assert!(made["secret"].as_str().unwrap().starts_with("whsec_"));
        let path = format!("{ENDPOINTS}/{}", made["id"].as_str().unwrap());
        let read = app.owner.get(&path).await;
        assert!(!read.text.contains("whsec_"), "{}", read.text);
        assert!(
            made["secret"]
                .as_str()
                .unwrap()
                .ends_with(read.json()["secret_hint"].as_str().unwrap().trim_start_matches('…'))
        );
        app.owner.post(ENDPOINTS, json!({"url": "https://x.example", "event_types": ["pigeon"]})).await.fails(422);
        app.owner.post(ENDPOINTS, json!({"url": "file:///etc/passwd"})).await.fails(422);
        let catalogue = app.owner.get("/api/v1/event-webhooks/catalogue").await.ok();
        assert!(catalogue.as_array().unwrap().iter().any(|event| event["type"] == "policy.denied"));

        app.stranger().await.get(&path).await.fails(404);
        app.colleague("ed", &[Role::Editor]).await.get(ENDPOINTS).await.fails(403);
        let off = app.owner.put(&path, json!({"is_active": false})).await.ok();
        assert_eq!((&off["is_active"], &off["event_types"]), (&json!(false), &json!(["approval.decided"])));
        let nothing = "00000000-0000-7000-8000-000000000000";
        app.owner.post(&format!("/api/v1/event-webhooks/deliveries/{nothing}/replay"), json!({})).await.fails(404);
        assert_eq!(app.owner.delete(&path).await.status, 204);
        app.owner.get(&path).await.fails(404);
    }
}

#[tokio::test]
async fn muting_is_bounded_recorded_and_can_be_ended_by_others() {
    for app in App::each().await {
        const BYPASSES: &str = "/api/v1/approval-bypasses";
        let body =
            |minutes: u32| json!({"mode": "mute_notifications", "duration_minutes": minutes, "reason": "meeting"});
        app.owner.post(BYPASSES, body(481)).await.fails(422);
        app.owner.post(BYPASSES, json!({"mode": "auto_approve", "duration_minutes": 5})).await.fails(400);
        let muted = app.owner.post(BYPASSES, body(60)).await.created();
        assert_eq!(app.owner.get(&format!("{BYPASSES}/status")).await.ok()["active"], true);

        let other = app.colleague("bob", &[Role::Executor]).await;
        let ended = other.delete(&format!("{BYPASSES}/{}", muted["id"].as_str().unwrap())).await.ok();
        assert!(ended["revoked_at"].is_string());
        assert_eq!(app.owner.get(BYPASSES).await.ok(), json!([]));
        let journal = app.owner.get("/api/v1/audit-logs?limit=200").await.text;
        assert!(journal.contains("approval_bypass"), "{journal}");
    }
}

#[tokio::test]
async fn chats_whose_clicks_cannot_be_verified_are_not_listened_to() {
    let app = App::start().await;
    app.nobody().post("/api/v1/chat/slack", json!({})).await.fails(404);
    app.nobody().post("/api/v1/chat/mattermost", json!({})).await.fails(404);
    let app = App::with(|options| options.chat.slack.signing_secret = Some(SecretString::from("signing"))).await;
    app.nobody().post("/api/v1/chat/slack", json!({})).await.fails(401);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(b"signing").unwrap();
    mac.update(format!("v0:{now}:payload=x").as_bytes());
    let signed = app
        .nobody()
        .request(Method::POST, "/api/v1/chat/slack")
        .header("x-slack-request-timestamp", now)
        .header("x-slack-signature", format!("v0={}", hex::encode(mac.finalize().into_bytes())))
        .body("payload=x");
    assert_eq!(app.nobody().send(signed).await.status, 400, "it is Slack's, and no click");
}

#[tokio::test]
async fn an_instance_without_a_push_service_promises_nothing() {
    let app = App::start().await;
    let message = json!({"platform": "ios", "device_token": "t", "title": "a", "body": "b"});
    app.owner.post("/api/v1/push/proxy", message.clone()).await.fails(403);
    let key =
        app.owner.post("/api/v1/auth/api-keys", json!({"name": "relay", "scopes": ["push_proxy"]})).await.created();
    let by_header = app
        .nobody()
        .request(Method::POST, "/api/v1/push/proxy")
        .header("x-api-key", key["key"].as_str().unwrap())
        .json(&message);
    let refused = app.nobody().send(by_header).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["success"]), (503, &json!(false)));
    assert!(refused.json()["error"].as_str().unwrap().contains("PUSH_PROXY_URL"));
}
