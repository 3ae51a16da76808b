//! Becoming a person here: registering an account of one's own, or joining somebody's.

use preloop_store::NewOwner;
use preloop_types::{AccountId, Hash, Invited, OneTimePurpose, Subject, User, UserId};
use secrecy::SecretString;

use crate::{Client, Error, Identity, Result, attempts::network, one_time, password, record, recover, sign_in::person};

const USERNAME_CHARS: std::ops::RangeInclusive<usize> = 3..=50;
const FULL_NAME_CHARS_MAX: usize = 200;

/// Somebody as they describe themselves.
#[derive(Clone)]
pub struct NewPerson {
    /// What they want to sign in with: 3 to 50 letters and digits, unique in the instance.
    pub username: String,
    /// Their password.
    pub password: SecretString,
    /// Display name.
    pub full_name: Option<String>,
}

/// An invitation that was not accepted yet.
#[derive(Debug, Clone)]
pub struct Invitation {
    /// The account they are invited to.
    pub account: AccountId,
    /// The address it was sent to.
    pub email: String,
    /// What they get.
    pub invited: Invited,
}

impl Identity {
    /// Makes an account with its owner, its default workflow and a password, all or nothing.
    pub async fn register(&self, email: &str, new: NewPerson, client: &Client) -> Result<User> {
        if !self.options().registration {
            let why = "registration is switched off on this server; ask somebody who is here for an invitation";
            return Err(Error::Forbidden(why.to_owned()));
        }
        self.limit_requests("registration", client)?;
        let email = mail_address("email", email)?;
        let (new, hash) = self.ready(new).await?;
        let (mail, url) = (self.options().mail, self.options().public_url.clone());
        let account = AccountId::new(self.store().now());
        let made = self.store().write(account, move |tx| {
            Box::pin(async move {
                let NewPerson { username, full_name, .. } = new;
                let owner = NewOwner { username, email: Some(email), full_name, key: None };
                let id = tx.make_account(owner).await?.user;
                tx.set_password_hash(id, &hash).await?;
                let user = tx.user(id).await?.ok_or(preloop_store::Error::NotFound)?;
                let by = Subject { user: Some(id), ..Subject::default() };
                tx.record(record::changed(account, by, &user, "registered"));
                if mail {
                    recover::verification(tx, &url, &user).await?;
                }
                Ok(user)
            })
        });
        made.await.map_err(taken)
    }

    /// Looks at an invitation. Looking does nothing.
    pub async fn invitation(&self, token: &str) -> Result<Invitation> {
        let found = self.look(OneTimePurpose::Invitation, token).await?;
        let data = found.data.unwrap_or_default();
        let invited = serde_json::from_str(&data).map_err(|_| Error::InvalidToken)?;
        Ok(Invitation { account: found.account, email: found.email.unwrap_or_default(), invited })
    }

    /// Makes whoever holds an invitation a person of the account, with the roles and teams it gives.
    pub async fn accept_invitation(&self, token: &str, new: NewPerson, client: &Client) -> Result<(AccountId, User)> {
        let Invitation { account, email, invited } = self.invitation(token).await?;
        let (new, hash) = self.ready(new).await?;
        let token = token.to_owned();
        let joined = self.store().write(account, move |tx| {
            Box::pin(async move {
                if one_time::take(tx, OneTimePurpose::Invitation, &token).await?.is_none() {
                    return Ok(None);
                }
                let now = tx.now();
                let id = UserId::new(now);
                if !tx.follow_invitation(invited.invitation, &Hash::of(&token), id).await? {
                    return Ok(None);
                }
                let NewPerson { username, full_name, .. } = new;
                // The invitation reached them by mail.
                let user = User { email: Some(email), email_verified: true, full_name, ..User::new(id, username, now) };
                tx.insert_user(&user).await?;
                tx.set_password_hash(user.id, &hash).await?;
                for role in invited.roles {
                    tx.grant_user_role(user.id, role, Some(invited.by)).await?;
                }
                for team in invited.teams {
                    // A team that was removed meanwhile is no reason to stay outside.
                    if tx.team(team).await?.is_some() {
                        tx.add_team_member(team, user.id, Some(invited.by)).await?;
                    }
                }
                let by = Subject { user: Some(user.id), ..Subject::default() };
                tx.record(record::changed(account, by, &user, "joined"));
                Ok(Some(user))
            })
        });
        let user = joined.await.map_err(taken)?.ok_or(Error::InvalidToken)?;
        self.attempts().befriend(person(&user.username), network(client.address), self.store().now());
        Ok((account, user))
    }

    /// The hash that is kept of a person's first password, if it is one.
    pub async fn new_password(&self, username: &str, password: &SecretString) -> Result<String> {
        password::check("password", password, username)?;
        self.passwords().hash(password).await
    }

    /// Checks what somebody says of themselves; with the hash of their password.
    async fn ready(&self, new: NewPerson) -> Result<(NewPerson, String)> {
        let username = new.username.trim().to_owned();
        if !USERNAME_CHARS.contains(&username.len()) || !username.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(Error::invalid("username", "has to be 3 to 50 letters and digits"));
        }
        let full_name = new.full_name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        if full_name
            .as_ref()
            .is_some_and(|name| name.chars().count() > FULL_NAME_CHARS_MAX || name.chars().any(char::is_control))
        {
            return Err(Error::invalid("full_name", "is too long or holds a control character"));
        }
        password::check("password", &new.password, &username)?;
        if self.store().find_sign_in(&username).await?.is_some() {
            return Err(username_taken());
        }
        let hash = self.passwords().hash(&new.password).await?;
        Ok((NewPerson { username, full_name, ..new }, hash))
    }
}

fn username_taken() -> Error {
    Error::Refused("the username is taken; choose another".to_owned())
}

/// Of two who want the same name at once, the store lets one have it.
fn taken(error: preloop_store::Error) -> Error {
    match error {
        preloop_store::Error::Conflict(_) => username_taken(),
        error => error.into(),
    }
}

/// An address, roughly: whether mail reaches it decides.
pub(crate) fn mail_address(field: &'static str, text: &str) -> Result<String> {
    let text = text.trim();
    let plausible = text.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && (domain.contains('.') || domain == "localhost") && !domain.contains('@')
    });
    let clean = !text.chars().any(|c| c.is_whitespace() || c.is_control()) && text.len() <= 254;
    if plausible && clean { Ok(text.to_owned()) } else { Err(Error::invalid(field, "is not an e-mail address")) }
}
