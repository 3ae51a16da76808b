//! What a person is told by: their preferences, and their devices with the keys they decide with. Only people
//! have either: an agent that could register a device could decide its own requests.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use preloop_store::{Device, KeyRow, Preferences, Tx};
use preloop_types::{CredentialKind, DeviceId, Hash, KeyId, Principal, Scope, Subject, Timestamp, UserId};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    Config, ConfigError, MintedKey, Result, keys, limits,
    record::{Actor, What},
};
use crate::{Alert, Message, Notice, Recipient};

/// A device's key ends after a year.
const KEY_TTL: Duration = Duration::from_hours(365 * 24);

/// What to change of what a person is told by.
#[derive(Debug, Clone, Default)]
pub struct PreferencesChange {
    /// `email` or `mobile_push`.
    pub preferred_channel: Option<String>,
    /// Requests come by mail.
    pub enable_email: Option<bool>,
    /// Requests come to the person's devices.
    pub enable_push: Option<bool>,
}

/// A device to be registered.
#[derive(Debug, Clone, Default)]
pub struct NewDevice {
    /// `ios`, `android`, `web` or `ntfy`.
    pub platform: String,
    /// Its push token, push endpoint or topic's address.
    pub token: String,
    /// What its owner calls it.
    pub name: Option<String>,
    /// Of a browser: `p256dh` and `auth`.
    pub keys: Option<(String, String)>,
    /// Of a topic: its access token.
    pub access_token: Option<String>,
}

/// A code by which one device registers itself.
pub struct DeviceCode {
    /// 32 random bytes.
    pub code: SecretString,
    /// When it ends.
    pub expires_at: Timestamp,
}

#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    platform: &'a str,
}

impl<'a> From<&'a Device> for Shown<'a> {
    fn from(device: &'a Device) -> Self {
        Shown { name: &device.name, platform: &device.platform }
    }
}

/// Only people are told of anything.
pub(super) fn person(who: &Principal) -> Result<()> {
    if who.is_person() {
        return Ok(());
    }
    Err(ConfigError::Forbidden("only a person's own credential may do that, no agent's".to_owned()))
}

/// What outlives the request is nobody else's business: a device is a credential.
fn in_person(who: &Principal) -> Result<()> {
    person(who)?;
    match who.impersonator {
        None => Ok(()),
        Some(_) => Err(ConfigError::Forbidden("nobody registers a device in somebody else's place".to_owned())),
    }
}

