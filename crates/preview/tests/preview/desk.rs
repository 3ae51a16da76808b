//! Shorthand for calls and what is said of them.

use preloop_preview::{Call, Earlier, Level, Preview, preview};
use preloop_types::Timestamp;
use serde_json::{Value, json};

/// What is said of a call of an upstream's tool.
pub(crate) fn of(server: &str, tool: &str, arguments: &Value) -> Preview {
    let arguments = arguments.to_string();
    preview(&Call { tool, server, arguments: &arguments, floor: Level::Low, earlier: None })
}

/// What is said of a command an agent wants to run in its own shell.
pub(crate) fn bash(command: &str) -> Preview {
    of("agent", "Bash", &json!({ "command": command }))
}

/// What is said of a call when one was approved before.
pub(crate) fn after(earlier: &Value, server: &str, tool: &str, arguments: &Value) -> Preview {
    let (earlier, arguments) = (earlier.to_string(), arguments.to_string());
    let at = Timestamp::from_micros(1_790_000_000_000_000);
    let earlier = Some(Earlier { arguments: &earlier, at });
    preview(&Call { tool, server, arguments: &arguments, floor: Level::Low, earlier })
}

/// Whether a finding says `text`.
pub(crate) fn says(preview: &Preview, text: &str) -> bool {
    preview.findings.iter().any(|finding| finding.text.as_str().contains(text))
}

/// The lines of the section whose title holds `title`, as plain text.
pub(crate) fn lines(preview: &Preview, title: &str) -> Vec<String> {
    let section = preview.sections.iter().find(|section| section.title.as_str().contains(title)).unwrap();
    section.lines.iter().map(|line| format!("{}{}", line.mark.sign(), line.text)).collect()
}

/// The value of a fact.
pub(crate) fn fact(preview: &Preview, name: &str) -> String {
    preview.facts.iter().find(|fact| fact.name.as_str() == name).unwrap().value.to_string()
}
