//! What a target cannot be told: refused by name, or left out with a warning where the model's owner wants that.

use std::fmt::Display;

use serde_json::Value;

use super::{
    Target,
    losses::{Loss, loss, plain},
};
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
        let Some((from, fields)) = extra else { return Ok(own) };
        for (field, value) in fields {
            // A path below the top is only for messages: the place it belongs to is gone.
            let top = !field.contains(['.', '[']);
            if top && *from == dialect {
                own.push((field.as_str(), value));
                continue;
            }
            match loss(*from, field) {
                Some(Loss::Nothing) => {}
                Some(Loss::Wish) => {
                    self.warn(format!("`{}` was left out: this model has no such setting", plain(field)));
                }
                None => self.missing(field, "it has no counterpart in this model's API")?,
            }
        }
        Ok(own)
    }

    pub(crate) fn into_warnings(self) -> Vec<String> {
        self.warnings
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Quirks;

    fn written(fields: &[(&str, Value)], target: Dialect, drop: bool) -> Result<(usize, Vec<String>), String> {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let quirks = Quirks::default();
        let mut gaps = Gaps::new(&Target { model: "m", max_output: None, quirks: &quirks, drop_unsupported: drop });
        let extra = Some((Dialect::Chat, fields));
        let own = gaps.extra(extra.as_ref(), target).map_err(|refused| refused.field)?.len();
        Ok((own, gaps.into_warnings()))
    }

    #[test]
    fn an_unknown_field_is_refused_by_name_or_left_out_with_a_warning() {
        let fields = [("store", json!(true)), ("web_search_options", json!({"a": 1}))];
        assert_eq!(written(&fields, Dialect::Gemini, false).unwrap_err(), "web_search_options");
        assert_eq!(written(&fields, Dialect::Gemini, true).unwrap().1.len(), 1);
        assert_eq!(written(&fields, Dialect::Chat, false).unwrap(), (2, Vec::new()));
    }

    #[test]
    fn a_wish_is_left_out_with_a_warning_said_once() {
        let fields = [("messages[0].name", json!("ada")), ("messages[7].name", json!("bob"))];
        let warning = "`messages.name` was left out: this model has no such setting".to_owned();
        assert_eq!(written(&fields, Dialect::Messages, false).unwrap(), (0, vec![warning]));
    }
}
