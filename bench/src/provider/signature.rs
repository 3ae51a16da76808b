//! Checks AWS's signature, version 4, as the service would: over what arrived.

use std::collections::HashMap;

use hmac::{Hmac, KeyInit, Mac};
use hyper::http::request::Parts;
use sha2::{Digest, Sha256};

/// The secret that belongs to every access key. It holds what URLs and headers like to change.
pub const AWS_SECRET: &str = "mock/secret+access=key";

/// Whether a request that claims to be signed is, or why not. One that does not claim it is.
pub(super) fn check(head: &Parts, body: &[u8]) -> Result<(), String> {
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(claims) = header("authorization").strip_prefix("AWS4-HMAC-SHA256 ") else { return Ok(()) };
    let claims: HashMap<&str, &str> = claims.split(',').filter_map(|claim| claim.trim().split_once('=')).collect();
    let claim = |name: &str| claims.get(name).copied().ok_or_else(|| format!("no `{name}` in the signature"));
    let (_, scope) = claim("Credential")?.split_once('/').ok_or("no scope in the credential")?;
    let [day, region, service, "aws4_request"] = scope.split('/').collect::<Vec<_>>()[..] else {
        return Err(format!("`{scope}` is no scope"));
    };
    let signed = claim("SignedHeaders")?;
    if !signed.split(';').any(|name| name == "host") || !signed.split(';').any(|name| name == "x-amz-date") {
        return Err(format!("`{signed}` leaves out host or date"));
    }
    let headers: Vec<String> = signed
        .split(';')
        .map(|name| format!("{name}:{}\n", header(name).split_whitespace().collect::<Vec<_>>().join(" ")))
        .collect();
    let mut query: Vec<&str> =
        head.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).collect();
    query.sort_unstable();
    let canonical = format!(
        "{}\n{}\n{}\n{}\n{signed}\n{}",
        head.method,
        encoded_again(head.uri.path()),
        query.join("&"),
        headers.concat(),
        hex(&Sha256::digest(body)),
    );
    let date = header("x-amz-date");
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&Sha256::digest(&canonical)));
    let secret = format!("AWS4{AWS_SECRET}");
    let steps = [day, region, service, "aws4_request", to_sign.as_str()];
    let signature = steps.iter().try_fold(secret.into_bytes(), |key, step| mac(&key, step))?;
    if hex(&signature) == claim("Signature")? {
        Ok(())
    } else {
        Err(format!("the signature does not match that of:\n{canonical}"))
    }
}

fn mac(key: &[u8], text: &str) -> Result<Vec<u8>, String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|error| error.to_string())?;
    mac.update(text.as_bytes());
    Ok(mac.finalize().into_bytes().to_vec())
}

/// A path as services other than S3 sign it: what is encoded on the wire is encoded once more.
fn encoded_again(path: &str) -> String {
    let mut encoded = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded += &hex(&[byte]).to_uppercase();
        }
    }
    encoded
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}
