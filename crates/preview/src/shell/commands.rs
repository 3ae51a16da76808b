//! One command: which program really runs, behind `sudo`, `env`, `xargs` and the like.

use preloop_types::redact::{REDACTED, is_secret_name};

use super::{Command, Word, programs};

/// Most wrappers around a program.
const WRAPPERS_MAX: usize = 8;

/// A program as it is started.
pub(crate) enum Run<'w> {
    /// The program (its name without directories) and its arguments.
    Program { name: String, path: &'w str, arguments: &'w [Word] },
    /// Which program it is shows only when it runs.
    Computed(&'w Word),
    /// Nothing runs.
    Nothing,
}

/// The program that `words` start, and the wrappers (with their arguments) it stands behind.
pub(crate) fn resolve(words: &[Word]) -> (Vec<(String, &[Word])>, Run<'_>) {
    let mut wrappers = Vec::new();
    let mut words = words;
    for _ in 0..=WRAPPERS_MAX {
        let Some((first, arguments)) = words.split_first() else { return (wrappers, Run::Nothing) };
        if first.computed || (first.pattern && first.value != "[") {
            return (wrappers, Run::Computed(first));
        }
        let name = basename(&first.value).to_owned();
        let Some((_, valued, positional)) = programs::WRAPPERS.iter().find(|(wrapper, ..)| *wrapper == name) else {
            return (wrappers, Run::Program { name, path: &first.value, arguments });
        };
        let inner = unwrap(&name, arguments, valued, *positional);
        let looks_up =
            name == "command" && arguments.first().is_some_and(|word| matches!(word.value.as_str(), "-v" | "-V"));
        wrappers.push((name, &arguments[..arguments.len() - inner.len()]));
        if looks_up {
            return (wrappers, Run::Nothing);
        }
        words = inner;
    }
    words.first().map_or((Vec::new(), Run::Nothing), |first| (wrappers, Run::Computed(first)))
}

/// What a wrapper starts, of its arguments.
fn unwrap<'w>(name: &str, arguments: &'w [Word], valued: &[&str], positional: usize) -> &'w [Word] {
    let mut rest = arguments;
    let mut positional = positional;
    while let Some((word, after)) = rest.split_first() {
        let value = word.value.as_str();
        if value == "--" {
            rest = after;
            return rest.get(positional..).unwrap_or_default();
        }
        if value.starts_with('-') && value.len() > 1 && !word.computed {
            rest = if valued.contains(&value) { after.get(1..).unwrap_or_default() } else { after };
        } else if matches!(name, "env" | "sudo" | "doas") && variable(word).is_some() {
            rest = after;
        } else if positional > 0 {
            positional -= 1;
            rest = after;
        } else {
            return rest;
        }
    }
    rest
}

/// The variable that a word like `NAME=value` sets.
pub(crate) fn variable(word: &Word) -> Option<&str> {
    let (name, _) = word.source.split_once('=')?;
    let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    (letters && !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())).then_some(name)
}

/// A path's last part, without `.exe`.
pub(crate) fn basename(path: &str) -> &str {
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    name.strip_suffix(".exe").unwrap_or(name)
}

/// Whether a program's path is where the system's own programs are.
pub(crate) fn is_system_path(path: &str) -> bool {
    const DIRECTORIES: &[&str] = &["", "/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/opt/homebrew/bin"];
    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
    DIRECTORIES.contains(&directory) && !path.contains('\\')
}

/// The command as it stands in the script, but for secrets.
pub(crate) fn shown(command: &Command) -> String {
    let mut parts: Vec<String> = Vec::new();
    for (name, word) in &command.assignments {
        parts.push(if is_secret_name(name) { format!("{name}={REDACTED}") } else { word.source.clone() });
    }
    parts.extend(shown_words(&command.words));
    for _ in &command.inner {
        parts.push("( … )".to_owned());
    }
    for redirect in &command.redirects {
        let sign = match redirect.kind {
            super::RedirectKind::Read => "<",
            super::RedirectKind::Write => ">",
            super::RedirectKind::Append => ">>",
            super::RedirectKind::Descriptor => ">&",
            super::RedirectKind::Text => "<<<",
        };
        parts.push(format!("{sign} {}", redirect.target.source));
    }
    parts.join(" ")
}

fn shown_words(words: &[Word]) -> Vec<String> {
    let mut shown = Vec::with_capacity(words.len());
    let mut secret_next = false;
    for word in words {
        let source = word.source.as_str();
        let hidden = std::mem::take(&mut secret_next) && !source.starts_with('-');
        match source.split_once('=') {
            _ if hidden => shown.push(REDACTED.to_owned()),
            Some((name, _)) if is_secret_name(name.trim_start_matches('-')) => shown.push(format!("{name}={REDACTED}")),
            _ => {
                secret_next = source.starts_with("--") && is_secret_name(source.trim_start_matches('-'));
                shown.push(source.to_owned());
            }
        }
    }
    shown
}
