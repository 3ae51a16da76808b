//! Providers as an upstream sees them: where each request goes, with which headers, and what is
//! different in its body; and what a model's owner is told when it cannot go anywhere.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::needless_pass_by_value, reason = "JSON is written where it is used")]

use std::{collections::BTreeSet, fmt::Write};

use http::{HeaderMap, Request};
use preloop_dialects::{Dialect, Operation};
use preloop_gateway::providers::{
    Credential, Delivery, Outgoing, ProviderError, Secrets, Upstream, all, check, provider, quirks,
};
use preloop_types::{Model, Timestamp};
use serde_json::{Value, json};

use Delivery::{Array, Events, Whole};
use Dialect::{Chat, Converse, Gemini, Messages, Responses};
use Operation::{CountTokens, Embed, Generate};

fn model(provider: &str, identifier: &str, endpoint: Option<&str>, settings: Value) -> Model {
    let model = json!({
        "id": "01997ed2-54ba-7eb9-b7ae-d0b6d1a5a2a1", "alias": "m", "provider": provider, "identifier": identifier,
        "endpoint": endpoint, "enabled": true, "is_default": false, "tags": [], "settings": settings,
        "created_at": "2026-11-20T00:00:00Z", "updated_at": "2026-11-20T00:00:00Z",
    });
    serde_json::from_value(model).unwrap()
}

fn secrets(given: &[(&str, &str)]) -> Secrets {
    given.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect()
}

const KEY: &[(&str, &str)] = &[("api_key", "k")];

/// A request for an answer.
fn outgoing<'a>(model: &'a Model, secrets: &'a Secrets, dialect: Dialect, delivery: Delivery) -> Outgoing<'a> {
    Outgoing { model, secrets, dialect, operation: Operation::Generate, delivery, method: None, agent_headers: None }
}

fn ask(call: &Outgoing<'_>) -> Result<Upstream, ProviderError> {
    provider(&call.model.provider).unwrap().request(call)
}

/// The URL, and the headers that not every request has.
fn shown(upstream: &Upstream) -> String {
    let mut text = upstream.uri.to_string();
    let mut headers: Vec<_> = upstream.headers.iter().collect();
    headers.sort_by_key(|(name, _)| name.as_str());
    for (name, value) in headers {
        if !["content-type", "accept", "accept-encoding", "user-agent"].contains(&name.as_str()) {
            write!(text, " | {name}: {}", value.to_str().unwrap()).unwrap();
        }
    }
    text
}

