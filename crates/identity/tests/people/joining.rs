//! Registering, and joining somebody's account.

use std::time::Duration;

use preloop_identity::{Error, NewPerson, Step, tokens::Lifetimes};
use preloop_store::each_store;
use preloop_types::Role;
use secrecy::ExposeSecret;

use crate::house::{House, PASSWORD, from, home, invite, refused, secret};

fn person(username: &str) -> NewPerson {
    NewPerson { username: username.to_owned(), password: secret(PASSWORD), full_name: Some(" Bob ".to_owned()) }
}

each_store! {
    async fn registering_makes_a_whole_account_or_nothing(store) {
        let house = House::of(store).await;
        let user = house.identity.register("bob@example.org", person("bob"), &home()).await.unwrap();
        assert_eq!((user.full_name.as_deref(), user.email_verified), (Some("Bob"), false));
        let account = house.store.find_sign_in("bob").await.unwrap().unwrap().account;
        assert_ne!(account, house.account);
        let data = house.store.account(account);
        assert_eq!(data.user_roles(user.id).await.unwrap()[0].role, Role::Owner);
        // Row 38 of the known defects: an account without a default workflow can approve nothing.
        let workflows = data.workflows().await.unwrap();
        assert!(workflows.len() == 1 && workflows[0].is_default);
        house.identity.verify_email(&house.mailed_token().await).await.unwrap();

        let before = house.store.accounts().await.unwrap().len();
        for name in ["bob", "BOB"] {
            let again = house.identity.register("b@example.org", person(name), &home()).await;
            assert!(matches!(refused(again), Error::Refused(_)));
        }
        assert_eq!(house.store.accounts().await.unwrap().len(), before);
    }

    async fn of_those_who_want_a_name_at_once_one_gets_it(store) {
        let house = House::of(store).await;
        let racing = [1, 2, 3, 4].map(|n| {
            let identity = house.identity.clone();
            let from = from([10, 0, 1, n]);
            tokio::spawn(async move { identity.register("b@example.org", person("bob"), &from).await.is_ok() })
        });
        let mut won = 0;
        for one in racing {
            won += usize::from(one.await.unwrap());
        }
        assert_eq!((won, house.store.accounts().await.unwrap().len()), (1, 2));
    }

    async fn an_invitation_lets_one_person_join_with_what_it_gives(store) {
        let house = House::of(store).await;
        let token = invite(&house, house.account, &[Role::Viewer]).await;
        let token = token.expose_secret();
        assert_eq!(house.identity.invitation(token).await.unwrap().email, "bob@example.org");
        let taken = house.identity.accept_invitation(token, person("ann"), &home()).await;
        assert!(matches!(refused(taken), Error::Refused(_)));
        let (account, bob) = house.identity.accept_invitation(token, person("bob"), &home()).await.unwrap();
        assert_eq!(account, house.account);
        assert!(bob.email_verified && bob.email.as_deref() == Some("bob@example.org"));
        let data = house.store.account(account);
        let roles: Vec<_> = data.user_roles(bob.id).await.unwrap().iter().map(|granted| granted.role).collect();
        assert_eq!(roles, [Role::Viewer]);
        let again = house.identity.accept_invitation(token, person("bert"), &home()).await;
        assert!(matches!(refused(again), Error::InvalidToken));
        let signed_in = house.identity.sign_in("bob", &secret(PASSWORD), &home(), Lifetimes::LOGIN).await;
        assert!(matches!(signed_in, Ok(Step::Done(_))));
        let late = invite(&house, house.account, &[Role::Owner]).await;
        house.store.clock().advance(Duration::from_hours(1));
        assert!(matches!(refused(house.identity.invitation(late.expose_secret()).await), Error::InvalidToken));
    }

    async fn an_invitation_leads_into_its_own_account_only(store) {
        let house = House::of(store).await;
        let eve = house.store.owner("eve").await;
        let token = invite(&house, eve.account, &[Role::Admin]).await;
        let joined = house.identity.accept_invitation(token.expose_secret(), person("bob"), &home()).await;
        let (account, bob) = joined.unwrap();
        assert_eq!(account, eve.account);
        assert!(house.store.account(house.account).user(bob.id).await.unwrap().is_none());
    }
}
