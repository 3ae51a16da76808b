//! What a script does, command by command.

use super::{
    Command, Joint, RedirectKind, Script, Word,
    commands::{Run, basename, is_system_path, resolve, shown, variable},
    programs, read,
};
use crate::{Level, Mark, paths};

/// Deepest nesting of scripts given to shells.
const DEPTH_MAX: usize = 10;

/// Variables that change what programs do.
const LEVER_VARIABLES: &[&str] = &[
    "BASH_ENV",
    "EDITOR",
    "ENV",
    "GIT_CONFIG",
    "GIT_EDITOR",
    "GIT_EXTERNAL_DIFF",
    "GIT_PAGER",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "IFS",
    "LD_AUDIT",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "DYLD_INSERT_LIBRARIES",
    "DYLD_LIBRARY_PATH",
    "NODE_OPTIONS",
    "PAGER",
    "PATH",
    "PERL5OPT",
    "PROMPT_COMMAND",
    "PS4",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "RUBYOPT",
    "SHELLOPTS",
    "VISUAL",
    "http_proxy",
    "https_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
];

/// What a script does.
#[derive(Default)]
pub(crate) struct Report {
    /// Why it is not harmless.
    pub(crate) findings: Vec<(Level, String)>,
    /// What of it cannot be accounted for.
    pub(crate) unread: Vec<(Level, String)>,
    /// Its commands, one a line, nested ones further in.
    pub(crate) lines: Vec<(Mark, String)>,
    /// The programs it runs, each once.
    pub(crate) programs: Vec<String>,
    /// Those of which nothing is known.
    unknown: Vec<String>,
}

/// What `script` does.
pub(crate) fn study(script: &Script) -> Report {
    let mut report = Report::default();
    report.script(script, 0);
    if !report.unknown.is_empty() {
        let names: Vec<_> = report.unknown.iter().take(8).map(|name| format!("`{name}`")).collect();
        let more = if report.unknown.len() > 8 { ", …" } else { "" };
        report.say(Level::Caution, format!("not known to only read: {}{more}", names.join(", ")));
    }
    report
}

impl Report {
    fn say(&mut self, level: Level, text: String) {
        self.findings.push((level, text));
    }

    /// What might be anything.
    fn unread(&mut self, text: String) {
        self.unread.push((Level::Danger, text));
    }

    fn script(&mut self, script: &Script, depth: usize) {
        if depth > DEPTH_MAX {
            self.unread("a script inside it is nested too deep to be taken apart".to_owned());
            return;
        }
        for (at, command) in script.commands.iter().enumerate() {
            let feeders = feeders(&script.commands[..at], command);
            self.command(command, feeders, script, depth);
        }
        for name in &script.functions {
            self.say(Level::Caution, format!("it defines what `{name}` means"));
        }
        if let Some(why) = script.trouble {
            self.unread(format!("the command cannot be read to its end: {why}"));
        }
    }

    fn command(&mut self, command: &Command, feeders: &[Command], script: &Script, depth: usize) {
        let line = self.lines.len();
        let known = self.findings.len();
        let text = shown(command);
        self.lines.push((Mark::Plain, format!("{}{}{text}", "  ".repeat(depth), command.joint.sign())));

        for (name, word) in &command.assignments {
            self.variable(name);
            self.substitutions(word, depth);
        }
        if !command.syntax {
            self.run(&command.words, command, feeders, script, depth);
        }
        for word in &command.words {
            self.substitutions(word, depth);
        }
        self.redirects(command, depth);
        for inner in &command.inner {
            self.script(inner, depth + 1);
        }
        if self.findings[known..].iter().any(|(level, _)| *level == Level::Danger) {
            self.lines[line].0 = Mark::Warning;
        }
    }

    fn substitutions(&mut self, word: &Word, depth: usize) {
        for script in &word.scripts {
            self.script(script, depth + 1);
        }
    }

    /// A script given as text, to a shell or to `eval`.
    fn text(&mut self, text: &str, depth: usize) {
        if depth >= DEPTH_MAX {
            self.unread("a script inside it is nested too deep to be taken apart".to_owned());
        } else {
            self.script(&read(text), depth + 1);
        }
    }

    fn variable(&mut self, name: &str) {
        if LEVER_VARIABLES.contains(&name) || name.starts_with("GIT_CONFIG") {
            self.say(Level::Danger, format!("it sets `{name}`, which changes what programs do"));
        }
    }

    fn redirects(&mut self, command: &Command, depth: usize) {
        for redirect in &command.redirects {
            let (target, path) = (&redirect.target, redirect.target.value.as_str());
            self.substitutions(target, depth);
            let over = match redirect.kind {
                RedirectKind::Write => ", over whatever is there",
                RedirectKind::Append => " at its end",
                RedirectKind::Read => {
                    if path.contains("/dev/tcp/") || path.contains("/dev/udp/") {
                        self.say(Level::Danger, format!("it opens a network connection: `{path}`"));
                    } else if let Some(why) = paths::reading(path) {
                        self.say(Level::Danger, format!("it reads `{path}`: {why}"));
                    }
                    continue;
                }
                RedirectKind::Descriptor | RedirectKind::Text => continue,
            };
            if matches!(path, "/dev/null" | "/dev/stdout" | "/dev/stderr") {
                continue;
            }
            let (level, why) = paths::writing(path)
                .map_or((Level::Caution, String::new()), |(level, why)| (level, format!(": {why}")));
            self.say(level, format!("it writes `{}`{over}{why}", target.source));
        }
    }

