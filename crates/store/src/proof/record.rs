//! The bytes that are hashed. Changing any of this makes a new format.

use preloop_types::{AccountId, CallId, Hash, Subject, Timestamp, WriterId};
use sha2::{Digest, Sha256};
use uuid::Uuid;

const RECORD_TAG: &[u8] = b"preloop/record/v1\0";
/// Of a record whose cause acted in somebody else's place.
const IMPERSONATED_TAG: &[u8] = b"preloop/record/impersonated/v1\0";
const PAYLOAD_TAG: &[u8] = b"preloop/payload/v1\0";

/// Random bytes hashed with a payload, so that a short payload cannot be guessed from its hash.
pub type Salt = [u8; 16];

/// What one record says, apart from its own hash.
#[derive(Debug, Clone, Copy)]
pub struct Content<'a> {
    /// Whose journal.
    pub account: AccountId,
    /// Whose chain.
    pub chain: WriterId,
    /// The place in the chain, from 1.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub kind: &'a str,
    /// The governed call.
    pub call: Option<CallId>,
    /// Who caused it.
    pub subject: Subject,
    /// The facts, byte for byte.
    pub body: &'a str,
    /// See [`payload_hash`].
    pub payload_hash: Option<Hash>,
    /// The hash of the record ahead; zeroes for the first.
    pub prev_hash: Hash,
}

impl Content<'_> {
    /// SHA-256 over a tag and every field, each of fixed length, flagged when optional, or preceded by
    /// its length, numbers big-endian: no two contents spell the same bytes.
    pub fn hash(&self) -> Hash {
        let mut head = Vec::with_capacity(256);
        match self.subject.impersonator {
            None => head.extend_from_slice(RECORD_TAG),
            Some(impersonator) => {
                head.extend_from_slice(IMPERSONATED_TAG);
                head.extend_from_slice(impersonator.0.as_bytes());
            }
        }
        head.extend_from_slice(self.account.0.as_bytes());
        head.extend_from_slice(self.chain.0.as_bytes());
        head.extend_from_slice(&self.seq.to_be_bytes());
        head.extend_from_slice(&self.at.micros().to_be_bytes());
        head.extend_from_slice(&(self.kind.len() as u64).to_be_bytes());
        head.extend_from_slice(self.kind.as_bytes());
        optional(&mut head, self.call.map(|id| id.0));
        optional(&mut head, self.subject.user.map(|id| id.0));
        optional(&mut head, self.subject.key.map(|id| id.0));
        optional(&mut head, self.subject.agent.map(|id| id.0));
        optional(&mut head, self.subject.session.map(|id| id.0));
        match self.payload_hash {
            Some(hash) => {
                head.push(1);
                head.extend_from_slice(&hash.0);
            }
            None => head.push(0),
        }
        head.extend_from_slice(&self.prev_hash.0);
        head.extend_from_slice(&(self.body.len() as u64).to_be_bytes());
        Hash(Sha256::new().chain_update(&head).chain_update(self.body).finalize().into())
    }
}

fn optional(out: &mut Vec<u8>, id: Option<Uuid>) {
    match id {
        Some(id) => {
            out.push(1);
            out.extend_from_slice(id.as_bytes());
        }
        None => out.push(0),
    }
}

/// The salted hash that stands for a payload in its record.
pub fn payload_hash(salt: &Salt, payload: &[u8]) -> Hash {
    Hash::of_parts(&[PAYLOAD_TAG, salt, payload])
}
