//! `preloop mcp bridge`: a stdio MCP server that forwards to the HTTP endpoint.
//!
//! For clients that can only start a process. One JSON-RPC message per line comes in and goes
//! out; nothing else is ever written. The credential stays here: the client's configuration
//! holds a command, not a token.

mod link;
mod mirror;

use std::{
    collections::HashMap,
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::HeaderMap;
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    sync::{Semaphore, mpsc},
    task::{AbortHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::protocol::{Envelope, Id, Message, Notification, Response};
use link::Link;

/// How a bridge works.
#[derive(Clone)]
pub struct BridgeOptions {
    /// The endpoint.
    pub url: Url,
    /// Reads the bearer credential. Called again when the server refuses it, for it may have been
    /// rotated.
    pub credential: Arc<dyn Fn() -> io::Result<String> + Send + Sync>,
    /// Further headers of every request.
    pub headers: HeaderMap,
    /// How long to wait for a server that is not there yet.
    pub connect_timeout: Duration,
    /// Most requests under way at once.
    pub in_flight: usize,
    /// Longest line, in bytes.
    pub line_bytes: usize,
    /// How long requests under way may take when the input has ended.
    pub drain: Duration,
}

impl BridgeOptions {
    /// The defaults for `url`.
    pub fn new(url: Url, credential: Arc<dyn Fn() -> io::Result<String> + Send + Sync>) -> Self {
        Self {
            url,
            credential,
            headers: HeaderMap::new(),
            connect_timeout: Duration::from_secs(10),
            in_flight: 64,
            line_bytes: 8 << 20,
            drain: Duration::from_secs(1),
        }
    }
}

impl fmt::Debug for BridgeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BridgeOptions").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

/// Why a bridge could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// The HTTP client cannot be built.
    #[error("cannot set up HTTP: {0}")]
    Http(#[from] reqwest::Error),
    /// The input or output broke.
    #[error("the client's end broke: {0}")]
    Io(#[from] io::Error),
}

/// Carries messages until `input` ends or `stop` fires, then ends the session.
pub async fn run(
    options: BridgeOptions,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin + Send + 'static,
    stop: CancellationToken,
) -> Result<(), BridgeError> {
    let (lines, written) = mpsc::channel(256);
    let writer = tokio::spawn(write(output, written));
    let (line_bytes, drain) = (options.line_bytes, options.drain);
    let in_flight = Arc::new(Semaphore::new(options.in_flight));
    let stop = stop.child_token();
    let link = Arc::new(Link::new(options, lines, stop.clone())?);
    let mut bridge = Bridge { link: Arc::clone(&link), in_flight, tasks: JoinSet::new(), modern: Arc::default() };

    let mut input = BufReader::new(input);
    let ended = loop {
        let line = tokio::select! {
            () = stop.cancelled() => break Ok(()),
            line = read_line(&mut input, line_bytes) => line,
        };
        match line {
            Ok(Some(line)) => bridge.take(line).await,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error.into()),
        }
    };
    if !stop.is_cancelled() {
        let _ = tokio::time::timeout(drain, async { while bridge.tasks.join_next().await.is_some() {} }).await;
    }
    stop.cancel();
    bridge.tasks.shutdown().await;
    link.close().await;
    drop((bridge, link));
    // The listening stream lets go of the output when it notices; the client no longer cares.
    let _ = tokio::time::timeout(Duration::from_secs(1), writer).await;
    ended
}

struct Bridge {
    link: Arc<Link>,
    in_flight: Arc<Semaphore>,
    tasks: JoinSet<()>,
    /// Modern requests under way: giving one up means closing its connection.
    modern: Arc<Mutex<HashMap<Id, AbortHandle>>>,
}

impl Bridge {
    /// Carries one line, side by side with the others.
    async fn take(&mut self, line: Vec<u8>) {
        while self.tasks.try_join_next().is_some() {}
        let text = line.trim_ascii();
        if text.is_empty() {
            return;
        }
        let link = Arc::clone(&self.link);
        let body = String::from_utf8_lossy(text).into_owned();
        if text.first() == Some(&b'[') {
            self.tasks.spawn(async move { link.pass(&body).await });
            return;
        }
        match Envelope::parse(text) {
            Ok(Message::Request(request)) => {
                let in_flight = Arc::clone(&self.in_flight);
                let (id, modern) = (request.id.clone(), Arc::clone(&self.modern));
                let stands_alone = mirror::stated_version(&request).is_some();
                let handle = self.tasks.spawn(async move {
                    // Waited for here, so that a notification can still get past.
                    let _permit = in_flight.acquire().await;
                    let id = request.id.clone();
                    link.request(request).await;
                    lock(&modern).remove(&id);
                });
                if stands_alone && !handle.is_finished() {
                    lock(&self.modern).insert(id, handle);
                }
            }
            Ok(Message::Notification(notification)) => {
                if let Some(handle) = self.given_up(&notification) {
                    handle.abort();
                    return;
                }
                // In order, so that the client is ready before it is told anything.
                link.pass(&body).await;
                if notification.method == "notifications/initialized" {
                    link.listen();
                }
            }
            Ok(Message::Response(_)) => {
                self.tasks.spawn(async move { link.pass(&body).await });
            }
            Err(error) => self.link.say(&Response { id: None, result: Err(error) }.to_json()).await,
        }
    }

    /// The modern request a notification gives up.
    fn given_up(&self, notification: &Notification) -> Option<AbortHandle> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Cancelled {
            request_id: Box<serde_json::value::RawValue>,
        }
        if notification.method != "notifications/cancelled" {
            return None;
        }
        let cancelled: Cancelled = serde_json::from_str(notification.params.as_ref()?.get()).ok()?;
        lock(&self.modern).remove(&Id(Arc::from(cancelled.request_id)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The next line; `None` at the end.
async fn read_line(input: &mut (impl AsyncBufRead + Unpin), most: usize) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let read = input.take(most as u64 + 1).read_until(b'\n', &mut line).await?;
    if read > most {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a line is longer than {most} bytes")));
    }
    Ok((read > 0).then_some(line))
}

async fn write(mut output: impl AsyncWrite + Unpin, mut lines: mpsc::Receiver<String>) -> io::Result<()> {
    while let Some(mut line) = lines.recv().await {
        line.push('\n');
        output.write_all(line.as_bytes()).await?;
        output.flush().await?;
    }
    Ok(())
}
