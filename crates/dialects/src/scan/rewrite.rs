//! Replaces named spans of a body and leaves every other byte where it was.

use std::ops::Range;

use bytes::Bytes;

use super::{Facts, Member};

/// What to change in a body.
#[derive(Debug, Clone, Copy, Default)]
pub struct Edits<'a> {
    /// The model, as the provider calls it.
    pub model: Option<&'a str>,
    /// Ask for usage in a chat stream (`stream_options.include_usage`).
    pub include_usage: bool,
    /// Members to add or replace at the top: name and JSON.
    pub members: &'a [(&'a str, &'a str)],
    /// Members to take out at the top.
    pub remove: &'a [&'a str],
}

impl Facts {
    /// The body with `edits` made, as pieces to send one after another. Pieces that did not change are
    /// slices of `body`, which has to be the one these facts were read from.
    pub fn rewrite(&self, body: &Bytes, edits: &Edits<'_>) -> Vec<Bytes> {
        let mut changes = self.changes(body, edits);
        changes.sort_by_key(|(span, _)| (span.start, span.end));
        let mut pieces = Vec::with_capacity(changes.len() * 2 + 1);
        let mut at = 0;
        for (span, text) in changes {
            if at < span.start {
                pieces.push(body.slice(at..span.start));
            }
            if !text.is_empty() {
                pieces.push(Bytes::from(text));
            }
            at = span.end;
        }
        if at < body.len() {
            pieces.push(body.slice(at..));
        }
        pieces
    }

    fn changes(&self, body: &[u8], edits: &Edits<'_>) -> Vec<(Range<usize>, String)> {
        let members = &self.spans.members;
        let removed = |member: &Member| edits.remove.iter().any(|name| member.is(name.as_bytes(), body));
        let find = |name: &str| members.iter().find(|member| member.is(name.as_bytes(), body) && !removed(member));
        let mut changes = removals(members, removed);
        let mut added = Vec::new();
        let mut set = |name: &str, json: &str| match find(name) {
            Some(member) => changes.push((member.value.clone(), json.to_owned())),
            None => added.push(format!("{}:{json}", quote(name))),
        };

        if let Some(model) = edits.model {
            let model = self.spelled(model);
            let elsewhere = !self.spans.nested_models.is_empty() && find("model").is_none();
            if !elsewhere && !edits.remove.contains(&"model") {
                set("model", &model);
            }
        }
        for (name, json) in edits.members {
            set(name, json);
        }
        let options = find("stream_options").filter(|options| body[options.value.start] == b'{');
        let ask = edits.include_usage && !self.include_usage;
        if ask && options.is_none() {
            set("stream_options", r#"{"include_usage":true}"#);
        }

        if let (true, Some(options)) = (ask, options) {
            let inside = options.value.start + 1;
            let empty = body[inside..options.value.end - 1].iter().all(u8::is_ascii_whitespace);
            let comma = if empty { "" } else { "," };
            changes.push(match &self.spans.include_usage {
                Some(span) => (span.clone(), "true".to_owned()),
                None => (inside..inside, format!(r#""include_usage":true{comma}"#)),
            });
        }
        if let Some(model) = edits.model {
            changes.extend(self.spans.nested_models.iter().map(|span| (span.clone(), self.spelled(model))));
        }
        if !added.is_empty() {
            let inside = self.spans.open + 1;
            let comma = if members.iter().all(removed) { "" } else { "," };
            changes.push((inside..inside, added.join(",") + comma));
        }
        changes
    }

    /// As JSON, and with the prefix Google's bodies may have.
    fn spelled(&self, model: &str) -> String {
        let prefixed = self.model.as_ref().is_some_and(|asked| asked.starts_with("models/"));
        if prefixed && !model.contains('/') { quote(&format!("models/{model}")) } else { quote(model) }
    }
}

/// The spans of the members to take out, each with the comma it makes superfluous.
fn removals(members: &[Member], removed: impl Fn(&Member) -> bool) -> Vec<(Range<usize>, String)> {
    let mut spans = Vec::new();
    let mut kept_before = None;
    for (index, member) in members.iter().enumerate() {
        if !removed(member) {
            kept_before = Some(member.value.end);
            continue;
        }
        let span = match members.get(index + 1) {
            Some(next) => member.name.start..next.name.start,
            None => member.name.start..member.value.end,
        };
        spans.push((span, String::new()));
    }
    // Behind the last member that stays no comma may be left.
    if let (Some(end), Some(last)) = (kept_before, members.last())
        && end < last.value.end
    {
        spans.retain(|(span, _)| span.start < end);
        spans.push((end..last.value.end, String::new()));
    }
    spans
}

fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
