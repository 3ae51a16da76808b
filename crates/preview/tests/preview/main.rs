//! What approvers are shown of calls: the whole of it through [`preloop_preview::preview`].

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod commands;
mod desk;
mod effects;
mod files;
mod hostile;
mod statements;
