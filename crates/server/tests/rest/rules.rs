//! Tool configurations and their ordered rules.

use serde_json::{Value, json};

use crate::app::{App, Person};

async fn config(owner: &Person) -> String {
    let body = json!({"tool_name": "anything", "tool_source": "preloop_builtin", "account_id": "ignored"});
    let made = owner.post("/api/v1/tool-configurations", body).await.created();
    assert_eq!(made["tool_source"], "builtin");
    format!("/api/v1/tool-configurations/{}", made["id"].as_str().unwrap())
}

fn order(rules: &Value) -> Vec<&str> {
    rules.as_array().unwrap().iter().map(|rule| rule["description"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn rules_keep_their_order_and_move_all_at_once() {
    for app in App::each().await {
        let owner = &app.owner;
        let config = config(owner).await;
        let rules = format!("{config}/access-rules");
        let rule = |name: &str, place: Option<u32>| json!({"action": "deny", "condition_expression": "args.amount > 5", "description": name, "priority": place});
        let a = owner.post(&rules, rule("a", None)).await.created();
        let c = owner.post(&rules, rule("c", None)).await.created();
        let b = owner.post(&rules, rule("b", Some(1))).await.created();
        assert_eq!((&a["condition_type"], &b["priority"]), (&json!("cel"), &json!(1)));
        assert_eq!(order(&owner.get(&rules).await.ok()), ["a", "b", "c"]);

        let reversed = json!({"rule_ids": [c["id"], b["id"], a["id"]]});
        assert_eq!(order(&owner.put(&format!("{rules}/order"), reversed).await.ok()), ["c", "b", "a"]);
        let partial = json!({"rule_ids": [c["id"], b["id"]]});
        owner.put(&format!("{rules}/order"), partial).await.fails(409);
        assert_eq!(order(&owner.get(&rules).await.ok()), ["c", "b", "a"]);

        let one = format!("/api/v1/access-rules/{}", a["id"].as_str().unwrap());
        let changed =
            owner.put(&one, json!({"action": "allow", "condition_expression": null, "priority": 0})).await.ok();
        assert_eq!((&changed["action"], &changed["condition_expression"]), (&json!("allow"), &Value::Null));
        assert_eq!(order(&owner.get(&rules).await.ok()), ["a", "c", "b"]);
        assert_eq!(owner.delete(&one).await.status, 204);
        owner.delete(&one).await.fails(404);
        assert_eq!(order(&owner.get(&config).await.ok()["access_rules"]), ["c", "b"]);
    }
}

#[tokio::test]
async fn a_rule_that_cannot_work_is_refused() {
    let app = App::start().await;
    let rules = format!("{}/access-rules", config(&app.owner).await);
    let refused = async |body: Value, status: u16| app.owner.post(&rules, body).await.fails(status);

    let detail = refused(json!({"action": "explode"}), 400).await;
    assert_eq!(detail, "action `explode` is not one of `allow`, `deny`, `require_approval`");
    let detail = refused(json!({"action": "deny", "condition_expression": "args.amount >"}), 422).await;
    assert_eq!(detail[0]["loc"], json!(["body", "condition_expression"]));
    refused(json!({"action": "deny", "condition_expression": "a && b", "condition_type": "simple"}), 422).await;
    let foreign = "00000000-0000-7000-8000-000000000000";
    let detail = refused(json!({"action": "deny", "approval_workflow_id": foreign}), 422).await;
    assert_eq!(detail[0]["loc"], json!(["body", "approval_workflow_id"]));
    refused(json!({"action": "deny", "description": "x".repeat(3_000)}), 422).await;
    refused(json!({"condition_expression": "true"}), 422).await;
    assert_eq!(app.owner.get(&rules).await.ok(), json!([]));
}

#[tokio::test]
async fn a_condition_can_be_tried() {
    let app = App::start().await;
    let test = format!("{}/approval-condition/test", config(&app.owner).await);
    let try_it = async |expression: &str, args: Value| {
        let body = json!({"expression": expression, "sample_args": args});
        app.owner.post(&test, body).await.ok()
    };
    assert_eq!(try_it("args.amount > 100", json!({"amount": 100.5})).await["matches"], true);
    assert_eq!(try_it("args.amount > 100", json!({"amount": 100})).await["matches"], false);
    let broken = try_it("args.missing > 100", json!({})).await;
    assert_eq!((&broken["matches"], broken["error"].is_string()), (&json!(false), true));
    let syntax = try_it("args.amount >", json!({})).await;
    assert!(syntax["error"].is_string(), "{syntax}");
}

#[tokio::test]
async fn one_configuration_per_tool() {
    for app in App::each().await {
        let server = app.add_mock().await;
        let body = json!({
            "tool_name": "pay", "tool_source": "mcp", "mcp_server_id": server["id"], "justification_mode": "required",
            "custom_config": {"b": 1, "a": 2}, "tool_description": "Careful",
        });
        let made = app.owner.post("/api/v1/tool-configurations", body.clone()).await.created();
        assert_eq!(made["custom_config"].to_string(), r#"{"b":1,"a":2}"#);
        app.owner.post("/api/v1/tool-configurations", body).await.fails(400);
        let path = format!("/api/v1/tool-configurations/{}", made["id"].as_str().unwrap());
        let changed = app.owner.put(&path, json!({"is_enabled": false, "tool_description": null})).await.ok();
        assert_eq!(
            (&changed["is_enabled"], &changed["tool_description"], &changed["justification_mode"]),
            (&json!(false), &Value::Null, &json!("required"))
        );
        let warned = json!({"action": "deny", "condition_expression": "args.amuont > 5"});
        let detail = app.owner.post(&format!("{path}/access-rules"), warned).await;
        assert!(detail.text.contains("amount"), "{}", detail.text);
    }
}
