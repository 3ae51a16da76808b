use serde_json::Value;

/// Takes keywords out of a JSON Schema, at every depth; never a property that happens to have the name of one.
pub(crate) fn strip_keywords(schema: &mut Value, keywords: &[impl AsRef<str>]) {
    let Value::Object(object) = schema else { return };
    object.retain(|name, _| !keywords.iter().any(|keyword| keyword.as_ref() == name));
    for (name, value) in object {
        match (name.as_str(), value) {
            (
                "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas",
                Value::Object(named),
            ) => {
                named.values_mut().for_each(|schema| strip_keywords(schema, keywords));
            }
            ("enum" | "const" | "default" | "examples" | "required", _) => {}
            (_, Value::Array(list)) => list.iter_mut().for_each(|schema| strip_keywords(schema, keywords)),
            (_, nested) => strip_keywords(nested, keywords),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keywords_go_and_properties_of_their_name_stay() {
        let mut schema = json!({
            "$schema": "x", "type": "object", "additionalProperties": false,
            "properties": {"$schema": {"type": "string", "format": "uri"}, "list": {"items": {"additionalProperties": {}}}},
            "anyOf": [{"format": "date"}], "default": {"format": "kept"}
        });
        strip_keywords(&mut schema, &["$schema", "additionalProperties", "format"]);
        assert_eq!(
            schema,
            json!({
                "type": "object",
                "properties": {"$schema": {"type": "string"}, "list": {"items": {}}},
                "anyOf": [{}], "default": {"format": "kept"}
            })
        );
    }
}
