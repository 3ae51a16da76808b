//! Proof Key for Code Exchange (RFC 7636). Every code is bound to a challenge; `plain` is not offered.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use preloop_types::Hash;

use super::OAuthError;

/// The digest of a secret that only the client that began knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge(String);

impl Challenge {
    /// Reads `code_challenge` and `code_challenge_method`.
    pub(super) fn parse(challenge: Option<&str>, method: Option<&str>) -> Result<Self, OAuthError> {
        let Some(challenge) = challenge.filter(|challenge| !challenge.is_empty()) else {
            return Err(OAuthError::request("`code_challenge` is missing: PKCE with S256 is required"));
        };
        // A client that names no method means `plain`.
        if method != Some("S256") {
            return Err(OAuthError::request("`code_challenge_method` must be `S256`"));
        }
        match BASE64_URL_SAFE_NO_PAD.decode(challenge) {
            Ok(digest) if digest.len() == 32 => Ok(Self(challenge.to_owned())),
            _ => Err(OAuthError::request("`code_challenge` is not an unpadded base64url SHA-256 digest")),
        }
    }

    /// One that was parsed before.
    pub(super) fn kept(challenge: String) -> Self {
        Self(challenge)
    }

    /// As it was sent.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `verifier` is the secret behind it.
    pub(super) fn is_met_by(&self, verifier: &str) -> bool {
        let well_formed = (43..=128).contains(&verifier.len())
            && verifier.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
        well_formed && BASE64_URL_SAFE_NO_PAD.encode(Hash::of(verifier).0) == self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7636, appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn only_the_verifier_behind_a_challenge_meets_it() {
        let challenge = Challenge::parse(Some(CHALLENGE), Some("S256")).unwrap();
        assert!(challenge.is_met_by(VERIFIER));
        assert!(!challenge.is_met_by(CHALLENGE));
        assert!(!challenge.is_met_by(&VERIFIER[1..]));
        assert!(!challenge.is_met_by(""));
    }

    #[test]
    fn nothing_but_s256_is_taken() {
        for (challenge, method) in [
            (None, Some("S256")),
            (Some(""), Some("S256")),
            (Some(CHALLENGE), None),
            (Some(CHALLENGE), Some("plain")),
            (Some(CHALLENGE), Some("s256")),
            (Some(VERIFIER.trim_end_matches('k')), Some("S256")),
            (Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM="), Some("S256")),
        ] {
            assert!(Challenge::parse(challenge, method).is_err(), "{challenge:?} {method:?}");
        }
    }
}
