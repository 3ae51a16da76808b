//! Every provider of the registry, asked in every dialect.

use preloop_bench::provider::{AWS_SECRET, Api, Options, TEXT};
use preloop_e2e::{Ask, Gateway, PROVIDER_KEY, Setup, text_of};
use serde_json::{Value, json};

/// A model of the provider `name`, served by the mock; none for those that need a login elsewhere.
fn model(gateway: &Gateway, name: &str) -> Option<Value> {
    let base = |api: Api| gateway.provider.base(api);
    let key = json!({ "api_key": PROVIDER_KEY });
    let (endpoint, credentials, settings) = match name {
        // Its tokens come from an OAuth server, which the provider's own tests have.
        "vertex" => return None,
        "anthropic" | "anthropic-compatible" => (base(Api::Messages), key, json!({})),
        "google" => (base(Api::Gemini), key, json!({})),
        "azure" => (gateway.provider.url(), key, json!({ "provider": { "api_version": "2024-10-21" } })),
        "bedrock" => {
            let pair = json!({ "access_key_id": PROVIDER_KEY, "secret_access_key": AWS_SECRET });
            (base(Api::Converse), pair, json!({ "provider": { "region": "eu-central-1" } }))
        }
        _ => (base(Api::Chat), key, json!({})),
    };
    // A colon, as Bedrock's names have, which is encoded in a path.
    let identifier = if name == "bedrock" { "mock.model-v1:0" } else { "mock" };
    Some(json!({
        "alias": name, "provider": name, "identifier": identifier, "endpoint": endpoint, "credentials": credentials,
        "settings": settings,
    }))
}

#[tokio::test]
async fn every_provider_answers_in_every_dialect() {
    // Some providers have no credentials at all, so it must not want any.
    let gateway = Gateway::start_with(Setup::default(), Options::default()).await;
    let providers = gateway.app.owner().get("/api/v1/ai-models/providers").await;
    let names: Vec<&str> = providers.as_array().unwrap().iter().filter_map(|each| each["name"].as_str()).collect();
    assert!(names.len() >= 20, "{names:?}");
    let mut wrong = Vec::new();
    for name in names {
        let Some(mut body) = model(&gateway, name) else { continue };
        let known = providers.as_array().unwrap().iter().find(|each| each["name"] == name).unwrap();
        let open = known["credentials"].as_array().unwrap().is_empty();
        if open {
            body["credentials"] = json!({});
        }
        gateway.add(body).await;
        gateway.provider.forget();
        for api in Ask::APIS {
            for stream in [false, true] {
                let (status, answer) = gateway.ask(&Ask::new(api, name, stream)).await;
                if status != 200 || text_of(api, &answer) != (TEXT.to_owned(), true) {
                    wrong
                        .push(format!("{name} {api:?} stream {stream}: {status} {}", String::from_utf8_lossy(&answer)));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
