//! One's own profile.

use preloop_types::{Principal, User};
use serde::Serialize;

use super::{
    Config, ConfigError, Patch, Result, limits,
    record::{Actor, What},
};

/// What to change about oneself.
#[derive(Debug, Clone, Default)]
pub struct UserChange {
    /// Display name.
    pub full_name: Patch<String>,
    /// Where approval requests are sent.
    pub email: Patch<String>,
}

#[derive(Serialize)]
struct Shown<'a> {
    full_name: &'a Option<String>,
    email: &'a Option<String>,
}

impl Config {
    /// Changes the caller's own profile.
    pub async fn update_me(&self, who: &Principal, change: UserChange) -> Result<User> {
        let by = Actor::from(who);
        let id = who.user;
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let old = tx.user(id).await?.ok_or(ConfigError::NotFound("user"))?;
                let mut new = old.clone();
                if let Some(name) = change.full_name {
                    new.full_name = name.map(|name| limits::named("full_name", &name, 200)).transpose()?;
                }
                if let Some(email) = change.email {
                    new.email = email.map(|email| limits::email("email", &email)).transpose()?;
                    // What was proved of one address says nothing of another.
                    new.email_verified &= new.email == old.email;
                }
                if new != old {
                    new.updated_at = tx.now();
                    tx.update_user(&new).await?;
                    by.credential_changed(
                        tx,
                        What::User,
                        (id.0, &new.username),
                        Some(&Shown { full_name: &old.full_name, email: &old.email }),
                        Some(&Shown { full_name: &new.full_name, email: &new.email }),
                    );
                }
                Ok(new)
            })
        })
        .await
    }
}
