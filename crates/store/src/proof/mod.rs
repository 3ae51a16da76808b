//! Proof without trust: what a journal's hashes, checkpoints and exports are made of, and how anyone
//! verifies them with nothing but the file and, to know whose it is, the public key.
//!
//! A record's hash covers its content and the hash of the record ahead of it in its chain. A
//! checkpoint signs the Merkle root over a run of records and the checkpoint ahead of it. An export is
//! lines of JSON: a header that says where each chain begins and ends, records and checkpoints in
//! order, and a footer that signs the digest of every byte ahead of it. No IO but the given reader.

mod checkpoint;
mod inclusion;
mod lines;
mod merkle;
mod record;
mod verify;

pub use checkpoint::Checkpoint;
pub use inclusion::Inclusion;
pub(crate) use lines::FORMAT;
pub use lines::{Footer, Header, RecordLine, Span};
pub use merkle::Tree;
pub(crate) use merkle::path as merkle_path;
pub use record::{Content, Salt, payload_hash};
pub use verify::{Break, VerifyReport, verify};
pub(crate) use verify::{Verifier, Wrong};
