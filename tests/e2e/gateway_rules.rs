//! Who may ask for which model, how fast, and until when: refusals in the agent's own dialect, with
//! statuses that no SDK tries again, and on record.

use std::time::{Duration, Instant};

use preloop_bench::provider::{Api, End};
use preloop_e2e::{Ask, Family, Gateway, eventually, read_until};
use reqwest::Method;
use serde_json::{Value, json};

/// Asks and expects a refusal with `status`, whose body names `code` in the dialect's own shape.
async fn refused(gateway: &Gateway, ask: &Ask, status: u16, code: &str) {
    let response = gateway.send(ask).await;
    let case = format!("{:?} {code}", ask.api);
    let told = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    assert_eq!(told, status, "{case}: {body:#}");
    assert!(body.to_string().contains(code), "{case}: {body:#}");
    assert!(!body["error"]["message"].as_str().unwrap().is_empty(), "{case}: {body:#}");
    match ask.api {
        Api::Messages => assert!(body["type"] == "error" && body["error"]["type"].is_string(), "{case}: {body:#}"),
        Api::Gemini => {
            assert!(body["error"]["code"] == status && body["error"]["status"].is_string(), "{case}: {body:#}");
        }
        _ => assert!(body["error"]["type"].is_string(), "{case}: {body:#}"),
    }
}

/// The id of the agent's key.
async fn key_id(gateway: &Gateway) -> String {
    let keys = gateway.app.owner().get("/api/v1/auth/api-keys").await;
    let named = keys.as_array().unwrap().iter().find(|key| key["name"].as_str().unwrap().starts_with("key "));
    named.unwrap()["id"].as_str().unwrap().to_owned()
}

async fn put(gateway: &Gateway, path: &str, body: Value) {
    let (status, reply) = gateway.app.owner().send(Method::PUT, path, Some(body)).await;
    assert!(status.is_success(), "PUT {path}: {status} {reply:#}");
}

#[tokio::test]
async fn a_key_for_some_models_sees_and_uses_no_other() {
    let gateway = Gateway::start().await;
    let allowed = gateway.serve(Family(Api::Chat), "").await;
    let other = gateway.serve(Family(Api::Messages), "").await;
    let path = format!("/api/v1/auth/api-keys/{}/governance", key_id(&gateway).await);
    put(&gateway, &path, json!({ "allowed_models": ["chat.*"] })).await;
    for api in Ask::APIS {
        assert_eq!(gateway.ask(&Ask::new(api, &allowed, false)).await.0, 200, "{api:?}");
        refused(&gateway, &Ask::new(api, &other, false), 403, "model_not_allowed").await;
        // The provider's own name of the model opens no other door.
        let (status, _) = gateway.ask(&Ask::new(api, "anthropic/mock", false)).await;
        assert!([403, 404].contains(&status), "{api:?}: {status}");
        refused(&gateway, &Ask::new(api, "no-such-model", true), 404, "model_not_found").await;
    }
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let list = http.get(format!("{}/models", gateway.sdk_base(Api::Chat))).bearer_auth(&gateway.key).send().await;
    let list: Value = list.unwrap().json().await.unwrap();
    let ids: Vec<&Value> = list["data"].as_array().unwrap().iter().map(|model| &model["id"]).collect();
    assert_eq!(ids, [&json!(allowed)]);
    assert!(gateway.provider.exchanges().iter().all(|exchange| exchange.path.starts_with("/openai")));
    assert!(!gateway.records("model.refused").await.is_empty());
}

#[tokio::test]
async fn a_spent_budget_a_rate_and_the_kill_switch_are_said_in_every_dialect() {
    let gateway = Gateway::start().await;
    let priced = json!({ "pricing": { "input": "0", "output": "10" }, "settings": { "max_output": 1000 } });
    let dear = gateway.serve_with(Family(Api::Chat), "out-1000", priced).await;
    let budget = json!({ "subject_type": "account", "model": dear, "period": "all_time", "hard_limit": "0.01" });
    gateway.app.owner().post("/api/v1/budgets", budget).await;
    let once = json!({ "settings": { "rate_limit": { "requests_per_minute": 1 } } });
    let slow = gateway.serve_with(Family(Api::Chat), "out-5", once).await;
    assert_eq!(gateway.ask(&Ask::new(Api::Chat, &dear, false)).await.0, 200);
    assert_eq!(gateway.ask(&Ask::new(Api::Chat, &slow, false)).await.0, 200);
    for api in Ask::APIS {
        refused(&gateway, &Ask::new(api, &dear, true), 403, "budget_exceeded").await;
        refused(&gateway, &Ask::new(api, &slow, true), 429, "rate_limited").await;
        let limited = gateway.send(&Ask::new(api, &slow, false)).await;
        assert!(limited.headers().contains_key("retry-after"), "{api:?}");
    }
    put(&gateway, "/api/v1/account/model-settings", json!({ "model_traffic": false })).await;
    for api in Ask::APIS {
        refused(&gateway, &Ask::new(api, &slow, false), 403, "preloop_account_halted").await;
    }
    assert_eq!(gateway.provider.exchanges().len(), 2, "a refused call reaches nobody");
}

