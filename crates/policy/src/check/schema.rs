//! What a JSON Schema says of the values at a path, as far as it is plain.

use std::collections::HashMap;

use serde_json::Value;

use super::uses::Segment;
use crate::engine::Pattern;

/// Most schemas a path is followed through.
const ALTERNATIVES_MAX: usize = 64;

/// The schemas that may apply to a value, each with the document its references are into. None at
/// all means anything goes.
#[derive(Debug, Clone)]
pub(super) struct Shape<'s> {
    alternatives: Vec<Alternative<'s>>,
}

#[derive(Debug, Clone, Copy)]
struct Alternative<'s> {
    schema: &'s Value,
    root: &'s Value,
}

/// What a step down leads to.
pub(super) enum Lookup<'s> {
    Found(Shape<'s>),
    /// There is no such member; these there are.
    Missing(Vec<&'s str>),
    /// The schema does not say.
    Anything,
}

impl<'s> Shape<'s> {
    /// The shape that any of `roots` describes.
    pub(super) fn of(roots: &'s [Value]) -> Self {
        Self::expand(roots.iter().map(|root| Alternative { schema: root, root }).collect())
    }

    /// Follows references and takes combinations apart.
    fn expand(schemas: Vec<Alternative<'s>>) -> Self {
        let (mut alternatives, mut left, mut steps) = (Vec::new(), schemas, 0);
        while let Some(Alternative { schema, root }) = left.pop() {
            steps += 1;
            if steps > ALTERNATIVES_MAX {
                return Self { alternatives: Vec::new() };
            }
            let target = schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
            if let Some(schema) = target.and_then(|pointer| root.pointer(pointer)) {
                left.push(Alternative { schema, root });
                continue;
            }
            let parts: Vec<_> = ["anyOf", "oneOf", "allOf"]
                .into_iter()
                .filter_map(|word| schema.get(word)?.as_array())
                .flatten()
                .map(|schema| Alternative { schema, root })
                .collect();
            let says_something_itself =
                ["properties", "type", "enum", "const"].iter().any(|word| schema.get(word).is_some());
            if parts.is_empty() || says_something_itself {
                alternatives.push(Alternative { schema, root });
            }
            left.extend(parts);
        }
        Self { alternatives }
    }

    pub(super) fn step(&self, segment: &Segment) -> Lookup<'s> {
        match segment {
            Segment::Field(name) => self.member(name),
            Segment::Item => self.items(),
        }
    }

    fn member(&self, name: &str) -> Lookup<'s> {
        let (mut found, mut known) = (Vec::new(), Vec::new());
        let holders = || self.alternatives.iter().filter(|one| type_allows(one.schema, "object"));
        for &Alternative { schema, root } in holders() {
            let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
                if has_members_elsewhere(schema, self) {
                    continue;
                }
                return Lookup::Anything;
            };
            if let Some(schema) = properties.get(name) {
                found.push(Alternative { schema, root });
                continue;
            }
            if allows_more(schema, name) {
                return Lookup::Anything;
            }
            known.extend(properties.keys().map(String::as_str));
        }
        if !found.is_empty() {
            return Lookup::Found(Self::expand(found));
        }
        if holders().next().is_none() && !self.alternatives.is_empty() {
            // A text has no members.
            return Lookup::Missing(Vec::new());
        }
        if known.is_empty() && holders().all(|one| one.schema.get("properties").is_none()) {
            return Lookup::Anything;
        }
        Lookup::Missing(known)
    }

    fn items(&self) -> Lookup<'s> {
        let items: Vec<_> = self
            .alternatives
            .iter()
            .filter(|one| type_allows(one.schema, "array"))
            .filter_map(|one| Some(Alternative { schema: one.schema.get("items")?, root: one.root }))
            .filter(|one| one.schema.is_object())
            .collect();
        if items.is_empty() { Lookup::Anything } else { Lookup::Found(Self::expand(items)) }
    }

    /// Whether a value may be of the JSON type `kind`.
    pub(super) fn may_be(&self, kind: &str) -> bool {
        self.alternatives.is_empty() || self.alternatives.iter().any(|one| type_allows(one.schema, kind))
    }

    /// The types in words: `a number`, `a text or null`.
    pub(super) fn describe(&self) -> String {
        let words = HashMap::from([
            ("string", "a text"),
            ("number", "a number"),
            ("integer", "an integer"),
            ("boolean", "a boolean"),
            ("array", "a list"),
            ("object", "an object"),
            ("null", "null"),
        ]);
        let order = ["string", "number", "integer", "boolean", "array", "object", "null"];
        let mut named: Vec<_> = order.into_iter().filter(|kind| self.may_be(kind)).collect();
        if named.contains(&"number") {
            named.retain(|kind| *kind != "integer");
        }
        let named: Vec<_> = named.into_iter().filter_map(|kind| words.get(kind).copied()).collect();
        named.join(" or ")
    }

    /// The only values allowed, if they are listed.
    pub(super) fn values(&self) -> Option<Vec<&'s Value>> {
        if self.alternatives.is_empty() {
            return None;
        }
        let mut values = Vec::new();
        for one in &self.alternatives {
            match (one.schema.get("enum").and_then(Value::as_array), one.schema.get("const")) {
                (Some(listed), _) => values.extend(listed),
                (None, Some(only)) => values.push(only),
                (None, None) if one.schema.get("type").and_then(Value::as_str) == Some("null") => {}
                (None, None) => return None,
            }
        }
        Some(values)
    }

    /// The least and the greatest number allowed.
    pub(super) fn bounds(&self) -> (Option<f64>, Option<f64>) {
        let [only] = self.alternatives.as_slice() else { return (None, None) };
        let number = |word: &str| only.schema.get(word).and_then(Value::as_f64);
        (number("minimum"), number("maximum"))
    }
}

/// Whether `schema` says nothing of members because others of the alternatives do (`allOf`,
/// `anyOf` beside a bare `type: object`).
fn has_members_elsewhere(schema: &Value, shape: &Shape<'_>) -> bool {
    ["anyOf", "oneOf", "allOf"].iter().any(|word| schema.get(word).is_some())
        && shape.alternatives.iter().any(|one| one.schema.get("properties").is_some())
}

fn type_allows(schema: &Value, kind: &str) -> bool {
    let fits = |word: &str| word == kind || (word == "number" && kind == "integer");
    match (schema.get("type"), schema.get("enum").and_then(Value::as_array), schema.get("const")) {
        (Some(Value::String(word)), ..) => fits(word),
        (Some(Value::Array(words)), ..) => words.iter().filter_map(Value::as_str).any(fits),
        (None, Some(values), _) => values.iter().any(|value| fits(type_of(value))),
        (None, None, Some(value)) => fits(type_of(value)),
        _ => true,
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Whether an object may have a member its `properties` do not name. Unless the schema says so,
/// it counts as closed: hardly any tool takes arguments it does not declare.
fn allows_more(schema: &Value, name: &str) -> bool {
    let additional = match schema.get("additionalProperties") {
        Some(Value::Bool(open)) => *open,
        Some(_) => true,
        None => false,
    };
    let patterns = schema.get("patternProperties").and_then(Value::as_object);
    additional
        || patterns.is_some_and(|patterns| {
            patterns.keys().any(|source| Pattern::compile(source).map_or(true, |pattern| pattern.is_match(name)))
        })
}
