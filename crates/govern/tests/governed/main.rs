//! The governed call, through `Governor`, on both stores.

#![expect(clippy::unwrap_used, reason = "what does not work fails the test")]

mod approvals;
mod budgets;
mod calls;
mod crash;
mod deciders;
mod desk;
mod extras;
mod house;
mod models;
mod notices;
mod oracle;
mod repair;
mod reviews;
mod runs;
mod written;
