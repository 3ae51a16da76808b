use preloop_types::{AccountId, CallId, Entry, EntryKind, Hash, Subject};
use uuid::Uuid;

use crate::{Error, LedgerLine, Result, Sealer, proof};

/// Largest body of a record.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Largest payload of a record.
const PAYLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// An entry with its payload hashed and sealed, ready to be chained. Made where the entry comes from,
/// so that the writer's time is spent on nothing but the chain.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(super) account: AccountId,
    pub(super) kind: EntryKind,
    pub(super) call: Option<CallId>,
    pub(super) subject: Subject,
    pub(super) body: String,
    pub(super) payload_hash: Option<Hash>,
    pub(super) payload: Option<Vec<u8>>,
    pub(super) line: Option<Box<LedgerLine>>,
}

impl Prepared {
    pub(crate) fn new(entry: Entry, line: LedgerLine, sealer: &Sealer) -> Result<Self> {
        let body = one_line(entry.body);
        let payload = entry.payload.unwrap_or_default();
        if body.len() > BODY_BYTES_MAX {
            return Err(Error::Invalid(format!("a journal body has more than {BODY_BYTES_MAX} bytes")));
        }
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(Error::Invalid(format!("a journal payload has more than {PAYLOAD_BYTES_MAX} bytes")));
        }
        let (payload_hash, payload) = if payload.is_empty() {
            (None, None)
        } else {
            let (hash, sealed) = seal_payload(sealer, &payload);
            (Some(hash), Some(sealed))
        };
        let line = (!line.is_empty() || line.reserved_by.is_some()).then(|| Box::new(line));
        let Entry { account, kind, call, subject, .. } = entry;
        Ok(Self { account, kind, call, subject, body, payload_hash, payload, line })
    }

    /// Whose journal it belongs to.
    pub(crate) fn account(&self) -> AccountId {
        self.account
    }

    /// Whether it adds to the ledger.
    pub(crate) fn has_line(&self) -> bool {
        self.line.as_ref().is_some_and(|line| !line.is_empty())
    }

    /// Whether it reserves from leases of a life that is not this one.
    pub(crate) fn is_stale(&self, life: Uuid) -> bool {
        self.line.as_ref().and_then(|line| line.reserved_by).is_some_and(|reserved_by| reserved_by != life)
    }

    /// What it weighs in the queue.
    pub(crate) fn bytes(&self) -> usize {
        512 + self.body.len() + self.payload.as_ref().map_or(0, Vec::len)
    }
}

/// JSON on one line: an export has a record a line. Line feeds can only stand between tokens.
fn one_line(body: Box<serde_json::value::RawValue>) -> String {
    let body = String::from(Box::<str>::from(body));
    if body.contains(['\n', '\r']) { body.replace(['\n', '\r'], " ") } else { body }
}

/// Salt and payload sealed together: erasing one erases the other.
fn seal_payload(sealer: &Sealer, payload: &[u8]) -> (Hash, Vec<u8>) {
    let salt: proof::Salt = rand::random();
    let hash = proof::payload_hash(&salt, payload);
    (hash, sealer.seal(&context(&hash), &[&salt, payload].concat()))
}

/// Opens a payload and checks that it is the one the record stands for.
pub(super) fn open_payload(sealer: &Sealer, hash: &Hash, sealed: &[u8]) -> Result<(proof::Salt, Vec<u8>)> {
    let mut plain = sealer.open(&context(hash), sealed)?;
    let salt = *plain.first_chunk().ok_or(Error::Unsealable)?;
    let payload = plain.split_off(size_of::<proof::Salt>());
    if proof::payload_hash(&salt, &payload) != *hash {
        return Err(Error::Damaged("a payload is not the one its record stands for".to_owned()));
    }
    Ok((salt, payload))
}

fn context(hash: &Hash) -> String {
    format!("journal/{hash}")
}
