//! A load generator without coordinated omission.
//!
//! Closed loop: each connection sends its next request when the last one was answered; that gives
//! throughput. Open loop: requests are due at a fixed rate whether or not earlier ones came back,
//! and latency counts from the moment a request was due; that gives honest percentiles.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{HeaderMap, Request, StatusCode};
use tokio::task::{JoinSet, LocalSet};

use crate::http::{Connection, Error, Reply, full};

/// What to send where.
#[derive(Clone)]
pub struct Load {
    /// The server.
    pub addr: SocketAddr,
    /// The path of the endpoint.
    pub path: String,
    /// Headers, one set for each connection.
    pub headers: Vec<HeaderMap>,
    /// The body of the n-th request.
    pub body: Rc<dyn Fn(u64) -> Bytes>,
    /// An answer without this text counts as an error.
    pub expect: &'static str,
}

/// How long, and whether at a fixed rate.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Runs unmeasured first.
    pub warm_up: Duration,
    /// Then measured.
    pub measured: Duration,
    /// Requests per second; as fast as answers come back when absent.
    pub rate: Option<u32>,
}

/// What came out.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Right answers.
    pub ok: u64,
    /// Wrong answers and broken connections.
    pub failed: u64,
    /// The first wrong answer, for people.
    pub failure: Option<String>,
    /// Right answers per second.
    pub per_second: f64,
    /// Latency of right answers, sorted.
    latencies: Vec<Duration>,
    /// The same up to the first byte of their bodies.
    first_bytes: Vec<Duration>,
}

impl Outcome {
    /// The latency that the share `q` of answers did not exceed.
    pub fn quantile(&self, q: f64) -> Duration {
        at(&self.latencies, q)
    }

    /// The same up to the first byte of the body.
    pub fn first_byte(&self, q: f64) -> Duration {
        at(&self.first_bytes, q)
    }
}

fn at(sorted: &[Duration], q: f64) -> Duration {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index"
    )]
    let at = (sorted.len() as f64 * q) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// Runs `load` at `pace`, one task for each set of headers, all on the calling thread.
pub async fn run(load: &Load, pace: Pace) -> Outcome {
    let start = Instant::now();
    let from = start + pace.warm_up;
    let until = from + pace.measured;
    let outcome = Rc::new(RefCell::new(Outcome::default()));
    let next = Rc::new(Cell::new(0_u64));
    LocalSet::new()
        .run_until(async {
            let mut connections = JoinSet::new();
            for headers in load.headers.clone() {
                let (load, outcome, next) = (load.clone(), outcome.clone(), next.clone());
                connections.spawn_local(async move {
                    let mut connection = Connection::new(load.addr);
                    loop {
                        let n = next.get();
                        next.set(n + 1);
                        let due = match pace.rate {
                            Some(rate) => start + Duration::from_secs(n) / rate,
                            None => Instant::now(),
                        };
                        if due >= until {
                            break;
                        }
                        wait_until(due).await;
                        let reply = connection.post(&load.path, &headers, (load.body)(n)).await;
                        let now = Instant::now();
                        // A closed loop counts what ends inside the window, an open one what was due in it.
                        if due < from || (pace.rate.is_none() && now > until) {
                            continue;
                        }
                        let mut outcome = outcome.borrow_mut();
                        match reply {
                            Ok(reply) if reply.status == StatusCode::OK && contains(&reply.body, load.expect) => {
                                outcome.ok += 1;
                                outcome.latencies.push(now - due);
                                outcome.first_bytes.extend(reply.first_byte.map(|first| first - due));
                            }
                            reply => {
                                outcome.failed += 1;
                                outcome.failure.get_or_insert_with(|| format!("{reply:?}").chars().take(400).collect());
                            }
                        }
                    }
                });
            }
            connections.join_all().await;
        })
        .await;
    let mut outcome = Rc::try_unwrap(outcome).map(RefCell::into_inner).unwrap_or_default();
    outcome.latencies.sort_unstable();
    outcome.first_bytes.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let ok = outcome.ok as f64;
    outcome.per_second = ok / pace.measured.as_secs_f64();
    outcome
}

/// Sends `requests`, of which two in three are given up: at once, or after some of the answer. How many
/// answers were read to their end.
pub async fn abort_at_random(load: &Load, requests: u64) -> u64 {
    let next = Rc::new(Cell::new(0_u64));
    let whole = Rc::new(Cell::new(0_u64));
    LocalSet::new()
        .run_until(async {
            let mut connections = JoinSet::new();
            for (seed, headers) in (1..).zip(load.headers.clone()) {
                let (load, next, whole) = (load.clone(), next.clone(), whole.clone());
                connections.spawn_local(async move {
                    let mut dice = Dice(seed);
                    while next.get() < requests {
                        let n = next.get();
                        next.set(n + 1);
                        let keep = match dice.below(3) {
                            0 => usize::MAX,
                            1 => 0,
                            _ => 1 + dice.below(18),
                        };
                        if keep == usize::MAX {
                            let reply = Connection::new(load.addr).post(&load.path, &headers, (load.body)(n)).await;
                            let right = |reply: Reply| contains(&reply.body, load.expect);
                            whole.set(whole.get() + u64::from(reply.is_ok_and(right)));
                        } else {
                            // An error is an abort too.
                            let _ = give_up_after(&load, &headers, (load.body)(n), keep).await;
                        }
                    }
                });
            }
            connections.join_all().await;
        })
        .await;
    whole.get()
}

/// Sends a request and closes the connection after `pieces` of the answer.
async fn give_up_after(load: &Load, headers: &HeaderMap, body: Bytes, pieces: usize) -> Result<(), Error> {
    let mut connection = Connection::new(load.addr);
    let mut request =
        Request::post(&load.path).header("host", load.addr.to_string()).header("content-type", "application/json");
    if let Some(all) = request.headers_mut() {
        all.extend(headers.clone());
    }
    let mut answer = connection.send(request.body(full(body))?).await?.into_body();
    for _ in 0..pieces {
        if answer.frame().await.transpose()?.is_none() {
            break;
        }
    }
    Ok(())
}

/// The same numbers in every run (xorshift).
struct Dice(usize);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Waits to the microsecond: the runtime's timer alone is a millisecond late.
async fn wait_until(due: Instant) {
    const TIMER_ERROR: Duration = Duration::from_millis(2);
    if let Some(early) = due.saturating_duration_since(Instant::now()).checked_sub(TIMER_ERROR) {
        tokio::time::sleep(early).await;
    }
    while Instant::now() < due {
        tokio::task::yield_now().await;
    }
}

fn contains(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|window| window == text.as_bytes())
}
