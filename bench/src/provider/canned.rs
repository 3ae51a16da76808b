//! Answers made once and given again: the provider under a benchmark must cost next to nothing.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{Response, body::Incoming, http::request::Parts};
use memchr::memmem;

use super::{
    Api, Shared,
    answer::answer as scripted,
    api::{self, Frames},
    ask::Ask,
    behaviour::Behaviour,
    lock,
    route::Route,
};
use crate::http::{Body, Error, full, pieces};

/// What tells answers apart: the path, the model in the body, and whether it is streamed with usage.
pub(super) type Key = (String, Bytes, bool, bool);

/// An answer, ready to be sent.
#[derive(Clone)]
pub(super) struct Canned {
    frames: Arc<[Bytes]>,
    stream: bool,
    wait: Duration,
    stall: Duration,
}

/// Answers without reading more of the body than the model's name.
pub(super) async fn answer(shared: &Shared, head: &Parts, body: Incoming) -> Result<Response<Body>, Error> {
    let body = body.collect().await?.to_bytes();
    let model = member(&body, br#""model":""#).unwrap_or_default();
    let has = |text: &[u8]| memmem::find(&body, text).is_some();
    let (stream, usage) = (has(br#""stream":true"#), has(br#""include_usage":true"#));
    let key = (head.uri.path().to_owned(), model, stream, usage);
    let known = lock(&shared.canned).get(&key).cloned();
    let canned = if let Some(canned) = known {
        canned
    } else {
        let made = make(head, &key)?;
        lock(&shared.canned).insert(key, made.clone());
        made
    };
    if !canned.wait.is_zero() {
        tokio::time::sleep(canned.wait).await;
    }
    if !canned.stream {
        let whole = canned.frames.first().cloned().unwrap_or_default();
        return Ok(Response::builder().header("content-type", "application/json").body(full(whole))?);
    }
    let (sender, streamed) = pieces();
    tokio::spawn(async move {
        for frame in canned.frames.iter() {
            if sender.send(frame.clone()).await.is_err() {
                return;
            }
            if !canned.stall.is_zero() {
                tokio::time::sleep(canned.stall).await;
            }
        }
    });
    Ok(Response::builder().header("content-type", "text/event-stream").body(streamed)?)
}

/// The text after `before`, up to the next quote.
fn member(body: &Bytes, before: &[u8]) -> Option<Bytes> {
    let from = memmem::find(body, before)? + before.len();
    let length = memchr::memchr(b'"', &body[from..])?;
    Some(body.slice(from..from + length))
}

fn make(head: &Parts, (_, model, stream, usage): &Key) -> Result<Canned, Error> {
    let Route::Generate { api, model: named, stream: streamed, sse } = Route::of(head) else {
        return Err(format!("nothing canned for `{}`", head.uri.path()).into());
    };
    let model = named.unwrap_or_else(|| String::from_utf8_lossy(model).into_owned());
    let behaviour = Behaviour::read(&model);
    let ask = Ask { model, stream: streamed.unwrap_or(*stream), include_usage: *usage, ..Ask::default() };
    let answer = scripted(1, &super::Script::default(), &behaviour, &ask);
    let frames = if ask.stream {
        api::frames(api, &answer, &ask, sse || api != Api::Gemini)
    } else {
        Frames { list: vec![api::whole(api, &answer).to_string().into()], ending: 0 }
    };
    let (wait, stall) = (behaviour.wait, behaviour.stall);
    Ok(Canned { frames: frames.list.into(), stream: ask.stream, wait, stall })
}