    fn run(&mut self, words: &[Word], command: &Command, feeders: &[Command], script: &Script, depth: usize) {
        let (wrappers, run) = resolve(words);
        for (name, arguments) in &wrappers {
            self.name(name);
            for (level, what) in programs::effects(name, arguments).into_iter().filter(|_| name != "env") {
                self.say(level, format!("`{name}` {what}"));
            }
            for word in *arguments {
                if let Some(name) = variable(word) {
                    self.variable(name);
                }
                if name == "env" && word.value.starts_with("-S") || word.value.starts_with("--split-string") {
                    self.unread("`env -S` splits a text into a command: it is not taken apart".to_owned());
                }
            }
        }
        let (name, path, arguments) = match run {
            Run::Program { name, path, arguments } => (name, path, arguments),
            Run::Computed(word) => {
                let text = format!("which program runs shows only when it runs: `{}`", word.source);
                self.unread(text);
                return;
            }
            Run::Nothing => {
                if wrappers.last().is_some_and(|(name, _)| name == "env") {
                    self.say(Level::Caution, "`env` prints the environment, which often holds secrets".to_owned());
                }
                return;
            }
        };
        self.name(&name);
        if script.functions.contains(&name) && (command.joint == Joint::Pipe || command.joint == Joint::Background) {
            self.say(Level::Danger, format!("`{name}` starts copies of itself"));
        }
        for word in arguments.iter().filter(|_| !matches!(name.as_str(), "echo" | "printf")) {
            if let Some(why) = paths::reading(&word.value) {
                self.say(Level::Danger, format!("`{name}` is given `{}`: {why}", word.source));
            }
        }
        let effects = programs::effects(&name, arguments);
        let target = if name == "rm" { wide_target(arguments) } else { None };
        for (level, what) in &effects {
            let what =
                target.map_or_else(|| (*what).to_owned(), |target| format!("{what}: everything under `{target}`"));
            self.say(*level, format!("`{name}` {what}"));
        }
        let named = self.special(&name, arguments, command, feeders, depth);
        let harmless = is_system_path(path) && programs::only_reads(&name, arguments);
        if !harmless && !named && effects.is_empty() && !self.unknown.contains(&name) {
            self.unknown.push(name);
        }
    }

    fn name(&mut self, name: &str) {
        if !self.programs.iter().any(|known| known == name) {
            self.programs.push(name.to_owned());
        }
    }

    /// Programs that run what they are given. True where something was said about it.
    fn special(
        &mut self,
        name: &str,
        arguments: &[Word],
        command: &Command,
        feeders: &[Command],
        depth: usize,
    ) -> bool {
        if programs::SHELLS.contains(&name) {
            self.shell(name, arguments, command, feeders, depth);
            return true;
        }
        let versioned = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        let interpreter = programs::INTERPRETERS.iter().find(|(known, _)| *known == name || *known == versioned);
        if let Some((_, inline)) = interpreter {
            self.interpreter(name, inline, arguments, command, feeders);
            return true;
        }
        match name {
            "eval" => {
                if arguments.iter().any(|word| word.computed) {
                    self.unread("`eval` runs a text that is computed when it runs".to_owned());
                } else {
                    let text: Vec<_> = arguments.iter().map(|word| word.value.as_str()).collect();
                    self.text(&text.join(" "), depth);
                }
            }
            "source" | "." if arguments.iter().any(|word| !word.scripts.is_empty()) => {
                self.say(Level::Danger, format!("`{name}` runs whatever another command gives out"));
            }
            "trap" => {
                if let Some(word) = arguments.first().filter(|word| !word.value.starts_with('-')) {
                    self.text(&word.value, depth);
                }
            }
            "find" => return self.find(arguments, command, depth),
            "export" | "declare" | "local" | "readonly" | "typeset" => {
                for name in arguments.iter().filter_map(variable) {
                    self.variable(name);
                }
            }
            _ => return false,
        }
        true
    }

    fn find(&mut self, arguments: &[Word], command: &Command, depth: usize) -> bool {
        let mut found = false;
        for (at, word) in arguments.iter().enumerate() {
            if matches!(word.value.as_str(), "-exec" | "-execdir" | "-ok" | "-okdir") {
                let inner = &arguments[at + 1..];
                let end = inner.iter().position(|word| matches!(word.value.as_str(), ";" | "+")).unwrap_or(inner.len());
                self.run(&inner[..end], command, &[], &Script::default(), depth);
                found = true;
            }
        }
        found
    }

