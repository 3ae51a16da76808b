//! What a provider's refusal is taken for, and what of it an agent is told.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use http::{HeaderMap, HeaderName};
use preloop_gateway::providers::{Class, Fault, Retry, provider};
use serde_json::json;

fn fault(name: &str, status: u16, headers: &[(&'static str, &str)], body: &str) -> Fault {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(HeaderName::from_static(name), value.parse().unwrap());
    }
    Fault::of_answer(provider(name).unwrap().profile(), status, &map, body.as_bytes())
}

#[test]
fn each_provider_s_refusals_are_told_apart() {
    let openai =
        |code: &str, message: &str| json!({"error": {"message": message, "type": code, "param": null, "code": code}});
    let anthropic = |kind: &str, message: &str| json!({"type": "error", "error": {"type": kind, "message": message}});
    let google = |status: &str, message: &str, details: serde_json::Value| json!([{"error": {"code": 429, "message": message, "status": status, "details": details}}]);
    let quota = |id: &str| json!([{"@type": "x.QuotaFailure", "violations": [{"quotaId": id}]}, {"retryDelay": "2s"}]);
    let amazon = |message: &str| json!({"message": message});
    let none = json!({});
    for (name, status, body, class, agent, code) in [
        ("openai", 401, openai("invalid_api_key", "Incorrect API key"), Class::Auth, 502, "upstream_auth_failed"),
        ("openai", 403, openai("unsupported_country", "no"), Class::Auth, 502, "upstream_auth_failed"),
        ("openai", 429, openai("insufficient_quota", "quota"), Class::BillingQuota, 429, "upstream_quota"),
        ("openai", 429, openai("rate_limit_exceeded", "slow"), Class::RateLimited, 429, "upstream_rate_limited"),
        ("openai", 400, openai("context_length_exceeded", "x"), Class::ContextTooLong, 400, "context_length_exceeded"),
        ("openai", 404, openai("model_not_found", "x"), Class::ModelMissing, 404, "upstream_model_missing"),
        ("openai", 400, openai("invalid_value", "x"), Class::InvalidRequest, 400, "upstream_invalid_request"),
        ("openai", 500, openai("server_error", "x"), Class::ServerError, 502, "upstream_unavailable"),
        ("openai", 503, openai("x", "The engine is overloaded"), Class::Overloaded, 503, "upstream_unavailable"),
        (
            "anthropic",
            400,
            anthropic("invalid_request_error", "Your credit balance is too low"),
            Class::BillingQuota,
            402,
            "upstream_quota",
        ),
        (
            "anthropic",
            400,
            anthropic("invalid_request_error", "prompt is too long: 210000 tokens"),
            Class::ContextTooLong,
            400,
            "context_length_exceeded",
        ),
        ("anthropic", 413, anthropic("request_too_large", "x"), Class::ContextTooLong, 413, "context_length_exceeded"),
        ("anthropic", 529, anthropic("overloaded_error", "Overloaded"), Class::Overloaded, 503, "upstream_unavailable"),
        (
            "google",
            400,
            google("INVALID_ARGUMENT", "API key not valid", json!([{"reason": "API_KEY_INVALID"}])),
            Class::Auth,
            502,
            "upstream_auth_failed",
        ),
        (
            "google",
            400,
            google(
                "INVALID_ARGUMENT",
                "The input token count (9) exceeds the maximum number of tokens allowed",
                none.clone(),
            ),
            Class::ContextTooLong,
            400,
            "context_length_exceeded",
        ),
        (
            "google",
            429,
            google("RESOURCE_EXHAUSTED", "quota", quota("GenerateRequestsPerDayPerProject")),
            Class::BillingQuota,
            429,
            "upstream_quota",
        ),
        (
            "google",
            429,
            google("RESOURCE_EXHAUSTED", "quota", quota("GenerateRequestsPerMinute")),
            Class::RateLimited,
            429,
            "upstream_rate_limited",
        ),
        ("google", 504, google("DEADLINE_EXCEEDED", "x", none.clone()), Class::Timeout, 504, "upstream_timeout"),
        ("azure", 400, openai("content_filter", "filtered"), Class::ContentFiltered, 400, "upstream_content_filtered"),
        ("azure", 404, openai("DeploymentNotFound", "x"), Class::ModelMissing, 404, "upstream_model_missing"),
        (
            "bedrock",
            403,
            amazon("The security token included in the request is expired"),
            Class::Auth,
            502,
            "upstream_auth_failed",
        ),
        (
            "bedrock",
            400,
            amazon("Invocation with on-demand throughput isn\u{2019}t supported"),
            Class::ModelMissing,
            404,
            "upstream_model_missing",
        ),
        (
            "bedrock",
            400,
            amazon("Input is too long for requested model."),
            Class::ContextTooLong,
            400,
            "context_length_exceeded",
        ),
        (
            "deepseek",
            402,
            openai("invalid_request_error", "Insufficient Balance"),
            Class::BillingQuota,
            402,
            "upstream_quota",
        ),
        ("mistral", 422, json!({"detail": "bad"}), Class::InvalidRequest, 422, "upstream_invalid_request"),
        ("ollama", 404, json!({"error": "model 'x' not found"}), Class::ModelMissing, 404, "upstream_model_missing"),
        (
            "openrouter",
            200,
            json!({"error": {"code": 429, "message": "slow"}}),
            Class::RateLimited,
            429,
            "upstream_rate_limited",
        ),
        ("openai-compatible", 307, none, Class::Protocol, 502, "upstream_unavailable"),
    ] {
        let fault = fault(name, status, &[], &body.to_string());
        assert_eq!((fault.class, fault.status, fault.code), (class, agent, code), "{name} {status} {body}");
    }
    let throttled = fault("bedrock", 400, &[("x-amzn-errortype", "ThrottlingException:http://x")], "{}");
    assert_eq!(
        (throttled.class, throttled.provider_code.as_deref()),
        (Class::RateLimited, Some("ThrottlingException"))
    );
}

#[test]
fn only_what_may_pass_is_tried_again() {
    let retry = |status, headers: &[(&'static str, &str)]| {
        let fault = fault("openai", status, headers, "{}");
        (fault.retry, fault.retry_after)
    };
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(retry(429, &[("retry-after", "2")]), (Retry::Yes, seconds(2)));
    assert_eq!(retry(429, &[("retry-after", "60")]), (Retry::No, seconds(60)));
    assert_eq!(retry(503, &[("retry-after", "2")]), (Retry::Yes, seconds(2)));
    assert_eq!(retry(503, &[("retry-after", "60")]), (Retry::No, seconds(60)));
    assert_eq!(
        retry(429, &[("retry-after-ms", "250"), ("retry-after", "60")]),
        (Retry::Yes, Some(Duration::from_millis(250)))
    );
    let dates = [("retry-after", "Fri, 20 Nov 2026 12:00:03 GMT"), ("date", "Fri, 20 Nov 2026 12:00:00 GMT")];
    assert_eq!(retry(429, &dates), (Retry::Yes, seconds(3)));
    assert_eq!(retry(503, &[]), (Retry::Yes, None));
    assert_eq!(retry(504, &[]), (Retry::Once, None));
    for status in [400, 401, 402, 404, 413] {
        assert_eq!(retry(status, &[]), (Retry::No, None), "{status}");
    }
}

#[test]
fn an_agent_hears_the_provider_s_words_but_nothing_of_the_account() {
    let said =
        |status, message: &str| fault("openai", status, &[], &json!({"error": {"message": message}}).to_string());

    let wrong = said(400, "messages[2].content is empty");
    assert_eq!(wrong.message, "messages[2].content is empty");
    assert!(wrong.verbatim);
    assert_eq!(said(500, "oops").message, "OpenAI: oops");

    let limited = said(
        429,
        "Limit reached in organization org-abc123 for account 123456789012 with AIzaSyA1234567890abcdefghijk",
    );
    for secret in ["abc123", "123456789012", "AIzaSy"] {
        assert!(!limited.message.contains(secret), "{}", limited.message);
    }
    let refused = said(401, "Incorrect API key provided: sk-proj-abcdefghijklmnop1234");
    assert!(
        refused.message.contains("its owner has to renew it") && !refused.message.contains("sk-"),
        "{}",
        refused.message
    );
    assert!(!refused.verbatim);
    assert!(said(500, &"x".repeat(100_000)).message.len() < 1100);
    let page = fault("openai", 502, &[("content-type", "text/html")], "<html>nginx at 10.0.0.1</html>");
    assert_eq!(page.message, "OpenAI answered 502 without an explanation");
}
