//! Signing in the command line (RFC 8628): it shows a code, its person types that into a page here and
//! says yes, and it gets tokens that can do what the person can.
//!
//! Only our own command line may: a code that somebody talks a person into typing is a known way to
//! steal a sign-in, and other clients have better ones.

use std::{collections::HashSet, time::Duration};

use preloop_govern::config::MintedKey;
use preloop_store::{OAuthDevice, PolledDevice};
use preloop_types::{AccountId, CredentialKind, GrantId, Hash, Principal, UserId};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::{
    ErrorCode, Given, OAuth, OAuthError, Presented, TokenRequest, at,
    authorize::only_oneself,
    client::{COMMAND_LINE, shown_name},
    scope,
};
use crate::tokens::{self, Lifetimes, NewGrant};

/// The `grant_type` of a device code.
pub(super) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// Where people type their code.
pub const DEVICE_PATH: &str = "/device";

/// How long a person may take.
const LASTS: Duration = Duration::from_mins(10);
/// How often the command line may ask.
const INTERVAL: Duration = Duration::from_secs(5);
/// Most command lines that may wait at a time.
const WAITING_MAX: u32 = 10_000;

/// Letters that people do not mix up and that make no words. 20^8 codes.
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const CODE_LETTERS: usize = 8;

/// The parameters of a request.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct DeviceRequest {
    /// Who asks.
    pub client_id: Option<String>,
    /// What the machine is called, for the person who is asked.
    pub device_name: Option<String>,
}

/// The codes of a command line that waits now.
pub struct DeviceAnswer {
    device_code: SecretString,
    user_code: String,
    page: String,
}

/// A command line that waits for the person who typed its code.
#[derive(Debug, Clone)]
pub struct WaitingDevice {
    /// What it calls itself.
    pub client: String,
    /// Where it asked from.
    pub address: Option<String>,
    user_code: Hash,
}

impl DeviceAnswer {
    /// The answer.
    pub fn to_json(&self) -> Value {
        json!({
            "device_code": self.device_code.expose_secret(),
            "user_code": self.user_code,
            "verification_uri": self.page,
            "verification_uri_complete": format!("{}?user_code={}", self.page, self.user_code),
            "expires_in": LASTS.as_secs(),
            "interval": INTERVAL.as_secs(),
        })
    }
}

/// What a person typed, as it is looked up; `None` if it cannot be a code.
fn typed(code: &str) -> Option<Hash> {
    let letters: String = code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect();
    let known: HashSet<u8> = LETTERS.iter().copied().collect();
    (letters.len() == CODE_LETTERS && letters.bytes().all(|byte| known.contains(&byte))).then(|| Hash::of(letters))
}

fn new_user_code() -> String {
    // 240 is the largest multiple of 20 that a byte holds: every letter is as likely.
    let mut letters = std::iter::repeat_with(rand::random::<u8>)
        .filter(|byte| *byte < 240)
        .map(|byte| char::from(LETTERS[usize::from(byte) % LETTERS.len()]));
    let half: String = letters.by_ref().take(CODE_LETTERS / 2).collect();
    format!("{half}-{}", letters.take(CODE_LETTERS / 2).collect::<String>())
}

impl OAuth {
    /// A command line begins to wait. `base` is where its person reaches this server.
    pub async fn begin_device(
        &self,
        base: &Url,
        request: DeviceRequest,
        address: Option<String>,
    ) -> Result<DeviceAnswer, OAuthError> {
        only_the_command_line(request.client_id.as_deref())?;
        let (device_code, user_code, now) =
            (MintedKey::with_prefix("pld_").secret, new_user_code(), self.store().now());
        let name = request.device_name.as_deref().and_then(shown_name);
        let client = name.map_or_else(|| "preloop".to_owned(), |name| format!("preloop on {name}"));
        let device = OAuthDevice {
            hash: Hash::of(device_code.expose_secret()),
            user_code_hash: typed(&user_code).unwrap_or_else(|| Hash::of(&user_code)),
            client,
            address,
            created_at: now,
            expires_at: now + LASTS,
            interval: INTERVAL,
            polled_at: None,
            answer: None,
            grant: None,
        };
        if self.store().insert_oauth_device(device, WAITING_MAX).await? {
            Ok(DeviceAnswer { device_code, user_code, page: at(base, DEVICE_PATH) })
        } else {
            let why = "too many command lines wait for their people; try again in some minutes";
            Err(OAuthError::new(ErrorCode::TemporarilyUnavailable, why))
        }
    }

