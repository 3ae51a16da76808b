//! Every agent's dialect to every provider's, and back: whole and streamed, in everything agents do.
//!
//! Requests and answers are written by hand in each dialect; what is compared is what they mean.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod answer;
mod ask;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use answer::{Answer, End, PROOF};
use ask::{Ask, Said};
use preloop_dialects::{
    Dialect, Quirks,
    ir::{Part, Request, Response, Role, Signature, Stop, Turn, Unsupported},
    translate::{BadRequest, Carrier, Codec, Collector, Encoded, Reply, Target, codec},
};
use serde_json::Value;

const AGENTS: [Dialect; 4] = [Dialect::Chat, Dialect::Responses, Dialect::Messages, Dialect::Gemini];
const PROVIDERS: [Dialect; 5] =
    [Dialect::Chat, Dialect::Responses, Dialect::Messages, Dialect::Gemini, Dialect::Converse];

/// Keeps in memory, seals in the open.
#[derive(Default)]
struct Memory(Mutex<HashMap<String, (String, Option<Signature>)>>);

impl Carrier for Memory {
    fn seal(&self, signature: &Signature) -> String {
        let mut kept = self.0.lock().unwrap();
        let text = format!("sealed-{}", kept.len());
        kept.insert(text.clone(), (String::new(), Some(signature.clone())));
        text
    }

    fn open(&self, text: &str) -> Result<Option<Signature>, BadRequest> {
        Ok(self.0.lock().unwrap().get(text).filter(|_| text.starts_with("sealed-")).and_then(|kept| kept.1.clone()))
    }

    fn remember(&self, call_id: &str, text: &str, signature: Option<&Signature>) {
        self.0.lock().unwrap().insert(call_id.to_owned(), (text.to_owned(), signature.cloned()));
    }

    fn recall(&self, call_id: &str) -> Option<(String, Option<Signature>)> {
        self.0.lock().unwrap().get(call_id).cloned()
    }
}

/// One agent's dialect, one provider's, one way of answering.
struct Cell {
    agent: Dialect,
    provider: Dialect,
    stream: bool,
    carrier: Arc<Memory>,
}

impl Cell {
    fn all() -> impl Iterator<Item = Cell> {
        let pairs = AGENTS.into_iter().flat_map(|agent| PROVIDERS.into_iter().map(move |provider| (agent, provider)));
        pairs.filter(|(agent, provider)| agent != provider).flat_map(|(agent, provider)| {
            [false, true].map(|stream| Cell { agent, provider, stream, carrier: Arc::default() })
        })
    }

    fn name(&self) -> String {
        let how = if self.stream { "streamed" } else { "whole" };
        format!("{} to {}, {how}", self.agent.as_str(), self.provider.as_str())
    }

    fn agent(&self) -> &'static dyn Codec {
        codec(self.agent)
    }

    fn provider(&self) -> &'static dyn Codec {
        codec(self.provider)
    }

    fn read(&self, body: &Value) -> Request {
        let mut request = self.agent().decode_request(body.to_string().as_bytes(), self.carrier.as_ref()).unwrap();
        request.stream = self.stream;
        request.include_usage = true;
        request
    }

    fn send(&self, request: &Request) -> Result<(Encoded, Value), Unsupported> {
        let model = match self.provider {
            Dialect::Messages => "claude-sonnet-4-5",
            Dialect::Converse => "anthropic.claude-sonnet-4-5-20250929-v1:0",
            Dialect::Gemini => "gemini-3-pro-preview",
            Dialect::Chat | Dialect::Responses => "p",
        };
        // A server that thinks, and wants its thinking back.
        let quirks =
            Quirks { reasoning_field: Some("reasoning_content".to_owned()), reasoning_echo: true, ..Quirks::default() };
        let target = Target { model, max_output: Some(64_000), quirks: &quirks, drop_unsupported: false };
        let encoded = self.provider().encode_request(request, &target)?;
        let body = serde_json::from_slice(&encoded.body).unwrap();
        Ok((encoded, body))
    }

    /// What the agent gets of the provider's answer.
    fn answer(&self, request: &Request, encoded: &Encoded, answer: &Answer) -> Response {
        let reply = Reply {
            model: "m".to_owned(),
            id: "0199".to_owned(),
            created: 1_790_000_000,
            request: Arc::new(request.clone()),
            carrier: Arc::clone(&self.carrier) as Arc<dyn Carrier>,
            sse: true,
        };
        let own = preloop_dialects::translate::Names::default();
        if !self.stream {
            let read = self.provider().decode_response(&answer::whole(self.provider, answer), &encoded.names).unwrap();
            return self.agent().decode_response(&self.agent().encode_response(&read, &reply), &own).unwrap();
        }
        let mut decoder = self.provider().decoder(encoded.names.clone());
        let mut events = Vec::new();
        for piece in answer::streamed(self.provider, answer).chunks(37) {
            decoder.feed(piece, &mut events).unwrap();
        }
        decoder.finish(&mut events);
        let mut encoder = self.agent().encoder(reply);
        let mut frames = Vec::new();
        for event in &events {
            encoder.event(event, &mut frames);
        }
        let mut decoder = self.agent().decoder(own);
        let mut seen = Vec::new();
        decoder.feed(&frames, &mut seen).unwrap();
        decoder.finish(&mut seen);
        let mut collector = Collector::default();
        for event in seen {
            collector.push(event);
        }
        collector
            .finish()
            .unwrap_or_else(|error| panic!("{}: {error}\n{}", self.name(), String::from_utf8_lossy(&frames)))
    }
}

