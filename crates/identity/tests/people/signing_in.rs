//! Names and passwords.

use std::time::Duration;

use preloop_identity::{Error, Step, tokens::Lifetimes};
use preloop_store::each_store;
use preloop_types::{CredentialKind, EntryKind, User};
use secrecy::ExposeSecret;

use crate::house::{House, PASSWORD, from, home, refused, secret};

each_store! {
    async fn whoever_knows_the_password_is_let_in_and_it_is_recorded(store) {
        let house = House::of(store).await;
        let tokens = house.sign_in().await;
        assert!(house.works(&tokens.access).await);
        assert_eq!((&tokens.grant.client[..], tokens.grant.address.as_deref()), ("Firefox", Some("10.0.0.1")));
        assert!(house.user().await.last_login_at.is_some());

        for (name, password) in [("ann", "wrong horse"), ("ann", ""), ("eve", PASSWORD), ("", "")] {
            let wrong = house.identity.sign_in(name, &secret(password), &home(), Lifetimes::LOGIN).await;
            assert!(matches!(refused(wrong), Error::WrongCredentials), "{name}");
        }
        let failed = house.records(EntryKind::SignInFailed).await;
        assert_eq!(failed.len(), 2);
        let good = house.records(EntryKind::SignedIn).await;
        assert!(good.len() == 1 && good[0].contains("10.0.0.1"), "{good:?}");
        for kind in [EntryKind::SignInFailed, EntryKind::SignedIn, EntryKind::KeyChanged, EntryKind::SignInChanged] {
            for body in house.records(kind).await {
                assert!(!body.contains(tokens.access.expose_secret()) && !body.contains("horse"), "{body}");
            }
        }
    }

    async fn a_deactivated_person_is_told_no_more_than_a_stranger(store) {
        let house = House::of(store).await;
        let tokens = house.sign_in().await;
        house.put(User { is_active: false, ..house.user().await }).await;
        assert!(matches!(refused(house.try_password(PASSWORD, &home()).await), Error::WrongCredentials));
        let refresh = house.identity.refresh(CredentialKind::Login, tokens.refresh.expose_secret(), Lifetimes::LOGIN);
        assert!(matches!(refused(refresh.await), Error::InvalidToken));
    }

    async fn many_at_once_guess_no_more_often_than_one_after_the_other(store) {
        let house = House::of(store).await;
        let guesses = (0..40).map(|_| {
            let identity = house.identity.clone();
            tokio::spawn(async move {
                let guess = identity.sign_in("ann", &secret("wrong horse"), &home(), Lifetimes::LOGIN).await;
                matches!(guess, Err(Error::WrongCredentials))
            })
        });
        let guesses: Vec<_> = guesses.collect();
        let mut checked = 0;
        for guess in guesses {
            checked += usize::from(guess.await.unwrap());
        }
        assert_eq!(checked, 10);
        let Error::TooMany { retry_after } = refused(house.try_password(PASSWORD, &home()).await) else {
            panic!("another guess was let through")
        };
        house.store.clock().advance(retry_after);
        house.sign_in().await;
    }

    async fn strangers_cannot_lock_a_person_out(store) {
        let house = House::of(store).await;
        house.sign_in().await;
        let mut refusals = 0;
        for stranger in 0..60 {
            let guess = house.try_password("wrong horse", &from([10, 1, 0, stranger])).await;
            refusals += usize::from(matches!(guess, Err(Error::TooMany { .. })));
        }
        assert_eq!(refusals, 30);
        // Strangers wait. Where she signed in from before, she does not.
        assert!(matches!(refused(house.try_password(PASSWORD, &from([10, 1, 1, 1])).await), Error::TooMany { .. }));
        house.sign_in().await;
        // On the way, a link from her mail opens the door.
        let hotel = from([10, 2, 0, 1]);
        assert!(matches!(refused(house.try_password(PASSWORD, &hotel).await), Error::TooMany { .. }));
        house.identity.forgot_password("ann@example.org").await.unwrap();
        let token = house.mailed_token().await;
        house.identity.set_password(&token, &secret("better horse"), &hotel).await.unwrap();
        assert!(matches!(house.try_password("better horse", &hotel).await, Ok(Step::Done(_))));
        house.store.clock().advance(Duration::from_mins(15));
        assert!(matches!(house.try_password("better horse", &from([10, 1, 1, 1])).await, Ok(Step::Done(_))));
    }
}
