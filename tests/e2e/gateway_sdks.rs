//! The official SDKs against the provider, directly and through Preloop: whatever serves the model, an
//! agent's SDK must make the same of the answer as if it talked to its own vendor.

use preloop_bench::provider::{Api, Options, Provider};
use preloop_e2e::{Ask, Clients, Family, Gateway, Language, python_and_node, sdk_base};
use serde_json::{Value, json};

const LANGUAGES: [Language; 2] = [Language::Python, Language::TypeScript];

/// The name of an API's SDK in a plan.
fn sdk(api: Api) -> &'static str {
    Family(api).name()
}

/// What every SDK does with every model: the step, and the words in the model's name.
fn steps() -> Vec<(Value, &'static str)> {
    vec![
        (json!({ "do": "ask" }), ""),
        (json!({ "do": "ask", "stream": true }), ""),
        (json!({ "do": "ask" }), "in-100--cached-40"),
        (json!({ "do": "ask", "stream": true }), "in-100--cached-40"),
        (json!({ "do": "tools" }), ""),
        (json!({ "do": "tools", "stream": true }), ""),
        (json!({ "do": "tools" }), "calls-2"),
        (json!({ "do": "tools", "stream": true }), "calls-2"),
        (json!({ "do": "tools", "think": true }), "think"),
        (json!({ "do": "tools", "stream": true, "think": true }), "think"),
        (json!({ "do": "structured" }), ""),
        (json!({ "do": "structured", "stream": true }), ""),
        (json!({ "do": "ask" }), "length"),
        // OpenAI's SDK in Python raises an error of its own.
        (json!({ "do": "fails", "stream": true }), "length"),
        (json!({ "do": "ask", "stream": true }), "bytes"),
        (json!({ "do": "ask", "stream": true }), "split--crlf"),
        (json!({ "do": "ask", "stream": true }), "growing"),
    ]
}

/// The steps as a plan has them, with `name` making a model's name of its words.
fn planned(name: impl Fn(&str) -> String) -> Vec<Value> {
    let named = |(mut step, words): (Value, &str)| {
        step["model"] = json!(name(words));
        step
    };
    steps().into_iter().map(named).collect()
}

async fn run(clients: &Clients, language: Language, api: Api, url: &str, key: &str, steps: &[Value]) -> Vec<Value> {
    let plan = json!({ "sdk": sdk(api), "base_url": sdk_base(url, api), "key": key, "steps": steps });
    clients.model_sdk(language, &plan).await
}

#[tokio::test]
async fn every_sdk_understands_the_provider_itself() {
    let Some(clients) = python_and_node("model SDKs") else { return };
    let provider = Provider::start(Options::default()).await.unwrap();
    for api in Ask::APIS {
        let mut steps = planned(|words| Family(Api::Chat).identifier(words));
        // The one step in which the languages differ.
        steps.retain(|step| step["do"] != "fails");
        steps.push(json!({ "do": "models" }));
        steps.push(json!({ "do": "model", "model": "mock" }));
        steps.push(json!({ "do": "fails", "model": "mock--status-429--retry-1" }));
        steps.push(json!({ "do": "fails", "model": "mock--cut-2", "stream": true }));
        let python = run(&clients, Language::Python, api, &provider.url(), "none", &steps).await;
        let typescript = run(&clients, Language::TypeScript, api, &provider.url(), "none", &steps).await;
        for ((step, python), typescript) in steps.iter().zip(python).zip(typescript) {
            assert!(python.get("failed").is_none(), "{api:?} {step}: {python:#}");
            assert_eq!(python, typescript, "{api:?} {step}");
        }
    }
}

