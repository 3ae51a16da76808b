//! Claude Code, Codex, Gemini CLI and OpenCode do a task of two turns with one tool call: first against
//! the mocks, which proves the mocks, then with model and tools both behind Preloop.

use std::path::Path;

use preloop_bench::{
    mock::{self, Mock},
    provider::{Api, FINAL, Options, Provider, Script},
};
use preloop_e2e::{CodingAgent, Endpoints, Family, Gateway, Setup, coding_agents, cost, node, python_and_node};
use serde_json::json;

use crate::gateway_money::pricing;

const PROMPT: &str = "Call the tool echo once with the text ping-4711, then repeat what it said.";
const TEXT: &str = "ping-4711";

/// A provider that wants the tool `echo` called, whatever the agent names it.
async fn provider(models: &[&str]) -> Provider {
    let script =
        Script { tool: Some("echo".to_owned()), arguments: json!({ "text": TEXT, "id": "task" }), ..Script::default() };
    let models = models.iter().map(|&name| name.to_owned()).collect();
    Provider::start(Options { script, models, ..Options::default() }).await.unwrap()
}

/// Runs every agent and checks that each called the tool once and told the result.
async fn all_do_the_task(packages: &Path, node: &Path, mock: &Mock, endpoints: &Endpoints, model: &str) {
    for agent in CodingAgent::ALL {
        let before = mock.count("task");
        let said = agent.run(packages, node, endpoints, model, PROMPT).await;
        assert!(said.contains(FINAL) && said.contains(TEXT), "{agent:?} did not get to the end:\n{said}");
        assert_eq!(mock.count("task") - before, 1, "{agent:?}: calls of the tool\n{said}");
    }
}

#[tokio::test]
async fn coding_agents_do_the_task_on_the_mocks() {
    let Some(packages) = coding_agents("coding agents") else { return };
    let Some(clients) = python_and_node("coding agents") else { return };
    let provider = provider(&["mock"]).await;
    let mock = Mock::start(mock::Options::default()).await.unwrap();
    let endpoints = Endpoints {
        openai: provider.base(Api::Chat),
        anthropic: format!("{}/anthropic", provider.url()),
        gemini: format!("{}/gemini", provider.url()),
        mcp: mock.url(),
        key: "none".to_owned(),
    };

    all_do_the_task(&packages, &node(&clients.node_folder), &mock, &endpoints, "mock").await;

    let refused: Vec<_> = provider
        .exchanges()
        .into_iter()
        .filter_map(|exchange| exchange.refused.map(|why| (exchange.path, why)))
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

/// Every agent through Preloop, with models that `family` serves.
async fn all_do_the_task_behind_preloop(family: Family) {
    let Some(packages) = coding_agents("coding agents") else { return };
    let Some(clients) = python_and_node("coding agents") else { return };
    let script =
        Script { tool: Some("echo".to_owned()), arguments: json!({ "text": TEXT, "id": "task" }), ..Script::default() };
    let gateway =
        Gateway::start_with(Setup::default(), Gateway::locked(Options { script, ..Options::default() })).await;
    let mock = Mock::start(mock::Options::default()).await.unwrap();
    gateway.app.add_mock("probe", &mock).await;
    let endpoints = Endpoints {
        openai: gateway.sdk_base(Api::Chat),
        anthropic: gateway.sdk_base(Api::Messages),
        gemini: gateway.sdk_base(Api::Gemini),
        mcp: format!("{}/mcp/v1", gateway.app.url()),
        key: gateway.key.clone(),
    };
    // Codex offers a web search of OpenAI's own, which no other provider has.
    let lenient = json!({ "settings": { "on_unsupported": "drop" }, "pricing": pricing() });
    let model = gateway.serve_with(family, "", lenient).await;

    all_do_the_task(&packages, &node(&clients.node_folder), &mock, &endpoints, &model).await;

    let refused: Vec<String> = gateway.provider.exchanges().into_iter().filter_map(|each| each.refused).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let outcomes = gateway.outcomes().await;
    assert!(outcomes.len() >= 2 * CodingAgent::ALL.len(), "{outcomes:#?}");
    let tools = gateway.records("call.intent").await;
    assert_eq!(tools.len(), CodingAgent::ALL.len(), "every call of a tool is on record too");
    let (booked, billed) = (outcomes.iter().map(cost).sum::<u64>(), gateway.provider.bill());
    // An agent may leave before an answer is whole; then the record says that its numbers are not the provider's.
    let is_partial = outcomes.iter().any(|outcome| outcome["usage_source"] != "provider");
    assert!(booked == billed || is_partial, "booked {booked}, billed {billed}: {outcomes:#?}");
}

#[tokio::test]
async fn coding_agents_do_the_task_behind_preloop_on_chat_completions() {
    all_do_the_task_behind_preloop(Family(Api::Chat)).await;
}

#[tokio::test]
async fn coding_agents_do_the_task_behind_preloop_on_responses() {
    all_do_the_task_behind_preloop(Family(Api::Responses)).await;
}

#[tokio::test]
async fn coding_agents_do_the_task_behind_preloop_on_messages() {
    all_do_the_task_behind_preloop(Family(Api::Messages)).await;
}

#[tokio::test]
async fn coding_agents_do_the_task_behind_preloop_on_gemini() {
    all_do_the_task_behind_preloop(Family(Api::Gemini)).await;
}

#[tokio::test]
async fn coding_agents_do_the_task_behind_preloop_on_bedrock() {
    all_do_the_task_behind_preloop(Family(Api::Converse)).await;
}
