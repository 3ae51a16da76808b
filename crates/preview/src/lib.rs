//! What a call would do, said so that a person can judge it.
//!
//! An approver sees a tool's name and its arguments: JSON, written by a machine, about something
//! that cannot be undone. This crate reads the arguments and says what they amount to: the file
//! diff, the shell command taken apart, the SQL statement and its tables, who gets the mail, how
//! much money moves, and what differs from the call that was approved last time. See [`preview`].
//!
//! It is a pure function of the call: no model, no network, no clock, so the same call always
//! reads the same and what was shown can be hashed into the record. It may be given anything an
//! agent can send: it is bounded in time and size, never fails, and where it cannot read something
//! it says so and calls it dangerous. All it says is [`Text`], which cannot hold a secret that
//! [`preloop_types::redact`] knows.
//!
//! It informs and decides nothing: rules decide. A new kind of effect is one file in `render` and one
//! line in its registry.

mod call;
mod diff;
mod draft;
mod json;
mod names;
mod paths;
mod preview;
mod render;
mod shell;
mod sql;

pub use call::{Call, Earlier, preview};
pub use preview::{Fact, Finding, Level, Line, Mark, Preview, Section, Text};