#[tokio::test]
async fn an_sdk_sees_through_preloop_what_it_sees_directly_whoever_serves_the_model() {
    let Some(clients) = python_and_node("model SDKs") else { return };
    let direct = Provider::start(Options::default()).await.unwrap();
    let gateway = Gateway::start().await;
    for family in Family::ALL {
        let mut served = std::collections::BTreeSet::new();
        for (_, words) in steps() {
            if served.insert(words) {
                gateway.serve(family, words).await;
            }
        }
    }
    let mut wrong = Vec::new();
    for api in Ask::APIS {
        for language in LANGUAGES {
            let steps = planned(|words| Family(Api::Chat).identifier(words));
            let expected = run(&clients, language, api, &direct.url(), "none", &steps).await;
            let all: Vec<Value> = Family::ALL.iter().flat_map(|&family| planned(|words| family.alias(words))).collect();
            let seen = run(&clients, language, api, &gateway.app.url(), &gateway.key, &all).await;
            for (n, (step, seen)) in all.iter().zip(&seen).enumerate() {
                let expected = &expected[n % steps.len()];
                if seen != expected {
                    wrong.push(format!("{api:?} {language:?} {step}:\n  direct  {expected}\n  through {seen}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} steps differ:\n{}", wrong.len(), wrong.join("\n"));
    let refused: Vec<String> = gateway.provider.exchanges().into_iter().filter_map(|each| each.refused).collect();
    assert!(refused.is_empty(), "the provider refused what Preloop made: {refused:#?}");
}

#[tokio::test]
async fn an_sdk_raises_through_preloop_the_error_it_raises_directly() {
    let Some(clients) = python_and_node("model SDKs") else { return };
    let direct = Provider::start(Options::default()).await.unwrap();
    let gateway = Gateway::start().await;
    let mut wrong = Vec::new();
    for api in Ask::APIS {
        let mut through = Vec::new();
        for (status, _) in statuses(api) {
            // With a wait that no gateway sits out.
            let words = format!("status-{status}--retry-7");
            through.push(json!({ "do": "fails", "model": gateway.serve(Family(api), &words).await }));
        }
        through.push(json!({ "do": "fails", "model": "no-such-model" }));
        through.push(json!({ "do": "fails", "model": "no-such-model", "key": "pl_wrong" }));
        let model = |status: u16| json!({ "do": "fails", "model": format!("mock--status-{status}") });
        let told = statuses(api).map(|(_, told)| told).into_iter().chain([404, 401]);
        let plain: Vec<Value> = told.map(model).collect();
        for language in LANGUAGES {
            let expected = run(&clients, language, api, &direct.url(), "none", &plain).await;
            let seen = run(&clients, language, api, &gateway.app.url(), &gateway.key, &through).await;
            for ((step, expected), seen) in through.iter().zip(&expected).zip(&seen) {
                if ["error", "status", "message"].iter().any(|member| seen[*member] != expected[*member]) {
                    wrong.push(format!("{api:?} {language:?} {step}:\n  direct  {expected}\n  through {seen}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} errors differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// A provider's status, and the one an agent is told: a wrong provider key is not the agent's fault.
fn statuses(api: Api) -> [(u16, u16); 8] {
    // Anthropic has a status of its own for a provider that has too much to do.
    let overloaded = if api == Api::Messages { 529 } else { 503 };
    [(400, 400), (401, 502), (403, 502), (404, 404), (413, 413), (429, 429), (500, 502), (503, overloaded)]
}

#[tokio::test]
async fn a_stream_that_breaks_is_an_error_in_every_sdk() {
    let Some(clients) = python_and_node("model SDKs") else { return };
    let gateway = Gateway::start().await;
    for api in Ask::APIS {
        let mut steps = Vec::new();
        for words in ["cut-2", "error-2", "unfinished"] {
            let model = gateway.serve(Family(api), words).await;
            steps.push(json!({ "do": "fails", "stream": true, "model": model }));
        }
        for language in LANGUAGES {
            let seen = run(&clients, language, api, &gateway.app.url(), &gateway.key, &steps).await;
            for (step, seen) in steps.iter().zip(&seen) {
                assert!(seen["error"].is_string(), "{api:?} {language:?} {step} looks whole: {seen}");
                if (api, language) == (Api::Messages, Language::Python) {
                    // Torn frames included: this SDK has a type for it.
                    assert!(seen["status"].is_number(), "{language:?} {step}: {seen}");
                }
            }
        }
    }
}

#[tokio::test]
async fn lists_counts_and_vectors_come_in_every_dialect() {
    let Some(clients) = python_and_node("model SDKs") else { return };
    let gateway = Gateway::start().await;
    let mut aliases = Vec::new();
    for family in Family::ALL {
        aliases.push(gateway.serve(family, "").await);
    }
    aliases.sort();
    for api in Ask::APIS {
        let own = Family(api).alias("");
        let embedding = if api == Api::Gemini { "gemini.mock" } else { "chat.mock" };
        let mut steps = vec![json!({ "do": "models" }), json!({ "do": "model", "model": own })];
        match api {
            Api::Messages => steps.push(json!({ "do": "count", "model": own })),
            Api::Gemini => {
                steps.push(json!({ "do": "embed", "model": embedding }));
                steps.push(json!({ "do": "count", "model": own }));
            }
            _ => steps.push(json!({ "do": "embed", "model": embedding })),
        }
        for language in LANGUAGES {
            let seen = run(&clients, language, api, &gateway.app.url(), &gateway.key, &steps).await;
            let case = format!("{api:?} {language:?}: {seen:#?}");
            assert_eq!(seen[0], json!(aliases), "{case}");
            assert_eq!(seen[1], json!(own), "{case}");
            for (step, seen) in steps.iter().zip(&seen).skip(2) {
                if step["do"] == "count" {
                    assert_eq!(*seen, json!(11), "{case}");
                } else {
                    assert_eq!(seen["vectors"][0], json!([0.1, -0.2, 0.3]), "{case}");
                }
            }
        }
    }
}
