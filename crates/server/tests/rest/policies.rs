//! The configuration as one document.

use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use preloop_api_types::policies::{PolicyLint, PolicyReplay};

use crate::{agent::Agent, app::App};

const POLICY: &str = r#"
version: "1.0"
metadata: { name: payments-guard }
approval_workflows:
  - name: two-eyes
    timeout_seconds: 900
    require_reason: true
tools:
  - name: pay
    source: mock
    approval_workflow: two-eyes
    justification: required
    conditions:
      - expression: args.amount <= 20
        action: allow
      - expression: args.amount > 200
        action: deny
        description: Above the agent limit
      - action: require_approval
  - name: hang
    source: mock
    enabled: false
defaults:
  unknown_tools: deny
"#;

#[tokio::test]
async fn applied_twice_a_policy_changes_nothing_the_second_time() {
    for app in App::each().await {
        app.add_mock().await;
        let diff = app.owner.yaml("/api/v1/policies/diff", POLICY).await.ok();
        assert_eq!(diff["summary"], "3 addition(s), 1 modification(s)");
        let first = app.owner.yaml("/api/v1/policies/apply", POLICY).await.ok();
        assert_eq!((&first["tools_created"], &first["policies_created"]), (&json!(2), &json!(1)), "{first:#}");
        assert_eq!(first["version_number"], 1);

        let records = app.owner.get("/api/v1/audit-logs?limit=1000").await.ok();
        let second = app.owner.yaml("/api/v1/policies/apply", POLICY).await.ok();
        assert_eq!((&second["tools_updated"], &second["version_number"]), (&json!(0), &Value::Null));
        assert_eq!(app.owner.get("/api/v1/audit-logs?limit=1000").await.ok(), records);
        let diff = app.owner.yaml("/api/v1/policies/diff", POLICY).await.ok();
        assert_eq!((&diff["has_changes"], &diff["summary"]), (&json!(false), &json!("No changes")));
    }
}

#[tokio::test]
async fn an_export_applied_is_a_no_op() {
    for app in App::each().await {
        app.add_mock().await;
        let body = json!({"name": "secretive", "url": app.mock.url(), "auth_type": "header",
            "auth_config": {"headers": {"X-Team": "hidden-value"}}, "settings": {"allow_private_network": true}});
        app.owner.post("/api/v1/mcp-servers", body).await.created();
        app.owner.yaml("/api/v1/policies/apply", POLICY).await.ok();
        let channels = json!({"webhook": {"url": "https://grc.example.org/in", "headers": {"X-Key": "hidden-value"}}});
        let hook = json!({"name": "hook", "channel_configs": channels, "workflow_type": "consensus"});
        app.owner.post("/api/v1/approval-workflows", hook).await.created();

        let yaml = app.owner.get("/api/v1/policies/export").await.text;
        assert!(!yaml.contains("hidden-value") && yaml.contains("redacted: true"), "{yaml}");
        let again = app.owner.yaml("/api/v1/policies/apply?prune=true", &yaml).await.ok();
        assert_eq!(again["version_number"], Value::Null, "{again:#}");
        let json = app.owner.get("/api/v1/policies/export?format=json").await.ok();
        let again = app.owner.post("/api/v1/policies/apply", json).await.ok();
        assert_eq!(again["version_number"], Value::Null, "{again:#}");
        let without_time = |text: &str| {
            text.lines()
                .filter(|line| !line.contains("xported at") && !line.contains("created_at"))
                .collect::<Vec<_>>()
                .join("\n")
        };
        assert_eq!(without_time(&app.owner.get("/api/v1/policies/export").await.text), without_time(&yaml));
    }
}

