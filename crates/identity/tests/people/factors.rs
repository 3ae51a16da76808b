//! Authenticator apps and recovery codes.

use std::time::Duration;

use aws_lc_rs::hmac;
use preloop_identity::{Error, Method, SecondFactor, Step, tokens::Lifetimes};
use preloop_store::each_store;
use preloop_types::{EntryKind, Principal, UserId};
use secrecy::{ExposeSecret, SecretString};

use crate::house::{House, PASSWORD, from, home, refused, secret};

/// An authenticator app: all it knows is what it was shown.
struct Phone {
    key: hmac::Key,
}

impl Phone {
    fn scan(uri: &SecretString) -> Self {
        let (_, rest) = uri.expose_secret().split_once("secret=").unwrap();
        let letters = rest.split('&').next().unwrap();
        let (mut bytes, mut held, mut bits) = (Vec::new(), 0_u32, 0);
        for letter in letters.bytes() {
            let value = if letter.is_ascii_digit() { letter - b'2' + 26 } else { letter - b'A' };
            held = ((held << 5) | u32::from(value)) & 0xffff;
            bits += 5;
            if bits >= 8 {
                bits -= 8;
                bytes.push(u8::try_from((held >> bits) & 0xff).unwrap());
            }
        }
        Self { key: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &bytes) }
    }

    fn code(&self, house: &House) -> String {
        let step = house.store.now().micros() / 30_000_000;
        let tag = hmac::sign(&self.key, &step.to_be_bytes());
        let at = usize::from(tag.as_ref()[19] & 15);
        let word = u32::from_be_bytes(tag.as_ref()[at..at + 4].try_into().unwrap());
        format!("{:06}", (word & 0x7fff_ffff) % 1_000_000)
    }
}

/// Ann has an authenticator app; with her recovery codes.
async fn enrolled(house: &House) -> (Phone, Vec<SecretString>) {
    let enrolment = house.identity.enrol_totp(&house.who(), &secret(PASSWORD), &home()).await.unwrap();
    let phone = Phone::scan(&enrolment.uri);
    // It does not count before it showed its first code.
    house.sign_in().await;
    let codes = house.identity.confirm_totp(&house.who(), &phone.code(house), &home()).await.unwrap();
    assert_eq!(codes.len(), 10);
    house.store.clock().advance(Duration::from_secs(30));
    (phone, codes)
}

async fn waiting(house: &House) -> SecondFactor {
    match house.try_password(PASSWORD, &home()).await {
        Ok(Step::SecondFactor(waiting)) => waiting,
        Ok(Step::Done(_)) => panic!("no second factor was asked for"),
        Err(error) => panic!("{error}"),
    }
}

async fn bring(house: &House, waiting: &SecondFactor, code: &str) -> Result<(), Error> {
    house.identity.second_factor(&waiting.token, code, &home(), Lifetimes::LOGIN).await.map(drop)
}

