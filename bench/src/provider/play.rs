//! Writes an answer to the connection as its model behaves, and sees how it ends.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame};
use tokio::sync::mpsc;

use super::{
    End, Exchange,
    api::Frames,
    behaviour::{Behaviour, Writes},
    lock,
};
use crate::http::{Body, Error};

/// Lets what was written before reach the peer before the connection breaks.
const BEFORE_A_CUT: Duration = Duration::from_millis(20);

/// One exchange while it lasts. Dropped without an end, it was abandoned by the caller.
pub(super) struct Watch(Arc<Mutex<Exchange>>);

impl Watch {
    pub(super) fn new(exchange: Arc<Mutex<Exchange>>) -> Self {
        Self(exchange)
    }

    pub(super) fn note(&self, change: impl FnOnce(&mut Exchange)) {
        change(&mut lock(&self.0));
    }

    pub(super) fn end(&self, end: End) {
        self.note(|exchange| {
            exchange.end.get_or_insert((end, Instant::now()));
        });
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end(End::Abandoned);
    }
}

/// A body of pieces that may fail, which breaks the connection.
struct Pieces(mpsc::Receiver<Result<Bytes, Error>>);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

/// The body that plays `frames`. `error` is what stands in for a frame that fails.
pub(super) fn play(frames: Frames, behaviour: &Behaviour, error: Bytes, watch: Watch) -> Body {
    // One piece at a time, so that the count of frames sent is nearly true.
    let (sender, receiver) = mpsc::channel(1);
    let behaviour = behaviour.clone();
    tokio::spawn(async move {
        let player = Player { sender, behaviour, watch };
        // A caller that goes away ends the player at whatever it waits for.
        tokio::select! {
            () = player.sender.closed() => {}
            () = player.run(frames, error) => {}
        }
    });
    Pieces(receiver).boxed_unsync()
}

struct Player {
    sender: mpsc::Sender<Result<Bytes, Error>>,
    behaviour: Behaviour,
    watch: Watch,
}

impl Player {
    async fn run(&self, mut frames: Frames, error: Bytes) {
        if self.behaviour.unfinished {
            frames.list.truncate(frames.list.len() - frames.ending);
        }
        if self.behaviour.writes == Writes::Joined {
            frames.list = vec![frames.list.concat().into()];
        }
        for (n, frame) in frames.list.into_iter().enumerate() {
            if n > 0 && !self.behaviour.stall.is_zero() {
                tokio::time::sleep(self.behaviour.stall).await;
            }
            if self.behaviour.hang == Some(n) {
                std::future::pending::<()>().await;
            }
            if self.behaviour.cut == Some(n) {
                self.send(frame.slice(..frame.len() / 2)).await;
                tokio::time::sleep(BEFORE_A_CUT).await;
                self.watch.end(End::Cut);
                let _ = self.sender.send(Err("cut".into())).await;
                return;
            }
            if self.behaviour.error_at == Some(n) {
                self.send(error).await;
                break;
            }
            if self.behaviour.comments {
                self.send(Bytes::from_static(b": MOCK PROCESSING\n\n")).await;
            }
            self.write(frame).await;
            self.watch.note(|exchange| exchange.frames = n + 1);
        }
        self.watch.end(End::Whole);
    }

    async fn write(&self, frame: Bytes) {
        match self.behaviour.writes {
            Writes::Frames | Writes::Joined => self.send(frame).await,
            Writes::Bytes => {
                for at in 0..frame.len() {
                    self.send(frame.slice(at..=at)).await;
                    tokio::task::yield_now().await;
                }
            }
            Writes::Split => {
                let inside = frame.iter().position(|byte| *byte >= 0x80).map_or(frame.len() / 2, |at| at + 1);
                self.send(frame.slice(..inside)).await;
                tokio::time::sleep(Duration::from_millis(2)).await;
                self.send(frame.slice(inside..)).await;
            }
        }
    }

    async fn send(&self, piece: Bytes) {
        if self.sender.send(Ok(piece.clone())).await.is_ok() {
            self.watch.note(|exchange| exchange.sent.extend_from_slice(&piece));
        }
    }
}
