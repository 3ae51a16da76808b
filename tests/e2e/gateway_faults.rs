//! Providers and agents that fail in the middle of an answer.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use preloop_bench::provider::{Api, End, Options, Provider, TEXT};
use preloop_e2e::{Ask, Family, Gateway, eventually, read_until, sdk_base, text_of};
use serde_json::json;
use tokio::task::JoinSet;

/// Ends of frames in what was read.
fn frames(read: &[u8]) -> usize {
    read.windows(2).filter(|pair| pair == b"\n\n").count()
}

#[tokio::test]
async fn an_agent_that_leaves_at_any_event_leaves_one_record_and_no_open_provider() {
    let gateway = Gateway::start().await;
    for api in Ask::APIS {
        let words = "frames-3--stall-40";
        let identifier = Family(api).identifier(words);
        let alias = gateway.serve(Family(api), words).await;
        let all = {
            gateway.ask(&Ask::new(api, &alias, true)).await;
            gateway.ended(&identifier).await.frames_in_all
        };
        for events in 0..all - 1 {
            gateway.provider.forget();
            let before = gateway.outcomes().await.len();
            let mut response = gateway.send(&Ask::new(api, &alias, true)).await;
            read_until(&mut response, |read| frames(read) >= events).await;
            drop(response);
            let left = Instant::now();
            let case = format!("{api:?} after {events} events");

            let exchange = gateway.ended(&identifier).await;

            let (end, at) = exchange.end.unwrap();
            // The last frames may have been on their way already.
            if events + 2 < all {
                assert_eq!(end, End::Abandoned, "{case}");
            }
            assert!(at.saturating_duration_since(left) < Duration::from_secs(1), "{case}: the provider went on");
            let outcomes = gateway.outcomes().await;
            assert_eq!(outcomes.len(), before + 1, "{case}");
            if end == End::Abandoned {
                let outcome = outcomes.last().unwrap();
                assert_eq!(outcome["status"], "disconnected", "{case}: {outcome:#}");
                assert_eq!(outcome["http_status"], 499, "{case}: {outcome:#}");
                assert_ne!(outcome["usage_source"], "provider", "{case}: {outcome:#}");
            }
        }
    }
}

#[tokio::test]
async fn a_broken_answer_never_looks_whole() {
    let gateway = Gateway::start().await;
    let faults = ["cut-1", "cut-3", "unfinished", "error-3"];
    for api in Ask::APIS {
        for words in faults {
            gateway.serve(Family(api), words).await;
        }
    }
    for api in Ask::APIS {
        for family in [Family(api), Family(if api == Api::Chat { Api::Messages } else { Api::Chat })] {
            for words in faults {
                let alias = family.alias(words);
                let case = format!("{api:?} by {} {words}", family.name());

                let mut response = gateway.send(&Ask::new(api, &alias, true)).await;
                let answer = read_until(&mut response, |_| false).await;

                let (text, complete) = text_of(api, &answer);
                let shown = String::from_utf8_lossy(&answer);
                assert!(!complete, "{case} looks whole: {shown}");
                assert!(shown.contains("error") || shown.contains("failed"), "{case} says nothing: {shown}");
                assert!(TEXT.starts_with(text.trim_end()), "{case}: {text}");
            }
        }
    }
    for outcome in gateway.outcomes().await {
        let status = outcome["status"].as_str().unwrap();
        assert!(["truncated", "upstream_error"].contains(&status), "{outcome:#}");
    }
}

