//! Runs of agents, their tokens, and what their calls consumed.

use std::sync::Arc;

use preloop_govern::{ModelAdmission, SessionSignal};
use preloop_types::{
    CallId, CostBound, CostSource, Exposure, Hash, ModelCall, ModelOutcome, ModelStatus, NanoUsd, Tokens, UsageSource,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{App, Person};

const TOKEN: &str = "/api/v1/auth/runtime-sessions/token";
const SESSIONS: &str = "/api/v1/runtime-sessions";

/// A token of the run `name` and the run's path.
async fn run(app: &App, name: &str) -> (Person, String, Value) {
    let body = json!({"session_source_type": "codex", "session_source_id": name});
    let made = app.owner.post(TOKEN, body).await.created();
    let path = format!("{SESSIONS}/{}", made["runtime_session_id"].as_str().unwrap());
    (app.with_key(made["token"].as_str().unwrap()), path, made)
}

async fn patch(app: &App, path: &str, body: Value) -> Value {
    app.owner.send(app.owner.request(Method::PATCH, path).json(&body)).await.ok()
}

/// One call of model `fast` by this agent that costs a quarter of a dollar.
async fn calls(app: &App, agent: &Person) {
    let governor = app.server.governor();
    let who = governor.identify(&agent.key).await.unwrap();
    let who = governor.sessions().bind(&who, &SessionSignal::default()).await.unwrap();
    let snapshot = governor.snapshot(who.account).await.unwrap();
    let model = snapshot.models.iter().find(|model| model.alias == "fast").unwrap();
    let call = ModelCall {
        id: CallId::new(governor.now()),
        dialect: "chat",
        operation: "generate",
        model: Arc::clone(model),
        requested: "fast".into(),
        exposure: Some(Exposure { input_tokens: 60, output_tokens: 40, ..Exposure::default() }),
        bound: CostBound::AtMost(NanoUsd(500_000_000)),
        streamed: true,
        session: who.session,
        client: Some("test/1".into()),
        request_hash: Hash::of("a question"),
        request_bytes: 10,
    };
    let permit = match governor.admit_model(&who, call).await {
        ModelAdmission::Granted(permit) => permit,
        ModelAdmission::Refused(refusal) => panic!("{}", refusal.message),
    };
    permit.settle(ModelOutcome {
        http_status: 200,
        tokens: Some(Tokens { input: 50, cache_read: 7, output: 30, ..Tokens::default() }),
        usage_source: Some(UsageSource::Provider),
        cost: Some(NanoUsd(250_000_000)),
        cost_source: Some(CostSource::Catalog),
        conversation: Some(br#"{"question":"what is the capital"}"#.to_vec()),
        ..ModelOutcome::of(ModelStatus::Succeeded)
    });
    // Settled with the next commit, and this waits for one.
    let settings = json!({"session_idle_minutes": 700 + governor.now().micros() % 7});
    app.owner.put("/api/v1/account/model-settings", settings).await.ok();
}

#[tokio::test]
async fn a_token_belongs_to_its_run_and_ends_with_it() {
    for app in App::each().await {
        let (agent, path, made) = run(&app, "one").await;
        let (_, again, _) = run(&app, "one").await;
        assert_eq!(path, again, "the open run of that name is joined");
        agent.get("/api/v1/auth/users/me").await.ok();
        agent.get(SESSIONS).await.fails(403);
        let shown = app.owner.get(&path).await.ok()["session"].clone();
        assert_eq!((&shown["session_source_type"], &shown["activity_status"]), (&json!("codex"), &json!("active_now")));
        assert_eq!(shown["runtime_principal_type"], "managed_agent");

        let ended = patch(&app, &path, json!({"action": "end", "reason": "enough"})).await;
        assert_eq!((&ended["activity_status"], &ended["end_reason"]), (&json!("ended"), &json!("enough")));
        agent.get("/api/v1/auth/users/me").await.fails(401);
        let token = made["token"].as_str().unwrap();
        for place in ["/api/v1/audit-logs?limit=1000", "/api/v1/auth/api-keys", &path] {
            assert!(!app.owner.get(place).await.text.contains(token), "{place}");
        }
        let (_, new, _) = run(&app, "one").await;
        assert_ne!(new, path, "what ended stays ended");
        assert_eq!(app.owner.get(&format!("{SESSIONS}?status=ended")).await.ok()["items"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_blocked_agent_begins_no_other_run_until_it_is_unblocked() {
    let app = App::start().await;
    let (_, path, _) = run(&app, "one").await;
    assert_eq!(patch(&app, &path, json!({"action": "end", "block": true})).await["blocked"], true);
    let body = json!({"session_source_type": "codex", "session_source_id": "two"});
    app.owner.post(TOKEN, body.clone()).await.fails(403);
    assert_eq!(patch(&app, &path, json!({"action": "unblock"})).await["blocked"], false);
    app.owner.post(TOKEN, body).await.created();
}

#[tokio::test]
async fn a_token_is_for_an_agent_and_not_for_long() {
    let app = App::start().await;
    let refused = async |change: Value| {
        let mut body = json!({"session_source_type": "codex", "session_source_id": "one"});
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        app.owner.post(TOKEN, body).await.status.as_u16()
    };
    assert_eq!(refused(json!({"scopes": ["admin"]})).await, 400);
    assert_eq!(refused(json!({"scopes": ["root"]})).await, 400);
    assert_eq!(refused(json!({"expires_in_minutes": 0})).await, 422);
    assert_eq!(refused(json!({"expires_in_minutes": 1441})).await, 422);
    assert_eq!(refused(json!({"session_source_id": ""})).await, 422);
}

#[tokio::test]
async fn what_calls_consumed_is_summed_found_and_told_in_order() {
    for app in App::each().await {
        let model =
            json!({"provider": "openai", "identifier": "gpt-x", "alias": "fast", "api_key": "sk-0123456789abcdef"});
        let model = app.owner.post("/api/v1/ai-models", model).await.created();
        let budget =
            app.owner.post("/api/v1/budgets", json!({"hard_limit": "1.00", "soft_limit": "0.20"})).await.created();
        let (agent, path, made) = run(&app, "one").await;
        calls(&app, &agent).await;

        let summary = app.owner.get("/api/v1/account/gateway-usage/summary").await.ok();
        assert_eq!((&summary["total_requests"], &summary["successful_requests"]), (&json!(1), &json!(1)));
        assert_eq!((&summary["cost_usd"], &summary["estimated_cost"]), (&json!("0.25"), &json!(0.25)));
        assert_eq!(
            (&summary["token_usage"]["prompt_tokens"], &summary["token_usage"]["total_tokens"]),
            (&json!(57), &json!(87))
        );
        assert_eq!(
            (&summary["budget"]["current_spend_usd"], &summary["budget"]["soft_limit_exceeded"]),
            (&json!(0.25), &json!(true))
        );
        assert_eq!(
            (&summary["usage_by_model"][0]["name"], &summary["usage_by_model"][0]["request_count"]),
            (&json!("fast"), &json!(1))
        );
        assert_eq!(summary["usage_by_session"][0]["id"], made["runtime_session_id"]);
        let model = format!("/api/v1/ai-models/{}/summary", model["id"].as_str().unwrap());
        assert_eq!(app.owner.get(&model).await.ok()["total_requests"], 1);
        let elsewhere = app.owner.get("/api/v1/cost/summary?model_alias=slow").await.ok();
        assert_eq!((&elsewhere["total_requests"], &elsewhere["cost_usd"]), (&json!(0), &json!("0")));

        let budget = app.owner.get(&format!("/api/v1/budgets/{}", budget["id"].as_str().unwrap())).await.ok();
        let state = &budget["state"][0];
        assert_eq!(
            (&state["spent"], &state["soft_limit_exceeded"], &state["hard_limit_exceeded"]),
            (&json!("0.25"), &json!(true), &json!(false))
        );

        let search = async |query: &str| {
            app.owner.get(&format!("/api/v1/account/gateway-usage/search?{query}")).await.ok()["items"].clone()
        };
        let found = search("query=CAPITAL&model_alias=fast").await;
        let call = &found[0];
        assert_eq!(
            (&call["outcome"], &call["dialect"], &call["streamed"]),
            (&json!("succeeded"), &json!("chat"), &json!(true))
        );
        assert_eq!((&call["cost_usd"], &call["runtime_session_id"]), (&json!("0.25"), &made["runtime_session_id"]));
        assert!(call["excerpt"].as_str().unwrap().contains("capital"));
        for nothing in ["query=nowhere", "model_alias=slow", "outcome=denied"] {
            assert_eq!(search(nothing).await, json!([]), "{nothing}");
        }
        let health = app.owner.get("/api/v1/cost/health").await.ok();
        assert_eq!(health["status"], "ok", "{health}");

        assert_eq!(app.owner.get(&path).await.ok()["session"]["cost_usd"], "0.25");
        assert_eq!(app.owner.get(&format!("{path}/interactions")).await.ok()["items"].as_array().unwrap().len(), 1);
        let timeline = app.owner.get(&format!("{path}/activity")).await.ok();
        let kinds: Vec<_> =
            timeline["items"].as_array().unwrap().iter().map(|item| item["activity_type"].clone()).collect();
        assert_eq!(kinds[..2], ["session_started", "model_interaction"]);

        let stranger = app.stranger().await;
        assert_eq!(stranger.get("/api/v1/account/gateway-usage/summary").await.ok()["total_requests"], 0);
        assert_eq!(stranger.get("/api/v1/account/gateway-usage/search").await.ok()["items"], json!([]));
    }
}