#[test]
fn every_provider_is_asked_in_its_own_way() {
    let none = || json!({});
    let local = "http://127.0.0.1:9/v1";
    let bearer = |url: &str| format!("{url} | authorization: Bearer k");
    let anthropic = |url: &str| format!("{url} | anthropic-version: 2023-06-01 | x-api-key: k");
    let compatible = |provider: &'static str, base: &str| {
        (model(provider, "m-1", None, none()), Chat, Whole, bearer(&format!("{base}/chat/completions")))
    };
    let with = |provider: &str, identifier: &str, settings: Value| {
        model(provider, identifier, None, json!({ "provider": settings }))
    };
    let cases = vec![
        compatible("alibaba", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1"),
        compatible("cerebras", "https://api.cerebras.ai/v1"),
        compatible("deepinfra", "https://api.deepinfra.com/v1/openai"),
        compatible("deepseek", "https://api.deepseek.com/v1"),
        compatible("fireworks", "https://api.fireworks.ai/inference/v1"),
        compatible("groq", "https://api.groq.com/openai/v1"),
        compatible("llamacpp", "http://127.0.0.1:8080/v1"),
        compatible("lmstudio", "http://127.0.0.1:1234/v1"),
        compatible("mistral", "https://api.mistral.ai/v1"),
        compatible("moonshot", "https://api.moonshot.ai/v1"),
        compatible("nvidia", "https://integrate.api.nvidia.com/v1"),
        compatible("ollama", "http://127.0.0.1:11434/v1"),
        compatible("openai", "https://api.openai.com/v1"),
        compatible("openrouter", "https://openrouter.ai/api/v1"),
        compatible("perplexity", "https://api.perplexity.ai"),
        compatible("sglang", "http://127.0.0.1:30000/v1"),
        compatible("together", "https://api.together.xyz/v1"),
        compatible("vllm", "http://127.0.0.1:8000/v1"),
        compatible("xai", "https://api.x.ai/v1"),
        compatible("zai", "https://api.z.ai/api/paas/v4"),
        (model("openai", "gpt-5", None, none()), Responses, Events, bearer("https://api.openai.com/v1/responses")),
        (model("openai", "x", Some(local), none()), Responses, Events, bearer("http://127.0.0.1:9/v1/responses")),
        (
            with("openai", "gpt-5", json!({"organization": "org-1", "project": "p"})),
            Chat,
            Whole,
            "https://api.openai.com/v1/chat/completions | authorization: Bearer k | openai-organization: org-1 \
             | openai-project: p"
                .to_owned(),
        ),
        (
            with("openrouter", "a/b", json!({"title": "Preloop", "referer": "https://x.example"})),
            Chat,
            Whole,
            "https://openrouter.ai/api/v1/chat/completions | authorization: Bearer k | referer: https://x.example \
             | x-title: Preloop"
                .to_owned(),
        ),
        (
            model("deepseek", "deepseek-chat", None, none()),
            Messages,
            Events,
            "https://api.deepseek.com/anthropic/v1/messages | anthropic-version: 2023-06-01 | authorization: Bearer k"
                .to_owned(),
        ),
        (
            model("openai-compatible", "m", Some("https://llm.example/v1/"), none()),
            Chat,
            Whole,
            bearer("https://llm.example/v1/chat/completions"),
        ),
        (
            model("openai-compatible", "m", Some(local), json!({"provider": {"key_header": "X-Key"}})),
            Chat,
            Whole,
            "http://127.0.0.1:9/v1/chat/completions | x-key: k".to_owned(),
        ),
        (
            model("anthropic", "claude-x", None, none()),
            Messages,
            Events,
            anthropic("https://api.anthropic.com/v1/messages"),
        ),
        (
            model("anthropic-compatible", "m", Some("https://llm.example/anthropic/v1"), none()),
            Messages,
            Whole,
            anthropic("https://llm.example/anthropic/v1/messages"),
        ),
        (
            model("google", "gemini-2.5-pro", None, none()),
            Gemini,
            Events,
            "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse \
             | x-goog-api-key: k"
                .to_owned(),
        ),
        (
            model("google", "tunedModels/t-1", Some("http://127.0.0.1:9/v1beta"), none()),
            Gemini,
            Array,
            "http://127.0.0.1:9/v1beta/tunedModels/t-1:streamGenerateContent | x-goog-api-key: k".to_owned(),
        ),
        (
            model("azure", "dep", Some("https://r.openai.azure.com/openai/deployments/old?"), none()),
            Chat,
            Whole,
            String::new(),
        ),
        (
            model("azure", "dep", Some("https://r.openai.azure.com/openai/v1/"), none()),
            Responses,
            Whole,
            "https://r.openai.azure.com/openai/v1/responses | api-key: k".to_owned(),
        ),
        (
            model(
                "azure",
                "dep",
                Some("https://r.openai.azure.com/"),
                json!({"provider": {"api_version": "2024-10-21"}}),
            ),
            Chat,
            Events,
            "https://r.openai.azure.com/openai/deployments/dep/chat/completions?api-version=2024-10-21 | api-key: k"
                .to_owned(),
        ),
        (
            with("bedrock", "us.anthropic.claude-sonnet-4-20250514-v1:0", json!({"region": "eu-west-1"})),
            Converse,
            Events,
            bearer(
                "https://bedrock-runtime.eu-west-1.amazonaws.com/model/us.anthropic.claude-sonnet-4-20250514-v1%3A0/converse-stream",
            ),
        ),
    ];
    let mut shown_of = BTreeSet::from(["vertex"]);
    for (model, dialect, delivery, expected) in &cases {
        let secrets = secrets(KEY);
        let asked = ask(&outgoing(model, &secrets, *dialect, *delivery));
        if expected.is_empty() {
            assert!(matches!(asked, Err(ProviderError::Setting { .. })), "{asked:?}");
            continue;
        }
        let upstream = asked.unwrap();
        assert_eq!(shown(&upstream), *expected);
        assert_eq!(upstream.headers["content-type"], "application/json");
        assert_eq!(upstream.headers["accept-encoding"], "identity");
        let accepted = if *delivery == Events { "text/event-stream" } else { "application/json" };
        assert_eq!(upstream.headers["accept"], accepted);
        assert!(upstream.headers["user-agent"].to_str().unwrap().starts_with("preloop/"));
        shown_of.insert(provider(&model.provider).unwrap().profile().name);
    }
    let every: BTreeSet<_> = all().map(|provider| provider.profile().name).collect();
    assert_eq!(shown_of, every, "each provider has a request of its own here");
}

