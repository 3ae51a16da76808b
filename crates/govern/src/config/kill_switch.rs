//! The kill switch: agents are halted at once and let go on scope by scope.
//!
//! It undoes nothing that happened. What is halted stays so until a person with `manage_kill_switch`
//! lets it go on; whoever halted it first is kept, and every press is recorded, those that change
//! nothing too.

use preloop_store::Tx;
use preloop_types::{Entry, EntryKind, Halt, HaltScope, Principal};
use serde_json::{json, value::to_raw_value};

use super::{Config, Result, limits, record::Actor};

const REASON_MAX: usize = 500;

impl Config {
    /// Halts these scopes; what is halted then.
    pub async fn halt(&self, who: &Principal, scopes: Vec<HaltScope>, reason: Option<String>) -> Result<Vec<Halt>> {
        let reason = checked(reason)?;
        let (by, username) = (Actor::from(who), who.username.clone());
        let user = who.user;
        self.change(who.account, move |tx| {
            Box::pin(async move {
                for scope in scopes {
                    let halt =
                        Halt { scope, by: user, username: username.clone(), at: tx.now(), reason: reason.clone() };
                    let changed = tx.insert_halt(&halt).await?;
                    record(tx, by, "halted", scope, changed, reason.as_deref());
                }
                Ok(tx.halts().await?)
            })
        })
        .await
    }

    /// Lets these scopes go on; what is halted still. Requests that waited for people meanwhile get that
    /// time back.
    pub async fn resume(&self, who: &Principal, scopes: Vec<HaltScope>, reason: Option<String>) -> Result<Vec<Halt>> {
        let reason = checked(reason)?;
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                for scope in scopes {
                    let halt = tx.delete_halt(scope).await?;
                    if let Some(halt) = halt.as_ref().filter(|halt| halt.scope == HaltScope::Tools) {
                        tx.extend_pending(halt.at).await?;
                    }
                    record(tx, by, "resumed", scope, halt.is_some(), reason.as_deref());
                }
                Ok(tx.halts().await?)
            })
        })
        .await
    }
}

fn checked(reason: Option<String>) -> Result<Option<String>> {
    let reason = reason.filter(|reason| !reason.trim().is_empty());
    reason.map(|reason| limits::named("reason", &reason, REASON_MAX)).transpose()
}

fn record(tx: &mut Tx<'_>, by: Actor, action: &str, scope: HaltScope, changed: bool, reason: Option<&str>) {
    let body = json!({ "action": action, "scope": scope, "changed": changed, "reason": reason });
    tx.record(Entry {
        account: by.account,
        kind: EntryKind::KillSwitch,
        call: None,
        subject: by.subject,
        body: to_raw_value(&body).unwrap_or_default(),
        payload: None,
    });
}
