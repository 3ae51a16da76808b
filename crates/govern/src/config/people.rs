//! People of an account: adding them, changing them, keeping them out.
//!
//! Nobody changes somebody who may do more than they themselves, and an account always keeps an
//! active owner. Nobody is ever removed: what they decided stays theirs.

use preloop_store::Tx;
use preloop_types::{PermissionSet, Principal, User, UserId};
use serde::Serialize;
use uuid::Uuid;

use super::{
    Config, ConfigError, Patch, Result, limits,
    record::{Actor, What},
    roles,
};

/// Somebody to be added.
#[derive(Debug, Clone, Default)]
pub struct NewUser {
    /// What they sign in with; unique in the instance.
    pub username: String,
    /// Where mail goes.
    pub email: Option<String>,
    /// Display name.
    pub full_name: Option<String>,
    /// The hash of their password (PHC string); without one they sign in elsewhere.
    pub password_hash: Option<String>,
    /// Their first roles, by id.
    pub roles: Vec<Uuid>,
    /// Whether they are kept out from the start.
    pub is_inactive: bool,
}

/// What to change about a person.
#[derive(Debug, Clone, Default)]
pub struct PersonChange {
    /// Display name.
    pub full_name: Patch<String>,
    /// Where mail goes.
    pub email: Patch<String>,
    /// Whether their credentials work and their votes count.
    pub is_active: Option<bool>,
}

/// A person as the journal shows them.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    username: &'a str,
    email: &'a Option<String>,
    full_name: &'a Option<String>,
    is_active: bool,
}

impl<'a> From<&'a User> for Shown<'a> {
    fn from(user: &'a User) -> Self {
        let User { username, email, full_name, is_active, .. } = user;
        Shown { username, email, full_name, is_active: *is_active }
    }
}

const NAME_MIN: usize = 3;
const NAME_MAX: usize = 50;
const FULL_NAME_MAX: usize = 200;

impl Config {
    /// Adds a person. Their address is not verified: whoever reads it has to say so first.
    pub async fn create_user(&self, who: &Principal, new: NewUser) -> Result<User> {
        let by = Actor::from(who);
        let username = username(&new.username)?;
        let email = new.email.as_deref().map(|email| limits::email("email", email)).transpose()?;
        let full_name = new.full_name.as_deref().filter(|name| !name.trim().is_empty());
        let full_name = full_name.map(|name| limits::named("full_name", name, FULL_NAME_MAX)).transpose()?;
        let roles = roles::handed_out(who, &new.roles)?;
        let change = self.change(who.account, move |tx| {
            Box::pin(async move {
                let now = tx.now();
                limits::room("people", tx.users().await?.len(), limits::PEOPLE_MAX)?;
                let is_active = !new.is_inactive;
                let user = User { email, full_name, is_active, ..User::new(UserId::new(now), username, now) };
                tx.insert_user(&user).await?;
                if let Some(hash) = new.password_hash {
                    tx.set_password_hash(user.id, &hash).await?;
                }
                by.changed(tx, What::User, (user.id.0, &user.username), None::<&Shown<'_>>, Some(&Shown::from(&user)));
                for role in roles {
                    roles::grant_to_user(tx, by, &user, role).await?;
                }
                Ok(user)
            })
        });
        change.await
    }

    /// Changes a person. Whoever is kept out is out at once: their sessions end, their keys do nothing.
    pub async fn update_user(&self, who: &Principal, id: UserId, change: PersonChange) -> Result<User> {
        let by = Actor::from(who);
        let who = who.clone();
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let old = tx.user(id).await?.ok_or(ConfigError::NotFound("user"))?;
                not_above(tx, &who, &old).await?;
                let mut new = old.clone();
                if let Some(name) = change.full_name {
                    let name = name.filter(|name| !name.trim().is_empty());
                    new.full_name = name.map(|name| limits::named("full_name", &name, FULL_NAME_MAX)).transpose()?;
                }
                if let Some(email) = change.email {
                    new.email = email.map(|email| limits::email("email", &email)).transpose()?;
                    new.email_verified &= new.email == old.email;
                }
                new.is_active = change.is_active.unwrap_or(new.is_active);
                if new == old {
                    return Ok(new);
                }
                new.updated_at = tx.now();
                tx.update_user(&new).await?;
                by.changed(tx, What::User, (id.0, &new.username), Some(&Shown::from(&old)), Some(&Shown::from(&new)));
                if old.is_active && !new.is_active {
                    if id == who.user {
                        return Err(ConfigError::Refused("nobody can deactivate themselves; ask somebody else".into()));
                    }
                    tx.end_grants_of(id, None, "deactivated").await?;
                    roles::an_owner_stays(tx).await?;
                }
                Ok(new)
            })
        })
        .await
    }
}

/// Somebody who may do no more than the caller.
pub(super) async fn not_above(tx: &mut Tx<'_>, who: &Principal, user: &User) -> Result<()> {
    // Whoever is kept out now keeps their roles.
    let theirs = tx.permissions_of(&User { is_active: true, ..user.clone() }).await?;
    covered(who, theirs, &format!("`{}` may do more than you", user.username))
}

/// What is handed out or taken away is no more than the caller has.
pub(super) fn covered(who: &Principal, permissions: PermissionSet, otherwise: &str) -> Result<()> {
    if who.permissions.covers(permissions) {
        return Ok(());
    }
    let missing: Vec<_> = permissions.without(who.permissions).iter().map(preloop_types::Permission::name).collect();
    Err(ConfigError::Forbidden(format!("{otherwise}: {}. Ask somebody who has all of that", missing.join(", "))))
}

/// A name to sign in with: letters, digits, `.`, `_`, `-`, and `@` for names that are addresses.
pub(super) fn username(name: &str) -> Result<String> {
    let name = limits::named("username", name, NAME_MAX)?;
    if name.chars().count() < NAME_MIN {
        return Err(ConfigError::invalid("username", format!("is shorter than {NAME_MIN} characters")));
    }
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || "._-@+".contains(c)) {
        let message = "may hold letters, digits, `.`, `_`, `-`, `+` and `@` only";
        return Err(ConfigError::invalid("username", message));
    }
    Ok(name)
}
