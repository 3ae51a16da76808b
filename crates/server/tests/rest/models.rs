//! Models, their prices, and what holds for all model traffic.

use serde_json::{Value, json};

use crate::app::App;

const MODELS: &str = "/api/v1/ai-models";
const PRICES: &str = "/api/v1/price-overrides";
const SETTINGS: &str = "/api/v1/account/model-settings";
const SECRET: &str = "sk-canary-0123456789-wxyz";

fn gpt() -> Value {
    json!({"provider": "openai", "identifier": "gpt-x", "api_key": SECRET, "tags": ["cheap"]})
}

#[tokio::test]
async fn a_model_is_added_changed_and_removed_and_its_secret_never_shown() {
    for app in App::each().await {
        let made = app.owner.post(MODELS, gpt()).await.created();
        assert_eq!((&made["alias"], &made["enabled"]), (&json!("openai/gpt-x"), &json!(true)));
        assert_eq!(made["credentials"], json!({"api_key": {"redacted": true, "last4": "wxyz"}}));
        assert_eq!(made["missing_credentials"], json!([]));
        let path = format!("{MODELS}/{}", made["id"].as_str().unwrap());

        let change = json!({"alias": "fast", "settings": {"max_output": 4096, "drain_seconds": 5}, "pricing": {"input": "0.25", "output": 2}});
        let changed = app.owner.put(&path, change).await.ok();
        assert_eq!((&changed["alias"], &changed["tags"]), (&json!("fast"), &json!(["cheap"])));
        assert_eq!(changed["pricing"], json!({"input": "0.25", "output": "2"}));
        assert_eq!(changed["credentials"]["api_key"]["last4"], "wxyz", "what is not spoken of stays");
        let reset = app.owner.put(&path, json!({"settings": {"max_output": null}, "pricing": null})).await.ok();
        assert_eq!((&reset["settings"], &reset["pricing"]), (&json!({"drain_seconds": 5}), &Value::Null));

        let placeholder = json!({"credentials": {"api_key": {"redacted": true}}});
        assert_eq!(app.owner.put(&path, placeholder).await.ok()["credentials"], made["credentials"]);
        for place in [MODELS, &path, "/api/v1/audit-logs?limit=1000", "/api/v1/audit-logs/export?payloads=true"] {
            assert!(!app.owner.get(place).await.text.contains("sk-canary"), "{place}");
        }
        let forgotten = app.owner.put(&path, json!({"credentials": {"api_key": null}})).await.ok();
        assert_eq!((&forgotten["credentials"], &forgotten["missing_credentials"]), (&json!({}), &json!(["api_key"])));

        let log = app.owner.get("/api/v1/audit-logs?action=config.changed").await.ok();
        let changes: Vec<_> =
            log.as_array().unwrap().iter().filter(|r| r["details"]["config_type"] == "ai_model").collect();
        assert!(changes.len() >= 3, "{changes:#?}");
        assert_eq!(app.owner.delete(&path).await.status, 204);
        app.owner.get(&path).await.fails(404);
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_model_is_said_by_field() {
    let app = App::start().await;
    let refused = async |change: Value| {
        let mut model = gpt();
        model.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let detail = app.owner.post(MODELS, model).await.fails(422);
        (detail[0]["loc"][1].as_str().unwrap_or_default().to_owned(), detail[0]["msg"].to_string())
    };
    for (change, field, hint) in [
        (json!({"provider": "nobody"}), "provider", "nobody"),
        (json!({"identifier": "../x"}), "identifier", "dots"),
        (json!({"alias": "tag:x"}), "alias", "labels"),
        (json!({"alias": "a b"}), "alias", "holds"),
        (json!({"endpoint": "ftp://example.org"}), "endpoint", "http"),
        (json!({"endpoint": "https://me:pass@example.org"}), "endpoint", "credentials"),
        (json!({"credentials": {"colour": "red"}}), "settings", "colour"),
        (json!({"settings": {"speed": 1}}), "settings", "speed"),
        (json!({"settings": {"provider": {"speed": "1"}}}), "settings", "speed"),
        (json!({"settings": {"fallbacks": ["nowhere"]}}), "settings", "nowhere"),
        (json!({"settings": {"rate_limit": {"concurrent": 0}}}), "settings", "zero"),
        (json!({"pricing": {"input": "1", "output": "2", "per_request": "-1"}}), "pricing", "negative"),
    ] {
        let (loc, message) = refused(change.clone()).await;
        assert!(loc.starts_with(field) && message.contains(hint), "{change}: {loc}: {message}");
    }
    app.owner.post(MODELS, gpt()).await.created();
    let detail = app.owner.post(MODELS, gpt()).await.fails(400);
    assert_eq!(detail, "a model with alias `openai/gpt-x` already exists");
}

#[tokio::test]
async fn an_endpoint_on_a_private_network_needs_the_operators_word() {
    let app = App::with(|options| options.allow_private_network = false).await;
    for endpoint in ["http://127.0.0.1:11434/v1", "http://169.254.169.254/", "http://[::1]/v1"] {
        let model = json!({"provider": "openai-compatible", "identifier": "m", "endpoint": endpoint});
        let detail = app.owner.post(MODELS, model).await.fails(422);
        assert!(detail[0]["msg"].to_string().contains("private"), "{detail}");
    }
}

#[tokio::test]
async fn a_model_others_lead_to_stays() {
    let app = App::start().await;
    let first = app.owner.post(MODELS, gpt()).await.created();
    let mut second = gpt();
    second["alias"] = json!("second");
    second["settings"] = json!({"fallbacks": ["openai/gpt-x"]});
    let second = app.owner.post(MODELS, second).await.created();
    let first = format!("{MODELS}/{}", first["id"].as_str().unwrap());
    app.owner.delete(&first).await.fails(400);
    app.owner.put(&first, json!({"alias": "renamed"})).await.fails(400);
    let second = format!("{MODELS}/{}", second["id"].as_str().unwrap());
    app.owner.put(&second, json!({"settings": {"fallbacks": []}})).await.ok();
    assert_eq!(app.owner.delete(&first).await.status, 204);
}

#[tokio::test]
async fn another_provider_does_not_get_the_secrets_of_the_one_before() {
    let app = App::start().await;
    let made = app.owner.post(MODELS, gpt()).await.created();
    let path = format!("{MODELS}/{}", made["id"].as_str().unwrap());
    let moved = app.owner.put(&path, json!({"provider": "groq"})).await.ok();
    assert_eq!((&moved["credentials"], &moved["missing_credentials"]), (&json!({}), &json!(["api_key"])));
}

#[tokio::test]
async fn a_document_as_a_secret_is_kept_whatever_its_lines() {
    let app = App::start().await;
    let providers = app.owner.get("/api/v1/ai-models/providers").await.ok();
    let vertex = providers.as_array().unwrap().iter().find(|provider| provider["name"] == "vertex").unwrap();
    let knob = vertex["credentials"][0]["name"].as_str().unwrap().to_owned();
    let document = "{\n  \"type\": \"service_account\",\n  \"private_key\": \"canary\"\n}";
    let model = json!({"provider": "vertex", "identifier": "gemini-x", "credentials": {knob.clone(): document},
        "settings": {"provider": {"project": "p", "region": "europe-west1"}}});
    let made = app.owner.post(MODELS, model).await;
    assert!(!made.text.contains("canary"));
    assert_eq!(made.created()["credentials"][&knob], json!({"redacted": true, "last4": null}));
}

#[tokio::test]
async fn prices_of_ones_own_are_kept_and_checked() {
    for app in App::each().await {
        let price = json!({"model": "openai/*", "rates": {"input": "1.5", "output": "6"}, "note": "contract 7"});
        let made = app.owner.post(PRICES, price).await.created();
        assert_eq!((&made["rates"]["input"], &made["discount_percent"]), (&json!("1.5"), &json!(0)));
        let path = format!("{PRICES}/{}", made["id"].as_str().unwrap());
        let changed = app.owner.put(&path, json!({"rates": null, "discount_percent": 20})).await.ok();
        assert_eq!((&changed["rates"], &changed["note"]), (&Value::Null, &json!("contract 7")));
        app.owner.put(&path, json!({"discount_percent": 0})).await.fails(422);
        app.owner.put(&path, json!({"discount_percent": 101})).await.fails(422);
        let backwards = json!({"effective_from": "2026-02-01T00:00:00Z", "effective_until": "2026-01-01T00:00:00Z"});
        app.owner.put(&path, backwards).await.fails(422);
        app.owner.post(PRICES, json!({"model": "x"})).await.fails(422);
        assert_eq!(app.owner.get(PRICES).await.ok().as_array().unwrap().len(), 1);
        assert_eq!(app.owner.delete(&path).await.status, 204);
        app.owner.get(&path).await.fails(404);
    }
}

#[tokio::test]
async fn the_kill_switch_is_recorded() {
    let app = App::start().await;
    let usual = app.owner.get(SETTINGS).await.ok();
    assert_eq!((&usual["model_traffic"], &usual["on_unpriced"]), (&json!(true), &json!("deny")));
    let off = app.owner.put(SETTINGS, json!({"model_traffic": false, "allowed_models": ["tag:cheap"]})).await.ok();
    assert_eq!((&off["model_traffic"], &off["capture"]), (&json!(false), &usual["capture"]));
    let log = app.owner.get("/api/v1/audit-logs?action=config.changed").await.ok();
    assert_eq!(log[0]["details"]["config_type"], "model_settings");
    assert_eq!(log[0]["details"]["new"]["allowed_models"], json!(["tag:cheap"]));
    let log = app.owner.get("/api/v1/audit-logs?action=kill_switch.changed").await.ok();
    assert_eq!((&log[0]["details"]["scope"], &log[0]["details"]["changed"]), (&json!("gateway"), &json!(true)));
    app.owner.put(SETTINGS, json!({"allowed_models": [""]})).await.fails(422);
    let rule = |pattern: &str| json!({"guardrails": {"rules": [{"name": "x", "detect": [{"pattern": pattern}], "action": "deny"}]}});
    assert_eq!(app.owner.put(SETTINGS, rule("ACME-[0-9]{4}")).await.ok()["guardrails"]["rules"][0]["name"], "x");
    app.owner.put(SETTINGS, rule("(")).await.fails(422);
}

#[tokio::test]
async fn a_key_is_bound_to_an_agent_and_narrowed_to_models() {
    for app in App::each().await {
        let keys = "/api/v1/auth/api-keys";
        let agent = json!({"name": "Claude", "kind": "claude_code", "tags": ["team=web"]});
        let key = |name: &str| json!({"name": name, "agent": agent, "allowed_models": ["tag:cheap"]});
        let first = app.owner.post(keys, key("one")).await.created();
        let second = app.owner.post(keys, key("two")).await.created();
        let get = async |made: &Value| app.owner.get(&format!("{keys}/{}", made["id"].as_str().unwrap())).await.ok();
        let (first, second) = (get(&first).await, get(&second).await);
        let agent = first["managed_agent_id"].as_str().unwrap();
        assert_eq!(second["managed_agent_id"], *agent, "one agent, two keys");
        let path = format!("{keys}/{}/governance", first["id"].as_str().unwrap());
        assert_eq!(app.owner.get(&path).await.ok()["config"]["allowed_models"], json!(["tag:cheap"]));

        let path = format!("/api/v1/agents/{agent}/governance");
        let limits = json!({"rate_limit": {"tokens_per_minute": 1000}});
        assert_eq!(app.owner.put(&path, limits).await.ok()["subject_type"], "agents");
        assert_eq!(app.owner.get(&path).await.ok()["config"]["rate_limit"], json!({"tokens_per_minute": 1000}));
        app.stranger().await.get(&path).await.fails(404);
    }
}

#[tokio::test]
async fn what_a_model_costs_says_who_says_so() {
    let app = App::start().await;
    let known = app.owner.get("/api/v1/ai-models/providers/openai/available-models").await.ok();
    let identifier = &known[0]["identifier"];
    app.owner.get("/api/v1/ai-models/providers/nobody/available-models").await.fails(404);
    let add = async |identifier: &Value| {
        let made = app.owner.post(MODELS, json!({"provider": "openai", "identifier": identifier})).await.created();
        format!("{MODELS}/{}/pricing", made["id"].as_str().unwrap())
    };
    let (listed, unlisted) = (add(identifier).await, add(&json!("nobody-knows-me")).await);
    let price = app.owner.get(&listed).await.ok();
    assert_eq!((&price["cost_source"], &price["rates"]), (&json!("catalog"), &known[0]["rates"]));
    let price = app.owner.get(&unlisted).await.ok();
    assert_eq!((&price["cost_source"], &price["rates"]), (&json!("unpriced"), &Value::Null));

    let own =
        app.owner.post(PRICES, json!({"model": "openai/*", "rates": {"input": "1", "output": "2"}})).await.created();
    for place in [listed, unlisted] {
        let price = app.owner.get(&place).await.ok();
        assert_eq!((&price["cost_source"], &price["price_override_id"]), (&json!("override"), &own["id"]));
        assert_eq!(price["rates"], json!({"input": "1", "output": "2"}));
    }
}
