//! The lines of an export.

use ed25519_dalek::{Signer, SigningKey};
use preloop_types::{AccountId, CallId, Hash, Subject, Timestamp, WriterId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Content, checkpoint::is_signed};

/// What a header calls the format.
pub(crate) const FORMAT: &str = "preloop-journal/1";
const EXPORT_TAG: &[u8] = b"preloop/export/v1\0";

/// The first line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Header {
    /// `header`.
    pub r#type: String,
    /// `preloop-journal/1`.
    pub format: String,
    /// Whose journal.
    pub account: AccountId,
    /// The key that signs it, lower-case hex.
    pub public_key: String,
    /// When it was exported.
    pub exported_at: Timestamp,
    /// The chains in it, in order.
    pub chains: Vec<Span>,
}

/// Which part of a chain an export holds, and what it continues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The chain.
    pub chain: WriterId,
    /// The first record here.
    pub first_seq: u64,
    /// The last record here.
    pub last_seq: u64,
    /// The hash of the record ahead of the first; zeroes if there is none.
    pub prev_hash: Hash,
    /// The first checkpoint here.
    pub first_checkpoint: u64,
    /// The last checkpoint here; one less than the first if there is none.
    pub last_checkpoint: u64,
    /// The hash of the checkpoint ahead of the first; zeroes if there is none.
    pub prev_checkpoint: Hash,
}

/// One record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RecordLine {
    /// `record`.
    pub r#type: String,
    /// Its chain.
    pub chain: WriterId,
    /// Its place in the chain, from 1.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub kind: String,
    /// The governed call.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub call: Option<CallId>,
    /// Who caused it.
    pub subject: Subject,
    /// The facts, byte for byte.
    pub body: Box<RawValue>,
    /// Stands for the payload.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub payload_hash: Option<Hash>,
    /// Hashed with the payload, hex; here if the payload is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub salt: Option<String>,
    /// The payload, base64, if it was asked for and is still there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub payload: Option<String>,
    /// The hash of the record ahead.
    pub prev_hash: Hash,
    /// Its own hash.
    pub row_hash: Hash,
}

impl RecordLine {
    pub(crate) fn content(&self, account: AccountId) -> Content<'_> {
        Content {
            account,
            chain: self.chain,
            seq: self.seq,
            at: self.at,
            kind: &self.kind,
            call: self.call,
            subject: self.subject,
            body: self.body.get(),
            payload_hash: self.payload_hash,
            prev_hash: self.prev_hash,
        }
    }
}

/// The last line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Footer {
    /// `footer`.
    pub r#type: String,
    /// How many lines there are ahead of it.
    pub lines: u64,
    /// SHA-256 of every byte ahead of it.
    pub digest: Hash,
    /// Ed25519 over account, lines and digest, lower-case hex.
    pub signature: String,
}

impl Footer {
    pub(crate) fn sign(account: AccountId, lines: u64, digest: Hash, key: &SigningKey) -> Self {
        let signature = hex::encode(key.sign(&statement(account, lines, &digest)).to_bytes());
        Self { r#type: "footer".to_owned(), lines, digest, signature }
    }

    pub(crate) fn is_signed_by(&self, account: AccountId, public_key: &[u8; 32]) -> bool {
        is_signed(&statement(account, self.lines, &self.digest), &self.signature, public_key)
    }
}

fn statement(account: AccountId, lines: u64, digest: &Hash) -> Vec<u8> {
    [EXPORT_TAG, account.0.as_bytes(), &lines.to_be_bytes(), &digest.0].concat()
}
