//! Arguments a tool wants repeated in HTTP headers (`x-mcp-header` in its input schema).

use std::collections::BTreeSet;

use http::HeaderName;
use serde_json::Value;

use crate::protocol::headers::PARAM_PREFIX;

use super::definition::Unusable;

const ANNOTATION: &str = "x-mcp-header";
/// Deepest schema walked.
const DEPTH_MAX: usize = 64;
/// Keywords under which further schemas lie. An annotation there is not reached by a fixed path.
const SUBSCHEMA: &[&str] = &[
    "items",
    "contains",
    "unevaluatedItems",
    "additionalProperties",
    "propertyNames",
    "unevaluatedProperties",
    "not",
    "if",
    "then",
    "else",
    "contentSchema",
];
const SUBSCHEMAS: &[&str] = &["allOf", "anyOf", "oneOf", "prefixItems"];
const SUBSCHEMA_MAPS: &[&str] = &["patternProperties", "dependentSchemas", "$defs", "definitions"];

/// One argument and the header it is repeated in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderParam {
    /// Where it lies in the arguments.
    pub path: Vec<String>,
    /// The header.
    pub header: HeaderName,
}

/// The annotated arguments of an input schema; an invalid annotation makes the tool unusable, as
/// the specification demands.
pub(crate) fn annotated(schema: &Value) -> Result<Vec<HeaderParam>, Unusable> {
    let mut found = Vec::new();
    walk(schema, Some(&mut Vec::new()), &mut found, 0)?;
    let mut seen = BTreeSet::new();
    match found.iter().find(|param| !seen.insert(param.header.as_str())) {
        Some(twice) => Err(Unusable(format!("two arguments are annotated `{ANNOTATION}` for `{}`", twice.header))),
        None => Ok(found),
    }
}

fn walk(
    schema: &Value,
    mut path: Option<&mut Vec<String>>,
    found: &mut Vec<HeaderParam>,
    depth: usize,
) -> Result<(), Unusable> {
    let Some(members) = schema.as_object() else { return Ok(()) };
    if depth > DEPTH_MAX {
        return Err(Unusable(format!("its schema is nested deeper than {DEPTH_MAX} levels")));
    }
    if let Some(name) = members.get(ANNOTATION) {
        found.push(param(name, schema, path.as_deref())?);
    }
    for (keyword, value) in members {
        if keyword == "properties" {
            for (name, property) in value.as_object().into_iter().flatten() {
                match path.as_deref_mut() {
                    Some(path) => {
                        path.push(name.clone());
                        walk(property, Some(path), found, depth + 1)?;
                        path.pop();
                    }
                    None => walk(property, None, found, depth + 1)?,
                }
            }
        } else if SUBSCHEMA.contains(&keyword.as_str()) {
            walk(value, None, found, depth + 1)?;
        } else if SUBSCHEMAS.contains(&keyword.as_str()) {
            value.as_array().into_iter().flatten().try_for_each(|each| walk(each, None, found, depth + 1))?;
        } else if SUBSCHEMA_MAPS.contains(&keyword.as_str()) {
            value.as_object().into_iter().flatten().try_for_each(|(_, each)| walk(each, None, found, depth + 1))?;
        }
    }
    Ok(())
}

fn param(name: &Value, schema: &Value, path: Option<&Vec<String>>) -> Result<HeaderParam, Unusable> {
    let invalid = |why: &str| Unusable(format!("its `{ANNOTATION}` annotation {name} {why}"));
    let text = name.as_str().filter(|text| !text.is_empty()).ok_or_else(|| invalid("is not a name"))?;
    let path =
        path.filter(|path| !path.is_empty()).ok_or_else(|| invalid("is not on an argument with a fixed place"))?;
    let kind = schema.get("type").and_then(Value::as_str).unwrap_or_default();
    // The specification names the first three; servers annotate numbers too.
    if !matches!(kind, "string" | "integer" | "boolean" | "number") {
        return Err(invalid("is not on a string, integer or boolean"));
    }
    let header = HeaderName::from_bytes(format!("{PARAM_PREFIX}{text}").as_bytes())
        .map_err(|_| invalid("is not a header name"))?;
    Ok(HeaderParam { path: path.clone(), header })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn annotations_are_found_at_fixed_places() {
        let schema = json!({"type": "object", "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "opts": {"type": "object", "properties": {"dry": {"type": "boolean", "x-mcp-header": "Dry-Run"}}},
            "data": {"type": "object", "default": {"x-mcp-header": 1}},
        }});
        let found = annotated(&schema).unwrap();
        assert_eq!(found.len(), 2);
        assert!(found.iter().any(|param| param.header == "mcp-param-region" && param.path == ["region"]));
        assert!(found.iter().any(|param| param.header == "mcp-param-dry-run" && param.path == ["opts", "dry"]));
    }

    #[test]
    fn invalid_annotations_make_a_tool_unusable() {
        let at = |annotation: Value| json!({"properties": {"a": {"type": "string", "x-mcp-header": annotation}}});
        for schema in [
            at(json!("")),
            at(json!("sp ace")),
            at(json!("a\r\nEvil: 1")),
            at(json!(5)),
            json!({"properties": {"a": {"type": "object", "x-mcp-header": "A"}}}),
            json!({"properties": {"a": {"type": "array", "items": {"type": "string", "x-mcp-header": "A"}}}}),
            json!({"anyOf": [{"properties": {"a": {"type": "string", "x-mcp-header": "A"}}}]}),
            json!({"type": "string", "x-mcp-header": "A"}),
            json!({"properties": {"a": {"type": "string", "x-mcp-header": "A"}, "b": {"type": "string", "x-mcp-header": "a"}}}),
        ] {
            assert!(annotated(&schema).is_err(), "{schema}");
        }
    }
}
