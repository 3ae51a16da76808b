use std::{fmt, sync::Arc};

use ed25519_dalek::SigningKey;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::seal::Key;

/// The keys everything else is sealed and signed with, derived from the instance key.
#[derive(Clone)]
pub struct Keys(Arc<Inner>);

struct Inner {
    sealing: Key,
    signing: SigningKey,
}

impl Keys {
    /// Derives the keys from the instance key (`SECRET_KEY`) by HKDF-SHA256.
    pub fn derive(instance_key: &[u8]) -> Self {
        let sealing = hkdf(instance_key, b"preloop/sealing/v1");
        let signing = SigningKey::from_bytes(&hkdf(instance_key, b"preloop/journal-signing/v1"));
        Self(Arc::new(Inner { sealing, signing }))
    }

    /// The public half of the key that signs the journal's checkpoints.
    pub fn signing_public(&self) -> [u8; 32] {
        self.0.signing.verifying_key().to_bytes()
    }

    pub(crate) fn sealing(&self) -> &Key {
        &self.0.sealing
    }

    pub(crate) fn signing(&self) -> &SigningKey {
        &self.0.signing
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(..)")
    }
}

/// RFC 5869 with one block of output.
fn hkdf(key: &[u8], info: &[u8]) -> Key {
    let pseudorandom = Zeroizing::new(hmac(b"preloop", &[key]));
    Zeroizing::new(hmac(&*pseudorandom, &[info, &[1]]))
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_follow_from_the_instance_key_alone() {
        let (a, b, c) = (Keys::derive(b"one"), Keys::derive(b"one"), Keys::derive(b"two"));
        assert_eq!(a.signing_public(), b.signing_public());
        assert_ne!(a.signing_public(), c.signing_public());
        assert_ne!(**a.sealing(), *a.signing().as_bytes());
        assert_eq!(format!("{a:?}"), "Keys(..)");
    }
}
