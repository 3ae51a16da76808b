//! Passkeys (WebAuthn): as a second factor, or instead of a password where the authenticator knows its person.
//!
//! A challenge is a secret that works once ([`one_time`](crate::one_time)). It belongs to no account: whose it is,
//! is known once a passkey has signed it.

mod cbor;
mod verify;

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use preloop_store::{OneTime, Passkey};
use preloop_types::{AccountId, OneTimePurpose as Purpose, PasskeyId, Principal, Subject, UserId};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;
use verify::{ALGORITHMS, Credential, RelyingParty};

use crate::{
    Client, Error, Identity, Result,
    attempts::{Attempt, Guessed, network},
    factors,
    one_time::{self, NewToken},
    record,
    sign_in::{login, person},
    tokens::{self, Lifetimes, Tokens},
};

/// How long somebody has to find their authenticator.
const ANSWER_WITHIN: Duration = Duration::from_mins(5);
/// Most passkeys of one person.
const PASSKEYS_MAX: usize = 20;
const NAME_CHARS_MAX: usize = 100;

/// Nobody's: a challenge is asked for before anybody is known.
const NOBODY: AccountId = AccountId(uuid::Uuid::nil());

/// Whom a challenge is for; nobody in particular where a passkey is to say it.
#[derive(Serialize, Deserialize)]
struct Asked {
    user: Option<UserId>,
}

impl Identity {
    /// What a browser needs to make a passkey (`PublicKeyCredentialCreationOptions` as JSON).
    pub async fn new_passkey(&self, who: &Principal, password: &SecretString, client: &Client) -> Result<Value> {
        let user = self.prove(who, password, client).await?;
        let known = self.store().account(who.account).passkeys(user.id).await?;
        if known.len() >= PASSKEYS_MAX {
            return Err(Error::Refused(format!("you have {PASSKEYS_MAX} passkeys already; remove some first")));
        }
        let party = self.relying_party()?;
        let challenge = self.challenge(Purpose::NewPasskey, Some(user.id)).await?;
        let algorithms = ALGORITHMS.map(|alg| json!({ "type": "public-key", "alg": alg }));
        Ok(json!({
            "challenge": challenge,
            "rp": { "id": party.id, "name": "Preloop" },
            "user": {
                "id": BASE64_URL_SAFE_NO_PAD.encode(user.id.0.as_bytes()),
                "name": user.username,
                "displayName": user.full_name.as_deref().unwrap_or(&user.username),
            },
            "pubKeyCredParams": algorithms,
            "timeout": milliseconds(ANSWER_WITHIN),
            "excludeCredentials": descriptors(&known),
            "authenticatorSelection": { "residentKey": "preferred", "userVerification": "preferred" },
            "attestation": "none",
        }))
    }

