//! The filters that directories send: one attribute equal to one value.

use super::ScimError;

/// Which resources are asked for: those whose `attribute` is `value`, whatever the case of letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The attribute, in lower case, without the schema ahead of it: `username`, `emails.value`.
    pub attribute: String,
    /// What it has to be.
    pub value: String,
}

/// Longest filter.
const FILTER_MAX: usize = 1_024;

impl Filter {
    /// Reads `attribute eq "value"`, which may stand in parentheses.
    pub fn parse(text: &str) -> Result<Self, ScimError> {
        let refused = || ScimError::InvalidFilter(text.chars().take(80).collect());
        if text.len() > FILTER_MAX {
            return Err(refused());
        }
        let inner = text.trim();
        let inner = inner.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')).unwrap_or(inner).trim();
        let (attribute, rest) = inner.split_once(' ').ok_or_else(refused)?;
        let (operator, value) = rest.trim_start().split_once(' ').ok_or_else(refused)?;
        if !operator.eq_ignore_ascii_case("eq") {
            return Err(refused());
        }
        let value = match serde_json::from_str(value.trim()).map_err(|_| refused())? {
            serde_json::Value::String(value) => value,
            serde_json::Value::Bool(value) => value.to_string(),
            _ => return Err(refused()),
        };
        Ok(Self { attribute: attribute_name(attribute), value })
    }

    /// Whether an attribute's value is the one that is asked for.
    pub fn matches(&self, value: Option<&str>) -> bool {
        value.is_some_and(|value| value.to_lowercase() == self.value.to_lowercase())
    }
}

/// `urn:ietf:params:scim:schemas:core:2.0:User:userName` is `username`.
pub(super) fn attribute_name(text: &str) -> String {
    let is_urn = text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("urn:"));
    let name = if is_urn { text.rsplit(':').next().unwrap_or(text) } else { text };
    name.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_attribute_is_compared() {
        let read = |text: &str| Filter::parse(text).map(|filter| (filter.attribute, filter.value));
        let pair = |a: &str, b: &str| Ok((a.to_owned(), b.to_owned()));
        assert_eq!(read(r#"userName eq "ann""#), pair("username", "ann"));
        assert_eq!(read(r#"(userName EQ "a \"b\" and c eq \"d\"")"#), pair("username", r#"a "b" and c eq "d""#));
        assert_eq!(
            read(r#"urn:ietf:params:scim:schemas:core:2.0:User:emails.value eq "a@b""#),
            pair("emails.value", "a@b")
        );
        assert_eq!(read("active eq true"), pair("active", "true"));
        for wrong in ["", "userName", r#"userName sw "a""#, r#"userName eq "a" or active eq true"#, "a eq b", "a eq 1"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(Filter::parse(r#"userName eq "ANN""#).unwrap().matches(Some("ann")));
    }
}