impl Config {
    /// Changes what the caller is told by.
    pub async fn update_preferences(&self, who: &Principal, change: PreferencesChange) -> Result<Preferences> {
        in_person(who)?;
        let (by, user) = (Actor::from(who), who.user);
        if let Some(other) = change.preferred_channel.as_deref().filter(|c| !["email", "mobile_push"].contains(c)) {
            let message = format!("`{}` is not one of `email`, `mobile_push`", other.escape_debug());
            return Err(ConfigError::invalid("preferred_channel", message));
        }
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let old = tx.preferences(user).await?;
                let new = Preferences {
                    preferred_channel: change.preferred_channel.unwrap_or(old.preferred_channel.clone()),
                    enable_email: change.enable_email.unwrap_or(old.enable_email),
                    enable_push: change.enable_push.unwrap_or(old.enable_push),
                    ..old.clone()
                };
                put_preferences(tx, by, user, &old, &new).await?;
                Ok(tx.preferences(user).await?)
            })
        })
        .await
    }

    /// Registers a device of the caller, which decides with the caller's own credential.
    pub async fn register_device(&self, who: &Principal, new: NewDevice) -> Result<Device> {
        in_person(who)?;
        let (by, user) = (Actor::from(who), who.user);
        let device = checked(user, new, self.store.now())?;
        self.change(who.account, move |tx| {
            Box::pin(async move {
                add(tx, by, &device).await?;
                Ok(device)
            })
        })
        .await
    }

    /// Makes a code by which one device of the caller registers itself.
    pub async fn device_code(&self, who: &Principal) -> Result<DeviceCode> {
        in_person(who)?;
        let code = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let (hash, user) = (Hash::of(&code), who.user);
        let insert =
            self.change(who.account, move |tx| Box::pin(async move { Ok(tx.insert_device_code(user, &hash).await?) }));
        Ok(DeviceCode { expires_at: insert.await?, code: SecretString::from(code) })
    }

    /// Registers the device that came with a code, and makes the key it decides with: it sees requests and
    /// decides them, and can do nothing else.
    pub async fn register_device_by_code(&self, code: &str, new: NewDevice) -> Result<(Device, KeyRow, SecretString)> {
        // What is wrong with the device is said before the code is used up.
        let now = self.store.now();
        checked(UserId::new(now), new.clone(), now)?;
        let wrong = || ConfigError::Refused("the code is wrong, used or too old; show a new one".to_owned());
        let (account, user) = self.store.use_device_code(Hash::of(code)).await?.ok_or_else(wrong)?;
        let device = checked(user, new, now)?;
        let minted = MintedKey::new();
        let (hash, prefix) = (minted.hash, minted.prefix);
        let made = self.change(account, move |tx| {
            Box::pin(async move {
                let by = Actor { account, subject: Subject { user: Some(user), ..Subject::default() } };
                let active = tx.user(user).await?.is_some_and(|user| user.is_active);
                if !active {
                    return Err(wrong());
                }
                let keys = tx.keys().await?;
                keys::room(&keys, tx.now())?;
                let row = KeyRow {
                    id: KeyId::new(tx.now()),
                    account,
                    user,
                    kind: CredentialKind::ApiKey,
                    grant: None,
                    impersonator: None,
                    name: format!("device {} ({})", device.name, device.id),
                    hash,
                    prefix,
                    scopes: vec![Scope::Approvals],
                    agent: None,
                    session: None,
                    allowed_tools: None,
                    allowed_servers: None,
                    expires_at: Some(tx.now() + KEY_TTL),
                    last_used_at: None,
                    revoked_at: None,
                    created_at: tx.now(),
                };
                keys::insert(tx, by, &row).await?;
                let device = Device { key: Some(row.id), ..device };
                add(tx, by, &device).await?;
                Ok((device, row))
            })
        });
        let (device, row) = made.await?;
        Ok((device, row, minted.secret))
    }

    /// Removes a device of the caller, and ends the key it decides with.
    pub async fn remove_device(&self, who: &Principal, id: DeviceId) -> Result<()> {
        in_person(who)?;
        let (by, user) = (Actor::from(who), who.user);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let devices = tx.devices(Some(user)).await?;
                let device = devices.into_iter().find(|device| device.id == id);
                let device = device.ok_or(ConfigError::NotFound("device"))?;
                tx.delete_device(id).await?;
                if let Some(key) = device.key {
                    tx.revoke_key(key).await?;
                }
                let shown = Shown::from(&device);
                by.credential_changed(tx, What::Device, (id.0, &device.name), Some(&shown), None::<&Shown<'_>>);
                Ok(())
            })
        })
        .await
    }

    /// Sends the caller something that needs no decision, by everything they are told by; which channels.
    pub async fn test_notification(&self, who: &Principal) -> Result<Vec<String>> {
        in_person(who)?;
        let user = who.user;
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let preferences = tx.preferences(user).await?;
                let person = tx.user(user).await?.ok_or(ConfigError::NotFound("user"))?;
                let mut to = Vec::new();
                if preferences.enable_push {
                    to.extend(tx.devices(Some(user)).await?.iter().map(Recipient::device));
                }
                if let Some(address) = person.email.filter(|_| preferences.enable_email) {
                    to.push(Recipient::email(address, person.full_name));
                }
                let alert = Alert {
                    subject: "Preloop reaches you here".to_owned(),
                    text: "This is a test: requests that wait for you are told here. Nothing is to be done.\n"
                        .to_owned(),
                };
                let mut channels = Vec::new();
                for to in to {
                    let notice = Notice { to, what: Message::Alert(alert.clone()) };
                    tx.enqueue(&notice.delivery(tx.now())).await?;
                    if !channels.contains(&notice.to.channel) {
                        channels.push(notice.to.channel);
                    }
                }
                Ok(channels)
            })
        })
        .await
    }

    /// Forgets who the caller is in a chat.
    pub async fn remove_chat_link(&self, who: &Principal, provider: &str, chat_user: &str) -> Result<()> {
        in_person(who)?;
        let (by, user, provider, chat_user) = (Actor::from(who), who.user, provider.to_owned(), chat_user.to_owned());
        self.change(who.account, move |tx| {
            Box::pin(async move {
                if !tx.delete_chat_link(user, &provider, &chat_user).await? {
                    return Err(ConfigError::NotFound("chat link"));
                }
                let old = json!({ "chat_user": chat_user });
                by.credential_changed(tx, What::ChatLink, (user.0, &provider), Some(&old), None::<&Value>);
                Ok(())
            })
        })
        .await
    }
}

