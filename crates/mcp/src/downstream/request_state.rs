//! The `requestState` of the modern era: a sealed ticket for a request that waits for its agent.
//!
//! It comes back through the agent, so it is worth nothing unless it proves itself: sealed with
//! XChaCha20-Poly1305, bound to the credential, the request and a time, good for one use.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305,
    aead::{Aead as _, Payload},
};
use preloop_types::{Hash, KeyId, Timestamp, canonical_json};
use serde_json::value::RawValue;

use crate::splice;

/// Names one parked request, once.
pub(super) type Ticket = [u8; 16];

const NONCE: usize = 24;
const PLAIN: usize = 16 + 8 + 32;

/// Seals and opens request states.
pub(super) struct Seal(XChaCha20Poly1305);

/// What a request state says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RequestState {
    pub(super) ticket: Ticket,
    pub(super) expires_at: Timestamp,
    /// Of the request it was given for.
    pub(super) digest: Hash,
}

impl Seal {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(XChaCha20Poly1305::new(key.into()))
    }

    /// Seals a state for the holder of `key`.
    pub(super) fn seal(&self, state: &RequestState, key: KeyId) -> Option<String> {
        let mut plain = Vec::with_capacity(PLAIN);
        plain.extend_from_slice(&state.ticket);
        plain.extend_from_slice(&state.expires_at.micros().to_be_bytes());
        plain.extend_from_slice(&state.digest.0);
        let nonce: [u8; NONCE] = rand::random();
        let sealed = self.0.encrypt(&nonce.into(), Payload { msg: &plain, aad: &associated(key) }).ok()?;
        Some(URL_SAFE_NO_PAD.encode([&nonce, sealed.as_slice()].concat()))
    }

    /// Opens a state presented by the holder of `key`; `None` unless it was sealed here for them.
    pub(super) fn open(&self, text: &str, key: KeyId) -> Option<RequestState> {
        let sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, sealed) = sealed.split_at_checked(NONCE)?;
        let nonce: [u8; NONCE] = nonce.try_into().ok()?;
        let plain = self.0.decrypt(&nonce.into(), Payload { msg: sealed, aad: &associated(key) }).ok()?;
        let (ticket, rest) = plain.split_first_chunk()?;
        let (expires_at, digest) = rest.split_first_chunk()?;
        Some(RequestState {
            ticket: *ticket,
            expires_at: Timestamp::from_micros(i64::from_be_bytes(*expires_at)),
            digest: Hash(digest.try_into().ok()?),
        })
    }
}

fn associated(key: KeyId) -> Vec<u8> {
    [b"mcp request state 1".as_slice(), key.0.as_bytes()].concat()
}

/// Stands for what a request asks for: its method and params, without what may differ when it is
/// repeated.
pub(super) fn digest(method: &str, params: Option<&RawValue>) -> Option<Hash> {
    let params = params.map_or("{}", RawValue::get);
    let salient = splice::without(params, |key| matches!(key, "_meta" | "inputResponses" | "requestState"));
    let canonical = canonical_json(&salient).ok()?;
    Some(Hash::of_parts(&[method.as_bytes(), b"\0", canonical.as_bytes()]))
}
