//! What the same-dialect path costs. Only a release build says anything:
//! `cargo test --release -p preloop-dialects --test speed -- --ignored --nocapture`

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use bytes::Bytes;
use preloop_dialects::{
    Dialect, Operation,
    scan::{Edits, read},
    usage::Meter,
};

/// The median of many runs.
fn median(mut run: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..301)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

/// A conversation of `bytes`, with a line break every 60 characters, as code has.
fn conversation(bytes: usize) -> Bytes {
    let turn = format!(
        r#"{{"role":"user","content":"{}"}},"#,
        r"fn main() { let x = compute(1, 2); println(x); } // text\n".repeat(50)
    );
    let turns = turn.repeat(bytes / turn.len());
    Bytes::from(format!(r#"{{"model":"m","max_tokens":9,"stream":true,"messages":[{}]}}"#, turns.trim_end_matches(',')))
}

fn tools(count: usize) -> Bytes {
    let tool = r#"{"name":"read","description":"Reads a file\nfrom disk.","input_schema":{"type":"object","properties":{"path":{"type":"string","description":"where"},"lines":{"type":"array","items":{"type":"integer"}}},"required":["path"],"additionalProperties":false}},"#;
    let tools = tool.repeat(count);
    Bytes::from(format!(r#"{{"model":"m","tools":[{}],"messages":[]}}"#, tools.trim_end_matches(',')))
}

#[test]
#[ignore = "a measurement"]
fn the_same_dialect_path_costs_little() {
    for (what, body, most) in [
        ("1 KiB chat", conversation(4096), 5),
        ("64 KiB chat", conversation(64 * 1024), 40),
        ("1 MB chat", conversation(1_000_000), 600),
        ("64 KiB of tools", tools(250), 150),
    ] {
        let scan = median(|| drop(black_box(read(Dialect::Messages, Operation::Generate, &body).unwrap())));
        let facts = read(Dialect::Messages, Operation::Generate, &body).unwrap();
        let edits = Edits { model: Some("real"), include_usage: true, ..Edits::default() };
        let rewrite = median(|| drop(black_box(facts.rewrite(&body, &edits))));
        println!("{what}, {} bytes: scan {scan:?}, rewrite {rewrite:?}", body.len());
        assert!(cfg!(debug_assertions) || scan + rewrite < Duration::from_micros(most), "{what}: more than {most} µs");
    }

    let frame = r#"data: {"id":"chatcmpl-123","object":"chat.completion.chunk","created":1700000000,"model":"gpt","choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null}],"usage":null}"#.to_owned() + "\n\n";
    let stream = median(|| {
        let mut meter = Meter::new(Dialect::Chat, Operation::Generate);
        (0..20).for_each(|_| meter.feed(frame.as_bytes()));
        black_box(meter.finish());
    });
    println!("20 frames metered: {stream:?}");
    assert!(cfg!(debug_assertions) || stream < Duration::from_micros(20));
}
