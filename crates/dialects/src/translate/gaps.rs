//! What a target cannot be told: refused by name, or left out with a warning where the model's owner wants that.

use std::fmt::Display;

use serde_json::Value;

use super::Target;
use crate::{Dialect, ir::Unsupported};

/// Collects warnings while a request is written.
#[derive(Debug)]
pub(crate) struct Gaps {
    drop_unsupported: bool,
    warnings: Vec<String>,
}

impl Gaps {
    pub(crate) fn new(target: &Target<'_>) -> Self {
        Self { drop_unsupported: target.drop_unsupported, warnings: Vec::new() }
    }

    /// `field` cannot be said. `Ok` means: leave it out.
    pub(crate) fn missing(&mut self, field: impl Display, why: impl Display) -> Result<(), Unsupported> {
        if self.drop_unsupported {
            self.warnings.push(format!("`{field}` was left out: {why}"));
            return Ok(());
        }
        Err(Unsupported { field: field.to_string(), why: why.to_string() })
    }

    /// The same for a field that may be absent.
    pub(crate) fn missing_if(&mut self, there: bool, field: &str, why: &str) -> Result<(), Unsupported> {
        if there { self.missing(field, why) } else { Ok(()) }
    }

    /// Something is said in other words, which the agent's owner should know.
    pub(crate) fn warn(&mut self, warning: impl Into<String>) {
        let warning = warning.into();
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Fields that only another dialect knows. Those of `dialect` itself are handed back to be written.
    pub(crate) fn extra<'r>(
        &mut self,
        extra: Option<&'r (Dialect, Vec<(String, Value)>)>,
        dialect: Dialect,
    ) -> Result<Vec<(&'r str, &'r Value)>, Unsupported> {
        let mut own = Vec::new();
        for (field, value) in extra.iter().flat_map(|(_, fields)| fields) {
            // A path below the top is only for messages: the place it belongs to is gone.
            let top = !field.contains(['.', '[']);
            if top && extra.is_some_and(|(from, _)| *from == dialect) {
                own.push((field.as_str(), value));
            } else {
                self.missing(field, "it has no counterpart in this model's API")?;
            }
        }
        Ok(own)
    }

    pub(crate) fn into_warnings(self) -> Vec<String> {
        self.warnings
    }
}
