//! Two texts side by side, in bounded time.

use similar::{ChangeTag, TextDiff};

use crate::Mark;

/// Lines kept around a change.
const AROUND: usize = 3;
/// Most lines, past what both begin and end with, that are compared: the work grows with their product.
const LINES_MAX: usize = 1_500;

/// How `old` becomes `new`: lines, and how many are added and removed.
pub(crate) struct Diff<'a> {
    pub(crate) lines: Vec<(Mark, &'a str)>,
    pub(crate) added: usize,
    pub(crate) removed: usize,
    /// False where the texts differ too much to be matched line by line: then all of one is shown as
    /// removed and all of the other as added.
    pub(crate) matched: bool,
}

pub(crate) fn diff<'a>(old: &'a str, new: &'a str) -> Diff<'a> {
    let (olds, news): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let head = olds.iter().zip(&news).take_while(|(old, new)| old == new).count();
    let tail = olds[head..].iter().rev().zip(news[head..].iter().rev()).take_while(|(old, new)| old == new).count();
    let (middle_old, middle_new) = (&olds[head..olds.len() - tail], &news[head..news.len() - tail]);
    let matched = middle_old.len() + middle_new.len() <= LINES_MAX;
    let mut lines: Vec<(Mark, &str)> = Vec::new();
    lines.extend(olds[head.saturating_sub(AROUND)..head].iter().map(|line| (Mark::Plain, *line)));
    if matched {
        lines.extend(compared(middle_old, middle_new));
    } else {
        lines.extend(middle_old.iter().map(|line| (Mark::Removed, *line)));
        lines.extend(middle_new.iter().map(|line| (Mark::Added, *line)));
    }
    lines.extend(olds[olds.len() - tail..].iter().take(AROUND).map(|line| (Mark::Plain, *line)));
    let count = |wanted| lines.iter().filter(|(mark, _)| *mark == wanted).count();
    let (added, removed) = (count(Mark::Added), count(Mark::Removed));
    if added + removed == 0 {
        lines.clear();
        // `lines` cannot tell line endings and a last line feed apart.
        if old != new {
            lines.push((Mark::Place, "only line endings change"));
        }
    }
    Diff { lines, added, removed, matched }
}

fn compared<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(Mark, &'a str)> {
    let diff = TextDiff::from_slices(old, new);
    let mut lines = Vec::new();
    for (at, group) in diff.grouped_ops(AROUND).iter().enumerate() {
        if at > 0 {
            lines.push((Mark::Place, "…"));
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let (mark, line) = match (change.tag(), change.old_index(), change.new_index()) {
                (ChangeTag::Delete, Some(at), _) => (Mark::Removed, old.get(at)),
                (ChangeTag::Insert, _, Some(at)) => (Mark::Added, new.get(at)),
                (_, Some(at), _) => (Mark::Plain, old.get(at)),
                _ => continue,
            };
            lines.extend(line.map(|line| (mark, *line)));
        }
    }
    lines
}
