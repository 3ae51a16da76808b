//! The wire shapes of model APIs.
//!
//! Where an agent and a provider speak the same [`Dialect`], a call is forwarded as it came: the
//! body is scanned for the few facts governance needs and only named spans are replaced, and the
//! answer is measured beside the stream. Where they do not, it goes through the one typed
//! representation in [`ir`]. This crate does no IO and reads no clock.

mod chat;
mod claude;
mod converse;
pub mod counting;
mod dialect;
pub mod embeddings;
pub mod error;
mod gemini;
pub mod ir;
mod json;
mod messages;
mod quirks;
mod responses;
pub mod scan;
pub mod sse;
pub mod texts;
pub mod translate;
pub mod usage;

pub use dialect::{Dialect, Operation};
pub use quirks::Quirks;
