//! Web Push: to browsers that installed the console. What is sent can be read by that browser alone (RFC
//! 8291, `aes128gcm` of RFC 8188), and the push service knows us by a key of ours (VAPID, RFC 8292).

use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::{
    aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use preloop_govern::Message;
use preloop_types::Timestamp;
use reqwest::{
    StatusCode,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use serde::Deserialize;
use serde_json::json;
use sha2::Sha256;
use url::Url;
use zeroize::Zeroizing;

use crate::{
    SendError, SettingsError,
    brief::Brief,
    channel::{Channel, Parcel},
    http::Http,
};

const WHAT: &str = "the push service";
/// The size of the one record of a message.
const RECORD_BYTES: u32 = 4096;
/// How long a token that says who we are is good; at most a day is allowed.
const VAPID_TTL: Duration = Duration::from_hours(12);
/// An uncompressed point of P-256.
const POINT_BYTES: usize = 65;

/// Who sends to browsers: a P-256 key pair that follows from the instance key, so that subscriptions
/// outlive restarts and are the same on every node.
#[derive(Clone)]
pub struct WebPushKeys {
    private: Zeroizing<[u8; 32]>,
    public: Vec<u8>,
}

impl WebPushKeys {
    /// Derives the key pair from the instance key (`SECRET_KEY`).
    pub fn derive(instance_key: &[u8]) -> Result<Self, SettingsError> {
        // One in four billion texts is no private key of this curve.
        for round in 0..4_u8 {
            let private = Zeroizing::new(hmac(instance_key, &[b"preloop/web-push/v1", &[round]]));
            if let Ok(key) = PrivateKey::from_private_key(&ECDH_P256, &*private)
                && let Ok(public) = key.compute_public_key()
            {
                return Ok(Self { private, public: public.as_ref().to_vec() });
            }
        }
        Err(SettingsError::WebPush)
    }

    /// What a browser subscribes with: `applicationServerKey`, in base64url.
    pub fn public(&self) -> String {
        BASE64.encode(&self.public)
    }

    /// The value of `Authorization` for the push service at `endpoint`.
    fn authorization(&self, endpoint: &Url, contact: &str, now: Timestamp) -> Option<String> {
        let expires = (now + VAPID_TTL).micros() / 1_000_000;
        let claims = json!({ "aud": endpoint.origin().ascii_serialization(), "exp": expires, "sub": contact });
        let header = BASE64.encode(br#"{"typ":"JWT","alg":"ES256"}"#);
        let signed = format!("{header}.{}", BASE64.encode(claims.to_string()));
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = EcdsaKeyPair::from_private_key_and_public_key(algorithm, &*self.private, &self.public).ok()?;
        let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).ok()?;
        Some(format!("vapid t={signed}.{}, k={}", BASE64.encode(signature.as_ref()), self.public()))
    }
}

impl std::fmt::Debug for WebPushKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebPushKeys").field("public", &self.public()).finish_non_exhaustive()
    }
}

/// A browser's subscription.
#[derive(Deserialize)]
struct Address {
    endpoint: String,
    p256dh: String,
    auth: String,
}

pub(super) struct WebPush {
    http: Http,
    keys: WebPushKeys,
    /// Where the push service finds who runs this.
    contact: String,
}

impl WebPush {
    pub(super) fn new(http: Http, keys: WebPushKeys, public_url: &str) -> Self {
        Self { http, keys, contact: public_url.to_owned() }
    }

    fn headers(&self, endpoint: &Url, message: &Message, now: Timestamp) -> Option<HeaderMap> {
        let (ttl, urgency) = match message {
            Message::Request(request) => (request.expires_at.since(now).as_secs(), "high"),
            Message::Alert(_) => (3_600, "normal"),
        };
        let authorization = self.keys.authorization(endpoint, &self.contact, now)?;
        Some(HeaderMap::from_iter([
            (AUTHORIZATION, HeaderValue::try_from(authorization).ok()?),
            (CONTENT_ENCODING, HeaderValue::from_static("aes128gcm")),
            (CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
            (HeaderName::from_static("ttl"), HeaderValue::from(ttl)),
            (HeaderName::from_static("urgency"), HeaderValue::from_static(urgency)),
        ]))
    }
}

#[async_trait]
impl Channel for WebPush {
    fn name(&self) -> &'static str {
        "web_push"
    }

