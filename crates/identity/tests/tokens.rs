//! Tokens are given out, renewed and taken back; a stolen one ends everything.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use preloop_identity::{
    Error, Identity,
    tokens::{self, Lifetimes, NewGrant, Tokens},
};
use preloop_store::{Owner, each_store, testing::TestStore};
use preloop_types::{CredentialKind, Hash, Permission, Scope, Subject};
use secrecy::{ExposeSecret, SecretString};

async fn signed_in(store: &TestStore, owner: Owner) -> Tokens {
    let new = NewGrant {
        user: owner.user,
        kind: CredentialKind::Login,
        client: "Firefox".to_owned(),
        client_id: None,
        address: None,
        scopes: vec![Scope::Admin],
        resource: None,
        impersonator: None,
        lifetimes: Lifetimes::LOGIN,
    };
    store.write(owner.account, move |tx| Box::pin(async move { tokens::open(tx, new).await })).await.unwrap()
}

async fn refresh(identity: &Identity, token: &SecretString) -> Result<Tokens, Error> {
    identity.refresh(CredentialKind::Login, token.expose_secret(), Lifetimes::LOGIN).await
}

async fn works(store: &TestStore, access: &SecretString) -> bool {
    let found = store.find_key(&Hash::of(access.expose_secret())).await.unwrap();
    found.is_some_and(|found| found.key.expires_at.is_some_and(|end| end > store.now()))
}

each_store! {
    async fn a_refresh_token_works_once_and_a_stolen_one_ends_the_sign_in(store) {
        let owner = store.owner("ann").await;
        let identity = Identity::new((*store).clone());
        let first = signed_in(&store, owner).await;
        let key = store.find_key(&Hash::of(first.access.expose_secret())).await.unwrap().unwrap();
        assert!(key.permissions.contains(Permission::ManageUsers) && key.key.kind == CredentialKind::Login);

        let second = refresh(&identity, &first.refresh).await.unwrap();
        assert!(works(&store, &first.access).await, "an access token lives on while its refresh token is renewed");
        // Two tabs at once: refused, nothing lost.
        assert!(matches!(refresh(&identity, &first.refresh).await, Err(Error::InvalidToken)));
        assert!(works(&store, &second.access).await);

        store.clock().advance(Duration::from_mins(1));
        assert!(matches!(refresh(&identity, &first.refresh).await, Err(Error::InvalidToken)));
        assert!(!works(&store, &second.access).await && !works(&store, &first.access).await);
        assert!(matches!(refresh(&identity, &second.refresh).await, Err(Error::InvalidToken)));
    }

    async fn a_sign_in_ends_however_often_it_is_renewed(store) {
        let owner = store.owner("ann").await;
        let identity = Identity::new((*store).clone());
        let mut last = signed_in(&store, owner).await;
        for _ in 0..4 {
            store.clock().advance(Duration::from_hours(24 * 6));
            last = refresh(&identity, &last.refresh).await.unwrap_or_else(|error| panic!("{error}"));
            assert!(works(&store, &last.access).await);
        }
        store.clock().advance(Duration::from_hours(24 * 6));
        assert!(!works(&store, &last.access).await);
        assert!(refresh(&identity, &last.refresh).await.is_err());
    }

    async fn signing_out_ends_every_token_and_is_nobody_elses_to_do(store) {
        let owner = store.owner("ann").await;
        let other = store.owner("eve").await;
        let identity = Identity::new((*store).clone());
        let tokens = signed_in(&store, owner).await;
        let id = tokens.grant.id;
        let end = async |owner: Owner| identity.end(owner.account, Subject::default(), owner.user, id, "logout").await;
        assert!(matches!(end(other).await, Err(Error::NotFound(_))));
        assert!(works(&store, &tokens.access).await);
        assert!(end(owner).await.unwrap());
        assert!(!end(owner).await.unwrap());
        assert!(!works(&store, &tokens.access).await);
        assert!(refresh(&identity, &tokens.refresh).await.is_err());
    }

    async fn a_token_of_another_kind_is_no_refresh_token(store) {
        let owner = store.owner("ann").await;
        let identity = Identity::new((*store).clone());
        let tokens = signed_in(&store, owner).await;
        let refused = async |token: &SecretString| {
            identity.refresh(CredentialKind::OAuth, token.expose_secret(), Lifetimes::CLIENT).await.is_err()
        };
        assert!(refused(&tokens.refresh).await && refused(&tokens.access).await);
        assert!(store.find_key(&Hash::of(tokens.refresh.expose_secret())).await.unwrap().is_none());
    }
}
