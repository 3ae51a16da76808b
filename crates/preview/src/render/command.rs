//! Shell commands.

use crate::{
    Level,
    call::Seen,
    draft::Draft,
    json::Json,
    names::{Kind, same},
    shell::{Script, read, read_argv, study},
};

/// Members that hold a command, whatever the tool is called.
const COMMANDS: &[&str] = &["command", "cmd", "commands", "command_line", "shell_command", "bash_command", "argv"];
/// Members that hold one if the tool is called a shell.
const SCRIPTS: &[&str] = &["script", "code", "input", "bash", "shell", "arguments", "args"];
/// Members beside a command that do not change what it does; those of `_preloop_…` are told by the agent's hook.
const COMPANY: &[&str] = &[
    "command",
    "cmd",
    "description",
    "timeout",
    "timeout_ms",
    "cwd",
    "workdir",
    "directory",
    "justification",
    "_preloop_source",
    "_preloop_cwd",
    "_preloop_repository",
];
/// Words in the name of a tool that runs commands.
const SHELL_WORDS: &[&str] = &["bash", "sh", "shell", "zsh", "terminal", "console"];
/// Shells of another kind.
const FOREIGN: &[&str] = &["powershell", "pwsh", "cmdexe", "batch"];

pub(crate) fn render(call: &Seen<'_>, draft: &mut Draft) {
    let foreign = call.words.iter().any(|word| FOREIGN.contains(&word.as_str()));
    let shell = call.kind == Kind::Shell || call.words.iter().any(|word| SHELL_WORDS.contains(&word.as_str()));
    let mut scripts = Vec::new();
    for (name, value) in call.arguments.members() {
        let holds = |names: &[&str]| names.iter().any(|known| same(name, known));
        if holds(COMMANDS) || ((shell || foreign) && holds(SCRIPTS)) {
            scripts.extend(scripts_of(value));
        }
    }
    // A patch travels as a command of its own.
    scripts.retain(|script| {
        script
            .commands
            .first()
            .is_none_or(|command| command.words.first().is_none_or(|word| word.value != "apply_patch"))
    });
    if scripts.is_empty() {
        return;
    }
    if foreign {
        draft.unread(Level::Danger, "the command is for a shell that is not taken apart here");
        draft.headline("Runs a command");
        return;
    }
    let reports: Vec<_> = scripts.iter().map(study).collect();
    let mut programs: Vec<&str> = reports.iter().flat_map(|report| &report.programs).map(String::as_str).collect();
    programs.dedup();
    draft.headline(headline(reports.iter().map(|report| report.lines.len()).sum(), &programs));
    if let Some(directory) = call.arguments.text(&["cwd", "workdir", "working_directory", "directory", "_preloop_cwd"])
    {
        draft.fact("In", directory);
    }
    if !programs.is_empty() {
        draft.fact("Programs", &programs.join(", "));
    }
    for report in &reports {
        for (level, text) in &report.findings {
            draft.finding(*level, text);
        }
        for (level, text) in &report.unread {
            draft.unread(*level, text);
        }
        draft.section("The command in parts", report.lines.iter().map(|(mark, line)| (*mark, line.as_str())));
    }
    // Anything else a shell is told may change what it does: only the usual company is harmless.
    let company = |name: &str| COMPANY.iter().any(|known| same(name, known));
    draft.understood = call.arguments.members().iter().all(|(name, _)| company(name));
    if call.arguments.get(&["dangerously_disable_sandbox", "with_escalated_permissions"]) == Some(&Json::Bool(true)) {
        draft.finding(Level::Danger, "it asks to run outside the agent's sandbox");
    }
}

fn scripts_of(value: &Json<'_>) -> Vec<Script> {
    if let Some(text) = value.as_str() {
        return if text.trim().is_empty() { Vec::new() } else { vec![read(text)] };
    }
    let words: Option<Vec<&str>> = value.items().iter().map(Json::as_str).collect();
    match words {
        Some(words) if words.is_empty() => Vec::new(),
        // Several commands, or one in words: a word seldom holds a blank before anything else does.
        Some(words) if words[0].contains(' ') => words.iter().take(32).map(|text| read(text)).collect(),
        Some(words) => vec![read_argv(&words)],
        None => Vec::new(),
    }
}

fn headline(commands: usize, programs: &[&str]) -> String {
    let shown = programs.iter().take(5).copied().collect::<Vec<_>>().join(", ");
    let more = if programs.len() > 5 { ", …" } else { "" };
    match commands {
        _ if programs.is_empty() => "Runs a shell command".to_owned(),
        0 | 1 => format!("Runs {shown}"),
        count => format!("Runs a shell command in {count} parts: {shown}{more}"),
    }
}
