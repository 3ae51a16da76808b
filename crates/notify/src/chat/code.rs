//! Codes by which somebody in a chat says who they are here. A code is shown to that person alone, so
//! whoever has it is them; it is signed, and kept nowhere.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use preloop_types::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::{ChatSettings, Clicker};

const TTL: Duration = Duration::from_mins(15);

#[derive(Serialize, Deserialize)]
struct Claim {
    provider: String,
    team: String,
    id: String,
    name: String,
    expires_at: Timestamp,
}

/// A code for somebody in a chat.
pub(super) fn mint(settings: &ChatSettings, who: &Clicker, now: Timestamp) -> String {
    let claim = Claim {
        provider: who.provider.to_owned(),
        team: who.team.clone(),
        id: who.id.clone(),
        name: who.name.clone(),
        expires_at: now + TTL,
    };
    let claim = BASE64.encode(serde_json::to_vec(&claim).unwrap_or_default());
    let mac = key(settings, who.provider).and_then(|key| mac(key, &claim));
    let mac = mac.map(|mac| BASE64.encode(mac.finalize().into_bytes())).unwrap_or_default();
    format!("{claim}.{mac}")
}

/// Whom a code was made for, while it is good.
pub(super) fn read(settings: &ChatSettings, code: &str, now: Timestamp) -> Option<Clicker> {
    let (text, given) = code.trim().split_once('.')?;
    let claim: Claim = serde_json::from_slice(&BASE64.decode(text).ok()?).ok()?;
    let provider = ["slack", "mattermost"].into_iter().find(|name| *name == claim.provider)?;
    mac(key(settings, provider)?, text)?.verify_slice(&BASE64.decode(given).ok()?).ok()?;
    let Claim { team, id, name, expires_at, .. } = claim;
    (expires_at > now).then_some(Clicker { provider, team, id, name })
}

fn key<'s>(settings: &'s ChatSettings, provider: &str) -> Option<&'s SecretString> {
    match provider {
        "slack" => settings.slack.signing_secret.as_ref(),
        _ => settings.mattermost.action_secret.as_ref(),
    }
}

fn mac(key: &SecretString, claim: &str) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes()).ok()?;
    mac.update(format!("preloop/chat-link/v1:{claim}").as_bytes());
    Some(mac)
}