#[tokio::test]
async fn everything_that_is_wrong_is_said_at_once_and_nothing_is_written() {
    let app = App::start().await;
    app.add_mock().await;
    let wrong = r"
metadata: { name: wrong }
tools:
  - name: pay
    source: mock
    approval_workflow: nobody
    conditions:
      - expression: args.amuont > 5
        action: deny
  - name: pya
    source: mocc
    conditoins: []
";
    let validation = app.owner.yaml("/api/v1/policies/validate", wrong).await.ok();
    assert_eq!(validation["is_valid"], false);
    let errors = validation["errors"].as_array().unwrap();
    for (word, line) in [("nobody", 6), ("mocc", 11), ("conditoins", 12)] {
        let error = errors.iter().find(|error| error["message"].as_str().unwrap().contains(word));
        let error = error.unwrap_or_else(|| panic!("{word}: {errors:#?}"));
        assert_eq!(error["line"], line, "{error}");
    }
    let detail = app.owner.yaml("/api/v1/policies/apply", wrong).await.fails(400);
    assert!(detail["errors"].as_array().unwrap().len() >= 3, "{detail:#}");
    let misspelt = POLICY.replace("args.amount > 200", "args.amuont > 200");
    let detail = app.owner.yaml("/api/v1/policies/apply", &misspelt).await.fails(400);
    assert!(detail["errors"][0].to_string().contains("args.amount"), "{detail:#}");
    assert_eq!(app.owner.get("/api/v1/tool-configurations").await.ok(), json!([]));
    assert_eq!(app.owner.get("/api/v1/policies/versions").await.ok()["total"], 0);
}

