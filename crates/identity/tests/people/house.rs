//! An instance with one person, and what they see of it.

use std::{net::IpAddr, time::Duration};

use preloop_identity::{
    Client, Error, Identity, Options, PasswordCost, Result, Step,
    one_time::{self, NewToken},
    tokens::{Lifetimes, Tokens},
};
use preloop_store::{NewOwner, RecordFilter, testing::TestStore};
use preloop_types::{
    AccountId, CredentialKind, EntryKind, Hash, InvitationId, Invited, KeyId, OneTimePurpose, PermissionSet, Principal,
    Role, Scope, User, UserId,
};
use secrecy::{ExposeSecret, SecretString};

pub(crate) const PASSWORD: &str = "correct horse";

pub(crate) struct House {
    pub(crate) store: TestStore,
    pub(crate) identity: Identity,
    pub(crate) account: AccountId,
    pub(crate) ann: UserId,
}

pub(crate) fn secret(text: &str) -> SecretString {
    SecretString::from(text.to_owned())
}

pub(crate) fn from(address: [u8; 4]) -> Client {
    Client { name: "Firefox".to_owned(), address: IpAddr::from(address) }
}

pub(crate) fn home() -> Client {
    from([10, 0, 0, 1])
}

impl House {
    /// An instance where Ann has a password.
    pub(crate) async fn of(store: TestStore) -> Self {
        let options = Options {
            public_url: "https://preloop.example".to_owned(),
            mail: true,
            registration: true,
            password_cost: PasswordCost::LOWEST,
        };
        let identity = Identity::with((*store).clone(), options);
        let email = Some("ann@example.org".to_owned());
        let owner = NewOwner { username: "ann".to_owned(), email, full_name: None, key: None };
        let owner = store.create_account(owner).await.unwrap();
        identity.force_password("ann", &secret(PASSWORD)).await.unwrap();
        Self { store, identity, account: owner.account, ann: owner.user }
    }

    pub(crate) async fn try_password(&self, password: &str, client: &Client) -> Result<Step> {
        self.identity.sign_in("ann", &secret(password), client, Lifetimes::LOGIN).await
    }

    pub(crate) async fn sign_in(&self) -> Tokens {
        match self.try_password(PASSWORD, &home()).await {
            Ok(Step::Done(tokens)) => *tokens,
            Ok(Step::SecondFactor(_)) => panic!("a second factor is asked for"),
            Err(error) => panic!("{error}"),
        }
    }

    /// Ann at her browser.
    pub(crate) fn who(&self) -> Principal {
        Principal {
            account: self.account,
            user: self.ann,
            username: "ann".to_owned(),
            key: KeyId(uuid::Uuid::nil()),
            key_name: "Firefox".to_owned(),
            credential: CredentialKind::Login,
            scopes: vec![Scope::Admin],
            permissions: PermissionSet::ALL,
            impersonator: None,
            agent: None,
            session: None,
            allowed_tools: None,
            allowed_servers: None,
            audience: preloop_types::Audience::Everything,
        }
    }

    pub(crate) async fn user(&self) -> User {
        self.store.account(self.account).user(self.ann).await.unwrap().unwrap()
    }

    pub(crate) async fn put(&self, user: User) {
        self.store.write(self.account, |tx| Box::pin(async move { tx.update_user(&user).await })).await.unwrap();
    }

    /// The texts of the mails that wait.
    pub(crate) async fn mails(&self) -> Vec<String> {
        let waiting = self.store.claim_deliveries("email", self.store.now(), 100).await.unwrap();
        for id in waiting.iter().map(|mail| mail.id) {
            let sent = self.store.write(self.account, move |tx| Box::pin(async move { tx.finish_delivery(id).await }));
            // Mails of another account are left as they are.
            let _ = sent.await;
        }
        waiting.into_iter().map(|mail| String::from_utf8(mail.payload).unwrap()).collect()
    }

    /// The token in the one mail that waits.
    pub(crate) async fn mailed_token(&self) -> String {
        let mails = self.mails().await;
        assert_eq!(mails.len(), 1, "{mails:?}");
        token_in(&mails[0])
    }

    pub(crate) async fn works(&self, access: &SecretString) -> bool {
        self.store.find_key(&Hash::of(access.expose_secret())).await.unwrap().is_some()
    }

    /// The bodies of the records of that kind.
    pub(crate) async fn records(&self, kind: EntryKind) -> Vec<String> {
        let records = self.store.account(self.account).records(RecordFilter::default()).await.unwrap();
        records.iter().filter(|record| record.kind == kind).map(|record| record.body.to_string()).collect()
    }
}

/// The secret of an invitation, given out.
pub(crate) async fn invite(house: &House, account: AccountId, roles: &[Role]) -> SecretString {
    let invited = Invited {
        invitation: InvitationId(uuid::Uuid::nil()),
        by: house.ann,
        roles: roles.to_vec(),
        teams: Vec::new(),
    };
    let new = NewToken {
        purpose: OneTimePurpose::Invitation,
        user: None,
        email: Some("bob@example.org".to_owned()),
        data: Some(serde_json::to_string(&invited).unwrap()),
        lifetime: Duration::from_hours(1),
    };
    let given = house.store.write(account, move |tx| Box::pin(async move { one_time::issue(tx, new).await }));
    given.await.unwrap()
}

pub(crate) fn token_in(text: &str) -> String {
    let (_, rest) = text.split_once("token=").unwrap_or_else(|| panic!("no link in {text}"));
    rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect()
}

/// What went wrong.
#[track_caller]
pub(crate) fn refused<T>(result: Result<T>) -> Error {
    result.err().unwrap_or_else(|| panic!("it was let through"))
}
