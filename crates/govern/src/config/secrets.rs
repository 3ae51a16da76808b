//! Values that are kept sealed.

use std::collections::BTreeMap;

use preloop_store::{SecretOwner, Tx};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::{ConfigError, Result, limits};

/// Secrets as a change of their owner wants them.
#[derive(Default)]
pub(super) struct Wanted {
    set: BTreeMap<String, SecretString>,
    keep: Vec<String>,
}

/// What is to be written so that an owner's secrets are as wanted.
pub(super) struct Changes {
    set: Vec<(String, SecretString)>,
    forget: Vec<String>,
    /// Secrets to keep that are not there.
    pub(super) missing: Vec<String>,
}

impl Wanted {
    /// The secret `name` is `value`: a string, or `{"redacted": true}` to keep what is there.
    pub(super) fn take(&mut self, field: &str, name: impl Into<String>, value: &Value) -> Result<()> {
        match value {
            value if is_redacted(value) => self.keep.push(name.into()),
            Value::String(text) => {
                // All but variables of programs travel in headers.
                let in_header = !field.starts_with("env");
                if text.is_empty() && in_header {
                    return Err(ConfigError::invalid(field, "is empty"));
                }
                if text.len() > limits::SECRET_MAX {
                    return Err(ConfigError::invalid(field, format!("is longer than {} bytes", limits::SECRET_MAX)));
                }
                if text.contains('\0') || in_header && text.contains(char::is_control) {
                    return Err(ConfigError::invalid(field, "holds a line break or another control character"));
                }
                self.set.insert(name.into(), SecretString::from(text.as_str()));
            }
            _ => return Err(ConfigError::invalid(field, "is not a string")),
        }
        Ok(())
    }

    /// Keeps the secret `name` if there is one.
    pub(super) fn keep(&mut self, name: impl Into<String>) {
        self.keep.push(name.into());
    }

    /// Compares with what `owner` has. Of the secrets whose name begins with one of `ours`, those
    /// that are neither set nor kept are forgotten.
    pub(super) async fn against(self, tx: &mut Tx<'_>, owner: SecretOwner, ours: &[&str]) -> Result<Changes> {
        let have = tx.secrets(owner).await?;
        let kept = |name: &String| self.keep.contains(name) || self.set.contains_key(name);
        let is_ours = |name: &String| ours.iter().any(|prefix| name.starts_with(prefix));
        Ok(Changes {
            forget: have.keys().filter(|name| is_ours(name) && !kept(name)).cloned().collect(),
            missing: self.keep.iter().filter(|name| !have.contains_key(*name)).cloned().collect(),
            set: self
                .set
                .into_iter()
                .filter(|(name, secret)| have.get(name).is_none_or(|old| old.expose_secret() != secret.expose_secret()))
                .collect(),
        })
    }
}

impl Changes {
    /// Whether everything is as wanted already.
    pub(super) fn is_empty(&self) -> bool {
        self.set.is_empty() && self.forget.is_empty()
    }

    pub(super) async fn write(self, tx: &mut Tx<'_>, owner: SecretOwner) -> Result<()> {
        for name in self.forget {
            tx.delete_secret(owner, &name).await?;
        }
        for (name, secret) in self.set {
            tx.put_secret(owner, &name, &secret).await?;
        }
        Ok(())
    }
}

/// Whether `value` is the placeholder that answers and exports show for a secret.
pub fn is_redacted(value: &Value) -> bool {
    value.get("redacted").and_then(Value::as_bool) == Some(true)
        || value.as_str() == Some(preloop_types::redact::REDACTED)
}
