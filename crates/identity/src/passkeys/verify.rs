//! What authenticators say, held against what they were asked (Web Authentication Level 3, sections 7.1 and 7.2).
//!
//! Attestation is neither asked for nor looked at: who made an authenticator is no reason to let anybody in.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use preloop_types::Hash;
use serde::Deserialize;

use super::cbor::Value;

/// How passkeys may sign, those we like best first (COSE).
pub(super) const ALGORITHMS: [i64; 3] = [EDDSA, ES256, RS256];
const EDDSA: i64 = -8;
const ES256: i64 = -7;
const RS256: i64 = -257;

/// Longest id of a credential (section 4).
const CREDENTIAL_ID_BYTES_MAX: usize = 1_023;

/// Who asks.
pub(super) struct RelyingParty {
    /// The host name.
    pub(super) id: String,
    /// Where the page is.
    pub(super) origin: String,
}

/// What the browser says it signed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: bool,
}

/// A credential as browsers hand it over (`PublicKeyCredential.toJSON()`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Credential {
    pub(super) id: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) response: Response,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Response {
    #[serde(rename = "clientDataJSON")]
    client_data: String,
    attestation_object: Option<String>,
    authenticator_data: Option<String>,
    signature: Option<String>,
}

/// A passkey that was just made.
pub(super) struct NewKey {
    pub(super) credential_id: Vec<u8>,
    pub(super) algorithm: i64,
    /// As the authenticator wrote it (COSE).
    pub(super) public_key: Vec<u8>,
    pub(super) sign_count: u32,
}

/// What a passkey signed.
pub(super) struct Signed {
    pub(super) sign_count: u32,
    /// Whether the authenticator knew the person: by a finger, a face, a PIN.
    pub(super) user_verified: bool,
}

/// What an authenticator says of itself and, where it made one, of a key (section 6.1).
struct AuthenticatorData<'a> {
    rp_id_hash: &'a [u8],
    flags: u8,
    sign_count: u32,
    rest: &'a [u8],
}

const USER_PRESENT: u8 = 1;
const USER_VERIFIED: u8 = 1 << 2;
const HAS_KEY: u8 = 1 << 6;

impl Credential {
    pub(super) fn read(json: &str) -> Option<Self> {
        serde_json::from_str::<Self>(json).ok().filter(|credential| credential.kind == "public-key")
    }

    pub(super) fn credential_id(&self) -> Option<Vec<u8>> {
        decode(&self.id)
    }

    /// The challenge that was answered; whether it was ours is for the caller to find out.
    pub(super) fn challenge(&self) -> Option<String> {
        let data: ClientData = serde_json::from_slice(&decode(&self.response.client_data)?).ok()?;
        String::from_utf8(decode(&data.challenge)?).ok()
    }

    /// The key that was made (section 7.1).
    pub(super) fn registered(&self, party: &RelyingParty) -> Option<NewKey> {
        self.client_data("webauthn.create", party)?;
        let object = decode(self.response.attestation_object.as_deref()?)?;
        let (object, _) = Value::read(&object)?;
        let data = AuthenticatorData::read(object.named("authData")?.bytes()?)?;
        data.check(party)?;
        if data.flags & HAS_KEY == 0 {
            return None;
        }
        // Which model of authenticator it is does not matter.
        let (_, rest) = data.rest.split_at_checked(16)?;
        let (length, rest) = rest.split_at_checked(2)?;
        let length = usize::from(u16::from_be_bytes(length.try_into().ok()?));
        let (credential_id, rest) = rest.split_at_checked(length)?;
        if length > CREDENTIAL_ID_BYTES_MAX || self.credential_id()? != credential_id {
            return None;
        }
        let (key, left) = Value::read(rest)?;
        let algorithm = key.numbered(3)?.int().filter(|algorithm| ALGORITHMS.contains(algorithm))?;
        let public_key = rest.get(..rest.len() - left.len())?;
        PublicKey::read(public_key)?;
        let (credential_id, public_key) = (credential_id.to_vec(), public_key.to_vec());
        Some(NewKey { credential_id, algorithm, public_key, sign_count: data.sign_count })
    }

    /// What was signed with `public_key` (section 7.2).
    pub(super) fn signed(&self, party: &RelyingParty, public_key: &[u8]) -> Option<Signed> {
        let client_data = self.client_data("webauthn.get", party)?;
        let raw = decode(self.response.authenticator_data.as_deref()?)?;
        let data = AuthenticatorData::read(&raw)?;
        data.check(party)?;
        let signature = decode(self.response.signature.as_deref()?)?;
        let message = [&raw[..], &Hash::of(&client_data).0].concat();
        PublicKey::read(public_key)?.verify(&message, &signature)?;
        Some(Signed { sign_count: data.sign_count, user_verified: data.flags & USER_VERIFIED != 0 })
    }

    /// The browser's part, as bytes, if it is about this ceremony on our own page.
    fn client_data(&self, kind: &str, party: &RelyingParty) -> Option<Vec<u8>> {
        let bytes = decode(&self.response.client_data)?;
        let data: ClientData = serde_json::from_slice(&bytes).ok()?;
        (data.kind == kind && data.origin == party.origin && !data.cross_origin).then_some(bytes)
    }
}

impl<'a> AuthenticatorData<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (rp_id_hash, rest) = bytes.split_at_checked(32)?;
        let (&flags, rest) = rest.split_first()?;
        let (count, rest) = rest.split_at_checked(4)?;
        Some(Self { rp_id_hash, flags, sign_count: u32::from_be_bytes(count.try_into().ok()?), rest })
    }

    /// It was made for us, and somebody was there.
    fn check(&self, party: &RelyingParty) -> Option<()> {
        (self.rp_id_hash == Hash::of(&party.id).0 && self.flags & USER_PRESENT != 0).then_some(())
    }
}

/// A public key (RFC 9053).
enum PublicKey {
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
    Rsa { n: Vec<u8>, e: Vec<u8> },
}

impl PublicKey {
    fn read(cose: &[u8]) -> Option<Self> {
        let (key, _) = Value::read(cose)?;
        let number = |label| key.numbered(label).and_then(Value::int);
        let bytes = |label| key.numbered(label).and_then(Value::bytes);
        match (number(1)?, number(3)?) {
            (2, ES256) if number(-1) == Some(1) => {
                let (x, y) = (bytes(-2)?, bytes(-3)?);
                (x.len() == 32 && y.len() == 32).then(|| Self::P256([&[4], x, y].concat()))
            }
            (1, EDDSA) if number(-1) == Some(6) => {
                bytes(-2).filter(|x| x.len() == 32).map(|x| Self::Ed25519(x.to_vec()))
            }
            (3, RS256) => Some(Self::Rsa { n: bytes(-1)?.to_vec(), e: bytes(-2)?.to_vec() }),
            _ => None,
        }
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> Option<()> {
        match self {
            Self::P256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature),
            Self::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
            Self::Rsa { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
        }
        .ok()
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
}
