//! The server's log: to the standard error, as text or as JSON.

use clap::ValueEnum;
use tracing_subscriber::{EnvFilter, fmt};

use crate::failure::{Failure, Result};

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// Starts the log. `level` is a level (`info`) or directives (`info,preloop_mcp=debug`).
pub(crate) fn start(level: &str, format: LogFormat) -> Result {
    let filter = EnvFilter::try_new(level.to_ascii_lowercase())
        .map_err(|error| Failure::usage(format!("the log level `{level}` is not understood: {error}")))?;
    let log = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Fails only if a log was started before, and nothing else starts one.
    let _ = match format {
        LogFormat::Text => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    Ok(())
}
