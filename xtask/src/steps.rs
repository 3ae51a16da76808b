//! Runs steps one after the other, says what each did and how long it took, and adds up.

use std::{
    io::{BufRead, BufReader, IsTerminal, Read, Write},
    process::{Command, ExitCode, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Error, Result};

/// The steps of one run and what came of them.
pub(crate) struct Steps {
    strict: bool,
    passed: u64,
    failed: u64,
    notes: Vec<String>,
    began: Instant,
}

impl Steps {
    /// With `strict`, what is skipped counts as failed.
    pub(crate) fn new(strict: bool) -> Self {
        Self { strict, passed: 0, failed: 0, notes: Vec::new(), began: Instant::now() }
    }

    /// A command that passes or fails as a whole.
    pub(crate) fn check(&mut self, title: &str, command: &mut Command) {
        self.run(title, || {
            let status =
                command.status().with_context(|| format!("cannot start `{}`", command.get_program().display()))?;
            anyhow::ensure!(status.success(), "`{}` failed", shown(command));
            Ok(())
        });
    }

    /// Work that passes or fails as a whole.
    pub(crate) fn run(&mut self, title: &str, work: impl FnOnce() -> Result<()>) {
        let began = begin(title);
        let result = work();
        end(title, began, result.is_ok());
        match result {
            Ok(()) => self.passed += 1,
            Err(error) => self.fail(title, &error),
        }
    }

    /// Work done so that later steps can run; not counted unless it fails or is skipped.
    pub(crate) fn prepare<T>(&mut self, title: &str, work: impl FnOnce() -> Result<T, Missing>) -> Option<T> {
        let began = begin(title);
        let result = work();
        end(title, began, result.is_ok());
        match result {
            Ok(made) => Some(made),
            Err(Missing::Tool(why)) => {
                self.skip(title, &why);
                None
            }
            Err(Missing::Failed(error)) => {
                self.fail(title, &error);
                None
            }
        }
    }

    /// A command that runs tests and says how many (nextest or the built-in harness).
    pub(crate) fn tests(&mut self, title: &str, command: &mut Command) {
        let began = begin(title);
        let result = counted(command);
        let ok = matches!(&result, Ok((counts, true)) if counts.failed == 0);
        end(title, began, ok);
        match result {
            Err(error) => self.fail(title, &error),
            Ok((counts, success)) => {
                self.passed += counts.passed;
                // A command that fails without a failed test did not build.
                let failed = if success { counts.failed } else { counts.failed.max(1) };
                self.failed += failed;
                if failed > 0 {
                    self.notes.push(format!("FAILED   {title}: {failed} of {}", counts.passed + failed));
                }
                // Ignored in the code, for a reason that stands there; nothing this machine lacks.
                if counts.skipped > 0 {
                    self.notes.push(format!("ignored  {title}: {}", counts.skipped));
                }
            }
        }
    }

    /// Notes that something was not checked.
    pub(crate) fn skip(&mut self, title: &str, why: &str) {
        println!("   skipped: {why}");
        self.failed += u64::from(self.strict);
        self.notes.push(format!("{}  {title}: {why}", if self.strict { "FAILED (skipped)" } else { "skipped" }));
    }

    fn fail(&mut self, title: &str, error: &Error) {
        println!("   failed: {error:#}");
        self.failed += 1;
        self.notes.push(format!("FAILED   {title}: {error:#}"));
    }

    /// Prints what was skipped or failed, and last the plain line `N passed, N failed`.
    pub(crate) fn finish(self) -> ExitCode {
        println!("\nran for {}", seconds(self.began.elapsed()));
        for note in &self.notes {
            println!("{note}");
        }
        println!("{} passed, {} failed", self.passed, self.failed);
        if self.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Why something a later step needs is not there.
pub(crate) enum Missing {
    /// The machine lacks a tool; the text says which and how to get it.
    Tool(String),
    /// It was tried and went wrong.
    Failed(Error),
}

impl From<Error> for Missing {
    fn from(error: Error) -> Self {
        Missing::Failed(error)
    }
}

fn begin(title: &str) -> Instant {
    println!("\n── {title}");
    let _ = std::io::stdout().flush();
    Instant::now()
}

fn end(title: &str, began: Instant, ok: bool) {
    println!("── {title}: {} in {}", if ok { "done" } else { "not done" }, seconds(began.elapsed()));
}

fn seconds(took: Duration) -> String {
    format!("{}.{} s", took.as_secs(), took.subsec_millis() / 100)
}

/// The command as a person would type it.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

#[derive(Default, Debug, PartialEq)]
struct Counts {
    passed: u64,
    failed: u64,
    skipped: u64,
}

/// Runs the command, passes its output on as it comes, and adds up what it says about tests.
fn counted(command: &mut Command) -> Result<(Counts, bool)> {
    if std::io::stderr().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", command.get_program().display()))?;
    let (sender, lines) = mpsc::channel();
    for stream in [child.stdout.take().map(boxed), child.stderr.take().map(boxed)].into_iter().flatten() {
        let sender = sender.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
    }
    drop(sender);

    let mut counts = Counts::default();
    for line in lines {
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        counts.add(&plain(&line));
    }
    Ok((counts, child.wait().context("the command was lost")?.success()))
}

fn boxed(stream: impl Read + Send + 'static) -> Box<dyn Read + Send> {
    Box::new(stream)
}

impl Counts {
    /// Reads `Summary [1s] 11 tests run: 10 passed (1 slow), 1 failed, 0 skipped` or
    /// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; …`.
    fn add(&mut self, line: &str) {
        let summary = if line.trim_start().starts_with("Summary [") {
            line.split_once(" run: ").map(|(_, rest)| rest)
        } else {
            // Nextest shows what a failed test's own harness said, indented: that is not counted twice.
            line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")).map(|(_, rest)| rest)
        };
        for part in without_parentheses(summary.unwrap_or_default()).split([',', ';']) {
            let Some((number, what)) = part.trim().split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what.trim() {
                "passed" => self.passed += number,
                "failed" | "timed out" | "exec failed" => self.failed += number,
                "skipped" | "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }
}

fn without_parentheses(text: &str) -> String {
    let mut depth = 0_u32;
    text.chars()
        .filter(|c| {
            match c {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => return depth == 0,
            }
            false
        })
        .collect()
}

/// The line without terminal colours.
fn plain(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            chars.by_ref().find(char::is_ascii_alphabetic);
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(line: &str) -> Counts {
        let mut counts = Counts::default();
        counts.add(&plain(line));
        counts
    }

    #[test]
    fn both_harnesses_are_understood() {
        assert_eq!(
            counts(
                "\u{1b}[1m     Summary\u{1b}[0m [   1.2s] 14 tests run: 11 passed (1 slow, 1 leaky), 2 failed, 1 timed out, 4 skipped"
            ),
            Counts { passed: 11, failed: 3, skipped: 4 }
        );
        assert_eq!(
            counts("test result: FAILED. 3 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s"),
            Counts { passed: 3, failed: 2, skipped: 1 }
        );
        assert_eq!(counts("test mentions 3 passed, 1 failed"), Counts::default());
        assert_eq!(counts("    test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured"), Counts::default());
    }
}
