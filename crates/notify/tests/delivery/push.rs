//! Devices: what a browser can read, what a relay is handed, and when a device is forgotten.

use aws_lc_rs::{
    aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree},
    hkdf::{HKDF_SHA256, KeyType, Salt},
    signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey as VerifyingKey},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use preloop_govern::Recipient;
use preloop_notify::{PushProxySettings, Settings, WebPushKeys};
use preloop_store::Device;
use preloop_types::{DeviceId, Hash};
use serde_json::{Value, json};
use url::Url;

use crate::{
    LONG,
    receiver::{Receiver, Told},
    rig::Rig,
};

/// A browser that subscribed.
struct Browser {
    private: PrivateKey,
    auth: [u8; 16],
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn hkdf(salt: &[u8], secret: &[u8], info: &[&[u8]], length: usize) -> Vec<u8> {
    let mut out = vec![0; length];
    let key = Salt::new(HKDF_SHA256, salt).extract(secret);
    key.expand(info, Length(length)).unwrap().fill(&mut out).unwrap();
    out
}

impl Browser {
    fn new() -> Self {
        Self { private: PrivateKey::generate(&ECDH_P256).unwrap(), auth: [7; 16] }
    }

    fn public(&self) -> Vec<u8> {
        self.private.compute_public_key().unwrap().as_ref().to_vec()
    }

    fn subscription(&self, endpoint: &str) -> Value {
        json!({ "endpoint": endpoint, "p256dh": BASE64.encode(self.public()), "auth": BASE64.encode(self.auth) })
    }

    /// RFC 8291 and RFC 8188, as a browser reads.
    fn read(&self, told: &Told) -> Value {
        let (salt, rest) = told.body.split_at(16);
        assert_eq!(rest[4], 65, "the sender's key is an uncompressed point");
        let (sender, sealed) = rest[5..].split_at(65);
        let shared = agree(&self.private, UnparsedPublicKey::new(&ECDH_P256, sender), (), |s| Ok(s.to_vec())).unwrap();
        let material = hkdf(&self.auth, &shared, &[b"WebPush: info\0", &self.public(), sender], 32);
        let key = hkdf(salt, &material, &[b"Content-Encoding: aes128gcm\0"], 16);
        let nonce = hkdf(salt, &material, &[b"Content-Encoding: nonce\0"], 12);
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).unwrap());
        let mut record = sealed.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(&nonce).unwrap();
        let text = key.open_in_place(nonce, Aad::empty(), &mut record).unwrap();
        let (end, text) = text.split_last().unwrap();
        assert_eq!(*end, 2);
        serde_json::from_slice(text).unwrap()
    }
}

async fn register(rig: &Rig, channel: &str, address: Value) -> Device {
    let id = DeviceId::new(rig.store.now());
    let device = Device {
        id,
        user: rig.owner,
        channel: channel.to_owned(),
        platform: "ios".to_owned(),
        name: "Ann's".to_owned(),
        address: address.to_string(),
        token_hash: Hash::of(id.to_string()),
        key: None,
        created_at: rig.store.now(),
    };
    let kept = device.clone();
    rig.store.write(rig.account, |tx| Box::pin(async move { tx.put_device(&kept).await })).await.unwrap();
    device
}

async fn devices(rig: &Rig) -> usize {
    rig.store.account(rig.account).devices(None).await.unwrap().len()
}

fn relay(receiver: &Receiver) -> Settings {
    let url = Url::parse(receiver.origin()).unwrap();
    Settings { push_proxy: Some(PushProxySettings { url, api_key: "relay-key".into() }), ..Settings::default() }
}

