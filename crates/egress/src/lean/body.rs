use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    vec,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// A request body in pieces, which are written one after another without being joined.
#[derive(Debug, Clone, Default)]
pub struct Chunks {
    rest: vec::IntoIter<Bytes>,
    bytes: u64,
}

impl From<Vec<Bytes>> for Chunks {
    fn from(chunks: Vec<Bytes>) -> Self {
        let bytes = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        Self { rest: chunks.into_iter(), bytes }
    }
}

impl From<Bytes> for Chunks {
    fn from(chunk: Bytes) -> Self {
        vec![chunk].into()
    }
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let next = this.rest.find(|chunk| !chunk.is_empty());
        if let Some(chunk) = &next {
            this.bytes -= chunk.len() as u64;
        }
        Poll::Ready(next.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes)
    }
}
