//! Links that set passwords and prove addresses.

use std::time::Duration;

use preloop_identity::{Error, Step, tokens::Lifetimes};
use preloop_store::{NewOwner, each_store};
use preloop_types::User;
use secrecy::ExposeSecret;

use crate::house::{House, PASSWORD, home, invite, refused, secret, token_in};

each_store! {
    async fn a_link_sets_a_password_once_and_ends_every_sign_in(store) {
        let house = House::of(store).await;
        let tokens = house.sign_in().await;
        house.identity.forgot_password(" ANN@example.org ").await.unwrap();
        let token = house.mailed_token().await;
        // Mail scanners look first.
        for _ in 0..3 {
            let link = house.identity.password_link(&token).await.unwrap();
            assert!(link.user.username == "ann" && !link.first);
        }
        let short = house.identity.set_password(&token, &secret("short"), &home()).await;
        assert!(matches!(refused(short), Error::Invalid { field: "new_password", .. }));
        let racing = [0, 1].map(|_| {
            let (identity, token) = (house.identity.clone(), token.clone());
            tokio::spawn(async move { identity.set_password(&token, &secret("better horse"), &home()).await.is_ok() })
        });
        let mut won = 0;
        for one in racing {
            won += usize::from(one.await.unwrap());
        }
        assert_eq!(won, 1);
        assert!(!house.works(&tokens.access).await);
        assert!(matches!(refused(house.try_password(PASSWORD, &home()).await), Error::WrongCredentials));
        assert!(matches!(house.try_password("better horse", &home()).await, Ok(Step::Done(_))));
        // Whoever read the mail reads mail there.
        assert!(house.user().await.email_verified);
    }

    async fn a_link_ends_after_half_an_hour_and_with_the_password_it_was_for(store) {
        let house = House::of(store).await;
        house.identity.forgot_password("ann@example.org").await.unwrap();
        let late = house.mailed_token().await;
        house.store.clock().advance(Duration::from_mins(30));
        assert!(matches!(refused(house.identity.password_link(&late).await), Error::InvalidToken));

        house.identity.forgot_password("ann@example.org").await.unwrap();
        let token = house.mailed_token().await;
        let who = house.who();
        house.identity.change_password(&who, &secret(PASSWORD), &secret("better horse"), &home()).await.unwrap();
        let after = house.identity.set_password(&token, &secret("worse horse"), &home()).await;
        assert!(matches!(refused(after), Error::InvalidToken));
    }

    async fn one_address_of_two_people_gets_a_link_each(store) {
        let house = House::of(store).await;
        let email = Some("ann@example.org".to_owned());
        let other = NewOwner { username: "ann2".to_owned(), email, full_name: None, key: None };
        house.store.create_account(other).await.unwrap();
        house.identity.forgot_password("ann@example.org").await.unwrap();
        let mut names = Vec::new();
        for mail in house.mails().await {
            let link = house.identity.password_link(&token_in(&mail)).await.unwrap();
            assert!(mail.contains(&format!("`{}`", link.user.username)), "{mail}");
            names.push(link.user.username);
        }
        names.sort();
        assert_eq!(names, ["ann", "ann2"]);
    }

    async fn nobody_is_flooded_with_mail(store) {
        let house = House::of(store).await;
        for _ in 0..10 {
            house.identity.forgot_password("ann@example.org").await.unwrap();
        }
        assert_eq!(house.mails().await.len(), 3);
        house.identity.forgot_password("nobody@example.org").await.unwrap();
        assert!(house.mails().await.is_empty());
    }

    async fn the_deactivated_get_no_link(store) {
        let house = House::of(store).await;
        house.identity.forgot_password("ann@example.org").await.unwrap();
        let before = house.mailed_token().await;
        house.put(User { is_active: false, ..house.user().await }).await;
        assert!(matches!(refused(house.identity.password_link(&before).await), Error::InvalidToken));
        house.store.clock().advance(Duration::from_hours(1));
        house.identity.forgot_password("ann@example.org").await.unwrap();
        assert!(house.mails().await.is_empty());
    }

    async fn the_operators_link_works_once_and_the_next_ends_it(store) {
        let house = House::of(store).await;
        let first = house.identity.set_up_link(house.account, house.ann).await.unwrap();
        let second = house.identity.set_up_link(house.account, house.ann).await.unwrap();
        assert!(second.expose_secret().starts_with("https://preloop.example/set-password?token=plt_"));
        let (first, second) = (token_in(first.expose_secret()), token_in(second.expose_secret()));
        assert!(matches!(refused(house.identity.password_link(&first).await), Error::InvalidToken));
        assert!(house.identity.password_link(&second).await.unwrap().first);
        house.identity.set_password(&second, &secret("better horse"), &home()).await.unwrap();
        assert!(matches!(refused(house.identity.password_link(&second).await), Error::InvalidToken));
    }

    async fn an_address_is_proved_by_the_mail_that_reached_it(store) {
        let house = House::of(store).await;
        house.identity.ask_to_verify(&house.who()).await.unwrap();
        let token = house.mailed_token().await;
        house.put(User { email: Some("new@example.org".to_owned()), ..house.user().await }).await;
        assert!(matches!(refused(house.identity.verify_email(&token).await), Error::InvalidToken));
        assert!(!house.user().await.email_verified);
        house.identity.ask_to_verify(&house.who()).await.unwrap();
        let token = house.mailed_token().await;
        assert!(house.identity.verify_email(&token).await.unwrap().email_verified);
        assert!(house.user().await.email_verified);
        assert!(matches!(refused(house.identity.verify_email(&token).await), Error::InvalidToken));
        assert!(matches!(refused(house.identity.ask_to_verify(&house.who()).await), Error::Refused(_)));
    }

    async fn a_token_of_another_purpose_opens_nothing(store) {
        let house = House::of(store).await;
        house.identity.ask_to_verify(&house.who()).await.unwrap();
        let verify = house.mailed_token().await;
        let invitation = invite(&house, house.account, &[]).await;
        let refresh = house.sign_in().await.refresh;
        let identity = &house.identity;
        for token in [&verify[..], invitation.expose_secret(), refresh.expose_secret(), "plt_forged", ""] {
            let set = identity.set_password(token, &secret("better horse"), &home()).await;
            assert!(matches!(refused(set), Error::InvalidToken));
            let code = identity.second_factor(&secret(token), "123456", &home(), Lifetimes::LOGIN).await;
            assert!(matches!(refused(code), Error::InvalidToken));
        }
        assert!(matches!(refused(identity.invitation(&verify).await), Error::InvalidToken));
        assert!(matches!(refused(identity.verify_email(invitation.expose_secret()).await), Error::InvalidToken));
    }
}
