//! Results are whole (P7), in whichever era either side speaks.

use preloop_bench::mock::{Eras, Mock, Options};
use preloop_e2e::{Agent, App, Era};
use serde_json::{Value, json};

#[tokio::test]
async fn what_the_tool_answered_is_what_the_agent_gets() {
    let app = App::start().await;
    for (eras, stream, slug) in [
        (Eras::Legacy, false, "old"),
        (Eras::Legacy, true, "old-streamed"),
        (Eras::Modern, false, "new"),
        (Eras::Modern, true, "new-streamed"),
    ] {
        let mock = Mock::start(Options { eras, stream, ..Options::default() }).await.unwrap();
        let slug = app.add_mock(slug, &mock).await;
        let upstream_era = if eras == Eras::Legacy { Era::Legacy } else { Era::Modern };
        let direct = Agent::connect(mock.url(), "none".to_owned(), upstream_era).await;
        for era in Era::ALL {
            let agent = app.agent(era).await.at(format!("{}/mcp/v1/servers/{slug}", app.url())).await;
            for (tool, arguments) in [
                ("rich", json!({})),
                ("echo", json!({ "id": "n", "text": "grüße", "extra": [1, null, { "deep": 1.5 }] })),
                ("fail", json!({})),
                ("ask", json!({})),
                ("count", json!({})),
            ] {
                let (plain, governed) = (direct.call(tool, arguments.clone()).await, agent.call(tool, arguments).await);
                let case = format!("{tool} of {slug} for {era:?}");
                assert_eq!(strip(plain.result()), strip(governed.result()), "{case}");
            }
            let refused = agent.call("refuse", json!({})).await;
            assert!(refused.response.to_string().contains("not today"), "{refused:#?}");
        }
    }
}

#[tokio::test]
async fn progress_reaches_the_agent_while_the_call_runs() {
    let app = App::start().await;
    for (eras, name) in [(Eras::Legacy, "old"), (Eras::Modern, "new")] {
        let mock = Mock::start(Options { eras, ..Options::default() }).await.unwrap();
        let slug = app.add_mock(name, &mock).await;
        for era in Era::ALL {
            let agent = app.agent(era).await.at(format!("{}/mcp/v1/servers/{slug}", app.url())).await;
            let params = json!({ "name": "count", "arguments": {}, "_meta": { "progressToken": 7 } });
            let answer = agent.request("tools/call", params).await;
            let steps: Vec<&Value> = answer
                .notifications
                .iter()
                .filter(|note| note["method"] == "notifications/progress" && note["params"]["progressToken"] == 7)
                .map(|note| &note["params"]["progress"])
                .collect();
            assert_eq!(steps.len(), 3, "{name} for {era:?}: {answer:#?}");
        }
    }
}

/// A result without what belongs to one leg of the way: the era's marks and Preloop's own label.
fn strip(result: &Value) -> Value {
    let mut result = result.clone();
    let members = result.as_object_mut().unwrap();
    members.remove("resultType");
    if let Some(meta) = members.get_mut("_meta").and_then(Value::as_object_mut) {
        meta.retain(|key, _| !key.starts_with("io.modelcontextprotocol/") && !key.contains("preloop"));
        if meta.is_empty() {
            members.remove("_meta");
        }
    }
    result
}