/// Text and calls of an answer.
fn said(response: &Response) -> Vec<String> {
    let mut said: Vec<String> = Vec::new();
    for part in &response.choices[0].parts {
        match part {
            Part::Text { text, .. } | Part::Refusal(text) => said.push(text.clone()),
            Part::ToolCall(call) => {
                let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
                said.push(format!("{} {arguments}", call.name));
            }
            _ => {}
        }
    }
    said
}

/// Asks in every cell, and holds against each other what was asked and received, and what was meant.
fn everywhere(ask: &Ask, answer: &Answer, expected: &[&str], stop: &Stop) {
    for cell in Cell::all() {
        let request = cell.read(&ask::body(cell.agent, ask));
        let (encoded, body) = cell.send(&request).unwrap_or_else(|error| panic!("{}: {error}", cell.name()));
        assert_eq!(ask::facts(cell.provider, &body), ask::expected(ask), "{}\n{body}", cell.name());
        if ask.schema {
            assert!(body.to_string().contains("\"city\""), "{}: {body}", cell.name());
        }
        let mut given = answer.clone();
        if let Some(stand_in) = &encoded.names.answer {
            given.calls = vec![("call_s", stand_in.clone(), given.text.take().unwrap())];
        }
        let received = cell.answer(&request, &encoded, &given);
        assert_eq!(said(&received), expected, "{}", cell.name());
        let ended = match &received.choices[0].stop {
            Stop::Sequence(_) => &Stop::End,
            other => other,
        };
        assert_eq!(ended, stop, "{}", cell.name());
        let usage = received.usage.unwrap();
        assert_eq!((usage.prompt(), usage.cache_read, usage.completion()), (10, 3, 5), "{}", cell.name());
    }
}

fn hello() -> Ask {
    Ask { said: vec![Said::User("Hi.")], max: 1000, ..Ask::default() }
}

fn text(text: &'static str) -> Answer {
    Answer { text: Some(text), ..Answer::default() }
}

