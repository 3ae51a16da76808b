//! What a tool's name tells. A name is only what its server chose: it can make a call look more
//! dangerous, never less. Only tools that are known (ours, and those of coding agents) can be harmless.

use crate::{Level, draft::Draft};

/// What kind of tool a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Known to only read.
    Reads,
    /// An agent's own shell: its command tells what it does.
    Shell,
    /// Any other.
    Other,
}

/// What the agents' own tools are called, in lower case: (name, kind).
const AGENT_TOOLS: &[(&str, Kind)] = &[
    ("bash", Kind::Shell),
    ("exec_command", Kind::Shell),
    ("local_shell", Kind::Shell),
    ("run_shell_command", Kind::Shell),
    ("shell", Kind::Shell),
    ("find", Kind::Reads),
    ("glob", Kind::Reads),
    ("grep", Kind::Reads),
    ("list", Kind::Reads),
    ("list_directory", Kind::Reads),
    ("ls", Kind::Reads),
    ("notebookread", Kind::Reads),
    ("read", Kind::Reads),
    ("read_file", Kind::Reads),
    ("read_many_files", Kind::Reads),
    ("todoread", Kind::Reads),
    ("todowrite", Kind::Reads),
];

/// Our own tools that only read.
const BUILTIN_READS: &[&str] = &["get_approval_status", "get_issue", "get_pull_request", "search", "search_tools"];

/// Words in the name of a tool or server that say it can do harm.
const DANGER_WORDS: &[&str] = &[
    "charge",
    "delete",
    "deploy",
    "destroy",
    "drop",
    "force",
    "grant",
    "kill",
    "merge",
    "pay",
    "payment",
    "payout",
    "prod",
    "production",
    "publish",
    "purge",
    "push",
    "refund",
    "remove",
    "reset",
    "revoke",
    "rm",
    "shutdown",
    "stripe",
    "sudo",
    "terminate",
    "transfer",
    "truncate",
    "uninstall",
    "wipe",
    "wire",
    "withdraw",
];

/// What kind of tool `tool` of `server` is.
pub(crate) fn kind(server: &str, tool: &str) -> Kind {
    let name = tool.to_ascii_lowercase();
    match server {
        "agent" => AGENT_TOOLS.iter().find(|(known, _)| *known == name).map_or(Kind::Other, |(_, kind)| *kind),
        "builtin" if BUILTIN_READS.contains(&name.as_str()) => Kind::Reads,
        _ => Kind::Other,
    }
}

/// Says what the names alone give away.
pub(crate) fn judge(server: &str, tool: &str, kind: Kind, draft: &mut Draft) {
    for (what, name) in [("tool", tool), ("server", server)] {
        let words = words(name);
        if let Some(word) = words.iter().find(|word| DANGER_WORDS.contains(&word.as_str())) {
            draft.finding(Level::Danger, &format!("the name of the {what} says `{word}`"));
        }
    }
    if kind == Kind::Other {
        draft.finding(Level::Caution, "what this tool does is known only from its server and its arguments");
    }
}

/// The words of a name, in lower case: `deleteUser_v2` is `delete`, `user`, `v2`.
pub(crate) fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut open = false;
    let mut lower = false;
    for c in name.chars().take(256) {
        if !c.is_alphanumeric() {
            open = false;
            continue;
        }
        if !open || (c.is_uppercase() && lower) {
            words.push(String::new());
        }
        open = true;
        lower = c.is_lowercase() || c.is_numeric();
        if let Some(word) = words.last_mut() {
            word.extend(c.to_lowercase());
        }
    }
    words
}

/// Whether two names are the same but for case and separators.
pub(crate) fn same(key: &str, name: &str) -> bool {
    let letters = |text: &'_ str| -> String {
        text.chars().take(64).filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    key == name || (key.len() <= 64 && letters(key) == letters(name))
}
