//! A call's arguments: the reason taken out, the rest held against the tool's pinned schema.

use std::sync::Arc;

use dashmap::DashMap;
use jsonschema::{PatternOptions, Validator};
use preloop_govern::CatalogueTool;
use preloop_types::{Hash, config::Justification, unambiguous};
use serde_json::{Value, json, value::RawValue};

use crate::splice::{self, Members};
use crate::{
    catalogue::{HeaderParam, header::annotated},
    protocol::headers::PARAM_PREFIX,
};

/// The parameter in which an agent gives its reason.
pub(super) const JUSTIFICATION: &str = "justification";
/// Its name where the tool has a parameter `justification` of its own.
const JUSTIFICATION_BESIDE: &str = "_justification";
/// Longest reason kept, in bytes.
const JUSTIFICATION_MAX: usize = 8 * 1024;

const ASK_FOR_REASON: &str = "Why this call is needed and what it is part of. It is shown to the person who reviews the \
                              call and kept in the audit log.";

/// Compiled schemas by the hash of the definition they are part of.
#[derive(Default)]
pub(super) struct Schemas {
    compiled: DashMap<Hash, Arc<Schema>>,
}

/// What is known of a tool's parameters.
pub(super) struct Schema {
    /// `None` where the schema cannot be compiled: then upstream judges the arguments.
    validator: Option<Validator>,
    /// Where the reason is given.
    reason: &'static str,
    /// Arguments that a modern client repeats in headers.
    headers: Vec<HeaderParam>,
}

/// Definitions kept compiled at once.
const COMPILED_MAX: usize = 4_096;

impl Schemas {
    /// The schema of a tool's pinned definition.
    pub(super) fn of(&self, tool: &CatalogueTool) -> Arc<Schema> {
        if let Some(schema) = self.compiled.get(&tool.reference.definition) {
            return schema.clone();
        }
        if self.compiled.len() >= COMPILED_MAX {
            self.compiled.clear();
        }
        let schema = Arc::new(Schema::compile(&tool.tool.definition.0, &tool.reference.exposed));
        self.compiled.insert(tool.reference.definition, schema.clone());
        schema
    }
}

impl Schema {
    fn compile(definition: &RawValue, tool: &str) -> Self {
        let definition: Value = serde_json::from_str(definition.get()).unwrap_or_default();
        let schema = definition.get("inputSchema").cloned().unwrap_or_else(|| json!({}));
        let reason =
            if schema.pointer("/properties/justification").is_some() { JUSTIFICATION_BESIDE } else { JUSTIFICATION };
        let validator = jsonschema::options()
            // Linear time, whatever the pattern.
            .with_pattern_options(PatternOptions::regex())
            .build(&schema)
            .inspect_err(|error| tracing::warn!(tool, %error, "the input schema cannot be compiled"))
            .ok();
        let headers = annotated(&schema).unwrap_or_default();
        Self { validator, reason, headers }
    }

    /// Why the arguments do not fit, if so.
    pub(super) fn misfit(&self, arguments: &RawValue) -> Option<String> {
        if let Err(error) = unambiguous(arguments.get()) {
            return Some(error.to_string());
        }
        let validator = self.validator.as_ref()?;
        let value: Value = match serde_json::from_str(arguments.get()) {
            Ok(value) => value,
            Err(error) => return Some(error.to_string()),
        };
        if validator.is_valid(&value) {
            return None;
        }
        let errors: Vec<_> = validator
            .iter_errors(&value)
            .take(5)
            .map(|error| {
                let path = error.instance_path().to_string();
                let place = if path.is_empty() { "arguments".to_owned() } else { format!("`{path}`") };
                format!("{place}: {}", error.masked())
            })
            .collect();
        Some(errors.join("; "))
    }

    /// Takes the reason out of the arguments, for a tool that asks for one.
    pub(super) fn take_reason(&self, arguments: Arc<RawValue>) -> Result<(Arc<RawValue>, Option<String>), String> {
        let Some(Members(members)) = Members::of(&arguments) else { return Ok((arguments, None)) };
        if !members.iter().any(|(name, _)| name == self.reason) {
            return Ok((arguments, None));
        }
        let mut rest = String::with_capacity(arguments.get().len());
        let mut reason = None;
        rest.push('{');
        for (name, value) in &members {
            if name == self.reason {
                let text: String =
                    serde_json::from_str(value.get()).map_err(|_| format!("`{}` must be a text", self.reason))?;
                if text.len() > JUSTIFICATION_MAX {
                    return Err(format!("`{}` is longer than {JUSTIFICATION_MAX} bytes", self.reason));
                }
                reason = Some(text).filter(|text| !text.trim().is_empty());
            } else {
                splice::append(&mut rest, name, value.get());
            }
        }
        rest.push('}');
        Ok((splice::raw(rest), reason))
    }

    /// The argument whose header tells another story, if one does: somebody on the way may have
    /// acted on the header.
    pub(super) fn mismatch(&self, arguments: &RawValue, told: &[(String, String)]) -> Option<String> {
        if self.headers.is_empty() {
            return None;
        }
        let arguments: Value = serde_json::from_str(arguments.get()).unwrap_or_default();
        let differs = |param: &&HeaderParam| {
            let value = param.path.iter().try_fold(&arguments, |value, name| value.get(name));
            let header = told.iter().find(|(name, _)| param.header.as_str().strip_prefix(PARAM_PREFIX) == Some(name));
            match (value.filter(|value| !value.is_null()), header) {
                (None, None) => false,
                (Some(Value::String(text)), Some((_, header))) => text != header,
                (Some(value), Some((_, header))) => serde_json::from_str::<Value>(header).ok().as_ref() != Some(value),
                _ => true,
            }
        };
        let param = self.headers.iter().find(differs)?;
        Some(format!("`{}` does not repeat the argument `{}`", param.header, param.path.join(".")))
    }

    /// The name of the parameter that holds the reason.
    pub(super) fn reason_parameter(&self) -> &'static str {
        self.reason
    }
}

/// The input schema with a parameter for the reason. Never part of what is pinned or validated.
pub(super) fn with_reason(schema: &RawValue, mode: Justification) -> Option<String> {
    let mut schema: Value = serde_json::from_str(schema.get()).ok()?;
    let name = if schema.pointer("/properties/justification").is_some() { JUSTIFICATION_BESIDE } else { JUSTIFICATION };
    let object = schema.as_object_mut()?;
    let combined = ["$ref", "allOf", "anyOf", "oneOf"].iter().any(|key| object.contains_key(*key));
    if combined && !object.contains_key("properties") {
        schema = json!({"type": "object", "allOf": [schema]});
    }
    let object = schema.as_object_mut()?;
    let properties = object.entry("properties").or_insert_with(|| json!({})).as_object_mut()?;
    properties.insert(name.to_owned(), json!({"type": "string", "description": ASK_FOR_REASON}));
    if mode == Justification::Required {
        let required = object.entry("required").or_insert_with(|| json!([])).as_array_mut()?;
        required.push(json!(name));
    }
    Some(schema.to_string())
}
