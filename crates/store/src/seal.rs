//! Encryption at rest: XChaCha20-Poly1305 under a key per account, itself sealed under the instance's.

use std::{fmt, sync::Arc};

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305,
    aead::{Aead, Payload},
};
use dashmap::DashMap;
use preloop_types::AccountId;
use zeroize::Zeroizing;

use crate::{Error, Keys, Result};

/// First byte of everything sealed, so that the cipher can change one day.
const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;

pub(crate) type Key = Zeroizing<[u8; 32]>;

/// Seals and opens the secrets of one account. Cheap to clone.
#[derive(Clone)]
pub struct Sealer {
    account: AccountId,
    key: Arc<Key>,
}

impl Sealer {
    /// Encrypts `plain` so that it opens only in this account and in the same `context`.
    pub fn seal(&self, context: &str, plain: &[u8]) -> Vec<u8> {
        seal(&self.key, self.account, context, plain)
    }

    /// Decrypts what [`Sealer::seal`] made in the same `context`.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        open(&self.key, self.account, context, sealed)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(..)")
    }
}

/// Holds the instance's sealing key and the account keys it has opened.
pub(crate) struct Vault {
    master: Key,
    signing_public: [u8; 32],
    opened: DashMap<AccountId, Sealer>,
}

/// The account of what belongs to the instance.
pub(crate) const INSTANCE: AccountId = AccountId(uuid::Uuid::nil());
const WRAP_CONTEXT: &str = "account-key";

impl Vault {
    pub(crate) fn new(keys: &Keys) -> Self {
        Self { master: keys.sealing().clone(), signing_public: keys.signing_public(), opened: DashMap::new() }
    }

    pub(crate) fn signing_public(&self) -> [u8; 32] {
        self.signing_public
    }

    /// A value by which a later start can tell whether it has the right key.
    pub(crate) fn key_check(&self) -> Vec<u8> {
        seal(&self.master, INSTANCE, "key-check", b"preloop")
    }

    pub(crate) fn passes(&self, key_check: &[u8]) -> bool {
        open(&self.master, INSTANCE, "key-check", key_check).is_ok()
    }

    /// A fresh account key, sealed for its row.
    pub(crate) fn new_account_key(&self, account: AccountId) -> Vec<u8> {
        let key = Zeroizing::new(rand::random::<[u8; 32]>());
        seal(&self.master, account, WRAP_CONTEXT, &*key)
    }

    pub(crate) fn opened(&self, account: AccountId) -> Option<Sealer> {
        self.opened.get(&account).map(|sealer| sealer.clone())
    }

    /// Opens an account's key as it stands in its row.
    pub(crate) fn open_account_key(&self, account: AccountId, wrapped: &[u8]) -> Result<Sealer> {
        let plain = Zeroizing::new(open(&self.master, account, WRAP_CONTEXT, wrapped).map_err(|_| Error::WrongKey)?);
        let key = Zeroizing::new(plain.first_chunk().copied().ok_or(Error::WrongKey)?);
        let sealer = Sealer { account, key: Arc::new(key) };
        self.opened.insert(account, sealer.clone());
        Ok(sealer)
    }
}

/// Made for each use, so that what lives long is erased from memory when it goes.
fn cipher(key: &Key) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new((&**key).into())
}

/// What a sealed value is bound to. The account has a fixed length, so no two pairs spell the same.
fn binding(account: AccountId, context: &str) -> Vec<u8> {
    [account.0.as_bytes(), context.as_bytes()].concat()
}

#[expect(clippy::expect_used, reason = "the cipher only refuses messages of more than 256 GiB")]
fn seal(key: &Key, account: AccountId, context: &str, plain: &[u8]) -> Vec<u8> {
    let nonce: [u8; NONCE_BYTES] = rand::random();
    let message = Payload { msg: plain, aad: &binding(account, context) };
    let ciphertext = cipher(key).encrypt((&nonce).into(), message).expect("short enough");
    let mut sealed = Vec::with_capacity(1 + NONCE_BYTES + ciphertext.len());
    sealed.push(VERSION);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(&ciphertext);
    sealed
}

fn open(key: &Key, account: AccountId, context: &str, sealed: &[u8]) -> Result<Vec<u8>> {
    let rest = sealed.strip_prefix(&[VERSION]).ok_or(Error::Unsealable)?;
    let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(Error::Unsealable)?;
    let message = Payload { msg: ciphertext, aad: &binding(account, context) };
    cipher(key).decrypt(nonce.into(), message).map_err(|_| Error::Unsealable)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn account(n: u128) -> AccountId {
        AccountId(Uuid::from_u128(n))
    }

    #[test]
    fn opens_only_in_its_account_and_context_and_under_its_key() {
        let vault = Vault::new(&Keys::derive(b"one"));
        let (row_a, row_b) = (vault.new_account_key(account(1)), vault.new_account_key(account(2)));
        let a = vault.open_account_key(account(1), &row_a).unwrap();
        let b = vault.open_account_key(account(2), &row_b).unwrap();
        let sealed = a.seal("secret/x", b"hunter2");

        assert_eq!(a.open("secret/x", &sealed).unwrap(), b"hunter2");
        assert!(a.open("secret/y", &sealed).is_err());
        assert!(b.open("secret/x", &sealed).is_err());
        assert!(vault.open_account_key(account(2), &row_a).is_err(), "a wrapped key moved to another account");
        assert!(Vault::new(&Keys::derive(b"two")).open_account_key(account(1), &row_a).is_err());
        assert!(!sealed.windows(7).any(|bytes| bytes == b"hunter2"));
        assert_eq!(format!("{a:?}"), "Sealer(..)");
    }

    #[test]
    fn any_changed_or_missing_byte_is_refused() {
        let vault = Vault::new(&Keys::derive(b"one"));
        let sealer = vault.open_account_key(account(1), &vault.new_account_key(account(1))).unwrap();
        let sealed = sealer.seal("c", b"plain");
        for i in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[i] ^= 1;
            assert!(sealer.open("c", &changed).is_err());
            assert!(sealer.open("c", &sealed[..i]).is_err());
        }
    }
}
