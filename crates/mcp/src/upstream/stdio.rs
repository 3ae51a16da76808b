//! A server that is a child process of ours.
//!
//! It leads a process group of its own, so that what it starts ends with it: SIGTERM, five
//! seconds, SIGKILL, to the whole group. Should this process be killed outright, the child's
//! standard input ends, on which every well-behaved server exits.

use std::{
    collections::{BTreeMap, VecDeque},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use preloop_types::redact::redact_text;
use process_wrap::tokio::{ChildWrapper, CommandWrap, KillOnDrop, ProcessGroup};
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{ChildStdin, Command},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    UpstreamError,
    pipe::{Out, Pipe},
    switchboard::Switchboard,
};

/// What a child inherits of our environment; everything else is named in its configuration.
const INHERITED: &[&str] = &["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"];
const SIGTERM: i32 = 15;
const GRACE: Duration = Duration::from_secs(5);
/// How long the end of the process and the end of its output may lie apart.
const LAST_WORDS: Duration = Duration::from_millis(500);
const STDERR_MAX: usize = 64 * 1024;

/// What to run.
#[derive(Debug)]
pub(super) struct Program<'a> {
    pub(super) command: &'a str,
    pub(super) args: &'a [String],
    pub(super) cwd: Option<&'a str>,
    pub(super) env: BTreeMap<String, SecretString>,
    /// Longest message it may send.
    pub(super) limit: usize,
}

/// The last 64 KiB a process wrote to stderr, over all its restarts.
#[derive(Debug, Default)]
pub(super) struct Tail(Mutex<VecDeque<u8>>);

impl Tail {
    fn push(&self, bytes: &[u8]) {
        let mut tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend(bytes);
        let excess = tail.len().saturating_sub(STDERR_MAX);
        tail.drain(..excess);
    }

    /// As text, without what looks like a secret.
    pub(super) fn text(&self) -> String {
        let bytes: Vec<u8> = self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        redact_text(&text).unwrap_or(text)
    }

    /// The last line, for an error message.
    pub(super) fn last_line(&self) -> Option<String> {
        let text = self.text();
        text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(|line| line.chars().take(200).collect())
    }
}

/// Starts the program; it ends when `stop` fires or the pipe closes. `tasks` tells when it has.
pub(super) fn spawn(
    program: &Program<'_>,
    board: Arc<Switchboard>,
    stderr: Arc<Tail>,
    stop: CancellationToken,
    tasks: &TaskTracker,
) -> Result<Arc<Pipe>, UpstreamError> {
    let mut command = Command::new(program.command);
    command.args(program.args).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.envs(INHERITED.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))));
    command.envs(program.env.iter().map(|(name, value)| (name, value.expose_secret())));
    if let Some(cwd) = program.cwd {
        command.current_dir(cwd);
    }
    let mut child = CommandWrap::from(command)
        .wrap(ProcessGroup::leader())
        .wrap(KillOnDrop)
        .spawn()
        .map_err(|error| UpstreamError::Connect(spawn_error(program, &error)))?;

    let (Some(stdin), Some(stdout), Some(errors)) =
        (child.stdin().take(), child.stdout().take(), child.stderr().take())
    else {
        return Err(UpstreamError::Connect("the process has no standard streams".to_owned()));
    };
    let (lines, queued) = mpsc::channel(64);
    let pipe = Arc::new(Pipe::new(Out::Lines(lines), board));
    tokio::spawn(write(stdin, queued, Arc::clone(&pipe)));
    let reader = tokio::spawn(read(stdout, Arc::clone(&pipe), Arc::clone(&stderr), program.limit));
    tokio::spawn(keep(errors, stderr));
    tasks.spawn(supervise(child, reader, Arc::clone(&pipe), stop));
    Ok(pipe)
}

fn spawn_error(program: &Program<'_>, error: &std::io::Error) -> String {
    let command = program.command;
    match (error.kind(), program.cwd) {
        (std::io::ErrorKind::NotFound, Some(cwd)) if !std::path::Path::new(cwd).is_dir() => {
            format!("directory `{cwd}` does not exist")
        }
        (std::io::ErrorKind::NotFound, _) => format!("`{command}` was not found: install it, or give its full path"),
        _ => format!("`{command}` cannot be started: {error}"),
    }
}

