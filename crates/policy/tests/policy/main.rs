//! The policy as people meet it: a document, a call, what comes of it.

mod checks;
mod decisions;
mod documents;
mod properties;
mod round_trip;
mod world;
