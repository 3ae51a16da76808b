//! `${NAME}` in servers and channels.

use serde_json::Value as Json;

use super::{
    super::{fields::Object, model::JsonObject, problem::Problem},
    Reader,
};

impl<'a> Reader<'a> {
    pub(super) fn resolve_object(&self, holder: &Object<'a>, name: &str, object: &mut JsonObject) {
        for (key, value) in object.iter_mut() {
            self.resolve_value(holder, &format!("{name}.{key}"), value);
        }
    }

    pub(super) fn resolve_value(&self, holder: &Object<'a>, name: &str, value: &mut Json) {
        match value {
            Json::String(text) => *text = self.resolve_text(holder, name, std::mem::take(text)),
            Json::Array(items) => {
                for (at, item) in items.iter_mut().enumerate() {
                    self.resolve_value(holder, &format!("{name}.{at}"), item);
                }
            }
            Json::Object(members) => self.resolve_object(holder, name, members),
            _ => {}
        }
    }

    /// `text` with each `${NAME}` replaced, if variables are to be.
    pub(super) fn resolve_text(&self, holder: &Object<'a>, name: &str, text: String) -> String {
        let Some(look_up) = self.options.variables else { return text };
        let mut resolved = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            let variable = after.split_once('}').filter(|(variable, _)| is_variable(variable));
            let Some((variable, tail)) = variable else {
                resolved.push_str(before);
                resolved.push_str("${");
                rest = after;
                continue;
            };
            resolved.push_str(before);
            if let Some(value) = look_up(variable) {
                resolved.push_str(&value);
            } else {
                let path = format!("{}.{name}", holder.path);
                let message = format!("`${{{variable}}}` is not set on the server, or policies may not read it");
                self.notes.error(Problem::new(path, message));
            }
            rest = tail;
        }
        resolved + rest
    }
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
