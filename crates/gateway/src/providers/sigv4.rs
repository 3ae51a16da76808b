//! Signatures of AWS requests, version 4.

use std::fmt::Write;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderName, HeaderValue, header, request::Parts};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use preloop_types::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::ProviderError;

/// Signs requests to one service of one region.
#[derive(Debug, Clone)]
pub struct Signer {
    key_id: SecretString,
    secret: SecretString,
    session: Option<SecretString>,
    region: String,
    service: &'static str,
}

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const SESSION: HeaderName = HeaderName::from_static("x-amz-security-token");
/// What may change on the way, or is set behind us.
const UNSIGNED: &[&str] = &["authorization", "user-agent", "accept-encoding", "x-amzn-trace-id"];
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// A path is encoded once more for the signature than on the wire (all services but S3).
const PATH: &AsciiSet = &UNRESERVED.remove(b'/');

impl Signer {
    pub(super) fn new(
        key_id: &SecretString,
        secret: &SecretString,
        session: Option<&SecretString>,
        region: &str,
        service: &'static str,
    ) -> Self {
        let (key_id, secret) = (key_id.clone(), secret.clone());
        Self { key_id, secret, session: session.cloned(), region: region.to_owned(), service }
    }

    /// Adds date, session and signature. Headers added later are not covered; those that are must not
    /// change.
    pub fn sign(&self, request: &mut Parts, body: &[Bytes], now: Timestamp) -> Result<(), ProviderError> {
        let at = now.to_datetime().format("%Y%m%dT%H%M%SZ").to_string();
        let day = &at[..8];
        let unusable =
            |name| move |_| ProviderError::BadSecret { name, why: "it holds characters that no header may hold" };
        request.headers.insert(DATE, HeaderValue::from_str(&at).map_err(unusable("access_key_id"))?);
        if let Some(session) = &self.session {
            let mut value = HeaderValue::from_str(session.expose_secret()).map_err(unusable("session_token"))?;
            value.set_sensitive(true);
            request.headers.insert(SESSION, value);
        }
        let (canonical, signed) = canonical(request, body);
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let to_sign = format!("{ALGORITHM}\n{at}\n{scope}\n{}", hex::encode(Sha256::digest(canonical)));
        let signature = hex::encode(mac(&self.key(day), &to_sign));
        let key_id = self.key_id.expose_secret();
        let text = format!("{ALGORITHM} Credential={key_id}/{scope}, SignedHeaders={signed}, Signature={signature}");
        let mut value = HeaderValue::from_str(&text).map_err(unusable("access_key_id"))?;
        value.set_sensitive(true);
        request.headers.insert(header::AUTHORIZATION, value);
        Ok(())
    }

    /// The key of a day.
    fn key(&self, day: &str) -> [u8; 32] {
        let first = format!("AWS4{}", self.secret.expose_secret());
        let key = mac(first.as_bytes(), day);
        let key = mac(&key, &self.region);
        let key = mac(&key, self.service);
        mac(&key, "aws4_request")
    }
}

fn mac(key: &[u8], text: &str) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

/// The request as it is signed, and the names of the headers that are.
fn canonical(request: &Parts, body: &[Bytes]) -> (String, String) {
    let host = request.uri.authority().map_or("", |authority| authority.as_str());
    let mut headers: Vec<(&str, String)> = vec![("host", host.to_owned())];
    for name in request.headers.keys().filter(|name| !UNSIGNED.contains(&name.as_str()) && *name != header::HOST) {
        let values: Vec<_> = request.headers.get_all(name).iter().map(|value| trimmed(value.as_bytes())).collect();
        headers.push((name.as_str(), values.join(",")));
    }
    headers.sort();
    let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
    let signed = names.join(";");
    let mut hash = Sha256::new();
    for chunk in body {
        hash.update(chunk);
    }
    let mut text = format!(
        "{}\n{}\n{}\n",
        request.method,
        utf8_percent_encode(request.uri.path(), PATH),
        query(request.uri.query().unwrap_or_default())
    );
    for (name, value) in &headers {
        text.push_str(name);
        text.push(':');
        text.push_str(value);
        text.push('\n');
    }
    // Writing to a string cannot fail.
    let _ = write!(text, "\n{signed}\n{}", hex::encode(hash.finalize()));
    (text, signed)
}

/// A header's value with runs of blanks made one.
fn trimmed(value: &[u8]) -> String {
    String::from_utf8_lossy(value).split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// A query in the order of its encoded names and values.
fn query(query: &str) -> String {
    let mut pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| {
            format!("{}={}", utf8_percent_encode(&name, UNRESERVED), utf8_percent_encode(&value, UNRESERVED))
        })
        .collect();
    pairs.sort();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    /// The key of AWS's documentation and its public test suite.
    fn signer(region: &str, service: &'static str, session: Option<&str>) -> Signer {
        Signer::new(
            &"AKIDEXAMPLE".into(),
            &"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            session.map(SecretString::from).as_ref(),
            region,
            service,
        )
    }

    fn signature(signer: &Signer, request: Request<()>, body: &'static str) -> String {
        let at = chrono::DateTime::parse_from_rfc3339("2015-08-30T12:36:00Z").unwrap().to_utc();
        let mut parts = request.into_parts().0;
        signer.sign(&mut parts, &[Bytes::from_static(body.as_bytes())], at.into()).unwrap();
        parts.headers["authorization"].to_str().unwrap().to_owned()
    }

    #[test]
    fn the_documentation_s_signing_key() {
        let key = signer("us-east-1", "iam", None).key("20150830");
        assert_eq!(hex::encode(key), "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9");
    }

    #[test]
    fn the_documentation_s_request() {
        let request = Request::get("https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08")
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .body(())
            .unwrap();
        assert_eq!(
            signature(&signer("us-east-1", "iam", None), request, ""),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, \
             Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
    }

    #[test]
    fn the_test_suite_s_requests() {
        let signer = signer("us-east-1", "service", None);
        let host = "https://example.amazonaws.com";
        for (request, expected) in [
            (Request::get(format!("{host}/")), "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            (Request::post(format!("{host}/")), "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
            (
                Request::get(format!("{host}/?Param2=value2&Param1=value1")),
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
        ] {
            let authorization = signature(&signer, request.body(()).unwrap(), "");
            assert!(authorization.ends_with(expected), "{authorization}");
        }
    }

    #[test]
    fn an_encoded_path_is_encoded_once_more_and_the_session_is_signed() {
        let request = Request::post("https://h.example/model/a%3A0/converse").body(()).unwrap();
        let (text, signed) = canonical(&request.into_parts().0, &[Bytes::from_static(b"{"), Bytes::from_static(b"}")]);
        let body = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        assert_eq!(text, format!("POST\n/model/a%253A0/converse\n\nhost:h.example\n\nhost\n{body}"));
        assert_eq!(signed, "host");

        let request = Request::post("https://h.example/").body(()).unwrap();
        let authorization = signature(&signer("eu-west-1", "bedrock", Some("token")), request, "");
        assert!(authorization.contains("SignedHeaders=host;x-amz-date;x-amz-security-token"), "{authorization}");
    }
}
