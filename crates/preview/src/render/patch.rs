//! Patches: unified diffs, and the `*** Begin Patch` form of coding agents.

use super::edit::{lines, weigh};
use crate::{Level, Mark, call::Seen, draft::Draft};

/// Most files of a patch that are listed.
const FILES_MAX: usize = 60;

pub(crate) fn render(call: &Seen<'_>, draft: &mut Draft) {
    for (_, leaf) in call.arguments.leaves() {
        if let Some(text) = leaf.as_str().and_then(patch) {
            show(text, draft);
        }
    }
}

/// The patch in a text, if there is one.
fn patch(text: &str) -> Option<&str> {
    let start = text.find("*** Begin Patch").or_else(|| {
        let unified = text.starts_with("diff --git ") || (text.starts_with("--- ") && text.contains("\n+++ "));
        unified.then_some(0)
    })?;
    Some(&text[start..])
}

/// What happens to a file, by the line that says so.
const CODEX: &[(&str, &str)] = &[
    ("*** Add File: ", "adds"),
    ("*** Update File: ", "changes"),
    ("*** Delete File: ", "deletes"),
    ("*** Move to: ", "moves it to"),
];

fn show(text: &str, draft: &mut Draft) {
    let mut shown = Vec::new();
    let mut files: Vec<(&str, &str)> = Vec::new();
    let (mut added, mut removed) = (0, 0);
    // Lines of a hunk that are still to come: inside it `--- x` is a removed line, not a file.
    let mut hunk = (0_usize, 0_usize);
    let mut old_name = "";
    for line in text.lines() {
        let inside = hunk.0 > 0 || hunk.1 > 0;
        if let Some((file, what)) = CODEX.iter().find_map(|(start, what)| Some((line.strip_prefix(start)?, *what))) {
            files.push((what, file));
            shown.push((Mark::Place, line));
        } else if line.starts_with("*** ")
            || (!inside && (line.starts_with("diff --git ") || line.starts_with("index ")))
        {
            shown.push((Mark::Place, line));
        } else if let Some(name) = line.strip_prefix("--- ").filter(|_| !inside) {
            old_name = strip(name);
            shown.push((Mark::Place, line));
        } else if let Some(name) = line.strip_prefix("+++ ").filter(|_| !inside) {
            files.push(match (old_name, strip(name)) {
                ("/dev/null", new) => ("adds", new),
                (old, "/dev/null") => ("deletes", old),
                (_, new) => ("changes", new),
            });
            shown.push((Mark::Place, line));
        } else if line.starts_with("@@") {
            hunk = lengths(line);
            shown.push((Mark::Place, line));
        } else {
            let mark = match line.as_bytes().first() {
                Some(b'+') => Mark::Added,
                Some(b'-') => Mark::Removed,
                _ => Mark::Plain,
            };
            hunk.0 = hunk.0.saturating_sub(usize::from(mark != Mark::Added));
            hunk.1 = hunk.1.saturating_sub(usize::from(mark != Mark::Removed));
            added += usize::from(mark == Mark::Added);
            removed += usize::from(mark == Mark::Removed);
            shown.push((mark, if mark == Mark::Plain { line.strip_prefix(' ').unwrap_or(line) } else { &line[1..] }));
        }
    }
    if files.is_empty() {
        draft.unread(Level::Danger, "a patch is given whose files cannot be told");
    }
    for (what, file) in files.iter().take(FILES_MAX) {
        draft.fact(&format!("The patch {what}"), file);
        if *what == "deletes" {
            draft.finding(Level::Danger, &format!("it deletes `{file}`"));
        }
        weigh(file, draft);
    }
    if files.len() > FILES_MAX {
        draft.unread(Level::Danger, &format!("the patch touches {} files, more than are listed", files.len()));
    }
    let what = match files.as_slice() {
        [(_, file)] => (*file).to_owned(),
        files => format!("{} files", files.len()),
    };
    draft.headline(format!("Patches {what}: {}", lines(added, removed)));
    draft.section("Patch", shown);
}

/// A name in a unified diff, without `a/`, `b/` and a time stamp.
fn strip(name: &str) -> &str {
    let name = name.split('\t').next().unwrap_or(name).trim();
    name.strip_prefix("a/").or_else(|| name.strip_prefix("b/")).unwrap_or(name)
}

/// How many old and new lines a hunk says it has: `@@ -3,7 +3,8 @@`; none where it does not say.
fn lengths(line: &str) -> (usize, usize) {
    let length = |sign: char| {
        let range = line.split(' ').find_map(|word| word.strip_prefix(sign))?;
        range.split_once(',').map_or(Some(1), |(_, length)| length.parse().ok())
    };
    (length('-').unwrap_or(0), length('+').unwrap_or(0))
}
