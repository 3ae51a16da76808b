use preloop_types::config::Tool;
use serde_json::{Value, value::RawValue};
use similar::TextDiff;

/// Longest diff shown.
const DIFF_MAX: usize = 64 * 1024;

/// What changed about a drifted tool, as a unified diff for people; `None` when nothing did.
pub fn diff(tool: &Tool) -> Option<String> {
    let newest = tool.drifted_definition.as_ref()?;
    let (old, new) = (pretty(&tool.definition.0), pretty(&newest.0));
    let text =
        TextDiff::from_lines(&old, &new).unified_diff().context_radius(3).header("pinned", "offered now").to_string();
    let end =
        text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= DIFF_MAX).last().unwrap_or(0);
    Some(if end < text.len() { format!("{}\n… (cut)\n", &text[..end]) } else { text })
}

fn pretty(raw: &RawValue) -> String {
    let mut value: Value = serde_json::from_str(raw.get()).unwrap_or_default();
    value.sort_all_objects();
    let mut text = serde_json::to_string_pretty(&value).unwrap_or_default();
    text.push('\n');
    text
}
