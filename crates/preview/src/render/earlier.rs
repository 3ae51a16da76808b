//! What differs from the call of the same tool that was approved last.

use crate::{Mark, call::Seen, draft::Draft, json::Json};

/// Most differences listed.
const DIFFERENCES_MAX: usize = 40;
/// Longest value shown beside another, in bytes.
const VALUE_MAX: usize = 120;

pub(crate) fn render(call: &Seen<'_>, draft: &mut Draft) {
    let Some(earlier) = call.earlier else { return };
    let when = earlier.at.to_datetime().format("%-d %B %Y, %H:%M UTC");
    // What was approved once was readable then.
    let Ok(before) = Json::parse(earlier.arguments) else { return };
    let (old, new) = (before.leaves(), call.arguments.leaves());
    let old: std::collections::BTreeMap<_, _> = old.iter().map(|(path, value)| (path.as_str(), *value)).collect();
    let paths: std::collections::HashSet<_> = new.iter().map(|(path, _)| path.as_str()).collect();
    let mut lines = Vec::new();
    for (path, value) in &new {
        match old.get(path.as_str()) {
            Some(was) if was == value => {}
            Some(was) => lines.push((Mark::Plain, format!("{path}: {} → {}", short(was), short(value)))),
            None => lines.push((Mark::Added, format!("{path}: {}", short(value)))),
        }
    }
    for (path, value) in old.iter().filter(|(path, _)| !paths.contains(*path)) {
        lines.push((Mark::Removed, format!("{path}: {}", short(value))));
    }
    if lines.is_empty() {
        draft.fact("Last approved call", &format!("the same arguments, {when}"));
        return;
    }
    let names: Vec<_> = lines.iter().take(3).filter_map(|(_, line)| line.split(':').next()).collect();
    let more = if lines.len() > 3 { format!(" and {} more", lines.len() - 3) } else { String::new() };
    draft.fact("Last approved call", &format!("{when}; this one differs in {}{more}", names.join(", ")));
    let omitted = lines.len().saturating_sub(DIFFERENCES_MAX);
    if omitted > 0 {
        lines.truncate(DIFFERENCES_MAX);
        lines.push((Mark::Place, format!("… and {omitted} more differences")));
    }
    draft.section("Differs from the last approved call", lines.iter().map(|(mark, line)| (*mark, line.as_str())));
}

fn short(value: &Json<'_>) -> String {
    let shown = value.shown();
    if shown.len() > VALUE_MAX {
        return format!("{}… ({} bytes)", &shown[..shown.floor_char_boundary(VALUE_MAX)], shown.len());
    }
    shown
}
