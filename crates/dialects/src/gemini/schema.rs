use serde_json::{Map, Value};

/// A JSON Schema out of Google's own form of schema, which is `OpenAPI`'s with types in capitals, `nullable`
/// and whole numbers as texts.
pub(super) fn json_schema(schema: Value) -> Value {
    let Value::Object(schema) = schema else { return schema };
    let mut nullable = false;
    let mut written = Map::with_capacity(schema.len());
    for (name, value) in schema {
        let value = match (name.as_str(), value) {
            ("type", Value::String(kind)) if kind == "TYPE_UNSPECIFIED" => continue,
            ("type", Value::String(kind)) => kind.to_ascii_lowercase().into(),
            ("nullable", value) => {
                nullable = value == true;
                continue;
            }
            // Only an order in which to write.
            ("propertyOrdering" | "property_ordering", _) => continue,
            ("anyOf" | "any_of", Value::Array(list)) => {
                written.insert("anyOf".to_owned(), list.into_iter().map(json_schema).collect());
                continue;
            }
            ("items", nested) => json_schema(nested),
            ("properties", Value::Object(named)) => {
                Value::Object(named.into_iter().map(|(name, schema)| (name, json_schema(schema))).collect())
            }
            (
                "minItems" | "maxItems" | "minLength" | "maxLength" | "minProperties" | "maxProperties",
                Value::String(number),
            ) => number.parse::<u64>().map_or(Value::String(number), Value::from),
            (_, value) => value,
        };
        written.insert(name, value);
    }
    if let Some(kind) = written.get_mut("type").filter(|_| nullable) {
        *kind = Value::Array(vec![kind.take(), "null".into()]);
    }
    Value::Object(written)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn googles_schemas_become_json_schemas() {
        let google = json!({
            "type": "OBJECT", "propertyOrdering": ["type"],
            "properties": {
                "type": {"type": "STRING", "nullable": true, "enum": ["A"]},
                "list": {"type": "ARRAY", "items": {"type": "INTEGER"}, "minItems": "1"},
                "either": {"anyOf": [{"type": "STRING"}, {"type": "NUMBER"}]}
            },
            "required": ["type"]
        });
        assert_eq!(
            json_schema(google),
            json!({
                "type": "object",
                "properties": {
                    "type": {"type": ["string", "null"], "enum": ["A"]},
                    "list": {"type": "array", "items": {"type": "integer"}, "minItems": 1},
                    "either": {"anyOf": [{"type": "string"}, {"type": "number"}]}
                },
                "required": ["type"]
            })
        );
    }
}
