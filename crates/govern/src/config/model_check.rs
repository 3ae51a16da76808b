use std::{fmt, sync::Arc};

use preloop_types::Model;

use super::{ConfigError, Result};

/// Says whether a model can be used as it is configured. What providers demand and where requests may
/// go is known on the floor above, which hands it down as this.
#[derive(Clone, Default)]
pub struct ModelCheck(Option<Arc<Check>>);

/// Takes a model and the names of its secrets; answers what is wrong.
type Check = dyn Fn(&Model, &[&str]) -> Result<()> + Send + Sync;

impl ModelCheck {
    /// Checks by `check`.
    pub fn new(check: impl Fn(&Model, &[&str]) -> Result<()> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(check)))
    }

    pub(super) fn check(&self, model: &Model, secrets: &[&str]) -> Result<()> {
        match &self.0 {
            Some(check) => check(model, secrets),
            None => Err(ConfigError::Forbidden("this instance has no model gateway".to_owned())),
        }
    }
}

impl fmt::Debug for ModelCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ModelCheck(..)")
    }
}