#[tokio::test]
async fn a_browser_can_read_what_it_is_sent_and_there_is_no_link_in_it() {
    let service = Receiver::start(201).await;
    let rig = Rig::new(None).await;
    let browser = Browser::new();
    let device = register(&rig, "web_push", browser.subscription(&format!("{}/send/1", service.origin()))).await;
    rig.announce_to(Recipient::device(&device)).await;

    rig.deliver().await;

    let told = service.told().remove(0);
    assert_eq!((told.path.as_str(), told.header("content-encoding")), ("/send/1", "aes128gcm"));
    assert!(told.header("ttl").parse::<u64>().unwrap() > 0);
    let notice = browser.read(&told);
    assert_eq!((&notice["title"], &notice["subtitle"]), (&json!("New Approval Request"), &json!("pay")));
    assert_eq!(notice["data"]["approval_request_id"], rig.approval.id.to_string());
    assert!(!notice.to_string().contains("token") && !notice.to_string().contains("http"), "{notice}");

    // RFC 8292: a token for this push service, signed by the key the browser subscribed with.
    let public = WebPushKeys::derive(b"an instance key").unwrap().public();
    let (token, key) = told.header("authorization").strip_prefix("vapid t=").unwrap().split_once(", k=").unwrap();
    assert_eq!(key, public);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let signature = BASE64.decode(signature).unwrap();
    let key = VerifyingKey::new(&ECDSA_P256_SHA256_FIXED, BASE64.decode(public).unwrap());
    key.verify(signed.as_bytes(), &signature).unwrap();
    let claims: Value = serde_json::from_slice(&BASE64.decode(signed.split_once('.').unwrap().1).unwrap()).unwrap();
    assert_eq!((&claims["aud"], &claims["sub"]), (&json!(service.origin()), &json!("https://preloop.example")));
    let now = rig.store.now().micros() / 1_000_000;
    assert!((now..=now + 86_400).contains(&claims["exp"].as_i64().unwrap()));
}

#[tokio::test]
async fn a_browser_that_unsubscribed_is_forgotten_and_an_outage_forgets_nobody() {
    for (status, left) in [(404, 0), (410, 0), (429, 1), (403, 1), (500, 1), (503, 1)] {
        let service = Receiver::start(status).await;
        let rig = Rig::new(None).await;
        let device = register(&rig, "web_push", Browser::new().subscription(&service.url)).await;
        rig.announce_to(Recipient::device(&device)).await;

        for _ in 0..8 {
            rig.deliver_after(LONG).await;
        }

        assert_eq!(devices(&rig).await, left, "{status}");
    }
}

#[tokio::test]
async fn the_relay_is_handed_a_message_without_a_link() {
    let receiver = Receiver::start(200).await;
    receiver.say(r#"{"success":true}"#);
    let rig = Rig::set_up(relay(&receiver)).await;
    let device = register(&rig, "mobile_push", json!({ "platform": "ios", "token": "apns-1" })).await;
    rig.announce_to(Recipient::device(&device)).await;

    rig.deliver().await;

    let told = receiver.told().remove(0);
    assert_eq!((told.path.as_str(), told.header("x-api-key")), ("/api/v1/push/proxy", "relay-key"));
    let message = told.json();
    assert_eq!((&message["platform"], &message["device_token"]), (&json!("ios"), &json!("apns-1")));
    assert_eq!(message["data"]["type"], "new_approval_request");
    assert!(message["body"].as_str().unwrap().contains("the invoice is due"));
    assert!(!message.to_string().contains("token-of") && !message.to_string().contains("http"), "{message}");
}

#[tokio::test]
async fn a_phone_is_forgotten_when_the_relay_says_so_of_its_token_and_on_nothing_else() {
    let cases = [
        (200, r#"{"success":false,"error":"Unregistered"}"#, 0),
        (200, r#"{"success":false,"error":"gone","details":{"status":410}}"#, 0),
        (410, r#"{"success":false,"error":"BadDeviceToken"}"#, 0),
        // A relay whose address is wrong, whose key is wrong, or which is down.
        (404, "<html>not found</html>", 1),
        (410, "", 1),
        (401, r#"{"success":false,"error":"invalid API key"}"#, 1),
        (503, r#"{"success":false,"error":"no push service is configured"}"#, 1),
        (200, r#"{"success":false,"error":"timeout"}"#, 1),
    ];
    for (status, said, left) in cases {
        let receiver = Receiver::start(status).await;
        receiver.say(said);
        let rig = Rig::set_up(relay(&receiver)).await;
        let device = register(&rig, "mobile_push", json!({ "platform": "android", "token": "fcm-1" })).await;
        rig.announce_to(Recipient::device(&device)).await;

        for _ in 0..8 {
            rig.deliver_after(LONG).await;
        }

        assert_eq!(devices(&rig).await, left, "{status} {said}");
        assert_eq!(rig.history().await[0].event_type, "notification_failed");
    }
}
