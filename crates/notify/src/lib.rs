//! Channels that carry a request to a person, and events to whoever subscribed.
//!
//! `govern` puts one sealed notice per channel and recipient into the outbox, in the transaction
//! that gives the reason for it; the store puts events there. The [`Courier`] takes them out, delivers
//! them with retries, and writes down how it went. A channel is one file in `channels`, one line in its
//! registry and one fixture test; where it belongs to a workflow, also one line in
//! `preloop_types::SEALED_CHANNELS`.
//!
//! What comes back, a click on a button in a chat, goes through [`ChatDesk`], which makes it the vote of a
//! person or of nobody.

mod brief;
mod channel;
mod channels;
mod chat;
mod courier;
mod error;
mod http;
mod schedule;
mod signature;

pub use channels::{
    PushMessage, PushProxySettings, PushRelay, RelayError, Settings, SmtpSettings, SmtpTls, WebPushKeys,
};
pub use chat::{ChatAnswer, ChatDesk, ChatError, ChatSettings, MattermostSettings, SlackSettings};
pub use courier::Courier;
pub use error::{SendError, SettingsError, Then};
pub use signature::sign;