each_store! {
    async fn a_code_is_asked_for_and_counts_once(store) {
        let house = House::of(store).await;
        let (phone, _) = enrolled(&house).await;
        let first = waiting(&house).await;
        assert_eq!(first.methods, [Method::Totp, Method::RecoveryCode]);
        let code = phone.code(&house);
        bring(&house, &first, &code).await.unwrap();
        // The same code, in another sign-in and in this one.
        let second = waiting(&house).await;
        assert!(matches!(bring(&house, &second, &code).await, Err(Error::WrongFactor)));
        assert!(matches!(bring(&house, &first, &code).await, Err(Error::InvalidToken)));
        house.store.clock().advance(Duration::from_secs(30));
        bring(&house, &second, &phone.code(&house)).await.unwrap();
        let records = house.records(EntryKind::SignedIn).await;
        assert!(records.iter().any(|body| body.contains("password and code")), "{records:?}");
    }

    async fn codes_cannot_be_guessed(store) {
        let house = House::of(store).await;
        let (phone, _) = enrolled(&house).await;
        let waits = waiting(&house).await;
        for _ in 0..4 {
            assert!(matches!(bring(&house, &waits, "000000").await, Err(Error::WrongFactor)));
        }
        assert!(matches!(bring(&house, &waits, "000000").await, Err(Error::InvalidToken)));
        // After too many wrong ones even the right one comes too late.
        assert!(matches!(bring(&house, &waits, &phone.code(&house)).await, Err(Error::InvalidToken)));
        let waits = waiting(&house).await;
        let mut guesses = 5;
        while !matches!(bring(&house, &waits, "000000").await, Err(Error::InvalidToken)) {
            guesses += 1;
        }
        assert!(guesses <= 10, "{guesses}");
        let waits = waiting(&house).await;
        assert!(matches!(bring(&house, &waits, "000000").await, Err(Error::TooMany { .. })));
        house.store.clock().advance(Duration::from_mins(15));
        assert!(matches!(bring(&house, &waits, &phone.code(&house)).await, Err(Error::InvalidToken)));
    }

    async fn a_recovery_code_stands_in_once(store) {
        let house = House::of(store).await;
        let (_, codes) = enrolled(&house).await;
        let typed = codes[0].expose_secret().to_uppercase().replace('-', " ");
        bring(&house, &waiting(&house).await, &typed).await.unwrap();
        let again = waiting(&house).await;
        assert!(matches!(bring(&house, &again, &typed).await, Err(Error::WrongFactor)));
        assert_eq!(house.identity.factors(&house.who()).await.unwrap().recovery_codes, 9);
        let new = house.identity.new_recovery_codes(&house.who(), &secret(PASSWORD), &home()).await.unwrap();
        assert!(matches!(bring(&house, &again, codes[1].expose_secret()).await, Err(Error::WrongFactor)));
        bring(&house, &again, new[1].expose_secret()).await.unwrap();
    }

    async fn a_factor_is_changed_by_the_person_with_their_password_only(store) {
        let house = House::of(store).await;
        let (identity, who) = (&house.identity, house.who());
        let wrong = secret("wrong horse");
        assert!(matches!(refused(identity.enrol_totp(&who, &wrong, &home()).await), Error::WrongPassword));
        let (phone, _) = enrolled(&house).await;
        assert!(matches!(refused(identity.remove_totp(&who, &wrong, &home()).await), Error::WrongPassword));
        let again = identity.enrol_totp(&who, &secret(PASSWORD), &home()).await;
        assert!(matches!(refused(again), Error::Refused(_)));
        let in_her_place = Principal { impersonator: Some(UserId(uuid::Uuid::nil())), ..who.clone() };
        let agent = Principal { scopes: Vec::new(), ..who.clone() };
        for other in [in_her_place, agent] {
            let removed = identity.remove_totp(&other, &secret(PASSWORD), &home()).await;
            assert!(matches!(refused(removed), Error::Forbidden(_)));
        }
        bring(&house, &waiting(&house).await, &phone.code(&house)).await.unwrap();
        identity.remove_totp(&who, &secret(PASSWORD), &home()).await.unwrap();
        house.sign_in().await;
        assert_eq!(identity.factors(&who).await.unwrap().recovery_codes, 0);
        // Somebody at an open session guesses the password no further than at the door.
        let elsewhere = from([10, 9, 9, 9]);
        for _ in 0..10 {
            assert!(matches!(refused(identity.enrol_totp(&who, &wrong, &elsewhere).await), Error::WrongPassword));
        }
        let refusal = refused(identity.enrol_totp(&who, &secret(PASSWORD), &elsewhere).await);
        assert!(matches!(refusal, Error::TooMany { .. }));
    }

    async fn a_new_password_does_not_take_the_second_factor_away(store) {
        let house = House::of(store).await;
        let (phone, _) = enrolled(&house).await;
        let waits = waiting(&house).await;
        house.identity.forgot_password("ann@example.org").await.unwrap();
        let token = house.mailed_token().await;
        house.identity.set_password(&token, &secret("better horse"), &home()).await.unwrap();
        // The sign-in that waited was with the old one.
        assert!(matches!(bring(&house, &waits, &phone.code(&house)).await, Err(Error::InvalidToken)));
        assert!(matches!(house.try_password("better horse", &home()).await, Ok(Step::SecondFactor(_))));
    }
}
