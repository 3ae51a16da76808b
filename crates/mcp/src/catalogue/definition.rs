use preloop_types::{Hash, canonical_json};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

/// The members of a tool that make it what it is, in the order they are hashed in.
const PINNED: [&str; 6] = ["annotations", "description", "inputSchema", "name", "outputSchema", "title"];

/// The parts of a listed tool that are looked at.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Definition {
    pub(super) name: String,
    pub(super) title: Option<String>,
    pub(super) description: Option<String>,
    #[serde(default)]
    pub(super) input_schema: Value,
    #[serde(default)]
    pub(super) output_schema: Value,
    #[serde(default)]
    pub(super) annotations: Value,
    #[serde(default)]
    pub(super) execution: Execution,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Execution {
    pub(super) task_support: Option<String>,
}

/// Why a listed tool cannot be offered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unusable(pub(crate) String);

/// Longest definition kept.
const DEFINITION_MAX: usize = 256 * 1024;

impl Definition {
    pub(super) fn read(raw: &RawValue) -> Result<Self, Unusable> {
        if raw.get().len() > DEFINITION_MAX {
            return Err(Unusable(format!("its definition is larger than {DEFINITION_MAX} bytes")));
        }
        let definition: Self = serde_json::from_str(raw.get())
            .map_err(|error| Unusable(format!("its definition cannot be read: {error}")))?;
        if definition.name.is_empty() || definition.name.chars().count() > 256 {
            return Err(Unusable("its name is empty or longer than 256 characters".to_owned()));
        }
        if !definition.input_schema.is_object() {
            return Err(Unusable("its `inputSchema` is not an object".to_owned()));
        }
        Ok(definition)
    }
}

/// The hash that stands for a tool's definition: SHA-256 over the canonical JSON of its name,
/// title, description, schemas and annotations. `None` where it has no canonical form.
pub fn definition_hash(raw: &RawValue) -> Option<Hash> {
    let canonical = canonical_json(raw.get()).ok()?;
    // Canonical members are sorted and distinct, so picking some of them stays canonical.
    let members: std::collections::BTreeMap<String, &RawValue> = serde_json::from_str(&canonical).ok()?;
    let mut hashed = String::with_capacity(canonical.len());
    hashed.push('{');
    for name in PINNED {
        if let Some(value) = members.get(name).filter(|value| value.get() != "null") {
            if hashed.len() > 1 {
                hashed.push(',');
            }
            hashed.push('"');
            hashed.push_str(name);
            hashed.push_str("\":");
            hashed.push_str(value.get());
        }
    }
    hashed.push('}');
    Some(Hash::of(hashed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(text: &str) -> Option<Hash> {
        definition_hash(&RawValue::from_string(text.to_owned()).unwrap())
    }

    #[test]
    fn spelling_does_not_count_and_meaning_does() {
        let a = hash(r#"{"name":"x","description":"d","inputSchema":{"type":"object","required":["a"]}}"#);
        let same = hash(
            r#"{ "inputSchema": {"required": ["a"], "type":"object"}, "title": null, "name":"\u0078","description":"d" }"#,
        );
        assert_eq!(a, same);
        for other in [
            r#"{"name":"y","description":"d","inputSchema":{"type":"object","required":["a"]}}"#,
            r#"{"name":"x","description":"d.","inputSchema":{"type":"object","required":["a"]}}"#,
            r#"{"name":"x","description":"d","inputSchema":{"type":"object","required":[]}}"#,
            r#"{"name":"x","description":"d","inputSchema":{"type":"object","required":["a"]},"title":"t"}"#,
            r#"{"name":"x","description":"d","inputSchema":{"type":"object","required":["a"]},"annotations":{"readOnlyHint":true}}"#,
        ] {
            assert_ne!(a, hash(other), "{other}");
        }
        assert_eq!(hash(r#"{"name":"x","name":"y"}"#), None, "readers disagree on it");
    }
}