    /// The command line that shows the code a person typed, if it still waits.
    pub async fn waiting_device(&self, user_code: &str) -> Result<Option<WaitingDevice>, OAuthError> {
        let Some(hash) = typed(user_code) else { return Ok(None) };
        let device = self.store().oauth_device(&hash).await?;
        let waits = device.filter(|device| device.answer.is_none() && device.expires_at > self.store().now());
        Ok(waits.map(|device| WaitingDevice { client: device.client, address: device.address, user_code: hash }))
    }

    /// A person answers the command line; false if it does not wait any more.
    pub async fn answer_device(
        &self,
        who: &Principal,
        device: &WaitingDevice,
        approved: bool,
    ) -> Result<bool, OAuthError> {
        only_oneself(who)?;
        let (user, code) = (who.user, device.user_code);
        let answered = self
            .store()
            .write(who.account, move |tx| Box::pin(async move { tx.answer_oauth_device(&code, user, approved).await }));
        Ok(answered.await?)
    }

    pub(super) async fn device_token(&self, client: &Presented, request: TokenRequest) -> Result<Given, OAuthError> {
        only_the_command_line(client.id.as_deref())?;
        self.authenticated(COMMAND_LINE, client.secret.as_ref()).await?;
        let code = request.device_code.ok_or_else(|| OAuthError::request("`device_code` is missing"))?;
        let invalid = || OAuthError::grant("the device code is unknown or used");
        let device = match self.store().poll_oauth_device(Hash::of(code.expose_secret())).await? {
            PolledDevice::Found(device) => device,
            PolledDevice::TooFast => return Err(OAuthError::new(ErrorCode::SlowDown, "wait five seconds longer")),
            PolledDevice::Unknown => return Err(invalid()),
        };
        if device.grant.is_some() {
            return Err(invalid());
        }
        if device.expires_at <= self.store().now() {
            return Err(OAuthError::new(ErrorCode::ExpiredToken, "nobody answered in time"));
        }
        match device.answer {
            None => Err(OAuthError::new(ErrorCode::AuthorizationPending, "the person has not answered yet")),
            Some((_, _, false)) => Err(OAuthError::new(ErrorCode::AccessDenied, "the person declined")),
            Some((account, user, true)) => self.open_device(account, user, device).await?.ok_or_else(invalid),
        }
    }

    async fn open_device(
        &self,
        account: AccountId,
        user: UserId,
        device: OAuthDevice,
    ) -> Result<Option<Given>, OAuthError> {
        let opened = self.store().write(account, move |tx| {
            Box::pin(async move {
                let id = GrantId::new(tx.now());
                if !tx.redeem_oauth_device(&device.hash, id).await? {
                    return Ok(None);
                }
                if !tx.user(user).await?.is_some_and(|user| user.is_active) {
                    return Ok(None);
                }
                let new = NewGrant {
                    user,
                    // The person themselves, at another keyboard.
                    kind: CredentialKind::Login,
                    client: device.client,
                    client_id: Some(COMMAND_LINE.to_owned()),
                    address: device.address,
                    scopes: scope::COMMAND_LINE.to_vec(),
                    resource: None,
                    impersonator: None,
                    lifetimes: Lifetimes::CLIENT,
                };
                tokens::open_as(tx, id, new).await.map(Some)
            })
        });
        Ok(opened.await?.map(Given::from))
    }
}

fn only_the_command_line(client: Option<&str>) -> Result<(), OAuthError> {
    if client == Some(COMMAND_LINE) {
        return Ok(());
    }
    let why = "only the `preloop` command line signs in with a device code; use an authorization code";
    Err(OAuthError::new(ErrorCode::UnauthorizedClient, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_known_however_it_is_typed() {
        let code = new_user_code();
        assert_eq!(code.len(), 9);
        let spellings =
            [code.clone(), code.to_lowercase(), code.replace('-', ""), format!(" {} ", code.replace('-', " "))];
        let hashes: HashSet<_> = spellings.iter().map(|code| typed(code).unwrap()).collect();
        assert_eq!(hashes.len(), 1);
        for bad in ["", "BCDF", "BCDF-GHJA", "BCDF-GHJK-L", "BCDF-GHJ1"] {
            assert_eq!(typed(bad), None, "{bad}");
        }
    }
}
