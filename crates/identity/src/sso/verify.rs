//! Whether an ID token is what it should be (`OpenID` Connect Core 1.0, section 3.1.3.7).

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use preloop_types::Timestamp;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

/// Clocks differ by so much at most.
const SKEW: Duration = Duration::from_mins(2);
/// Signatures that only the provider can make. Never `none`, and never a shared secret: our client
/// secret would then sign tokens.
const ALGORITHMS: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// What a token has to say.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) audience: &'a str,
    pub(super) nonce: &'a str,
    pub(super) now: Timestamp,
}

/// Why it is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    #[error("it is not a signed token")]
    Malformed,
    #[error("it is signed in a way that proves nothing")]
    Algorithm,
    #[error("it is signed with a key the provider does not publish")]
    UnknownKey,
    #[error("its signature is wrong")]
    Signature,
    #[error("its `{0}` is not what it should be")]
    Claim(&'static str),
    #[error("it is too old, or not valid yet")]
    Time,
}

/// The claims of a token that holds.
pub(super) fn id_token(token: &str, keys: &JwkSet, expected: &Expected<'_>) -> Result<Map<String, Value>, Problem> {
    let header = jsonwebtoken::decode_header(token).map_err(|_| Problem::Malformed)?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(Problem::Algorithm);
    }
    let key = match &header.kid {
        Some(kid) => keys.find(kid),
        // A provider with one key need not name it.
        None => keys.keys.first().filter(|_| keys.keys.len() == 1),
    };
    let key = DecodingKey::from_jwk(key.ok_or(Problem::UnknownKey)?).map_err(|_| Problem::UnknownKey)?;
    // Its claims are checked here, with our clock.
    let mut validation = Validation::new(header.alg);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let claims = jsonwebtoken::decode::<Map<String, Value>>(token, &key, &validation);
    let claims = claims.map_err(|_| Problem::Signature)?.claims;
    check(&claims, expected)?;
    Ok(claims)
}

fn check(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<(), Problem> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(expected.issuer) {
        return Err(Problem::Claim("iss"));
    }
    let audiences: Vec<&str> = match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !audiences.contains(&expected.audience) {
        return Err(Problem::Claim("aud"));
    }
    // Made for several, it must have been asked for by us.
    if (audiences.len() > 1 || claims.contains_key("azp")) && text("azp") != Some(expected.audience) {
        return Err(Problem::Claim("azp"));
    }
    let nonce = text("nonce").unwrap_or_default();
    if !bool::from(nonce.as_bytes().ct_eq(expected.nonce.as_bytes())) {
        return Err(Problem::Claim("nonce"));
    }
    let time = |name: &str| claims.get(name).and_then(Value::as_f64);
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^53")]
    let (now, skew) = ((expected.now.micros() / 1_000_000) as f64, SKEW.as_secs_f64());
    let ends = time("exp").ok_or(Problem::Claim("exp"))?;
    let begins = time("nbf").or_else(|| time("iat")).unwrap_or(0.0);
    if ends + skew <= now || begins - skew > now {
        return Err(Problem::Time);
    }
    Ok(())
}
