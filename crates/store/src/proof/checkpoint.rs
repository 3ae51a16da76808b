use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use preloop_types::{AccountId, Hash, Timestamp, WriterId};
use serde::{Deserialize, Serialize};

const CHECKPOINT_TAG: &[u8] = b"preloop/checkpoint/v1\0";

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
    /// Ed25519 over all of the above, lower-case hex.
    pub signature: String,
}

impl Checkpoint {
    /// Signs; whatever `signature` held is replaced.
    #[must_use]
    pub fn sign(mut self, key: &SigningKey) -> Self {
        self.signature = hex::encode(key.sign(&self.statement()).to_bytes());
        self
    }

    /// Whether `public_key` signed exactly this.
    pub fn is_signed_by(&self, public_key: &[u8; 32]) -> bool {
        is_signed(&self.statement(), &self.signature, public_key)
    }

    /// How many records it covers.
    pub fn count(&self) -> u64 {
        (self.last_seq + 1).saturating_sub(self.first_seq)
    }

    /// What the next checkpoint names as its previous one.
    pub fn hash(&self) -> Hash {
        Hash::of(self.statement())
    }

    fn statement(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(192);
        out.extend_from_slice(CHECKPOINT_TAG);
        out.extend_from_slice(self.account.0.as_bytes());
        out.extend_from_slice(self.chain.0.as_bytes());
        for number in [self.number, self.first_seq, self.last_seq] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(&self.root.0);
        out.extend_from_slice(&self.previous.0);
        out.extend_from_slice(&self.at.micros().to_be_bytes());
        out
    }
}

/// Whether `public_key` made the hex `signature` over `statement`.
pub(super) fn is_signed(statement: &[u8], signature: &str, public_key: &[u8; 32]) -> bool {
    let mut bytes = [0; 64];
    // One spelling only: an upper-case digit would be a changed byte that still verifies.
    if hex::decode_to_slice(signature, &mut bytes).is_err() || signature.bytes().any(|b| b.is_ascii_uppercase()) {
        return false;
    }
    VerifyingKey::from_bytes(public_key)
        .is_ok_and(|key| key.verify_strict(statement, &Signature::from_bytes(&bytes)).is_ok())
}
