//! A provider's key is known to the provider and to nobody else (P8).

use std::fmt::Write;

use preloop_bench::provider::{Api, Options};
use preloop_e2e::{Ask, Family, Gateway, PROVIDER_KEY, Setup};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn a_providers_key_is_in_no_answer_log_export_or_file() {
    let setup = Setup { env: vec![("LOG_LEVEL".to_owned(), "trace".to_owned())], ..Setup::default() };
    let gateway = Gateway::start_with(setup, Gateway::locked(Options::default())).await;
    let mut heard = String::new();
    for api in Ask::APIS {
        for family in Family::ALL {
            // The last says the key it was given in its own error.
            for words in ["", "cut-1", "status-400--leak", "status-500--leak"] {
                let alias = gateway.serve(family, words).await;
                for stream in [false, true] {
                    let response = gateway.send(&Ask::new(api, &alias, stream)).await;
                    writeln!(heard, "{:?}", response.headers()).unwrap();
                    heard += &String::from_utf8_lossy(&response.bytes().await.unwrap_or_default());
                }
                let models = gateway.app.owner().send(Method::GET, "/api/v1/ai-models", None).await.1;
                let id = models.as_array().into_iter().flatten().find(|model| model["alias"] == alias.as_str());
                if let Some(id) = id.and_then(|model| model["id"].as_str()) {
                    let path = format!("/api/v1/ai-models/{id}");
                    assert!(gateway.app.owner().send(Method::DELETE, &path, None).await.0.is_success());
                }
                heard += &models.to_string();
            }
        }
    }
    gateway.outcomes().await;
    heard += &gateway.app.owner().export().await;
    heard += &gateway.app.owner().get("/api/v1/audit-logs?limit=100").await.to_string();

    assert!(!heard.contains(PROVIDER_KEY), "{}", around(&heard));
    let log = gateway.app.log();
    assert!(!log.contains(PROVIDER_KEY), "the log: {}", around(&log));
    for file in std::fs::read_dir(gateway.app.data_dir()).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap_or_default();
        let found = bytes.windows(PROVIDER_KEY.len()).any(|window| window == PROVIDER_KEY.as_bytes());
        assert!(!found, "{}", path.display());
    }
    let seen = gateway.provider.exchanges();
    assert!(
        seen.iter().all(|exchange| !format!("{:?}", exchange.headers).contains(&gateway.key)),
        "nor is the agent's"
    );
}

#[tokio::test]
async fn nothing_of_the_agents_own_request_betrays_it_to_the_provider() {
    let gateway = Gateway::start().await;
    for api in Ask::APIS {
        let alias = gateway.serve(Family(api), "").await;
        let request = gateway.request(&Ask::new(api, &alias, false));
        let request = request.header("cookie", "session=agent").header("x-forwarded-for", "10.1.2.3");
        assert_eq!(request.header("proxy-authorization", "Basic agent").send().await.unwrap().status(), 200);
        let exchange = gateway.ended(&Family(api).identifier("")).await;
        for name in ["cookie", "proxy-authorization", "x-forwarded-for"] {
            assert!(exchange.header(name).is_none(), "{api:?}: {name}");
        }
        assert!(!format!("{:?} {}", exchange.headers, exchange.path).contains(&gateway.key), "{api:?}");
    }
}

#[tokio::test]
async fn a_key_in_a_url_is_taken_and_never_written_down() {
    let gateway = Gateway::start().await;
    let alias = gateway.serve(Family(Api::Gemini), "").await;
    let url = format!("{}/gemini/v1beta/models/{alias}:generateContent?key={}", gateway.app.url(), gateway.key);
    let body = json!({ "contents": [{ "parts": [{ "text": "hello" }] }] });

    let response = reqwest::Client::builder().no_proxy().build().unwrap().post(url).json(&body).send().await.unwrap();

    assert_eq!(response.status(), 200);
    assert!(!gateway.app.log().contains(&gateway.key));
    assert!(!gateway.provider.exchanges()[0].path.contains(&gateway.key));
}

fn around(text: &str) -> &str {
    let at = text.find(PROVIDER_KEY).unwrap_or_default();
    text.get(at.saturating_sub(200)..(at + 100).min(text.len())).unwrap_or_default()
}
