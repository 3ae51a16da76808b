use aws_lc_rs::{rand::SystemRandom, rsa::KeyPair, signature::RSA_PKCS1_SHA256};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use preloop_types::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::ProviderError;

/// An account of a program at Google, which lets it in by assertions it signs (RFC 7523).
#[derive(Debug, Clone)]
pub struct ServiceAccount {
    file: KeyFile,
    /// Hash of the whole file: whoever has the file may have the token, nobody else.
    fingerprint: [u8; 32],
}

#[derive(Debug, Clone, Deserialize)]
struct KeyFile {
    client_email: String,
    private_key: SecretString,
    private_key_id: Option<String>,
    project_id: Option<String>,
    #[serde(default = "google")]
    token_uri: String,
}

const SECRET: &str = "service_account";
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const ASSERTION_SECONDS: i64 = 3600;

fn google() -> String {
    "https://oauth2.googleapis.com/token".to_owned()
}

fn bad(why: &'static str) -> ProviderError {
    ProviderError::BadSecret { name: SECRET, why }
}

impl ServiceAccount {
    /// Reads a key file.
    pub(super) fn read(file: &SecretString) -> Result<Self, ProviderError> {
        let text = file.expose_secret();
        let parsed = serde_json::from_str(text);
        let file = parsed.map_err(|_| bad("it is not the JSON key file of a service account"))?;
        Ok(Self { file, fingerprint: Sha256::digest(text).into() })
    }

    /// The project the account belongs to.
    pub(super) fn project(&self) -> Option<&str> {
        self.file.project_id.as_deref()
    }

    pub(super) fn token_uri(&self) -> &str {
        &self.file.token_uri
    }

    pub(super) fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// A signed request for an access token, good for an hour from `now`.
    pub(super) fn assertion(&self, now: Timestamp) -> Result<String, ProviderError> {
        let issued = now.micros() / 1_000_000;
        let header = serde_json::json!({"alg": "RS256", "typ": "JWT", "kid": self.file.private_key_id});
        let claims = serde_json::json!({
            "iss": self.file.client_email,
            "scope": SCOPE,
            "aud": self.file.token_uri,
            "iat": issued,
            "exp": issued + ASSERTION_SECONDS,
        });
        let part = |value: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(header), part(claims));
        let key = KeyPair::from_pkcs8(&pkcs8(self.file.private_key.expose_secret())?);
        let key = key.map_err(|_| bad("its private key is not an RSA key"))?;
        let mut signature = vec![0; key.public_modulus_len()];
        let signed = key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature);
        signed.map_err(|_| bad("its private key cannot sign"))?;
        Ok(format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// The content of a PEM file that holds one key.
fn pkcs8(pem: &str) -> Result<Vec<u8>, ProviderError> {
    let begun = pem.split_once("-----BEGIN PRIVATE KEY-----").map(|(_, rest)| rest);
    let body = begun.and_then(|rest| rest.split_once("-----END PRIVATE KEY-----")).map(|(body, _)| body);
    let body: String = body.unwrap_or_default().split_ascii_whitespace().collect();
    let bytes = BASE64_STANDARD.decode(body).ok().filter(|bytes| !bytes.is_empty());
    bytes.ok_or_else(|| bad("its private key is not PKCS #8 in PEM"))
}