fn calls() -> Vec<(&'static str, &'static str, &'static str)> {
    vec![("call_a", "look", r#"{"at":"é"}"#), ("call_b", "list", "{}")]
}

#[test]
fn plain() {
    everywhere(&hello(), &text("Héllo."), &["Héllo."], &Stop::End);
}

#[test]
fn system() {
    everywhere(&Ask { system: Some("Be brief."), ..hello() }, &text("Yes."), &["Yes."], &Stop::End);
}

#[test]
fn several_turns() {
    let said = vec![Said::User("One."), Said::Model("Two."), Said::User("Three.")];
    everywhere(&Ask { said, ..hello() }, &text("Four."), &["Four."], &Stop::End);
}

#[test]
fn an_image() {
    everywhere(&Ask { said: vec![Said::Image("What is it?")], ..hello() }, &text("A cat."), &["A cat."], &Stop::End);
}

#[test]
fn two_tools_at_once() {
    let calls = calls().into_iter().map(|(id, name, arguments)| (id, name.to_owned(), arguments)).collect();
    let answer = Answer { text: Some("I look."), calls, ..Answer::default() };
    let expected = ["I look.", r#"look {"at":"é"}"#, "list {}"];
    everywhere(&Ask { tools: true, ..hello() }, &answer, &expected, &Stop::ToolCalls);
}

#[test]
fn their_results() {
    let results = vec![("call_a", "look", "seen", false), ("call_b", "list", "a, b", false)];
    let said = vec![Said::User("Look."), Said::Calls(calls()), Said::Results(results)];
    everywhere(&Ask { said, tools: true, ..hello() }, &text("Done."), &["Done."], &Stop::End);
}

#[test]
fn a_tool_that_fails() {
    let said = vec![
        Said::User("Look."),
        Said::Calls(vec![("call_a", "look", "{}")]),
        Said::Results(vec![("call_a", "look", "no such file", true)]),
    ];
    everywhere(&Ask { said, tools: true, ..hello() }, &text("Sorry."), &["Sorry."], &Stop::End);
}

#[test]
fn an_answer_that_follows_a_schema() {
    let city = r#"{"city":"Ulm"}"#;
    everywhere(&Ask { schema: true, ..hello() }, &text(city), &[city], &Stop::End);
}

#[test]
fn the_longest_answer() {
    everywhere(&hello(), &Answer { end: End::Length, ..text("To be cont") }, &["To be cont"], &Stop::Length);
}

#[test]
fn a_refusal() {
    for cell in Cell::all() {
        let request = cell.read(&ask::body(cell.agent, &hello()));
        let (encoded, _) = cell.send(&request).unwrap();
        let received = cell.answer(&request, &encoded, &Answer { end: End::Refusal, ..text("No.") });
        assert_eq!(received.choices[0].stop, Stop::Filtered, "{}", cell.name());
    }
}

#[test]
fn a_stop_sequence() {
    let ask = Ask { stop: true, ..hello() };
    for cell in Cell::all().filter(|cell| cell.agent != Dialect::Responses) {
        let request = cell.read(&ask::body(cell.agent, &ask));
        let sent = cell.send(&request);
        if cell.provider == Dialect::Responses {
            assert_eq!(sent.unwrap_err().field, "stop", "{}", cell.name());
            continue;
        }
        let (encoded, body) = sent.unwrap();
        assert_eq!(ask::facts(cell.provider, &body), ask::expected(&ask), "{}", cell.name());
        let received = cell.answer(&request, &encoded, &Answer { end: End::Sequence, ..text("To be") });
        assert!(matches!(received.choices[0].stop, Stop::End | Stop::Sequence(_)), "{}", cell.name());
    }
}

#[test]
fn thinking_that_leads_to_a_call_comes_back_with_its_result() {
    let ask = Ask { tools: true, thinking: true, max: 32_000, ..hello() };
    let answer = Answer {
        thinking: Some("hm, let me see"),
        calls: vec![("call_a", "look".to_owned(), r#"{"at":"x"}"#)],
        ..Answer::default()
    };
    for cell in Cell::all() {
        let request = cell.read(&ask::body(cell.agent, &ask));
        let (encoded, _) = cell.send(&request).unwrap_or_else(|error| panic!("{}: {error}", cell.name()));
        let received = cell.answer(&request, &encoded, &answer);
        let parts = received.choices[0].parts.clone();
        let shown =
            parts.iter().any(|part| matches!(part, Part::Reasoning(thought) if thought.text == "hm, let me see"));
        assert!(shown, "{}: {parts:?}", cell.name());

        // The agent sends back what it got, in its own dialect, with the result.
        let call = parts.iter().find_map(|part| match part {
            Part::ToolCall(call) => Some((call.id.clone(), call.name.clone())),
            _ => None,
        });
        let (call_id, name) = call.unwrap();
        let result = Part::ToolResult {
            call_id,
            name: Some(name),
            parts: vec![Part::Text { text: "seen".to_owned(), cache: None }],
            is_error: None,
            cache: None,
        };
        let mut next = request.clone();
        next.turns.push(Turn { role: Role::Assistant, parts });
        next.turns.push(Turn { role: Role::User, parts: vec![result] });
        let own =
            Target { model: "claude-sonnet-4-5", max_output: None, quirks: &Quirks::default(), drop_unsupported: true };
        let body = cell.agent().encode_request(&next, &own).unwrap().body;
        let next = cell.read(&serde_json::from_slice(&body).unwrap());
        let (_, body) = cell.send(&next).unwrap_or_else(|error| panic!("{}: {error}", cell.name()));
        let proof = if cell.provider == Dialect::Chat { "hm, let me see" } else { PROOF };
        assert!(body.to_string().contains(proof), "{}: {body}", cell.name());
    }
}
