//! Answers kept for identical requests, where a model's owner wants that. Off by default.
//!
//! Identical is: the same account, model, dialect, way of delivery and bytes. Only whole, successful
//! answers are kept, as the agent got them, and they live in memory.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::HeaderMap;
use preloop_types::Hash;

/// Longest answer that is kept, and most of all together.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// What an agent wants of the cache, by its header `x-preloop-cache`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) read: bool,
    pub(crate) write: bool,
}

impl Wish {
    /// Reads the header; without one a cache that is on is used.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        match headers.get("x-preloop-cache").map(http::HeaderValue::as_bytes) {
            Some(b"off") => Self { read: false, write: false },
            Some(b"read") => Self { read: true, write: false },
            Some(b"write") => Self { read: false, write: true },
            _ => Self { read: true, write: true },
        }
    }
}

/// An answer as the agent got it.
#[derive(Debug, Clone)]
pub(crate) struct Cached {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<Bytes>,
}

/// The answers that are kept.
#[derive(Default)]
pub(crate) struct Answers(Mutex<Shelf>);

#[derive(Default)]
struct Shelf {
    answers: HashMap<Hash, (Instant, Arc<Cached>, usize)>,
    oldest_first: VecDeque<Hash>,
    bytes: usize,
}

impl Answers {
    /// The answer to a request with this hash, if it is young enough.
    pub(crate) fn find(&self, request: &Hash, age: Duration) -> Option<Arc<Cached>> {
        let shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, cached, _) = shelf.answers.get(request)?;
        (since.elapsed() < age).then(|| cached.clone())
    }

    fn keep(&self, request: Hash, cached: Cached, bytes: usize) {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, _, before)) = shelf.answers.insert(request, (Instant::now(), Arc::new(cached), bytes)) {
            shelf.bytes -= before;
            shelf.oldest_first.retain(|kept| *kept != request);
        }
        shelf.bytes += bytes;
        shelf.oldest_first.push_back(request);
        while shelf.bytes > BYTES_MAX {
            let Some(oldest) = shelf.oldest_first.pop_front() else { return };
            if let Some((_, _, bytes)) = shelf.answers.remove(&oldest) {
                shelf.bytes -= bytes;
            }
        }
    }
}

/// An answer on its way that may be kept once it is whole.
pub(crate) struct Copy {
    answers: Arc<Answers>,
    request: Hash,
    headers: HeaderMap,
    body: Vec<Bytes>,
    bytes: usize,
}

impl Copy {
    pub(crate) fn new(answers: Arc<Answers>, request: Hash, headers: HeaderMap) -> Self {
        Self { answers, request, headers, body: Vec::new(), bytes: 0 }
    }

    pub(crate) fn add(&mut self, bytes: &Bytes) {
        self.bytes += bytes.len();
        if self.bytes <= ANSWER_BYTES_MAX {
            self.body.push(bytes.clone());
        } else {
            self.body.clear();
        }
    }

    /// The answer was whole, and the agent got all of it.
    pub(crate) fn keep(self) {
        let Self { answers, request, headers, body, bytes } = self;
        if bytes > 0 && bytes <= ANSWER_BYTES_MAX {
            answers.keep(request, Cached { headers, body }, bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(answers: &Arc<Answers>, request: &str, bytes: usize) -> Copy {
        let mut copy = Copy::new(answers.clone(), Hash::of(request), HeaderMap::new());
        copy.add(&Bytes::from(vec![b'x'; bytes]));
        copy
    }

    #[test]
    fn an_answer_is_kept_for_its_time_and_within_bounds() {
        let answers = Arc::new(Answers::default());
        copy(&answers, "small", 10).keep();
        copy(&answers, "large", ANSWER_BYTES_MAX + 1).keep();

        assert!(answers.find(&Hash::of("small"), Duration::from_mins(1)).is_some());
        assert!(answers.find(&Hash::of("small"), Duration::ZERO).is_none());
        assert!(answers.find(&Hash::of("large"), Duration::from_mins(1)).is_none());
        for request in 0..100 {
            copy(&answers, &request.to_string(), ANSWER_BYTES_MAX).keep();
        }
        assert!(answers.find(&Hash::of("small"), Duration::from_mins(1)).is_none(), "the oldest goes first");
        assert!(answers.0.lock().is_ok_and(|shelf| shelf.bytes <= BYTES_MAX));
    }
}
