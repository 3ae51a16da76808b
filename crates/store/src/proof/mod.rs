//! Proof without trust: what a journal's hashes, checkpoints and exports are made of, and how anyone
//! verifies them with nothing but the file and, to know whose it is, the public key.

use std::io::BufRead;

use preloop_types::{AccountId, Hash, Timestamp, WriterId};
use serde::{Deserialize, Serialize};

/// A signed statement about a run of a chain's records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Whose journal.
    pub account: AccountId,
    /// The chain.
    pub chain: WriterId,
    /// Counts up from 1 in the chain.
    pub number: u64,
    /// The first record it covers.
    pub first_seq: u64,
    /// The last record it covers.
    pub last_seq: u64,
    /// RFC 6962 Merkle root over the covered records' hashes.
    pub root: Hash,
    /// The hash of the checkpoint ahead of it; zeroes for the first.
    pub previous: Hash,
    /// When it was made.
    pub at: Timestamp,
    /// Ed25519 over its fields, lower-case hex.
    pub signature: String,
}

/// One record and its path to a signed checkpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Inclusion {}

impl Inclusion {
    /// Checks the record against the checkpoint, and that against the key.
    pub fn verify(&self, _expected: Option<[u8; 32]>) -> Result<(), String> {
        todo!()
    }
}

/// What verifying an export found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Whether nothing is wrong.
    pub ok: bool,
    /// Whose journal it says it is.
    pub account: Option<AccountId>,
    /// The key it is signed with, lower-case hex.
    pub public_key: Option<String>,
    /// Whether that is the key the caller expected; false when the caller expected none.
    pub key_expected: bool,
    /// Chains seen.
    pub chains: u64,
    /// Records seen.
    pub records: u64,
    /// Checkpoints seen.
    pub checkpoints: u64,
    /// Payloads whose hash was checked.
    pub payloads: u64,
    /// Records after the last checkpoint of their chain.
    pub unsealed: u64,
    /// The first thing that is wrong.
    pub broken: Option<Break>,
}

/// The first thing that is wrong with an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Break {
    /// The line, from 1; 0 over a live database.
    pub line: u64,
    /// The chain.
    pub chain: Option<WriterId>,
    /// The record.
    pub seq: Option<u64>,
    /// What.
    pub what: String,
}

/// Verifies an export: every hash, link, checkpoint and signature in it.
pub fn verify(_export: impl BufRead, _expected: Option<[u8; 32]>) -> VerifyReport {
    todo!()
}