#[tokio::test]
async fn the_kill_switch_cuts_what_is_running() {
    let gateway = Gateway::start().await;
    let words = "frames-500--stall-20";
    let alias = gateway.serve(Family(Api::Chat), words).await;
    let mut open = gateway.send(&Ask::new(Api::Chat, &alias, true)).await;
    read_until(&mut open, |read| read.len() > 500).await;

    put(&gateway, "/api/v1/account/model-settings", json!({ "model_traffic": false })).await;

    let off = Instant::now();
    let rest = read_until(&mut open, |_| false).await;
    assert!(String::from_utf8_lossy(&rest).contains("preloop_account_halted"), "{}", String::from_utf8_lossy(&rest));
    let (end, at) = gateway.ended(&Family(Api::Chat).identifier(words)).await.end.unwrap();
    assert_eq!(end, End::Abandoned);
    assert!(at.saturating_duration_since(off) < Duration::from_secs(1));
    put(&gateway, "/api/v1/account/model-settings", json!({ "model_traffic": true })).await;
    let quick = gateway.serve(Family(Api::Chat), "").await;
    assert_eq!(gateway.ask(&Ask::new(Api::Chat, &quick, true)).await.0, 200);
}

#[tokio::test]
async fn a_key_that_is_revoked_is_of_no_use_a_second_later() {
    let gateway = Gateway::start().await;
    let alias = gateway.serve(Family(Api::Messages), "frames-200--stall-20").await;
    let mut open = gateway.send(&Ask::new(Api::Messages, &alias, true)).await;
    read_until(&mut open, |read| read.len() > 500).await;

    let path = format!("/api/v1/auth/api-keys/{}", key_id(&gateway).await);
    assert!(gateway.app.owner().send(Method::DELETE, &path, None).await.0.is_success());
    let revoked = Instant::now();

    let gateway = &gateway;
    let ask = &Ask::new(Api::Messages, &alias, false);
    eventually("the refusal of a revoked key", || async {
        (gateway.send(ask).await.status().as_u16() == 401).then_some(())
    })
    .await;
    assert!(revoked.elapsed() < Duration::from_secs(2), "it took {:?}", revoked.elapsed());
}

#[tokio::test]
async fn a_session_that_is_ended_cuts_its_stream_and_stays_ended() {
    let gateway = Gateway::start().await;
    let words = "frames-500--stall-20";
    let alias = gateway.serve(Family(Api::Chat), words).await;
    let ask = Ask::new(Api::Chat, &alias, true);
    let session = || gateway.request(&ask).header("x-preloop-session-id", "run-1");
    let mut open = session().send().await.unwrap();
    read_until(&mut open, |read| read.len() > 500).await;
    let sessions = gateway.app.owner().get("/api/v1/runtime-sessions").await;
    let found = sessions["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|each| each["session_source_id"].as_str().is_some_and(|id| id.ends_with("run-1")));
    let path = format!("/api/v1/runtime-sessions/{}", found.unwrap()["id"].as_str().unwrap());

    let body = Some(json!({ "action": "end", "reason": "enough" }));
    let (status, reply) = gateway.app.owner().send(Method::PATCH, &path, body).await;

    assert!(status.is_success(), "{status} {reply:#}");
    let ended = Instant::now();
    let rest = read_until(&mut open, |_| false).await;
    assert!(!String::from_utf8_lossy(&rest).contains("[DONE]"), "a stream that was cut looks whole");
    let (end, at) = gateway.ended(&Family(Api::Chat).identifier(words)).await.end.unwrap();
    assert_eq!(end, End::Abandoned);
    assert!(at.saturating_duration_since(ended) < Duration::from_secs(1));
    drop(session().send().await.unwrap());
    let sessions = gateway.app.owner().get("/api/v1/runtime-sessions").await;
    let runs = sessions["items"].as_array().unwrap().iter();
    let named = runs.filter(|each| each["session_source_id"].as_str().is_some_and(|id| id.ends_with("run-1")));
    assert_eq!(named.count(), 2, "an ended run was joined again: {sessions:#}");
}

#[tokio::test]
async fn nobody_joins_a_session_by_knowing_its_name() {
    let gateway = Gateway::start().await;
    let alias = gateway.serve(Family(Api::Chat), "").await;
    let ask = Ask::new(Api::Chat, &alias, false);
    let other = gateway.app.owner().create_key(json!({})).await;
    let hostile = ["../../etc", "a b", "\"quoted\"", &"x".repeat(200), ""];
    for id in ["run-1", "run-1"].into_iter().chain(hostile) {
        let response = gateway.request(&ask).header("x-preloop-session-id", id).send().await.unwrap();
        assert_eq!(response.status(), 200, "{id}");
    }
    let request = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = request.post(format!("{}{}", gateway.app.url(), ask.path)).body(ask.body.clone());
    let request = request.header("x-preloop-session-id", "run-1").header("content-type", "application/json");
    assert_eq!(request.bearer_auth(other).send().await.unwrap().status(), 200);
    gateway.outcomes().await;

    let gateway = &gateway;
    let counts = eventually("the calls of both sessions", || async {
        let sessions = gateway.app.owner().get("/api/v1/runtime-sessions").await;
        let named = sessions["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|each| each["session_source_id"].as_str().is_some_and(|id| id.ends_with("run-1")));
        let mut counts: Vec<u64> = named.filter_map(|each| each["request_count"].as_u64()).collect();
        counts.sort_unstable();
        (counts.iter().sum::<u64>() == 3).then_some(counts)
    })
    .await;
    assert_eq!(counts, [1, 2], "two calls by one key, one by another");
}
