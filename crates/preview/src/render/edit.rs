//! Files written, changed, moved and deleted.

use crate::{Level, Mark, call::Seen, diff::diff, draft::Draft, json::Json, names::Kind, paths};

const PATHS: &[&str] = &[
    "file_path",
    "path",
    "filename",
    "file",
    "target_file",
    "notebook_path",
    "absolute_path",
    "relative_path",
    "file_name",
];
const OLD: &[&str] = &["old_string", "old_str", "old_text", "search", "old_source", "find"];
const NEW: &[&str] = &["new_string", "new_str", "new_text", "replace", "replacement", "new_source"];
const WHOLE: &[&str] = &["content", "contents", "file_text", "text", "data", "body"];
const FROM: &[&str] = &["source", "src", "from", "old_path", "source_path"];
const TO: &[&str] = &["destination", "dst", "dest", "to", "new_path", "destination_path"];
/// Words in the name of a tool that moves files.
const MOVES: &[&str] = &["move", "rename", "copy", "mv", "cp"];
/// Words in the name of a tool that writes files.
const WRITES: &[&str] = &["write", "create", "save", "put", "append", "update", "edit", "upload", "insert"];
/// Most edits of one call that are shown.
const EDITS_MAX: usize = 40;

pub(crate) fn render(call: &Seen<'_>, draft: &mut Draft) {
    let path = call.arguments.text(PATHS);
    if call.kind == Kind::Reads {
        if let Some((path, why)) = path.and_then(|path| Some((path, paths::reading(path)?))) {
            draft.finding(Level::Danger, &format!("it reads `{path}`: {why}"));
        }
        if let Some(path) = path {
            draft.fact("File", path);
        }
        return;
    }
    let edits = edits(&call.arguments);
    if !edits.is_empty() {
        changed(call, path, &edits, draft);
    } else if let Some(path) = path {
        let writes = call.words.iter().any(|word| WRITES.contains(&word.as_str()));
        match call.arguments.text(WHOLE) {
            Some(text) if writes => written(call, path, text, draft),
            _ => touched(path, writes, draft),
        }
    }
    if call.words.iter().any(|word| MOVES.contains(&word.as_str()))
        && let (Some(from), Some(to)) = (call.arguments.text(FROM), call.arguments.text(TO))
    {
        draft.headline(format!("Moves or copies {from} to {to}"));
        draft.fact("From", from);
        draft.fact("To", to);
        weigh(to, draft);
    }
}

/// One replacement.
struct Edit<'a> {
    path: Option<&'a str>,
    old: &'a str,
    new: &'a str,
    everywhere: bool,
}

fn edits<'a>(arguments: &'a Json<'_>) -> Vec<Edit<'a>> {
    let several = arguments.get(&["edits", "changes", "replacements"]).map_or(&[][..], Json::items);
    std::iter::once(arguments).chain(several).filter_map(edit).collect()
}

fn edit<'a>(value: &'a Json<'_>) -> Option<Edit<'a>> {
    let old = value.text(OLD);
    let new = value.text(NEW)?;
    let everywhere = value.get(&["replace_all", "all", "allow_multiple"]) == Some(&Json::Bool(true));
    Some(Edit { path: value.text(PATHS), old: old.unwrap_or_default(), new, everywhere })
}

fn changed(call: &Seen<'_>, path: Option<&str>, edits: &[Edit<'_>], draft: &mut Draft) {
    let (mut added, mut removed) = (0, 0);
    for (at, edit) in edits.iter().enumerate() {
        let diff = diff(edit.old, edit.new);
        added += diff.added;
        removed += diff.removed;
        if at >= EDITS_MAX {
            draft.incomplete = true;
            continue;
        }
        if !diff.matched {
            draft.finding(Level::Caution, "the change is too large to be matched line by line");
        }
        let file = edit.path.or(path).unwrap_or("a file");
        let place = if edit.everywhere { format!("{file}, everywhere") } else { file.to_owned() };
        let place = if edits.len() > 1 { format!("{place} ({} of {})", at + 1, edits.len()) } else { place };
        draft.section(&place, diff.lines);
        if edit.everywhere {
            draft.finding(Level::Caution, "it replaces every occurrence, not just one");
        }
    }
    let mut files: Vec<&str> = edits.iter().filter_map(|edit| edit.path).chain(path).collect();
    files.sort_unstable();
    files.dedup();
    for file in &files {
        draft.fact("File", file);
        weigh(file, draft);
    }
    let what = match files.as_slice() {
        [] => call.tool,
        [file] => file,
        _ => "several files",
    };
    draft.headline(format!("Changes {what}: {}", lines(added, removed)));
}

fn written(call: &Seen<'_>, path: &str, text: &str, draft: &mut Draft) {
    let count = text.lines().count();
    draft.fact("File", path);
    draft.fact("Size", &format!("{count} lines, {} bytes", text.len()));
    weigh(path, draft);
    let append = call.words.iter().any(|word| matches!(word.as_str(), "append" | "insert"));
    if append {
        draft.headline(format!("Adds {count} lines to {path}"));
    } else {
        draft.headline(format!("Writes {path}: {count} lines"));
        draft.finding(Level::Caution, "whatever the file holds now is replaced");
    }
    draft.section(path, text.lines().map(|line| (Mark::Added, line)));
}

fn touched(path: &str, writes: bool, draft: &mut Draft) {
    draft.fact("File", path);
    if writes {
        weigh(path, draft);
    } else if let Some(why) = paths::reading(path) {
        draft.finding(Level::Danger, &format!("it is about `{path}`: {why}"));
    }
}

/// Says where writing `path` means more than the file.
pub(super) fn weigh(path: &str, draft: &mut Draft) {
    if let Some((level, why)) = paths::writing(path) {
        draft.finding(level, &format!("it writes `{path}`: {why}"));
    }
}

pub(super) fn lines(added: usize, removed: usize) -> String {
    match (added, removed) {
        (0, 0) => "no line differs".to_owned(),
        (added, 0) => format!("{added} lines added"),
        (0, removed) => format!("{removed} lines removed"),
        (added, removed) => format!("{added} lines added, {removed} removed"),
    }
}