/// Waits for the end of the process, or brings it about.
async fn supervise(
    mut child: Box<dyn ChildWrapper>,
    mut reader: JoinHandle<()>,
    pipe: Arc<Pipe>,
    stop: CancellationToken,
) {
    let ended = tokio::select! {
        status = child.wait() => Some(status),
        _ = &mut reader => tokio::time::timeout(LAST_WORDS, child.wait()).await.ok(),
        () = stop.cancelled() => None,
        () = pipe.closed() => None,
    };
    if ended.is_some() && !reader.is_finished() {
        // What it wrote before it ended still counts.
        let _ = tokio::time::timeout(LAST_WORDS, &mut reader).await;
    }
    match &ended {
        Some(Ok(status)) => pipe.close(format!("the process ended ({status})")),
        Some(Err(error)) => pipe.close(format!("the process was lost: {error}")),
        None => pipe.close("the process was stopped"),
    }
    if ended.is_none() {
        let _ = child.signal(SIGTERM);
        let _ = tokio::time::timeout(GRACE, child.wait()).await;
    }
    // Whatever the process started and left behind.
    let _ = child.start_kill();
    let _ = child.wait().await;
}

async fn write(mut stdin: ChildStdin, mut lines: mpsc::Receiver<String>, pipe: Arc<Pipe>) {
    loop {
        let mut line = tokio::select! {
            Some(line) = lines.recv() => line,
            () = pipe.closed() => return,
        };
        line.push('\n');
        let written = tokio::select! {
            written = stdin.write_all(line.as_bytes()) => written,
            () = pipe.closed() => return,
        };
        if written.is_err() {
            // The process is going; its supervisor says why.
            return;
        }
    }
}

async fn read(stdout: impl AsyncRead + Unpin, pipe: Arc<Pipe>, stderr: Arc<Tail>, limit: usize) {
    let mut stdout = BufReader::with_capacity(64 * 1024, stdout);
    loop {
        let line = tokio::select! {
            line = next_line(&mut stdout, limit) => line,
            () = pipe.closed() => return,
        };
        match line {
            Ok(Some(Line::Whole(line))) if line.trim_ascii().is_empty() => {}
            Ok(Some(Line::Whole(line))) => {
                if pipe.received(&line).await.is_err() {
                    // Not a message: a banner or a stray print, which belongs with the rest.
                    stderr.push(&line);
                    stderr.push(b"\n");
                }
            }
            Ok(Some(Line::TooLong { head, tail })) => too_long(&pipe, &head, &tail, limit),
            // The supervisor closes the pipe, with the exit status if there is one.
            Ok(None) | Err(_) => return,
        }
    }
}

/// Fails the call whose answer was too long to keep, as far as its beginning or end tells which.
fn too_long(pipe: &Pipe, head: &[u8], tail: &[u8], limit: usize) {
    let in_flight = pipe.board.in_flight();
    let named = [find_id(head, false), find_id(tail, true)].into_iter().flatten().find(|id| in_flight.contains(id));
    let only = (in_flight.len() == 1).then(|| in_flight[0]);
    if let Some(id) = named.or(only) {
        pipe.board.settle(id, Err(UpstreamError::TooLarge(limit as u64)));
    }
}

fn find_id(part: &[u8], last: bool) -> Option<u64> {
    let text = String::from_utf8_lossy(part);
    let at = if last { text.rfind("\"id\":") } else { text.find("\"id\":") }? + 5;
    let digits: String = text[at..].trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

enum Line {
    Whole(Vec<u8>),
    /// The first and last bytes of a line that was not kept.
    TooLong {
        head: Vec<u8>,
        tail: Vec<u8>,
    },
}

/// Reads up to and including a line feed. Not safe to drop half-way, except to stop reading.
async fn next_line(reader: &mut (impl AsyncBufRead + Unpin), limit: usize) -> std::io::Result<Option<Line>> {
    const KEPT: usize = 128;
    let mut line = Vec::new();
    let mut dropped: Option<Vec<u8>> = None;
    loop {
        let available = reader.fill_buf().await?;
        if available.is_empty() {
            return Ok(None);
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(available.len(), |end| end + 1);
        line.extend_from_slice(&available[..end.unwrap_or(taken)]);
        reader.consume(taken);
        if line.len() > limit {
            let head = dropped.get_or_insert_with(|| line[..KEPT.min(line.len())].to_vec());
            debug_assert!(head.len() <= KEPT);
            line.drain(..line.len().saturating_sub(KEPT));
        }
        if end.is_some() {
            return Ok(Some(match dropped {
                None => Line::Whole(line),
                Some(head) => Line::TooLong { head, tail: line.split_off(line.len().saturating_sub(KEPT)) },
            }));
        }
    }
}

async fn keep(mut errors: impl AsyncRead + Unpin, tail: Arc<Tail>) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = errors.read(&mut buffer).await {
        tail.push(&buffer[..read]);
    }
}