    fn shell(&mut self, name: &str, arguments: &[Word], command: &Command, feeders: &[Command], depth: usize) {
        let mut rest = arguments.iter();
        let mut inline = false;
        let mut operand = None;
        while let Some(word) = rest.next() {
            match word.value.as_str() {
                "--rcfile" | "--init-file" | "-o" | "+o" | "-O" | "+O" => {
                    rest.next();
                }
                "-" | "--" => {}
                option if option.starts_with(['-', '+']) && !word.computed => {
                    inline |= !option.starts_with("--") && option.contains('c');
                }
                _ => {
                    operand = Some(word);
                    break;
                }
            }
        }
        match operand {
            Some(word) if !word.scripts.is_empty() => {
                self.say(Level::Danger, format!("`{name}` runs whatever another command gives out"));
            }
            Some(word) if word.computed => {
                self.unread(format!("`{name}` runs a script that is computed when it runs"));
            }
            Some(word) if inline => self.text(&word.value, depth),
            Some(word) => self.say(Level::Caution, format!("`{name}` runs the script in `{}`", word.source)),
            None => self.standard_input(name, command, feeders, Some(depth)),
        }
    }

    /// A shell (at some depth) or an interpreter that reads its program from its input.
    fn standard_input(&mut self, name: &str, command: &Command, feeders: &[Command], shell: Option<usize>) {
        let given =
            command.redirects.iter().rfind(|redirect| matches!(redirect.kind, RedirectKind::Text | RedirectKind::Read));
        match given {
            Some(redirect) if redirect.kind == RedirectKind::Text => match shell {
                Some(depth) if !redirect.target.computed => self.text(&redirect.target.value, depth),
                Some(_) => self.unread(format!("`{name}` runs a text that is computed when it runs")),
                None => self.unread_program(name),
            },
            Some(redirect) if redirect.target.scripts.is_empty() => {
                self.say(Level::Caution, format!("`{name}` runs the script in `{}`", redirect.target.source));
            }
            Some(_) => self.say(Level::Danger, format!("`{name}` runs whatever another command gives out")),
            None if feeders.is_empty() => {
                self.say(Level::Caution, format!("`{name}` runs what it reads from its input"));
            }
            None => {
                let from = feeders
                    .iter()
                    .find(|feeder| feeder.words.iter().any(|word| programs::FETCHERS.contains(&basename(&word.value))));
                let text = match from {
                    Some(_) => format!("`{name}` runs what is downloaded, whatever that is"),
                    None => format!("`{name}` runs whatever the commands before it give out"),
                };
                self.say(Level::Danger, text);
            }
        }
    }

    fn interpreter(&mut self, name: &str, inline: &[&str], arguments: &[Word], command: &Command, feeders: &[Command]) {
        if matches!(name, "pwsh" | "powershell") {
            self.unread(format!("`{name}` runs a script that is not taken apart here"));
            return;
        }
        let is_inline = |word: &Word| {
            inline.iter().any(|option| {
                word.value == *option
                    || (option.len() == 2 && word.value.starts_with(option))
                    || (word.value.starts_with('-')
                        && !word.value.starts_with("--")
                        && word.value.ends_with(&option[1..]))
            })
        };
        let operand = arguments.iter().find(|word| !word.value.starts_with('-'));
        if inline.is_empty() || arguments.iter().any(is_inline) {
            self.unread_program(name);
        } else if let Some(word) = operand {
            let text = if word.scripts.is_empty() {
                (Level::Caution, format!("`{name}` runs the program `{}`", word.source))
            } else {
                (Level::Danger, format!("`{name}` runs whatever another command gives out"))
            };
            self.findings.push(text);
        } else if arguments
            .iter()
            .any(|word| matches!(word.value.as_str(), "-V" | "--version" | "-v" | "-h" | "--help"))
        {
            self.say(Level::Caution, format!("`{name}` says about itself"));
        } else {
            self.standard_input(name, command, feeders, None);
        }
    }

    /// Text of a program that is no shell script.
    fn unread_program(&mut self, name: &str) {
        let text = format!("`{name}` is given a program as text: it is not taken apart here");
        self.unread.push((Level::Caution, text));
    }
}

/// The commands whose output `command` gets.
fn feeders<'c>(before: &'c [Command], command: &Command) -> &'c [Command] {
    if command.joint != Joint::Pipe || before.is_empty() {
        return &[];
    }
    let first = before.iter().rposition(|command| command.joint != Joint::Pipe).unwrap_or(0);
    &before[first..]
}

/// What `rm` is pointed at, where that is far too much.
fn wide_target(arguments: &[Word]) -> Option<&str> {
    arguments.iter().map(|word| word.source.as_str()).find(|source| {
        let path = source.trim_matches(['"', '\'']).trim_end_matches(['/', '*']);
        !source.starts_with('-')
            && matches!(
                path,
                "" | "~" | "." | ".." | "$HOME" | "${HOME}" | "/home" | "/etc" | "/usr" | "/var" | "/root"
            )
    })
}