    async fn send(&self, parcel: &Parcel<'_>) -> Result<(), SendError> {
        let wrong = || SendError::permanent("the browser's subscription is unusable".to_owned());
        let (to, message): (Address, _) = parcel.open()?;
        let endpoint = Url::parse(&to.endpoint).map_err(|_| wrong())?;
        let decode = |text: &str| BASE64.decode(text.trim_end_matches('=')).map_err(|_| wrong());
        let (browser, auth) = (decode(&to.p256dh)?, decode(&to.auth)?);
        let Brief { title, subtitle, body, data, .. } = Brief::of(&message);
        let text = json!({ "title": title, "subtitle": subtitle, "body": body, "data": data }).to_string();
        let private = PrivateKey::generate(&ECDH_P256).map_err(|_| wrong())?;
        let sealed = seal(text.as_bytes(), &browser, &auth, &private, rand::random()).ok_or_else(wrong)?;
        let headers = self.headers(&endpoint, &message, parcel.at).ok_or_else(wrong)?;
        let answer = self.http.post(WHAT, endpoint.as_str(), headers, sealed).await?;
        match answer.status {
            // RFC 8030, 7.3: the subscription has ended.
            StatusCode::NOT_FOUND | StatusCode::GONE => Err(SendError::gone(format!(
                "{WHAT} answered {}: the browser does not want to be told any more",
                answer.status
            ))),
            _ => answer.judged(WHAT),
        }
    }
}

/// RFC 8291, 3.4 and RFC 8188: one record, readable for the browser alone. `None` if its keys are none.
fn seal(text: &[u8], browser: &[u8], auth: &[u8], private: &PrivateKey, salt: [u8; 16]) -> Option<Vec<u8>> {
    if browser.len() != POINT_BYTES || auth.len() != 16 || text.len() > RECORD_BYTES as usize - 103 {
        return None;
    }
    let ours = private.compute_public_key().ok()?;
    let shared =
        agree(private, UnparsedPublicKey::new(&ECDH_P256, browser), (), |shared| Ok(Zeroizing::new(shared.to_vec())))
            .ok()?;
    let shared = hmac(auth, &[&shared]);
    let material = hmac(&shared, &[b"WebPush: info\0", browser, ours.as_ref(), &[1]]);
    let pseudorandom = hmac(&salt, &[&material]);
    let key = hmac(&pseudorandom, &[b"Content-Encoding: aes128gcm\0", &[1]]);
    let nonce = hmac(&pseudorandom, &[b"Content-Encoding: nonce\0", &[1]]);

    // 2 ends the text of the last record.
    let mut record = [text, &[2]].concat();
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key[..16]).ok()?);
    let nonce = Nonce::try_assume_unique_for_key(&nonce[..12]).ok()?;
    key.seal_in_place_append_tag(nonce, Aad::empty(), &mut record).ok()?;
    let head = [&salt[..], &RECORD_BYTES.to_be_bytes(), &[65], ours.as_ref()].concat();
    Some([head, record].concat())
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC takes keys of any length; the fallback is unreachable and opens for nobody.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8291, appendix A.
    #[test]
    fn the_example_of_the_specification_comes_out_byte_for_byte() {
        let decode = |text: &str| BASE64.decode(text).unwrap();
        let text = b"When I grow up, I want to be a watermelon";
        let browser = decode("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4");
        let auth = decode("BTBZMqHH6r4Tts7J_aSIgg");
        let private =
            PrivateKey::from_private_key(&ECDH_P256, &decode("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")).unwrap();
        let salt = decode("DGv6ra1nlYgDCS1FRnbzlw").try_into().unwrap();

        let sealed = seal(text, &browser, &auth, &private, salt).unwrap();

        assert_eq!(
            BASE64.encode(sealed),
            "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
        );
        assert!(seal(text, &browser[1..], &auth, &private, [0; 16]).is_none());
        assert!(seal(&[0; 4_000], &browser, &auth, &private, [0; 16]).is_none());
    }

    #[test]
    fn the_key_follows_from_the_instance_key() {
        let [a, b, c] = [b"one", b"one", b"two"].map(|key| WebPushKeys::derive(key).unwrap().public());
        assert_eq!(a, b);
        assert_ne!(a, c);
        assert_eq!(BASE64.decode(a).unwrap().len(), POINT_BYTES);
    }
}