#[tokio::test]
async fn a_rehearsal_counts_and_writes_nothing() {
    for app in App::each().await {
        app.add_mock().await;
        let form = Form::new().part("file", Part::text(POLICY).file_name("policy.yaml")).text("dry_run", "true");
        let request = app.owner.request(reqwest::Method::POST, "/api/v1/policies/upload").multipart(form);
        let rehearsed = app.owner.send(request).await.ok();
        assert_eq!((&rehearsed["dry_run"], &rehearsed["tools_created"]), (&json!(true), &json!(2)));
        assert_eq!(app.owner.get("/api/v1/tool-configurations").await.ok(), json!([]));
        assert_eq!(app.owner.get("/api/v1/approval-workflows").await.ok().as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn pruning_removes_what_is_not_named_and_a_version_brings_it_back() {
    for app in App::each().await {
        app.add_mock().await;
        app.owner.yaml("/api/v1/policies/apply", POLICY).await.ok();
        let versions = app.owner.get("/api/v1/policies/versions").await.ok();
        let version = format!("/api/v1/policies/versions/{}", versions["versions"][0]["id"].as_str().unwrap());
        let little = "metadata: {name: little}\nmcp_servers: [{name: mock, url: \"URL\", settings: {allow_private_network: true}}]\n"
            .replace("URL", &app.mock.url());
        let kept = app.owner.yaml("/api/v1/policies/apply", &little).await.ok();
        assert_eq!(kept["removed"], 0);
        let pruned = app.owner.yaml("/api/v1/policies/apply?prune=true", &little).await.ok();
        assert_eq!(pruned["removed"], 3, "{pruned:#}");
        let left = app.owner.get("/api/v1/approval-workflows").await.ok();
        assert_eq!(left[0]["is_default"], true, "nobody could be asked without the default");

        let preview = app.owner.post(&format!("{version}/rollback"), json!({"preview_only": true})).await.ok();
        assert_eq!(preview["diff"]["has_changes"], true);
        let back = app.owner.post(&format!("{version}/rollback"), json!({})).await.ok();
        assert_eq!(back["success"], true, "{back:#}");
        assert_eq!(app.owner.get("/api/v1/tool-configurations").await.ok().as_array().unwrap().len(), 2);
        let text = app.owner.get(&version).await.ok();
        assert!(text["policy"].as_str().unwrap().contains("Above the agent limit"));
    }
}

#[tokio::test]
async fn versions_are_named_and_old_ones_removed() {
    for app in App::each().await {
        let versions = "/api/v1/policies/versions";
        for n in 0..4 {
            let document = format!("metadata: {{name: v}}\napproval_workflows: [{{name: w{n}}}]\n");
            app.owner.yaml("/api/v1/policies/apply", &document).await.ok();
        }
        let list = async || app.owner.get(versions).await.ok()["versions"].as_array().unwrap().clone();
        let path = |version: &Value| format!("{versions}/{}", version["id"].as_str().unwrap());
        let all = list().await;
        let (newest, third, second, first) = (path(&all[0]), path(&all[1]), path(&all[2]), path(&all[3]));

        assert_eq!(
            app.owner.put(&format!("{first}/tag"), json!({"tag": "audited-2026"})).await.ok()["tag"],
            "audited-2026"
        );
        app.owner.put(&format!("{second}/tag"), json!({"tag": "audited-2026"})).await.ok();
        assert_eq!(app.owner.get(&first).await.ok()["tag"], Value::Null, "a name moves");
        app.owner.put(&format!("{first}/tag"), json!({"tag": "two words"})).await.fails(422);
        app.owner.put(&format!("{versions}/{}/tag", uuid_of_nothing()), json!({"tag": "x"})).await.fails(404);

        // Nothing is 90 days old; everything is older than now.
        assert_eq!(app.owner.post(&format!("{versions}/prune"), json!({})).await.ok()["deleted_count"], 0);
        let prune = json!({"older_than_days": 0, "keep_count": 1});
        assert_eq!(app.owner.post(&format!("{versions}/prune"), prune).await.ok()["deleted_count"], 2);
        let left: Vec<String> = list().await.iter().map(path).collect();
        assert_eq!(left, [newest.clone(), second.clone()], "the newest and the named stay");
        app.owner.get(&third).await.fails(404);

        assert_eq!(app.owner.delete(&newest).await.status, 400, "it is in force");
        app.owner.delete(&format!("{second}/tag")).await.ok();
        assert_eq!(app.owner.delete(&second).await.status, 204);
        assert_eq!(list().await.len(), 1);
    }
}

fn uuid_of_nothing() -> &'static str {
    "01890000-0000-7000-8000-000000000000"
}

#[tokio::test]
async fn a_document_reads_only_the_variables_it_may() {
    let app = App::start().await;
    let with = |name: &str| {
        format!("metadata: {{name: v}}\nmcp_servers: [{{name: s, url: \"http://127.0.0.1:9/${{{name}}}\"}}]\n")
    };
    // `PATH` is set and must not be read.
    for name in ["PATH", "PRELOOP_POLICY_THAT_IS_NOT_SET"] {
        let reply = app.owner.yaml("/api/v1/policies/apply", &with(name)).await;
        assert!(reply.status.is_client_error() && reply.text.contains(name), "{}", reply.text);
        assert!(!reply.text.contains("/usr/bin"), "{}", reply.text);
    }
    assert_eq!(app.owner.get("/api/v1/mcp-servers").await.ok(), json!([]));
}

#[tokio::test]
async fn a_tool_whose_server_is_missing_can_be_left_out() {
    let app = App::start().await;
    let detail = app.owner.yaml("/api/v1/policies/apply", POLICY).await;
    assert!(detail.status.is_client_error() && detail.text.contains("mock"), "{}", detail.text);
    let skipped = app.owner.yaml("/api/v1/policies/apply?skip_missing_servers=true", POLICY).await.ok();
    assert_eq!((&skipped["tools_skipped"], &skipped["tools_created"]), (&json!(2), &json!(0)));
    assert_eq!(app.owner.get("/api/v1/account/defaults").await.ok()["unknown_tools"], "deny");
}

#[tokio::test]
async fn two_applies_at_once_end_in_one_of_them_whole() {
    for app in App::each().await {
        app.add_mock().await;
        let document = |name: &str| POLICY.replace("Above the agent limit", name).replace("two-eyes", name);
        let documents: Vec<_> = (0..6).map(|n| document(&format!("limit-{n}"))).collect();
        let applies = documents.iter().map(|document| app.owner.yaml("/api/v1/policies/apply", document));
        for reply in futures::future::join_all(applies).await {
            reply.ok();
        }
        let configs = app.owner.get("/api/v1/tool-configurations").await.ok();
        let pay = configs.as_array().unwrap().iter().find(|config| config["tool_name"] == "pay").unwrap();
        let winner = pay["access_rules"][1]["description"].as_str().unwrap();
        let workflows = app.owner.get("/api/v1/approval-workflows").await.ok();
        let workflow = workflows.as_array().unwrap().iter().find(|workflow| workflow["name"] == winner).unwrap();
        assert_eq!(pay["approval_workflow_id"], workflow["id"]);
        assert_eq!(configs.as_array().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn a_lint_names_rules_in_each_others_way_and_calls_that_would_get_further() {
    let app = App::start().await;
    app.add_mock().await;
    app.owner.yaml("/api/v1/policies/apply", POLICY).await.ok();
    let wider =
        POLICY.replace("args.amount > 200", "args.amount > 500").replace("args.amount <= 20", "args.amount <= 600");
    let found: PolicyLint = serde_json::from_value(app.owner.yaml("/api/v1/policies/lint", &wider).await.ok()).unwrap();
    let of = |code: &str| found.findings.iter().filter(|finding| finding.code == code).count();
    assert!(of("widening") >= 1, "{found:#?}");
    let unchanged = app.owner.yaml("/api/v1/policies/lint", POLICY).await.ok();
    assert_eq!(unchanged["findings"], json!([]));
    let alone = app.owner.yaml("/api/v1/policies/lint?against_active=false", &wider).await.ok();
    assert_eq!(alone["findings"], json!([]));
    app.owner.yaml("/api/v1/policies/lint", "metadata: {name: x}\ntools: [{name: 5, conditions: 5}]").await.fails(400);
}

#[tokio::test]
async fn recorded_calls_are_decided_anew() {
    for app in App::each().await {
        app.add_mock().await;
        let person = app.agent().await;
        let agent = Agent::with_key(&app, &person);
        for amount in [5, 50, 5000] {
            agent.call("pay", json!({"amount": amount}), &json!({})).await;
        }
        let replay = async |path: &str| {
            let reply = app.owner.yaml(&format!("/api/v1/policies/replay{path}"), POLICY).await.ok();
            serde_json::from_value::<PolicyReplay>(reply).unwrap()
        };
        let all = replay("").await;
        assert_eq!((all.calls, all.unchanged, all.loosened, all.tightened), (3, 1, 0, 2), "{all:#?}");
        let pay = &all.tools["mock/pay"];
        assert_eq!((pay.before.allow, pay.after.allow, pay.after.require_approval, pay.after.deny), (3, 1, 1, 1));
        assert_eq!((all.asked["two-eyes"].calls, all.asked["two-eyes"].newly), (1, 1));
        let denied = all.changes.iter().find(|change| change.after == "deny").unwrap();
        assert_eq!((denied.after_reason.as_str(), denied.rule), ("Above the agent limit", Some(2)));
        // The newest only.
        assert_eq!(replay("?limit=1").await.calls, 1);
        assert_eq!(replay("?until=2020-01-01T00:00:00Z").await.calls, 0);
        person.yaml("/api/v1/policies/replay", POLICY).await.fails(403);
        assert_eq!(app.owner.get("/api/v1/tool-configurations").await.ok(), json!([]), "nothing is written");
    }
}

#[tokio::test]
async fn a_rule_in_shadow_mode_is_on_record_and_stops_nothing() {
    let app = App::start().await;
    app.add_mock().await;
    let shadow = POLICY
        .replace("action: deny\n", "action: deny\n        shadow: true\n")
        .replace("      - action: require_approval\n", "");
    app.owner.yaml("/api/v1/policies/apply", &shadow).await.ok();
    let exported = app.owner.get("/api/v1/policies/export").await.text;
    assert!(exported.contains("shadow: true"), "{exported}");
    let agent = Agent::of(&app).await;
    let result = agent.call("pay", json!({"amount": 900, "justification": "rent"}), &json!({})).await;
    assert_ne!(result["result"]["isError"], true, "{result}");
    let intents = app.owner.get("/api/v1/audit-logs?kind=call.intent").await.ok();
    let text = intents.to_string();
    assert!(text.contains("\"shadows\":[{") && text.contains("args.amount > 200"), "{text}");
}

#[tokio::test]
async fn the_configuration_is_kept_as_a_version_on_request() {
    for app in App::each().await {
        app.add_mock().await;
        app.owner.yaml("/api/v1/policies/apply", POLICY).await.ok();
        let versions = "/api/v1/policies/versions";
        let kept = app.owner.post(versions, json!({"description": "before the audit", "tag": "audit"})).await.created();
        assert_eq!(
            (&kept["version_number"], &kept["tag"], &kept["is_active"]),
            (&json!(2), &json!("audit"), &json!(true))
        );
        assert_eq!(
            (&kept["mcp_servers_count"], &kept["policies_count"], &kept["tools_count"]),
            (&json!(1), &json!(2), &json!(2))
        );
        assert!(kept["policy"].as_str().unwrap().contains("Above the agent limit"));
        app.owner.post(versions, json!({"tag": "two words"})).await.fails(422);
        let listed = app.owner.get(&format!("{versions}?include_snapshots=true")).await.ok();
        assert_eq!(listed["total"], 2);
        assert!(listed["versions"][1]["policy"].as_str().unwrap().contains("two-eyes"));
        assert_eq!(listed["versions"][0]["created_by_user_id"], listed["versions"][1]["created_by_user_id"]);
    }
}
