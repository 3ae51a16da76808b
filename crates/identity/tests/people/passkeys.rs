//! Passkeys, with an authenticator of our own.

use aws_lc_rs::{
    rand::SystemRandom,
    rsa,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use preloop_identity::{
    Error, Method, Result, Step,
    tokens::{Lifetimes, Tokens},
};
use preloop_store::each_store;
use preloop_types::{Hash, User};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::house::{House, PASSWORD, home, refused, secret};

const ORIGIN: &str = "https://preloop.example";
const PRESENT: u8 = 1;
const VERIFIED: u8 = 4;

enum Pair {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

struct Authenticator {
    id: Vec<u8>,
    pair: Pair,
    count: u32,
    /// What it says of the person, and where it thinks it is.
    flags: u8,
    origin: &'static str,
    rp: &'static str,
}

impl Authenticator {
    fn new(pair: Pair) -> Self {
        let id = rand::random::<[u8; 16]>().to_vec();
        Self { id, pair, count: 0, flags: PRESENT | VERIFIED, origin: ORIGIN, rp: "preloop.example" }
    }

    fn p256() -> Self {
        Self::new(Pair::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap()))
    }

    fn cose(&self) -> Vec<u8> {
        match &self.pair {
            Pair::P256(pair) => {
                let point = pair.public_key().as_ref();
                let head: &[u8] = &[0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 32];
                [head, &point[1..33], &[0x22, 0x58, 32], &point[33..]].concat()
            }
            Pair::Ed25519(pair) => {
                let head: &[u8] = &[0xa4, 0x01, 0x01, 0x03, 0x27, 0x20, 0x06, 0x21, 0x58, 32];
                [head, pair.public_key().as_ref()].concat()
            }
            Pair::Rsa(pair) => {
                let n = pair.public_key().modulus().big_endian_without_leading_zero().to_vec();
                let e = pair.public_key().exponent().big_endian_without_leading_zero().to_vec();
                let length = u16::try_from(n.len()).unwrap().to_be_bytes();
                let head: &[u8] = &[0xa4, 0x01, 0x03, 0x03, 0x39, 0x01, 0x00, 0x20, 0x59, length[0], length[1]];
                [head, &n, &[0x21, 0x40 + u8::try_from(e.len()).unwrap()], &e].concat()
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::P256(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }

    fn data(&self, more: u8) -> Vec<u8> {
        [&Hash::of(self.rp).0[..], &[self.flags | more], &self.count.to_be_bytes()].concat()
    }

    fn client_data(&self, kind: &str, options: &Value) -> Vec<u8> {
        json!({"type": kind, "challenge": options["challenge"], "origin": self.origin}).to_string().into_bytes()
    }

    /// `navigator.credentials.create()`
    fn create(&self, options: &Value) -> String {
        let id_length = u16::try_from(self.id.len()).unwrap().to_be_bytes();
        let data = [&self.data(0x40)[..], &[0; 16], &id_length, &self.id, &self.cose()].concat();
        let length = u16::try_from(data.len()).unwrap().to_be_bytes();
        let head: &[u8] = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59";
        let object = [head, &length, &data].concat();
        self.credential(json!({
            "clientDataJSON": encode(&self.client_data("webauthn.create", options)),
            "attestationObject": encode(&object),
        }))
    }

    /// `navigator.credentials.get()`
    fn get(&mut self, options: &Value) -> String {
        self.count += 1;
        let (data, client_data) = (self.data(0), self.client_data("webauthn.get", options));
        let signature = self.sign(&[&data[..], &Hash::of(&client_data).0].concat());
        self.credential(json!({
            "clientDataJSON": encode(&client_data),
            "authenticatorData": encode(&data),
            "signature": encode(&signature),
        }))
    }

    #[expect(clippy::needless_pass_by_value, reason = "it becomes part of the credential")]
    fn credential(&self, response: Value) -> String {
        let id = encode(&self.id);
        json!({"id": id, "rawId": id, "type": "public-key", "response": response, "clientExtensionResults": {}})
            .to_string()
    }
}

fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

async fn add(house: &House, key: &Authenticator) -> Result<usize> {
    let options = house.identity.new_passkey(&house.who(), &secret(PASSWORD), &home()).await?;
    let added = house.identity.add_passkey(&house.who(), "Laptop", &key.create(&options)).await;
    added.map(|(_, codes)| codes.len())
}

async fn ask(house: &House, waiting: Option<&SecretString>) -> Value {
    house.identity.ask_passkey(waiting, &home()).await.unwrap()
}

async fn bring(house: &House, waiting: Option<&SecretString>, credential: &str) -> Result<Tokens> {
    house.identity.sign_in_with_passkey(waiting, credential, &home(), Lifetimes::LOGIN).await
}

async fn alone(house: &House, key: &mut Authenticator) -> Result<Tokens> {
    let options = ask(house, None).await;
    bring(house, None, &key.get(&options)).await
}

async fn waiting(house: &House) -> SecretString {
    match house.try_password(PASSWORD, &home()).await {
        Ok(Step::SecondFactor(waiting)) => {
            assert!(waiting.methods.contains(&Method::Passkey));
            waiting.token
        }
        _ => panic!("no second factor was asked for"),
    }
}

each_store! {
    async fn every_kind_of_passkey_signs_in_alone_and_beside_a_password(store) {
        let house = House::of(store).await;
        let keys = [
            Authenticator::p256(),
            Authenticator::new(Pair::Ed25519(Ed25519KeyPair::generate().unwrap())),
            Authenticator::new(Pair::Rsa(RsaKeyPair::generate(rsa::KeySize::Rsa2048).unwrap())),
        ];
        for (number, mut key) in keys.into_iter().enumerate() {
            // Recovery codes come with the first second factor.
            assert_eq!(add(&house, &key).await.unwrap(), if number == 0 { 10 } else { 0 });
            assert!(house.works(&alone(&house, &mut key).await.unwrap().access).await);
            // Beside a password, being there is enough.
            key.flags = PRESENT;
            let token = waiting(&house).await;
            let options = ask(&house, Some(&token)).await;
            assert!(options["allowCredentials"].as_array().unwrap().iter().any(|known| known["id"] == encode(&key.id)));
            bring(&house, Some(&token), &key.get(&options)).await.unwrap();
            assert!(matches!(refused(alone(&house, &mut key).await), Error::WrongFactor));
        }
    }

    async fn what_was_signed_for_others_is_worth_nothing(store) {
        let house = House::of(store).await;
        let mut key = Authenticator::p256();
        add(&house, &key).await.unwrap();
        for (origin, rp) in [("https://evil.example", "preloop.example"), (ORIGIN, "evil.example"), ("http://preloop.example", "preloop.example")] {
            (key.origin, key.rp) = (origin, rp);
            assert!(matches!(refused(alone(&house, &mut key).await), Error::WrongFactor), "{origin} {rp}");
        }
        (key.origin, key.rp) = (ORIGIN, "preloop.example");
        // A key of another authenticator under the same id.
        let mut forged = Authenticator { id: key.id.clone(), ..Authenticator::p256() };
        forged.count = 100;
        assert!(matches!(refused(alone(&house, &mut forged).await), Error::WrongFactor));
        // A challenge of nobody, of another ceremony, and one that was answered.
        for challenge in [encode(b"plt_forged"), house.identity.new_passkey(&house.who(), &secret(PASSWORD), &home()).await.unwrap()["challenge"].as_str().unwrap().to_owned()] {
            let credential = key.get(&json!({"challenge": challenge}));
            assert!(matches!(refused(bring(&house, None, &credential).await), Error::WrongFactor));
        }
        let options = ask(&house, None).await;
        let credential = key.get(&options);
        bring(&house, None, &credential).await.unwrap();
        assert!(matches!(refused(bring(&house, None, &credential).await), Error::WrongFactor));
        for garbage in ["", "{}", "null", &key.credential(json!({"clientDataJSON": "AA"}))] {
            assert!(matches!(refused(bring(&house, None, garbage).await), Error::WrongFactor));
        }
    }

    async fn a_copied_passkey_shows(store) {
        let house = House::of(store).await;
        let mut key = Authenticator::p256();
        add(&house, &key).await.unwrap();
        for _ in 0..3 {
            alone(&house, &mut key).await.unwrap();
        }
        key.count = 1;
        assert!(matches!(refused(alone(&house, &mut key).await), Error::WrongFactor));
    }

    async fn a_second_factor_belongs_to_the_one_whose_password_it_was(store) {
        let house = House::of(store).await;
        let (mut anns, mut eves) = (Authenticator::p256(), Authenticator::p256());
        add(&house, &anns).await.unwrap();
        let eve = house.store.owner("eve").await;
        let who = preloop_types::Principal { account: eve.account, user: eve.user, ..house.who() };
        let options = house.identity.new_passkey(&who, &secret(""), &home()).await.unwrap();
        // Not with a challenge of Eve's.
        let added = house.identity.add_passkey(&house.who(), "Laptop", &anns.create(&options)).await;
        assert!(matches!(refused(added), Error::WrongFactor));
        let options = house.identity.new_passkey(&who, &secret(""), &home()).await.unwrap();
        house.identity.add_passkey(&who, "Phone", &eves.create(&options)).await.unwrap();

        let token = waiting(&house).await;
        let options = ask(&house, Some(&token)).await;
        assert!(matches!(refused(bring(&house, Some(&token), &eves.get(&options)).await), Error::WrongFactor));
        // What was asked of anybody is no second factor, and the other way round.
        let anybody = ask(&house, None).await;
        assert!(matches!(refused(bring(&house, Some(&token), &anns.get(&anybody)).await), Error::WrongFactor));
        let options = ask(&house, Some(&token)).await;
        assert!(matches!(refused(bring(&house, None, &anns.get(&options)).await), Error::WrongFactor));
        let options = ask(&house, Some(&token)).await;
        bring(&house, Some(&token), &anns.get(&options)).await.unwrap();

        house.put(User { is_active: false, ..house.user().await }).await;
        assert!(matches!(refused(alone(&house, &mut anns).await), Error::WrongFactor));
    }

    async fn a_removed_passkey_signs_nobody_in(store) {
        let house = House::of(store).await;
        let mut key = Authenticator::p256();
        add(&house, &key).await.unwrap();
        let again = add(&house, &key).await;
        assert!(matches!(refused(again), Error::Refused(_)));
        let id = house.identity.factors(&house.who()).await.unwrap().passkeys[0].id;
        let wrong = house.identity.remove_passkey(&house.who(), id, &secret("wrong horse"), &home()).await;
        assert!(matches!(refused(wrong), Error::WrongPassword));
        house.identity.remove_passkey(&house.who(), id, &secret(PASSWORD), &home()).await.unwrap();
        assert!(matches!(refused(alone(&house, &mut key).await), Error::WrongFactor));
        house.sign_in().await;
    }
}
