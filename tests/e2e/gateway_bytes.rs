//! What an agent sent is what the model got (P5): same dialect, same bytes, but for the model's name.

use preloop_bench::provider::Api;
use preloop_e2e::{Ask, Family, Gateway};

/// Bodies in which any reading and writing again would show. `MODEL` stands for the model's name.
fn corpus(api: Api) -> Vec<String> {
    // Escapes that need none, surrogate pairs, control characters, numbers that no float holds.
    let odd = r#""x-odd": {"slash":"\/","ue":"\u00fc","pair":"\ud83e\uddea","nul":"\u0000","big":12345678901234567890123,
        "one":1.0,"exp":1E+3 ,"neg":-0.0,"deep":[[[[{"a":{"a":{"a":null}}}]]]],"dup":1,"dup":2, "":"", "model":"not this one"}"#;
    let openers = match api {
        Api::Chat => vec![
            r#""messages":[{"role":"user","content":"gr\u00fc\u00dfe \ud83e\uddea"}]"#,
            r#""messages" : [ {"content":[{"type":"text","text":"a\tb"},{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}}],"role":"user"} ], "reasoning_effort":null"#,
            r#""messages":[{"role":"user","content":"x"},{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\": 1.0}"}}]},{"role":"tool","tool_call_id":"c1","content":"r"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"a":{"type":"number","minimum":1e-7}}}}}],"tool_choice":"none""#,
        ],
        Api::Responses => vec![
            r#""input":"gr\u00fc\u00dfe","store":false"#,
            r#""input":[{"type":"message","id":"m1","role":"developer","content":[{"type":"input_text","text":"a"}]},{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAAA/+=="},{"role":"user","content":"b"}],"tools":[{"type":"web_search"},{"type":"namespace","name":"mcp__x","tools":[{"type":"function","name":"y","parameters":{}}]}],"tool_choice":"none","include":["reasoning.encrypted_content"],"client_metadata":{"k":"v"},"prompt_cache_key":"abc""#,
        ],
        Api::Messages => vec![
            r#""max_tokens":100,"messages":[{"role":"user","content":"gr\u00fc\u00dfe"}]"#,
            r#""max_tokens":100 ,"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral","ttl":"1h"}}],"messages":[{"role":"user","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}]},{"role":"system","content":"mid"},{"role":"assistant","content":[{"type":"thinking","thinking":"h\u006dm","signature":"EqQB/+\/=="},{"type":"redacted_thinking","data":"AAA="},{"type":"text","text":"b"}]},{"role":"user","content":"c"}],"thinking":{"type":"adaptive","display":"omitted"},"context_management":{"edits":[]},"metadata":{"user_id":"u"}"#,
        ],
        Api::Gemini | Api::Converse => vec![
            r#""contents":[{"role":"user","parts":[{"text":"gr\u00fc\u00dfe"}]}]"#,
            r#""contents":[{"parts":[{"text":"a"},{"inlineData":{"mimeType":"image/png","data":"iVBORw0KGgo="}}],"role":"user"},{"role":"model","parts":[{"text":"t","thought":true},{"text":"b","thoughtSignature":"c2ln+\/=="}]},{"role":"user","parts":[{"text":"c"}]}],"generationConfig":{"temperature":1.0,"thinkingConfig":{"includeThoughts":true}},"safetySettings":[]"#,
        ],
    };
    let model = if api == Api::Gemini { "" } else { r#""model":"MODEL","# };
    let last = if api == Api::Gemini { "" } else { r#", "model" :  "MODEL""# };
    let mut bodies = Vec::new();
    for opener in openers {
        bodies.push(format!("{{{model}{opener}}}"));
        bodies.push(format!("\n {{ {odd},\r\n{opener}{last} }}\n"));
    }
    bodies
}

#[tokio::test]
async fn what_the_agent_sent_is_what_the_model_got() {
    let gateway = Gateway::start().await;
    for api in Ask::APIS {
        let identifier = Family(api).identifier("");
        let alias = gateway.serve(Family(api), "").await;
        for (n, body) in corpus(api).into_iter().enumerate() {
            for stream in [false, true] {
                let mut ask = Ask::new(api, &alias, stream);
                ask.body = body.replace("MODEL", &alias);
                if api != Api::Gemini && stream {
                    let usage = if api == Api::Chat { r#","stream_options":{"include_usage":true}"# } else { "" };
                    let end = ask.body.rfind('}').unwrap();
                    ask.body.insert_str(end, &format!(r#","stream":true{usage}"#));
                }
                let case = format!("{api:?} body {n} stream {stream}");

                let (status, answer) = gateway.ask(&ask).await;

                assert_eq!(status, 200, "{case}: {}", String::from_utf8_lossy(&answer));
                let exchange = gateway.ended(&identifier).await;
                let expected = ask.body.replace(&alias, &identifier);
                assert_eq!(String::from_utf8_lossy(&exchange.body), expected, "{case}");
                let sent = String::from_utf8(exchange.sent).unwrap();
                let answer = String::from_utf8(answer).unwrap();
                // The model's name in an answer may be the one the agent asked for.
                assert_eq!(answer.replace(&alias, &identifier), sent, "{case}");
            }
        }
    }
}

#[tokio::test]
async fn frames_arrive_as_they_were_written_however_they_were_cut() {
    let gateway = Gateway::start().await;
    for api in Ask::APIS {
        for words in ["bytes", "split", "split--crlf", "joined", "comments", "growing", "huge-300000"] {
            let identifier = Family(api).identifier(words);
            let alias = gateway.serve(Family(api), words).await;

            let (status, answer) = gateway.ask(&Ask::new(api, &alias, true)).await;

            assert_eq!(status, 200, "{api:?} {words}");
            let sent = gateway.ended(&identifier).await.sent;
            let answer = String::from_utf8(answer).unwrap().replace(&alias, &identifier);
            assert!(answer.as_bytes() == sent, "{api:?} {words}: {} bytes of {}", answer.len(), sent.len());
        }
    }
}

#[tokio::test]
async fn gemini_without_events_is_one_json_array() {
    let gateway = Gateway::start().await;
    let alias = gateway.serve(Family(Api::Gemini), "").await;
    let mut ask = Ask::new(Api::Gemini, &alias, true);
    ask.path = ask.path.replace("?alt=sse", "");

    let (status, answer) = gateway.ask(&ask).await;

    assert_eq!(status, 200);
    assert_eq!(answer, gateway.ended("mock").await.sent);
    let chunks: Vec<serde_json::Value> = serde_json::from_slice(&answer).unwrap();
    assert_eq!(chunks.last().unwrap()["candidates"][0]["finishReason"], "STOP");
}

#[tokio::test]
async fn an_agent_that_did_not_ask_for_usage_sees_none_and_it_is_counted_all_the_same() {
    let gateway = Gateway::start().await;
    let alias = gateway
        .serve_with(Family(Api::Chat), "", serde_json::json!({ "pricing": crate::gateway_money::pricing() }))
        .await;
    let mut ask = Ask::new(Api::Chat, &alias, true);
    ask.body = ask.body.replace(r#","stream_options":{"include_usage":true}"#, "");

    let (_, answer) = gateway.ask(&ask).await;

    let answer = String::from_utf8(answer).unwrap();
    assert!(!answer.contains("prompt_tokens") && !answer.contains(r#""choices":[]"#), "{answer}");
    assert!(answer.ends_with("data: [DONE]\n\n"), "{answer}");
    let outcomes = gateway.outcomes().await;
    assert_eq!(outcomes[0]["usage_source"], "provider", "{outcomes:#?}");
    assert_eq!(preloop_e2e::cost(&outcomes[0]), gateway.provider.bill());
}

#[tokio::test]
async fn a_member_that_stands_twice_is_refused_before_anyone_sees_it() {
    let gateway = Gateway::start().await;
    for api in [Api::Chat, Api::Responses, Api::Messages] {
        let alias = gateway.serve(Family(api), "").await;
        let mut ask = Ask::new(api, &alias, false);
        ask.body = ask.body.replacen('{', r#"{"model":"other","#, 1);

        let (status, answer) = gateway.ask(&ask).await;

        assert_eq!(status, 400, "{api:?}: {}", String::from_utf8_lossy(&answer));
    }
    assert!(gateway.provider.exchanges().is_empty());
}
