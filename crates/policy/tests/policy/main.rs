//! The policy as people meet it: a document, a call, what comes of it.

#![allow(clippy::unwrap_used, clippy::needless_raw_string_hashes, clippy::format_collect, reason = "tests")]

mod cases;
mod checks;
mod decisions;
mod documents;
mod lint;
mod properties;
mod replay;
mod round_trip;
mod shadow;
mod world;
