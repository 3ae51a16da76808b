//! Times in which a person is not told of requests. They block all the same.

use std::time::Duration;

use preloop_store::{Bypass, Tx};
use preloop_types::{AgentId, BypassId, Principal};
use serde::Serialize;

use super::{
    Config, ConfigError, Result,
    devices::person,
    limits,
    record::{Actor, What},
};

const MINUTES_MAX: u32 = 480;

/// A bypass to begin.
#[derive(Debug, Clone, Default)]
pub struct NewBypass {
    /// `mute_notifications`.
    pub mode: String,
    /// For so long.
    pub minutes: u32,
    /// Of this agent's requests alone.
    pub agent: Option<AgentId>,
    /// Why.
    pub reason: Option<String>,
    /// Through what: `api`, `cli`, `console`, `mobile`, `watch`.
    pub via: Option<String>,
}

#[derive(Serialize)]
struct Shown<'a> {
    mode: &'a str,
    agent: Option<AgentId>,
    reason: Option<&'a str>,
    expires_at: preloop_types::Timestamp,
}

impl<'a> From<&'a Bypass> for Shown<'a> {
    fn from(bypass: &'a Bypass) -> Self {
        Shown {
            mode: &bypass.mode,
            agent: bypass.agent,
            reason: bypass.reason.as_deref(),
            expires_at: bypass.expires_at,
        }
    }
}

impl Config {
    /// Begins a bypass of the caller.
    pub async fn begin_bypass(&self, who: &Principal, new: NewBypass) -> Result<Bypass> {
        person(who)?;
        match new.mode.as_str() {
            "mute_notifications" => {}
            "auto_approve" => {
                return Err(ConfigError::Refused(
                    "`auto_approve` is not supported: allow the calls by a rule instead".to_owned(),
                ));
            }
            other => {
                let message = format!("`{}` is not `mute_notifications`", other.escape_debug());
                return Err(ConfigError::invalid("mode", message));
            }
        }
        limits::range("duration_minutes", new.minutes.into(), 1, MINUTES_MAX.into())?;
        let via = new.via.unwrap_or_else(|| "api".to_owned());
        if !["api", "cli", "console", "mobile", "watch"].contains(&via.as_str()) {
            let message = format!("`{}` is not one of `api`, `cli`, `console`, `mobile`, `watch`", via.escape_debug());
            return Err(ConfigError::invalid("created_via", message));
        }
        let reason = new.reason.map(|text| limits::text("reason", &text, 500)).transpose()?;
        let (by, user) = (Actor::from(who), who.user);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let now = tx.now();
                let bypass = Bypass {
                    id: BypassId::new(now),
                    user,
                    mode: new.mode,
                    agent: new.agent,
                    reason,
                    created_via: via,
                    created_at: now,
                    expires_at: now + Duration::from_secs(u64::from(new.minutes) * 60),
                    revoked_at: None,
                    revoked_by: None,
                    auto_approved: 0,
                };
                tx.insert_bypass(&bypass).await?;
                let shown = Shown::from(&bypass);
                by.credential_changed(
                    tx,
                    What::ApprovalBypass,
                    (bypass.id.0, &bypass.mode),
                    None::<&Shown<'_>>,
                    Some(&shown),
                );
                Ok(bypass)
            })
        })
        .await
    }

    /// Ends a bypass, whoever began it.
    pub async fn end_bypass(&self, who: &Principal, id: BypassId) -> Result<Bypass> {
        person(who)?;
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                tx.bypass(id).await?.ok_or(ConfigError::NotFound("approval bypass"))?;
                end(tx, by, id).await
            })
        })
        .await
    }

    /// Ends every bypass of the caller that holds.
    pub async fn end_bypasses(&self, who: &Principal) -> Result<Vec<Bypass>> {
        person(who)?;
        let (by, user) = (Actor::from(who), who.user);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let mut ended = Vec::new();
                let now = tx.now();
                for bypass in tx.active_bypasses(now).await?.into_iter().filter(|bypass| bypass.user == user) {
                    ended.push(end(tx, by, bypass.id).await?);
                }
                Ok(ended)
            })
        })
        .await
    }
}

async fn end(tx: &mut Tx<'_>, by: Actor, id: BypassId) -> Result<Bypass> {
    let ended = match by.subject.user {
        Some(user) => tx.revoke_bypass(id, user).await?,
        None => false,
    };
    let now = tx.bypass(id).await?.ok_or(ConfigError::NotFound("approval bypass"))?;
    if ended {
        let shown = Shown::from(&now);
        by.credential_changed(tx, What::ApprovalBypass, (id.0, &now.mode), Some(&shown), None::<&Shown<'_>>);
    }
    Ok(now)
}