#[test]
fn vertex_files_models_under_their_publisher() {
    let token = secrets(&[("access_token", "t")]);
    let place = "https://europe-west1-aiplatform.googleapis.com/v1/projects/p-1/locations/europe-west1/publishers";
    let settings = json!({"provider": {"project": "p-1", "region": "europe-west1"}});
    let of = |identifier: &str| model("vertex", identifier, None, settings.clone());

    let gemini = ask(&outgoing(&of("gemini-2.5-pro"), &token, Gemini, Events)).unwrap();
    let url = format!("{place}/google/models/gemini-2.5-pro:streamGenerateContent?alt=sse");
    assert_eq!(shown(&gemini), format!("{url} | authorization: Bearer t"));

    let mut agent = HeaderMap::new();
    agent.insert("anthropic-version", "2023-06-01".parse().unwrap());
    agent.insert("anthropic-beta", "context-1m".parse().unwrap());
    let model = of("claude-sonnet-4@20250514");
    let call = Outgoing { agent_headers: Some(&agent), ..outgoing(&model, &token, Messages, Events) };
    let claude = ask(&call).unwrap();
    let url = format!("{place}/anthropic/models/claude-sonnet-4@20250514:streamRawPredict");
    assert_eq!(shown(&claude), format!("{url} | anthropic-beta: context-1m | authorization: Bearer t"));
    assert_eq!(claude.edits.members, [("anthropic_version", r#""vertex-2023-10-16""#)]);
    assert_eq!(claude.edits.remove, ["model"]);
    assert!(!claude.edits.model);
}

#[test]
fn an_operation_has_its_own_path() {
    let secrets = secrets(KEY);
    let path = |provider: &str, identifier: &str, dialect, operation, method| {
        let model = model(provider, identifier, None, json!({}));
        let call = Outgoing { operation, method, ..outgoing(&model, &secrets, dialect, Whole) };
        ask(&call).unwrap().uri.path().to_owned()
    };
    assert_eq!(path("openai", "e", Chat, Embed, None), "/v1/embeddings");
    assert_eq!(path("openai", "r", Responses, Generate, Some("resp_1/cancel")), "/v1/responses/resp_1/cancel");
    assert_eq!(path("anthropic", "c", Messages, CountTokens, None), "/v1/messages/count_tokens");
    let gemini = |operation, method| path("google", "g", Gemini, operation, method);
    assert_eq!(gemini(Generate, Some("generateContent")), "/v1beta/models/g:generateContent");
    assert_eq!(gemini(CountTokens, Some("countTokens")), "/v1beta/models/g:countTokens");
    assert_eq!(gemini(Embed, Some("embedContent")), "/v1beta/models/g:embedContent");
    assert_eq!(gemini(Embed, None), "/v1beta/models/g:batchEmbedContents", "what was translated");
    let titan = path("bedrock", "amazon.titan-embed-text-v2:0", Converse, Embed, None);
    assert_eq!(titan, "/model/amazon.titan-embed-text-v2%3A0/invoke");
}

#[test]
fn bedrock_requests_are_signed_over_url_and_body() {
    let keys = secrets(&[("access_key_id", "AKIDEXAMPLE"), ("secret_access_key", "s"), ("session_token", "t")]);
    let model = model("bedrock", "amazon.nova-pro-v1:0", None, json!({}));
    let upstream = ask(&outgoing(&model, &keys, Converse, Whole)).unwrap();
    let Credential::Signature(signer) = &upstream.credential else { panic!("{:?}", upstream.credential) };
    let signed = |body: &'static str| {
        let mut request = Request::post(upstream.uri.clone()).body(()).unwrap().into_parts().0;
        request.headers = upstream.headers.clone();
        signer.sign(&mut request, &[body.into()], Timestamp::from_micros(1_763_600_000_000_000)).unwrap();
        request.headers["authorization"].to_str().unwrap().to_owned()
    };
    assert!(signed("{}").starts_with(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20251120/us-east-1/bedrock/aws4_request, \
         SignedHeaders=accept;content-type;host;x-amz-date;x-amz-security-token, Signature="
    ));
    assert_ne!(signed("{}"), signed("{ }"));
    assert!(!format!("{upstream:?}").contains("AKIDEXAMPLE"), "keys do not show in logs");
}

#[test]
fn an_agent_s_own_credential_never_reaches_a_provider() {
    let mut agent = HeaderMap::new();
    for (name, value) in [
        ("authorization", "Bearer agent"),
        ("x-api-key", "agent"),
        ("x-goog-api-key", "agent"),
        ("api-key", "agent"),
        ("cookie", "agent"),
        ("connection", "agent"),
        ("x-forwarded-for", "agent"),
        ("x-preloop-session-id", "agent"),
        ("host", "agent"),
        ("anthropic-beta", "one"),
        ("openai-beta", "two"),
        ("x-goog-api-client", "three"),
    ] {
        agent.insert(name, value.parse().unwrap());
    }
    agent.append("anthropic-beta", "four".parse().unwrap());
    let secrets = secrets(KEY);
    for (provider, dialect, passing) in [
        ("anthropic", Messages, "anthropic-beta: one | anthropic-beta: four"),
        ("openai", Chat, "openai-beta: two"),
        ("google", Gemini, "x-goog-api-client: three"),
    ] {
        let model = model(provider, "m", None, json!({}));
        let call = outgoing(&model, &secrets, dialect, Whole);
        let upstream = ask(&Outgoing { agent_headers: Some(&agent), ..call }).unwrap();
        let text = shown(&upstream);
        assert!(text.contains(passing), "{text}");
        assert!(!text.contains("agent"), "{text}");
        assert!(!format!("{upstream:?}").contains("Bearer k"), "keys do not show in logs");
    }
}

#[test]
fn bodies_differ_only_where_a_provider_demands_it() {
    let secrets = secrets(KEY);
    let edits = |provider: &str, delivery| {
        let model = model(provider, "m", None, json!({}));
        ask(&outgoing(&model, &secrets, Chat, delivery)).unwrap().edits
    };
    assert!(edits("openai", Events).include_usage && edits("openai", Events).model);
    assert!(!edits("openai", Whole).include_usage);
    assert!(!edits("mistral", Events).include_usage, "it does not know the option, and tells unasked");
    assert_eq!(edits("openrouter", Whole).members, [("usage", r#"{"include":true}"#)]);

    let model = model("mistral", "m", None, json!({"quirks": {"stream_usage": true}}));
    assert!(ask(&outgoing(&model, &secrets, Chat, Events)).unwrap().edits.include_usage, "a model's settings win");
}

#[test]
fn an_agent_is_served_in_its_own_dialect_where_the_provider_speaks_it() {
    let speaks = |provider_name: &str, identifier: &str, settings: Value| {
        let endpoint = provider_name.ends_with("compatible").then_some("https://llm.example");
        let model = model(provider_name, identifier, endpoint, settings);
        provider(provider_name).unwrap().dialects(&model, Operation::Generate)
    };
    assert_eq!(speaks("openai", "gpt-5", json!({})), [Chat, Responses]);
    assert_eq!(speaks("openai", "gpt-5-pro-2025-10-06", json!({})), [Responses]);
    assert_eq!(speaks("openai", "gpt-5-codex", json!({})), [Responses]);
    assert_eq!(speaks("openai", "gpt-5", json!({"responses_api": "transcode"})), [Chat]);
    assert_eq!(speaks("openai-compatible", "m", json!({})), [Chat]);
    assert_eq!(speaks("openai-compatible", "m", json!({"responses_api": "native"})), [Chat, Responses]);
    assert_eq!(speaks("zai", "glm-4.6", json!({})), [Chat, Messages]);
    assert_eq!(speaks("vertex", "claude-opus-4", json!({})), [Messages]);
    assert_eq!(speaks("bedrock", "amazon.nova-pro-v1:0", json!({})), [Converse]);

    let moved = model("zai", "glm-4.6", Some("https://proxy.example/v4"), json!({}));
    let zai = provider("zai").unwrap();
    assert_eq!(zai.dialects(&moved, Operation::Generate), [Chat], "its other API did not move along");
    assert_eq!(zai.dialects(&moved, Operation::Embed), []);
    let openai = model("openai", "text-embedding-3-small", None, json!({}));
    assert_eq!(provider("openai").unwrap().dialects(&openai, Operation::Embed), [Chat]);
}

#[test]
fn a_model_that_cannot_work_is_found_when_it_is_saved() {
    let told = |model: &Model, secrets: &[&str]| check(model, secrets).map_err(|error| error.to_string());
    let fine = model("openai", "gpt-5", None, json!({}));
    assert_eq!(told(&fine, &["api_key"]), Ok(()));
    assert_eq!(told(&fine, &[]), Ok(()), "its key may come later");
    for (model, secrets, needle) in [
        (model("opnai", "m", None, json!({})), &[][..], "`opnai` is not a provider"),
        (model("openai-compatible", "m", None, json!({})), &[], "`endpoint` is missing"),
        (model("openai", "m", Some("https://h/?x=1"), json!({})), &[], "`endpoint` is not an `http`"),
        (
            model("openai", "m", None, json!({"provider": {"regoin": "x"}})),
            &[],
            "which knows `organization`, `project`",
        ),
        (
            model("openai", "m", None, json!({})),
            &["apikey"],
            "`apikey` is not a secret of `openai`, which knows `api_key`",
        ),
        (model("openai", "m", None, json!({"quirks": {"stream_usgae": true}})), &[], "stream_usgae"),
        (model("google", "../x", None, json!({})), &[], "cannot be part of a URL's path"),
        (model("bedrock", "m", None, json!({"provider": {"region": "evil.example/"}})), &[], "`region` may hold"),
    ] {
        let error = if secrets.is_empty() { ask_as_saved(&model) } else { told(&model, secrets) };
        let error = error.unwrap_err();
        assert!(error.contains(needle), "{error}");
    }
}

/// Checked with its key given, as a request would be made.
fn ask_as_saved(model: &Model) -> Result<(), String> {
    check(model, &[]).map_err(|error| error.to_string())?;
    let secrets = secrets(&[("api_key", "k")]);
    let dialect = provider(&model.provider).unwrap().dialects(model, Operation::Generate)[0];
    ask(&outgoing(model, &secrets, dialect, Whole)).map(|_| ()).map_err(|error| error.to_string())
}

#[test]
fn a_missing_credential_is_not_the_agent_s_fault() {
    let model = model("openai", "gpt-5", None, json!({}));
    let error = ask(&outgoing(&model, &Secrets::new(), Chat, Whole)).unwrap_err();
    assert_eq!((error.status(), error.code()), (502, "upstream_credentials_missing"));

    let unusable = secrets(&[("api_key", "line\nbreak")]);
    let error = ask(&outgoing(&model, &unusable, Chat, Whole)).unwrap_err();
    assert!(!error.to_string().contains("break"), "{error}");
}

#[test]
fn quirks_are_the_provider_s_and_then_the_model_s() {
    let usual = quirks(&model("mistral", "m", None, json!({}))).unwrap();
    assert_eq!((usual.max_tokens_field.as_str(), usual.tool_id_length), ("max_tokens", Some(9)));
    let own = model("mistral", "m", None, json!({"quirks": {"tool_id_length": null, "drop_params": ["seed"]}}));
    let own = quirks(&own).unwrap();
    assert_eq!((own.max_tokens_field.as_str(), own.tool_id_length), ("max_tokens", None));
    assert_eq!(own.drop_params, ["seed"]);
}