    /// Keeps a passkey that a browser made. With the first second factor come recovery codes, only in this answer.
    pub async fn add_passkey(
        &self,
        who: &Principal,
        name: &str,
        credential: &str,
    ) -> Result<(Passkey, Vec<SecretString>)> {
        let user = self.oneself(who).await?;
        let name = name.trim();
        if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
            return Err(Error::invalid("name", format!("has to be one line of at most {NAME_CHARS_MAX} characters")));
        }
        let party = self.relying_party()?;
        let credential = Credential::read(credential).ok_or(Error::WrongFactor)?;
        let asked = self.answered(Purpose::NewPasskey, &credential).await?;
        let key = credential.registered(&party).filter(|_| asked.user == Some(user.id)).ok_or(Error::WrongFactor)?;
        let (account, by) = (who.account, Subject::from(who));
        let passkey = Passkey {
            id: PasskeyId::new(self.store().now()),
            user: user.id,
            name: name.to_owned(),
            credential_id: key.credential_id,
            algorithm: key.algorithm,
            public_key: key.public_key,
            sign_count: key.sign_count,
            created_at: self.store().now(),
            last_used_at: None,
        };
        let added = passkey.clone();
        let codes = self.store().write(account, move |tx| {
            Box::pin(async move {
                tx.insert_passkey(&added).await?;
                tx.record(record::changed(account, by, &user, "passkey_added"));
                factors::first_recovery_codes(tx, user.id).await
            })
        });
        let codes = codes.await.map_err(|error| match error {
            preloop_store::Error::Conflict(_) => Error::Refused("this passkey is known already".to_owned()),
            error => error.into(),
        })?;
        Ok((passkey, codes))
    }

    /// Removes a passkey.
    pub async fn remove_passkey(
        &self,
        who: &Principal,
        id: PasskeyId,
        password: &SecretString,
        client: &Client,
    ) -> Result<()> {
        let user = self.prove(who, password, client).await?;
        let (account, by) = (who.account, Subject::from(who));
        let removed = self.store().write(account, move |tx| {
            Box::pin(async move {
                match tx.delete_passkey(user.id, id).await {
                    Err(preloop_store::Error::NotFound) => return Ok(false),
                    deleted => deleted?,
                }
                tx.record(record::changed(account, by, &user, "passkey_removed"));
                factors::drop_codes_without_factor(tx, user.id).await?;
                Ok(true)
            })
        });
        if removed.await? { Ok(()) } else { Err(Error::NotFound("passkey")) }
    }

    /// What a browser needs to sign in with a passkey (`PublicKeyCredentialRequestOptions` as JSON): one of the
    /// person's whose sign-in waits, or any.
    pub async fn ask_passkey(&self, waiting: Option<&SecretString>, client: &Client) -> Result<Value> {
        let network = network(client.address);
        self.begin(Attempt { guessed: Guessed::Challenge, person: person(""), network, familiar: true })?;
        let party = self.relying_party()?;
        let (user, known) = match waiting {
            Some(token) => {
                let OneTime { account, user, .. } = self.look(Purpose::SecondFactor, token.expose_secret()).await?;
                let user = user.ok_or(Error::InvalidToken)?;
                (Some(user), self.store().account(account).passkeys(user).await?)
            }
            None => (None, Vec::new()),
        };
        let challenge = self.challenge(Purpose::PasskeySignIn, user).await?;
        Ok(json!({
            "challenge": challenge,
            "rpId": party.id,
            "timeout": milliseconds(ANSWER_WITHIN),
            "allowCredentials": descriptors(&known),
            // Alone it has to know its person; beside a password being there is enough.
            "userVerification": if waiting.is_some() { "preferred" } else { "required" },
        }))
    }

    /// Signs in with a passkey: beside the password of the sign-in that waits, or alone.
    pub async fn sign_in_with_passkey(
        &self,
        waiting: Option<&SecretString>,
        credential: &str,
        client: &Client,
        lifetimes: Lifetimes,
    ) -> Result<Tokens> {
        let party = self.relying_party()?;
        let credential = Credential::read(credential).ok_or(Error::WrongFactor)?;
        let asked = self.answered(Purpose::PasskeySignIn, &credential).await?;
        let id = credential.credential_id().ok_or(Error::WrongFactor)?;
        let account = self.store().account_of_passkey(&id).await?.ok_or(Error::WrongFactor)?;
        let passkey = self.store().account(account).passkey(id).await?.ok_or(Error::WrongFactor)?;
        let signed = credential.signed(&party, &passkey.public_key).ok_or(Error::WrongFactor)?;
        if asked.user.is_some_and(|user| user != passkey.user) || asked.user.is_some() != waiting.is_some() {
            return Err(Error::WrongFactor);
        }
        if waiting.is_none() && !signed.user_verified {
            return Err(Error::WrongFactor);
        }
        let (waiting, client) = (waiting.map(|token| token.expose_secret().to_owned()), client.clone());
        let tokens = self.store().write(account, move |tx| {
            Box::pin(async move {
                if let Some(token) = &waiting {
                    let password = one_time::take(tx, Purpose::SecondFactor, token).await?;
                    if password.is_none_or(|password| password.user != Some(passkey.user)) {
                        return Ok(None);
                    }
                }
                let Some(user) = tx.user(passkey.user).await?.filter(|user| user.is_active) else { return Ok(None) };
                if !tx.use_passkey(passkey.id, signed.sign_count).await? {
                    // There is a copy of it, or it is one.
                    tx.record(record::failed(account, &user, "passkey_copied", client.address));
                    return Ok(None);
                }
                let via = if waiting.is_some() { "password and passkey" } else { "passkey" };
                tx.record(record::signed_in(account, &user, via, client.address));
                tokens::open(tx, login(user.id, &client, lifetimes)).await.map(Some)
            })
        });
        tokens.await?.ok_or(Error::WrongFactor)
    }

    /// A fresh challenge, as browsers take it.
    async fn challenge(&self, purpose: Purpose, user: Option<UserId>) -> Result<String> {
        // Ids always serialise.
        let data = serde_json::to_string(&Asked { user }).unwrap_or_default();
        let new = NewToken { purpose, user: None, email: None, data: Some(data), lifetime: ANSWER_WITHIN };
        let made = self.store().write(NOBODY, move |tx| Box::pin(async move { one_time::issue(tx, new).await }));
        Ok(BASE64_URL_SAFE_NO_PAD.encode(made.await?.expose_secret()))
    }

    /// Whom the challenge was for that a credential answers. It is used up with this, whatever the answer is worth.
    async fn answered(&self, purpose: Purpose, credential: &Credential) -> Result<Asked> {
        let challenge = credential.challenge().ok_or(Error::WrongFactor)?;
        let taken = self
            .store()
            .write(NOBODY, move |tx| Box::pin(async move { one_time::take(tx, purpose, &challenge).await }))
            .await?;
        let data = taken.and_then(|taken| taken.data).ok_or(Error::WrongFactor)?;
        serde_json::from_str(&data).map_err(|_| Error::WrongFactor)
    }

    /// Passkeys are bound to the host name by which people reach this instance.
    fn relying_party(&self) -> Result<RelyingParty> {
        let url: Url = self.options().public_url.parse().map_err(|_| no_name())?;
        let id = url.domain().ok_or_else(no_name)?.to_owned();
        Ok(RelyingParty { id, origin: url.origin().ascii_serialization() })
    }
}

fn no_name() -> Error {
    let why = "passkeys need a host name: this server is reached by an address; set its public URL";
    Error::Refused(why.to_owned())
}

fn descriptors(passkeys: &[Passkey]) -> Vec<Value> {
    let id = |passkey: &Passkey| BASE64_URL_SAFE_NO_PAD.encode(&passkey.credential_id);
    passkeys.iter().map(|passkey| json!({ "type": "public-key", "id": id(passkey) })).collect()
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
