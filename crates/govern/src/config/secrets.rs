//! Values that are kept sealed.

use preloop_store::{SecretOwner, Tx};
use secrecy::SecretString;
use serde_json::Value;

use super::{ConfigError, Result, limits};

/// Secrets to be set, kept or forgotten with a change of their owner.
#[derive(Default)]
pub(super) struct SecretChanges {
    set: Vec<(String, SecretString)>,
    keep: Vec<String>,
}

impl SecretChanges {
    /// The secret `name` is `value`: a string, or `{"redacted": true}` to keep what is there.
    pub(super) fn take(&mut self, field: &str, name: impl Into<String>, value: &Value) -> Result<()> {
        match value {
            value if is_redacted(value) => self.keep.push(name.into()),
            Value::String(text) => {
                if text.is_empty() {
                    return Err(ConfigError::invalid(field, "is empty"));
                }
                if text.len() > limits::SECRET_MAX || text.contains(['\0', '\r', '\n']) && !field.starts_with("env") {
                    return Err(ConfigError::invalid(field, "is too long or holds a line break"));
                }
                self.set.push((name.into(), SecretString::from(text.as_str())));
            }
            _ => return Err(ConfigError::invalid(field, "is not a string")),
        }
        Ok(())
    }

    /// Keeps the secret `name` if there is one.
    pub(super) fn keep(&mut self, name: impl Into<String>) {
        self.keep.push(name.into());
    }

    /// Secrets to keep that are not there.
    pub(super) fn missing(&self, have: &[String]) -> Vec<&str> {
        self.keep.iter().filter(|name| !have.contains(name)).map(String::as_str).collect()
    }

    /// Writes the changes: of the secrets whose name starts with one of `prefixes`, those that are
    /// neither set nor kept are forgotten.
    pub(super) async fn write(self, tx: &mut Tx<'_>, owner: SecretOwner, prefixes: &[&str]) -> Result<()> {
        for name in tx.secret_names(owner).await? {
            let ours = prefixes.iter().any(|prefix| name.starts_with(prefix));
            if ours && !self.keep.contains(&name) && !self.set.iter().any(|(set, _)| *set == name) {
                tx.delete_secret(owner, &name).await?;
            }
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