async fn put_preferences(tx: &mut Tx<'_>, by: Actor, user: UserId, old: &Preferences, new: &Preferences) -> Result<()> {
    if old != new {
        tx.put_preferences(user, new).await?;
        by.credential_changed(tx, What::NotificationPreferences, (user.0, "preferences"), Some(old), Some(new));
    }
    Ok(())
}

/// Adds a device and its record; whoever registers one wants to be told there.
async fn add(tx: &mut Tx<'_>, by: Actor, device: &Device) -> Result<()> {
    let replaced = tx.put_device(device).await.map_err(|error| match error {
        preloop_store::Error::Invalid(message) => ConfigError::Refused(message),
        error => error.into(),
    })?;
    if let Some(key) = replaced {
        tx.revoke_key(key).await?;
    }
    let shown = Shown::from(device);
    by.credential_changed(tx, What::Device, (device.id.0, &device.name), None::<&Shown<'_>>, Some(&shown));
    let old = tx.preferences(device.user).await?;
    let new = Preferences { enable_push: true, ..old.clone() };
    put_preferences(tx, by, device.user, &old, &new).await
}

fn checked(user: UserId, new: NewDevice, now: Timestamp) -> Result<Device> {
    let token = limits::named("token", &new.token, 4_096)?;
    let (channel, address) = match new.platform.as_str() {
        "ios" | "android" => ("mobile_push", json!({ "platform": new.platform, "token": token })),
        "web" => {
            let url = limits::url("token", &token)?;
            let (p256dh, auth) = new
                .keys
                .ok_or_else(|| ConfigError::invalid("keys", "is missing: a browser has `p256dh` and `auth`"))?;
            for (field, value, bytes) in [("keys.p256dh", &p256dh, 65), ("keys.auth", &auth, 16)] {
                let decoded = URL_SAFE_NO_PAD.decode(value.trim_end_matches('='));
                if decoded.map_or(true, |decoded| decoded.len() != bytes) {
                    return Err(ConfigError::invalid(field, format!("is not {bytes} bytes in base64url")));
                }
            }
            ("web_push", json!({ "endpoint": url, "p256dh": p256dh, "auth": auth }))
        }
        "ntfy" => {
            let url = limits::url("token", &token)?;
            let access = new.access_token.map(|token| limits::named("access_token", &token, 512)).transpose()?;
            ("ntfy", json!({ "url": url, "token": access }))
        }
        other => {
            let message = format!("`{}` is not one of `ios`, `android`, `web`, `ntfy`", other.escape_debug());
            return Err(ConfigError::invalid("platform", message));
        }
    };
    let name = new.name.map_or_else(|| Ok(new.platform.clone()), |name| limits::name("device_name", &name))?;
    Ok(Device {
        id: DeviceId::new(now),
        user,
        channel: channel.to_owned(),
        platform: new.platform,
        name,
        address: Value::to_string(&address),
        token_hash: Hash::of(token),
        key: None,
        created_at: now,
    })
}
