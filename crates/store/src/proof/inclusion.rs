use preloop_types::Hash;
use serde::{Deserialize, Serialize};

use super::{Checkpoint, RecordLine, merkle};

/// One record and the hashes that lead from it to a signed checkpoint: proves the record alone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Inclusion {
    /// The key that signed the checkpoint, lower-case hex.
    pub public_key: String,
    /// The record.
    pub record: RecordLine,
    /// The path to the Merkle root, nearest first.
    pub path: Vec<Hash>,
    /// The checkpoint over it.
    pub checkpoint: Checkpoint,
}

impl Inclusion {
    /// Checks the record against its hash, that against the checkpoint's root, and the checkpoint
    /// against its key, which has to be `expected` if one is.
    pub fn verify(&self, expected: Option<[u8; 32]>) -> Result<(), String> {
        let (record, checkpoint) = (&self.record, &self.checkpoint);
        let public_key = public_key(&self.public_key, expected)?;
        if !checkpoint.is_signed_by(&public_key) {
            return Err("the checkpoint's signature is wrong".to_owned());
        }
        if record.chain != checkpoint.chain || !(checkpoint.first_seq..=checkpoint.last_seq).contains(&record.seq) {
            return Err("the checkpoint does not cover the record".to_owned());
        }
        if record.content(checkpoint.account).hash() != record.row_hash {
            return Err("the record's content does not match its hash".to_owned());
        }
        let index = record.seq - checkpoint.first_seq;
        if merkle::climb(&record.row_hash, index, checkpoint.count(), &self.path) != Some(checkpoint.root) {
            return Err("the path does not lead to the checkpoint's root".to_owned());
        }
        Ok(())
    }
}

/// Reads a public key and compares it with the expected one.
pub(super) fn public_key(hex: &str, expected: Option<[u8; 32]>) -> Result<[u8; 32], String> {
    let mut key = [0; 32];
    hex::decode_to_slice(hex, &mut key).map_err(|_| format!("`{hex}` is not a public key"))?;
    match expected {
        Some(expected) if expected != key => {
            Err(format!("it is signed with the key `{hex}`, not with the expected `{}`", hex::encode(expected)))
        }
        _ => Ok(key),
    }
}
