//! Never a cent over (P4), and every call on record (P1): the ledger against the provider's own bill.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use preloop_bench::provider::Api;
use preloop_e2e::{Ask, Family, Gateway, cost, read_until};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const DOLLAR: u64 = 1_000_000_000;

/// What the provider charges by default, as a model's pricing says it.
pub(crate) fn pricing() -> Value {
    json!({
        "input": "3", "output": "15", "cache_read": "0.3", "cache_write_5m": "3.75", "cache_write_1h": "6",
        "reasoning": "15",
    })
}

/// A model of which an answer of a thousand tokens costs one cent, and a prompt nothing.
fn cent() -> Value {
    json!({ "pricing": { "input": "0", "output": "10" }, "settings": { "context_window": 100_000, "max_output": 1_000 } })
}

async fn hard_limit(gateway: &Gateway, dollars: &str) {
    let budget = json!({ "subject_type": "account", "period": "all_time", "hard_limit_usd": dollars });
    gateway.app.owner().post("/api/v1/budgets", budget).await;
}

#[tokio::test]
async fn the_ledger_is_the_providers_own_bill_to_the_nano_dollar() {
    let gateway = Gateway::start().await;
    let words = [
        "in-12345--out-678",
        "in-1--out-1",
        "in-1000--cached-50000--out-333",
        "in-77--written-1024--written1h-2048--out-5--cached-3",
        "think--reasoning-999--out-31--in-7",
        "growing--in-501--out-499",
        "status-503--first-1--in-9--out-9",
    ];
    for family in Family::ALL {
        for words in words {
            // Only Anthropic's API tells how long a cache entry lives.
            if words.contains("written") && family != Family(Api::Messages) {
                continue;
            }
            let alias = gateway.serve_with(family, words, json!({ "pricing": pricing() })).await;
            for api in Ask::APIS {
                for stream in [false, true] {
                    let (status, answer) = gateway.ask(&Ask::new(api, &alias, stream)).await;
                    let case = format!("{alias} over {api:?} stream {stream}");
                    assert_eq!(status, 200, "{case}: {}", String::from_utf8_lossy(&answer));
                }
            }
        }
    }

    let outcomes = gateway.outcomes().await;

    for outcome in &outcomes {
        assert_eq!(outcome["usage_source"], "provider", "{outcome:#}");
        assert_eq!(outcome["cost_source"], "model_config", "{outcome:#}");
    }
    let mut wrong = Vec::new();
    for family in Family::ALL {
        for words in words {
            let identifier = family.identifier(words);
            let alias = family.alias(words);
            // Both OpenAI families have their own identifiers; others share one.
            let path = if family == Family(Api::Converse) { "/bedrock" } else { family.0.base() };
            let exchanges = gateway.provider.asked_for(&identifier);
            let exchanges = exchanges.iter().filter(|each| each.path.starts_with(path));
            let billed: u64 = exchanges.map(|exchange| gateway.provider.cost(exchange)).sum();
            let booked: u64 = outcomes.iter().filter(|outcome| outcome["model"] == alias.as_str()).map(cost).sum();
            if billed != booked {
                wrong.push(format!("{alias}: billed {billed}, booked {booked}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(outcomes.iter().map(cost).sum::<u64>(), gateway.provider.bill());
}

#[tokio::test]
async fn numbers_that_the_provider_did_not_give_are_called_what_they_are() {
    let gateway = Gateway::start().await;
    for family in Family::ALL {
        let alias = gateway.serve_with(family, "nousage", json!({ "pricing": pricing() })).await;
        assert_eq!(gateway.ask(&Ask::new(Api::Chat, &alias, true)).await.0, 200);
    }
    for outcome in gateway.outcomes().await {
        assert_eq!(outcome["status"], "succeeded", "{outcome:#}");
        assert!(["estimated", "bound"].contains(&outcome["usage_source"].as_str().unwrap()), "{outcome:#}");
    }
}

#[tokio::test]
async fn a_model_without_a_price_is_served_and_stays_visibly_unpriced() {
    let gateway = Gateway::start().await;
    let alias = gateway.serve(Family(Api::Chat), "").await;

    assert_eq!(gateway.ask(&Ask::new(Api::Chat, &alias, false)).await.0, 200);

    let outcome = &gateway.outcomes().await[0];
    assert!(outcome.get("cost").is_none_or(Value::is_null), "{outcome:#}");
    assert_eq!(outcome["cost_source"], "unpriced", "{outcome:#}");
}

#[tokio::test]
async fn two_hundred_calls_at_once_spend_a_dollar_and_not_a_cent_more() {
    let gateway = Arc::new(Gateway::start().await);
    let alias = gateway.serve_with(Family(Api::Messages), "wait-20--in-0--out-1000", cent()).await;
    hard_limit(&gateway, "1.00").await;
    let mut calls = JoinSet::new();
    for n in 0..200 {
        let (gateway, alias) = (gateway.clone(), alias.clone());
        calls.spawn(async move { gateway.ask(&Ask::new(Api::Messages, &alias, n % 2 == 0)).await });
    }
    let answers = calls.join_all().await;

    let served = answers.iter().filter(|(status, _)| *status == 200).count();
    for (status, answer) in &answers {
        let said = String::from_utf8_lossy(answer);
        assert!(*status == 200 || (*status == 403 && said.contains("budget")), "{status} {said}");
    }
    assert_eq!(served, 100, "each call reserves one cent");
    assert_eq!(gateway.provider.exchanges().len(), 100, "a refused call reaches nobody");
    assert_eq!(gateway.outcomes().await.iter().map(cost).sum::<u64>(), DOLLAR);
    assert_eq!(gateway.ask(&Ask::new(Api::Messages, &alias, false)).await.0, 403);
}

#[tokio::test]
async fn what_a_provider_may_charge_for_is_booked_and_not_asked_for_twice() {
    let gateway = Gateway::start().await;
    let alias = gateway.serve_with(Family(Api::Chat), "html--ok", cent()).await;
    hard_limit(&gateway, "1.00").await;

    assert_eq!(gateway.ask(&Ask::new(Api::Chat, &alias, false)).await.0, 502);

    assert_eq!(gateway.provider.exchanges().len(), 1);
    assert_eq!(gateway.outcomes().await.iter().map(cost).sum::<u64>(), 10_000_000);
}

#[tokio::test]
async fn an_answer_that_fails_on_its_way_or_is_blocked_is_booked_at_what_is_known_or_at_its_bound() {
    let gateway = Gateway::start().await;
    let failing = gateway.serve_with(Family(Api::Messages), "error-2--in-0", cent()).await;
    let saying = gateway.serve_with(Family(Api::Messages), "frames-30--in-0--out-100", cent()).await;
    hard_limit(&gateway, "1.00").await;
    assert_eq!(gateway.ask(&Ask::new(Api::Messages, &failing, true)).await.0, 200);
    assert_eq!(gateway.ask(&Ask::new(Api::Chat, &failing, true)).await.0, 200);
    let rule = json!({ "name": "words", "detect": [{ "pattern": "wörd 7" }], "action": "deny", "on": "response" });
    let guarded = Some(json!({ "guardrails": { "rules": [rule] } }));
    let path = "/api/v1/account/model-settings";
    let (status, reply) = gateway.app.owner().send(reqwest::Method::PUT, path, guarded).await;
    assert!(status.is_success(), "{reply:#}");
    gateway.ask(&Ask::new(Api::Messages, &saying, true)).await;
    assert_eq!(gateway.ask(&Ask::new(Api::Messages, &saying, false)).await.0, 400);

    let outcomes = gateway.outcomes().await;
    let booked: Vec<_> = outcomes.iter().map(|each| (each["status"].as_str().unwrap(), cost(each))).collect();
    let (whole, bound) = (1_000_000, 10_000_000);
    let (failed, blocked) = ("upstream_error", "guardrail_blocked");
    assert_eq!(booked, [(failed, bound), (failed, bound), (blocked, bound), (blocked, whole)], "{outcomes:#?}");
    assert!(outcomes[..3].iter().all(|each| each["cost_source"] == "bound"), "{outcomes:#?}");
}

#[tokio::test]
async fn a_wrong_price_is_repaired_and_nothing_is_rewritten() {
    let gateway = Gateway::start().await;
    // A digit too many: an answer of a hundred tokens costs a cent instead of a tenth of it.
    let wrong = json!({ "pricing": { "input": "0", "output": "100" }, "settings": { "max_output": 1_000 } });
    let alias = gateway.serve_with(Family(Api::Chat), "in-0--out-100", wrong).await;
    let free = gateway.serve(Family(Api::Messages), "in-0--out-100").await;
    let put = json!({ "on_unpriced": "warn" });
    let path = "/api/v1/account/model-settings";
    assert!(gateway.app.owner().send(reqwest::Method::PUT, path, Some(put)).await.0.is_success());
    hard_limit(&gateway, "1.00").await;
    for _ in 0..3 {
        assert_eq!(gateway.ask(&Ask::new(Api::Chat, &alias, false)).await.0, 200);
    }
    assert_eq!(gateway.ask(&Ask::new(Api::Messages, &free, true)).await.0, 200);
    let before = gateway.outcomes().await;
    let spent = async || {
        let budgets = gateway.app.owner().get("/api/v1/budgets").await;
        cost(&json!({ "cost": budgets[0]["state"][0]["spent"] }))
    };
    let booked = async || {
        let total = gateway.app.owner().get("/api/v1/cost/summary").await;
        (total["cost_usd"].clone(), total["unpriced_request_count"].clone())
    };
    assert_eq!((spent().await, booked().await), (30_000_000, (json!("0.03"), json!(1))));

    let price = json!({ "model": "*", "rates": { "input": "0", "output": "10" } });
    gateway.app.owner().post("/api/v1/price-overrides", price).await;
    let dry = gateway.app.command(&["prices", "repair", "--since", "1h", "--dry-run"]).await;
    assert_eq!((spent().await, gateway.records("model.repriced").await.len()), (30_000_000, 0), "{dry:?}");
    let (done, said) = gateway.app.command(&["prices", "repair", "--since", "1h", "--reason", "contract"]).await;
    assert!(done && said.contains("4 of 4 calls cost now $0.004 instead of $0.03"), "{said}");
    let (_, again) = gateway.app.command(&["prices", "repair", "--since", "1h"]).await;
    assert!(again.contains("0 of 4 calls"), "{again}");

    assert_eq!((spent().await, booked().await), (4_000_000, (json!("0.004"), json!(0))));
    assert_eq!(gateway.outcomes().await, before, "what was recorded stays");
    let repriced = gateway.records("model.repriced").await;
    assert_eq!(repriced.len(), 4);
    assert!(repriced.iter().all(|record| record["body"]["cost"] == "0.001" && record["body"]["reason"] == "contract"));
    let calls = gateway.app.owner().get("/api/v1/account/gateway-usage/search").await;
    assert!(calls["items"].as_array().unwrap().iter().all(|call| call["cost_usd"] == "0.001"), "{calls:#}");
    let (verified, said) = gateway.app.command(&["audit", "verify"]).await;
    assert!(verified, "{said}");
}

#[tokio::test]
async fn what_a_call_did_not_use_is_free_for_the_next() {
    let gateway = Gateway::start().await;
    // Reserves a cent, uses a tenth of it.
    let alias = gateway.serve_with(Family(Api::Chat), "in-0--out-100", cent()).await;
    hard_limit(&gateway, "0.05").await;
    let mut served = 0;
    while gateway.ask(&Ask::new(Api::Chat, &alias, false)).await.0 == 200 {
        served += 1;
        assert!(served <= 50, "five cents buy at most fifty calls");
        gateway.outcomes().await;
    }
    // The last four tenths of a cent cannot bear what a call might cost.
    assert!((40..=50).contains(&served), "{served}");
}

#[tokio::test]
async fn no_abort_and_no_crash_spends_more_than_the_budget_or_keeps_any_of_it() {
    let mut gateway = Gateway::start().await;
    let words = "frames-5--stall-10--in-0--out-1000";
    let alias = gateway.serve_with(Family(Api::Chat), words, cent()).await;
    hard_limit(&gateway, "1.00").await;
    let sent = Arc::new(std::sync::Mutex::new(Vec::new()));
    for round in 0..4_u64 {
        let stop = Arc::new(AtomicBool::new(false));
        let mut agents = JoinSet::new();
        for n in 0..24_u64 {
            let (alias, stop, sent) = (alias.clone(), stop.clone(), sent.clone());
            let requests: Vec<_> = (0..6)
                .map(|call| {
                    let words = format!("call {round}/{n}/{call}");
                    let ask = Ask::saying(Api::Chat, &alias, true, &words);
                    (words, gateway.request(&ask))
                })
                .collect();
            agents.spawn(async move {
                for (call, (words, request)) in requests.into_iter().enumerate() {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let Ok(mut response) = request.send().await else { continue };
                    if response.status() == 200 {
                        sent.lock().unwrap().push(words);
                    }
                    // Every third agent leaves in the middle.
                    let leaves = (n + call as u64).is_multiple_of(3);
                    read_until(&mut response, |read| leaves && read.len() > 300).await;
                }
            });
        }
        tokio::time::sleep(Duration::from_millis(60 + 70 * round)).await;
        gateway.app.kill().await;
        stop.store(true, Ordering::Relaxed);
        agents.join_all().await;
        gateway.app.revive().await;
    }
    // Whatever is left is spent to its end.
    while gateway.ask(&Ask::new(Api::Chat, &alias, false)).await.0 == 200 {}

    let outcomes = gateway.outcomes().await;
    let spent: u64 = outcomes.iter().map(cost).sum();
    assert!(spent <= DOLLAR, "{spent} nano-dollars of one dollar");
    let billed = gateway.provider.exchanges().len() as u64 * 10_000_000;
    assert!(billed <= spent, "calls of {billed} nano-dollars reached the provider, {spent} are booked");
    assert!(spent + 10_000_000 > DOLLAR, "{spent}: a reservation was kept after its call ended");
    // A whole answer costs a cent; a number that is not the provider's says so.
    for outcome in &outcomes {
        match (outcome["status"].as_str().unwrap(), outcome["usage_source"].as_str().unwrap_or_default()) {
            ("succeeded", "provider") | ("unknown", _) => assert_eq!(cost(outcome), 10_000_000, "{outcome:#}"),
            ("disconnected" | "truncated", source) => assert_ne!(source, "", "{outcome:#}"),
            // Every token was told before the agent left.
            (_, source) => assert!(source == "provider" || cost(outcome) == 0, "{outcome:#}"),
        }
    }
    let budgets = gateway.app.owner().get("/api/v1/budgets").await;
    let state = &budgets[0]["state"][0];
    assert_eq!(cost(&json!({ "cost": state["spent"] })), spent, "{budgets:#}");
    assert_eq!(cost(&json!({ "cost": state["reserved"] })), 0, "{budgets:#}");

    let intents = gateway.records("model.intent").await.len();
    let exchanges = gateway.provider.exchanges();
    assert!(exchanges.len() > 20, "the load was no load: {}", exchanges.len());
    assert!(intents >= exchanges.len(), "{} calls reached the provider, {intents} are on record", exchanges.len());
    let unrecorded = unrecorded(&gateway, &alias, words).await;
    assert!(unrecorded.is_empty(), "calls without a record: {unrecorded:?}");
}

/// Calls that reached the provider and of whose bodies the journal has no hash.
async fn unrecorded(gateway: &Gateway, alias: &str, words: &str) -> Vec<String> {
    let identifier = Family(Api::Chat).identifier(words);
    let intents = gateway.records("model.intent").await;
    let hashes: HashSet<&str> = intents.iter().map(|intent| intent["body"]["request_hash"].as_str().unwrap()).collect();
    let exchanges = gateway.provider.exchanges().into_iter();
    let asked = exchanges.map(|each| String::from_utf8_lossy(&each.body).replace(&identifier, alias));
    asked.filter(|body| !hashes.contains(sha256(body).as_str())).collect()
}

fn sha256(text: &str) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}
