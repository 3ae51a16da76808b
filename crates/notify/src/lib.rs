//! Channels that carry an approval to a person: e-mail and signed webhooks.
//!
//! `govern` puts one sealed notice per channel and recipient into the outbox, in the transaction
//! that makes the request. The [`Courier`] takes them out, delivers them with retries, and writes
//! down how it went. A new channel is a module here, a [`preloop_govern::Recipient`] and an arm in
//! the courier.

mod courier;
mod error;
mod mail;
mod schedule;
mod signature;
mod smtp;
mod webhook;

pub use courier::{Courier, Settings};
pub use error::{SendError, SettingsError};
pub use signature::sign;
pub use smtp::{SmtpSettings, SmtpTls};