#[tokio::test]
async fn a_provider_that_fails_before_it_answers_is_told_plainly() {
    let gateway = Gateway::start().await;
    // Words of the model, the status for the agent, and its stable code.
    let cases = [
        ("status-400", 400, "invalid_request"),
        ("status-401", 502, "upstream_auth_failed"),
        ("status-403", 502, "upstream_auth_failed"),
        ("status-404", 404, ""),
        ("status-413", 413, ""),
        ("status-429--retry-7", 429, "upstream_rate_limited"),
        ("status-500", 502, "upstream_unavailable"),
        ("status-502--html", 502, "upstream_unavailable"),
        ("status-503", 503, ""),
        ("status-504", 504, ""),
        ("html--ok", 502, ""),
        ("status-429--ok--retry-7", 429, "upstream_rate_limited"),
        ("status-500--ok", 502, "upstream_unavailable"),
        ("status-400--ok", 400, ""),
    ];
    for api in Ask::APIS {
        for (words, told, code) in cases {
            let alias = gateway.serve(Family(api), words).await;
            for stream in [false, true] {
                let response = gateway.send(&Ask::new(api, &alias, stream)).await;
                let case = format!("{api:?} {words} stream {stream}");
                // Anthropic has a status of its own for it.
                let told = if api == Api::Messages && told == 503 { 529 } else { told };
                assert_eq!(response.status().as_u16(), told, "{case}: {:?}", response.text().await);
                if words.contains("retry") {
                    assert_eq!(response.headers()["retry-after"], "7", "{case}");
                }
                let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
                assert!(kind.starts_with("application/json"), "{case}: {kind}");
                let body: serde_json::Value = response.json().await.unwrap();
                let message = body["error"]["message"].as_str().unwrap_or_default();
                assert!(!message.is_empty() && !message.contains("<html"), "{case}: {body:#}");
                if told == 502 && !code.is_empty() {
                    assert!(body.to_string().contains(code), "{case}: {body:#}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_stream_that_begins_with_an_error_has_the_status_of_an_error() {
    let gateway = Gateway::start().await;
    for api in Ask::APIS {
        let alias = gateway.serve(Family(api), "error-0").await;
        let (status, answer) = gateway.ask(&Ask::new(api, &alias, true)).await;
        assert!(status >= 500, "{api:?}: {status} {}", String::from_utf8_lossy(&answer));
    }
    for outcome in gateway.outcomes().await {
        assert_ne!(outcome["status"], "succeeded", "{outcome:#}");
    }
}

#[tokio::test]
async fn a_short_failure_is_tried_again_and_recorded_once() {
    let gateway = Gateway::start().await;
    for words in ["status-503--first-1", "status-500--first-1", "status-429--retry-1--first-1"] {
        let alias = gateway.serve(Family(Api::Messages), words).await;
        let before = gateway.outcomes().await.len();

        let (status, answer) = gateway.ask(&Ask::new(Api::Messages, &alias, true)).await;

        assert_eq!((status, text_of(Api::Messages, &answer)), (200, (TEXT.to_owned(), true)), "{words}");
        assert_eq!(gateway.provider.asked_for(&Family(Api::Messages).identifier(words)).len(), 2, "{words}");
        let outcomes = gateway.outcomes().await;
        assert_eq!(outcomes.len(), before + 1, "{words}");
        assert_eq!(outcomes.last().unwrap()["attempts"], 2, "{words}");
    }
}

#[tokio::test]
async fn a_model_that_is_down_is_replaced_by_its_fallback() {
    let gateway = Gateway::start().await;
    let second = gateway.serve(Family(Api::Gemini), "").await;
    let settings = json!({ "settings": { "fallbacks": [second] } });
    let first = gateway.serve_with(Family(Api::Messages), "status-503", settings).await;

    let (status, answer) = gateway.ask(&Ask::new(Api::Messages, &first, true)).await;

    assert_eq!((status, text_of(Api::Messages, &answer)), (200, (TEXT.to_owned(), true)));
    let outcomes = gateway.outcomes().await;
    assert_eq!(outcomes.len(), 1);
    assert_eq!(outcomes[0]["model"], json!(second), "{outcomes:#?}");
}

#[tokio::test]
async fn a_provider_that_is_gone_and_comes_back_serves_the_next_call() {
    let mut gateway = Gateway::start().await;
    let alias = gateway.serve(Family(Api::Chat), "").await;
    let ask = Ask::new(Api::Chat, &alias, false);
    assert_eq!(gateway.ask(&ask).await.0, 200);

    gateway.provider.kill();
    assert_eq!(gateway.ask(&ask).await.0, 502);

    gateway.provider.restart().await.unwrap();
    let gateway = &gateway;
    eventually("an answer after the provider came back", || async { (gateway.ask(&ask).await.0 == 200).then_some(()) })
        .await;
}

#[tokio::test]
async fn five_hundred_and_twelve_streams_at_once_lose_no_frame() {
    let gateway = Arc::new(Gateway::start().await);
    let words = "frames-20--stall-20";
    let expected = (0..20).map(|n| format!("wörd {n} ")).collect::<Vec<_>>().concat();
    let mut streams = JoinSet::new();
    for n in 0..512 {
        let api = Ask::APIS[n % 4];
        let alias = if n < 4 { gateway.serve(Family(api), words).await } else { Family(api).alias(words) };
        let gateway = gateway.clone();
        streams.spawn(async move { (api, gateway.ask(&Ask::new(api, &alias, true)).await) });
    }
    let mut lost = Vec::new();
    while let Some(stream) = streams.join_next().await {
        let (api, (status, answer)) = stream.unwrap();
        if (status, text_of(api, &answer)) != (200, (expected.clone(), true)) {
            lost.push(format!("{api:?} {status} {}", String::from_utf8_lossy(&answer)));
        }
    }
    assert!(lost.is_empty(), "{} of 512 differ, the first: {}", lost.len(), lost[0]);
    let outcomes = gateway.outcomes().await;
    assert_eq!(outcomes.len(), 512);
    assert!(outcomes.iter().all(|outcome| outcome["status"] == "succeeded"));
}

#[tokio::test]
async fn a_slow_reader_holds_back_its_provider_and_nobody_else() {
    let gateway = Gateway::start().await;
    let flood = gateway.serve(Family(Api::Chat), "frames-60000").await;
    let quick = gateway.serve(Family(Api::Chat), "").await;
    let before = gateway.app.process().resident().unwrap();
    let mut slow = Vec::new();
    for _ in 0..8 {
        // Opened, and then not read: eight times some fifteen megabytes.
        slow.push(gateway.send(&Ask::new(Api::Chat, &flood, true)).await);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;

    let (status, _) = gateway.ask(&Ask::new(Api::Chat, &quick, false)).await;

    assert_eq!(status, 200);
    let grown = gateway.app.process().resident().unwrap().saturating_sub(before) / (1024 * 1024);
    assert!(grown < 48, "eight streams that nobody reads take {grown} MiB");
    drop(slow);
    eventually("the end of streams that nobody reads", || async { (gateway.provider.open() == 0).then_some(()) }).await;
}

/// The longest pause between pieces of a stream whose frames are 5 ms apart, the best of some tries:
/// the machine may be busy, Nagle's algorithm always is.
async fn longest_pause(http: &reqwest::Client, url: &str, key: &str, model: &str) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let body = Ask::new(Api::Chat, model, true).body;
        let request = http.post(format!("{}/chat/completions", sdk_base(url, Api::Chat))).bearer_auth(key).body(body);
        let mut response = request.header("content-type", "application/json").send().await.unwrap();
        assert_eq!(response.status(), 200);
        let mut longest = Duration::ZERO;
        let mut last = None;
        while let Some(_piece) = response.chunk().await.unwrap() {
            let now = Instant::now();
            longest = last.map_or(longest, |last| longest.max(now - last));
            last = Some(now);
        }
        best = best.min(longest);
    }
    best
}

#[tokio::test]
async fn no_frame_waits_for_another() {
    let gateway = Gateway::start().await;
    let direct = Provider::start(Options::default()).await.unwrap();
    let words = "frames-40--stall-5--split";
    let alias = gateway.serve(Family(Api::Chat), words).await;
    let http = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build().unwrap();

    let plain = longest_pause(&http, &direct.url(), "none", &Family(Api::Chat).identifier(words)).await;
    let governed = longest_pause(&http, &gateway.app.url(), &gateway.key, &alias).await;

    assert!(governed < plain + Duration::from_millis(25), "a pause of {governed:?}, directly {plain:?}");
}

#[tokio::test]
async fn an_agent_that_leaves_a_silent_provider_is_not_waited_for() {
    let gateway = Gateway::start().await;
    for stream in [false, true] {
        let alias = Family(Api::Messages).alias("silent");
        if !stream {
            gateway.serve(Family(Api::Messages), "silent").await;
        }
        gateway.provider.forget();
        let ask = Ask::new(Api::Messages, &alias, stream);
        assert!(tokio::time::timeout(Duration::from_millis(500), gateway.ask(&ask)).await.is_err());
        let left = Instant::now();

        let (end, at) = gateway.ended(&Family(Api::Messages).identifier("silent")).await.end.unwrap();

        assert_eq!(end, End::Abandoned);
        assert!(at.saturating_duration_since(left) < Duration::from_secs(1));
    }
    // Whether the provider did any of it nobody knows.
    for outcome in gateway.outcomes().await {
        assert!(["disconnected", "unknown"].contains(&outcome["status"].as_str().unwrap()), "{outcome:#}");
    }
}

#[tokio::test]
async fn bodies_that_are_no_requests_are_refused_in_the_agents_dialect() {
    let gateway = Gateway::start().await;
    for api in Ask::APIS {
        let alias = gateway.serve(Family(api), "").await;
        let good = Ask::new(api, &alias, false);
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let bodies = ["", "{", "[]", "null", "\u{0}", &deep, &good.body[..good.body.len() - 3], "{\"model\":7}"];
        for body in bodies {
            let ask = Ask { body: body.to_owned(), ..good.clone() };
            let (status, answer) = gateway.ask(&ask).await;
            let case = format!("{api:?} {:?}", body.chars().take(40).collect::<String>());
            assert_eq!(status, 400, "{case}: {}", String::from_utf8_lossy(&answer));
            let body: serde_json::Value = serde_json::from_slice(&answer).unwrap();
            assert!(body["error"]["message"].is_string(), "{case}: {body:#}");
        }
        let bytes = [good.body.as_bytes(), b"\xff\xfe"].concat();
        let invalid = gateway.request(&good).body(bytes).send().await.unwrap();
        assert_eq!(invalid.status().as_u16(), 400, "{api:?}: invalid UTF-8");
        let huge = gateway.request(&good).body(vec![b' '; 40 << 20]).send().await;
        // The connection may be closed before all of it was sent.
        assert!(huge.is_err() || huge.unwrap().status().as_u16() == 413, "{api:?}: a gigantic body");
    }
    assert!(gateway.provider.exchanges().is_empty(), "none of it reached the provider");
}
